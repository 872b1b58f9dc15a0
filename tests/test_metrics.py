"""Every figure agrees with its definition or scikit-learn's, and is at chance where there is nothing to find."""

import numpy as np
import pytest
from scipy.spatial import procrustes
from sklearn.manifold import trustworthiness as reference_trustworthiness
from sklearn.metrics import roc_auc_score

from artatlas import metrics


@pytest.fixture
def planted():
    rng = np.random.default_rng(0)
    labels = np.arange(700) % 7  # more rows than a block
    return rng.normal(size=(7, 10))[labels] * 2 + rng.normal(size=(700, 10)) + 1000, labels


def test_neighbours_are_the_nearest_without_the_work_itself(planted):
    x, _ = planted
    distances = np.linalg.norm(x[:, None] - x[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    expected = np.sort(distances, axis=1)[:, :8]
    found = metrics.neighbours(x, 8)
    np.testing.assert_allclose(np.take_along_axis(distances, found, 1), expected)
    assert not (found == np.arange(700)[:, None]).any()


def test_accuracy_is_high_where_planted_and_at_chance_where_shuffled(planted):
    x, labels = planted
    assert metrics.knn_accuracy(x, labels) > 0.9
    shuffled = np.mean([metrics.knn_accuracy(x, np.random.default_rng(s).permutation(labels)) for s in range(5)])
    assert shuffled == pytest.approx(1 / 7, abs=0.03)


def test_a_tied_vote_goes_to_the_nearest():
    x = np.array([[0.0], [1], [2.5], [50], [51.0]])
    labels = np.array(["a", "a", "b", "b", "c"])
    assert metrics.knn_accuracy(x, labels, k=2, queries=np.arange(5) == 0) == 1  # neighbours a, b


def test_pair_auc_is_scikit_learns(planted):
    x, labels = planted[0][:60], planted[1][:60]
    first, second = np.triu_indices(60, 1)
    nearness = -np.square(x[first] - x[second]).sum(axis=1)
    expected = roc_auc_score(labels[first] == labels[second], nearness)
    assert metrics.pair_auc(x, labels) == pytest.approx(expected, abs=1e-9)
    group = np.arange(60) % 2
    keep = group[first] == group[second]
    expected = roc_auc_score((labels[first] == labels[second])[keep], nearness[keep])
    assert metrics.pair_auc(x, labels, within=group) == pytest.approx(expected, abs=1e-9)
    assert np.isnan(metrics.pair_auc(x, np.zeros(60)))


def test_mean_average_precision_by_hand():
    x = np.array([[0.0], [1], [2], [4], [100]])
    labels = np.array(["a", "b", "a", "a", "z"])
    # Ranks that hold the same label, of 2 possible: work 0 finds a at 2 and 3, work 2 at 2 and 3 (0 and 3 are equally
    # far), work 3 at 1 and 3. b and z have no other of their label and are not asked.
    expected = np.mean([(1 / 2 + 2 / 3) / 2, (1 / 2 + 2 / 3) / 2, (1 / 1 + 2 / 3) / 2])
    assert metrics.mean_average_precision(x, labels, 3) == pytest.approx(expected)


def test_figures_of_found_neighbours_by_hand():
    labels = np.array(["a", "b", "a", "a", "z", "b"])
    found = np.array([[1, 2, 3], [2, 3, 0], [0, 3, 1], [1, 4, 5], [0, 1, 2], [3, 1, 0]])
    expected = [(1 / 2 + 2 / 3) / 2, 0, 1, 0, np.nan, 1 / 2]  # z has no other work, b has one
    np.testing.assert_allclose(metrics.average_precision(found, labels, 3), expected)
    np.testing.assert_array_equal(metrics.recall_at_k(found, labels, 3), [1, 0, 1, 0, np.nan, 1])
    np.testing.assert_array_equal(metrics.recall_at_k(found, labels, 1), [0, 0, 1, 0, np.nan, 0])


def test_average_precision_of_found_neighbours_is_the_mean_s(planted):
    x, labels = planted
    average = metrics.average_precision(metrics.neighbours(x, 30), labels, 10)
    assert average.mean() == pytest.approx(metrics.mean_average_precision(x, labels, 10))


def test_continuity_is_trustworthiness_the_other_way_round(planted):
    """A map that lays two groups over each other shows what is not true; one that tears a group apart hides what is."""
    rng = np.random.default_rng(0)
    features = np.vstack([rng.normal(size=(100, 2)), rng.normal(size=(100, 2)) + 50])
    folded = features - 50 * (np.arange(200) >= 100)[:, None]
    assert metrics.continuity(features, folded) > 0.97 > 0.9 > metrics.trustworthiness(features, folded)
    assert metrics.trustworthiness(folded, features) > 0.97 > 0.9 > metrics.continuity(folded, features)
    assert metrics.continuity(planted[0], planted[0]) == 1


def test_alignment_takes_away_all_but_the_arrangement():
    rng = np.random.default_rng(0)
    reference = rng.normal(size=(50, 2))
    turn = np.array([[np.cos(2), -np.sin(2)], [np.sin(2), np.cos(2)]])
    for moved in (reference @ turn, reference * [1, -1], reference * 7 + [3, 4], reference @ turn * [-0.1, 0.1] - 9):
        np.testing.assert_allclose(metrics.align(reference, moved), reference, atol=1e-12)
    other = rng.normal(size=(50, 2))  # SciPy scales both to unit size: its disparity is what is left of the reference
    left = np.square(metrics.align(reference, other) - reference).sum()
    size = np.square(reference - reference.mean(axis=0)).sum()
    assert left / size == pytest.approx(procrustes(reference, other)[2])
    np.testing.assert_allclose(metrics.align(reference, np.ones((50, 2))), np.tile(reference.mean(axis=0), (50, 1)))


def test_votes_that_are_not_cast_do_not_count():
    votes = np.array([[1, -1, -1, -1, -1], [-1, -1, 2, -1, -1], [-1, -1, -1, -1, -1], [0, 1, 1, -1, -1]])
    np.testing.assert_array_equal(metrics.wins_vote(votes, np.array([1, 2, 0, 1])), [True, True, False, True])


def test_bootstrap_draws_whole_groups():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), 25)
    independent = rng.normal(size=1000)
    together = rng.normal(size=40)[groups]  # a group is all one value
    low, high = metrics.bootstrap(independent, groups)
    assert low < independent.mean() < high
    assert high - low == pytest.approx(2 * 1.96 / np.sqrt(1000), rel=0.3)
    low, high = metrics.bootstrap(together, groups)
    assert high - low == pytest.approx(2 * 1.96 / np.sqrt(40), rel=0.3)
    assert metrics.bootstrap(together, groups) == (low, high)  # seeded


