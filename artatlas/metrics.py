"""How good an embedding or a map is: neighbours, label agreement, faithfulness; always with the work itself left out.

Functions of rows (N, D) take Euclidean distance and go through the rows in blocks, so that memory stays at about
`BLOCK` x N numbers. Those of `found`, the neighbours of every work nearest first, fit any distance.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

BLOCK = 512  # rows at a time


def _distances(x: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Squared distances of a block of rows to all rows, (B, N) float64; a row's distance to itself is infinity."""
    x = x.astype(np.float64)
    x = x - x.mean(axis=0)  # |a|^2 + |b|^2 - 2 a.b loses digits where the mean is far from the origin
    squares = np.einsum("ij,ij->i", x, x)
    for start in range(0, len(x), BLOCK):
        rows = slice(start, min(start + BLOCK, len(x)))
        squared = squares[rows, None] + squares - 2 * x[rows] @ x.T
        squared[np.arange(rows.stop - start), np.arange(start, rows.stop)] = np.inf
        yield rows, squared


def neighbours(x: np.ndarray, k: int) -> np.ndarray:
    """The k nearest other rows of every row, nearest first: (N, k) int64. Ties go to the lower row."""
    k = min(k, len(x) - 1)
    found = np.empty((len(x), k), np.int64)
    for rows, squared in _distances(x):
        found[rows] = np.argsort(squared, axis=1, kind="stable")[:, :k]
    return found


def knn_accuracy(x: np.ndarray, labels: np.ndarray, k: int = 5, queries: np.ndarray | None = None) -> float:
    """Share of works whose label wins the vote of their k nearest neighbours; a tie goes to the nearest of the tied.

    `queries` (N,) bool chooses the works that are asked about; all stay as possible neighbours.
    """
    _, codes = np.unique(labels, return_inverse=True)
    right = wins_vote(codes[neighbours(x, k)], codes)
    return float((right if queries is None else right[queries]).mean())


