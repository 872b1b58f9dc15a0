"""The HDF5 contract between stages: the only module that opens HDF5 for writing, and the one that judges freshness.

Writing is all or nothing: a temporary file in the same folder, checked against the schema below, flushed to the disk,
then renamed over the old one. Reading checks that a file is whole, of the right stage, made with the settings that
config.yaml holds now and from inputs that are still there unchanged; a contradiction names the command to run.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from artatlas import __version__, integrity, urls
from artatlas.config import Config
from artatlas.errors import UserError
from artatlas.reduce import Pca
from artatlas.stages import BY_NAME

SCHEMA_VERSION = 1
TEXT = h5py.string_dtype("utf-8")
# What reading a damaged or foreign HDF5 file raises, found by flipping bits and by tests/test_hostile.py.
DAMAGED = (
    OSError, KeyError, IndexError, ValueError, TypeError, AttributeError, RuntimeError, MemoryError, OverflowError,
)  # fmt: skip
# Files that could not be written, and that HDF5 must not close: a process that has any ends by os._exit.
unclosed: list[h5py.File] = []
_CHECK_BYTES = 8 << 20  # how much of a dataset is looked at in one go when it is checked

# What each stage's file must hold: dataset -> (shape, numpy kind). A letter in a shape is a length that must be the
# same wherever it stands in the file; None is any length. "*" stands for every group (one per map, or per column). What
# ends in "?" may be missing; the kind "f" is any size of float.
Schema = dict[str, tuple[tuple[str | int | None, ...], str]]
_EMBEDDINGS: Schema = {"image_ids": (("N",), "O"), "embeddings": (("N", "D"), "f4")}
_PCA: Schema = {"pca/mean": (("P",), "f4"), "pca/components": (("D", "P"), "f4")}
SCHEMAS: dict[str, Schema] = {
    "images": {
        "image_ids": (("N",), "O"),
        "pixels": (("N", "S", "S", 3), "u1"),
        "thumbnails": (("N",), "O"),
        "width": (("N",), "i4"),
        "height": (("N",), "i4"),
        "duplicate_of": (("N",), "O"),
        "skipped/image_ids": (("K",), "O"),
        "skipped/reason": (("K",), "O"),
    },
    "content": _EMBEDDINGS,
    "style": _EMBEDDINGS | _PCA,
    "color": _EMBEDDINGS,
    "neighbors": {
        "image_ids": (("N",), "O"),
        "*/indices": (("N", "K"), "i4"),
        "*/distances": (("N", "K"), "f4"),
    },
    "clusters": {
        "image_ids": (("N",), "O"),
        "*/labels": (("N",), "i4"),
        "*/representatives": ((None,), "i4"),
        "*/sizes": ((None,), "i4"),
    },
    "variants": {
        "image_ids": (("N",), "O"),
        "pairs": (("M", 2), "i4"),
        "boxes": (("M", 4), "f4"),
        "scores": (("M",), "f4"),
        "group": (("N",), "i4"),
    },
    "tsne": {"image_ids": (("N",), "O"), "*/coordinates": (("N", 2), "f4")},
    "parametric_tsne": {"image_ids": (("N",), "O"), "coordinates": (("N", 2), "f4"), "is_test": (("N",), "b1")},
    "placed": {
        "image_ids": (("N",), "O"),
        "file_sha256": (("N",), "O"),
        "coordinates": (("N", 2), "f4"),
        "certainty": (("N",), "f4"),
        "novelty": (("N",), "f4"),
        "is_off_map": (("N",), "b1"),
        "nearest_ids": (("N", "K"), "O"),
        "skipped/image_ids": (("S",), "O"),
        "skipped/reason": (("S",), "O"),
    },
    "verifier": {
        **_EMBEDDINGS,
        "norms": (("N", 2), "f4"),
        "picture": (("N",), "i8"),
        "part": (("N",), "i1"),
        "label": (("N",), "O"),
        "file_sha256": (("N",), "O"),
    },
    "grid": {"image_ids": (("N",), "O"), "*/cells": (("N", 2), "i4")},
    "report": {
        "image_ids": (("N",), "O"),
        "*/faithfulness": (("N",), "f4"),
        "*/trustworthiness": (("N",), "f4"),
        "*/continuity": (("N",), "f4"),
    },
    "own": _EMBEDDINGS,
    "export": {
        "image_ids": (("N",), "O"),
        "*/embeddings?": (("N", None), "f"),
        "*/coordinates?": (("N", 2), "f4"),
        "*/cells?": (("N", 2), "i4"),
        "*/neighbors?": (("N", "K"), "i4"),
        "*/neighbor_distances?": (("N", "K"), "f"),
        "*/faithfulness?": (("N",), "f"),
        "*/trustworthiness?": (("N",), "f"),
        "*/continuity?": (("N",), "f"),
        "*/cluster?": (("N",), "i4"),
    },
}


def fingerprint(stage: str, recipe: dict, inputs: dict[str, str], identity: Sequence[Sequence] = ()) -> str:
    """SHA-256 (hex) of everything that decides a stage's result.

    `identity` is for the first stage only: what the files outside the pipeline are, as JSON values.
    """
    whole = [stage, SCHEMA_VERSION, recipe, inputs, list(identity)]
    text = json.dumps(whole, sort_keys=True, ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


@contextmanager
def create(
    path: Path, stage: str, recipe: dict, inputs: dict[str, str], identity: Sequence[Sequence] = ()
) -> Iterator[h5py.File]:
    """Yields a new HDF5 file to fill; when the block ends without an error it takes the place of `path`.

    The file appears whole or not at all: on any failure, a kill included, what stood at `path` before is untouched.

    Raises
    ------
    ValueError: what was written breaks the stage's schema (a bug of ours, hence not a UserError).
    UserError: the disk is full or the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.tmp")  # one fixed name, so that a killed run leaves at most one behind
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)  # it may be a link, and what that names is not ours
        with _open_new(temporary) as h5:
            yield h5
            _check_schema(h5, stage)
            h5.attrs["stage"] = stage
            h5.attrs["schema_version"] = SCHEMA_VERSION
            h5.attrs["recipe"] = json.dumps(recipe, sort_keys=True)
            h5.attrs["inputs"] = json.dumps(inputs, sort_keys=True)
            h5.attrs["fingerprint"] = fingerprint(stage, recipe, inputs, identity)
            h5.attrs["created"] = _now()
            h5.attrs["versions"] = json.dumps(versions(), sort_keys=True)
        integrity.seal(temporary)
        replace(temporary, path)
    except (OSError, RuntimeError) as error:
        if not _is_write_failure(error):
            raise
        raise UserError(
            f"{show(path)}: could not be written ({_reason(error)}). Free some space or set paths.outputs to another"
            " folder; the file that was there before is untouched."
        ) from error
    finally:
        with suppress(PermissionError):  # Windows keeps what is open; the next run removes it
            temporary.unlink(missing_ok=True)


