"""Deep Zoom (DZI) pyramids of pictures too large to be held: memory for a few blocks, whatever the whole is.

A picture is anything that can draw a box of itself. It is drawn block by block; a block gives its tiles of several
levels, each the 2 x 2 average of the one above, and leaves one small piece of itself. The pieces are the picture of
which the next levels are made, in the same way, up to the level of a single pixel. Blocks are independent of each
other: they are drawn in several threads, a stopped run goes on with those that are missing, and one that shows what it
showed before keeps its files.

Source  Microsoft Deep Zoom: level l is ceil(size / 2^(L - l)) px, with L = ceil(log2(longest side)); tiles are tile_px
        squares plus `overlap` px of their neighbours on every inner side.
"""

from __future__ import annotations

import filecmp
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from artatlas import cli, picture_files

BLOCK_PX = 4096  # side of what is drawn at a time, where tiles are not larger: 67 MB as Pillow holds it
KEYS = "keys.json"  # in the folder of a pyramid: what each block of the full size shows

Box = tuple[int, int, int, int]  # left, top, right, bottom


@dataclass(frozen=True)
class Tiling:
    tile_px: int
    overlap: int
    format: str  # jpg | webp
    quality: int
    background: tuple[int, int, int]  # a tile of nothing else is left out


class Plan(Protocol):
    """All that is needed to draw one box of a picture."""

    @property
    def key(self) -> str:
        """A hash of what decides the pixels."""

    def draw(self) -> Image.Image:
        """The pixels, RGB or RGBX (a fourth byte that means nothing)."""


class Picture(Protocol):
    """What a pyramid is made of."""

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in px."""

    def plan(self, box: Box) -> Plan: ...


def n_levels(size: tuple[int, int]) -> int:
    """ceil(log2(longest side)) + 1; level 0 is a single pixel."""
    return (max(size) - 1).bit_length() + 1


def level_size(size: tuple[int, int], level: int) -> tuple[int, int]:
    shift = n_levels(size) - 1 - level
    return _halved(size[0], shift), _halved(size[1], shift)


def tile_box(col: int, row: int, size: tuple[int, int], tiling: Tiling) -> Box:
    """What a tile shows of its level, which is `size` (width, height) px."""
    left, top, right, bottom = (
        col * tiling.tile_px - tiling.overlap, row * tiling.tile_px - tiling.overlap,
        (col + 1) * tiling.tile_px + tiling.overlap, (row + 1) * tiling.tile_px + tiling.overlap,
    )  # fmt: skip
    return max(0, left), max(0, top), min(size[0], right), min(size[1], bottom)


def dzi(size: tuple[int, int], tiling: Tiling) -> str:
    """The descriptor that other Deep Zoom viewers read."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<Image xmlns="http://schemas.microsoft.com/deepzoom/2008"'
        f' Format="{tiling.format}" Overlap="{tiling.overlap}" TileSize="{tiling.tile_px}">'
        f'<Size Width="{size[0]}" Height="{size[1]}"/></Image>\n'
    )


class Pyramid:
    """A pyramid to be made in `folder`, as <level>/<col>_<row>.<format>; a tile of nothing but background has no file.

    work : a folder for the pieces; with what `folder` holds it lets a stopped run go on. Removed by the caller.
    previous : the folder of an earlier pyramid, or None. Blocks that show what they showed there get links to its
        tiles, and are drawn only where a changed block further down is made of them.
    kept : the folder of that pyramid's pieces, if it is still there: then such blocks need not be drawn at all.
    """

    def __init__(
        self, picture: Picture, tiling: Tiling, folder: Path, work: Path, previous: Path | None,
        kept: Path | None = None,
    ) -> None:  # fmt: skip
        self.size, self.tiling, self.folder = picture.size, tiling, folder
        self._work = work
        known, shift = _known(previous, tiling, n_levels(picture.size))
        self._stages: list[list[_Block]] = []
        level = top = n_levels(picture.size) - 1
        source: Picture = picture
        while level >= 0:
            blocks = list(_blocks(source, level, top - level, tiling, folder, work, previous, known, shift, kept))
            self._stages.append(blocks)
            source = _Pieces(blocks)
            level -= blocks[0].depth
        self._drawn: set[Path] = set()  # pieces of the blocks that have to be drawn
        self._needed: set[Path] = set()  # pieces that these are made of
        for blocks in reversed(self._stages):
            for block in blocks:
                is_needed = block.piece in self._needed and not block.has_kept_piece
                if not block.is_unchanged or is_needed:
                    self._drawn.add(block.piece)
                    self._needed.update(getattr(block.plan, "pieces", {}))

    @property
    def n_drawn(self) -> int:
        """How many blocks have to be drawn: 0 where all tiles are those of the previous pyramid."""
        return len(self._drawn)

    def drawn_plans(self) -> Iterator[Any]:
        """Of the picture itself: what of it has to be drawn."""
        return (block.plan for block in self._stages[0] if block.piece in self._drawn)

    def build(self, pool: Executor) -> None:
        for folder in (self.folder, self._work):
            folder.mkdir(parents=True, exist_ok=True)
        for blocks in self._stages:
            done = pool.map(_make, blocks, [block.piece in self._drawn for block in blocks])
            desc = f"{self.folder.name}, level {blocks[0].level}"
            list(cli.progress(done, total=len(blocks), unit="block", desc=desc))
        keys = {block.name: block.key for blocks in self._stages for block in blocks}
        levels = n_levels(self.size)
        text = json.dumps({"tiling": repr(self.tiling), "levels": levels, "blocks": keys}, indent=0)
        (self.folder / KEYS).write_text(text, encoding="utf-8")


