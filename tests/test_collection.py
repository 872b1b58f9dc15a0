"""The folder: what belongs to it, in which order, and whether images.h5 still stands for it."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from conftest import REPO
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import prepare_images
from artatlas import collection, config, store
from artatlas.errors import UserError


def load(folder, *more):
    values = (f"paths.images={folder / 'images'}", "paths.metadata=null", f"paths.outputs={folder / 'outputs'}")
    return config.load(None, (*values, "images.network_px=32", *more))


def paint(path, colour="red"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (9, 9), colour).save(path)


def found(folder, *more):
    return {file.image_id: file.problem for file in collection.find(load(folder, *more))}


def test_every_extension_at_any_depth_in_any_case(tmp_path):
    names = ["a.jpg", "b.JPG", "c/d.jpeg", "c/d/e.PnG", "f.webp", "g.tif", "g.TIFF", "h.gif", "i.bmp"]
    others = ["notes.txt", "j.jpg.part", "jpg", "k.svg", ".hidden.jpg", "._a.jpg", ".cache/x.jpg", "c/.DS_Store"]
    for name in names + others:
        paint_at = tmp_path / "images" / name
        paint_at.parent.mkdir(parents=True, exist_ok=True)
        paint_at.write_bytes(b"x")
    assert found(tmp_path) == dict.fromkeys(names, "")


def test_order_is_by_code_point(tmp_path):
    """A15-like: rows never depend on the file system or the language of the machine."""
    names = [
        "b.png",
        "B.png",
        "a/z.png",
        "a.png",
        "a-b.png",
        "é.png",
        "e\u0301.png",
        "\U0001f3a8.png",
        "日本.png",
        "10.png",
        "9.png",
    ]
    for name in names:
        paint(tmp_path / "images" / name)
    assert list(found(tmp_path)) == sorted(names)


def test_things_that_are_no_files_are_listed(tmp_path):
    """A03: a folder named x.jpg, broken and circular links, pipes and sockets."""
    images = tmp_path / "images"
    paint(images / "good.png")
    paint(images / "folder.jpg" / "inside.png")
    paint(tmp_path / "elsewhere" / "far.png")
    (images / "empty.jpg").touch()
    (images / "broken.jpg").symlink_to("nowhere.jpg")
    (images / "self.jpg").symlink_to("self.jpg")
    (images / "linked.png").symlink_to(tmp_path / "elsewhere" / "far.png")
    (images / "linked folder").symlink_to(tmp_path / "elsewhere")
    (images / "circle").symlink_to(images)
    os.mkfifo(images / "pipe.jpg")
    assert found(tmp_path) == {
        "broken.jpg": "is a link to nothing",
        "circle": "is a link to a folder; such links are not followed",
        "empty.jpg": "is empty (0 bytes)",
        "folder.jpg": "is a folder",
        "folder.jpg/inside.png": "",
        "good.png": "",
        "linked folder": "is a link to a folder; such links are not followed",
        "linked.png": "",
        "pipe.jpg": "is not a file but a pipe, socket or device",
        "self.jpg": "is a link that leads round in a circle",
    }


@pytest.mark.skipif(sys.platform != "linux", reason="file names are bytes only here")
def test_a_name_that_is_not_utf_8_is_listed(tmp_path):
    paint(tmp_path / "images" / "good.png")
    (tmp_path / "images" / os.fsdecode(b"caf\xe9.jpg")).touch()
    (tmp_path / "images" / os.fsdecode(b"\xff")).mkdir()
    (tmp_path / "images" / os.fsdecode(b"\xff") / "x.jpg").touch()
    listed = "has a name that is not UTF-8"
    assert found(tmp_path) == {"caf\\xe9.jpg": listed, "\\xff/x.jpg": listed, "good.png": ""}


@pytest.mark.skipif(sys.platform == "win32", reason="permissions work otherwise there")
def test_a_folder_without_permission_is_listed(tmp_path):
    """Root may read everything, so the search runs as another user where the tests run as root."""
    code = """if True:
        import os, sys
        from artatlas import collection, config
        settings = config.load(None, ("paths.images=" + sys.argv[1],))
        if os.getuid() == 0:
            os.setuid(65534)
        print([(file.image_id, file.problem) for file in collection.find(settings)])
    """
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        paint(Path(folder, "good.png"))
        Path(folder, "secret").mkdir()
        paint(Path(folder, "secret", "x.png"))
        Path(folder, "secret").chmod(0)
        run = subprocess.run(
            [sys.executable, "-c", code, folder], capture_output=True, text=True, cwd=REPO, timeout=60
        )
        Path(folder, "secret").chmod(0o700)
    assert run.stdout == "[('good.png', ''), ('secret', 'cannot be opened (Permission denied)')]\n", run.stderr


def test_the_outputs_are_not_works(tmp_path):
    """Pictures and viewer tiles that an earlier run left inside the folder would become the next run's works."""
    paint(tmp_path / "images" / "good.png")
    paint(tmp_path / "images" / "outputs" / "pictures" / "mosaic.jpg")
    paint(tmp_path / "images" / "sub" / "outputs" / "a work.png")
    inside = f"paths.outputs={tmp_path / 'images' / 'outputs'}"
    assert list(found(tmp_path, inside)) == ["good.png", "sub/outputs/a work.png"]
    assert len(found(tmp_path)) == 3


