"""New works go where their neighbours gather; certainty is a share that was counted; noise is strange."""

import numpy as np
import pytest
from conftest import peak_bytes
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from artatlas import metrics, placement
from artatlas.placement import Neighborhood


def two_groups(n_works=200, seed=0):
    """Features of two groups of works, and a map that has them at (-20, 0) and (20, 0)."""
    rng = np.random.default_rng(seed)
    side = np.arange(n_works) % 2 * 2 - 1
    inner = rng.normal(size=(n_works, 2))
    features = np.column_stack([5 * side, inner, 0.3 * rng.normal(size=(n_works, 3))]).astype("f4")
    coordinates = np.column_stack([20 * side, np.zeros(n_works)]) + 3 * inner
    return features, coordinates.astype("f4"), side


@pytest.fixture
def atlas():
    features, coordinates, _ = two_groups()
    return placement.prepare(features, coordinates, 15, seed=0)


def found(atlas, features):
    return placement.gather(placement.neighborhood(atlas, features), atlas.bandwidth)


def test_works_of_the_map_lie_where_they_are_and_new_ones_in_their_group(atlas):
    features, coordinates, _ = two_groups()
    assert (found(atlas, features) == coordinates).all()
    new, places, side = two_groups(seed=1)
    assert (np.sign(found(atlas, new)[:, 0]) == side).all()
    errors = np.linalg.norm(found(atlas, new) - places, axis=1)
    shuffled = np.linalg.norm(found(atlas, new) - np.random.default_rng(0).permutation(places), axis=1)
    assert np.median(errors) < 2 < 10 < np.median(shuffled)  # the map is 40 wide; a group's deviation is 3


def test_a_work_between_two_groups_lies_in_one_of_them_unsure_and_not_between(atlas):
    between = np.zeros((1, 6), "f4")
    near = placement.neighborhood(atlas, between)
    place = placement.gather(near, atlas.bandwidth)
    mean = np.einsum("mk,mkd->md", near.weights, near.places)
    assert abs(place[0, 0]) > 14 and abs(mean[0, 0]) < 12  # where a mean would put it
    inside = placement.neighborhood(atlas, two_groups(seed=1)[0][:50])
    sure = placement.agreement(inside, placement.gather(inside, atlas.bandwidth), atlas.bandwidth)
    assert placement.agreement(near, place, atlas.bandwidth)[0] < np.median(sure)


@hypothesis_settings(deadline=None, max_examples=30)
@given(st.integers(1, 12), st.integers(0, 2**16))
def test_the_place_is_the_best_of_all_that_agree(n_neighbors, seed):
    """No neighbour's place is agreed on more, moving the map moves it, and the order of neighbours plays no part."""
    rng = np.random.default_rng(seed)
    places = rng.normal(0, 10, (3, n_neighbors, 2))
    weights = rng.dirichlet(np.ones(n_neighbors), 3)
    near = Neighborhood(places, weights)
    place = placement.gather(near, 2.0)
    agreed = placement.agreement(near, place, 2.0)
    for k in range(n_neighbors):
        assert (agreed >= placement.agreement(near, places[:, k], 2.0) - 1e-4).all()
    assert ((agreed > 0) & (agreed <= 1 + 1e-6)).all()
    turn = np.array([[0.0, -3.0], [3.0, 0.0]])
    moved = placement.gather(Neighborhood(places @ turn + [7, -5], weights), 6.0)
    assert np.allclose(moved, place @ turn + [7, -5], atol=1e-3)
    order = rng.permutation(n_neighbors)
    assert np.allclose(placement.gather(Neighborhood(places[:, order], weights[:, order]), 2.0), place, atol=1e-3)


def test_order_and_company_of_new_works_change_nothing(atlas):
    new, _, _ = two_groups(seed=2)
    together, order = found(atlas, new), np.random.default_rng(0).permutation(len(new))
    assert (found(atlas, new[order]) == together[order]).all()
    assert (found(atlas, new[:1]) == together[:1]).all()


