"""The inputs of a map: source embeddings joined by id, each scaled so that they can be weighed against each other.

Without scaling the source with the largest numbers decides alone: raw Gram vectors drown colour histograms.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np

from artatlas import store
from artatlas.config import Config
from artatlas.errors import UserError
from artatlas.reduce import Pca

WHITENING = {"half_white": 0.25, "white": 0.5}  # power of the variance that a column is divided by
WHITENING_FLOOR = 0.1  # of the mean variance, added to every column's
BLOCK = 4096  # rows at a time: what is computed on the way takes some MB, however large the collection


@dataclass(frozen=True)
class Scaler:
    """What brings one source's embeddings (B, D) to the common scale; fitted on a collection, applied to new works too.

    offset, scale : (D,) float32, x -> (x - offset) * scale
    unit_rows : then each row is brought to unit length, so that Euclidean distance orders works as centred cosine does
    weight : of the source in its map, applied last (a distance is multiplied by it)
    """

    offset: np.ndarray
    scale: np.ndarray
    unit_rows: bool
    weight: float

    def transform(self, embeddings: np.ndarray) -> np.ndarray:
        scaled = embeddings - self.offset
        scaled *= self.scale
        if self.unit_rows:
            # The mean work itself has no direction: it stays at the origin.
            lengths = np.linalg.norm(scaled, axis=1, keepdims=True)
            scaled /= np.where(lengths > 0, lengths, 1)
        scaled *= np.float32(self.weight)
        return scaled


@dataclass(frozen=True)
class PlacedSource:
    """What turns pictures into one source's part of the features.

    recipe : the stage's own, as it stands in content.h5 and so on
    pca : None where the source has none
    """

    recipe: dict[str, Any]
    pca: Pca | None
    scaler: Scaler


def fit_scaler(embeddings: np.ndarray, method: str, weight: float = 1.0) -> Scaler:
    """Fits `tsne.scaling` or `similar.scaling` on (N, D) embeddings.

    cosine : centred, rows to unit length
    half_white, white : the same, but before that each column is divided by its variance (and a tenth of the mean
        variance, so that noise in the last components stays small) to the power of 1/4 or 1/2, which whitens principal
        components by half or wholly: the first few then drown the others less
    mean_square : centred, divided by one number so that the mean squared length of a row is 1
    min_max : each column to 0..1 (the original scripts' way; after PCA it gives the noise in the last components the
        same weight as the first); a constant column becomes 0
    none : as they are
    """
    n_columns = embeddings.shape[1]
    offset, scale = np.zeros(n_columns, np.float32), np.ones(n_columns, np.float32)
    if method in ("cosine", "mean_square", *WHITENING):
        offset = embeddings.mean(axis=0, dtype=np.float64).astype(np.float32)
    if method == "mean_square":
        square = mean_square(embeddings, offset)
        scale[:] = 1 / np.sqrt(square) if square > 0 else 0
    if method in WHITENING:
        variance = _variances(embeddings, offset)
        floor = WHITENING_FLOOR * variance.mean()
        scale = ((variance + floor) ** -WHITENING[method]).astype(np.float32) if floor > 0 else np.zeros_like(scale)
    if method == "min_max":
        offset = embeddings.min(axis=0)
        span = embeddings.max(axis=0) - offset
        scale = np.divide(1, span, out=np.zeros_like(span), where=span > 0)
    return Scaler(offset, scale, method in ("cosine", *WHITENING), float(weight))


def write_scaler(group: h5py.Group, scaler: Scaler) -> None:
    group["offset"], group["scale"] = scaler.offset, scaler.scale
    group.attrs["unit_rows"], group.attrs["weight"] = scaler.unit_rows, scaler.weight


def read_scaler(group: h5py.Group) -> Scaler:
    """What `write_scaler` wrote."""
    return Scaler(group["offset"][:], group["scale"][:], bool(group.attrs["unit_rows"]), float(group.attrs["weight"]))


def blocks(n_rows: int) -> Iterator[slice]:
    """Slices of `BLOCK` rows that together are all of them."""
    return (slice(start, min(start + BLOCK, n_rows)) for start in range(0, n_rows, BLOCK))


def _variances(rows: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Of each column, (D,) float64."""
    return sum(np.square(rows[some] - mean, dtype=np.float64).sum(axis=0) for some in blocks(len(rows))) / len(rows)


def mean_square(rows: np.ndarray, origin: np.ndarray) -> float:
    """Mean squared distance of rows (N, D) to `origin` (D,), summed in float64."""
    squares = [np.square(rows[some] - origin, dtype=np.float64).sum(axis=1) for some in blocks(len(rows))]
    return float(np.concatenate(squares).mean())


