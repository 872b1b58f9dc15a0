"""Boat: a sailing boat, sometimes in company, between sky and broken reflections."""

from __future__ import annotations

import numpy as np

from painter.backdrops import sky
from painter.canvas import Scene, curve, mix, place, ribbon, ridge
from painter.palettes import Palette


def boat(scene: Scene, p: Palette, rng: np.random.Generator, variation: int) -> None:
    wide, bottom = scene.half_width, scene.half_height + 0.02
    horizon = (0.08, 0.16, -0.02, 0.12)[variation] + rng.uniform(-0.03, 0.03)
    sky(scene, p, rng, horizon)
    if variation in (0, 2):
        start = rng.choice([-1, 1])
        coast = ridge(0, start * (wide + 0.1), horizon - 0.05, 0.05, horizon + 0.02, rng)
        coast[: len(coast) - 2, 1] += np.linspace(0.06, 0, len(coast) - 2)
        scene.add(coast, mix(p["far"], p["mid"], 0.35), fade=p["far"])
    scene.band(horizon, bottom, mix(p["water"], p["glow"], 0.35), p["water"])
    for _ in range(34):
        y = horizon + (bottom - horizon) * rng.uniform(0.03, 1) ** 1.3
        near = (y - horizon) / (bottom - horizon)
        x, long = rng.uniform(-wide, wide), 0.05 + 0.14 * near
        tone = mix(p["water"], p["light"] if rng.random() < 0.55 else p["dark"], 0.4)
        path = [
            [x - long, y], [x - long / 3, y - 0.012 * near], [x + long / 3, y + 0.01 * near], [x + long, y]
        ]
        scene.mark(ribbon(path, 0.004 + 0.014 * near, 0.002), tone)
    flip = rng.choice([-1, 1])
    x = rng.uniform(-0.12, 0.12)
    if variation == 1:
        _sailing_boat(scene, p, rng, -flip * wide * 0.6, horizon + 0.05, 0.3, flip)
    if variation == 2:
        _sailing_boat(scene, p, rng, flip * wide * 0.62, horizon + 0.03, 0.2, flip)
        _sailing_boat(scene, p, rng, -flip * wide * 0.7, horizon + 0.06, 0.26, flip)
    size = (0.56, 0.54, 0.5, 0.6)[variation] * rng.uniform(0.94, 1.06)
    _sailing_boat(scene, p, rng, x, min(horizon + 0.22, 0.34), size, flip)
    for _ in range(rng.integers(2, 5)):
        _gull(
            scene,
            rng.uniform(-wide, wide) * 0.9,
            rng.uniform(-0.42, -0.15),
            rng.uniform(0.02, 0.035),
            p["dark"],
        )


def _sailing_boat(
    scene: Scene, p: Palette, rng: np.random.Generator, x: float, y: float, size: float, flip: float
) -> None:
    def at(points: list) -> np.ndarray:
        return place(points, x, y, size, flip)

    cloth = mix(p["light"], (p["first"], p["second"], p["light"])[rng.integers(3)], rng.uniform(0.1, 0.75))
    hull = (p["first"], p["wood"], p["third"], p["dark"])[rng.integers(4)]
    for step in range(5):  # broken reflection
        depth = 0.14 + 0.075 * step
        half = 0.42 - 0.07 * step + rng.uniform(-0.05, 0.05)
        tone = mix(p["water"], hull if step < 2 else cloth, 0.6)
        scene.mark(
            ribbon(at([[-half, depth], [0, depth + 0.02], [half, depth]]), 0.045 * size, 0.02 * size), tone
        )
    scene.add(ribbon(at([[0.06, 0], [0.07, -1.24]]), 0.03 * size, 0.018 * size), p["dark"])
    main = curve([[0.03, -1.18], [-0.16, -0.8], [-0.4, -0.4], [-0.56, -0.16]])
    foot = curve([[-0.56, -0.16], [-0.3, -0.1], [0.03, -0.12]])
    scene.add(at(np.concatenate([main, foot])), cloth, angle=1.3, fade=mix(cloth, p["dark"], 0.12))
    jib = curve([[0.1, -1.1], [0.3, -0.72], [0.5, -0.36], [0.66, -0.14]])
    belly = curve([[0.66, -0.14], [0.4, -0.1], [0.14, -0.12]])
    other = mix(cloth, (p["first"], p["second"], p["light"])[rng.integers(3)], 0.55)
    scene.add(at(np.concatenate([jib, belly])), other, angle=-1.2, fade=mix(other, p["dark"], 0.15))
    scene.add(at([[0.07, -1.24], [-0.14, -1.19], [0.07, -1.15]]), p["first"])
    side = curve([[-0.54, -0.06], [-0.25, 0.0], [0.1, 0.0], [0.42, -0.05], [0.7, -0.13]])
    keel = curve([[0.7, -0.13], [0.58, 0.02], [0.42, 0.12], [0, 0.15], [-0.44, 0.12]])
    scene.add(at(np.concatenate([side, keel])), hull, fade=mix(hull, p["dark"], 0.55))
    stripe = [[-0.53, -0.04], [-0.25, 0.02], [0.1, 0.02], [0.42, -0.03], [0.66, -0.1]]
    scene.mark(ribbon(at(stripe), 0.03 * size), p["light"])
    scene.mark(ribbon(at([[-0.55, 0.15], [-0.2, 0.17], [0.2, 0.15], [0.56, 0.16]]), 0.025 * size), p["light"])


def _gull(scene: Scene, x: float, y: float, size: float, colour: np.ndarray) -> None:
    wings = [[-1, -0.1], [-0.5, -0.45], [0, 0.05], [0.5, -0.45], [1, -0.1]]
    scene.mark(ribbon(place(wings, x, y, size), 0.006), colour)
