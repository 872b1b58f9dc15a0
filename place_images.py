"""Gives pictures that were not in the collection a place on its map.

Reads   the pictures named on the command line, and outputs/parametric_tsne.h5: no other file is needed
Writes  outputs/placed.h5    image_ids (M,), coordinates (M, 2), nearest_ids (M, 5): the works of the collection that
        each lies among, nearest first; skipped/image_ids, skipped/reason
        outputs/placed.csv   filename, x, y
Run     python place_images.py PICTURE_OR_FOLDER [PICTURE_OR_FOLDER ...]
Source  van der Maaten 2009, "Learning a parametric embedding by preserving local structure" (AISTATS)
Cost    about 3 s for a picture and 1 s more for each further one up to 8; from there TensorFlow, which takes 10 s to
        start and then is as fast as the network looks

Coordinates are in the units of the map, and comparable with `coordinates` of parametric_tsne.h5: those are where the
network puts the collection's own works, which is near, not at, their places in tsne.h5.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np

from artatlas import cli, embed, parametric, store
from artatlas.config import Config, Images
from artatlas.embed import Embed
from artatlas.errors import UserError
from artatlas.parametric import Model

N_NEAREST = 5
COMPARED = 1024  # placed works compared with all of the collection at a time


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pictures", nargs="+", type=Path, metavar="PICTURE_OR_FOLDER", help="what to place")


def place(pixels: np.ndarray, model: Model, embedder: Embed) -> np.ndarray:
    """Coordinates (B, 2) float32 of pixels (B, S, S, 3) uint8."""
    return model.network.place(model.features(embedder(pixels)))


def nearest_works(coordinates: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Rows of the `N_NEAREST` works nearest on the map, (M, K) int64, nearest first; fewer in a tiny collection."""
    from scipy.spatial import KDTree

    return KDTree(known).query(coordinates, k=range(1, min(N_NEAREST, len(known)) + 1))[1]


def write_csv(path: Path, image_ids: list[str], coordinates: np.ndarray) -> None:
    """filename, x, y. Names are quoted and otherwise left as they are: one that starts with "=" is a name here, and a
    spreadsheet takes it for a formula unless the column is imported as text."""
    rounded = np.round(coordinates.astype(np.float64), 4).tolist()
    with store.replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
        table.writerow(["filename", "x", "y"])
        table.writerows([name, x, y] for name, (x, y) in zip(image_ids, rounded, strict=True))


def main(config: Config, pictures: list[Path]) -> tuple[Path, str]:
    # 1. Read
    files = embed.find_pictures(pictures, config)
    with store.open_output(config, "parametric_tsne") as h5:
        model = parametric.read(h5)
        known_ids, known = store.read_ids(h5), h5["coordinates"][:]
        inputs = {"parametric_tsne": str(h5.attrs["fingerprint"])}
    settings = Images(**model.images)
    embedder = embed.embedder(model.sources, settings.network_px, config, "parametric_tsne.h5", len(files))

    # 2. Compute
    works: list[tuple[str, str]] = []  # id, SHA-256 of the file
    skipped: list[tuple[str, str]] = []  # id, reason
    placed = []
    for batch in embed.decode(files, settings, config, skipped, "placing"):
        works += [(image_id, picture.sha256) for image_id, picture in batch]
        placed.append(place(np.stack([picture.pixels for _, picture in batch]), model, embedder))
    if not works:
        raise UserError(f"{cli.count(len(files), 'file')} named, and none could be decoded. Reasons stand above.")
    image_ids = [image_id for image_id, _ in works]
    coordinates = np.concatenate(placed)
    nearest = known_ids[nearest_works(coordinates, known)]

    # 3. Write
    output = config.outputs / "placed.h5"
    write_csv(output.with_suffix(".csv"), image_ids, coordinates)
    with store.create(output, "placed", {"settings": {}}, inputs, [works, skipped]) as h5:
        store.write_ids(h5, np.array(image_ids, dtype=object))
        h5["coordinates"] = coordinates
        h5.create_dataset("nearest_ids", data=nearest, dtype=store.TEXT)
        for column, name in enumerate(("image_ids", "reason")):
            values = np.array([entry[column] for entry in skipped], dtype=object)
            h5.create_dataset(f"skipped/{name}", data=values, dtype=store.TEXT)
    summary = f"{cli.count(len(image_ids), 'work')} placed among {len(known_ids):,}"
    return output, summary + (f", {len(skipped):,} skipped" if skipped else "")


if __name__ == "__main__":
    cli.run(main, __doc__, add_arguments)
