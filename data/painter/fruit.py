"""Fruit: a heaped bowl on a table, with pieces that have rolled out of it."""

from __future__ import annotations

import numpy as np

from painter.backdrops import room
from painter.canvas import Scene, blob, curve, ellipse, mix, place, ribbon
from painter.palettes import Palette


def fruit(scene: Scene, p: Palette, rng: np.random.Generator, variation: int) -> None:
    room(scene, p, rng, 0.08, variation)
    x, y = rng.uniform(-0.08, 0.08), 0.16 + rng.uniform(-0.02, 0.02)
    half, deep = ((0.36, 0.2), (0.3, 0.24), (0.4, 0.16), (0.33, 0.2))[variation]
    scene.shadow(ellipse(x - scene.light[0] * 0.16, y + deep + 0.02, half * 0.95, 0.05))
    ware = (p["light"], p["sky"], mix(p["second"], p["light"], 0.3), p["third"])[rng.integers(4)]
    scene.add(ellipse(x, y, half, 0.055), mix(ware, p["dark"], 0.45))
    _heap(scene, p, rng, x, y, half)
    _bowl(scene, p, ware, x, y, half, deep)
    side = rng.choice([-1, 1])
    loose = [
        (side * (half + 0.1), 0.085), (-side * (half + 0.02), 0.075), (side * (half - 0.1), 0.07)
    ][: rng.integers(2, 4)]
    for place_x, radius in loose:
        low = y + deep - 0.02 + rng.uniform(0, 0.05)
        scene.shadow(
            ellipse(x + place_x - scene.light[0] * 0.08, low + radius * 0.9, radius * 1.1, radius * 0.35)
        )
        _one_fruit(scene, p, rng, x + place_x, low, radius, rng.integers(3))
    if variation in (0, 2):
        _banana(scene, p, x - side * half * 0.5, y - 0.13, 0.2, side)


def _heap(scene: Scene, p: Palette, rng: np.random.Generator, x: float, y: float, half: float) -> None:
    """Back row, front row, and a bunch of grapes over the rim."""
    spots = [
        (-0.52, -0.13), (0.0, -0.19), (0.5, -0.13), (-0.26, -0.26), (0.26, -0.25), (-0.7, -0.03),
        (-0.24, -0.05), (0.24, -0.05), (0.68, -0.03),
    ]
    kinds = rng.permutation([0, 1, 2, 0, 1, 2, 3, 0, 2])
    for (across, up), kind in zip(spots, kinds, strict=True):
        _one_fruit(scene, p, rng, x + across * half, y + up, rng.uniform(0.08, 0.1), kind)
    grapes = rng.uniform(-0.6, 0.6)
    berry = mix(p["third"], p["leaf"], rng.choice([0.0, 0.6]))
    for row in range(5):
        for column in range(5 - row):
            bx = x + grapes * half + (column - (4 - row) / 2) * 0.05 + rng.uniform(-0.008, 0.008)
            scene.add(
                ellipse(bx, y - 0.06 + row * 0.04, 0.03), mix(berry, p["dark"], rng.uniform(0, 0.3)), "round"
            )


def _one_fruit(
    scene: Scene, p: Palette, rng: np.random.Generator, x: float, y: float, radius: float, kind: int
) -> None:
    """0 apple, 1 orange or lemon, 2 pear, 3 plum; leaf and stalk make them fruit where colour may not."""
    skin = (p["first"], p["second"], mix(p["second"], p["leaf"], 0.45), mix(p["third"], p["dark"], 0.2))[kind]
    skin = mix(skin, p["second"], rng.uniform(0, 0.3))
    turn = rng.uniform(-0.5, 0.5)
    if kind == 2:
        pear = blob([
            [0, -1.5], [0.36, -1.2], [0.5, -0.6], [0.9, 0.1], [0.7, 0.8], [0, 1], [-0.7, 0.8], [-0.9, 0.1],
            [-0.5, -0.6], [-0.36, -1.2],
        ])
        scene.add(place(pear, x, y, radius, turn=turn), skin, "round")
        scene.add(ribbon(place([[0, -1.4], [0.15, -1.9]], x, y, radius, turn=turn), 0.012), p["wood"])
    else:
        dip = 0.72 if kind == 0 else 0.97
        apple = blob([
            [0, -dip], [0.5, -0.97], [1, -0.2], [0.75, 0.75], [0.25, 0.98], [-0.25, 0.98], [-0.75, 0.75],
            [-1, -0.2], [-0.5, -0.97],
        ])
        scene.add(place(apple, x, y, radius, turn=turn), skin, "round")
        if kind == 0:
            scene.add(ribbon(place([[0, -0.7], [0.1, -1.3]], x, y, radius, turn=turn), 0.011), p["wood"])
            if rng.random() < 0.6:
                leaf = blob([[0.08, -1.1], [0.5, -1.5], [0.95, -1.35], [0.5, -1.1]])
                scene.add(place(leaf, x, y, radius, turn=turn), p["leaf"])
    glint = place(ellipse(0.38 * np.sign(scene.light[0]), -0.4, 0.16, 0.1), x, y, radius)
    scene.mark(glint, mix(skin, p["light"], 0.75))


def _bowl(
    scene: Scene, p: Palette, ware: np.ndarray, x: float, y: float, half: float, deep: float
) -> None:
    foot = np.array([[-0.32, 0.9], [0.32, 0.9], [0.4, 1.08], [-0.4, 1.08]])
    scene.add(foot * [half, deep] + [x, y], mix(ware, p["dark"], 0.2), "column")
    t = np.linspace(0, np.pi, 30)
    side = np.stack([np.cos(t) * half, np.sin(t) ** 0.8 * deep], axis=1)
    rim = np.stack([-np.cos(t) * half, np.sin(t) * 0.055], axis=1)
    scene.add(np.concatenate([side, rim[1:-1]]) + [x, y], ware, "column", fade=mix(ware, p["dark"], 0.15))
    for level, tone in ((0.24, p["first"]), (0.42, p["third"])):
        reach = half * np.cos(level * 0.9)
        arc = [
            [x - reach, y + deep * level * 0.55], [x, y + 0.05 + deep * level],
            [x + reach, y + deep * level * 0.55],
        ]
        scene.mark(ribbon(arc, 0.012), mix(ware, tone, 0.6))


def _banana(scene: Scene, p: Palette, x: float, y: float, size: float, flip: float) -> None:
    outer = curve([[-1, -0.5], [-0.6, 0.15], [0.1, 0.4], [0.9, 0.05]])
    inner = curve([[0.95, -0.05], [0.2, 0.08], [-0.45, -0.1], [-0.88, -0.58]])
    skin = mix(p["second"], p["light"], 0.15)
    for turn in (0.0, -0.22):
        scene.add(
            place(np.concatenate([outer, inner]), x, y + turn * 0.14, size, flip, turn=turn * flip),
            skin,
            fade=mix(skin, p["wood"], 0.35),
            angle=0.2,
        )
