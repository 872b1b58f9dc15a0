"""A page to explore the collection, in any browser, from any web server or straight from the disk.

Reads   outputs/grid.h5, tsne.h5, neighbors.h5, images.h5; faithfulness.h5 and clusters.h5 where there are such, to show
        which places on a map to distrust, and groups; the pictures themselves where detail_px is larger than thumbnails
Writes  outputs/viewer/   index.html and all that it needs:
        tiles/<map>_<grid|scatter>/   Deep Zoom pyramids, with a .dzi beside each for other viewers
        pictures/   what is shown of single works, at most detail_px; none of restricted works
        data/   positions, neighbours, metadata, read by the page as they are needed
        outputs/viewer_pieces/   what the next build needs to draw only where something has changed
Run     python build_viewer.py           settings: viewer
        python -m http.server --bind 127.0.0.1 --directory outputs/viewer     then open the address that it prints
Source  Deep Zoom (Microsoft); the page stands on OpenSeadragon (BSD-3-Clause)
Cost    1,231 works on 4 maps: 11 s of processors, 0.3 GB; where little has changed 5 s. With detail_px above
        images.thumbnail_px the files are decoded too: 5 ms each for small ones. More in docs/BENCHMARKS.md
"""

import hashlib
import html
import time
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfile

import h5py
import numpy as np
from PIL import ImageColor

from artatlas import cli, cluster, exhibits, findings, mosaic, npm, originals, shards, sidecars, store
from artatlas import thumbnails as thumbs
from artatlas.config import Config
from artatlas.errors import UserError
from artatlas.exhibits import Works
from artatlas.images import n_threads
from artatlas.mosaic import Mosaic
from artatlas.pyramid import Pyramid, Tiling, dzi, existing, keep_pieces
from artatlas.sidecars import Column, packed, packed_bits
from artatlas.stages import BY_NAME
from artatlas.thumbnails import Shelf, Thumbnails

PIECES = "viewer_pieces"  # beside the page: 1/64 of every picture's pixels, as they were before they were encoded
PAGE_FILES = (
    "index.html", "style.css",
    "core.js", "search.js", "layouts.js", "overlay.js", "map.js", "panel.js", "list.js", "filters.js", "select.js",
    "main.js",
)  # fmt: skip
LIBRARY_FILES = {
    "build/openseadragon/openseadragon.min.js": "openseadragon.min.js",
    "LICENSE.txt": "openseadragon.LICENSE.txt",
}


@dataclass(frozen=True)
class Layout:
    """A map as a grid or a scatter."""

    name: str
    size: tuple[int, int]
    boxes: np.ndarray  # (N, 4) px left, top, width, height
    pyramid: Pyramid


def check_settings(config: Config) -> None:
    """Raises UserError for settings that contradict each other."""
    viewer, stored_px, problems = config.viewer, config.images.thumbnail_px, []
    for key in ("cell_px", "scatter_px"):
        if (asked := getattr(viewer, key)) > stored_px:
            problems.append(
                f"viewer.{key}: {asked} would be blurred, images.thumbnail_px is {stored_px}. Set it to {stored_px} or"
                f" less, or images.thumbnail_px to {asked} or more."
            )
    if viewer.gap_px > viewer.cell_px // 2:
        problems.append(
            f"viewer.gap_px: {viewer.gap_px} leaves little of a cell of {viewer.cell_px} px. Set it to"
            f" {viewer.cell_px // 2} or less."
        )
    if problems:
        raise UserError(*problems)


