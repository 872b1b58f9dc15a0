"""What do JPEG quality, tile size, overlap and format of the page's tiles cost, and what does one see of them?

Tiles of the first map's grid of a finished collection, under one changed setting at a time: files, bytes, seconds of
processors, bytes that a window of 1280 x 694 px loads at first and deep inside, and how far the full size is from what
was drawn (PSNR).

Run     python benchmarks/tile_settings.py --config FILE
Cost    a minute for 1,231 works
"""

import argparse
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from common import header
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from artatlas import config as config_module
from artatlas import mosaic, store, thumbnails
from artatlas.config import Config
from artatlas.layouts import read_maps, rows_of_works
from artatlas.mosaic import Mosaic
from artatlas.pyramid import Pyramid, Tiling, level_size, n_levels
from artatlas.thumbnails import Shelf, Thumbnails

WINDOW = 1280, 694  # px of the map in a window of 1280 x 800
CHANGES = (
    {}, {"quality": 60}, {"quality": 70}, {"quality": 90}, {"quality": 95}, {"tile_px": 256}, {"tile_px": 1024},
    {"overlap": 0}, {"overlap": 2}, {"format": "webp"},
)  # fmt: skip


def read_mosaic(config: Config, folder: Path) -> Mosaic:
    """The grid of the first map, its cells decoded into `folder`."""
    viewer = config.viewer
    with (
        store.open_output(config, "tsne") as tsne, store.open_output(config, "grid") as grid,
        store.open_output(config, "images") as images,
    ):  # fmt: skip
        a_map = read_maps(tsne, grid, list(config.maps)[:1])[0]
        rows = rows_of_works(images, store.read_ids(tsne), config)
        by_row = np.argsort(rows)
        shelf = Shelf(folder / "cells", viewer.cell_px - viewer.gap_px)
        shown = Thumbnails(images["thumbnails"], rows[by_row], np.zeros(len(rows), bool))
        shapes = [(shelf.side, shelf.side)] * len(rows)
        thumbnails.decode(shown, shelf, shapes, np.arange(len(rows)), os.cpu_count() or 1)
    size, boxes = mosaic.grid_boxes(a_map, np.array(shapes), viewer.cell_px)
    names = np.array([str(i) for i in range(len(rows))], object)
    return Mosaic(size, (0x1D, 0x1E, 0x21), shelf, boxes, np.argsort(by_row), names)


def build(picture: object, tiling: Tiling, folder: Path) -> float:
    """Seconds of processors."""
    start = time.process_time()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        Pyramid(picture, tiling, folder / "tiles", folder / "pieces", None).build(pool)
    return time.process_time() - start


def window_bytes(folder: Path, size: tuple[int, int], tiling: Tiling, level: int) -> tuple[int, int]:
    """(files, bytes) that a window in the middle of a level touches."""
    width, height = level_size(size, level)
    found = []
    for path in (folder / "tiles" / str(level)).iterdir():
        col, row = map(int, path.stem.split("_"))
        inside = [
            abs((at + 0.5) * tiling.tile_px - side / 2) < (tiling.tile_px + seen) / 2
            for at, side, seen in ((col, width, WINDOW[0]), (row, height, WINDOW[1]))
        ]
        found += [path.stat().st_size] if all(inside) else []
    return len(found), sum(found)


def psnr(folder: Path, picture: Mosaic, tiling: Tiling) -> float:
    """Of the tiles of the full size against what was drawn, dB."""
    squared, count, top = 0.0, 0, n_levels(picture.size) - 1
    for path in sorted((folder / "tiles" / str(top)).iterdir())[:: max(1, 512 // tiling.tile_px) ** 2]:
        col, row = map(int, path.stem.split("_"))
        left, upper = (max(0, at * tiling.tile_px - tiling.overlap) for at in (col, row))
        tile = np.asarray(Image.open(path).convert("RGB")).astype(np.float64)
        drawn = picture.plan((left, upper, left + tile.shape[1], upper + tile.shape[0])).draw()
        squared += np.square(tile - np.asarray(drawn)[..., :3]).sum()
        count += tile.size
    return 10 * np.log10(255**2 / (squared / count))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path)
    config = config_module.load(parser.parse_args().config)
    viewer = config.viewer
    standard = Tiling(viewer.tile_px, viewer.overlap, viewer.format, viewer.quality, (0x1D, 0x1E, 0x21))
    print(header("pillow", "numpy"), "\n")
    with TemporaryDirectory() as temporary:
        picture = read_mosaic(config, Path(temporary))
        top = n_levels(picture.size) - 1
        home = next(level for level in range(top + 1) if level_size(picture.size, level)[1] >= WINDOW[1])
        print("| tiles | files | MB | s of processors | first view: files, KB | deep inside: files, KB | PSNR, dB |")
        print("|---|---|---|---|---|---|---|")
        for number, change in enumerate(CHANGES):
            tiling, folder = replace(standard, **change), Path(temporary) / str(number)
            took = build(picture, tiling, folder)
            sizes = [path.stat().st_size for path in (folder / "tiles").glob("*/*_*")]
            views = [window_bytes(folder, picture.size, tiling, level) for level in (home, top)]
            told = " | ".join(f"{n}, {n_bytes / 1e3:,.0f}" for n, n_bytes in views)
            shipped = (
                f"as set: quality {viewer.quality}, tile_px {viewer.tile_px}, overlap {viewer.overlap}, {viewer.format}"
            )
            name = ", ".join(f"{key} {value}" for key, value in change.items()) or shipped
            quality = psnr(folder, picture, tiling)
            print(
                f"| {name} | {len(sizes)} | {sum(sizes) / 1e6:.1f} | {took:.1f} | {told} | {quality:.1f} |", flush=True
            )


if __name__ == "__main__":
    main()
