"""The report of evaluate_maps.py as one HTML page: light, printable, with nothing to fetch and no script.

The first screen is for whoever hangs the pictures, the last section for whoever checks the figures. Every text that
comes from the collection is escaped here.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
from PIL.Image import Image

from artatlas import charts

THUMBNAIL_PX = 112  # longer side of the pictures on the page, 3 KB each
LETTERS = 60  # of a line of a caption


@dataclass(frozen=True)
class Example:
    """A work to look at."""

    row: int
    lists: dict[str, list[int]]  # heading -> rows of works to show beside it
    remark: str

    @property
    def rows(self) -> list[int]:
        return [self.row, *(row for rows in self.lists.values() for row in rows)]


@dataclass(frozen=True)
class Shown:
    """What is known of a work: a line or two, not escaped, and a JPEG or b""."""

    caption: list[str]
    jpeg: bytes


def small_jpeg(thumbnail: Image) -> bytes:
    thumbnail.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
    buffer = io.BytesIO()
    thumbnail.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


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
    return _HEAD + "\n".join(section for section in sections if section) + "\n</main>\n</body>\n</html>\n"


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
        f" indeed: among the {limit:,} works of the collection most like it. Chance would give {_hundred(share)}."
        f" <b>{_range(each['kept'][str(k)] for each in scored.values())}</b> of the 100 are even among the {k} most like"
        f" it, where chance would give {_hundred(one['kept_by_chance'][str(k)])}."
    )
    rows = [
        [escape(name), _hundred(each["near"]), _hundred(each["kept"][str(k)]), _number(each["trustworthiness"][str(k)]),
         _number(each["continuity"][str(k)]), _hundred(each["redrawn"].get("neighbours_kept"))]
        for name, each in scored.items()
    ]  # fmt: skip
    heads = ["map", "close indeed,<br>of 100 shown", f"among the {k} most like it,<br>of 100 shown",
             f"trustworthiness<br>({k} neighbours)", f"continuity<br>({k} neighbours)",
             "the same when<br>drawn again, of 100"]  # fmt: skip
    return (
        f"{title}<p class=lead>{lead}</p></header>\n{_table(heads, rows)}"
        "<div class=advice><div><h3>Trust</h3><p>Groups and neighbours: that works lie together means that they are"
        " alike in what this map looks at, as often as the table says. Check one work by its own score below.</p></div>"
        "<div><h3>Do not trust</h3><p>Distances between far groups, the size of a group, what is left or right. A map"
        f" of this kind does not keep them{_far(scored)}.</p></div></div>"
    )


def _range(shares: Iterable[float]) -> str:
    """Of 100: "39 to 46", depending on the map."""
    told = [_hundred(share) for share in sorted(shares)]
    return told[0] if told[0] == told[-1] else f"{told[0]} to {told[-1]}"


def _far(scored: dict[str, Any]) -> str:
    values = [each["spearman"] for each in scored.values() if each["spearman"] is not None]
    if not values:
        return ""
    low, high = (f"{value:.2f}" for value in (min(values), max(values)))
    between = low if low == high else f"{low} to {high}"
    return f": the order of all its distances agrees with the true order to {between}, where 1 is fully and 0 not at all"


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
            f"A work in the middle keeps {_of(spread['quantile_50'], k)} of its {k} neighbours; one in ten keeps"
            f" {_of(spread['quantile_10'], k)} or fewer, one in ten {_of(spread['quantile_90'], k)} or more."
            f" {none:,} {'keeps' if none == 1 else 'keep'} none."
        )
        drawn = charts.faithful_map(*pictures[name], f"the map {escape(name)}, coloured by faithfulness")
        histogram = charts.bars(spread["works_by_number_kept"], f"of {k} neighbours kept")
        mix = " + ".join(f"{escape(source)} × {weight:g}" for source, weight in each["sources"].items())
        parts.append(
            f"<article><h3>{escape(name)} <small>drawn from {mix}</small></h3><div class=pair><figure>{drawn}</figure>"
            f"<div><p>{told}</p><figure>{histogram}</figure></div></div>"
            f"<h4>The least faithful works</h4>{_examples(examples[name], works)}</article>"
        )
    return "\n".join(parts) + "</section>"


def _sizes(scored: dict[str, Any]) -> str:
    chance = next(iter(scored.values()))["kept_by_chance"]
    drawn = ""
    for title, key, low in (("Neighbours kept", "kept", 0.0), ("Trustworthiness", "trustworthiness", 0.5),
                            ("Continuity", "continuity", 0.5)):  # fmt: skip
        lines = {name: each[key] for name, each in scored.items()}
        chart = charts.curves(lines, chance if key == "kept" else {}, low)
        rows = [[escape(name), *[_number(value) for value in values.values()]] for name, values in lines.items()]
        drawn += f"<figure><figcaption>{title}</figcaption>{chart}{_table(['k', *chance], rows)}</figure>"
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
        [escape(name), f"{each['median_displacement']:.1%}", _hundred(each["neighbours_kept"])]
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
        f" moves far owes its place to chance. {start}</p>{_table(heads, rows)}</section>"
    )


def _grids(maps: dict[str, Any]) -> str:
    rows = []
    for name, each in maps.items():
        grid = each["grid"]
        above = "–" if grid["above_least"] is None else f"{grid['above_least']:.1%}"
        if grid["least_cost_is"] != "exact" and grid["above_least"] is not None:
            above = f"at most {above}"
        rows.append([escape(name), f"{grid['rows']:,} × {grid['cols']:,}", _number(grid["cost"], 5), above, _number(grid["dpq16"])])
    heads = ["map", "rows × columns", "cost", "above the least<br>there can be", "DPQ16"]
    return (
        "<section><h2>On the grid</h2><p>A grid gives every work a cell of its own, so works move. Cost is the mean squared"
        " way from a work's place on the map to its cell, the map being a square of side 1; beside it, how much of it"
        " another arrangement in the same cells could have saved. DPQ16 asks of the grid alone how well it surrounds works"
        f" by those most like them: 1 is the best, a random grid gets some 0.2 to 0.4.</p>{_table(heads, rows)}</section>"
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
        "<section><h2>Do neighbours share a label?</h2><p>Dot: the figure. Band: 95 % of what would come out were other"
        " labels (with all their works) drawn. Tick: shuffled labels, which is what chance gives.</p>"
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
    return _table(["map", "neighbours by", *[_MEASURES[measure] for measure in measures]], rows)


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
        f" {_of(compared['in_common'], k)} are its neighbours on the map <b>{other}</b> too; by chance it would be"
        f" {_of(compared['in_common_by_chance'], k)}. The two maps look at different things, and this is how different."
        f"</p><figure>{chart}</figure></div>"
        f"<h3>Works that change their company most</h3>{_examples(examples['change most'], works)}"
        f"<h3>Works that keep it</h3>{_examples(examples['change least'], works)}</section>"
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
    rows = [[escape(_HELD_OUT.get(key, key.replace("_", " "))), _number(measured[key])]
            for key in sorted(measured, key=lambda key: (key not in _HELD_OUT, key))]  # fmt: skip
    return (
        f"<section><h2>The network that places new works</h2><p>Trained by {escape(network['objective'])} on the map"
        f" <b>{escape(network['map'])}</b>; measured on works that it never saw.</p>"
        f"{_table(['held out', 'figure'], rows)}</section>"
    )


def _definitions(figures: dict[str, Any], scored: dict[str, Any]) -> str:
    terms = "".join(f"<dt>{term}</dt><dd>{meaning}</dd>" for term, meaning in _TERMS)
    limits = {each["near_limit"] for each in scored.values()}
    close = f" Here that is {', '.join(f'{limit:,}' for limit in sorted(limits))}." if limits else ""
    ranks = "exact" if figures["ranks"] == "exact" else f"estimated {figures['ranks']}"
    return (
        f"<section class=terms><h2>What the figures mean</h2><dl>{terms}</dl><p>Close indeed: among the 5 % of the other"
        f" works most like it, or among its k nearest where those are more.{close} Ranks are {ranks}. Features are what"
        " each map was drawn from: the sources at their weights, scaled as <code>tsne.scaling</code> says, compared by"
        " Euclidean distance. All figures stand in <code>report.json</code>, those of every work in"
        " <code>faithfulness.h5</code>.</p></section>"
    )


_TERMS = (
    ("k nearest, kept", "Of the k nearest on the map, the share that are among the k nearest by the features; without"
     " equal distances the same as the share of the k nearest by the features that the map keeps. Chance: k / (N − 1)."),
    ("faithfulness", "The same of one work, at the k of <code>evaluate.n_neighbors</code>."),
    ("trustworthiness", "1 − 2 / (N k (2N − 3k − 1)) × the sum, over works and those of their k nearest on the map that"
     " are not among their k nearest by the features, of rank by the features − k (Venna &amp; Kaski 2001)."),
    ("continuity", "The same with map and features in each other's place."),
    ("ranks", "One more than the number of nearer works. Above 10,000 works they are counted among 2,000 drawn works and"
     " scaled up, which is without bias; neighbours themselves are always exact."),
    ("distances, in order", "Spearman's rank correlation of map distance with feature distance over all pairs of up to"
     " 1,000 drawn works."),
    ("drawn again", "Median over works of the distance after orthogonal Procrustes alignment with scaling, over the"
     " longer side of the map; share of the k nearest on the map that stay so. Means over the seeds."),
    ("cost, least cost", "Mean squared displacement in the unit square. The least is over all ways to give the works the"
     " same cells: exact up to 4,000 works; above, a lower bound from each axis by itself."),
    ("DPQ16", "Distance preservation quality with p = 16 (Barthel et al. 2023); of many works, over drawn ones."),
    ("5-NN accuracy", "Share of works whose label wins the vote of their 5 nearest; ties go to the nearest."),
    ("mAP@10", "Precision at every rank up to 10 that holds the same label, summed, over the most there could be."),
    ("Recall@10", "Share of works of which at least one of the 10 nearest has their label."),
    ("asked about", "Works whose label another work has. A work without a label counts as a wrong neighbour."),
    ("within one ..., without the same ...", "Neighbours are looked for only among works that share the other column, or"
     " only among those that do not: is an artist told from others of one style, is a style known without other works of"
     " the same artist? Up to 2,000 works are asked about; within, labels are shuffled inside the other column."),
)  # fmt: skip


def _examples(examples: Iterable[Example], works: dict[int, Shown]) -> str:
    items = []
    for example in examples:
        lists = "".join(
            f"<div><h5>{escape(heading)}</h5><div class=works>{_join(rows, lambda row: _work(works[row]))}</div></div>"
            for heading, rows in example.lists.items()
        )
        items.append(
            f"<li><div class=asked>{_work(works[example.row])}<p class=remark>{escape(example.remark)}</p></div>"
            f"<div class=beside>{lists}</div></li>"
        )
    return f"<ol class=examples>{''.join(items)}</ol>"


def _join(rows: Iterable[int], show: Callable[[int], str]) -> str:
    return "".join(show(row) for row in rows)


def _work(work: Shown) -> str:
    lines = [escape(line if len(line) <= LETTERS else line[: LETTERS - 1] + "…") for line in work.caption]
    image = charts.picture(work.jpeg, "jpeg", escape(", ".join(work.caption))) if work.jpeg else ""
    return f"<figure class=work>{image}<figcaption>{'<br>'.join(lines)}</figcaption></figure>"


def _table(heads: list[str], rows: list[list[str]]) -> str:
    head = "".join(f"<th>{text}</th>" for text in heads)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<div class=scroll><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def _hundred(share: float | None) -> str:
    """Of 100; one decimal below 10."""
    if share is None:
        return "–"
    return f"{100 * share:.0f}" if share >= 0.0995 else f"{100 * share:.1f}".removesuffix(".0")


def _of(share: float, k: int) -> str:
    return f"{share * k:.1f}".removesuffix(".0")


def _number(value: float | None, decimals: int = 3) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 100 else f"{value:.{decimals}f}"


_HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>Can these maps be trusted?</title>
<style>
:root { color-scheme: light; --ink: #222; --grey: #6b6b6b; --line: #e2ded6; --accent: #0b4f7d; }
* { box-sizing: border-box; }
body { margin: 0; color: var(--ink); background: #fff; font: 16px/1.55 "Source Serif 4", Charter, Georgia, serif; }
main { max-width: 66rem; margin: 0 auto; padding: 3.5rem 1.5rem 5rem; }
h1, h2, h3, h4, h5, table, .kicker, figcaption, .remark, .key, svg text, .note, small {
  font-family: "Helvetica Neue", Inter, Arial, "Liberation Sans", "DejaVu Sans", sans-serif; }
h1 { font-size: clamp(2rem, 5vw, 3rem); line-height: 1.1; letter-spacing: -0.02em; margin: 0.2rem 0 1.2rem; }
h2 { font-size: 1.5rem; letter-spacing: -0.01em; margin: 4rem 0 0.6rem; padding-top: 1.2rem; border-top: 1px solid var(--line); }
h3 { font-size: 1.1rem; margin: 2rem 0 0.5rem; }
h4 { font-size: 0.95rem; margin: 1.2rem 0 0.4rem; }
h5 { font-size: 0.72rem; font-weight: 500; color: var(--grey); margin: 0 0 0.3rem; }
small { font-weight: 400; color: var(--grey); font-size: 0.85rem; margin-left: 0.4rem; }
p { max-width: 44rem; margin: 0.4rem 0 1rem; }
.kicker { color: var(--grey); font-size: 0.8rem; letter-spacing: 0.08em; text-transform: uppercase; margin: 0; }
.lead { font-size: 1.2rem; line-height: 1.5; }
.lead b { color: var(--accent); }
.note { color: var(--grey); font-size: 0.9rem; }
.scroll { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: 0.86rem; font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 600; color: var(--grey); font-size: 0.76rem; line-height: 1.3; vertical-align: bottom; }
th, td { padding: 0.42rem 1.5rem 0.42rem 0; border-bottom: 1px solid var(--line); white-space: nowrap; }
td:first-child { font-weight: 600; }
.advice { display: grid; grid-template-columns: repeat(auto-fit, minmax(17rem, 1fr)); gap: 0 3rem; }
.advice h3 { margin-top: 1rem; }
.key { font-size: 0.82rem; color: var(--grey); white-space: nowrap; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(20rem, 100%), 1fr)); gap: 1rem 2.5rem; align-items: center; }
.row { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(18rem, 100%), 1fr)); gap: 1.5rem; }
figure { margin: 0; }
figure > img, figure > svg { display: block; width: 100%; height: auto; }
.row figcaption { font-size: 0.82rem; font-weight: 600; margin-bottom: 0.3rem; }
.examples { list-style: none; margin: 0; padding: 0; }
.examples li { display: grid; grid-template-columns: 9rem 1fr; gap: 1rem 2rem; padding: 0.9rem 0; border-bottom: 1px solid var(--line); break-inside: avoid; }
.beside { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(22rem, 100%), 1fr)); gap: 0.8rem 2rem; }
.works { display: grid; grid-template-columns: repeat(4, minmax(0, 1fr)); gap: 0.6rem; }
.work img { width: auto; max-width: 100%; height: 5.2rem; object-fit: contain; object-position: left bottom; }
.work figcaption { font-size: 0.66rem; line-height: 1.3; color: var(--grey); margin-top: 0.25rem; overflow-wrap: anywhere; }
.asked .work img { height: 7rem; }
.asked .work figcaption { font-size: 0.74rem; color: var(--ink); }
.remark { font-size: 0.74rem; line-height: 1.35; color: #a04400; margin: 0.3rem 0 0; }
.interval { width: 8.5rem; height: 0.8rem; vertical-align: -0.05rem; margin-left: 0.5rem; }
.interval .axis { stroke: var(--line); } .interval .span { stroke: #8db4ce; stroke-width: 5; }
.interval .chance { stroke: #444; stroke-width: 1.4; } .interval circle { fill: var(--accent); }
dt { font: 600 0.86rem "Helvetica Neue", Inter, Arial, sans-serif; margin-top: 0.8rem; }
dd { margin: 0.1rem 0 0; max-width: 44rem; font-size: 0.95rem; }
code { font-size: 0.88em; }
@media (max-width: 40rem) {
  main { padding: 2rem 1rem 3rem; } .lead { font-size: 1.08rem; } .examples li { grid-template-columns: 1fr; }
  th, td { padding-right: 1rem; }
}
@media print { main { padding: 0; max-width: none; } body { font-size: 11pt; } h2 { break-after: avoid; } article { break-before: page; } }
</style>
</head>
<body>
<main>
"""
