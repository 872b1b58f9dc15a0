"""Which layer, normaliser, transform, PCA size and scaling find the same artist, style or subject?

Every figure is leave-one-out on whole embeddings, nothing is trained. Prints Markdown tables for docs/EXPERIMENTS.md.

Reads   an outputs folder with images.h5 (python prepare_images.py)
Run     python benchmarks/choose_defaults.py --set paths.outputs=outputs/paintings --labels artist style
        python benchmarks/choose_defaults.py --set paths.outputs=outputs/demo --labels genre artist --maps
Cost    some 3 minutes for 1,231 works on 2 cores, with --maps 5
"""

import argparse
import datetime
import platform
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from artatlas import cli, color, config, metrics, sources, store, tsne, vgg, weights
from artatlas.reduce import fit_pca

POOLED = [(layer, pooling) for layer in ("block4_pool", "block5_conv1", "block5_conv3", "block5_pool")
          for pooling in ("avg", "max")]  # fmt: skip
GRAMS = ("block1_conv1", "block2_conv1", "block3_conv1", "block4_conv1", "block5_conv1")
TRANSFORMS = {"none": lambda x: x, "sqrt": np.sqrt, "log1p": np.log1p}
SCALINGS = ("none", "min_max", "mean_square", "cosine")
FEW = 5  # labels with fewer works are not asked about: their works have no 5 neighbours to find


def compute(settings, tf, network):
    """Raw vectors of every head in one pass: {name: (N, P)}; Gram vectors over positions, untransformed."""
    heads = [vgg.Pooled(*head) for head in POOLED] + [vgg.Gram(layer, "hw", "none") for layer in GRAMS]
    names = [f"{layer} {pooling}" for layer, pooling in POOLED] + [f"Gram {layer}" for layer in GRAMS]
    precision = vgg.resolve_precision(settings.vgg.precision, tf)
    forward = vgg.build(network, heads, precision, settings.images.network_px, tf)
    with store.open_output(settings, "images") as images:
        ids, pixels = store.read_ids(images), images["pixels"]
        columns = {name: images[f"metadata/{name}"].asstr()[:] for name in images["metadata"]}
        parts = [forward(batch) for batch in vgg.Batches(pixels, settings.machine.batch_size).read(slice(0, len(ids)))]
        vectors = {name: np.concatenate([part[i] for part in parts]) for i, name in enumerate(names)}
        for space in ("rgb", "lab"):
            vectors[f"{space} 8^3"] = color.histograms(pixels[:], space, 8, "none")
    return vectors, columns, precision


def transformed(vectors, transform):
    """The transform of the matrix's entries: the sqrt(2) off the diagonal is taken away for it, then put back."""
    channels = int(np.sqrt(2 * vectors.shape[1]))
    rows, columns = np.triu_indices(channels)
    weight = np.where(rows == columns, 1, np.sqrt(2)).astype(np.float32)
    return TRANSFORMS[transform](vectors / weight) * weight


def reduced(vectors, n_components, groups=()):
    pca = fit_pca(lambda: [vectors], n_components, np.random.default_rng(0), groups)
    return pca.transform(vectors)


class Scores:
    """Figures of one embedding for every label column, beside shuffled labels."""

    def __init__(self, columns, labels):
        self.columns, self.labels, self.rows = columns, labels, []
        self.asked = {}
        for label in labels:
            _, codes, sizes = np.unique(columns[label], return_inverse=True, return_counts=True)
            self.asked[label] = sizes[codes] >= FEW

    def header(self):
        cells = ["embedding", "scaling"]
        for label in self.labels:
            cells += [f"{label} 5-NN", f"{label} mAP@10", f"{label} pair AUC"]
        if len(self.labels) > 1:
            cells.append(f"{self.labels[0]} AUC within one {self.labels[1]}")
        print("\n| " + " | ".join([*cells, "5-NN shuffled"]) + " |\n|" + "---|" * (len(cells) + 1), flush=True)

    def print(self, name, scaling, features):
        cells = [name, scaling]
        for label in self.labels:
            values, asked = self.columns[label], self.asked[label]
            cells += [f"{metrics.knn_accuracy(features, values, 5, asked):.3f}",
                      f"{metrics.mean_average_precision(features, values, 10, asked):.3f}",
                      f"{metrics.pair_auc(features, values):.3f}"]  # fmt: skip
        first = self.columns[self.labels[0]]
        if len(self.labels) > 1:
            cells.append(f"{metrics.pair_auc(features, first, within=self.columns[self.labels[1]]):.3f}")
        shuffled = np.random.default_rng(0).permutation(first)
        cells.append(f"{metrics.knn_accuracy(features, shuffled, 5):.3f}")
        print("| " + " | ".join(cells) + " |", flush=True)


