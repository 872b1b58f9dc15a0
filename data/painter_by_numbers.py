"""Kaggle's "Painter by Numbers" (2016) as a collection: WikiArt in two folders, with a CSV of who painted what.

Reads   the folder that the competition's files were unpacked into: all_data_info.csv, or else train_info.csv, and the
        folders of pictures beside it (train, test; some copies nest them or name them train_1 to train_9)
Writes  metadata.csv in that folder, one row a picture that is there; nothing is copied
Run     python data/painter_by_numbers.py FOLDER
        then, as it says:  python run_all.py --set paths.images=FOLDER --set paths.metadata=FOLDER/metadata.csv
Source  kaggle.com/c/painter-by-numbers. Its CSVs have filename, artist, title, style, genre, date; all_data_info.csv
        also has new_filename, the name below train and test, where filename was changed, and in_train
Cost    a few seconds for its 103,250 pictures

Artists of train_info.csv are hashes in place of names; they do as labels. The pairs of the competition,
submission_info.csv, go to verify_pairs.py as they are: it finds 123.jpg where that is one picture of the collection.
"""

from __future__ import annotations

import argparse
import csv
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from artatlas import cli, collection, store
from artatlas.errors import UserError

TABLES = ("all_data_info.csv", "train_info.csv")  # the first that is there is read
KEPT = ("artist", "title", "style", "genre", "date")  # in this order; what a table lacks is left out
MORE = ("year", "split")  # made here
YEAR = re.compile(r"\b(1[0-9]{3}|20[0-9]{2})\b")  # WikiArt's dates are "1889", "c.1890", "1889.0", "April 1889"


def read_table(folder: Path) -> tuple[Path, list[dict[str, str]]]:
    """The CSV that was found and its rows."""
    path = next((folder / name for name in TABLES if (folder / name).is_file()), None)
    if path is None:
        raise UserError(f"{store.show(folder)}: has neither {' nor '.join(TABLES)}. Name the folder that holds one.")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{store.show(path)}: is not readable as CSV ({error}). Unpack it again.") from None
    for name in ("filename", "artist"):
        if not rows or name not in rows[0]:
            found = ", ".join(map(str, rows[0])) if rows else "it has no rows"
            raise UserError(f"{store.show(path)}: has no column {name} ({found}). Unpack it again.")
    return path, rows


def find_pictures(folder: Path) -> Iterator[str]:
    """POSIX paths below `folder` of every picture, in the order of names."""
    for where, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if name.lower().endswith(collection.EXTENSIONS) and not name.startswith("."):
                yield (Path(where) / name).relative_to(folder).as_posix()


def split_of(path: str) -> str:
    """train or test after the folder that a picture is in, else ""."""
    parts = [part.lower() for part in path.split("/")[:-1]]
    return next((split for split in ("train", "test") for part in parts if re.fullmatch(rf"{split}(_\w+)?", part)), "")


def match(rows: list[dict[str, str]], pictures: list[str]) -> tuple[list[tuple[str, dict[str, str]]], int, int]:
    """(path, row) of every picture with a row, and how many rows and pictures have no other half.

    The number in a picture's name is its key, as in the table. Where train and test both hold the same name, the
    table's in_train decides.
    """
    row_of: dict[str, dict[str, str]] = {}
    for row in rows:
        row_of.setdefault(row.get("new_filename") or row["filename"], row)
        row_of.setdefault(row["filename"], row)
    found: dict[int, tuple[str, dict[str, str]]] = {}
    strange = 0
    for path in pictures:
        row = row_of.get(path.rpartition("/")[2])
        if row is None:
            strange += 1
            continue
        before = found.get(id(row))
        if before is None or _belongs(path, row) > _belongs(before[0], row):
            found[id(row)] = (path, row)
    return sorted(found.values(), key=lambda pair: pair[0]), len(rows) - len(found), strange


def _belongs(path: str, row: dict[str, str]) -> bool:
    said = row.get("in_train", "").strip().lower()
    return bool(said) and split_of(path) == ("train" if said in ("true", "1") else "test")


def write_metadata(path: Path, works: list[tuple[str, dict[str, str]]]) -> None:
    kept = [name for name in KEPT if any(name in row for _, row in works[:1])]
    with store.replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["filename", *kept, *MORE])
        for name, row in works:
            year = YEAR.search(row.get("date") or "")
            table.writerow([name, *(row.get(key) or "" for key in kept), year[0] if year else "", split_of(name)])


def convert(folder: Path) -> str:
    """Writes metadata.csv; returns what to say."""
    source, rows = read_table(folder)
    works, rows_left, pictures_left = match(rows, list(find_pictures(folder)))
    if not works:
        raise UserError(
            f"{store.show(folder)}: holds no picture that {source.name} names. Unpack train.zip and test.zip there."
        )
    path = folder / "metadata.csv"
    write_metadata(path, works)
    artists = {row["artist"] for _, row in works}
    told = f"{store.show(path)}: {cli.count(len(works), 'picture')} by {cli.count(len(artists), 'artist')}"
    if rows_left or pictures_left:
        told += (
            f"; {cli.count(rows_left, 'row')} without a picture, {cli.count(pictures_left, 'picture')} without a row"
        )
    return f"{told}\nNow: python run_all.py --set paths.images={folder} --set paths.metadata={path}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the competition's files are")
    try:
        print(convert(parser.parse_args().folder))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
