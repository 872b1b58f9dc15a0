"""Is a map of a fifth of the works, with the others placed on it, as good as a map of all?

t-SNE draws a seeded sample; the rest is placed by neighbours (placement.py) and by the parametric network, trained on
the sample and its map. The full map of all works is beside them. Scored are all works, against the features of all:
T(12) and neighbours kept of works drawn at random, with ranks among all; 5-NN accuracy of the labels of all works.

Data are the works of a collection (--config; label: artist), or (--works) 50 groups of 10 subgroups in 50 dimensions,
whose subgroups are the labels: about every second nearest neighbour is of the same.

Run     python benchmarks/sample_and_place.py --config my.yaml
        python benchmarks/sample_and_place.py --works 100000 --epochs 20 --keep FOLDER    goes on where it stopped
Cost    paintings: 5 minutes; 100,000 works: half an hour; 2 idle cores
"""

import argparse
import dataclasses
import sys
import time
from pathlib import Path

import numpy as np
from common import header

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from artatlas import config as config_module
from artatlas import coranking, images, metrics, neighbors, parametric_training, placement, queries, sources, store, vgg
from artatlas import tsne as tsne_module

SCORED = 500  # works drawn for T(12) and neighbours kept
K = 10


@dataclasses.dataclass
class Data:
    features: np.ndarray
    labels: np.ndarray


def mixture(n_works):
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(50, 1, 50)) + 0.7 * rng.normal(size=(50, 10, 50))
    labels = rng.integers(0, 500, n_works)
    features = centres.reshape(500, 50)[labels] + rng.normal(size=(n_works, 50))
    return Data(features.astype(np.float32), labels)


def collection(config):
    weights = dict(config.maps[config.parametric_tsne.map])
    ids, _ = sources.common_ids(config, list(weights))
    with store.open_output(config, "images") as h5:
        labels = np.unique(queries.read_catalogue(h5, ids).columns["artist"], return_inverse=True)[1]
    return Data(sources.read_features(config, ids, weights, config.tsne.scaling)[0], labels)


def draw(config, features):
    threads = images.n_threads(config.machine.threads)
    return tsne_module.draw_map(features, config.tsne, perplexity(config, features), threads, "")[0]


def perplexity(config, features):
    return tsne_module.resolve_perplexity(config.tsne.perplexity, len(features), "benchmark")


def by_neighbors(config, data, sample, own_map, epochs):
    atlas = placement.prepare(data.features[sample], own_map, perplexity(config, data.features[sample]), 0)
    whole = np.empty((len(data.features), 2), np.float32)
    whole[sample] = own_map
    rest = np.setdiff1d(np.arange(len(whole)), sample)
    for rows in np.array_split(rest, max(1, len(rest) // 2000)):
        whole[rows] = placement.gather(placement.neighborhood(atlas, data.features[rows]), atlas.bandwidth)
    return whole


def by_network(config, data, sample, own_map, epochs):
    """Of the sample t-SNE's own places, of the rest the network's: as they would stand in one map."""
    settings = config.parametric_tsne.model_copy(update={"epochs": epochs or config.parametric_tsne.epochs})
    is_test = np.zeros(len(sample), bool)
    tf = vgg.start_tensorflow(config)
    features = data.features[sample]
    network, _, _ = parametric_training.train(
        features, own_map, is_test, perplexity(config, features), settings, tf
    )  # fmt: skip
    whole = network.place(data.features)
    whole[sample] = own_map
    return whole


def scores(data, coordinates, rest, rng):
    rows = np.sort(rng.choice(len(coordinates), min(SCORED, len(coordinates)), replace=False))
    _, trust, _ = coranking.compare_some(data.features, coordinates, rows, 12)
    kept, _, _ = coranking.compare_some(data.features, coordinates, rows, K)
    right = metrics.wins_vote(data.labels[coranking.nearest_on_map(coordinates, 5)], data.labels)
    of_rest = np.isin(rows, rest)
    return trust.mean(), kept.mean(), kept[of_rest].mean(), right.mean(), right[rest].mean()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--works", type=int)
    parser.add_argument("--share", type=float, default=0.2)
    parser.add_argument("--epochs", type=int, help="of the network (default: parametric_tsne.epochs)")
    parser.add_argument("--keep", type=Path, help="keeps maps here and goes on with those that are missing")
    parser.add_argument("--only", nargs="+", help="of: full, sample, neighbors, network")
    options = parser.parse_args()
    config = config_module.load(options.config)
    data = mixture(options.works) if options.works else collection(config)
    neighbors.set_threads(images.n_threads(config.machine.threads))
    n_works = len(data.features)
    sample = np.sort(np.random.default_rng(0).permutation(n_works)[: round(options.share * n_works)])
    rest = np.setdiff1d(np.arange(n_works), sample)

    def made(name, make):
        path = options.keep / f"{n_works}_{name}.npz" if options.keep else None
        if path and path.exists():
            with np.load(path) as kept:
                return kept["coordinates"], float(kept["seconds"])
        if options.only and name not in options.only:
            return None, 0.0
        start = time.perf_counter()
        coordinates = make()
        seconds = time.perf_counter() - start
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
            np.savez(path, coordinates=coordinates, seconds=seconds)
        return coordinates, seconds

    own_map, of_sample = made("sample", lambda: draw(config, data.features[sample]))
    full, of_full = made("full", lambda: draw(config, data.features))
    maps = {"t-SNE of all works": (full, of_full)}
    if own_map is not None:
        for name, place in (("neighbors", by_neighbors), ("network", by_network)):
            found, seconds = made(name, lambda place=place: place(config, data, sample, own_map, options.epochs))
            maps[f"t-SNE of {options.share:.0%}, the others by {name}"] = found, of_sample + seconds
    if any(each is None for each, _ in maps.values()):
        return
    print(header("numpy", "openTSNE", "keras"), f"; {n_works:,} works, {data.features.shape[1]} dimensions\n")
    print("| map | seconds | T(12) | neighbours kept | of the others alone | 5-NN accuracy | of the others alone |")
    print("|---|---|---|---|---|---|---|")
    for name, (coordinates, seconds) in maps.items():
        figures = scores(data, coordinates, rest, np.random.default_rng(1))
        print(f"| {name} | {seconds:.0f} |", " | ".join(f"{figure:.3f}" for figure in figures), "|", flush=True)
    right = metrics.wins_vote(
        data.labels[neighbors.find(neighbors.prepare(data.features, "none", "exact", 0), data.features[rest[:2000]], 5,
                                   rest[:2000])[0]], data.labels[rest[:2000]])  # fmt: skip
    print(f"\n5-NN accuracy among the features themselves, of 2,000 works: {right.mean():.3f}")


if __name__ == "__main__":
    main()
