"""Plots of maps as coloured points, by a metadata column, which may hold anything; and of a network that learns one.

Source  colours for the colour-blind: Okabe & Ito 2008; viridis: Smith & van der Walt 2015
"""

from __future__ import annotations

import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from artatlas import cli, fonts, store

NAMED = 20  # categories with a colour of their own; more cannot be told apart
# Okabe & Ito's without black and yellow, which are too dark and too pale for points; each round has its own marker.
COLORS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#7A4B1F")
MARKERS = ("o", "^", "s")
GREY = "#C4C4C4"
LABEL_LENGTH = 40  # characters; a label is the collection's own text and may be anything


def as_label(text: str) -> str:
    """Any text as one short printable line."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= LABEL_LENGTH else line[: LABEL_LENGTH - 1] + "…"


def as_numbers(values: list[str]) -> np.ndarray | None:
    """(N,) float64 with NaN for the unknown, where nine in ten values that are not empty are numbers; else None."""
    numbers = np.full(len(values), np.nan)
    for i, value in enumerate(values):
        try:
            numbers[i] = float(value)
        except ValueError:
            continue
    numbers[~np.isfinite(numbers)] = np.nan
    n_numbers, n_filled = np.isfinite(numbers).sum(), sum(bool(value.strip()) for value in values)
    return numbers if n_numbers and n_numbers >= 0.9 * n_filled else None


def as_categories(values: list[str]) -> list[tuple[str, np.ndarray, str, str]]:
    """(label, mask (N,) bool, colour, marker) per category, most frequent first, the rest and the unknown grey."""
    counts = Counter(value for value in values if value.strip())
    ranked = sorted(counts, key=lambda value: (-counts[value], value))
    column = np.array(values, dtype=object)
    named = []
    for i, value in enumerate(ranked[:NAMED]):
        color, marker = COLORS[i % len(COLORS)], MARKERS[i // len(COLORS)]
        named.append((f"{as_label(value)} ({counts[value]:,})", column == value, color, marker))
    others = np.isin(column, ranked[NAMED:])
    unknown = np.array([not value.strip() for value in values])
    if others.any():
        named.append((f"{len(ranked) - NAMED:,} others ({others.sum():,})", others, GREY, "o"))
    if unknown.any():
        named.append((f"not known ({unknown.sum():,})", unknown, GREY, "X"))
    return named


def plot_points(file: Path, name: str, coordinates: np.ndarray, column: str | None, values: list[str]) -> None:
    """A scatter plot of one map, (N, 2), coloured by the values (N) of a metadata column: numbers or categories."""
    from matplotlib import style
    from matplotlib.figure import Figure

    span = np.ptp(coordinates, axis=0)
    sides = 9 * np.clip(span / max(span.max(), 1e-30), 0.3, 1)  # inches
    with style.context("default"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # a box stands for a character that the font lacks
        figure = Figure(figsize=tuple(sides), dpi=150)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_aspect("equal", adjustable="datalim")
        axes.set_axis_off()
        title = f"{name}: {cli.count(len(coordinates), 'work')}"
        axes.set_title(title, loc="left", fontsize=15, parse_math=False)
        if column is None:
            axes.scatter(
                coordinates[:, 0], coordinates[:, 1], color=COLORS[0], s=np.clip(60_000 / len(coordinates), 4, 60)
            )
        else:
            _draw_points(axes, coordinates, column, values)
        figure.savefig(file, bbox_inches="tight", pad_inches=0.3)


def _draw_points(axes: Any, coordinates: np.ndarray, column: str, values: list[str]) -> None:
    x, y = coordinates.astype(np.float64).T
    look = {"s": np.clip(60_000 / len(x), 4, 60), "linewidths": 0.3, "edgecolors": "white"}
    numbers = as_numbers(values)
    if numbers is not None:
        _draw_numbers(axes, x, y, column, numbers, look)
        return
    groups = as_categories(values)
    handles = [
        axes.scatter(x[of], y[of], color=color, marker=marker, zorder=1 + (color != GREY), **look)
        for _, of, color, marker in groups
    ]
    names = ["-"] * len(groups)
    legend = axes.legend(handles, names, title="-", loc="upper left", bbox_to_anchor=(1.02, 1), frameon=False)
    # Set afterwards, for a legend leaves out labels that begin with an underscore and reads $ as mathematics.
    for text, (label, *_) in zip(legend.get_texts(), groups, strict=True):
        text.set(text=label, fontfamily=fonts.families(label), parse_math=False)
    legend.get_title().set(text=as_label(column), fontfamily=fonts.families(column), parse_math=False)


def _draw_numbers(axes: Any, x: np.ndarray, y: np.ndarray, column: str, numbers: np.ndarray, look: dict) -> None:
    """Colours by eighths of the works: years crowd at one end, and a mistyped one must not take all the colours."""
    from matplotlib.colors import BoundaryNorm

    known = np.isfinite(numbers)
    bounds = np.unique(np.quantile(numbers[known], np.linspace(0, 1, 9), method="nearest"))
    if len(bounds) == 1:
        bounds = np.append(bounds, bounds + 1)  # all works share one number
    axes.scatter(x[~known], y[~known], color=GREY, zorder=1, **look)
    points = axes.scatter(
        x[known], y[known], c=numbers[known], cmap="viridis", norm=BoundaryNorm(bounds, 256), **look
    )
    cax = axes.figure.add_axes((1.04, 0.25, 0.025, 0.5))
    bar = axes.figure.colorbar(points, cax=cax, ticks=bounds, format="%.6g")
    bar.outline.set_visible(False)
    unknown = f"\n(grey: not known, {(~known).sum():,})" if not known.all() else ""
    bar.set_label(as_label(column) + unknown, fontfamily=fonts.families(column), parse_math=False)


def draw_losses(path: Path, losses: np.ndarray, n_warmup: int, objective: str) -> None:
    """The loss on training and on test works after each epoch."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    epochs = np.arange(1, len(losses) + 1)
    axes.plot(epochs, losses[:, 0], color="#4477aa", label="training works")
    axes.plot(epochs, losses[:, 1], color="#cc3311", label="test works, never trained on")
    if n_warmup:
        axes.axvline(n_warmup + 0.5, color="0.6", linestyle=":")
        for text, side in (("regression ", "right"), (" kl", "left")):
            where = axes.get_xaxis_transform()  # x in epochs, y as a share of the height
            axes.text(n_warmup + 0.5, 0.97, text, ha=side, va="top", color="0.4", transform=where)
    axes.set(xlabel="epoch", xlim=(0, len(losses) + 1))
    if objective == "kl":
        axes.set(ylabel="KL(P || Q)", ylim=(0, None))
    else:
        axes.set(ylabel="mean squared error, coordinates 0 to 1", yscale="log" if (losses > 0).all() else "linear")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    with store.replacing(path) as temporary:
        figure.savefig(temporary, dpi=150)
    plt.close(figure)


