"""Is one picture another scan, a crop or a detail of another? Where is it, and how sure is that?

Embeddings say which works might be: they do not say where. Here grey pictures are laid over each other. First small, at
every place and scale at once, by normalised cross-correlation (Lewis 1995, "Fast normalized cross-correlation"); what
looks promising then larger, and fitted by an affine map that climbs to the best correlation (Evangelidis & Psarakis
2008, "Parametric image alignment using enhanced correlation coefficient maximization"), since scans differ in aspect
and skew. All on high-passed pictures: light above and dark below make any two landscapes alike.

Neither tone, colour nor contrast matters. Mirrored and turned pictures are not found.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

SIDE = 64  # px, longer side of the picture that is searched, first
STEP = 1.06  # from one scale to the next: half a step moves the edge of a picture by 1 px
SCALES = STEP ** -np.arange(20.0)  # of the longer sides, part to whole: 1 to .33; what is smaller has too few pixels
LOCATE_SIDE, ALIGN_SIDE = 160, 256  # px, the same, second and third
BLUR, LOCATE_BLUR, ALIGN_BLUR = 2.0, 2.0, 4.0  # px, what is coarser is taken away
MARGIN = 6  # px of a part's edge that are not compared: high-passing a frame spills over, and scans are cut anyhow
ROUNDS = 15  # of the climb; it settles in 5 to 10
SETTLED = 0.02  # px: a round that moves less than this is the last
STRIDE = 2  # the climb looks at every second pixel each way; without what is coarser than 4 px little is lost
LARGEST_MOVE = 8.0  # px a round
LARGEST_CHANGE = 1.25  # of a side by the climb: beyond it has left the place that was found


@dataclass(frozen=True)
class Outline:
    """A picture made ready for the first search.

    whole : (H, W) float32, longer side SIDE, high-passed
    parts : the same, smaller by each of SCALES
    """

    whole: np.ndarray
    parts: list[np.ndarray]


@dataclass(frozen=True)
class Match:
    """A part found in a whole: box (top, left, height, width) as shares of the whole's height and width."""

    score: float  # correlation, -1 to 1
    box: tuple[float, float, float, float]


def outline(picture: Image.Image) -> Outline:
    grey = picture.convert("L")
    grey.thumbnail((2 * SIDE, 2 * SIDE), Image.Resampling.BICUBIC)  # twenty reductions of it are quicker
    return Outline(_grey(grey, SIDE, BLUR), [_grey(grey, SIDE * scale, BLUR) for scale in SCALES])


def search(part: Outline, whole: Outline) -> tuple[float, float]:
    """(correlation, scale) of the best place for `part` in `whole`: quick, and too hopeful where a part is small."""
    score, number, _, _ = _correlate(whole.whole, part.parts)
    return score, float(SCALES[number])


def match(part: Image.Image, whole: Image.Image, scale: float) -> Match:
    """Where in `whole` the picture `part` is, if it is there at about this scale. Certain, and some 50 ms."""
    part, whole = part.convert("L"), whole.convert("L")
    scales = [scale * STEP**step for step in np.linspace(-0.9, 0.9, 5) if scale * STEP**step <= 1.0001]
    target = _grey(whole, LOCATE_SIDE, LOCATE_BLUR)
    parts = [_grey(part, LOCATE_SIDE * each, LOCATE_BLUR) for each in scales]
    _, number, top, left = _correlate(target, parts)
    enlarge = ALIGN_SIDE / LOCATE_SIDE
    return _climb(
        _grey(part, ALIGN_SIDE * scales[number], ALIGN_BLUR), _grey(whole, ALIGN_SIDE, ALIGN_BLUR),
        top * enlarge, left * enlarge,
    )  # fmt: skip


def _grey(picture: Image.Image, longer_px: float, blur: float) -> np.ndarray:
    """(H, W) float32 with the longer side at `longer_px`, high-passed, borders continued."""
    from scipy.ndimage import gaussian_filter

    shrink = longer_px / max(picture.size)
    size = max(8, round(picture.width * shrink)), max(8, round(picture.height * shrink))
    pixels = np.asarray(picture.resize(size, Image.Resampling.BICUBIC), np.float32)
    return pixels - gaussian_filter(pixels, blur, mode="nearest")


