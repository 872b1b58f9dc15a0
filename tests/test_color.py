"""Histograms count every pixel once, in the right cell, whatever the picture's size."""

import numpy as np
import pytest

from artatlas.color import LAB_RANGE, histograms, lab


def flat(color, size=(4, 4)):
    return np.full((1, *size, 3), color, np.uint8)


@pytest.mark.parametrize("bins", [2, 3, 4, 8, 16])
def test_the_value_255_falls_in_the_last_cell_and_0_in_the_first(bins):
    """One of the older systems cut cells of side 255 / n, so that 255 fell outside."""
    white = histograms(flat((255, 255, 255)), "rgb", bins, "none")[0]
    black = histograms(flat((0, 0, 0)), "rgb", bins, "none")[0]
    assert white.argmax() == bins**3 - 1 and white.max() == 1
    assert black.argmax() == 0 and black.max() == 1


def test_channel_order_is_rgb():
    red = histograms(flat((255, 0, 0)), "rgb", 8, "none")[0]
    assert red.argmax() == 7 * 64
    blue = histograms(flat((0, 0, 255)), "rgb", 8, "none")[0]
    assert blue.argmax() == 7


@pytest.mark.parametrize("space", ["rgb", "lab"])
def test_rows_are_shares_independent_of_size_and_of_the_batch(space):
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (5, 16, 16, 3), dtype=np.uint8)
    rows = histograms(pictures, space, 8, "none")
    np.testing.assert_allclose(rows.sum(axis=1), 1, rtol=1e-6)
    doubled = pictures.repeat(2, axis=1).repeat(3, axis=2)
    np.testing.assert_allclose(histograms(doubled, space, 8, "none"), rows, atol=1e-7)
    np.testing.assert_array_equal(histograms(pictures[3:4], space, 8, "none"), rows[3:4])


def test_counts_agree_with_numpys_histogram():
    pixels = np.random.default_rng(1).integers(0, 256, (1, 20, 20, 3), dtype=np.uint8)
    expected, _ = np.histogramdd(pixels.reshape(-1, 3), bins=8, range=[(0, 256)] * 3)
    np.testing.assert_allclose(histograms(pixels, "rgb", 8, "none")[0], expected.ravel() / 400, rtol=1e-6)


def test_distance_of_root_histograms_is_root_two_hellinger():
    p, q = histograms(np.random.default_rng(2).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8), "rgb", 2, "none")
    a, b = np.sqrt(p), np.sqrt(q)
    hellinger = np.sqrt(1 - (a * b).sum())
    roots = histograms(np.random.default_rng(2).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8), "rgb", 2, "sqrt")
    assert np.linalg.norm(roots[0] - roots[1]) == pytest.approx(np.sqrt(2) * hellinger, rel=1e-5)


@pytest.mark.parametrize(
    "rgb, expected",  # CIE L*a*b* of the sRGB primaries under D65, e.g. Lindbloom's calculator
    [((255, 255, 255), (100, 0, 0)), ((0, 0, 0), (0, 0, 0)), ((255, 0, 0), (53.24, 80.09, 67.20)),
     ((0, 255, 0), (87.73, -86.18, 83.18)), ((0, 0, 255), (32.30, 79.19, -107.86))],
)  # fmt: skip
def test_lab_of_the_primaries(rgb, expected):
    np.testing.assert_allclose(lab(np.array(rgb, np.uint8)), expected, atol=0.05)


def test_lab_range_holds_every_color():
    grid = np.stack(np.meshgrid(*[np.arange(0, 256, 5, dtype=np.uint8)] * 3), axis=-1)
    values = lab(grid).reshape(-1, 3)
    low, high = np.array(LAB_RANGE).T
    assert (values >= low - 1e-3).all() and (values <= high + 1e-3).all()
