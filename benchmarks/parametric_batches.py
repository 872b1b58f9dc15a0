"""Which affinities should a batch of parametric t-SNE learn? Three schemes, on works that were never trained on.

graph       P of all training works, the part that is among a batch drawn at random, scaled to sum to 1
within      P calibrated anew within the batch, as the paper does: the fewer works, the farther its perplexity reaches
neighbours  as graph, but a batch is a quarter of works drawn at random, each with three of its neighbours, drawn by P

What we do is graph, and neighbours where a work meets less than LEAST_NEAR of its neighbours in a batch.

Held out is a fifth. Trustworthiness (12) and KL(P || Q) are among the held-out works; the 1-NN error is that of a
held-out work's label by the nearest training work on the map. Regression stands beside.

A batch of 256 is a quarter of a thousand works, and none of two neighbours among many thousands: --works draws so many,
of 50 groups of 10 subgroups in 50 dimensions, and --batch-size asks whether larger batches do.

Run     python benchmarks/parametric_batches.py --data digits --seeds 10 11 12
        python benchmarks/parametric_batches.py --works 20000 --seeds 10 --epochs 20 --batch-size 256 1024
        python benchmarks/parametric_batches.py --config my.yaml --label artist --seeds 10 11 12
Cost    about a minute a seed and scheme on 2 cores
"""

import argparse
import dataclasses
import itertools
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from common import header
from parametric_objectives import DATA, draw, learned, read_data, row, split
from sample_and_place import mixture

from artatlas import config, parametric_training, vgg

parametric_tsne = parametric_training.parametric_tsne


def within(*arguments):
    objective = parametric_tsne(*arguments)
    return dataclasses.replace(objective, target=objective.measured)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=DATA, default="digits")
    parser.add_argument("--config", type=Path)
    parser.add_argument("--label", default="artist")
    parser.add_argument("--seeds", type=int, nargs="+", default=[10, 11, 12])
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--works", type=int, help="so many drawn ones instead of --data")
    parser.add_argument("--batch-size", type=int, nargs="+", default=[256])
    parser.add_argument("--schemes", nargs="+", default=["graph", "within", "neighbours", "regression"])
    options = parser.parse_args()
    settings = config.load(options.config)
    if options.works:
        made = mixture(options.works)
        features, labels = made.features, made.labels
    else:
        features, labels = read_data(options.data, options.config and settings, options.label)
    tf = vgg.start_tensorflow(settings)
    print(f"{header('keras')}; {len(features):,} works, {features.shape[1]} dimensions\n")
    print(
        "| scheme, batch | seed | trustworthiness (12) | 1-NN error | KL | seconds |\n|---|---|---|---|---|---|",
        flush=True,
    )
    for seed in options.seeds:
        is_test = split(len(features), seed)
        drawn = np.asarray(draw(features[~is_test]), np.float32)
        for name, size in itertools.product(options.schemes, options.batch_size):
            changes = {"objective": "regression" if name == "regression" else "kl", "seed": seed, "batch_size": size}
            changes |= {"epochs": options.epochs} if options.epochs else {}
            chosen = settings.parametric_tsne.model_copy(update=changes)
            parametric_training.parametric_tsne = within if name == "within" else parametric_tsne
            parametric_training.LEAST_NEAR = np.inf if name == "neighbours" else 0
            start = time.perf_counter()
            placed = learned(features, drawn, is_test, chosen, tf)
            print(
                row(f"{name}, {size}", seed, features, labels, placed, is_test, time.perf_counter() - start), flush=True
            )


if __name__ == "__main__":
    main()
