"""Every parser of what users bring, fed with nonsense: it gives a value or an error in words, and nothing else happens.

A short deterministic run is among the tests; `make fuzz` gives each parser 10,000 inputs. What it found stands as plain
tests in test_hostile.py.
"""

import contextlib
import io
import os
import random
import resource
import signal
import tempfile
import traceback
from pathlib import Path

import h5py
import numpy as np
import pytest
from conftest import REPO
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from PIL import Image

from artatlas import config, images, integrity, metadata, store
from artatlas.errors import UserError

try:
    from artatlas.pair_files import Pairs
except ImportError:
    from verify_pairs import Pairs
try:
    from artatlas.selection import read as read_selection
except ImportError:
    from train_verifier import read_selection

N_INPUTS = int(os.environ.get("ARTATLAS_FUZZ_INPUTS", "80"))
FUZZ = settings(max_examples=N_INPUTS, derandomize=N_INPUTS < 1000, deadline=None, database=None,
                suppress_health_check=list(HealthCheck), phases=[Phase.generate])  # fmt: skip
FOLDER = Path(tempfile.mkdtemp(prefix="artatlas-fuzz-"))
SHIPPED = config.load()


@pytest.fixture(autouse=True)
def _no_hang():
    """An input that takes a minute is a hang."""

    def ring(number, frame):
        raise AssertionError("this input takes too long")

    before = signal.signal(signal.SIGPROF, ring)
    signal.setitimer(signal.ITIMER_PROF, 60 + N_INPUTS // 10)  # seconds of the processor, however busy it is
    yield
    signal.setitimer(signal.ITIMER_PROF, 0)
    signal.signal(signal.SIGPROF, before)


CELLS = st.one_of(
    st.sampled_from(["filename", "part", "a.jpg", "b/ü.jpg", "train", "test", "", '"', '""', "=1+1", "index", "image1",
                     "image2", "sameArtist", "1", ".", "..", "/", "a", "a (3)", "\0", "\ufeff", "x" * 20_000]),
    st.text(max_size=8),
)  # fmt: skip
TABLES = st.builds(
    lambda rows, comma, newline, encoding, cut, junk: (
        newline.join(comma.join(row) for row in rows).encode(encoding, "surrogatepass")[: cut or None] + junk
    ),
    st.lists(st.lists(CELLS, max_size=6), max_size=6), st.sampled_from(",;\t"), st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]), st.integers(0, 60), st.binary(max_size=6),
)  # fmt: skip
HEADS = [b"filename,part\n", b"filename,a,a\n", b"index,image1,image2,sameArtist\n", b"part;filename\n", b""]
HEADED = st.builds(lambda head, rest: head + rest, st.sampled_from(HEADS), TABLES)


def csv_file(data):
    path = FOLDER / f"{os.getpid()}.csv"
    path.write_bytes(data)
    return path


@FUZZ
@given(HEADED, st.sampled_from([None, "{style}/{artist}_{title}"]))
def test_metadata(data, pattern):
    paths, chosen = {"metadata": str(csv_file(data))}, {"path_pattern": pattern}
    read = SHIPPED.model_copy(update={
        "paths": SHIPPED.paths.model_copy(update=paths), "images": SHIPPED.images.model_copy(update=chosen)
    })  # fmt: skip
    ids = ["a.jpg", "b/ü.jpg", "x/y_z.png"]
    try:
        columns = metadata.columns(ids, metadata.read(read), read)
    except UserError:
        return
    with h5py.File("x", "w", driver="core", backing_store=False) as h5:  # as prepare_images.py stores them
        for name, values in columns.items():
            h5.create_group("g").create_dataset(name, data=np.array(values, object), dtype=store.TEXT)
            assert list(h5["g"][name].asstr()[:]) == values and len(values) == len(ids)
            del h5["g"]


@FUZZ
@given(HEADED)
def test_pairs(data):
    try:
        for columns in Pairs(csv_file(data), "index", "image1", "image2", "sameArtist").read():
            assert len({len(column) for column in columns}) == 1
    except UserError:
        pass


@FUZZ
@given(HEADED)
def test_selection(data):
    try:
        parts = read_selection(csv_file(data), np.array(["a.jpg", "b/ü.jpg"], object))
    except UserError:
        return
    assert parts.shape == (2,) and parts.dtype == np.int8


LINES = (REPO / "config.yaml").read_text(encoding="utf-8").splitlines()
YAML = st.lists(
    st.one_of(
        st.sampled_from([line.split("#")[0].rstrip() for line in LINES]),
        st.sampled_from([
            "&a", "*a", "!!python/object/apply:os.system [touch x]", "!!binary aa", "[" * 50, "{", "- ", ": ", "\t",
            "? ", "|", ">", "%YAML 9", "---", "...", "<<: {a: 1}", '"\\0"', '"\\ud800"', "~nobody/x", "9" * 5000,
            ".inf", "1e999", "0x10", "base: x", "paths: {outputs: x}", "tsne: [1]", "x: " + "a" * 100_000, "maps: {}",
        ]),
        st.text(max_size=12),
        st.builds(lambda key, value: f"  {key}: {value}", st.sampled_from(["images", "seed", "layers", "outputs"]),
                  st.one_of(st.text(max_size=6), st.integers(), st.floats())),
    ),
    max_size=12,
)  # fmt: skip