def test_missing_and_empty_folders_name_the_remedy(tmp_path):
    with pytest.raises(
        UserError, match=r"images does not exist\. Set paths\.images to the folder with your pictures"
    ):
        collection.find(load(tmp_path))
    (tmp_path / "images").mkdir()
    with pytest.raises(
        UserError, match=r"holds no pictures \(jpg jpeg png webp tif tiff gif bmp\)\. Set paths\.images"
    ):
        collection.find(load(tmp_path))
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is not a folder"):
        collection.find(load(tmp_path, f"paths.images={tmp_path / 'file'}"))


def test_the_missing_sample_names_the_command_that_paints_it(monkeypatch, tmp_path):
    monkeypatch.setattr(collection, "SAMPLE", tmp_path)
    with pytest.raises(UserError, match=r"images does not exist\. Run: python data/paint_collection\.py"):
        collection.find(load(tmp_path))


@given(st.text(st.characters(exclude_characters="/\0", exclude_categories=("Cs",)), min_size=1, max_size=40))
@settings(max_examples=60, deadline=None)
def test_any_name_is_kept(tmp_path_factory, stem):
    """A01: names are found again as they are; only hidden ones are passed over."""
    folder = tmp_path_factory.mktemp("any")
    (folder / "images").mkdir()
    (folder / "images" / "always.png").touch()
    (folder / "images" / f"{stem}.png").touch()
    assert set(found(folder)) == {"always.png"} | ({f"{stem}.png"} if not stem.startswith(".") else set())


# --- freshness


@pytest.fixture
def prepared(tmp_path):
    """A folder of three works and a broken file with its finished images.h5."""
    for name in ("a.png", "b.png", "sub/c.png"):
        paint(tmp_path / "images" / name, colour={"a.png": "red", "b.png": "lime", "sub/c.png": "blue"}[name])
    (tmp_path / "images" / "bad.jpg").write_bytes(b"no picture")
    (tmp_path / "table.csv").write_text("filename,title\na.png,A\n", encoding="utf-8")
    settings = load(tmp_path, f"paths.metadata={tmp_path / 'table.csv'}")
    prepare_images.main(settings)
    assert collection.why_changed(settings) is None and store.why_stale(settings, "images") is None
    return settings


def images_of(settings):
    return Path(settings.paths.images)


def test_a_touch_or_a_copy_changes_nothing(prepared):
    for path in images_of(prepared).rglob("*.*"):
        os.utime(path, (1, 1))
    assert collection.why_changed(prepared) is None
    before = store.attributes(prepared, "images")["fingerprint"]
    prepare_images.main(prepared)
    assert store.attributes(prepared, "images")["fingerprint"] == before


@pytest.mark.parametrize("name", ["b.png", "bad.jpg"])
def test_another_content_is_noticed(prepared, name):
    before = store.attributes(prepared, "images")["fingerprint"]
    paint(images_of(prepared) / name, "white")
    assert f"was made from other files: 1 changed ({name}). Run: python prepare_images.py" in collection.why_changed(
        prepared
    )
    prepare_images.main(prepared)
    assert collection.why_changed(prepared) is None
    assert store.attributes(prepared, "images")["fingerprint"] != before


def test_a_work_that_became_empty_is_noticed(prepared):
    (images_of(prepared) / "b.png").write_bytes(b"")
    assert "1 changed (b.png)" in collection.why_changed(prepared)


def test_added_and_removed_files_are_noticed(prepared):
    paint(images_of(prepared) / "new\nline.png")
    (images_of(prepared) / "sub" / "c.png").unlink()
    assert "1 added (new\\nline.png), 1 removed (sub/c.png)" in collection.why_changed(prepared)
    (images_of(prepared) / "new\nline.png").rename(images_of(prepared) / "sub" / "c.png")
    assert "1 changed (sub/c.png)" in collection.why_changed(prepared)
    images_of(prepared).rename(images_of(prepared).with_name("away"))
    assert "images does not exist" in collection.why_changed(prepared)


def test_a_file_that_can_be_opened_now_is_noticed(prepared):
    """A permission changes neither size nor time of a file."""
    path = images_of(prepared) / "b.png"
    content = path.read_bytes()
    path.unlink()
    path.mkdir()
    prepare_images.main(prepared)
    assert collection.why_changed(prepared) is None
    path.rmdir()
    path.write_bytes(content)
    assert "1 changed (b.png)" in collection.why_changed(prepared)


def test_another_csv_is_noticed(prepared, tmp_path):
    (tmp_path / "table.csv").write_text("filename,title\na.png,B\n", encoding="utf-8")
    assert "the metadata CSV differs" in collection.why_changed(prepared)
    (tmp_path / "table.csv").unlink()
    assert "table.csv does not exist" in collection.why_changed(prepared)


def test_two_machines_agree(prepared, tmp_path):
    """The fingerprint holds contents, no times and no paths."""
    other = tmp_path / "other"
    subprocess.run(["cp", "-r", tmp_path / "images", tmp_path / "other"], check=True)
    settings = load(tmp_path, f"paths.images={other}", f"paths.metadata={tmp_path / 'table.csv'}",
                    f"paths.outputs={tmp_path / 'outputs2'}")  # fmt: skip
    prepare_images.main(settings)
    fingerprints = [store.attributes(s, "images")["fingerprint"] for s in (prepared, settings)]
    assert fingerprints[0] == fingerprints[1]


def test_unchanged_files_are_not_read(prepared, monkeypatch):
    """A14: what makes the check quick for 100,000 files."""
    monkeypatch.setattr(collection.hashlib, "file_digest", lambda *_: pytest.fail("a file was read"))
    assert collection.why_changed(prepared) is None
    os.utime(images_of(prepared) / "a.png", (1, 1))  # the control: now one has to be read
    with pytest.raises(pytest.fail.Exception):
        collection.why_changed(prepared)
