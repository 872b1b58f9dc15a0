"""The colours of eight times of day.

Every subject and every style meets every palette equally often, so that a colour histogram gives away
neither.
"""

from __future__ import annotations

import numpy as np

Palette = dict[str, np.ndarray]  # role -> (3,) float32 in 0..1, RGB

ROLES = (
    "sky", "glow", "far", "mid", "near", "water", "leaf", "dark", "light", "first", "second", "third", "wood"
)

# The words that end a title, and one colour per role.
TIMES = {
    "at noon": (
        "3f86c4 d6eaf0 86abc9 7fae6e 4f8a45 2e86a6 3d8048 "
        "233242 f8f0dc d9472f f2b53c 6f5aa0 8d5c36"
    ),
    "at dusk": (
        "4b4a86 f4a26b 8a6a9a 6a5a7c 43405f 5a5f9c 56604f "
        "25203a fbe3c4 e0553f f5b453 a2527f 6d4236"
    ),
    "by moonlight": (
        "142850 4f78a8 2f4c7c 274868 17304c 1f4f7e 2c5a5c "
        "0b1626 e4ecdf c65b52 e8c877 6f74b8 4d4450"
    ),
    "in October": (
        "7fa0b4 f3ddb0 b79a7a c98a3c 9a5a28 5b8390 8a7a2c "
        "3a241c f7ecd2 c23f22 eba52c 7d3f4c 704020"
    ),
    "in mist": (
        "a9bbc6 e9e8e2 b4c1c8 94a9a2 6f8a83 8fa9b2 6d8f7a "
        "3a4650 f5f2ea b8685c d9bd84 8a7fa0 85705c"
    ),
    "at first light": (
        "8fb3d8 fbd0c6 c3a8c4 a8b48a 7d9668 8cb0c8 64905f "
        "3e3350 fff1e4 e26a78 f7c46c a878b4 9a6a52"
    ),
    "after rain": (
        "5b8f9e d9ecd9 6fa39a 5fae6a 2f7d4a 2c8c8c 2a7a44 "
        "14342e f2f5e0 d1503c e9d04a 3f6fa8 6f5530"
    ),
    "in late sun": (
        "d98a4a fbe09a c97a4c b89440 7a6a2c 4a8078 6a742c "
        "3b1f1c fdf0cc c8362a f9c233 8c4a6a 8a4a26"
    ),
}


def colour(code: str) -> np.ndarray:
    """Six hexadecimal digits as (3,) float32 in 0..1, RGB."""
    return np.array(list(bytes.fromhex(code)), np.float32) / 255


def palette(number: int) -> tuple[str, Palette]:
    """The words for a time of day, and its colours as (3,) float32 in 0..1 by role."""
    words, codes = list(TIMES.items())[number]
    return words, dict(zip(ROLES, map(colour, codes.split()), strict=True))
