"""Which method tells best whether two works are by the same artist? Cross-validation over artists, or over works.

Every artist is in the test part once a seed (--protocol seen: every work), and all pairs among the test works of a fold
are scored: at the prevalence they have, and those within one style. Prints Markdown for docs/EXPERIMENTS.md: the mean
over folds and seeds, 95% intervals that draw whole artists, and the difference from the best untrained score, drawn
with it.

Reads   images.h5, content.h5, style.h5 and color.h5 with metadata columns as verifier.label and verifier.within say
Run     python benchmarks/verify_methods.py --config paintings.yaml [--seeds 3] [--folds 5] [--only metric ...]
Cost    see the column of seconds: of training one fold; times 15 for five folds and three seeds
"""

import argparse
import sys
import time
import warnings
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from common import header

from artatlas import config, methods, outcomes, pairs, sources, store, verification, verifiers, vgg
from artatlas.pixel_siamese import OnDisk, Pixels
from artatlas.verification import Verifier

import train_verifier as stage  # isort: skip

MIX = {"content": 0.5, "style": 1.0, "color": 0.4}  # configs/same_artist.yaml
FIGURES = ("roc_auc", "within", "pr_auc", "accuracy", "answered", "accuracy_answered")


def untrained(features, parts, hubness):
    """The cosine of features as they are."""
    rows = verification.unit(features)
    cohort = rows[parts == pairs.TRAIN] if hubness != "none" else methods.NO_COHORT
    verifier = Verifier([], "dot", [], hubness, cohort, methods.UNCALIBRATED)
    return verifier, verifier.works(rows, np.arange(len(rows)))


def nearness(features):
    """Minus the Euclidean distance."""
    verifier = Verifier([], "distance", [], "none", methods.NO_COHORT, methods.UNCALIBRATED)
    return verifier, verifier.works(features, np.arange(len(features)))


class Bench:
    def __init__(self, settings, tf):
        self.settings, self.tf = settings, tf
        chosen = settings.verifier
        weights = dict(chosen.sources)
        self.image_ids, self.inputs = sources.common_ids(settings, list(weights))
        known = stage.read_known(settings, self.image_ids, self.inputs)
        with store.open_output(settings, "images") as h5:
            self.all_ids = store.read_ids(h5)
        self.labels, self.picture = known.columns[chosen.label], known.picture
        self.within = known.columns[chosen.within]
        self.features = {}
        for name, mix, scaling in (
            ("input", weights, chosen.scaling), ("mix", MIX, "half_white"), ("style", {"style": 1}, "cosine"),
            ("color", {"color": 1}, "none"), ("content", {"content": 1}, "cosine"),
        ):  # fmt: skip
            self.features[name] = sources.read_features(settings, self.image_ids, mix, scaling)[0]
        self.components = stage.reduced(self.features["input"], chosen.n_components, chosen.seed)[0]
        # Every fold and seed is judged by the same samples of artists: they are the same artists each time.
        rng, n_labels = np.random.default_rng(0), len(np.unique(self.labels))
        self.drawn = rng.multinomial(n_labels, np.full(n_labels, 1 / n_labels), outcomes.N_SAMPLES)
        n_groups = outcomes.N_GROUPS
        self.drawn_groups = rng.multinomial(n_groups, np.full(n_groups, 1 / n_groups), outcomes.N_SAMPLES)
        self.chosen = pairs.choose(
            self.labels, self.picture, chosen.least_works, chosen.most_works, chosen.n_labels,
            np.random.default_rng(chosen.seed),
        )  # fmt: skip

    def scorers(self, labels, parts, seed):
        """name -> function that trains and returns the verifier and the works as it sees them."""
        base = self.settings.verifier.model_copy(update={"seed": seed})

        def trained(**changes):
            chosen = base.model_copy(update=changes)
            verifier, _ = verifiers.train(self.tf, self.components, labels, parts, chosen, None)
            return verifier, verifier.works(self.components, self.picture)

        def closed_form(**changes):
            chosen, known = base.model_copy(update=changes), parts == pairs.TRAIN
            method = methods.metric(self.tf, self.components[known], labels[known], chosen)
            verifier = method.export()
            return verifier, verifier.works(self.components, self.picture)

        def from_pixels():
            rows = store.rows_of(self.image_ids, self.all_ids)
            pixels = Pixels(OnDisk(self.settings.outputs / "images.h5"), rows)
            chosen = base.model_copy(update={"method": "siamese_contrastive"})
            verifier, _ = verifiers.train(self.tf, pixels, labels, parts, chosen, None)
            return verifier, verifier.works(pixels, self.picture)

        return {
            "Gram cosine": lambda: untrained(self.features["style"], parts, "none"),
            "content cosine": lambda: untrained(self.features["content"], parts, "none"),
            "colour Hellinger": lambda: nearness(self.features["color"]),
            "untrained mix": lambda: untrained(self.features["mix"], parts, "none"),
            "untrained mix, AS-norm": lambda: untrained(self.features["mix"], parts, "as_norm"),
            "WCCN": lambda: closed_form(hubness="none"),
            "WCCN, AS-norm": lambda: closed_form(hubness="as_norm"),
            "metric, cosine": lambda: trained(method="metric", hubness="none"),
            "metric, CSLS": lambda: trained(method="metric", hubness="csls"),
            "metric": lambda: trained(method="metric"),
            **{
                f"classifier, {readout}": lambda readout=readout: trained(method="classifier", class_readout=readout)
                for readout in ("penultimate", "pearson", "dot", "agreement")
            },
            "siamese_contrastive": lambda: from_pixels(),
            "siamese_concat": lambda: trained(method="siamese_concat"),
            "siamese_symmetric": lambda: trained(method="siamese_symmetric"),
        }

    def fold(self, name, labels, parts, seed):
        """Samples of the figures of one method on one fold, and the seconds that it took to train."""
        start = time.perf_counter()
        verifier, works = self.scorers(labels, parts, seed)[name]()
        seconds = time.perf_counter() - start
        fitted, edges = stage.calibrate(verifier, works, labels, parts, self.settings)
        verifier = Verifier(
            verifier.layers, verifier.readout, verifier.weights, verifier.hubness, verifier.cohort, fitted
        )
        test = np.flatnonzero(parts == pairs.TEST)
        _, group = np.unique(labels, return_inverse=True)
        order = np.unique(group[test])
        if len(order) <= outcomes.N_GROUPS:  # each artist of the fold is a group
            drawn, group = np.zeros((outcomes.N_SAMPLES, outcomes.N_GROUPS), np.int64), np.searchsorted(order, group)
            drawn[:, : len(order)] = self.drawn[:, order]
        else:  # 32 groups of artists, the same in every fold
            drawn, group = self.drawn_groups, group % outcomes.N_GROUPS
        found = stage.count(verifier, works, labels, self.within, test, edges, group)
        samples = found["all"].samples(drawn)
        return samples | {"within": found["within"].samples(drawn)["roc_auc"]}, seconds


