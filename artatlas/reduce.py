"""Principal component analysis of vectors too many and too long to hold in memory at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

Blocks = Callable[[], Iterable[np.ndarray]]  # a fresh pass over the rows, as (B, P) float32 blocks

# Up to here the N x N matrix of inner products is small, its eigenvectors are exact, and the rows fit in memory
# (540 MB of Gram vectors of one layer of block 3); above, the rows stay where they are and memory does not grow.
EXACT_ROWS = 4096
EXACT_NUMBERS = EXACT_ROWS * 32_896  # of the rows: layers with more channels reach the limit with fewer works

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


def fit_pca(blocks: Blocks, n_components: int, rng: np.random.Generator, groups: Sequence[int] = ()) -> Pca:
    """PCA in passes over `blocks()`: exact up to 4,096 rows (fewer of long ones), by randomised power iteration above.

    Parameters
    ----------
    blocks : each call starts a pass over the same rows in the same order
    n_components : fewer are kept where there are fewer rows or columns
    groups : widths of consecutive groups of columns; each group is scaled to the same total variance, so that a layer
        with many channels does not drown the others. Empty, or one group, scales nothing.
    """
    n_rows, mean, scale, total = _moments(blocks, groups)
    n_components = max(1, min(n_components, n_rows - 1, len(mean)))

    def rows() -> Iterator[np.ndarray]:
        for block in blocks():
            centred = block - mean
            centred *= scale
            yield centred

    if n_rows <= EXACT_ROWS and n_rows * len(mean) <= EXACT_NUMBERS:
        components, squares = _exact(np.concatenate(list(rows())), n_components)
    else:
        components, squares = _randomised(rows, len(mean), n_components, rng)
    # An eigenvector's sign is arbitrary; the largest entry is made positive so that every fit agrees.
    largest = components[np.arange(n_components), np.abs(components).argmax(axis=1)]
    components *= np.where(largest < 0, -1, 1)[:, None].astype(np.float32)
    variances = squares / max(1, n_rows - 1)
    ratio = float(min(1.0, variances.sum() / total)) if total > 0 else 1.0
    return Pca(mean, np.ascontiguousarray(components * scale), variances.astype(np.float32), ratio)


def _exact(rows: np.ndarray, n_components: int) -> tuple[np.ndarray, np.ndarray]:
    """Components (D, P) and sums of squares (D,) of centred rows (N, P), through the N x N inner products."""
    squares, vectors = np.linalg.eigh((rows @ rows.T).astype(np.float64))
    squares, vectors = squares[::-1][:n_components], vectors[:, ::-1][:, :n_components]
    components = vectors.T.astype(np.float32) @ rows  # (D, P), each of length sqrt(squares)
    lengths = np.linalg.norm(components, axis=1, keepdims=True)
    # Where the rows span fewer dimensions, what is left is rounding: such a component is zero.
    spanned = squares[:, None] > 1e-7 * max(squares[0], 0)
    components = np.divide(components, lengths, out=np.zeros_like(components), where=spanned & (lengths > 0))
    return components, np.where(spanned[:, 0], squares, 0)


def _randomised(
    rows: Blocks, n_columns: int, n_components: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The same by power iteration of a random block: Halko, Martinsson & Tropp 2011, algorithm 4.4."""
    width = min(n_components + N_OVERSAMPLES, n_columns)
    basis = rng.standard_normal((n_columns, width), dtype=np.float32)
    for _ in range(N_POWER_ITERATIONS + 1):
        product = np.zeros_like(basis)
        for block in rows():
            product += block.T @ (block @ basis)  # (P, B) @ (B, width)
        basis = _orthonormal(_orthonormal(product))  # twice: the first leaves rounding of the condition number
    # Within the found subspace the covariance is small, and its eigenvectors are exact.
    inner = np.zeros((basis.shape[1], basis.shape[1]))
    for block in rows():
        projected = block @ basis  # (B, width)
        inner += projected.T.astype(np.float64) @ projected
    squares, vectors = np.linalg.eigh(inner)
    order = np.argsort(squares)[::-1][:n_components]
    return (basis @ vectors[:, order].astype(np.float32)).T, np.maximum(squares[order], 0)


def _orthonormal(columns: np.ndarray) -> np.ndarray:
    """An orthonormal basis (P, width) of the columns; 10 times faster than a Householder QR of a tall matrix."""
    wide = columns.astype(np.float64)
    squares, vectors = np.linalg.eigh(wide.T @ wide)
    floor = squares.max() * np.finfo(np.float64).eps * len(squares)
    vectors /= np.sqrt(np.maximum(squares, floor if floor > 0 else 1))
    return (wide @ vectors).astype(np.float32)


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
