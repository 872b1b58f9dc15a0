"""Shapes, and the arrays that every style paints from.

A subject is told once, as a list of shapes from back to front, and a style never learns which subject it
paints. That separation is what makes the collection a ground truth: whatever two pictures of one painter
share is style, whatever two boats share is content.

Coordinates: the origin is the middle of the picture, y points down, and the shorter side has length 1.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

Colour = np.ndarray  # (3,) float32 in 0..1, RGB


@dataclass
class Shape:
    outline: np.ndarray  # (n, 2)
    colour: Colour
    form: str  # "flat", "round" (fills its box like a ball), "soft" (less so), "column", "tint" or "shadow"
    angle: float  # direction of brush strokes on a flat shape, radians
    fade: Colour | None  # colour at the bottom of the shape, where it differs from the top
    outlined: bool  # False for marks inside a shape, which a line style must not ring


@dataclass
class Scene:
    width_px: int
    height_px: int
    light: tuple[float, float] = (-0.6, -0.55)  # where the light comes from, in the picture plane
    shapes: list[Shape] = field(default_factory=list)

    @property
    def half_width(self) -> float:
        return 0.5 * self.width_px / min(self.width_px, self.height_px)

    @property
    def half_height(self) -> float:
        return 0.5 * self.height_px / min(self.width_px, self.height_px)

    def add(
        self,
        outline: np.ndarray,
        colour: Colour,
        form: str = "flat",
        angle: float = 0.0,
        fade: Colour | None = None,
        outlined: bool = True,
    ) -> None:
        outline = np.asarray(outline, np.float32)
        self.shapes.append(Shape(outline, np.asarray(colour, np.float32), form, angle, fade, outlined))

    def mark(self, outline: np.ndarray, colour: Colour, form: str = "tint", angle: float = 0.0) -> None:
        """A mark within a shape: it has no outline and, unless told otherwise, keeps the form below."""
        self.add(outline, colour, form, angle, outlined=False)

    def shadow(self, outline: np.ndarray) -> None:
        self.add(outline, np.zeros(3), "shadow", outlined=False)

    def band(
        self, top: float, bottom: float, colour: Colour, fade: Colour | None = None, angle: float = 0.0
    ) -> None:
        """A strip over the whole width, a little beyond the frame so that no edge shows."""
        x = self.half_width + 0.02
        self.add(np.array([[-x, top], [x, top], [x, bottom], [-x, bottom]]), colour, "flat", angle, fade)


@dataclass
class Canvas:
    """What a style sees: per-pixel arrays, (H, W) float32 unless told otherwise."""

    colour: np.ndarray  # (H, W, 3) local colour, without light
    shade: np.ndarray  # light that multiplies it, about 0.45 to 1.15
    angle: np.ndarray  # direction along the form, radians
    relief: np.ndarray  # height of the form towards the viewer, pixels
    labels: np.ndarray  # int32, which shape is seen
    contours: np.ndarray  # int32, the same without marks: where this changes, a draughtsman draws a line

    @property
    def size(self) -> tuple[int, int]:
        return self.shade.shape

    def lit(self) -> np.ndarray:
        """Colour under light, with shadows that turn cool instead of merely dark."""
        depth = np.clip(1.0 - self.shade, 0.0, 1.0)[..., None]
        cool = np.array([-0.10, -0.02, 0.16], np.float32)
        return np.clip(self.colour * (self.shade[..., None] + depth * cool), 0.0, 1.0)

    def edges(self) -> np.ndarray:
        """bool (H, W), true on both sides of every contour."""
        found = np.zeros(self.size, bool)
        across = self.contours[:, 1:] != self.contours[:, :-1]
        down = self.contours[1:] != self.contours[:-1]
        found[:, 1:] |= across
        found[:, :-1] |= across
        found[1:] |= down
        found[:-1] |= down
        return found

    def edge_distance(self) -> np.ndarray:
        """Distance to the nearest contour, pixels."""
        return ndimage.distance_transform_edt(~self.edges()).astype(np.float32)


def rasterise(scene: Scene, scale: float = 1.0) -> Canvas:
    """Paint the shapes back to front into arrays, `scale` times the scene's size in pixels."""
    width, height = round(scene.width_px * scale), round(scene.height_px * scale)
    unit = min(width, height)
    canvas = Canvas(
        colour=np.ones((height, width, 3), np.float32),
        shade=np.ones((height, width), np.float32),
        angle=np.zeros((height, width), np.float32),
        relief=np.zeros((height, width), np.float32),
        labels=np.zeros((height, width), np.int32),
        contours=np.zeros((height, width), np.int32),
    )
    for number, shape in enumerate(scene.shapes, 1):
        outline = shape.outline * unit + np.array([width / 2, height / 2], np.float32)
        _lay(canvas, shape, outline, number, scene.light)
    return canvas