def build_tiles(
    works: Works, thumbnails: Thumbnails, pictures: np.ndarray, config: Config, work: Path, previous: Path,
    n_drawn: int,
) -> list[Layout]:  # fmt: skip
    """The pyramids of all layouts, in work/tiles. `thumbnails` are in the order of images.h5.

    n_drawn : works that the maps were drawn from, the others having been added
    """
    viewer, threads = config.viewer, n_threads(config.machine.threads)
    background = ImageColor.getrgb(viewer.background)[:3]
    tiling = Tiling(viewer.tile_px, viewer.overlap, viewer.format, viewer.quality, background)
    cells = Shelf(work / "cells", viewer.cell_px - viewer.gap_px)
    dots = Shelf(work / "dots", viewer.scatter_px)
    by_row = np.argsort(works.rows)
    thumbnail_rows = np.argsort(by_row)
    digests = np.array([f"{picture} {viewer.fit}" for picture in pictures], object)
    fitted = [
        np.array([thumbs.shown_size(size, shelf.side, fit) for size in works.sizes.tolist()])
        for shelf, fit in ((cells, viewer.fit), (dots, "contain"))
    ]
    layouts = []
    for each in works.maps:
        for shelf, kind, (size, boxes) in (
            (cells, "grid", mosaic.grid_boxes(each, fitted[0], viewer.cell_px)),
            (dots, "scatter",
             mosaic.scatter_boxes(each, fitted[1], viewer.scatter_px, viewer.scatter_spread, n_drawn)),
        ):  # fmt: skip
            name = f"{each.name}_{kind}"
            picture = Mosaic(size, background, shelf, boxes, thumbnail_rows, digests)
            pieces = config.outputs / PIECES / name
            pyramid = Pyramid(picture, tiling, work / "tiles" / name, work / "pieces" / name, previous / name, pieces)
            layouts.append(Layout(name, size, boxes, pyramid))
    for shelf, shapes in zip((cells, dots), fitted, strict=True):
        is_drawn = np.zeros(len(works.ids), bool)  # in the order of `thumbnails`
        for plan in (plan for layout in layouts for plan in layout.pyramid.drawn_plans() if plan.shelf is shelf):
            is_drawn[plan.rows] = True
        if is_drawn.any():
            ordered = [tuple(shape) for shape in shapes[by_row].tolist()]
            thumbs.decode(thumbnails, shelf, ordered, np.flatnonzero(is_drawn), threads)
    with cluster.executor(config.machine) as pool:
        for layout in layouts:
            layout.pyramid.build(pool)
            (work / "tiles" / f"{layout.name}.dzi").write_text(dzi(layout.size, tiling), encoding="utf-8")
    return layouts


def read_columns(config: Config, works: Works, titles: list[str], found: dict[str, h5py.File]) -> list[Column]:
    """The metadata, then what other stages found out."""
    columns = [sidecars.column(name, values) for name, values in works.columns.items()]
    if "report" in found:
        columns += findings.faithfulness(found["report"], works.ids, list(config.maps), config)
    if "clusters" in found:
        columns += findings.groups(found["clusters"], works.ids, titles, list(config.similar.spaces), config)
    return columns


def write_data(
    folder: Path, config: Config, works: Works, shown: dict[str, list], columns: list[Column],
    layouts: list[Layout], version: str,
) -> None:  # fmt: skip
    """`shown` : what the page shows of single works, lists of N; `columns` : what it filters and colours them by."""
    viewer = config.viewer
    for number, column in enumerate(columns):
        sidecars.write_column(folder, number, column)
    sidecars.write_works(folder, shown, [column.of_works for column in columns])
    sidecars.write_hashes(folder, shown["ids"])
    sidecars.write_neighbors(folder, works.neighbors)
    described = {}
    for layout in layouts:
        sidecars.write(folder, f"layouts/{layout.name}", {
            "places": packed(layout.boxes[:, :2].astype(np.int32)),
            "sizes": packed(layout.boxes[:, 2:].astype(np.uint16)),
        })  # fmt: skip
        described[layout.name] = {
            "size": layout.size,
            "tiles": [
                packed_bits(there) for there in existing(layout.pyramid.folder, layout.size, layout.pyramid.tiling)
            ],
            "version": hashlib.sha256((layout.pyramid.folder / "keys.json").read_bytes()).hexdigest()[:12],
        }
    sidecars.write(folder, "index", {
        "version": version[:12], "heading": viewer.heading, "n_works": len(works.ids), "works_per_file": sidecars.WORKS,
        "maps": [{"name": each.name, "rows": each.shape[0], "cols": each.shape[1]} for each in works.maps],
        "layouts": described, "cell_px": viewer.cell_px, "fit": viewer.fit, "background": viewer.background,
        "tile_px": viewer.tile_px, "overlap": viewer.overlap, "format": viewer.format,
        "spaces": list(config.similar.spaces), "n_neighbors": works.neighbors.shape[2], "color_by": viewer.color_by,
        "columns": [sidecars.described(column) for column in columns], "hash_bytes": sidecars.HASH_BYTES,
    })  # fmt: skip


