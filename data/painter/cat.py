"""Cat: sitting, lying, seen from the side, or looking you in the eye."""

from __future__ import annotations

import numpy as np

from painter.canvas import Scene, blob, curve, ellipse, mix, place, ribbon
from painter.palettes import Palette, colour

COATS = ("3a3634", "c9853f", "8a8078", "efe6d6", "6a4a34", "a9a4a0")


def cat(scene: Scene, p: Palette, rng: np.random.Generator, variation: int) -> None:
    high = scene.half_height + 0.02
    wall = (
        mix(p["sky"], p["light"], 0.25),
        p["glow"],
        mix(p["mid"], p["light"], 0.2),
        mix(p["third"], p["dark"], 0.2),
    )[(variation + rng.integers(3)) % 4]
    scene.band(-high, 0.24, wall, mix(wall, p["dark"], 0.12), angle=0.5)
    floor = (
        p["wood"], mix(p["first"], p["dark"], 0.25), p["near"], mix(p["wood"], p["light"], 0.4)
    )[rng.integers(4)]
    if variation == 0:
        for x in (-0.3, 0.02):
            pane = np.array([[0, -0.5], [0.29, -0.5], [0.29, 0.12], [0, 0.12]]) + [x, 0]
            scene.add(pane, p["sky"], fade=p["glow"])
    scene.band(0.22, high, floor, mix(floor, p["dark"], 0.3))
    if variation in (1, 2):
        cushion = (p["first"], p["third"], p["second"])[rng.integers(3)]
        scene.add(
            blob([
                [-0.52, 0.34], [-0.4, 0.22], [0, 0.2], [0.4, 0.22], [0.52, 0.34], [0.4, 0.46], [0, 0.48],
                [-0.4, 0.46],
            ]),
            cushion,
            "round",
        )
    coat = mix(colour(COATS[rng.integers(6)]), p["glow"], 0.1)
    pale = mix(coat, p["light"], 0.7)
    flip = rng.choice([-1, 1])
    x = rng.uniform(-0.04, 0.04)
    if variation == 0:
        _sitting(scene, p, coat, pale, x, flip)
        _cat_head(scene, p, rng, x, -0.2, 0.42, coat, pale)
    elif variation == 1:
        _lying(scene, p, coat, pale, x, flip)
        _cat_head(scene, p, rng, x + flip * 0.22, -0.02, 0.4, coat, pale)
    elif variation == 2:
        _side_on(scene, p, coat, pale, x, flip)
        _cat_head(scene, p, rng, x + flip * 0.13, -0.21, 0.4, coat, pale)
    else:
        scene.shadow(ellipse(x, 0.5, 0.4, 0.1))
        scene.add(
            blob([
                [x - 0.2, 0.0], [x + 0.2, 0.0], [x + 0.36, 0.4], [x + 0.38, 0.8], [x - 0.38, 0.8],
                [x - 0.36, 0.4],
            ]),
            coat,
            "round",
        )
        scene.mark(
            blob([[x - 0.12, 0.12], [x + 0.12, 0.12], [x + 0.15, 0.5], [x, 0.62], [x - 0.15, 0.5]]),
            pale,
            "round",
        )
        _cat_head(scene, p, rng, x, -0.06, 0.58, coat, pale)


