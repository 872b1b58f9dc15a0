"""Who is who in a collection, and which works a verifier is trained and judged on: drawn, or as a file says."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from artatlas import cli, metadata, pairs, store
from artatlas.config import Config
from artatlas.errors import UserError

LEAST_LABELS = 4  # in training; and 2 in each of the other parts, or there are no pairs of two


@dataclass(frozen=True)
class Known:
    """What images.h5 and variants.h5 know of some works.

    columns : of the metadata -> (N,) text
    picture : (N,) int64, row of the first work with exactly the same picture
    group : (N,) int64, equal for works that are one picture: copies, other scans, details
    """

    columns: dict[str, np.ndarray]
    picture: np.ndarray
    group: np.ndarray
    file_sha256: np.ndarray


def read_known(config: Config, image_ids: np.ndarray, inputs: dict[str, str]) -> Known:
    """Adds to `inputs`."""
    with store.open_output(config, "images") as h5:
        rows = store.rows_of(image_ids, store.read_ids(h5))
        columns = {name: h5[f"metadata/{name}"].asstr()[:].astype(object)[rows] for name in h5["metadata"]}
        duplicate_of, hashes = (h5[name].asstr()[:][rows] for name in ("duplicate_of", "file_sha256"))
        inputs["images"] = str(h5.attrs["fingerprint"])
    for key in ("label", "within"):
        name = getattr(config.verifier, key)
        if name is not None and name not in columns:
            found = ", ".join(columns) or "none"
            raise UserError(f"verifier.{key}: {name} is not a column of the metadata ({found}). Set it to one of them.")
    row_of: dict[str, int] = {}
    firsts = [
        row_of.setdefault(first or name, i) for i, (first, name) in enumerate(zip(duplicate_of, image_ids, strict=True))
    ]
    picture = np.array(firsts, np.int64)
    group = read_group(config, image_ids, inputs) if config.verifier.variants == "one" else picture
    return Known(columns, picture, group, hashes)


def read_group(config: Config, image_ids: np.ndarray, inputs: dict[str, str]) -> np.ndarray:
    """Of variants.h5, whose rows are those of images.h5; adds to `inputs`."""
    with store.open_output(config, "variants") as h5:
        inputs["variants"] = str(h5.attrs["fingerprint"])
        return h5["group"][:].astype(np.int64)[store.rows_of(image_ids, store.read_ids(h5))]


def select(config: Config, image_ids: np.ndarray, labels: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Part of every work (N,) int8: drawn, or as verifier.selection says."""
    settings = config.verifier
    if settings.selection is not None:
        parts = read(Path(settings.selection), image_ids)
        parts[~pairs.usable(labels, group)] = pairs.UNUSED
        for part in (pairs.VALIDATION, pairs.TEST) if settings.split == "disjoint" else ():
            if shared := set(labels[parts == pairs.TRAIN]) & set(labels[parts == part]):
                raise UserError(
                    f"{store.show(settings.selection)}: {cli.printable(min(shared))} is in train and in"
                    f" {pairs.PARTS[part]}. Correct it, or set verifier.split to seen."
                )
    else:
        rng = np.random.default_rng(settings.seed)
        chosen = pairs.choose(labels, group, settings.least_works, settings.most_works, settings.n_labels, rng)
        parts = pairs.split(
            labels, chosen, settings.split == "disjoint", settings.validation_share, settings.test_share, rng
        )
    for part, least in ((pairs.TRAIN, LEAST_LABELS), (pairs.VALIDATION, 2), (pairs.TEST, 2)):
        names, counts = np.unique(labels[parts == part], return_counts=True)
        if len(names) < least or counts.max() < 2:
            raise UserError(
                f"verifier.label: {settings.label} has too few works to learn from: {cli.count(len(names), 'label')} in"
                f" the part {pairs.PARTS[part]}, which needs {least} and two works of one. Name another column, or"
                " change verifier.least_works, validation_share or test_share."
            )
    return parts


def read(path: Path, image_ids: np.ndarray) -> np.ndarray:
    """Part of every work (N,) int8, as a file that `write` wrote says."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [(row["filename"] or "", row["part"] or "") for row in csv.DictReader(file)]
    except (OSError, UnicodeDecodeError, KeyError, csv.Error) as error:
        reason = f"no column {error}" if isinstance(error, KeyError) else str(error)
        raise UserError(
            f"verifier.selection: {store.show(path)} cannot be read ({reason}). Name a selection.csv that"
            " train_verifier.py wrote, or null."
        ) from None
    strange = sorted({part for _, part in rows} - set(pairs.PARTS))
    if strange:
        raise UserError(
            f"{store.show(path)}: {cli.printable(strange[0])} is not a part. Use one of: {', '.join(pairs.PARTS)}."
        )
    of_file = {name: pairs.PARTS.index(part) for name, part in rows}
    joined = metadata.join(list(image_ids), [name for name, _ in rows])
    missing = sum(part != pairs.UNUSED for part in of_file.values()) - sum(
        of_file[rows[row][0]] != pairs.UNUSED for row in joined.values()
    )
    if missing:
        cli.notice(f"{store.show(path)}: {cli.count(missing, 'work is', 'works are')} not in the collection")
    parts = [of_file[rows[joined[name]][0]] if name in joined else pairs.UNUSED for name in image_ids]
    return np.array(parts, np.int8)


def write(path: Path, image_ids: np.ndarray, labels: np.ndarray, parts: np.ndarray) -> None:
    """A CSV of filename, label, part."""
    with store.replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["filename", "label", "part"])
        table.writerows(
            [name, label, pairs.PARTS[part]] for name, label, part in zip(image_ids, labels, parts, strict=True)
        )
