"""The grids: every work of a map gets a cell of its own, and neighbours in the map stay neighbours.

Reads   outputs/tsne.h5, and the grid.h5 that grid.keep names
Writes  outputs/grid.h5   image_ids (M,), and per map <map>/cells (M, 2) int32 (row, col), attributes rows, cols, cost
        (mean squared displacement) and mean_displacement, both in units of the map's side; with grid.keep also kept and
        moved (works that had a cell, and those of them that have another now)
        With --update no work moves: added ones get free cells, of the shape, then of the rectangle around it, and when
        all are taken the grid gets a row at the bottom or a column on the right
Run     python tsne_to_grid.py [--update]            settings: grid
Source  swaps: simulated annealing, Kirkpatrick et al. 1983; lap: Crouse 2016, "On implementing 2D rectangular
        assignment algorithms" (SciPy); rasterfairy: Klingemann 2016
Cost    a map, one core: swaps 10,000 works 0.7 to 1.4 s, 100,000 works 5 to 8 s and 20 MB, up to 1,500 cells, of which
        it takes the exact optimum, 2 s; rasterfairy 10,000 works 0.6 s, 100,000 works 7 to 12 s; lap 2,500 works 3 to
        7 s, 10,000 works 200 s and 0.8 GB
"""

import time
from pathlib import Path
from typing import Any

import numpy as np

from artatlas import cli, grids, shapes, store
from artatlas.config import Config, Grid
from artatlas.errors import UserError
from artatlas.swaps import add_to_free_cells, assign_swaps
from artatlas.swaps import add_works as let_in

# Of the distances of all works to all cells, which lap needs at once: some 22,000 works, and 40 minutes.
LAP_BYTES = 4_000_000_000
LAP_SECONDS_OF_10K = 200  # measured; the time grows with the third power


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


def choose_cells(n_works: int, settings: Grid) -> tuple[np.ndarray, tuple[int, int]]:
    """The cells that may be used (K, 2) int64 (row, col), and the (rows, cols) of the grid."""
    n_cells = round(n_works / (1 - settings.free))
    if settings.mask is None:
        shape = shapes.choose_shape(n_cells, settings.aspect_ratio)
        return shapes.rectangle(n_cells, shape[1]), shape
    if settings.mask == "circle":
        return shapes.fill(shapes.disc(), n_cells, settings.aspect_ratio)
    mask = read_mask(settings.mask)
    return shapes.fill(mask, n_cells, settings.aspect_ratio * mask.shape[1] / mask.shape[0])


def read_mask(file: str) -> np.ndarray:
    from artatlas import images  # here, because it needs Pillow and most grids do not

    return images.read_mask(file)


def check_settings(config: Config) -> None:
    """Raises UserError for settings that do not go together, and for a mask that cannot be read."""
    settings, problems = config.grid, []
    if settings.mask not in (None, "circle"):
        read_mask(settings.mask)
    if settings.method == "rasterfairy" and settings.free:
        problems.append(
            f"grid.free: {settings.free} needs a method that chooses cells. Set grid.method to swaps or lap."
        )
    if settings.keep and settings.method != "swaps":
        problems.append(f"grid.keep: does not go with grid.method: {settings.method}. Set that to swaps.")
    if settings.keep and settings.mask:
        problems.append(f"grid.keep: does not go with grid.mask: {settings.mask}. Set one of them to null.")
    if problems:
        raise UserError(*problems)


def check_lap(n_works: int, n_cells: int) -> None:
    """Refuses what lap cannot do, and says how long the rest will take."""
    needed = n_works * n_cells * 8
    if needed > LAP_BYTES:
        raise UserError(
            f"grid.method: lap needs {needed / 1e9:.1f} GB for the distances of {n_works:,} works to {n_cells:,}"
            f" cells, the limit is {LAP_BYTES / 1e9:.0f} GB. Set it to swaps, which comes within 1% of it."
        )
    seconds = LAP_SECONDS_OF_10K * (n_works / 10_000) ** 3
    if seconds > 10:
        cli.notice(f"grid.method: lap takes about {cli.duration(seconds)} a map for {n_works:,} works")


