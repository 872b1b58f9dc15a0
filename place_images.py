"""Gives pictures that were not in the collection a place on its map.

Reads   the pictures named on the command line, and outputs/parametric_tsne.h5: no other file is needed
Writes  outputs/placed.h5    image_ids (M,), coordinates (M, 2), nearest_ids (M, 5): the works of the collection that
        each lies among, nearest first; skipped/image_ids, skipped/reason
        outputs/placed.csv   filename, x, y
Run     python place_images.py PICTURE_OR_FOLDER [PICTURE_OR_FOLDER ...]
Source  van der Maaten 2009, "Learning a parametric embedding by preserving local structure" (AISTATS)
Cost    about 10 s for a few pictures, nearly all of it TensorFlow's start; then as fast as the network looks

Coordinates are in the units of the map, and comparable with `coordinates` of parametric_tsne.h5: those are where the
network puts the collection's own works, which is near, not at, their places in tsne.h5.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from artatlas import cli, collection, color, features, images, parametric, store, vgg, weights
from artatlas.config import Color, Config, Content, Images, Style
from artatlas.errors import UserError
from artatlas.images import Unreadable
from artatlas.parametric import Model, PlacedSource

N_NEAREST = 5
COMPARED = 1024  # placed works compared with all of the collection at a time

Embed = Callable[[np.ndarray], np.ndarray]  # pixels (B, S, S, 3) uint8 -> embeddings (B, D) float32


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pictures", nargs="+", type=Path, metavar="PICTURE_OR_FOLDER", help="what to place")


@dataclass
class Found:
    """What decoding found, in the order of files."""

    works: list[tuple[str, str]] = field(default_factory=list)  # id, SHA-256 of the file
    skipped: list[tuple[str, str]] = field(default_factory=list)  # id, reason


def find_pictures(pictures: list[Path], config: Config) -> list[collection.File]:
    """Every picture meant. The id of one inside a folder that was named is its POSIX path below it, as in the
    collection; of one that was named itself, that name.

    Raises UserError where something named does not exist, a folder holds no pictures, or two have the same id.
    """
    files: list[collection.File] = []
    for path in pictures:
        if path.is_dir():
            paths = config.paths.model_copy(update={"images": str(path)})
            files += collection.find(config.model_copy(update={"paths": paths}))
        elif path.exists():
            files.append(collection.File(path.as_posix(), str(path)))
        else:
            raise UserError(f"{path} does not exist. Name pictures or folders of pictures.")
    seen: dict[str, str] = {}
    for file in files:
        if file.image_id in seen:
            raise UserError(
                f"{cli.printable(file.image_id)} stands for both {seen[file.image_id]} and {file.path}."
                " Name the folder above both, or place them in two runs."
            )
        seen[file.image_id] = file.path
    return files


def build_vgg(source: PlacedSource, needs_top: bool, heads: list[vgg.Head], network_px: int, config: Config) -> Embed:
    """The forward pass that made a source's vectors: the same network, weights and precision, wherever this runs.

    Raises UserError where the weights cannot be had, or are not those that the recipe names.
    """
    recipe = source.recipe
    network = weights.resolve(recipe["network"], recipe["settings"]["vgg"]["weights"], needs_top)
    if network.sha256 != recipe["weights_sha256"]:
        raise UserError(
            f"vgg.weights: {network.source} are not the weights that parametric_tsne.h5 was made with"
            f" ({recipe['weights']}). Run: {config.command('run_all.py')}"
        )
    forward = vgg.build(network, heads, recipe["precision"], network_px, vgg.start_tensorflow(config))
    return lambda pixels: np.hstack(forward(pixels))


def embedder(name: str, source: PlacedSource, network_px: int, config: Config) -> Embed:
    """What extract_<name>.py does to pixels, from the source's recipe and PCA."""
    settings = source.recipe["settings"][name]
    if name == "color":
        chosen = Color(**settings)
        return lambda pixels: color.histograms(pixels, chosen.space, chosen.bins, chosen.transform)
    if name == "content":
        content = Content(**settings)
        heads = features.content_heads(content)
        vectors = build_vgg(source, content.layer in vgg.DENSE, heads, network_px, config)
    else:
        heads = features.style_heads(Style(**settings))
        vectors = build_vgg(source, False, heads, network_px, config)
    pca = source.pca
    return (lambda pixels: pca.transform(vectors(pixels))) if pca else vectors


def place(batches: Iterator[np.ndarray], model: Model, embedders: dict[str, Embed]) -> np.ndarray:
    """Coordinates (M, 2) float32 of the pixels (B, S, S, 3) uint8 of all batches."""
    placed = [
        model.network.place(model.features({name: embed(pixels) for name, embed in embedders.items()}))
        for pixels in batches
    ]
    return np.concatenate(placed) if placed else np.empty((0, 2), np.float32)


def decode(files: list[collection.File], settings: Images, config: Config, found: Found) -> Iterator[np.ndarray]:
    """Yields pixels (B, S, S, 3) uint8, and notes in `found` which file each row is, and which were no pictures."""
    results = images.decode_all((file.path for file in files if not file.problem), settings, config.machine.threads)
    batch: list[np.ndarray] = []
    for file in cli.progress(files, desc="placing"):
        result = Unreadable(file.problem) if file.problem else next(results)
        if isinstance(result, Unreadable):
            found.skipped.append((file.image_id, result.reason))
            cli.notice(f"skipped {cli.printable(file.image_id)}: {result.reason}")
            continue
        found.works.append((file.image_id, result.sha256))
        batch.append(result.pixels)
        if len(batch) == config.machine.batch_size:
            yield np.stack(batch)
            batch = []
    if batch:
        yield np.stack(batch)


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
    files = find_pictures(pictures, config)
    with store.open_output(config, "parametric_tsne") as h5:
        model = parametric.read(h5)
        known_ids, known = store.read_ids(h5), h5["coordinates"][:]
        inputs = {"parametric_tsne": str(h5.attrs["fingerprint"])}
    settings = Images(**model.images)
    embedders = {name: embedder(name, source, settings.network_px, config) for name, source in model.sources.items()}

    # 2. Compute
    found = Found()
    coordinates = place(decode(files, settings, config, found), model, embedders)
    if not found.works:
        raise UserError(f"{cli.count(len(files), 'file')} named, and none could be decoded. Reasons stand above.")
    image_ids = [image_id for image_id, _ in found.works]
    nearest = known_ids[nearest_works(coordinates, known)]

    # 3. Write
    output = config.outputs / "placed.h5"
    write_csv(output.with_suffix(".csv"), image_ids, coordinates)
    with store.create(output, "placed", {"settings": {}}, inputs, [found.works, found.skipped]) as h5:
        store.write_ids(h5, np.array(image_ids, dtype=object))
        h5["coordinates"] = coordinates
        h5.create_dataset("nearest_ids", data=nearest, dtype=store.TEXT)
        for column, name in enumerate(("image_ids", "reason")):
            values = np.array([entry[column] for entry in found.skipped], dtype=object)
            h5.create_dataset(f"skipped/{name}", data=values, dtype=store.TEXT)
    summary = f"{cli.count(len(image_ids), 'work')} placed among {len(known_ids):,}"
    return output, summary + (f", {len(found.skipped):,} skipped" if found.skipped else "")


if __name__ == "__main__":
    cli.run(main, __doc__, add_arguments)
