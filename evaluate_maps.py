"""Can the maps be trusted? Figures of every map, and of every work on it, as a page, as numbers and for the viewer.

Reads   outputs/tsne.h5, grid.h5 and the embeddings that `maps:` mentions; images.h5 (metadata, thumbnails) and
        parametric_tsne.h5 where there are such
Writes  outputs/faithfulness.h5   image_ids (N,), and per map <map>/faithfulness, trustworthiness, continuity, each (N,)
        float32 in 0..1
        outputs/report.json   the figures alone
        outputs/report.html   a page to read or print; it needs no network and no script
        With --update faithfulness.h5 alone, with the rows of added works behind those that it has; the report stays
        that of the maps as they were scored in whole
Run     python evaluate_maps.py [--update]            settings: evaluate
Source  trustworthiness, continuity: Venna & Kaski 2001; co-ranking: Lee & Verleysen 2009; DPQ: Barthel et al. 2023
Cost    a map: 6 s of one core for 1,000 works, 0.2 GB; 20,000 works 0.9 GB; drawing again costs n_seeds times what
        build_tsne.py does
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from artatlas import agreement, cli, coranking, images, markup, metadata, metrics, neighbors, report, sources, store
from artatlas.config import Config, Evaluate
from artatlas.coranking import Faithfulness
from artatlas.errors import UserError
from artatlas.grids import cell_centres, to_unit_square
from artatlas.markup import Example, Shown
from artatlas.queries import read_catalogue
from artatlas.stages import SOURCES
from artatlas.tsne import draw_map

KS = (5, 10, 20, 50)  # neighbours at which a map is scored
SEEDS, SEEDS_UP_TO = 3, 10_000  # what `auto` draws again: some 3 times the cost of build_tsne.py
LAP_UP_TO = 4_000  # works whose least cost is found exactly: 10 s a map
DPQ_PAIRS = 20_000_000  # of works that DPQ looks at: all of 4,472 works, or what is asked about fewer of many
SPEARMAN_WORKS = 1_000  # drawn, for the correlation of all their distances
N_EXAMPLES, N_SHOWN = 6, 4  # works in a list of the page, and neighbours shown beside each
DECIMALS = 4  # of figures
SCORES = ("faithfulness", "trustworthiness", "continuity")  # of every work on every map


@dataclass
class Scored:
    """One map, done."""

    coordinates: np.ndarray  # (N, 2)
    on_map: np.ndarray  # (N, k) the nearest works of every work, nearest first
    faithfulness: np.ndarray  # (N,)
    trustworthiness: np.ndarray  # (N,)
    continuity: np.ndarray  # (N,)
    figures: dict[str, Any]
    least_faithful: list[Example] = field(default_factory=list)


def read_labels(config: Config, image_ids: np.ndarray) -> tuple[dict[str, np.ndarray], list[str], dict[str, str]]:
    """Codes (N,) of the columns of evaluate.labels that there are, the names of the others, and what was read."""
    if not (config.outputs / "images.h5").exists():
        return {}, list(config.evaluate.labels), {}
    with store.open_output(config, "images") as h5:
        lacking = sorted(set(image_ids) - set(store.read_ids(h5)))
        if lacking:
            raise UserError(
                f"{store.show(h5.filename)} lacks {cli.count(len(lacking), 'work')} of the maps, for example"
                f" {cli.printable(lacking[0])}. Run: {config.command('run_all.py')}"
            )
        columns = read_catalogue(h5, image_ids).columns
        inputs = {"images": str(h5.attrs["fingerprint"])}
    stored = {label: label.replace("/", metadata.SLASH) for label in config.evaluate.labels}
    found = {label: agreement.as_codes(columns[name]) for label, name in stored.items() if name in columns}
    missing = [label for label in stored if label not in found]
    if missing:
        has = f"has {', '.join(columns)}" if columns else "has none"
        cli.notice(f"evaluate.labels: the metadata has no column {', '.join(missing)} ({has}): left out of the report")
    return found, missing, inputs


def read_network(config: Config) -> tuple[dict[str, Any], dict[str, str]]:
    """What train_parametric_tsne.py measured on works that the network never saw; nothing where there is no network."""
    if not (config.outputs / "parametric_tsne.h5").exists():
        return {}, {}
    with store.open_output(config, "parametric_tsne") as h5:
        measured = {key: float(value) for key, value in sorted(h5["report"].attrs.items()) if np.isreal(value)}
        settings = config.parametric_tsne
        return (
            {"map": settings.map, "objective": settings.objective, "held_out": measured},
            {"parametric_tsne": str(h5.attrs["fingerprint"])},
        )


def score_map(
    features: np.ndarray, coordinates: np.ndarray, settings: Evaluate, labels: dict[str, np.ndarray],
    landmarks: np.ndarray, name: str,
) -> Scored:  # fmt: skip
    """Neighbours kept, trustworthiness, continuity and label agreement of one map (N, 2) of features (N, D)."""
    n_works = len(features)
    ks = coranking.usable_ks((*KS, settings.n_neighbors), n_works)
    if not ks:  # one or two works: nothing can be out of place
        ones = np.ones(n_works)
        return Scored(coordinates, np.empty((n_works, 0), np.int64), ones, ones, ones, {})
    of_features = coranking.nearest_by_features(features, ks[-1], f"{name}: neighbours")
    on_map = coranking.nearest_on_map(coordinates, ks[-1])
    k = max(each for each in ks if each <= max(settings.n_neighbors, ks[0]))
    found = coranking.compare(features, coordinates, of_features, on_map, ks, k, landmarks)
    column = ks.index(k)
    of_works = [each[:, column] for each in (found.kept, found.trustworthiness, found.continuity)]
    figures = neighbour_figures(found, k, n_works) | {"spearman": spearman(features, coordinates, settings.seed)}
    scored = Scored(coordinates, on_map[:, :k].copy(), *of_works, figures)
    order = np.lexsort((scored.trustworthiness + scored.continuity, scored.faithfulness))[:N_EXAMPLES]
    scored.least_faithful = [
        Example(
            row,
            {"most like it": of_features[row, :N_SHOWN].tolist(), "beside it here": on_map[row, :N_SHOWN].tolist()},
            f"{scored.faithfulness[row] * k:.0f} of {k} kept",
        )
        for row in order.tolist()
    ]
    scored.figures["labels"] = label_figures(features, coordinates, of_features, on_map, labels, settings.seed)
    return scored


def neighbour_figures(found: Faithfulness, k: int, n_works: int) -> dict[str, Any]:
    kept = found.kept[:, found.ks.index(k)]
    return {
        "n_neighbors": k,
        "kept": by_k(found.ks, found.kept),
        "kept_by_chance": {str(each): each / (n_works - 1) for each in found.ks},
        "trustworthiness": by_k(found.ks, found.trustworthiness),
        "continuity": by_k(found.ks, found.continuity),
        "near": float(found.is_near.mean()),
        "near_limit": coranking.near_limit(n_works, k),
        "faithfulness": {
            **{f"quantile_{q}": float(np.quantile(kept, q / 100)) for q in (10, 25, 50, 75, 90)},
            "works_that_keep_none": int((kept == 0).sum()),
            "works_by_number_kept": np.bincount(np.rint(kept * k).astype(int), minlength=k + 1).tolist(),
        },
    }


def by_k(ks: tuple[int, ...], columns: np.ndarray) -> dict[str, float]:
    return dict(zip(map(str, ks), columns.mean(axis=0).tolist(), strict=True))


def spearman(features: np.ndarray, coordinates: np.ndarray, seed: int) -> float | None:
    """Rank correlation of distances on the map with those of the features, over all pairs of some drawn works.

    None where either side has one distance only.
    """
    from scipy.spatial.distance import pdist

    rng = np.random.default_rng(seed)
    drawn = np.sort(rng.choice(len(features), min(len(features), SPEARMAN_WORKS), replace=False))
    sides = [metrics.mid_ranks(pdist(x[drawn].astype(np.float64))) for x in (features, coordinates)]
    if min(np.ptp(side) for side in sides) == 0:
        return None
    return float(np.corrcoef(*sides)[0, 1])


def label_figures(
    features: np.ndarray, coordinates: np.ndarray, of_features: np.ndarray, on_map: np.ndarray,
    labels: dict[str, np.ndarray], seed: int,
) -> dict[str, Any]:  # fmt: skip
    """Per column: how well its labels agree with nearness, and per pair of columns the two controls."""
    figures: dict[str, Any] = {}
    for label, codes in labels.items():
        figures[label] = {
            "features": agreement.score(of_features, codes, seed), "map": agreement.score(on_map, codes, seed)
        }  # fmt: skip
        for other, groups in labels.items():
            if other == label:
                continue
            # The finer of two columns is asked for inside the coarser, the coarser across the finer.
            is_finer = codes.max() > groups.max()
            control = agreement.score_within if is_finer else agreement.score_apart
            figures[label][f"{'within one' if is_finer else 'without the same'} {other}"] = {
                side: control(x, codes, groups, seed) for side, x in (("features", features), ("map", coordinates))
            }
    return figures


def redraw(
    features: np.ndarray, scored: Scored, config: Config, perplexity: float, n_seeds: int, name: str
) -> dict[str, Any]:
    """Draws the map again with other seeds and says how much it changes; displacements in units of the map's side."""
    if len(features) <= 3 or not n_seeds or not scored.on_map.shape[1]:
        return {}
    k = scored.on_map.shape[1]
    side = np.ptp(scored.coordinates, axis=0).max()
    seeds = [config.tsne.seed + 1 + step for step in range(n_seeds)]
    threads = images.n_threads(config.machine.threads)
    displaced, kept = [], []
    for seed in seeds:
        settings = config.tsne.model_copy(update={"seed": seed})
        other, _ = draw_map(features, settings, perplexity, threads, f"{name}, seed {seed}:")
        aligned = metrics.align(scored.coordinates, other)
        displaced.append(np.median(np.linalg.norm(aligned - scored.coordinates, axis=1)) / side)
        kept.append(share_in_common(scored.on_map, coranking.nearest_on_map(other, k)).mean())
    return {
        "seeds": seeds, "initialization": config.tsne.initialization,
        "median_displacement": float(np.mean(displaced)), "neighbours_kept": float(np.mean(kept)),
    }  # fmt: skip


