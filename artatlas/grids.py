"""Gives every work of a map a cell of its own: what all methods share, and two of them (the third: swaps.py).

A method takes `positions` (M, 2) of the works, as `to_unit_square` makes them, and the `cells` (K, 2) (row, col) that
may be used on a grid of rows x cols, K >= M. It returns the row in `cells` of every work's cell, (M,) int64, all
different, and makes the sum of squared displacements small.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def to_unit_square(coordinates: np.ndarray) -> np.ndarray:
    """(M, 2) map coordinates (x, y) -> (M, 2) float64 positions (down, across) in -0.5..0.5, as (row, col) are.

    The y of a map points up and row 0 is the top of the picture, so grid and scatter plot look alike. Each axis is
    stretched by itself; one on which all works are equal becomes 0. Turning the map by 90 degrees or mirroring it
    changes signs and order of the positions and not one digit.
    """
    positions = np.column_stack((-coordinates[:, 1], coordinates[:, 0])).astype(np.float64)
    low, high = positions.min(axis=0), positions.max(axis=0)
    span = np.where(high > low, high - low, 1)
    return np.where(high > low, (positions - (low + high) / 2) / span, 0)


def cell_centres(cells: np.ndarray, rows: int, cols: int) -> np.ndarray:
    """Cells (K, 2) (row, col) -> their centres (down, across), (K, 2) float64 in -0.5..0.5."""
    return (2 * cells + 1 - np.array((rows, cols))) / (2 * rows, 2 * cols)


def cost(positions: np.ndarray, cells: np.ndarray, rows: int, cols: int) -> float:
    """Sum of squared displacements of works at `positions` (M, 2) in `cells` (M, 2)."""
    return float(np.square(cell_centres(cells, rows, cols) - positions).sum())


def assign_lap(positions: np.ndarray, cells: np.ndarray, rows: int, cols: int) -> np.ndarray:
    """The exact optimum (Crouse 2016, SciPy). Where there are more cells than works it chooses those to leave empty."""
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    distances = cdist(positions, cell_centres(cells, rows, cols), "sqeuclidean")  # (M, K) float64
    return linear_sum_assignment(distances)[1].astype(np.int64)


def assign_rasterfairy(positions: np.ndarray, cells: np.ndarray, rows: int, cols: int) -> np.ndarray:
    """RasterFairy (Klingemann 2016): halve the works and the cells, by column or by row, until one is left; K = M.

    This calls the package's step and not its loop, whose time grows with the square of the works, and which never ends
    for some grids with holes. With a mask the step cuts any block of cells in half; without one it cuts a side of 37
    into 37 strips at once, and a quarter fewer neighbours stay together. It sorts coordinates cast to integers, hence
    ranks.
    """
    from rasterfairy.rasterfairy import sliceQuadrant

    row_in_cells = np.full((rows, cols), -1)
    row_in_cells[tuple(cells.T)] = np.arange(len(cells))
    empty = (row_in_cells < 0).astype(int)
    ranks = np.column_stack((_rank(positions, 1), _rank(positions, 0)))  # (x, y), RasterFairy's order
    taken = np.empty(len(positions), np.int64)
    blocks: list[dict[str, Any]] = [{"points": ranks, "grid": [0, 0, cols, rows], "indices": np.arange(len(positions))}]
    while blocks:
        block = blocks.pop()
        if len(block["indices"]) == 1:
            col, row, _, _ = block["grid"]
            taken[block["indices"][0]] = row_in_cells[row, col]
        else:
            halves = sliceQuadrant(block, mask={"mask": empty})
            assert len(halves) == 2, f"rasterfairy could not halve {block['grid']}"  # else this would never end
            blocks += halves
    return taken


def _rank(positions: np.ndarray, axis: int) -> np.ndarray:
    """Ranks along one axis, (M,) int64, all different: ties go by the other axis, then by row."""
    ranks = np.empty(len(positions), np.int64)
    ranks[np.lexsort((positions[:, 1 - axis], positions[:, axis]))] = np.arange(len(positions))
    return ranks
