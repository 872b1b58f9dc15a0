"""The data files of the page: small, and read by it only when they are needed.

Each is a script that hands its data to `artatlas.receive(name, data)`. A page opened from the disk (file://) may load
scripts but nothing else, and this way there is one kind of file for both. Arrays are little-endian, in base64.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

WORKS = 256  # a file: some 50 KB
HASH_BYTES = 5  # of an id in links: of 100,000 works, two share theirs in one collection of 200
MOST_CATEGORIES = 5_000  # different values that a column to filter by may have
LONGEST_CATEGORY = 120  # letters; longer texts are for reading and searching
_NUMBER = re.compile(r"[+-]?\d{1,15}(\.\d{1,9})?")


@dataclass(frozen=True)
class Column:
    """A column as the page reads it: its different values, and for each work which of them it has."""

    name: str
    kind: str  # number | category | text | share (a number within 0..1)
    values: list[str]  # numbers rising, else by alphabet; "" where works have none
    codes: np.ndarray  # (N,) uint8, uint16 or uint32
    more: dict[str, Any] | None = None  # what else the page needs to know of one that is not of the metadata

    @property
    def of_works(self) -> list[str]:
        return [self.values[code] for code in self.codes.tolist()]


def write(folder: Path, name: str, data: Any) -> None:
    """Writes `folder`/data/<name>.js."""
    path = folder / "data" / f"{name}.js"
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    path.write_text(f"artatlas.receive({json.dumps(name)},{text});\n", encoding="utf-8")


def packed(array: np.ndarray) -> str:
    """Base64 of the little-endian bytes."""
    array = np.ascontiguousarray(array)
    return base64.b64encode(array.astype(array.dtype.newbyteorder("<")).tobytes()).decode("ascii")


def packed_bits(array: np.ndarray) -> str | None:
    """Base64 of the bits of a bool array, the first one the highest of its byte; None where all are true."""
    return None if array.all() else packed(np.packbits(array))


def column(name: str, values: Sequence[str]) -> Column:
    filled = {value for value in values if value}
    if filled and all(_NUMBER.fullmatch(value) for value in filled):
        kind, order = "number", sorted(set(values), key=lambda value: (float(value or "-inf"), value))
    else:
        is_category = len(filled) <= min(MOST_CATEGORIES, len(values) / 2)
        is_category = is_category and all(len(value) <= LONGEST_CATEGORY for value in filled)
        kind = "category" if is_category else "text"
        order = sorted(set(values), key=lambda value: (value.casefold(), value))
    code_of = {value: code for code, value in enumerate(order)}
    dtype = np.min_scalar_type(max(0, len(order) - 1))
    return Column(name, kind, order, np.array([code_of[value] for value in values], dtype))


def write_column(folder: Path, number: int, column: Column) -> None:
    shown = {"shown": column.more["shown"]} if column.more and "shown" in column.more else {}
    write(folder, f"columns/{number}", {"values": column.values, "codes": packed(column.codes)} | shown)


def described(column: Column) -> dict[str, Any]:
    """What the page knows of a column before it reads it."""
    more = {key: value for key, value in (column.more or {}).items() if key != "shown"}
    return {"name": column.name, "kind": column.kind, "n_values": len(column.values)} | more


def write_works(folder: Path, works: Mapping[str, Sequence], columns: Sequence[Sequence[str]]) -> None:
    """What the page shows of single works: `works` holds lists of N, as do `columns`."""
    n_works = len(next(iter(works.values())))
    for start in range(0, n_works, WORKS):
        some = slice(start, start + WORKS)
        data = {name: list(values[some]) for name, values in works.items()}
        data["fields"] = [list(values[some]) for values in columns]
        write(folder, f"works/{start // WORKS}", data)


def write_hashes(folder: Path, image_ids: Sequence[str]) -> None:
    """Names that are short enough for links and that outlive a new build: HASH_BYTES of each id's SHA-256."""
    hashes = b"".join(hashlib.sha256(image_id.encode()).digest()[:HASH_BYTES] for image_id in image_ids)
    write(folder, "hashes", packed(np.frombuffer(hashes, np.uint8)))


def write_neighbors(folder: Path, neighbors: np.ndarray) -> None:
    """Rows of the nearest works, (N, spaces, k) int32; -1 for none."""
    for start in range(0, len(neighbors), WORKS):
        write(folder, f"neighbors/{start // WORKS}", packed(neighbors[start : start + WORKS].astype(np.int32)))


def near_each_other(cells: np.ndarray) -> np.ndarray:
    """An order (N,) of works in which those in near cells (N, 2) are near: Morton's, and those without a cell last.

    A visitor looks at one place at a time, so the files that he needs are few.
    """
    code = np.zeros(len(cells), np.int64)
    for bit in range(21):
        code |= ((cells[:, 0] >> bit) & 1) << (2 * bit + 1) | ((cells[:, 1] >> bit) & 1) << (2 * bit)
    code[cells[:, 0] < 0] = np.iinfo(np.int64).max
    return np.argsort(code, kind="stable")
