"""Places works on a grid by annealed swaps: near the least displacement, for any number of works."""

from __future__ import annotations

import math

import numpy as np

from artatlas.grids import assign_lap, cell_centres, cost

EXACT_CELLS = 1500  # up to here the exact optimum is as quick to have

# The annealing starts with a blur of 0.3 sides of the grid, which forgets the start, and ends at 0.2 cells, where
# hardly a swap happens that costs anything. From 0.25 to 0.5 and from 0.1 to 0.3 the results are the same.
FIRST_BLUR, LAST_BLUR = 0.3, 0.2
REACH = 0.7  # standard deviation of the last offsets, in cells: the eight cells around, mostly
NOISE = 1 << 16  # start points in one long list of random numbers, of which a pass takes a stretch
KEPT_BLUR = 0.7  # cells; chains of works still find their best way, and works at home stay there
N_NEAREST = 3  # works around a new one that tell where in a kept grid it belongs


def assign_swaps(
    positions: np.ndarray,
    cells: np.ndarray,
    rows: int,
    cols: int,
    rng: np.random.Generator,
    passes: int,
    start: np.ndarray | None = None,
) -> np.ndarray:
    """Near the optimum: simulated annealing (Kirkpatrick et al. 1983) by swaps all over the grid at once.

    A pass draws one offset and asks all pairs of cells that lie so far apart, each cell in one pair at most, whether
    their works should change places. The temperature falls from one at which works stray over a share of the grid to
    one at which they stray over a fifth of a cell, and the offsets shrink with that length. So every scale has its turn
    in the same number of passes, and 100,000 works need no more passes than 2,500.

    start : (M,) rows of `cells` to begin with; it is kept from getting hot, so what need not move stays. Without it the
            result does not depend on the order of the works, and turns and mirrors with map and cells.
    """
    if len(cells) <= EXACT_CELLS:
        return assign_lap(positions, cells, rows, cols)
    positions, cells, (rows, cols) = _orient(positions, cells, rows, cols)
    first = _strips(positions, cells) if start is None else start
    board = _Board(positions, cells, first, rows, cols, rng)
    narrowest = LAST_BLUR * min(board.pitch)
    widest = max(FIRST_BLUR * math.sqrt(rows * cols), narrowest)
    for k in range(passes):
        blur = widest * (narrowest / widest) ** (k / passes)
        board.swap(blur, (blur if start is None else min(blur, KEPT_BLUR)) ** 2)
    return min((board.taken(), first), key=lambda taken: cost(positions, cells[taken], rows, cols))


def add_works(
    positions: np.ndarray,
    kept: np.ndarray,
    cells: np.ndarray,
    rows: int,
    cols: int,
    rng: np.random.Generator,
    passes: int,
) -> np.ndarray:
    """Puts new works on a grid: rows in `cells` of the cells of all works, (M,) int64.

    What had a cell belongs there, what is new where its nearest on the map are. Making the squared displacements
    from there small moves a chain of works by one cell each, from the new work to a free cell, and lets all others be.

    kept  : (M, 2) int64 (row, col) that works have, -1 for new ones
    cells : (K, 2) all cells in reading order, those of `kept` among them
    """
    from scipy.spatial import cKDTree

    new, targets = kept[:, 0] < 0, cell_centres(kept, rows, cols)
    old = np.flatnonzero(~new)
    start = np.empty(len(positions), np.int64)
    start[old] = kept[old] @ (cols, 1)
    if new.any():
        nearest = cKDTree(positions[old]).query(positions[new], k=np.arange(1, min(N_NEAREST, len(old)) + 1))[1]
        targets[new] = targets[old[nearest]].mean(axis=1)
        free = np.setdiff1d(np.arange(len(cells)), start[old])
        start[new] = free[assign_swaps(targets[new], cells[free], rows, cols, rng, passes)]
    return assign_swaps(targets, cells, rows, cols, rng, passes, start)


def add_to_free_cells(
    positions: np.ndarray, kept: np.ndarray, free: np.ndarray, rows: int, cols: int, rng: np.random.Generator,
    passes: int,
) -> np.ndarray:  # fmt: skip
    """Cells (M, 2) of all works, where those that had one keep it and new ones share out the free ones, with the least
    squared displacements from where their nearest on the map are.

    kept  : (M, 2) int64 (row, col) that works have, -1 for new ones
    free  : (F, 2) cells in reading order, at least as many as there are new works
    """
    from scipy.spatial import cKDTree

    new, cells = kept[:, 0] < 0, kept.copy()
    if new.any():
        old = np.flatnonzero(~new)
        nearest = cKDTree(positions[old]).query(positions[new], k=np.arange(1, min(N_NEAREST, len(old)) + 1))[1]
        targets = cell_centres(kept[old], rows, cols)[nearest].mean(axis=1)
        cells[new] = free[assign_swaps(targets, free, rows, cols, rng, passes)]
    return cells


def _orient(
    positions: np.ndarray, cells: np.ndarray, rows: int, cols: int
) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    """The same map turned and mirrored so that its third moments are positive, the larger one down.

    Sums by fsum are rounded once at the end, so they do not depend on the order of the works.
    """
    moments = np.array([math.fsum(axis**3) for axis in positions.T])
    flip = moments < 0
    order = [1, 0] if abs(moments[1]) > abs(moments[0]) else [0, 1]
    shape = np.array((rows, cols))
    turned = np.where(flip, -positions, positions)[:, order]
    return turned, np.where(flip, shape - 1 - cells, cells)[:, order], (int(shape[order[0]]), int(shape[order[1]]))


