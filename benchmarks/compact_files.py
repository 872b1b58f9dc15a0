"""What do fewer components and fewer bits cost? For the defaults of `export:` and the PCA that is kept as int8.

Run     python benchmarks/compact_files.py --config paintings.yaml [--works 31]
        a config whose outputs are finished, as of run_all.py. --works: so many pass the network once more, for the PCA
Cost    a minute for 1,231 works, and 20 s of the network

First table: k components of each source as half floats, against all of them in float32. Kept: of a work's 10 nearest by
centred cosine, the share that are among its 10 nearest still. Moved: how far the parametric network, folded to k
components, puts the works from where it put them, in shares of the map's longer side. Second table: k rows of the style
PCA as int8 or float16, against float32, on fresh Gram vectors: the change of the embeddings relative to their length.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from common import header

from artatlas import compact, config, features, metrics, parametric, store, vgg_numpy, weights
from artatlas.config import Style

COMPONENTS = (32, 64, 96, 128, 192, 256, 512)
K = 10


def nearest(x):
    x = x - x.mean(axis=0)
    return metrics.neighbours(x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12), K)


def in_half(network):
    layers = [tuple(each.astype(np.float16).astype(np.float32) for each in layer) for layer in network.layers]
    return parametric.Network(network.input_mean, network.input_scale, layers, network.map_low, network.map_high)


def by_components(settings):
    with store.open_output(settings, "parametric_tsne") as h5:
        model, before = parametric.read(h5), h5["coordinates"][:]
        ids = store.read_ids(h5)
    embeddings = {}
    for name in ("content", "style", "color"):
        with store.open_output(settings, name) as h5:
            embeddings[name] = h5["embeddings"][:][store.rows_of(ids, store.read_ids(h5))]
    wanted = {name: nearest(rows) for name, rows in embeddings.items()}
    side = np.ptp(before, axis=0).max()
    scalers = {name: source.scaler for name, source in model.sources.items()}
    print("| components | variance kept: content, style, color | neighbours kept | moved, median | moved, 95 of 100 |")
    print("|---|---|---|---|---|")
    for k in COMPONENTS:
        small = {name: compact.reduce_source(rows, None, k) for name, rows in embeddings.items()}
        half = {name: compact.half(each.embeddings).astype(np.float32) for name, each in small.items()}
        kept = [(nearest(half[name])[:, :, None] == wanted[name][:, None]).any(axis=2).mean() for name in half]
        network, folded = compact.fold(model.network, scalers, small)
        read = np.hstack([scaler.transform(half[name]) for name, scaler in folded.items()])
        moved = np.linalg.norm(in_half(network).place(read) - before, axis=1) / side
        variance = ", ".join(f"{each.pca.explained_variance_ratio:.3f}" for each in small.values())
        told = ", ".join(f"{share:.2f}" for share in kept)
        print(f"| {k} | {variance} | {told} | {np.median(moved):.2%} | {np.quantile(moved, 0.95):.1%} |", flush=True)


def by_bits(settings, n_works):
    with store.open_output(settings, "style") as h5:
        pca, recipe, held = store.read_pca(h5), json.loads(h5.attrs["recipe"]), h5["embeddings"][:]
    with store.open_output(settings, "images") as h5:
        step = max(1, len(h5["image_ids"]) // n_works)
        pixels, held = h5["pixels"][::step], held[::step]
    network = weights.resolve(recipe["network"], recipe["settings"]["vgg"]["weights"])
    heads = features.style_heads(Style(**recipe["settings"]["style"]))
    forward = vgg_numpy.build(network, heads, pixels.shape[1])
    vectors = np.vstack([np.hstack(forward(pixels[i : i + 1])) for i in range(len(pixels))])
    whole = pca.transform(vectors)

    def change(rows, k):
        return np.linalg.norm(rows - whole[:, :k]) / np.linalg.norm(whole[:, :k])

    print(
        f"\n| rows of the PCA | int8 | float16 | float32, but the network in {recipe['precision']} |\n|---|---|---|---|"
    )
    for k in (64, 96, 128, 256):
        rows = pca.components[:k]
        scale = np.abs(rows).max(axis=1, keepdims=True) / 127
        as_int8 = (vectors - pca.mean) @ (np.rint(rows / scale) * scale).T
        as_half = (vectors - pca.mean) @ rows.astype(np.float16).astype(np.float32).T
        print(f"| {k} | {change(as_int8, k):.2%} | {change(as_half, k):.3%} | {change(held[:, :k], k):.2%} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--works", type=int, default=31)
    options = parser.parse_args()
    settings, began = config.load(options.config), time.perf_counter()
    print(header("numpy") + "\n")
    by_components(settings)
    by_bits(settings, options.works)
    print(f"\n({time.perf_counter() - began:.0f} s)")


if __name__ == "__main__":
    main()
