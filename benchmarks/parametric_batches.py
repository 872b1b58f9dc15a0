"""Which affinities should a batch of parametric t-SNE learn? Three schemes, on works that were never trained on.

graph       P of all training works, the part that is among a batch drawn at random, scaled to sum to 1 (what we do)
within      P calibrated anew within the batch, as the paper does: the fewer works, the farther its perplexity reaches
neighbours  as graph, but a batch is a quarter of works drawn at random, each with three of its neighbours, drawn by P

Held out is a fifth. Trustworthiness (12) and KL(P || Q) are among the held-out works; the 1-NN error is that of a
held-out work's label by the nearest training work on the map. Regression stands beside.

Run     python benchmarks/parametric_batches.py --data digits --seeds 10 11 12
        python benchmarks/parametric_batches.py --config my.yaml --label artist --seeds 10 11 12
Cost    about a minute a seed and scheme on 2 cores
"""

import argparse
import dataclasses
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from common import header
from parametric_objectives import DATA, draw, learned, read_data, row, split

from artatlas import config, parametric, parametric_training, vgg

graph = parametric_training.parametric_tsne


def within(tf, features, known, perplexity, alpha, network, draw):
    objective = graph(tf, features, known, perplexity, alpha, network, draw)
    return dataclasses.replace(objective, target=objective.measured)


def neighbours(tf, features, known, perplexity, alpha, network, draw):
    objective = graph(tf, features, known, perplexity, alpha, network, draw)
    p = parametric.affinities(features[known], perplexity)

    rng = np.random.default_rng(0)

    def batches():
        drawn = []
        for rows in draw():
            anchors = rng.permutation(len(known))[: len(rows) // 4]
            chosen = [anchors]
            for anchor in anchors:
                own = slice(p.indptr[anchor], p.indptr[anchor + 1])
                weights = p.data[own] / p.data[own].sum()
                chosen.append(rng.choice(p.indices[own], min(3, len(weights)), replace=False, p=weights))
            drawn.append(known[np.unique(np.concatenate(chosen))])
        return drawn

    return dataclasses.replace(objective, batches=batches)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=DATA, default="digits")
    parser.add_argument("--config", type=Path)
    parser.add_argument("--label", default="artist")
    parser.add_argument("--seeds", type=int, nargs="+", default=[10, 11, 12])
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--schemes", nargs="+", default=["graph", "within", "neighbours", "regression"])
    options = parser.parse_args()
    settings = config.load(options.config)
    features, labels = read_data(options.data, options.config and settings, options.label)
    tf = vgg.start_tensorflow(settings)
    print(f"{header('tensorflow-cpu', 'keras')}; {len(features):,} works, {features.shape[1]} dimensions\n")
    print("| scheme | seed | trustworthiness (12) | 1-NN error | KL | seconds |\n|---|---|---|---|---|---|", flush=True)
    for seed in options.seeds:
        is_test = split(len(features), seed)
        drawn = np.asarray(draw(features[~is_test]), np.float32)
        for name in options.schemes:
            changes = {"objective": "regression" if name == "regression" else "kl", "seed": seed}
            changes |= {"epochs": options.epochs} if options.epochs else {}
            chosen = settings.parametric_tsne.model_copy(update=changes)
            parametric_training.parametric_tsne = {"within": within, "neighbours": neighbours}.get(name, graph)
            start = time.perf_counter()
            placed = learned(features, drawn, is_test, chosen, tf)
            print(row(name, seed, features, labels, placed, is_test, time.perf_counter() - start), flush=True)


if __name__ == "__main__":
    main()
