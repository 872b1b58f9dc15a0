"""Files made to do harm: a message, in bounded time and memory, nothing run, nothing written outside the outputs."""

import csv
import io
import json
import os
import struct
import time
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
from conftest import edited, peak_bytes, run_script
from PIL import Image

from artatlas import config, images, metadata, placed, store
from artatlas.errors import UserError
from artatlas.images import Unreadable

SHIPPED = config.load().images


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_with(kind, data):
    """A good PNG of 20 x 20 with a chunk before its pixels."""
    whole = encoded(Image.new("RGB", (20, 20), "red"), "PNG")
    return whole[:33] + chunk(kind, data) + whole[33:]


def bounded(data):
    """Decodes, or says why not, within 5 s and 100 MB; returns the reason or ""."""
    reason, began = "", time.process_time()

    def attempt():
        nonlocal reason
        try:
            images.decode(data, SHIPPED)
        except Unreadable as unreadable:
            reason = unreadable.reason

    assert peak_bytes(attempt) < 100_000_000
    assert time.process_time() - began < 5
    assert reason.isprintable()
    return reason


# --- pictures

ZEROS = zlib.compress(bytes(200_000_000), 1)  # 1 MB that becomes 200 MB


@pytest.mark.parametrize("kind, head", [
    (b"iCCP", b"profile\0\0"), (b"zTXt", b"Comment\0\0"), (b"iTXt", b"Comment\0\1\0\0\0"),
])  # fmt: skip
def test_compressed_chunks_do_not_unfold_in_memory(kind, head):
    bounded(png_with(kind, head + ZEROS))


def test_a_thousand_texts_are_no_thousand_times_as_much():
    text = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"x" * 900_000))
    whole = encoded(Image.new("RGB", (20, 20), "red"), "PNG")
    bounded(whole[:33] + text * 1000 + whole[33:])


def test_a_progressive_jpeg_of_many_scans_is_not_decoded():
    """Each scan costs as much time as the picture and only a few bytes: hours in a file of some KB."""
    whole = encoded(Image.effect_noise((600, 600), 50), "JPEG", progressive=True)
    last = whole.rindex(b"\xff\xda")
    scan = whole[last:-2]
    assert bounded(whole) == ""
    assert "scans, a JPEG has some ten" in bounded(whole[:last] + scan * 1000 + whole[-2:])


def test_only_the_first_of_many_frames_is_looked_at():
    frames = [Image.new("L", (100, 100), i) for i in range(250)]
    gif = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    began = time.process_time()
    bounded(gif)
    assert time.process_time() - began < 1


def test_pixels_that_are_not_there_are_not_made_room_for():
    for size in ((60_000, 60_000), (1, 2**31 - 1), (2**31 - 1, 2**31 - 1)):
        header = struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, 0)
        data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
        assert "megapixels, above images.max_megapixels" in bounded(data)
    small = struct.pack(">IIBBBBB", 50, 50, 8, 2, 0, 0, 0)  # and more pixels than there should be
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", small) + chunk(b"IDAT", ZEROS) + chunk(b"IEND", b"")
    bounded(data)


def test_exif_that_leads_round_in_circles_is_passed_over():
    # An IFD that names itself as the next one and as its own sub-IFD.
    ifd = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x69\x87\x04\0\x01\0\0\0\x08\0\0\0\x08\0\0\0"
    assert bounded(encoded(Image.new("RGB", (20, 20)), "JPEG", exif=ifd)) == ""
    tiff = bytearray(encoded(Image.new("RGB", (20, 20)), "TIFF"))
    start = struct.unpack("<I", tiff[4:8])[0]
    entries = struct.unpack("<H", tiff[start : start + 2])[0]
    tiff[start + 2 + 12 * entries : start + 6 + 12 * entries] = struct.pack("<I", start)
    bounded(bytes(tiff))


def test_files_that_would_run_something_are_no_pictures(tmp_path):
    for data in (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(x) run\n", b"<svg xmlns='http://www.w3.org/2000/svg'>",
                 b"\x80\x04\x95cos\nsystem\n(S'touch x'\ntR."):  # fmt: skip
        assert bounded(data).startswith("is not a JPEG")


