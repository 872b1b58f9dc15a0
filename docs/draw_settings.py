"""Draws the pictures of docs/SETTINGS.md: what single settings do to the painted collection.

Reads   outputs/demo/ as `make demo` leaves it (--outputs names another folder)
Writes  docs/images/settings/*.png, *.jpg
Run     python docs/draw_settings.py
Cost    2 minutes on 2 cores, most of it for looking at 256 pictures three times

Every panel is made by the stage itself, run with one setting changed, in a folder of its own.
"""

from __future__ import annotations

import argparse
import io
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
from PIL import Image, ImageDraw, ImageOps

REPO = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPO)]

import build_tsne  # noqa: E402
import extract_style  # noqa: E402
import prepare_images  # noqa: E402
import render_grid  # noqa: E402
import tsne_to_grid  # noqa: E402
from artatlas import config, store  # noqa: E402

HERE = REPO / "docs" / "images" / "settings"
KEPT = ("images.h5", "content.h5", "style.h5", "color.h5")
MAPS = "maps={combined: {content: 1, style: 1}}"
STYLE = "maps={style: {style: 1}}"
PANEL_PX = 240
Panel = tuple[str, tuple[str, ...]]  # what stands above it, and its settings


def fresh(outputs: Path, folder: Path) -> None:
    """A folder with the embeddings of the demo in it, to run stages in."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name in KEPT:
        shutil.copyfile(outputs / name, folder / name)


def load(folder: Path, *settings: str) -> config.Config:
    return config.load(REPO / "configs" / "demo.yaml", (f"paths.outputs={folder}", *settings))


def draw_map(folder: Path, settings: tuple[str, ...]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Coordinates (N, 2) of the one map there is, and the labels of its works."""
    made = load(folder, f"parametric_tsne.map={next_map(settings)}", *settings)
    build_tsne.main(made)
    with h5py.File(folder / "tsne.h5") as tsne, h5py.File(folder / "images.h5") as images:
        rows = store.rows_of(store.read_ids(tsne), store.read_ids(images))
        labels = {name: images[f"metadata/{name}"].asstr()[:][rows] for name in ("artist", "genre")}
        return tsne[f"{next(iter(made.maps))}/coordinates"][:], labels


def next_map(settings: tuple[str, ...]) -> str:
    """The name of the map that the settings ask for."""
    return next(setting for setting in settings if setting.startswith("maps=")).split("{")[1].split(":")[0]


