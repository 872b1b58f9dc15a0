"""What happens on Ctrl-C, `kill` and a closed terminal: cleaning up, one line of what is kept, and the usual exit code.

The main thread gets an exception, as Python does on Ctrl-C. It may be deep in a library that takes minutes or that
swallows exceptions; so another thread listens too, and ends the process if it is still there some seconds later.
Nothing is lost by that: what is being written takes its name only when it is whole.
"""

from __future__ import annotations

import os
import shlex
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import NoReturn

from artatlas import lock

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
GRACE_S = 10.0  # to unwind; a batch of the network or a large write may have to end first
SAME_S = 1.0  # signals this close are one: a terminal sends Ctrl-C to run_all.py and to its stage, which gets it twice


class Stopped(KeyboardInterrupt):
    """Raised in the main thread by the first signal."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


class Listener:
    """From now on SIGINT, SIGTERM and SIGHUP raise `Stopped`; a later one, or too long unwinding, ends the process.

    A signal that was ignored before stays ignored: nohup and shells in the background rely on that.
    """

    def __init__(self) -> None:
        self.outputs: Path | None = None  # where to look for what is kept, once that is known
        self._is_stage = lock.INHERITED in os.environ  # then run_all.py tells what there is to tell
        self.heard = 0  # the first signal that came
        self._first = 0.0  # when that was
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        threading.Thread(target=self._watch, args=(ours,), daemon=True).start()
        signal.set_wakeup_fd(theirs.detach(), warn_on_full_buffer=False)
        for number in SIGNALS:
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._hear)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if not self._first:
            self.heard, self._first = number, time.monotonic()
            raise Stopped(number)
        if time.monotonic() - self._first > SAME_S:
            self.end(number)

    def _watch(self, ours: socket.socket) -> None:
        number = ours.recv(1)[0]
        time.sleep(GRACE_S)
        self.end(number)

    def end(self, number: int) -> NoReturn:
        """Tells what is kept and ends the process at once: threads at work on a picture need not be waited for."""
        if not self._is_stage:
            command = shlex.join(["python", *sys.argv])
            print(f"\nstopped: {kept(self.outputs)} Go on with: {command}", file=sys.stderr, flush=True)
        os._exit(128 + number)


def kept(outputs: Path | None) -> str:
    """A sentence on what lies in `outputs` for the next run to go on with: shards are in .<output>-shards-<hash>."""
    found = []
    for folder in sorted(outputs.glob(".*-shards-*")) if outputs else ():
        if n := sum(path.is_file() and path.suffix != ".tmp" for path in folder.rglob("*")):
            found.append(f"{folder.name[1:].partition('-shards-')[0]} ({n:,} {'file' if n == 1 else 'files'})")
    parts = f", and what is done of {', '.join(found)}" if found else ""
    return f"finished outputs are kept{parts}."