def test_a_link_out_of_the_folder_gives_away_nothing_but_pictures(tmp_path):
    """Links to files are followed, as collections made of links need; what is no picture is only named."""
    (tmp_path / "in").mkdir()
    (tmp_path / "secret.txt").write_text("password")
    os.symlink("../secret.txt", tmp_path / "in" / "a.jpg")
    os.symlink("/dev/zero", tmp_path / "in" / "b.jpg")
    os.symlink("..", tmp_path / "in" / "c")
    os.symlink("d.jpg", tmp_path / "in" / "d.jpg")
    Image.new("RGB", (9, 9)).save(tmp_path / "in" / "good.png")
    outputs = tmp_path / "out"
    flags = [word for value in (f"paths.images={tmp_path / 'in'}", "paths.metadata=null", f"paths.outputs={outputs}",
                                "images.network_px=32") for word in ("--set", value)]  # fmt: skip
    run = run_script("prepare_images.py", *flags)
    assert "1 work (4 skipped)" in run.stdout
    with h5py.File(outputs / "images.h5") as h5:
        assert list(h5["image_ids"].asstr()[:]) == ["good.png"]
        assert sorted(h5["skipped/reason"].asstr()[:])[0].startswith("is a link ")
    assert b"password" not in (outputs / "images.h5").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out", "secret.txt"]


# --- tables


def table(tmp_path, data, *more):
    (tmp_path / "t.csv").write_bytes(data)
    settings = config.load(None, (f"paths.metadata={tmp_path / 't.csv'}", *more))
    return metadata.columns(["a.jpg", "b.jpg"], metadata.read(settings), settings)


def test_fields_of_megabytes_and_many_columns(tmp_path):
    long = "x" * 5_000_000
    assert table(tmp_path, f'filename,t\na.jpg,"{long}"\n'.encode()) == {"t": [long, ""]}
    many = ",".join(f"c{i}" for i in range(20_000))
    began = time.process_time()
    assert len(table(tmp_path, f"filename,{many}\na.jpg\n".encode())) == 20_000
    assert time.process_time() - began < 20


def test_one_quote_does_not_swallow_a_table_in_silence(tmp_path, capsys):
    table(tmp_path, b'filename,t\na.jpg,"one\nb.jpg,two\n')
    assert "work has no row" in capsys.readouterr().err


LATIN, SHORT = b"filename,t\na.jpg,\xff\xfe\n", "filename,t\na"


@pytest.mark.parametrize("data", [LATIN, SHORT.encode("utf-16"), SHORT.encode("utf-32"), b"\0" * 99])
def test_other_encodings_are_read_or_refused(tmp_path, data):
    try:
        assert set(table(tmp_path, data)) == {"t"}
    except UserError as error:
        assert "has no column filename" in str(error)


def test_names_that_lead_elsewhere_stay_names(tmp_path):
    """`..` in a CSV names no file: rows are joined to what the folder holds, nothing is opened by their names."""
    found = table(tmp_path, b"filename,t\n../../etc/passwd,x\n/etc/passwd,y\na.jpg,z\n../b.jpg,w\n")
    assert found["t"][0] == "z" and "x" not in found["t"] and "y" not in found["t"]


def test_formulas_are_quoted_and_otherwise_left_alone(tmp_path):
    """A file may be called =1+1.jpg, and its name has to come back from a table as it was: nothing is put before it."""
    each = placed.Placed(
        np.array(["=1+1.jpg", '@x",y'], object), np.array(["", ""], object), np.zeros((2, 2), np.float32),
        np.zeros(2, np.float32), np.zeros(2, np.float32), np.zeros(2, bool), np.array([["a"], ["b"]], object),
    )  # fmt: skip
    placed.write_csv(tmp_path / "placed.csv", each)
    assert (tmp_path / "placed.csv").read_text().splitlines()[1].startswith('"=1+1.jpg",')
    with (tmp_path / "placed.csv").open(newline="") as file:
        assert [row["filename"] for row in csv.DictReader(file)] == ["=1+1.jpg", '@x",y']


# --- settings


