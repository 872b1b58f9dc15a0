"""What every script's command line shares: --config, --set, error lines, progress, the closing line."""

from __future__ import annotations

import argparse
import errno
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path
from types import TracebackType
from typing import Any

from artatlas import config as config_module
from artatlas import lock, stopping, store
from artatlas.errors import UserError

_NOT_CLOSED = "Can't decrement id ref count"
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def run(
    main: Callable[..., tuple[Path, str]],
    doc: str | None,
    add_arguments: Callable[[argparse.ArgumentParser], Any] | None = None,
    only_reads: Callable[[dict[str, Any]], bool] = lambda options: False,
) -> None:
    """Parses the command line, runs `main(config, **extra arguments)` and prints its summary. Never returns.

    The outputs folder is locked meanwhile, unless `only_reads(extra arguments)`.

    Exit codes: 0 done; 2 a mistake the user can fix (told on stderr, no traceback); 1 our bug; 130, 143, 129 stopped by
    Ctrl-C, `kill`, a closed terminal.
    """
    start, listener = time.perf_counter(), stopping.Listener()
    _quieten(listener)
    try:
        options = vars(_parser(doc, add_arguments).parse_args())
        config = config_module.load(options.pop("config"), tuple(options.pop("set")))
        listener.outputs = config.outputs
        with nullcontext() if only_reads(options) else lock.hold(config.outputs):
            path, summary = main(config, **options)
    except BaseException as error:
        # Whatever it is: TensorFlow and others make another error of the one that is to end us.
        if listener.heard:
            listener.end(listener.heard)
        if not (messages := _messages(error, listener.outputs)):
            raise
        for message in messages:
            print(f"error: {message}", file=sys.stderr, flush=True)
        if store.unclosed:
            os._exit(2)  # without HDF5's own end, which closes them
        sys.exit(2)
    print(f"{store.show(path)}: {summary}, {duration(time.perf_counter() - start)}")
    sys.exit(0)


def _messages(error: BaseException, outputs: Path | None) -> Sequence[str]:
    """What to tell the user of a mistake that they can fix; nothing of any other error."""
    if isinstance(error, UserError):
        return error.messages
    if isinstance(error, OSError) and error.errno in DISK_FULL:
        return [
            f"{error.filename or outputs}: could not be written ({error.strerror}). Free some space or set"
            " paths.outputs to another folder; then run the same command again: what is done is kept."
        ]
    return []


def add_update(parser: argparse.ArgumentParser) -> None:
    """The flag of stages that can let works in: `run_all.py --add` gives it."""
    parser.add_argument(
        "--update", action="store_true", help="keeps all rows as they are, computes only those of added works"
    )


def _quieten(listener: stopping.Listener) -> None:
    """Shows no errors that the user is told of in another way: whatever libraries make of a signal, which ends us, and
    HDF5 objects that could not be closed on a full disk, each of which says so once more.

    Cython, in which HDF5's Python side is written, and TensorFlow show errors that they then ignore, as if those ended
    the program; TensorFlow's C++ may wrap ours in one of its own before.
    """

    def is_told(error: BaseException | None) -> bool:
        return bool(listener.heard) or _NOT_CLOSED in str(error)

    def tell_unraisable(unraisable: Any) -> None:
        if not is_told(unraisable.exc_value):
            sys.__unraisablehook__(unraisable)

    def tell_exception(kind: type[BaseException], value: BaseException, traceback: TracebackType | None) -> None:
        if not is_told(value):
            sys.__excepthook__(kind, value, traceback)

    sys.unraisablehook, sys.excepthook = tell_unraisable, tell_exception


def _parser(doc: str | None, add_arguments: Callable | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    if add_arguments:
        add_arguments(parser)
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="settings (default: the config.yaml beside the scripts)"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="section.key=value",
        help="change one setting for this run, for example --set tsne.perplexity=20; may be given several times",
    )  # fmt: skip
    return parser


def progress(items: Iterable | None = None, *, total: int | None = None, unit: str = "work", desc: str = "") -> Any:
    """A tqdm bar with a rate on stderr; nothing where stderr is not a terminal."""
    from tqdm import tqdm  # here, so that --help stays instant

    return tqdm(items, total=total, unit=unit, desc=desc, disable=None, dynamic_ncols=True, leave=False)


def notice(text: str) -> None:
    """A line the user should see that is no error, on stderr so that stdout stays the closing line alone."""
    print(f"note: {text}", file=sys.stderr)


def duration(seconds: float) -> str:
    """8.3 s, 2 min 05 s, 1 h 02 min."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {seconds:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def count(n: int, one: str, many: str | None = None) -> str:
    """1 work, 1,231 works."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def printable(name: str) -> str:
    """A file's name on one line: line breaks and other control characters as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)
