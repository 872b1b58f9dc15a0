"""Paint the sample collection: every subject, by every painter, four times.

A full factorial is what lets content and style be told apart: each subject occurs equally often with each
painter and under each light, so a map that gathers subjects cannot be gathering painters, and the reverse.

Writes: FOLDER/images/<painter>/<subject>-<n>.jpg, FOLDER/metadata.csv
Run:    python data/paint_collection.py [--out FOLDER]
Source: nothing is downloaded; the pictures, painters and titles are this project's own.
Cost:   about 40 s on 2 idle cores (75 s of one core), 0.1 s where the pictures are there already
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import os
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from painter.canvas import Scene
    from PIL import Image

HERE = Path(__file__).resolve().parent
STAMP = ".painted"
VARIATIONS = 4
FIELDS = ("filename", "artist", "title", "genre", "style", "year")
SIZES_PX = ((400, 320), (320, 400), (400, 400), (400, 300))  # (width, height)


class Painter(NamedTuple):
    artist: str
    module: str  # where in data/painter/ the style is drawn
    style: str
    first_year: int
    last_year: int


PAINTERS = {
    "impasto": Painter("Ilse Marrow", "brushes", "impasto", 1886, 1904),
    "points": Painter("Théodore Quill", "brushes", "pointillism", 1889, 1911),
    "watercolour": Painter("Maud Fenwater", "brushes", "watercolour", 1921, 1948),
    "pastel": Painter("Anselm Dusk", "brushes", "chalk pastel", 1871, 1893),
    "engraving": Painter("Cornelis Burin", "presses", "engraving", 1648, 1669),
    "colour_print": Painter("Hana Mizuki", "presses", "colour woodblock print", 1829, 1857),
    "linocut": Painter("Bruno Karst", "presses", "linocut", 1924, 1939),
    "glass": Painter("Odile Verrier", "presses", "stained glass", 1902, 1933),
}
SUBJECTS = ("boat", "mountains", "village", "bird", "fruit", "flowers", "portrait", "cat")


class Work(NamedTuple):
    style: str
    subject: str
    variation: int

    @property
    def filename(self) -> str:
        """POSIX path below images/."""
        slug = PAINTERS[self.style].artist.lower().replace("é", "e").replace(" ", "-")
        return f"{slug}/{self.subject}-{self.variation + 1}.jpg"

    @property
    def time_of_day(self) -> int:
        """Which palette: 3 and 5 share no factor with 8, so palettes are crossed evenly with all else."""
        style, subject = list(PAINTERS).index(self.style), SUBJECTS.index(self.subject)
        return (3 * style + 5 * subject + (0, 3, 5, 6)[self.variation]) % 8

    @property
    def seed(self) -> list[int]:
        """Words for numpy's SeedSequence; Python's own hash() differs between runs."""
        return list(hashlib.sha256(f"{self.style}/{self.subject}/{self.variation}".encode()).digest()[:16])


def works(variations: int = VARIATIONS, subjects: Sequence[str] = SUBJECTS) -> list[Work]:
    """The factorial, or of it the first few variations and some of the subjects, enough for a test."""
    return [
        Work(style, subject, variation)
        for style in PAINTERS
        for subject in subjects
        for variation in range(variations)
    ]


def compose(work: Work) -> tuple[Scene, np.random.Generator]:
    """The subject as shapes, before any style touches it, and the generator to go on painting with."""
    import numpy as np
    from painter.canvas import Scene
    from painter.palettes import palette

    _, subject, variation = work
    rng = np.random.default_rng(work.seed)
    upright = subject in ("portrait", "flowers")  # these keep to formats that leave them room
    formats = (1, 2, 1, 2) if upright else (0, 3, 2, 0)
    width, height = SIZES_PX[formats[(variation + rng.integers(4)) % 4]]
    scene = Scene(width, height, light=(0.6 * rng.choice([-1, 1]), -0.55))
    draw = getattr(import_module(f"painter.{subject}"), subject)
    draw(scene, palette(work.time_of_day)[1], rng, variation)
    return scene, rng


def paint(style: str, subject: str, variation: int) -> Image.Image:
    """One picture, RGB, about 400 pixels on its longer side; always the same for the same three arguments."""
    from PIL import Image

    render = getattr(import_module(f"painter.{PAINTERS[style].module}"), style)
    return Image.fromarray(render(*compose(Work(style, subject, variation))))


def _write(path: Path, content: bytes) -> None:
    """Through a temporary file beside it, so that an interrupted run leaves no half pictures."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(content)
    temporary.replace(path)


