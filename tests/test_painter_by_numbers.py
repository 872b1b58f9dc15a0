"""A small copy of the competition's layout becomes a collection that the pipeline takes."""

import csv

import numpy as np
import painter_by_numbers as script
import pytest
from conftest import run_script
from PIL import Image

from artatlas import metadata
from artatlas.errors import UserError

HEADER = ["artist", "date", "genre", "pixelsx", "pixelsy", "size_bytes", "source", "style", "title", "artist_group",
          "in_train", "new_filename", "filename"]  # fmt: skip
ROWS = [  # in_train, new_filename, filename; the 4th was renamed, the 5th is in both folders, the 6th nowhere
    ["Vincent van Gogh", "1889.0", "landscape", 1, 1, 1, "wikiart", "Post-Impressionism", 'The "Iris", a study',
     "train_only", "True", "1.jpg", "1.jpg"],
    ["Vincent van Gogh", "c.1885", "portrait", 1, 1, 1, "wikiart", "Realism", "Têtes\nde paysans", "train_and_test",
     "False", "2.jpg", "2.jpg"],
    ["Édouard Manet", "", "", 1, 1, 1, "wikiart", "", "", "test_only", "False", "3.jpg", "3.jpg"],
    ["Édouard Manet", "April 1868", "", 1, 1, 1, "wikiart", "Realism", "=1+1", "train_only", "True", "100004.jpg",
     "4.jpg"],
    ["William Hogarth", "1745", "", 1, 1, 1, "wikiart", "Rococo", "x", "train_only", "False", "5.jpg", "5.jpg"],
    ["William Hogarth", "1746", "", 1, 1, 1, "wikiart", "Rococo", "y", "train_only", "True", "6.jpg", "6.jpg"],
]  # fmt: skip
PLACES = ["train/1.jpg", "test/2.jpg", "test/3.jpg", "train_2/100004.jpg", "train/5.jpg", "test/5.jpg", "test/77.jpg"]


def write_table(path, header, rows):
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])


@pytest.fixture
def layout(tmp_path):
    for i, place in enumerate(PLACES):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        pixels = np.random.default_rng(i).integers(0, 255, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / place)
    write_table(tmp_path / "all_data_info.csv", HEADER, ROWS)
    return tmp_path


def read(folder):
    with (folder / "metadata.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_picture_gets_its_row_and_none_is_copied(layout):
    before = sorted(path for path in layout.rglob("*.jpg"))
    said = script.convert(layout)
    rows = {row["filename"]: row for row in read(layout)}
    assert list(rows) == ["test/2.jpg", "test/3.jpg", "test/5.jpg", "train/1.jpg", "train_2/100004.jpg"]
    assert rows["train/1.jpg"]["title"] == 'The "Iris", a study' and rows["test/3.jpg"]["artist"] == "Édouard Manet"
    assert rows["train_2/100004.jpg"]["title"] == "=1+1" and rows["train_2/100004.jpg"]["split"] == "train"
    assert [row["year"] for row in rows.values()] == ["1885", "", "1745", "1889", "1868"]
    assert "5 pictures by 3 artists; 1 row without a picture, 1 picture without a row" in said
    assert sorted(path for path in layout.rglob("*.jpg")) == before


def test_train_info_alone_will_do(layout):
    (layout / "all_data_info.csv").unlink()
    header = ["filename", "artist", "title", "style", "genre", "date"]
    write_table(layout / "train_info.csv", header, [["1.jpg", "8a7b2c", "Iris", "Realism", "", "1889.0"]])
    assert "1 picture by 1 artist" in script.convert(layout)
    assert read(layout)[0]["artist"] == "8a7b2c"


def test_the_pipeline_takes_it_and_finds_the_competitions_names(layout, tmp_path):
    script.convert(layout)
    flags = ["--set", f"paths.images={layout}", "--set", f"paths.metadata={layout / 'metadata.csv'}",
             "--set", f"paths.outputs={tmp_path / 'out'}"]  # fmt: skip
    result = run_script("prepare_images.py", *flags)
    assert "7 works" in result.stdout and "2 works have no row" in result.stderr
    ids = [row["filename"] for row in read(layout)]
    assert metadata.join(ids, ["100004.jpg", "3.jpg"]) == {"train_2/100004.jpg": 0, "test/3.jpg": 1}


def test_what_is_missing_is_told(tmp_path, layout):
    with pytest.raises(UserError, match=r"has neither all_data_info.csv nor train_info.csv"):
        script.convert(layout / "train")
    write_table(layout / "all_data_info.csv", ["file", "artist"], [["1.jpg", "a"]])
    with pytest.raises(UserError, match=r"has no column filename \(file, artist\)"):
        script.convert(layout)
    write_table(layout / "all_data_info.csv", ["filename", "artist"], [["nothere.jpg", "a"]])
    with pytest.raises(UserError, match=r"holds no picture that all_data_info.csv names"):
        script.convert(layout)
    assert not (layout / "metadata.csv").exists()
