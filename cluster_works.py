"""Groups of works that are alike, in every space of similar.spaces, each group with the work that stands for it.

Reads   outputs/content.h5, style.h5, color.h5 (those that similar.spaces mentions) and images.h5
Writes  outputs/clusters.h5   image_ids (N,), and per space <space>/labels (N,) int32, 0 the largest group and -1 none,
        <space>/representatives (C,) int32, rows of image_ids, and <space>/sizes (C,) int32
        outputs/clusters/<space>.csv, a line a work, and <space>.jpg, a row of pictures a group
Run     python cluster_works.py [--update]            settings: clusters, similar
        With --update every work keeps its group, and an added one joins that of the work nearest to it.
Source  k-means: Lloyd 1982, started as in Arthur & Vassilvitskii 2007; HDBSCAN: Campello, Moulavi & Sander 2013
Cost    on one core, a space: k-means 1 s for 1,000 works in 25 groups, HDBSCAN less
"""

import csv
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL.Image import Image

from artatlas import answers, cli, neighbor_lists, neighbors, queries, sheets, store
from artatlas.config import Clusters, Config
from artatlas.images import n_threads
from artatlas.queries import Catalogue, Works

STARTS = 4  # of k-means, of which the one with the least squared distances counts
TRIED_ON = 20_000  # works, drawn, that the starts are tried on; the best goes on with all works, in less than half the
# time, and the squared distances are .1 % more (docs/EXPERIMENTS.md, Groups).
MEMBERS = 50  # works a group, at least, that they are tried on
HDBSCAN_DIMENSIONS = 16  # principal components: among hundreds, all works are about equally far from each other
SHOWN = 7  # works of a group on its sheet: the one that stands for it and those most like the group's mean
MOST_ROWS = 60  # groups on a sheet, the largest


@dataclass(frozen=True)
class Groups:
    """labels : (N,) int32, 0 the largest group, -1 none
    order : for each group its rows, nearest to the group's mean first; the first one stands for it
    """

    labels: np.ndarray
    order: list[np.ndarray]


def find_labels(features: np.ndarray, settings: Clusters) -> np.ndarray:
    """A group for every row of features (N, D): (N,) int64, -1 for none. Groups are numbered in no order."""
    from sklearn.cluster import HDBSCAN, KMeans
    from sklearn.decomposition import PCA
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):  # several threads add up the means in any order, and a work between two groups may move
        if settings.method == "kmeans":
            n_clusters = resolve_n_clusters(settings.n_clusters, len(features))
            kmeans = KMeans(n_clusters, n_init=STARTS, random_state=settings.seed)
            n_tried = max(TRIED_ON, MEMBERS * n_clusters)
            with warnings.catch_warnings():  # that works which are all alike make fewer groups is no news
                warnings.simplefilter("ignore", ConvergenceWarning)
                if len(features) > n_tried:
                    rows = np.random.default_rng(settings.seed).choice(len(features), n_tried, replace=False)
                    means = kmeans.fit(features[np.sort(rows)]).cluster_centers_
                    kmeans = KMeans(n_clusters, init=means, n_init=1)
                return kmeans.fit_predict(features).astype(np.int64)
        if len(features) <= settings.min_cluster_size or not np.ptp(features, axis=0).any():
            return np.full(len(features), -1)
        n_components = min(HDBSCAN_DIMENSIONS, *features.shape)
        reduced = PCA(n_components, random_state=settings.seed).fit_transform(features)
        hdbscan = HDBSCAN(min_cluster_size=settings.min_cluster_size, copy=True)
        return hdbscan.fit_predict(reduced).astype(np.int64)


def resolve_n_clusters(n_clusters: int | str, n_works: int) -> int:
    """`auto` is sqrt(N / 2) rounded: 25 groups for 1,231 works; never more groups than works."""
    wanted = round((n_works / 2) ** 0.5) if n_clusters == "auto" else int(n_clusters)
    return max(1, min(wanted, n_works))


def join_labels(features: np.ndarray, labels: np.ndarray, works: Works, method: str) -> np.ndarray:
    """labels (N,) of all works, where the first rows are as they were; an added work joins the group whose mean is
    nearest (kmeans), or whose work is (hdbscan), and a duplicate goes with its original."""
    n_before = len(labels)
    asked, old = features[n_before:], features[:n_before]
    if method == "kmeans":
        named = np.unique(labels)
        means = np.stack([old[labels == name].mean(axis=0) for name in named])
        joined = named[neighbors.find(neighbors.prepare(means, "none", "exact", 0), asked, 1)[0][:, 0]]
    else:
        joined = labels[neighbors.find(neighbors.prepare(old, "none", "exact", 0), asked, 1)[0][:, 0]]
    return np.concatenate([labels, joined])[works.first]


