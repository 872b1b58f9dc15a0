"""Parametric t-SNE without its training: the affinities it preserves, the network's forward pass, its place in HDF5.

van der Maaten 2009, "Learning a parametric embedding by preserving local structure" (AISTATS): a network that maps
features to coordinates, so that a work that was not in the collection has a place too. Training is in
train_parametric_tsne.py; a trained network is a handful of matrix products, for which this module needs only numpy.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np

from artatlas import neighbors, sources
from artatlas.sources import PlacedSource, blocks

# Bisections of the precision; 50 bring the entropy to 1e-9 of its target, as 64-bit floats allow no better anyway.
N_BISECTIONS = 50
# t-SNE looks at this many times perplexity neighbours; the affinities beyond are negligible (van der Maaten 2014).
NEIGHBOURS_PER_PERPLEXITY = 3


def conditional_affinities(squared_distances: np.ndarray, perplexity: float) -> np.ndarray:
    """p(j|i) of t-SNE from the squared distances (N, K) of each work to K others: (N, K) float64, rows sum to 1.

    The precision of each row's Gaussian is found by bisection, so that the row's entropy is log(perplexity):
    van der Maaten & Hinton 2008, eq. 1. Where that cannot be reached (all K at the same distance) the row is uniform.

    perplexity : at most K
    """
    # The nearest at distance zero changes no p(j|i), and keeps exp() from underflowing in every column of a row.
    distances = squared_distances.astype(np.float64)
    distances -= distances.min(axis=1, keepdims=True)
    target = np.log(perplexity)
    low, high = np.zeros(len(distances)), np.full(len(distances), np.inf)
    precision = 1 / np.maximum(distances.mean(axis=1), np.finfo(np.float64).tiny ** 0.5)
    for _ in range(N_BISECTIONS):
        weights = np.exp(-distances * precision[:, None])
        sums = weights.sum(axis=1)
        entropy = np.log(sums) + precision * (distances * weights).sum(axis=1) / sums
        too_wide = entropy > target
        low, high = np.where(too_wide, precision, low), np.where(too_wide, high, precision)
        precision = np.where(np.isinf(high), precision * 2, (low + high) / 2)
    weights = np.exp(-distances * precision[:, None])
    return weights / weights.sum(axis=1, keepdims=True)


def affinities(features: np.ndarray, perplexity: float) -> Any:
    """The symmetric joint affinities P of t-SNE, (N, N) float32 in scipy's CSR form, summing to 1, diagonal zero.

    p_ij = (p(j|i) + p(i|j)) / 2N over the 3 x perplexity nearest neighbours of each row of `features` (N, D), N > 1.
    The perplexity is lowered where there are too few works for it.
    """
    from scipy.sparse import csr_array

    n_works = len(features)
    perplexity = max(1.0, min(perplexity, (n_works - 1) / NEIGHBOURS_PER_PERPLEXITY))
    n_neighbors = min(n_works - 1, int(NEIGHBOURS_PER_PERPLEXITY * perplexity) + 1)
    searchable = neighbors.prepare(features, "none", "exact", seed=0)
    near, distances = neighbors.find(searchable, features, n_neighbors, np.arange(n_works))
    # A block at a time: the bisection holds some copies of what it is given.
    conditional = np.concatenate([conditional_affinities(distances[rows] ** 2, perplexity) for rows in blocks(n_works)])
    starts = np.arange(n_works + 1) * n_neighbors
    one_way = csr_array((conditional.ravel(), near.ravel(), starts), shape=(n_works, n_works))
    return ((one_way + one_way.T) / (2 * n_works)).astype(np.float32).tocsr()


def kl_divergence(p: Any, coordinates: np.ndarray, alpha: float = 1.0) -> float:
    """KL(P || Q) of t-SNE with alpha degrees of freedom, in float64; what the training minimises, without TensorFlow.

    p : (N, N) CSR as `affinities` makes it; coordinates : (N, 2)
    """
    y = coordinates.astype(np.float64)
    y = y - y.mean(axis=0)
    squares = (y**2).sum(axis=1)
    total, pairs = 0.0, p.tocoo()
    for rows in blocks(len(y)):
        squared = np.maximum(squares[rows, None] + squares - 2 * y[rows] @ y.T, 0)
        total += ((1 + squared / alpha) ** (-(alpha + 1) / 2)).sum()
    total -= len(y)  # a work is not its own neighbour
    squared = ((y[pairs.row] - y[pairs.col]) ** 2).sum(axis=1)
    log_of_pairs = -(alpha + 1) / 2 * np.log1p(squared / alpha) - np.log(total)
    weights = pairs.data.astype(np.float64)
    return float((weights * (np.log(weights) - log_of_pairs)).sum())


@dataclass(frozen=True)
class Network:
    """A trained network and the constants around it: from features (B, D) to map coordinates (B, 2).

    input_mean : (D,) float32, subtracted from the features
    input_scale : then they are multiplied by this
    layers : (kernel (in, out), bias (out,)) float32 each; ReLU after all but the last, whose 2 outputs stand for the
        range of the map: 0 is `map_low`, 1 is `map_high`, both (2,) float32
    """

    input_mean: np.ndarray
    input_scale: float
    layers: Sequence[tuple[np.ndarray, np.ndarray]]
    map_low: np.ndarray
    map_high: np.ndarray

    def standardize(self, features: np.ndarray) -> np.ndarray:
        return ((features - self.input_mean) * np.float32(self.input_scale)).astype(np.float32, copy=False)

    def place(self, features: np.ndarray) -> np.ndarray:
        """Coordinates (N, 2) float32 in the units of the map, of features (N, D)."""
        return np.concatenate([self._place(features[rows]) for rows in blocks(len(features))])

    def _place(self, features: np.ndarray) -> np.ndarray:
        """The same of a block of rows: the hidden units are many more numbers than the features."""
        hidden = self.standardize(features)
        for kernel, bias in self.layers[:-1]:
            hidden = np.maximum(hidden @ kernel + bias, 0)  # (B, in) -> (B, out)
        kernel, bias = self.layers[-1]
        return self.map_low + (hidden @ kernel + bias) * (self.map_high - self.map_low)


def similarity(points: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(matrix (2, 2), shift (2,)) of the turn, reflection and uniform scale that brings `points` nearest `wanted`.

    points, wanted : (N, 2); points @ matrix + shift has the least squared distance. Who is whose neighbour stays.
    Source: Umeyama 1991, eqs. 40 to 42, with reflections allowed.
    """
    middle, wanted_middle = points.mean(axis=0), wanted.mean(axis=0)
    centred = points - middle
    left, singular, right = np.linalg.svd(centred.T.astype(np.float64) @ (wanted - wanted_middle))
    spread = np.square(centred, dtype=np.float64).sum()
    matrix = left @ right * (singular.sum() / spread if spread > 0 else 1.0)
    return matrix, wanted_middle - middle @ matrix


