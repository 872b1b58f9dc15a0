"""Which method tells best whether two works are by the same artist? Cross-validation over artists, or over works.

Every artist is in the test part once a seed (--protocol seen: every work), and all pairs among the test works of a fold
are scored: at the prevalence they have, and those within one style. Settings that are `auto` are chosen in every fold
anew, by the works outside its test part. Prints Markdown for docs/EXPERIMENTS.md: the mean over folds and seeds, 95%
intervals that draw whole artists, and the difference from the best untrained score, drawn with it.

Reads   images.h5, content.h5, style.h5, color.h5 and, as verifier.variants says, variants.h5, with metadata columns as
        verifier.label and verifier.within say
Run     python benchmarks/verify_methods.py --config paintings.yaml [--seeds 0 1 2] [--folds 5] [--only metric ...]
        With --results FOLDER every fold's figures are kept there, and a run that was stopped goes on
Cost    see the column of seconds: of training one fold; times 15 for five folds and three seeds
"""

import argparse
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from common import header

from artatlas import config, judging, methods, outcomes, pairs, selection, sources, store, verification, verifiers, vgg
from artatlas.pixel_siamese import OnDisk, Pixels
from artatlas.verification import Verifier

MIX = {"content": 0.5, "style": 1.0, "color": 0.4}  # configs/same_artist.yaml
LEARNED = ("metric", "WCCN", "PLDA", "classifier", "siamese")  # how their names begin
FIGURES = ("roc_auc", "within", "pr_auc", "calibration_error", "answered", "accuracy_answered")


def untrained(features, parts, hubness):
    """The cosine of features as they are."""
    rows = verification.unit(features)
    cohort = rows[parts == pairs.TRAIN] if hubness != "none" else methods.NO_COHORT
    return Verifier([], "dot", [], hubness, cohort, methods.UNCALIBRATED), rows, None, 0


def nearness(features):
    """Minus the Euclidean distance."""
    return Verifier([], "distance", [], "none", methods.NO_COHORT, methods.UNCALIBRATED), features, None, 0


