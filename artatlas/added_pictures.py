"""images.h5 with more works in it: its rows are copied, those of new files follow. For prepare_images.py."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from artatlas import additions, cli, collection, metadata, store
from artatlas.additions import Additions
from artatlas.collection import File, Outcome
from artatlas.config import Config
from artatlas.errors import UserError
from artatlas.sources import blocks

COPIED_BYTES = 64 << 20  # of pixels at a time


@dataclass(frozen=True)
class Before:
    """What images.h5 holds, and what is to join it."""

    added: Additions  # with the folder that is being added
    works: list[Outcome]
    skipped: list[Outcome]
    new: list[File]
    is_other_metadata: bool  # the CSV has changed, for example by rows about the new works


def read(config: Config, folder: Path, csv_file: Path | None) -> Before:
    """Raises UserError where works are missing or changed: these cannot be brought in by adding."""
    with store.open_before(config, "images") as h5:
        image_ids, known = store.read_ids(h5).tolist(), collection.known_files(h5)
        metadata_sha256 = h5.attrs["metadata_sha256"]
    added = additions.with_folder(config, folder, csv_file, known)
    files = {file.image_id: file for file in collection.find(config, added)}
    differences = collection.compare(files, known)
    for what in ("removed", "changed"):
        if ids := differences[what]:
            raise UserError(
                f"--add {folder}: {cli.count(len(ids), 'file')} of the collection {'was' if len(ids) == 1 else 'were'}"
                f" {what} ({cli.printable(ids[0])}), which is more than adding. Run: {config.command('run_all.py')}"
            )
    outcomes = {i: Outcome(File(i, "", size, time), sha256, reason)
                for i, (size, time, sha256, reason) in known.items()}  # fmt: skip
    is_work = set(image_ids)
    return Before(
        added, [outcomes[i] for i in image_ids], [outcomes[i] for i in outcomes if i not in is_work],
        [files[i] for i in differences["added"]], metadata.sha256(config, added) != metadata_sha256,
    )  # fmt: skip


def copy_pictures(before: h5py.File, h5: h5py.File, n_works: int) -> None:
    """Makes `pixels`, `thumbnails`, `width` and `height` for n_works, whose first rows are those of `before`."""
    shape, n_before = before["pixels"].shape[1:], len(before["pixels"])
    pixels = h5.create_dataset("pixels", (n_works, *shape), np.uint8)
    step = max(1, COPIED_BYTES // max(1, int(np.prod(shape))))
    for start in cli.progress(range(0, n_before, step), unit="block", desc="copying"):
        rows = slice(start, min(start + step, n_before))
        pixels[rows] = before["pixels"][rows]
    thumbnails = h5.create_dataset("thumbnails", (n_works,), h5py.vlen_dtype(np.uint8))
    for rows in blocks(n_before):
        store.write_blobs(thumbnails, rows.start, before["thumbnails"][rows])
    for name in ("width", "height"):
        sides = h5.create_dataset(name, (n_works,), np.int32)
        sides[:n_before] = before[name][:]
