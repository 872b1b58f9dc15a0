"""The collection as something to ask about: which works there are, where in a space they lie, how they are shown.

A query is a work of the collection or a picture from elsewhere, which then goes through what the collection's works
went through. For find_similar.py.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from PIL.Image import Image

from artatlas import cli, embed, images, sources, store
from artatlas.config import Config, Images
from artatlas.errors import UserError
from artatlas.sources import PlacedSource, Scaler
from artatlas.stages import SOURCES

NONE = np.empty((0, 0, 3), np.uint8)  # pixels that nobody asked for
SHOWN = ("title", "artist")  # columns of the metadata that stand in tables and below pictures


@dataclass(frozen=True)
class Works:
    """The collection as far as every source holds it."""

    image_ids: np.ndarray  # (N,) str
    inputs: dict[str, str]  # file -> fingerprint
    first: np.ndarray  # (N,) int64, row of the first work with the same picture: its own where there is none before

    @property
    def base(self) -> np.ndarray:
        """Rows (M,) int64 of the works that can be neighbours: each picture once."""
        return np.unique(self.first)

    @property
    def own(self) -> np.ndarray:
        """(N,) int64: where among `base` the picture of each work is."""
        return np.searchsorted(self.base, self.first)


@dataclass(frozen=True)
class Space:
    """One of similar.spaces, with all works in it."""

    name: str
    features: np.ndarray  # (N, D) float32
    scalers: dict[str, Scaler]  # of its sources, in the order in which their columns stand in the features


@dataclass(frozen=True)
class Query:
    name: str  # an id of the collection, or a file's name
    features: np.ndarray  # (D,) float32
    thumbnail: bytes
    pixels: np.ndarray  # (S, S, 3) uint8, what the network sees; (0, 0, 3) where nobody asked for it
    row: int  # of the work that it is, or -1
    own: int  # where among the base it is and is left out, or -1
    same: int  # row of the work that is the same file, or -1

    @property
    def label(self) -> str:
        """The id of a work; of another picture the last part of its name, the rest is where it happens to lie."""
        return self.name if self.row >= 0 else Path(self.name).name


def read_works(config: Config) -> Works:
    used = {name for space in config.similar.spaces.values() for name in space.weights}
    image_ids, inputs = sources.common_ids(config, [name for name in SOURCES if name in used])
    with store.open_output(config, "images") as h5:
        duplicate_of = dict(zip(store.read_ids(h5), h5["duplicate_of"].asstr()[:], strict=True))
        inputs["images"] = str(h5.attrs["fingerprint"])
    row_of: dict[str, int] = {}
    first = [row_of.setdefault(duplicate_of[name] or name, row) for row, name in enumerate(image_ids)]
    return Works(image_ids, inputs, np.array(first, np.int64))


def read_space(config: Config, works: Works, name: str, fitted: dict[str, Scaler] | None = None) -> Space:
    """All works in one of similar.spaces, by scalers fitted on them, or by those that were `fitted` before."""
    space = config.similar.spaces[name]
    scaling = space.scaling or config.similar.scaling
    return Space(name, *sources.read_features(config, works.image_ids, space.weights, scaling, fitted))


def read_placed(config: Config, space: Space) -> dict[str, PlacedSource]:
    """How a picture that is not in the collection gets its place in a space."""
    return {name: sources.read_placed(config, name, scaler) for name, scaler in space.scalers.items()}


def read_queries(
    config: Config, queries: Sequence[str], works: Works, space: Space, keep_pixels: bool = False
) -> list[Query]:
    """The queries: ids of works first, then pictures and those in folders, in the order in which they were given.

    `keep_pixels` is for the few that are looked at again: of thousands they would fill the memory.

    Raises UserError where one is neither an id nor there, or none of the files is a picture.
    """
    queries = list(dict.fromkeys(queries))
    known = set(works.image_ids)
    problems = [
        f"{cli.printable(query)}: is neither a work of the collection nor a file. {_remedy(query, known)}"
        for query in queries if query not in known and not os.path.exists(query)
    ]  # fmt: skip
    if problems:
        raise UserError(*problems)
    with store.open_output(config, "images") as h5:
        rows = store.rows_of(works.image_ids, store.read_ids(h5))  # of images.h5, for each work
        found = [_member(h5, rows, works, space, query, keep_pixels) for query in queries if query in known]
        hashes = h5["file_sha256"].asstr()[:][rows]
    paths = [Path(query) for query in queries if query not in known]
    if not paths:
        return found
    # The first work with a picture is the one that lists name; of equal files the first row counts.
    row_of_file = dict(zip(hashes[::-1], works.first[::-1].tolist(), strict=True))
    files = embed.find_pictures(paths, config)
    placed = read_placed(config, space)
    settings = Images(**config.settings(("images",))["images"])
    made_with = " or ".join(f"{name}.h5" for name in placed)
    embedder = embed.embedder(placed, settings.network_px, config, made_with, len(files))
    for batch in embed.decode(files, settings, config, [], "looking"):
        embeddings = embedder(np.stack([picture.pixels for _, picture in batch]))
        features = np.hstack([source.scaler.transform(embeddings[name]) for name, source in placed.items()])  # (B, D)
        for (name, picture), row in zip(batch, features, strict=True):
            same = row_of_file.get(picture.sha256, -1)
            found.append(Query(name, row, picture.thumbnail, picture.pixels if keep_pixels else NONE, -1, -1, same))
    if not found:
        raise UserError(f"{cli.count(len(files), 'file')} named, and none could be decoded. Reasons stand above.")
    return found


def _member(h5: h5py.File, rows: np.ndarray, works: Works, space: Space, image_id: str, keep_pixels: bool) -> Query:
    row = int(np.flatnonzero(works.image_ids == image_id)[0])
    thumbnail, pixels = h5["thumbnails"][rows[row]].tobytes(), h5["pixels"][rows[row]] if keep_pixels else NONE
    return Query(image_id, space.features[row], thumbnail, pixels, row, int(works.own[row]), -1)


def _remedy(query: str, known: set[str]) -> str:
    close = sorted(name for name in known if query.lower() in name.lower())
    close = close or difflib.get_close_matches(query, known, n=1)
    return f"Did you mean {cli.printable(close[0])}?" if close else "Give an id as in image_ids, or a path."


@dataclass(frozen=True)
class Catalogue:
    """What is known of the works, to show them."""

    image_ids: np.ndarray  # (N,) str
    columns: dict[str, np.ndarray]  # of the metadata -> (N,) text
    thumbnails: h5py.Dataset
    thumbnail_rows: np.ndarray  # (N,) where in it the works are

    def caption(self, row: int) -> list[str]:
        """Title and artist, or else the id; each on one line."""
        texts = [self.columns[name][row] for name in SHOWN if name in self.columns]
        return [cli.printable(text) for text in texts if text] or [cli.printable(self.image_ids[row])]

    def caption_of(self, query: Query) -> list[str]:
        return self.caption(query.row) if query.row >= 0 else [cli.printable(query.label)]

    def picture(self, row: int) -> Image:
        return images.open_thumbnail(self.thumbnails[self.thumbnail_rows[row]].tobytes())


def read_catalogue(h5: h5py.File, image_ids: np.ndarray) -> Catalogue:
    rows = store.rows_of(image_ids, store.read_ids(h5))
    columns = {name: h5[f"metadata/{name}"].asstr()[:][rows] for name in h5["metadata"]}
    return Catalogue(image_ids, columns, h5["thumbnails"], rows)
