"""What an earlier run left that still holds, so that a changed picture costs its own rows and not the collection's.

A picture's `digest` is a hash of everything that later stages see of it: rows of the same digest, made by the same
recipe and libraries, are the same. Whoever asks for a stage again that is up to date gets all of it computed again.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import h5py
import numpy as np

from artatlas import integrity, shards, store

LIBRARIES = ("artatlas", "numpy", "pillow", "tensorflow", "tensorflow-cpu", "keras")  # that decide the numbers
DIGESTS = "digests.npz"  # beside kept shards


@dataclass(frozen=True)
class Earlier:
    """Rows that are known already."""

    row_of: dict[str, int]  # digest -> row
    read: Callable[[np.ndarray], np.ndarray]  # rows (M,) int64 -> (M, P) float32

    def known(self, digests: np.ndarray) -> np.ndarray:
        """(B,) int64: the row of each of these pictures, -1 where it is not known."""
        return np.array([self.row_of.get(digest, -1) for digest in digests], np.int64)


NOTHING = Earlier({}, lambda rows: np.empty((0, 0), np.float32))


@contextmanager
def opened(path: Path, stage: str) -> Iterator[h5py.File | None]:
    """An earlier output of `stage`, or None where there is none that this installation can have written."""
    found = None
    try:
        is_whole = path.is_file() and not integrity.why_broken(path) and not integrity.why_unsafe(path)
        found = h5py.File(path, "r") if is_whole else None
        is_ours = found is not None and found.attrs["stage"] == stage and found.attrs["schema_version"] == (
            store.SCHEMA_VERSION
        ) and _libraries(json.loads(found.attrs["versions"])) == _libraries(store.versions())  # fmt: skip
    except store.DAMAGED:
        is_ours = False  # of no use, which is no error here: it is about to be replaced
    try:
        yield found if is_ours else None
    finally:
        if found is not None:
            found.close()


def _libraries(versions: dict[str, str]) -> dict[str, str | None]:
    return {name: versions.get(name) for name in LIBRARIES}


def read_digests(images: h5py.File) -> np.ndarray:
    """(N,) str, of every work of images.h5; "" where it was written without them."""
    return images["digest"].asstr()[:] if "digest" in images else np.full(len(images["image_ids"]), "", object)


def write_digests(h5: h5py.File, digests: np.ndarray) -> None:
    h5.create_dataset("digest", data=digests.astype(object), dtype=store.TEXT)


def earlier(h5: h5py.File | None, output: Path, recipe: dict[str, Any], fingerprint: str) -> Earlier:
    """What is known of the vectors of `output`, of which `h5` is the present state as `opened` gives it.

    Nothing where that has the `fingerprint` of what is to be made: then somebody wants it made again.
    """
    if h5 is not None and h5.attrs.get("fingerprint") == fingerprint:
        return NOTHING
    found = of_output(h5, recipe)
    return found if found.row_of else of_kept(vectors_folder(output, recipe))


def of_output(h5: h5py.File | None, recipe: dict[str, Any]) -> Earlier:
    """The embeddings of an earlier output (as `opened` gives it) of the same recipe, where they are the vectors."""
    try:
        if h5 is None or json.loads(h5.attrs["recipe"]) != recipe or "pca" in h5:
            return NOTHING
        embeddings, digests = h5["embeddings"], h5["digest"].asstr()[:]
        if embeddings.dtype != np.float32 or embeddings.ndim != 2 or len(embeddings) != len(digests):
            return NOTHING
    except store.DAMAGED:
        return NOTHING
    return Earlier(_row_of(digests), lambda rows: store.take(embeddings, rows))


def vectors_folder(output: Path, recipe: dict[str, Any]) -> Path:
    """Where vectors of `output` are kept: of another name where another recipe or library may have changed them."""
    of_vectors = json.loads(json.dumps(recipe))
    for section in of_vectors["settings"].values():
        section.pop("n_components", None)  # is for the PCA that comes after
    made_with = {"recipe": of_vectors, "libraries": _libraries(store.versions())}
    name = f"{output.stem}-{store.fingerprint('vectors', made_with, {})[:16]}"
    return output.with_name("vectors") / name


def keep(folder: Path, kept: Path, digests: np.ndarray, budget_bytes: float) -> None:
    """Makes the finished shards in `folder` those that `of_kept` finds, or removes them where they are too large.

    kept : see `vectors_folder`; of the same output there is no other afterwards. All of it may be deleted at any time.
    digests : (N,) str, of the rows of all shards joined
    """
    paths = sorted(folder.glob("*.npy"))
    if sum(path.stat().st_size for path in paths) <= budget_bytes:
        names, hashes = np.array([path.name for path in paths]), np.array([_sha256(path) for path in paths])
        shards.save_arrays(folder / DIGESTS, digests=digests.astype(np.str_), names=names, sha256=hashes)
        index = kept / DIGESTS
        if not index.is_file() or index.read_bytes() != (folder / DIGESTS).read_bytes():
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(kept, ignore_errors=True)
            folder.rename(kept)
    else:
        shutil.rmtree(kept, ignore_errors=True)
    shards.remove(folder)
    for other in kept.parent.glob(f"{kept.name.rpartition('-')[0]}-*"):
        if other != kept:
            shutil.rmtree(other, ignore_errors=True)
    if kept.parent.is_dir() and not any(kept.parent.iterdir()):
        kept.parent.rmdir()


def of_kept(kept: Path) -> Earlier:
    """What `keep` kept, as far as its files are whole."""
    row_of: dict[str, int] = {}
    paths: list[Path] = []
    starts: list[int] = []
    try:
        with np.load(kept / DIGESTS, allow_pickle=False) as index:
            digests, names, hashes = index["digests"].tolist(), index["names"].tolist(), index["sha256"].tolist()
        for name, sha256 in zip(names, hashes, strict=True):
            path = kept / Path(name).name
            start, stop = (int(number) for number in path.stem.split("-"))
            if path.is_file() and _sha256(path) == sha256:
                paths.append(path)
                starts.append(start)
                row_of |= {digest: row for row, digest in enumerate(digests[start:stop], start) if digest}
    except (*store.DAMAGED, EOFError, BadZipFile):
        return NOTHING

    def read(rows: np.ndarray) -> np.ndarray:
        of_shard = [bisect_right(starts, row) - 1 for row in rows.tolist()]
        return np.stack(
            [shards.load(paths[i])[row - starts[i]] for i, row in zip(of_shard, rows.tolist(), strict=True)]
        )

    return Earlier(row_of, read)


def _row_of(digests: np.ndarray) -> dict[str, int]:
    return {digest: row for row, digest in enumerate(digests) if digest}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
