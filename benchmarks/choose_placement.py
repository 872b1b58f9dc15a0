"""By which rule should a new work be placed among its neighbours on a map that does not move?

A fifth is held out and the map drawn of the rest. mean: the neighbours' places, weighted by p(j|i) of some perplexity;
median: the geometric one; mode: where the weighted places are densest, within the radius on the map that holds so many
works; descent: the gradient of KL(P || Q) of the new works alone, as in openTSNE's transform. Kept: share of the 10
nearest training works by features that are among the 10 nearest on the map. Trustworthiness (12) is among held-out
works; the 1-NN error is of labels (digit, or --label).

Run     python benchmarks/choose_placement.py --seeds 100 101 102
        python benchmarks/choose_placement.py --config my.yaml --label artist --seeds 100 101 102
Cost    20 s a seed on 2 cores, nearly all of it for the map; --maps FILE.npz keeps maps for the next time
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from common import header
from parametric_objectives import PERPLEXITY, draw, read_data, split

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from artatlas import config, metrics, neighbors, parametric, placement
from artatlas.placement import Neighborhood

N_KEPT = 10
STEPS = 50  # of descent


def median(near):
    place = np.einsum("mk,mkd->md", near.weights, near.places)
    for _ in range(20):  # Weiszfeld's
        pull = near.weights / (np.linalg.norm(near.places - place[:, None], axis=2) + 1e-3)
        place = np.einsum("mk,mkd->md", pull, near.places) / pull.sum(axis=1, keepdims=True)
    return place


def descend(near, start, known):
    """d KL / d y_i = 2 sum_j (p_j|i - q_j|i) (y_i - y_j) / (1 + |y_i - y_j|^2), by steps of 1 with momentum 0.5."""
    place, velocity = start.astype(np.float64), 0
    for _ in range(STEPS):
        kernel = 1 / (1 + ((place[:, None] - known[None]) ** 2).sum(axis=2))
        push = kernel**2 / kernel.sum(axis=1, keepdims=True)
        apart = place[:, None] - near.places
        pull = near.weights / (1 + (apart**2).sum(axis=2))
        gradient = np.einsum("mk,mkd->md", pull, apart) - (push.sum(axis=1)[:, None] * place - push @ known)
        velocity = 0.5 * velocity - 2 * gradient
        place = place + velocity
    return place


def rules(known, rows, distances):
    """Name -> coordinates of the new works, whose neighbours are `rows` at `distances` (M, K)."""
    from scipy.spatial import KDTree

    radii = np.median(KDTree(known).query(known, k=61)[0], axis=0)
    yield "the nearest work's place", known[rows[:, 0]]
    for perplexity in (5, 10, 30):
        k = 3 * perplexity
        weights = parametric.conditional_affinities(distances[:, :k].astype(np.float64) ** 2, perplexity)
        near = Neighborhood(known[rows[:, :k]].astype(np.float64), weights)
        yield f"mean, perplexity {perplexity}", np.einsum("mk,mkd->md", weights, near.places)
        yield f"median, perplexity {perplexity}", median(near)
        for n_inside in (5, 12, 30, 60):
            yield f"mode, perplexity {perplexity}, radius of {n_inside}", placement.gather(near, radii[n_inside])
    yield "mode of 30, then descent", descend(near, placement.gather(near, radii[30]), known.astype(np.float64))
    yield "median, then descent", descend(near, median(near), known.astype(np.float64))


def scores(features, labels, is_test, drawn):
    from scipy.spatial import KDTree

    searchable = neighbors.prepare(features[~is_test], "none", "exact", 0)
    rows, distances = neighbors.find(searchable, features[is_test], int(3 * PERPLEXITY))
    tree = KDTree(drawn)
    for name, place in rules(drawn, rows, distances):
        shown = tree.query(place, k=N_KEPT)[1]
        kept = np.mean([np.isin(one, other[:N_KEPT]).mean() for one, other in zip(shown, rows, strict=True)])
        error = (labels[~is_test][shown[:, 0]] != labels[is_test]).mean()
        yield name, (kept, metrics.trustworthiness(features[is_test], place, 12), error)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--label", default="artist")
    parser.add_argument("--seeds", type=int, nargs="+", default=[100, 101, 102])
    parser.add_argument("--maps", type=Path, help="a file to keep maps in")
    options = parser.parse_args()
    settings = config.load(options.config)
    features, labels = read_data("digits", options.config and settings, options.label)
    maps = dict(np.load(options.maps)) if options.maps and options.maps.exists() else {}
    found = {}
    for seed in options.seeds:
        is_test = split(len(features), seed)
        if str(seed) not in maps:
            maps[str(seed)] = np.asarray(draw(features[~is_test]), np.float32)
        for name, values in scores(features, labels, is_test, maps[str(seed)]):
            found.setdefault(name, []).append(values)
    if options.maps:
        np.savez(options.maps, **maps)
    print(f"{header('openTSNE')}; {len(features):,} works, {len(options.seeds)} splits, perplexity {PERPLEXITY:g}\n")
    print("| placed at | 10 kept | trustworthiness (12) | 1-NN error |\n|---|---|---|---|")
    for name, values in found.items():
        print(f"| {name} | {' | '.join(f'{value:.3f}' for value in np.mean(values, axis=0))} |")


if __name__ == "__main__":
    main()
