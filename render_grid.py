"""The pictures of a collection: per map a mosaic, a scatter of thumbnails and a plot of coloured points.

Reads   outputs/grid.h5, tsne.h5, images.h5
Writes  outputs/pictures/   per map <map>_grid.jpg (or .png), <map>_scatter.jpg, <map>_points.png
Run     python render_grid.py            settings: render
Source  colours for the colour-blind: Okabe & Ito 2008; viridis: Smith & van der Walt 2015
Cost    20,000 works on 3 maps: 55 s of processor time, 2.4 GB; less than 4 GB whatever the settings. Each
        thumbnail is decoded once for as many maps as fit into memory together.
"""

import io
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from PIL import Image, ImageOps

from artatlas import cli, metadata, store
from artatlas.config import Config, Render
from artatlas.errors import UserError
from artatlas.stages import BY_NAME

JPEG_SIDE = 65_500  # px, the most that libjpeg writes
MAX_PIXELS = 800_000_000  # of a mosaic: Pillow takes 4 bytes a pixel, so 3.2 GB
SCATTER_SIDE = 10_000  # px; 0.4 GB more, drawn at the same time
CHUNK = 512  # thumbnails read and decoded at a time: 100 MB where they are 256 px

NAMED = 20  # categories with a colour of their own; more cannot be told apart
# Okabe & Ito's without black and yellow, which are too dark and too pale for points; each round has its own marker.
COLORS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#7A4B1F")
MARKERS = ("o", "^", "s")
GREY = "#C4C4C4"
LABEL_LENGTH = 40  # characters; a label is the collection's own text and may be anything


@dataclass(frozen=True)
class Map:
    name: str
    coordinates: np.ndarray  # (N, 2) float32 (x, y)
    cells: np.ndarray  # (N, 2) float64 (row, col); NaN for a work that grid.sample left out
    shape: tuple[int, int]  # (rows, cols) of the grid


@dataclass(frozen=True)
class Picture:
    """A canvas, and where on it each work goes."""

    file: str
    shows: str  # "tile" or "thumbnail"
    canvas: Image.Image
    centres: np.ndarray  # (N, 2) float64 (x, y) in px; NaN for a work that is not on it

    def paste(self, i: int, image: Image.Image) -> None:
        x, y = self.centres[i]
        if not np.isnan(x):
            self.canvas.paste(image, (int(x - image.width / 2), int(y - image.height / 2)))


def mosaic_size(rows: int, cols: int, tile_px: int, gap_px: int) -> tuple[int, int]:
    """(width, height) in px; gaps are between tiles only."""
    return cols * (tile_px + gap_px) - gap_px, rows * (tile_px + gap_px) - gap_px


def mosaic_centres(cells: np.ndarray, tile_px: int, gap_px: int) -> np.ndarray:
    """Cells (M, 2) as (row, col) -> the centres of their tiles (M, 2) as (x, y) in px."""
    return cells[:, ::-1] * (tile_px + gap_px) + tile_px / 2


def scatter_layout(coordinates: np.ndarray, scatter_px: int, thumbnail_px: int) -> tuple[tuple[int, int], np.ndarray]:
    """Map coordinates (N, 2) -> (width, height) of the picture and the thumbnails' centres (N, 2) as (x, y) in px.

    Both axes have the same scale, y points up, and a margin keeps every thumbnail whole.
    """
    low, high = coordinates.min(axis=0).astype(np.float64), coordinates.max(axis=0).astype(np.float64)
    longer = (high - low).max()
    scale = (scatter_px - 2 * thumbnail_px) / longer if longer > 0 else 0.0
    centres = np.column_stack((coordinates[:, 0] - low[0], high[1] - coordinates[:, 1])) * scale + thumbnail_px
    width, height = np.round((high - low) * scale).astype(int) + 2 * thumbnail_px
    return (int(width), int(height)), centres


def too_large(size: tuple[int, int], file_format: str) -> str | None:
    """Why no single picture can be of `size` (width, height), or None."""
    if size[0] * size[1] > MAX_PIXELS:
        return f"is over the limit of {MAX_PIXELS // 10**6} megapixels (3.2 GB of memory)"
    if file_format == "jpg" and max(size) > JPEG_SIDE:
        return f"is over the limit of {JPEG_SIDE:,} px a side that a JPEG can have"
    return None