@contextmanager
def _open_new(path: Path) -> Iterator[h5py.File]:
    """A new HDF5 file to write. Where the disk gets full it is left open: closing it would crash the process."""
    h5 = h5py.File(path, "w", userblock_size=integrity.BLOCK)
    try:
        yield h5
        h5.flush()  # HDF5 tells what cannot be written here; in close() it crashes over it
    except BaseException as error:
        if _is_write_failure(error):
            unclosed.append(h5)
        else:
            h5.close()
        raise
    h5.close()


def _is_write_failure(error: BaseException) -> bool:
    return isinstance(error, OSError) or (isinstance(error, RuntimeError) and "errno = " in str(error))


def _reason(error: OSError | RuntimeError) -> str:
    """Why a file could not be written. HDF5 reports a full disk without errno, in words that run over several lines."""
    if words := re.search(r"error message = '([^']+)'", str(error)):
        return words[1]
    return getattr(error, "strerror", None) or (str(error).splitlines() or [type(error).__name__])[0]


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path to write a file to, which takes the place of `path` if the block ends without an error.

    For files beside an HDF5 output: a table, a picture. Raises UserError where the file cannot be written.
    """
    temporary = path.with_name(f".tmp-{path.name}")  # ends like `path`, for libraries that go by the ending
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)
        yield temporary
        replace(temporary, path)
    except OSError as error:
        raise UserError(
            f"{show(path)}: could not be written ({error.strerror or error}). Free some space or set paths.outputs to"
            " another folder."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def replace(temporary: Path, path: Path) -> None:
    """Flushes `temporary` to the disk and renames it to `path`, so that a power loss leaves one or the other."""
    with open(temporary, "rb") as file:
        os.fsync(file.fileno())
    os.replace(temporary, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def create_folder(
    path: Path, stage: str, recipe: dict, inputs: dict[str, str]
) -> Iterator[Path]:
    """Like `create`, for a stage that writes pictures: yields an empty folder that takes the place of `path`.

    A recipe.json beside the pictures tells what they were made from.
    """
    temporary, old = path.with_name(f".{path.name}.tmp"), path.with_name(f".{path.name}.old")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        if old.exists() and not path.exists():
            os.replace(old, path)  # a run was killed between the two renames below
        temporary.mkdir(parents=True)
        yield temporary
        attributes = {
            "stage": stage, "schema_version": SCHEMA_VERSION, "recipe": recipe, "inputs": inputs,
            "fingerprint": fingerprint(stage, recipe, inputs), "created": _now(), "versions": versions(),
        }  # fmt: skip
        (temporary / "recipe.json").write_text(json.dumps(attributes, indent=1, sort_keys=True), encoding="utf-8")
        os.sync()  # many small files: what takes the name is on the disk, power loss or not
        shutil.rmtree(old, ignore_errors=True)
        if path.exists():
            os.replace(path, old)  # a folder cannot be renamed over a full one; `old` is what a crash here leaves
        os.replace(temporary, path)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise UserError(
            f"{show(path)}: could not be written ({error.strerror or error}). Free some space or set paths.outputs to"
            " another folder."
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if old.exists() and not path.exists():
            os.replace(old, path)


@contextmanager
def open_output(config: Config, name: str) -> Iterator[h5py.File]:
    """Yields the output of an earlier stage, opened for reading and known to be whole and up to date.

    Raises UserError naming the command to run where it is missing, broken, of another stage, made with other settings
    than config.yaml holds now, or older than what it was made from.
    """
    attributes(config, name)
    path = config.outputs / BY_NAME[name].output
    with h5py.File(path, "r") as h5:
        yield h5


@contextmanager
def open_outdated(config: Config, name: str) -> Iterator[h5py.File]:
    """`open_output` for the output that is about to be brought up to date: its inputs may have changed since.

    Raises UserError where it is missing, broken, of another stage or version, or made with other settings.
    """
    path = config.outputs / BY_NAME[name].output
    _own_attributes(config, name)
    with h5py.File(path, "r") as h5:
        yield h5


@contextmanager
def open_before(config: Config, name: str) -> Iterator[h5py.File]:
    """`open_output` for an output that works are about to be added to: as it is, or as its inputs were before these
    were added to themselves.

    Raises UserError as `open_output` does, and where an input has changed in any other way.
    """
    found, path = _own_attributes(config, name), config.outputs / BY_NAME[name].output
    for upstream, made_from in found["inputs"].items():
        file = config.outputs / BY_NAME[upstream].output
        known = _own_attributes(config, upstream) if file.exists() else None
        if known and made_from not in (known["fingerprint"], *(each["to"] for each in _additions(known["recipe"]))):
            raise UserError(
                f"{show(path)} was made from an older {show(file)}, so works cannot be added to it. Run:"
                f" {config.command('run_all.py')}"
            )
    with h5py.File(path, "r") as h5:
        yield h5


def check_first_rows(h5: h5py.File, image_ids: np.ndarray, config: Config) -> int:
    """How many rows the file has. Raises UserError where its works are not the first of `image_ids`, (N,) with those
    that are to be added behind."""
    known = read_ids(h5)
    if not np.array_equal(known, image_ids[: len(known)]):
        raise UserError(
            f"{show(h5.filename)} holds other works, or in another order, than what it was made from, so works cannot"
            f" be added to it. Run: {config.command('run_all.py')}"
        )
    return len(known)


def recipe_after(h5: h5py.File) -> dict[str, Any]:
    """The recipe of a file in which works were added to those of `h5`: the same, and what was added to."""
    recipe = json.loads(h5.attrs["recipe"])
    step = {"to": str(h5.attrs["fingerprint"]), "works": len(h5["image_ids"])}
    return {**recipe, "additions": [*recipe.get("additions", []), step]}


def n_before_additions(h5: h5py.File) -> int:
    """How many works the file was made of at once; those that were added later stand in the rows behind."""
    added = _additions(json.loads(h5.attrs["recipe"]))
    return int(added[0]["works"]) if added else len(h5["image_ids"])


def _additions(recipe: dict[str, Any]) -> list[dict[str, Any]]:
    return recipe.get("additions", [])


@contextmanager
def open_kept(path: Path, name: str) -> Iterator[h5py.File]:
    """Yields an earlier output of a stage, wherever it lies and whatever settings it was made with.

    Raises UserError where it is missing, broken, of another stage or of another schema version.
    """
    remedy = f"Name an output of {BY_NAME[name].script}."
    if not path.is_file():
        raise UserError(f"{show(path)} does not exist. {remedy}")
    found = _read_attributes(path, remedy)
    if (found.get("stage"), found["schema_version"]) != (name, SCHEMA_VERSION):
        raise UserError(f"{show(path)} is of stage {found.get('stage')}, version {found['schema_version']}. {remedy}")
    with h5py.File(path, "r") as h5:
        yield h5


def attributes(config: Config, name: str) -> dict[str, Any]:
    """The root attributes of a stage's output (recipe and inputs parsed), after all checks of `open_output`."""
    found = _own_attributes(config, name)
    run = f"Run: {config.command(BY_NAME[name].script)}"
    for upstream, made_from in found["inputs"].items():
        upstream_path = config.outputs / BY_NAME[upstream].output
        # A deleted input contradicts nothing: images.h5 is large, and its embeddings stand without it.
        if upstream_path.exists() and attributes(config, upstream)["fingerprint"] != made_from:
            path = config.outputs / BY_NAME[name].output
            raise UserError(f"{show(path)} was made from an older {show(upstream_path)}. {run}")
    return found