def _sitting(scene: Scene, p: Palette, coat: np.ndarray, pale: np.ndarray, x: float, flip: float) -> None:
    scene.shadow(ellipse(x - scene.light[0] * 0.1, 0.41, 0.32, 0.06))
    scene.add(
        ribbon(
            place([[0.12, 0.38], [0.3, 0.4], [0.4, 0.3], [0.36, 0.16], [0.43, 0.06]], x, 0, flip=flip),
            0.085,
            0.05,
        ),
        coat,
    )
    scene.add(
        blob([
            [x - 0.1, -0.16], [x + 0.1, -0.16], [x + 0.17, 0.05], [x + 0.25, 0.28], [x + 0.2, 0.42],
            [x - 0.2, 0.42], [x - 0.25, 0.28], [x - 0.17, 0.05],
        ]),
        coat,
        "round",
    )
    scene.mark(
        blob([[x - 0.07, -0.08], [x + 0.07, -0.08], [x + 0.09, 0.1], [x, 0.22], [x - 0.09, 0.1]]),
        pale,
        "round",
    )
    for side in (-1, 1):
        leg = [[0.015, 0.1], [0.085, 0.1], [0.085, 0.36], [0.1, 0.42], [0.01, 0.42], [0.015, 0.36]]
        scene.add(place(leg, x, 0, flip=side), coat, "column", angle=1.57)
        scene.add(place(ellipse(0.055, 0.42, 0.055, 0.03), x, 0, flip=side), pale, "round")
        for stripe in (0.16, 0.25):
            scene.mark(
                ribbon(
                    place([[0.235, stripe + 0.06], [0.15, stripe + 0.03], [0.12, stripe]], x, 0, flip=side),
                    0.022,
                    0.004,
                ),
                mix(coat, p["dark"], 0.45),
            )


def _lying(scene: Scene, p: Palette, coat: np.ndarray, pale: np.ndarray, x: float, flip: float) -> None:
    def at(points: list) -> np.ndarray:
        return place(points, x, 0, flip=flip)

    scene.shadow(at(ellipse(0, 0.34, 0.46, 0.07)))
    scene.add(
        at(
            blob([
                [-0.44, 0.24], [-0.38, 0.04], [-0.2, -0.07], [0.05, -0.05], [0.28, 0.04], [0.4, 0.2],
                [0.38, 0.33], [0, 0.36], [-0.36, 0.35],
            ])
        ),
        coat,
        "round",
    )
    for i in range(5):
        back = -0.36 + 0.11 * i
        scene.mark(
            ribbon(
                at([[back, 0.02 - 0.05 * np.sin(i)], [back + 0.02, 0.1], [back - 0.01, 0.18]]), 0.03, 0.006
            ),
            mix(coat, p["dark"], 0.45),
        )
    scene.add(
        ribbon(at([[-0.4, 0.28], [-0.48, 0.38], [-0.2, 0.4], [0.06, 0.36]]), 0.08, 0.06),
        mix(coat, p["dark"], 0.12),
    )
    for paw in (0.2, 0.34):
        scene.add(at(ellipse(paw, 0.34, 0.075, 0.038)), pale, "round")


def _side_on(scene: Scene, p: Palette, coat: np.ndarray, pale: np.ndarray, x: float, flip: float) -> None:
    def at(points: list) -> np.ndarray:
        return place(points, x, 0, flip=flip)

    scene.shadow(at(ellipse(-0.02, 0.38, 0.36, 0.06)))
    scene.add(
        ribbon(at([[-0.26, 0.34], [-0.44, 0.34], [-0.46, 0.14], [-0.38, 0.02], [-0.44, -0.1]]), 0.08, 0.045),
        coat,
    )
    scene.add(
        at(
            blob([
                [0.1, -0.2], [0.24, -0.1], [0.24, 0.12], [0.2, 0.36], [-0.1, 0.39], [-0.3, 0.36],
                [-0.33, 0.18], [-0.2, -0.02], [-0.04, -0.16],
            ])
        ),
        coat,
        "round",
    )
    scene.mark(at(blob([[0.22, -0.08], [0.24, 0.1], [0.18, 0.14], [0.12, -0.02]])), pale, "round")
    scene.add(
        at(blob([[-0.28, 0.36], [-0.28, 0.2], [-0.14, 0.12], [0.0, 0.22], [0.02, 0.38]])),
        mix(coat, p["dark"], 0.1),
        "round",
    )
    scene.add(
        at([[0.1, 0.08], [0.21, 0.08], [0.21, 0.36], [0.24, 0.4], [0.12, 0.4]]), coat, "column", angle=1.57
    )
    scene.add(at(ellipse(0.2, 0.39, 0.06, 0.03)), pale, "round")
    for i in range(4):
        scene.mark(
            ribbon(
                at([[0.07 * i - 0.2, -0.02 - 0.045 * i], [0.06 * i - 0.15, 0.05], [0.05 * i - 0.13, 0.11]]),
                0.026,
                0.005,
            ),
            mix(coat, p["dark"], 0.45),
        )


