"""The stage: rows never shift, bad files are listed, a killed run goes on, memory does not grow with the works."""

import csv
import io
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from conftest import REPO, run_script
from PIL import Image
from test_images import png_header

import prepare_images
from artatlas import config, images, shards, store
from artatlas.errors import UserError


def flags(folder, *more):
    values = (f"paths.images={folder / 'images'}", "paths.metadata=null", f"paths.outputs={folder / 'outputs'}",
              "images.network_px=32", "images.thumbnail_px=16", *more)  # fmt: skip
    return [word for value in values for word in ("--set", value)]


def load(folder, *more):
    return config.load(None, tuple(flags(folder, *more)[1::2]))


def colour(k):
    """A colour of its own for each of 16 million works."""
    return (k * 7) % 256, (k // 256) % 256, (k * 31 + k // 7) % 256


def paint(path, k, size=(8, 8)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour(k)).save(path, "BMP" if path.suffix == ".bmp" else "PNG")


def read(folder):
    """Everything in images.h5 as plain values."""
    with h5py.File(folder / "outputs" / "images.h5") as h5:
        return {
            "ids": list(h5["image_ids"].asstr()[:]),
            "pixels": h5["pixels"][:],
            "thumbnails": [Image.open(io.BytesIO(data.tobytes())).convert("RGB") for data in h5["thumbnails"]],
            "size": list(zip(h5["width"][:].tolist(), h5["height"][:].tolist(), strict=True)),
            "duplicate_of": list(h5["duplicate_of"].asstr()[:]),
            "metadata": {name: list(column.asstr()[:]) for name, column in h5["metadata"].items()},
            "skipped": dict(zip(h5["skipped/image_ids"].asstr()[:], h5["skipped/reason"].asstr()[:], strict=True)),
            "fingerprint": h5.attrs["fingerprint"],
        }


BAD = {
    "empty.jpg": b"",
    "text.jpg": b"Not a picture but a text.\n" * 50,
    "page.png": b"<!DOCTYPE html><title>404 Not Found</title>",
    "cut.png": None,
    "bomb.png": None,
}


def add_bad_files(folder):
    """The kinds that every large download has (A03)."""
    for name, data in BAD.items():
        if data is not None:
            (folder / name).write_bytes(data)
    buffer = io.BytesIO()
    Image.effect_noise((90, 90), 50).save(buffer, "PNG")
    (folder / "cut.png").write_bytes(buffer.getvalue()[:3000])
    (folder / "bomb.png").write_bytes(png_header(30000, 30000))
    (folder / "directory.jpg").mkdir()
    (folder / "link.jpg").symlink_to("nowhere.jpg")
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "pipe.jpg")


def test_bad_files_are_listed_and_rows_never_shift(tmp_path, monkeypatch):
    """A01 to A05: eight kinds of bad files between good ones; each good row keeps its own colour, size and text."""
    monkeypatch.setattr(
        shards, "ROWS", 7
    )  # bad files in the middle, at the edges of shards, and a shard of them alone
    names = [f"{'abcxyz'[k % 6]}/{k:02d}.png" for k in range(30)]
    for k, name in enumerate(names):
        paint(tmp_path / "images" / name, k, (10 + k, 8))
    for folder in ("", "a", "c", "m", "z"):
        (tmp_path / "images" / folder).mkdir(exist_ok=True)
        add_bad_files(tmp_path / "images" / folder)
    (tmp_path / "t.csv").write_text("filename,n\n" + "".join(f"{name},{k:03d}\n" for k, name in enumerate(names)))
    _, summary = prepare_images.main(load(tmp_path, f"paths.metadata={tmp_path / 't.csv'}"))
    assert summary.startswith("30 works (40 skipped), ")
    found = read(tmp_path)
    assert found["ids"] == sorted(names)
    for row, image_id in enumerate(found["ids"]):
        k = names.index(image_id)
        assert (found["pixels"][row] == colour(k)).all()
        assert np.abs(np.asarray(found["thumbnails"][row], int) - colour(k)).max() <= 4
        assert found["size"][row] == (10 + k, 8) and found["metadata"]["n"][row] == f"{k:03d}"
    assert len(found["skipped"]) == 40
    assert {name: found["skipped"][f"m/{name}"] for name in (*BAD, "directory.jpg", "link.jpg", "pipe.jpg")} == {
        "empty.jpg": "is empty (0 bytes)",
        "text.jpg": "is not a JPEG, PNG, WebP, TIFF, GIF or BMP that can be read",
        "page.png": "is not a JPEG, PNG, WebP, TIFF, GIF or BMP that can be read",
        "cut.png": found["skipped"]["m/cut.png"],
        "bomb.png": "has 30000 x 30000 = 900 megapixels, above images.max_megapixels: 500",
        "directory.jpg": "is a folder",
        "link.jpg": "is a link to nothing",
        "pipe.jpg": "is not a file but a pipe, socket or device",
    }
    assert found["skipped"]["m/cut.png"].startswith("is damaged (")


