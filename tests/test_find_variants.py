"""Scans, crops and details are found where they are; other pictures of the same kind are not."""

import csv
import shutil

import h5py
import numpy as np
import pytest
from conftest import FAST, run_script
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFilter

import find_variants as script
from artatlas import variants


def painting(seed, size=(320, 240)):
    """A picture with something to hold on to everywhere: coloured shapes of every size."""
    rng = np.random.default_rng(seed)
    picture = Image.new("RGB", size, tuple(rng.integers(0, 256, 3).tolist()))
    draw = ImageDraw.Draw(picture)
    for _ in range(60):
        x, y, r = rng.integers(0, size[0]), rng.integers(0, size[1]), rng.integers(4, 50)
        colour = tuple(rng.integers(0, 256, 3).tolist())
        draw.ellipse((x - r, y - r * 0.6, x + r, y + r * 0.6), fill=colour)
    return picture.filter(ImageFilter.GaussianBlur(1))


def cut(picture, top, left, height, width):
    w, h = picture.size
    return picture.crop((round(left * w), round(top * h), round((left + width) * w), round((top + height) * h)))


def best(part, whole):
    score, scale = variants.search(variants.outline(part), variants.outline(whole))
    return score, variants.match(part, whole, scale)


@settings(max_examples=25, deadline=None)
@given(st.floats(0.4, 0.95), st.floats(0, 1), st.floats(0, 1), st.integers(0, 50))
def test_a_crop_is_found_where_it_was_cut(share, down, across, seed):
    whole = painting(seed)
    box = (down * (1 - share), across * (1 - share), share, share)
    score, match = best(cut(whole, *box), whole)
    assert score > script.PROMISING and match.score > 0.9
    assert np.abs(np.array(match.box) - box).max() < 0.03


@pytest.mark.parametrize("change", ["grey", "dark", "pale", "stretched", "small", "blurred"])
def test_tone_contrast_and_a_little_stretch_do_not_matter(change):
    whole = painting(1)
    part = {
        "grey": lambda: whole.convert("L").convert("RGB"),
        "dark": lambda: whole.point(lambda level: 255 * (level / 255) ** 1.6),
        "pale": lambda: whole.point(lambda level: 40 + level * 0.5),
        "stretched": lambda: whole.resize((320, 250)),
        "small": lambda: whole.resize((160, 120)),
        "blurred": lambda: whole.filter(ImageFilter.GaussianBlur(1.5)),
    }[change]()
    assert best(part, whole)[1].score > 0.9


@pytest.mark.parametrize("seed", range(12))
def test_other_pictures_of_the_same_kind_are_not(seed):
    one, other = painting(100 + seed), painting(200 + seed)
    assert best(one, other)[1].score < 0.8 and best(cut(one, 0.2, 0.2, 0.4, 0.4), other)[1].score < 0.8


@pytest.mark.parametrize("size", [(1, 1), (9, 400), (400, 9), (30, 30)])
def test_flat_and_tiny_pictures_are_nothing_again(size):
    flat = Image.new("RGB", size, (120, 130, 140))
    for one, other in ((flat, flat), (flat, painting(0)), (painting(0), flat)):
        score, match = best(one, other)
        assert score < script.PROMISING and match.score < 0.8


def test_pairs_link_works_into_groups():
    assert script.linked(7, [(5, 1), (1, 3), (6, 4)]).tolist() == [0, 1, 2, 1, 4, 1, 4]
    assert script.linked(3, []).tolist() == [0, 1, 2]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """30 pictures; of some of them a detail, another scan, an exact duplicate. Read only."""
    folder = tmp_path_factory.mktemp("variants")
    images = folder / "images"
    images.mkdir()
    for i in range(30):
        painting(i).save(images / f"w{i:02d}.png")
    cut(painting(3), 0.1, 0.3, 0.6, 0.6).save(images / "detail.png")
    painting(8).resize((300, 230)).save(images / "scan.jpg", quality=70)
    shutil.copy(images / "w20.png", images / "z.png")
    (folder / "metadata.csv").write_text('filename,title\nscan.jpg,"=cmd|\nline"\n', encoding="utf-8")
    values = (f"paths.images={images}", f"paths.metadata={folder / 'metadata.csv'}", f"paths.outputs={folder / 'o'}",
              *FAST, "render.color_by=null", "similar.spaces={color: {color: 1}}")  # fmt: skip
    words = [word for value in values for word in ("--set", value)]
    run_script("run_all.py", "--only", "images", "color", "neighbors", "variants", *words)
    return folder, words


def test_planted_variants_are_listed_and_nothing_else(made):
    with (made[0] / "o" / "variants.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [(line["filename"], line["variant_of"], line["kind"]) for line in lines[:1]] == [
        ("z.png", "w20.png", "duplicate")
    ]
    found = {frozenset((line["filename"], line["variant_of"])): line for line in lines[1:]}
    assert set(found) == {frozenset(("detail.png", "w03.png")), frozenset(("scan.jpg", "w08.png"))}
    detail = found[frozenset(("detail.png", "w03.png"))]
    assert detail["filename"] == "detail.png" and detail["kind"] == "detail"
    box = [float(detail[name]) for name in ("top", "left", "height", "width")]
    assert np.abs(np.array(box) - (0.1, 0.3, 0.6, 0.6)).max() < 0.02
    assert found[frozenset(("scan.jpg", "w08.png"))]["kind"] == "copy"


def test_the_file_links_them_and_h5py_alone_reads_it(made):
    with h5py.File(made[0] / "o" / "variants.h5") as h5:
        ids, group, pairs = h5["image_ids"].asstr()[:], h5["group"][:], h5["pairs"][:]
        assert h5["boxes"].shape == (3, 4) and h5["scores"][0] == 1
    first = {name: ids[row] for name, row in zip(ids, group, strict=True)}
    assert first["detail.png"] == first["w03.png"] == "detail.png"  # the first row of both
    assert first["z.png"] == "w20.png" and first["w00.png"] == "w00.png"
    assert len(pairs) == 3 and (group == np.arange(len(ids))).sum() == len(ids) - 3


def test_any_number_of_threads_writes_the_same_bytes(made, tmp_path):
    shutil.copytree(made[0] / "o", tmp_path / "o")
    before = (tmp_path / "o" / "variants.h5").read_bytes()
    run_script("find_variants.py", *made[1], "--set", f"paths.outputs={tmp_path / 'o'}", "--set", "machine.threads=1")
    assert (tmp_path / "o" / "variants.h5").read_bytes() == before
    assert not list((tmp_path / "o").glob(".*"))
    with Image.open(tmp_path / "o" / "variants.jpg") as sheet:
        sheet.load()


def test_older_neighbours_are_told(made, tmp_path):
    shutil.copytree(made[0] / "o", tmp_path / "o")
    words = [*made[1], "--set", f"paths.outputs={tmp_path / 'o'}", "--set", "similar.n_neighbors=7"]
    result = run_script("find_variants.py", *words, check=False)
    assert result.returncode == 2 and "Run: python find_similar.py" in result.stderr
