"""How well do finished embeddings and maps agree with labels, and the maps with the embeddings?

Leave-one-out, beside shuffled labels. Prints a Markdown table.

Reads   content.h5, style.h5, color.h5, tsne.h5 and the metadata columns of images.h5
Run     python benchmarks/score_maps.py --config configs/demo.yaml --labels genre artist
Cost    a few seconds for 1,000 works
"""

import argparse
import datetime
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from artatlas import config, metrics, sources, store

FEW = 5  # works of labels with fewer are not asked about: they have no 5 neighbours to find


def scores(features, columns, shuffles=5):
    """Per column: 5-NN accuracy, mAP@10, and 5-NN accuracy under shuffled labels (mean of several shuffles)."""
    found = []
    for labels in columns.values():
        _, codes, sizes = np.unique(labels, return_inverse=True, return_counts=True)
        asked = sizes[codes] >= FEW
        shuffled = [
            metrics.knn_accuracy(features, np.random.default_rng(seed).permutation(labels), 5, asked)
            for seed in range(shuffles)
        ]
        found += [metrics.knn_accuracy(features, labels, 5, asked),
                  metrics.mean_average_precision(features, labels, 10, asked), np.mean(shuffled)]  # fmt: skip
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--labels", nargs="+", default=["artist", "style"])
    options = parser.parse_args()
    settings = config.load(options.config, tuple(options.set))
    with store.open_output(settings, "tsne") as h5:
        ids = store.read_ids(h5)
        maps = {name: h5[name]["coordinates"][:] for name in settings.maps}
    with store.open_output(settings, "images") as h5:
        rows = store.rows_of(ids, store.read_ids(h5))
        columns = {label: h5[f"metadata/{label}"].asstr()[:][rows] for label in options.labels}
        recipe = store.attributes(settings, "content")["recipe"]
    network = f"{recipe['network'].upper()} ({recipe['weights']}), {recipe['precision']}"
    print(f"{datetime.date.today()}, {len(ids):,} works, {network}\n")
    cells = ["", "trustworthiness (12)"]
    for label in options.labels:
        cells += [f"{label} 5-NN", f"{label} mAP@10", f"{label} 5-NN shuffled"]
    print("| " + " | ".join(cells) + " |\n|" + "---|" * len(cells))
    for name, weights in settings.maps.items():
        features, _ = sources.read_features(settings, ids, weights, settings.tsne.scaling)
        trust = metrics.trustworthiness(features, maps[name], 12)
        for what, values, figure in ((f"{name} embeddings", features, ""), (f"{name} map", maps[name], f"{trust:.3f}")):
            line = [what, figure, *[f"{score:.3f}" for score in scores(values, columns)]]
            print("| " + " | ".join(line) + " |", flush=True)


if __name__ == "__main__":
    main()
