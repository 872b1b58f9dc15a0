"""The file to hand on: what the stages know of every work, in one HDF5 file that tells what each part of it means.

For export_embeddings.py. Nothing in it points back to the machine that it was made on: no images, no paths.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

import h5py
import numpy as np

from artatlas import cli, compact, parametric, sources, store
from artatlas.compact import CompactSource, half
from artatlas.config import Config
from artatlas.errors import UserError
from artatlas.reduce import Pca
from artatlas.sources import PlacedSource, Scaler
from artatlas.stages import BY_NAME

COMPRESSION = {"compression": "gzip", "compression_opts": 9, "shuffle": True}
RESERVED = ("metadata", "model")  # groups of the file that are no source, map or space
ABOUT = (
    "Embeddings, maps and neighbours of a collection of artworks, made by artatlas. Row i of every dataset whose axes"
    " begin with 'works' is the work image_ids[i], its path below the collection's folder; metadata/ has a text per"
    " work and column. The groups are named after what works are compared by: a group has embeddings where it is a"
    " source, coordinates and cells where there is a map of that name, neighbors where works were searched by it."
    " model/ turns a picture into embeddings and a place: embeddings = (vectors - mean) @ (components * scale).T. Every"
    " dataset has the attributes axes and description; recipe holds all settings, network, weights and versions."
)


class Writer:
    """Datasets with their meaning beside them."""

    def __init__(self, h5: h5py.File) -> None:
        self.h5 = h5

    def add(self, name: str, values: np.ndarray, axes: str, description: str, unit: str = "none") -> h5py.Dataset:
        if values.dtype == object:
            dataset = self.h5.create_dataset(name, data=values, dtype=store.TEXT, **COMPRESSION)
        else:
            dataset = self.h5.create_dataset(name, data=values, **(COMPRESSION if values.ndim else {}))
        dataset.attrs.update({"axes": axes, "description": description, "unit": unit})
        return dataset


@contextmanager
def optional(config: Config, name: str) -> Iterator[h5py.File | None]:
    """`store.open_output`; None, and a notice, where the output is not there. One that is out of date is an error."""
    path = config.outputs / BY_NAME[name].output
    if not path.exists():
        cli.notice(f"{store.show(path)} is not there, so the file goes without it ({BY_NAME[name].script} makes it)")
        yield None
        return
    with store.open_output(config, name) as h5:
        yield h5


def check_names(config: Config) -> None:
    """Raises UserError for a map or space whose group would be another's."""
    for section, names in (("maps", config.maps), ("similar.spaces", config.similar.spaces)):
        for name in names:
            if name in RESERVED:
                raise UserError(f"{section}.{name}: the exported file has another group {name}. Call it otherwise.")


