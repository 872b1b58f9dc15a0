"""The pictures of a collection: per map a mosaic, a scatter of thumbnails and a plot of coloured points.

Reads   outputs/grid.h5, tsne.h5, images.h5
Writes  outputs/pictures/   per map <map>_grid.jpg (or .png), <map>_scatter.jpg, <map>_points.png
Run     python render_grid.py            settings: render
Cost    5,000 works on 3 maps: 18 s of processor time, 0.2 GB of memory. It does not grow with the mosaics: they
        are drawn a strip at a time (100,000 small thumbnails on 1 map, 30,432 x 30,336 px: 190 s, 0.2 GB); only a
        scatter is drawn whole (scatter_px squared x 4 bytes). While it runs, tiles and thumbnails, decoded once for
        all maps, are on the disk below outputs/: up to 43 KB a work at 96 and 72 px.
"""

import io
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import h5py
import numpy as np
from PIL import Image, ImageColor, ImageOps

from artatlas import cli, metadata, picture_files, plots, store, strips
from artatlas.config import Config, Render
from artatlas.errors import UserError
from artatlas.layouts import read_maps, rows_of_works, scatter_layout
from artatlas.stages import BY_NAME

SCATTER_SIDE = 10_000  # px; a canvas of 0.4 GB
CHUNK = 128  # thumbnails read and decoded at a time


@dataclass(frozen=True)
class Shrunk:
    """The works in both sizes that are drawn, as plain pixels in files that need not fit into memory."""

    tiles: IO[bytes]  # N x (tile_px, tile_px, 3) uint8
    thumbnails: IO[bytes]  # N x (height, width, 3) uint8, one after the other
    sizes: list[tuple[int, int]]  # N x (width, height) of the thumbnails


def mosaic_size(rows: int, cols: int, tile_px: int, gap_px: int) -> tuple[int, int]:
    """(width, height) in px; gaps are between tiles only."""
    return cols * (tile_px + gap_px) - gap_px, rows * (tile_px + gap_px) - gap_px


def too_large(size: tuple[int, int], file_format: str) -> str | None:
    """Why no single picture can be of `size` (width, height), or None."""
    if max(size) > strips.SIDES[file_format]:
        name = {"jpg": "JPEG", "png": "PNG"}[file_format]
        return f"is over the limit of {strips.SIDES[file_format]:,} px a side that a {name} can have"
    return None


def check_settings(config: Config) -> None:
    """Raises UserError for pictures that would be blurred or cannot be made, naming the settings that can."""
    render, stored_px, problems = config.render, config.images.thumbnail_px, []
    for key in ("tile_px", "scatter_thumbnail_px"):
        if (asked := getattr(render, key)) > stored_px:
            problems.append(
                f"render.{key}: {asked} would be blurred, images.thumbnail_px is {stored_px}. Set it to {stored_px}"
                f" or less, or images.thumbnail_px to {asked} or more."
            )
    if render.scatter_px < 4 * render.scatter_thumbnail_px:
        problems.append(
            f"render.scatter_px: {render.scatter_px} leaves no room between thumbnails of"
            f" {render.scatter_thumbnail_px} px. Set it to {4 * render.scatter_thumbnail_px} or more."
        )
    if render.scatter_px > SCATTER_SIDE:
        problems.append(
            f"render.scatter_px: {render.scatter_px} is over the limit of {SCATTER_SIDE} (0.4 GB of memory). Set it"
            f" to {SCATTER_SIDE} or less."
        )
    if problems:
        raise UserError(*problems)


def check_mosaic(render: Render, rows: int, cols: int) -> None:
    """Raises UserError for a mosaic that its format cannot hold."""
    width, height = mosaic_size(rows, cols, render.tile_px, render.gap_px)
    if reason := too_large((width, height), render.format):
        raise UserError(
            f"render.tile_px: {render.tile_px} makes {rows:,} x {cols:,} tiles a mosaic of {width:,} x {height:,} px,"
            f" which {reason}. {_remedy(render, rows, cols)}"
        )