def share_in_common(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Of lists of rows (N, k) and (N, k), the share that both have: (N,)."""
    return (one[:, :, None] == other[:, None, :]).any(axis=2).mean(axis=1)


def grid_figures(
    features: np.ndarray, coordinates: np.ndarray, cells: np.ndarray, rows: int, cols: int, seed: int
) -> dict[str, Any]:
    """Cost of a grid (M, 2) beside the least that its cells allow, and its DPQ16.

    cost is the mean squared distance from a work's place on the map to its cell, the map being the unit square.
    """
    positions, centres = to_unit_square(coordinates), cell_centres(cells, rows, cols)
    cost, n_works = float(np.square(positions - centres).sum(axis=1).mean()), len(cells)
    least = least_cost(positions, centres) if n_works <= LAP_UP_TO else cost_bound(positions, centres)
    asked = np.zeros(n_works, bool)
    n_asked = min(n_works, max(1, DPQ_PAIRS // n_works))
    asked[np.random.default_rng(seed).choice(n_works, n_asked, replace=False)] = True
    dpq = metrics.dpq(features, cells, rows, cols, queries=asked) if n_works > 2 else float("nan")
    return {
        "rows": rows, "cols": cols, "works": n_works, "cost": cost,
        "least_cost": least, "least_cost_is": "exact" if n_works <= LAP_UP_TO else "a lower bound",
        "above_least": cost / least - 1 if least > 0 else None,
        "dpq16": None if np.isnan(dpq) else dpq, "dpq16_works": n_asked,
    }  # fmt: skip


def least_cost(positions: np.ndarray, centres: np.ndarray) -> float:
    """Mean squared displacement of the best way to give works (M, 2) these cells (M, 2), exactly."""
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    squared = cdist(positions, centres, "sqeuclidean")
    return float(squared[linear_sum_assignment(squared)].mean())


def cost_bound(positions: np.ndarray, centres: np.ndarray) -> float:
    """No way can do better than each axis by itself, where the best is to match in sorted order."""
    return float(np.square(np.sort(positions, axis=0) - np.sort(centres, axis=0)).sum(axis=1).mean())


def compare_maps(
    names: list[str], maps: dict[str, Scored], landmarks: np.ndarray
) -> tuple[dict[str, Any], dict[str, list[Example]]]:
    """Which works change their neighbours most between two maps, and which keep them."""
    one, other = (maps[name] for name in names)
    k = one.on_map.shape[1]
    if not k:
        return {}, {}
    common = share_in_common(one.on_map, other.on_map)
    # How far away, as a share of the collection, the neighbours on one map are on the other: 0 the nearest, 1 the last.
    away = []
    for here, there in ((one, other), (other, one)):
        distances = coranking.distances_to(there.coordinates, here.on_map)
        away.append(coranking.ranks(there.coordinates, here.on_map, distances, landmarks))
    away_share = (np.mean(away, axis=(0, 2)) - 1) / max(1, len(common) - 2)
    orders = {"change most": np.argsort(-away_share, kind="stable"), "change least": np.lexsort((away_share, -common))}
    examples = {
        title: [
            Example(row, {f"beside it by {name}": maps[name].on_map[row, :N_SHOWN].tolist() for name in names},
                    f"{common[row] * k:.0f} of {k} in common, behind {away_share[row]:.0%} of all works on the other")
            for row in order[:N_EXAMPLES].tolist()
        ]
        for title, order in orders.items()
    }  # fmt: skip
    counts = np.bincount(np.rint(common * k).astype(int), minlength=k + 1)
    return {
        "maps": names, "n_neighbors": k,
        "in_common": float(common.mean()), "in_common_by_chance": k / (len(common) - 1),
        "works_by_number_in_common": counts.tolist(), "median_rank_share": float(np.median(away_share)),
    }, examples  # fmt: skip


def rounded(value: Any) -> Any:
    """Figures as they are told: four decimals, costs to as many digits; NaN is None."""
    if isinstance(value, dict):
        return {key: rounded(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [rounded(inner) for inner in value]
    if isinstance(value, float):
        if not np.isfinite(value):
            return None
        return round(value, DECIMALS) if abs(value) >= 0.01 else float(f"{value:.{DECIMALS - 1}g}")
    return value


def read_shown(config: Config, image_ids: np.ndarray, examples: dict[str, list[Example]]) -> dict[int, Shown]:
    """Captions and small pictures of the works that the page shows, by row; without images.h5 only their ids."""
    rows = sorted({row for each in examples.values() for example in each for row in example.rows})
    if not (config.outputs / "images.h5").exists():
        return {row: Shown([cli.printable(image_ids[row])], b"") for row in rows}
    with store.open_output(config, "images") as h5:
        catalogue = read_catalogue(h5, image_ids)
        return {row: Shown(catalogue.caption(row), markup.small_jpeg(catalogue.picture(row))) for row in rows}


def resolve_seeds(n_seeds: int | str | None, n_works: int) -> int:
    """`auto` is 3 up to 10,000 works and none above."""
    if n_seeds == "auto":
        return SEEDS if n_works <= SEEDS_UP_TO else 0
    return int(n_seeds or 0)


def add_works(
    config: Config, image_ids: np.ndarray, coordinates: dict[str, np.ndarray], inputs: dict[str, str]
) -> tuple[Path, str]:
    """--update: the works of `image_ids` (N,) that faithfulness.h5 has not, scored among all."""
    output, before = config.outputs / "faithfulness.h5", {}
    with store.open_before(config, "report") as h5:
        n_before, recipe = store.check_first_rows(h5, image_ids, config), store.recipe_after(h5)
        for name in config.maps:
            before[name] = {key: h5[f"{name}/{key}"][:] for key in SCORES}, int(h5[name].attrs["n_neighbors"])
    added = np.arange(n_before, len(image_ids))
    means = {}
    with store.create(output, "report", recipe, inputs) as h5:
        store.write_ids(h5, image_ids)
        for name, weights in config.maps.items():
            rows, k = before[name]
            features, _ = sources.read_features(config, image_ids, dict(weights), config.tsne.scaling)
            scores = coranking.compare_some(features, coordinates[name], added, k) if k else np.ones((3, len(added)))
            for key, values in zip(SCORES, scores, strict=True):
                h5[f"{name}/{key}"] = np.concatenate([rows[key], values.astype(np.float32)])
            h5[name].attrs["n_neighbors"] = k
            if len(added):
                means[name] = float(np.mean(scores[0]))
    told = ", ".join(f"{name} {mean:.0%}" for name, mean in means.items())
    kept = f", neighbours kept of these: {told}" if means else ""
    return output, f"{cli.count(len(added), 'work')} added to {n_before:,}{kept}"


def main(config: Config, update: bool = False) -> tuple[Path, str]:
    # 1. Read
    settings = config.evaluate
    with store.open_output(config, "tsne") as h5:
        image_ids, inputs = store.read_ids(h5), {"tsne": str(h5.attrs["fingerprint"])}
        perplexity = float(json.loads(h5.attrs["recipe"])["perplexity"])
        drawn = {name: (h5[f"{name}/coordinates"][:], float(h5[name].attrs["kl_divergence"])) for name in config.maps}
    with store.open_output(config, "grid") as h5:
        inputs["grid"], on_grid = str(h5.attrs["fingerprint"]), store.rows_of(store.read_ids(h5), image_ids)
        grids = {name: (h5[f"{name}/cells"][:], int(h5[name].attrs["rows"]), int(h5[name].attrs["cols"]))
                 for name in config.maps}  # fmt: skip
    used = [name for name in SOURCES if any(name in weights for weights in config.maps.values())]
    labels, missing, of_images = read_labels(config, image_ids)
    network, of_network = read_network(config)
    inputs |= sources.common_ids(config, used)[1] | of_images | of_network
    if update:
        return add_works(config, image_ids, {name: xy for name, (xy, _) in drawn.items()}, inputs)
    compared = [name for name in settings.compare or [] if name in config.maps]

    # 2. Compute
    neighbors.set_threads(images.n_threads(config.machine.threads))
    n_works, landmarks = len(image_ids), coranking.draw_landmarks(len(image_ids), settings.seed)
    n_seeds = resolve_seeds(settings.n_seeds, n_works)
    maps = {}
    for name, weights in config.maps.items():
        features, _ = sources.read_features(config, image_ids, dict(weights), config.tsne.scaling)
        coordinates, kl = drawn[name]
        scored = score_map(features, coordinates, settings, labels, landmarks, name)
        scored.figures |= {
            "sources": dict(weights), "kl_divergence": kl,
            "redrawn": redraw(features, scored, config, perplexity, n_seeds, name),
            "grid": grid_figures(features[on_grid], coordinates[on_grid], *grids[name], settings.seed),
        }  # fmt: skip
        maps[name] = scored
        del features  # before the next map's are read
    changes, changed = compare_maps(compared, maps, landmarks) if len(compared) == 2 else ({}, {})

    # 3. Write
    figures = rounded({
        "works": n_works, "ranks": "exact" if len(landmarks) == n_works else f"among {len(landmarks):,} landmark works",
        "maps": {name: scored.figures for name, scored in maps.items()},
        "compared": changes, "network": network, "labels_missing": missing,
    })  # fmt: skip
    with store.replacing(config.outputs / "report.json") as temporary:
        temporary.write_text(json.dumps(figures, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    pictures = {name: (scored.coordinates, scored.faithfulness) for name, scored in maps.items()}
    examples = {name: scored.least_faithful for name, scored in maps.items()} | changed
    text = report.page(figures, pictures, examples, read_shown(config, image_ids, examples))
    with store.replacing(config.outputs / "report.html") as temporary:
        temporary.write_text(text, encoding="utf-8")
    recipe = {"settings": config.settings(("evaluate",))}
    with store.create(config.outputs / "faithfulness.h5", "report", recipe, inputs) as h5:
        store.write_ids(h5, image_ids)
        for name, scored in maps.items():
            for key in SCORES:
                h5[f"{name}/{key}"] = getattr(scored, key).astype(np.float32)
            h5[name].attrs["n_neighbors"] = scored.on_map.shape[1]
    told = ", ".join(f"{name} {scored.faithfulness.mean():.0%}" for name, scored in maps.items())
    return config.outputs / "report.html", f"{cli.count(n_works, 'work')}, neighbours kept: {told}"


if __name__ == "__main__":
    cli.run(main, __doc__, cli.add_update)