def keep_pieces(work: Path, kept: Path) -> None:
    """Moves the pieces of a finished pyramid to where the next one finds them, and removes those of earlier ones."""
    kept.mkdir(parents=True, exist_ok=True)
    wanted = set()
    for piece in work.glob("*.npy"):
        os.replace(piece, kept / piece.name)
        wanted.add(piece.name)
    for piece in kept.glob("*.npy"):
        if piece.name not in wanted:
            piece.unlink()


def existing(folder: Path, size: tuple[int, int], tiling: Tiling) -> Iterator[np.ndarray]:
    """Yields for every level, from 0 up, which tiles have files: (rows, cols) bool."""
    for level in range(n_levels(size)):
        width, height = level_size(size, level)
        there = np.zeros((-(-height // tiling.tile_px), -(-width // tiling.tile_px)), bool)
        if (folder / str(level)).is_dir():
            for entry in os.scandir(folder / str(level)):
                col, row = entry.name.partition(".")[0].split("_")
                there[int(row), int(col)] = True
        yield there


@dataclass(frozen=True)
class _Block:
    """A square of one level, with all that is needed to make its tiles and those of the levels below."""

    level: int
    from_top: int  # levels between it and the full size
    col: int
    row: int
    core: Box  # the square, on its level
    drawn: Box  # the core and what its lowest level's tiles overlap of the neighbours
    depth: int  # levels that it gives, `level` first
    size: tuple[int, int]  # of the level
    plan: Plan  # of `drawn`
    tiling: Tiling
    folder: Path
    work: Path
    previous: Path | None
    shift: int  # levels that this pyramid has more than the previous one
    kept: Path | None  # the folder of the previous one's pieces
    is_unchanged: bool = False  # it shows what it showed in the previous pyramid

    @property
    def name(self) -> str:
        """Counted from the full size, because a picture that grows may get a level more."""
        return f"{self.from_top}/{self.col}_{self.row}"

    @property
    def key(self) -> str:
        """What it shows, and in how many levels."""
        return f"{self.plan.key[:40]}-{self.depth}"

    @property
    def piece(self) -> Path:
        """What it leaves, 1 / 2^depth of its size; there once all its tiles are. Named by what it shows."""
        return self.work / f"{self.key}.npy"

    @property
    def has_kept_piece(self) -> bool:
        return self.kept is not None and (self.kept / self.piece.name).exists()


def _blocks(
    picture: Picture, level: int, from_top: int, tiling: Tiling, folder: Path, work: Path, previous: Path | None,
    known: dict[str, str], shift: int, kept: Path | None,
) -> Iterator[_Block]:  # fmt: skip
    width, height = picture.size
    depth = max(1, (BLOCK_PX // tiling.tile_px).bit_length() - 1)
    side = tiling.tile_px << depth
    if max(width, height) <= side:
        depth = level + 1  # a single block gives all levels that are left
    margin = tiling.overlap << (depth - 1)
    for row in range(-(-height // side)):
        for col in range(-(-width // side)):
            left, top, right, bottom = col * side, row * side, (col + 1) * side, (row + 1) * side
            core = left, top, min(width, right), min(height, bottom)
            drawn = (
                max(0, left - margin), max(0, top - margin), min(width, right + margin), min(height, bottom + margin),
            )  # fmt: skip
            plan = picture.plan(drawn)
            block = _Block(
                level, from_top, col, row, core, drawn, depth, picture.size, plan, tiling, folder, work, previous,
                shift, kept,
            )  # fmt: skip
            yield replace(block, is_unchanged=known.get(block.name) == block.key)


def _known(previous: Path | None, tiling: Tiling, levels: int) -> tuple[dict[str, str], int]:
    """What the blocks of an earlier pyramid show, nothing where it was cut or encoded in another way; and how many more
    levels than it one with `levels` has."""
    try:
        found = json.loads((previous / KEYS).read_text(encoding="utf-8")) if previous else {}
        is_alike = found["tiling"] == repr(tiling)
        return (dict(found["blocks"]), levels - int(found["levels"])) if is_alike else ({}, 0)
    except (OSError, ValueError, KeyError, TypeError):
        return {}, 0  # there is none, or it is damaged or older: all is drawn anew


def _make(block: _Block, is_drawn: bool) -> None:
    """Writes a block's tiles and then, where it is drawn, its piece."""
    if _is_done(block):
        return
    image = block.plan.draw() if is_drawn else None
    for step in range(block.depth):
        origin = block.drawn[0] >> step, block.drawn[1] >> step
        size = _halved(block.size[0], step), _halved(block.size[1], step)
        (block.folder / str(block.level - step)).mkdir(exist_ok=True)
        for col, row in _tiles(block, step):
            level, name = block.level - step, f"{col}_{row}.{block.tiling.format}"
            path = block.folder / str(level) / name
            old = block.previous / str(level - block.shift) / name if block.previous else None
            if block.is_unchanged and old:
                if old.exists():
                    _link(old, path)
            elif image:
                left, top, right, bottom = tile_box(col, row, size, block.tiling)
                tile = image.crop((left - origin[0], top - origin[1], right - origin[0], bottom - origin[1]))
                _write(tile, block.tiling, path, old)
        if image and step < block.depth - 1:
            image = image.reduce(2)
    if image:
        _save_piece(block, image)
    elif block.kept and block.has_kept_piece:
        link_or_copy(block.kept / block.piece.name, block.piece)


def _is_done(block: _Block) -> bool:
    """Whether its piece is there, and its tiles are whole: a power loss leaves those of the last seconds empty."""
    if not block.piece.exists():
        return False
    names = (f"{block.level - step}/{col}_{row}" for step in range(block.depth) for col, row in _tiles(block, step))
    paths = [block.folder / f"{name}.{block.tiling.format}" for name in names]
    return all(path.stat().st_size for path in paths if path.exists())


def _save_piece(block: _Block, image: Image.Image) -> None:
    """`image` is the lowest level of the block, with its margin."""
    step = block.depth - 1
    left, top, right, bottom = (_halved(side, step) for side in block.core)
    x, y = block.drawn[0] >> step, block.drawn[1] >> step
    core = image.crop((left - x, top - y, right - x, bottom - y)).reduce(2)
    temporary = block.piece.with_suffix(".tmp")
    with temporary.open("wb") as file:
        np.save(file, np.asarray(core.convert("RGB")), allow_pickle=False)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(block.piece)


def _tiles(block: _Block, step: int) -> Iterator[tuple[int, int]]:
    """(col, row) of the tiles that a block gives at `step` levels below its own."""
    left, top, right, bottom = (_halved(side, step) for side in block.core)
    side = block.tiling.tile_px
    for row in range(top // side, -(-bottom // side)):
        for col in range(left // side, -(-right // side)):
            yield col, row


def _write(tile: Image.Image, tiling: Tiling, path: Path, old: Path | None) -> None:
    """One tile: a link to the earlier file where that is the same, else a new file; none where nothing is on it."""
    is_plain = tile.getcolors(maxcolors=1) is not None  # it stops at the second colour that it meets
    if is_plain and tile.crop((0, 0, 1, 1)).convert("RGB").tobytes() == bytes(tiling.background):
        return
    path.unlink(missing_ok=True)  # it may be a link, made before the run was stopped: the old file must stay
    save = picture_files.save_webp if tiling.format == "webp" else picture_files.save_jpeg
    save(tile, path, tiling.quality)
    if old and old.exists() and filecmp.cmp(old, path, shallow=False):
        _link(old, path)


def _link(old: Path, path: Path) -> None:
    path.unlink(missing_ok=True)  # of a run that was stopped within this block
    link_or_copy(old, path)


def link_or_copy(old: Path | str, path: Path | str) -> None:
    if not link(old, path):
        shutil.copyfile(old, path)


def link(old: Path | str, path: Path | str) -> bool:
    """Whether that went: there are file systems without hard links."""
    try:
        os.link(old, path)
    except OSError:
        return False
    return True


def _halved(length: int, times: int) -> int:
    return -(-length >> times)


class _Pieces:
    """The picture that the pieces of blocks make up, side by side."""

    def __init__(self, blocks: list[_Block]) -> None:
        depth, side = blocks[0].depth, blocks[0].tiling.tile_px
        self.size = _halved(blocks[0].size[0], depth), _halved(blocks[0].size[1], depth)
        self._side = side
        self._all = [(block.col * side, block.row * side, block) for block in blocks]

    def plan(self, box: Box) -> _PiecesPlan:
        left, top, right, bottom = box
        on_box = [
            (x - left, y - top, block)
            for x, y, block in self._all
            if x < right and y < bottom and x + self._side > left and y + self._side > top
        ]
        known = [(x, y, block.plan.key) for x, y, block in on_box]
        key = hashlib.sha256(repr((box, known)).encode()).hexdigest()
        return _PiecesPlan(key, (right - left, bottom - top), {block.piece: (x, y) for x, y, block in on_box})


@dataclass(frozen=True)
class _PiecesPlan:
    key: str
    size: tuple[int, int]
    pieces: dict[Path, tuple[int, int]]  # left and top within the box

    def draw(self) -> Image.Image:
        image = Image.new("RGB", self.size)
        for path, position in self.pieces.items():
            image.paste(Image.fromarray(np.load(path, allow_pickle=False)), position)
        return image
