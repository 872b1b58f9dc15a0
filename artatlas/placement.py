"""Where a new work belongs on a finished map, how sure that is, and whether it belongs there at all.

The place is where a work's neighbours among the features gather on the map: the mode of their places, each weighted
as t-SNE weighs neighbours. A mean, which is how openTSNE starts its transform, lies between two groups where the
neighbours are in both, among works that are like neither; a mode lies in the larger. Nothing on the map moves.

Source: p(j|i) of van der Maaten & Hinton 2008; the mode by mean shift, Comaniciu & Meer 2002; novelty after the local
outlier factor, Breunig et al. 2000; certainty by isotonic regression, Zadrozny & Elkan 2002.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from artatlas import neighbors, parametric
from artatlas.neighbors import Searchable

SHIFTS = 10  # of mean shift; it starts at the best of the neighbours' places, and after 10 moves by less than 1 %
KERNELS = 500_000  # evaluated at a time: some 10 MB, which stays in the processor's cache
SAME = 0.1  # of the median distance to the nearest work: what is nearer shows the same picture, and lies where it lies
RIGHT_WITHIN = 0.05  # of the map's diagonal: a place is right if it is as near as that
CALIBRATED_ON = 1000  # works at most that are placed again without themselves, to see how well that goes
CROWD = 10  # nearest works that novelty looks at; 5 and 20 do as well
REFERENCE = 10_000  # works at most that novelty is measured against: it compares all with all of them


@dataclass(frozen=True)
class Neighborhood:
    """Of works (M,): the places (M, K, 2) of their neighbours on the map and the weights (M, K), which sum to 1."""

    places: np.ndarray
    weights: np.ndarray


@dataclass(frozen=True)
class Atlas:
    """A finished map and what it was drawn from, made by `prepare`.

    searchable : of the features (N, D)
    coordinates : (N, 2) float32
    perplexity : of the map, lowered where there are too few works for it
    bandwidth : how far around itself a place counts: the median distance on the map to the `perplexity`-th nearest work
    diagonal : length of the map's
    same : works nearer than this in feature space are the same picture
    sample : rows (C,) that calibration is on
    near_sample : their neighbours, each work itself left out
    """

    searchable: Searchable
    coordinates: np.ndarray
    perplexity: float
    bandwidth: float
    diagonal: float
    same: float
    sample: np.ndarray
    near_sample: Neighborhood


@dataclass(frozen=True)
class Calibration:
    """How certainty and the flag follow from works of the collection that were placed as if they were new.

    agreement, certainty : (T,) float32, knots of a rising line: the share of works whose neighbours agreed so much that
        was placed right
    off_map_above : novelty beyond which a work is off the map
    right_within : of the map's diagonal; a place is right that is no farther from where the map has the work
    n_works, share_right, median_error : of the works that were placed again; the error as a share of the diagonal
    """

    agreement: np.ndarray
    certainty: np.ndarray
    off_map_above: float
    right_within: float
    n_works: int
    share_right: float
    median_error: float

    def certainty_of(self, agreed: np.ndarray) -> np.ndarray:
        """(M,) float32, 0 to 1; beyond the last knot it stays as it is there."""
        return np.interp(agreed, self.agreement, self.certainty).astype(np.float32)


def prepare(features: np.ndarray, coordinates: np.ndarray, perplexity: float, seed: int) -> Atlas:
    """features (N, D), coordinates (N, 2) float32; `seed` draws the works that calibration is on."""
    from scipy.spatial import KDTree

    n_works = len(features)
    perplexity = max(1.0, min(perplexity, (n_works - 1) / parametric.NEIGHBOURS_PER_PERPLEXITY))
    searchable = neighbors.prepare(features, "none", "exact", 0)
    sample = np.sort(np.random.default_rng(seed).permutation(n_works)[:CALIBRATED_ON])
    diagonal = float(np.linalg.norm(np.ptp(coordinates, axis=0)))
    bandwidth, same, near = 0.0, 0.0, Neighborhood(np.zeros((0, 0, 2)), np.zeros((0, 0)))
    if n_works > 1:
        rank = min(n_works, round(perplexity) + 1)  # the nearest of all is the work itself
        bandwidth = float(np.median(KDTree(coordinates).query(coordinates, k=[rank])[0]))
        rows, distances = neighbors.find(searchable, features[sample], _n_neighbors(perplexity), sample)
        same = SAME * float(np.median(distances[:, 0]))
        near = _weighed(coordinates[rows], distances, perplexity, same)
    return Atlas(searchable, coordinates, perplexity, bandwidth or 1.0, diagonal or 1.0, same, sample, near)


def neighborhood(atlas: Atlas, features: np.ndarray, own: np.ndarray | None = None) -> Neighborhood:
    """Of works with `features` (M, D). `own` (M,) are their rows in the atlas, and are then left out.

    Weights are p(j|i), but where the nearest work shows the same picture it alone counts.
    """
    rows, distances = neighbors.find(atlas.searchable, features, _n_neighbors(atlas.perplexity), own)
    return _weighed(atlas.coordinates[rows], distances, atlas.perplexity, atlas.same)


def _n_neighbors(perplexity: float) -> int:
    return max(1, int(parametric.NEIGHBOURS_PER_PERPLEXITY * perplexity))


def _weighed(places: np.ndarray, distances: np.ndarray, perplexity: float, same: float) -> Neighborhood:
    """Neighbours (M, K, 2) at these distances (M, K) in feature space, nearest first."""
    n_neighbors = distances.shape[1]
    weights = parametric.conditional_affinities(distances.astype(np.float64) ** 2, min(perplexity, n_neighbors))
    weights[distances[:, 0] < same] = np.arange(n_neighbors) == 0
    return Neighborhood(places.astype(np.float64), weights)


def gather(near: Neighborhood, bandwidth: float) -> np.ndarray:
    """Where the neighbours gather, (M, 2) float32: the place of greatest `agreement`."""
    found = np.empty((len(near.places), 2), np.float32)
    for some in _blocks(near):
        places, weights = near.places[some], near.weights[some]
        agreed = (_kernel(places[:, :, None], places[:, None], bandwidth) @ weights[:, :, None])[:, :, 0]  # (B, K)
        best = agreed.argmax(axis=1)
        place = places[np.arange(len(places)), best]
        for _ in range(SHIFTS):
            pull = weights * _kernel(places, place[:, None], bandwidth) ** 2
            place = np.einsum("bk,bkd->bd", pull, places) / pull.sum(axis=1, keepdims=True)
        found[some] = place
    return found


def agreement(near: Neighborhood, coordinates: np.ndarray, bandwidth: float) -> np.ndarray:
    """How far the neighbours agree that a work belongs at `coordinates` (M, 2): (M,) float32, 0 to 1.

    sum_j p(j|i) / (1 + (|y_i - y_j| / bandwidth)^2), so 1 where all of them lie on that place.
    """
    nearness = _kernel(near.places, coordinates[:, None], bandwidth)
    return np.einsum("mk,mk->m", nearness, near.weights).astype(np.float32)


def calibrate(agreed: np.ndarray, errors: np.ndarray, own_novelty: np.ndarray, off_map_share: float) -> Calibration:
    """From what `rehearse` gives (C,), and the novelty (R,) of the collection's own works."""
    from sklearn.isotonic import IsotonicRegression

    above = float(np.quantile(own_novelty, 1 - off_map_share)) if len(own_novelty) else np.inf
    if not len(agreed):  # nothing to go by: nothing is certain
        return Calibration(np.zeros(1, np.float32), np.zeros(1, np.float32), above, RIGHT_WITHIN, 0, 0.0, 1.0)
    is_right = errors <= RIGHT_WITHIN
    fitted = IsotonicRegression(y_min=0, y_max=1).fit(agreed, is_right)
    knots = fitted.X_thresholds_.astype(np.float32), fitted.y_thresholds_.astype(np.float32)
    return Calibration(*knots, above, RIGHT_WITHIN, len(agreed), float(is_right.mean()), float(np.median(errors)))