@pytest.mark.parametrize("k", [1, 5, 12])
def test_trustworthiness_is_scikit_learns(planted, k):
    features, _ = planted
    for coordinates in (features[:, :2], np.random.default_rng(1).normal(size=(700, 2))):
        expected = reference_trustworthiness(features, coordinates, n_neighbors=k)
        assert metrics.trustworthiness(features, coordinates, k) == pytest.approx(expected, abs=1e-9)


def test_a_copy_is_wholly_trustworthy_and_too_few_works_are_refused(planted):
    assert metrics.trustworthiness(planted[0], planted[0]) == 1
    with pytest.raises(ValueError):
        metrics.trustworthiness(planted[0][:18], planted[0][:18], 12)


def dpq_by_definition(features, cells, p):
    """One work and one k at a time, as the paper has it."""
    n_works = len(features)
    distance = np.linalg.norm(features[:, None] - features[None], axis=2)
    steps = np.linalg.norm(cells[:, None] - cells[None], axis=2)
    gains = {"grid": [], "features": []}
    mean = distance[~np.eye(n_works, dtype=bool)].mean()
    for k in range(1, n_works):
        nearest = {"grid": [], "features": []}
        for i in range(n_works):
            others = [j for j in range(n_works) if j != i]
            by_grid = sorted(others, key=lambda j: (steps[i, j], distance[i, j]))
            by_features = sorted(others, key=lambda j: distance[i, j])
            nearest["grid"].append(distance[i, by_grid[:k]].mean())
            nearest["features"].append(distance[i, by_features[:k]].mean())
        for kind, means in nearest.items():
            gains[kind].append(max(0, (mean - np.mean(means)) / mean))
    return np.linalg.norm(gains["grid"], p) / np.linalg.norm(gains["features"], p)


@pytest.mark.parametrize("p", [2, 16])
def test_dpq_is_its_definition(p):
    rng = np.random.default_rng(0)
    cells = np.column_stack(np.divmod(rng.permutation(42)[:37], 7))  # 6 x 7 with holes
    features = (np.column_stack((cells, cells[:, 0])) + rng.normal(size=(37, 3))).astype(np.float32)
    expected = dpq_by_definition(features.astype(np.float64), cells, p)
    assert metrics.dpq(features, cells, 6, 7, p) == pytest.approx(expected, abs=1e-9)
    assert metrics.dpq(features * 1000 + 50, cells, 6, 7, p) == pytest.approx(expected, abs=1e-4)  # no units


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("n_works", [1, 2])
def test_dpq_of_works_that_cannot_be_told_apart_by_distance_is_nan(n_works):
    cells = np.column_stack((np.arange(n_works), np.zeros(n_works, int)))
    assert np.isnan(metrics.dpq(cells.astype(np.float32), cells, 2, 1))


def test_dpq_is_one_for_a_grid_that_is_its_features_and_low_for_a_random_one():
    cells = np.indices((30, 40)).reshape(2, -1).T
    assert metrics.dpq(cells.astype(np.float32), cells, 30, 40) == pytest.approx(1)
    shuffled = np.random.default_rng(0).permutation(cells)
    assert metrics.dpq(cells.astype(np.float32), shuffled, 30, 40) < 0.45
    near = cells + np.random.default_rng(1).normal(size=cells.shape)
    assert 0.7 < metrics.dpq(near, cells, 30, 40) < 0.99
    quarter = np.random.default_rng(2).random(1200) < 0.25
    assert metrics.dpq(near, cells, 30, 40, queries=quarter) == pytest.approx(
        metrics.dpq(near, cells, 30, 40), abs=0.02
    )


def test_dpq_of_nothing_to_tell_apart_and_of_no_grid():
    assert np.isnan(metrics.dpq(np.ones((6, 3)), np.indices((2, 3)).reshape(2, -1).T, 2, 3))
    assert np.isnan(metrics.dpq(np.ones((1, 3)), np.array([[0, 0]]), 1, 1))
    with pytest.raises(ValueError, match="one cell"):
        metrics.dpq(np.eye(3), np.array([[0, 0], [0, 1], [0, 0]]), 2, 2)
    with pytest.raises(ValueError):
        metrics.dpq(np.eye(3), np.array([[0, 0], [0, 1], [2, 0]]), 2, 2)
