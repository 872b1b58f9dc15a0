"""`artatlas STAGE [options]`: the scripts as one command, for those who installed the package and have no checkout.

    artatlas                     lists the stages
    artatlas build_tsne --help   the help of build_tsne.py; so do `artatlas build-tsne` and `artatlas tsne`
"""

from __future__ import annotations

import ast
import difflib
import runpy
import sys
from pathlib import Path

from artatlas import __version__
from artatlas.config import HOME
from artatlas.stages import ON_REQUEST, STAGES, TOGETHER


def scripts() -> dict[str, Path]:
    """Command -> script, in the order in which stages run; the getters of data/ last."""
    names = dict.fromkeys([stage.script for stage in STAGES] + [*TOGETHER] + [stage.script for stage in ON_REQUEST])
    paths = [HOME / "run_all.py", *(HOME / name for name in names), *sorted((HOME / "data").glob("*.py"))]
    return {path.stem: path for path in paths}


def find(name: str) -> Path | None:
    """The script that a user means: by its name, with - for _, with .py or not; or by the name of its stage."""
    known, wanted = scripts(), name.removesuffix(".py").replace("-", "_")
    for stage in (*STAGES, *ON_REQUEST):
        known.setdefault(stage.name, HOME / stage.script)
    return known.get(wanted)


def listed() -> str:
    lines = [f"artatlas {__version__}\n\nartatlas STAGE [options], where STAGE is one of\n"]
    for name, path in scripts().items():
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        lines.append(f"  {name:24}{docstring.splitlines()[0] if docstring else ''}")
    lines.append("\nartatlas STAGE --help tells what it reads, writes and costs.")
    return "\n".join(lines)


def main() -> None:
    """Runs the script as `python SCRIPT` would, in this process."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in ("-h", "--help", "help"):
        print(listed())
        return
    if name in ("-V", "--version"):
        print(f"artatlas {__version__}")
        return
    path = find(name)
    if path is None:
        close = difflib.get_close_matches(name, scripts(), n=1)
        remedy = f"Did you mean {close[0]}?" if close else "Run: artatlas"
        print(f"error: artatlas {name}: is not a stage. {remedy}", file=sys.stderr)
        sys.exit(2)
    sys.argv = [str(path), *sys.argv[2:]]
    sys.path.insert(0, str(path.parent))  # as Python does for a script
    runpy.run_path(str(path), run_name="__main__")


if __name__ == "__main__":
    main()
