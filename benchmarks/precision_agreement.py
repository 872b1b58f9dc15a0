"""Does the fast precision give the embeddings that float32 gives? Judged by what is done with them: neighbours.

For content and style: the cosine between the two embeddings of a work, plain and after the collection's mean is taken
away (which is what maps are drawn from, and far stricter), the share of its 10 nearest works that stay, and the largest
activation of any layer against what float16 can hold. Style is compared on the Gram vectors and on the embeddings of
the one PCA that was fitted in float32.

Reads   an outputs folder with images.h5 (python prepare_images.py)
Run     python benchmarks/precision_agreement.py --set paths.outputs=outputs/demo
Cost    float32 looks at every work: 256 works take a minute on 2 cores
"""

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from common import header

from artatlas import cli, config, features, metrics, store, vgg, weights
from artatlas.reduce import fit_pca

FLOAT16_MAX = 65_504


def centred(vectors, mean):
    rows = vectors - mean
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def kept(a, b, k=10):
    """Share of the k nearest works, by cosine after centring, that two embeddings have in common."""
    near_a, near_b = (metrics.neighbours(centred(x, x.mean(axis=0)), k) for x in (a, b))
    return float(np.mean([len(set(p) & set(q)) / len(p) for p, q in zip(near_a, near_b, strict=True)]))


def cosines(a, b):
    return np.einsum("ij,ij->i", a, b) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--works", type=int, default=None, help="only the first so many")
    parser.add_argument("--config", type=Path)
    parser.add_argument("--set", action="append", default=[])
    options = parser.parse_args()
    settings = config.load(options.config, tuple(options.set))
    tf = vgg.start_tensorflow(settings)
    network = weights.resolve(settings.vgg.network, settings.vgg.weights)
    fast = vgg.resolve_precision(settings.vgg.precision, tf)
    layers = [name for name in vgg.layer_names(network.network) if name not in vgg.DENSE]
    heads = [*features.content_heads(settings.content), *features.style_heads(settings.style)]
    peaks = [vgg.Pooled(name, "max") for name in layers]
    with store.open_output(settings, "images") as images:
        rows = slice(0, min(options.works or len(images["pixels"]), len(images["pixels"])))
        found = {}
        for precision in ("float32", fast):
            forward = vgg.build(network, heads + peaks, precision, settings.images.network_px, tf)
            batches = vgg.Batches(images["pixels"], settings.machine.batch_size).read(rows)
            total = -(-rows.stop // settings.machine.batch_size)
            parts = [forward(batch) for batch in cli.progress(batches, total=total, unit="batch", desc=precision)]
            found[precision] = [np.concatenate(columns) for columns in zip(*parts, strict=True)]
    exact, quick = found["float32"], found[fast]
    made_with = f"TensorFlow {tf.__version__}; {rows.stop:,} works, {network.network} ({network.source})"
    print(f"{header('numpy')}, {made_with}\n")
    pca = fit_pca(lambda: [exact[1]], settings.style.n_components, np.random.default_rng(0))
    compared = {"content": (exact[0], quick[0]), "style, Gram vectors": (exact[1], quick[1]),
                "style, after the PCA": (pca.transform(exact[1]), pca.transform(quick[1]))}  # fmt: skip
    print("| embeddings | cosine, least | centred: median | centred: least | 10 nearest kept |\n|---|---|---|---|---|")
    for name, (a, b) in compared.items():
        plain, mean = cosines(a, b), a.mean(axis=0)
        inner = cosines(a - mean, b - mean)
        print(f"| {name} | {plain.min():.6f} | {np.median(inner):.6f} | {inner.min():.6f} | {kept(a, b):.4f} |")
    largest = max(range(len(layers)), key=lambda i: exact[len(heads) + i].max())
    value = exact[len(heads) + largest].max()
    print(f"\nLargest activation: {value:,.0f} in {layers[largest]}, {value / FLOAT16_MAX:.1%} of what float16 holds.")


if __name__ == "__main__":
    main()
