"""All stages in order, each in a process of its own; what is up to date is skipped.

Reads   the collection (paths.images, paths.metadata) and config.yaml
Writes  everything below outputs/
Run     python run_all.py                     skips every stage whose settings and inputs have not changed
        python run_all.py --from tsne         does tsne and all that follow again
        python run_all.py --only tsne grid    does just these, again
Cost    the sum of the stages; under 5 s when nothing has changed
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

from artatlas import cli, collection, store
from artatlas.config import Config
from artatlas.errors import UserError
from artatlas.stages import STAGES, Stage

FOLDER = Path(__file__).resolve().parent
NAMES = [stage.name for stage in STAGES]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--from", dest="start", choices=NAMES, help="do this stage and all later ones again")
    choice.add_argument("--only", nargs="+", choices=NAMES, help="do only these stages, again")


def why(config: Config, stage: Stage, start: str | None, only: list[str] | None) -> str | None:
    """Why a stage has to run, or None to skip it."""
    if only:
        return "asked for" if stage.name in only else None
    if start and NAMES.index(stage.name) >= NAMES.index(start):
        return "asked for"
    reason = store.why_stale(config, stage.name)
    if reason is None and stage.name == "images":
        reason = collection.why_changed(config)
    return reason


def run_stage(config: Config, stage: Stage) -> str:
    """Runs one script to its end and returns its closing line; progress and errors go to our own stderr."""
    command = [sys.executable, str(FOLDER / stage.script), *config.flags]
    process = subprocess.run(command, stdout=subprocess.PIPE, text=True, encoding="utf-8")
    if process.returncode:
        raise UserError(
            f"{stage.script} stopped with exit code {process.returncode}; what it said stands above. Mend that, then"
            f" run: {config.command('run_all.py')} (finished stages are kept)"
        )
    return process.stdout.strip().splitlines()[-1]


def main(config: Config, start: str | None = None, only: list[str] | None = None) -> tuple[Path, str]:
    n_made, lines = 0, []
    for stage in STAGES:
        if only and stage.name not in only:
            continue
        began = time.perf_counter()
        if why(config, stage, start, only) is None:
            lines.append((stage.script, "up to date", ""))
            continue
        print(f"{stage.script} ...", file=sys.stderr, flush=True)
        summary = run_stage(config, stage)
        n_made += 1
        lines.append((stage.script, cli.duration(time.perf_counter() - began), summary))

    width = max(len(script) for script, _, _ in lines)
    for script, took, summary in lines:
        print(f"{script:{width}}  {took:>12}  {summary}".rstrip())
    pictures = config.outputs / "pictures"
    if pictures.is_dir():
        print("Open:", *[store.show(path) for path in sorted(pictures.glob("*.[jp][pn]g"))], sep="\n  ")
    return config.outputs, f"{cli.count(n_made, 'stage')} made, {len(lines) - n_made} up to date"


if __name__ == "__main__":
    cli.run(main, __doc__, add_arguments)
