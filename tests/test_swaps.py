"""Annealed swaps come near the least displacement, treat all sides alike, and let be what may stay."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from artatlas import grids, shapes, swaps
from artatlas.grids import cell_centres, cost, to_unit_square


@pytest.fixture
def no_exact(monkeypatch):
    """The swaps themselves, also where the exact optimum would do; one cell has nothing to swap with."""
    monkeypatch.setattr(swaps, "EXACT_CELLS", 1)


def place(positions, cells, shape, passes=500, seed=0):
    return swaps.assign_swaps(positions, cells, *shape, np.random.default_rng(seed), passes)


def rings(n_works, seed=0):
    """Three rings in each other, the worst case of a mosaic: everything has to spread. (N, 2)."""
    rng = np.random.default_rng(seed)
    angle, radius = rng.random(n_works) * 2 * np.pi, rng.choice([1, 4, 9], n_works) + rng.normal(size=n_works) * 0.2
    skew = 1 + 0.2 * np.cos(angle + 0.7)  # one that no turn or mirror maps onto itself
    return np.column_stack((np.cos(angle), np.sin(angle))) * (radius * skew)[:, None]


# Near the optimum


def test_within_one_percent_of_the_optimum():
    """A18. rasterfairy is the control: on the same map it misses by much more."""
    positions, cells = to_unit_square(rings(2500)), shapes.rectangle(2500, 50)
    least = cost(positions, cells[grids.assign_lap(positions, cells, 50, 50)], 50, 50)
    assert cost(positions, cells[place(positions, cells, (50, 50), 2000)], 50, 50) < 1.005 * least
    assert cost(positions, cells[place(positions, cells, (50, 50), 300)], 50, 50) < 1.02 * least
    assert cost(positions, cells[grids.assign_rasterfairy(positions, cells, 50, 50)], 50, 50) > 1.05 * least


@pytest.mark.parametrize("rows, cols", [(40, 25), (10, 100), (2, 500), (1, 1000)])
def test_near_the_optimum_on_any_shape(no_exact, rows, cols):
    positions, cells = to_unit_square(rings(1000)), shapes.rectangle(1000, cols)
    least = cost(positions, cells[grids.assign_lap(positions, cells, rows, cols)], rows, cols)
    assert cost(positions, cells[place(positions, cells, (rows, cols), 2000)], rows, cols) < 1.01 * least


def test_empty_cells_go_where_the_map_is_empty(no_exact):
    """Half of the cells are free: it chooses them nearly as well as the exact method, and far better than at random."""
    positions, shape = to_unit_square(rings(450)), (30, 30)
    cells = shapes.rectangle(900, 30)
    least = cost(positions, cells[grids.assign_lap(positions, cells, *shape)], *shape)
    taken = place(positions, cells, shape, 4000)
    assert len(np.unique(taken)) == 450
    assert cost(positions, cells[taken], *shape) < 1.06 * least  # of next to nothing: a third of a cell a work
    packed = cells[np.random.default_rng(0).permutation(900)[:450]]
    assert least < 0.2 * cost(positions, packed[grids.assign_lap(positions, packed, *shape)], *shape)


def test_few_works_get_the_exact_optimum():
    positions, cells = to_unit_square(rings(400)), shapes.rectangle(400, 20)
    np.testing.assert_array_equal(place(positions, cells, (20, 20)), grids.assign_lap(positions, cells, 20, 20))


def test_more_passes_are_better(no_exact):
    positions, cells = to_unit_square(rings(1600)), shapes.rectangle(1600, 40)
    costs = [cost(positions, cells[place(positions, cells, (40, 40), passes)], 40, 40) for passes in (30, 200, 2000)]
    assert costs[0] > 1.003 * costs[1] > 1.003 * costs[2]


def test_no_bands_at_140_000_works():
    """A17: RasterFairy cut 140,000 works into bands. Two works side by side lie near on the map, across every line.

    The control is the start, rows filled one by one, of which neighbours in a column know nothing.
    """
    n_works, (rows, cols) = 140_000, shapes.choose_shape(140_000, 1.0)
    positions = to_unit_square(np.random.default_rng(0).normal(size=(n_works, 2)))  # without gaps of its own
    cells = shapes.rectangle(n_works, cols)

    def steps(taken):
        """Mean distance on the map between the works on both sides of every line between rows, between columns."""
        grid = np.full((rows, cols, 2), np.nan)
        grid[tuple(cells[taken].T)] = positions
        return [np.nanmean(np.linalg.norm(np.diff(grid, axis=axis), axis=2), axis=1 - axis) for axis in (0, 1)]

    for line in steps(place(positions, cells, (rows, cols), 200)):
        assert line.mean() < 0.004  # one and a half cells
        assert line[32:-32].max() < 4 * np.median(line)  # at the edges the map itself is thin
    assert steps(swaps._strips(positions, cells))[0].mean() > 0.008


# The same for all


def turned(grid, turns, mirrored):
    grid = np.rot90(grid, turns)
    return grid[:, ::-1] if mirrored else grid


@pytest.mark.parametrize("turns, mirrored", [(1, False), (2, False), (3, False), (0, True), (1, True)])
@pytest.mark.parametrize("mask", [np.ones((40, 40), bool), np.ones((30, 50), bool), shapes.disc()[::16, ::10]])
def test_turning_the_map_turns_the_grid(no_exact, mask, turns, mirrored):
    """To the last work, where the cells turn with it; in every method the optimum would."""
    n_works = int(mask.sum()) - 40 * (mask.shape == (40, 40))  # there with empty cells
    coordinates = rings(n_works)

    def grid(coordinates, mask):
        cells = np.argwhere(mask)
        works = np.full(mask.shape, -1)
        taken = place(to_unit_square(coordinates), cells, mask.shape, 100)
        works[tuple(cells[taken].T)] = np.arange(n_works)
        return works

    matrix = np.linalg.matrix_power(np.array([[0, -1], [1, 0]]), turns)  # anticlockwise, as np.rot90
    moved = coordinates @ matrix.T * ((-1, 1) if mirrored else (1, 1))
    expected = turned(grid(coordinates, mask), turns, mirrored)
    np.testing.assert_array_equal(grid(moved, turned(mask, turns, mirrored)), expected)


def test_a_seed_decides(no_exact):
    positions, cells = to_unit_square(rings(900)), shapes.rectangle(900, 30)
    first, again, other = (place(positions, cells, (30, 30), 100, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@hypothesis_settings(max_examples=40, deadline=None)
@given(rows=st.integers(1, 12), cols=st.integers(1, 12), seed=st.integers(0, 10**6))
def test_a_bijection_onto_any_cells(rows, cols, seed):
    """Any subset of any grid, with and without empty cells, duplicates among the works."""
    rng = np.random.default_rng(seed)
    cells = shapes.rectangle(rows * cols, cols)[rng.random(rows * cols) < 0.7]
    if len(cells) < 2:
        return
    n_works = rng.integers(1, len(cells) + 1)
    positions = to_unit_square(rng.integers(0, 5, (n_works, 2)))
    exact, swaps.EXACT_CELLS = swaps.EXACT_CELLS, 1
    try:
        taken = place(positions, cells, (rows, cols), 50, seed)
    finally:
        swaps.EXACT_CELLS = exact
    assert taken.shape == (n_works,) and len(np.unique(taken)) == n_works
    assert (taken >= 0).all() and (taken < len(cells)).all()


# Additions


def grid_of(positions, n_cells=None):
    shape = shapes.choose_shape(n_cells or len(positions), 1.0)
    cells = shapes.rectangle(n_cells or len(positions), shape[1])
    return cells[place(positions, cells, shape)], shape


def add(positions, kept, shape, free=False):
    cells, shape = shapes.enlarge([kept], shape, free)
    return cells[swaps.add_works(positions, kept, cells, *shape, np.random.default_rng(0), 2000)], shape


@pytest.mark.parametrize("method", ["exact", "swaps"])
@pytest.mark.parametrize("free", [0, 0.2])
def test_additions_move_others_by_one_cell_at_most(method, free, monkeypatch):
    """A10. With cells to spare hardly any work has to move; without, a chain of them does, and the others stay."""
    monkeypatch.setattr(swaps, "EXACT_CELLS", {"exact": 10_000, "swaps": 1}[method])
    coordinates = rings(905)
    positions = to_unit_square(coordinates)
    old, shape = grid_of(to_unit_square(coordinates[:900]), round(900 / (1 - free)))
    kept = np.vstack((old, np.full((5, 2), -1)))
    cells, larger = add(positions, kept, shape, free > 0)
    assert len(np.unique(cells, axis=0)) == 905 and (cells >= 0).all() and (cells < larger).all()
    steps = np.abs(cells - kept)[:900].max(axis=1)
    assert steps.max() <= 1
    assert (steps > 0).sum() < (80 if free else 300)
    assert larger == (shape if free else (shape[0] + 1, shape[1]))
    # New works are where the works around them on the map are: nearer than a cell at random is.
    for new in range(900, 905):
        nearest = np.argsort(np.linalg.norm(positions[:900] - positions[new], axis=1))[:3]
        assert np.abs(cells[nearest].mean(axis=0) - cells[new]).max() <= 3


@pytest.mark.parametrize("exact_cells", [1, 10_000])
def test_what_is_there_stays_when_nothing_comes(exact_cells, monkeypatch):
    """Also where works went away, whose cells then stay empty."""
    monkeypatch.setattr(swaps, "EXACT_CELLS", exact_cells)
    positions = to_unit_square(rings(600))
    old, shape = grid_of(positions)
    np.testing.assert_array_equal(add(positions, old, shape)[0], old)
    fewer = np.random.default_rng(0).permutation(600)[:560]
    np.testing.assert_array_equal(add(positions[fewer], old[fewer], shape)[0], old[fewer])


def test_centres_are_where_the_cells_are():
    np.testing.assert_allclose(cell_centres(np.array([[0, 0], [1, 3]]), 2, 4), [[-0.25, -0.375], [0.25, 0.375]])
