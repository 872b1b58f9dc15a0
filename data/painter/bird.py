"""Bird: a songbird, or two, on a branch in leaf or in blossom."""

from __future__ import annotations

import numpy as np

from painter.canvas import Scene, blob, curve, ellipse, mix, place, puff, ribbon
from painter.palettes import Palette


def bird(scene: Scene, p: Palette, rng: np.random.Generator, variation: int) -> None:
    wide, high = scene.half_width, scene.half_height
    warm = rng.random() < 0.5
    scene.band(
        -high - 0.02,
        high + 0.02,
        p["glow"] if warm else mix(p["sky"], p["glow"], 0.4),
        mix(p["glow"], p["mid"], 0.45),
    )
    if variation in (1, 3):
        x = rng.uniform(-0.25, 0.25)
        scene.add(
            ellipse(x, rng.uniform(-0.2, -0.1), rng.uniform(0.2, 0.27)),
            mix(p["light"], p["second"], rng.uniform(0, 0.5)),
        )
    for _ in range(3 if variation in (0, 2) else 0):
        x, y = rng.uniform(-wide, wide), rng.uniform(0.1, high)
        scene.add(puff(x, y, 0.24, 0.16, rng), mix(p["mid"], p["glow"], rng.uniform(0.35, 0.7)))
    flip = rng.choice([-1, 1])
    tilt = rng.uniform(-0.12, 0.12)
    y = 0.2 + rng.uniform(-0.02, 0.03)
    branch = np.array(
        [[-wide - 0.05, y + 0.08], [-0.4, y + 0.05], [0, y], [0.4, y - 0.03], [wide + 0.05, y - 0.12]]
    )
    branch[:, 0] *= flip
    scene.add(ribbon(branch, 0.075, 0.03), p["wood"], angle=tilt)
    _twigs(scene, p, rng, branch, wide, blossom=variation in (1, 2))
    if variation == 2:
        _songbird(scene, p, rng, -0.25 * flip, y - 0.005, 0.36, flip)
        _songbird(scene, p, rng, 0.27 * flip, y - 0.02, 0.34, -flip)
    else:
        _songbird(scene, p, rng, rng.uniform(-0.05, 0.05), y - 0.01, (0.6, 0.56, 0, 0.64)[variation], flip)


def _twigs(
    scene: Scene, p: Palette, rng: np.random.Generator, branch: np.ndarray, wide: float, blossom: bool
) -> None:
    for start in (0.08, 0.3, 0.68, 0.9):
        path = curve(branch)
        x, y = path[int(start * (len(path) - 1))]
        up = rng.choice([-1, 1]) if start in (0.3, 0.68) else -1
        end_x, end_y = x + rng.uniform(-0.16, 0.16), y + up * rng.uniform(0.16, 0.3)
        scene.add(
            ribbon([[x, y], [(x + end_x) / 2 + 0.02, (y + end_y) / 2], [end_x, end_y]], 0.022, 0.008),
            p["wood"],
        )
        for along in np.linspace(0.3, 1, 4):
            leaf_x, leaf_y = x + (end_x - x) * along, y + (end_y - y) * along
            turn = rng.uniform(0, 2 * np.pi)
            if blossom:
                tone = mix(p["first"], p["light"], rng.uniform(0.5, 0.85))
                for petal in range(5):
                    t = turn + petal * 2 * np.pi / 5
                    scene.add(ellipse(leaf_x + 0.024 * np.cos(t), leaf_y + 0.024 * np.sin(t), 0.021), tone)
                scene.mark(ellipse(leaf_x, leaf_y, 0.012), p["second"])
            else:
                leaf = blob([[0, 0], [0.05, -0.025], [0.12, 0], [0.05, 0.025]])
                scene.add(
                    place(leaf, leaf_x, leaf_y, rng.uniform(0.8, 1.2), turn=turn),
                    mix(p["leaf"], p["second"], rng.uniform(0, 0.4)),
                    angle=turn,
                )


def _songbird(
    scene: Scene, p: Palette, rng: np.random.Generator, x: float, y: float, size: float, flip: float
) -> None:
    """Told facing right, its feet at the origin."""
    nod = rng.uniform(-0.12, 0.12)

    def at(points: list | np.ndarray) -> np.ndarray:
        return place(np.asarray(points) + [0, -0.33], x, y, size, flip, turn=nod * flip)

    back = (
        p["third"], p["first"], mix(p["sky"], p["third"], 0.3), p["wood"], mix(p["dark"], p["third"], 0.3)
    )[rng.integers(5)]
    breast = mix((p["second"], p["first"], p["light"])[rng.integers(3)], p["light"], 0.2)
    wing, long = mix(back, p["dark"], 0.4), rng.uniform(0.85, 1.1)
    for foot in (-0.02, 0.1):
        scene.add(
            ribbon(
                place([[foot, -0.16], [foot + 0.02, -0.02], [foot + 0.07, 0.03]], x, y, size, flip),
                0.022 * size,
            ),
            p["dark"],
        )
    scene.add(
        at([[-0.3, -0.02], [-0.8 * long, 0.2], [-0.92 * long, 0.36], [-0.74 * long, 0.34], [-0.28, 0.15]]),
        wing,
        angle=0.5 * flip,
    )
    body = [
        [0.44, -0.24], [0.36, -0.38], [0.22, -0.43], [0.08, -0.36], [-0.1, -0.2], [-0.32, -0.04],
        [-0.42, 0.1], [-0.22, 0.21], [0.04, 0.26], [0.26, 0.16], [0.38, -0.04],
    ]
    scene.add(at(blob(body)), back, "round")
    front = [
        [0.4, -0.24], [0.3, -0.2], [0.2, -0.06], [0.08, 0.08], [-0.2, 0.2], [0.04, 0.255], [0.25, 0.16],
        [0.37, -0.04],
    ]
    scene.mark(at(blob(front)), breast, "round")
    scene.add(at([[0.42, -0.32], [0.6, -0.25], [0.42, -0.21]]), mix(p["second"], p["dark"], 0.35))
    scene.add(
        at(
            blob([
                [0.1, -0.16], [-0.08, -0.16], [-0.36, 0.04], [-0.62, 0.2], [-0.3, 0.16], [0.0, 0.1],
                [0.12, -0.02],
            ])
        ),
        wing,
        "round",
        angle=0.5 * flip,
    )
    for step in range(3):
        feather = [
            [0.02 - 0.06 * step, -0.08 + 0.07 * step], [-0.2, 0.0 + 0.06 * step],
            [-0.5 + 0.05 * step, 0.14 + 0.02 * step],
        ]
        scene.mark(ribbon(at(feather), 0.03 * size, 0.012 * size), mix(back, p["light"], 0.5))
    scene.mark(at(ellipse(0.3, -0.29, 0.045)), p["light"])
    scene.mark(at(ellipse(0.305, -0.29, 0.033)), p["dark"] * 0.5)
    scene.mark(at(ellipse(0.315, -0.3, 0.011)), p["light"])
