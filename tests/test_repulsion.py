"""The repulsion by splines is that of all pairs, to the error that the grid allows."""

import numpy as np
import pytest
from conftest import peak_bytes

from artatlas.repulsion import MOST_NODES, Repulsion, exact

rng = np.random.default_rng(0)
N_WORKS = 3000
CLUSTERED = rng.normal(size=(12, 2))[np.arange(N_WORKS) % 12] * 25 + rng.normal(size=(N_WORKS, 2)) * 3


def error(forces, truth):
    """Root mean square difference as a share of the root mean square force."""
    return np.sqrt(np.square(forces - truth).sum() / np.square(truth).sum())


def test_forces_are_the_slope_of_z():
    """d Z / d y_i = -4 sum_j (y_i - y_j) / (1 + d_ij^2)^2, by finite differences."""
    y = rng.normal(size=(40, 2))
    forces, _ = exact(y)
    step = 1e-6
    for i, axis in ((0, 0), (7, 1), (39, 0)):
        up, down = y.copy(), y.copy()
        up[i, axis] += step
        down[i, axis] -= step
        assert (exact(up)[1] - exact(down)[1]) / (2 * step) == pytest.approx(-4 * forces[i, axis], rel=1e-5)


def test_splines_give_the_forces_of_all_pairs():
    truth, z = exact(CLUSTERED)
    forces, found_z = Repulsion()(CLUSTERED)
    assert error(forces, truth) < 0.02 and found_z == pytest.approx(z, rel=2e-3)
    assert error(forces[::-1], truth) > 1  # the control: another work's force is no approximation


def test_a_finer_grid_brings_the_error_down_by_its_cube():
    truth, _ = exact(CLUSTERED)
    errors = [error(Repulsion(node)(CLUSTERED)[0], truth) for node in (1, 0.5, 0.25)]
    assert errors[1] < errors[0] / 4 and errors[2] < errors[1] / 7


@pytest.mark.parametrize(("size", "allowed"), [(1e-4, 0.05), (1e-2, 5e-3), (0.3, 1e-3), (3, 1e-3)])
def test_small_maps_get_a_finer_grid(size, allowed):
    """t-SNE starts at 1e-4 and is small at first: all works would lie in a few cells of a coarse grid."""
    small = rng.normal(size=(1000, 2)) * size
    truth, _ = exact(small)
    assert error(Repulsion()(small)[0], truth) < allowed
    assert error(Repulsion()(small)[0] * 1.1, truth) > allowed  # the control


def test_the_same_bytes_on_any_number_of_threads_and_after_any_call_before():
    fresh, used = Repulsion(threads=1), Repulsion(threads=2)
    used(CLUSTERED * 1.01)
    np.testing.assert_array_equal(used(CLUSTERED)[0], Repulsion(threads=2)(CLUSTERED)[0])
    np.testing.assert_array_equal(fresh(CLUSTERED)[0], used(CLUSTERED)[0])


def test_moving_a_map_changes_nothing():
    forces, z = Repulsion()(CLUSTERED)
    moved, moved_z = Repulsion()(CLUSTERED + [1000, -3])
    np.testing.assert_allclose(moved, forces, atol=1e-3 * np.abs(forces).max())
    assert moved_z == pytest.approx(z, rel=1e-5)


def test_few_works_are_exact_however_far_apart():
    y = rng.normal(size=(600, 2)) * 1e6
    np.testing.assert_array_equal(Repulsion()(y)[0], exact(y)[0])


def test_a_map_as_wide_as_a_runaway_work_makes_it_takes_bounded_memory():
    wide = CLUSTERED.copy()
    wide[0] = 1e6
    repulsion = Repulsion()
    peak = peak_bytes(lambda: repulsion(wide))
    assert repulsion._n_nodes <= 1.2 * MOST_NODES and peak < 1e9
    assert np.isfinite(repulsion(wide)[0]).all()


def test_works_that_share_a_point_do_not_push_each_other():
    forces, z = Repulsion()(np.zeros((1000, 2)))
    assert np.abs(forces).max() < 1e-2 and z == pytest.approx(1000 * 999, rel=1e-3)