def write_page(folder: Path, library: Path, heading: str, version: str) -> None:
    """The page's own source, and the library with its licence. New builds have new addresses, for caches."""
    for name in PAGE_FILES:
        copyfile(npm.PAGE / name, folder / name)
    page = (folder / "index.html").read_text(encoding="utf-8")
    page = page.replace("{heading}", html.escape(heading)).replace("{version}", version[:12])
    (folder / "index.html").write_text(page, encoding="utf-8")
    for source, name in LIBRARY_FILES.items():
        copyfile(library / source, folder / name)


def page_version(library: Path) -> str:
    """A hash of what the page is made of, beside the data."""
    files = [*(npm.PAGE / name for name in PAGE_FILES), *(library / name for name in LIBRARY_FILES)]
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:12]


def main(config: Config) -> tuple[Path, str]:
    start = time.perf_counter()
    # 1. Read
    library = npm.installed("openseadragon")
    with (
        store.open_output(config, "grid") as grid,
        store.open_output(config, "tsne") as tsne,
        store.open_output(config, "neighbors") as neighbors,
        store.open_output(config, "images") as images,
        findings.opened(config) as found,
    ):
        read_files = (grid, tsne, neighbors, images, *found.values())
        inputs = {h5.attrs["stage"]: str(h5.attrs["fingerprint"]) for h5 in read_files}
        recipe = {"settings": config.settings(("viewer",)), "page": page_version(library)}
        check_settings(config)
        works = exhibits.read(config, grid, tsne, neighbors, images)
        exhibits.tell_missing(config.viewer, works.columns)
        shown = {"ids": works.ids.tolist(), **exhibits.texts(works, config.viewer), "sizes": works.sizes.tolist()}
        columns = read_columns(config, works, shown["titles"], found)

        # 2. Compute, in a folder from which a stopped run goes on
        output = config.outputs / BY_NAME["viewer"].output
        version = store.fingerprint("viewer", recipe, inputs)
        work = shards.folder_for(output, version)
        by_row = np.argsort(works.rows)
        thumbnails = Thumbnails(images["thumbnails"], works.rows[by_row], works.is_restricted[by_row])
        pictures = np.empty(len(by_row), object)
        pictures[by_row] = thumbs.export(thumbnails, config, work / "pictures", output / "pictures")
        shown["pictures"] = pictures.tolist()
        if config.viewer.detail_px > config.images.thumbnail_px:
            sha256s = images["file_sha256"].asstr()[:][works.rows]
            shown["large"] = originals.export(works, sha256s, config, work / "pictures", output / "pictures")
        n_drawn = store.n_before_additions(tsne)
        layouts = build_tiles(works, thumbnails, pictures, config, work, output / "tiles", n_drawn)

    # 3. Write
    with store.create_folder(output, "viewer", recipe, inputs) as folder:
        write_data(folder, config, works, shown, columns, layouts, version)
        write_page(folder, library, config.viewer.heading, version)
        # Last, because what is moved can no longer be gone on with; pieces say that their tiles are there, so they go
        # before those do.
        finished = work / "finished"
        shards.remove(finished)
        if (work / "pieces").exists():
            (work / "pieces").rename(finished)
        for name in ("pictures", "tiles"):
            if (work / name).exists():
                (work / name).rename(folder / name)
    # With these an addition draws only what it touches. They are large, and no page needs them: so not in its folder.
    for layout in layouts:
        keep_pieces(finished / layout.name, config.outputs / PIECES / layout.name)
    shards.remove(work)
    n_tiles = sum(
        bits.sum()
        for each in layouts
        for bits in existing(output / "tiles" / each.name, each.size, each.pyramid.tiling)
    )
    rate = len(works.ids) / (time.perf_counter() - start)
    n = cli.count(len(works.ids), "work")
    return output, (
        f"{n} on {cli.count(len(works.maps), 'map')}, {n_tiles:,} tiles, at {rate:,.0f} works/s; open"
        f" {store.show(output / 'index.html')}, or serve it with: python -m http.server --bind 127.0.0.1 --directory"
        f" {store.show(output)}"
    )


if __name__ == "__main__":
    cli.run(main, __doc__)
