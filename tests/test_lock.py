"""One run at a time: who holds the lock is told, a dead one's is taken over, and children take part in it."""

import json
import os
import signal
import socket
import subprocess
import sys

import pytest
from conftest import REPO, run_script

from artatlas import lock
from artatlas.errors import UserError

HOLD = f"""
import os, subprocess, sys, time; sys.path.insert(0, {str(REPO)!r})
from pathlib import Path
from artatlas import lock
with lock.hold(Path(sys.argv[1])):
    child = None
    if sys.argv[2:]:
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], pass_fds=lock.descriptors())
    print(child.pid if child else 0, flush=True)
    time.sleep(600)
"""


def holder(outputs, *more):
    """A process that holds the lock, and the id of a child of it, 0 without `more`."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(outputs), *more], stdout=subprocess.PIPE, text=True)
    return process, int(process.stdout.readline())


def refusal(outputs):
    with pytest.raises(UserError) as caught, lock.hold(outputs):
        pass
    return str(caught.value)


def test_the_second_is_refused_until_the_first_has_ended(tmp_path):
    first, _ = holder(tmp_path)
    told = refusal(tmp_path)
    assert f"process {first.pid} on {socket.gethostname()}, since 2" in told and "Wait until it ends" in told
    first.kill()
    first.wait()
    assert (tmp_path / lock.FILE).exists()  # left behind, and no obstacle
    with lock.hold(tmp_path):
        assert json.loads((tmp_path / lock.FILE).read_text())["pid"] == os.getpid()
        assert lock.is_inherited(tmp_path)
    assert not list(tmp_path.iterdir())
    assert not lock.is_inherited(tmp_path)


def test_a_child_that_outlives_a_killed_run_keeps_the_lock(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "PATIENCE_S", 0.2)
    first, child = holder(tmp_path, "with a child")
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert "a process that was started by" in refusal(tmp_path)
    os.kill(child, signal.SIGKILL)
    monkeypatch.setattr(lock, "PATIENCE_S", 10)
    with lock.hold(tmp_path):
        pass


def test_a_file_of_another_machine_is_for_the_user_to_judge(tmp_path):
    path = tmp_path / lock.FILE
    path.write_text(json.dumps({"pid": 1, "host": "elsewhere", "script": "run_all.py", "since": "2026-01-01"}))
    assert refusal(tmp_path) == (
        f"{path}: says that run_all.py (process 1 on elsewhere, since 2026-01-01) is at work in this folder."
        f" Where that run has ended, remove the file: rm {path}"
    )
    path.unlink()
    with lock.hold(tmp_path):
        pass


@pytest.mark.parametrize("text", ["", "{", "[]", "\0" * 9, '{"pid": "x"}', '{"pid": 1e400}', '{"pid": -1}'])
def test_a_file_of_nonsense_is_taken_over(tmp_path, text):
    (tmp_path / lock.FILE).write_text(text)
    with lock.hold(tmp_path):
        pass


def test_a_folder_that_the_lock_made_goes_with_it(tmp_path):
    with lock.hold(tmp_path / "new" / "folder"):
        pass
    assert not (tmp_path / "new" / "folder").exists()
    (tmp_path / "file").write_text("")
    assert "could not be written" in refusal(tmp_path / "file" / "below")


def test_asking_is_not_refused_and_changing_is(outputs, painted):
    from conftest import flags

    first, _ = holder(outputs)
    try:
        query = run_script("find_similar.py", *flags(painted, outputs), "--query", "nothing-like-this", check=False)
        assert "is neither a work of the collection nor a file" in query.stderr
        change = run_script("tsne_to_grid.py", *flags(painted, outputs), check=False)
        assert change.returncode == 2 and f"process {first.pid} on" in change.stderr
    finally:
        first.kill()
