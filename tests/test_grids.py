"""A grid is a bijection near the least displacement, whatever the method, the number of works and the map's units."""

import itertools
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from artatlas import grids, shapes, swaps
from artatlas.grids import cost, to_unit_square

PASSES = 300


def rasterfairy(positions, cells, rows, cols):
    return grids.assign_rasterfairy(positions, cells, rows, cols)


def lap(positions, cells, rows, cols):
    return grids.assign_lap(positions, cells, rows, cols)


def annealed(positions, cells, rows, cols, seed=0):
    """The swaps themselves, also where the exact optimum would do."""
    exact, swaps.EXACT_CELLS = swaps.EXACT_CELLS, 1  # one cell has nothing to swap with
    try:
        return swaps.assign_swaps(positions, cells, rows, cols, np.random.default_rng(seed), PASSES)
    finally:
        swaps.EXACT_CELLS = exact


METHODS = pytest.mark.parametrize("method", [rasterfairy, lap, annealed])


def place(method, positions, rows, cols):
    """(M, 2) cells on a rectangle of which only the end of the last row stays free."""
    cells = shapes.rectangle(len(positions), cols)
    return cells[method(positions, cells, rows, cols)]


def blobs(n_works, seed=0):
    """A map as t-SNE draws them: groups of different sizes with empty space between them. (N, 2) float32."""
    rng = np.random.default_rng(seed)
    centres, spreads = rng.normal(size=(12, 2)) * 30, rng.uniform(2, 10, 12)
    group = rng.integers(12, size=n_works)
    return (centres[group] + rng.normal(size=(n_works, 2)) * spreads[group, None]).astype(np.float32)


def assert_bijection(cells, n_works, rows, cols):
    assert cells.shape == (n_works, 2)
    assert (cells >= 0).all() and (cells < (rows, cols)).all()
    assert len(np.unique(cells, axis=0)) == n_works


# Bijection


@METHODS
def test_bijection_for_every_number_of_works(method):
    """A21: primes, and 1, 2 and 3 works, are as good as any."""
    for n_works in (*range(1, 31), 97, 300):
        positions = to_unit_square(blobs(n_works, seed=n_works))
        rows, cols = shapes.choose_shape(n_works, (1.0, 16 / 9, 0.2)[n_works % 3])
        assert_bijection(place(method, positions, rows, cols), n_works, rows, cols)


@METHODS
@hypothesis_settings(max_examples=40, deadline=None)
@given(
    coordinates=st.lists(st.tuples(*[st.integers(-4, 4)] * 2), min_size=1, max_size=60),
    aspect_ratio=st.floats(0.05, 20),
)
def test_bijection_with_duplicates_and_collinear_works(method, coordinates, aspect_ratio):
    """A21: equal coordinates, works on one line, all works in one point."""
    rows, cols = shapes.choose_shape(len(coordinates), aspect_ratio)
    cells = place(method, to_unit_square(np.array(coordinates, np.float32)), rows, cols)
    assert_bijection(cells, len(coordinates), rows, cols)


@METHODS
@pytest.mark.parametrize("coordinates", [np.zeros((50, 2)), np.column_stack((np.zeros(50), np.arange(50)))])
def test_constant_axes(method, coordinates):
    """A21: without a difference there is no order, but every work still gets its cell."""
    assert_bijection(place(method, to_unit_square(coordinates), 7, 8), 50, 7, 8)


def test_rasterfairy_fills_in_reading_order():
    """Holes are at the end of the last row only, where a reader of the picture expects them."""
    cells = place(rasterfairy, to_unit_square(blobs(50)), 7, 8)
    assert sorted(map(tuple, cells)) == list(itertools.product(range(7), range(8)))[:50]


# What a grid means


@METHODS
def test_map_and_grid_look_alike(method):
    """Row 0 is the top: a map that already is a grid comes back as that grid, with y up."""
    row, col = np.indices((6, 9)).reshape(2, -1)
    order = np.random.default_rng(0).permutation(54)
    coordinates = np.column_stack((col * 3.0 + 100, -row * 5.0))[order]
    cells = place(method, to_unit_square(coordinates), 6, 9)
    np.testing.assert_array_equal(cells, np.column_stack((row, col))[order])