@pytest.mark.parametrize("text, told", [
    ("a: !!python/object/apply:os.system ['touch pwned']", "could not determine a constructor for the tag"),
    ("a: &x [1]\nb: [*x, *x]", "aliases (*name) are not allowed here"),
    ("a: &a [x,x,x,x]\nb: &b [*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b]", "aliases (*name) are not allowed here"),
    ("a: " + "9" * 5000, "a number of too many digits"),
    ('a: "\\0"', "a character that is no text"),
    ('a: "\\ud800"', "a character that is no text"),
    ("a: " + "[" * 5000, "nested too deeply"),
    ("x" * 1_100_000, "has more than 1,000,000 bytes"),
    ("\x00", "is not readable as YAML"),
    ("base: /dev/zero", "has more than"),
], ids=range(10))  # fmt: skip
def test_settings_that_are_made_to_hurt(tmp_path, text, told, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(UserError) as caught:
        config.load(tmp_path / "c.yaml")
    assert told in str(caught.value) and len(str(caught.value)) < 3000
    assert [path.name for path in tmp_path.iterdir()] == ["c.yaml"]


# --- HDF5


@pytest.fixture
def settings(tmp_path):
    found = config.load(None, (f"paths.outputs={tmp_path / 'outputs'}",))
    recipe = {"settings": found.settings(("color",))}
    with store.create(found.outputs / "color.h5", "color", recipe, {}) as h5:
        store.write_ids(h5, np.array(["a", "b", "c"], object))
        h5["embeddings"] = np.ones((3, 2), np.float32)
    return found


def edit(settings, change):
    """Changes a file as an attacker would, who leaves no seal behind."""
    with edited(settings.outputs / "color.h5") as h5:
        change(h5)


def refusal(settings):
    with pytest.raises(UserError) as caught, store.open_output(settings, "color") as h5:
        h5["embeddings"][:]
    return str(caught.value)


def replaced(name, **options):
    def change(h5):
        del h5[name]
        h5.create_dataset(name, **options)

    return change


def linked(name, link):
    def change(h5):
        del h5[name]
        h5[name] = link

    return change


def numbers_for_ids(h5):
    del h5["image_ids"]
    ids = h5.create_dataset("image_ids", (3,), h5py.vlen_dtype(np.uint8))
    for row in range(3):
        ids[row] = np.zeros(2, np.uint8)


def virtual(h5):
    layout = h5py.VirtualLayout((3, 2), np.float32)
    layout[:] = h5py.VirtualSource("/etc/hostname", "x", (3, 2))
    del h5["embeddings"]
    h5.create_virtual_dataset("embeddings", layout)


@pytest.mark.parametrize("change, told", [
    (linked("embeddings", h5py.ExternalLink("/etc/passwd", "/x")), "'embeddings' is a link"),
    (linked("embeddings", h5py.SoftLink("/image_ids")), "'embeddings' is a link"),
    (lambda h5: h5.__setitem__("loop", h5["/"]), "is in itself"),
    (replaced("embeddings", shape=(3, 2), dtype="f4", external=[("/etc/passwd", 0, 24)]), "is kept in another file"),
    (virtual, "is kept in another file"),
    (replaced("embeddings", shape=(2**40, 2**20), dtype="f4", chunks=(1, 1024)), "for which the file is too small"),
    (replaced("embeddings", shape=(3, 2), dtype="f4"), "for which the file is too small"),
    (replaced("embeddings", data=np.zeros((10**6, 2), np.float32), compression="gzip"), "is compressed"),
    (replaced("embeddings", shape=(3, 2), dtype=h5py.ref_dtype), "is of type object"),
    (replaced("embeddings", data=np.zeros((3, 2), [("a", "f4"), ("b", "f4")])), "is of type"),
    (replaced("embeddings", data=np.zeros((4, 2), np.float32)), "is not whole"),
    (replaced("embeddings", data=np.zeros((3, 2), np.float64)), "is not whole"),
    (replaced("embeddings", data=h5py.Empty("f4")), "is empty"),
    (numbers_for_ids, "is no text"),
    (replaced("image_ids", data=np.array([b"\xff", b"a", b"b"], object), dtype=h5py.string_dtype()), "cannot read it"),
    (lambda h5: h5.attrs.__setitem__("recipe", "[" * 100_000), "was not written by artatlas"),
    (lambda h5: h5.attrs.__setitem__("recipe", np.zeros(5)), "was not written by artatlas"),
    (lambda h5: h5.attrs.__setitem__("recipe", "[]"), "was not written by artatlas"),
    (lambda h5: h5.attrs.__setitem__("inputs", '{"../../x": "y"}'), "was not written by artatlas"),
    (lambda h5: h5.attrs.__setitem__("inputs", "3"), "was not written by artatlas"),
    (lambda h5: h5.attrs.__setitem__("stage", np.zeros(3)), "was not written by artatlas"),
    (lambda h5: h5.attrs.__setitem__("stage", "tsne"), "is not "),
], ids=range(22))  # fmt: skip
def test_hdf5_files_that_are_not_what_they_say(settings, change, told):
    with store.open_output(settings, "color") as h5:  # the control
        assert len(h5["embeddings"][:]) == 3
    try:
        edit(settings, change)
    except (ValueError, OSError, RuntimeError):
        pytest.skip("this HDF5 does not write such a file")
    said = refusal(settings)
    assert told in said and "Run: python extract_color.py" in said and "\n" not in said


def test_every_flipped_bit_and_every_cut_is_noticed(settings):
    path = settings.outputs / "color.h5"
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for at in [*range(0, 600, 7), *rng.integers(0, len(whole), 150).tolist()]:
        data = bytearray(whole)
        data[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(data)
        assert "cannot be read" in refusal(settings) or at < 16
    for length in rng.integers(0, len(whole), 30).tolist():
        path.write_bytes(whole[:length])
        assert "cannot be read" in refusal(settings)
    path.write_bytes(whole)
    with store.open_output(settings, "color"):
        pass


def test_a_file_that_is_not_sealed_can_be_read_and_notebooks_need_no_seal(settings):
    """Files of other tools, and of before there were seals."""
    edit(settings, lambda h5: None)
    with store.open_output(settings, "color") as h5:
        assert len(h5["embeddings"][:]) == 3
    with h5py.File(settings.outputs / "color.h5") as h5:
        assert h5["embeddings"].shape == (3, 2)


def test_no_pickle_is_read(tmp_path):
    """As weights, wherever arrays are taken from a file that users name."""
    evil = np.array([Path("x")], object)
    np.savez(tmp_path / "w.npz", block1_conv1=evil)
    (tmp_path / "w.h5").write_bytes(b"\x80\x04\x95cposix\nsystem\n(S'touch pwned'\ntR.")
    for name in ("w.npz", "w.h5"):
        run = run_script("extract_content.py", "--set", f"vgg.weights={tmp_path / name}",
                         "--set", f"paths.outputs={tmp_path / 'o'}", check=False)  # fmt: skip
        assert run.returncode == 2 and "Traceback" not in run.stderr and run.stderr.startswith("error: ")
    assert not Path("pwned").exists()


# --- what stands in a folder of outputs


def test_a_damaged_state_of_the_page_is_made_anew(outputs, painted):
    from conftest import flags

    keys = next((outputs / "viewer" / "tiles").rglob("keys.json"))
    for text in ("", "{", "[]", '{"tiling": 3}'):
        keys.write_text(text)
        run = run_script("build_viewer.py", *flags(painted, outputs), check=False)
        assert run.returncode == 0, run.stderr
        assert json.loads(keys.read_text())["blocks"]


def test_a_link_in_the_outputs_is_not_written_through(tmp_path):
    """The name is replaced, not what it points to."""
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "color.h5").symlink_to(tmp_path / "precious")
    with store.create(tmp_path / "color.h5", "color", {"settings": {}}, {}) as h5:
        store.write_ids(h5, np.array(["a"], object))
        h5["embeddings"] = np.ones((1, 2), np.float32)
    assert (tmp_path / "precious").read_text() == "mine"
    (tmp_path / ".x.h5.tmp").symlink_to(tmp_path / "precious")
    with store.create(tmp_path / "x.h5", "color", {"settings": {}}, {}) as h5:
        store.write_ids(h5, np.array(["a"], object))
        h5["embeddings"] = np.ones((1, 2), np.float32)
    assert (tmp_path / "precious").read_text() == "mine"
