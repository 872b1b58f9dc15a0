"""From how many labels does a verifier learn, and how far should the scatter of their means be believed?

Closed forms of `metric` with AS-norm, fitted on some of the artists outside the test part of every fold and seed of
verify_methods.py, and scored on all pairs of its works. Between labels' means, variances are mixed with their mean: by
amounts that are tried, and by the rule of Ledoit & Wolf 2004, which methods.within_class_whitening goes by.

Reads   what verify_methods.py reads
Run     python benchmarks/verify_labels.py --config same_artist.yaml [--seeds 0 1 2] [--labels 10 30]
Cost    a quarter of a minute on one core
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import sklearn.covariance
from verify_methods import Bench

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from common import header

from artatlas import config, methods, metrics, pairs

AMOUNTS = (0, 0.25, 0.5, 0.75, 0.9)
N_FOLDS = 5


def auc(bench, settings, known, test, n_components):
    seen = bench.components[:, :n_components]
    verifier = methods.whitened(seen[known], bench.labels[known], settings)
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
    parser.add_argument("--labels", type=int, nargs="+", default=[10, 30])
    parser.add_argument("--components", type=int, default=80)
    arguments = parser.parse_args()
    settings = config.load(arguments.config, tuple(arguments.set))
    bench = Bench(settings, None)
    rule, found = sklearn.covariance.ledoit_wolf_shrinkage, {}
    for seed in arguments.seeds:
        for i in range(N_FOLDS):
            parts = pairs.fold(bench.labels, bench.chosen, True, i, N_FOLDS, 0.0, seed)
            test, others = (np.flatnonzero(parts == part) for part in (pairs.TEST, pairs.TRAIN))
            names = np.unique(bench.labels[others])
            for n in [*arguments.labels, len(names)]:
                some = np.random.default_rng([seed, i, n]).choice(names, n, replace=False)
                known = others[np.isin(bench.labels[others], some)]
                for name in ("WCCN", *AMOUNTS, "Ledoit-Wolf"):
                    chosen = settings.verifier.model_copy(
                        update={"readout": "cosine" if name == "WCCN" else "plda", "shrinkage": 0.5}
                    )
                    # The function looks the rule up when it is called.
                    tried = rule if name in ("WCCN", "Ledoit-Wolf") else lambda *_, amount=name, **__: amount
                    sklearn.covariance.ledoit_wolf_shrinkage = tried
                    shown = n if n in arguments.labels else "all"
                    found.setdefault(shown, {}).setdefault(name, []).append(
                        auc(bench, chosen, known, test, arguments.components)
                    )
    sklearn.covariance.ledoit_wolf_shrinkage = rule
    seeds = ", ".join(map(str, arguments.seeds))
    print(header("numpy", "scikit-learn") + f". {bench.chosen.sum():,} works, {arguments.components} components,"
          f" shrinkage .5, {N_FOLDS} folds, seeds {seeds}. ROC AUC / within.\n")  # fmt: skip
    names = ["artists to learn from", "WCCN", *(f"PLDA, {amount}" for amount in AMOUNTS), "PLDA, Ledoit-Wolf"]
    print(f"| {' | '.join(names)} |\n{'|---' * len(names)}|")
    for n, by_name in found.items():
        figures = (" / ".join(f"{mean:.3f}" for mean in np.mean(each, axis=0)) for each in by_name.values())
        print(f"| {n} | {' | '.join(figures)} |")


if __name__ == "__main__":
    main()
