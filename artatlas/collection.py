"""The folder of pictures: which files belong to it, and whether images.h5 still stands for them.

A work's id is its POSIX path below the folder. Every file with a picture's extension is accounted for: it becomes a
work, or is listed with the reason why not. Hidden files and folders (".name", as macOS and Windows tools leave) and
other extensions are passed over in silence.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from artatlas import additions, cli, images, metadata, store, urls
from artatlas.additions import Additions
from artatlas.config import SAMPLE, Config, command
from artatlas.errors import UserError
from artatlas.images import Decoded, Unreadable

EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".gif", ".bmp")


@dataclass(frozen=True)
class File:
    image_id: str
    path: str
    bytes: int = -1  # -1 where the file could not be looked at
    mtime_ns: int = -1
    problem: str = ""  # why it is not to be opened; "" where it is


class Outcome(NamedTuple):
    """What became of a file."""

    file: File
    sha256: str  # of its bytes, "" where they were not read
    reason: str  # why it gave no picture; "" where it is a work


def find(config: Config, added: Additions | None = None) -> list[File]:
    """All files of the collection and of the folders that were added to it, sorted by id (by code point, so the order
    is the same everywhere). `added` are those of outputs/additions.json unless it is given.

    Raises UserError where a folder is missing, or the collection's own holds no pictures.
    """
    files = _find_at(config) if urls.is_url(config.paths.images) else _find_in(config)
    for each in (added or additions.read(config)).folders:
        if not Path(each.folder).is_dir():
            raise UserError(
                f"{store.show(config.outputs / additions.FILE)}: {each.folder} does not exist. Put that folder back, or"
                f" take its entry out and run: {config.command('run_all.py')} --from images"
            )
        files += find_below(Path(each.folder), config, f"{each.name}/")
    return sorted(files, key=lambda file: file.image_id)


def _find_in(config: Config) -> list[File]:
    """Those of the collection's own folder."""
    top = Path(config.paths.images)
    if not top.is_dir():
        what = "is not a folder" if top.exists() else "does not exist"
        raise UserError(f"paths.images: {store.show(top)} {what}. {_remedy(top)}")
    files = find_below(top, config)
    if not files:
        kinds = " ".join(EXTENSIONS).replace(".", "")
        raise UserError(f"paths.images: {store.show(top)} holds no pictures ({kinds}). {_remedy(top)}")
    return files


def find_below(top: Path, config: Config, prefix: str = "") -> list[File]:
    """All files below a folder, sorted by id, which is `prefix` and the path below it.

    Links to files are followed, links to folders are listed: they may lead round in circles.
    paths.outputs is left out where it lies inside, else one run's pictures would be the next one's works.
    """
    files: list[File] = []
    folders = [(str(top), prefix)]
    while folders:
        folder, prefix = folders.pop()
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if not entry.name.startswith("."):
                        _sort_out(entry, prefix, config, files, folders)
        except OSError as error:
            files.append(
                File(_as_text(prefix.rstrip("/")), folder, problem=f"cannot be opened ({error.strerror or error})")
            )
    return sorted(files, key=lambda file: file.image_id)


def _find_at(config: Config) -> list[File]:
    """The same behind a URL. `mtime_ns` is what the store tells of an object's state, as a number."""
    url = config.paths.images
    files = [
        File(found.name, found.url, found.bytes, found.state, images.refusal_of_size(found.bytes, config.images))
        for found in urls.find(url, "paths.images")
        if found.name.lower().endswith(EXTENSIONS) and not any(part[:1] == "." for part in found.name.split("/"))
    ]
    if not files:
        kinds = " ".join(EXTENSIONS).replace(".", "")
        raise UserError(f"paths.images: {url} holds no pictures ({kinds}). Set it to where your pictures are.")
    return files


def _sort_out(
    entry: os.DirEntry[str], prefix: str, config: Config, files: list[File], folders: list[tuple[str, str]]
) -> None:
    """Adds one entry of a folder to the folders still to walk, to the files, or to neither."""
    name = prefix + entry.name
    is_folder = entry.is_dir(follow_symlinks=False)
    if is_folder and not _is_outputs(entry, config):
        folders.append((entry.path, f"{name}/"))
    if entry.name.lower().endswith(EXTENSIONS):
        files.append(_file(entry, name, config))
    elif not is_folder and entry.is_dir():
        files.append(File(_as_text(name), entry.path, problem="is a link to a folder; such links are not followed"))


def _file(entry: os.DirEntry[str], name: str, config: Config) -> File:
    image_id = _as_text(name)
    try:
        info = entry.stat()
    except OSError as error:
        reasons = {errno.ENOENT: "is a link to nothing", errno.ELOOP: "is a link that leads round in a circle"}
        problem = reasons.get(error.errno or 0, f"cannot be opened ({error.strerror or error})")
        return File(image_id, entry.path, problem=problem)
    problem = images.refusal(info, config.images)
    if image_id != name:
        problem = "has a name that is not UTF-8"
    return File(image_id, entry.path, info.st_size, info.st_mtime_ns, problem)