def describe(features: np.ndarray, labels: np.ndarray, are_numbered: bool = False) -> Groups:
    """Numbers the groups by size, the largest 0, equals by their first row, unless they are; finds who stands for each.
    """
    named, firsts, sizes = np.unique(labels[labels >= 0], return_index=True, return_counts=True)
    ranked = named if are_numbered else named[np.lexsort((firsts, -sizes))]
    numbered, order = np.full(len(labels), -1, np.int32), []
    for number, name in enumerate(ranked):
        rows = np.flatnonzero(labels == name)
        numbered[rows] = number
        from_mean = np.square(features[rows] - features[rows].mean(axis=0)).sum(axis=1)
        order.append(rows[np.argsort(from_mean, kind="stable")])
    return Groups(numbered, order)


def write_csv(path: Path, groups: Groups, catalogue: Catalogue) -> None:
    """cluster, rank in it (1 stands for it), filename and the metadata; works in no group last, with neither."""
    lonely = np.flatnonzero(groups.labels < 0)
    with store.replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
        writer.writerow(["cluster", "rank", "filename", *catalogue.columns])
        for cluster, rows in enumerate([*groups.order, lonely]):
            for rank, row in enumerate(rows, start=1):
                numbers = (cluster, rank) if groups.labels[row] >= 0 else ("", "")
                known = [column[row] for column in catalogue.columns.values()]
                writer.writerow([*numbers, catalogue.image_ids[row], *known])


def draw_sheet(space: str, groups: Groups, catalogue: Catalogue) -> Image:
    rows = []
    for number, members in enumerate(groups.order[:MOST_ROWS]):
        tiles = [sheets.Tile(catalogue.picture(row), catalogue.caption(row)) for row in members[:SHOWN]]
        rows.append((f"{number}", cli.count(len(members), "work"), tiles))
    return sheets.group_sheet(f"Groups by {space}", rows, SHOWN)


def main(config: Config, update: bool = False) -> tuple[Path, str]:
    # 1. Read
    works = queries.read_works(config)
    recipe, before = {"settings": config.settings(("clusters", "similar"))}, {}
    if update:
        with store.open_before(config, "clusters") as h5:
            store.check_first_rows(h5, works.image_ids, config)
            recipe = store.recipe_after(h5)
            before = {name: h5[f"{name}/labels"][:] for name in config.similar.spaces}

    # 2. Compute
    found = {}
    for name in cli.progress(list(config.similar.spaces), unit="space", desc="grouping"):
        fitted = neighbor_lists.read_scalers(config, name) if update else None
        features = queries.read_space(config, works, name, fitted).features
        if update:
            labels = join_labels(features, before[name], works, config.clusters.method)
        else:
            labels = find_labels(features[works.base], config.clusters)[works.own]  # a duplicate goes with its original
        found[name] = describe(features, labels, are_numbered=update)
        del features  # before the next space's are read

    # 3. Write
    output = config.outputs / "clusters.h5"
    with store.open_output(config, "images") as images:
        catalogue = queries.read_catalogue(images, works.image_ids)

        def write_shown(name: str) -> None:
            write_csv(config.outputs / "clusters" / f"{name}.csv", found[name], catalogue)
            answers.save(draw_sheet(name, found[name], catalogue), config.outputs / "clusters" / f"{name}.jpg")

        with ThreadPoolExecutor(n_threads(config.machine.threads)) as pool:
            list(pool.map(write_shown, found))
    with store.create(output, "clusters", recipe, works.inputs) as h5:
        store.write_ids(h5, works.image_ids)
        for name, groups in found.items():
            h5[f"{name}/labels"] = groups.labels
            h5[f"{name}/representatives"] = np.array([rows[0] for rows in groups.order], np.int32)
            h5[f"{name}/sizes"] = np.array([len(rows) for rows in groups.order], np.int32)
    in_none = max(int((groups.labels < 0).sum()) for groups in found.values())
    told = ", ".join(f"{len(groups.order)} by {name}" for name, groups in found.items())
    return output, f"{cli.count(len(works.image_ids), 'work')} in groups, {told}" + (
        f"; up to {cli.count(in_none, 'work')} in none" if in_none else ""
    )


if __name__ == "__main__":
    cli.run(main, __doc__, cli.add_update)
