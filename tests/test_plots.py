"""Whatever a metadata column holds is drawn: numbers, categories, any text at all, or nothing."""

import warnings

import numpy as np
import pytest
from PIL import Image

from artatlas import plots

HOSTILE = ["$x_1$", "$\\frac{$", "_hidden", "<script>alert(1)</script>", "\U0001f600\u200d\U0001f467", "שלום עולם",
           "العربية", "北斎", "a" * 300, "line\nbreak\ttab", "\u202eevil",
           "%s %d {} \\alpha", "\x7f", ""]  # fmt: skip


def figures(monkeypatch):
    """Collects the figures that plot_points saves."""
    from matplotlib.figure import Figure

    found, save = [], Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *a, **k: (found.append(self), save(self, *a, **k))[1])
    return found


def plot(tmp_path, column, values):
    coordinates = np.random.default_rng(0).normal(size=(len(values), 2)).astype(np.float32)
    file = tmp_path / "points.png"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plots.plot_points(file, "content", coordinates, column, values)
    return Image.open(file)


def test_labels_are_shown_literally(tmp_path, monkeypatch):
    """A01: whatever a collection's text holds, it is text; what the font lacks is a box."""
    found = figures(monkeypatch)
    assert min(plot(tmp_path, "$year_of$", HOSTILE * 3).size) > 300
    legend = found[0].axes[0].get_legend()
    texts = [text.get_text() for text in legend.get_texts()]
    assert {"$x_1$ (3)", "_hidden (3)", "<script>alert(1)</script> (3)", "line break tab (3)", "evil (3)",
            "a" * 39 + "… (3)", "not known (3)"} <= set(texts)  # fmt: skip
    assert len(texts) == len(HOSTILE) and legend.get_title().get_text() == "$year_of$"


def test_frequent_categories_are_named_and_told_apart():
    values = [f"artist {i}" for i in range(30) for _ in range(30 - i)] + [" "] * 4
    groups = plots.as_categories(values)
    labels = [label for label, *_ in groups]
    assert labels[:2] == ["artist 0 (30)", "artist 1 (29)"] and labels[20:] == ["10 others (55)", "not known (4)"]
    assert len({(color, marker) for *_, color, marker in groups}) == 22
    np.testing.assert_array_equal(np.sum([mask for _, mask, *_ in groups], axis=0), 1)  # each work in one group


def test_numbers_get_a_colour_bar(tmp_path, monkeypatch):
    found = figures(monkeypatch)
    years = [str(1800 + i) for i in range(60)] + ["", "c. 1900", "15"]  # the last is mistyped
    plot(tmp_path, "$year$", years)
    axes, bar = found[0].axes
    assert axes.get_legend() is None and bar.get_ylabel() == "$year$\n(grey: not known, 2)"
    assert len(bar.get_yticks()) == 9 and bar.get_yticks()[1] > 1800


@pytest.mark.parametrize(
    "values, known",
    [(["1", "2.5", "-3e2"], 3), (["1900"] * 9 + ["unknown"], 9), (["1900"] * 8 + ["unknown"] * 2, None),
     (["nan", "inf", ""], None), (["", ""], None), (["Monet", "1"], None)],
)  # fmt: skip
def test_what_counts_as_numbers(values, known):
    numbers = plots.as_numbers(values)
    assert (None if numbers is None else np.isfinite(numbers).sum()) == known


@pytest.mark.parametrize("values", [["1900"], ["Monet"], [""], ["1900", "1900"], ["1", "2"]])
def test_plots_of_a_work_or_two(tmp_path, values):
    """A57: tiny collections."""
    assert min(plot(tmp_path, "year", values).size) > 100
