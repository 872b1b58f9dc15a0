"""Works that join a finished map: each where its neighbours gather, how sure that is, and whether it belongs there.

All of them are placed among the works that the map was drawn from, so it does not matter which came first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from artatlas import placement, sources
from artatlas.config import Config


@dataclass(frozen=True)
class Joined:
    """Of new works (M,) on one map.

    coordinates : (M, 2) float32
    certainty : (M,) float32, 0 to 1
    is_off_map : (M,) bool
    share_right : what the mean certainty of works like the collection's own would be
    """

    coordinates: np.ndarray
    certainty: np.ndarray
    is_off_map: np.ndarray
    share_right: float


def join(
    config: Config, image_ids: np.ndarray, coordinates: np.ndarray, perplexity: float, weights: dict[str, float],
    new: dict[str, np.ndarray], strange: dict[str, tuple[np.ndarray, np.ndarray]],
) -> Joined:  # fmt: skip
    """Places works (M,) on a map (N, 2) of works (N,), from the sources of `weights`.

    Scalers are those of the map: fitted on its works, in their order.

    new : source -> (M, D) float32, the works' embeddings
    strange : what `novelty_by_source` tells of them
    """
    features, scalers = sources.read_features(config, image_ids, weights, config.tsne.scaling)
    atlas = placement.prepare(features, coordinates, perplexity, config.placement.seed)
    rehearsed = placement.rehearse(atlas, features, atlas.sample)
    new_features = np.hstack([scaler.transform(new[name]) for name, scaler in scalers.items()])
    near = placement.neighborhood(atlas, new_features)
    found = placement.gather(near, atlas.bandwidth)
    agreed = placement.agreement(near, found, atlas.bandwidth)
    own_novelty, new_novelty = joined_novelty({name: strange[name] for name in weights})
    calibration = placement.calibrate(*rehearsed, own_novelty, config.placement.off_map_share)
    is_off_map = new_novelty > calibration.off_map_above
    return Joined(found, calibration.certainty_of(agreed), is_off_map, calibration.share_right)


def novelty(config: Config, image_ids: np.ndarray, embeddings: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Of the collection's own works (R,) and of new ones (M,): the geometric mean of their novelty by each source.

    image_ids : (N,) of the collection
    embeddings : source -> (M, D) float32 of the new works
    """
    return joined_novelty(novelty_by_source(config, image_ids, embeddings))


def novelty_by_source(
    config: Config, image_ids: np.ndarray, embeddings: dict[str, np.ndarray]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The same by each source: `placement.novelty` of own and new works."""
    found = {}
    for name, rows in embeddings.items():
        raw, _ = sources.read_features(config, image_ids, {name: 1.0}, "none")
        found[name] = placement.novelty(raw, rows, config.placement.seed)
    return found


def joined_novelty(by_source: dict[str, tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    own, new = (np.exp(np.mean(np.log(each), axis=0)) for each in zip(*by_source.values(), strict=True))
    return own, new.astype(np.float32)
