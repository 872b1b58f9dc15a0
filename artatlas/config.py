"""Reads config.yaml: the schema of the settings, strict YAML, and errors that name the fix.

The schema holds types and ranges only. Defaults stand in config.yaml and nowhere else, so every key must be present
there; a preset names the file it starts from with `base:` and lists what differs.
"""

from __future__ import annotations

import difflib
import os
import re
import shlex
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, field_validator, model_validator

from artatlas.errors import UserError

# Where the scripts, config.yaml, configs/ and viewer/ are: the checkout, or this folder of an installed package.
_INSIDE = Path(__file__).resolve().parent / "home"
IS_INSTALLED = _INSIDE.is_dir()
HOME = _INSIDE if IS_INSTALLED else _INSIDE.parent.parent
DEFAULT_FILE = HOME / "config.yaml"
SAMPLE = (Path.cwd() if IS_INSTALLED else HOME) / "data" / "collection"  # what data/paint_collection.py paints

MOST_DIGITS = 100  # of a number; Python refuses 4,300
MOST_BYTES = 1_000_000  # of a config file; the shipped one has 20,000

Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Text = Annotated[str, Field(min_length=1)]


class _Section(BaseModel):
    # strict: "8" is not 8 and true is not 1. An int where a float is asked for is fine, as everywhere.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Paths(_Section):
    images: Text
    metadata: Text | None
    outputs: Text

    @field_validator("outputs")
    @classmethod
    def _is_folder(cls, outputs: str) -> str:
        if "://" in outputs:
            raise ValueError(
                "cannot be a URL: stages seek in their files and rename them, which object stores cannot. Set it to a"
                " folder, for a cluster one that all machines share, and copy finished files (docs/SCALING.md)"
            )
        return outputs


class Images(_Section):
    network_px: Annotated[int, Field(ge=32, le=2048)]
    fit: Literal["squash", "crop", "pad"]
    thumbnail_px: Annotated[int, Field(ge=16, le=4096)]
    thumbnail_quality: Annotated[int, Field(ge=1, le=95)]
    max_megapixels: Positive
    filename_column: Text
    path_pattern: Text | None

    @field_validator("path_pattern")
    @classmethod
    def _has_fields(cls, pattern: str | None) -> str | None:
        if pattern is not None and not re.search(r"\{[A-Za-z_]\w*\}", pattern):
            raise ValueError('needs at least one {column}, for example "{style}/{artist}_{title}"')
        return pattern


class Vgg(_Section):
    network: Literal["auto", "vgg19", "vgg16"]
    weights: Text
    precision: Literal["auto", "float32", "bfloat16", "float16"]


class Content(_Section):
    layer: Text
    pooling: Literal["avg", "max"]
    n_components: Count | None


class Style(_Section):
    layers: Annotated[list[Text], Field(min_length=1)]
    normalizer: Literal["none", "hw", "chw"]
    transform: Literal["none", "sqrt", "log1p"]
    n_components: Count


class Color(_Section):
    space: Literal["rgb", "lab"]
    bins: Annotated[int, Field(ge=2, le=32)]
    transform: Literal["sqrt", "none"]


class Tsne(_Section):
    engine: Literal["opentsne", "sklearn", "cuml"]
    scaling: Literal["cosine", "mean_square", "min_max", "none"]
    metric: Literal["euclidean", "cosine"]
    perplexity: Annotated[float, Field(ge=1)] | Literal["auto"]
    early_exaggeration: Annotated[float, Field(ge=1)]
    learning_rate: Positive | Literal["auto"]
    n_iter: Count | Literal["auto"]
    initialization: Literal["pca", "random"]
    seed: Seed


class ParametricTsne(_Section):
    map: Text
    objective: Literal["kl", "regression"]
    alpha: Positive
    hidden: Annotated[list[Count], Field(min_length=1)]
    input_noise: Annotated[float, Field(ge=0)]
    optimizer: Literal["adam", "sgd"]
    learning_rate: Positive | Literal["auto"]
    batch_size: Annotated[int, Field(ge=8)]
    epochs: Count
    test_share: Annotated[float, Field(gt=0, lt=1)]
    label: Text | None
    seed: Seed


MapName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]  # it becomes an HDF5 group and part of file names
Source = Literal["content", "style", "color", "own"]
Mixes = Annotated[dict[MapName, Annotated[dict[Source, Positive], Field(min_length=1)]], Field(min_length=1)]


