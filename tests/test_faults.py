"""The fault matrix: every stage, stopped, killed, out of disk, robbed of its inputs; nothing is lost, bytes end equal.

A short form runs with the other tests; `make faults` takes 20 moments of every kind for every stage, in three quarters
of an hour of one core.
"""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import forked
import h5py
import numpy as np
import pytest
from conftest import REPO
from PIL import Image

from artatlas import lock
from artatlas.stages import BY_NAME, STAGES

N_SEEDS = int(os.environ.get("ARTATLAS_FAULT_SEEDS", "1"))
IS_LONG = N_SEEDS > 1
# In the short form every stage is stopped; what else befalls it is shown with these, a file, a folder and the first.
SHORT = ("images", "grid", "viewer")
CHOSEN = [stage for stage in STAGES if IS_LONG or stage.name in SHORT]

SETTINGS = (
    "vgg.weights=random", "vgg.network=vgg16", "images.network_px=32", "content.layer=block2_pool",
    "style.layers=[block1_conv1]", "maps={combined: {content: 1, style: 1}}",
    "similar.spaces={combined: {content: 1, style: 1, color: 0.4}}", "similar.n_neighbors=5", "variants.candidates=1",
    "clusters.n_clusters=2", "tsne.n_iter=20", "parametric_tsne.epochs=1", "parametric_tsne.hidden=[8]",
    "evaluate.n_seeds=null", "evaluate.compare=null", "render.scatter_px=300",
)  # fmt: skip


def flags(outputs, images, *more):
    paths = (f"paths.images={images / 'images'}", f"paths.metadata={images / 't.csv'}", f"paths.outputs={outputs}")
    return [word for setting in (*paths, *SETTINGS, *more) for word in ("--set", setting)]


def contents(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "images").mkdir()
    rng = np.random.default_rng(0)
    table = ["filename,artist,style,title,year"]
    for i in range(24):
        picture = Image.fromarray(rng.integers(0, 256, (30, 40, 3), dtype=np.uint8))
        picture.save(folder / "images" / f"{i:02d}.jpg")
        table.append(f"{i:02d}.jpg,{i % 4},{i % 3},{i},1900")
    (folder / "t.csv").write_text("\n".join(table))
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = forked.Server(tmp_path_factory.mktemp("log"))
    yield server
    server.close()


@pytest.fixture(scope="module")
def made(server, pictures, tmp_path_factory):
    """Outputs of all stages, whole: (folder, contents, seconds of each stage)."""
    folder = tmp_path_factory.mktemp("made") / "outputs"
    seconds = {}
    for stage in STAGES:
        ended = server.run(stage.script, *flags(folder, pictures))
        assert ended.code == 0, ended.err
        seconds[stage.name] = ended.seconds
    return folder, contents(folder), seconds


@pytest.fixture
def outputs(made, tmp_path):
    shutil.copytree(made[0], tmp_path / "outputs")
    return tmp_path / "outputs"


def own(stage, before):
    """Of the names in `before`, those that a stage may replace; they have the bytes that it would write anew."""
    return {name for name in before if name.partition("/")[0].partition(".")[0] == Path(stage.output).stem}


def finish(server, stage, outputs, pictures, before):
    """The next run ends well and in the same bytes, with nothing left behind."""
    ended = server.run(stage.script, *flags(outputs, pictures))
    assert ended.code == 0, ended.err
    after = contents(outputs)
    assert after.keys() == before.keys()
    assert [name for name in before if after[name] != before[name]] == []


