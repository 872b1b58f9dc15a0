"""Portrait: a half-length sitter with one of four ways to wear hair and clothes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from painter.canvas import Colour, Scene, blob, curve, ellipse, mix, place, ribbon
from painter.palettes import Palette, colour

Place = Callable[[list | np.ndarray], np.ndarray]  # from the head's own coordinates to the picture's

SKINS = ("f0c7a4", "d9a074", "a86f4a", "f4d3b8", "7a4a32", "c98d62")
HAIRS = ("2a1c16", "5a3420", "a8692c", "d8b46a", "8a8680", "7a2e1c")


def portrait(scene: Scene, p: Palette, rng: np.random.Generator, variation: int) -> None:
    high, wide = scene.half_height + 0.02, scene.half_width
    backs = (
        (mix(p["far"], p["dark"], 0.2), p["far"]),
        (p["sky"], p["glow"]),
        (mix(p["first"], p["dark"], 0.45), mix(p["wood"], p["dark"], 0.4)),
        (p["glow"], mix(p["second"], p["light"], 0.3)),
    )
    top, low = backs[(variation + rng.integers(4)) % 4]
    scene.band(-high, high, top, low, angle=0.8)
    if variation == 1:
        scene.add(
            np.array([
                [-wide - 0.1, 0.1], [-0.2, 0.02], [0.3, 0.12], [wide + 0.1, 0.05], [wide + 0.1, high],
                [-wide - 0.1, high],
            ]),
            p["mid"],
            fade=p["near"],
        )
    if variation == 3:
        for x in np.arange(-wide, wide, 0.16):
            scene.mark(ribbon([[x, -high], [x, high]], 0.05), mix(top, p["light"], 0.25), angle=1.57)
    skin = mix(colour(SKINS[rng.integers(6)]), p["glow"], 0.12)
    hair = mix(colour(HAIRS[rng.integers(6)]), p["dark"], 0.2)
    turn = rng.choice([-1, 1]) * (0.0, 0.035, 0.02, 0.045)[variation]
    size = (1.0, 0.92, 1.12, 1.0)[variation]
    x, y = rng.uniform(-0.04, 0.04), -0.06

    def at(points: list | np.ndarray) -> np.ndarray:
        return place(points, x, y, size)

    long_hair = variation in (0, 3)
    if long_hair:
        scene.add(
            at(
                blob([
                    [0, -0.31], [0.19, -0.24], [0.24, 0.0], [0.27, 0.3], [0.1, 0.36], [-0.1, 0.36],
                    [-0.27, 0.3], [-0.24, 0.0], [-0.19, -0.24],
                ])
            ),
            hair,
            "round",
        )
    elif variation == 1:
        scene.add(at(ellipse(-turn * 2, -0.33, 0.085)), hair, "round")
    _bust(scene, p, rng, at, skin, variation)
    _head(scene, p, rng, at, skin, hair, turn)
    _hair(scene, p, rng, at, hair, turn, variation)


def _bust(
    scene: Scene, p: Palette, rng: np.random.Generator, at: Place, skin: Colour, variation: int
) -> None:
    cloth = (
        p["third"], p["first"], mix(p["water"], p["dark"], 0.3), mix(p["leaf"], p["dark"], 0.25), p["second"]
    )[rng.integers(5)]
    scene.add(
        at(blob([[-0.1, 0.1], [0.1, 0.1], [0.1, 0.34], [-0.1, 0.34]])), mix(skin, p["dark"], 0.18), "column"
    )
    shoulders = curve([
        [-0.52, 0.75], [-0.46, 0.43], [-0.3, 0.33], [-0.1, 0.26], [0, 0.36], [0.1, 0.26], [0.3, 0.33],
        [0.46, 0.43], [0.52, 0.75],
    ])
    scene.add(at(shoulders), cloth, "soft", fade=mix(cloth, p["dark"], 0.3))
    if variation in (0, 2):
        for side in (-1, 1):
            collar = [[0.0, 0.37], [0.11, 0.23], [0.2, 0.3], [0.09, 0.45]]
            scene.add(at(np.array(collar) * [side, 1]), p["light"], angle=1.0 * side)
    else:
        scarf = (p["second"], p["light"], p["first"])[rng.integers(3)]
        scene.add(ribbon(at([[-0.15, 0.24], [-0.08, 0.33], [0.08, 0.33], [0.15, 0.24]]), 0.075), scarf)
    for side in (-0.2, 0.2):
        scene.mark(
            ribbon(at([[side, 0.4], [side * 1.2, 0.55], [side * 1.1, 0.75]]), 0.012, 0.02),
            mix(cloth, p["dark"], 0.4),
            angle=1.4,
        )


def _head(
    scene: Scene, p: Palette, rng: np.random.Generator, at: Place, skin: Colour, hair: Colour, turn: float
) -> None:
    """Features move sideways with `turn`, which is all a three-quarter view needs at this size."""
    dark = mix(skin, p["dark"], 0.55)
    for side in (-1, 1):
        scene.add(at(ellipse(side * 0.172 - turn, 0.0, 0.028, 0.05)), mix(skin, p["first"], 0.2), "round")
    face = [
        [0, -0.25], [0.12, -0.215], [0.172, -0.08], [0.165, 0.05], [0.12, 0.16], [0.05, 0.222],
        [-0.05, 0.222], [-0.12, 0.16], [-0.165, 0.05], [-0.172, -0.08], [-0.12, -0.215],
    ]
    scene.add(at(blob(face)), skin, "soft")
    for side in (-1, 1):
        scene.mark(at(ellipse(side * 0.092 + turn * 1.4, 0.068, 0.045, 0.032)), mix(skin, p["first"], 0.16))
        cx = side * 0.073 + turn * 1.5
        almond = blob([[cx - 0.043, -0.022], [cx, -0.047], [cx + 0.043, -0.022], [cx, -0.004]])
        scene.mark(at(almond), mix(p["light"], skin, 0.12))
        scene.mark(at(ellipse(cx + turn * 0.25, -0.026, 0.019, 0.021)), mix(p["water"], p["dark"], 0.35))
        scene.mark(at(ellipse(cx + turn * 0.25, -0.026, 0.01)), p["dark"] * 0.5)
        scene.mark(at(ellipse(cx + turn * 0.25 - 0.007, -0.034, 0.005)), p["light"])
        scene.mark(
            ribbon(at([[cx - 0.048, -0.02], [cx, -0.052], [cx + 0.048, -0.02]]), 0.011),
            mix(dark, p["dark"], 0.5),
        )
        brow = [[cx - side * 0.045, -0.082], [cx, -0.1], [cx + side * 0.052, -0.08]]
        scene.mark(ribbon(at(brow), 0.017, 0.008), mix(hair, dark, 0.3))
    lean = turn * 1.9
    shade_side = -np.sign(scene.light[0])
    nose = [
        [lean, -0.05], [lean + shade_side * 0.03, 0.065], [lean + shade_side * 0.012, 0.083],
        [lean - 0.02, 0.082], [lean, 0.06],
    ]
    scene.mark(at(nose), mix(skin, p["dark"], 0.22))
    scene.mark(ribbon(at([[lean - 0.03, 0.078], [lean, 0.088], [lean + 0.03, 0.078]]), 0.008), dark)
    mouth_x, lips = turn * 1.6, mix(mix(p["first"], skin, 0.35), p["dark"], 0.12)
    scene.mark(
        at(
            blob([
                [mouth_x - 0.058, 0.13], [mouth_x - 0.018, 0.118], [mouth_x, 0.124],
                [mouth_x + 0.018, 0.118], [mouth_x + 0.058, 0.13], [mouth_x, 0.16],
            ])
        ),
        lips,
    )
    scene.mark(
        ribbon(at([[mouth_x - 0.06, 0.129], [mouth_x, 0.136], [mouth_x + 0.06, 0.129]]), 0.007),
        mix(lips, p["dark"], 0.55),
    )


def _hair(
    scene: Scene, p: Palette, rng: np.random.Generator, at: Place, hair: Colour, turn: float, variation: int
) -> None:
    part = rng.uniform(-0.07, 0.07)
    crown = [
        [-0.19, 0.03], [-0.215, -0.12], [-0.16, -0.26], [0, -0.315], [0.16, -0.26], [0.215, -0.12],
        [0.19, 0.03],
    ]
    fringe = [[0.165, -0.06], [0.12, -0.14], [part, -0.2], [-0.12, -0.14], [-0.165, -0.06]]
    scene.add(at(np.concatenate([curve(crown), curve(fringe)])), hair, "round")
    for side in (-1, 1):
        for step in range(3):
            lock = [
                [part, -0.22 - 0.025 * step],
                [side * (0.1 + 0.02 * step), -0.2 - 0.02 * step],
                [side * 0.185, -0.06],
            ]
            scene.mark(ribbon(at(lock), 0.006, 0.009), mix(hair, p["light"], 0.14))
    if variation == 2 and rng.random() < 0.6:
        beard = [
            [-0.16, 0.04], [-0.13, 0.18], [0, 0.3], [0.13, 0.18], [0.16, 0.04], [0.1, 0.11],
            [0.03 + turn, 0.105], [-0.03 + turn, 0.105], [-0.1, 0.11],
        ]
        scene.add(at(blob(beard)), mix(hair, p["dark"], 0.1), angle=1.5)
        scene.mark(
            at(blob([[turn - 0.05, 0.14], [turn, 0.128], [turn + 0.05, 0.14], [turn, 0.155]])),
            mix(p["first"], hair, 0.4),
        )
    if variation == 3:
        straw = (mix(p["second"], p["light"], 0.3), p["first"], p["light"])[rng.integers(3)]
        scene.add(
            at(blob([[-0.17, -0.2], [-0.15, -0.36], [0, -0.4], [0.15, -0.36], [0.17, -0.2], [0, -0.16]])),
            straw,
            "soft",
        )
        scene.mark(ribbon(at([[-0.17, -0.225], [0, -0.19], [0.17, -0.225]]), 0.05), p["third"])
        scene.add(
            at(
                blob([
                    [-0.33, -0.17], [-0.16, -0.2], [0, -0.17], [0.16, -0.2], [0.33, -0.17], [0.2, -0.125],
                    [0, -0.105], [-0.2, -0.125],
                ])
            ),
            straw,
            fade=mix(straw, p["dark"], 0.25),
        )
