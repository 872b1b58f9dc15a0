"""Pictures of a whole collection, as pyramids draw them: every work's thumbnail pasted at its place."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from PIL import Image

from artatlas.layouts import Map, scatter_layout
from artatlas.pyramid import Box
from artatlas.thumbnails import Shelf


@dataclass(frozen=True)
class Mosaic:
    """Thumbnails on a plain ground, pasted in the order of N works, later ones on top.

    boxes : (N, 4) int64 px left, top, width, height; left is -1 where a work has no place
    rows : (N,) int64, of the thumbnails that the shelf is filled from
    digests : (N,) str, of what each work shows
    """

    size: tuple[int, int]
    background: tuple[int, int, int]
    shelf: Shelf
    boxes: np.ndarray
    rows: np.ndarray
    digests: np.ndarray

    def plan(self, box: Box) -> _MosaicPlan:
        left, top, right, bottom = box
        lefts, tops, widths, heights = self.boxes.T
        on_box = (lefts >= 0) & (lefts < right) & (lefts + widths > left) & (tops < bottom) & (tops + heights > top)
        works = np.flatnonzero(on_box)
        boxes = self.boxes[works] - (left, top, 0, 0)
        # Not of the whole size: a grid that grows at its end shows the same everywhere else.
        key = hashlib.sha256(repr((box, self.background, self.shelf.side)).encode())
        key.update(boxes.astype("<i8").tobytes())
        key.update("\n".join(self.digests[works]).encode())
        size = right - left, bottom - top
        return _MosaicPlan(key.hexdigest(), size, self.background, self.shelf, boxes, self.rows[works])


@dataclass(frozen=True)
class _MosaicPlan:
    key: str
    size: tuple[int, int]
    background: tuple[int, int, int]
    shelf: Shelf
    boxes: np.ndarray
    rows: np.ndarray

    def draw(self) -> Image.Image:
        canvas = np.empty((self.size[1], self.size[0], 4), np.uint8)  # RGBX is how Pillow holds RGB: nothing is copied
        canvas.view(np.uint32)[:] = np.array([*self.background, 255], np.uint8).view(np.uint32)
        places, n_held = self.shelf.places(self.rows)
        for place, (left, top, width, height) in zip(places.tolist(), self.boxes.tolist(), strict=True):
            x, y = max(0, -left), max(0, -top)  # what of it lies outside the box
            pixels = self.shelf.pixels(place, n_held, (width, height))[y : self.size[1] - top, x : self.size[0] - left]
            canvas[top + y : top + height, left + x : left + width] = pixels
        return Image.frombuffer("RGBX", self.size, canvas, "raw", "RGBX", 0, 1)


def grid_boxes(a_map: Map, shapes: np.ndarray, cell_px: int) -> tuple[tuple[int, int], np.ndarray]:
    """(width, height) of a grid, and the boxes (N, 4) of works of `shapes` (N, 2) in the middle of their cells."""
    boxes = np.column_stack((a_map.cells[:, ::-1] * cell_px + (cell_px - shapes) // 2, shapes))
    boxes[a_map.cells[:, 0] < 0, :2] = -1
    return (a_map.shape[1] * cell_px, a_map.shape[0] * cell_px), boxes


def scatter_boxes(
    a_map: Map, shapes: np.ndarray, thumbnail_px: int, spread: float, n_drawn: int
) -> tuple[tuple[int, int], np.ndarray]:
    """(width, height) of a scatter, and boxes (N, 4) of works of `shapes` (N, 2) in the middle of their coordinates.

    spread : longer side of the scatter, in times the side of a square of all works
    n_drawn : works that the map was drawn from. Those that were added lie among them, and the scatter keeps its size
    """
    side = max(4 * thumbnail_px, round(spread * thumbnail_px * float(np.sqrt(n_drawn))))
    size, centres = scatter_layout(a_map.coordinates, side, thumbnail_px)
    return size, np.column_stack((np.floor(centres - shapes / 2).astype(np.int64), shapes))