def _own_attributes(config: Config, name: str) -> dict[str, Any]:
    """The same, after all checks but those of its inputs."""
    stage = BY_NAME[name]
    path = config.outputs / stage.output
    run = f"Run: {config.command(stage.script)}"
    if not path.exists():
        raise UserError(f"{show(path)} does not exist. {run}")
    found = _read_attributes(path, run)
    if found.get("stage") != name:
        raise UserError(f"{show(path)} is not the output of {stage.script} (it is {found.get('stage')}). {run}")
    if found["schema_version"] != SCHEMA_VERSION:
        raise UserError(
            f"{show(path)} has schema version {found['schema_version']}, this artatlas writes {SCHEMA_VERSION}. {run}"
        )
    changed = _changed_setting(found["recipe"].get("settings", {}), config.settings(stage.sections))
    if changed:
        key, old, new = changed
        raise UserError(f"{show(path)} was made with {key}: {old}, the settings now say {new}. {run}")
    return found


def why_stale(config: Config, name: str) -> str | None:
    """None where a stage's output is up to date, else the reason why not (the text of the error)."""
    try:
        found = attributes(config, name)
    except UserError as error:
        return str(error)
    missing = [name for name in found["inputs"] if not (config.outputs / BY_NAME[name].output).exists()]
    return f"{missing[0]} is missing" if missing else None


