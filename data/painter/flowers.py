"""Flowers: daisies, peonies and poppies in a turned vase."""

from __future__ import annotations

import numpy as np

from painter.backdrops import room
from painter.canvas import Scene, blob, curve, ellipse, mix, place, ribbon
from painter.palettes import Palette


def flowers(scene: Scene, p: Palette, rng: np.random.Generator, variation: int) -> None:
    room(scene, p, rng, 0.26, (variation + 1) % 4)
    x, foot = rng.uniform(-0.06, 0.06), 0.4
    scene.shadow(ellipse(x - scene.light[0] * 0.16, foot, 0.2, 0.04))
    mouth = _vase(scene, p, rng, x, foot, variation)
    count = (9, 7, 12, 8)[variation]
    spread = np.linspace(-1, 1, count) + rng.uniform(-0.08, 0.08, count)
    heads = []
    for i, t in enumerate(spread):
        reach = 0.34 + 0.14 * ((i * 5) % 3) / 2
        heads.append((x + np.sin(t * 1.25) * reach * 0.95, mouth - np.cos(t * 1.15) * reach + 0.02))
    for hx, hy in heads:
        middle = [(x + hx) / 2 + (hx - x) * 0.1, (mouth + hy) / 2 - 0.02]
        scene.add(
            ribbon([[x + (hx - x) * 0.12, mouth + 0.02], middle, [hx, hy]], 0.014),
            mix(p["leaf"], p["dark"], 0.2),
        )
    for _ in range(11):
        turn, near = rng.uniform(-np.pi, 0), rng.uniform(0.04, 0.24)
        leaf = blob([[0, 0], [0.07, -0.035], [0.19, 0.0], [0.07, 0.035]])
        tone = mix(p["leaf"], (p["dark"], p["second"])[rng.integers(2)], rng.uniform(0.05, 0.4))
        scene.add(
            place(
                leaf, x + near * np.cos(turn), mouth + near * np.sin(turn), rng.uniform(0.8, 1.3), turn=turn
            ),
            tone,
            angle=turn,
        )
    kinds = {0: (0, 1), 1: (1,), 2: (0, 2), 3: (2, 1)}[variation]
    for hx, hy in heads:
        _bloom(scene, p, rng, hx, hy, rng.uniform(0.075, 0.105), kinds[rng.integers(len(kinds))])
    for _ in range(rng.integers(1, 4)):
        fx = x + rng.choice([-1, 1]) * rng.uniform(0.2, 0.36)
        scene.add(
            ellipse(fx, foot + rng.uniform(-0.03, 0.04), 0.028, 0.014, rng.uniform(0, 3)),
            mix(p["first"], p["light"], 0.3),
        )


def _vase(
    scene: Scene, p: Palette, rng: np.random.Generator, x: float, foot: float, variation: int
) -> float:
    """Turned from a profile (half width, height above the foot); returns the height of its mouth."""
    profile = np.array(
        [
            [[0.09, 0], [0.17, 0.12], [0.15, 0.24], [0.07, 0.32], [0.1, 0.37]],
            [[0.1, 0], [0.12, 0.1], [0.13, 0.2], [0.14, 0.28], [0.145, 0.34]],
            [[0.11, 0], [0.2, 0.1], [0.19, 0.19], [0.11, 0.26], [0.13, 0.3]],
            [[0.07, 0], [0.1, 0.1], [0.16, 0.22], [0.12, 0.32], [0.07, 0.37]],
        ][variation]
    )
    edge = curve(profile)
    glaze = (
        p["sky"], p["third"], p["light"], mix(p["first"], p["dark"], 0.2), mix(p["water"], p["light"], 0.3)
    )[rng.integers(5)]
    side = np.stack([edge[:, 0], -edge[:, 1]], axis=1)
    scene.add(
        np.concatenate([side, (side * [-1, 1])[::-1]]) + [x, foot],
        glaze,
        "column",
        fade=mix(glaze, p["dark"], 0.2),
    )
    for level in (0.35, 0.55):
        half, up = edge[int(level * len(edge))]
        scene.mark(
            ribbon(
                [[x - half, foot - up - 0.012], [x, foot - up + 0.012], [x + half, foot - up - 0.012]], 0.013
            ),
            mix(glaze, p["light"], 0.55),
        )
    return float(foot - edge[-1, 1])


def _bloom(
    scene: Scene, p: Palette, rng: np.random.Generator, x: float, y: float, radius: float, kind: int
) -> None:
    """0 daisy, 1 peony, 2 poppy."""
    tone = mix(
        (p["first"], p["second"], p["light"], p["third"])[rng.integers(4)], p["light"], rng.uniform(0, 0.3)
    )
    turn = rng.uniform(0, 1)
    if kind == 0:
        for petal in range(11):
            t = turn + petal * 2 * np.pi / 11
            scene.add(
                ellipse(
                    x + 0.62 * radius * np.cos(t),
                    y + 0.62 * radius * np.sin(t),
                    0.42 * radius,
                    0.17 * radius,
                    t,
                ),
                tone,
                angle=t,
            )
        heart = p["second"] if tone @ np.ones(3) < 2.2 else mix(p["second"], p["wood"], 0.4)
        scene.add(ellipse(x, y, radius * 0.32), heart, "round")
        return
    if kind == 1:
        for ring, (reach, size, petals) in enumerate(((0.6, 0.5, 7), (0.34, 0.42, 5), (0.0, 0.34, 1))):
            for petal in range(petals):
                t = turn + ring + petal * 2 * np.pi / petals
                shade = mix(tone, p["dark"], 0.1 * ring + 0.05 * (petal % 2))
                scene.add(
                    ellipse(x + reach * radius * np.cos(t), y + reach * radius * np.sin(t), size * radius),
                    shade,
                    "round",
                )
        return
    for t, size in ((turn + 0.3, 0.75), (turn + 2.4, 0.75), (turn + 4.4, 0.7)):
        scene.add(
            ellipse(
                x + 0.36 * radius * np.cos(t),
                y + 0.36 * radius * np.sin(t),
                size * radius,
                size * 0.85 * radius,
                t,
            ),
            mix(tone, p["dark"], rng.uniform(0, 0.15)),
            "round",
        )
    scene.add(ellipse(x, y, radius * 0.26), mix(p["dark"], p["third"], 0.3), "round")
