"""Metadata of works: columns of CSV files and fields of the path, all of it text ("007" stays "007")."""

from __future__ import annotations

import csv
import hashlib
import io
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from artatlas import additions, cli, store, urls
from artatlas.additions import Additions
from artatlas.config import SAMPLE, Config, command
from artatlas.errors import UserError

DELIMITERS = ",;\t"
SLASH = "\u2215"  # DIVISION SLASH looks like "/", which in HDF5 would open a group
csv.field_size_limit(2**31 - 1)  # the most it takes on every system; by default 131,072, which a long essay exceeds


@dataclass(frozen=True)
class Table:
    """A metadata CSV: for each row the file it names, and its other columns."""

    filenames: list[str] = field(default_factory=list)
    columns: dict[str, list[str]] = field(default_factory=dict)
    sha256: str = ""  # of the file's bytes
    shown: str = ""  # its name, "" where there is none


def sha256(config: Config, added: Additions | None = None) -> str:
    """Of the bytes of the metadata CSV, and those of `added` folders (of outputs/additions.json unless given); "" where
    there is none. Raises UserError where one cannot be read."""
    own = hashlib.sha256(_bytes(config, config.paths.metadata)).hexdigest() if config.paths.metadata else ""
    more = [each.metadata for each in (added or additions.read(config)).folders if each.metadata]
    if not more:
        return own
    return hashlib.sha256(b"".join([own.encode(), *(_bytes(config, file) for file in more)])).hexdigest()


def read(config: Config, file: str | None = None) -> Table:
    """The metadata CSV, or the one of an added folder (`file`); an empty table where paths.metadata is null.

    Comma, semicolon or tab separated; UTF-8, UTF-16 with a byte order mark, or else Windows-1252, which is told.
    Raises UserError where it cannot be read or has no column images.filename_column.
    """
    file = file or config.paths.metadata
    if not file:
        return Table()
    shown, wanted = store.show(file), config.images.filename_column
    data = _bytes(config, file)
    text = _text(data, shown)
    try:
        lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text, wanted)))
    except csv.Error as error:
        raise UserError(f"{shown}: is not readable as CSV ({error}). Save it again as CSV.") from None
    header, rows = lines[0] if lines else [], [line for line in lines[1:] if any(line)]
    names = _column_names(header)
    if wanted not in names:
        found = f"its columns are: {', '.join(names)}" if names else "it is empty"
        raise UserError(f"{shown}: has no column {wanted} ({found}). Set images.filename_column to one of them.")
    uneven = sum(len(row) != len(header) for row in rows)
    if uneven:
        cli.notice(f"{shown}: {cli.count(uneven, 'row has', 'rows have')} more or fewer fields than its header")
    columns = {name: [row[i] if i < len(row) else "" for row in rows] for i, name in enumerate(names)}
    return Table(columns.pop(wanted), columns, hashlib.sha256(data).hexdigest(), shown)


def all_columns(ids: Sequence[str], table: Table, config: Config, added: Additions) -> dict[str, list[str]]:
    """`columns` of the collection, and of `added` folders, whose works are looked up in the folder's CSV where it has
    one and in the collection's `table` otherwise."""
    paths, of_its_own = list(ids), {}
    for folder in added.folders:
        its = additions.below(ids, folder)
        if folder.metadata:
            of_its_own[folder.metadata] = its
        for i, path in its.items():
            paths[i] = path
    taken = {i for its in of_its_own.values() for i in its}
    rest = [i for i in range(len(ids)) if i not in taken]
    parts = [(rest, columns([ids[i] for i in rest], table, config, [paths[i] for i in rest]))]
    for file, its in of_its_own.items():
        parts.append((list(its), columns(list(its.values()), read(config, file), config)))
    joined: dict[str, list[str]] = {}
    for rows, found in parts:
        for name, values in found.items():
            column = joined.setdefault(name, [""] * len(ids))
            for i, text in zip(rows, values, strict=True):
                column[i] = text
    return joined


def columns(
    ids: Sequence[str], table: Table, config: Config, paths: Sequence[str] | None = None
) -> dict[str, list[str]]:
    """Column -> text per id, "" where nothing is known. What the CSV says goes before what the path says, which is
    read off `paths` where they are not the ids."""
    rows, paths = join(ids, table.filenames), ids if paths is None else paths
    joined = {name: [values[rows[i]] if i in rows else "" for i in ids] for name, values in table.columns.items()}
    for name, values in parse_paths(paths, config.images.path_pattern).items():
        known = joined.get(name, [""] * len(ids))
        joined[name] = [text or from_path for text, from_path in zip(known, values, strict=True)]
    _tell(ids, paths, table, rows, config)
    return joined