def without_paths(value: Any) -> Any:
    """A recipe with the names of files in place of where they are on this machine."""
    if isinstance(value, dict):
        return {key: without_paths(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [without_paths(inner) for inner in value]
    if isinstance(value, str):
        return _name(value) if _is_absolute(value) else re.sub(r"\S+", lambda word: _name(word[0]), value)
    return value


def _is_absolute(text: str) -> bool:
    return PurePosixPath(text).is_absolute() or PureWindowsPath(text).is_absolute()


def _name(text: str) -> str:
    """The last part of an absolute path, of either kind; other text as it is."""
    return PureWindowsPath(text).name if _is_absolute(text) else text


def of_stage(h5: h5py.File) -> dict[str, Any]:
    """How a stage's output was made."""
    found = {name: json.loads(h5.attrs[name]) for name in ("recipe", "versions", "inputs")}
    return {**without_paths(found), "fingerprint": str(h5.attrs["fingerprint"])}


def rows_in(h5: h5py.File, image_ids: np.ndarray) -> np.ndarray:
    """Row of each work in a file, -1 where it is not: (N,) int64."""
    row = {image_id: i for i, image_id in enumerate(store.read_ids(h5))}
    return np.array([row.get(image_id, -1) for image_id in image_ids], np.int64)


def write_works(out: Writer, images: h5py.File | None, image_ids: np.ndarray) -> None:
    out.add("image_ids", image_ids, "works", "path of the work below the collection's folder: join everything by it")
    if images is None:
        return
    rows = rows_in(images, image_ids)
    for name in images["metadata"]:
        values = images[f"metadata/{name}"].asstr()[:][rows]
        out.add(f"metadata/{name}", values, "works", f"column {name} of the collection's metadata; empty where unknown")
    for name in ("width", "height"):
        out.add(name, images[name][:][rows], "works", f"{name} of the picture as it was decoded", "px")


def write_sources(out: Writer, compacted: dict[str, CompactSource], placed: dict[str, PlacedSource]) -> None:
    for name, source in compacted.items():
        kept = source.pca.explained_variance_ratio
        dataset = out.add(
            f"{name}/embeddings", half(source.embeddings), "works, components",
            f"leading principal components of the {name} vectors, by falling variance; {kept:.1%} of the vectors'"
            " variance. Compare works by cosine, or by Euclidean distance of rows brought to unit length",
        )  # fmt: skip
        dataset.attrs["explained_variance_ratio"] = kept
        group = out.h5.create_group(f"model/sources/{name}")
        group.attrs["recipe"] = json.dumps(without_paths(placed[name].recipe), sort_keys=True)
        compact.write_pca(group, source.pca, COMPRESSION)


def describe_model(out: Writer) -> None:
    """Axes and descriptions of what `parametric.write` and `write_pca` wrote."""
    told = {
        "mean": ("vector", "subtracted from a vector"),
        "components": ("components, vector", "(vector - mean) @ (components * scale of each row).T are the embeddings"),
        "scale": ("components", "each row of components is multiplied by it; where it is missing, by 1"),
        "explained_variance": ("components", "variance of each column of the embeddings"),
        "offset": ("components", "subtracted from embeddings before the network; then rows are brought to unit length"
                                 " if the group's unit_rows says so, and multiplied by its weight"),
        "kernel": ("inputs, units", "weights of a dense layer; ReLU after all layers but the last"),
        "bias": ("units", "of a dense layer"),
        "input_mean": ("inputs", "subtracted from what the network reads, which is then multiplied by input_scale"),
        "low": ("x y", "where the last layer's 0 is on the map"),
        "high": ("x y", "where the last layer's 1 is on the map"),
    }  # fmt: skip

    def describe(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and "axes" not in item.attrs:
            axes, description = told[name.rpartition("/")[2]]
            item.attrs.update({"axes": axes, "description": description, "unit": "none"})

    out.h5["model"].visititems(describe)


def write_maps(out: Writer, config: Config, tsne: h5py.File, grid: h5py.File | None, report: h5py.File | None) -> None:
    image_ids, imported = store.read_ids(tsne), json.loads(tsne.attrs["recipe"]).get("imported", {})
    for name, weights in config.maps.items():
        drawn_from = json.dumps(dict(weights.items()))
        what = f"t-SNE of the sources {drawn_from}, each scaled as recipe's tsne.scaling"
        if name in imported:
            what = f"drawn elsewhere, from {imported[name]['file']}; judged by the sources {drawn_from}"
        dataset = out.add(f"{name}/coordinates", tsne[f"{name}/coordinates"][:], "works, x y", what, "of the map")
        dataset.attrs["kl_divergence"] = tsne[name].attrs["kl_divergence"]
        if grid is not None:
            rows, cells = rows_in(grid, image_ids), grid[f"{name}/cells"][:]
            cells = np.where(rows[:, None] >= 0, cells[rows], -1).astype(np.int32)
            dataset = out.add(f"{name}/cells", cells, "works, row col", "cell on the grid, each once; -1 for none")
            dataset.attrs.update({key: grid[name].attrs[key] for key in ("rows", "cols")})
        if report is not None:
            rows, k = rows_in(report, image_ids), int(report[name].attrs["n_neighbors"])
            for key, meaning in (
                ("faithfulness", f"share of the {k} works beside it on the map that are among its {k} most alike"),
                ("trustworthiness", "1 where all that is beside it on the map is like it"),
                ("continuity", "1 where all that is like it is beside it on the map"),
            ):
                out.add(f"{name}/{key}", half(report[f"{name}/{key}"][:][rows]), "works", meaning, "0 to 1")


def write_neighbors(out: Writer, config: Config, neighbors: h5py.File, image_ids: np.ndarray, most: int) -> None:
    stored = store.read_ids(neighbors)
    row_of = {image_id: row for row, image_id in enumerate(image_ids)}
    new_rows = np.array([*(row_of.get(image_id, -1) for image_id in stored), -1], np.int32)  # the last is for -1
    rows = store.rows_of(image_ids, stored)
    for name, space in config.similar.spaces.items():
        scaling = space.scaling or config.similar.scaling
        how = f"by the sources {json.dumps(space.weights)}, scaling {scaling}"
        found = new_rows[neighbors[f"{name}/indices"][:][rows, :most]]
        out.add(f"{name}/neighbors", found, "works, rank", f"rows of the most alike {how}; nearest first, -1 for none")
        distances = half(neighbors[f"{name}/distances"][:][rows, :most])
        out.add(f"{name}/neighbor_distances", distances, "works, rank", f"Euclidean distance to each {how}")


def write_clusters(out: Writer, config: Config, clusters: h5py.File, image_ids: np.ndarray) -> None:
    stored = store.read_ids(clusters)
    rows, row_of = store.rows_of(image_ids, stored), {image_id: row for row, image_id in enumerate(image_ids)}
    for name in config.similar.spaces:
        out.add(f"{name}/cluster", clusters[f"{name}/labels"][:][rows], "works", "number of its group; -1 for none")
        stand = [row_of.get(stored[row], -1) for row in clusters[f"{name}/representatives"][:]]
        out.add(f"{name}/cluster_representatives", np.array(stand, np.int32), "groups", "row of the work in the middle")


def write_network(
    out: Writer, h5: h5py.File, compacted: dict[str, CompactSource], image_ids: np.ndarray, drawn: str
) -> None:
    """The network, reading the file's own embeddings, and where it puts the works."""
    model = parametric.read(h5)
    scalers = {name: source.scaler for name, source in model.sources.items()}
    network, folded = compact.fold(model.network, scalers, compacted)
    group = out.h5.require_group("model/network")
    group.create_dataset("input_mean", data=network.input_mean, **COMPRESSION)
    group.attrs["input_scale"], group.attrs["map"] = network.input_scale, drawn
    for i, (kernel, bias) in enumerate(network.layers):
        group.create_dataset(f"{i}/kernel", data=half(kernel), **COMPRESSION)
        group.create_dataset(f"{i}/bias", data=half(bias), **COMPRESSION)
    out.h5["model/map/low"], out.h5["model/map/high"] = network.map_low, network.map_high
    out.h5["model/sources"].attrs["order"] = list(folded)
    for name, scaler in folded.items():
        scalers_group = out.h5.create_group(f"model/scalers/{name}")
        sources.write_scaler(scalers_group, scaler)
    rows = rows_in(h5, image_ids)
    out.add("model/is_test", np.where(rows >= 0, h5["is_test"][:][rows], True), "works", "not seen in training")
    # Written last, and from what stands in the file by now: it says of itself what it draws.
    stored = parametric.read(out.h5["model"])
    features = stored.features({name: out.h5[f"{name}/embeddings"].astype(np.float32)[:] for name in stored.sources})
    out.add("model/coordinates", stored.network.place(features), "works, x y",
            f"where model/network puts the works on the map {drawn}", "of the map")  # fmt: skip


def read_source(config: Config, name: str, image_ids: np.ndarray) -> tuple[np.ndarray, Pca | None, dict, dict]:
    """(N, D) embeddings of the works, the source's PCA, its recipe, and how it was made."""
    with store.open_output(config, name) as h5:
        embeddings = h5["embeddings"][:][store.rows_of(image_ids, store.read_ids(h5))]
        return embeddings, store.read_pca(h5), json.loads(h5.attrs["recipe"]), of_stage(h5)


def identity_scaler(width: int) -> Scaler:
    return Scaler(np.zeros(width, np.float32), np.ones(width, np.float32), True, 1.0)
