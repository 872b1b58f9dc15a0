"""Long computations in shards of rows, so that a stopped run goes on with the missing ones.

A shard is one .npy file (.npz where it holds several arrays), written whole or not at all, in a folder named by the
fingerprint of what is being computed: a change of settings or inputs is another folder, so a stale shard can never be
picked up.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import numpy as np

from artatlas import cli, store
from artatlas.errors import UserError

ROWS = 1024  # rows a shard: a few hundred MB at most, some minutes of VGG on a CPU


def folder_for(output: Path, fingerprint: str) -> Path:
    """Where the shards of `output` lie. Shards of the same output with another fingerprint are removed."""
    prefix = f".{output.stem}-shards-"
    folder = output.with_name(prefix + fingerprint[:16])
    for other in output.parent.glob(prefix + "*"):
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from error
    return folder


def slices(n_rows: int, rows: int = ROWS) -> list[slice]:
    return [slice(start, min(start + rows, n_rows)) for start in range(0, n_rows, rows)]


def file_name(rows: slice) -> str:
    return f"{rows.start:09d}-{rows.stop:09d}.npy"


def compute(
    folders: list[Path], n_rows: int, work: Callable[[slice], Iterator[list[np.ndarray]]], desc: str, rows: int = ROWS
) -> list[list[Path]]:
    """Computes the shards that are not there yet; returns per folder the path of every shard in order of rows.

    `work(rows)` yields, for a slice of rows, lists with a block of results for each folder; joined, the blocks of a
    folder have a row per row of the slice. Shards are written while the next ones are computed, so that up to three are
    in memory: where rows are wide, `rows` of them should be few.
    """
    every = slices(n_rows, rows)
    paths = [[folder / file_name(some) for some in every] for folder in folders]
    missing = [i for i in range(len(every)) if not all(of_folder[i].exists() for of_folder in paths)]
    saved: Future | None = None
    n_missing = sum(every[i].stop - every[i].start for i in missing)
    with cli.progress(total=n_missing, desc=desc) as bar, ThreadPoolExecutor(1) as saver:
        for i in missing:
            blocks = []
            for block in work(every[i]):
                blocks.append(block)
                bar.update(len(block[0]))
            if saved:
                saved.result()  # raises what went wrong, and holds no more than one shard back
            saved = saver.submit(_save_all, [of_folder[i] for of_folder in paths], blocks)
        if saved:
            saved.result()
    return paths


def _save_all(paths: list[Path], blocks: list[list[np.ndarray]]) -> None:
    for path, parts in zip(paths, zip(*blocks, strict=True), strict=True):
        _save(path, np.concatenate(parts))


def load(path: Path) -> np.ndarray:
    """A shard, memory-mapped and read-only."""
    return np.load(path, mmap_mode="r", allow_pickle=False)


def save_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Writes a shard of several arrays, an .npz file; none of them may hold Python objects."""
    _write(path, lambda file: np.savez(file, **arrays))  # type: ignore[arg-type]  # numpy's own flag is typed along


def _save(path: Path, array: np.ndarray) -> None:
    _write(path, lambda file: np.save(file, array, allow_pickle=False))


def _write(path: Path, write: Callable[[BinaryIO], None]) -> None:
    temporary = path.with_suffix(".tmp")
    try:
        temporary.unlink(missing_ok=True)
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> UserError:
    return UserError(
        f"{store.show(path)}: could not be written ({error.strerror or error}). Free some space or set paths.outputs"
        " to another folder; then run the same command again: what is done is kept."
    )


def remove(folder: Path) -> None:
    """Called once the stage's own file is complete."""
    shutil.rmtree(folder, ignore_errors=True)