def wins_vote(votes: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Whether the code of each work (Q,) wins the votes (Q, K) of its neighbours, nearest first; -1 is no vote."""
    is_cast = votes >= 0
    counts = ((votes[:, :, None] == votes[:, None, :]) & is_cast[:, None]).sum(axis=2)  # for each neighbour's label
    counts[~is_cast] = -1
    return votes[np.arange(len(votes)), counts.argmax(axis=1)] == codes  # argmax takes the nearest of equals


def mean_average_precision(x: np.ndarray, labels: np.ndarray, k: int, queries: np.ndarray | None = None) -> float:
    """mAP@k: precision at every rank that holds a work of the same label, summed, over min(k, works of that label)."""
    average = average_precision(neighbours(x, k), labels, k)
    chosen = ~np.isnan(average) if queries is None else queries & ~np.isnan(average)
    return float(average[chosen].mean())


def average_precision(found: np.ndarray, labels: np.ndarray, k: int) -> np.ndarray:
    """Of every work (N,), what `mean_average_precision` is the mean of; NaN where no other work has the label.

    found (N, K) : rows of the nearest other works, nearest first
    """
    _, codes, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    hits = codes[found[:, :k]] == codes[:, None]  # (N, k)
    precision = hits.cumsum(axis=1) / np.arange(1, hits.shape[1] + 1)
    possible = np.minimum(sizes[codes] - 1, hits.shape[1])
    average = (precision * hits).sum(axis=1) / np.maximum(possible, 1)
    return np.where(possible > 0, average, np.nan)


def recall_at_k(found: np.ndarray, labels: np.ndarray, k: int) -> np.ndarray:
    """Of every work (N,), 1 where one of its k nearest has its label, else 0; NaN where no other work has the label."""
    _, codes, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    hit = (codes[found[:, :k]] == codes[:, None]).any(axis=1)
    return np.where(sizes[codes] > 1, hit, np.nan)


def bootstrap(values: np.ndarray, groups: np.ndarray, n_samples: int = 2000, seed: int = 0) -> tuple[float, float]:
    """95% interval (low, high) of the mean of `values` (N,), by drawing whole groups (N,) with replacement.

    Works of one artist hit and miss together: drawn one by one they would make the interval too narrow.
    """
    _, codes = np.unique(groups, return_inverse=True)
    sums, sizes = np.bincount(codes, values), np.bincount(codes)  # (G,)
    drawn = np.random.default_rng(seed).integers(0, len(sums), (n_samples, len(sums)))
    means = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def pair_auc(x: np.ndarray, labels: np.ndarray, within: np.ndarray | None = None) -> float:
    """ROC AUC of "same label" against nearness over all pairs: the chance that a same-label pair is the nearer one.

    `within` (N,) keeps only pairs that agree in it, for example pairs of one style. NaN where one kind of pair lacks.
    """
    same, distance = [], []
    for rows, squared in _distances(x):
        later = np.arange(len(x)) > np.arange(rows.start, rows.stop)[:, None]  # each pair once
        if within is not None:
            later &= within[rows, None] == within
        same.append((labels[rows, None] == labels)[later])
        distance.append(squared[later])
    return auc(np.concatenate(same), -np.concatenate(distance))


def auc(is_same: np.ndarray, nearness: np.ndarray) -> float:
    """ROC AUC of `nearness` (P,) against `is_same` (P,) bool; ties count half, NaN where all are of one kind."""
    n_same, n_other = int(is_same.sum()), int((~is_same).sum())
    if not n_same or not n_other:
        return float("nan")
    ranks = mid_ranks(nearness)  # so that ties count half
    return float((ranks[is_same].sum() - n_same * (n_same + 1) / 2) / (n_same * n_other))


def mid_ranks(values: np.ndarray) -> np.ndarray:
    """Ranks (P,) float64 of values (P,), 1 the least; equal values share the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (counts.cumsum() - (counts - 1) / 2)[inverse]


def pr_auc(is_same: np.ndarray, nearness: np.ndarray) -> float:
    """Average precision of `nearness` (P,) against `is_same` (P,) bool, the area under precision over recall in steps.

    Equal scores are one step. A guess reaches the share of same pairs. NaN where there are none.
    """
    if not is_same.any():
        return float("nan")
    order = np.argsort(-nearness, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(nearness[order])), len(order) - 1)  # of runs of equal scores
    hits = is_same[order].cumsum()[ends]
    return float((np.diff(hits, prepend=0) * hits / (ends + 1)).sum() / is_same.sum())


def trustworthiness(features: np.ndarray, coordinates: np.ndarray, k: int = 12) -> float:
    """Venna & Kaski 2001: 1 where every neighbour on the map is one among the features too, lower by how far off it is.

    Needs 2 N > 3 k + 1 works, as the normalisation of the paper does.
    """
    n_works = len(features)
    if 2 * n_works <= 3 * k + 1:
        raise ValueError(f"trustworthiness of {k} neighbours needs more than {n_works} works")
    on_map = neighbours(coordinates, k)
    penalty = 0.0
    for rows, squared in _distances(features):
        to_shown = np.take_along_axis(squared, on_map[rows], axis=1)  # (B, k)
        for column in range(k):
            rank = (squared < to_shown[:, column, None]).sum(axis=1) + 1  # 1 is the nearest
            penalty += np.maximum(rank - k, 0).sum()
    return float(1 - 2 / (n_works * k * (2 * n_works - 3 * k - 1)) * penalty)


def continuity(features: np.ndarray, coordinates: np.ndarray, k: int = 12) -> float:
    """Venna & Kaski 2001: 1 where every neighbour among the features is one on the map too, lower by how far off it is.

    Trustworthiness asks whether what is shown is true, continuity whether what is true is shown.
    """
    return trustworthiness(coordinates, features, k)


