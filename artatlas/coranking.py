"""How faithfully a map keeps neighbours, work by work: ranks among the features against ranks on the map.

Everything here is a sum over entries of the co-ranking matrix (Lee & Verleysen 2009, "Quality assessment of
dimensionality reduction: rank-based criteria"). Memory stays at about `BLOCK` x N numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from artatlas import neighbors, sources

BLOCK = 128  # works at a time
EXACT_UP_TO = 10_000  # works whose ranks are counted among all others; above, among LANDMARKS drawn works and scaled up
LANDMARKS = 2_000  # a rank's standard error is then 1.1 % of N at most, and far less in the mean of many
ROUNDING = 1e-10  # error of a squared distance as a share of the longest squared row: what is closer than that is equal
NEAR_SHARE = 0.05  # of the collection, what `is_near` calls near


@dataclass(frozen=True)
class Faithfulness:
    """Of every work on one map, for each k of `ks`: columns of (N, len(ks)) float64, all 0 to 1.

    kept : share of its k nearest on the map that are among its k nearest by the features. Where no two works are
        equally far this is also the share of its k nearest by the features that are kept among its k nearest on the
        map; where some are, any of the equals counts.
    trustworthiness, continuity : whose means over the works are those of Venna & Kaski 2001
    is_near : (N,) share of its k_near nearest on the map that are among its `near_limit` nearest by the features
    """

    ks: tuple[int, ...]
    kept: np.ndarray
    trustworthiness: np.ndarray
    continuity: np.ndarray
    is_near: np.ndarray


def usable_ks(ks: Sequence[int], n_works: int) -> tuple[int, ...]:
    """Those of `ks` below N / 2, where trustworthiness is defined; the largest that is, where none of them; or none."""
    largest = (n_works - 1) // 2
    return tuple(k for k in sorted(set(ks)) if k <= largest) or ((largest,) if largest else ())


def draw_landmarks(n_works: int, seed: int) -> np.ndarray:
    """Rows (S,) int64, ascending, of the works among which ranks are counted: all, or a seeded sample of many."""
    if n_works <= EXACT_UP_TO:
        return np.arange(n_works)
    return np.sort(np.random.default_rng(seed).choice(n_works, LANDMARKS, replace=False))


def nearest_by_features(features: np.ndarray, k: int, desc: str = "") -> np.ndarray:
    """The k nearest other works of every work, (N, k) int64, nearest first: exact, by faiss."""
    searchable = neighbors.prepare(features, "none", "exact", 0)
    return neighbors.find(searchable, features, k, np.arange(len(features)), desc)[0]


def nearest_on_map(coordinates: np.ndarray, k: int) -> np.ndarray:
    """The same on a map (N, 2), by a k-d tree, which is exact too and in two dimensions far faster."""
    from scipy.spatial import cKDTree

    n_works = len(coordinates)
    k = min(k, n_works - 1)
    points = coordinates.astype(np.float64)
    distances, found = cKDTree(points).query(points, k + 1, workers=1)
    distances, found = distances.reshape(n_works, k + 1), found.reshape(n_works, k + 1)
    # Of works that share a point the tree may give others than the work itself: whichever is last then goes.
    distances[found == np.arange(n_works)[:, None]] = -1
    order = np.lexsort((found, distances), axis=1)
    is_self_first = np.take_along_axis(found, order[:, :1], axis=1)[:, 0] == np.arange(n_works)
    kept = np.where(is_self_first[:, None], order[:, 1:], order[:, :-1])
    return np.take_along_axis(found, kept, axis=1).astype(np.int64)


def distances_to(x: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Euclidean distance of every work of `x` (N, D) to the works `rows` (N, K): (N, K), equal for equal works."""
    distances = np.empty(rows.shape, x.dtype)
    for block in _blocks(len(x)):
        difference = x[rows[block]] - x[block, None]  # (B, K, D)
        distances[block] = np.sqrt(np.einsum("nkd,nkd->nk", difference, difference))
    return distances


def _blocks(n_works: int) -> Iterator[slice]:
    return (slice(start, min(start + BLOCK, n_works)) for start in range(0, n_works, BLOCK))


