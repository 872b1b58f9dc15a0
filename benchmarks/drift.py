"""How much is lost by adding works to a finished map instead of drawing it anew, and which figure tells?

All works of some artists, drawn until they are 5, 10, 25 or 50 % of the collection, are taken out; PCA, scalers and the
map `content + style` are made without them; then they are added as `run_all.py --add` does. The control takes out works
at random. Both maps, that one and the one drawn of all works with a PCA and scalers of all, are scored against the
features of the latter.

Gram vectors are projected at random onto 2,048 columns: their distances stay within some percent, the PCA is quick.

Run     python benchmarks/drift.py --config my.yaml [--seeds 0 1] [--results drift.jsonl]    needs images.h5, content.h5
        python benchmarks/drift.py --table drift.jsonl
Cost    some 10 s of a core a line for 1,231 works, and once the Gram matrices; a run that was stopped goes on
"""

import argparse
import itertools
import json
import sys
from pathlib import Path

import numpy as np
from common import header

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from artatlas import config as config_module
from artatlas import coranking, features, images, metrics, placement, queries, reduce, sources, store, tsne

SHARES = (0.05, 0.1, 0.25, 0.5)
WEIGHTS = {"content": 1.0, "style": 1.0}
K = 10
COLUMNS = 2048


def grams(config):
    """(N, COLUMNS) float32 projected Gram vectors of all works; the shards stay, so that these are computed once."""
    vectors, _ = features.extract(config, ["style"])
    rng = np.random.default_rng(0)
    projection = None
    rows = []
    for block in vectors["style"].blocks():
        if projection is None:
            projection = rng.standard_normal((block.shape[1], COLUMNS), np.float32) / np.float32(np.sqrt(COLUMNS))
        rows.append(block @ projection)
    return vectors["style"].image_ids, np.concatenate(rows)


def drawn_out(labels, share, rng, by_artist):
    """(N,) bool: the works that are added later."""
    wanted, is_out = round(share * len(labels)), np.zeros(len(labels), bool)
    if not by_artist:
        is_out[rng.permutation(len(labels))[:wanted]] = True
        return is_out
    for artist in rng.permutation(np.unique(labels)):
        is_out |= labels == artist
        if is_out.sum() >= wanted:
            return is_out


class Made:
    """Embeddings, features and a map of some works, and the same of works that are added to them."""

    def __init__(self, config, content, gram, rows, seed):
        self.rows = rows
        rng = np.random.default_rng(features.SEED)
        self.pca = reduce.fit_pca(lambda: [gram[rows]], config.style.n_components, rng)
        self.embeddings = {"content": content, "style": self.pca.transform(gram)}  # of all works
        own = {name: values[rows] for name, values in self.embeddings.items()}
        _, scalers = sources.combine(own, WEIGHTS, config.tsne.scaling)
        self.features = np.hstack([scaler.transform(self.embeddings[name]) for name, scaler in scalers.items()])
        settings = config.tsne.model_copy(update={"seed": seed})
        threads = images.n_threads(config.machine.threads)
        self.perplexity = tsne.resolve_perplexity("auto", len(rows), "benchmark")
        self.coordinates, _ = tsne.draw_map(self.features[rows], settings, self.perplexity, threads, "")

    def add(self, config, added):
        """The map (N, 2) with the other works on it, and the figures that `run_all.py --add` knows of these."""
        settings = config.placement
        atlas = placement.prepare(self.features[self.rows], self.coordinates, self.perplexity, settings.seed)
        rehearsed = placement.rehearse(atlas, self.features[self.rows], atlas.sample)
        near = placement.neighborhood(atlas, self.features[added])
        found = placement.gather(near, atlas.bandwidth)
        logs = [
            [np.log(each) for each in placement.novelty(of[self.rows], of[added], settings.seed)]
            for of in self.embeddings.values()
        ]
        own, new = (np.exp(np.mean(each, axis=0)) for each in zip(*logs, strict=True))
        calibration = placement.calibrate(*rehearsed, own, settings.off_map_share)
        certainty = calibration.certainty_of(placement.agreement(near, found, atlas.bandwidth))
        whole = np.empty((len(self.features), 2), np.float32)
        whole[self.rows], whole[added] = self.coordinates, found
        return whole, {
            "certainty": float(certainty.mean()),
            "certainty_expected": calibration.share_right,
            "off_map": float((new > calibration.off_map_above).mean()),
        }


