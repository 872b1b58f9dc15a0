"""What pushes works apart in t-SNE: all pairs, by splines on a grid and one convolution instead of N^2 terms.

The repulsive force on work i is sum_j (y_i - y_j) / (1 + |y_i - y_j|^2)^2, which is -1/2 of the gradient of the
potential phi(y) = sum_j 1 / (1 + |y - y_j|^2). So one field is enough: works are spread over a grid by cubic
B-splines, the grid is convolved with the kernel by FFT, and phi and its gradient are read where the works are, by the
same splines and their derivatives. The idea is that of the smooth particle mesh Ewald method (Essmann et al. 1995).
Linderman et al. 2019 (FIt-SNE) interpolate by Lagrange polynomials, which have no slope between cells, and so need
three fields, two kernels and a finer grid for the same error.
"""

from __future__ import annotations

import numpy as np

EXACT = 2  # pairs a grid node below which all pairs are quicker: few works, or some on a map that ran far apart
NODE = 1 / 4  # between grid nodes, in units of the kernel's width: error of the forces under 1%; 1/3 kept fewer 10-NN
LEAST_NODES = 128  # on a side of a map, even a small one: under early exaggeration forces nearly cancel
FINEST = 1 / 16  # between nodes; nearer ones differ by no more than float32 rounds off
MOST_NODES = 2048  # on a side; a wider map gets a coarser grid: the transforms then take 70 MB at most
MARGIN = 16  # nodes beyond the works: 4 that splines reach, the rest against the kink where the kernel's copies meet
GROWTH = 1.15  # nodes to spare, so that a growing map seldom needs the kernel to be transformed again


class Repulsion:
    """Callable on coordinates (N, 2) float64. Keeps the kernel's transform from one call to the next."""

    def __init__(self, node: float = NODE, threads: int = 1) -> None:
        self.node, self.threads = node, threads
        self._n_nodes, self._spacing = 0, 0.0

    def __call__(self, coordinates: np.ndarray) -> tuple[np.ndarray, float]:
        """(N, 2) forces sum_j (y_i - y_j) / (1 + d_ij^2)^2, and Z = sum of 1 / (1 + d_ij^2) over all i != j."""
        low = coordinates.min(axis=0)
        span = float((coordinates.max(axis=0) - low).max())
        spacing = self._spacing_of(span)
        n_nodes = int(np.ceil(span / spacing)) + MARGIN
        if len(coordinates) ** 2 <= EXACT * n_nodes**2:
            return exact(coordinates)
        self._fit_grid(n_nodes, spacing)
        places = (coordinates - low) / spacing
        corner = places.astype(np.intp)  # node -1 of the four splines that reach a work stands at 0
        weights, slopes = _splines((places - corner).astype(np.float32))  # (4, N, 2) each
        steps = np.arange(4)[:, None] * self._n_nodes + np.arange(4)
        nodes = steps[:, :, None] + (corner[:, 0] * self._n_nodes + corner[:, 1])  # (4, 4, N)
        spread = (weights[:, None, :, 0] * weights[None, :, :, 1]).ravel()
        density = np.bincount(nodes.ravel(), spread, self._n_nodes**2).astype(np.float32)
        near = self._convolve(density)[nodes]  # (4, 4, N) float32
        along_x = np.einsum("abn,bn->an", near, weights[:, :, 1])
        along_y = np.einsum("abn,bn->an", near, slopes[:, :, 1])
        potential = np.einsum("an,an->n", along_x, weights[:, :, 0])
        gradient_x = np.einsum("an,an->n", along_x, slopes[:, :, 0])
        gradient_y = np.einsum("an,an->n", along_y, weights[:, :, 0])
        forces = np.stack([gradient_x, gradient_y], axis=1).astype(np.float64) * (-0.5 / spacing)
        return forces, float(potential.sum(dtype=np.float64)) - len(coordinates)

    def _spacing_of(self, span: float) -> float:
        """Between nodes. Of a small map it is one of a few steps, so that the kernel is seldom transformed again."""
        if span < self.node * LEAST_NODES:
            finer = self.node * 2.0 ** (np.floor(4 * np.log2(max(span, 1e-6) / (self.node * LEAST_NODES))) / 4)
            return max(finer, FINEST)
        return max(self.node, span / (MOST_NODES - MARGIN))

    def _fit_grid(self, n_nodes: int, spacing: float) -> None:
        """The kernel's transform for a grid of at least n_nodes x n_nodes, twice that wide so that it never wraps."""
        if spacing == self._spacing and n_nodes <= self._n_nodes <= GROWTH**2 * n_nodes + 8:
            return
        from scipy import fft

        self._spacing, self._n_nodes = spacing, int(GROWTH * n_nodes)
        self._width = fft.next_fast_len(2 * self._n_nodes - 1, real=True)
        steps = np.arange(self._width)
        distances = (np.minimum(steps, self._width - steps) * spacing) ** 2
        kernel = 1 / (1 + distances[:, None] + distances)
        # A spline sums to 1/6, 4/6, 1/6 at the nodes. Dividing that out, on the way in and on the way out, makes the
        # convolution of splines equal the kernel at every pair of nodes.
        blur = (4 + 2 * np.cos(2 * np.pi * steps / self._width)) / 6
        spectrum = fft.rfft2(kernel).real / (blur[:, None] * blur[: self._width // 2 + 1]) ** 2
        self._spectrum = spectrum.astype(np.float32)

    def _convolve(self, density: np.ndarray) -> np.ndarray:
        """Of the density (n * n,) with the kernel: the potential (n * n,) at the nodes."""
        from scipy import fft

        n, shape = self._n_nodes, (self._width, self._width)
        spectrum = fft.rfft2(density.reshape(n, n), shape, workers=self.threads)
        spectrum *= self._spectrum
        return np.ascontiguousarray(fft.irfft2(spectrum, shape, workers=self.threads)[:n, :n]).ravel()


def exact(coordinates: np.ndarray) -> tuple[np.ndarray, float]:
    """The same of every pair, N^2 numbers at a time."""
    apart = coordinates[:, None] - coordinates  # (N, N, 2)
    kernel = 1 / (1 + np.square(apart).sum(axis=2))
    return np.einsum("ij,ijk->ik", kernel**2, apart), float(kernel.sum()) - len(coordinates)


def _splines(fraction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values and slopes (4, N, 2) of the cubic B-splines of the nodes at -1, 0, 1, 2, at 0 <= fraction (N, 2) < 1."""
    f, g = fraction, 1 - fraction
    f2 = f * f
    f3 = f2 * f
    values = np.stack([g * g * g, 3 * f3 - 6 * f2 + 4, 3 * (f + f2 - f3) + 1, f3]) / np.float32(6)
    slopes = np.stack([-g * g, 3 * f2 - 4 * f, 2 * f - 3 * f2 + 1, f2]) / np.float32(2)
    return values, slopes
