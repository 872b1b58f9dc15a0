"""Long computations in shards of rows, so that a stopped run goes on with the missing ones.

A shard is one .npy file (.npz where it holds several arrays), written whole or not at all, in a folder named by the
fingerprint of what is being computed: a change of settings or inputs is another folder, so a stale shard can never be
picked up.
"""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from artatlas import cli, cluster, store
from artatlas.config import Machine
from artatlas.errors import UserError

ROWS = 256  # rows a shard: 34 MB of Gram vectors, half a minute of VGG on a CPU; WikiArt's 318 keep 64 workers busy

Work = Callable[[slice], Iterator[list[np.ndarray]]]


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
    folders: list[Path], n_rows: int, work: Work, desc: str, rows: int = ROWS, machine: Machine | None = None,
    network: bool = False,
) -> list[list[Path]]:  # fmt: skip
    """Computes the shards that are not there yet; returns per folder the path of every shard in order of rows.

    `work(rows)` yields, for a slice of rows, lists with a block of results for each folder; joined, the blocks of a
    folder have a row per row of the slice. Shards are written while the next ones are computed, so that up to three are
    in memory: where rows are wide, `rows` of them should be few.

    With `machine` they are computed where that says; on a cluster `work` is pickled. `network` : see `cluster.run`.
    """
    jobs = [(some, [folder / file_name(some) for folder in folders]) for some in missing(folders, n_rows, rows)]
    with cli.progress(total=sum(some.stop - some.start for some, _ in jobs), desc=desc) as bar:
        for n_done in cluster.run(machine, _Saving(work), jobs, network):
            bar.update(n_done)
    return [[folder / file_name(some) for some in slices(n_rows, rows)] for folder in folders]


def missing(folders: list[Path], n_rows: int, rows: int = ROWS) -> list[slice]:
    """The shards that `compute` would compute."""
    every = slices(n_rows, rows)
    return [some for some in every if not all((folder / file_name(some)).exists() for folder in folders)]


@dataclass(frozen=True)
class _Saving:
    """Computes and writes shards, each a slice of rows and its paths; yields how many rows were done."""

    work: Work

    def __call__(self, jobs: Iterable[tuple[slice, list[Path]]]) -> Iterator[int]:
        saved: Future | None = None
        with ThreadPoolExecutor(1) as saver:
            for rows, paths in jobs:
                blocks = []
                for block in self.work(rows):
                    blocks.append(block)
                    yield len(block[0])
                if saved:
                    saved.result()  # raises what went wrong, and holds no more than one shard back
                saved = saver.submit(_save_all, paths, blocks)
            if saved:
                saved.result()


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
    # Named by who writes it: a worker that was held to be lost may still be writing when the next one does.
    temporary = path.with_suffix(f".{platform.node()}-{os.getpid()}.tmp")
    try:
        temporary.unlink(missing_ok=True)
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def _unwritable(path: Path, error: OSError) -> UserError:
    return UserError(
        f"{store.show(path)}: could not be written ({error.strerror or error}). Free some space or set paths.outputs"
        " to another folder; then run the same command again: what is done is kept."
    )


def remove(folder: Path) -> None:
    """Called once the stage's own file is complete."""
    shutil.rmtree(folder, ignore_errors=True)