SimilarScaling = Literal["cosine", "half_white", "white", "mean_square", "min_max", "none"]


class Space(_Section):
    """Sources at weights, as an entry of `maps:`, and a scaling of its own where similar.scaling is not meant."""

    content: Positive | None = None
    style: Positive | None = None
    color: Positive | None = None
    own: Positive | None = None
    scaling: SimilarScaling | None = None

    @model_validator(mode="after")
    def _has_sources(self) -> Space:
        if not self.weights:
            raise ValueError("needs at least one source with its weight, for example {style: 1}")
        return self

    @property
    def weights(self) -> dict[str, float]:
        """Source -> weight, of those that take part."""
        weights = {"content": self.content, "style": self.style, "color": self.color, "own": self.own}
        return {name: weight for name, weight in weights.items() if weight is not None}


class Similar(_Section):
    spaces: Annotated[dict[MapName, Space], Field(min_length=1)]
    scaling: SimilarScaling
    n_neighbors: Count
    hubness: Literal["none", "csls"]
    index: Literal["auto", "exact", "hnsw", "ivf"]
    seed: Seed


class Variants(_Section):
    candidates: Count
    threshold: Annotated[float, Field(gt=0, lt=1)]


class Clusters(_Section):
    method: Literal["kmeans", "hdbscan"]
    n_clusters: Count | Literal["auto"]
    min_cluster_size: Annotated[int, Field(ge=2)]
    seed: Seed


class Placement(_Section):
    by: Literal["neighbors", "network"]
    off_map_share: Annotated[float, Field(gt=0, lt=1)]
    seed: Seed


class Verifier(_Section):
    method: Literal["metric", "classifier", "siamese_concat", "siamese_symmetric", "siamese_contrastive"]
    label: Text
    within: Text | None
    selection: Text | None
    n_labels: Annotated[int, Field(ge=2)] | None
    least_works: Annotated[int, Field(ge=1)]
    most_works: Annotated[int, Field(ge=2)] | None
    variants: Literal["one", "apart"]
    split: Literal["disjoint", "seen"]
    validation_share: Annotated[float, Field(gt=0, lt=0.5)]
    test_share: Annotated[float, Field(gt=0, lt=0.5)]
    sources: Annotated[dict[Source, Positive], Field(min_length=1)]
    scaling: Literal["cosine", "half_white", "white", "mean_square", "min_max", "none"]
    n_components: Annotated[int, Field(ge=2)] | Literal["auto"]
    dimensions: Annotated[int, Field(ge=2)]
    shrinkage: Annotated[float, Field(gt=0, le=1)] | Literal["auto"]
    readout: Literal["plda", "cosine"]
    temperature: Positive
    pull: Annotated[float, Field(ge=0)]
    hubness: Literal["none", "csls", "as_norm"]
    class_readout: Literal["agreement", "dot", "pearson", "penultimate"]
    margin: Positive
    same_share: Annotated[float, Field(gt=0, lt=1)]
    pairs_per_epoch: Count
    dropout: Annotated[float, Field(ge=0, lt=1)]
    weight_decay: Annotated[float, Field(ge=0)]
    learning_rate: Positive | Literal["auto"]
    batch_size: Annotated[int, Field(ge=8)]
    epochs: Count
    patience: Count
    calibration: Literal["platt", "isotonic"]
    calibration_folds: Annotated[int, Field(ge=2)] | None
    prevalence: Annotated[float, Field(gt=0, lt=1)] | Literal["natural"]
    confidence: Annotated[float, Field(ge=0.5, lt=1)]
    seed: Seed


class Grid(_Section):
    method: Literal["swaps", "lap", "rasterfairy"]
    passes: Count
    aspect_ratio: Positive
    mask: Text | None
    free: Annotated[float, Field(ge=0, le=0.9)]
    keep: Text | None
    sample: Count | None
    seed: Seed


class Render(_Section):
    tile_px: Annotated[int, Field(ge=1)]
    fit: Literal["contain", "fill"]
    gap_px: Annotated[int, Field(ge=0)]
    background: Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$")]
    format: Literal["jpg", "png"]
    quality: Annotated[int, Field(ge=1, le=95)]
    scatter_px: Annotated[int, Field(ge=64)]
    scatter_thumbnail_px: Annotated[int, Field(ge=4)]
    color_by: Text | None


