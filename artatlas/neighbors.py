"""Nearest neighbours of works among a collection's features: exact or by an index, corrected for hubs or not.

faiss proposes (Johnson, Douze & Jegou 2021, "Billion-scale similarity search with GPUs"), from |x|^2 + |y|^2 - 2 x.y in
float32, which blurs small distances. What it proposes is measured again as |x - y|^2 and put in order here, so that an
exact search is exact: the same on every machine, equal distances in the order of the rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from artatlas import cli, cluster
from artatlas.config import Machine

QUERIES = 4096  # works searched for at a time: what is computed on the way takes some 20 MB
MEASURED = 256  # works whose candidates are measured at a time: 256 x 29 x 1024 float32 are 30 MB
SPARE = 8  # candidates beyond those wanted; where they do not settle who belongs to the list, all rows are measured
ROUNDING = 1e-5  # error of a proposed cost, as a share of the squared lengths: some 10 times what was ever seen
CSLS_NEIGHBORS = 10  # Conneau et al. 2018 use 10 and find the number of little influence

EXACT_UP_TO = 100_000  # works that `auto` searches exactly; at 10,000 building HNSW took three times as long
BLAS_FROM = 4096  # numbers in the queries, from which on faiss multiplies matrices; by its own limit, 128,000, it takes
# longer to search for 100 works than for 1,000
SAMPLE = 500  # works on which an approximate index is compared with the exact search
HNSW_LINKS = 32  # per work and layer, faiss' own default
HNSW_BUILD, HNSW_SEARCH = 80, 128  # breadth of the search when building and when searching
IVF_PROBES = 64  # cells that are looked into, of about 4 sqrt(N): 16 found two thirds of the neighbours
IVF_LEAST = 39  # works a cell below which faiss holds its k-means to be starved


@dataclass(frozen=True)
class Searchable:
    """What is searched, made by `prepare`.

    base : (M, D) float32, the works that can be neighbours
    vectors : (M, D), what costs are computed from: `base`, or for CSLS (M, D + 1), its rows at unit length with minus
        half their local similarity beside them, whose inner product with (x, 1) orders works as CSLS does
    local_similarity : (M,) float32 for CSLS, else None: mean cosine of a work with its 10 nearest. A hub's is high.
    index : of faiss, or None where the search is exact
    """

    base: np.ndarray
    vectors: np.ndarray
    local_similarity: np.ndarray | None
    index: Any


def prepare(
    base: np.ndarray, hubness: str, index: str, seed: int, local_similarity: np.ndarray | None = None,
    machine: Machine | None = None,
) -> Searchable:  # fmt: skip
    """Makes features (M, D) searchable. `seed` is of the k-means of ivf.

    hubness : none, or csls: Conneau et al. 2018, "Word translation without parallel data", 2.3: works are ordered by
        2 cos(x, y) - r(x) - r(y), where r is the mean cosine with the 10 nearest. Works that are near to everything
        (hubs: Radovanovic et al. 2010) step back.
    index : exact, hnsw (Malkov & Yashunin 2018), ivf (cells of a k-means)
    local_similarity : of a search made before, to spare computing it again
    machine : where that is computed, null for here; an index is always made here
    """
    if hubness == "none":
        return Searchable(base, base, None, _index(base, index, seed, inner=False))
    vectors = np.empty((len(base), base.shape[1] + 1), np.float32)
    vectors[:, :-1] = unit_rows(base)
    vectors[:, -1] = 0
    if local_similarity is None:
        cosines = -_nearest(vectors, vectors, CSLS_NEIGHBORS, np.arange(len(base)), None, True, "", machine)[1]
        local_similarity = (cosines.sum(axis=1) / max(1, cosines.shape[1])).astype(np.float32)
    vectors[:, -1] = -local_similarity / 2
    return Searchable(base, vectors, local_similarity, _index(vectors, index, seed, inner=True))


def find(
    searchable: Searchable, queries: np.ndarray, k: int, own: np.ndarray | None = None, desc: str = "",
    machine: Machine | None = None,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """The k nearest works of queries (Q, D): rows of the base (Q, k) int64 and Euclidean distances (Q, k) float32.

    Nearest first, equals in the order of rows; by CSLS in its order, and distances then need not rise. Fewer than k
    where there are fewer. `own` (Q,) is the row of the base that is the query itself and left out, or -1. `desc`
    names a bar of progress, "" for none. `machine` is where an exact search is computed, None for here.
    """
    inner = searchable.local_similarity is not None
    asked = np.hstack([unit_rows(queries), np.ones((len(queries), 1), np.float32)]) if inner else queries
    rows, costs = _nearest(asked, searchable.vectors, k, own, searchable.index, inner, desc, machine)
    if not inner:
        return rows, np.sqrt(costs)
    distances = np.empty(rows.shape, np.float32)
    for some in _slices(len(rows), MEASURED):
        distances[some] = np.sqrt(_costs(queries[some], searchable.base, rows[some], inner=False))
    return rows, distances


def extend(
    base: np.ndarray, features: np.ndarray, own: np.ndarray, is_new: np.ndarray, known_rows: np.ndarray,
    known_distances: np.ndarray, k: int,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """What an exact `find` for all works would say, searching only where works have been added.

    base : (M, D), features : (N, D), own : (N,), as for `find`
    is_new : (M,) bool, which of the base were not there before
    known_rows, known_distances : (O, K) of works that were there, the first O of `features`: rows of the base, which
        may be new ones where a new work took the place of its duplicate, and their distances
    """
    n_known, k = len(known_rows), min(k, len(base) - 1)
    if known_rows.shape[1] < k:  # lists of few works, all of which are in them
        return find(prepare(base, "none", "exact", 0), features, k, own)
    added = np.flatnonzero(is_new)
    place = np.full(len(base), -1)  # of each of the base among the added
    place[added] = np.arange(len(added))
    rows = known_rows.copy()
    distances = np.where(is_new[known_rows], np.float32(np.inf), known_distances)  # they are found again
    asked = _may_be_nearer(features[:n_known], base[added], distances.max(axis=1, initial=0))
    own_asked = np.where(own[asked] >= 0, place[own[asked]], -1)
    found, measured = find(prepare(base[added], "none", "exact", 0), features[asked], k, own_asked)
    both, of_both = np.hstack([rows[asked], added[found]]), np.hstack([distances[asked], measured])
    order = np.lexsort((both, of_both), axis=1)[:, :k]
    rows[asked], distances[asked] = (np.take_along_axis(x, order, axis=1) for x in (both, of_both))
    new_rows, new_distances = find(prepare(base, "none", "exact", 0), features[n_known:], k, own[n_known:])
    return np.vstack([rows, new_rows]), np.vstack([distances, new_distances])


def _may_be_nearer(queries: np.ndarray, vectors: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Rows (A,) of the queries (Q, D) that may have one of `vectors` within `limits` (Q,); all that do are in it."""
    if not len(vectors):
        return np.zeros(0, np.int64)
    longest = float(np.einsum("ij,ij->i", vectors, vectors).max())
    asked = []
    for some in _slices(len(queries), QUERIES):
        nearest, _ = _propose(queries[some], vectors, 1, None, inner=False)
        error = ROUNDING * (np.einsum("ij,ij->i", queries[some], queries[some]) + longest)
        asked.append(some.start + np.flatnonzero(nearest <= np.square(limits[some], dtype=np.float64) + error))
    return np.concatenate(asked)


