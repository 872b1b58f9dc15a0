"""placed.h5 and placed.csv: the set of works that were given a place on a finished map, which grows from run to run."""

from __future__ import annotations

import csv
import dataclasses
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from artatlas import store
from artatlas.placement import Calibration


@dataclass(frozen=True)
class Placed:
    """Placed works (M,) in the order in which they came; every field is a dataset of placed.h5."""

    image_ids: np.ndarray  # str
    file_sha256: np.ndarray  # str
    coordinates: np.ndarray  # (M, 2) float32, in the units of the map
    certainty: np.ndarray  # float32, 0 to 1
    novelty: np.ndarray  # float32, about 1 for a work that fits
    is_off_map: np.ndarray  # bool
    nearest_ids: np.ndarray  # (M, K) str

    def then(self, later: Placed) -> Placed:
        """This set and a later one; the rows of this one as they are."""
        pairs = zip(dataclasses.astuple(self), dataclasses.astuple(later), strict=True)
        return Placed(*[np.concatenate(pair) for pair in pairs])


def read(h5: h5py.File) -> tuple[Placed, dict[str, str]]:
    """The set, and id -> reason of what was skipped."""
    names = [field.name for field in dataclasses.fields(Placed)]
    columns = {name: h5[name].asstr()[:] if h5[name].dtype == object else h5[name][:] for name in names}
    skipped = dict(zip(h5["skipped/image_ids"].asstr()[:], h5["skipped/reason"].asstr()[:], strict=True))
    return Placed(**columns), skipped


def write(h5: h5py.File, placed: Placed, skipped: dict[str, str], calibration: Calibration) -> None:
    for field in dataclasses.fields(placed):
        values = getattr(placed, field.name)
        h5.create_dataset(field.name, data=values, dtype=store.TEXT if values.dtype == object else values.dtype)
    for name, texts in (("image_ids", list(skipped)), ("reason", list(skipped.values()))):
        h5.create_dataset(f"skipped/{name}", data=np.array(texts, dtype=object), dtype=store.TEXT)
    group = h5.create_group("calibration")
    for name, value in dataclasses.asdict(calibration).items():
        if isinstance(value, np.ndarray):
            group[name] = value
        else:
            group.attrs[name] = value


def write_csv(path: Path, placed: Placed) -> None:
    """filename, x, y, certainty, off_map (0 or 1). Names are quoted and otherwise left as they are: one that starts
    with "=" is a name here, and a spreadsheet takes it for a formula unless the column is imported as text."""
    numbers = np.round(np.column_stack([placed.coordinates, placed.certainty]).astype(np.float64), 4).tolist()
    with store.replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
        table.writerow(["filename", "x", "y", "certainty", "off_map"])
        for name, row, is_off_map in zip(placed.image_ids, numbers, placed.is_off_map, strict=True):
            table.writerow([name, *row, int(is_off_map)])