def _read_attributes(path: Path, run: str) -> dict[str, Any]:
    try:
        if path.is_dir():
            found = json.loads((path / "recipe.json").read_text(encoding="utf-8"))
            _check_attributes(found)
            return found
        if reason := integrity.why_broken(path):
            raise UserError(f"{show(path)} cannot be read ({reason}). {run}")
        if reason := integrity.why_unsafe(path):
            raise UserError(f"{show(path)} was not written by artatlas ({reason}). Move it away. {run}")
        with h5py.File(path, "r") as h5:
            found = dict(h5.attrs)
            found |= {"recipe": json.loads(found["recipe"]), "inputs": json.loads(found["inputs"])}
            _check_attributes(found)
            if found["schema_version"] == SCHEMA_VERSION and found["stage"] in SCHEMAS:
                reason = _why_schema(h5, found["stage"])
                if reason:
                    raise UserError(f"{show(path)} is not whole ({reason}). {run}")
        return found
    except OSError as error:
        words = str(error).splitlines() or [type(error).__name__]
        raise UserError(f"{show(path)} cannot be read ({words[0]}). {run}") from None
    except DAMAGED:
        raise UserError(f"{show(path)} was not written by artatlas. Move it away. {run}") from None


def _check_attributes(found: dict[str, Any]) -> None:
    """Raises KeyError or TypeError where the root attributes of an output are not what `create` writes."""
    for name, kind in (("stage", str), ("schema_version", (int, np.integer)), ("fingerprint", str), ("recipe", dict),
                       ("inputs", dict)):  # fmt: skip
        if not isinstance(found[name], kind):
            raise TypeError(name)
    if not isinstance(found["recipe"].get("settings", {}), dict):
        raise TypeError("settings")
    for upstream, made_from in found["inputs"].items():
        if not isinstance(made_from, str):
            raise TypeError(upstream)
        BY_NAME[upstream]  # KeyError for what is no stage