def recall(searchable: Searchable, queries: np.ndarray, k: int, own: np.ndarray, rows: np.ndarray) -> float:
    """Share of the exact k nearest that approximate lists `rows` (Q, k) hold: 0 to 1."""
    exact, _ = find(replace(searchable, index=None), queries, k, own)
    n_common = sum(len(np.intersect1d(one, other)) for one, other in zip(exact, rows, strict=True))
    return n_common / exact.size if exact.size else 1.0


def resolve_index(index: str, n_works: int) -> str:
    """`auto` is exact up to 100,000 works, hnsw above."""
    if index != "auto":
        return index
    return "exact" if n_works <= EXACT_UP_TO else "hnsw"


def unit_rows(rows: np.ndarray) -> np.ndarray:
    """(N, D) brought to unit length, so that Euclidean distance orders them as cosine does. Zero stays zero."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)


def set_threads(threads: int) -> None:
    """Of faiss, for all that follows. Changes speed, never results."""
    import faiss

    faiss.omp_set_num_threads(threads)


def _index(vectors: np.ndarray, kind: str, seed: int, inner: bool) -> Any:
    if kind == "exact" or not len(vectors):
        return None
    import faiss

    metric = faiss.METRIC_INNER_PRODUCT if inner else faiss.METRIC_L2
    index: Any
    if kind == "hnsw":
        index = faiss.IndexHNSWFlat(vectors.shape[1], HNSW_LINKS, metric)
        index.hnsw.efConstruction, index.hnsw.efSearch = HNSW_BUILD, HNSW_SEARCH
        threads = faiss.omp_get_max_threads()
        faiss.omp_set_num_threads(1)  # with several, the links depend on which thread came first
        index.add(vectors)
        faiss.omp_set_num_threads(threads)
        return index
    n_cells = max(1, min(int(4 * np.sqrt(len(vectors))), len(vectors) // IVF_LEAST))
    quantizer = faiss.IndexFlat(vectors.shape[1], metric)
    index = faiss.IndexIVFFlat(quantizer, vectors.shape[1], n_cells, metric)
    index.cp.seed, index.nprobe = seed, IVF_PROBES
    index.train(vectors)
    index.add(vectors)
    return index


def _slices(n_rows: int, step: int) -> Iterator[slice]:
    return (slice(start, min(start + step, n_rows)) for start in range(0, n_rows, step))


def _nearest(
    queries: np.ndarray, vectors: np.ndarray, k: int, own: np.ndarray | None, index: Any, inner: bool, desc: str = "",
    machine: Machine | None = None,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Rows of `vectors` (Q, k) int64 of least cost, and the costs (Q, k) float32: |x - y|^2, or for `inner` -x.y."""
    own = np.full(len(queries), -1) if own is None else own
    k = max(0, min(k, len(vectors) - bool((own >= 0).any())))
    rows, costs = np.empty((len(queries), k), np.int64), np.empty((len(queries), k), np.float32)
    if not k:
        return rows, costs
    longest = float(np.einsum("ij,ij->i", vectors, vectors).max())
    blocks = list(_slices(len(queries), QUERIES))
    if index is not None:
        machine = None  # quick enough, and an index cannot be shared as arrays can
    threads = cluster.at_worker(machine).threads if machine else None
    work = _Search(queries, vectors, k, own, longest, index, inner, threads)
    with cli.progress(total=len(blocks), unit="block", desc=desc) if desc else nullcontext() as bar:
        for block, some_rows, some_costs in cluster.run(machine, work, blocks):
            rows[block], costs[block] = some_rows, some_costs
            if bar is not None:
                bar.update()
    return rows, costs


