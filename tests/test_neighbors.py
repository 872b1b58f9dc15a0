"""Neighbours are those that a plain count over all pairs gives: by distance, by CSLS, in the order of rows."""

import numpy as np
import pytest
from conftest import peak_bytes

from artatlas import neighbors


def by_distance(queries, base, own):
    """(Q, M) float64 costs, the work itself left out."""
    costs = np.square(queries[:, None].astype(np.float64) - base[None]).sum(axis=2)
    costs[np.flatnonzero(own >= 0), own[own >= 0]] = np.inf
    return costs


def by_csls(queries, base, own):
    """-(2 cos(x, y) - r(x) - r(y)), Conneau et al. 2018, eq. 3, with r over the 10 nearest others."""

    def unit(x):
        return x.astype(np.float64) / np.linalg.norm(x.astype(np.float64), axis=1, keepdims=True)

    among = unit(base) @ unit(base).T
    np.fill_diagonal(among, -np.inf)
    r_base = np.sort(among, axis=1)[:, -10:].mean(axis=1)
    cosines = unit(queries) @ unit(base).T
    cosines[np.flatnonzero(own >= 0), own[own >= 0]] = -np.inf
    r_query = np.sort(cosines, axis=1)[:, -10:].mean(axis=1)
    return -(2 * cosines - r_query[:, None] - r_base)


def first_k(costs, k):
    return np.argsort(costs, axis=1, kind="stable")[:, :k]


def is_best(rows, costs):
    """Whether rows (Q, k) have the k least costs in order, but for the rounding of float32 (some 1e-7)."""
    found = np.take_along_axis(costs, rows, axis=1)
    best = np.sort(costs, axis=1)[:, : rows.shape[1]]
    return all(len(set(row)) == len(row) for row in rows) and np.allclose(found, best, rtol=1e-6, atol=1e-6)


@pytest.fixture(scope="module")
def features():
    """600 works in 12 clouds, not centred, with a few far away from all."""
    rng = np.random.default_rng(1)
    centres = rng.normal(0, 2, (12, 24))
    points = centres[np.arange(600) % 12] + rng.normal(0, 1, (600, 24)) + 3
    points[::100] *= 8
    return points.astype(np.float32)


@pytest.mark.parametrize("hubness, truth", [("none", by_distance), ("csls", by_csls)])
def test_exact_search_is_a_count_over_all_pairs(features, hubness, truth):
    searchable = neighbors.prepare(features, hubness, "exact", 0)
    own = np.arange(600)
    rows, distances = neighbors.find(searchable, features, 20, own)
    assert is_best(rows, truth(features, features, own))
    right = np.linalg.norm(features[rows].astype(np.float64) - features[:, None], axis=2)
    assert np.allclose(distances, right, rtol=1e-5) and distances.dtype == np.float32
    assert not (rows == own[:, None]).any()
    other = {"none": by_csls, "csls": by_distance}[hubness]  # the control: the two orders are not the same
    assert not is_best(rows, other(features, features, own))


@pytest.mark.parametrize("hubness, truth", [("none", by_distance), ("csls", by_csls)])
def test_new_works_leave_nothing_out(features, hubness, truth):
    base, queries = features[:500], features[500:]
    searchable = neighbors.prepare(base, hubness, "exact", 0)
    rows, _ = neighbors.find(searchable, queries, 7)
    assert is_best(rows, truth(queries, base, np.full(100, -1)))
    if hubness == "csls":  # what was computed once is as good the second time
        again = neighbors.prepare(base, hubness, "exact", 0, searchable.local_similarity)
        assert np.array_equal(neighbors.find(again, queries, 7)[0], rows)


def test_csls_pushes_hubs_back():
    rng = np.random.default_rng(3)
    x = rng.normal(0.3, 1, (400, 100)).astype(np.float32)
    x[0] = 0.3  # the mean: a little like everything

    def most_often(hubness):
        rows, _ = neighbors.find(neighbors.prepare(x, hubness, "exact", 0), x, 10, np.arange(400))
        return np.bincount(rows.ravel(), minlength=400)[0]

    x /= np.linalg.norm(x, axis=1, keepdims=True)
    assert most_often("none") > 100 and most_often("csls") < most_often("none") / 3