def _remedy(render: Render, rows: int, cols: int) -> str:
    def fits(tile_px: int, file_format: str) -> bool:
        return not too_large(mosaic_size(rows, cols, tile_px, render.gap_px), file_format)

    largest = next((tile_px for tile_px in range(render.tile_px, 0, -1) if fits(tile_px, render.format)), None)
    smaller = f"Set it to {largest} or less" if largest else "Take fewer works with grid.sample"
    return f"{smaller}, or render.format to png." if fits(render.tile_px, "png") else f"{smaller}."


def shrink(jpeg: np.ndarray, render: Render) -> tuple[Image.Image, Image.Image]:
    """A stored thumbnail (bytes,) uint8, decoded once -> the tile of a mosaic and the thumbnail of a scatter.

    `fill` covers the tile, cutting both ends alike; `contain` and the scatter show the whole work and never enlarge.
    """
    image = Image.open(io.BytesIO(jpeg.tobytes()))
    needed = max(render.tile_px, render.scatter_thumbnail_px)
    image.draft("RGB", (needed, needed))  # decodes at 1/2, 1/4 or 1/8 where both sides stay at least that long
    thumbnail = image.convert("RGB")
    side = render.tile_px
    if render.fit == "fill":
        tile = ImageOps.fit(thumbnail, (side, side), Image.Resampling.LANCZOS)
    else:
        whole = thumbnail.copy()
        whole.thumbnail((side, side), Image.Resampling.LANCZOS)
        tile = Image.new("RGB", (side, side), render.background)
        tile.paste(whole, ((side - whole.width) // 2, (side - whole.height) // 2))
    thumbnail.thumbnail((render.scatter_thumbnail_px, render.scatter_thumbnail_px), Image.Resampling.LANCZOS)
    return tile, thumbnail


def shrink_works(
    jpegs: h5py.Dataset, rows: np.ndarray, config: Config, tiles: IO[bytes], thumbnails: IO[bytes]
) -> Shrunk:
    """Fills two empty files with what `shrink` makes of jpegs[rows]. rows is (N,) int64 and ascending."""
    sizes = []
    threads = None if config.machine.threads == "auto" else config.machine.threads
    with ThreadPoolExecutor(threads) as pool, cli.progress(total=len(rows), desc="thumbnails") as bar:
        for start in range(0, len(rows), CHUNK):
            chunk = rows[start : start + CHUNK]
            block = jpegs[chunk[0] : chunk[-1] + 1][chunk - chunk[0]]  # HDF5 reads a slice faster than a selection
            for tile, thumbnail in pool.map(shrink, block, [config.render] * len(chunk)):
                tiles.write(tile.tobytes())
                thumbnails.write(thumbnail.tobytes())
                sizes.append(thumbnail.size)
            bar.update(len(chunk))
    return Shrunk(tiles, thumbnails, sizes)


def save_mosaic(path: Path, cells: np.ndarray, shape: tuple[int, int], tiles: IO[bytes], render: Render) -> None:
    """Writes a grid of `shape` (rows, cols) with every tile at its cell, (N, 2) int64 (row, col); -1 is left out."""
    side, pitch = render.tile_px, render.tile_px + render.gap_px
    size = mosaic_size(*shape, side, render.gap_px)
    background = np.array(ImageColor.getrgb(render.background), np.uint8)
    work_at = np.full(shape, -1)
    placed = np.flatnonzero(cells[:, 0] >= 0)
    work_at[tuple(cells[placed].T)] = placed

    def draw(top: int, bottom: int) -> np.ndarray:
        strip = np.empty((bottom - top, size[0], 3), np.uint8)
        strip[:] = background
        for row in range(top // pitch, (bottom - 1) // pitch + 1):
            first, end = max(top - row * pitch, 0), min(bottom - row * pitch, side)  # rows of its tiles on the strip
            if first >= end:
                continue  # only the gap below them is on it
            drawn = strip[row * pitch + first - top : row * pitch + end - top]
            for col, work in enumerate(work_at[row]):
                if work >= 0:
                    tiles.seek((int(work) * side + first) * side * 3)
                    pixels = np.frombuffer(tiles.read((end - first) * side * 3), np.uint8)
                    drawn[:, col * pitch : col * pitch + side] = pixels.reshape(end - first, side, 3)
        return strip

    if render.format == "png":
        strips.save_png(path, size, draw)
    else:
        strips.save_jpeg(path, size, draw, render.quality)


def save_scatter(path: Path, coordinates: np.ndarray, shrunk: Shrunk, render: Render) -> None:
    """Writes the thumbnails at their map coordinates (N, 2), later ones on top."""
    size, centres = scatter_layout(coordinates, render.scatter_px, render.scatter_thumbnail_px)
    canvas = Image.new("RGB", size, render.background)
    shrunk.thumbnails.seek(0)
    for (width, height), (x, y) in zip(shrunk.sizes, centres, strict=True):
        thumbnail = Image.frombytes("RGB", (width, height), shrunk.thumbnails.read(width * height * 3))
        canvas.paste(thumbnail, (int(x - width / 2), int(y - height / 2)))
    picture_files.save_jpeg(canvas, path, render.quality, subsampling=0)


def read_column(images: h5py.File, column: str | None, rows: np.ndarray) -> tuple[str | None, list[str]]:
    """The metadata column to colour by and its values at rows (N,); (None, N empty texts) where there is none."""
    columns = list(images["metadata"]) if "metadata" in images else []
    stored = column and column.replace("/", metadata.SLASH)
    if stored in columns:
        return column, list(images[f"metadata/{stored}"].asstr()[:][rows])
    if column is not None:
        has = f"has {', '.join(columns)}" if columns else "has none"
        cli.notice(f"render.color_by: the metadata has no column {column} ({has}), so points have one colour")
    return None, [""] * len(rows)


def main(config: Config) -> tuple[Path, str]:
    # 1. Read
    check_settings(config)
    with (
        store.open_output(config, "grid") as grid,
        store.open_output(config, "tsne") as tsne,
        store.open_output(config, "images") as images,
    ):
        inputs = {h5.attrs["stage"]: str(h5.attrs["fingerprint"]) for h5 in (grid, tsne, images)}
        recipe = {"settings": config.settings(("render",))}
        maps = read_maps(tsne, grid, list(config.maps))
        shape = maps[0].shape
        check_mosaic(config.render, *shape)
        image_ids = store.read_ids(tsne)
        rows = rows_of_works(images, image_ids, config)
        column, values = read_column(images, config.render.color_by, rows)

        # 2. Compute and 3. Write, a strip at a time
        start = time.perf_counter()
        output = config.outputs / BY_NAME["pictures"].output
        with (
            store.create_folder(output, "pictures", recipe, inputs) as folder,
            TemporaryFile(dir=folder) as tiles,
            TemporaryFile(dir=folder) as thumbnails,
        ):
            order = np.argsort(rows)  # as in images.h5: what comes later there lies on top in a scatter
            shrunk = shrink_works(images["thumbnails"], rows[order], config, tiles, thumbnails)
            for each in cli.progress(maps, unit="map", desc="pictures"):
                mosaic = folder / f"{each.name}_grid.{config.render.format}"
                save_mosaic(mosaic, each.cells[order], each.shape, tiles, config.render)
                save_scatter(folder / f"{each.name}_scatter.jpg", each.coordinates[order], shrunk, config.render)
                plots.plot_points(folder / f"{each.name}_points.png", each.name, each.coordinates, column, values)
        rate = len(image_ids) / (time.perf_counter() - start)
    width, height = mosaic_size(*shape, config.render.tile_px, config.render.gap_px)
    return output, (
        f"{cli.count(3 * len(maps), 'picture')} of {cli.count(len(image_ids), 'work')}, mosaics of {shape[0]:,} x"
        f" {shape[1]:,} tiles ({width:,} x {height:,} px), at {rate:,.0f} works/s"
    )


if __name__ == "__main__":
    cli.run(main, __doc__)
