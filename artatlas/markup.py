"""The pieces that the report's page is put together from: works with their pictures, tables, figures in words, style.

Whatever comes from the collection is escaped here or by whoever calls.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape

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


def examples_html(examples: Iterable[Example], works: dict[int, Shown]) -> str:
    """A list: each work, and beside it its lists."""
    items = []
    for example in examples:
        lists = "".join(
            f"<div><h5>{escape(heading)}</h5><div class=works>{''.join(_work(works[row]) for row in rows)}</div></div>"
            for heading, rows in example.lists.items()
        )
        items.append(
            f"<li><div class=asked>{_work(works[example.row])}<p class=remark>{escape(example.remark)}</p></div>"
            f"<div class=beside>{lists}</div></li>"
        )
    return f"<ol class=examples>{''.join(items)}</ol>"


def _work(work: Shown) -> str:
    lines = [escape(line if len(line) <= LETTERS else line[: LETTERS - 1] + "…") for line in work.caption]
    image = charts.picture(work.jpeg, "jpeg", escape(", ".join(work.caption))) if work.jpeg else ""
    return f"<figure class=work>{image}<figcaption>{'<br>'.join(lines)}</figcaption></figure>"


def table(heads: list[str], rows: list[list[str]]) -> str:
    """Of cells that are HTML already."""
    head = "".join(f"<th>{text}</th>" for text in heads)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<div class=scroll><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def of_hundred(share: float | None) -> str:
    """A share as a number of 100; with a decimal below 10."""
    if share is None:
        return "–"
    return f"{100 * share:.0f}" if share >= 0.0995 else f"{100 * share:.1f}".removesuffix(".0")


def of_k(share: float, k: int) -> str:
    """A share as a number of k."""
    return f"{share * k:.1f}".removesuffix(".0")


def number(value: float | None, decimals: int = 3) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 100 else f"{value:.{decimals}f}"


HEAD = """<!DOCTYPE html>
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
h2 { font-size: 1.5rem; letter-spacing: -0.01em; margin: 4rem 0 0.6rem; padding-top: 1.2rem;
  border-top: 1px solid var(--line); }
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
th { text-align: left; font-weight: 600; color: var(--grey); font-size: 0.76rem; line-height: 1.3;
  vertical-align: bottom; }
th, td { padding: 0.42rem 1.5rem 0.42rem 0; border-bottom: 1px solid var(--line); white-space: nowrap; }
td:first-child { font-weight: 600; }
.advice { display: grid; grid-template-columns: repeat(auto-fit, minmax(17rem, 1fr)); gap: 0 3rem; }
.advice h3 { margin-top: 1rem; }
.key { font-size: 0.82rem; color: var(--grey); white-space: nowrap; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(20rem, 100%), 1fr)); gap: 1rem 2.5rem;
  align-items: center; }
.row { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(18rem, 100%), 1fr)); gap: 1.5rem; }
figure { margin: 0; }
svg * { stroke-linejoin: round; }
figure > img, figure > svg { display: block; width: 100%; height: auto; }
.row figcaption { font-size: 0.82rem; font-weight: 600; margin-bottom: 0.3rem; }
.examples { list-style: none; margin: 0; padding: 0; }
.examples li { display: grid; grid-template-columns: 9rem 1fr; gap: 1rem 2rem; padding: 0.9rem 0;
  border-bottom: 1px solid var(--line); break-inside: avoid; }
.beside { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(22rem, 100%), 1fr)); gap: 0.8rem 2rem; }
.works { display: grid; grid-template-columns: repeat(4, minmax(0, 1fr)); gap: 0.6rem; }
.work img { width: auto; max-width: 100%; height: 5.2rem; object-fit: contain; object-position: left bottom; }
.work figcaption { font-size: 0.66rem; line-height: 1.3; color: var(--grey); margin-top: 0.25rem;
  overflow-wrap: anywhere; }
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
@media print { main { padding: 0; max-width: none; } body { font-size: 11pt; } h2 { break-after: avoid;
  } article { break-before: page; } }
</style>
</head>
<body>
<main>
"""
