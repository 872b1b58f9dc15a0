"""Colour histograms: the share of a picture's pixels in each cell of a colour cube."""

from __future__ import annotations

import numpy as np

# The box that holds every sRGB colour in CIELAB (D65); the full -128..127 of a and b would leave most cells empty.
LAB_RANGE = ((0.0, 100.0), (-87.0, 99.0), (-108.0, 95.0))
# IEC 61966-2-1: linear sRGB to CIE XYZ, D65 white at Y = 1.
_RGB_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
_D65 = _RGB_TO_XYZ.sum(axis=1)


def histograms(pixels: np.ndarray, space: str, bins: int, transform: str) -> np.ndarray:
    """(B, H, W, 3) uint8 RGB -> (B, bins^3) float32.

    Rows are shares that sum to 1, whatever the picture's size; with transform "sqrt" their square roots, whose
    Euclidean distance is sqrt(2) times the Hellinger distance of the histograms.
    """
    n_works = len(pixels)
    cells = _cells(pixels, space, bins).reshape(n_works, -1)
    cells += (np.arange(n_works) * bins**3)[:, None]  # one count over the whole batch
    counts = np.bincount(cells.ravel(), minlength=n_works * bins**3).reshape(n_works, bins**3)
    shares = counts / counts.sum(axis=1, keepdims=True)
    return (np.sqrt(shares) if transform == "sqrt" else shares).astype(np.float32)


def _cells(pixels: np.ndarray, space: str, bins: int) -> np.ndarray:
    """Cell number of every pixel, (B, H, W) int64; the first channel counts slowest."""
    if space == "rgb":
        axes = pixels.astype(np.int64) * bins // 256  # 0..255 in equal cells; 255 falls in the last
    else:
        low, high = np.array(LAB_RANGE, np.float32).T
        axes = ((lab(pixels) - low) / (high - low) * bins).astype(np.int64).clip(0, bins - 1)
    return (axes[..., 0] * bins + axes[..., 1]) * bins + axes[..., 2]


def lab(pixels: np.ndarray) -> np.ndarray:
    """(..., 3) uint8 sRGB -> (..., 3) float32 CIELAB under D65 (CIE 15:2004): L 0..100, a and b about -108..99."""
    levels = np.arange(256) / 255
    linear = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4).astype(np.float32)
    relative = linear[pixels] @ (_RGB_TO_XYZ / _D65[:, None]).T.astype(np.float32)  # X/Xn, Y/Yn, Z/Zn
    f = np.where(relative > (6 / 29) ** 3, np.cbrt(relative), relative / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack(
        [116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], axis=-1
    ).astype(np.float32)