def assert_kept(outputs, before):
    now = contents(outputs)
    assert [name for name in before if now.get(name) != before[name]] == []


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_a_stopped_stage_loses_nothing(server, pictures, made, outputs, stage):
    """A07, A09: at random moments of its work, the old files stay as they are; then it ends in the same bytes."""
    before, n_stopped = made[1], 0
    for seed in range(N_SEEDS):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            moment = random.Random(f"{stage.name} {number} {seed}").uniform(0, 0.8) * made[2][stage.name]
            ended = stopped(server, stage, flags(outputs, pictures), outputs, number, moment)
            assert_kept(outputs, before)
            if ended.code == 0:
                continue  # it was quicker than that
            n_stopped += 1
            if number == signal.SIGKILL:
                assert ended.code == -number, ended.err
            else:
                assert ended.code == 128 + number, ended.err
                assert "Traceback" not in ended.err and "Exception" not in ended.err
                assert re.search(r"\nstopped: finished outputs are kept.*\. Go on with: python ", ended.err), ended.err
                # A shard that another thread was writing may be there in part: it goes with its folder.
                left = [path for path in outputs.glob("**/*.tmp*") if "-shards-" not in path.parent.name]
                assert not left and not (outputs / lock.FILE).exists()
            if IS_LONG:
                finish(server, stage, outputs, pictures, before)
    finish(server, stage, outputs, pictures, before)
    if IS_LONG:
        print(f"{stage.name}: {n_stopped} of {3 * N_SEEDS} stopped at work")


def test_a_power_loss_leaves_no_empty_files(server, pictures, made, outputs):
    """What was written in the last seconds and not flushed has no bytes then: pictures and tiles of the page."""
    viewer = BY_NAME["viewer"]
    shutil.rmtree(outputs / "viewer")
    for kind in ("pictures", "tiles"):
        for _ in range(10):  # it may be done before it is seen
            pid, ended, written = server.start(viewer.script, *flags(outputs, pictures)), None, []
            while not written and ended is None:
                ended = server.wait(0.002)
                written = list(outputs.glob(f".viewer-shards-*/{kind}/**/*.jpg"))
            if ended is None:
                os.kill(pid, signal.SIGKILL)
                server.wait()
            written = list(outputs.glob(f".viewer-shards-*/{kind}/**/*.jpg"))
            if written:
                break
            shutil.rmtree(outputs / "viewer", ignore_errors=True)
        assert written
        for path in written:
            path.write_bytes(b"")
    finish(server, viewer, outputs, pictures, made[1])


def stopped(server, stage, arguments, outputs, number, moment):
    """Starts a stage and sends it a signal, `moment` seconds after it has begun to work."""
    pid = server.start(stage.script, *arguments)
    deadline, ended = time.monotonic() + 60, None
    while not (outputs / lock.FILE).exists() and ended is None and time.monotonic() < deadline:
        ended = server.wait(0.002)
    ended = ended or server.wait(moment)
    if ended is None:
        os.kill(pid, number)
        ended = server.wait(30)
        assert ended is not None, "it does not end"
    return ended


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such limits")
@pytest.mark.parametrize("stage", CHOSEN, ids=lambda stage: stage.name)
def test_a_full_disk_is_told_and_loses_nothing(server, pictures, made, outputs, stage):
    """A08: a limit on the size of files stands in for it, at sizes up to the largest that the stage writes."""
    before = made[1]
    largest = max(len(before[name]) for name in own(stage, before))
    for seed in range(N_SEEDS):  # with a cache of vectors, and without
        limit = min(int(random.Random(f"{stage.name} {seed}").uniform(0.01, 0.95) * largest) + 600, largest - 1)
        if seed % 2:
            shutil.rmtree(outputs / "vectors", ignore_errors=True)
        ended = server.run(stage.script, *flags(outputs, pictures), max_file_bytes=limit)
        assert ended.code == 2, (limit, ended)
        assert re.search(r"error: .*could not be written \(.*\)\. Free some space", ended.err), ended.err
        assert "Traceback" not in ended.err
        if seed % 2:
            server.run("extract_features.py", *flags(outputs, pictures))  # brings vectors/ back
        assert_kept(outputs, before)
        assert not list(outputs.glob("**/*.tmp*")) and not (outputs / lock.FILE).exists()
    finish(server, stage, outputs, pictures, before)


