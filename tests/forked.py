"""Runs stages as real processes that start at once: a server that has imported everything and forks for each of them.

Starting Python and TensorFlow takes seconds, and the fault matrix needs many hundreds of processes. A fork is a process
like any other: it is killed, limited and waited for in the same way.
"""

import contextlib
import json
import os
import resource
import runpy
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent


@dataclass
class Ended:
    code: int  # as subprocess has it: negative where a signal ended it
    out: str
    err: str
    seconds: float


class Server:
    def __init__(self, folder: Path) -> None:
        self.log = folder
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=REPO
        )
        assert self._process.stdout.readline() == "ready\n"

    def start(self, script: str, *arguments: str, max_file_bytes: int | None = None) -> int:
        """The id of a process that runs a script; one at a time."""
        task = {"script": script, "arguments": list(map(str, arguments)), "folder": str(self.log),
                "max_file_bytes": max_file_bytes}  # fmt: skip
        return self._ask(task)["pid"]

    def wait(self, timeout: float | None = None) -> Ended | None:
        """How it ended, or None where it has not after `timeout` seconds."""
        found = self._ask({"wait": timeout})
        if found["code"] is None:
            return None
        out, err = ((self.log / name).read_text(errors="replace") for name in ("out", "err"))
        return Ended(found["code"], out, err, found["seconds"])

    def run(self, script: str, *arguments: str, timeout: float = 300, **limits) -> Ended:
        pid = self.start(script, *arguments, **limits)
        ended = self.wait(timeout)
        if ended is None:
            os.kill(pid, signal.SIGKILL)
            self.wait()
            raise AssertionError(f"{script} {arguments} hangs")
        return ended

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()

    def _ask(self, task: dict) -> dict:
        self._process.stdin.write(json.dumps(task) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


def _child(task: dict) -> None:
    folder = Path(task["folder"])
    for name, number in (("out", 1), ("err", 2)):
        os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    if limit := task["max_file_bytes"]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    sys.argv = [task["script"], *task["arguments"]]
    code = 1
    try:
        runpy.run_path(str(REPO / task["script"]), run_name="__main__")
    except SystemExit as ended:
        code = ended.code or 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _serve() -> None:
    sys.path.insert(0, str(REPO))
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import matplotlib.pyplot
    import openTSNE
    import scipy.spatial
    import sklearn.cluster
    import tensorflow
    from PIL import Image

    from artatlas import features, sheets, tsne, vgg

    loaded = (matplotlib, openTSNE, scipy, sklearn, tensorflow, features, sheets, tsne, vgg)
    assert all(loaded)
    Image.init()
    replies = os.fdopen(os.dup(1), "w")
    print("ready", file=replies, flush=True)
    began, pid = 0.0, 0
    for line in sys.stdin:
        task = json.loads(line)
        if "script" in task:
            began, pid = time.monotonic(), os.fork()
            if not pid:
                _child(task)
            print(json.dumps({"pid": pid}), file=replies, flush=True)
            continue
        deadline = time.monotonic() + (1e9 if task["wait"] is None else task["wait"])
        code = None
        while code is None:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                code = os.waitstatus_to_exitcode(status)
            elif time.monotonic() > deadline:
                break
            else:
                time.sleep(0.002)
        print(json.dumps({"code": code, "seconds": time.monotonic() - began}), file=replies, flush=True)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        _serve()