class Bench:
    def __init__(self, settings, tf):
        self.settings, self.tf = settings, tf
        chosen = settings.verifier
        weights = dict(chosen.sources)
        self.image_ids, self.inputs = sources.common_ids(settings, list(weights))
        known = selection.read_known(settings, self.image_ids, self.inputs)
        with store.open_output(settings, "images") as h5:
            self.all_ids = store.read_ids(h5)
        self.labels, self.picture = known.columns[chosen.label], known.picture
        self.choices = {}  # settings without `auto`, by what they were chosen for
        self.within = known.columns[chosen.within]
        self.features = {}
        for name, mix, scaling in (
            ("input", weights, chosen.scaling), ("mix", MIX, "half_white"), ("style", {"style": 1}, "cosine"),
            ("color", {"color": 1}, "none"), ("content", {"content": 1}, "cosine"),
        ):  # fmt: skip
            self.features[name] = sources.read_features(settings, self.image_ids, mix, scaling)[0]
        most = verifiers.most_components(chosen)
        self.components = verifiers.reduced(self.features["input"], most, chosen.seed)[0]
        # Every fold and seed is judged by the same samples of artists: they are the same artists each time.
        rng, n_labels = np.random.default_rng(0), len(np.unique(self.labels))
        self.drawn = rng.multinomial(n_labels, np.full(n_labels, 1 / n_labels), outcomes.N_SAMPLES)
        n_groups = outcomes.N_GROUPS
        self.drawn_groups = rng.multinomial(n_groups, np.full(n_groups, 1 / n_groups), outcomes.N_SAMPLES)
        self.chosen = pairs.choose(
            self.labels, known.group, chosen.least_works, chosen.most_works, chosen.n_labels,
            np.random.default_rng(chosen.seed),
        )  # fmt: skip

    def scorers(self, labels, parts, seed):
        """name -> function that trains and returns the verifier, what it sees of the works, its settings where it
        learned anything, and for how many epochs."""
        base = self.settings.verifier.model_copy(update={"seed": seed})

        def settled(**changes):
            """Settings without `auto`, and the features that they ask for; chosen once for all forms of a read-out."""
            wanted = base.model_copy(update=changes)
            key = wanted.method == "metric", wanted.readout, seed, parts.tobytes()
            if key not in self.choices:
                self.choices[key] = verifiers.choose(self.components, labels, parts, wanted)
            found = {name: getattr(self.choices[key], name) for name in ("n_components", "shrinkage")}
            return wanted.model_copy(update=found), self.components[:, : found["n_components"]]

        def trained(**changes):
            chosen, seen = settled(**changes)
            verifier, history = verifiers.train(self.tf, seen, labels, parts, chosen, None)
            return verifier, seen, chosen, verifiers.best_epoch(history)

        def from_pixels():
            rows = store.rows_of(self.image_ids, self.all_ids)
            pixels = Pixels(OnDisk(self.settings.outputs / "images.h5"), rows)
            chosen = base.model_copy(update={"method": "siamese_contrastive"})
            verifier, history = verifiers.train(self.tf, pixels, labels, parts, chosen, None)
            return verifier, pixels, chosen, verifiers.best_epoch(history)

        return {
            "Gram cosine": lambda: untrained(self.features["style"], parts, "none"),
            "content cosine": lambda: untrained(self.features["content"], parts, "none"),
            "colour Hellinger": lambda: nearness(self.features["color"]),
            "untrained mix": lambda: untrained(self.features["mix"], parts, "none"),
            "untrained mix, AS-norm": lambda: untrained(self.features["mix"], parts, "as_norm"),
            "WCCN": lambda: trained(method="metric", epochs=0, hubness="none", readout="cosine"),
            "WCCN, AS-norm": lambda: trained(method="metric", epochs=0, readout="cosine"),
            "PLDA": lambda: trained(method="metric", epochs=0, hubness="none"),
            "PLDA, AS-norm": lambda: trained(method="metric", epochs=0),
            "metric, uncorrected": lambda: trained(method="metric", hubness="none"),
            "metric, CSLS": lambda: trained(method="metric", hubness="csls"),
            "metric": lambda: trained(method="metric"),
            "metric, not cross-fitted": lambda: trained(method="metric", calibration_folds=None),
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
        verifier, seen, chosen, n_epochs = self.scorers(labels, parts, seed)[name]()
        seconds = time.perf_counter() - start
        chosen = chosen or self.settings.verifier.model_copy(update={"calibration_folds": None})
        works = verifier.works(seen, self.picture)
        fitted, edges = judging.calibrate(self.tf, verifier, works, seen, labels, parts, chosen, n_epochs)
        verifier = replace(verifier, calibration=fitted)
        test = np.flatnonzero(parts == pairs.TEST)
        _, group = np.unique(labels, return_inverse=True)
        order = np.unique(group[test])
        if len(order) <= outcomes.N_GROUPS:  # each artist of the fold is a group
            drawn, group = np.zeros((outcomes.N_SAMPLES, outcomes.N_GROUPS), np.int64), np.searchsorted(order, group)
            drawn[:, : len(order)] = self.drawn[:, order]
        else:  # 32 groups of artists, the same in every fold
            drawn, group = self.drawn_groups, group % outcomes.N_GROUPS
        found = judging.count(verifier, works, labels, self.within, test, edges, group)
        samples = found["all"].samples(drawn)
        return samples | {"within": found["within"].samples(drawn)["roc_auc"]}, seconds


def interval(figure, sign=""):
    """Empty where a fold has too few labels for one (outcomes.LEAST_GROUPS)."""
    return f"{figure.low:{sign}.3f} to {figure.high:{sign}.3f}" if np.isfinite(figure.low) else ""


def table(results):
    """Markdown: name -> ([samples of a fold], [seconds])."""
    lines = [
        "| method | ROC AUC | 95% | within | 95% | PR AUC | calibration error | sure | then accuracy |"
        " better than the best untrained by: all | within | s to train | folds |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Mean of empty slice")  # a method that is never sure has no accuracy then
        means = {
            name: {key: np.nanmean([each[key] for each in folds], axis=0) for key in FIGURES}
            for name, (folds, _) in results.items()
        }
    bare = [name for name in means if not name.startswith(LEARNED)]
    for name, found in means.items():
        cells = [name]
        for key in ("roc_auc", "within"):
            figure = outcomes.figure(found[key])
            cells += [f"{figure.value:.3f}", interval(figure)]
        cells += [f"{found[key][0]:.3f}" for key in FIGURES[2:]]
        for key in ("roc_auc", "within"):
            best = max(bare, key=lambda other: means[other][key][0], default=None)
            if best is None or name in bare:
                cells.append("")
                continue
            gain = outcomes.figure(found[key] - means[best][key])
            cells.append(f"{gain.value:+.3f} ({interval(gain, '+')})".removesuffix(" ()"))
        cells += [f"{np.median(results[name][1]):.1f}", str(len(results[name][1]))]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def take_up(kept):
    with np.load(kept) as saved:
        return {name: saved[name] for name in saved.files if name != "seconds"}, float(saved["seconds"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--protocol", choices=("disjoint", "seen"), default="disjoint")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--runs", type=int, help="folds that are really run of every seed (default: all)")
    parser.add_argument("--only", nargs="+", help="names of methods")
    parser.add_argument("--results", type=Path, metavar="FOLDER", help="where figures are kept, and taken up again")
    parser.add_argument("--shuffled", action="store_true", help="control: artists dealt to works at random")
    arguments = parser.parse_args()
    settings = config.load(arguments.config, tuple(arguments.set))
    tf = vgg.start_tensorflow(settings)
    bench = Bench(settings, tf)
    results = {}
    for seed in arguments.seeds:
        labels = bench.labels.copy()
        if arguments.shuffled:
            labels[bench.chosen] = np.random.default_rng(seed).permutation(labels[bench.chosen])
        for i in range(arguments.runs or arguments.folds):
            parts = pairs.fold(
                labels, bench.chosen, arguments.protocol == "disjoint", i, arguments.folds,
                settings.verifier.validation_share, seed,
            )  # fmt: skip
            for name in arguments.only or bench.scorers(labels, parts, seed):
                kept = arguments.results and arguments.results / f"{name} {seed} {i}.npz"
                samples, seconds = take_up(kept) if kept and kept.exists() else bench.fold(name, labels, parts, seed)
                if kept and not kept.exists():
                    arguments.results.mkdir(parents=True, exist_ok=True)
                    with store.replacing(kept) as temporary:
                        np.savez(temporary, seconds=seconds, **samples)
                folds, times = results.setdefault(name, ([], []))
                folds.append(samples)
                times.append(seconds)
                print(f"seed {seed} fold {i} {name}: {samples['roc_auc'][0]:.3f} {samples['within'][0]:.3f}"
                      f" {seconds:.1f} s", file=sys.stderr, flush=True)  # fmt: skip
    n_labels = len(np.unique(bench.labels[bench.chosen]))
    seeds = ", ".join(map(str, arguments.seeds))
    print(header("numpy", "keras") + f". {bench.chosen.sum():,} works of {n_labels} labels,"
          f" {arguments.folds} folds, seeds {seeds}, {arguments.protocol}.\n")  # fmt: skip
    print(table(results))


if __name__ == "__main__":
    main()