@METHODS
@pytest.mark.parametrize("scale", [(1e-6, 1e-6), (1e6, 1e6), (3.0, 0.01)])
def test_units_of_the_map_do_not_matter(method, scale):
    """A19: RasterFairy scrambled maps scaled to 0..1, for it sorts integers."""
    coordinates = blobs(150).astype(np.float64)
    moved = coordinates * scale + (12.5, -700.0) * np.array(scale)
    before, after = (place(method, to_unit_square(points), 12, 13) for points in (coordinates, moved))
    np.testing.assert_array_equal(before, after)


@METHODS
def test_order_of_rows_does_not_matter(method):
    positions, order = to_unit_square(blobs(150)), np.random.default_rng(1).permutation(150)
    np.testing.assert_array_equal(place(method, positions, 12, 13)[order], place(method, positions[order], 12, 13))


def kept_neighbours(coordinates, cells):
    """Share of each work's 8 nearest in the map that are at most 2 cells away in the grid."""
    nearest = NearestNeighbors(n_neighbors=9).fit(coordinates).kneighbors(coordinates, return_distance=False)[:, 1:]
    return (np.abs(cells[nearest] - cells[:, None]).max(axis=2) <= 2).mean()


@METHODS
@pytest.mark.parametrize("n_works", [900, 911, 1369])
def test_neighbours_stay_together(method, n_works):
    """A17, A18: 911 is prime and 1369 = 37 x 37, sizes at which RasterFairy's own loop cuts long strips (0.60)."""
    coordinates = blobs(n_works)
    cells = place(method, to_unit_square(coordinates), *shapes.choose_shape(n_works, 1.0))
    assert kept_neighbours(coordinates, cells) > 0.75
    shuffled = np.random.default_rng(0).permutation(cells)
    assert kept_neighbours(coordinates, shuffled) < 0.05


@pytest.mark.parametrize("n_works, rows, cols", [(1, 1, 1), (2, 1, 2), (4, 2, 2), (5, 2, 3), (6, 2, 3), (7, 7, 1)])
def test_lap_is_the_optimum(n_works, rows, cols):
    """Also among the choices of cells to leave empty."""
    positions = np.random.default_rng(n_works).random((n_works, 2)) - 0.5
    cells = shapes.rectangle(rows * cols, cols)
    least = min(
        cost(positions, cells[list(choice)], rows, cols)
        for choice in itertools.permutations(range(rows * cols), n_works)
    )
    found = cells[grids.assign_lap(positions, cells, rows, cols)]
    assert cost(positions, found, rows, cols) == pytest.approx(least, abs=1e-12)


@hypothesis_settings(max_examples=25, deadline=None)
@given(n_works=st.integers(1, 200), seed=st.integers(0, 10**6))
def test_lap_is_never_worse_than_rasterfairy(n_works, seed):
    """A18: the ceiling is known, so a method can be judged against it."""
    positions, shape = to_unit_square(blobs(n_works, seed)), shapes.choose_shape(n_works, 1.0)
    least, halved = (cost(positions, place(method, positions, *shape), *shape) for method in (lap, rasterfairy))
    assert least <= halved + 1e-12


def test_rasterfairy_is_near_the_optimum():
    """A18: at most half as much again, where a random grid costs several times as much."""
    positions = to_unit_square(blobs(900))
    least, halved = (cost(positions, place(method, positions, 30, 30), 30, 30) for method in (lap, rasterfairy))
    random = cost(positions, np.random.default_rng(0).permutation(np.indices((30, 30)).reshape(2, -1).T), 30, 30)
    assert least < halved < 1.5 * least < 0.5 * random


def test_rasterfairy_is_fast_and_quiet(capfd):
    """A20: works with today's numpy, from which np.float is gone; and prints nothing."""
    start = time.process_time()
    cells = place(rasterfairy, to_unit_square(blobs(10_007)), 100, 101)
    assert time.process_time() - start < 5  # 0.6 s on an idle machine
    assert_bijection(cells, 10_007, 100, 101)
    assert not hasattr(np, "float")
    assert capfd.readouterr() == ("", "")