def check_settings(config: Config, rows: int, cols: int) -> None:
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
    width, height = mosaic_size(rows, cols, render.tile_px, render.gap_px)
    if reason := too_large((width, height), render.format):
        problems.append(
            f"render.tile_px: {render.tile_px} makes {rows:,} x {cols:,} tiles a mosaic of {width:,} x {height:,} px,"
            f" which {reason}. {_remedy(render, rows, cols)}"
        )
    if problems:
        raise UserError(*problems)


def _remedy(render: Render, rows: int, cols: int) -> str:
    def fits(tile_px: int, file_format: str) -> bool:
        return not too_large(mosaic_size(rows, cols, tile_px, render.gap_px), file_format)

    largest = next((tile_px for tile_px in range(render.tile_px, 0, -1) if fits(tile_px, render.format)), None)
    smaller = f"Set it to {largest} or less" if largest else "Take fewer works with grid.sample"
    return f"{smaller}, or render.format to png." if fits(render.tile_px, "png") else f"{smaller}."


def shrink(jpeg: np.ndarray, render: Render) -> dict[str, Image.Image]:
    """A stored thumbnail (bytes,) uint8, decoded once -> the "tile" of a mosaic and the "thumbnail" of a scatter.

    `fill` covers the tile, cutting both ends alike; `contain` and the scatter show the whole work and never enlarge.
    """
    image = Image.open(io.BytesIO(jpeg.tobytes()))
    needed = max(render.tile_px, render.scatter_thumbnail_px)
    image.draft("RGB", (needed, needed))  # decodes at 1/2, 1/4 or 1/8 where both sides stay at least that long
    thumbnail = image.convert("RGB")
    tile = thumbnail.copy()
    thumbnail.thumbnail((render.scatter_thumbnail_px, render.scatter_thumbnail_px), Image.Resampling.LANCZOS)
    if render.fit == "fill":
        tile = ImageOps.fit(tile, (render.tile_px, render.tile_px), Image.Resampling.LANCZOS)
    else:
        tile.thumbnail((render.tile_px, render.tile_px), Image.Resampling.LANCZOS)
    return {"tile": tile, "thumbnail": thumbnail}


def shrunk_works(
    jpegs: h5py.Dataset, rows: np.ndarray, config: Config
) -> Iterator[tuple[int, dict[str, Image.Image]]]:
    """Yields (i, what `shrink` makes of jpegs[rows[i]]) for every i, by ascending row. rows is (N,) int64."""
    order = np.argsort(rows)
    threads = None if config.machine.threads == "auto" else config.machine.threads
    with ThreadPoolExecutor(threads) as pool, cli.progress(total=len(rows), desc="thumbnails") as bar:
        for start in range(0, len(rows), CHUNK):
            chunk = order[start : start + CHUNK]
            first, last = rows[chunk[0]], rows[chunk[-1]]
            block = jpegs[first : last + 1][rows[chunk] - first]  # HDF5 reads a slice much faster than a selection
            yield from zip(chunk, pool.map(shrink, block, [config.render] * len(chunk)), strict=True)
            bar.update(len(chunk))