def _changed_setting(old: dict, new: dict, prefix: str = "") -> tuple[str, str, str] | None:
    """The first setting that differs between two nested mappings, as (dotted key, old value, new value)."""
    for key in [*new, *[key for key in old if key not in new]]:
        was, now = old.get(key, "nothing"), new.get(key, "nothing")
        if isinstance(was, dict) and isinstance(now, dict):
            if inner := _changed_setting(was, now, f"{prefix}{key}."):
                return inner
        elif was != now:
            return f"{prefix}{key}", _plain(was), _plain(now)
    return None


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value).replace('"', "")


def show(path: Path | str) -> str:
    """A path as the user would type it: relative to the working folder where it lies below it, with forward slashes.

    A URL stays as it is."""
    if urls.is_url(str(path)):
        return str(path)
    path = Path(path)
    try:
        return path.resolve().relative_to(Path.cwd().resolve()).as_posix()
    except ValueError:
        return str(path)


def read_ids(h5: h5py.Group) -> np.ndarray:
    """`image_ids` as an (N,) array of str objects."""
    return h5["image_ids"].asstr()[:]


def write_ids(h5: h5py.Group, image_ids: np.ndarray) -> None:
    h5.create_dataset("image_ids", data=np.asarray(image_ids, dtype=object), dtype=TEXT)


def write_pca(h5: h5py.Group, pca: Pca) -> None:
    """A fitted PCA as the group `pca`: embeddings = (vectors - mean) @ components.T"""
    h5["pca/mean"], h5["pca/components"] = pca.mean, pca.components
    h5["pca/explained_variance"] = pca.explained_variance
    h5["pca"].attrs["explained_variance_ratio"] = pca.explained_variance_ratio


def read_pca(h5: h5py.Group) -> Pca | None:
    if "pca" not in h5:
        return None
    group = h5["pca"]
    ratio = float(group.attrs["explained_variance_ratio"])
    components = group["components"].astype(np.float32)[:]
    if "scale" in group:  # of a file to hand on, where they are int8
        components *= group["scale"][:][:, None]
    return Pca(group["mean"].astype(np.float32)[:], components, group["explained_variance"][:], ratio)


