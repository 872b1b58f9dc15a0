"""One run at a time on an outputs folder: a second one is refused, with the process and machine at work there.

The lock is the kernel's, on the file `.lock` of the folder, so that it ends with the process that holds it however that
ends; what the file says is for people. A file that a killed run left behind is taken over, unless it is of another
machine: over a network file system nobody can tell from here whether that run still lives.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: two runs are not kept apart there
    fcntl = None  # type: ignore[assignment]

from artatlas.errors import UserError

FILE = ".lock"
INHERITED = "ARTATLAS_LOCK"  # environment: the file descriptor of the lock of the run_all.py that started this stage
PATIENCE_S = 5.0  # for the processes of a run that was killed to end, which hold its lock as long as they live


@contextmanager
def hold(outputs: Path) -> Iterator[None]:
    """Holds the lock of a folder, which is made where it is missing. A stage of run_all.py takes part in its lock.

    Raises UserError where another run holds it, or the folder cannot be written.
    """
    if fcntl is None or is_inherited(outputs):
        yield
        return
    path, is_new = outputs / FILE, not outputs.exists()
    try:
        outputs.mkdir(parents=True, exist_ok=True)
        descriptor = _acquire(path)
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(_this_process()).encode(), 0)
        except OSError:
            path.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise UserError(
            f"{path}: could not be written ({error.strerror}). Free some space or set paths.outputs to a folder that"
            " you may write to."
        ) from None
    os.environ[INHERITED] = str(descriptor)
    try:
        yield
    finally:
        del os.environ[INHERITED]
        path.unlink(missing_ok=True)  # while it is held, so that nobody else's is removed
        os.close(descriptor)
        if is_new and not any(outputs.iterdir()):
            outputs.rmdir()


def is_inherited(outputs: Path) -> bool:
    """Whether this process was started by one that holds the lock of `outputs`, or holds it itself."""
    try:
        held, wanted = os.fstat(int(os.environ[INHERITED])), (outputs / FILE).stat()
    except (KeyError, ValueError, OSError):
        return False
    return (held.st_dev, held.st_ino) == (wanted.st_dev, wanted.st_ino)


def descriptors() -> tuple[int, ...]:
    """What a child process has to inherit to take part in the lock that this process holds."""
    return (int(os.environ[INHERITED]),) if INHERITED in os.environ else ()


def _acquire(path: Path) -> int:
    """Opens and locks the file, and makes sure that it is still the one of that name."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _read(descriptor)
            os.close(descriptor)
            if _lives(holder) or time.monotonic() > deadline:
                raise UserError(_refusal(path, holder)) from None
            time.sleep(0.05)
            continue
        holder = _read(descriptor)
        if holder.get("host", socket.gethostname()) != socket.gethostname():
            os.close(descriptor)
            raise UserError(
                f"{path}: says that {_described(holder)} is at work in this folder. Where that run has ended, remove"
                f" the file: rm {path}"
            )
        try:
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        except FileNotFoundError:
            pass  # its holder removed it just now
        os.close(descriptor)


def _this_process() -> dict[str, str | int]:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {"pid": os.getpid(), "host": socket.gethostname(), "script": Path(sys.argv[0]).name, "since": now}


def _read(descriptor: int) -> dict:
    """What the holder wrote; {} where it has not written yet, or what is there is no such thing."""
    try:
        found = json.loads(os.pread(descriptor, 4096, 0))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _lives(holder: dict) -> bool:
    """Whether the process that took the lock is there still, as far as can be told: True for other machines."""
    if not isinstance(holder.get("pid"), int):
        return False
    if holder.get("host") != socket.gethostname():
        return True
    try:
        os.kill(holder["pid"], 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _described(holder: dict) -> str:
    if not holder:
        return "another process"
    names = ("script", "pid", "host", "since")
    script, pid, host, since = ("".join(c for c in str(holder.get(name)) if c.isprintable()) for name in names)
    return f"{script} (process {pid} on {host}, since {since})"


def _refusal(path: Path, holder: dict) -> str:
    who = _described(holder)
    if holder and not _lives(holder):
        who = f"a process that was started by {who}"
    return f"{path.parent}: {who} is at work in this folder. Wait until it ends, or stop it; then run this again."
