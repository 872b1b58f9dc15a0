"""The lists of neighbors.h5: made for all works, added to, read again. For find_similar.py."""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256

import h5py
import numpy as np

from artatlas import neighbors, queries, sources, store
from artatlas.config import Config
from artatlas.errors import UserError
from artatlas.queries import Works
from artatlas.sources import Scaler


@dataclass(frozen=True)
class Lists:
    """Of all works in one space. A row of `indices` is in the order of nearness."""

    indices: np.ndarray  # (N, k) int32, rows of image_ids
    distances: np.ndarray  # (N, k) float32
    scalers: dict[str, Scaler]
    features_sha256: str  # of the features, to know later that the works are where they were
    recall: float = 1.0  # share of the exact neighbours that an approximate index found
    local_similarity: np.ndarray | None = None  # (N,) float32, with csls


def write(group: h5py.Group, lists: Lists, weights: dict[str, float], index: str) -> None:
    group["indices"], group["distances"] = lists.indices, lists.distances
    group.attrs["weights"] = json.dumps(weights)
    group.attrs["index"], group.attrs["recall"] = index, lists.recall
    group.attrs["features_sha256"] = lists.features_sha256
    for source, scaler in lists.scalers.items():
        sources.write_scaler(group.create_group(f"scalers/{source}"), scaler)
    if lists.local_similarity is not None:
        group["local_similarity"] = lists.local_similarity


def search_all(config: Config, works: Works, name: str, index: str) -> Lists:
    settings, space = config.similar, queries.read_space(config, works, name)
    features = space.features
    base = features if len(works.base) == len(features) else features[works.base]
    searchable = neighbors.prepare(base, settings.hubness, index, settings.seed, machine=config.machine)
    rows, distances = neighbors.find(
        searchable, features, settings.n_neighbors, works.own, desc=name, machine=config.machine
    )
    recall = 1.0
    if index != "exact":
        rng = np.random.default_rng(settings.seed)
        sample = np.sort(rng.choice(len(rows), min(neighbors.SAMPLE, len(rows)), replace=False))
        recall = neighbors.recall(searchable, features[sample], rows.shape[1], works.own[sample], rows[sample])
    local = searchable.local_similarity
    return Lists(works.base[rows].astype(np.int32), distances, space.scalers, _digest(features), recall,
                 None if local is None else local[works.own])  # fmt: skip


@dataclass(frozen=True)
class Known:
    """What neighbors.h5 says of the works that were there before others were added."""

    rows: np.ndarray  # (O,) where the works of the file are now
    lists: dict[str, Lists]  # of them by space; indices are rows of the file
    index: str  # that they were found by
    scaled_as: str  # fingerprint of the file whose scalers these are
    additions: list[dict]  # what was added to, for the recipe


def read_known(config: Config, works: Works) -> Known:
    """Raises UserError where the file cannot be added to."""
    path, anew = config.outputs / "neighbors.h5", f"Run: {config.command('find_similar.py')}"
    if config.similar.hubness == "csls":
        raise UserError(f"--update: with similar.hubness csls an added work changes every order. {anew}")
    with store.open_outdated(config, "neighbors") as h5:
        ids = store.read_ids(h5)
        if gone := set(ids) - set(works.image_ids):
            raise UserError(f"{store.show(path)} has works that are no more ({min(gone)}). {anew}")
        lists = {
            name: Lists(
                h5[f"{name}/indices"][:], h5[f"{name}/distances"][:],
                {source: sources.read_scaler(h5[f"{name}/scalers/{source}"]) for source in h5[f"{name}/scalers"]},
                h5[name].attrs["features_sha256"], float(h5[name].attrs["recall"]),
            )
            for name in config.similar.spaces
        }  # fmt: skip
        recipe = store.recipe_after(h5)
        scaled_as = recipe.get("scaled_as", str(h5.attrs["fingerprint"]))
    return Known(store.rows_of(ids, works.image_ids), lists, recipe["index"], scaled_as, recipe["additions"])


def search_added(config: Config, works: Works, name: str, known: Known) -> Lists:
    """Known lists with the added works in them, and lists for these; distances are measured as they were."""
    before = known.lists[name]
    features = queries.read_space(config, works, name, before.scalers).features
    if _digest(_take(features, known.rows)) != before.features_sha256:
        files = " or ".join(f"{source}.h5" for source in before.scalers)
        raise UserError(
            f"--update: {files} has other embeddings for works that were there before (a PCA fitted anew changes all)."
            f" Run: {config.command('find_similar.py')}"
        )
    is_added = np.ones(len(features), bool)
    is_added[known.rows] = False
    order = np.concatenate([known.rows, np.flatnonzero(is_added)])
    rows, distances = neighbors.extend(
        _take(features, works.base), _take(features, order), works.own[order], is_added[works.base],
        works.own[known.rows[before.indices]], before.distances, config.similar.n_neighbors,
    )  # fmt: skip
    back = np.argsort(order)
    indices = works.base[rows[back]].astype(np.int32)
    return Lists(indices, distances[back], before.scalers, _digest(features), before.recall)


def _take(features: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """features[rows], without a copy where these are the first ones in order, as they are of most collections."""
    are_first = len(rows) <= len(features) and np.array_equal(rows, np.arange(len(rows)))
    return features[: len(rows)] if are_first else features[rows]


def read_scalers(config: Config, space: str) -> dict[str, Scaler] | None:
    """Those of neighbors.h5 where it is up to date, so that a query is told the same distances; else None."""
    if store.why_stale(config, "neighbors"):
        return None
    with store.open_output(config, "neighbors") as h5:
        return {name: sources.read_scaler(group) for name, group in h5[f"{space}/scalers"].items()}


def read_local_similarity(config: Config, space: str, works: Works) -> np.ndarray | None:
    """Of the base (M,), where CSLS needs it: computing it anew would take as long as the whole stage."""
    if config.similar.hubness == "none":
        return None
    with store.open_output(config, "neighbors") as h5:
        return h5[f"{space}/local_similarity"][:][works.base]


def _digest(features: np.ndarray) -> str:
    return sha256(np.ascontiguousarray(features).data).hexdigest()
