"""Gives pictures that were not in the collection a place on its map, how sure that is, and a flag for what is no fit.

Reads   the pictures named on the command line; outputs/tsne.h5 and the embeddings that the map parametric_tsne.map is
        drawn from; for placement.by: network also outputs/parametric_tsne.h5
Writes  outputs/placed.h5    image_ids (M,), coordinates (M, 2), certainty (M,), novelty (M,), is_off_map (M,),
        nearest_ids (M, 5): the works of the collection that each lies among, nearest first; file_sha256 (M,);
        skipped/image_ids, skipped/reason; calibration/, what certainty and the flag were read off
        outputs/placed.csv   filename, x, y, certainty, off_map
        Both grow: what is placed already keeps its row, to the byte. --replace starts anew.
Run     python place_images.py PICTURE_OR_FOLDER [PICTURE_OR_FOLDER ...] [--replace]            settings: placement
Source  artatlas/placement.py; for the network van der Maaten 2009 (AISTATS)
Cost    about 3 s for a picture and 1 s more for each further one up to 8; from there TensorFlow, which takes 10 s to
        start and then is as fast as the network looks. Placing itself: 1 s for 1,000 works among 1,231 on 2 cores

Certainty is a share: of the works of the collection that were placed again as if they were new, and whose neighbours
agreed as much, how many came within a twentieth of the map's diagonal of where t-SNE has them. Off the map is what is
stranger than 95 % of the collection's own works are to the rest of it (placement.off_map_share).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from artatlas import cli, embed, joining, parametric, placed, placement, sources, store
from artatlas.collection import File
from artatlas.config import Config, Images
from artatlas.errors import UserError
from artatlas.placed import Placed
from artatlas.sources import PlacedSource

N_NEAREST = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pictures", nargs="+", type=Path, metavar="PICTURE_OR_FOLDER", help="what to place")
    parser.add_argument("--replace", action="store_true", help="forget what was placed before")


def read_before(config: Config, path: Path) -> tuple[Placed | None, dict[str, str]]:
    """The works that are placed already, and id -> reason of those that were skipped.

    Raises UserError where they were placed on another map or in another way: in one file they could not be compared.
    """
    if not path.exists():
        return None, {}
    remedy = "Name all pictures and add --replace, to place them anew."
    if reason := store.why_stale(config, "placed"):
        raise UserError(f"{reason.split(' Run: ')[0]} {remedy}")
    if (drawn := store.attributes(config, "placed")["recipe"]["map"]) != config.parametric_tsne.map:
        raise UserError(f"{store.show(path)} is of the map {drawn}, not {config.parametric_tsne.map}. {remedy}")
    with store.open_output(config, "placed") as h5:
        return placed.read(h5)


def look(
    files: list[File], config: Config, placed_sources: dict[str, PlacedSource], known: dict[str, str],
    skipped: dict[str, str],
) -> tuple[list[tuple[str, str]], dict[str, np.ndarray]]:  # fmt: skip
    """(id, SHA-256) of the works that are not `known` (id -> SHA-256) yet, and source -> (M, D) their embeddings.

    `skipped` (id -> reason) gains what is left out, and loses what can be read now.
    """
    settings = Images(**config.settings(("images",))["images"])
    made_with = " or ".join(f"{name}.h5" for name in placed_sources)
    embedder = embed.embedder(placed_sources, settings.network_px, config, made_with, len(files))
    works: list[tuple[str, str]] = []
    found = {name: [np.empty((0, len(of.scaler.offset)), np.float32)] for name, of in placed_sources.items()}
    unreadable: list[tuple[str, str]] = []
    for batch in embed.decode(files, settings, config, unreadable, "placing"):
        for image_id, picture in batch:
            if known.get(image_id, picture.sha256) != picture.sha256:
                cli.notice(f"{cli.printable(image_id)} is left where it is: another picture has this name now")
        new = [(image_id, picture) for image_id, picture in batch if image_id not in known]
        if new:
            works += [(image_id, picture.sha256) for image_id, picture in new]
            for name, rows in embedder(np.stack([picture.pixels for _, picture in new])).items():
                found[name].append(rows)
    if len(unreadable) == len(files):
        raise UserError(f"{cli.count(len(files), 'file')} named, and none could be decoded. Reasons stand above.")
    skipped |= unreadable
    for image_id, _ in works:
        skipped.pop(image_id, None)
    return works, {name: np.concatenate(rows) for name, rows in found.items()}


def read_network(config: Config) -> tuple[parametric.Network, np.ndarray, str]:
    """The trained network, the ids of the works that it never saw, and the file's fingerprint."""
    with store.open_output(config, "parametric_tsne") as h5:
        return parametric.read(h5).network, store.read_ids(h5)[h5["is_test"][:]], str(h5.attrs["fingerprint"])


