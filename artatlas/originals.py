"""Pictures for the page that are larger than the thumbnails of images.h5, made from the files of the collection."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

import numpy as np

from artatlas import additions, cli, images, pyramid, shards, store
from artatlas.config import Config, Images
from artatlas.errors import UserError
from artatlas.exhibits import Works


def export(works: Works, sha256s: np.ndarray, config: Config, folder: Path, previous: Path) -> list[str]:
    """Writes the picture of every work, its longer side at most viewer.detail_px; what `previous` has is linked.

    sha256s : (N,) hex, of the files as images.h5 knows them. Returns paths below `folder`, "" for restricted works.
    Raises UserError for a file that is gone, or is another one now.
    """
    viewer, settings = config.viewer, config.images
    asked = settings.model_copy(update={"thumbnail_px": viewer.detail_px, "network_px": 1})

    def one(number: int) -> str:
        if works.is_restricted[number]:
            return ""
        sha256 = str(sha256s[number])
        digest = hashlib.sha256(f"{sha256} {settings.thumbnail_quality}".encode()).hexdigest()[:20]
        name = f"{viewer.detail_px}/{digest[:2]}/{digest[2:]}.jpg"
        path, old = folder / name, previous / name
        if path.exists():
            return name
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = folder.with_name(f"{folder.name}.{number}")  # beside it: what a killed run leaves is not published
        if old.exists():
            pyramid.link_or_copy(old, temporary)
        else:
            temporary.write_bytes(_picture(works.ids[number], sha256, config, asked))
        os.replace(temporary, path)
        return name

    names: list[str] = []
    threads = images.n_threads(config.machine.threads)
    with ThreadPoolExecutor(threads) as pool, cli.progress(total=len(works.ids), desc="larger pictures") as bar:
        for some in shards.slices(len(works.ids)):
            names += pool.map(one, range(some.start, some.stop))
            bar.update(some.stop - some.start)
    return names


def _picture(image_id: str, sha256: str, config: Config, asked: Images) -> bytes:
    """A JPEG, decoded with all the care that prepare_images.py takes."""
    path = additions.path_of(config, image_id)
    shown = cli.printable(store.show(path))
    remedy = f"set viewer.detail_px to {config.images.thumbnail_px} or less, which needs no files"
    if PurePosixPath(image_id).is_absolute() or ".." in PurePosixPath(image_id).parts:
        raise UserError(f"{shown}: lies outside paths.images. Run: {config.command('prepare_images.py')}")
    try:
        decoded = images.decode(path, asked)
    except images.Unreadable as unreadable:
        raise UserError(
            f"{shown}: {unreadable.reason}, and viewer.detail_px: {config.viewer.detail_px} is made from the files."
            f" Set paths.images to where they are, or {remedy}."
        ) from None
    if decoded.sha256 != sha256:
        raise UserError(
            f"{shown}: is not the file that images.h5 was made from. Run: {config.command('prepare_images.py')}; or"
            f" {remedy}."
        )
    return decoded.thumbnail
