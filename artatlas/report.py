"""The report of evaluate_maps.py as one HTML page: light, printable, with nothing to fetch and no script.

The first screen is for whoever hangs the pictures, the last section for whoever checks the figures. Every text that
comes from the collection is escaped here.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Any

import numpy as np

from artatlas import charts
from artatlas.markup import HEAD, Example, Shown, examples_html, number, of_hundred, of_k, table
from artatlas.terms import TERMS


def page(
    figures: dict[str, Any], pictures: dict[str, tuple[np.ndarray, np.ndarray]], examples: dict[str, list[Example]],
    works: dict[int, Shown],
) -> str:  # fmt: skip
    """The whole page.

    figures : as in report.json
    pictures : map -> its coordinates (N, 2) and the faithfulness (N,) of its works
    examples : of each map, and under "change most" and "change least"
    works : row -> what to show of it, for all rows of the examples
    """
    scored = {name: each for name, each in figures["maps"].items() if "kept" in each}
    sections = [_opening(figures, scored)]
    if scored:
        sections += [_maps(scored, pictures, examples, works), _sizes(scored), _seeds(scored)]
    sections += [_grids(figures["maps"]), _labels(figures, scored), _changes(figures, examples, works),
                 _network(figures["network"]), _definitions(figures, scored)]  # fmt: skip
    return HEAD + "\n".join(section for section in sections if section) + "\n</main>\n</body>\n</html>\n"


def _opening(figures: dict[str, Any], scored: dict[str, Any]) -> str:
    title = "<header><p class=kicker>artatlas · report</p><h1>Can these maps be trusted?</h1>"
    counted = f"{figures['works']:,} works" if figures["works"] != 1 else "1 work"
    if not scored:
        return f"{title}<p class=lead>There are too few works ({counted}) to put any out of place.</p></header>"
    one = next(iter(scored.values()))
    k, limit = one["n_neighbors"], one["near_limit"]
    share = limit / max(1, figures["works"] - 1)
    lead = (
        f"A map of {counted} on a sheet of paper has to bend the truth somewhere. Of 100 works that a map shows next to"
        f" another, among its {k} nearest, <b>{_range(each['near'] for each in scored.values())}</b> are close to it"
        f" indeed: among the {limit:,} works of the collection most like it. Chance would give {of_hundred(share)}."
        f" <b>{_range(each['kept'][str(k)] for each in scored.values())}</b> of the 100 are even among the {k} most"
        f" like it, where chance would give {of_hundred(one['kept_by_chance'][str(k)])}."
    )
    rows = [
        [
            escape(name), of_hundred(each["near"]), of_hundred(each["kept"][str(k)]),
            number(each["trustworthiness"][str(k)]), number(each["continuity"][str(k)]),
            of_hundred(each["redrawn"].get("neighbours_kept")),
        ]
        for name, each in scored.items()
    ]  # fmt: skip
    heads = ["map", "close indeed,<br>of 100 shown", f"among the {k} most like it,<br>of 100 shown",
             f"trustworthiness<br>({k} neighbours)", f"continuity<br>({k} neighbours)",
             "the same when<br>drawn again, of 100"]  # fmt: skip
    return (
        f"{title}<p class=lead>{lead}</p></header>\n{table(heads, rows)}"
        "<div class=advice><div><h3>Trust</h3><p>Groups and neighbours: that works lie together means that they are"
        " alike in what this map looks at, as often as the table says. Check one work by its own score below.</p></div>"
        "<div><h3>Do not trust</h3><p>Distances between far groups, the size of a group, what is left or right. A map"
        f" of this kind does not keep them{_far(scored)}.</p></div></div>"
    )


def _range(shares: Iterable[float]) -> str:
    """Of 100: "39 to 46", depending on the map."""
    told = [of_hundred(share) for share in sorted(shares)]
    return told[0] if told[0] == told[-1] else f"{told[0]} to {told[-1]}"


def _far(scored: dict[str, Any]) -> str:
    values = [each["spearman"] for each in scored.values() if each["spearman"] is not None]
    if not values:
        return ""
    low, high = (f"{value:.2f}" for value in (min(values), max(values)))
    between = low if low == high else f"{low} to {high}"
    return (
        f": the order of all its distances agrees with the true order to {between}, where 1 is fully and 0 not at all"
    )


def _maps(
    scored: dict[str, Any], pictures: dict[str, tuple[np.ndarray, np.ndarray]], examples: dict[str, list[Example]],
    works: dict[int, Shown],
) -> str:  # fmt: skip
    parts = [
        "<section><h2>Map by map</h2><p>Every point is a work. Its colour is its <b>faithfulness</b>: of the works"
        " nearest to it on the map, the share that are among those most like it, in what the map was drawn from."
        f' <span class=key><span style="color:{charts.LOW}">&#9679;</span>&nbsp;none'
        f' <span style="color:{charts.MIDDLE}">&#9679;</span>&nbsp;half'
        f' <span style="color:{charts.HIGH}">&#9679;</span>&nbsp;all</span></p>'
    ]
    for name, each in scored.items():
        k, spread = each["n_neighbors"], each["faithfulness"]
        none = spread["works_that_keep_none"]
        told = (
            f"A work in the middle keeps {of_k(spread['quantile_50'], k)} of its {k} neighbours; one in ten keeps"
            f" {of_k(spread['quantile_10'], k)} or fewer, one in ten {of_k(spread['quantile_90'], k)} or more."
            f" {none:,} {'keeps' if none == 1 else 'keep'} none."
        )
        drawn = charts.faithful_map(*pictures[name], f"the map {escape(name)}, coloured by faithfulness")
        histogram = charts.bars(spread["works_by_number_kept"], f"of {k} neighbours kept")
        mix = " + ".join(f"{escape(source)} × {weight:g}" for source, weight in each["sources"].items())
        parts.append(
            f"<article><h3>{escape(name)} <small>drawn from {mix}</small></h3><div class=pair><figure>{drawn}</figure>"
            f"<div><p>{told}</p><figure>{histogram}</figure></div></div>"
            f"<h4>The least faithful works</h4>{examples_html(examples[name], works)}</article>"
        )
    return "\n".join(parts) + "</section>"


def _sizes(scored: dict[str, Any]) -> str:
    chance = next(iter(scored.values()))["kept_by_chance"]
    drawn = ""
    for title, key, low in (("Neighbours kept", "kept", 0.0), ("Trustworthiness", "trustworthiness", 0.5),
                            ("Continuity", "continuity", 0.5)):  # fmt: skip
        lines = {name: each[key] for name, each in scored.items()}
        chart = charts.curves(lines, chance if key == "kept" else {}, low)
        rows = [[escape(name), *[number(value) for value in values.values()]] for name, values in lines.items()]
        drawn += f"<figure><figcaption>{title}</figcaption>{chart}{table(['k', *chance], rows)}</figure>"
    return (
        "<section><h2>From the nearest few to the wider surroundings</h2><p>The same questions for more neighbours."
        " Trustworthiness falls where a map shows works together that are not alike; continuity falls where works that"
        " are alike are torn apart. Both are 1 on a perfect map and about a half on a random one.</p>"
        f"<div class=row>{drawn}</div></section>"
    )


def _seeds(scored: dict[str, Any]) -> str:
    redrawn = {name: each["redrawn"] for name, each in scored.items() if each["redrawn"]}
    if not redrawn:
        return (
            "<section><h2>Drawn again</h2><p>Whether the maps come out alike with another seed was not tried:"
            " <code>evaluate.n_seeds</code> is null, or there are too many works for auto.</p></section>"
        )
    rows = [
        [escape(name), f"{each['median_displacement']:.1%}", of_hundred(each["neighbours_kept"])]
        for name, each in redrawn.items()
    ]
    one = next(iter(redrawn.values()))
    times = len(one["seeds"])
    start = (
        "Every drawing starts from the same principal components, so that it is the noise that differs."
        if one["initialization"] == "pca" else "Every drawing starts from other noise."
    )  # fmt: skip
    heads = ["map", "median move of a work,<br>of the map's side", "neighbours that stay,<br>of 100"]
    return (
        f"<section><h2>Drawn again</h2><p>Every map was drawn {times} more time{'' if times == 1 else 's'}, with"
        f" {'another seed' if times == 1 else 'other seeds'}, and laid over the first (turned, mirrored, scaled). What"
        f" moves far owes its place to chance. {start}</p>{table(heads, rows)}</section>"
    )


def _grids(maps: dict[str, Any]) -> str:
    rows = []
    for name, each in maps.items():
        grid = each["grid"]
        above = "–" if grid["above_least"] is None else f"{grid['above_least']:.1%}"
        if grid["least_cost_is"] != "exact" and grid["above_least"] is not None:
            above = f"at most {above}"
        rows.append(
            [
                escape(name),
                f"{grid['rows']:,} × {grid['cols']:,}",
                number(grid["cost"], 5),
                above,
                number(grid["dpq16"]),
            ]
        )
    heads = ["map", "rows × columns", "cost", "above the least<br>there can be", "DPQ16"]
    return (
        "<section><h2>On the grid</h2><p>A grid gives every work a cell of its own, so works move. Cost is the mean"
        " squared way from a work's place on the map to its cell, the map being a square of side 1; beside it, how far"
        " that is above the least that any arrangement in the same cells costs. DPQ16 asks of the grid alone how well"
        " it surrounds works by those most like them: 1 is the best, a random grid gets some 0.2 to 0.4.</p>"
        f"{table(heads, rows)}</section>"
    )


_MEASURES = {"knn_accuracy": "5-NN accuracy", "map_at_10": "mAP@10", "recall_at_10": "Recall@10"}


def _labels(figures: dict[str, Any], scored: dict[str, Any]) -> str:
    missing = "".join(
        f"<p class=note>The metadata has no column <b>{escape(label)}</b>, so nothing is said of it.</p>"
        for label in figures["labels_missing"]
    )
    labels = list(dict.fromkeys(label for each in scored.values() for label in each["labels"]))
    parts = [_label(label, scored) for label in labels]
    if not parts and not missing:
        return ""
    return (
        "<section><h2>Do neighbours share a label?</h2><p>By features: before the map was drawn. By map: what two"
        " dimensions leave of it. Dot: the figure. Band: 95 % of what would come out were other labels, with all their"
        " works, drawn. Tick: shuffled labels, which is what chance gives.</p>"
        + missing + "".join(parts) + "</section>"
    )  # fmt: skip


def _label(label: str, scored: dict[str, Any]) -> str:
    """One column: a table of all maps, and one for each control."""
    parts = [f"<h3>{escape(label)}</h3>"]
    asked = {name: each["labels"].get(label, {}) for name, each in scored.items()}
    if not any(each.get("features") for each in asked.values()):
        return parts[0] + "<p class=note>No two works share one, so there is nothing to find.</p>"
    parts.append(_agreement({name: {side: each[side] for side in ("features", "map")} for name, each in asked.items()}))
    for key in dict.fromkeys(key for each in asked.values() for key in each if key not in ("features", "map")):
        others = {name: each[key] for name, each in asked.items() if each.get(key, {}).get("features")}
        if others:
            parts.append(f"<h4>{escape(label)} {escape(key)}</h4>" + _agreement(others))
    return "".join(parts)


def _agreement(maps: dict[str, Any]) -> str:
    measures = [key for key in _MEASURES if any(key in side for each in maps.values() for side in each.values())]
    rows = [
        [escape(name), side, *[_interval(found.get(measure)) for measure in measures]]
        for name, each in maps.items()
        for side, found in each.items()
    ]
    return table(["map", "neighbours by", *[_MEASURES[measure] for measure in measures]], rows)


def _interval(found: dict[str, float] | None) -> str:
    if not found:
        return "–"
    value, low, high, shuffled = (found[key] for key in ("value", "low", "high", "shuffled"))
    told = f"{value:.2f}, 95 % {low:.2f} to {high:.2f}, shuffled {shuffled:.2f}"
    return f'<span title="{told}">{value:.2f} {charts.interval(value, low, high, shuffled, told)}</span>'


def _changes(figures: dict[str, Any], examples: dict[str, list[Example]], works: dict[int, Shown]) -> str:
    compared = figures["compared"]
    if not compared:
        return ""
    one, other = (escape(name) for name in compared["maps"])
    k = compared["n_neighbors"]
    chart = charts.bars(compared["works_by_number_in_common"], f"of {k} neighbours in common")
    return (
        f"<section><h2>From {one} to {other}</h2><div class=pair><p>Of a work's {k} neighbours on the map <b>{one}</b>,"
        f" {of_k(compared['in_common'], k)} are its neighbours on the map <b>{other}</b> too; by chance it would be"
        f" {of_k(compared['in_common_by_chance'], k)}. The maps look at different things; this is how different.</p>"
        f"<figure>{chart}</figure></div>"
        f"<h3>Works that change their company most</h3>{examples_html(examples['change most'], works)}"
        f"<h3>Works that keep it</h3>{examples_html(examples['change least'], works)}</section>"
    )


_HELD_OUT = {
    "n_test": "works held out", "trustworthiness": "trustworthiness of their places by the network",
    "map_trustworthiness": "the same of their places on the map, which knew them",
    "median_distance": "median distance to their places on the map, of its diagonal",
}  # fmt: skip


def _network(network: dict[str, Any]) -> str:
    if not network:
        return ""
    measured = network["held_out"]
    rows = [[escape(_HELD_OUT.get(key, key.replace("_", " "))), number(measured[key])]
            for key in sorted(measured, key=lambda key: (key not in _HELD_OUT, key))]  # fmt: skip
    return (
        f"<section><h2>The network that places new works</h2><p>Trained by {escape(network['objective'])} on the map"
        f" <b>{escape(network['map'])}</b>; measured on works that it never saw.</p>"
        f"{table(['held out', 'figure'], rows)}</section>"
    )


def _definitions(figures: dict[str, Any], scored: dict[str, Any]) -> str:
    terms = "".join(f"<dt>{term}</dt><dd>{meaning}</dd>" for term, meaning in TERMS)
    limits = {each["near_limit"] for each in scored.values()}
    close = f" Here that is {', '.join(f'{limit:,}' for limit in sorted(limits))}." if limits else ""
    ranks = "exact" if figures["ranks"] == "exact" else f"estimated {figures['ranks']}"
    return (
        f"<section class=terms><h2>What the figures mean</h2><dl>{terms}</dl><p>Close indeed: among the 5 % of the"
        f" other works most like it, or among its k nearest where those are more.{close} Ranks are {ranks}. Features"
        " are what each map was drawn from: the sources at their weights, scaled as <code>tsne.scaling</code> says,"
        " compared by Euclidean distance. All figures stand in <code>report.json</code>, those of every work in"
        " <code>faithfulness.h5</code>.</p></section>"
    )
