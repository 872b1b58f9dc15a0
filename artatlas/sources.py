"""The inputs of a map: source embeddings joined by id, each scaled so that they can be weighed against each other.

Without scaling the source with the largest numbers decides alone: raw Gram vectors drown colour histograms.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from artatlas import store
from artatlas.config import Config
from artatlas.errors import UserError


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
        scaled = (embeddings - self.offset) * self.scale
        if self.unit_rows:
            # The mean work itself has no direction: it stays at the origin.
            lengths = np.linalg.norm(scaled, axis=1, keepdims=True)
            scaled = np.divide(scaled, lengths, out=np.zeros_like(scaled), where=lengths > 0)
        return scaled * np.float32(self.weight)


def fit_scaler(embeddings: np.ndarray, method: str, weight: float = 1.0) -> Scaler:
    """Fits `tsne.scaling` on (N, D) embeddings.

    cosine : centred, rows to unit length
    mean_square : centred, divided by one number so that the mean squared length of a row is 1
    min_max : each column to 0..1 (the original scripts' way; after PCA it gives the noise in the last components the
        same weight as the first); a constant column becomes 0
    none : as they are
    """
    n_columns = embeddings.shape[1]
    offset, scale = np.zeros(n_columns, np.float32), np.ones(n_columns, np.float32)
    if method in ("cosine", "mean_square"):
        offset = embeddings.mean(axis=0, dtype=np.float64).astype(np.float32)
    if method == "mean_square":
        mean_square = np.square(embeddings - offset, dtype=np.float64).sum(axis=1).mean()
        scale[:] = 1 / np.sqrt(mean_square) if mean_square > 0 else 0
    if method == "min_max":
        offset = embeddings.min(axis=0)
        span = embeddings.max(axis=0) - offset
        scale = np.divide(1, span, out=np.zeros_like(span), where=span > 0)
    return Scaler(offset, scale, method == "cosine", float(weight))


def read_embeddings(config: Config, names: list[str]) -> tuple[np.ndarray, dict[str, np.ndarray], dict[str, str]]:
    """The embeddings of the named sources, their rows joined by id.

    Returns image_ids (N,) of the works that every source holds, in the first one's order; source -> (N, D) float32;
    and source -> fingerprint, for the `inputs` of what is made from them.
    """
    ids, embeddings, fingerprints = {}, {}, {}
    for name in names:
        with store.open_output(config, name) as h5:
            ids[name], embeddings[name] = store.read_ids(h5), h5["embeddings"][:]
            fingerprints[name] = str(h5.attrs["fingerprint"])
    common = set.intersection(*[set(of_source) for of_source in ids.values()])
    image_ids = np.array([image_id for image_id in ids[names[0]] if image_id in common], dtype=object)
    if not len(image_ids):
        raise UserError(f"{' and '.join(names)} have no work in common. Run: {config.command('run_all.py')}")
    joined = {name: embeddings[name][store.rows_of(image_ids, ids[name])] for name in names}
    return image_ids, joined, fingerprints


def combine(
    embeddings: dict[str, np.ndarray], weights: dict[str, float], scaling: str
) -> tuple[np.ndarray, dict[str, Scaler]]:
    """What one entry of `maps:` is drawn from, and the scalers that did it.

    The features are (N, D) float32: each source scaled and weighed, side by side in the order of `weights`.
    """
    scalers = {name: fit_scaler(embeddings[name], scaling, weight) for name, weight in weights.items()}
    features = np.hstack([scaler.transform(embeddings[name]) for name, scaler in scalers.items()])
    return features.astype(np.float32, copy=False), scalers