def align(network: Network, features: np.ndarray, coordinates: np.ndarray) -> Network:
    """The network, a similarity in its last layer, which brings its places of `features` nearest `coordinates`."""
    matrix, shift = similarity(network.place(features), coordinates)
    kernel, bias = network.layers[-1]
    low, span = network.map_low, network.map_high - network.map_low
    # (low + output * span) @ matrix + shift, written as low + new output * span
    turned = (kernel * span) @ matrix / span, ((low + bias * span) @ matrix + shift - low) / span
    last = turned[0].astype(np.float32), turned[1].astype(np.float32)
    return dataclasses.replace(network, layers=[*network.layers[:-1], last])


@dataclass(frozen=True)
class Model:
    """Everything that is needed to place a picture, and nothing else is.

    images : the settings under which the collection's pictures were decoded
    sources : in the order in which their embeddings stand side by side in the features
    """

    images: dict[str, Any]
    sources: dict[str, PlacedSource]
    network: Network

    def features(self, embeddings: dict[str, np.ndarray]) -> np.ndarray:
        """Source -> (B, D_source) embeddings to the (B, D) features that the network takes."""
        return np.hstack([source.scaler.transform(embeddings[name]) for name, source in self.sources.items()])


def write(h5: h5py.File, model: Model) -> None:
    """`model` as the groups `network`, `map`, `scalers` and `sources`; plain arrays and JSON, no pickle."""
    network = h5.create_group("network")
    network["input_mean"] = model.network.input_mean
    network.attrs["input_scale"] = model.network.input_scale
    for i, (kernel, bias) in enumerate(model.network.layers):
        network[f"{i}/kernel"], network[f"{i}/bias"] = kernel, bias
    h5["map/low"], h5["map/high"] = model.network.map_low, model.network.map_high
    sources.write_placed(h5, model.images, model.sources)


def read(h5: h5py.File) -> Model:
    """What `write` wrote."""
    group, low_high = h5["network"], h5["map"]
    numbers = range(sum(name.isdigit() for name in group))
    # float32 whatever is stored: in a file to hand on they are half floats
    layers = [(group[f"{i}/kernel"].astype("f4")[:], group[f"{i}/bias"].astype("f4")[:]) for i in numbers]
    network = Network(
        group["input_mean"][:], float(group.attrs["input_scale"]), layers, low_high["low"][:], low_high["high"][:]
    )
    return Model(*sources.read_written(h5), network)