def draw_maps(path: Path, coordinates: np.ndarray, placed: np.ndarray, is_test: np.ndarray, name: str) -> None:
    """The finished map and the network's side by side. A work has one colour in both, that of its place on the first:
    where the colours stay together, neighbours have."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    width, height = np.ptp(np.vstack([coordinates, placed]), axis=0)
    inches = 13, 6.5 * np.clip(height / max(width, 1e-9), 0.5, 1.5) + 0.8  # panels of the maps' shape, and the legend
    figure, panels = plt.subplots(1, 2, figsize=inches, layout="constrained", sharex=True, sharey=True)
    colors = place_colors(coordinates)
    size = float(np.clip(6000 / len(coordinates), 1, 28))  # points shrink as they get many
    for axes, points, title in zip(panels, (coordinates, placed), (f"t-SNE, {name}", "the network"), strict=True):
        for rows, label, style in (
            (~is_test, "training works", {"s": size, "linewidths": 0, "alpha": 0.75}),
            (is_test, "test works, never trained on", {"s": 2 * size, "linewidths": 0.7, "edgecolors": "black"}),
        ):
            axes.scatter(*points[rows].T, c=colors[rows], label=label, **style)
        axes.set(title=title, aspect="equal", xticks=[], yticks=[])
    figure.legend(*panels[1].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    with store.replacing(path) as temporary:
        figure.savefig(temporary, dpi=150)
    plt.close(figure)


def place_colors(coordinates: np.ndarray) -> np.ndarray:
    """(N, 2) -> (N, 3) RGB 0..1 that changes smoothly over the map: by rank, so that every colour is used alike."""
    ranks = coordinates.argsort(axis=0, kind="stable").argsort(axis=0) / max(1, len(coordinates) - 1)
    x, y = ranks[:, :1], ranks[:, 1:]
    corners = np.array([[0.13, 0.35, 0.75], [0.90, 0.25, 0.20], [0.10, 0.65, 0.45], [0.98, 0.80, 0.15]])
    return (1 - y) * ((1 - x) * corners[0] + x * corners[1]) + y * ((1 - x) * corners[2] + x * corners[3])