def plot(name: str, panels: list[tuple[str, np.ndarray, np.ndarray]], per_row: int) -> None:
    """Panels of points (title, coordinates, labels), a colour for each label."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    n_rows = -(-len(panels) // per_row)
    figure, axes = plt.subplots(n_rows, per_row, figsize=(2.4 * per_row, 2.65 * n_rows), squeeze=False)
    for axis, (title, coordinates, labels) in zip(axes.ravel(), panels, strict=True):
        colours = plt.get_cmap("Set1")(np.unique(labels, return_inverse=True)[1] % 9)
        axis.scatter(*coordinates.T, s=7, c=colours, linewidths=0)
        axis.set(title=title, xticks=[], yticks=[], aspect="equal")
        axis.title.set_fontsize(10)
        axis.set_box_aspect(1)
        axis.set_adjustable("datalim")
        for side in axis.spines.values():
            side.set_color("#cccccc")
    figure.subplots_adjust(left=0.005, right=0.995, bottom=0.02, top=1 - 0.1 / n_rows, wspace=0.04, hspace=0.14)
    canvas = io.BytesIO()
    figure.savefig(canvas, dpi=100, metadata={"Software": None})
    plt.close(figure)
    Image.open(canvas).convert("RGB").quantize(32, dither=Image.Dither.NONE).save(HERE / f"{name}.png", optimize=True)


def side_by_side(name: str, panels: list[tuple[str, Image.Image]]) -> None:
    """Pictures beside each other, each with its title above."""
    gap, head = 12, 22
    width = sum(picture.width + gap for _, picture in panels) - gap
    sheet = Image.new("RGB", (width, head + max(picture.height for _, picture in panels)), "white")
    left, pen = 0, ImageDraw.Draw(sheet)
    for title, picture in panels:
        pen.text((left, 4), title, fill="#222222", font_size=13)
        sheet.paste(picture, (left, head))
        left += picture.width + gap
    sheet.save(HERE / f"{name}.jpg", quality=80, optimize=True, progressive=True)


def maps(outputs: Path, folder: Path) -> None:
    def panels(chosen: list[Panel], label: str = "artist") -> list[tuple[str, np.ndarray, np.ndarray]]:
        found = []
        for title, settings in chosen:
            coordinates, labels = draw_map(folder, settings)
            found.append((title, coordinates, labels[label]))
        return found

    def one(key: str, values: list[str], *more: str) -> list[Panel]:
        return [(f"{key}: {value}", (MAPS, f"tsne.{key}={value}", *more)) for value in values]

    fresh(outputs, folder)
    mixes = [("content: 1", "{content: 1}"), ("content: 1, style: 0.5", "{content: 1, style: 0.5}"),
             ("content: 1, style: 1", "{content: 1, style: 1}"), ("style: 1", "{style: 1}")]  # fmt: skip
    weights: list[Panel] = [(title, (f"maps={{combined: {mix}}}",)) for title, mix in mixes]
    plot("weights", panels(weights) + panels(weights, "genre"), 4)
    plot("perplexity", panels(one("perplexity", ["3", "10", "30", "80"])), 4)
    plot("early_exaggeration", panels(one("early_exaggeration", ["1", "4", "12", "50"])), 4)
    plot("scaling", panels(one("scaling", ["none", "min_max", "mean_square", "cosine"])), 4)
    started = one("initialization", ["pca"]) + one("initialization", ["pca"], "tsne.seed=7")
    started += one("initialization", ["random"]) + one("initialization", ["random"], "tsne.seed=7")
    titles = ["pca, seed 42", "pca, seed 7", "random, seed 42", "random, seed 7"]
    plot("initialization", panels([(t, s) for t, (_, s) in zip(titles, started, strict=True)]), 4)
    plot("n_iter", panels(one("n_iter", ["10", "50", "200", "500"])), 4)


def style(outputs: Path, folder: Path) -> None:
    found = []
    for transform in ("none", "sqrt", "log1p"):
        fresh(outputs, folder)
        changed = f"style.transform={transform}"
        extract_style.main(load(folder, changed))
        coordinates, labels = draw_map(folder, (STYLE, changed))
        found.append((f"transform: {transform}", coordinates, labels["artist"]))
    plot("transform", found, 3)


def mosaic(folder: Path, *settings: str) -> Image.Image:
    """The mosaic of the content map under some settings of grid and render."""
    made = load(folder, "maps={content: {content: 1}}", "parametric_tsne.map=content", "render.format=png", *settings)
    tsne_to_grid.main(made)
    render_grid.main(made)
    return Image.open(folder / "pictures" / "content_grid.png").convert("RGB")


def grids(outputs: Path, folder: Path) -> None:
    fresh(outputs, folder)
    build_tsne.main(load(folder, "maps={content: {content: 1}}", "parametric_tsne.map=content"))
    leaf = folder / "leaf.png"
    draw_leaf().save(leaf)
    shapes = [("free: 0", ()), ("free: 0.4", ("grid.free=0.4",)), ("mask: circle", ("grid.mask=circle",)),
              ("mask: leaf.png", (f"grid.mask={leaf}",)), ("aspect_ratio: 2", ("grid.aspect_ratio=2",))]  # fmt: skip
    small = [(title, mosaic(folder, "render.tile_px=32", *settings)) for title, settings in shapes]
    side_by_side("grid", [(title, ImageOps.contain(picture, (PANEL_PX * 2, PANEL_PX))) for title, picture in small])
    looks = [("fit: fill", ()), ("fit: contain", ("render.fit=contain",)), ("gap_px: 8", ("render.gap_px=8",)),
             ("contain, gap_px: 8, background", ("render.fit=contain", "render.gap_px=8",
                                                 'render.background="#1d1e21"'))]  # fmt: skip
    tiles = [(title, mosaic(folder, "render.tile_px=72", *settings)) for title, settings in looks]
    side_by_side("tiles", [(title, picture.crop((0, 0, PANEL_PX, PANEL_PX))) for title, picture in tiles])


def draw_leaf() -> Image.Image:
    """A dark shape on white: two arcs that meet, as a leaf's edges do."""
    height = np.linspace(-1, 1, 200)
    half = (1 - height**2) * (0.55 + 0.2 * height)
    inside = np.abs(np.linspace(-1, 1, 200))[None, :] < half[:, None]
    return Image.fromarray(np.where(inside, 0, 255).astype(np.uint8))


def fits(outputs: Path, folder: Path) -> None:
    """One wide work, as the network sees it under each images.fit."""
    work = "anselm-dusk/boat-2.jpg"
    source = folder / "one"
    source.mkdir(parents=True)
    original = REPO / "data" / "collection" / "images" / work
    shutil.copyfile(original, source / "work.jpg")
    panels = [("the picture", ImageOps.contain(Image.open(original).convert("RGB"), (200, 160)))]
    for fit in ("squash", "crop", "pad"):
        made = load(folder, f"images.fit={fit}", f"paths.images={source}", "paths.metadata=null")
        prepare_images.main(made)
        with h5py.File(folder / "images.h5") as h5:
            panels.append((f"fit: {fit}", Image.fromarray(h5["pixels"][0]).resize((160, 160))))
    side_by_side("fit", panels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--outputs", type=Path, default=REPO / "outputs" / "demo", help="of the demo")
    outputs = parser.parse_args().outputs
    HERE.mkdir(parents=True, exist_ok=True)
    parts: list[Callable[[Path, Path], None]] = [maps, grids, style, fits]
    for part in parts:
        with tempfile.TemporaryDirectory() as scratch:
            part(outputs, Path(scratch) / "outputs")


if __name__ == "__main__":
    main()
