"""Styles made with line, block and lead: engraving, colour print, linocut, stained glass.

Drawn at twice the size and reduced, because these live from clean edges.
"""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy import ndimage
from scipy.spatial import cKDTree

from painter.brushes import cloud, finish, saturate, streaks
from painter.canvas import Canvas, Scene, rasterise

WEIGHTS = np.array([0.30, 0.59, 0.11], np.float32)  # how bright R, G and B look
CREAM = np.array([0.955, 0.925, 0.85], np.float32)


def _tone(canvas: Canvas, middle: float) -> np.ndarray:
    """Brightness 0..1 with its median near `middle`: a night scene leaves as much to draw as noon."""
    tone = canvas.lit() @ WEIGHTS
    low, high = np.percentile(tone[::4, ::4], [3, 97])
    tone = np.clip((tone - low) / max(high - low, 0.05), 0, 1)
    median = float(np.clip(np.median(tone[::4, ::4]), 0.08, 0.92))
    tone = tone ** np.clip(np.log(middle) / np.log(median), 0.4, 1.8)
    around = ndimage.gaussian_filter(tone[::8, ::8], 7)  # what a shape must stand out from
    around = np.asarray(Image.fromarray(around).resize(tone.shape[::-1], Image.Resampling.BILINEAR))
    return np.clip(tone - 0.55 * (around - middle), 0, 1)


