"""Pictures of any size, drawn and written strip by strip: memory for one strip, whatever the whole is.

A PNG is a stream by nature: its rows one after the other, compressed with zlib. A baseline JPEG becomes one with
restart markers: what lies between two of them is coded on its own, so that what Pillow makes of each strip can be put
end to end. The bytes are those that Pillow writes for the whole picture with `restart_marker_rows=1`.

Source  JPEG: ITU-T T.81 (1992), B.2 and E.1.4; PNG: W3C Portable Network Graphics (2003), 5, 9 and 11
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

SIDES = {"jpg": 65_500, "png": 2**31 - 1}  # px, the longest side of each: what libjpeg writes, what PNG can name
JPEG_ROWS = 64  # a strip of a JPEG is a multiple of this: 8 rows of 8 px, after which the restart markers begin again
STRIP_PIXELS = JPEG_ROWS * SIDES["jpg"]  # most pixels of a strip, so that one of a JPEG can always be JPEG_ROWS high

SOF0, SOS, EOI, RST7 = b"\xff\xc0", b"\xff\xda", b"\xff\xd9", b"\xff\xd7"
IMAGE_HEADER = bytes((8, 2, 0, 0, 0))  # 8 bits, RGB, zlib, filters row by row, not interlaced
UP = 2  # the filter of every PNG row: less the row above it

Draw = Callable[[int, int], np.ndarray]


def spans(width: int, height: int) -> Iterator[tuple[int, int]]:
    """Yields (top, bottom), the strips of a picture of `width` x `height` px from top to bottom.

    All but the last are multiples of JPEG_ROWS high where the picture is narrow enough for a JPEG.
    """
    rows = max(1, STRIP_PIXELS // width)
    if rows >= JPEG_ROWS:
        rows -= rows % JPEG_ROWS
    for top in range(0, height, rows):
        yield top, min(top + rows, height)


def save_jpeg(path: Path, size: tuple[int, int], draw: Draw, quality: int) -> None:
    """Writes a JPEG of `size` (width, height) with colour at full resolution (4:4:4).

    `draw(top, bottom)` returns the rows from top to bottom - 1 as (bottom - top, width, 3) uint8 RGB. It is called for
    strips from top to bottom. Raises ValueError for a side over SIDES["jpg"] and for a strip of another shape or dtype.
    """
    _check_size(size, "jpg")
    header = b""
    with open(path, "wb") as file:
        for strip in _drawn(size, draw):
            buffer = io.BytesIO()
            # Pillow's own Huffman tables (no `optimize`): all strips have to share those in the first one's header.
            Image.fromarray(strip).save(buffer, "JPEG", quality=quality, subsampling=0, restart_marker_rows=1)
            jpeg = buffer.getvalue()
            if header:
                file.write(RST7)
            else:
                header = _jpeg_header(jpeg, size[1])
                file.write(header)
            file.write(memoryview(jpeg)[len(header) : -len(EOI)])
        file.write(EOI)


def save_png(path: Path, size: tuple[int, int], draw: Draw) -> None:
    """Writes a PNG of `size` (width, height). `draw` and errors are those of `save_jpeg`, with SIDES["png"]."""
    _check_size(size, "png")
    width, height = size
    with open(path, "wb") as file:

        def write_chunk(kind: bytes, data: bytes) -> None:
            file.write(len(data).to_bytes(4, "big") + kind + data)
            file.write(zlib.crc32(data, zlib.crc32(kind)).to_bytes(4, "big"))

        file.write(b"\x89PNG\r\n\x1a\n")
        write_chunk(b"IHDR", width.to_bytes(4, "big") + height.to_bytes(4, "big") + IMAGE_HEADER)
        compressor, above = zlib.compressobj(), np.zeros((1, 3 * width), np.uint8)
        for strip in _drawn(size, draw):
            values = strip.reshape(len(strip), 3 * width)
            filtered = np.empty((len(strip), 1 + 3 * width), np.uint8)  # a row is its filter's number, then the bytes
            filtered[:, 0] = UP
            np.subtract(values[:1], above, out=filtered[:1, 1:])
            np.subtract(values[1:], values[:-1], out=filtered[1:, 1:])
            above = values[-1:].copy()
            if data := compressor.compress(filtered.data):
                write_chunk(b"IDAT", data)
        write_chunk(b"IDAT", compressor.flush())
        write_chunk(b"IEND", b"")


def _check_size(size: tuple[int, int], file_format: str) -> None:
    if min(size) < 1 or max(size) > SIDES[file_format]:
        raise ValueError(f"a {file_format} cannot be of {size[0]} x {size[1]} px")


def _drawn(size: tuple[int, int], draw: Draw) -> Iterator[np.ndarray]:
    for top, bottom in spans(*size):
        strip = draw(top, bottom)
        if strip.shape != (bottom - top, size[0], 3) or strip.dtype != np.uint8:
            raise ValueError(f"rows {top} to {bottom - 1} of {size[0]} px are {strip.dtype} {strip.shape}")
        yield strip


def _jpeg_header(jpeg: bytes, height: int) -> bytes:
    """What stands before the coded pixels of a JPEG, with another height (T.81, B.2.2)."""
    header, at = bytearray(jpeg), 2  # after SOI come segments: a marker, then the length of itself and its content
    while jpeg[at : at + 2] != SOS:
        if jpeg[at : at + 2] == SOF0:
            header[at + 5 : at + 7] = height.to_bytes(2, "big")
        at += 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
    return bytes(header[: at + 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")])
