"""Whether an HDF5 file is what was written, and whether one from elsewhere is safe to read.

The first 512 bytes of a file of ours, which HDF5 leaves to its users, hold the SHA-256 of the rest: a flipped bit or a
lost tail is noticed before HDF5, which trusts what it reads, looks at any of it. A file that was written by others, or
edited, is judged by what it holds: links out of the file, sizes that are not there and types that are not ours are
refused.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import h5py

BLOCK = 512  # bytes; the least that HDF5 takes
_MARK = b"artatlas sha256 "
_SIGNATURE = b"\x89HDF\r\n\x1a\n"  # of HDF5, at the start of a file without such a block
READ_WHOLE = 256 << 20  # bytes; 0.2 s. Larger files hold pixels, whose rows have digests: see reuse.py
PATIENCE_S = 60.0
MOST_OBJECTS = 100_000  # in a file; ours hold a few a map, space or column
# Files to hand on are compressed, by these filters alone. A byte of deflate may stand for 1,032, so that a small file
# could still ask for gigabytes.
FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE}
MOST_EXPANSION, MOST_UNPACKED = 1032, 1 << 30


def seal(path: Path) -> None:
    """Writes the hash of a finished file into its block."""
    block = _sealed(_hash(path))
    with path.open("r+b") as file:
        file.write(block)


def why_broken(path: Path) -> str:
    """Why a file is not what was sealed, or "": also where it has no seal, or is too large to be read for that."""
    info = path.stat()
    return _why_broken(path, info.st_size, info.st_mtime_ns, info.st_ino)


@lru_cache(maxsize=256)
def _why_broken(path: Path, size: int, mtime_ns: int, inode: int) -> str:
    with path.open("rb") as file:
        block = file.read(BLOCK)
    if block.startswith(_SIGNATURE) or not block.strip(b"\0"):
        return ""
    # One bit may have flipped in the seal itself, which then is neither one nor none.
    if size > READ_WHOLE:
        return "" if block.startswith(_MARK) else "its first bytes are damaged"
    return "" if block == _sealed(_hash(path)) else "its checksum does not fit: it is damaged, or was edited"


def why_unsafe(path: Path, packed: bool = False) -> str:
    """Why a file should not be read, whatever it says that it is; "" where nothing speaks against it.

    packed : it may be compressed; of our own files those of export_embeddings.py may, which say so

    Raises OSError and what else h5py raises for damaged files.
    """
    info = path.stat()
    return _why_unsafe(path, packed, info.st_size, info.st_mtime_ns, info.st_ino)


@lru_cache(maxsize=256)
def _why_unsafe(path: Path, packed: bool, size: int, mtime_ns: int, inode: int) -> str:
    with path.open("rb") as file:
        if file.read(len(_MARK)) == _MARK:
            return judge(path, size, packed)
    # A few bytes can make HDF5 crash, or go round for ever; so another process has to get through it first.
    try:
        run = subprocess.run(
            [sys.executable, "-m", "artatlas.integrity", str(path.resolve()), *["packed"] * packed],
            cwd=Path(__file__).parent.parent, capture_output=True, text=True, timeout=PATIENCE_S,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return "HDF5 does not get to the end of it"
    return run.stdout.strip() if run.returncode == 0 else "HDF5 cannot read it"


def judge(path: Path, size: int, packed: bool = False, read_all: bool = False) -> str:
    """What `why_unsafe` says, found out in this process; with `read_all` everything is read, too."""
    with h5py.File(path, "r") as h5:
        if read_all:
            dict(h5.attrs)
        return _walk(h5, size, packed or h5.attrs.get("stage") == "export", read_all and size <= READ_WHOLE)


def _walk(h5: h5py.File, size: int, packed: bool, read_all: bool) -> str:
    waiting, seen, n_objects = [h5["/"]], set(), 0
    while waiting:
        group = waiting.pop()
        address = h5py.h5o.get_info(group.id).addr
        if address in seen:
            return f"the group {group.name} is in itself"
        seen.add(address)
        for name in group:
            n_objects += 1
            if n_objects > MOST_OBJECTS:
                return f"it holds more than {MOST_OBJECTS:,} objects"
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                return f"{name!r} is a link"
            found = group[name]
            if isinstance(found, h5py.Group):
                waiting.append(found)
            elif not isinstance(found, h5py.Dataset):
                return f"{name!r} is a named type"
            elif reason := _why_unreadable(found, size, packed):
                return f"{name!r} {reason}"
            elif read_all:
                (found.asstr() if h5py.check_string_dtype(found.dtype) else found)[()]
    return ""


def _why_unreadable(dataset: h5py.Dataset, file_bytes: int, packed: bool) -> str:
    plist = dataset.id.get_create_plist()
    if plist.get_external_count() or plist.get_layout() == h5py.h5d.VIRTUAL:
        return "is kept in another file"
    filters = {plist.get_filter(number)[0] for number in range(plist.get_nfilters())}
    if filters and not packed:
        return "is compressed, which ours are not"
    if not filters <= FILTERS:
        return "goes through a filter that ours do not"
    if dataset.shape is None:
        return "is empty"
    kind = dataset.dtype.kind
    text, element = h5py.check_string_dtype(dataset.dtype), h5py.check_vlen_dtype(dataset.dtype)
    if kind not in "biuf" and not (kind == "O" and (text is not None or element is not None)):
        return f"is of type {dataset.dtype}"
    stored = dataset.id.get_storage_size()
    on_disk = dataset.id.get_type().get_size()
    # What was never written would be filled up while it is read, to whatever size the file asks for.
    most = min(MOST_UNPACKED, stored * MOST_EXPANSION) if filters else stored
    if stored > file_bytes or dataset.size * on_disk > most:
        return f"has shape {dataset.shape}, for which the file is too small"
    return ""


def _sealed(digest: str) -> bytes:
    return (_MARK + digest.encode() + b"\n").ljust(BLOCK, b"\0")


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(BLOCK)
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    print(judge(Path(sys.argv[1]), Path(sys.argv[1]).stat().st_size, sys.argv[2:] == ["packed"], read_all=True))