def draw_pictures(maps: list[Map], jpegs: h5py.Dataset, rows: np.ndarray, config: Config) -> Iterator[Picture]:
    """Yields the mosaic and the scatter of every map, finished; works later in images.h5 lie on top in a scatter.

    Draws as many maps at once as fit into memory, so that thumbnails are decoded as seldom as possible.
    """
    render = config.render
    width, height = mosaic_size(*maps[0].shape, render.tile_px, render.gap_px)
    at_once = max(1, MAX_PIXELS // (width * height + render.scatter_px**2))
    for first in range(0, len(maps), at_once):
        pictures = []
        for each in maps[first : first + at_once]:
            centres = mosaic_centres(each.cells, render.tile_px, render.gap_px)
            canvas = Image.new("RGB", (width, height), render.background)
            pictures.append(Picture(f"{each.name}_grid.{render.format}", "tile", canvas, centres))
            size, centres = scatter_layout(each.coordinates, render.scatter_px, render.scatter_thumbnail_px)
            canvas = Image.new("RGB", size, render.background)
            pictures.append(Picture(f"{each.name}_scatter.jpg", "thumbnail", canvas, centres))
        for i, shrunk in shrunk_works(jpegs, rows, config):
            for picture in pictures:
                picture.paste(i, shrunk[picture.shows])
        yield from pictures


def as_label(text: str) -> str:
    """Any text as one short printable line."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= LABEL_LENGTH else line[: LABEL_LENGTH - 1] + "…"


def as_numbers(values: list[str]) -> np.ndarray | None:
    """(N,) float64 with NaN for the unknown, where nine in ten values that are not empty are numbers; else None."""
    numbers = np.full(len(values), np.nan)
    for i, value in enumerate(values):
        try:
            numbers[i] = float(value)
        except ValueError:
            continue
    numbers[~np.isfinite(numbers)] = np.nan
    n_numbers, n_filled = np.isfinite(numbers).sum(), sum(bool(value.strip()) for value in values)
    return numbers if n_numbers and n_numbers >= 0.9 * n_filled else None


def as_categories(values: list[str]) -> list[tuple[str, np.ndarray, str, str]]:
    """(label, mask (N,) bool, colour, marker) per category, most frequent first, the rest and the unknown grey."""
    counts = Counter(value for value in values if value.strip())
    ranked = sorted(counts, key=lambda value: (-counts[value], value))
    column = np.array(values, dtype=object)
    named = []
    for i, value in enumerate(ranked[:NAMED]):
        color, marker = COLORS[i % len(COLORS)], MARKERS[i // len(COLORS)]
        named.append((f"{as_label(value)} ({counts[value]:,})", column == value, color, marker))
    others = np.isin(column, ranked[NAMED:])
    unknown = np.array([not value.strip() for value in values])
    if others.any():
        named.append((f"{len(ranked) - NAMED:,} others ({others.sum():,})", others, GREY, "o"))
    if unknown.any():
        named.append((f"not known ({unknown.sum():,})", unknown, GREY, "X"))
    return named


def plot_points(file: Path, name: str, coordinates: np.ndarray, column: str | None, values: list[str]) -> None:
    """A scatter plot of one map, (N, 2), coloured by the values (N) of a metadata column: numbers or categories."""
    from matplotlib import style
    from matplotlib.figure import Figure

    span = np.ptp(coordinates, axis=0)
    sides = 9 * np.clip(span / max(span.max(), 1e-30), 0.3, 1)  # inches
    with style.context("default"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # a box stands for a character that the font lacks
        figure = Figure(figsize=tuple(sides), dpi=150)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_aspect("equal", adjustable="datalim")
        axes.set_axis_off()
        title = f"{name}: {cli.count(len(coordinates), 'work')}"
        axes.set_title(title, loc="left", fontsize=15, parse_math=False)
        if column is None:
            axes.scatter(
                coordinates[:, 0], coordinates[:, 1], color=COLORS[0], s=np.clip(60_000 / len(coordinates), 4, 60)
            )
        else:
            _draw_points(axes, coordinates, column, values)
        figure.savefig(file, bbox_inches="tight", pad_inches=0.3)


def _draw_points(axes: Any, coordinates: np.ndarray, column: str, values: list[str]) -> None:
    x, y = coordinates.astype(np.float64).T
    look = {"s": np.clip(60_000 / len(x), 4, 60), "linewidths": 0.3, "edgecolors": "white"}
    numbers = as_numbers(values)
    if numbers is not None:
        _draw_numbers(axes, x, y, column, numbers, look)
        return
    groups = as_categories(values)
    handles = [
        axes.scatter(x[of], y[of], color=color, marker=marker, zorder=1 + (color != GREY), **look)
        for _, of, color, marker in groups
    ]
    names = ["-"] * len(groups)
    legend = axes.legend(handles, names, title="-", loc="upper left", bbox_to_anchor=(1.02, 1), frameon=False)
    # Set afterwards, for a legend leaves out labels that begin with an underscore and reads $ as mathematics.
    for text, (label, *_) in zip(legend.get_texts(), groups, strict=True):
        text.set(text=label, parse_math=False)
    legend.get_title().set(text=as_label(column), parse_math=False)


def _draw_numbers(axes: Any, x: np.ndarray, y: np.ndarray, column: str, numbers: np.ndarray, look: dict) -> None:
    """Colours by eighths of the works: years crowd at one end, and a mistyped one must not take all the colours."""
    from matplotlib.colors import BoundaryNorm

    known = np.isfinite(numbers)
    bounds = np.unique(np.quantile(numbers[known], np.linspace(0, 1, 9), method="nearest"))
    if len(bounds) == 1:
        bounds = np.append(bounds, bounds + 1)  # all works share one number
    axes.scatter(x[~known], y[~known], color=GREY, zorder=1, **look)
    points = axes.scatter(
        x[known], y[known], c=numbers[known], cmap="viridis", norm=BoundaryNorm(bounds, 256), **look
    )
    cax = axes.figure.add_axes((1.04, 0.25, 0.025, 0.5))
    bar = axes.figure.colorbar(points, cax=cax, ticks=bounds, format="%.6g")
    bar.outline.set_visible(False)
    unknown = f"\n(grey: not known, {(~known).sum():,})" if not known.all() else ""
    bar.set_label(as_label(column) + unknown, parse_math=False)


def read_maps(tsne: h5py.File, grid: h5py.File, names: list[str]) -> list[Map]:
    image_ids = store.read_ids(tsne)
    on_grid = store.rows_of(store.read_ids(grid), image_ids)
    maps = []
    for name in names:
        cells = np.full((len(image_ids), 2), np.nan)
        cells[on_grid] = grid[f"{name}/cells"][:]
        shape = int(grid[name].attrs["rows"]), int(grid[name].attrs["cols"])
        maps.append(Map(name, tsne[f"{name}/coordinates"][:], cells, shape))
    return maps


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


def rows_of_works(images: h5py.File, image_ids: np.ndarray, config: Config) -> np.ndarray:
    """Rows of images.h5, (N,) int64. Raises UserError where it lacks works that the maps have."""
    stored = store.read_ids(images)
    lacking = sorted(set(image_ids) - set(stored))
    if lacking:
        raise UserError(
            f"{store.show(images.filename)} lacks {cli.count(len(lacking), 'work')} of the maps, for example"
            f" {lacking[0]}. Run: {config.command('run_all.py')}"
        )
    return store.rows_of(image_ids, stored)


def main(config: Config) -> tuple[Path, str]:
    # 1. Read
    with (
        store.open_output(config, "grid") as grid,
        store.open_output(config, "tsne") as tsne,
        store.open_output(config, "images") as images,
    ):
        inputs = {h5.attrs["stage"]: str(h5.attrs["fingerprint"]) for h5 in (grid, tsne, images)}
        recipe = {"settings": config.settings(("render",))}
        maps = read_maps(tsne, grid, list(config.maps))
        shape = maps[0].shape
        check_settings(config, *shape)
        image_ids = store.read_ids(tsne)
        rows = rows_of_works(images, image_ids, config)
        column, values = read_column(images, config.render.color_by, rows)

        # 2. Compute and 3. Write, a few pictures at a time
        start = time.perf_counter()
        output = config.outputs / BY_NAME["pictures"].output
        with store.create_folder(output, "pictures", recipe, inputs) as folder:
            for picture in draw_pictures(maps, images["thumbnails"], rows, config):
                # Colour at full resolution (4:4:4), for tiles have hard edges; a PNG ignores both.
                picture.canvas.save(folder / picture.file, quality=config.render.quality, subsampling=0)
            for each in maps:
                plot_points(folder / f"{each.name}_points.png", each.name, each.coordinates, column, values)
        rate = len(image_ids) / (time.perf_counter() - start)
    width, height = mosaic_size(*shape, config.render.tile_px, config.render.gap_px)
    return output, (
        f"{cli.count(3 * len(maps), 'picture')} of {cli.count(len(image_ids), 'work')}, mosaics of {shape[0]:,} x"
        f" {shape[1]:,} tiles ({width:,} x {height:,} px), at {rate:,.0f} works/s"
    )


if __name__ == "__main__":
    cli.run(main, __doc__)