@pytest.fixture
def disk(tmp_path):
    """A disk of its own in memory: its folder, and a function that sets how many bytes it has."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(*words):
        return subprocess.run(["mount", *words, str(folder)], capture_output=True).returncode

    if sys.platform != "linux" or mount("-t", "tmpfs", "tmpfs"):
        pytest.skip("no tmpfs can be mounted here")
    yield folder, lambda n_bytes: mount("-o", f"remount,size={n_bytes}")
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("stage", CHOSEN, ids=lambda stage: stage.name)
def test_a_disk_that_is_really_full(server, pictures, made, disk, stage):
    """A08: the same on a disk with less room than the stage's output takes a second time."""
    folder, resize = disk
    outputs, before, n_refused = folder / "outputs", made[1], 0
    shutil.copytree(made[0], outputs)
    used = shutil.disk_usage(folder).used
    for seed in range(N_SEEDS):
        room = random.Random(f"{stage.name} {seed}").uniform(0, 0.8) * sum(len(before[n]) for n in own(stage, before))
        resize(used + int(room))
        ended = server.run(stage.script, *flags(outputs, pictures))
        assert ended.code in (0, 2) and "Traceback" not in ended.err, (room, ended)
        if ended.code:
            assert re.search(r"error: .*could not be written \(.*\)\. Free some space", ended.err), (room, ended)
            n_refused += 1
        assert_kept(outputs, before)
    resize(64 << 20)
    finish(server, stage, outputs, pictures, before)
    assert n_refused or not IS_LONG


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such limits")
def test_hdf5_does_not_crash_on_a_full_disk(pictures, made, outputs):
    """In real processes, with all that HDF5 does as they end: closing a file that it could not write, it crashed."""
    import resource

    whole, command = len(made[1]["images.h5"]), [sys.executable, str(REPO / "prepare_images.py")]
    command += flags(outputs, pictures)
    told = r"error: \S+images\.h5: could not be written \(File too large\)\. .*\n"
    for limit in (whole - 1, whole // 2, whole // 20):  # at first the shards are written, and kept
        limits = (limit, limit)
        ended = subprocess.run(
            command, capture_output=True, text=True,
            preexec_fn=lambda limits=limits: resource.setrlimit(resource.RLIMIT_FSIZE, limits),
        )  # fmt: skip
        assert ended.returncode == 2, (limit, ended)
        assert re.fullmatch(told, ended.stderr), (limit, ended)


@pytest.mark.parametrize("stage", CHOSEN, ids=lambda stage: stage.name)
def test_a_lost_or_damaged_input_is_named(server, pictures, made, outputs, stage):
    """Truncated, one bit flipped anywhere, emptied, of another stage, gone: an error that says what to run."""
    before = made[1]
    inputs = [BY_NAME[name].output for name in inputs_of(outputs, stage) if name != "parametric_tsne"]
    for seed in range(N_SEEDS if inputs else 0):
        draw = random.Random(f"{stage.name} {seed}")
        name = draw.choice(inputs)
        path, whole = outputs / name, before[name]
        for kind in ("bit", "cut", "empty", "other", "gone") if IS_LONG else [draw.choice(("bit", "cut", "other"))]:
            if kind == "gone":
                path.unlink()
            else:
                path.write_bytes(broken(whole, kind, draw, before))
            ended = server.run(stage.script, *flags(outputs, pictures))
            if kind == "gone" and ended.code == 0:  # the report does without some
                shutil.rmtree(outputs)
                shutil.copytree(made[0], outputs)
                continue
            assert ended.code == 2, (name, kind, ended)
            assert f"{name} " in ended.err and "Run: python " in ended.err and "Traceback" not in ended.err, ended.err
            path.write_bytes(whole)
            assert_kept(outputs, before)
    finish(server, stage, outputs, pictures, before)


def inputs_of(outputs, stage):
    """Those that it read: of a source that no map mentions it takes no notice."""
    if (outputs / stage.output).is_dir():
        return json.loads((outputs / stage.output / "recipe.json").read_text())["inputs"]
    with h5py.File(outputs / stage.output) as h5:
        return json.loads(h5.attrs["inputs"])


@pytest.mark.parametrize("stage", CHOSEN, ids=lambda stage: stage.name)
def test_a_damaged_output_is_noticed_and_made_again(server, pictures, made, outputs, stage):
    before = made[1]
    name = stage.output if "." in stage.output else f"{stage.output}/recipe.json"
    for seed in range(N_SEEDS):
        draw = random.Random(f"{stage.name} {seed}")
        kind = ("cut", "bit", "empty", "other")[seed % 4]
        (outputs / name).write_bytes(broken(before[name], kind, draw, before))
        if name.endswith(".h5"):
            ended = server.run("run_all.py", *flags(outputs, pictures), "--plan")
            assert stage.script in ended.out and "Traceback" not in ended.err, ended
        finish(server, stage, outputs, pictures, before)


def broken(whole, kind, draw, before):
    data = bytearray(whole)
    if kind == "bit":
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    elif kind == "cut":
        data = data[: draw.randrange(1, len(data))]
    elif kind == "other":
        data = before["grid.h5"] if whole != before["grid.h5"] else before["tsne.h5"]
    return bytes(data) if kind != "empty" else b""


def test_a_lost_picture_and_a_lost_table(server, pictures, tmp_path):
    """Gone while the folder was walked: listed, and back with the next run."""
    shutil.copytree(pictures, tmp_path / "in")
    ended = server.run("prepare_images.py", *flags(tmp_path / "out", tmp_path / "in"))
    whole = (tmp_path / "out" / "images.h5").read_bytes()
    (tmp_path / "in" / "images" / "03.jpg").rename(tmp_path / "03.jpg")
    (tmp_path / "in" / "t.csv").rename(tmp_path / "t.csv")
    ended = server.run("prepare_images.py", *flags(tmp_path / "out", tmp_path / "in"))
    assert ended.code == 2 and "t.csv does not exist" in ended.err
    (tmp_path / "t.csv").rename(tmp_path / "in" / "t.csv")
    ended = server.run("prepare_images.py", *flags(tmp_path / "out", tmp_path / "in"))
    assert ended.code == 0 and "23 works, 23 files taken over" in ended.out
    shutil.move(tmp_path / "03.jpg", tmp_path / "in" / "images" / "03.jpg")
    ended = server.run("prepare_images.py", *flags(tmp_path / "out", tmp_path / "in"))
    assert ended.code == 0 and (tmp_path / "out" / "images.h5").read_bytes() == whole


# --- stopping run_all.py, and two of them


def test_run_all_hands_the_signal_on_and_tells_how_to_go_on(pictures, tmp_path):
    """The stage ends with it, whoever gets the signal; a second run meanwhile is refused, naming the first."""
    command = [sys.executable, str(REPO / "run_all.py"), *flags(tmp_path / "out", pictures, "variants.candidates=5")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    wait_for(tmp_path / "out" / "images.h5", process)
    second = subprocess.run(command, capture_output=True, text=True)
    assert second.returncode == 2 and second.stdout == ""
    host = lock.socket.gethostname()
    assert re.fullmatch(
        rf"error: \S+: run_all\.py \(process {process.pid} on {host}, since \S+\) is at work in this folder\."
        r" Wait until it ends, or stop it; then run this again\.\n", second.stderr,
    )  # fmt: skip
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=30)
    assert process.returncode == 143 and "Traceback" not in told
    assert len(re.findall("stopped:", told)) == 1 and "Go on with: python " in told and "run_all.py" in told
    assert not (tmp_path / "out" / lock.FILE).exists()


STAGE_THAT_SWALLOWS = """
import os, signal, sys
from artatlas import cli

def main(config):
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        while True:
            pass
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)  # what PyErr_Print does
        wrapped = SystemError("Flatten returned a result with an exception set")
        sys.excepthook(type(wrapped), wrapped, error.__traceback__)
        raise AttributeError("no such attribute") from None

cli.run(main, "A stage.")
"""


def test_a_stop_is_one_whatever_a_library_makes_of_it(pictures, tmp_path):
    """TensorFlow's C++ asks for attributes, and takes the error that is to end us for there being none, or shows it."""
    (tmp_path / "stage.py").write_text(STAGE_THAT_SWALLOWS)
    command = [sys.executable, str(tmp_path / "stage.py"), *flags(tmp_path / "out", pictures)]
    ended = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(REPO)})
    assert ended.returncode == 128 + signal.SIGTERM and "Traceback" not in ended.stderr, ended.stderr
    assert "stopped: finished outputs are kept. Go on with: python " in ended.stderr


def wait_for(path, process):
    deadline = time.monotonic() + 120
    while not path.exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