def _paint_to(work: Work, images: Path) -> str:
    jpeg = io.BytesIO()
    paint(*work).save(jpeg, "JPEG", quality=90)
    _write(images / work.filename, jpeg.getvalue())
    return work.filename


def _metadata(collection: Iterable[Work]) -> list[dict[str, str]]:
    from painter.palettes import TIMES

    rows = []
    for work in collection:
        artist, _, style, first, last = PAINTERS[work.style]
        title = f"{work.subject.capitalize()} {list(TIMES)[work.time_of_day]}, no. {work.variation + 1}"
        year = first + int.from_bytes(bytes(work.seed[:2])) % (last - first + 1)
        rows.append(
            dict(zip(FIELDS, (work.filename, artist, title, work.subject, style, str(year)), strict=True))
        )
    return rows


def _recipe(collection: list[Work]) -> str:
    """Everything that decides the bytes: this source, the drawing libraries, and the works asked for."""
    digest = hashlib.sha256(repr(collection).encode())
    for source in sorted([Path(__file__), *(HERE / "painter").glob("*.py")]):
        digest.update(source.read_bytes())
    digest.update(" ".join(version(name) for name in ("numpy", "scipy", "Pillow")).encode())
    return digest.hexdigest()


def paint_collection(
    folder: Path,
    variations: int = VARIATIONS,
    subjects: Sequence[str] = SUBJECTS,
    processes: int | None = None,
) -> str:
    """Paint what is missing or out of date below `folder`; returns one line that says what was done."""
    start, collection = time.perf_counter(), works(variations, subjects)
    recipe, images, stamp = _recipe(collection), folder / "images", folder / STAMP
    current = stamp.is_file() and stamp.read_text() == recipe
    missing = [work for work in collection if not (current and (images / work.filename).is_file())]
    if current and not missing and (folder / "metadata.csv").is_file():
        return f"{images} already holds the {len(collection)} pictures of this version, nothing to paint"
    from tqdm import tqdm

    stamp.unlink(missing_ok=True)
    spawn = get_context("spawn")  # a fork of a process that has loaded TensorFlow may hang
    workers = min(processes or os.cpu_count() or 1, max(len(missing) // 4, 1))
    with ProcessPoolExecutor(workers, spawn) as pool:
        painted = pool.map(_paint_to, missing, [images] * len(missing), chunksize=4)
        for _ in tqdm(painted, total=len(missing), desc="painting", unit="picture", disable=None):
            pass
    table = io.StringIO()
    writer = csv.DictWriter(table, FIELDS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_metadata(collection))
    _write(folder / "metadata.csv", table.getvalue().encode())
    _write(stamp, recipe.encode())
    return (
        f"painted {len(missing)} of {len(collection)} pictures ({len(PAINTERS)} painters x {len(subjects)} "
        f"subjects x {variations}) into {images} in {time.perf_counter() - start:.0f} s"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    is_checkout = (HERE.parent / "pyproject.toml").exists()  # installed, it paints where the user is
    default = (HERE if is_checkout else Path("data")) / "collection"
    parser.add_argument("--out", type=Path, default=default, metavar="FOLDER", help="default: %(default)s")
    print(paint_collection(parser.parse_args().out))