def rows_of(wanted: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Row in `ids` of every id in `wanted`, (N,) int64: how files are joined, never by position.

    Raises KeyError for an id that is not there; callers join on ids that they know to be common.
    """
    row = {image_id: i for i, image_id in enumerate(ids)}
    return np.fromiter((row[image_id] for image_id in wanted), dtype=np.int64, count=len(wanted))


def are_among(ids: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Which of the ids (N,) are among `others`: (N,) bool. np.isin would compare every text with every other."""
    known = set(others)
    return np.fromiter((image_id in known for image_id in ids), dtype=bool, count=len(ids))


def take(dataset: h5py.Dataset, rows: np.ndarray) -> np.ndarray:
    """dataset[rows] for rows (M,) in any order, M at least 1; HDF5 reads a slice much faster than a selection."""
    first, last = int(rows.min()), int(rows.max()) + 1
    if last - first <= 2 * len(rows):
        return dataset[first:last][rows - first]
    return np.stack([dataset[row] for row in rows])


def write_blobs(dataset: h5py.Dataset, start: int, blobs: Sequence[np.ndarray]) -> None:
    """Writes byte strings, (L,) uint8 each, into a dataset of such from row `start` on.

    All at once: one by one takes six times as long, and what h5py offers for that takes equal lengths for a matrix.
    """
    values = np.empty(len(blobs), dataset.dtype)
    for row, blob in enumerate(blobs):
        values[row] = blob
    rows = dataset.id.get_space()
    rows.select_hyperslab((start,), values.shape)
    dataset.id.write(h5py.h5s.create_simple(values.shape), rows, values)


def _check_schema(h5: h5py.File, stage: str, values: bool = True) -> None:
    """Raises ValueError where a file breaks the schema of a stage; with `values` also where numbers are not finite."""
    lengths: dict[str, int] = {}
    for pattern, (shape, kind) in SCHEMAS[stage].items():
        wanted = pattern.removesuffix("?")
        names = [wanted]
        if wanted.startswith("*/"):
            names = [f"{group}/{wanted[2:]}" for group in h5 if isinstance(h5[group], h5py.Group)]
        for name in names:
            if name not in h5 and wanted != pattern:
                continue
            if name not in h5:
                raise ValueError(f"{stage}: dataset {name} is missing")
            _check_dataset(h5[name], shape, kind, lengths, values)


def _why_schema(h5: h5py.File, stage: str) -> str:
    """Why a file that is read has not the names, shapes and types of its stage, or ""."""
    try:
        _check_schema(h5, stage, values=False)
    except ValueError as error:
        return str(error)
    return ""


def _check_dataset(dataset: h5py.Dataset, shape: tuple, kind: str, lengths: dict[str, int], values: bool) -> None:
    name = dataset.name
    expected = np.dtype(kind) if kind != "O" else np.dtype(object)
    if dataset.dtype != expected and not (kind == "f" and dataset.dtype.kind == "f"):
        raise ValueError(f"{name} is {dataset.dtype}, the schema says {expected}")
    if kind == "O" and name != "/thumbnails" and h5py.check_string_dtype(dataset.dtype) is None:
        raise ValueError(f"{name} is no text")
    if len(dataset.shape) != len(shape):
        raise ValueError(f"{name} has shape {dataset.shape}, the schema says {shape}")
    for length, symbol in zip(dataset.shape, shape, strict=True):
        wanted = lengths.setdefault(symbol, length) if isinstance(symbol, str) else symbol
        if wanted is not None and length != wanted:
            raise ValueError(f"{name} has shape {dataset.shape}, the schema says {shape} with {symbol} = {wanted}")
    if values and dataset.dtype.kind == "f" and dataset.size:
        rows = max(1, _CHECK_BYTES // max(1, dataset[:1].nbytes))
        for start in range(0, dataset.shape[0], rows):
            if not np.isfinite(dataset[start : start + rows]).all():
                raise ValueError(f"{name} holds NaN or infinity near row {start}")


def _now() -> str:
    """The time in UTC; SOURCE_DATE_EPOCH, where set, makes files reproducible to the byte (reproducible-builds.org)."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    moment = datetime.fromtimestamp(int(epoch), UTC) if epoch else datetime.now(UTC)
    return moment.isoformat(timespec="seconds")


def versions() -> dict[str, str]:
    """Versions of what took part, for information; importing nothing."""
    found = {"python": platform.python_version(), "artatlas": __version__}
    for package in ("numpy", "h5py", "pillow", "tensorflow", "tensorflow-cpu", "keras", "openTSNE", "scikit-learn",
                    "faiss-cpu"):  # fmt: skip
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
