"""The painted sample collection: the demo, the fixture, and the ground truth for content against style."""

from __future__ import annotations

import csv
import itertools
import os
import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

DATA = Path(__file__).resolve().parents[1] / "data"
if str(DATA) not in sys.path:
    sys.path.insert(0, str(DATA))

import paint_collection as painted  # noqa: E402
from painter.canvas import rasterise  # noqa: E402

SUBSET = {"variations": 1, "subjects": ("boat", "bird", "portrait")}


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three subjects by every painter: 24 pictures, painted once for all tests here."""
    folder = tmp_path_factory.mktemp("collection")
    painted.paint_collection(folder, processes=2, **SUBSET)
    return folder


def _rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metadata.csv").open(newline="", encoding="utf-8") as table:
        return list(csv.DictReader(table))


def _state(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {str(f): (f.stat().st_mtime_ns, f.read_bytes()) for f in folder.rglob("*") if f.is_file()}


@pytest.mark.parametrize("style", painted.PAINTERS)
def test_a_picture_is_the_same_in_every_process(style: str, collection: Path) -> None:
    """The bytes depend on style, subject and variation only; control: another subject gives other bytes."""
    stored = collection / "images" / painted.Work(style, "bird", 0).filename
    again = collection / "again.jpg"
    painted.paint(style, "bird", 0).save(again, "JPEG", quality=90)
    same = again.read_bytes()
    again.unlink()
    assert same == stored.read_bytes()
    assert same != stored.with_name("boat-1.jpg").read_bytes()


def test_the_seed_does_not_depend_on_pythons_hash() -> None:
    """Python salts hash() anew in every process; control: with another salt, hash() does change."""
    code = "import paint_collection as p; print(p.Work('glass', 'cat', 2).seed); print(hash('glass'))"
    runs = [
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=DATA,
            env={**os.environ, "PYTHONHASHSEED": salt},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()
        for salt in "12"
    ]
    assert runs[0][0] == runs[1][0] == str(painted.Work("glass", "cat", 2).seed)
    assert runs[0][1] != runs[1][1]


def test_the_design_is_a_full_factorial() -> None:
    """Every painter paints every subject equally often, 256 pictures or more; no file name occurs twice."""
    works = painted.works()
    crossed = Counter((work.style, work.subject) for work in works)
    assert set(crossed) == set(itertools.product(painted.PAINTERS, painted.SUBJECTS))
    assert set(crossed.values()) == {painted.VARIATIONS}
    assert len({work.filename for work in works}) == len(works) >= 256


def test_colour_gives_away_neither_painter_nor_subject() -> None:
    """Every painter and every subject meets each palette equally often."""
    works = painted.works()
    for names in ([work.style for work in works], [work.subject for work in works]):
        met = Counter(zip(names, (work.time_of_day for work in works), strict=True))
        assert len(met) == 8 * 8
        assert set(met.values()) == {len(works) // 64}


def test_metadata_and_files_agree(collection: Path) -> None:
    """One row per picture and one picture per row, all fields filled; nothing else lies among the images."""
    rows = _rows(collection)
    images = collection / "images"
    found = {f.relative_to(images).as_posix() for f in images.rglob("*") if f.is_file()}
    assert tuple(rows[0]) == painted.FIELDS
    assert {row["filename"] for row in rows} == found
    assert len(rows) == len(found) == 24
    assert all(re.fullmatch(r"[a-z-]+/[a-z]+-\d\.jpg", name) for name in found)
    assert all(all(row.values()) and row["year"].isdigit() for row in rows)
    for column, names, each in (("artist", 8, 3), ("style", 8, 3), ("genre", 3, 8)):
        assert Counter(Counter(row[column] for row in rows).values()) == {each: names}


def test_pictures_are_pictures(collection: Path) -> None:
    """Each is RGB, 400 pixels long, in more than one format, and not blank; control: a blank sheet is."""
    formats = Counter()
    for row in _rows(collection):
        with Image.open(collection / "images" / row["filename"]) as picture:
            assert picture.mode == "RGB"
            assert max(picture.size) == 400 and min(picture.size) >= 300
            formats[picture.size] += 1
            assert np.asarray(picture.convert("L")).std() > 18, row["filename"]
    assert len(formats) >= 3
    assert np.asarray(Image.new("L", (400, 300), 255)).std() < 18


@pytest.mark.parametrize("subject", painted.SUBJECTS)
def test_variations_differ(subject: str) -> None:
    """Four variations are four compositions, not one with other grain; control: a picture equals itself."""

    def small(variation: int) -> np.ndarray:
        scene, _ = painted.compose(painted.Work("points", subject, variation))
        lit = Image.fromarray((rasterise(scene, 0.25).lit() * 255).astype(np.uint8)).convert("L")
        return np.asarray(lit.resize((16, 16), Image.Resampling.BOX), np.float32)

    pictures = [small(variation) for variation in range(painted.VARIATIONS)]
    for one, other in itertools.combinations(pictures, 2):
        assert np.abs(one - other).mean() > 8
    assert np.abs(pictures[0] - small(0)).max() == 0


def test_a_second_run_does_nothing(collection: Path) -> None:
    """A complete collection is left alone, at once: same bytes, same modification times."""
    before, start = _state(collection), time.process_time()
    summary = painted.paint_collection(collection, **SUBSET)
    assert "nothing to paint" in summary
    assert time.process_time() - start < 1
    assert _state(collection) == before


def test_a_missing_picture_comes_back(collection: Path) -> None:
    """Only what is missing is painted again, and with the same bytes; every other file stays as it was."""
    before = _state(collection)
    lost = collection / "images" / painted.Work("points", "boat", 0).filename
    lost.unlink()
    assert painted.paint_collection(collection, **SUBSET).startswith("painted 1 of 24 pictures")
    after = _state(collection)
    assert {name for name in before if after[name][1] != before[name][1]} == set()
    touched = {name for name in before if after[name] != before[name]}
    assert str(lost) in touched and len([name for name in touched if name.endswith(".jpg")]) == 1


def test_a_stamp_from_elsewhere_is_not_believed(collection: Path, tmp_path: Path) -> None:
    """The stamp names its source and its works: another subset, or another version, has another stamp."""
    recipe = painted._recipe(painted.works(**SUBSET))
    assert (collection / painted.STAMP).read_text() == recipe
    assert painted._recipe(painted.works(**SUBSET | {"variations": 2})) != recipe
    assert not list(collection.rglob(".*.jpg.*"))  # nothing temporary is left behind


def test_help_does_not_wait_for_numpy() -> None:
    """The command line imports nothing heavy until there is something to paint."""
    code = "import sys, paint_collection; print(sorted({'numpy', 'scipy', 'PIL'} & set(sys.modules)))"
    shown = subprocess.run([sys.executable, "-c", code], cwd=DATA, capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
