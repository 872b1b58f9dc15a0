"""The charts of the report, each as a piece of HTML that needs nothing else: PNG for many points, SVG for lines.

Source  colours for the colour-blind: Okabe & Ito 2008
"""

from __future__ import annotations

import base64
import io
import re
import warnings
from typing import Any

import numpy as np

LOW, MIDDLE, HIGH = "#D55E00", "#E3C989", "#0B4F7D"  # of faithfulness 0, half and 1
LINES = ("#0B4F7D", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#7A4B1F")
GREY, INK = "#8a8a8a", "#222222"
STYLE: Any = {
    "svg.fonttype": "none", "svg.hashsalt": "artatlas", "font.family": "sans-serif", "font.size": 9,
    "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": GREY, "xtick.color": INK, "ytick.color": INK,
    "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.7, "text.parse_math": False,
}  # fmt: skip


def picture(data: bytes, kind: str, alt: str) -> str:
    """`alt` has to be escaped already."""
    return f'<img alt="{alt}" src="data:image/{kind};base64,{base64.b64encode(data).decode()}">'


def faithful_map(coordinates: np.ndarray, faithfulness: np.ndarray, alt: str) -> str:
    """A map (N, 2) whose points are coloured by the faithfulness (N,) of their works."""
    from matplotlib.colors import LinearSegmentedColormap

    span = np.ptp(coordinates, axis=0)
    sides = 5.2 * np.clip(span / max(span.max(), 1e-30), 0.4, 1)  # inches
    figure, axes = _figure(*sides)
    axes.set_position((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_aspect("equal", adjustable="datalim")
    colors = LinearSegmentedColormap.from_list("", (LOW, MIDDLE, HIGH))
    size = np.clip(24_000 / len(coordinates), 0.8, 40)
    axes.scatter(*coordinates.T, c=faithfulness, cmap=colors, vmin=0, vmax=1, linewidths=0, s=size)
    return picture(_saved(figure, "png"), "png", alt)


def curves(lines: dict[str, dict[str, float]], chance: dict[str, float], low: float) -> str:
    """One line a map over k, and a dashed one for chance where there is any."""
    figure, axes = _figure(3.3, 2.3)
    ks = [int(k) for k in next(iter(lines.values()))]
    drawn = []
    for i, values in enumerate(lines.values()):
        drawn += axes.plot(ks, list(values.values()), marker="o", markersize=4, color=LINES[i % len(LINES)])
    if chance:
        drawn += axes.plot(ks, list(chance.values()), color=GREY, linestyle=(0, (3, 2)), linewidth=1)
    axes.set(xlabel="k neighbours", ylim=(low, 1.005), xticks=ks)
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.7)
    legend = axes.legend(drawn, ["-"] * len(drawn), frameon=False, fontsize=7, loc="best")
    # Set afterwards, for a legend leaves out labels that begin with an underscore.
    for text, name in zip(legend.get_texts(), [*lines, "by chance"], strict=False):
        text.set_text(name)
    return _svg(figure)


def bars(counts: list[int], xlabel: str, ylabel: str = "works") -> str:
    """A bar for each of 0, 1, 2, ... neighbours."""
    figure, axes = _figure(4.6, 2.3)
    shades = [LOW if i == 0 else HIGH for i in range(len(counts))]
    axes.bar(range(len(counts)), counts, color=shades, width=0.82)
    axes.set(xlabel=xlabel, ylabel=ylabel, xticks=range(0, len(counts), max(1, len(counts) // 10)))
    return _svg(figure)


def interval(value: float, low: float, high: float, shuffled: float, alt: str) -> str:
    """A share on a line from 0 to 1: its interval, itself as a dot, and a tick where shuffled labels are."""
    x, start, end, tick = (f"{2 + 156 * share:.1f}" for share in (value, low, high, shuffled))
    return (
        f'<svg class="interval" viewBox="0 0 160 14" role="img" aria-label="{alt}"><path d="M2 7H158" class="axis"/>'
        f'<path d="M{start} 7H{end}" class="span"/><path d="M{tick} 2V12" class="chance"/>'
        f'<circle cx="{x}" cy="7" r="3.4"/></svg>'
    )


def _figure(width: float, height: float) -> tuple[Any, Any]:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        figure = Figure(figsize=(width, height))
        axes = figure.add_subplot()
        figure.subplots_adjust(left=0.13, right=0.98, top=0.96, bottom=0.19)
    return figure, axes


def _saved(figure: Any, kind: str) -> bytes:
    from matplotlib import rc_context

    buffer = io.BytesIO()
    with rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # a box stands for a character that the font lacks
        dates = {"Date": None} if kind == "svg" else {}
        figure.savefig(buffer, format=kind, dpi=200, metadata=dates, transparent=kind == "svg")
    return buffer.getvalue()


def _svg(figure: Any) -> str:
    """As inline SVG: without what a file of its own needs, in the fonts of the page."""
    text = _saved(figure, "svg").decode()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<defs>\s*<style.*?</defs>", "", text, flags=re.S)  # the page has its own
    text = re.sub(r"font: (\d+(\.\d+)?)px [^;\"]*", r"font-size: \1px", text)
    return re.sub(r' (width|height)="[\d.]+pt"', "", text, count=2).strip()
