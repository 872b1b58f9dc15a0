"""How fast are tiles made, beside pyvips (dzsave of the same mosaic) and a plain Deep Zoom in Pillow?

The same tiles of the same picture: N pictures on a grid, 128 px cells, tiles of 512 px with an overlap of 1, JPEG of
quality 82, from decoded cells on the disk. pyvips reads them as one raw picture, which it needs to have as a file;
that this file has to be made is not counted. Pillow holds the mosaic whole.

Run     python benchmarks/tile_speed.py [--works 10000] [--turns 3]         needs the extra `bench`
Cost    three minutes and 3 GB of disk for 10,000 works
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from common import header
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from artatlas import mosaic, shards
from artatlas.layouts import Map
from artatlas.pyramid import Pyramid, Tiling, n_levels, tile_box
from artatlas.thumbnails import ROWS, Shelf, hold

CELL = 128
TILING = Tiling(512, 1, "jpg", 82, (0, 0, 0))


def make(folder: Path, n: int) -> None:
    """The cells as the viewer keeps them, and the whole mosaic as raw RGB for pyvips."""
    cols = int(np.ceil(np.sqrt(n)))
    (folder / "cells").mkdir()
    rng = np.random.default_rng(0)
    grounds = []
    for _ in range(50):
        blots = Image.fromarray(rng.integers(30, 226, (16, 16, 3), np.uint8)).resize(
            (CELL, CELL), Image.Resampling.BICUBIC
        )
        grain = rng.integers(-12, 13, (CELL, CELL, 1))
        grounds.append(np.clip(np.asarray(blots) + grain, 0, 255).astype(np.uint8))
    for rows in shards.slices(n, ROWS):
        cells = np.full((rows.stop - rows.start, CELL, CELL, 4), 255, np.uint8)
        cells[..., :3] = [np.roll(grounds[i % 50], i, axis=1) for i in range(rows.start, rows.stop)]
        np.save(folder / "cells" / shards.file_name(rows), cells)
    shelf = Shelf(folder / "cells", CELL)
    hold(shelf, np.arange(n))
    with open(folder / "mosaic.raw", "wb") as file:
        for row in range(-(-n // cols)):
            strip = np.zeros((CELL, cols * CELL, 3), np.uint8)
            for col in range(min(cols, n - row * cols)):
                strip[:, col * CELL : (col + 1) * CELL] = shelf.pixels(row * cols + col, n, (CELL, CELL))[..., :3]
            file.write(strip.tobytes())


def ours(folder: Path, n: int) -> None:
    cols = int(np.ceil(np.sqrt(n)))
    cells = np.column_stack(np.divmod(np.arange(n), cols))
    a_map = Map("x", np.zeros((n, 2)), cells, (-(-n // cols), cols))
    size, boxes = mosaic.grid_boxes(a_map, np.full((n, 2), CELL), CELL)
    names = np.array([str(i) for i in range(n)], object)
    picture = mosaic.Mosaic(size, (0, 0, 0), Shelf(folder / "cells", CELL), boxes, np.arange(n), names)
    with TemporaryDirectory(dir=folder) as out:
        pyramid = Pyramid(picture, TILING, Path(out) / "tiles", Path(out) / "pieces", None)
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            pyramid.build(pool)


def vips(folder: Path, n: int) -> None:
    import pyvips

    cols = int(np.ceil(np.sqrt(n)))
    picture = pyvips.Image.rawload(str(folder / "mosaic.raw"), cols * CELL, -(-n // cols) * CELL, 3).copy(
        interpretation="srgb"
    )
    with TemporaryDirectory(dir=folder) as out:
        picture.dzsave(
            f"{out}/x", tile_size=TILING.tile_px, overlap=1, suffix=f".jpg[Q={TILING.quality}]", skip_blanks=-1
        )


def pillow(folder: Path, n: int) -> None:
    """As the usual deepzoom scripts do: the picture whole, halved level by level."""
    cols = int(np.ceil(np.sqrt(n)))
    size = cols * CELL, -(-n // cols) * CELL
    image = Image.frombytes("RGB", size, (folder / "mosaic.raw").read_bytes())
    with TemporaryDirectory(dir=folder) as out:
        for level in reversed(range(n_levels(size))):
            at = Path(out) / str(level)
            at.mkdir()
            for row in range(-(-image.height // TILING.tile_px)):
                for col in range(-(-image.width // TILING.tile_px)):
                    tile = image.crop(tile_box(col, row, image.size, TILING))
                    tile.save(at / f"{col}_{row}.jpg", quality=TILING.quality)
            image = image.reduce(2)


WAYS = {"artatlas": ours, "pyvips dzsave": vips, "Pillow": pillow}


def measure(way: str, folder: Path, n: int) -> dict[str, float]:
    """In a process of its own: seconds, seconds of processors, MB of memory."""
    code = [sys.executable, __file__, "--way", way, "--folder", str(folder), "--works", str(n)]
    return json.loads(subprocess.run(code, check=True, capture_output=True, text=True).stdout)


def run(way: str, folder: Path, n: int) -> None:
    start = time.perf_counter()
    WAYS[way](folder, n)
    took = time.perf_counter() - start
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({"seconds": took, "cpu": used.ru_utime + used.ru_stime, "memory": used.ru_maxrss / 1024}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--works", type=int, default=10_000)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        run(options.way, options.folder, options.works)
        return
    print(header("pillow", "numpy", "pyvips"), "\n")
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make(folder, options.works)
        found = {way: [measure(way, folder, options.works)] for way in WAYS}  # the first one warms the disk's cache
        for turn in range(options.turns):
            for way in list(WAYS) if turn % 2 else list(WAYS)[::-1]:
                found[way].append(measure(way, folder, options.works))
    print(
        f"| {options.works:,} works | seconds | seconds of processors | times artatlas | memory, MB |\n"
        "|---|---|---|---|---|"
    )
    ours_took = [one["seconds"] for one in found["artatlas"][1:]]
    for way, runs in found.items():
        seconds = [one["seconds"] for one in runs[1:]]
        ratio = np.median([a / b for a, b in zip(seconds, ours_took, strict=True)])
        cpu, memory = (np.median([one[key] for one in runs[1:]]) for key in ("cpu", "memory"))
        print(f"| {way} | {np.median(seconds):.1f} | {cpu:.1f} | {ratio:.2f} | {memory:,.0f} |")


if __name__ == "__main__":
    main()
