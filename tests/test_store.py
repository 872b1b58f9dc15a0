"""The HDF5 contract: whole files or none, and no stale input goes unnoticed."""

import os
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest
from conftest import REPO

from artatlas import config, store
from artatlas.errors import UserError


@pytest.fixture
def settings(tmp_path):
    return config.load(None, (f"paths.outputs={tmp_path}",))


def write_source(settings, name="color", embeddings=None, inputs=None, **recipe):
    embeddings = np.ones((3, 2), np.float32) if embeddings is None else embeddings
    sections = store.BY_NAME[name].sections
    recipe = {"settings": settings.settings(sections), **recipe}
    with store.create(settings.outputs / f"{name}.h5", name, recipe, inputs or {}) as h5:
        store.write_ids(h5, np.array(["a", "ä/ö #1.jpg", "-c"], object))
        h5["embeddings"] = embeddings


def problem(settings, name):
    with pytest.raises(UserError) as caught:
        store.attributes(settings, name)
    return str(caught.value)


def test_a_written_file_reads_back(settings):
    write_source(settings)
    with store.open_output(settings, "color") as h5:
        assert list(store.read_ids(h5)) == ["a", "ä/ö #1.jpg", "-c"]
        assert h5["embeddings"].dtype == np.float32
    assert not list(settings.outputs.glob(".*"))


@pytest.mark.parametrize(
    "embeddings",
    [np.ones((2, 2), np.float32), np.ones((3, 2)), np.ones(3, np.float32), np.full((3, 2), np.nan, np.float32)],
    ids=["rows", "float64", "one axis", "nan"],
)
def test_a_file_against_the_schema_is_not_written_and_the_old_one_stays(settings, embeddings):
    write_source(settings)
    before = (settings.outputs / "color.h5").read_bytes()
    with pytest.raises(ValueError):
        write_source(settings, embeddings=embeddings)
    assert (settings.outputs / "color.h5").read_bytes() == before


def test_missing(settings, monkeypatch):
    monkeypatch.chdir(settings.outputs.parent)
    folder = settings.outputs.name
    assert problem(settings, "color") == (
        f"{folder}/color.h5 does not exist. Run: python extract_color.py --set paths.outputs={settings.outputs}"
    )


def test_truncated_and_foreign_files_are_refused(settings):
    write_source(settings)
    path = settings.outputs / "color.h5"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert "cannot be read" in problem(settings, "color")
    path.write_bytes(b"not an HDF5 file")
    assert "cannot be read" in problem(settings, "color")
    with h5py.File(path, "w") as h5:
        h5["x"] = 1
    assert "was not written by artatlas" in problem(settings, "color")
    path.write_bytes(whole)
    os.replace(path, settings.outputs / "content.h5")
    assert "is not the output of extract_content.py" in problem(settings, "content")


def test_a_changed_setting_is_named(settings):
    write_source(settings)
    changed = config.load(None, (f"paths.outputs={settings.outputs}", "color.bins=4"))
    assert "was made with color.bins: 8, the settings now say 4. Run: python extract_color.py" in problem(
        changed, "color"
    )
    same = config.load(None, (f"paths.outputs={settings.outputs}", "tsne.seed=1"))  # none of its business
    assert store.attributes(same, "color")["stage"] == "color"


def test_an_older_input_is_named(settings, monkeypatch):
    write_source(settings)
    with store.open_output(settings, "color") as h5:
        fingerprint = h5.attrs["fingerprint"]
    recipe = {"settings": settings.settings(("maps", "tsne"))}
    with store.create(settings.outputs / "tsne.h5", "tsne", recipe, {"color": fingerprint}) as h5:
        store.write_ids(h5, np.array(["a"], object))
        h5["m/coordinates"] = np.zeros((1, 2), np.float32)
    assert store.why_stale(settings, "tsne") is None
    write_source(settings, seed=1)
    monkeypatch.chdir(settings.outputs)
    assert problem(settings, "tsne").startswith("tsne.h5 was made from an older color.h5. Run: python build_tsne.py")


def test_fingerprints_tell_every_difference_and_nothing_else():
    base = store.fingerprint("color", {"a": 1, "b": 2}, {"images": "x"}, [["id", "hash"]])
    assert base == store.fingerprint("color", {"b": 2, "a": 1}, {"images": "x"}, [["id", "hash"]])
    others = {
        store.fingerprint("style", {"a": 1, "b": 2}, {"images": "x"}, [["id", "hash"]]),
        store.fingerprint("color", {"a": 1, "b": 3}, {"images": "x"}, [["id", "hash"]]),
        store.fingerprint("color", {"a": 1, "b": 2}, {"images": "y"}, [["id", "hash"]]),
        store.fingerprint("color", {"a": 1, "b": 2}, {"images": "x"}, [["id", "other"]]),
    }
    assert len(others) == 4 and base not in others


def test_rows_are_joined_by_id_never_by_position():
    ids = np.array(["a", "b", "c"], object)
    assert list(store.rows_of(np.array(["c", "a"], object), ids)) == [2, 0]
    with pytest.raises(KeyError):
        store.rows_of(np.array(["d"], object), ids)


def test_the_same_content_gives_the_same_bytes(settings):
    """With SOURCE_DATE_EPOCH, which the tests set."""
    write_source(settings)
    first = (settings.outputs / "color.h5").read_bytes()
    write_source(settings)
    assert (settings.outputs / "color.h5").read_bytes() == first


def test_kill_while_writing_leaves_the_old_file(settings):
    write_source(settings)
    before = (settings.outputs / "color.h5").read_bytes()
    code = f"""
import sys, time; sys.path.insert(0, {str(REPO)!r})
import numpy as np
from pathlib import Path
from artatlas import store
with store.create(Path({str(settings.outputs)!r}) / "color.h5", "color", {{}}, {{}}) as h5:
    h5["embeddings"] = np.zeros((1000, 512), np.float32); h5.flush()
    print("half", flush=True); time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "half\n"
    assert list(settings.outputs.glob(".color.h5.tmp"))  # it really was in the middle
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (settings.outputs / "color.h5").read_bytes() == before
    write_source(settings)
    assert not list(settings.outputs.glob(".*"))  # and the next run leaves nothing of the dead one behind


def test_a_full_disk_is_told_and_the_old_file_stays(settings):
    """A file size limit stands in for the full disk: the write fails inside HDF5 in the same way."""
    write_source(settings)
    before = (settings.outputs / "color.h5").read_bytes()
    code = f"""
import resource, signal, sys; sys.path.insert(0, {str(REPO)!r})
import numpy as np
from pathlib import Path
from artatlas import cli, store
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))
def main(config):
    with store.create(Path({str(settings.outputs)!r}) / "color.h5", "color", {{}}, {{}}) as h5:
        store.write_ids(h5, np.array(["a"] * 1000, object))
        h5["embeddings"] = np.zeros((1000, 512), np.float32)
    return Path("x"), "not reached"
sys.argv = ["x"]
cli.run(main, "")
"""
    start = time.monotonic()
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert result.returncode == 2, result.stderr
    assert "could not be written" in result.stderr and "Traceback" not in result.stderr
    assert (settings.outputs / "color.h5").read_bytes() == before
    assert time.monotonic() - start < 30