def align(reference: np.ndarray, coordinates: np.ndarray) -> np.ndarray:
    """`coordinates` (N, 2) moved, turned, mirrored and scaled to lie on `reference` (N, 2) by least squares.

    Orthogonal Procrustes analysis (Schoenemann 1966; scaling after Gower 1975). What is left between the two is
    difference in arrangement. Of coordinates that are all one point the mean of the reference is returned.
    """
    target, moved = reference.mean(axis=0), coordinates - coordinates.mean(axis=0)
    u, singular, vt = np.linalg.svd(moved.T @ (reference - target))
    size = np.square(moved).sum()
    scale = singular.sum() / size if size > 0 else 0.0
    return scale * moved @ (u @ vt) + target


def dpq(
    features: np.ndarray, cells: np.ndarray, rows: int, cols: int, p: int = 16, queries: np.ndarray | None = None
) -> float:
    """Distance preservation quality: 1 where the grid surrounds every work by its nearest among the features.

    Barthel et al. 2023, "Improved Evaluation and Generation of Grid Layouts using Distance Preservation Quality and
    Linear Assignment Sorting". With d_k the mean distance of the works' k nearest and d that of all pairs, the gain is
    max(0, (d - d_k) / d), for k = 1 .. M - 1. DPQ_p is the p-norm of the gains with "nearest" on the grid, over the
    p-norm with "nearest" among the features. The higher p, the more the nearest few count. Of works equally far away on
    the grid the nearer among the features comes first, as in the authors' program, so a random grid has some 0.2 to 0.4
    and not 0.

    features : (M, D) floating, compared by Euclidean distance
    cells    : (M, 2) integers (row, col) on a grid of rows x cols; cells that hold no work are left out
    queries  : (M,) bool chooses the works whose neighbours are looked at, which makes 100,000 works feasible; all count
               as neighbours

    NaN where all works are equally far from one another. Raises ValueError where a cell is off the grid or holds two
    works.
    """
    flat = np.ravel_multi_index(tuple(np.asarray(cells).T), (rows, cols))
    if len(np.unique(flat)) < len(flat):
        raise ValueError("two works have one cell")
    x = features.astype(np.float64)
    x -= x.mean(axis=0)
    squares = np.einsum("ij,ij->i", x, x)
    longest = max(2.0001 * np.sqrt(squares.max()), np.finfo(np.float64).tiny)  # more than any distance there is
    asked = np.arange(len(x)) if queries is None else np.flatnonzero(queries)
    ranks = np.arange(1, len(x))
    of_grid, of_features = np.zeros(len(ranks)), np.zeros(len(ranks))  # (M - 1,) sums of d_k over the works
    for block in np.split(asked, range(BLOCK, len(asked), BLOCK)):
        squared = np.maximum(squares[block, None] + squares - 2 * x[block] @ x.T, 0)  # (B, M)
        squared[np.arange(len(block)), block] = 0  # first in every order, and left out
        near = np.sqrt(squared) / longest
        steps = np.square(cells[block, None] - cells).sum(axis=2)  # squared distance on the grid, whole numbers
        by_grid = np.modf(np.sort(steps + near, axis=1))[0]  # the fraction orders equal steps, and is what is kept
        of_grid += (by_grid[:, 1:].cumsum(axis=1) / ranks).sum(axis=0)
        of_features += (np.sort(near, axis=1)[:, 1:].cumsum(axis=1) / ranks).sum(axis=0)
    if not len(ranks) or not of_features[-1]:
        return float("nan")
    gains = [np.maximum(1 - sums / of_features[-1], 0) for sums in (of_grid, of_features)]  # d is d_k of all the others
    best = np.linalg.norm(gains[1], p)
    return float(np.linalg.norm(gains[0], p) / best) if best else float("nan")


def nearest_label_error(
    known: np.ndarray, known_labels: np.ndarray, asked: np.ndarray, asked_labels: np.ndarray
) -> float:
    """1-NN error: share of the asked works (M, D) whose nearest known work (N, D) has another label. 0 to 1."""
    from scipy.spatial import KDTree

    return float((known_labels[KDTree(known).query(asked)[1]] != asked_labels).mean())