def _correlate(whole: np.ndarray, parts: list[np.ndarray]) -> tuple[float, int, int, int]:
    """The best normalised correlation over all places of all parts (h, w) in whole (H, W): (score, number of the part,
    top, left). A part that does not fit in is left out; where none does, the score is -1."""
    from scipy import fft

    height, width = whole.shape
    shape = (fft.next_fast_len(height, real=True), fft.next_fast_len(width, real=True))
    stack = np.zeros((len(parts), *shape), np.float32)
    fitting = [i for i, part in enumerate(parts) if part.shape[0] <= height and part.shape[1] <= width]
    lengths = {}
    for i in fitting:
        centred = parts[i] - parts[i].mean()
        stack[i, : centred.shape[0], : centred.shape[1]] = centred
        lengths[i] = float(np.linalg.norm(centred))
    products = fft.irfft2(fft.rfft2(whole, shape) * fft.rfft2(stack).conj(), shape)  # wraps only where no part fits
    sums, squares = _integral(whole), _integral(np.square(whole, dtype=np.float64))
    best = (-1.0, 0, 0, 0)
    for i in fitting:
        h, w = parts[i].shape
        total = _boxes(sums, h, w)
        spread = np.sqrt(np.maximum(_boxes(squares, h, w) - total * total / (h * w), 1e-3 * h * w))  # flat: no division
        scores = products[i, : height - h + 1, : width - w + 1] / (spread * max(lengths[i], 1e-3))
        top, left = np.unravel_index(int(scores.argmax()), scores.shape)
        if scores[top, left] > best[0]:
            best = (float(scores[top, left]), i, int(top), int(left))
    return best


def _integral(x: np.ndarray) -> np.ndarray:
    """Sums of everything above and left: (H, W) -> (H + 1, W + 1) float64."""
    sums = np.zeros((x.shape[0] + 1, x.shape[1] + 1))
    sums[1:, 1:] = x.cumsum(axis=0, dtype=np.float64).cumsum(axis=1)
    return sums


def _boxes(sums: np.ndarray, h: int, w: int) -> np.ndarray:
    """Sums over every box of h x w, from integral sums."""
    return sums[h:, w:] - sums[:-h, w:] - sums[h:, :-w] + sums[:-h, :-w]


def _climb(part: np.ndarray, whole: np.ndarray, top: float, left: float) -> Match:
    """Gauss-Newton on the correlation of `part` (h, w) with `whole` under an affine map, begun at (top, left)."""
    from scipy.ndimage import map_coordinates

    height, width = part.shape
    # Coordinates -.5 to .5 on the part, so that all six numbers of the map are in px of the whole.
    down, across = np.meshgrid(
        (np.arange(height) + 0.5) / height - 0.5, (np.arange(width) + 0.5) / width - 0.5, indexing="ij"
    )
    inner = np.s_[MARGIN:-MARGIN, MARGIN:-MARGIN] if min(height, width) > 4 * MARGIN else np.s_[:, :]
    few = np.s_[::STRIDE, ::STRIDE]
    basis, wanted = _basis(down[inner][few], across[inner][few]), _unit(part[inner][few].ravel())
    slopes = np.gradient(whole)
    affine = np.array([[height, 0.0, top + (height - 1) / 2], [0.0, width, left + (width - 1) / 2]])
    best, score_of_best = affine, -1.0
    for _ in range(ROUNDS):
        places = affine @ basis  # (2, P), row and column
        seen = map_coordinates(whole, places, order=1, mode="nearest")
        length = max(float(np.linalg.norm(seen - seen.mean())), 1e-6)
        seen = _unit(seen)
        score = float(seen @ wanted)
        change = affine[[0, 1], [0, 1]] / (height, width)
        if score < score_of_best - 0.02 or change.max() > LARGEST_CHANGE or change.min() < 1 / LARGEST_CHANGE:
            break
        if score > score_of_best:
            best, score_of_best = affine.copy(), score
        slope = [map_coordinates(each, places, order=1, mode="nearest") / length for each in slopes]
        jacobian = np.concatenate([basis * each for each in slope])  # (6, P): how the picture moves with each number
        jacobian -= jacobian.mean(axis=1, keepdims=True)
        jacobian -= np.outer(jacobian @ seen, seen)  # of the direction only, the length is divided out
        curvature = jacobian @ jacobian.T
        curvature += 1e-6 * np.trace(curvature) / 6 * np.eye(6) + 1e-12 * np.eye(6)
        step = np.linalg.solve(curvature, jacobian @ (wanted - score * seen))
        affine += step.reshape(2, 3).clip(-LARGEST_MOVE, LARGEST_MOVE)
        if np.abs(step).max() < SETTLED:
            break
    seen = map_coordinates(whole, best @ _basis(down[inner], across[inner]), order=1, mode="nearest")
    return Match(float(_unit(seen) @ _unit(part[inner].ravel())), _box(best, whole.shape))


def _basis(down: np.ndarray, across: np.ndarray) -> np.ndarray:
    """(3, P): what an affine map (2, 3) is multiplied by to give places."""
    return np.stack([down.ravel(), across.ravel(), np.ones(down.size)])


def _unit(x: np.ndarray) -> np.ndarray:
    centred = x - x.mean()
    return centred / max(float(np.linalg.norm(centred)), 1e-6)


def _box(affine: np.ndarray, shape: tuple[int, ...]) -> tuple[float, float, float, float]:
    """The upright box around what the affine map covers, as shares of a whole of this shape, cut at its edges."""
    half = np.abs(affine[:, :2]).sum(axis=1) / 2
    low = np.clip((affine[:, 2] + 0.5 - half) / shape, 0, 1)
    high = np.clip((affine[:, 2] + 0.5 + half) / shape, 0, 1)
    return float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1])
