"""Debian packages read without Debian: what a .deb would install, file by file, with nothing put anywhere.

A .deb is an ar archive of tar archives (deb(5)). Its names are not trusted: a file is known by its path below a folder
that the caller names, and what leads out of it, is a device or has a name that some system cannot hold is passed over.
"""

from __future__ import annotations

import os
import re
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from artatlas import cli, store
from artatlas.errors import UserError

SAFE_PART = re.compile(r'(?!\.)[^\x00-\x1f/\\:*?"<>|]+(?<![. ])')  # of a path: no "..", and what Windows takes
MOST_LINKS = 8  # that are followed one after the other; a circle ends there
LARGEST = 64 << 20  # bytes of one file, against an archive that would fill the disk or the memory


@dataclass(frozen=True)
class Member:
    """A file, to be read before the next one is asked for, or a symbolic link to another.

    name : POSIX path below the folder
    link : the name that a symbolic link leads to, None for a file
    """

    name: str
    size: int
    mtime: float
    link: str | None
    content: IO[bytes] | None


def read(deb: Path, folder: PurePosixPath, suffix: str) -> Iterator[Member]:
    """The files below `folder` that end in `suffix`, and links between them, in the order of the archive.

    Raises UserError where it is no .deb or holds a file of more than `LARGEST` bytes.
    """
    with open_data(deb) as archive:
        for member in cli.progress(archive, unit="file", desc=deb.name):
            name = _below(member.name, folder, suffix)
            if name is None:
                continue
            if member.issym():
                target = os.path.normpath(PurePosixPath(member.name).parent / member.linkname)
                link = _below(PurePosixPath(target).as_posix(), folder, suffix)
                if link is not None:
                    yield Member(name, 0, member.mtime, link, None)
            elif member.isreg():
                if member.size > LARGEST:
                    raise UserError(f"{store.show(deb)}: {name} has {member.size:,} bytes. Download it again.")
                yield Member(name, member.size, member.mtime, None, archive.extractfile(member))


@contextmanager
def open_data(deb: Path) -> Iterator[tarfile.TarFile]:
    """The tar archive of what a .deb installs, to be read once from front to back (ar(5))."""
    with deb.open("rb") as file:
        if file.read(8) != b"!<arch>\n":
            raise UserError(f"{store.show(deb)}: is not a .deb. Download it again.")
        while len(header := file.read(60)) == 60:
            name, size = header[:16].decode("ascii", "replace").strip(" /"), int(header[48:58])
            if name.startswith("data.tar"):
                with tarfile.open(fileobj=file, mode="r|*") as archive:
                    yield archive
                return
            file.seek(size + size % 2, os.SEEK_CUR)
    raise UserError(f"{store.show(deb)}: has no data.tar inside. Download it again.")


def _below(name: str, folder: PurePosixPath, suffix: str) -> str | None:
    path = PurePosixPath(name)
    if path.suffix.lower() != suffix or not path.is_relative_to(folder):
        return None
    below = path.relative_to(folder)
    return below.as_posix() if all(SAFE_PART.fullmatch(part) for part in below.parts) else None


def resolved(links: dict[str, str], files: set[str]) -> dict[str, str]:
    """link -> the file that it leads to, over any few links, for those that lead to one of `files`."""
    found = {}
    for name in links:
        aim = name
        for _ in range(MOST_LINKS):
            aim = links.get(aim, aim)
        if aim in files:
            found[name] = aim
    return found