def common_ids(config: Config, names: list[str]) -> tuple[np.ndarray, dict[str, str]]:
    """image_ids (N,) of the works that every named source holds, in the first one's order, and source -> fingerprint,
    for the `inputs` of what is made from them."""
    ids, fingerprints = {}, {}
    for name in names:
        with store.open_output(config, name) as h5:
            ids[name], fingerprints[name] = store.read_ids(h5), str(h5.attrs["fingerprint"])
    common = set.intersection(*[set(of_source) for of_source in ids.values()])
    image_ids = np.array([image_id for image_id in ids[names[0]] if image_id in common], dtype=object)
    if not len(image_ids):
        raise UserError(f"{' and '.join(names)} have no work in common. Run: {config.command('run_all.py')}")
    return image_ids, fingerprints


def read_features(
    config: Config, image_ids: np.ndarray, weights: dict[str, float], scaling: str,
    fitted: dict[str, Scaler] | None = None,
) -> tuple[np.ndarray, dict[str, Scaler]]:  # fmt: skip
    """`combine` of the embeddings of some works (N,), each of which every source of `weights` holds; with scalers that
    were `fitted` before, if given.

    Blocks of each file go straight to their rows and columns, so that the features are all there is in memory.
    """
    with ExitStack() as stack:
        files = {name: stack.enter_context(store.open_output(config, name)) for name in weights}
        widths = [h5["embeddings"].shape[1] for h5 in files.values()]
        features = np.empty((len(image_ids), sum(widths)), np.float32)
        for h5, columns in zip(files.values(), _columns(widths), strict=True):
            ids = store.read_ids(h5)
            if np.array_equal(ids, image_ids):  # as ever but for collections in which sources lack works
                for rows in blocks(len(ids)):
                    features[rows, columns] = h5["embeddings"][rows]
                continue
            target = np.full(len(ids), -1)  # the row of `features` for each of the file
            target[store.rows_of(image_ids, ids)] = np.arange(len(image_ids))
            for rows in blocks(len(target)):
                wanted = target[rows] >= 0
                features[target[rows][wanted], columns] = h5["embeddings"][rows][wanted]
    return features, _scale(features, widths, weights, scaling, fitted)


def read_placed(config: Config, name: str, scaler: Scaler) -> PlacedSource:
    """How a source's file was made: what a picture that is not in it needs to join it."""
    with store.open_output(config, name) as h5:
        return PlacedSource(json.loads(h5.attrs["recipe"]), store.read_pca(h5), scaler)


def write_placed(h5: h5py.File, images: dict[str, Any], placed: dict[str, PlacedSource]) -> None:
    """Groups `scalers` and `sources`: what turns a picture into features. `images`: how the collection was decoded."""
    h5.create_group("sources").attrs["order"] = list(placed)  # HDF5 lists groups by name
    h5["sources"].attrs["images"] = json.dumps(images, sort_keys=True)
    for name, source in placed.items():
        write_scaler(h5.create_group(f"scalers/{name}"), source.scaler)
        group = h5.create_group(f"sources/{name}")
        group.attrs["recipe"] = json.dumps(source.recipe, sort_keys=True)
        if source.pca:
            store.write_pca(group, source.pca)


def read_written(h5: h5py.File) -> tuple[dict[str, Any], dict[str, PlacedSource]]:
    """What `write_placed` wrote."""
    placed = {}
    for name in h5["sources"].attrs["order"]:
        source, scaler = h5[f"sources/{name}"], read_scaler(h5[f"scalers/{name}"])
        placed[name] = PlacedSource(json.loads(source.attrs["recipe"]), store.read_pca(source), scaler)
    return json.loads(h5["sources"].attrs["images"]), placed


def combine(
    embeddings: dict[str, np.ndarray], weights: dict[str, float], scaling: str
) -> tuple[np.ndarray, dict[str, Scaler]]:
    """What one entry of `maps:` is drawn from, and the scalers that did it.

    The features are (N, D) float32: each source scaled and weighed, side by side in the order of `weights`.
    """
    features = np.hstack([embeddings[name] for name in weights]).astype(np.float32, copy=False)
    return features, _scale(features, [embeddings[name].shape[1] for name in weights], weights, scaling)


def _scale(
    features: np.ndarray, widths: list[int], weights: dict[str, float], scaling: str,
    fitted: dict[str, Scaler] | None = None,
) -> dict[str, Scaler]:  # fmt: skip
    """Fits a scaler for every source and applies it, in place: `features` (N, D) are the embeddings side by side."""
    scalers = {}
    for (name, weight), columns in zip(weights.items(), _columns(widths), strict=True):
        scalers[name] = fitted[name] if fitted else fit_scaler(features[:, columns], scaling, weight)
        for rows in blocks(len(features)):
            features[rows, columns] = scalers[name].transform(features[rows, columns])
    return scalers


def _columns(widths: list[int]) -> list[slice]:
    """Where each source's columns are among those of all sources."""
    ends = np.cumsum(widths).tolist()
    return [slice(end - width, end) for end, width in zip(ends, widths, strict=True)]