class Evaluate(_Section):
    labels: list[Text]
    n_neighbors: Count
    compare: Annotated[list[Text], Field(min_length=2, max_length=2)] | None
    n_seeds: Count | Literal["auto"] | None
    seed: Seed


class Viewer(_Section):
    heading: Text
    title: Text
    caption: Text | None
    link: Text | None
    restricted: Text | None
    color_by: Text | None
    detail_px: Annotated[int, Field(ge=16, le=4096)]
    cell_px: Annotated[int, Field(ge=4, le=1024)]
    gap_px: Annotated[int, Field(ge=0)]
    fit: Literal["contain", "fill"]
    scatter_px: Annotated[int, Field(ge=4, le=1024)]
    scatter_spread: Annotated[float, Field(ge=0.5, le=10)]
    background: Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$")]
    tile_px: Annotated[int, Field(ge=64, le=2048)]
    overlap: Annotated[int, Field(ge=0, le=16)]
    format: Literal["jpg", "webp"]
    quality: Annotated[int, Field(ge=1, le=95)]

    @field_validator("title", "caption", "link")
    @classmethod
    def _is_template(cls, template: str | None) -> str | None:
        rest = re.sub(r"\{[^{}]+\}", "", template or "")
        if "{" in rest or "}" in rest:
            raise ValueError('is text with columns in braces, for example "{title} ({year})"')
        return template


class Export(_Section):
    n_components: dict[Source, Count]
    n_neighbors: Count
    title: Text | None
    source: Text | None
    license: Text | None


class Machine(_Section):
    threads: Count | Literal["auto"]
    batch_size: Count
    keep_vectors_gb: Annotated[float, Field(ge=0)]
    engine: Literal["local", "ray"]
    ray_address: Text | None


class Config(_Section):
    """All settings. `config.tsne.perplexity` is what config.yaml says under `tsne:` `perplexity:`."""

    paths: Paths
    images: Images
    vgg: Vgg
    content: Content
    style: Style
    color: Color
    similar: Similar
    variants: Variants
    clusters: Clusters
    maps: Mixes
    tsne: Tsne
    parametric_tsne: ParametricTsne
    placement: Placement
    verifier: Verifier
    grid: Grid
    render: Render
    evaluate: Evaluate
    viewer: Viewer
    export: Export
    machine: Machine

    _flags: tuple[str, ...] = PrivateAttr(default=())

    @property
    def flags(self) -> tuple[str, ...]:
        """The command-line flags that these settings came from, to hand on to another script."""
        return self._flags

    @property
    def outputs(self) -> Path:
        return Path(self.paths.outputs)

    def command(self, script: str) -> str:
        """The shell command that runs `script` with these settings, for error messages: `python build_tsne.py`."""
        return shlex.join([*command(script).split(), *self._flags])

    def settings(self, sections: tuple[str, ...]) -> dict[str, Any]:
        """The named sections as plain JSON values: what a stage's result depends on."""
        # Every key stands in the file but the optional ones of a space; what was not written is not there.
        whole = self.model_dump(mode="json", exclude_unset=True)
        return {section: whole[section] for section in sections}


def command(script: str) -> str:
    """How a script is run here: `python build_tsne.py`, or `artatlas build_tsne` where the package is installed."""
    return f"artatlas {Path(script).stem}" if IS_INSTALLED else f"python {script}"


