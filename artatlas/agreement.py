"""Do works near to each other share a label? The figures of one metadata column, with intervals and controls.

An artist's works hit and miss together, so intervals come from drawing whole labels. Beside every figure stands what
shuffled labels get: labels of unequal size are guessed right more often than one would think.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from artatlas import metrics, sources

VOTES = 5  # neighbours that vote in k-NN accuracy
LISTED = 10  # neighbours looked at by mAP@10 and Recall@10
SHUFFLES = 5
MOST_ASKED = 2_000  # works that the controls ask about, drawn from more: they search among chosen works, by brute force

Figures = dict[str, dict[str, float]]


def as_codes(values: Sequence[str]) -> np.ndarray:
    """Text labels (N,) as numbers (N,) int64; every work without one gets a number of its own, shared with nobody."""
    text = np.array([value.strip() for value in values], dtype=object)
    _, codes = np.unique(text.astype(str), return_inverse=True)
    unknown = text == ""
    codes[unknown] = len(codes) + np.arange(unknown.sum())
    return np.unique(codes, return_inverse=True)[1]


def score(found: np.ndarray, codes: np.ndarray, seed: int) -> Figures:
    """k-NN accuracy (5 votes), mAP@10 and Recall@10 of neighbours `found` (N, K) of all works, nearest first.

    Asked about are works whose label another work has. Each figure is value, low and high (95 %) and shuffled, the mean
    under shuffled labels. Empty where no label is shared.
    """
    shared = np.bincount(codes)[codes] > 1
    if not shared.any() or not found.shape[1]:
        return {}
    rng = np.random.default_rng(seed)
    by_chance = [_of_labels(found, rng.permutation(codes)) for _ in range(SHUFFLES)]
    return {
        name: _with_interval(values, codes, [each[name] for each in by_chance], seed)
        for name, values in _of_labels(found, codes).items()
    }


def _of_labels(found: np.ndarray, codes: np.ndarray) -> dict[str, np.ndarray]:
    """Each figure's value for every work, (N,); NaN where it is not asked about."""
    right = metrics.wins_vote(codes[found[:, :VOTES]], codes)
    return {
        "knn_accuracy": np.where(np.bincount(codes)[codes] > 1, right, np.nan),
        "map_at_10": metrics.average_precision(found, codes, LISTED),
        "recall_at_10": metrics.recall_at_k(found, codes, LISTED),
    }


def _with_interval(values: np.ndarray, groups: np.ndarray, by_chance: list[np.ndarray], seed: int) -> dict[str, float]:
    asked = ~np.isnan(values)
    low, high = metrics.bootstrap(values[asked], groups[asked], seed=seed)
    return {
        "value": float(values[asked].mean()), "low": low, "high": high,
        "shuffled": float(np.mean([each[~np.isnan(each)].mean() for each in by_chance])),
    }  # fmt: skip


def score_within(x: np.ndarray, codes: np.ndarray, groups: np.ndarray, seed: int) -> Figures:
    """As `score`, among the works of one group only: is an artist told from others of the same style?

    x (N, D); codes, groups (N,). Labels are shuffled inside their group. Empty where no group holds two labels of which
    one is shared.
    """
    both = _pairs(groups, codes)
    is_mixed = _n_different(codes, groups)[groups] > 1
    asked = _draw(np.flatnonzero(is_mixed & (np.bincount(both)[both] > 1)), seed)
    if not len(asked):
        return {}
    found = nearest_among(x, asked, LISTED, lambda rows, some: groups[rows, None] == groups[some])
    rng = np.random.default_rng(seed)
    order = np.argsort(groups, kind="stable")
    by_chance = []
    for _ in range(SHUFFLES):
        shuffled = np.empty_like(codes)
        shuffled[order] = codes[np.lexsort((rng.random(len(codes)), groups))]
        by_chance.append(_of_found(found, asked, shuffled, _pairs(groups, shuffled)))
    values = _of_found(found, asked, codes, both)
    return {name: _with_interval(values[name], codes[asked], [b[name] for b in by_chance], seed) for name in values}


