"""Principal component analysis of vectors too many and too long to hold in memory at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

Blocks = Callable[[], Iterable[np.ndarray]]  # a fresh pass over the rows, as (B, P) float32 blocks

# Halko, Martinsson & Tropp 2011, "Finding structure with randomness", section 4.5: a few power iterations and a little
# oversampling bring a randomised range finder to the exact subspace when the spectrum decays slowly.
N_POWER_ITERATIONS = 3
N_OVERSAMPLES = 32


@dataclass(frozen=True)
class Pca:
    """A fitted PCA: embeddings = (vectors - mean) @ components.T.

    mean : (P,) float32
    components : (D, P) float32, by falling variance; orthonormal rows, times the scale of their group of columns where
        the fit had several groups
    explained_variance : (D,) float32, variance of each embedding column (divided by N - 1)
    explained_variance_ratio : share of the total variance that the D components keep, 0 to 1
    """

    mean: np.ndarray
    components: np.ndarray
    explained_variance: np.ndarray
    explained_variance_ratio: float

    def transform(self, vectors: np.ndarray) -> np.ndarray:
        """(B, P) -> (B, D) float32."""
        # Centred before the product: the mean of Gram vectors is far larger than what tells works apart.
        return (vectors - self.mean) @ self.components.T


def fit_pca(
    blocks: Blocks, n_components: int, rng: np.random.Generator, groups: Sequence[int] = ()
) -> Pca:
    """PCA by randomised block power iteration over passes of `blocks()`; memory does not grow with the number of rows.

    Parameters
    ----------
    blocks : each call starts a pass over the same rows in the same order
    n_components : fewer are kept where there are fewer rows or columns
    groups : widths of consecutive groups of columns; each group is scaled to the same total variance, so that a layer
        with many channels does not drown the others. Empty, or one group, scales nothing.

    Source: Halko, Martinsson & Tropp 2011, algorithm 4.4, on the covariance operator.
    """
    n_rows, mean, scale, total = _moments(blocks, groups)
    n_components = max(1, min(n_components, n_rows - 1, len(mean)))
    width = min(n_components + N_OVERSAMPLES, len(mean), max(n_rows, 1))
    basis = rng.standard_normal((len(mean), width), dtype=np.float32)
    for _ in range(N_POWER_ITERATIONS + 1):
        basis = np.linalg.qr(_covariance_product(blocks, mean, scale, basis))[0]
    # The covariance within the found subspace is small (width x width): its eigenvectors are exact.
    inner = np.zeros((width, width))
    for block in blocks():
        projected = ((block - mean) * scale) @ basis  # (B, P) @ (P, width)
        inner += projected.T.astype(np.float64) @ projected
    variances, vectors = np.linalg.eigh(inner / max(1, n_rows - 1))
    order = np.argsort(variances)[::-1][:n_components]
    components = (basis @ vectors[:, order].astype(np.float32)).T  # (D, P)
    # An eigenvector's sign is arbitrary; the largest entry is made positive so that every fit agrees.
    largest = components[np.arange(n_components), np.abs(components).argmax(axis=1)]
    components *= np.where(largest < 0, -1, 1)[:, None].astype(np.float32)
    explained = np.maximum(variances[order], 0)
    return Pca(
        mean, np.ascontiguousarray(components * scale), explained.astype(np.float32),
        float(min(1.0, explained.sum() / total)) if total > 0 else 1.0,
    )  # fmt: skip


def _moments(blocks: Blocks, groups: Sequence[int]) -> tuple[int, np.ndarray, np.ndarray, float]:
    """One pass: number of rows, mean (P,), scale of each column (P,), and the total variance after scaling."""
    n_rows, shift = 0, None
    for block in blocks():
        if shift is None:  # the first row as a provisional mean keeps the sums of squares free of cancellation
            shift = block[0].astype(np.float64)
            sums, squares = np.zeros_like(shift), np.zeros_like(shift)
        centred = block - shift
        n_rows += len(block)
        sums += centred.sum(axis=0)
        squares += np.einsum("ij,ij->j", centred, centred)
    if shift is None:
        raise ValueError("PCA of no rows")
    mean = shift + sums / n_rows
    variance = np.maximum(squares - sums**2 / n_rows, 0) / max(1, n_rows - 1)
    scale = np.ones_like(mean)
    if len(groups) > 1:
        start = 0
        for width in groups:
            total = variance[start : start + width].sum()
            scale[start : start + width] = 1 / np.sqrt(total) if total > 0 else 0
            start += width
    return n_rows, mean.astype(np.float32), scale.astype(np.float32), float((variance * scale**2).sum())


def _covariance_product(blocks: Blocks, mean: np.ndarray, scale: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """X.T @ (X @ basis) for the centred, scaled rows X: (P, width) float32."""
    product = np.zeros_like(basis)
    for block in blocks():
        centred = (block - mean) * scale
        product += centred.T @ (centred @ basis)
    return product
