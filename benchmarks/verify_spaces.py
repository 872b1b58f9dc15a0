"""Which embeddings tell artists apart that were never seen: one by one, side by side, or as an ensemble of scores?

In closed form (`metric` untrained: PLDA, AS-norm), so that much can be tried. Components and shrinkage are chosen in
every fold by the artists outside its test part; so are the weights of the ensemble, by logistic regression on the
scores of pairs of artists that the scorers had not seen. All pairs among the test works of a fold are scored.

Reads   of every --config: images.h5, content.h5, style.h5, color.h5; metadata columns verifier.label, verifier.within
Run     python benchmarks/verify_spaces.py --config same_artist.yaml same_artist_448.yaml [--seeds 0 1 2]
Cost    1,200 works: about half a minute of a core a fold with two configs
"""

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from common import header

from artatlas import config, methods, metrics, pairs, selection, sources, verifiers

INNER_FOLDS = 4
FAMILY = ("content", "style", "color")


def read_spaces(configs):
    """name -> components (N, P) of the works that all configs hold; the labels, styles and groups of these."""
    settings = [config.load(path, ("verifier.variants=apart",)) for path in configs]
    ids = [sources.common_ids(each, list(FAMILY))[0] for each in settings]
    common = np.array([name for name in ids[0] if all(name in set(other) for other in ids[1:])], dtype=object)
    known = selection.read_known(settings[0], common, {})
    spaces = {}
    for each in settings:
        chosen, px = each.verifier, each.images.network_px
        mixes = {name: {name: 1.0} for name in FAMILY} | {"side by side": dict(chosen.sources)}
        for name, mix in mixes.items():
            if name == "color" and spaces:
                continue  # says the same at any size
            features = sources.read_features(each, common, mix, chosen.scaling)[0]
            spaces[f"{name} {px} px"] = verifiers.reduced(features, verifiers.MOST_COMPONENTS, chosen.seed)[0]
    return settings[0].verifier, spaces, known


def scorer(features, labels, rows, settings):
    """A function from pairs of rows to scores, learned from the works `rows`."""
    parts = np.zeros(len(labels), np.int8)
    parts[rows] = pairs.TRAIN
    chosen = verifiers.choose(features, labels, parts, settings)
    seen = features[:, : chosen.n_components]
    verifier = methods.whitened(seen[rows], labels[rows], chosen)
    works = verifier.works(seen, np.arange(len(labels)))
    return lambda left, right: verifier.raw(works, left, right), chosen


def ensembles(spaces, labels, known, left, right, scores, settings):
    """Scores of test pairs by the mean of standardized scores, and with weights that were learned."""
    from sklearn.linear_model import LogisticRegression

    parts = np.zeros(len(labels), np.int8)
    parts[known] = pairs.TRAIN
    seen, same = [], []
    for i in range(INNER_FOLDS):
        inner = pairs.fold(labels, parts == pairs.TRAIN, True, i, INNER_FOLDS, 0.0, settings.seed)
        rows, others = (np.flatnonzero(inner == part) for part in (pairs.TEST, pairs.TRAIN))
        a, b = (rows[each] for each in pairs.some(len(rows), 10**6, np.random.default_rng(0)))
        found = []
        for name, features in spaces.items():
            chosen = scores[name][1]
            view = features[:, : chosen.n_components]
            verifier = methods.whitened(view[others], labels[others], chosen)
            found.append(verifier.raw(verifier.works(view, np.arange(len(labels))), a, b))
        seen.append(np.stack(found, axis=1))
        same.append(labels[a] == labels[b])
    learned = LogisticRegression(class_weight="balanced").fit(np.concatenate(seen), np.concatenate(same))
    test = np.stack([of(left, right) for of, _ in scores.values()], axis=1)
    return {"mean of all scores": test.mean(axis=1), "scores at learned weights": test @ learned.coef_[0]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, nargs="+", required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--folds", type=int, default=5)
    arguments = parser.parse_args()
    settings, spaces, known = read_spaces(arguments.config)
    labels, within = known.columns[settings.label], known.columns[settings.within]
    chosen = pairs.choose(
        labels, known.group, settings.least_works, settings.most_works, settings.n_labels,
        np.random.default_rng(settings.seed),
    )  # fmt: skip
    found, picked = {}, {}
    for seed in arguments.seeds:
        for i in range(arguments.folds):
            parts = pairs.fold(labels, chosen, True, i, arguments.folds, 0.0, seed)
            test, others = (np.flatnonzero(parts == part) for part in (pairs.TEST, pairs.TRAIN))
            left, right = (test[each] for each in pairs.some(len(test), 10**7, np.random.default_rng(0)))
            scores = {name: scorer(features, labels, others, settings) for name, features in spaces.items()}
            answers = {name: of(left, right) for name, (of, _) in scores.items()}
            answers |= ensembles(spaces, labels, others, left, right, scores, settings)
            same, inside = labels[left] == labels[right], within[left] == within[right]
            for name, raw in answers.items():
                found.setdefault(name, []).append((metrics.auc(same, raw), metrics.auc(same[inside], raw[inside])))
            for name, (_, of) in scores.items():
                picked.setdefault(name, []).append(f"{of.n_components}/{of.shrinkage:g}")
            print(f"seed {seed} fold {i} done", file=sys.stderr, flush=True)
    seeds = ", ".join(map(str, arguments.seeds))
    print(header("numpy", "scikit-learn") + f". {chosen.sum():,} works, {arguments.folds} folds, seeds {seeds}.\n")
    print("| space | ROC AUC | within | components/shrinkage chosen most often |\n|---|---|---|---|")
    for name, folds in found.items():
        often = max(set(picked[name]), key=picked[name].count) if name in picked else ""
        print(f"| {name} | {' | '.join(f'{value:.3f}' for value in np.mean(folds, axis=0))} | {often} |")


if __name__ == "__main__":
    main()
