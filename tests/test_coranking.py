"""A faithful map scores 1, a random one what chance gives, and the figures are those of the definitions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.manifold import trustworthiness as reference

from artatlas import coranking, metrics


def compare(features, coordinates, ks=(5, 10), landmarks=None):
    n_works = len(features)
    ks = coranking.usable_ks(ks, n_works)
    lists = coranking.nearest_by_features(features, ks[-1]), coranking.nearest_on_map(coordinates, ks[-1])
    landmarks = np.arange(n_works) if landmarks is None else landmarks
    return coranking.compare(features, coordinates, *lists, ks, ks[-1], landmarks)


@pytest.fixture
def plane():
    return np.random.default_rng(0).normal(size=(600, 2)).astype(np.float32)


@pytest.fixture
def bent():
    """Features in 30 dimensions and a map that keeps some of their neighbours."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(12, 30))[rng.integers(12, size=900)] * 1.5 + rng.normal(size=(900, 30))
    return x.astype(np.float32), (x[:, :2] + 0.2 * x[:, 2:4]).astype(np.float32)


def test_a_copy_is_wholly_faithful_turned_mirrored_and_scaled(plane):
    turned = 30 * plane @ np.array([[0, 1], [1, 0]], np.float32) + 100
    found = compare(plane, turned)
    for figure in (found.kept, found.trustworthiness, found.continuity, found.is_near):
        assert (figure > 0.999).all()  # a rounded coordinate may swap two that are equally far
    assert (compare(plane, plane).kept == 1).all()


def test_a_random_map_is_at_chance(plane):
    other = np.random.default_rng(5).normal(size=(600, 2)).astype(np.float32)
    found = compare(plane, other, (10,))
    assert found.kept.mean() == pytest.approx(10 / 599, abs=0.005)
    assert found.trustworthiness.mean() == pytest.approx(0.5, abs=0.02)
    assert found.continuity.mean() == pytest.approx(0.5, abs=0.02)
    assert found.is_near.mean() == pytest.approx(29 / 599, abs=0.01)


def test_means_over_the_works_are_the_published_figures(bent):
    features, coordinates = bent
    found = compare(features, coordinates, (5, 12))
    for column, k in enumerate((5, 12)):
        trust = reference(features, coordinates, n_neighbors=k)
        continuity = reference(coordinates, features, n_neighbors=k)
        assert found.trustworthiness[:, column].mean() == pytest.approx(trust, abs=1e-6)
        assert found.continuity[:, column].mean() == pytest.approx(continuity, abs=1e-6)
        assert trust != pytest.approx(continuity, abs=1e-3)  # or the roles could be swapped unnoticed
    lists = metrics.neighbours(features, 5), metrics.neighbours(coordinates, 5)
    kept = [len(np.intersect1d(*pair)) / 5 for pair in zip(*lists, strict=True)]
    np.testing.assert_allclose(found.kept[:, 0], kept)


def test_five_works_by_hand():
    """On a line 0 1 2 3 4 the map swaps the ends: its works stand at 4 1 2 3 0, between them a little more room."""
    features = np.array([[0.0], [1.1], [2.3], [3.6], [5.0]], np.float32)
    coordinates = np.array([[5.0, 0], [1.1, 0], [2.3, 0], [3.6, 0], [0.0, 0]], np.float32)
    found = compare(features, coordinates, (1,))
    # Nearest on the map: of 0 it is 3, its third by the features; of 1 it is 4, its fourth; of 2 it is 1, its first;
    # of 3 it is 2, its first; of 4 it is 1, its third. The worst a rank can be off is 4 - 1 = 3.
    np.testing.assert_array_equal(found.kept[:, 0], [0, 0, 1, 1, 0])
    np.testing.assert_allclose(found.trustworthiness[:, 0], [1 - 2 / 3, 1 - 3 / 3, 1, 1, 1 - 2 / 3])


def test_landmarks_estimate_what_all_works_say(bent):
    features, coordinates = bent
    exact = compare(features, coordinates)
    drawn = np.random.default_rng(0).choice(900, 300, replace=False)
    estimated = compare(features, coordinates, landmarks=np.sort(drawn))
    np.testing.assert_array_equal(estimated.kept, exact.kept)  # neighbours are exact either way
    assert abs(estimated.trustworthiness - exact.trustworthiness).mean() < 0.02
    np.testing.assert_allclose(estimated.trustworthiness.mean(axis=0), exact.trustworthiness.mean(axis=0), atol=0.005)
    np.testing.assert_allclose(estimated.continuity.mean(axis=0), exact.continuity.mean(axis=0), atol=0.005)


def test_many_works_are_ranked_among_landmarks_and_few_among_all():
    assert len(coranking.draw_landmarks(10_000, 0)) == 10_000
    drawn = coranking.draw_landmarks(10_001, 0)
    assert len(drawn) == coranking.LANDMARKS == len(np.unique(drawn)) and (np.diff(drawn) > 0).all()


def test_ranks_are_those_of_sorted_distances(bent):
    features, _ = bent
    x = features[:80].astype(np.float64)
    distances = np.linalg.norm(x[:, None] - x, axis=2)
    np.fill_diagonal(distances, -1)
    expected = distances.argsort(axis=1).argsort(axis=1)
    rows = np.stack([np.random.default_rng(i).choice(np.delete(np.arange(80), i), 9, False) for i in range(80)])
    ranks = coranking.ranks(x, rows, coranking.distances_to(x, rows), np.arange(80))
    np.testing.assert_array_equal(ranks, np.take_along_axis(expected, rows, axis=1))


def test_equal_works_are_any_of_them_and_none_is_off():
    """Thirty copies of one work are thirty nearest neighbours: whichever ten the map shows, they are true."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(100, 8)).astype(np.float32)
    features[:31] = features[0]
    coordinates = rng.normal(size=(100, 2)).astype(np.float32)
    coordinates[:31] = [50, 50] + rng.normal(size=(31, 2)) * 0.1
    found = compare(features, coordinates)
    assert (found.kept[:31] == 1).all() and (found.trustworthiness[:31] == 1).all()
    assert found.kept[31:].mean() < 0.5


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 60), st.integers(1, 12))
def test_nearest_on_a_map_are_the_nearest_and_never_the_work_itself(seed, n_works, k):
    """Coordinates on a coarse lattice: many works share a point."""
    coordinates = np.random.default_rng(seed).integers(0, 4, (n_works, 2)).astype(np.float32)
    found = coranking.nearest_on_map(coordinates, k)
    k = min(k, n_works - 1)
    assert found.shape == (n_works, k) and (found != np.arange(n_works)[:, None]).all()
    distances = np.linalg.norm(coordinates[:, None] - coordinates, axis=2)
    np.fill_diagonal(distances, np.inf)
    np.testing.assert_allclose(np.take_along_axis(distances, found, 1), np.sort(distances, axis=1)[:, :k])
    assert all(len(set(row)) == k for row in found.tolist())


@pytest.mark.parametrize(
    "n_works, expected",
    [(1, ()), (2, ()), (3, (1,)), (12, (5,)), (21, (5, 10)), (41, (5, 10, 20)), (500, (5, 10, 20, 50))],
)
def test_k_stays_where_trustworthiness_is_defined(n_works, expected):
    assert coranking.usable_ks((50, 5, 10, 20), n_works) == expected