def table(results):
    """Markdown: name -> ([samples of a fold], [seconds])."""
    lines = [
        "| method | ROC AUC | 95% | within one style | 95% | PR AUC | accuracy | sure | then accuracy |"
        " better than the best untrained by: all | within | s to train |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Mean of empty slice")  # a method that is never sure has no accuracy then
        means = {
            name: {key: np.nanmean([each[key] for each in folds], axis=0) for key in FIGURES}
            for name, (folds, _) in results.items()
        }
    bare = [name for name in means if not name.startswith(("metric", "WCCN", "classifier", "siamese", "shuffled"))]
    for name, found in means.items():
        cells = [name]
        for key in ("roc_auc", "within"):
            figure = outcomes.figure(found[key])
            cells += [f"{figure.value:.3f}", f"{figure.low:.3f} to {figure.high:.3f}"]
        cells += [f"{found[key][0]:.3f}" for key in FIGURES[2:]]
        for key in ("roc_auc", "within"):
            best = max(bare, key=lambda other: means[other][key][0], default=None)
            if best is None or name in bare:
                cells.append("")
                continue
            gain = outcomes.figure(found[key] - means[best][key])
            cells.append(f"{gain.value:+.3f} ({gain.low:+.3f} to {gain.high:+.3f})")
        cells.append(f"{np.median(results[name][1]):.1f}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--protocol", choices=("disjoint", "seen"), default="disjoint")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--runs", type=int, help="folds that are really run of every seed (default: all)")
    parser.add_argument("--only", nargs="+", help="names of methods")
    parser.add_argument("--shuffled", action="store_true", help="control: artists dealt to works at random")
    arguments = parser.parse_args()
    settings = config.load(arguments.config, tuple(arguments.set))
    tf = vgg.start_tensorflow(settings)
    bench = Bench(settings, tf)
    results = {}
    for seed in range(arguments.seeds):
        labels = bench.labels.copy()
        if arguments.shuffled:
            labels[bench.chosen] = np.random.default_rng(seed).permutation(labels[bench.chosen])
        for i in range(arguments.runs or arguments.folds):
            parts = pairs.fold(
                labels, bench.chosen, arguments.protocol == "disjoint", i, arguments.folds,
                settings.verifier.validation_share, seed,
            )  # fmt: skip
            for name in arguments.only or bench.scorers(labels, parts, seed):
                samples, seconds = bench.fold(name, labels, parts, seed)
                folds, times = results.setdefault(name, ([], []))
                folds.append(samples)
                times.append(seconds)
                print(f"seed {seed} fold {i} {name}: {samples['roc_auc'][0]:.3f} {samples['within'][0]:.3f}"
                      f" {seconds:.1f} s", file=sys.stderr, flush=True)  # fmt: skip
    n_labels = len(np.unique(bench.labels[bench.chosen]))
    print(header("numpy", "tensorflow-cpu", "keras") + f". {bench.chosen.sum():,} works of {n_labels} artists,"
          f" {arguments.folds} folds, seeds {arguments.seeds}, {arguments.protocol}.\n")  # fmt: skip
    print(table(results))


if __name__ == "__main__":
    main()