def _marks(canvas: Canvas, tone: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """bool arrays, marks (an eye, a whisker) to leave dark and to leave bright: too small to hatch."""
    contrast = tone - ndimage.uniform_filter(tone, 25)
    marks = canvas.labels != canvas.contours
    return marks & (contrast < -0.05), marks & (contrast > 0.06)


def _frame(size: tuple[int, int], margin: float, rng: np.random.Generator) -> np.ndarray:
    """Distance inside a slightly uneven plate edge, pixels; negative on the paper's margin."""
    rows, columns = np.mgrid[: size[0], : size[1]].astype(np.float32)
    inside = np.minimum(np.minimum(rows, size[0] - 1 - rows), np.minimum(columns, size[1] - 1 - columns))
    return inside - margin + 1.2 * cloud(size, 30, rng)


# Engraving ------------------------------------------------------------------------------------------------


def engraving(scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """Lines only: they swell with darkness, bend over the form, and cross where one is not enough."""
    canvas = rasterise(scene, 2)
    tone = _tone(canvas, 0.62)
    rows, columns = np.mgrid[: canvas.size[0], : canvas.size[1]].astype(np.float32)
    slants = rng.uniform(-0.5, 0.5, canvas.contours.max() + 1).astype(np.float32)
    slant = slants[canvas.contours] + 0.35
    wobble = 1.4 * cloud(canvas.size, 40, rng)
    ink = np.zeros(canvas.size, np.float32)
    for turn, start, pitch in ((0.0, 0.94, 9.0), (1.05, 0.52, 9.4), (2.2, 0.25, 9.0)):
        across = rows * np.cos(slant + turn) - columns * np.sin(slant + turn) - 0.55 * canvas.relief + wobble
        wave = np.abs(np.mod(across / pitch, 1) - 0.5) * 2  # 0 in the middle of a line, 1 between lines
        thick = np.clip((start - tone) * 1.0, 0, 0.62)
        ink = np.maximum(ink, np.clip((thick - wave) * pitch / 2 + 0.5, 0, 1) * (thick > 0.02))
    pen = 1.3 + 0.7 * cloud(canvas.size, 50, rng)
    ink = np.maximum(ink, np.clip(pen - canvas.edge_distance() + 0.8, 0, 1))
    dark, bright = _marks(canvas, tone)
    ink = np.where(bright, 0.25 * ink, np.where(dark, np.maximum(ink, 0.85), ink))
    inks = np.array(
        [[0.16, 0.10, 0.07], [0.09, 0.10, 0.14], [0.22, 0.10, 0.08], [0.10, 0.13, 0.10]], np.float32
    )
    frame = _frame(canvas.size, 22, rng)
    ink = np.where(frame > 0, ink, 0)
    ink = np.maximum(ink, np.clip(1.6 - np.abs(frame), 0, 1))
    fibre = 0.015 * cloud(canvas.size, 4, rng) + 0.02 * cloud(canvas.size, 160, rng)
    return finish(
        (CREAM + fibre[..., None]) * (1 - ink[..., None]) + inks[rng.integers(4)] * ink[..., None], scene
    )


# Colour print ---------------------------------------------------------------------------------------------


def colour_print(scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """Flat colours in two steps of light, soft gradations only where a shape fades, and one dark key line."""
    canvas = rasterise(scene, 2)
    step = np.where(canvas.shade < 0.72, 0.74, np.where(canvas.shade < 1.02, 0.96, 1.0)).astype(np.float32)
    flat = canvas.colour * step[..., None]
    flat = 0.90 * saturate(flat, 0.95) * CREAM + 0.06
    grain = ndimage.uniform_filter1d(
        rng.standard_normal(canvas.size, np.float32), 61, axis=int(rng.integers(2))
    )
    grain /= grain.std()
    flat *= 1 + 0.022 * grain[..., None] + 0.03 * cloud(canvas.size, 70, rng)[..., None]
    flat = np.roll(flat, rng.integers(-2, 3, 2), axis=(0, 1))  # blocks never register perfectly
    width = 2.1 + 1.0 * cloud(canvas.size, 60, rng) + 0.5 * cloud(canvas.size, 14, rng)
    line = np.clip(width - canvas.edge_distance() + 0.9, 0, 1)[..., None]
    picture = flat * (1 - line) + np.array([0.09, 0.10, 0.16], np.float32) * line
    frame = _frame(canvas.size, 16, rng)
    border = np.clip(2.4 - np.abs(frame), 0, 1)[..., None]
    picture = np.where(frame[..., None] > 0, picture, CREAM) * (1 - border) + 0.12 * border
    return finish(picture, scene)


# Linocut --------------------------------------------------------------------------------------------------


def linocut(scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """A dark block with the lights gouged out of it, over one flat second colour."""
    canvas = rasterise(scene, 2)
    tone = _tone(canvas, 0.56)
    rows, columns = np.mgrid[: canvas.size[0], : canvas.size[1]].astype(np.float32)
    slants = rng.choice(
        [-0.6, -0.2, 0.25, 0.7], canvas.contours.max() + 1
    ).astype(np.float32)[canvas.contours]
    across = rows * np.cos(slants) - columns * np.sin(slants) - 0.5 * canvas.relief + 3 * cloud(
        canvas.size, 50, rng
    )
    pitch = 13.0
    wave = np.abs(np.mod(across / pitch, 1) - 0.5) * 2
    lane = np.floor(across / pitch).astype(int) % 97
    along = columns * np.cos(slants) + rows * np.sin(slants) + rng.uniform(0, 60, 97).astype(np.float32)[lane]
    stroke = np.sin(np.pi * np.mod(along / 62, 1)) ** 0.6  # a gouge enters thin, cuts wide and leaves thin
    cut = np.clip((tone - 0.24) * 2.0, 0, 1.2) * (0.55 + 0.45 * stroke)
    paper = np.clip((cut - wave) * pitch / 2 + 0.5, 0, 1)
    paper = np.maximum(paper, np.clip((tone - 0.74) * 14, 0, 1))
    key = np.clip(3.0 + 0.8 * cloud(canvas.size, 30, rng) - canvas.edge_distance(), 0, 1)
    paper *= 1 - key
    dark, bright = _marks(canvas, tone)
    paper = np.where(bright, 1, np.where(dark, 0, paper)).astype(np.float32)
    frame = _frame(canvas.size, 20, rng)
    speckle = (
        ndimage.gaussian_filter(rng.standard_normal(canvas.size).astype(np.float32), 1.1) > 0.62
    ) * 0.75
    paper = np.maximum(paper, speckle * (frame < 400))
    second = np.array(
        [[0.86, 0.55, 0.25], [0.45, 0.66, 0.68], [0.80, 0.42, 0.36], [0.62, 0.70, 0.42], [0.88, 0.74, 0.42]],
        np.float32,
    )
    tint = second[rng.integers(5)]
    under = np.where((tone < 0.8)[..., None], tint, CREAM)
    inked = paper[..., None] * under + (1 - paper[..., None]) * (0.10 + 0.05 * tint)
    return finish(np.where(frame[..., None] > 0, inked, CREAM), scene)


# Stained glass --------------------------------------------------------------------------------------------


def glass(scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """Pieces of coloured glass in lead; every contour is a lead line, and large areas have more."""
    canvas = rasterise(scene, 2)
    height, width = canvas.size
    pitch, whole_px = 88, 75_000  # a head, a sail or an apple is one piece of glass
    y, x = np.mgrid[0 : height + pitch : pitch, 0 : width + pitch : pitch]
    seeds = np.stack([y.ravel(), x.ravel()], axis=1) + rng.uniform(-0.42, 0.42, (y.size, 2)) * pitch
    rows, columns = np.mgrid[:height:2, :width:2]
    _, nearest = cKDTree(seeds).query(np.stack([rows.ravel(), columns.ravel()], axis=1))
    pane = nearest.reshape(rows.shape).repeat(2, axis=0).repeat(2, axis=1)[:height, :width]
    pane[np.bincount(canvas.contours.ravel())[canvas.contours] < whole_px] = 0
    _, pieces = np.unique(canvas.contours.astype(np.int64) * len(seeds) + pane, return_inverse=True)
    pieces = pieces.reshape(canvas.size)
    lit = canvas.lit()
    counts = np.bincount(pieces.ravel())
    means = np.stack([np.bincount(pieces.ravel(), lit[..., c].ravel()) / counts for c in range(3)], axis=1)
    means *= rng.uniform(0.78, 1.22, (len(counts), 1)) * rng.uniform(0.95, 1.05, (len(counts), 3))
    painted = 0.75 * means[pieces].astype(np.float32) + 0.25 * lit
    marks = (canvas.labels != canvas.contours)[..., None]  # eyes and stripes are painted on the glass
    colour = saturate(np.where(marks, lit, painted), 1.65)
    lead = np.zeros(canvas.size, bool)
    lead[1:] |= pieces[1:] != pieces[:-1]
    lead[:, 1:] |= pieces[:, 1:] != pieces[:, :-1]
    distance = ndimage.distance_transform_edt(~lead).astype(np.float32)
    half = np.clip(0.075 * np.sqrt(counts), 1.1, 3.5).astype(np.float32)[pieces]  # thin around small ones
    glow = 0.86 + 0.34 * np.clip(distance / 26, 0, 1) + 0.06 * cloud(
        canvas.size, 12, rng
    ) + 0.10 * cloud(canvas.size, 90, rng)
    glow += 0.035 * streaks(np.full(canvas.size, 0.5, np.float32), 4, rng)
    picture = np.clip(colour * glow[..., None] + 0.02, 0, 1)
    came = np.clip(half - distance + 0.8, 0, 1)[..., None]
    shine = 0.10 + 0.20 * np.clip(1 - distance / 2.2, 0, 1)[..., None] * np.array(
        [0.9, 0.95, 1.0], np.float32
    )
    picture = picture * (1 - came) + shine * came
    frame = np.minimum(
        np.minimum(np.arange(height)[:, None], np.arange(height)[::-1, None]),
        np.minimum(np.arange(width)[None], np.arange(width)[None, ::-1]),
    )
    return finish(
        np.where((frame < 9)[..., None], 0.10 + 0.10 * (np.abs(frame - 4) < 2)[..., None], picture), scene
    )