def ranks(x: np.ndarray, rows: np.ndarray, distances: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Rank of the works `rows` (N, K) among all other works by nearness to each work of `x` (N, D); 1 is the nearest.

    One more than the number of works that are nearer: (N, K) float64, exact where `landmarks` are all works, else
    estimated from those that are nearer among the landmarks, without bias. `distances` (N, K) are those to `rows`.
    """
    n_works, is_exact = len(x), len(landmarks) == len(x)
    x = x - x.mean(axis=0, dtype=np.float64).astype(x.dtype)
    base = x[landmarks].astype(np.float64)
    squares = np.einsum("ij,ij->i", base, base)
    tolerance = ROUNDING * float(np.einsum("ij,ij->i", x, x).max())
    column_of = np.full(n_works, -1)
    column_of[landmarks] = np.arange(len(landmarks))
    found = np.empty(rows.shape)
    for block in _blocks(n_works):
        asked = x[block].astype(np.float64)
        squared = np.einsum("ij,ij->i", asked, asked)[:, None] + squares - 2 * asked @ base.T  # (B, S)
        if is_exact:  # of the same matrix, so that a work is never nearer than itself
            limits = np.take_along_axis(squared, rows[block], axis=1)
        else:
            limits = np.square(distances[block], dtype=np.float64)
        own = column_of[block]
        squared[np.flatnonzero(own >= 0), own[own >= 0]] = np.inf
        squared.sort(axis=1)
        nearer = [np.searchsorted(*pair) for pair in zip(squared, limits - tolerance, strict=True)]
        others = len(landmarks) - (own >= 0)
        found[block] = 1 + np.stack(nearer) * ((n_works - 1) / np.maximum(others, 1))[:, None]
    return found


def compare(
    features: np.ndarray, coordinates: np.ndarray, of_features: np.ndarray, on_map: np.ndarray, ks: tuple[int, ...],
    k_near: int, landmarks: np.ndarray,
) -> Faithfulness:  # fmt: skip
    """Scores a map (N, 2) against what it was drawn from (N, D).

    of_features, on_map : (N, K) nearest works on either side, nearest first, K at least the largest of `ks`
    """
    shown = _off(features, on_map, of_features, landmarks)
    sought = _off(coordinates, of_features, on_map, landmarks)
    n_works = len(features)
    kept, trustworthiness, continuity = [], [], []
    for k in ks:
        kept.append(shown.is_kept(k).mean(axis=1))
        trustworthiness.append(1 - shown.penalty(k, n_works))
        continuity.append(1 - sought.penalty(k, n_works))
    is_near = (shown.is_kept(k_near) | (shown.ranks[:, :k_near] <= near_limit(n_works, k_near))).mean(axis=1)
    columns = [np.stack(each, axis=1) for each in (kept, trustworthiness, continuity)]
    return Faithfulness(ks, columns[0], columns[1], columns[2], is_near)


def compare_some(
    features: np.ndarray, coordinates: np.ndarray, rows: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """kept, trustworthiness and continuity (R,) of the works `rows` (R,) alone, their ranks counted among all works."""
    found = np.ones((3, len(rows)))
    worst = k * (2 * len(features) - 3 * k - 1) / 2
    for some in _blocks(len(rows)):
        on_sides = zip(*[_squared_distances(x, rows[some]) for x in (features, coordinates)], strict=True)
        for i, sides in enumerate(on_sides, some.start):
            nearest = [_nearest(squared, k) for squared, _ in sides]
            for column, (one, other) in enumerate(((0, 1), (1, 0)), start=1):
                squared, tolerance = sides[one]
                shown, reach = squared[nearest[other]], squared[nearest[one]].max()
                is_kept = shown <= reach + tolerance
                ranks = 1 + np.array([np.count_nonzero(squared < limit - tolerance) for limit in shown])
                off = np.where(is_kept, 0, np.maximum(ranks - k, 0)).sum()
                found[column, i] = 1 - min(1.0, off / worst)
                if column == 1:
                    found[0, i] = is_kept.mean()
    return found[0], found[1], found[2]


def _squared_distances(x: np.ndarray, rows: np.ndarray) -> Iterator[tuple[np.ndarray, float]]:
    """Of each of the works `rows` (R,) to all works of `x` (N, D), infinite to itself: (N,) float64, and within how
    much of each other two of them are equal."""
    origin = x.mean(axis=0, dtype=np.float64)
    asked = x[rows] - origin
    squared, longest = np.empty((len(rows), len(x))), 0.0
    for block in sources.blocks(len(x)):
        some = x[block] - origin
        squares = np.einsum("ij,ij->i", some, some)
        longest = max(longest, float(squares.max()))
        squared[:, block] = squares - 2 * asked @ some.T
    squared += np.einsum("ij,ij->i", asked, asked)[:, None]
    squared[np.arange(len(rows)), rows] = np.inf
    return ((row, ROUNDING * longest) for row in squared)


def _nearest(squared: np.ndarray, k: int) -> np.ndarray:
    """The k least of (N,), equals in the order of rows."""
    near = np.flatnonzero(squared <= np.partition(squared, k - 1)[k - 1])
    return near[np.argsort(squared[near], kind="stable")[:k]]


def near_limit(n_works: int, k: int) -> int:
    """How many of the nearest count as near: 5 % of the others, and no fewer than k."""
    return max(k, int(NEAR_SHARE * (n_works - 1)))


@dataclass(frozen=True)
class _Off:
    """The nearest of one side as the other side sees them."""

    ranks: np.ndarray  # (N, K) there
    distances: np.ndarray  # (N, K) there
    reach: np.ndarray  # (N, K) distance there of the 1st, 2nd, ... nearest there

    def is_kept(self, k: int) -> np.ndarray:
        """(N, k) bool: which of the k nearest are among the k nearest there too."""
        return self.distances[:, :k] <= self.reach[:, k - 1 : k]

    def penalty(self, k: int, n_works: int) -> np.ndarray:
        """(N,) by how many ranks those that are not kept are off, over the worst there can be."""
        off = np.where(self.is_kept(k), 0, np.maximum(self.ranks[:, :k] - k, 0)).sum(axis=1)
        return np.minimum(off * 2 / (k * (2 * n_works - 3 * k - 1)), 1)  # an estimated rank may exceed the worst


def _off(x: np.ndarray, rows: np.ndarray, nearest: np.ndarray, landmarks: np.ndarray) -> _Off:
    distances = distances_to(x, rows)
    return _Off(ranks(x, rows, distances, landmarks), distances, distances_to(x, nearest))
