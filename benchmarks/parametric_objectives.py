"""Does the KL objective place unseen works better than regression onto the finished map, and than PCA?

On scikit-learn's 1,797 handwritten digits (8 x 8), and with --config on a collection of one's own. A fifth of the works
is held out. Trustworthiness (12) is among the held-out works; the 1-NN error is that of a held-out work's label given
the nearest training work on the map. The finished t-SNE map, which knew all works, stands beside as the bound.

Run     python benchmarks/parametric_objectives.py --seeds 2
        python benchmarks/parametric_objectives.py --config my.yaml --label artist --seeds 1
Cost    about a minute a seed and objective on 2 cores
"""

import argparse
import datetime
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import build_tsne
import train_parametric_tsne
from artatlas import config, metrics, sources, store, vgg
from artatlas.reduce import fit_pca


def digits():
    from sklearn.datasets import load_digits

    data = load_digits()
    return data.data.astype(np.float32), data.target


def collection(settings, label):
    weights = dict(settings.maps[settings.parametric_tsne.map].items())
    ids, _ = sources.common_ids(settings, list(weights))
    with store.open_output(settings, "images") as h5:
        labels = h5[f"metadata/{label}"].asstr()[:][store.rows_of(ids, store.read_ids(h5))]
    return sources.read_features(settings, ids, weights, settings.tsne.scaling)[0], labels


def nearest_error(placed, labels, is_test):
    """Share of held-out works whose nearest training work has another label."""
    known, asked = placed[~is_test], placed[is_test]
    nearest = np.square(asked[:, None] - known[None]).sum(axis=2).argmin(axis=1)
    return float((labels[~is_test][nearest] != labels[is_test]).mean())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--label", default="artist")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    settings = config.load(options.config)
    features, labels = collection(settings, options.label) if options.config else digits()
    tf = vgg.start_tensorflow(settings)
    drawn, _ = build_tsne.draw_map(features, settings.tsne, 30, -1, "finished")
    print(f"{datetime.date.today()}, {len(features):,} works, {features.shape[1]} dimensions, perplexity 30\n")
    print("| method | seed | trustworthiness (12) | 1-NN error | seconds |\n|---|---|---|---|---|", flush=True)
    for seed in range(options.seeds):
        is_test = np.zeros(len(features), bool)
        is_test[np.random.default_rng(seed).permutation(len(features))[: len(features) // 5]] = True

        def show(name, placed, seconds, seed=seed, is_test=is_test):
            trust = metrics.trustworthiness(features[is_test], placed[is_test], 12)
            error = nearest_error(placed, labels, is_test)
            print(f"| {name} | {seed} | {trust:.3f} | {error:.3f} | {seconds:.0f} |", flush=True)

        pca = fit_pca(lambda is_test=is_test: [features[~is_test]], 2, np.random.default_rng(0))
        show("PCA", pca.transform(features), 0)
        for objective in ("regression", "kl"):
            chosen = settings.parametric_tsne.model_copy(update={"objective": objective, "seed": seed})
            start = time.perf_counter()
            network, _, _ = train_parametric_tsne.train(features, drawn, is_test, 30.0, chosen, tf)
            show(objective, network.place(features), time.perf_counter() - start)
        show("the finished map (knew all works)", drawn, 0)


if __name__ == "__main__":
    main()