def rehearse(
    atlas: Atlas, features: np.ndarray, rows: np.ndarray, place: Callable[[np.ndarray], np.ndarray] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Works of the collection (rows (C,) of it) placed as if they were new: agreement (C,) and error (C,).

    The error is the distance to where the map has the work, as a share of the map's diagonal. `place` takes features
    (C, D) to coordinates and must not have known these works; None places by neighbours, the work itself left out.
    """
    if len(features) < 2 or not len(rows):
        return np.zeros(0, np.float32), np.zeros(0, np.float32)
    near = atlas.near_sample if rows is atlas.sample else neighborhood(atlas, features[rows], rows)
    found = place(features[rows]) if place else gather(near, atlas.bandwidth)
    errors = np.linalg.norm(found - atlas.coordinates[rows], axis=1) / atlas.diagonal
    return agreement(near, found, atlas.bandwidth), errors


def novelty(embeddings: np.ndarray, queries: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """How strange works are by one source: of the collection's own, each left out itself (R,), and of queries (M,).

    The mean distance to the `CROWD` nearest works, over the (geometric) mean of what that is for those works: 1 is as
    strange as its nearest works are, 2 twice as far from everything. It has no unit, and takes the embeddings as they
    are: brought to unit length, as on the map, noise looks like paintings.

    embeddings (N, D), queries (M, D) float32; at most `REFERENCE` works, drawn by `seed`, are compared with.
    """
    known = embeddings[np.sort(np.random.default_rng(seed).permutation(len(embeddings))[:REFERENCE])]
    if len(known) < 2:
        return np.zeros(0), np.ones(len(queries))
    searchable = neighbors.prepare(known, "none", "exact", 0)
    rows, distances = neighbors.find(searchable, known, CROWD, np.arange(len(known)))
    smallest = np.finfo(np.float32).tiny  # of works that are there many times
    crowd = np.log(np.maximum(distances.mean(axis=1, dtype=np.float64), smallest))  # (R,)
    asked_rows, asked = neighbors.find(searchable, queries, CROWD)
    far = np.log(np.maximum(asked.mean(axis=1, dtype=np.float64), smallest))
    return np.exp(crowd - crowd[rows].mean(axis=1)), np.exp(far - crowd[asked_rows].mean(axis=1))


def _kernel(one: np.ndarray, other: np.ndarray, bandwidth: float) -> np.ndarray:
    """1 / (1 + (distance / bandwidth)^2) of places (..., 2): t-SNE's own."""
    nearness = np.square((one[..., 0] - other[..., 0]) / bandwidth)
    nearness += np.square((one[..., 1] - other[..., 1]) / bandwidth)
    nearness += 1
    return np.divide(1, nearness, out=nearness)


def _blocks(near: Neighborhood) -> Iterator[slice]:
    n_works, n_neighbors = near.weights.shape
    step = max(1, KERNELS // n_neighbors**2)
    return (slice(start, min(start + step, n_works)) for start in range(0, n_works, step))
