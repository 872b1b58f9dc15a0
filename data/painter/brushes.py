"""Styles made with brush and chalk: impasto, points, watercolour, pastel.

A style takes a scene and a random generator and returns a picture, uint8 (H, W, 3). It asks for the canvas at
the scale its marks need and never looks at the scene's shapes.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from painter.canvas import Canvas, Scene, rasterise


def cloud(size: tuple[int, int], grain: float, rng: np.random.Generator) -> np.ndarray:
    """Smooth noise, (H, W) float32 in about -1..1, with blots about `grain` pixels wide."""
    height, width = size
    coarse = rng.uniform(-1, 1, (max(int(height / grain), 1) + 3, max(int(width / grain), 1) + 3))
    return np.asarray(
        Image.fromarray(coarse.astype(np.float32)).resize((width, height), Image.Resampling.BICUBIC)
    )


def streaks(angle: np.ndarray, doublings: int, rng: np.random.Generator) -> np.ndarray:
    """White noise dragged along a direction field: the trace of bristles or chalk; mean 0, deviation 1.

    Each pass adds the picture to itself, twice as far along the field as the pass before, so that a streak of
    2**doublings pixels costs `doublings` passes.
    """
    height, width = angle.shape
    total = rng.standard_normal((height, width), np.float32)
    rows, columns = np.arange(height, dtype=np.float32)[:, None], np.arange(width, dtype=np.float32)[None, :]
    cos, sin = np.cos(angle), np.sin(angle)
    for doubling in range(doublings):
        y = np.clip(rows + (2**doubling * sin), 0, height - 1).astype(np.int32)
        x = np.clip(columns + (2**doubling * cos), 0, width - 1).astype(np.int32)
        total = total + total[y, x]
    return (total - total.mean()) / total.std()


def finish(picture: np.ndarray, scene: Scene) -> np.ndarray:
    """Float 0..1 at any scale to uint8 at the scene's size."""
    pixels = (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)
    size = (scene.width_px, scene.height_px)
    if pixels.shape[1::-1] == size:
        return pixels
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX))


def saturate(colour: np.ndarray, by: float) -> np.ndarray:
    """Move colours away from (by > 1) or towards (by < 1) their own grey."""
    grey = colour.mean(axis=-1, keepdims=True)
    return np.clip(grey + (colour - grey) * by, 0, 1)


def _smooth(picture: np.ndarray, sigma: float) -> np.ndarray:
    return ndimage.gaussian_filter(picture, (sigma, sigma, 0)) if sigma else picture


# Impasto --------------------------------------------------------------------------------------------------


