"""An exported file in the forms that other programs read. For convert_embeddings.py.

Column names are those of Embedding Atlas (projection_x, projection_y, neighbors), the header of a PixPlot CSV, the
files of TensorBoard's projector, the JSON that FiftyOne imports. The file to hand on holds no images, nor do these.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from artatlas import cli, metadata, tables
from artatlas.errors import UserError

DECIMALS = 6
# PixPlot's columns, and which of a collection's columns stand for them where they are there.
PIXPLOT = {"category": ("category", "style", "genre", "artist"), "tags": ("keywords", "tags"),
           "description": ("title", "description"), "permalink": ("url", "link", "permalink"),
           "year": ("year", "date")}  # fmt: skip


def columns(h5: h5py.File, drawn: str, neighbors: str | None) -> dict[str, np.ndarray]:
    """Of every work: its name, metadata, places on all maps, and on the map `drawn` as projection_x, projection_y."""
    found: dict[str, np.ndarray] = {"filename": h5["image_ids"].asstr()[:]}
    found |= {name: text for name, text in texts(h5).items() if name not in found}
    found["projection_x"], found["projection_y"] = h5[f"{drawn}/coordinates"][:].T
    for name in groups(h5, "coordinates"):
        found[f"{name}_x"], found[f"{name}_y"] = h5[f"{name}/coordinates"][:].T
    for name in groups(h5, "cells"):
        found[f"{name}_row"], found[f"{name}_col"] = h5[f"{name}/cells"][:].T
    for kind in ("faithfulness", "cluster"):
        for name in groups(h5, kind):
            values = h5[f"{name}/{kind}"][:]
            found[f"{name}_{kind}"] = values.astype(np.float32) if values.dtype.kind == "f" else values
    return found


def texts(h5: h5py.File) -> dict[str, np.ndarray]:
    """Column of the metadata -> (N,) str."""
    group = h5.get("metadata", {})
    return {name.replace(metadata.SLASH, "/"): group[name].asstr()[:] for name in group}


def groups(h5: h5py.File, kind: str) -> list[str]:
    """The sources, maps and spaces that have `kind`."""
    return [name for name in h5 if name != "model" and isinstance(h5[name], h5py.Group) and kind in h5[name]]


def write_csv(h5: h5py.File, folder: Path, drawn: str, neighbors: str | None) -> str:
    found = columns(h5, drawn, neighbors)
    _write_rows(folder / "works.csv", [*found], zip(*[_cells(values) for values in found.values()], strict=True))
    return "embedding-atlas works.csv --x projection_x --y projection_y"


def write_parquet(h5: h5py.File, folder: Path, drawn: str, neighbors: str | None) -> str:
    """The columns of works.csv, the embeddings as lists, and the nearest works as Embedding Atlas takes them."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise UserError(f"works.parquet: needs pyarrow, which is not installed. {tables.PARQUET_REMEDY}") from None
    found: dict[str, Any] = {name: pa.array(values) for name, values in columns(h5, drawn, neighbors).items()}
    for name in groups(h5, "embeddings"):
        rows = h5[f"{name}/embeddings"].astype(np.float32)[:]
        found[f"{name}_embedding"] = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), rows.shape[1])
    command = "embedding-atlas works.parquet --x projection_x --y projection_y"
    if neighbors:
        near = h5[f"{neighbors}/neighbors"][:]
        distances = h5[f"{neighbors}/neighbor_distances"].astype(np.float32)[:]
        found["neighbors"] = pa.array(
            [{"ids": ids[ids >= 0].tolist(), "distances": row[ids >= 0].tolist()}
             for ids, row in zip(near, distances, strict=True)],
            pa.struct({"ids": pa.list_(pa.int64()), "distances": pa.list_(pa.float32())}),
        )  # fmt: skip
        command += " --neighbors neighbors"
    pq.write_table(pa.table(found), folder / "works.parquet", compression="zstd")
    return command