def test_certainty_is_the_share_that_was_right_and_rises_with_agreement():
    rng = np.random.default_rng(0)
    agreed = rng.random(20_000).astype("f4")
    errors = np.where(rng.random(20_000) < agreed**2, 0.01, 0.5)
    calibration = placement.calibrate(agreed, errors, np.arange(101.0), 0.05)
    asked = np.linspace(-0.5, 1.5, 1000, dtype="f4")
    certainty = calibration.certainty_of(asked)
    assert (np.diff(certainty) >= 0).all() and certainty.min() >= 0 and certainty.max() <= 1
    inside = (asked > 0) & (asked < 1)
    assert np.abs(certainty - asked**2)[inside].max() < 0.1
    at_random = placement.calibrate(rng.permutation(agreed), errors, np.zeros(0), 0.05)  # control
    assert np.ptp(at_random.certainty_of(asked[inside][100:-100])) < 0.15
    assert calibration.off_map_above == 95 and calibration.n_works == 20_000 and at_random.off_map_above == np.inf
    assert abs(calibration.share_right - 1 / 3) < 0.02 and calibration.median_error == 0.5


def test_rehearsal_leaves_the_work_out_and_its_errors_are_distances(atlas):
    features, coordinates, _ = two_groups()
    _, errors = placement.rehearse(atlas, features, atlas.sample)
    assert len(errors) == 200 and 0 < np.median(errors) < placement.RIGHT_WITHIN
    wrong = placement.prepare(features, np.random.default_rng(0).permutation(coordinates), 15, seed=0)
    assert np.median(placement.rehearse(wrong, features, wrong.sample)[1]) > 0.2  # control: a map of nothing
    rows = np.arange(10)
    _, errors = placement.rehearse(atlas, features, rows, lambda some: coordinates[rows] + [3, 4])
    assert np.allclose(errors, 5 / atlas.diagonal)


def test_noise_is_strange_and_scale_does_not_matter():
    rng = np.random.default_rng(0)
    basis = rng.normal(size=(4, 60))
    works = rng.normal(size=(500, 4)) @ basis + 0.1 * rng.normal(size=(500, 60))
    own, of_works = placement.novelty(works[:400].astype("f4"), works[400:].astype("f4"), 0)
    noise = rng.normal(size=(100, 60)) * works.std()
    _, of_noise = placement.novelty(works[:400].astype("f4"), noise.astype("f4"), 0)
    is_noise = np.arange(200) < 100
    assert metrics.auc(is_noise, np.concatenate([of_noise, of_works])) > 0.99
    assert 0.4 < metrics.auc(is_noise, np.concatenate([of_works, own[:100]])) < 0.6  # control: works are not
    _, scaled = placement.novelty((works[:400] * 1000 + 5).astype("f4"), (works[400:] * 1000 + 5).astype("f4"), 0)
    assert np.allclose(scaled, of_works, rtol=1e-3)


@pytest.mark.parametrize("n_works", [1, 2, 3, 12])
def test_tiny_and_uniform_collections_work(n_works):
    for features in (np.eye(n_works, 4, dtype="f4"), np.ones((n_works, 4), "f4")):
        for coordinates in (np.arange(2.0 * n_works, dtype="f4").reshape(n_works, 2), np.ones((n_works, 2), "f4")):
            atlas = placement.prepare(features, coordinates, 30, seed=0)
            near = placement.neighborhood(atlas, np.full((3, 4), 0.3, "f4"))
            place = placement.gather(near, atlas.bandwidth)
            own, new = placement.novelty(features, np.full((3, 4), 0.3, "f4"), 0)
            calibration = placement.calibrate(*placement.rehearse(atlas, features, atlas.sample), own, 0.05)
            certainty = calibration.certainty_of(placement.agreement(near, place, atlas.bandwidth))
            for values in (place, certainty, own, new):
                assert np.isfinite(values).all()
            assert place.shape == (3, 2) and (certainty == certainty[0]).all()
            assert n_works > 1 or certainty[0] == 0  # nothing is known of how sure a place is


def test_placing_many_works_takes_the_memory_of_a_block(atlas):
    near = placement.neighborhood(atlas, two_groups(4000, seed=3)[0])
    few = Neighborhood(near.places[:1000], near.weights[:1000])
    one, other = (peak_bytes(lambda of=of: placement.gather(of, 1.0)) for of in (few, near))
    assert other - one < 1_000_000  # all kernels of 3,000 works more would be 48 MB
