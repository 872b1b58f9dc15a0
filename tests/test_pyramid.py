"""Tiles re-join to the picture at every level, whatever the sizes; what is done is not done again."""

import hashlib
import math
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest
from conftest import REPO
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from PIL import Image

from artatlas import picture_files, pyramid
from artatlas.pyramid import Pyramid, Tiling, existing, level_size, n_levels, tile_box

BACKGROUND = (9, 8, 7)


@dataclass
class Plain:
    """A picture that is an array, with a count of what is drawn of it."""

    pixels: np.ndarray
    drawn: int = 0

    @property
    def size(self):
        return self.pixels.shape[1], self.pixels.shape[0]

    def plan(self, box):
        left, top, right, bottom = box
        part = np.ascontiguousarray(self.pixels[top:bottom, left:right])

        class Plan:
            key = hashlib.sha256(repr(box).encode() + part.tobytes()).hexdigest()

            def draw(_):
                self.drawn += 1
                return Image.fromarray(part)

        return Plan()


def noise(width, height, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def tiling(tile_px=32, overlap=1, **changes):
    return Tiling(**{"tile_px": tile_px, "overlap": overlap, "format": "jpg", "quality": 80, "background": BACKGROUND}
                  | changes)  # fmt: skip


@pytest.fixture
def lossless(monkeypatch):
    """Blocks of 4 x 4 tiles, and tiles that hold exactly what they were given."""

    def save(image, path, quality):
        image.save(path, "PNG", compress_level=0)

    monkeypatch.setattr(picture_files, "save_jpeg", save)
    monkeypatch.setattr(pyramid, "BLOCK_PX", 128)


def build(picture, how, folder, previous=None, kept=None):
    made = Pyramid(picture, how, folder / "tiles", folder / "pieces", previous, kept)
    with ThreadPoolExecutor(1) as pool:
        made.build(pool)
    return folder / "tiles"


def read_level(folder, level, size, how):
    """The level joined from its tiles without their overlap; checks the overlap against what it overlaps."""
    width, height = level_size(size, level)
    whole = np.zeros((height, width, 3), np.uint8)
    tiles = {}
    for row in range(math.ceil(height / how.tile_px)):
        for col in range(math.ceil(width / how.tile_px)):
            path = folder / str(level) / f"{col}_{row}.{how.format}"
            left, top, right, bottom = tile_box(col, row, (width, height), how)
            blank = np.full((bottom - top, right - left, 3), how.background, np.uint8)
            tile = np.asarray(Image.open(path).convert("RGB")) if path.exists() else blank
            assert tile.shape == (bottom - top, right - left, 3)
            x, y = col * how.tile_px, row * how.tile_px
            side = np.s_[y - top : y - top + how.tile_px, x - left : x - left + how.tile_px]
            whole[y : y + how.tile_px, x : x + how.tile_px] = tile[side]
            tiles[left, top, right, bottom] = tile
    for (left, top, right, bottom), tile in tiles.items():
        np.testing.assert_array_equal(tile, whole[top:bottom, left:right])
    return whole


def halved(pixels):
    """Means of 2 x 2, of what there is at the edges."""
    height, width = pixels.shape[:2]
    padded = np.full((height + height % 2, width + width % 2, 3), np.nan)
    padded[:height, :width] = pixels
    return np.nanmean(padded.reshape(len(padded) // 2, 2, padded.shape[1] // 2, 2, 3), axis=(1, 3))


@given(st.integers(1, 10**6), st.integers(1, 10**6))
def test_levels_are_those_of_deep_zoom(width, height):
    n = n_levels((width, height))
    assert n == math.ceil(math.log2(max(width, height))) + 1
    assert level_size((width, height), 0) == (1, 1)
    assert level_size((width, height), n - 1) == (width, height)
    for level in range(n - 1):
        finer = level_size((width, height), level + 1)
        assert level_size((width, height), level) == tuple(math.ceil(side / 2) for side in finer)


@hypothesis_settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(width=st.integers(1, 700), height=st.integers(1, 300), tile_px=st.sampled_from([16, 32, 50, 64, 200]),
       overlap=st.integers(0, 3))  # fmt: skip
def test_tiles_rejoin_to_the_picture_at_every_level(tmp_path_factory, lossless, width, height, tile_px, overlap):
    how, folder = tiling(tile_px, overlap), tmp_path_factory.mktemp("tiles")
    pixels = noise(width, height)
    tiles = build(Plain(pixels), how, folder)
    finer = None
    for level in reversed(range(n_levels((width, height)))):
        joined = read_level(tiles, level, (width, height), how)
        if finer is None:
            np.testing.assert_array_equal(joined, pixels)
        else:
            assert np.abs(joined - halved(finer)).max() <= 0.51
        finer = joined


def test_what_is_only_background_has_no_file(tmp_path, lossless):
    pixels = np.full((200, 600, 3), BACKGROUND, np.uint8)
    pixels[:40, 300:310] = 255
    how = tiling()
    tiles = build(Plain(pixels), how, tmp_path)
    there = list(existing(tiles, (600, 200), how))
    assert [level.sum() for level in there[-2:]] == [1, 2]
    assert not (tiles / "10" / "0_0.jpg").exists() and (tiles / "10" / "9_0.jpg").exists()
    assert all(level.shape == (math.ceil(h / 32), math.ceil(w / 32)) for level, (w, h) in
               zip(there, (level_size((600, 200), i) for i in range(11)), strict=True))  # fmt: skip
    assert n_levels((600, 200)) == 11


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def inodes(folder):
    return {path.relative_to(folder).as_posix(): path.stat().st_ino for path in folder.rglob("*.jpg")}


def test_a_stopped_run_goes_on_and_ends_in_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(pyramid, "BLOCK_PX", 128)
    picture, how = Plain(noise(700, 500)), tiling()
    whole = contents(build(picture, how, tmp_path / "whole"))
    n_blocks = picture.drawn
    make, calls = pyramid._make, []

    def failing(block, is_drawn):
        calls.append(block)
        if len(calls) == n_blocks // 2:
            raise KeyboardInterrupt
        make(block, is_drawn)

    monkeypatch.setattr(pyramid, "_make", failing)
    with pytest.raises(KeyboardInterrupt):
        build(picture, how, tmp_path / "stopped")
    monkeypatch.setattr(pyramid, "_make", make)
    picture.drawn = 0
    assert contents(build(picture, how, tmp_path / "stopped")) == whole
    assert 0 < picture.drawn < n_blocks  # a few that the pool was at when it was stopped are done too


def test_unchanged_tiles_keep_their_files(tmp_path, monkeypatch):
    """A10: a few works change; only what shows them is written, and the result is that of a fresh build."""
    monkeypatch.setattr(pyramid, "BLOCK_PX", 128)
    pixels, how = noise(900, 700), tiling(overlap=1)
    first = build(Plain(pixels), how, tmp_path / "first")
    pixels = pixels.copy()
    pixels[300:310, 400:410] = 0  # within one tile of the full size, away from its edges
    second = build(Plain(pixels), how, tmp_path / "second", previous=first)
    assert contents(second) == contents(build(Plain(pixels), how, tmp_path / "fresh"))
    before, after = inodes(first), inodes(second)
    written = {name for name in after if before.get(name) != after[name]}
    assert len(written) <= n_levels((900, 700)) * 2 and "10/12_9.jpg" in written


def test_nothing_is_drawn_where_nothing_changed(tmp_path, monkeypatch):
    monkeypatch.setattr(pyramid, "BLOCK_PX", 128)
    first = build(Plain(noise(500, 300)), tiling(), tmp_path / "first")
    same = Plain(noise(500, 300))
    assert Pyramid(same, tiling(), tmp_path / "x", tmp_path / "y", first).n_drawn == 0
    second = build(same, tiling(), tmp_path / "second", previous=first)
    assert same.drawn == 0 and inodes(second) == inodes(first) and contents(second) == contents(first)
    for other in (tiling(quality=70), tiling(overlap=0), tiling(format="webp"), tiling(tile_px=64)):
        assert Pyramid(same, other, tmp_path / "x", tmp_path / "y", first).n_drawn > 0


def test_an_addition_draws_only_what_it_touches(tmp_path, monkeypatch):
    """A10: a grid that grows by a row, and by a level, with a work changed; the rest is neither drawn nor written."""
    monkeypatch.setattr(pyramid, "BLOCK_PX", 128)
    pixels, how = noise(500, 450), tiling(overlap=1)
    first = build(Plain(pixels), how, tmp_path / "first")
    pyramid.keep_pieces(tmp_path / "first" / "pieces", tmp_path / "kept")
    grown = np.concatenate([pixels, noise(500, 100)])  # 550 px are a level more than 500
    grown[200:210, 200:210] = 0
    picture, bare = Plain(grown), Plain(grown)
    second = build(picture, how, tmp_path / "second", previous=first, kept=tmp_path / "kept")
    assert n_levels((500, 550)) == n_levels((500, 450)) + 1
    assert contents(second) == contents(build(bare, how, tmp_path / "fresh"))
    before = {f"{int(level) + 1}/{name}": inode for (level, _, name), inode in
              ((key.partition("/"), inode) for key, inode in inodes(first).items() if "/" in key)}  # fmt: skip
    after = inodes(second)
    full = [name for name in after if name.startswith("10/")]
    rewritten = {name for name in full if name in before and before[name] != after[name]}
    assert "10/6_6.jpg" in rewritten and len(rewritten) < len(full) / 3
    assert picture.drawn < bare.drawn / 2
    without = Plain(grown)
    assert contents(build(without, how, tmp_path / "third", previous=first)) == contents(second)
    assert without.drawn > picture.drawn, "the pieces spare nothing"


def test_jpeg_and_webp(tmp_path):
    pixels = np.zeros((300, 300, 3), np.uint8)
    pixels[:, :150] = (200, 30, 30)
    for name in ("jpg", "webp"):
        how = tiling(256, 1, format=name)
        joined = read_level_lossy(build(Plain(pixels), how, tmp_path / name), name)
        assert np.abs(joined.astype(int) - pixels[:257, :257]).mean() < 3
        assert Image.open(tmp_path / name / "tiles" / "9" / f"0_0.{name}").format == {"jpg": "JPEG"}.get(name, "WEBP")


def read_level_lossy(folder, name):
    return np.asarray(Image.open(folder / "9" / f"0_0.{name}").convert("RGB"))


def test_memory_does_not_grow_with_the_picture():
    """A47: 64 blocks instead of 4, no more memory. Held whole, the larger one takes 268 MB."""
    peaks_mb = []
    for side in (2_048, 8_192):
        code = f"""
import resource, tempfile, pathlib
from concurrent.futures import ThreadPoolExecutor
from PIL import Image
from artatlas import pyramid
from artatlas.pyramid import Pyramid, Tiling
pyramid.BLOCK_PX = 1024
class Plan:
    def __init__(self, box): self.key, self.size = repr(box), (box[2] - box[0], box[3] - box[1])
    def draw(self): return Image.new("RGB", self.size, (1, 2, 3))
class Picture:
    size = {side}, {side}
    def plan(self, box): return Plan(box)
with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(1) as pool:
    folder = pathlib.Path(folder)
    Pyramid(Picture(), Tiling(512, 1, "jpg", 80, (1, 2, 3)), folder / "tiles", folder / "pieces", None).build(pool)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""
        done = subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True, check=True)
        peaks_mb.append(int(done.stdout))
    assert peaks_mb[1] - peaks_mb[0] < 30, peaks_mb