def assign(positions: np.ndarray, cells: np.ndarray, shape: tuple[int, int], settings: Grid) -> np.ndarray:
    """Cells (M, 2) int64 for works at positions (M, 2)."""
    if settings.method == "swaps":
        rng = np.random.default_rng(settings.seed)
        return cells[assign_swaps(positions, cells, *shape, rng, settings.passes)]
    method = {"rasterfairy": grids.assign_rasterfairy, "lap": grids.assign_lap}[settings.method]
    return cells[method(positions, cells, *shape)]


def read_kept(
    file: Path, names: list[str], image_ids: np.ndarray
) -> tuple[dict[str, np.ndarray], tuple[int, int], str]:
    """Of an earlier grid.h5: per map cells (M, 2) int64, -1 for works it has not; (rows, cols); its fingerprint."""
    with store.open_kept(file, "grid") as h5:
        lacking = [name for name in names if name not in h5]
        if lacking:
            raise UserError(f"grid.keep: {store.show(file)} has no map {lacking[0]}. Set it to null.")
        row = {image_id: i for i, image_id in enumerate(store.read_ids(h5))}
        rows = np.array([row.get(image_id, -1) for image_id in image_ids])
        if (rows < 0).all():
            raise UserError(f"grid.keep: {store.show(file)} has none of the works. Set it to null.")
        kept = {name: np.where(rows[:, None] >= 0, h5[f"{name}/cells"][:][rows], -1).astype(np.int64) for name in names}
        attributes = h5[names[0]].attrs
        return kept, (int(attributes["rows"]), int(attributes["cols"])), str(h5.attrs["fingerprint"])


def describe(
    positions: np.ndarray, cells: np.ndarray, shape: tuple[int, int], kept: np.ndarray | None
) -> dict[str, int | float]:
    """The attributes of a map's grid."""
    displacement = np.linalg.norm(grids.cell_centres(cells, *shape) - positions, axis=1)
    cost, mean = float(np.square(displacement).mean()), float(displacement.mean())
    found: dict[str, int | float] = {"rows": shape[0], "cols": shape[1], "cost": cost, "mean_displacement": mean}
    if kept is not None:
        had = kept[:, 0] >= 0
        found |= {"kept": int(had.sum()), "moved": int((kept != cells).any(axis=1)[had].sum())}
    return found


def free_cells(
    taken: np.ndarray, n_new: int, n_drawn: int, shape: tuple[int, int], settings: Grid
) -> tuple[np.ndarray, tuple[int, int]]:
    """Cells (F, 2) in reading order for n_new works, at least, none of them `taken` (T, 2); and (rows, cols)."""
    offered = []
    if not settings.keep:
        cells, its_shape = choose_cells(n_drawn, settings)
        if its_shape == shape:
            offered.append((cells, shape))
    rectangle = shapes.rectangle(shape[0] * shape[1], shape[1])
    larger = shapes.extend(shape, len(taken) + n_new, settings.aspect_ratio)
    offered += [(rectangle, shape), (shapes.rectangle(larger[0] * larger[1], larger[1]), larger)]
    for cells, its_shape in offered:
        is_taken = np.zeros(its_shape, bool)
        is_taken[tuple(taken.T)] = True
        free = cells[~is_taken[tuple(cells.T)]]
        if len(free) >= n_new:
            break
    return free, its_shape