class _StrictLoader(yaml.SafeLoader):
    """YAML 1.2's reading of scalars (1e-3 is a number, yes and 012 are text), each key once, no aliases; only text that
    can be printed and be a file's name."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 - as the base class has it; ours starts empty

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.constructor.ConstructorError(None, None, "aliases (*name) are not allowed here", mark)
        return super().compose_node(parent, index)

    def construct_scalar(self, node: Any) -> Any:
        value = super().construct_scalar(node)
        if isinstance(value, str) and re.search("[\0\ud800-\udfff]", value):
            raise yaml.constructor.ConstructorError(None, None, "a character that is no text", node.start_mark)
        if isinstance(value, str) and node.tag.endswith((":int", ":float")) and len(value) > MOST_DIGITS:
            raise yaml.constructor.ConstructorError(None, None, "a number of too many digits", node.start_mark)
        return value

    def construct_mapping(self, node: Any, deep: bool = False) -> dict:
        seen: set[str] = set()
        for key_node, _ in node.value:
            key = str(key_node.value)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key} stands twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


for _tag, _pattern, _first in (
    ("null", r"~|null|", ["~", "n", ""]),
    ("bool", r"true|false", list("tf")),
    ("int", r"[-+]?(0|[1-9][0-9]*)", list("-+0123456789")),
    ("float", r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?", list("-+.0123456789")),
):
    _StrictLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), _first)


def _read_yaml(text: str, name: str) -> Any:
    try:
        return yaml.load(text, Loader=_StrictLoader)  # a SafeLoader: it builds plain values only
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}, line {mark.line + 1}" if mark else name
        raise UserError(f"{where}: {error.problem}. Correct that line.") from None
    except (yaml.YAMLError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error).splitlines()[0]
        remedy = "Compare it with the shipped config.yaml."
        raise UserError(f"{name}: is not readable as YAML ({reason}). {remedy}") from None


def _read_file(file: Path, name: str) -> dict[str, Any]:
    """One file's mapping, its `paths` made absolute: a path in a config file is relative to that file.

    In one that came with an installed package it is relative to the working folder, where users have their works.
    """
    try:
        with file.open("rb") as stream:
            data = stream.read(MOST_BYTES + 1)  # a pipe or device has no size to ask for
        if len(data) > MOST_BYTES:
            raise UserError(f"{name}: has more than {MOST_BYTES:,} bytes. Name another file with --config.")
        text = data.decode("utf-8")
    except FileNotFoundError:
        raise UserError(f"{name} does not exist. Name an existing file with --config.") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = "is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else f"cannot be read ({error.strerror})"
        raise UserError(f"{name}: {reason}. Name another file with --config.") from None
    values = _read_yaml(text, name)
    if not isinstance(values, dict):
        raise UserError(f"{name}: is not a list of sections. Compare it with the shipped config.yaml.")
    came_along = IS_INSTALLED and file.resolve().is_relative_to(HOME)
    _resolve_paths(values, _working_folder(file) if came_along else file.parent)
    return values


def _working_folder(file: Path) -> Path:
    """What stands for the folder of a file below `HOME`, so that ../data in configs/ is data here."""
    return Path.cwd().joinpath(*file.resolve().parent.relative_to(HOME).parts)


def _shipped(file: Path) -> Path:
    """The file, or the one of that name which came with an installed package: config.yaml, configs/demo.yaml."""
    return HOME / file if IS_INSTALLED and not file.exists() and (HOME / file).is_file() else file


def _absolute(folder: Path, value: str) -> str:
    try:
        path = folder.resolve() / Path(value).expanduser()
    except RuntimeError:
        raise UserError(f"{value}: no user of that name has a home here. Write the path in full.") from None
    # Of configs/, which need not be in the working folder, ".." can only be taken in letters.
    return str(path) if folder.is_dir() else os.path.normpath(path)


def _resolve_paths(values: dict[str, Any], folder: Path) -> None:
    paths = values.get("paths")
    if isinstance(paths, dict):
        for key, value in paths.items():
            if isinstance(value, str) and value and "://" not in value:
                paths[key] = _absolute(folder, value)
    for section, key, words in (
        ("vgg", "weights", ("imagenet", "random")),
        ("grid", "mask", ("circle",)),
        ("grid", "keep", ()),
        ("verifier", "selection", ()),
    ):
        found = values.get(section)
        if isinstance(found, dict) and isinstance(found.get(key), str) and found[key] and found[key] not in words:
            found[key] = _absolute(folder, found[key])


def _merge(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`changes` over `base`, key by key within a section. `maps` is one value: a preset states all its maps."""
    merged = dict(base)
    for section, values in changes.items():
        if section != "maps" and isinstance(values, dict) and isinstance(base.get(section), dict):
            merged[section] = {**base[section], **values}
        else:
            merged[section] = values
    return merged