def scale(vectors, scaling):
    return sources.fit_scaler(vectors, scaling).transform(vectors)


def compare_embeddings(vectors, scores):
    print("\n### Layers and pooling of the content embedding\n")
    scores.header()
    for layer, pooling in POOLED:
        for scaling in ("none", "cosine"):
            scores.print(f"{layer} {pooling}", scaling, scale(vectors[f"{layer} {pooling}"], scaling))
    print("\n### Layers and transforms of the style embedding (Gram / HW, PCA 512)\n")
    scores.header()
    embeddings = {}
    for layer in GRAMS:
        for transform in TRANSFORMS:
            embeddings[layer, transform] = reduced(transformed(vectors[f"Gram {layer}"], transform), 512)
            scores.print(f"{layer} {transform}", "cosine", scale(embeddings[layer, transform], "cosine"))
    print("\n### Several layers together (each of the same total variance, log1p, PCA 512)\n")
    scores.header()
    for layers in (GRAMS[1:3], GRAMS[2:4], GRAMS[1:4], GRAMS):
        joined = [transformed(vectors[f"Gram {layer}"], "log1p") for layer in layers]
        together = reduced(np.hstack(joined), 512, [part.shape[1] for part in joined])
        scores.print(" + ".join(layer.removesuffix("_conv1") for layer in layers), "cosine", scale(together, "cosine"))
    print("\n### Number of components (block3_conv1)\n")
    scores.header()
    for transform in ("none", "log1p"):
        for n in (16, 32, 64, 128, 256, 512):
            scores.print(f"{transform}, {n}", "cosine", scale(embeddings["block3_conv1", transform][:, :n], "cosine"))
    print("\n### Scaling\n")
    scores.header()
    content = vectors["block5_pool avg"]
    for scaling in SCALINGS:
        scores.print("content", scaling, scale(content, scaling))
        scores.print("style", scaling, scale(embeddings["block3_conv1", "none"], scaling))
        scores.print("style log1p", scaling, scale(embeddings["block3_conv1", "log1p"], scaling))
    print("\n### Colour\n")
    scores.header()
    for space in ("rgb", "lab"):
        shares = vectors[f"{space} 8^3"]
        scores.print(f"{space} shares", "none", shares)
        scores.print(f"{space} Hellinger", "none", np.sqrt(shares))
        scores.print(f"{space} Hellinger", "cosine", scale(np.sqrt(shares), "cosine"))
    return embeddings


def compare_mixes(vectors, embeddings, scores, settings, with_maps):
    print("\n### Together, and on the maps\n")
    scores.header()
    of = {"content": vectors["block5_pool avg"], "color": np.sqrt(vectors["rgb 8^3"])}
    styles = {"": embeddings["block3_conv1", "none"], " sqrt": embeddings["block3_conv1", "sqrt"],
              " log1p": embeddings["block3_conv1", "log1p"]}  # fmt: skip
    threads = -1
    for scaling in SCALINGS:
        for suffix, style in styles.items():
            for weights_ in ({"content": 1, "style": 1}, {"content": 1, "style": 1, "color": 1}):
                if scaling in ("none", "min_max") and (suffix or len(weights_) > 2):
                    continue
                features, _ = sources.combine({**of, "style": style}, weights_, scaling)
                name = " + ".join(weights_) + suffix
                scores.print(name, scaling, features)
                if with_maps:
                    perplexity = tsne.resolve_perplexity(settings.tsne.perplexity, len(features), "")
                    layout, _ = tsne.draw_map(features, settings.tsne, perplexity, threads, name)
                    trust = metrics.trustworthiness(features, layout, 12)
                    scores.print(f"map of {name}, trustworthiness {trust:.3f}", scaling, layout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--labels", nargs="+", default=["artist", "style"])
    parser.add_argument("--maps", action="store_true", help="also draw the maps of the mixes")
    options = parser.parse_args()
    settings = config.load(options.config, tuple(options.set))
    network = weights.resolve(settings.vgg.network, settings.vgg.weights)
    tf = vgg.start_tensorflow(settings)
    vectors, columns, precision = compute(settings, tf, network)
    print(f"{datetime.date.today()}, {len(next(iter(vectors.values()))):,} works, {network.network.upper()}"
          f" ({network.source}), {precision}, {vgg.device_name(tf)}, Python {platform.python_version()}."
          f" 5-NN and mAP over works whose label has {FEW} or more.")  # fmt: skip
    scores = Scores(columns, options.labels)
    embeddings = compare_embeddings(vectors, scores)
    compare_mixes(vectors, embeddings, scores, settings, options.maps)
    cli.notice("done")


if __name__ == "__main__":
    main()
