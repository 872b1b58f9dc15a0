"""From how many labels does a verifier learn, and how far should the scatter of their means be believed?

Closed forms of `metric` with AS-norm, fitted on some of the artists outside the test part of every fold and seed of
verify_methods.py, and scored on all pairs of its works. How labels' means scatter along each axis is mixed with the
mean of all axes: by amounts that are tried, by the rule of Ledoit & Wolf 2004, and by `methods.doubt`.

Reads   what verify_methods.py reads
Run     python benchmarks/verify_labels.py --config same_artist.yaml [--seeds 0 1 2] [--labels 5 10 30]
Cost    a quarter of a minute on one core
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from sklearn.covariance import ledoit_wolf_shrinkage
from verify_methods import Bench

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from common import header

from artatlas import config, methods, metrics, pairs

WAYS = ("WCCN", 0, 0.25, 0.5, 0.75, 0.9, "Ledoit-Wolf", "doubt")
N_FOLDS = 5


def fit(seen, labels, settings, by):
    """A verifier in closed form; by: WCCN | Ledoit-Wolf | doubt | an amount"""
    if by == "WCCN":
        return methods.whitened(seen, labels, settings.model_copy(update={"readout": "cosine"}))
    rule = methods.doubt
    if by == "Ledoit-Wolf":
        kernel, bias, _ = methods.within_class_whitening(seen, labels, settings.shrinkage, settings.dimensions)
        placed = seen @ kernel + bias
        centres = np.stack([placed[labels == name].mean(axis=0) for name in np.unique(labels)])
        by = ledoit_wolf_shrinkage(centres, assume_centered=True)
    try:
        if by != "doubt":
            methods.doubt = lambda *_: by  # within_class_whitening looks it up when it is called
        return methods.whitened(seen, labels, settings)
    finally:
        methods.doubt = rule


def auc(bench, verifier, seen, test):
    works = verifier.works(seen[test], test)
    left, right = np.triu_indices(len(test), 1)
    same, inside = (column[test[left]] == column[test[right]] for column in (bench.labels, bench.within))
    raw = verifier.raw(works, left, right)
    return metrics.auc(same, raw), metrics.auc(same[inside], raw[inside])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--labels", type=int, nargs="+", default=[5, 10, 30])
    parser.add_argument("--components", type=int, default=80)
    arguments = parser.parse_args()
    settings = config.load(arguments.config, tuple(arguments.set))
    bench = Bench(settings, None)
    chosen = settings.verifier.model_copy(update={"shrinkage": 0.5})
    seen, found = bench.components[:, : arguments.components], {}
    for seed in arguments.seeds:
        for i in range(N_FOLDS):
            parts = pairs.fold(bench.labels, bench.chosen, True, i, N_FOLDS, 0.0, seed)
            test, others = (np.flatnonzero(parts == part) for part in (pairs.TEST, pairs.TRAIN))
            names = np.unique(bench.labels[others])
            for n in [*arguments.labels, len(names)]:
                some = np.random.default_rng([seed, i, n]).choice(names, n, replace=False)
                known = others[np.isin(bench.labels[others], some)]
                for by in WAYS:
                    verifier = fit(seen[known], bench.labels[known], chosen, by)
                    of_n = found.setdefault(n if n in arguments.labels else "all", {})
                    of_n.setdefault(by, []).append(auc(bench, verifier, seen, test))
    seeds = ", ".join(map(str, arguments.seeds))
    print(header("numpy", "scikit-learn") + f". {bench.chosen.sum():,} works, {arguments.components} components,"
          f" shrinkage .5, {N_FOLDS} folds, seeds {seeds}. ROC AUC / within.\n")  # fmt: skip
    names = ["artists to learn from", "WCCN", *(f"PLDA, {by}" for by in WAYS[1:])]
    print(f"| {' | '.join(names)} |\n{'|---' * len(names)}|")
    for n, by_name in found.items():
        figures = (" / ".join(f"{mean:.3f}" for mean in np.mean(each, axis=0)) for each in by_name.values())
        print(f"| {n} | {' | '.join(figures)} |")


if __name__ == "__main__":
    main()
