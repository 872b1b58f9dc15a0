"""The works as the page shows them: which there are, in what order, what is told of each and what may be seen."""

from __future__ import annotations

from dataclasses import dataclass

import h5py
import numpy as np

from artatlas import cli, metadata, sidecars, store, templates
from artatlas import thumbnails as thumbs
from artatlas.config import Config, Viewer
from artatlas.errors import UserError
from artatlas.layouts import Map, read_maps, rows_of_works

N_NEIGHBORS = 12  # of each space that the page shows, at most
NOT_RESTRICTED = ("", "0", "no", "false", "n", "f")  # what a column of rights says of works that may be shown


@dataclass(frozen=True)
class Works:
    """All works of the maps, in the order in which the page numbers them."""

    ids: np.ndarray  # (N,) str
    rows: np.ndarray  # (N,) int64, of images.h5
    sizes: np.ndarray  # (N, 2) int64 (width, height) px of the thumbnails
    columns: dict[str, list[str]]  # by the names that users know, "/" included
    is_restricted: np.ndarray  # (N,) bool
    maps: list[Map]
    neighbors: np.ndarray  # (N, spaces, k) int32, numbers of the nearest works; -1 for none


def read(config: Config, grid: h5py.File, tsne: h5py.File, neighbors: h5py.File, images: h5py.File) -> Works:
    """Works that are near on the first map get near numbers, so that the page needs few files for what it shows.

    Raises UserError where the column of rights is missing, or images.h5 lacks works.
    """
    maps = read_maps(tsne, grid, list(config.maps))
    order = sidecars.near_each_other(maps[0].cells)
    maps = [Map(each.name, each.coordinates[order], each.cells[order], each.shape) for each in maps]
    image_ids = store.read_ids(tsne)[order]
    rows = rows_of_works(images, image_ids, config)
    group = images.get("metadata", {})
    columns = {name.replace(metadata.SLASH, "/"): list(group[name].asstr()[:][rows]) for name in group}
    sizes = np.column_stack((images["width"][:][rows], images["height"][:][rows])).tolist()
    sizes = np.array([thumbs.shown_size(size, config.images.thumbnail_px, "contain") for size in sizes])
    is_restricted = restricted(config.viewer.restricted, columns, len(rows))
    near = read_neighbors(neighbors, list(config.similar.spaces), image_ids)
    return Works(image_ids, rows, sizes, columns, is_restricted, maps, near)


def restricted(column: str | None, columns: dict[str, list[str]], n_works: int) -> np.ndarray:
    """Which works must not be shown, (N,) bool. Raises UserError where the column that tells is missing."""
    if column is None:
        return np.zeros(n_works, bool)
    if column not in columns:
        raise UserError(
            f"viewer.restricted: the metadata has no column {column} ({_has(columns)}), so nobody can tell which works"
            " must not be shown. Name one of its columns, or set it to null to show all."
        )
    return np.array([value.strip().lower() not in NOT_RESTRICTED for value in columns[column]])


def read_neighbors(neighbors: h5py.File, spaces: list[str], image_ids: np.ndarray) -> np.ndarray:
    """Numbers of the nearest works in every space, (N, spaces, k) int32; -1 for one that is not on the maps."""
    stored = store.read_ids(neighbors)
    number_of = {image_id: number for number, image_id in enumerate(image_ids)}
    numbers = np.array([*(number_of.get(image_id, -1) for image_id in stored), -1], np.int32)  # the last is for row -1
    rows = store.rows_of(image_ids, stored)
    return np.stack([numbers[neighbors[f"{space}/indices"][:][rows, :N_NEIGHBORS]] for space in spaces], axis=1)


def tell_missing(viewer: Viewer, columns: dict[str, list[str]]) -> None:
    """Tells of columns that the settings name and the metadata does not have."""
    for key in ("title", "caption", "link"):
        for field in templates.fields(getattr(viewer, key) or ""):
            if field not in columns:
                cli.notice(f"viewer.{key}: the metadata has no column {field} ({_has(columns)}), so it stays empty")
    if viewer.color_by and viewer.color_by not in columns:
        cli.notice(f"viewer.color_by: the metadata has no column {viewer.color_by} ({_has(columns)})")


def _has(columns: dict[str, list[str]]) -> str:
    return f"it has {', '.join(columns)}" if columns else "it has none"


def texts(works: Works, viewer: Viewer) -> dict[str, list[str]]:
    """Title, caption and link of every work."""
    found: dict[str, list[str]] = {"titles": [], "captions": [], "links": []}
    for number, image_id in enumerate(works.ids):
        values = {name: column[number] for name, column in works.columns.items()}
        found["titles"].append(templates.fill(viewer.title, values) or image_id.rpartition("/")[2].rpartition(".")[0])
        found["captions"].append(templates.fill(viewer.caption or "", values))
        found["links"].append(templates.link(viewer.link, values) if viewer.link else "")
    if dropped := sum(not link for link in found["links"]) if viewer.link else 0:
        cli.notice(
            f"viewer.link: {cli.count(dropped, 'work has', 'works have')} none (a field is empty, or it is no http)"
        )
    return found
