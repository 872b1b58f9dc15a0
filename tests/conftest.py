"""Shared fixtures: no network, reproducible bytes, and a small collection taken through the whole pipeline once."""

import os
import shutil
import socket
import subprocess
import sys
import tracemalloc
from contextlib import contextmanager
from pathlib import Path

import h5py
import pytest

REPO = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPO), str(REPO / "data")]
os.environ["SOURCE_DATE_EPOCH"] = "1700000000"  # the `created` attribute is then the same in every run
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from artatlas import integrity  # noqa: E402


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    """Only this machine may be spoken to: a test that reaches for the network fails instead of hanging."""
    connect = socket.socket.connect

    def guarded(self, address):
        if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "localhost", "::1"):
            raise OSError(f"tests must not use the network: {address}")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


def run_script(script, *arguments, cwd=REPO, check=True, timeout=300):
    """Runs a stage as a user does, in a process of its own."""
    result = subprocess.run(
        [sys.executable, str(REPO / script), *map(str, arguments)],
        cwd=cwd, capture_output=True, text=True, timeout=timeout,
    )  # fmt: skip
    if check and result.returncode:
        raise AssertionError(f"{script} {arguments} exited {result.returncode}:\n{result.stdout}\n{result.stderr}")
    return result


@contextmanager
def edited(path):
    """An HDF5 file to be changed, as another program would: it then has no seal, so that nothing says it is damaged."""
    with h5py.File(path, "r+") as h5:
        yield h5
    with path.open("r+b") as file:
        file.write(bytes(integrity.BLOCK))


def peak_bytes(function):
    """The most that Python and NumPy hold at one time while `function()` runs, beyond what was there before."""
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


# Settings that make a pipeline run in seconds. Random weights are real weights to everything but the figures.
FAST = ("vgg.weights=random", "vgg.network=vgg16", "images.network_px=64", "style.layers=[block1_conv1]",
        "parametric_tsne.epochs=5", "render.scatter_px=400",
        "evaluate.n_seeds=1")  # fmt: skip


@pytest.fixture(scope="session")
def painted(tmp_path_factory):
    """64 of the painted works (every style, every subject, once) with their metadata.csv."""
    from paint_collection import paint_collection

    folder = tmp_path_factory.mktemp("painted")
    paint_collection(folder, variations=1)
    return folder


def flags(painted, outputs, *more):
    values = [f"paths.images={painted / 'images'}", f"paths.metadata={painted / 'metadata.csv'}",
              f"paths.outputs={outputs}", *FAST, *more]  # fmt: skip
    return [word for value in values for word in ("--set", value)]


@pytest.fixture(scope="session")
def finished(painted, tmp_path_factory):
    """The outputs folder of a whole run over `painted`. Read only: copy it to change it (see `outputs`)."""
    folder = tmp_path_factory.mktemp("finished")
    run_script("run_all.py", *flags(painted, folder))
    return folder


@pytest.fixture
def outputs(finished, tmp_path):
    """A copy of the finished outputs to break."""
    shutil.copytree(finished, tmp_path / "outputs")
    return tmp_path / "outputs"