def test_ties_go_to_the_lower_row_however_many_there_are():
    rng = np.random.default_rng(2)
    x = rng.integers(0, 2, (700, 5)).astype(np.float32)  # 32 places for 700 works: most distances are shared by dozens
    own = np.arange(700)
    rows, _ = neighbors.find(neighbors.prepare(x, "none", "exact", 0), x, 30, own)
    assert np.array_equal(rows, first_k(by_distance(x, x, own), 30))
    alike = np.ones((50, 3), np.float32)
    rows, distances = neighbors.find(neighbors.prepare(alike, "none", "exact", 0), alike, 4, np.arange(50))
    assert rows[:2].tolist() == [[1, 2, 3, 4], [0, 2, 3, 4]] and rows[40].tolist() == [0, 1, 2, 3]
    assert (distances == 0).all()


def test_far_from_the_origin_small_distances_still_count():
    rng = np.random.default_rng(4)
    x = (1000 + rng.normal(0, 0.05, (300, 16))).astype(np.float32)
    own = np.arange(300)
    wanted = first_k(by_distance(x, x, own), 10)
    assert np.array_equal(neighbors.find(neighbors.prepare(x, "none", "exact", 0), x, 10, own)[0], wanted)
    squares = np.square(x).sum(axis=1)
    usual = squares[:, None] + squares - 2 * x @ x.T  # the control: the usual formula loses the digits that count
    np.fill_diagonal(usual, np.inf)
    assert not np.array_equal(first_k(usual, 10), wanted)


def test_blocks_change_nothing_and_bound_memory(features, monkeypatch):
    own = np.arange(600)
    whole = neighbors.find(neighbors.prepare(features, "csls", "exact", 0), features, 9, own)
    monkeypatch.setattr(neighbors, "QUERIES", 37)
    monkeypatch.setattr(neighbors, "MEASURED", 5)
    parts = neighbors.find(neighbors.prepare(features, "csls", "exact", 0), features, 9, own)
    assert np.array_equal(whole[0], parts[0]) and np.array_equal(whole[1], parts[1])
    monkeypatch.undo()
    many = np.random.default_rng(5).normal(0, 1, (12_000, 16)).astype(np.float32)
    searchable = neighbors.prepare(many, "none", "exact", 0)
    used = peak_bytes(lambda: neighbors.find(searchable, many, 10, np.arange(12_000)))
    assert used < 30e6 < 12_000**2 * 4  # all pairs at once would take 576 MB


@pytest.mark.parametrize("hubness", ["none", "csls"])
@pytest.mark.parametrize("index", ["hnsw", "ivf"])
def test_approximate_indexes_agree_nearly_always_say_so_and_repeat(features, hubness, index):
    own = np.arange(600)
    exact, _ = neighbors.find(neighbors.prepare(features, hubness, "exact", 0), features, 10, own)
    searchable = neighbors.prepare(features, hubness, index, 0)
    rows, distances = neighbors.find(searchable, features, 10, own)
    agreement = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(exact, rows, strict=True)])
    assert agreement > 0.9
    sample = np.arange(0, 600, 3)
    part = np.mean([len(set(exact[i]) & set(rows[i])) / 10 for i in sample])
    assert neighbors.recall(searchable, features[sample], 10, own[sample], rows[sample]) == pytest.approx(part)
    assert not (rows == own[:, None]).any() and np.isfinite(distances).all()
    again = neighbors.find(neighbors.prepare(features, hubness, index, 0), features, 10, own)
    assert np.array_equal(rows, again[0]) and np.array_equal(distances, again[1])


@pytest.mark.parametrize("index", ["exact", "hnsw", "ivf"])
@pytest.mark.parametrize("hubness", ["none", "csls"])
def test_few_works_have_few_neighbours(index, hubness):
    x = np.eye(4, dtype=np.float32)
    for n in (1, 2, 3, 4):
        searchable = neighbors.prepare(x[:n], hubness, index, 0)
        rows, distances = neighbors.find(searchable, x[:n], 20, np.arange(n))
        assert rows.shape == distances.shape == (n, n - 1)
        assert all(set(row) == set(range(n)) - {i} for i, row in enumerate(rows))


def test_auto_is_exact_until_it_takes_minutes():
    assert neighbors.resolve_index("auto", 1000) == "exact"
    assert neighbors.resolve_index("auto", neighbors.EXACT_UP_TO + 1) == "hnsw"
    assert neighbors.resolve_index("ivf", 10) == "ivf"