def residual(pca, gram):
    """Share of the squared length from the PCA's mean that its components do not hold."""
    embeddings = pca.transform(gram)
    return 1 - np.square(embeddings).sum(axis=1) / np.square(gram - pca.mean).sum(axis=1)


def kept(found, wanted):
    return np.array([len(np.intersect1d(*pair)) for pair in zip(found, wanted, strict=True)]) / found.shape[1]


def scores(reference, nearest, coordinates, added):
    of_works = kept(coranking.nearest_on_map(coordinates, K), nearest)
    return {
        "trustworthiness": metrics.trustworthiness(reference, coordinates, 12),
        "kept": float(of_works.mean()),
        "kept_of_added": float(of_works[added].mean()),
    }


def measure(config, seeds, results):
    ids, gram = grams(config)
    with store.open_output(config, "content") as h5:
        content = h5["embeddings"][:][store.rows_of(ids, store.read_ids(h5))]
    with store.open_output(config, "images") as h5:
        labels = queries.read_catalogue(h5, ids).columns["artist"]
    known = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    done = {(row["seed"], row["by_artist"], row["share"]) for row in known}
    whole: dict[int, tuple] = {}
    for by_artist, seed, share in itertools.product((True, False), seeds, SHARES):
        if (seed, by_artist, share) in done:
            continue
        if seed not in whole:
            anew = Made(config, content, gram, np.arange(len(ids)), seed)
            whole[seed] = anew, metrics.neighbours(anew.features, K)
        anew, nearest = whole[seed]
        is_out = drawn_out(labels, share, np.random.default_rng(seed), by_artist)
        added, rows = np.flatnonzero(is_out), np.flatnonzero(~is_out)
        made = Made(config, content, gram, rows, seed)
        coordinates, figures = made.add(config, added)
        row = {
            "seed": seed, "by_artist": by_artist, "share": share, "n_added": len(added), "works": len(ids), **figures,
            "residual": float(residual(made.pca, gram[added]).mean()),
            "residual_anew": float(residual(anew.pca, gram[added]).mean()),
            "lists_kept": float(kept(metrics.neighbours(made.features, K), nearest).mean()),
            "added": scores(anew.features, nearest, coordinates, added),
            "anew": scores(anew.features, nearest, anew.coordinates, added),
        }  # fmt: skip
        with results.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(row, flush=True)


def table(results):
    rows = [json.loads(line) for line in results.read_text().splitlines()]
    columns = (
        "works added", "of", "trustworthiness", "drawn anew", "neighbours kept", "drawn anew", "of added works",
        "drawn anew", "lists of 10 that stay", "certainty (expected)", "off the map", "PCA residual (anew)",
    )  # fmt: skip
    print(header("numpy", "openTSNE", "scikit-learn"), f"; {rows[0]['works']:,} works\n")
    print("|", " | ".join(columns), "|\n|", "---|" * len(columns), sep="")
    for by_artist in (True, False):
        for share in SHARES:
            some = [row for row in rows if (row["by_artist"], row["share"]) == (by_artist, share)]
            if not some:
                continue

            def mean(*path, some=some):
                values = some
                for key in path:
                    values = [value[key] for value in values]
                return np.mean(values)

            cells = [
                f"{mean('n_added'):.0f} ({share:.0%})", "unseen artists" if by_artist else "drawn at random",
                f"{mean('added', 'trustworthiness'):.3f}", f"{mean('anew', 'trustworthiness'):.3f}",
                f"{mean('added', 'kept'):.3f}", f"{mean('anew', 'kept'):.3f}",
                f"{mean('added', 'kept_of_added'):.3f}", f"{mean('anew', 'kept_of_added'):.3f}",
                f"{mean('lists_kept'):.3f}", f"{mean('certainty'):.2f} ({mean('certainty_expected'):.2f})",
                f"{mean('off_map'):.3f}", f"{mean('residual'):.3f} ({mean('residual_anew'):.3f})",
            ]  # fmt: skip
            print("|", " | ".join(cells), "|")
    print(f"\nMeans of {len({row['seed'] for row in rows})} seeds.")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--results", type=Path, default=Path("drift.jsonl"))
    parser.add_argument("--table", type=Path)
    options = parser.parse_args()
    if options.table:
        table(options.table)
    else:
        measure(config_module.load(options.config), options.seeds, options.results)


if __name__ == "__main__":
    main()