def _cat_head(
    scene: Scene,
    p: Palette,
    rng: np.random.Generator,
    x: float,
    y: float,
    size: float,
    coat: np.ndarray,
    pale: np.ndarray,
) -> None:
    """`size` is the width of the head."""
    dark = mix(coat, p["dark"], 0.55)
    pupil, iris = rng.uniform(0.2, 0.5), mix(
        (p["second"], p["leaf"], p["sky"])[rng.integers(3)], p["light"], 0.25
    )

    def at(points: list | np.ndarray, side: float = 1) -> np.ndarray:
        return place(points, x, y, size, side)

    for side in (-1, 1):
        scene.add(
            at(curve([[0.1, -0.3], [0.3, -0.56], [0.42, -0.62], [0.47, -0.4], [0.46, -0.1]], steps=4), side),
            coat,
            angle=-1.2 * side,
        )
        scene.mark(at([[0.22, -0.34], [0.38, -0.52], [0.42, -0.22]], side), mix(p["first"], pale, 0.55))
    scene.add(
        at(
            blob([
                [0, -0.4], [0.24, -0.36], [0.42, -0.16], [0.5, 0.08], [0.36, 0.27], [0.14, 0.37],
                [-0.14, 0.37], [-0.36, 0.27], [-0.5, 0.08], [-0.42, -0.16], [-0.24, -0.36],
            ])
        ),
        coat,
        "round",
    )
    for side in (-1, 0, 1):
        scene.mark(
            ribbon(
                at([[side * 0.06, -0.38], [side * 0.1, -0.28], [side * 0.09, -0.17]]),
                0.045 * size,
                0.01 * size,
            ),
            dark,
        )
    for side in (-1, 1):
        for drop in (0.0, 0.1):
            scene.mark(
                ribbon(
                    at([[0.49, 0.02 + drop], [0.38, 0.06 + drop], [0.32, 0.05 + drop]], side),
                    0.04 * size,
                    0.008 * size,
                ),
                dark,
            )
        scene.mark(at(ellipse(0.1, 0.17, 0.13, 0.11), side), pale, "round")
        scene.mark(
            at(
                blob([[0.07, 0.0], [0.14, -0.11], [0.27, -0.13], [0.32, -0.05], [0.24, 0.04], [0.14, 0.05]]),
                side,
            ),
            mix(dark, p["dark"], 0.5),
        )
        scene.mark(
            at(
                blob([
                    [0.09, -0.005], [0.15, -0.095], [0.26, -0.11], [0.3, -0.05], [0.23, 0.025], [0.15, 0.035],
                ]),
                side,
            ),
            iris,
        )
        scene.mark(at(ellipse(0.2, -0.035, 0.07 * pupil + 0.012, 0.068), side), p["dark"] * 0.4)
        scene.mark(at(ellipse(0.18, -0.065, 0.016), side), p["light"])
    scene.mark(at(ellipse(0, 0.29, 0.1, 0.06)), pale)
    scene.mark(at(blob([[-0.06, 0.07], [0.06, 0.07], [0.0, 0.14]])), mix(p["first"], p["dark"], 0.2))
    for side in (-1, 1):
        scene.mark(ribbon(at([[0, 0.13], [0.02, 0.2], [0.1, 0.21]], side), 0.018 * size), p["dark"])
        for rise in (-0.05, 0.03, 0.11):
            scene.mark(
                ribbon(
                    at([[0.16, 0.17], [0.4, 0.14 + rise], [0.66, 0.13 + rise * 2]], side), 0.012 * size, 0.004
                ),
                p["light"],
            )
