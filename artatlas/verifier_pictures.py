"""Pictures of how a verifier has learned and where it errs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from artatlas import sheets, store
from artatlas.outcomes import INTERVAL, Outcomes
from artatlas.queries import Catalogue

BLUE, ORANGE, RED = "#0072B2", "#E69F00", "#D55E00"  # told apart by the colour blind too: Okabe & Ito 2008


def draw_curves(path: Path, history: np.ndarray, kept: int, method: str) -> None:
    """Training loss and validation AUC after each epoch (E, 2); the epoch that was kept is marked."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    epochs = np.arange(len(history))
    axes.plot(epochs, history[:, 1], color=BLUE, marker="o", markersize=3)
    axes.axvline(kept, color="0.6", linestyle=":")
    axes.annotate(
        f" kept: epoch {kept}, {history[kept, 1]:.3f} ", (kept, 0.04), xycoords=("data", "axes fraction"), color="0.3",
        ha="left" if kept < len(history) / 2 else "right",
    )  # fmt: skip
    axes.set(xlabel=f"epoch of {method}; 0 is before training", xlim=(-0.5, max(1, len(history) - 0.5)))
    axes.set_ylabel("ROC AUC, validation labels", color=BLUE)
    axes.grid(alpha=0.3)
    losses = axes.twinx()
    losses.plot(epochs, history[:, 0], color=RED, marker="s", markersize=3)
    losses.set_ylabel("training loss", color=RED)
    with store.replacing(path) as temporary:
        figure.savefig(temporary, dpi=150)


def draw_reliability(path: Path, found: Outcomes) -> None:
    """Of test pairs with a probability about p, the share that is the same; on the diagonal where p can be believed.

    Pairs count as if the same were as many among them as the probabilities are for. Whiskers draw whole labels.
    """
    from matplotlib.figure import Figure

    said, true, mass, of_same = found.reliability()
    error = found.figures()["calibration_error"]
    filled = mass[0] > 0
    figure = Figure(figsize=(6, 7.2), layout="constrained")
    axes, below = figure.subplots(2, 1, height_ratios=(4, 1), sharex=True)
    axes.plot([0, 1], [0, 1], color="0.6", linestyle=":")
    low, high = found.band
    axes.axvspan(low, high, color="0.93", zorder=0)
    axes.text((low + high) / 2, 0.97, "no answer", ha="center", va="top", color="0.4")
    if np.isfinite(error.low):
        ends = np.nanquantile(true[1:, filled], INTERVAL, axis=0)
        axes.vlines(said[0, filled], *ends, color=BLUE, alpha=0.5)
    axes.plot(said[0, filled], true[0, filled], color=BLUE, marker="o")
    axes.set(ylabel="share that is the same", ylim=(0, 1), title=f"Test pairs: expected calibration error {error}")
    middle = (np.arange(len(filled)) + 0.5) / len(filled)
    for share, color, label in ((mass[0] - of_same[0], ORANGE, "different"), (of_same[0], BLUE, "same")):
        below.bar(middle, share, 1 / len(filled), color=color, alpha=0.6, label=label)
    below.set(xlabel="probability of being the same", xlim=(0, 1), ylabel="share")
    below.legend(frameon=False)
    with store.replacing(path) as temporary:
        figure.savefig(temporary, dpi=150)


def draw_hardest(found: dict[str, list[tuple[int, int, float]]], catalogue: Catalogue, label: str) -> Image.Image:
    """What `judging.hardest` found, side by side."""
    titles = {"different": f"Not of one {label}, taken for it", "same": f"Of one {label}, taken for two"}
    rows = []
    for kind, title in titles.items():
        shown = [
            (
                [sheets.Tile(catalogue.picture(row), catalogue.caption(row)) for row in (a, b)],
                f"scores {probability:.3f}",
            )
            for a, b, probability in found[kind]
        ]
        rows.append((title, shown))
    return sheets.pairs_sheet(rows)
