"""The grids: every work of a map gets a cell of its own, and neighbours in the map stay neighbours.

Reads   outputs/tsne.h5
Writes  outputs/grid.h5   image_ids (M,), and per map <map>/cells (M, 2) int32 (row, col), attributes rows, cols, cost
        (mean squared displacement) and mean_displacement, both in units of the map's side
Run     python tsne_to_grid.py            settings: grid
Source  rasterfairy: Klingemann 2016; lap: Crouse 2016, "On implementing 2D rectangular assignment algorithms" (SciPy)
Cost    a map, one core; rasterfairy: 10,000 works 0.6 s, 100,000 works 7 s; lap: 2,500 works 3 s, 10,000 works 200 s
        and 0.8 GB. The cost that rasterfairy reaches is 15 to 35 % above that of lap, which is the least there is.
"""

import time
from pathlib import Path
from typing import Any

import numpy as np

from artatlas import cli, store
from artatlas.config import Config
from artatlas.errors import UserError

# Of the distances of all works to all cells, which lap needs at once: some 22,000 works, and 40 minutes.
LAP_BYTES = 4_000_000_000
LAP_SECONDS_OF_10K = 200  # measured; the time grows with the third power


def choose_shape(n_works: int, aspect_ratio: float) -> tuple[int, int]:
    """(rows, cols) with rows x cols >= n_works, where the last row is the only one that may be short.

    Of all such shapes the one with the smallest |log(cols / rows / aspect_ratio)| + holes / n_works: one percent of
    holes is as bad as being one percent off the shape that is aimed at. 1,231 works aiming at 1.0 get 35 x 36.
    """
    rows = np.arange(1, n_works + 1)
    cols = -(-n_works // rows)  # rounded up
    strain = np.abs(np.log(cols / rows / aspect_ratio)) + (rows * cols - n_works) / n_works
    strain[(rows - 1) * cols >= n_works] = np.inf  # the last row would be empty
    best = int(strain.round(9).argmin())  # of two that are as good, the wider one
    return int(rows[best]), int(cols[best])


def draw_sample(n_works: int, side: int | None, seed: int, file: str) -> np.ndarray:
    """Rows of side x side works drawn without replacement, ascending; all rows where side is None. (M,) int64."""
    if side is None:
        return np.arange(n_works)
    if side * side > n_works:
        raise UserError(
            f"grid.sample: {side} takes {cli.count(side * side, 'work')}, {file} has {n_works:,}. Set it to"
            f" {int(n_works**0.5)} or less, or to null for all works."
        )
    return np.sort(np.random.default_rng(seed).choice(n_works, side * side, replace=False))


def to_unit_square(coordinates: np.ndarray) -> np.ndarray:
    """(M, 2) map coordinates (x, y) -> (M, 2) float64 positions (down, across) in 0..1, in the order of (row, col).

    The y of a map points up and row 0 is the top of the picture, so grid and scatter plot look alike. Each axis is
    stretched to 0..1 by itself; one on which all works are equal becomes 0.5.
    """
    positions = np.column_stack((-coordinates[:, 1], coordinates[:, 0])).astype(np.float64)
    low, high = positions.min(axis=0), positions.max(axis=0)
    span = high - low
    return np.where(span > 0, (positions - low) / np.where(span > 0, span, 1), 0.5)


def assign_rasterfairy(positions: np.ndarray, rows: int, cols: int) -> np.ndarray:
    """Cells (M, 2) int64 by RasterFairy: halve the works and the cells, by column or by row, until one is left.

    The works fill the grid in reading order: only the end of the last row stays empty. This calls the package's step
    and not its loop, whose time grows with the square of the works, and which never ends for some grids with holes.
    With a mask the step cuts any block of cells in half; without one it cuts a side of 37 into 37 strips at once, and
    a quarter fewer neighbours stay together. It sorts coordinates cast to integers, hence ranks.
    """
    from rasterfairy.rasterfairy import sliceQuadrant

    n_works = len(positions)
    empty = (np.arange(rows * cols) >= n_works).astype(int).reshape(rows, cols)
    ranks = np.column_stack((_rank(positions, 1), _rank(positions, 0)))  # (x, y), RasterFairy's order
    cells = np.empty((n_works, 2), np.int64)
    blocks: list[dict[str, Any]] = [{"points": ranks, "grid": [0, 0, cols, rows], "indices": np.arange(n_works)}]
    while blocks:
        block = blocks.pop()
        if len(block["indices"]) == 1:
            col, row, _, _ = block["grid"]
            cells[block["indices"][0]] = row, col
        else:
            halves = sliceQuadrant(block, mask={"mask": empty})
            assert len(halves) == 2, f"rasterfairy could not halve {block['grid']}"  # else this would never end
            blocks += halves
    return cells


def _rank(positions: np.ndarray, axis: int) -> np.ndarray:
    """Ranks along one axis, (M,) int64, all different: ties go by the other axis, then by row."""
    ranks = np.empty(len(positions), np.int64)
    ranks[np.lexsort((positions[:, 1 - axis], positions[:, axis]))] = np.arange(len(positions))
    return ranks


def assign_lap(positions: np.ndarray, rows: int, cols: int) -> np.ndarray:
    """Cells (M, 2) int64 that minimise the sum of squared displacements, exactly.

    Where there are more cells than works it also chooses which stay empty, mostly corners that the map leaves free.
    """
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    cells = np.indices((rows, cols)).reshape(2, -1).T
    distances = cdist(positions, cell_centres(cells, rows, cols), "sqeuclidean")  # (M, rows x cols) float64
    return cells[linear_sum_assignment(distances)[1]]


def cell_centres(cells: np.ndarray, rows: int, cols: int) -> np.ndarray:
    """Cells (M, 2) -> their centres in the unit square, (M, 2) float64."""
    return (cells + 0.5) / (rows, cols)


def check_lap(n_works: int, n_cells: int) -> None:
    """Refuses what lap cannot do, and says how long the rest will take."""
    needed = n_works * n_cells * 8
    if needed > LAP_BYTES:
        raise UserError(
            f"grid.method: lap needs {needed / 1e9:.1f} GB for the distances of {n_works:,} works to {n_cells:,}"
            f" cells, the limit is {LAP_BYTES / 1e9:.0f} GB. Set it to rasterfairy, or grid.sample to"
            f" {int((LAP_BYTES / 8) ** 0.25)} or less."
        )
    seconds = LAP_SECONDS_OF_10K * (n_works / 10_000) ** 3
    if seconds > 10:
        cli.notice(f"grid.method: lap takes about {cli.duration(seconds)} a map for {n_works:,} works")


METHODS = {"rasterfairy": assign_rasterfairy, "lap": assign_lap}


def main(config: Config) -> tuple[Path, str]:
    # 1. Read
    settings = config.grid
    with store.open_output(config, "tsne") as tsne:
        image_ids = store.read_ids(tsne)
        rows_taken = draw_sample(len(image_ids), settings.sample, settings.seed, store.show(tsne.filename))
        positions = {name: to_unit_square(tsne[f"{name}/coordinates"][:][rows_taken]) for name in config.maps}
        inputs = {"tsne": str(tsne.attrs["fingerprint"])}
    recipe = {"settings": config.settings(("grid",))}
    n_works = len(rows_taken)
    rows, cols = choose_shape(n_works, settings.aspect_ratio)
    if settings.method == "lap":
        check_lap(n_works, rows * cols)

    # 2. Compute
    start = time.perf_counter()
    maps = {}
    for name in cli.progress(list(config.maps), unit="map"):
        cells = METHODS[settings.method](positions[name], rows, cols)
        assert len(np.unique(cells, axis=0)) == n_works, f"{settings.method} gave two works of {name} one cell"
        maps[name] = cells, np.linalg.norm(cell_centres(cells, rows, cols) - positions[name], axis=1)
    rate = len(maps) * n_works / (time.perf_counter() - start)

    # 3. Write
    output = config.outputs / "grid.h5"
    with store.create(output, "grid", recipe, inputs) as h5:
        store.write_ids(h5, image_ids[rows_taken])
        for name, (cells, displacement) in maps.items():
            h5[f"{name}/cells"] = cells.astype(np.int32)
            h5[name].attrs.update(
                rows=rows, cols=cols, cost=np.square(displacement).mean(), mean_displacement=displacement.mean()
            )
    moved = ", ".join(f"{name} {displacement.mean():.3f}" for name, (_, displacement) in maps.items())
    return output, (
        f"{cli.count(n_works, 'work')} on {rows} x {cols} cells, moved by (mean, map side = 1): {moved},"
        f" at {rate:,.0f} works/s"
    )


if __name__ == "__main__":
    cli.run(main, __doc__)
