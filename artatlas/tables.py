"""Tables that others wrote, or read: CSV, Parquet and npz files with a name and numbers for every work.

Nothing in them is ever run: npz arrays that need pickle are refused, and text that a spreadsheet would take for a
formula is written behind an apostrophe, which reading takes away again.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from artatlas import cli, integrity, metadata, store
from artatlas.errors import UserError

# What works are called by: ours, the original WikiArt scripts', and what is usual elsewhere.
ID_NAMES = ("image_ids", "filename", "Image", "image_id", "image", "file_name", "filepath", "path", "id", "name")
XY_NAMES = (("projection_x", "projection_y"), ("X", "Y"), ("x", "y"))
_FORMULA = re.compile(r"'*[=+\-@\t\r]")  # OWASP, "CSV injection"; an apostrophe before it is our own
_NUMBER = re.compile(r"[-+]?\d+(\.\d+)?")
PARQUET_REMEDY = "Run: python -m pip install pyarrow"


@dataclass(frozen=True)
class Table:
    """Rows of a file: what each work is called there, and its numbers."""

    names: list[str]
    values: np.ndarray  # (N, D) float32
    columns: list[str]  # that the numbers are from
    sha256: str  # of the file


def guard(text: str) -> str:
    """Text as a cell that no spreadsheet takes for a formula; `unguard` gives it back. Numbers stay as they are."""
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def unguard(text: str) -> str:
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text


def join(image_ids: Sequence[str], names: Sequence[str]) -> dict[str, int]:
    """id -> row, for the ids that a row names: with the folders of another machine before it, or as metadata does."""
    known, rows = set(image_ids), dict[str, int]()
    for row, name in enumerate(names):
        parts = [part for part in name.replace("\\", "/").split("/") if part]
        endings = ("/".join(parts[start:]) for start in range(len(parts)))
        if image_id := next((ending for ending in endings if ending in known), None):
            rows.setdefault(image_id, row)
    taken = set(rows.values())
    rest = [row for row in range(len(names)) if row not in taken]
    loosely = metadata.join([each for each in image_ids if each not in rows], [names[row] for row in rest])
    return rows | {image_id: rest[row] for image_id, row in loosely.items()}


def read(path: Path, columns: Sequence[str] | None = None, coordinates: bool = False) -> Table:
    """The numbers of every work in a .csv, .tsv, .parquet, .npz or .h5 file.

    columns : which to take; by default the coordinates, or all columns (the one array) of numbers
    coordinates : two columns are wanted

    Raises UserError where the file cannot be read, the columns are not there, or a number is none.
    """
    shown, kind = store.show(path), path.suffix.lower()
    kinds = {".csv": _csv, ".tsv": _csv, ".parquet": _parquet, ".npz": _npz}
    if not path.is_file():
        raise UserError(f"{shown} does not exist. Name a file ({', '.join(kinds)}, .h5).")
    if kind not in (*kinds, ".h5"):
        raise UserError(f"{shown}: is of no kind that is known here. Name a file that ends in {', '.join(kinds)}, .h5.")
    data = path.read_bytes()
    found = _hdf5(path, shown) if kind == ".h5" else kinds[kind](data, shown)
    names_column = next((name for name in ID_NAMES if name in found and _is_text(found[name])), None)
    if names_column is None:
        raise UserError(
            f"{shown}: nothing in it names the works (it has {_listed(found)}). Call the column of their file names"
            " filename, or the array image_ids."
        )
    names = [str(name) for name in found.pop(names_column)]
    chosen = list(columns) if columns else _choose(found, len(names), coordinates, shown)
    if lacking := [name for name in chosen if name not in found]:
        raise UserError(f"{shown}: has no {lacking[0]} (it has {_listed(found)}). Name others with --columns.")
    values = np.concatenate([_numbers(found[name], len(names), name, shown) for name in chosen], axis=1)
    if coordinates and values.shape[1] != 2:
        raise UserError(f"{shown}: {', '.join(chosen)} hold {values.shape[1]} numbers a work. Name two with --columns.")
    if len(bad := np.flatnonzero(~np.isfinite(values).all(axis=1))):
        raise UserError(
            f"{shown}: {cli.count(len(bad), 'work has', 'works have')} numbers that are none, first"
            f" {cli.printable(names[bad[0]])}. Leave such works out."
        )
    return Table(names, values, chosen, hashlib.sha256(data).hexdigest())


def _choose(found: dict[str, Any], n_works: int, coordinates: bool, shown: str) -> list[str]:
    if coordinates:
        for pair in XY_NAMES:
            if all(name in found for name in pair):
                return list(pair)
    wide = [name for name, values in found.items() if not _is_text(values) and np.ndim(values) == 2]
    wide = [name for name in wide if len(found[name]) == n_works]
    flat = [name for name, values in found.items() if np.ndim(values) == 1 and not _is_text(values)]
    flat = [name for name in flat if len(found[name]) == n_works]
    if coordinates:
        wide = [name for name in wide if np.shape(found[name])[1] == 2]
    if len(wide) == 1:
        return wide
    if not wide and flat and (not coordinates or len(flat) == 2):
        return flat
    raise UserError(f"{shown}: has {_listed(found)}, so it is not plain what is meant. Name it with --columns.")


def _listed(found: dict[str, Any]) -> str:
    names = list(found)
    more = f" and {len(names) - 12} more" if len(names) > 12 else ""
    return f"{', '.join(cli.printable(name) for name in names[:12])}{more}" if names else "nothing"


def _is_text(values: Any) -> bool:
    return np.asarray(values).dtype.kind in "OUS"


def _numbers(values: Any, n_works: int, name: str, shown: str) -> np.ndarray:
    """(N, D) float32 of a column or an array."""
    array = np.asarray(values)
    if array.dtype.kind not in "fiub" or array.ndim not in (1, 2) or len(array) != n_works:
        raise UserError(
            f"{shown}: {name} is {array.dtype} {array.shape}, not numbers for {n_works:,} works. Name another."
        )
    with np.errstate(over="ignore"):  # what does not fit is infinite then, and told
        return array.reshape(n_works, -1).astype(np.float32)


def _csv(data: bytes, shown: str) -> dict[str, Any]:
    try:
        text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
        lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text)))
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{shown}: is not readable as CSV ({error}). Save it again as CSV in UTF-8.") from None
    header, rows = (lines[0], [line for line in lines[1:] if any(line)]) if lines else ([], [])
    uneven = [number for number, row in enumerate(rows, start=2) if len(row) != len(header)]
    if uneven:
        raise UserError(f"{shown}, row {uneven[0]}: has more or fewer fields than the header. Save it again as CSV.")
    found: dict[str, Any] = {}
    for position, name in enumerate(header):
        column = [row[position] for row in rows]
        try:
            found[name.strip()] = np.array([float(value) for value in column])
        except ValueError:
            found[name.strip()] = np.array([unguard(value) for value in column], object)
    for name in ID_NAMES:  # works may be called 1, 2, 3
        if name in header and not _is_text(found[name]):
            position = header.index(name)
            found[name] = np.array([unguard(row[position]) for row in rows], object)
            break
    return found


def _delimiter(text: str) -> str:
    header = text.splitlines()[0] if text else ""
    return max(",;\t", key=header.count)


def _parquet(data: bytes, shown: str) -> dict[str, Any]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise UserError(f"{shown}: Parquet needs pyarrow, which is not installed. {PARQUET_REMEDY}") from None
    try:
        table = pq.read_table(io.BytesIO(data))
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{shown}: is not readable as Parquet ({str(error).splitlines()[0]}). Save it again.") from None
    found: dict[str, Any] = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        if pa.types.is_list(column.type) or pa.types.is_fixed_size_list(column.type):
            rows = column.to_pylist()
            widths = {len(row) if row is not None else -1 for row in rows}
            if len(widths) == 1 and -1 not in widths and pa.types.is_floating(column.type.value_type):
                found[name] = np.array(rows, np.float32)
        elif pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            found[name] = np.array([text or "" for text in column.to_pylist()], object)
        elif pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
            found[name] = np.array([np.nan if value is None else value for value in column.to_pylist()], np.float64)
    return found


def _npz(data: bytes, shown: str) -> dict[str, Any]:
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        reason = "it holds pickled objects, which could run anything" if "pickle" in str(error) else str(error)
        raise UserError(f"{shown}: is not read ({reason}). Save arrays of numbers and text with numpy.savez.") from None


def _hdf5(path: Path, shown: str) -> dict[str, Any]:
    found: dict[str, Any] = {}

    def take(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.ndim in (1, 2) and item.dtype.kind in "fiubO":
            found[name] = item.asstr()[:] if h5py.check_string_dtype(item.dtype) else item[:]

    try:
        if reason := integrity.why_unsafe(path, packed=True):
            raise UserError(f"{shown}: is not read ({reason}). Copy what is meant into another file.")
        with h5py.File(path, "r") as h5:
            h5.visititems(take)
    except OSError as error:
        raise UserError(f"{shown}: is not readable as HDF5 ({str(error).splitlines()[0]}). Name another.") from None
    return found
