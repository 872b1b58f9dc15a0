"""Do groups of works hold works of one artist, of one style? k-means and HDBSCAN, settings side by side.

Adjusted mutual information with metadata columns: 0 for groups at random, 1 for groups that are the labels. Prints a
Markdown table.

Reads   content.h5, style.h5, color.h5 and the metadata columns of images.h5
Run     python benchmarks/score_clusters.py --config paintings.yaml --labels artist style
Cost    for 1,231 works on 2 cores 2 minutes
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from common import header

import cluster_works
from artatlas import cli, config, queries, store

SPACES = ("content", "style", "combined")
WAYS = (
    *[("kmeans", f"clusters.n_clusters={n}") for n in (12, 25, 50, 100)],
    *[("hdbscan", f"clusters.min_cluster_size={n}") for n in (5, 10)],
)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--labels", nargs="+", default=["artist", "style"])
    options = parser.parse_args()
    from sklearn.metrics import adjusted_mutual_info_score

    settings = config.load(options.config, tuple(options.set))
    works = queries.read_works(settings)
    with store.open_output(settings, "images") as h5:
        columns = queries.read_catalogue(h5, works.image_ids).columns
    print(f"{header('scikit-learn')}. {len(works.image_ids):,} works.\n")
    scored = [*options.labels, f"{options.labels[0]}, dealt at random"]
    print(f"| space | groups | number | in none | largest | {' | '.join(scored)} | s |")
    print("|" + "---|" * (7 + len(options.labels)), flush=True)
    dealt = np.random.default_rng(0).permutation(columns[options.labels[0]])
    for space in cli.progress(SPACES, unit="space", desc="scoring"):
        features = queries.read_space(settings, works, space).features
        for method, change in WAYS:
            chosen = config.load(None, (f"clusters.method={method}", change)).clusters
            start = time.perf_counter()
            groups = cluster_works.describe(features, cluster_works.find_labels(features, chosen))
            took = time.perf_counter() - start
            sizes = [len(rows) for rows in groups.order]
            agree = [adjusted_mutual_info_score(columns[name], groups.labels) for name in options.labels]
            agree.append(adjusted_mutual_info_score(dealt, groups.labels))
            shares = f"{(groups.labels < 0).mean():.0%} | {max(sizes, default=0)}"
            scores = " | ".join(f"{score:.3f}" for score in agree)
            print(f"| {space} | {change.split('.')[1]} | {len(sizes)} | {shares} | {scores} | {took:.1f} |", flush=True)


if __name__ == "__main__":
    main()
