"""How fast are the t-SNE engines, and how good are the maps they draw? Judged alike, whatever each says of itself.

Data are a mixture of 50 Gaussian clusters in 50 dimensions, and with --config the works of a collection, drawn with
replacement, each moved up to half way to one of its 10 nearest and jittered. Every run is a process of its own.

KL    divergence of the map from one exact P for all engines: P over the exact 3 x perplexity + 1 nearest neighbours
      (artatlas.parametric.affinities), sum p ln p + sum p ln(1 + d^2) + ln Z, with Z over all pairs, in blocks
kept  share of the 10 exact nearest works that are among the 10 nearest on the map
T(12) trustworthiness of 12 neighbours, of 2,000 works taken at random
CPU   processor time of all threads; on a machine that others use too, compare this, of --threads 1

Run     python benchmarks/tsne_speed.py --works 10000
        python benchmarks/tsne_speed.py --config my.yaml --works 50000 --keep /tmp/maps   (goes on where it stopped)
Cost    minutes at 10,000; at 50,000 half an hour, most of it scikit-learn's
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from common import header

from artatlas import config, neighbors, parametric, sources, tsne

PERPLEXITY = 30
SAMPLE = 2000
ENGINES = ("opentsne", "openTSNE as it comes", "sklearn", "intelex", "cuml")  # the first three where none is named


def mixture(n_works):
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(50, 50))
    return (centres[rng.integers(0, 50, n_works)] + rng.normal(size=(n_works, 50))).astype(np.float32)


def bootstrapped(settings, n_works):
    rng = np.random.default_rng(0)
    weights = settings.maps[settings.parametric_tsne.map]
    ids, _ = sources.common_ids(settings, list(weights))
    works, _ = sources.read_features(settings, ids, weights, settings.tsne.scaling)
    nearest, _ = neighbors.find(neighbors.prepare(works, "none", "exact", 0), works, 10, np.arange(len(works)))
    drawn = rng.integers(0, len(works), n_works)
    other = nearest[drawn, rng.integers(0, 10, n_works)]
    features = works[drawn] + rng.uniform(0, 0.5, (n_works, 1)).astype(np.float32) * (works[other] - works[drawn])
    return features + 0.3 * works.std(axis=0) * rng.standard_normal(features.shape, dtype=np.float32)


def draw(engine, features, settings, threads):
    """The map (N, 2) of one engine, all from the same start."""
    if engine in tsne.ENGINES:
        chosen = settings.tsne.model_copy(update={"engine": engine})
        return tsne.draw_map(features, chosen, PERPLEXITY, threads, engine)[0]
    layout = tsne.initial_layout(features, "pca", np.random.default_rng(settings.tsne.seed))
    if engine == "intelex":
        from sklearnex.manifold import TSNE

        return TSNE(init=layout.astype(np.float32), random_state=42, n_jobs=threads).fit_transform(features)
    from openTSNE import TSNE

    return np.asarray(TSNE(n_jobs=threads, random_state=42).fit(features, initialization=layout))


def divergence(p, coordinates):
    """KL divergence of the map (N, 2) from P, with every pair in its normaliser."""
    y = np.asarray(coordinates, np.float64) - coordinates.mean(axis=0)
    rows = np.repeat(np.arange(len(y)), np.diff(p.indptr))
    apart = np.square(y[rows] - y[p.indices]).sum(axis=1)
    small = y.astype(np.float32)
    z = -float(len(y))  # a work has no affinity to itself
    for block in np.array_split(np.arange(len(y)), len(y) // 256 + 1):
        squares = np.square(small[block, None, 0] - small[None, :, 0])
        squares += np.square(small[block, None, 1] - small[None, :, 1])
        z += float(np.reciprocal(1 + squares).sum(dtype=np.float64))
    values = p.data.astype(np.float64)
    return float((values * (np.log(values) + np.log1p(apart))).sum() + values.sum() * np.log(z))


def shown(coordinates, k):
    """Rows of the k nearest others on the map, (N, k)."""
    from scipy.spatial import cKDTree

    found = cKDTree(coordinates).query(coordinates, k + 1)[1]
    is_self = found == np.arange(len(found))[:, None]
    is_self[~is_self.any(axis=1), -1] = True  # more than k works on one point: any one may go
    return found[~is_self].reshape(len(found), k)


def trustworthiness(features, on_map, n_works, k=12):
    """Venna & Kaski 2001, of a sample of works against all."""
    asked = np.random.default_rng(0).choice(n_works, min(SAMPLE, n_works), replace=False)
    penalty, lengths = 0.0, np.square(features).sum(axis=1)
    for block in np.array_split(asked, len(asked) // 100 + 1):
        squares = lengths - 2 * features[block] @ features.T  # (B, N), but for a constant of each row
        squares[np.arange(len(block)), block] = -np.inf
        for distances, row in zip(squares, on_map[block], strict=True):
            ranks = np.searchsorted(np.sort(distances), distances[row])  # 1 is the nearest, 0 the work itself
            penalty += np.maximum(ranks - k, 0).sum()
    return 1 - 2 / (len(asked) * k * (2 * n_works - 3 * k - 1)) * penalty


def run_one(options, settings):
    """One engine on one data set, in this process: writes the map and what it cost."""
    features = DATA[options.data](settings, options.works[0])
    start, before = time.perf_counter(), time.process_time()
    coordinates = draw(options.one, features, settings, options.threads)
    cost = {"seconds": time.perf_counter() - start, "cpu": time.process_time() - before,
            "mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}  # fmt: skip
    file = map_file(options.keep, options.data, options.works[0], options.one, options.threads)
    np.save(file, coordinates)
    file.with_suffix(".json").write_text(json.dumps(cost), encoding="utf-8")


def map_file(folder, data, n_works, engine, threads):
    return folder / f"{data}-{n_works}-{engine.replace(' ', '_')}-{threads}.npy"


DATA = {"mixture": lambda settings, n: mixture(n), "paintings": bootstrapped}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, help="of a collection with finished content.h5, style.h5")
    parser.add_argument("--data", help="mixture | paintings; both where --config is given")
    parser.add_argument("--works", type=int, nargs="+", default=[10000])
    parser.add_argument("--engines", nargs="+", default=ENGINES[:3], choices=ENGINES)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--keep", type=Path, default=Path("outputs/tsne_speed"), help="maps; none is redone")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    settings = config.load(options.config)
    if options.one:
        run_one(options, settings)
        return
    options.keep.mkdir(parents=True, exist_ok=True)
    print(header("numpy", "openTSNE", "scikit-learn", "faiss-cpu") + f", {options.threads} threads\n")
    print("| data | works | engine | seconds | CPU | times sklearn | by CPU | KL | kept | T(12) | peak memory |")
    print("|---|---|---|---|---|---|---|---|---|---|---|", flush=True)
    for data in [options.data] if options.data else [name for name in DATA if name == "mixture" or options.config]:
        for n_works in options.works:
            compare(data, n_works, settings, options)


def compare(data, n_works, settings, options):
    files = {engine: map_file(options.keep, data, n_works, engine, options.threads) for engine in options.engines}
    for engine, file in files.items():
        if not file.exists():
            command = [sys.executable, __file__, "--one", engine, "--data", data, "--works", str(n_works)]
            command += ["--threads", str(options.threads), "--keep", str(options.keep)]
            subprocess.run(command + (["--config", str(options.config)] if options.config else []), check=True)
    features = DATA[data](settings, n_works)
    near, _ = neighbors.find(neighbors.prepare(features, "none", "exact", 0), features, 10, np.arange(n_works))
    p = parametric.affinities(features, PERPLEXITY)
    costs = {engine: json.loads(file.with_suffix(".json").read_text()) for engine, file in files.items()}
    for engine, cost in costs.items():
        coordinates = np.load(files[engine])
        on_map = shown(coordinates, 12)
        kept = (near[:, :, None] == on_map[:, None, :10]).any(axis=2).mean()
        ratios = [f"{costs['sklearn'][k] / cost[k]:.1f}" if "sklearn" in costs else "" for k in ("seconds", "cpu")]
        cells = [data, f"{n_works:,}", engine, f"{cost['seconds']:.1f}", f"{cost['cpu']:.1f}", *ratios]
        cells += [f"{divergence(p, coordinates):.3f}", f"{kept:.4f}"]
        cells += [f"{trustworthiness(features, on_map, n_works):.4f}", f"{cost['mb']:,.0f} MB"]
        print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