def add_works(config: Config) -> tuple[Path, str]:
    """--update: no work moves, added ones get free cells."""
    # 1. Read
    settings, names = config.grid, list(config.maps)
    with store.open_before(config, "grid") as h5:
        known, recipe, n_drawn = store.read_ids(h5), store.recipe_after(h5), store.n_before_additions(h5)
        shape = int(h5[names[0]].attrs["rows"]), int(h5[names[0]].attrs["cols"])
        before = {name: h5[f"{name}/cells"][:].astype(np.int64) for name in names}
    with store.open_output(config, "tsne") as tsne:
        stored, inputs = store.read_ids(tsne), {"tsne": str(tsne.attrs["fingerprint"])}
        is_new = ~store.are_among(stored, known) if settings.sample is None else np.zeros(len(stored), bool)
        image_ids = np.concatenate([known, stored[is_new]])
        rows = store.rows_of(image_ids, stored)
        positions = {name: grids.to_unit_square(tsne[f"{name}/coordinates"][:][rows]) for name in names}
    n_new = len(image_ids) - len(known)

    # 2. Compute
    maps, kept = {}, {}
    for name in names:
        free, larger = free_cells(before[name], n_new, n_drawn, shape, settings)
        kept[name] = np.concatenate([before[name], np.full((n_new, 2), -1)])
        rng = np.random.default_rng(settings.seed)
        maps[name] = add_to_free_cells(positions[name], kept[name], free, *larger, rng, settings.passes)
        assert len(np.unique(maps[name], axis=0)) == len(image_ids), f"two works of {name} have one cell"

    # 3. Write
    output = config.outputs / "grid.h5"
    with store.create(output, "grid", recipe, inputs) as h5:
        store.write_ids(h5, image_ids)
        for name in names:
            h5[f"{name}/cells"] = maps[name].astype(np.int32)
            h5[name].attrs.update(describe(positions[name], maps[name], larger, kept[name]))
    grown = f"which grew from {shape[0]} x {shape[1]}" if larger != shape else "as before"
    return output, f"{cli.count(n_new, 'work')} added to {len(known):,} on {larger[0]} x {larger[1]} cells, {grown}"


def main(config: Config, update: bool = False) -> tuple[Path, str]:
    # 1. Read
    if update:
        return add_works(config)
    settings, names = config.grid, list(config.maps)
    check_settings(config)
    with store.open_output(config, "tsne") as tsne:
        image_ids = store.read_ids(tsne)
        rows_taken = draw_sample(len(image_ids), settings.sample, settings.seed, store.show(tsne.filename))
        positions = {name: grids.to_unit_square(tsne[f"{name}/coordinates"][:][rows_taken]) for name in names}
        inputs = {"tsne": str(tsne.attrs["fingerprint"])}
    recipe: dict[str, Any] = {"settings": config.settings(("grid",))}
    image_ids, kept = image_ids[rows_taken], {}
    if settings.keep:
        kept, shape, recipe["kept"] = read_kept(Path(settings.keep), names, image_ids)
        cells, shape = shapes.enlarge(list(kept.values()), shape, settings.free > 0)
    else:
        cells, shape = choose_cells(len(image_ids), settings)
    if settings.method == "lap":
        check_lap(len(image_ids), len(cells))

    # 2. Compute
    start = time.perf_counter()
    maps = {}
    for name in cli.progress(names, unit="map"):
        if settings.keep:
            rng = np.random.default_rng(settings.seed)
            maps[name] = cells[let_in(positions[name], kept[name], cells, *shape, rng, settings.passes)]
        else:
            maps[name] = assign(positions[name], cells, shape, settings)
        assert len(np.unique(maps[name], axis=0)) == len(image_ids), f"two works of {name} have one cell"
    rate = len(maps) * len(image_ids) / (time.perf_counter() - start)
    found = {name: describe(positions[name], maps[name], shape, kept.get(name)) for name in names}

    # 3. Write
    output = config.outputs / "grid.h5"
    with store.create(output, "grid", recipe, inputs) as h5:
        store.write_ids(h5, image_ids)
        for name in names:
            h5[f"{name}/cells"] = maps[name].astype(np.int32)
            h5[name].attrs.update(found[name])
    size = f"{cli.count(len(image_ids), 'work')} on {shape[0]} x {shape[1]} cells"
    if settings.keep:
        moved = ", ".join(f"{name} {figures['moved']:,} of {figures['kept']:,}" for name, figures in found.items())
        return output, f"{size}, kept works that have another cell now: {moved}, at {rate:,.0f} works/s"
    moved = ", ".join(f"{name} {figures['mean_displacement']:.3f}" for name, figures in found.items())
    return output, f"{size}, moved by (mean, map side = 1): {moved}, at {rate:,.0f} works/s"


if __name__ == "__main__":
    cli.run(main, __doc__, cli.add_update)
