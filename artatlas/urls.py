"""Pictures that lie behind a URL (s3://, gs://, abfs:// and whatever else fsspec knows): listed and read through it.

Only what is read: outputs are files that HDF5 seeks in and that are renamed into their place, which object stores can
do neither of.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from artatlas.errors import UserError

# What stores tell of the state of an object; which of these depends on the store.
_STATE = ("ETag", "etag", "md5Hash", "generation", "mtime", "LastModified", "last_modified", "updated", "created")


@dataclass(frozen=True)
class Object:
    name: str  # below the URL that was listed
    url: str
    bytes: int
    state: int  # below 2**63, another one when the object was written anew; -1 where the store does not tell


def is_url(path: str) -> bool:
    return "://" in path


def find(url: str, setting: str) -> Iterator[Object]:
    """Yields all objects below a URL, at any depth.

    Raises UserError, which names the `setting`, where a package for it is missing or there is no such place.
    """
    filesystem, root = _opened(url, setting)
    root = root.rstrip("/")
    try:
        found = filesystem.find(root, detail=True)
    except OSError as error:
        raise UserError(f"{setting}: {url} cannot be listed ({error.strerror or error}). See that you may.") from None
    for path, info in found.items():
        known = [str(info[key]) for key in _STATE if key in info]
        state = int(hashlib.sha256(repr(known).encode()).hexdigest()[:15], 16) if known else -1
        name = path.removeprefix(root).lstrip("/")
        yield Object(name, filesystem.unstrip_protocol(path), int(info.get("size") or 0), state)


def read(url: str, setting: str = "paths.images") -> bytes:
    """The bytes of one object. Raises OSError, and UserError where a package for it is missing."""
    filesystem, path = _opened(url, setting)
    return filesystem.cat_file(path)


def _opened(url: str, setting: str) -> tuple[Any, str]:
    """fsspec's file system for a URL, of which it makes one a process, and the path on it."""
    try:
        import fsspec
    except ImportError:
        raise UserError(
            f"{setting}: {url} needs the package fsspec, which is not installed. Run: python -m pip install"
            ' ".[cloud]", or set it to a folder.'
        ) from None
    try:
        return fsspec.core.url_to_fs(url)
    except ImportError as error:  # of s3fs and the like
        raise UserError(f'{setting}: {url}: {error}. Run: python -m pip install ".[cloud]"') from None
    except ValueError as error:
        raise UserError(f"{setting}: {url}: {error}. Use s3://, gs:// or another that fsspec knows.") from None