def score_apart(x: np.ndarray, codes: np.ndarray, groups: np.ndarray, seed: int) -> Figures:
    """As `score`, among the works of other groups only: is a style known when other works of the artist are left out?

    Empty where no label is found in two groups.
    """
    both = _pairs(groups, codes)
    elsewhere = np.bincount(codes)[codes] - np.bincount(both)[both]
    asked = _draw(np.flatnonzero(elsewhere > 0), seed)
    if not len(asked):
        return {}
    found = nearest_among(x, asked, LISTED, lambda rows, some: groups[rows, None] != groups[some])
    rng = np.random.default_rng(seed)
    by_chance = [_of_found(found, asked, rng.permutation(codes)) for _ in range(SHUFFLES)]
    values = _of_found(found, asked, codes)
    return {name: _with_interval(values[name], codes[asked], [b[name] for b in by_chance], seed) for name in values}


def _of_found(
    found: np.ndarray, asked: np.ndarray, codes: np.ndarray, shared: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """k-NN accuracy and Recall@10 of the works `asked` (Q,), of which found (Q, K) holds -1 where there are no more.

    `shared` (N,) codes: of the works asked, those whose code no other has are left out.
    """
    codes_found = np.where(found >= 0, codes[found], -1)
    right = metrics.wins_vote(codes_found[:, :VOTES], codes[asked]).astype(float)
    hit = (codes_found == codes[asked, None]).any(axis=1).astype(float)
    if shared is not None:
        alone = np.bincount(shared)[shared[asked]] < 2
        right[alone], hit[alone] = np.nan, np.nan
    return {"knn_accuracy": right, "recall_at_10": hit}


def nearest_among(x: np.ndarray, asked: np.ndarray, k: int, allow: Callable) -> np.ndarray:
    """The k nearest other works of rows `asked` (Q,) of x (N, D) among those it allows: (Q, k) int64, -1 for none.

    allow : rows (Q,) and a slice of all rows -> which of these they may find, (Q, B) bool
    """
    k, mean = min(k, len(x) - 1), x.mean(axis=0, dtype=np.float64)
    queries = x[asked] - mean
    best, found = np.full((len(asked), k), np.inf), np.full((len(asked), k), -1, np.int64)
    for some in sources.blocks(len(x)):
        others = x[some] - mean
        costs = np.einsum("ij,ij->i", others, others) - 2 * queries @ others.T  # less |query|^2, which orders nothing
        rows = np.arange(some.start, some.stop)
        costs[~allow(asked, some) | (rows == asked[:, None])] = np.inf
        costs = np.hstack([best, costs])
        near = np.argpartition(costs, k - 1, axis=1)[:, :k]
        rows = np.hstack([found, np.broadcast_to(rows, (len(asked), len(rows)))])
        best, found = np.take_along_axis(costs, near, axis=1), np.take_along_axis(rows, near, axis=1)
    order = np.lexsort((found, best), axis=1)
    best, found = np.take_along_axis(best, order, axis=1), np.take_along_axis(found, order, axis=1)
    return np.where(np.isfinite(best), found, -1)


def _pairs(groups: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """(N,) int64: one number for each pair of group and code that occurs."""
    return np.unique(groups.astype(np.int64) * (codes.max() + 1) + codes, return_inverse=True)[1]


def _n_different(codes: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Different codes in every group, (G,)."""
    return np.bincount(np.unique(np.column_stack((groups, codes)), axis=0)[:, 0])


def _draw(rows: np.ndarray, seed: int) -> np.ndarray:
    if len(rows) <= MOST_ASKED:
        return rows
    return np.sort(np.random.default_rng(seed).choice(rows, MOST_ASKED, replace=False))