@dataclass(frozen=True)
class _Search:
    """What searches for blocks of queries; yields each with the rows and costs of its nearest."""

    queries: np.ndarray
    vectors: np.ndarray
    k: int
    own: np.ndarray
    longest: float  # squared length of a vector
    index: Any
    inner: bool
    threads: int | str | None  # of a worker; None or auto leave faiss as it is

    def __call__(self, blocks: Iterable[slice]) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
        if isinstance(self.threads, int):
            set_threads(self.threads)
        n, k = min(self.k + 1 + SPARE, len(self.vectors)), self.k
        for block in blocks:
            queries, own = self.queries[block], self.own[block]
            worst, found = _propose(queries, self.vectors, n, self.index, self.inner)
            parts = [
                _settle(
                    queries[some], self.vectors, found[some], worst[some], own[some], k, self.longest, self.inner,
                    self.index,
                )
                for some in _slices(len(found), MEASURED)
            ]  # fmt: skip
            rows, costs = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
            yield block, rows, costs


def _propose(
    queries: np.ndarray, vectors: np.ndarray, n: int, index: Any, inner: bool
) -> tuple[np.ndarray, np.ndarray]:
    """n candidates for each query as faiss finds them: cost of the worst (Q,), and rows (Q, n), -1 for none."""
    import faiss

    queries = np.ascontiguousarray(queries)
    if index is None:
        faiss.cvar.distance_compute_blas_threshold = BLAS_FROM
        metric = faiss.METRIC_INNER_PRODUCT if inner else faiss.METRIC_L2
        values, rows = faiss.knn(queries, np.ascontiguousarray(vectors), n, metric=metric)
    else:
        values, rows = index.search(queries, n)
    return (-values[:, -1] if inner else values[:, -1]), rows


def _settle(
    queries: np.ndarray, vectors: np.ndarray, found: np.ndarray, worst: np.ndarray, own: np.ndarray, k: int,
    longest: float, inner: bool, index: Any,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """The k best candidates of each query, measured; of all rows where the candidates leave a doubt."""
    rows, costs = _best(_costs(queries, vectors, found, inner), found, own, k)
    is_sure = np.isfinite(costs[:, -1])
    if index is None and found.shape[1] < len(vectors):
        # Whoever was not proposed costs at least as much as the worst proposal, but for rounding.
        error = ROUNDING * (np.einsum("ij,ij->i", queries, queries) + longest)
        is_sure &= costs[:, -1] + error < worst
    for row in np.flatnonzero(~is_sure):
        asked, everyone = queries[row : row + 1], np.arange(len(vectors))[None]
        whole = np.concatenate([
            _costs(asked, vectors, everyone[:, some], inner) for some in _slices(len(vectors), QUERIES)
        ], axis=1)  # fmt: skip
        rows[row], costs[row] = _best(whole, everyone, own[row : row + 1], k)
    return rows, costs


def _costs(queries: np.ndarray, vectors: np.ndarray, rows: np.ndarray, inner: bool) -> np.ndarray:
    """(Q, D) to rows (Q, C): (Q, C) float32, infinite where a row is -1."""
    candidates = vectors[rows]  # (Q, C, D)
    if inner:
        costs = -np.einsum("qcd,qd->qc", candidates, queries)
    else:
        candidates -= queries[:, None]
        costs = np.einsum("qcd,qcd->qc", candidates, candidates)
    costs[rows < 0] = np.inf
    return costs


def _best(costs: np.ndarray, rows: np.ndarray, own: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    costs = np.where(rows == own[:, None], np.float32(np.inf), costs)
    order = np.lexsort((rows, costs), axis=1)[:, :k]  # by cost, equals by row
    return np.take_along_axis(rows, order, axis=1), np.take_along_axis(costs, order, axis=1)
