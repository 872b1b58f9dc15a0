"""New pictures, looked at with nothing but a file of export_embeddings.py: embeddings, places and nearest works."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from artatlas import config as config_module
from artatlas import embed, parametric, store
from artatlas.config import Images
from artatlas.errors import UserError


@dataclass(frozen=True)
class Newcomers:
    """Pictures (M,) that could be decoded, in the order in which they were named.

    names : as `image_ids` would call them: the file, or its path below the folder that was named
    embeddings : source -> (M, k) float32, as <source>/embeddings of the file
    coordinates : (M, 2) float32, where the file's network puts them on its map
    nearest : (M, n) int64, rows of the file's works most alike by those sources together; nearest first
    """

    names: list[str]
    embeddings: dict[str, np.ndarray]
    coordinates: np.ndarray
    nearest: np.ndarray


def look(file: Path | str, pictures: Sequence[Path | str], n_nearest: int = 5) -> Newcomers:
    """Looks at pictures, or folders of them, as the works of the file were looked at.

    The weights of the network that the file names are fetched the first time. Raises UserError where they, or all of
    the pictures, cannot be had, or where the file has no network.
    """
    with h5py.File(file, "r") as h5:
        if "network" not in h5.get("model", {}):
            raise UserError(f"{store.show(file)}: has no network. Name a file that was exported after a whole run.")
        model = parametric.read(h5["model"])
        known = model.features({name: h5[f"{name}/embeddings"].astype("f4")[:] for name in model.sources})
    settings, config = Images(**model.images), config_module.load()
    files = embed.find_pictures([Path(picture) for picture in pictures], config)
    embedder = embed.embedder(model.sources, settings.network_px, config, Path(file).name, len(files))
    names: list[str] = []
    found: dict[str, list[np.ndarray]] = {name: [] for name in model.sources}
    for batch in embed.decode(files, settings, config, [], "looking"):
        names += [name for name, _ in batch]
        for name, rows in embedder(np.stack([picture.pixels for _, picture in batch])).items():
            found[name].append(rows)
    if not names:
        raise UserError(f"{len(files)} files named, and none could be decoded. Reasons stand above.")
    embeddings = {name: np.concatenate(rows) for name, rows in found.items()}
    features = model.features(embeddings)
    squared = np.square(known).sum(axis=1) - 2 * features @ known.T  # but for what is the same in a row
    nearest = np.argsort(squared, axis=1, kind="stable")[:, :n_nearest]
    return Newcomers(names, embeddings, model.network.place(features), nearest)
