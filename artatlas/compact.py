"""Embeddings and a network made small enough to hand on: fewer components, fewer bits, the same neighbours and places.

A source keeps its leading principal components; the network of parametric t-SNE, which read all dimensions, is folded
so that it reads these. What that costs is measured in docs/EXPERIMENTS.md, "The shipped files".
"""

from __future__ import annotations

from dataclasses import dataclass

import h5py
import numpy as np

from artatlas.parametric import Network
from artatlas.reduce import Pca, fit_pca
from artatlas.sources import Scaler, blocks

LARGEST_HALF = 60_000  # float16 ends at 65,504
# A PCA of Gram matrices has millions of numbers. As int8 with one scale a row it moves the embeddings by 0.1 to 0.2 %,
# a sixth to a quarter of what computing them in bfloat16 does.
LONG_ROWS = 4096


@dataclass(frozen=True)
class CompactSource:
    """A source's leading components.

    embeddings : (N, k) float32, the works
    pca : from the source's vectors to them
    basis, centre : (k, D), (D,): embeddings = (the source's own - centre) @ basis.T, with orthonormal rows
    """

    embeddings: np.ndarray
    pca: Pca
    basis: np.ndarray
    centre: np.ndarray


def reduce_source(embeddings: np.ndarray, pca: Pca | None, n_components: int | None) -> CompactSource:
    """Keeps `n_components` of embeddings (N, D), all with None.

    pca : how the source came from its vectors, if by a PCA
    """
    fitted = fit_pca(
        lambda: (embeddings[rows] for rows in blocks(len(embeddings))),
        min(n_components or embeddings.shape[1], embeddings.shape[1]), np.random.default_rng(0),
    )  # fmt: skip
    basis = fitted.components
    # After a PCA the embeddings are centred already; what a second mean would add could not be told of the vectors.
    centre = np.zeros_like(fitted.mean) if pca else fitted.mean
    reduced = (embeddings - centre) @ basis.T
    if pca is None:
        return CompactSource(reduced, fitted, basis, centre)
    ratio = pca.explained_variance_ratio * fitted.explained_variance_ratio
    whole = Pca(pca.mean, basis @ pca.components, fitted.explained_variance, ratio)
    return CompactSource(reduced, whole, basis, centre)


def fold(network: Network, scalers: dict[str, Scaler], compact: dict[str, CompactSource]) -> tuple[Network, dict]:
    """The network for compact embeddings, and its scalers: exact, but for the components that were left out.

    `scalers` are in the order in which the network reads the sources. Where a row is brought to unit length this is
    that of its kept components.
    """
    kernel, bias = network.layers[0]
    kernel = kernel * np.float32(network.input_scale)
    bias = bias - network.input_mean @ kernel
    start, parts, folded = 0, [], {}
    for name, scaler in scalers.items():
        source, width = compact[name], len(scaler.offset)
        rows = kernel[start : start + width]  # (D, hidden)
        start += width
        n_kept = len(source.basis)
        if scaler.unit_rows:
            if np.ptp(scaler.scale) != 0:
                raise ValueError(f"{name}: rows of columns at different scales cannot be folded")
            offset = source.basis @ (scaler.offset - source.centre)
            folded[name] = Scaler(offset.astype(np.float32), np.ones(n_kept, np.float32), True, scaler.weight)
            parts.append(source.basis @ rows)
            continue
        factor = scaler.scale * np.float32(scaler.weight)
        folded[name] = Scaler(np.zeros(n_kept, np.float32), np.ones(n_kept, np.float32), False, 1.0)
        parts.append((source.basis * factor) @ rows)
        bias = bias + ((source.centre - scaler.offset) * factor) @ rows
    first = np.concatenate(parts).astype(np.float32), bias.astype(np.float32)
    n_inputs = len(first[0])
    layers = [first, *network.layers[1:]]
    return Network(np.zeros(n_inputs, np.float32), 1.0, layers, network.map_low, network.map_high), folded


def half(array: np.ndarray) -> np.ndarray:
    """As float16 where all of it fits, else as float32."""
    fits = not array.size or np.abs(array).max() <= LARGEST_HALF
    return array.astype(np.float16 if fits else np.float32)


def write_pca(group: h5py.Group, pca: Pca, compression: dict) -> None:
    """The group `pca` that `store.read_pca` reads: half floats, and long components as int8 with a scale for each."""
    found = group.create_group("pca")
    found.create_dataset("mean", data=half(pca.mean), **compression)
    if pca.components.shape[1] > LONG_ROWS:
        scale = np.abs(pca.components).max(axis=1) / 127
        scale[scale == 0] = 1
        whole = np.rint(pca.components / scale[:, None]).astype(np.int8)
        found.create_dataset("components", data=whole, **compression)
        found["scale"] = scale.astype(np.float32)
    else:
        found.create_dataset("components", data=half(pca.components), **compression)
    found["explained_variance"] = pca.explained_variance
    found.attrs["explained_variance_ratio"] = pca.explained_variance_ratio