def _read_with_bases(file: Path, name: str) -> dict[str, Any]:
    """A file's mapping over that of the file which it names as its `base`, and so on down."""
    seen, layers = set(), []
    while True:
        if file.resolve() in seen:
            raise UserError(f"{name}: base: leads back to this file. End the chain with base: config.yaml")
        seen.add(file.resolve())
        values = _read_file(file, name)
        base = values.pop("base", None)
        layers.append(values)
        if base is None:
            break
        if not isinstance(base, str):
            raise UserError(f"{name}: base: {base!r} is not a file name. Write base: ../config.yaml")
        shipped = _shipped(Path(base))
        file = shipped if not (file.parent / base).exists() and shipped.is_absolute() else file.parent / base
        name = str(file)
    merged: dict[str, Any] = {}
    for values in reversed(layers):
        merged = _merge(merged, values)
    return merged


def _parse_override(text: str) -> dict[str, Any]:
    key, equals, value = text.partition("=")
    section, _, name = key.strip().partition(".")
    if not equals or not section or (not name and section != "maps"):
        raise UserError(f"--set {text}: is not section.key=value. Write for example --set tsne.perplexity=20")
    parsed = _read_yaml(value, f"--set {key}")
    changes = {section: {name: parsed} if name else parsed}
    _resolve_paths(changes, Path.cwd())  # a path typed in a shell is relative to where the shell is
    return changes


def load(file: Path | None = None, overrides: tuple[str, ...] = ()) -> Config:
    """Reads a config file and applies `--set` overrides ("section.key=value").

    Raises UserError listing every problem at once: unknown keys with the closest match, missing keys, wrong types.
    """
    file = _shipped(file) if file else DEFAULT_FILE
    name = str(file) if file != DEFAULT_FILE else DEFAULT_FILE.name
    values = _read_with_bases(file, name)
    for override in overrides:
        values = _merge(values, _parse_override(override))
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        explained = dict.fromkeys(_explain(problem) for problem in _join_unions(error.errors()))
        raise UserError(*[f"{name}: {problem}" for problem in explained]) from None
    flags = [] if file == DEFAULT_FILE else ["--config", str(file)]
    for override in overrides:
        flags += ["--set", override]
    config._flags = tuple(flags)
    if config.parametric_tsne.map not in config.maps:
        raise UserError(
            f"{name}: parametric_tsne.map: {config.parametric_tsne.map} is not one of the maps"
            f" ({', '.join(config.maps)}). Name one of them."
        )
    return config


def _location(problem: Any) -> list[str]:
    # A union such as `float | "auto"` reports its branches as extra location parts; the key is what precedes them.
    branches = ("literal[", "constrained-", "float", "int", "str", "[key]")
    return [str(part) for part in problem["loc"] if not str(part).startswith(branches)]


def _join_unions(problems: list[Any]) -> list[Any]:
    """A value that fits no branch of a union is one problem, not one per branch."""
    joined: dict[str, Any] = {}
    for problem in problems:
        key = ".".join(_location(problem))
        if key in joined:
            joined[key] = {**joined[key], "msg": f"{joined[key]['msg']}, or {_reason(problem)}"}
        else:
            joined[key] = problem
    return list(joined.values())


def _reason(problem: Any) -> str:
    words = problem["msg"].removeprefix("Value error, ").removeprefix("Input ").removeprefix("String ")
    return words.removeprefix("List ").removeprefix("should ").replace("be a valid number", "be a number")


def _cut(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:200]}..."


def _explain(problem: Any) -> str:
    """One pydantic problem as "tsne.perplxty is not a setting. Did you mean tsne.perplexity?"."""
    location = _location(problem)
    key, given = _cut(".".join(location)), _cut(repr(problem["input"]))
    if problem["type"] == "extra_forbidden":
        known = _known_keys(location[:-1])
        close = difflib.get_close_matches(key, known, n=1)
        return f"{key} is not a setting. " + (f"Did you mean {close[0]}?" if close else "Remove it.")
    if problem["type"] == "missing":
        return f"{key} is missing. Copy its line from the shipped config.yaml."
    if problem["type"] in ("model_type", "model_attributes_type"):
        return f"{key}: {given} is not a section. Write its keys indented below it."
    if problem["type"] == "value_error":
        return f"{key}: {given} {_reason(problem)}."
    return f"{key}: {given} should {_reason(problem)}. The shipped config.yaml tells its meaning."


def _known_keys(location: list[str]) -> list[str]:
    if not location:
        return list(Config.model_fields)
    field = Config.model_fields.get(location[0])
    if field is not None and isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
        return [f"{location[0]}.{name}" for name in field.annotation.model_fields]
    return []