NASTY = [
    "quote's.png", 'double"quote.png', "(paren) [bracket] {brace}.png", "hash#tag.png", "100%25.png", "a b  c.png",
    "-leading dash.png", "--set.png", "*star?.png", "semi;colon&and|pipe.png", "dollar$HOME`x`.png",
    "back\\slash.png", "new\nline.png", "tab\tbed.png", "caf\u00e9 NFC.png", "cafe\u0301 NFD.png", "\u65e5\u672c.png",
    "\u05e9\u05dc\u05d5\u05dd.png", "\U0001f3a8\U0001f469\u200d\U0001f3a8.png", "\u202eright to left.png",
    "~.png",
    "trailing dot..png", "comma,in.png", "=cmd().png", "x" * 200 + ".png", "%s %d {0}.png",
]  # fmt: skip


@pytest.mark.skipif(sys.platform == "win32", reason="Windows forbids most of these names")
def test_any_name_survives(tmp_path):
    """A01, A27: names that broke the neighbours, through the command line and a CSV."""
    for k, name in enumerate(NASTY):
        paint(tmp_path / "images" / "-d (1)#%" / name, k)
    with (tmp_path / "t.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["filename", "k"], *([f"-d (1)#%/{name}", k] for k, name in enumerate(NASTY))])
    run = run_script("prepare_images.py", *flags(tmp_path, f"paths.metadata={tmp_path / 't.csv'}"))
    assert f"{len(NASTY)} works, " in run.stdout and run.stderr == ""
    found = read(tmp_path)
    assert found["ids"] == sorted(f"-d (1)#%/{name}" for name in NASTY)
    for row, image_id in enumerate(found["ids"]):
        k = NASTY.index(image_id.removeprefix("-d (1)#%/"))
        assert (found["pixels"][row] == colour(k)).all() and found["metadata"]["k"][row] == str(k)


def test_duplicates_name_the_first(tmp_path):
    """Equal pictures, in whatever format; another size or one other pixel is another work."""
    for name in ("b.png", "a.png", "c/d.bmp"):
        paint(tmp_path / "images" / name, 5)
    paint(tmp_path / "images" / "larger.png", 5, (9, 9))
    nearly = Image.new("RGB", (8, 8), colour(5))
    nearly.putpixel((3, 3), (255, 255, 255))
    nearly.save(tmp_path / "images" / "nearly.png")
    _, summary = prepare_images.main(load(tmp_path))
    assert summary.startswith("5 works (2 duplicates), ")
    assert read(tmp_path)["ids"] == ["a.png", "b.png", "c/d.bmp", "larger.png", "nearly.png"]
    assert read(tmp_path)["duplicate_of"] == ["", "a.png", "a.png", "", ""]


def test_one_work_is_enough_and_none_is_an_error(tmp_path):
    """A57: tiny collections; a folder of broken files keeps the file that was there before."""
    paint(tmp_path / "images" / "only.png", 9)
    summary = prepare_images.main(load(tmp_path, "machine.threads=1"))[1]
    assert re.fullmatch(r"1 work, [\d,]+ works/s on 1 thread", summary)
    before = (tmp_path / "outputs" / "images.h5").read_bytes()
    (tmp_path / "images" / "only.png").write_bytes(b"x")
    with pytest.raises(
        UserError, match=r"has 1 file but none that could be decoded; the reasons stand above\. Set paths"
    ):
        prepare_images.main(load(tmp_path))
    assert (tmp_path / "outputs" / "images.h5").read_bytes() == before


def test_skipped_files_are_told_on_stderr(tmp_path):
    """Each with its reason, on one line each, at most twenty; stdout is the closing line alone."""
    paint(tmp_path / "images" / "good.png", 1)
    (tmp_path / "images" / "a\nb.jpg").write_bytes(b"")
    for k in range(24):
        (tmp_path / "images" / f"x{k:02d}.jpg").write_bytes(b"x")
    run = run_script("prepare_images.py", *flags(tmp_path))
    lines = run.stderr.splitlines()
    assert lines[0] == "note: skipped a\\nb.jpg: is empty (0 bytes)" and len(lines) == 21
    assert lines[-1].startswith("note: 5 more files are skipped; all are listed in ")
    assert lines[-1].endswith("images.h5 under skipped")
    assert len(run.stdout.splitlines()) == 1 and "images.h5: 1 work (25 skipped), " in run.stdout


def test_a_missing_folder_is_one_line(tmp_path):
    run = run_script("prepare_images.py", *flags(tmp_path), check=False)
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr.startswith("error: paths.images: ") and run.stderr.count("\n") == 1


def test_the_same_bytes_whatever_the_threads(tmp_path):
    for k in range(50):
        paint(tmp_path / "images" / f"{k}.png", k, (30, 20 + k))
    found = []
    for threads in (1, 7):
        prepare_images.main(load(tmp_path, f"machine.threads={threads}"))
        found.append((tmp_path / "outputs" / "images.h5").read_bytes())
    assert found[0] == found[1]


def test_the_file_can_be_read_in_batches(tmp_path):
    for k in range(5):
        paint(tmp_path / "images" / f"{k}.png", k)
    prepare_images.main(load(tmp_path))
    with store.open_output(load(tmp_path), "images") as h5:
        assert h5["pixels"].chunks is None  # contiguous: a batch is one read
        assert h5["thumbnails"].dtype.kind == "O" and h5["thumbnails"][0].dtype == np.uint8
        assert [h5[name].dtype for name in ("width", "file_bytes", "file_mtime_ns")] == ["<i4", "<i8", "<i8"]


# --- stopping and going on


def test_a_stopped_run_decodes_only_what_is_missing(tmp_path, monkeypatch):
    """A07, A08: whatever was finished is kept, and the result has the bytes of a run that was never stopped."""
    monkeypatch.setattr(shards, "ROWS", 10)
    for k in range(45):
        paint(tmp_path / "images" / f"{k:02d}.png", k)
    (tmp_path / "images" / "17.png").write_bytes(b"bad")
    settings = load(tmp_path, "machine.threads=1")
    prepare_images.main(settings)
    whole = (tmp_path / "outputs" / "images.h5").read_bytes()
    assert [path.name for path in (tmp_path / "outputs").iterdir()] == ["images.h5"]  # no shards are left

    decode, decoded = images.decode, []

    def decode_until(stop):
        def counted(path, settings):
            decoded.append(Path(path).name)
            if decoded[-1] == stop:
                raise KeyboardInterrupt
            return decode(path, settings)

        decoded.clear()
        monkeypatch.setattr(images, "decode", counted)

    monkeypatch.setattr(images, "IN_FLIGHT", 1)
    decode_until("35.png")
    with pytest.raises(KeyboardInterrupt):
        prepare_images.main(settings)
    assert (tmp_path / "outputs" / "images.h5").read_bytes() == whole
    (tmp_path / "outputs" / "images.h5").unlink()
    decode_until(None)
    prepare_images.main(settings)
    assert decoded == [f"{k}.png" for k in range(30, 45)]
    assert (tmp_path / "outputs" / "images.h5").read_bytes() == whole

    # The control: with another setting or another file no shard is taken over.
    for k, thumbnail_px in enumerate((20, 16)):
        decode_until("35.png")
        with pytest.raises(KeyboardInterrupt):
            prepare_images.main(settings)
        settings = load(tmp_path, "machine.threads=1", f"images.thumbnail_px={thumbnail_px}")
        os.utime(tmp_path / "images" / "00.png", (k, k))
        decode_until(None)
        prepare_images.main(settings)
        assert len(decoded) == 45


def test_kill_9_leaves_the_old_file_and_the_next_run_ends_in_the_same_bytes(tmp_path):
    """A07: a real process, killed as the out-of-memory killer or a batch system does, with some shards done."""
    for k in range(2100):
        paint(tmp_path / "images" / f"{k:04d}.bmp", k)
    outputs = tmp_path / "outputs"
    run_script("prepare_images.py", *flags(tmp_path))
    whole = (outputs / "images.h5").read_bytes()
    (outputs / "images.h5").write_bytes(b"the file of an earlier run")
    process = subprocess.Popen([sys.executable, str(REPO / "prepare_images.py"), *flags(tmp_path)], cwd=REPO)
    deadline = time.monotonic() + 60
    while not list(outputs.glob(".images-shards-*/*.npz")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait(timeout=30) == -signal.SIGKILL
    assert (outputs / "images.h5").read_bytes() == b"the file of an earlier run"
    done = {path: path.stat().st_mtime_ns for path in outputs.glob(".images-shards-*/*.npz")}
    assert 1 <= len(done) < 3
    run = run_script("prepare_images.py", *flags(tmp_path))
    assert "2,100 works, " in run.stdout
    assert (outputs / "images.h5").read_bytes() == whole
    assert [path.name for path in outputs.iterdir()] == ["images.h5"]


def test_a_full_disk_is_told_and_nothing_is_lost(tmp_path, monkeypatch):
    """A08: the shards that were written stay, the old file stays, and there is no traceback."""
    monkeypatch.setattr(shards, "ROWS", 5)
    for k in range(12):
        paint(tmp_path / "images" / f"{k}.png", k)
    prepare_images.main(load(tmp_path))
    before = (tmp_path / "outputs" / "images.h5").read_bytes()
    savez, calls = np.savez, []

    def full(file, **arrays):
        calls.append(file)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        savez(file, **arrays)

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(UserError, match=r"could not be written \(No space left on device\)\. Free some space"):
        prepare_images.main(load(tmp_path))
    assert (tmp_path / "outputs" / "images.h5").read_bytes() == before
    assert len(list((tmp_path / "outputs").glob(".images-shards-*/*"))) == 1  # and no half-written one


def peak_mb(folder, n_shard_rows):
    overrides = tuple(flags(folder, "images.network_px=224", "machine.threads=2")[1::2])
    code = f"""if True:
        import re
        from pathlib import Path
        import prepare_images
        from artatlas import config, images, shards
        shards.ROWS, images.IN_FLIGHT = {n_shard_rows}, 8
        prepare_images.main(config.load(None, {overrides!r}))
        print(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
    """
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=REPO, timeout=120, check=True
    )
    return int(run.stdout) / 1024  # not ru_maxrss, in which the size of the process that started it is left over


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is only here")
def test_memory_does_not_grow_with_the_collection(tmp_path):
    """A06, A14: four times the works, the same peak; the control is one shard for all of them."""
    few = tmp_path / "few"
    for k in range(500):
        paint(tmp_path / "images" / f"{k:03d}.bmp", k, (224, 224))
        if k < 125:
            paint(few / "images" / f"{k:03d}.bmp", k, (224, 224))
    peak = peak_mb(tmp_path, 25)
    assert peak < peak_mb(few, 25) + 25
    assert peak_mb(tmp_path, 500) > peak + 40  # 500 works are 75 MB of pixels


def test_shards_are_small_for_large_networks():
    assert [len(prepare_images.shard_slices(5000, px)) for px in (224, 2048)] == [20, 239]
