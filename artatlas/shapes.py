"""Which cells a grid has: a rectangle near an aspect ratio, a circle, or the silhouette of a picture."""

from __future__ import annotations

import math

import numpy as np

DISC_PX = 512  # of the disc that stands for `circle`; a cell of the largest grids still has some


def choose_shape(n_cells: int, aspect_ratio: float) -> tuple[int, int]:
    """(rows, cols) with rows x cols >= n_cells, where the last row is the only one that may be short.

    Of all such shapes the one with the smallest |log(cols / rows / aspect_ratio)| + holes / n_cells: one percent of
    holes is as bad as being one percent off the shape that is aimed at. 1,231 cells aiming at 1.0 get 35 x 36.
    """
    rows = np.arange(1, n_cells + 1)
    cols = -(-n_cells // rows)  # rounded up
    strain = np.abs(np.log(cols / rows / aspect_ratio)) + (rows * cols - n_cells) / n_cells
    strain[(rows - 1) * cols >= n_cells] = np.inf  # the last row would be empty
    best = int(strain.round(9).argmin())  # of two that are as good, the wider one
    return int(rows[best]), int(cols[best])


def rectangle(n_cells: int, cols: int) -> np.ndarray:
    """The first cells in reading order, (n_cells, 2) int64 (row, col): only the end of the last row is left free."""
    return np.column_stack(np.divmod(np.arange(n_cells), cols))


def enlarge(kept: list[np.ndarray], shape: tuple[int, int], free: bool) -> tuple[np.ndarray, tuple[int, int]]:
    """The cells (K, 2) that an earlier grid offers now, which grows at the bottom where it has to, and (rows, cols).

    kept : per map the cells (M, 2) int64 of the works, -1 for new ones
    free : whether cells were left free all over the grid. If not, the works fill it in reading order
    """
    rows, cols = shape
    last = max(int((cells @ (cols, 1)).max()) for cells in kept) + 1
    n_cells = max(len(kept[0]), last, rows * cols if free else 0)
    return rectangle(n_cells, cols), (-(-n_cells // cols), cols)


def extend(shape: tuple[int, int], n_cells: int, aspect_ratio: float) -> tuple[int, int]:
    """(rows, cols) with at least `n_cells`: rows at the bottom and columns on the right of `shape`, one at a time,
    whichever brings columns / rows nearer to the ratio. Every cell that there was keeps its row and column."""
    rows, cols = shape
    while rows * cols < n_cells:
        strains = [abs(math.log(each[1] / each[0] / aspect_ratio)) for each in ((rows + 1, cols), (rows, cols + 1))]
        rows, cols = (rows + 1, cols) if strains[0] <= strains[1] else (rows, cols + 1)
    return rows, cols


def disc() -> np.ndarray:
    """(DISC_PX, DISC_PX) bool."""
    from_middle = np.arange(DISC_PX) - (DISC_PX - 1) / 2
    return np.hypot(from_middle[:, None], from_middle) < DISC_PX / 2


def fill(mask: np.ndarray, n_cells: int, aspect_ratio: float) -> tuple[np.ndarray, tuple[int, int]]:
    """The smallest grid of a shape that has so many cells at least half inside: ((n_cells, 2) int64, (rows, cols)).

    Where it has more, those that are the least inside are left out.

    mask         : (H, W) bool, stretched over the grid
    aspect_ratio : of the grid, columns / rows
    """
    rows = max(1, math.floor(math.sqrt(n_cells / aspect_ratio)))  # a full rectangle has that many
    while True:
        cols = max(1, round(rows * aspect_ratio))
        inside = _shrink(_shrink(mask.astype(np.float64), rows).T, cols).T  # (rows, cols) share of the cell inside
        if (inside >= 0.5).sum() >= n_cells:
            best = np.argsort(-inside.round(9).ravel(), kind="stable")[:n_cells]
            cells = np.column_stack(np.divmod(np.sort(best), cols))
            cells -= cells.min(axis=0)  # of a few cells, whole rows at the edge may stay empty
            return cells, (int(cells[:, 0].max()) + 1, int(cells[:, 1].max()) + 1)
        rows += 1


def _shrink(values: np.ndarray, n: int) -> np.ndarray:
    """(H, W) -> (n, W): means over n equal parts of the height, which may cut a row in two."""
    sums = np.vstack((np.zeros(values.shape[1]), values.cumsum(axis=0)))
    edges = np.linspace(0, len(values), n + 1)
    below = np.minimum(edges.astype(int), len(values) - 1)
    part = (edges - below)[:, None]
    at_edges = sums[below] * (1 - part) + sums[below + 1] * part
    return np.diff(at_edges, axis=0) * n / len(values)
