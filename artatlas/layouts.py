"""The maps as they are drawn: which cell a work has on a grid, and where its thumbnail lies on a scatter."""

from __future__ import annotations

from dataclasses import dataclass

import h5py
import numpy as np

from artatlas import cli, store
from artatlas.config import Config
from artatlas.errors import UserError


@dataclass(frozen=True)
class Map:
    name: str
    coordinates: np.ndarray  # (N, 2) float32 (x, y)
    cells: np.ndarray  # (N, 2) int64 (row, col); -1 for a work that grid.sample left out
    shape: tuple[int, int]  # (rows, cols) of the grid


def read_maps(tsne: h5py.File, grid: h5py.File, names: list[str]) -> list[Map]:
    """The maps of `names`, their rows those of `tsne`."""
    image_ids = store.read_ids(tsne)
    on_grid = store.rows_of(store.read_ids(grid), image_ids)
    maps = []
    for name in names:
        cells = np.full((len(image_ids), 2), -1)
        cells[on_grid] = grid[f"{name}/cells"][:]
        shape = int(grid[name].attrs["rows"]), int(grid[name].attrs["cols"])
        maps.append(Map(name, tsne[f"{name}/coordinates"][:], cells, shape))
    return maps


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
