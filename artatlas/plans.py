"""What a run will take, before it is begun: rows, disk, memory, time, tiles; and whether this machine has it.

Bytes follow from the schemas and the settings. Time and memory come from what docs/BENCHMARKS.md and the Cost lines of
the scripts record of one machine, and time is scaled by how fast this one multiplies matrices and decodes some of the
pictures themselves. They tell a coffee from a night, not a minute from two.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from artatlas import cli, collection, images, pyramid, reduce, shapes, store, vgg
from artatlas.config import Config
from artatlas.errors import UserError
from artatlas.stages import BY_NAME, Stage

MB, GB = 1_000_000, 1_000_000_000

# Of the machine of docs/BENCHMARKS.md, 2 cores; the section that says so behind each.
MATMUL_GFLOPS = 182  # The network: float32
NETWORK_GFLOPS = {"bfloat16": 592, "float32": 178, "float16": 178}  # The network; float16 has not been measured
NETWORK_GFLOP = 39.0  # The network: a picture of 224 px through VGG19
EARLY_SHARE = 1 / 3  # extract_style.py: of the network, up to block3_conv1
PCA_S = 394.7 / 20_000 / 32_896  # PCA of Gram vectors: a number, above 4,096 works
COLOR_S = {"rgb": 1 / 606, "lab": 1 / 100}  # Hours; extract_color.py
NEIGHBORS_S = 174.6 / 100_000**2  # EXPERIMENTS, spaces: exact, a pair of works
VARIANTS_S = 10 * 0.006 / 2  # find_variants.py: 10 pairs a work, 6 ms of a core each
CLUSTERS_S = 119 / 81_444 / 202  # WIKIART.md, Rehearsed: a space, a work and group
TSNE_S = 241 / 50_000 / 2  # t-SNE: seconds of processors, a map
PARAMETRIC_S = 75 / 1_200 / 200  # train_parametric_tsne.py, an epoch
GRID_S = 8 / 102_400  # Grids, a map
RENDER_S = 190 / 100_000  # render_grid.py, a map
REPORT_S = 0.006  # The report, a map
VIEWER_S = 29 / 5_000 / 2  # The page at scale: seconds of processors, a map
START_S, TENSORFLOW_S = 0.5, 8.5  # Start-up

THUMBNAIL = 20_000  # bytes; prepare_images.py: 170 KB a work at 224 px
NAME = 300  # bytes a work for ids, hashes and the like
TILE_BYTES = 55 * MB / 5_000  # The page at scale: a work, a map
SLACK = 0.05  # of the disk's need, for what is not counted: tables, sheets, file systems' own blocks


@dataclass(frozen=True)
class Need:
    """What one stage takes."""

    disk: float  # bytes of its output
    meanwhile: float  # bytes that are on the disk while it runs only
    memory: float  # bytes, TensorFlow and Python included
    seconds: float  # on the machine of the benchmarks
    decoding: float = 0.0  # seconds a work of it is decoding
    tiles: int = 0


def n_works(config: Config) -> int:
    """Of images.h5 where it is up to date, else files of the collection."""
    if store.why_stale(config, "images") is None:
        with store.open_output(config, "images") as h5:
            return len(h5["image_ids"])
    return sum(not file.problem for file in collection.find(config))


def own_width(config: Config) -> int:
    """Dimensions of the features that were made elsewhere; 0 where there are none."""
    path = config.outputs / BY_NAME["own"].output
    if not path.exists():
        return 0
    with store.open_kept(path, "own") as h5:
        return int(h5["embeddings"].shape[1])


def needs(config: Config, n: int) -> dict[str, Need]:
    """Of every stage for n works."""
    side, n_maps, n_spaces = config.images.network_px, len(config.maps), len(config.similar.spaces)
    gram = sum(vgg.gram_length(layer) for layer in config.style.layers)
    widths = {
        "content": config.content.n_components or 512, "style": min(n, config.style.n_components),
        "color": config.color.bins**3, "own": own_width(config),
    }  # fmt: skip
    row = {name: n * (4 * width + NAME) for name, width in widths.items()}
    features = max(sum(widths[name] for name in weights) for weights in config.maps.values()) * 4 * n  # of one map
    pixels = n * (side * side * 3 + THUMBNAIL + NAME)
    network = NETWORK_GFLOP * (side / 224) ** 2 / NETWORK_GFLOPS[_precision(config)]
    pca = PCA_S * gram * (n if n > reduce.EXACT_ROWS else n * 0.5)
    kept = n * gram * 4 if n * gram * 4 <= config.machine.keep_vectors_gb * GB else 0
    viewer, pairs = config.viewer, float(n) * min(n, 100_000)  # above 100,000 works search is approximate
    tiles = n_tiles(config, n)
    groups = (n / 2) ** 0.5 if config.clusters.n_clusters == "auto" else config.clusters.n_clusters
    redraws = (3 if n <= 10_000 else 0) if config.evaluate.n_seeds == "auto" else config.evaluate.n_seeds or 0
    drawing = TSNE_S * n * n_maps
    mosaic = n * config.render.tile_px**2 * 3
    cells = 4 * n * ((viewer.cell_px - viewer.gap_px) ** 2 + viewer.scatter_px**2)
    enlarged = viewer.detail_px / config.images.thumbnail_px
    larger = enlarged**2 if enlarged > 1 else 0.0
    return {
        "images": Need(pixels, pixels, 500 * MB + 2_000 * n, START_S, decoding=float(n)),
        "content": Need(row["content"], n * 2048, 1_600 * MB + n * 2_500, TENSORFLOW_S + n * network),
        "style": Need(row["style"] + kept + gram * 2048, n * gram * 4 - kept, 1_600 * MB + 4 * gram * 1_100,
                      TENSORFLOW_S + n * network * EARLY_SHARE + pca),
        "color": Need(row["color"], 0, 80 * MB + row["color"],
                      START_S + n * COLOR_S[config.color.space] * (side / 224) ** 2),
        "neighbors": Need(n * n_spaces * config.similar.n_neighbors * 8, 0, 150 * MB + 3 * sum(row.values()),
                          START_S + pairs * NEIGHBORS_S * n_spaces),
        "variants": Need(n * NAME, n * 10 * 56, 300 * MB + n * 2_000, START_S + n * VARIANTS_S),
        "clusters": Need(n * n_spaces * 8, 0, 200 * MB + 3 * sum(row.values()),
                         START_S + n * groups * CLUSTERS_S * n_spaces),
        "tsne": Need(n * n_maps * 8, 0, 230 * MB + 2.6 * features, START_S + drawing),
        "parametric_tsne": Need(20 * MB + features / 100, 0, 950 * MB + 2.6 * features,
                                TENSORFLOW_S + n * PARAMETRIC_S * config.parametric_tsne.epochs),
        "grid": Need(n * n_maps * 8, 0, 70 * MB + 300 * n, START_S + GRID_S * n * n_maps),
        "pictures": Need(0.2 * mosaic * n_maps, mosaic + n * config.render.scatter_thumbnail_px**2 * 3,
                         150 * MB + config.render.scatter_px**2 * 4 + 400 * n, START_S + RENDER_S * n * n_maps),
        "report": Need(n * n_maps * 12 + 5 * MB, 0, 150 * MB + 40_000 * n,
                       START_S + REPORT_S * n * n_maps + drawing * redraws),
        "viewer": Need(n * (TILE_BYTES * n_maps + THUMBNAIL * (1 + larger)) + n * NAME, cells, 380 * MB + 2_000 * n,
                       START_S + VIEWER_S * n * n_maps, decoding=float(n) if larger else 0.0, tiles=tiles),
    }  # fmt: skip


def _precision(config: Config) -> str:
    if config.vgg.precision != "auto":
        return config.vgg.precision
    return "bfloat16" if vgg.computes_in_bfloat16() else "float32"


def n_tiles(config: Config, n: int) -> int:
    """Files of the page's pyramids, at most: a tile of nothing but background has none."""
    viewer = config.viewer
    rows, cols = shapes.choose_shape(max(1, round(n / (1 - config.grid.free))), config.grid.aspect_ratio)
    scatter = round(viewer.scatter_spread * viewer.scatter_px * n**0.5)
    total = 0
    for size in ((cols * viewer.cell_px, rows * viewer.cell_px), (scatter, scatter)):
        for level in range(pyramid.n_levels(size)):
            width, height = pyramid.level_size(size, level)
            total += -(-width // viewer.tile_px) * -(-height // viewer.tile_px)
    return total * len(config.maps)


@dataclass(frozen=True)
class Speed:
    """This machine beside that of the benchmarks."""

    factor: float  # of its speed in matrix products
    decoding: float  # seconds a picture of the collection


def probe(config: Config) -> Speed:
    """Some seconds of measuring: matrix products, and up to 24 pictures from all over the collection."""
    square = np.random.default_rng(0).standard_normal((1024, 1024), dtype=np.float32)
    _ = square @ square
    seconds = []
    for _ in range(7):
        start = time.perf_counter()
        _ = square @ square
        seconds.append(time.perf_counter() - start)
    gflops = 2 * 1024**3 / 1e9 / min(seconds)
    files = [file.path for file in collection.find(config) if not file.problem]
    some = files[:: max(1, len(files) // 24)][:24]
    start = time.perf_counter()
    list(images.decode_all(some, config.images, config.machine.threads))
    return Speed(gflops / MATMUL_GFLOPS, (time.perf_counter() - start) / max(1, len(some)))


def seconds(need: Need, speed: Speed) -> float:
    return need.seconds / speed.factor + need.decoding * speed.decoding


def free_disk(config: Config) -> int:
    folder = config.outputs
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def memory_limit() -> int | None:
    """Bytes that this process can have at most, of the machine or its container; None where that is not told."""
    limits = []
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for file in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            limits.append(int(Path(file).read_text()))
        except (OSError, ValueError):
            continue
    return min(limits, default=None)


def disk_needed(config: Config, due: list[Stage], wanted: dict[str, Need]) -> float:
    """The most that the due stages have on the disk at one time beyond what is there now."""
    held = most = 0.0
    for stage in due:
        need = wanted[stage.name]
        most = max(most, held + need.disk + need.meanwhile)  # the old output stays until the new one is whole
        held += need.disk - _size(config.outputs / stage.output)
    return max(0.0, most) * (1 + SLACK)


def _size(path: Path) -> int:
    if path.is_dir():
        return sum(each.stat().st_size for each in path.rglob("*") if each.is_file())
    return path.stat().st_size if path.exists() else 0


def check(config: Config, due: list[Stage], free: Callable[[Config], int] = free_disk,
          limit: Callable[[], int | None] = memory_limit) -> None:  # fmt: skip
    """Raises UserError where the due stages need more disk or memory than there is."""
    if not due:
        return
    n = n_works(config)
    wanted, problems, by_hand = needs(config, n), [], "The scripts themselves, run by hand, do not ask"
    disk, there = disk_needed(config, due, wanted), free(config)
    if disk > there:
        problems.append(
            f"paths.outputs: {store.show(config.outputs)} needs {show(disk)} more for {cli.count(n, 'work')}, and"
            f" {show(there)} are free. Free some space or set paths.outputs to another disk. {by_hand}."
        )
    hungriest, most = max(due, key=lambda stage: wanted[stage.name].memory), limit()
    if most is not None and wanted[hungriest.name].memory > most:
        problems.append(
            f"{hungriest.script} needs about {show(wanted[hungriest.name].memory)} of memory for"
            f" {cli.count(n, 'work')}, this machine has {show(most)}. Take a larger one, or fewer works. {by_hand}."
        )
    if problems:
        raise UserError(*problems)


def show(n_bytes: float) -> str:
    return f"{n_bytes / GB:,.1f} GB" if n_bytes >= GB else f"{n_bytes / MB:,.0f} MB"


def table(config: Config, due: list[Stage], every: tuple[Stage, ...]) -> list[str]:
    """The plan as lines of text."""
    if not due:
        return ["everything is up to date"]
    n, speed = n_works(config), probe(config)
    wanted = needs(config, n)
    lines = [f"{'script':26}{'works':>10}{'disk':>10}{'meanwhile':>11}{'memory':>10}{'time':>14}  tiles"]
    for stage in every:
        need = wanted[stage.name]
        if stage not in due:
            lines.append(f"{stage.script:26}{'up to date':>10}")
            continue
        parts = [f"{stage.script:26}{n:>10,}{show(need.disk):>10}{show(need.meanwhile):>11}{show(need.memory):>10}"]
        parts.append(f"{cli.duration(seconds(need, speed)):>14}  {need.tiles or '':,}" if need.tiles else
                     f"{cli.duration(seconds(need, speed)):>14}")  # fmt: skip
        lines.append("".join(parts))
    total, most = sum(seconds(wanted[stage.name], speed) for stage in due), memory_limit()
    lines.append(
        f"needed: {show(disk_needed(config, due, wanted))} of disk at most ({show(free_disk(config))} free),"
        f" {show(max((wanted[stage.name].memory for stage in due), default=0))} of memory"
        + (f" ({show(most)} there)" if most else "") + f", about {cli.duration(total)}"
    )  # fmt: skip
    lines.append(
        f"from: sizes by the settings; decoding measured on your pictures just now ({1 / speed.decoding:,.0f} works/s);"
        f" the rest by the rates of docs/BENCHMARKS.md at {speed.factor:.2f} of that machine's speed, without a GPU"
    )
    return lines
