"""How answers are shown: a table, a contact sheet, a CSV, and the picture of why two works are near or far.

For find_similar.py.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL.Image import Image, fromarray

from artatlas import cli, explain, images, picture_files, queries, sheets, store
from artatlas.explain import Pair
from artatlas.queries import Catalogue, Query

WIDEST = 44  # letters of a title in the table
SHEET_QUALITY = 92  # of JPEG: text has to stay sharp


@dataclass(frozen=True)
class Answer:
    query: Query
    rows: np.ndarray  # (k,) of image_ids, nearest first
    distances: np.ndarray  # (k,) float32


def table(answer: Answer, space: str, catalogue: Catalogue) -> str:
    """Rank, distance, title and artist where they are known, id; nothing in it breaks a line or moves a cursor."""
    shown = [name for name in queries.SHOWN if name in catalogue.columns]
    lines = [["rank", "distance", *shown, "image_id"]]
    for rank, (row, distance) in enumerate(zip(answer.rows, answer.distances, strict=True), start=1):
        texts = [cli.printable(catalogue.columns[name][row]) for name in shown]
        texts = [text if len(text) <= WIDEST else text[: WIDEST - 1] + "…" for text in texts]
        same = "  (the same file)" if row == answer.query.same else ""
        lines.append([str(rank), f"{distance:.4f}", *texts, cli.printable(catalogue.image_ids[row]) + same])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    told = [f"{cli.printable(answer.query.name)}: nearest by {space}"]
    for line in lines:
        numbers = [text.rjust(width) for text, width in zip(line[:2], widths, strict=False)]
        texts = [text.ljust(width) for text, width in zip(line[2:], widths[2:], strict=True)]
        told.append("  ".join([*numbers, *texts]).rstrip())
    return "\n".join([*told, ""])


def draw_sheet(answer: Answer, space: str, catalogue: Catalogue) -> Image:
    query = answer.query
    tiles = []
    shown_rows, shown_distances = answer.rows[: sheets.MOST], answer.distances[: sheets.MOST]
    for rank, (row, distance) in enumerate(zip(shown_rows, shown_distances, strict=True), start=1):
        remark = "the same file" if row == query.same else ""
        caption = [f"{rank}    {distance:.3f}", *catalogue.caption(row)]
        tiles.append(sheets.Tile(catalogue.picture(row), caption, remark))
    shown = sheets.Tile(images.open_thumbnail(query.thumbnail), catalogue.caption_of(query))
    return sheets.contact_sheet(f"Nearest by {space}", shown, tiles)


def draw_why(
    pair: Sequence[Query], space: str, distance: float, shares: dict[str, float], found: list[Pair], layer: str,
    catalogue: Catalogue, fit: str,
) -> Image:  # fmt: skip
    """Two works in a row each: palettes, and where the channels of `found` (of `layer`) fire together in both.

    shares : source -> what it adds to the squared distance of the two
    fit : images.fit, how a picture became what the network saw
    """
    headings = [
        (f"channels {p.first} and {p.second} of {layer}", f"in both; weighs {p.weight:.0f} times an average pair")
        for p in found
    ]
    sides = [_side(query, [p.maps[i] for p in found], catalogue, fit) for i, query in enumerate(pair)]
    return sheets.pair_sheet(f"{distance:.3f} apart by {space}", shares, sides, headings)


def _side(query: Query, maps: list[np.ndarray], catalogue: Catalogue, fit: str) -> sheets.Side:
    thumbnail = images.open_thumbnail(query.thumbnail)
    # The regions belong to what the network saw; squashed, that is all of the picture in another shape.
    seen = fromarray(query.pixels)
    seen = seen.resize(thumbnail.size) if fit == "squash" else seen
    lit = [explain.lit(sheets.fitted(seen, sheets.LARGE, sheets.LARGE), where) for where in maps]
    return sheets.Side(thumbnail, catalogue.caption_of(query), explain.palette(thumbnail), lit)


def save(sheet: Image, path: Path) -> None:
    """As JPEG. Raises UserError where the file cannot be written."""
    with store.replacing(path) as temporary:
        picture_files.save_jpeg(sheet, temporary, SHEET_QUALITY, subsampling=0)


def sheet_name(query: str, space: str, taken: set[str]) -> str:
    """A file's name that every system takes and that no other query of this run has."""
    plain = re.sub(r"[^\w.-]+", "_", query.removesuffix(Path(query).suffix)).strip("._")[-80:] or "query"
    name, n = f"{plain}_{space}.jpg", 1
    while name.lower() in taken:
        n += 1
        name = f"{plain}_{space}_{n}.jpg"
    taken.add(name.lower())
    return name


def write_csv(path: Path, answered: list[Answer], catalogue: Catalogue) -> None:
    """query, rank, filename, distance and the metadata; texts are quoted and otherwise left as they are."""
    with store.replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
        writer.writerow(["query", "rank", "filename", "distance", *catalogue.columns])
        for answer in answered:
            for rank, (row, distance) in enumerate(zip(answer.rows, answer.distances, strict=True), start=1):
                known = [column[row] for column in catalogue.columns.values()]
                line = [answer.query.name, rank, catalogue.image_ids[row], round(float(distance), 6), *known]
                writer.writerow(line)