def impasto(scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """Thick oil: coarse to fine strokes along the form, then light raking over the ridges they leave."""
    canvas = rasterise(scene)
    angle = canvas.angle + 0.9 * cloud(canvas.size, 90, rng) + 0.25 * cloud(canvas.size, 25, rng)
    lit = saturate(canvas.lit(), 1.18)
    ground = Image.fromarray((_smooth(lit, 8) * 255).astype(np.uint8)).resize(
        (scene.width_px * 2, scene.height_px * 2)
    )
    heights = Image.new("L", ground.size, 128)
    for width, spread in ((11, 3.0), (7, 1.5), (4, 0.0), (2, 0.0)):
        target = _smooth(lit, spread)
        if width == 11:
            keep = None
        else:  # repaint only where the coarser layer is wrong, so that broad strokes survive
            painted = np.asarray(ground.resize(canvas.size[::-1]), np.float32) / 255
            keep = np.abs(painted - lit).sum(axis=-1) > (0.2 if width > 2 else 0.3)
        _stroke_layer(canvas, angle, target, keep, width, ground, heights, rng)
    colour = np.asarray(ground, np.float32) / 255
    bristles = np.asarray(
        Image.fromarray(streaks(angle, 4, rng)).resize(ground.size, Image.Resampling.BICUBIC)
    )
    body = np.asarray(heights, np.float32) / 60 + bristles * 0.42
    body = ndimage.gaussian_filter(body, 0.9)
    raking = np.gradient(body, axis=1) * scene.light[0] + np.gradient(body, axis=0) * scene.light[1]
    return finish(
        colour * (1 + 0.05 * bristles[..., None]) + np.clip(-raking, -0.35, 0.45)[..., None] * 0.5, scene
    )


def _stroke_layer(
    canvas: Canvas,
    angle: np.ndarray,
    target: np.ndarray,
    keep: np.ndarray | None,
    width: int,
    ground: Image.Image,
    heights: Image.Image,
    rng: np.random.Generator,
) -> None:
    """Strokes of one brush, in random order; each follows the field and stops where the shape ends."""
    rows, columns = canvas.size
    step = width * 0.7
    y, x = np.mgrid[0 : rows : step, 0 : columns : step]
    spots = np.stack([x.ravel(), y.ravel()], axis=1) + rng.uniform(-step / 2, step / 2, (x.size, 2))
    spots = np.clip(spots, 0, [columns - 1, rows - 1])
    cells = spots.astype(int)
    if keep is not None:
        spots = spots[keep[cells[:, 1], cells[:, 0]]]
    spots = spots[rng.permutation(len(spots))]
    cells = spots.astype(int)
    home = canvas.labels[cells[:, 1], cells[:, 0]]
    colours = target[cells[:, 1], cells[:, 0]] + rng.normal(
        0, 0.035, (len(spots), 1)
    ) + rng.normal(0, 0.02, (len(spots), 3))
    paths, alive = [spots], np.ones(len(spots), bool)
    for _ in range(4):
        here = paths[-1]
        cells = np.clip(here, 0, [columns - 1, rows - 1]).astype(int)
        turn = angle[cells[:, 1], cells[:, 0]]
        ahead = here + width * 0.8 * np.stack([np.cos(turn), np.sin(turn)], axis=1)
        cells = np.clip(ahead, 0, [columns - 1, rows - 1]).astype(int)
        alive &= canvas.labels[cells[:, 1], cells[:, 0]] == home
        paths.append(np.where(alive[:, None], ahead, here))
    brush, relief = ImageDraw.Draw(ground), ImageDraw.Draw(heights)
    lines = (np.stack(paths, axis=1) * 2).reshape(len(spots), -1).tolist()
    paints = (np.clip(colours, 0, 1) * 255).astype(int).tolist()
    for line, paint, height in zip(lines, paints, rng.integers(60, 200, len(spots)).tolist(), strict=True):
        if line[:2] == line[-2:]:  # a dab where there is no room for a stroke
            cx, cy = line[:2]
            box = (cx - width * 0.7, cy - width * 0.7, cx + width * 0.7, cy + width * 0.7)
            brush.ellipse(box, fill=tuple(paint))
            relief.ellipse(box, fill=height)
        else:
            brush.line(line, fill=tuple(paint), width=width * 2)
            relief.line(line, fill=height, width=width * 2)


# Points ---------------------------------------------------------------------------------------------------


def points(scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """Dots of unmixed colour: each leaves the true hue to one side, and the eye adds them up again."""
    canvas = rasterise(scene)
    rows, columns = canvas.size
    lit = saturate(canvas.lit(), 1.3)
    sheet = Image.new("RGB", (columns * 2, rows * 2), (238, 228, 205))
    brush = ImageDraw.Draw(sheet)
    marks = canvas.labels != canvas.contours
    for pitch, radius in ((4.6, 2.8), (3.7, 1.6), (2.4, 1.2)):
        y, x = np.mgrid[0 : rows : pitch * 0.866, 0:columns:pitch]
        x = x + (np.arange(len(x))[:, None] % 2) * pitch / 2
        spots = np.stack([x.ravel(), y.ravel()], axis=1) + rng.normal(0, 0.16 * pitch, (x.size, 2))
        spots = spots[rng.permutation(len(spots))]
        cells = np.clip(spots, 0, [columns - 1, rows - 1]).astype(int)
        colours = lit[cells[:, 1], cells[:, 0]]
        dim = canvas.shade[cells[:, 1], cells[:, 0]] < 0.78
        accents = np.where(dim[:, None], [[0.2, 0.22, 0.62]], [[0.99, 0.8, 0.3]])
        stray = rng.random((len(spots), 1)) < 0.2
        colours = np.where(
            stray, 0.55 * colours + 0.45 * accents, colours + rng.normal(0, 0.075, colours.shape)
        )
        paints = (np.clip(colours, 0, 1) * 255).astype(int).tolist()
        sizes = radius * rng.uniform(0.8, 1.15, len(spots))
        boxes = np.concatenate([(spots - sizes[:, None]) * 2, (spots + sizes[:, None]) * 2], axis=1).tolist()
        wanted = np.ones(len(spots), bool)
        if pitch < 4:  # smaller dots on top leave the larger ones showing, and draw eyes and stripes
            wanted = marks[cells[:, 1], cells[:, 0]] if pitch < 3 else rng.random(len(spots)) < 0.5
        for i in np.flatnonzero(wanted).tolist():
            brush.ellipse(boxes[i], fill=tuple(paints[i]))
    return finish(np.asarray(sheet, np.float32) / 255, scene)


# Watercolour ----------------------------------------------------------------------------------------------


def watercolour(scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """Transparent washes: blooms inside, pigment gathered at wet edges, slivers of paper between."""
    canvas = rasterise(scene)
    rows, columns = np.mgrid[: canvas.size[0], : canvas.size[1]].astype(np.float32)
    y = rows + 2.6 * cloud(canvas.size, 16, rng) + 1.0 * cloud(canvas.size, 5, rng)
    x = columns + 2.6 * cloud(canvas.size, 16, rng) + 1.0 * cloud(canvas.size, 5, rng)
    y, x = np.clip(y, 0, canvas.size[0] - 1).astype(int), np.clip(x, 0, canvas.size[1] - 1).astype(int)
    lit = canvas.lit()
    wash = lit[y, x]
    wet = np.clip(cloud(canvas.size, 60, rng) * 1.4 - 0.1, 0, 1)[..., None]
    wash = wash * (1 - wet) + _smooth(lit, 7)[y, x] * wet
    distance = canvas.edge_distance()[y, x]
    tooth = ndimage.gaussian_filter(rng.standard_normal(canvas.size).astype(np.float32), 0.9) * 2
    density = 0.66 + 0.24 * cloud(canvas.size, 70, rng) + 0.09 * cloud(canvas.size, 20, rng)
    density += 0.55 * np.exp(-(((distance - 2.0) / 1.4) ** 2)) * (1 - 0.8 * wet[..., 0])
    density += 0.10 * tooth * (0.4 + canvas.shade.max() - canvas.shade)
    gap = np.exp(-((distance / 0.9) ** 2)) * (cloud(canvas.size, 30, rng) > 0.05)
    density = np.clip(density, 0.12, 1.6) * (1 - 0.85 * gap)
    density *= _deckle(canvas.size, rng)
    paper = np.array([0.985, 0.97, 0.935], np.float32) * (1 + 0.022 * tooth[..., None])
    transmitted = np.clip(saturate(wash, 1.1), 0.03, 1) ** density[..., None]
    return finish(paper * transmitted, scene)


def _deckle(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """1 inside, 0 on an uneven margin of bare paper."""
    rows, columns = np.mgrid[: size[0], : size[1]].astype(np.float32)
    inside = np.minimum(np.minimum(rows, size[0] - 1 - rows), np.minimum(columns, size[1] - 1 - columns))
    return np.clip((inside - 10 + 5 * cloud(size, 40, rng) + 2 * cloud(size, 5, rng)) / 2.5, 0, 1)


# Pastel ---------------------------------------------------------------------------------------------------


def pastel(scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """Chalk dragged over dark, toothed paper, which shows between the strokes and along every contour."""
    canvas = rasterise(scene)
    papers = np.array(
        [[0.20, 0.22, 0.29], [0.29, 0.21, 0.19], [0.17, 0.25, 0.24], [0.25, 0.19, 0.28]], np.float32
    )
    paper = papers[rng.integers(4)]
    lit = saturate(_smooth(canvas.lit(), 0.8), 1.15)
    slant = np.full(canvas.size, -0.85, np.float32) + 0.12 * cloud(canvas.size, 120, rng)
    bold = ndimage.gaussian_filter(streaks(slant, 5, rng), 0.8)
    along = streaks(canvas.angle + 0.3 * cloud(canvas.size, 60, rng), 4, rng)
    tooth = ndimage.gaussian_filter(rng.standard_normal(canvas.size).astype(np.float32), 0.65) * 1.7
    near = np.exp(-((canvas.edge_distance() / 1.8) ** 2))
    light = lit.mean(axis=-1)
    pressure = 1.0 + 1.0 * (light - 0.35) + 0.27 * bold / bold.std() + 0.3 * along - 1.1 * near
    cover = 1 / (1 + np.exp(-2.4 * (pressure + 0.6 * tooth)))
    chalk = np.clip(lit * 1.12 + 0.05 + 0.05 * bold[..., None], 0, 1)
    picture = paper * (1 + 0.10 * tooth[..., None]) * (1 - cover[..., None]) + chalk * cover[..., None]
    return finish(picture, scene)
