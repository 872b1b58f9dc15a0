"""Decodes pictures: the one module that does.

A picture file becomes what the network sees, `pixels` (S, S, 3), and a thumbnail with its aspect kept. Files come
from anywhere, so one that cannot be decoded is an everyday result, `Unreadable` with its reason, and no header is
trusted: sizes are checked before pixels are decoded, and threads share a budget of memory.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import stat
import struct
import threading
import warnings
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from artatlas import cli, srgb, urls
from artatlas.config import Images
from artatlas.errors import UserError

# Named, because Pillow would also try formats that run other programs (EPS calls Ghostscript).
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP")
PAD_COLOR = (124, 116, 104)  # the mean of ImageNet, which VGG's preprocessing subtracts: borders become zeros
HEADROOM = 2  # pixels are shrunk by whole factors to no less than so many times the final size, then fairly resized
THUMBNAIL_GAP = 1.5  # thumbnails are averaged down to 1.5 times their size first: half the time, and what that changes
# (0.7 levels of 255) is little beside what their JPEG does (4). The network gets the whole resize.
KEPT_BYTES = 100_000  # a JPEG of at most that, no larger than a thumbnail, is its own thumbnail
BYTES_PER_PIXEL = 8  # the most that an uncompressed picture of those formats takes: RGBA of 16 bits
FILE_BYTES = 512 << 20  # of files that all threads together hold in memory; a larger one is read alone
MOST_SCANS = 64  # of a progressive JPEG, which has some ten; each takes the time of a whole picture and a few bytes
LOADED_PIXELS = 128_000_000  # likewise of decoded pixels, which take 4 bytes each and as much again while converted
IN_FLIGHT = 256  # files between the threads and whoever takes the results, enough to keep threads busy while he saves

# What Pillow raises for bad data, found by damaging valid files of every format in 20,000 ways and in its plugins.
BAD_DATA = (
    OSError, EOFError, SyntaxError, ValueError, TypeError, IndexError, KeyError, struct.error, zlib.error,
    ArithmeticError, RuntimeError, MemoryError,
)  # fmt: skip

# 2..8 of the EXIF specification; Pillow applies the orientation of a TIFF itself.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip
_SWAPPING = (5, 6, 7, 8)  # those that exchange width and height
_ORIENTATION = 0x0112  # the EXIF tag

# Of a JPEG: JFIF header without a preview, Adobe's note on colours, tables, restart interval, frame of 3 x 8 bits.
_BARE_SEGMENT = re.compile(
    rb"\xff(?:\xe0\0\x10JFIF\0.{9}|\xee\0\x0eAdobe.{7}|[\xdb\xc4\xdd].{2,}|\xc0\0\x11\x08.{4}\x03.{9})", re.DOTALL
)
_END_OF_SCAN = re.compile(rb"\xff[^\0\xd0-\xd7]")

Image.MAX_IMAGE_PIXELS = None  # images.max_megapixels is checked below instead, before any pixel is decoded
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")  # of harmless damage, for example in EXIF


class Unreadable(Exception):
    """A file that gives no picture. `reason` says why; `sha256` is that of its bytes, "" where they were not read."""

    def __init__(self, reason: str, sha256: str = "") -> None:
        super().__init__(reason)
        self.reason, self.sha256 = reason, sha256


@dataclass(frozen=True)
class Decoded:
    pixels: np.ndarray  # (S, S, 3) uint8 RGB with S = images.network_px
    thumbnail: bytes  # JPEG, RGB, longer side at most images.thumbnail_px
    width: int  # of the whole picture as it is meant to be seen, EXIF orientation applied
    height: int
    sha256: str  # of the file's bytes, hex

    def digest(self) -> str:
        """SHA-256 (hex) of everything decoded: works with equal digests are the same to every later stage."""
        size = f"{self.width} {self.height} "
        return hashlib.sha256(size.encode() + self.pixels.tobytes() + self.thumbnail).hexdigest()


class _Budget:
    """Threads hold at most `total` between them; a request for more waits until it is alone."""

    def __init__(self, total: int) -> None:
        self._total, self._held, self._changed = total, 0, threading.Condition()

    @contextmanager
    def take(self, amount: int) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: self._held == 0 or self._held + amount <= self._total)
            self._held += amount
        try:
            yield
        finally:
            with self._changed:
                self._held -= amount
                self._changed.notify_all()


# Always taken in this order, so two threads cannot wait for each other.
_file_bytes, _loaded_pixels = _Budget(FILE_BYTES), _Budget(LOADED_PIXELS)


def refusal(info: os.stat_result, settings: Images) -> str:
    """Why a file should not even be opened, or "": opening a pipe waits for ever, a size bomb fills the memory."""
    if stat.S_ISDIR(info.st_mode):
        return "is a folder"
    if not stat.S_ISREG(info.st_mode):
        return "is not a file but a pipe, socket or device"
    return refusal_of_size(info.st_size, settings)


def refusal_of_size(n_bytes: int, settings: Images) -> str:
    if n_bytes == 0:
        return "is empty (0 bytes)"
    if n_bytes > settings.max_megapixels * 1e6 * BYTES_PER_PIXEL + (1 << 20):
        return f"has {n_bytes:,} bytes, more than images.max_megapixels: {settings.max_megapixels:g} can take"
    return ""


def decode(source: str | Path | bytes, settings: Images) -> Decoded:
    """Decodes one picture, a path, a URL or the bytes of a file; its bytes are read once, for hash and picture.

    The first frame of animations and the first page of TIFFs; EXIF orientation applied; transparency over white;
    an embedded colour profile converted to sRGB; 16 bits scaled to 8. TIFFs of 32-bit numbers have no fixed range:
    floats within 0..1 are taken as they are, all others stretched from their lowest to their highest value.
    A JPEG is decoded at 1/2, 1/4 or 1/8 where that still is as large as what is asked for, and one that is no larger
    than a thumbnail is kept as it is.

    Raises Unreadable. Safe to call from many threads, which is worth it: Pillow releases the interpreter lock.
    """
    if isinstance(source, bytes):
        return _decode(source, settings)
    try:
        if isinstance(source, str) and urls.is_url(source):
            data = urls.read(source)
            with _file_bytes.take(len(data)):
                return _decode(data, settings)
        info = Path(source).stat()
        if reason := refusal(info, settings):
            raise Unreadable(reason)
        with _file_bytes.take(info.st_size), Path(source).open("rb") as file:
            data = file.read(info.st_size)
            return _decode(data, settings)
    except OSError as error:
        raise Unreadable(f"cannot be opened ({error.strerror or error})") from None


def open_thumbnail(jpeg: bytes, at_least: tuple[int, int] | None = None) -> Image.Image:
    """A thumbnail, as images.h5 and `Decoded` hold it, to draw with: RGB.

    With `at_least` (width, height) at 1/2, 1/4 or 1/8 of its size where it stays that large, which decodes faster.
    """
    image = Image.open(io.BytesIO(jpeg), formats=("JPEG",))
    if at_least:
        image.draft("RGB", at_least)
    return image.convert("RGB")


def thumbnail_size(jpeg: bytes) -> tuple[int, int]:
    """(width, height) of a thumbnail, from its header."""
    return Image.open(io.BytesIO(jpeg), formats=("JPEG",)).size


def read_mask(file: str) -> np.ndarray:
    """The shape in a picture, cut out at its edges, (H, W) bool: what is opaque, or dark where everything is opaque."""
    try:
        with Image.open(file, formats=FORMATS) as image:
            picture = ImageOps.exif_transpose(image).convert("RGBA")
    except BAD_DATA as error:
        reason = getattr(error, "strerror", None) or "no picture that can be read"
        raise UserError(f"grid.mask: {file}: {reason}. Name a picture, circle or null.") from None
    opaque = np.asarray(picture.getchannel("A")) >= 128
    inside = np.asarray(picture.convert("L")) < 128 if opaque.all() else opaque
    if not inside.any():
        raise UserError(f"grid.mask: {file} has no dark pixels. Name a picture of a dark shape on white.")
    rows, cols = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
    return inside[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]


def decode_all(
    paths: Iterable[str], settings: Images, threads: int | Literal["auto"]
) -> Iterator[Decoded | Unreadable]:
    """Decodes in `threads` threads and yields the results in the order of `paths`, a few at a time in memory."""

    def attempt(path: str) -> Decoded | Unreadable:
        try:
            return decode(path, settings)
        except Unreadable as unreadable:
            return unreadable

    with ThreadPoolExecutor(n_threads(threads)) as pool:
        waiting: deque[Future[Decoded | Unreadable]] = deque()
        try:
            for path in paths:
                waiting.append(pool.submit(attempt, path))
                if len(waiting) >= IN_FLIGHT:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # an interrupted run stops after the pictures at hand


def n_threads(threads: int | Literal["auto"]) -> int:
    """`auto` is the cores this process may use, which a container or batch system makes fewer than there are."""
    if threads != "auto":
        return threads
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _decode(data: bytes, settings: Images) -> Decoded:
    sha256 = hashlib.sha256(data).hexdigest()
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            size = image.size  # (width, height), before draft() changes it
            if reason := _too_large(size, settings) or _too_slow(image, data):
                raise Unreadable(reason, sha256)
            picture, extent, orientation = _load(image, _wanted(size, settings))
    except UnidentifiedImageError:
        reason = "is not a JPEG, PNG, WebP, TIFF, GIF or BMP that can be read" if data else "is empty (0 bytes)"
        raise Unreadable(reason, sha256) from None
    except BAD_DATA as error:
        words = cli.printable(str(error)) or type(error).__name__
        raise Unreadable(f"is damaged ({words})", sha256) from None
    pixels = _network_input(picture, extent, size, settings)
    if orientation in _TURNS:  # only now, where it costs least
        pixels = pixels.transpose(_TURNS[orientation])
    is_thumbnail = max(size) <= settings.thumbnail_px and len(data) <= KEPT_BYTES and _is_bare_jpeg(data)
    thumbnail = data if is_thumbnail else _thumbnail(picture, extent, size, orientation, settings)
    width, height = size[::-1] if orientation in _SWAPPING else size
    return Decoded(_squared(pixels, settings.network_px), thumbnail, width, height, sha256)


def _too_large(size: tuple[int, int], settings: Images) -> str:
    megapixels = size[0] * size[1] / 1e6
    if megapixels <= settings.max_megapixels:
        return ""
    limit = f"images.max_megapixels: {settings.max_megapixels:g}"
    return f"has {size[0]} x {size[1]} = {megapixels:.6g} megapixels, above {limit}"


def _too_slow(image: Image.Image, data: bytes) -> str:
    scans = data.count(b"\xff\xda") if image.format == "JPEG" else 0  # in a scan, 0xFF is followed by 0
    return f"has {scans:,} scans, a JPEG has some ten" if scans > MOST_SCANS else ""


def _scaled(size: tuple[int, int], scale: float) -> tuple[int, int]:
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _thumbnail_size(size: tuple[int, int], settings: Images) -> tuple[int, int]:
    return _scaled(size, min(1.0, settings.thumbnail_px / max(size)))  # never enlarged


def _wanted(size: tuple[int, int], settings: Images) -> tuple[int, int]:
    """The (width, height) that decoding may shrink a picture of `size` to, either of which may be above `size`."""
    side = settings.network_px
    shape = {
        "squash": (side, side),
        "crop": _scaled(size, side / min(size)),
        "pad": _scaled(size, side / max(size)),
    }[settings.fit]
    thumbnail = _thumbnail_size(size, settings)
    return max(shape[0], thumbnail[0]), max(shape[1], thumbnail[1])


def _load(image: Image.Image, wanted: tuple[int, int]) -> tuple[Image.Image, tuple[float, float], int]:
    """Reads the pixels and shrinks them to about `wanted`, each axis by a whole factor, as RGB.

    Returns the picture, the (width, height) that the original covers in it (its last row and column may stand for a
    part of a pixel only), and the EXIF orientation that is still to be applied.
    """
    # JPEG: 1/2, 1/4 or 1/8 straight from the coefficients. That saves most of the work and changes less than the choice
    # of a filter does: docs/EXPERIMENTS.md.
    drafted = image.draft(None, wanted)
    extent = drafted[1][2:] if drafted else image.size
    factor = max(1, int(extent[0] // (HEADROOM * wanted[0]))), max(1, int(extent[1] // (HEADROOM * wanted[1])))
    with _loaded_pixels.take(image.width * image.height):
        image.load()
        averageable = srgb.averageable(image)
        small = averageable if factor == (1, 1) else averageable.reduce(factor)
    extent = min(extent[0] / factor[0], small.width), min(extent[1] / factor[1], small.height)
    return srgb.convert(small, image), extent, _orientation(image)


def _orientation(image: Image.Image) -> int:
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except BAD_DATA:
        return 1  # broken EXIF is no reason to lose the picture
    return value if isinstance(value, int) else 1


def _network_input(
    picture: Image.Image, extent: tuple[float, float], size: tuple[int, int], settings: Images
) -> Image.Image:
    """What the network sees of a picture whose original `size` covers `extent` of `picture`, without its borders."""
    side, bicubic = settings.network_px, Image.Resampling.BICUBIC  # Pillow's resize is antialiased
    if settings.fit == "crop":
        left, top = ((1 - min(size) / length) * covered / 2 for length, covered in zip(size, extent, strict=True))
        return picture.resize((side, side), bicubic, (left, top, extent[0] - left, extent[1] - top))
    shape = (side, side) if settings.fit == "squash" else _scaled(size, side / max(size))
    return picture.resize(shape, bicubic, (0, 0, *extent))


def _squared(picture: Image.Image, side: int) -> np.ndarray:
    """(side, side, 3) uint8, the picture in the middle of borders where it is not square itself."""
    square = np.full((side, side, 3), PAD_COLOR, np.uint8)
    left, top = (side - picture.width) // 2, (side - picture.height) // 2
    square[top : top + picture.height, left : left + picture.width] = np.asarray(picture)
    return square


def _thumbnail(
    picture: Image.Image, extent: tuple[float, float], size: tuple[int, int], orientation: int, settings: Images
) -> bytes:
    shape, covered = _thumbnail_size(size, settings), (0, 0, *extent)
    thumbnail = picture.resize(shape, Image.Resampling.BICUBIC, covered, THUMBNAIL_GAP)
    if orientation in _TURNS:
        thumbnail = thumbnail.transpose(_TURNS[orientation])
    thumbnail.info.clear()  # a comment of the original would be written along
    buffer = io.BytesIO()
    thumbnail.save(buffer, "JPEG", quality=settings.thumbnail_quality)
    return buffer.getvalue()


def _is_bare_jpeg(data: bytes) -> bool:
    """Whether a file that was decoded is a baseline colour JPEG that holds its picture and nothing else.

    Metadata, a colour profile, an orientation, comments, previews or bytes after the end all say no: what is stored
    as it is will be shown in pages and passed on. Encoding it once more would only make it worse.
    """
    at = 2
    while data[at : at + 2] != b"\xff\xda":  # up to the start of the scan, segment by segment
        segment = data[at : at + 2 + int.from_bytes(data[at + 2 : at + 4])]
        if not _BARE_SEGMENT.fullmatch(segment):
            return False
        at += len(segment)
    # In a scan 0xFF is followed by 0 or a restart marker, so that the first other marker ends it.
    end = _END_OF_SCAN.search(data, at + 2)
    return data.startswith(b"\xff\xd8") and end is not None and data[end.start() :] == b"\xff\xd9"
