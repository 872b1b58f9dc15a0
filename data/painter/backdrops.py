"""What several subjects stand in front of: the air, and a room with a table."""

from __future__ import annotations

import numpy as np

from painter.canvas import Scene, curve, ellipse, mix, place, puff, ribbon
from painter.palettes import Palette


def sky(scene: Scene, p: Palette, rng: np.random.Generator, bottom: float, clouds: int = 3) -> None:
    """Air, a sun or a moon, and clouds, shared by everything that happens outdoors."""
    wide = scene.half_width
    scene.band(-scene.half_height - 0.02, bottom + 0.02, p["sky"], p["glow"], angle=0.1)
    if rng.random() < 0.55:
        x, y = rng.uniform(-0.8, 0.8) * wide, rng.uniform(-0.42, -0.28)
        scene.add(ellipse(x, y, rng.uniform(0.05, 0.085)), mix(p["light"], p["second"], 0.35))
    for _ in range(rng.integers(0, clouds + 1)):
        x, y = rng.uniform(-wide, wide), rng.uniform(-0.45, bottom - 0.16)
        rx = rng.uniform(0.13, 0.24)
        scene.add(
            puff(x, y, rx, rx * 0.3, rng),
            mix(p["glow"], p["light"], 0.75),
            fade=mix(p["glow"], p["sky"], 0.3),
        )


def room(scene: Scene, p: Palette, rng: np.random.Generator, table: float, variation: int) -> None:
    """A wall and a table top, with something behind in half of the variations."""
    high, wide = scene.half_height + 0.02, scene.half_width
    wall = (
        mix(p["sky"], p["light"], 0.3),
        p["glow"],
        mix(p["third"], p["dark"], 0.35),
        mix(p["far"], p["light"], 0.2),
    )
    tone = wall[(variation + rng.integers(2)) % 4]
    scene.band(-high, table + 0.02, tone, mix(tone, p["dark"], 0.25), angle=0.6)
    if variation == 1:
        x = rng.choice([-1, 1]) * wide * 0.62
        frame = np.array([[-0.2, -0.52], [0.2, -0.52], [0.2, -0.04], [-0.2, -0.04]])
        scene.add(frame * 1.12 + [x, 0.03], p["light"])
        scene.add(frame + [x, 0], p["sky"], fade=p["glow"])
        scene.mark(ribbon([[x, -0.52], [x, -0.04]], 0.02), p["light"])
    if variation == 3:
        x = rng.choice([-1, 1]) * wide
        folds = curve(
            [[0, -0.6], [0.3, -0.6], [0.22, -0.2], [0.3, 0.1], [0.24, table + 0.04], [0, table + 0.04]]
        )
        drape = mix(p["first"], p["dark"], 0.3)
        scene.add(place(folds, x, 0, flip=-np.sign(x)), drape, angle=1.5)
        for fold in (0.07, 0.15, 0.22):
            line = place(
                [[fold, -0.6], [fold - 0.03, -0.2], [fold + 0.02, table + 0.02]], x, 0, flip=-np.sign(x)
            )
            scene.mark(ribbon(line, 0.012, 0.03), mix(drape, p["dark"], 0.45), angle=1.5)
    top = mix(
        p["wood"], p["light"], rng.uniform(0.0, 0.35)
    ) if variation % 2 else mix(p["light"], p["far"], 0.25)
    scene.band(table, high, top, mix(top, p["dark"], 0.35))
    scene.mark(
        np.array(
            [[-wide - 0.1, high - 0.1], [wide + 0.1, high - 0.1], [wide + 0.1, high], [-wide - 0.1, high]]
        ),
        mix(top, p["dark"], 0.5),
    )
