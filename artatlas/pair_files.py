"""CSV files of pairs of pictures, as Kaggle's "Painter by Numbers" has them: read some rows at a time, however many."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice, repeat
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from artatlas import cli, store
from artatlas.errors import UserError

ROWS = 1 << 15  # pairs at a time, some 20 MB as Python's text
PARSED = 1 << 9  # rows that are lists at a time: of more than 700 new lists, Python's collector searches for cycles
ANSWERS = dict.fromkeys(("1", "true", "True", "1.0"), 1) | dict.fromkeys(("0", "false", "False", "0.0"), 0)


class Pairs:
    """A CSV of pairs, read some rows at a time, as often as is needed.

    Raises UserError where it is not readable or lacks a column; `same` may be missing.
    """

    def __init__(self, path: Path, index: str, left: str, right: str, same: str) -> None:
        self.path, self.shown = path, store.show(path)
        with self._open() as reader:
            self.header: list[str] = next(reader, [])
        for name in (index, left, right):
            if name not in self.header:
                found = ", ".join(map(cli.printable, self.header)) or "it is empty"
                raise UserError(
                    f"{self.shown}: has no column {name} ({found}). Name its columns with --index, --left and --right."
                )
        self.columns = [self.header.index(name) for name in (index, left, right)]
        self.same = self.header.index(same) if same in self.header else None

    @contextmanager
    def _open(self) -> Iterator[Any]:
        """The rows as lists of text; what goes wrong while they are read is told."""
        try:
            with self.path.open(encoding="utf-8-sig", newline="") as file:
                yield csv.reader(file)
        except OSError as error:
            raise UserError(f"{self.shown}: cannot be read ({error.strerror}). Name a CSV of pairs.") from None
        except (csv.Error, UnicodeDecodeError) as error:
            raise UserError(f"{self.shown}: is not readable as CSV ({error}). Save it again as UTF-8.") from None

    def read(self) -> Iterator[list[list[str]]]:
        """index, left, right and, where there is one, same: lists of text of about ROWS rows."""
        wanted = [*self.columns, *([self.same] if self.same is not None else [])]
        with self._open() as reader:
            next(reader)
            block: list[list[str]] = [[] for _ in wanted]
            while rows := list(islice(reader, PARSED)):
                if set(map(len, rows)) != {len(self.header)}:
                    rows = [row for row in rows if row]  # there may be an empty line at the end
                    self._check(rows)
                for values, i in zip(block, wanted, strict=True):
                    values.extend(map(itemgetter(i), rows))
                if len(block[0]) >= ROWS:
                    yield block
                    block = [[] for _ in wanted]
            if block[0]:
                yield block

    def _check(self, rows: list[list[str]]) -> None:
        for odd in (row for row in rows if len(row) != len(self.header)):
            raise UserError(
                f"{self.shown}: {cli.printable(','.join(odd))[:80]} has {len(odd)} fields, the header has"
                f" {len(self.header)}. Correct that line."
            )

    def names(self) -> set[str]:
        """Every picture that a pair names."""
        found: set[str] = set()
        for _, left, right, *_ in cli.progress(self.read(), unit="block", desc="reading"):
            found.update(left)
            found.update(right)
        return found


def is_true(values: list[str], shown: str) -> np.ndarray:
    """(P,) bool of answers as text. Raises UserError where one is neither yes nor no; `shown`: the file's name."""
    truth = np.fromiter(map(ANSWERS.get, values, repeat(-1)), np.int8, len(values))
    if (truth < 0).any():
        value = values[int(np.argmin(truth))]
        raise UserError(f"{shown}: {cli.printable(value)!r} is no answer. Use 1 and 0, or leave the column out.")
    return truth == 1
