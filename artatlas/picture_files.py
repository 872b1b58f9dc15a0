"""Writes small pictures to files. Mosaics of any size are written strip by strip: artatlas/strips.py."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from PIL.Image import Image

_END = b"\xff\xd9"  # of every JPEG


def save_jpeg(image: Image, path: Path | str, quality: int, subsampling: int = -1) -> None:
    """Into a file, not into memory: only there Pillow lets other threads work meanwhile.

    Raises OSError where it cannot be written whole. Pillow alone leaves half a JPEG on a full disk, and says nothing.

    subsampling : as Pillow has it; -1 is its default, 0 keeps colour at full resolution
    """
    image.save(path, "JPEG", quality=quality, subsampling=subsampling)
    with open(path, "rb") as file:
        file.seek(max(file.seek(0, os.SEEK_END) - len(_END), 0))
        if file.read() != _END:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def save_webp(image: Image, path: Path | str, quality: int) -> None:
    image.save(path, "WEBP", quality=quality, method=2)  # 4 is half as fast again for 3 % of the size