def _as_text(name: str) -> str:
    """A name that can be stored: bytes that are not UTF-8, which Python keeps as lone surrogates, as \\xff."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _is_outputs(entry: os.DirEntry[str], config: Config) -> bool:
    outputs = config.outputs
    return entry.name == outputs.name and outputs.exists() and outputs.samefile(entry.path)


def _remedy(top: Path) -> str:
    if top.is_relative_to(SAMPLE):
        return f"Run: {command('data/paint_collection.py')}"
    return "Set paths.images to the folder with your pictures."


def identity(outcomes: Sequence[Outcome], metadata_sha256: str) -> list[list[str]]:
    """What goes into the fingerprint of images.h5: contents, no times, so two machines with the same files agree."""
    return [
        *([outcome.file.image_id, outcome.sha256 or outcome.reason] for outcome in outcomes),
        ["", metadata_sha256],
    ]


def write(group: h5py.Group, outcomes: Sequence[Outcome]) -> None:
    """`image_ids` of the rows of a group, and which files they are, so that `why_changed` can tell."""
    texts = {"image_ids": [o.file.image_id for o in outcomes], "file_sha256": [o.sha256 for o in outcomes]}
    for name, values in texts.items():
        group.create_dataset(name, data=np.array(values, object), dtype=store.TEXT)
    group["file_bytes"] = np.array([o.file.bytes for o in outcomes], np.int64)
    group["file_mtime_ns"] = np.array([o.file.mtime_ns for o in outcomes], np.int64)


def why_changed(config: Config) -> str | None:
    """None where the folder and the CSV are what images.h5 was made from, else what differs.

    For an images.h5 that `store.why_stale` finds in order. Quick for large folders: only files whose size or time
    differ from those noted in images.h5 are read again, and a file that was merely touched or copied changes nothing.
    """
    with store.open_output(config, "images") as h5:
        known = known_files(h5)
        known_metadata = h5.attrs["metadata_sha256"]
    try:
        files = {file.image_id: file for file in find(config)}
        metadata_sha256 = metadata.sha256(config)
    except UserError as error:
        return str(error)
    parts = [f"{len(ids):,} {what} ({cli.printable(ids[0])})" for what, ids in compare(files, known).items() if ids]
    if metadata_sha256 != known_metadata:
        parts.append("the metadata CSV differs")
    path = store.show(config.outputs / "images.h5")
    run = f"Run: {config.command('prepare_images.py')}"
    return f"{path} was made from other files: {', '.join(parts)}. {run}" if parts else None


class Earlier:
    """What an earlier images.h5 tells of the files that have not changed since, so that they need not be decoded."""

    def __init__(self, h5: h5py.File | None, config: Config, retry_skipped: bool) -> None:
        """`h5` is what `reuse.opened` gives; of no use where it was decoded in another way, or is all up to date."""
        self._h5, self._known, self._digests = h5, {}, np.empty(0, object)
        try:
            if h5 is None or "digest" not in h5 or _decoding(json.loads(h5.attrs["recipe"])["settings"]) != _decoding(
                config.settings(("images",))
            ) or not (retry_skipped or store.why_stale(config, "images") or why_changed(config)):
                return  # fmt: skip
            known = known_files(h5)
            self._row_of = {image_id: row for row, image_id in enumerate(store.read_ids(h5))}
            self._digests = h5["digest"].asstr()[:]
        except store.DAMAGED:
            return  # it is damaged, and about to be replaced
        if retry_skipped:
            known = {image_id: file for image_id, file in known.items() if image_id in self._row_of}
        self._known = known

    def knows(self, file: File) -> bool:
        """Whether it has the size and the time of before, as `why_changed` judges."""
        size, mtime_ns, sha256, _ = self._known.get(file.image_id, (-1, -1, "", ""))
        return (
            not file.problem and bool(sha256) and file.mtime_ns != -1
            and (file.bytes, file.mtime_ns) == (size, mtime_ns)
        )  # fmt: skip

    def read(self, file: File) -> Decoded | Unreadable | None:
        """What became of a file that it `knows`, or None where what is stored is damaged."""
        _, _, sha256, reason = self._known[file.image_id]
        if reason:
            return Unreadable(reason, sha256)
        assert self._h5 is not None
        row, h5 = self._row_of[file.image_id], self._h5
        try:
            pixels, thumbnail = h5["pixels"][row], h5["thumbnails"][row].tobytes()
            work = Decoded(pixels, thumbnail, int(h5["width"][row]), int(h5["height"][row]), sha256)
        except store.DAMAGED:
            return None
        return work if work.digest() == self._digests[row] else None  # else a bit has changed on the disk


def _decoding(settings: dict[str, dict]) -> dict[str, Any]:
    """The settings that decide what a file becomes, without those of the metadata."""
    return {key: value for key, value in settings["images"].items() if key not in ("filename_column", "path_pattern")}


def compare(files: dict[str, File], known: dict[str, tuple[int, int, str, str]]) -> dict[str, list[str]]:
    """The ids of the files that were added, removed and changed since `known_files` were noted."""
    return {
        "added": [i for i in files if i not in known],
        "removed": [i for i in known if i not in files],
        "changed": [i for i, file in files.items() if i in known and not _same(file, *known[i])],
    }


def known_files(h5: h5py.File) -> dict[str, tuple[int, int, str, str]]:
    """id -> (bytes, mtime_ns, sha256, reason) of all works and skipped files."""
    known: dict[str, tuple[int, int, str, str]] = {}
    for group in (h5, h5["skipped"]):
        ids, hashes = store.read_ids(group), group["file_sha256"].asstr()[:]
        sizes, times = group["file_bytes"][:].tolist(), group["file_mtime_ns"][:].tolist()
        reasons = group["reason"].asstr()[:] if "reason" in group else [""] * len(ids)
        known.update(zip(ids, zip(sizes, times, hashes, reasons, strict=True), strict=True))
    return known


def _same(file: File, size: int, mtime_ns: int, sha256: str, reason: str) -> bool:
    if file.problem:
        return file.problem == reason
    if sha256 and file.mtime_ns != -1 and (file.bytes, file.mtime_ns) == (size, mtime_ns):
        return True
    try:
        if urls.is_url(file.path):
            return hashlib.sha256(urls.read(file.path)).hexdigest() == sha256
        with Path(file.path).open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest() == sha256
    except OSError:
        return not sha256  # it could not be read then either