@FUZZ
@given(YAML, st.booleans(), st.binary(max_size=3))
def test_config(lines, based, junk):
    path = FOLDER / f"{os.getpid()}.yaml"
    text = "\n".join([f"base: {REPO / 'config.yaml'}"] * based + lines)
    path.write_bytes(text.encode("utf-8", "surrogatepass") + junk)
    try:
        assert isinstance(config.load(path), config.Config)
    except UserError as error:
        assert all(len(message) < 3000 for message in error.messages)
    assert not Path("x").exists()


KEYS = ["tsne.perplexity", "paths.images", "maps", "similar.spaces", "maps.x", "style.layers", "x.y", "=", "grid.mask"]
VALUES = st.one_of(st.text(max_size=20), st.sampled_from(["9" * 5000, '"\\0"', "~nobody", "{a: {b: 1}}", "[" * 300]))


@settings(FUZZ, max_examples=max(80, N_INPUTS // 20))  # the parser of test_config, with a whole file each
@given(st.sampled_from(KEYS), VALUES)
def test_set(key, value):
    with contextlib.suppress(UserError):
        assert isinstance(config.load(None, (f"{key}={value}",)), config.Config)


def whole_pictures():
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8))
    for kind, options in (("JPEG", {}), ("JPEG", {"progressive": True}), ("PNG", {}), ("WEBP", {}), ("TIFF", {}),
                          ("TIFF", {"compression": "tiff_lzw"}), ("GIF", {"save_all": True, "append_images": [image]}),
                          ("BMP", {})):  # fmt: skip
        buffer = io.BytesIO()
        image.save(buffer, kind, **options)
        yield buffer.getvalue()


@FUZZ
@given(st.sampled_from(list(whole_pictures())), st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=6),
       st.floats(0.2, 1), st.binary(max_size=4))  # fmt: skip
def test_picture(whole, edits, kept, tail):
    data = bytearray(whole)
    for where, value in edits:
        data[int(where**2 * (len(data) - 1))] = value  # more of them in the headers
    try:
        found = images.decode(bytes(data[: int(kept * len(data))] + tail), SHIPPED.images)
    except images.Unreadable as unreadable:
        assert unreadable.reason.isprintable()
        return
    assert found.pixels.shape == (224, 224, 3) and images.thumbnail_size(found.thumbnail)[0] <= 256


def test_hdf5(tmp_path):
    """HDF5 is C, and what it cannot take may end the process or never end: a file that has no seal is looked at by
    another process first. What that lets through is read without harm; a process of its own for every input tells.
    """
    refused, ended, read = read_damaged_files(tmp_path, N_INPUTS)
    print(f"{refused} refused, {ended} too much for HDF5, {read} read")
    assert refused + ended + read == N_INPUTS and refused > N_INPUTS / 10 and read > 0


def read_damaged_files(folder, n):
    """Flips, cuts, moves: a seal that is none, so that HDF5 has to look at the rest itself."""
    outputs = config.load(None, (f"paths.outputs={folder}",))
    with store.create(folder / "color.h5", "color", {"settings": outputs.settings(("color",))}, {}) as h5:
        store.write_ids(h5, np.array(["a", "ä/ö.jpg", "c"], object))
        h5["embeddings"] = np.ones((3, 4), np.float32)
    whole = (folder / "color.h5").read_bytes()
    whole = b"\0" * 512 + whole[512:]
    counts = {0: 0, 1: 0, 2: 0}
    for seed in range(n):
        draw, data = random.Random(seed), bytearray(whole)
        for _ in range(draw.choice((0, 1, 1, 2, 5))):
            data[512 + int(draw.random() ** 2 * (len(data) - 513))] = draw.choice((0, 1, 255, draw.randrange(256)))
        if draw.random() < 0.1:
            data = data[: draw.randrange(len(data))]
        if draw.random() < 0.1:
            at, to = draw.randrange(512, len(whole) - 64), draw.randrange(512, len(whole) - 64)
            data[to : to + 64] = whole[at : at + 64]
        (folder / "color.h5").write_bytes(data)
        pid = os.fork()
        if not pid:
            os._exit(look(outputs, folder))
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        passed = (folder / "passed").exists()
        (folder / "passed").unlink(missing_ok=True)
        assert status in (0, 1) or (status < 0 and not passed), f"seed {seed}: {status}, let through: {passed}"
        counts[2 if status < 0 else status] += 1
    return counts[1], counts[2], counts[0]


def look(outputs, folder):
    """0 for a file that could be read, 1 for one that was refused; in a process that a hang ends."""
    resource.setrlimit(resource.RLIMIT_CPU, (3, 4))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    path = folder / "color.h5"
    try:
        try:
            if integrity.judge(path, path.stat().st_size, read_all=True):
                return 1
        except store.DAMAGED:
            return 1
        (folder / "passed").touch()
        integrity.why_unsafe = lambda path: ""  # it has just said so
        with store.open_output(outputs, "color") as h5:
            assert len(store.read_ids(h5)) == len(h5["embeddings"][:])
    except UserError:
        return 1
    except BaseException:
        traceback.print_exc()
        return 3
    return 0
