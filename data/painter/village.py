"""Village: gabled houses around a lane, with or without a church."""

from __future__ import annotations

import numpy as np

from painter.backdrops import sky
from painter.canvas import Scene, ellipse, mix, place, puff, ribbon, ridge
from painter.palettes import Palette


def village(scene: Scene, p: Palette, rng: np.random.Generator, variation: int) -> None:
    wide, bottom = scene.half_width, scene.half_height + 0.02
    sky(scene, p, rng, 0.1)
    hill = ridge(-wide - 0.1, wide + 0.1, -0.02, 0.07, bottom, rng, 0.35)
    scene.add(hill, mix(p["far"], p["mid"], 0.5), angle=0.2, fade=p["mid"])
    scene.band(0.26, bottom, mix(p["mid"], p["light"], 0.25), p["near"])
    street = (0.0, -0.3, 0.25, 0.0)[variation]
    path = [
        [street - 0.04, 0.24], [street + 0.05, 0.24], [street * 0.3 + 0.32, bottom],
        [street * 0.3 - 0.3, bottom],
    ]
    scene.add(np.array(path), mix(p["light"], p["wood"], 0.35), angle=1.4)
    if variation in (0, 3):
        _church(scene, p, rng, rng.choice([-0.32, 0.3]), 0.2, 0.6)
    rows = {
        0: [(-0.45, 0.2, 0.24), (0.5, 0.2, 0.24), (-0.28, 0.3, 0.32), (0.33, 0.3, 0.34), (-0.62, 0.36, 0.36)],
        1: [
            (-0.5, 0.04, 0.2), (0.0, 0.02, 0.2), (0.42, 0.05, 0.22), (-0.3, 0.18, 0.26), (0.16, 0.17, 0.28),
            (0.5, 0.26, 0.34), (-0.46, 0.32, 0.36), (0.06, 0.34, 0.34),
        ],
        2: [(-0.52, 0.18, 0.22), (0.54, 0.2, 0.24), (-0.06, 0.32, 0.58)],
        3: [(-0.6, 0.28, 0.3), (-0.22, 0.28, 0.3), (0.14, 0.28, 0.32), (0.5, 0.28, 0.3)],
    }[variation]
    for x, y, size in rows:
        _house(scene, p, rng, x * wide * 1.9, y + rng.uniform(-0.015, 0.015), size * rng.uniform(0.92, 1.08))
    for x in rng.uniform(-wide, wide, 3):
        if abs(x - street) > 0.25:
            y = rng.uniform(0.36, 0.46)
            scene.add(
                puff(x, y - 0.05, rng.uniform(0.06, 0.12), 0.07, rng),
                mix(p["leaf"], p["near"], rng.random()),
                "round",
            )


def _house(scene: Scene, p: Palette, rng: np.random.Generator, x: float, y: float, size: float) -> None:
    """A gabled front with a side wall going back; `x`, `y` is the middle of its foot."""
    flip = -1 if x > 0 else 1
    tall, deep = rng.uniform(0.62, 0.85), rng.uniform(0.5, 0.75)

    def at(points: list) -> np.ndarray:
        return place(points, x, y, size, flip)

    wall = mix(
        p["light"], (p["second"], p["first"], p["light"], p["glow"])[rng.integers(4)], rng.uniform(0.1, 0.4)
    )
    roof = (
        p["first"], p["third"], mix(p["wood"], p["first"], 0.4), mix(p["first"], p["dark"], 0.3)
    )[rng.integers(4)]
    side = mix(wall, p["dark"], 0.3)
    left, right, back = -0.5, 0.0, deep
    ridge_y = -tall - 0.42
    scene.add(at([[right, 0], [back, -0.04], [back, -tall + 0.03], [right, -tall]]), side, angle=np.pi / 2)
    scene.add(
        at([
            [back - 0.22, ridge_y - 0.12], [back - 0.1, ridge_y - 0.12], [back - 0.1, -tall],
            [back - 0.22, -tall],
        ]),
        mix(roof, p["dark"], 0.3),
    )
    scene.add(
        at([[left, 0], [right, 0], [right, -tall], [-0.25, ridge_y], [left, -tall]]), wall, angle=np.pi / 2
    )
    slope = [
        [-0.28, ridge_y - 0.03], [back - 0.18, ridge_y + 0.01], [back + 0.06, -tall + 0.08],
        [right + 0.03, -tall + 0.06],
    ]
    scene.add(at(slope), roof, angle=0.9, fade=mix(roof, p["dark"], 0.25))
    scene.add(
        ribbon(at([[-0.25, ridge_y - 0.01], [left - 0.06, -tall + 0.07]]), 0.06 * size),
        mix(roof, p["dark"], 0.25),
    )
    pane = mix(p["second"], p["light"], 0.3) if rng.random() < 0.5 else mix(p["dark"], p["sky"], 0.3)
    for wx, wy in ((-0.42, -tall + 0.02), (-0.2, -tall + 0.02), (0.14, -tall + 0.2), (0.38, -tall + 0.2)):
        if wx + 0.14 < back:
            scene.add(at([[wx, wy], [wx + 0.13, wy], [wx + 0.13, wy + 0.2], [wx, wy + 0.2]]), pane)
            scene.mark(ribbon(at([[wx + 0.065, wy], [wx + 0.065, wy + 0.2]]), 0.02 * size), wall)
    scene.add(at([[-0.36, 0], [-0.17, 0], [-0.17, -0.34], [-0.265, -0.4], [-0.36, -0.34]]), p["third"] * 0.8)


def _church(scene: Scene, p: Palette, rng: np.random.Generator, x: float, y: float, size: float) -> None:
    wall = mix(p["light"], p["second"], 0.12)
    scene.add(place([[-0.13, 0], [0.13, 0], [0.13, -0.62], [-0.13, -0.62]], x, y, size), wall, "column")
    scene.add(
        place([[-0.16, -0.62], [0.16, -0.62], [0, -1.12]], x, y, size),
        mix(p["third"], p["dark"], 0.25),
        "column",
    )
    scene.add(place(ellipse(0, -0.48, 0.05, 0.07), x, y, size), p["dark"])
    scene.mark(ribbon(place([[0, -1.1], [0, -1.22]], x, y, size), 0.01), p["dark"])
