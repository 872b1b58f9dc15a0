"""Mountains: snow-capped peaks over a lake or hills, with pines in front."""

from __future__ import annotations

import numpy as np

from painter.backdrops import sky
from painter.canvas import Scene, mix, place, ribbon, ridge
from painter.palettes import Palette


def mountains(scene: Scene, p: Palette, rng: np.random.Generator, variation: int) -> None:
    wide, bottom = scene.half_width, scene.half_height + 0.02
    base = (0.2, 0.16, 0.24, 0.12)[variation]
    sky(scene, p, rng, base, clouds=2)
    scene.add(
        ridge(-wide - 0.1, wide + 0.1, -0.02, 0.1, base, rng, 0.6),
        mix(p["far"], p["glow"], 0.45),
        fade=p["glow"],
    )
    flip = rng.choice([-1, 1])
    peaks = {
        0: [(0.42, -0.12, 0.5), (-0.1, -0.36, 0.62)],
        1: [(-0.5, -0.22, 0.5), (0.5, -0.18, 0.46), (0.05, -0.4, 0.55)],
        2: [(0.3, -0.4, 0.72), (-0.38, -0.1, 0.42)],
        3: [(-0.32, -0.34, 0.5), (0.34, -0.3, 0.52)],
    }[variation]
    for x, y, half in peaks:
        _peak(scene, p, rng, flip * x * wide * 1.7, y + rng.uniform(-0.03, 0.03), half, base + 0.06)
    if variation in (1, 3):
        scene.band(base, bottom, mix(p["water"], p["glow"], 0.5), p["water"])
        for _ in range(12):
            x, y = rng.uniform(-wide, wide), rng.uniform(base + 0.03, 0.4)
            scene.mark(
                ribbon([[x - 0.12, y], [x, y + 0.004], [x + 0.12, y]], 0.006),
                mix(p["water"], p["light"], 0.5),
            )
    else:
        hills = ridge(-wide - 0.1, wide + 0.1, base + 0.02, 0.05, bottom, rng, 0.35)
        scene.add(hills, mix(p["mid"], p["far"], 0.3), angle=0.2, fade=p["mid"])
    meadow = ridge(-wide - 0.1, wide + 0.1, 0.4, 0.05, bottom, rng, 0.35)
    scene.add(meadow, p["mid"] * 0.9, angle=-0.15, fade=p["near"])
    for x in np.sort(rng.uniform(-wide, wide, rng.integers(5, 10))):
        if abs(x) > 0.16:
            _pine(scene, p, rng, x, rng.uniform(0.38, 0.5), rng.uniform(0.14, 0.3))


def _peak(
    scene: Scene, p: Palette, rng: np.random.Generator, x: float, y: float, half: float, base: float
) -> None:
    """A lit and a shadowed flank that meet in a crooked spine, with snow down to a ragged line."""
    t = np.linspace(0, 1, 13)

    def flank(lean: float, crook: float) -> np.ndarray:
        jitter = rng.uniform(-crook, crook, len(t)) * np.minimum(t * 4, 1)
        return np.stack([x + lean * half * t**0.92 + jitter, y + (base - y) * t], axis=1)

    left, spine, right = flank(-1, 0.022), flank(rng.uniform(-0.1, 0.3), 0.045), flank(1, 0.022)
    rock = mix(p["far"], p["third"], 0.3)
    bright, dim = (left, right) if scene.light[0] < 0 else (right, left)
    line = rng.integers(5, 8)
    for side, tone, snow in (
        (bright, mix(rock, p["light"], 0.35), p["light"]),
        (dim, mix(rock, p["dark"], 0.4), mix(p["light"], p["sky"], 0.5)),
    ):
        scene.add(
            np.concatenate([side, spine[::-1]]),
            tone,
            angle=np.arctan2(base - y, side[-1, 0] - x),
            fade=mix(tone, p["mid"], 0.45),
        )
        teeth = np.linspace(side[line], spine[line], 7)
        teeth[1:-1, 1] += np.where(np.arange(5) % 2, -0.05, 0.05) * rng.uniform(0.5, 1.2, 5)
        scene.add(
            np.concatenate([side[: line + 1], teeth, spine[line::-1]]),
            snow,
            angle=np.arctan2(base - y, side[-1, 0] - x),
        )


def _pine(scene: Scene, p: Palette, rng: np.random.Generator, x: float, y: float, tall: float) -> None:
    steps = np.linspace(0, 1, 6)
    outer = np.stack([0.05 + 0.26 * steps, -1 + 0.9 * steps], axis=1)
    inner = np.stack([0.02 + 0.15 * steps, -1 + 0.9 * steps - 0.02], axis=1)
    side = np.stack([outer, inner], axis=1).reshape(-1, 2)[:-1]
    scene.add(ribbon([[x, y], [x, y - tall * 0.3]], 0.02), p["wood"])
    tree = np.concatenate([[[0, -1.05]], side, (side * [-1, 1])[::-1]])
    scene.add(place(tree, x, y, tall), mix(p["leaf"], p["dark"], rng.uniform(0.2, 0.6)), "column", angle=1.2)
