"""The thumbnails of images.h5 on their way to the page: as pictures of single works, and decoded for its mosaics.

They are decoded once for each of the two sizes that mosaics need, into plain files below the outputs, and read from
there one by one: memory does not grow with the collection. A restricted work has no thumbnail here: it cannot leak.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import get_ident

import h5py
import numpy as np
from PIL import Image

from artatlas import cli, images, picture_files, pyramid, shards, store
from artatlas.config import Config

ROWS = 256  # works a file: 17 MB at 128 px
AT_A_TIME = 16  # pictures that a thread is given: to link one takes less than to hand it over
HELD = "held.npy"  # in the folder of a shelf: which works it holds
PLACEHOLDER = (38, 39, 43)  # the place of a restricted work


class Thumbnails:
    """Those of rows (N,) of images.h5, ascending; a slice of it is a list, with None for a restricted work."""

    def __init__(self, dataset: h5py.Dataset, rows: np.ndarray, is_restricted: np.ndarray) -> None:
        self._dataset, self._rows, self._is_restricted = dataset, rows, is_restricted

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, some: slice) -> list[bytes | None]:
        rows, hidden = self._rows[some], self._is_restricted[some]
        block = self._dataset[rows[0] : rows[-1] + 1]  # HDF5 reads a slice faster than a selection
        return [None if h else block[row - rows[0]].tobytes() for row, h in zip(rows, hidden, strict=True)]

    def only(self, some: np.ndarray) -> Thumbnails:
        """Those at (M,) int64, ascending."""
        return Thumbnails(self._dataset, self._rows[some], self._is_restricted[some])


def export(thumbnails: Thumbnails, config: Config, folder: Path, previous: Path) -> list[str]:
    """Writes the small picture of every work, its longer side at most viewer.detail_px; what `previous` has is linked.

    Returns their paths below `folder`, "" for restricted works. A name is the hash of what it shows, so equal pictures
    are one file, and no browser can show an old one.
    """
    stored_px = config.images.thumbnail_px
    side = min(config.viewer.detail_px, stored_px)
    for left_over in folder.parent.glob(f"{folder.name}.*"):  # of a killed run, perhaps a link to a file of `previous`
        left_over.unlink()
    for number in range(256):
        (folder / f"{side}/{number:02x}").mkdir(parents=True, exist_ok=True)

    def one(jpeg: bytes | None) -> str:
        if jpeg is None:
            return ""
        digest = hashlib.sha256(jpeg).hexdigest()[:20]
        name = f"{side}/{digest[:2]}/{digest[2:]}.jpg"
        path, old = f"{folder}/{name}", f"{previous}/{name}"
        if os.path.exists(path):
            if os.path.getsize(path):
                return name
            os.unlink(path)  # what a power loss left
        if os.path.exists(old) and pyramid.link(old, path):
            return name
        temporary = f"{folder}.{get_ident()}"  # beside the folder, so that what a killed run leaves is not published
        if os.path.exists(old):
            shutil.copyfile(old, temporary)
        elif side == stored_px:
            with open(temporary, "wb") as file:
                file.write(jpeg)
        else:
            _write_at_most(jpeg, side, config.images.thumbnail_quality, temporary)
        os.replace(temporary, path)
        return name

    names: list[str] = []
    threads = images.n_threads(config.machine.threads)
    with ThreadPoolExecutor(threads) as pool, cli.progress(total=len(thumbnails), desc="pictures") as bar:
        for some in shards.slices(len(thumbnails)):
            jpegs = thumbnails[some]
            parts = [jpegs[part] for part in shards.slices(len(jpegs), AT_A_TIME)]
            for part in pool.map(lambda part: [one(jpeg) for jpeg in part], parts):
                names += part
            bar.update(some.stop - some.start)
    return names


def _write_at_most(jpeg: bytes, side: int, quality: int, path: str) -> None:
    size = images.thumbnail_size(jpeg)
    if max(size) <= side:
        Path(path).write_bytes(jpeg)
        return
    shape = shown_size(size, side, "contain")
    image = images.open_thumbnail(jpeg, at_least=shape).resize(shape, Image.Resampling.LANCZOS)
    picture_files.save_jpeg(image, path, quality)


@dataclass(frozen=True)
class Shelf:
    """Decoded thumbnails in one size, ROWS works a file: of those works that are drawn, in the order of `Thumbnails`.

    A pixel is stored as Pillow and `Mosaic` hold it, RGB and a fourth byte: to be copied it needs no look at its bytes.
    """

    folder: Path
    side: int  # px, of the square that each is stored in

    def places(self, rows: np.ndarray) -> tuple[np.ndarray, int]:
        """Where works (B,) of `Thumbnails` stand on it, (B,) int64, and how many works it holds."""
        held = np.load(self.folder / HELD, allow_pickle=False)
        return np.searchsorted(held, rows), len(held)

    def pixels(self, place: int, n_held: int, size: tuple[int, int]) -> np.ndarray:
        """(height, width, 4) uint8 RGBX of a work whose (width, height) is `size`."""
        n_bytes = size[1] * self.side * 4  # the rows that it takes of its square
        path, data_start = _file_of(self, place // ROWS, n_held)
        with open(path, "rb", buffering=0) as file:  # not memory-mapped: that would count as memory
            file.seek(data_start + place % ROWS * self.side * self.side * 4)
            rows = np.frombuffer(file.read(n_bytes), np.uint8).reshape(size[1], self.side, 4)
        return rows[:, : size[0]]


@functools.lru_cache(maxsize=4096)
def _file_of(shelf: Shelf, number: int, n_held: int) -> tuple[str, int]:
    """The path of one of its files, and where in it the numbers begin."""
    start = number * ROWS
    path = shelf.folder / shards.file_name(slice(start, min(start + ROWS, n_held)))
    with path.open("rb") as file:
        np.lib.format.read_magic(file)
        np.lib.format.read_array_header_1_0(file)
        return str(path), file.tell()


def shown_size(size: tuple[int, int], side: int, fit: str) -> tuple[int, int]:
    """(width, height) of a picture of `size` in a square of `side`: `fill` covers it, `contain` never enlarges."""
    if fit == "fill":
        return side, side
    scale = min(1.0, side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _fitted(image: Image.Image, shape: tuple[int, int]) -> Image.Image:
    """The middle of a picture, as much of it as has the form of `shape` (width, height), at that size."""
    scale = max(shape[0] / image.width, shape[1] / image.height)
    # Rounding may make either larger than the picture, by a last bit.
    width, height = min(image.width, shape[0] / scale), min(image.height, shape[1] / scale)
    left, top = (image.width - width) / 2, (image.height - height) / 2
    # A third faster than Lanczos, and after a JPEG at a half or a quarter, which is where it comes from, no worse.
    return image.resize(shape, Image.Resampling.BICUBIC, (left, top, left + width, top + height))


def decode(
    thumbnails: Thumbnails, shelf: Shelf, shapes: Sequence[tuple[int, int]], drawn: np.ndarray, threads: int
) -> None:
    """Fills a shelf with the works `drawn` (M,) int64, ascending: thumbnail i, cut at both ends alike where it must, as
    shapes[i] (width, height)."""
    wanted = thumbnails.only(drawn)

    def some_of(jpegs: list[bytes | None], rows: np.ndarray) -> np.ndarray:
        squares = np.zeros((len(jpegs), shelf.side, shelf.side, 4), np.uint8)
        for square, jpeg, row in zip(squares, jpegs, rows.tolist(), strict=True):
            shape = shapes[row]
            whole = images.open_thumbnail(jpeg, at_least=shape) if jpeg else Image.new("RGB", shape, PLACEHOLDER)
            pixels = np.frombuffer(_fitted(whole, shape).tobytes("raw", "RGBX"), np.uint8)
            square[: shape[1], : shape[0]] = pixels.reshape(shape[1], shape[0], 4)
        return squares

    with ThreadPoolExecutor(threads) as pool:

        def work(some: slice) -> Iterator[list[np.ndarray]]:
            jpegs, rows = wanted[some], drawn[some]
            parts = shards.slices(len(jpegs), AT_A_TIME)
            for squares in pool.map(some_of, [jpegs[part] for part in parts], [rows[part] for part in parts]):
                yield [squares]

        hold(shelf, drawn)
        shards.compute([shelf.folder], len(wanted), work, f"thumbnails, {shelf.side} px", ROWS)


def hold(shelf: Shelf, drawn: np.ndarray) -> None:
    """Notes which works a shelf holds; what it holds of others goes."""
    path = shelf.folder / HELD
    if path.exists() and not np.array_equal(np.load(path, allow_pickle=False), drawn):
        shutil.rmtree(shelf.folder)
    with store.replacing(path) as temporary:
        np.save(temporary, drawn, allow_pickle=False)