def write_npz(h5: h5py.File, folder: Path, drawn: str, neighbors: str | None) -> str:
    """Every dataset under its own name; text as fixed-width Unicode, which needs no pickle."""
    arrays: dict[str, Any] = {}

    def take(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            arrays[name] = np.array(item.asstr()[:].tolist()) if h5py.check_string_dtype(item.dtype) else item[()]

    h5.visititems(take)
    np.savez_compressed(folder / "works.npz", **arrays)
    return 'numpy.load("works.npz")["image_ids"]'


def write_tensorboard(h5: h5py.File, folder: Path, drawn: str, neighbors: str | None) -> str:
    """Each source and each map as tensors, one table of metadata, and the configuration that names them."""
    found = {"filename": h5["image_ids"].asstr()[:], **texts(h5)}
    lines = ["\t".join(_one_line(name) for name in found)]
    lines += ["\t".join(_one_line(text) for text in row) for row in zip(*found.values(), strict=True)]
    if len(found) == 1:
        lines = lines[1:]  # the projector takes a single column for labels without a header
    (folder / "metadata.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    config = []
    for kind in ("embeddings", "coordinates"):
        for name in groups(h5, kind):
            file = f"{name}_{kind}.tsv"
            np.savetxt(folder / file, h5[f"{name}/{kind}"].astype(np.float32)[:], fmt="%.6g", delimiter="\t")
            config += ["embeddings {", f'  tensor_name: "{name} {kind}"', f'  tensor_path: "{file}"',
                       '  metadata_path: "metadata.tsv"', "}"]  # fmt: skip
    (folder / "projector_config.pbtxt").write_text("\n".join(config) + "\n", encoding="utf-8")
    return "tensorboard --logdir ."


def write_pixplot(h5: h5py.File, folder: Path, drawn: str, neighbors: str | None) -> str:
    """PixPlot knows pictures by the last part of their path, and offers x, y as a layout of its own: "custom"."""
    known, ids = texts(h5), h5["image_ids"].asstr()[:]
    files = [image_id.rpartition("/")[2] for image_id in ids]
    if repeated := len(files) - len(set(files)):
        cli.notice(f"pixplot: {cli.count(repeated, 'file name stands', 'file names stand')} in more than one folder")
    rows: dict[str, list[str]] = {"filename": files}
    for name, choices in PIXPLOT.items():
        chosen = next((choice for choice in choices if choice in known), None)
        rows[name] = list(known[chosen]) if chosen else [""] * len(ids)
    rows["tags"] = [
        "|".join(part.strip() for part in re.split(r"[|;,]", text) if part.strip()) for text in rows["tags"]
    ]
    rows["year"] = [match[0] if (match := re.search(r"\d{3,4}", text)) else "" for text in rows["year"]]
    cells = [[tables.guard(text) for text in column] for column in rows.values()]
    cells += [_cells(column) for column in h5[f"{drawn}/coordinates"][:].T]
    _write_rows(folder / "metadata.csv", [*rows, "x", "y"], zip(*cells, strict=True))
    return 'pixplot --images "IMAGES/**/*.jpg" --metadata metadata.csv'


def write_fiftyone(h5: h5py.File, folder: Path, drawn: str, neighbors: str | None) -> str:
    """The JSON of a dataset on disk; pictures are looked for in its folder data/, a link to the images will do."""
    found = columns(h5, drawn, neighbors)
    ids = found.pop("filename")
    fields = {_field(name): values for name, values in found.items()}
    embeddings = {f"{name}_embedding": h5[f"{name}/embeddings"].astype(np.float64)[:]
                  for name in groups(h5, "embeddings")}  # fmt: skip
    samples = []
    for row, image_id in enumerate(ids):
        sample: dict[str, Any] = {"filepath": f"data/{image_id}", "tags": [], "image_id": image_id}
        sample |= {
            name: values[row] if values.dtype == object else values[row].item() for name, values in fields.items()
        }
        sample |= {name: np.round(values[row], DECIMALS).tolist() for name, values in embeddings.items()}
        samples.append(sample)
    info = {key: str(h5.attrs[key]) for key in ("title", "source", "license", "fingerprint") if key in h5.attrs}
    for name, value in (("metadata", {"media_type": "image", "info": info}), ("samples", {"samples": samples})):
        (folder / f"{name}.json").write_text(json.dumps(value, ensure_ascii=False, allow_nan=False), encoding="utf-8")
    return 'fiftyone.Dataset.from_dir(".", dataset_type=fiftyone.types.FiftyOneDataset)'


Form = Callable[[h5py.File, Path, str, "str | None"], str]
FORMS: dict[str, Form] = {
    "csv": write_csv, "parquet": write_parquet, "npz": write_npz, "tensorboard": write_tensorboard,
    "pixplot": write_pixplot, "fiftyone": write_fiftyone,
}  # fmt: skip


def _field(name: str) -> str:
    """A name that FiftyOne takes for a field: a Python name that is not its own."""
    name = re.sub(r"\W", "_", name)
    return (
        f"_{name}".replace("__", "_") if name in ("id", "tags", "filepath", "metadata") or name[:1].isdigit() else name
    )


def _cells(values: np.ndarray) -> list[Any]:
    if values.dtype == object:
        return [tables.guard(text) for text in values]
    return np.round(values.astype(np.float64), DECIMALS).tolist() if values.dtype.kind == "f" else values.tolist()


def _one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text)


def _write_rows(path: Path, header: list[str], rows: Any) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(header)
        table.writerows(rows)
