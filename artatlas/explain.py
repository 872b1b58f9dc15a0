"""Why two works are near: what each source adds to their distance, their palettes, and which channels of the network
fire together in both, and where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from artatlas import vgg, vgg_numpy
from artatlas.sources import Scaler
from artatlas.weights import Weights

N_COLOURS = 6
BRIGHTEST = 0.98  # quantile of a map that is shown as 1: by its largest value alone most maps would be black
KMEANS_ROUNDS = 20  # of Pillow's k-means after its median cut; it settles well before


def shares(a: np.ndarray, b: np.ndarray, scalers: dict[str, Scaler]) -> dict[str, float]:
    """Source -> its share of the squared distance between features a and b (D,): 0 to 1, together 1.

    All 0 where a and b are the same.
    """
    squares, start = {}, 0
    for name, scaler in scalers.items():
        stop = start + len(scaler.offset)
        squares[name] = float(np.square(a[start:stop] - b[start:stop], dtype=np.float64).sum())
        start = stop
    total = sum(squares.values())
    return {name: square / total if total > 0 else 0.0 for name, square in squares.items()}


def palette(picture: Image.Image) -> list[tuple[tuple[int, int, int], float]]:
    """Up to six colours (R, G, B) and the share of the picture that each stands for, largest first.

    Median cut (Heckbert 1982), then k-means: the same every time, unlike k-means from a random start.
    """
    indexed = picture.quantize(N_COLOURS, Image.Quantize.MEDIANCUT, kmeans=KMEANS_ROUNDS)
    values = indexed.getpalette() or []
    n_pixels = picture.width * picture.height
    counts = np.bincount(np.asarray(indexed).ravel(), minlength=N_COLOURS)
    by_size = [int(i) for i in np.argsort(-counts, kind="stable") if counts[i]]
    return [((values[3 * i], values[3 * i + 1], values[3 * i + 2]), counts[i] / n_pixels) for i in by_size]


@dataclass(frozen=True)
class Pair:
    """Two channels of a layer that fire together in both works more than they do in the collection's mean.

    first, second : numbers of the channels, from 0; equal where it is one channel's own energy
    weight : how much it adds to what pulls the works together, an average pair of channels that does so adding 1
    maps : where they do, for each of the two works (H, W) float32, 0 to 1
    """

    first: int
    second: int
    weight: float
    maps: tuple[np.ndarray, np.ndarray]


def agreeing_pairs(
    weights: Weights, head: vgg.Gram, mean: np.ndarray, pixels: Sequence[np.ndarray], n_pairs: int
) -> list[Pair]:
    """The pairs of channels that bring two pictures' Gram vectors closest to each other, most first.

    With g the vector of a picture and m the collection's mean, the vectors' inner product is the sum over all pairs of
    channels of (g_a - m)(g_b - m): what makes two styles alike is what both have beyond the mean. Only pairs that are
    above the mean in both count, because what is missing has no place in a picture; and a channel is taken once.

    mean : (P,) of the Gram vectors of `head`'s layer, from the PCA of style.h5
    pixels : of the two pictures, (S, S, 3) uint8 each
    """
    activations = vgg_numpy.activations(weights, head.layer, np.stack(pixels))  # (2, H, W, C)
    a, b = vgg_numpy.gram_vectors(activations, head) - mean  # (P,) each
    together = np.where((a > 0) & (b > 0), a * b, 0)
    average = float(np.mean(a * b, where=a * b > 0)) if (a * b > 0).any() else 1.0
    rows, columns = np.triu_indices(activations.shape[-1])
    found: list[Pair] = []
    taken: set[int] = set()
    for i in np.argsort(-together, kind="stable"):
        first, second = int(rows[i]), int(columns[i])
        if len(found) == n_pairs or together[i] <= 0:
            break
        if first in taken or second in taken:
            continue
        taken |= {first, second}
        both = np.sqrt(activations[..., first] * activations[..., second])  # (2, H, W), >= 0 after the ReLU
        strongest = np.quantile(both, BRIGHTEST, axis=(1, 2), keepdims=True).astype(np.float32)
        maps = np.divide(both, strongest, out=np.zeros_like(both), where=strongest > 0).clip(0, 1)
        found.append(Pair(first, second, float(together[i]) / average, (maps[0], maps[1])))
    return found


def lit(picture: Image.Image, where: np.ndarray) -> Image.Image:
    """The picture in its colours where `where` (H, W) is 1, dark and grey where it is 0."""
    mask = Image.fromarray((where * 255).astype(np.uint8)).resize(picture.size, Image.Resampling.BICUBIC)
    dark = picture.convert("L").point(lambda level: level * 0.35).convert("RGB")
    return Image.composite(picture, dark, mask)