def _lay(canvas: Canvas, shape: Shape, outline: np.ndarray, number: int, light: tuple[float, float]) -> None:
    height, width = canvas.size
    low, high = outline.min(axis=0), outline.max(axis=0)
    x0, y0 = max(int(low[0]), 0), max(int(low[1]), 0)
    x1, y1 = min(int(high[0]) + 2, width), min(int(high[1]) + 2, height)
    if x0 >= x1 or y0 >= y1:
        return  # wholly outside the frame
    stencil = Image.new("1", (x1 - x0, y1 - y0))
    ImageDraw.Draw(stencil).polygon([(x - x0, y - y0) for x, y in outline.tolist()], fill=1)
    mask = np.asarray(stencil)
    window = np.s_[y0:y1, x0:x1]
    if shape.form == "shadow":
        canvas.shade[window][mask] *= 0.62
        return
    if shape.form == "tint":
        canvas.colour[window][mask] = shape.colour
        canvas.labels[window][mask] = number
        return
    radius = np.maximum((high - low) / 2, 0.5)
    u = ((np.arange(x0, x1, dtype=np.float32) - (low[0] + high[0]) / 2) / radius[0])[None, :]
    v = ((np.arange(y0, y1, dtype=np.float32) - (low[1] + high[1]) / 2) / radius[1])[:, None]
    shade, angle, relief = _model(shape, u, v, radius, light)
    for target, value in ((canvas.shade, shade), (canvas.angle, angle), (canvas.relief, relief)):
        target[window][mask] = np.broadcast_to(value, mask.shape)[mask]
    colour = shape.colour
    if shape.fade is not None:
        down = np.clip(v * 0.5 + 0.5, 0, 1)[..., None]
        colour = shape.colour * (1 - down) + shape.fade * down
    canvas.colour[window][mask] = np.broadcast_to(colour, (*mask.shape, 3))[mask]
    canvas.labels[window][mask] = number
    if shape.outlined:
        canvas.contours[window][mask] = number


def _model(
    shape: Shape, u: np.ndarray, v: np.ndarray, radius: np.ndarray, light: tuple[float, float]
) -> tuple[np.ndarray | float, np.ndarray | float, np.ndarray | float]:
    """Light, direction and height on a form, from its box alone: cheap, smooth, and right for the eye."""
    if shape.form == "flat":
        return 1.0, shape.angle, 0.0
    if shape.form == "column":
        facing = np.sqrt(np.clip(1 - u * u, 0.03, 1))
        shade = 0.52 + 0.66 * np.clip(1.25 * light[0] * u + 0.58 * facing, 0, 1)
        return shade, np.pi / 2, facing * radius[0]
    facing = np.sqrt(np.clip(1 - u * u - v * v, 0.03, 1))
    shade = 0.48 + 0.66 * np.clip(light[0] * u + light[1] * v + 0.58 * facing, 0, 1)
    if shape.form == "soft":
        shade = 0.45 + 0.55 * shade
    return shade, np.arctan2(u / radius[0], -v / radius[1]), facing * radius.min()


# Outlines -------------------------------------------------------------------------------------------------


def curve(points: np.ndarray | list, closed: bool = False, steps: int = 8) -> np.ndarray:
    """A Catmull-Rom curve through the points, so that a shape is written down as the few points it passes."""
    points = np.asarray(points, np.float32)
    if closed:
        padded = np.concatenate([points[-1:], points, points[:2]])
    else:
        padded = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    a, b, c, d = (padded[i : len(padded) - 3 + i, None, :] for i in range(4))
    t = np.linspace(0, 1, steps, endpoint=False, dtype=np.float32)[None, :, None]
    smooth = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
    smooth = smooth.reshape(-1, 2)
    return smooth if closed else np.concatenate([smooth, points[-1:]])


def blob(points: np.ndarray | list) -> np.ndarray:
    return curve(points, closed=True)


def ellipse(x: float, y: float, rx: float, ry: float | None = None, turn: float = 0.0) -> np.ndarray:
    t = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    return place(np.stack([rx * np.cos(t), (rx if ry is None else ry) * np.sin(t)], axis=1), x, y, turn=turn)


def puff(x: float, y: float, rx: float, ry: float, rng: np.random.Generator, bumps: int = 9) -> np.ndarray:
    """A rounded, irregular mass: a cloud, the crown of a tree, a bush."""
    t = np.linspace(0, 2 * np.pi, bumps * 2, endpoint=False) + rng.uniform(0, 1)
    reach = np.where(np.arange(bumps * 2) % 2, 0.84, 1.06) * rng.uniform(0.9, 1.08, bumps * 2)
    return blob(np.stack([x + rx * reach * np.cos(t), y + ry * reach * np.sin(t)], axis=1))


def ribbon(points: np.ndarray | list, start: float, end: float | None = None, steps: int = 8) -> np.ndarray:
    """A line with a width that may taper: a mast, a stem, a whisker."""
    path = curve(points, steps=steps)
    along = np.gradient(path, axis=0)
    normal = np.stack([-along[:, 1], along[:, 0]], axis=1)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    half = np.linspace(start, start if end is None else end, len(path))[:, None] / 2
    return np.concatenate([path + normal * half, (path - normal * half)[::-1]])


def ridge(
    left: float,
    right: float,
    y: float,
    swing: float,
    bottom: float,
    rng: np.random.Generator,
    rough: float = 0.5,
) -> np.ndarray:
    """A skyline by midpoint displacement, closed at `bottom`."""
    heights = rng.uniform(-swing, swing, 3)
    reach = swing
    for _ in range(4):
        reach *= rough
        middle = (heights[1:] + heights[:-1]) / 2 + rng.uniform(-reach, reach, len(heights) - 1)
        merged = np.empty(len(heights) + len(middle))
        merged[::2], merged[1::2] = heights, middle
        heights = merged
    x = np.linspace(left, right, len(heights))
    return np.concatenate([np.stack([x, y + heights], axis=1), [[right, bottom], [left, bottom]]])


def place(
    points: np.ndarray | list, x: float, y: float, size: float = 1.0, flip: float = 1, turn: float = 0.0
) -> np.ndarray:
    """Mirror, turn, scale and move points told in their own coordinates."""
    points = np.asarray(points, np.float32) * np.array([flip, 1], np.float32)
    cos, sin = np.cos(turn), np.sin(turn)
    return points @ np.array([[cos, sin], [-sin, cos]], np.float32) * size + np.array([x, y], np.float32)


def mix(one: Colour, other: Colour, share: float) -> Colour:
    """`share` of the other colour in the first."""
    return np.asarray(one) * (1 - share) + np.asarray(other) * share