def _strips(positions: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Fills the rows of the grid from top to bottom, each from left to right, with empty cells spread all over."""
    n_works, n_cells = len(positions), len(cells)
    used = np.lexsort((cells[:, 1], cells[:, 0]))[np.arange(n_works) * n_cells // n_works]  # in reading order
    row = np.empty(n_works, np.int64)
    row[np.lexsort((positions[:, 1], positions[:, 0]))] = cells[used, 0]
    taken = np.empty(n_works, np.int64)
    taken[np.lexsort((positions[:, 0], positions[:, 1], row))] = used
    return taken


class _Board:
    """The grid while works change places: planes (rows, cols) of what the work in a cell brings along.

    Positions are in units of the mean cell. With p the positions of the works in cells a and b = a + d, a swap saves
    2 (p_a - p_b) . d of the sum of squared displacements: one dot product. An empty cell has weight w = 0, a work 1;
    with w p for p the swap saves 2 ((w_a p_a - w_b p_b) . d - (w_a - w_b) (a + b) . d / 2). A cell that may not be used
    holds NaN, which no comparison lets pass.
    """

    def __init__(
        self,
        positions: np.ndarray,
        cells: np.ndarray,
        taken: np.ndarray,
        rows: int,
        cols: int,
        rng: np.random.Generator,
    ) -> None:
        self.cells, self.rng, self.pitch = cells, rng, (math.sqrt(cols / rows), math.sqrt(rows / cols))
        used = tuple(cells[taken].T)
        self.work = np.full((rows, cols), -1, np.int32)
        self.work[used] = np.arange(len(positions))
        self.weight = np.full((rows, cols), np.nan, np.float32)
        self.weight[tuple(cells.T)] = 0
        self.down, self.across = self.weight.copy(), self.weight.copy()
        self.weight[used] = 1
        self.down[used], self.across[used] = positions.T * math.sqrt(rows * cols)
        self.has_holes = len(cells) > len(positions)
        self.centres = (cell_centres(np.indices((rows, cols)).T, rows, cols) * math.sqrt(rows * cols)).T  # (2, ...)
        self.flat = np.arange(rows * cols, dtype=np.int32).reshape(rows, cols)
        self.noise = rng.standard_exponential(rows * cols // 2 + NOISE, dtype=np.float32)

    def taken(self) -> np.ndarray:
        """Rows of `cells` of the works, (M,) int64."""
        work = self.work[tuple(self.cells.T)]
        taken = np.empty(work.max() + 1, np.int64)
        taken[work[work >= 0]] = np.flatnonzero(work >= 0)
        return taken

    def swap(self, blur: float, temperature: float) -> None:
        """One pass, with an offset of about `blur` (in mean cells), by the rule of Metropolis et al. 1953."""
        rows, cols = self.work.shape
        down, across = self._draw_offset(blur)
        step = np.array((down * self.pitch[0], across * self.pitch[1]), np.float32)
        stripe, length = (down, rows) if down else (across, cols)
        first = int(self.rng.integers(min(2 * stripe, length - 2 * stripe + 1)))

        def differences(plane: np.ndarray) -> np.ndarray:
            a, b = _pairs(plane, down, across, first)
            return a - b

        saved = differences(self.down) * step[0]
        saved += differences(self.across) * step[1]
        if self.has_holes:
            y, x = (_pairs(plane, down, across, first)[0] for plane in self.centres)
            saved -= differences(self.weight) * (y * step[0] + x * step[1] + step @ step / 2)
        noise = int(self.rng.integers(NOISE))
        least = self.noise[noise : noise + saved.size].reshape(saved.shape) * np.float32(-temperature / 2)
        a = _pairs(self.flat, down, across, first)[0][saved > least]
        b = a + np.int32(down * cols + across)
        for plane in (self.work, self.down, self.across, *([self.weight] if self.has_holes else [])):
            values = plane.reshape(-1)  # a view
            values[a], values[b] = values[b], values[a]

    def _draw_offset(self, blur: float) -> tuple[int, int]:
        """(down, across), not both 0 and at most half the grid; one of each two opposite ones, as a pair needs."""
        half = np.array(self.work.shape) // 2
        while True:
            spread = np.maximum(blur / np.array(self.pitch), REACH)
            offset = np.rint(self.rng.normal(size=2) * spread).astype(int)
            if offset.any() and (np.abs(offset) <= half).all():
                down, across = offset if tuple(offset) > (0, 0) else -offset
                return int(down), int(across)


def _pairs(plane: np.ndarray, down: int, across: int, first: int) -> tuple[np.ndarray, np.ndarray]:
    """Views of every other stripe of a plane (rows, cols), and of what lies (down, across) from it.

    Stripes are `down` rows high, or `across` columns wide where down is 0, and start at `first`.
    """
    rows, cols = plane.shape
    if down:
        n_stripes = (rows - first) // (2 * down)
        stripes = plane[first : first + 2 * down * n_stripes].reshape(n_stripes, 2, down, cols)
        return stripes[:, 0, :, max(0, -across) : cols - max(0, across)], stripes[
            :, 1, :, max(0, across) : cols + min(0, across)
        ]
    n_stripes = (cols - first) // (2 * across)
    stripes = plane[:, first : first + 2 * across * n_stripes].reshape(rows, n_stripes, 2, across)
    return stripes[:, :, 0], stripes[:, :, 1]