def nearest_works(coordinates: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Rows of the `N_NEAREST` works nearest on the map, (M, K) int64, nearest first; fewer in a tiny collection."""
    from scipy.spatial import KDTree

    return KDTree(known).query(coordinates, k=range(1, min(N_NEAREST, len(known)) + 1))[1]


def read_map(config: Config) -> tuple[np.ndarray, np.ndarray, float, dict[str, str]]:
    """image_ids (N,), coordinates (N, 2) and perplexity of the finished map; fingerprints of what it is read from."""
    name = config.parametric_tsne.map
    _, inputs = sources.common_ids(config, list(config.maps[name]))
    with store.open_output(config, "tsne") as h5:
        inputs["tsne"] = str(h5.attrs["fingerprint"])
        perplexity = float(json.loads(h5.attrs["recipe"])["perplexity"])
        drawn = slice(store.n_before_additions(h5))  # works that were added were placed by these, and tell nothing more
        return store.read_ids(h5)[drawn], h5[f"{name}/coordinates"][drawn], perplexity, inputs


def main(config: Config, pictures: list[Path], replace: bool = False) -> tuple[Path, str]:
    # 1. Read
    settings, output = config.placement, config.outputs / "placed.h5"
    files = embed.find_pictures(pictures, config)
    before, skipped = (None, {}) if replace else read_before(config, output)
    image_ids, coordinates, perplexity, inputs = read_map(config)
    weights: dict[str, float] = dict(config.maps[config.parametric_tsne.map].items())
    features, scalers = sources.read_features(config, image_ids, weights, config.tsne.scaling)
    placed_sources = {name: sources.read_placed(config, name, scaler) for name, scaler in scalers.items()}
    draw = None
    if settings.by == "network":
        network, unseen_ids, inputs["parametric_tsne"] = read_network(config)
        draw, unseen = network.place, np.flatnonzero(store.are_among(image_ids, unseen_ids))
    known = dict(zip(before.image_ids, before.file_sha256, strict=True)) if before else {}
    works, embeddings = look(files, config, placed_sources, known, skipped)
    if not works:
        return output, f"nothing new: {cli.count(len(known), 'work')} placed already"

    # 2. Compute
    new_features = np.hstack([of.scaler.transform(embeddings[name]) for name, of in placed_sources.items()])
    atlas = placement.prepare(features, coordinates, perplexity, settings.seed)
    rehearsed = placement.rehearse(atlas, features, unseen if draw else atlas.sample, draw)
    own_novelty, new_novelty = joining.novelty(config, image_ids, embeddings)
    calibration = placement.calibrate(*rehearsed, own_novelty, settings.off_map_share)
    near = placement.neighborhood(atlas, new_features)
    found = draw(new_features) if draw else placement.gather(near, atlas.bandwidth)
    certainty = calibration.certainty_of(placement.agreement(near, found, atlas.bandwidth))
    is_off_map = new_novelty > calibration.off_map_above
    nearest = image_ids[nearest_works(found, coordinates)]
    added = Placed(*np.array(works, dtype=object).T, found, certainty, new_novelty, is_off_map, nearest)
    everything = before.then(added) if before else added

    # 3. Write
    identity = [list(pair) for pair in zip(everything.image_ids, everything.file_sha256, strict=True)]
    recipe = {"settings": config.settings(("placement",)), "map": config.parametric_tsne.map}
    placed.write_csv(output.with_suffix(".csv"), everything)
    with store.create(output, "placed", recipe, inputs, [identity, list(skipped.items())]) as h5:
        placed.write(h5, everything, skipped, calibration)
    return output, summarize(added, len(image_ids), len(known), len(skipped))


def summarize(added: Placed, n_collection: int, n_before: int, n_skipped: int) -> str:
    text = (
        f"{cli.count(len(added.image_ids), 'work')} placed among {n_collection:,}, certainty"
        f" {np.median(added.certainty):.2f} at the median, {added.is_off_map.sum():,} off the map"
    )
    text += f", {n_before:,} placed before" if n_before else ""
    return text + (f", {n_skipped:,} skipped" if n_skipped else "")


if __name__ == "__main__":
    cli.run(main, __doc__, add_arguments)