def _tell(
    ids: Sequence[str], paths: Sequence[str], table: Table, rows: dict[str, int], config: Config
) -> None:
    """Notices of what did not fit together, so that a wrong column or a forgotten folder shows."""
    pattern = config.images.path_pattern
    if pattern:
        strange = sum(_path_regex(pattern).fullmatch(_stem(path)) is None for path in paths)
        if strange:
            cli.notice(f"images.path_pattern: {cli.count(strange, 'work does', 'works do')} not look like {pattern}")
    if not table.shown:
        return
    shown, different = table.shown, len(set(table.filenames))
    if missing := len(ids) - len(rows):
        cli.notice(f"{shown}: {cli.count(missing, 'work has', 'works have')} no row; the columns are empty there")
    if unused := different - len(rows):
        cli.notice(f"{shown}: {cli.count(unused, 'row names a file that is', 'rows name files that are')} not a work")
    if repeated := len(table.filenames) - different:
        cli.notice(f"{shown}: {cli.count(repeated, 'row repeats', 'rows repeat')} a file name; the first row counts")


def join(ids: Sequence[str], filenames: Sequence[str]) -> dict[str, int]:
    """id -> row, for the ids that a row names: exactly; or else loosely (Unicode form, slashes); or by its last part.

    The two later readings count only where nothing else, on either side, reads the same. Of equal file names the
    first row counts.
    """
    row_of = {name: row for row, name in reversed(list(enumerate(filenames)))}
    rows: dict[str, int] = {}
    for reading in (str, _loosely, _last_part):
        names_left = _unambiguous((name for name in row_of), reading)
        for key, image_id in _unambiguous((i for i in ids if i not in rows), reading).items():
            if key in names_left:
                rows[image_id] = row_of.pop(names_left[key])
    return rows


def _unambiguous(names: Iterable[str], reading: Callable[[str], str]) -> dict[str, str]:
    """What `names` read as -> name, without those that read the same."""
    found: dict[str, str] = {}
    ambiguous = set()
    for name in names:
        if found.setdefault(reading(name), name) != name:
            ambiguous.add(reading(name))
    return {key: name for key, name in found.items() if key not in ambiguous}


def _loosely(name: str) -> str:
    return unicodedata.normalize("NFC", name.strip().replace("\\", "/")).removeprefix("./")


def _last_part(name: str) -> str:
    return _loosely(name).rpartition("/")[2]


def parse_paths(ids: Sequence[str], pattern: str | None) -> dict[str, list[str]]:
    """Column -> text per id, from images.path_pattern; "" where an id does not look like it.

    The pattern stands for the whole id without its extension. A field is one or more characters other than "/", as
    few as possible, the last field as many: "{style}/{artist}_{title}" reads `Realism/ilya-repin_a_b.jpg` as
    style "Realism", artist "ilya-repin", title "a_b".
    """
    if pattern is None:
        return {}
    matches = [_path_regex(pattern).fullmatch(_stem(image_id)) for image_id in ids]
    fields = _FIELD.findall(pattern)
    return {name: [match[i] if match else "" for match in matches] for i, name in enumerate(fields, start=1)}


_FIELD = re.compile(r"\{([A-Za-z_]\w*)\}")


def _path_regex(pattern: str) -> re.Pattern[str]:
    literals = [re.escape(text) for text in _FIELD.split(pattern)[::2]]
    return re.compile("([^/]+?)".join(literals[:-1]) + "([^/]+)" + literals[-1])


def _stem(image_id: str) -> str:
    return image_id.rpartition(".")[0]


def _bytes(config: Config, file: str) -> bytes:
    path = Path(file)
    try:
        if urls.is_url(file):
            return urls.read(file, "paths.metadata")
        if path.exists() and not path.is_file() and not path.is_dir():  # a device may have no end
            raise OSError(None, "it is no file")
        return path.read_bytes()
    except OSError as error:
        run = f"Run: {command('data/paint_collection.py')}"
        remedy = run if path.is_relative_to(SAMPLE) else "Set paths.metadata to a CSV file, or to null for none."
        key = "paths.metadata"
        if file != config.paths.metadata:
            key, remedy = "--add-metadata", "Name a CSV file, or put it back."
        missing = isinstance(error, FileNotFoundError)
        reason = "does not exist" if missing else f"cannot be read ({error.strerror or error})"
        raise UserError(f"{key}: {store.show(file)} {reason}. {remedy}") from None


def _text(data: bytes, shown: str) -> str:
    try:
        text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError:
        cli.notice(f"{shown}: is not UTF-8, so it is read as Windows-1252; save it as UTF-8 if letters look wrong")
        text = data.decode("cp1252", errors="replace")
    return text.replace("\0", "")  # HDF5 text ends at a NUL


def _delimiter(text: str, wanted: str) -> str:
    """The one under which the header holds the wanted column; among several, the one that gives most columns."""
    header = text.splitlines()[0] if text else ""

    def fit(delimiter: str) -> tuple[bool, int]:
        names = next(csv.reader([header], delimiter=delimiter), [])
        return wanted in _column_names(names), len(names)

    return max(DELIMITERS, key=fit)


def _column_names(header: list[str]) -> list[str]:
    """The header made into names that are unique and that HDF5 takes, in the same order."""
    names: dict[str, None] = {}
    for position, raw in enumerate(header, start=1):
        name = raw.strip().replace("/", SLASH)
        name = f"column {position}" if name in ("", ".") else name
        while name in names:
            name = f"{name} ({position})"
        names[name] = None
    return list(names)
