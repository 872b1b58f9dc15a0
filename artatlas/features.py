"""What extract_content.py, extract_style.py and extract_features.py share: one pass of the network over images.h5.

The vectors of both sources can come from the same forward pass, because each head only reads a layer on the way.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from artatlas import cli, cluster, reuse, shards, store, vgg, weights
from artatlas.config import Config, Content, Style
from artatlas.errors import UserError
from artatlas.reduce import Pca, fit_pca
from artatlas.reuse import Earlier
from artatlas.weights import Weights

SEED = 0  # of the PCA's random start; the result does not depend on it beyond rounding
BLOCK = 1024  # vectors at a time in a PCA
NUMBERS = BLOCK * 32_896  # of those, and of a shard, at most: 135 MB, 1,024 vectors of block3_conv1


@dataclass(frozen=True)
class Before:
    """A source's file that works are added to: it keeps its rows and its PCA."""

    recipe: dict[str, Any]  # with the addition
    embeddings: np.ndarray  # (N before, D) float32
    pca: Pca | None


@dataclass(frozen=True)
class Vectors:
    """What the network said of every work for one source, or of those that are added, on the disk in shards."""

    stage: str  # content | style
    image_ids: np.ndarray  # (N,) str
    network: str  # vgg16 | vgg19
    recipe: dict[str, Any]
    inputs: dict[str, str]
    digests: np.ndarray  # (N,) str, of the pictures; "" where images.h5 does not tell
    folder: Path  # of the shards, removed once the stage's file is written, or kept
    paths: list[Path]  # joined, (N, P) float32
    earlier: Earlier  # vectors that need not be computed
    before: Before | None = None  # the vectors are of the works that follow

    @property
    def n_before(self) -> int:
        return len(self.before.embeddings) if self.before else 0

    def blocks(self) -> Iterator[np.ndarray]:
        """One pass over all rows, (B, P) at a time; B, on which the rounding of sums depends, whatever shards hold."""
        held: list[np.ndarray] = []
        for path in self.paths:
            shard = shards.load(path)
            n_rows, start = min(BLOCK, max(1, NUMBERS // shard.shape[1])), 0
            while start < len(shard):
                held.append(shard[start : start + n_rows - sum(map(len, held))])
                start += len(held[-1])
                if sum(map(len, held)) == n_rows:
                    yield np.concatenate(held)
                    held = []
        if held:
            yield np.concatenate(held)


def content_heads(content: Content) -> list[vgg.Head]:
    return [vgg.Pooled(content.layer, content.pooling)]


def style_heads(style: Style) -> list[vgg.Head]:
    return [vgg.Gram(layer, style.normalizer, style.transform) for layer in style.layers]


def extract(config: Config, stages: list[str], update: bool = False) -> tuple[dict[str, Vectors], str]:
    """The vectors of `stages` (content, style or both), each network looking at every work once.

    With `update` only of works that images.h5 has and the stages' files have not, by the network and in the precision
    of those files.

    Returns them by stage, and a phrase for the closing line: rate, precision, device, share of time without input.
    Raises UserError where a layer or the weights are not to be had, or images.h5 is not there or out of date.
    """
    networks = {stage: _network(config, stage) for stage in stages}
    at_worker = config.model_copy(update={"machine": cluster.at_worker(config.machine, network=True)})
    with store.open_output(config, "images") as images:
        inputs = {"images": str(images.attrs["fingerprint"])}
        image_ids, digests = store.read_ids(images), reuse.read_digests(images)
    own, device = cluster.ask(config.machine, _hardware, at_worker, network=True)
    precision = own
    with ExitStack() as files:
        found: dict[str, Vectors] = {}
        for stage, network in networks.items():
            before = _read_before(config, stage, network, image_ids) if update else None
            if before:
                recipe, precision = before.recipe, before.recipe["precision"]
            else:
                recipe = {"settings": config.settings(("vgg", stage)), **vgg.provenance(network, precision)}
            output, fingerprint = config.outputs / f"{stage}.h5", store.fingerprint(stage, recipe, inputs)
            earlier = reuse.NOTHING  # on a cluster: what is open here cannot be handed on
            if config.machine.engine == "local" and not before:
                h5 = files.enter_context(reuse.opened(output, stage))
                earlier = reuse.earlier(h5, output, recipe, fingerprint)
            folder = shards.folder_for(output, fingerprint)
            found[stage] = Vectors(
                stage, image_ids, network.network, recipe, inputs, digests, folder, [], earlier, before
            )
        for notice in dict.fromkeys(network.notice for network in networks.values() if network.notice):
            cli.notice(notice)
        # Content from a dense layer reads a file of weights with the top, style one without: these are two passes.
        passes: dict[tuple[str, int], list[str]] = {}
        for stage, network in networks.items():
            passes.setdefault((network.sha256, found[stage].n_before), []).append(stage)
        speed = _Speed()
        for together in passes.values():
            first = found[together[0]].n_before
            forward = _Forward(at_worker, networks[together[0]], together, precision, own, first)
            _compute(config, forward, [found[stage] for stage in together], speed)
    return found, speed.phrase(precision, device) + cluster.describe(config.machine, network=True)


def _hardware(config: Config) -> tuple[str, str]:
    """The precision that vgg.precision stands for in this process, and the name of the device."""
    tf = vgg.start_tensorflow(config)
    return vgg.resolve_precision(config.vgg.precision, tf), vgg.device_name(tf)


def _read_before(config: Config, stage: str, network: Weights, image_ids: np.ndarray) -> Before:
    with store.open_before(config, stage) as h5:
        store.check_first_rows(h5, image_ids, config)
        recipe = store.recipe_after(h5)
        if recipe["weights_sha256"] != network.sha256:
            raise UserError(
                f"vgg.weights: {network.source} are not the weights that {store.show(h5.filename)} was made with"
                f" ({recipe['weights']}), so works cannot be added to it. Run: {config.command('run_all.py')}"
            )
        return Before(recipe, h5["embeddings"][:], store.read_pca(h5))


def _network(config: Config, stage: str) -> Weights:
    if stage == "content":
        layer = config.content.layer
        network = weights.resolve(config.vgg.network, config.vgg.weights, needs_top=layer in vgg.DENSE)
        vgg.check_layer(layer, "content.layer", network, config.images.network_px, dense=True)
        return network
    network = weights.resolve(config.vgg.network, config.vgg.weights)
    for layer in config.style.layers:
        vgg.check_layer(layer, "style.layers", network, config.images.network_px)
    return network


@dataclass
class _Speed:
    works: int = 0  # that the network looked at
    known: int = 0  # rows of vectors that were taken from an earlier run
    seconds: float = 0.0
    waited: float = 0.0  # seconds of them without input

    def phrase(self, precision: str, device: str) -> str:
        """For the closing line, where a resumed run counts only what it computed itself."""
        taken = f"{self.known:,} rows of an earlier run taken over; " if self.known else ""
        if not self.works:
            return f"{taken}nothing left for the network ({precision}, {device})"
        rate = self.works / self.seconds
        return (
            f"{taken}at {rate:.{0 if rate >= 10 else 1}f} works/s ({precision}, {device},"
            f" {self.waited / self.seconds:.0%} of the time waiting for input)"
        )


class _Forward:
    """What computes vectors from rows of images.h5. The network is built in the process that first computes."""

    def __init__(
        self, config: Config, network: Weights, stages: list[str], precision: str, own: str, first: int
    ) -> None:
        """`own` is what vgg.precision stands for, on every machine; `first` the row that a slice counts from."""
        self._config, self._network, self._stages = config, network, stages
        self._precision, self._own, self._first = precision, own, first
        self._built: Any = None
        self.waited = 0.0  # seconds without input

    def __call__(self, rows: slice | np.ndarray) -> Iterator[list[np.ndarray]]:
        """Yields (B, P) per stage, for a slice of the rows from `first` on, or for any (M,) ascending."""
        if isinstance(rows, slice):
            rows = np.arange(rows.start, rows.stop) + self._first
        heads = {"content": content_heads(self._config.content), "style": style_heads(self._config.style)}
        counts = [len(heads[stage]) for stage in self._stages]
        self._built = self._built or self._build([head for stage in self._stages for head in heads[stage]])
        with store.open_output(self._config, "images") as images:
            batches = vgg.Batches(images["pixels"], self._config.machine.batch_size)
            for batch in batches.read(rows):
                outputs = iter(self._built(batch))
                yield [np.hstack([next(outputs) for _ in range(count)]) for count in counts]
            self.waited += batches.waited

    def _build(self, heads: list[vgg.Head]) -> Callable[[np.ndarray], list[np.ndarray]]:
        tf = vgg.start_tensorflow(self._config)
        if (own := vgg.resolve_precision(self._config.vgg.precision, tf)) != self._own:
            raise UserError(
                f"vgg.precision: auto is {own} on {platform.node()} ({vgg.device_name(tf)}) and {self._own} on"
                " another machine of the cluster. Set it to float32, which all compute in."
            )
        return vgg.build(self._network, heads, self._precision, self._config.images.network_px, tf)


def _completing(forward: _Forward, sources: list[Vectors], speed: _Speed) -> shards.Work:
    """`forward` only for rows that no earlier run knows."""

    def vectors(rows: slice) -> Iterator[list[np.ndarray]]:
        every = np.arange(rows.start, rows.stop) + sources[0].n_before
        known = [source.earlier.known(source.digests[every]) for source in sources]  # (B,) rows, -1 for none
        new = np.any([of_source < 0 for of_source in known], axis=0)
        if new.all():
            yield from forward(every)
            return
        speed.known += int((~new).sum()) * len(sources)
        speed.works -= int((~new).sum())
        blocks = [[source.earlier.read(of_source[~new])] for source, of_source in zip(sources, known, strict=True)]
        if new.any():
            for computed in forward(every[new]):
                for of_source, block in zip(blocks, computed, strict=True):
                    of_source.append(block)
        # The rows that were known come first there; each goes back to its place.
        places = np.argsort(np.concatenate([np.flatnonzero(~new), np.flatnonzero(new)]))
        yield [np.concatenate(of_source)[places] for of_source in blocks]

    return vectors


def _compute(config: Config, forward: _Forward, sources: list[Vectors], speed: _Speed) -> None:
    """One pass over the works whose shards are missing; fills in the paths of `sources`."""
    start, rows = time.perf_counter(), shards.ROWS
    folders, n_works = [source.folder for source in sources], len(sources[0].image_ids) - sources[0].n_before
    if any(source.stage == "style" for source in sources):
        rows = min(rows, max(1, NUMBERS // sum(vgg.gram_length(layer) for layer in config.style.layers)))
        rows -= rows % 64 if rows > 64 else 0  # whole batches, as they are usually asked for
    speed.works += sum(some.stop - some.start for some in shards.missing(folders, n_works, rows))
    desc = " and ".join(source.stage for source in sources)
    work: shards.Work = forward
    if any(source.earlier.row_of for source in sources):
        work = _completing(forward, sources, speed)
    computed = shards.compute(folders, n_works, work, desc, rows, config.machine, network=True)
    for source, paths in zip(sources, computed, strict=True):
        source.paths.extend(paths)
    speed.seconds += time.perf_counter() - start
    speed.waited += forward.waited


def write_content(config: Config, vectors: Vectors) -> tuple[Path, str]:
    """Writes content.h5: the vectors as they are, or reduced by PCA. Returns its path and what it holds in words."""
    pca, n_components = vectors.before.pca if vectors.before else None, config.content.n_components
    if n_components and not vectors.before:
        pca = fit_pca(vectors.blocks, n_components, np.random.default_rng(SEED))
    embeddings = _embeddings(vectors, pca)
    path = _write(config, vectors, embeddings, pca)
    kept = f" ({pca.explained_variance_ratio:.1%} of the variance)" if pca else ""
    return path, (
        f"{_counted(vectors)}, {embeddings.shape[1]} dimensions{kept} from {config.content.layer} of"
        f" {vectors.network.upper()}"
    )


def write_style(config: Config, vectors: Vectors) -> tuple[Path, str]:
    """Fits the PCA on the Gram vectors, or takes that of the works before, and writes style.h5. Returns its path and
    what it holds in words."""
    layers = config.style.layers
    if vectors.before and vectors.before.pca:
        pca = vectors.before.pca
    else:
        widths = [vgg.gram_length(layer) for layer in layers]
        pca = fit_pca(vectors.blocks, config.style.n_components, np.random.default_rng(SEED), widths)
    embeddings = _embeddings(vectors, pca)
    path = _write(config, vectors, embeddings, pca)
    return path, (
        f"{_counted(vectors)}, {embeddings.shape[1]} dimensions ({pca.explained_variance_ratio:.1%} of"
        f" the variance) from Gram matrices of {', '.join(layers)} of {vectors.network.upper()}"
    )


def _embeddings(vectors: Vectors, pca: Pca | None) -> np.ndarray:
    """(N, D) float32: the rows of the works before as they are, then those of the vectors."""
    rows = [pca.transform(block) if pca else block for block in vectors.blocks()]
    return np.concatenate([vectors.before.embeddings, *rows] if vectors.before else rows)


def _counted(vectors: Vectors) -> str:
    if not vectors.before:
        return cli.count(len(vectors.image_ids), "work")
    return f"{cli.count(len(vectors.image_ids) - vectors.n_before, 'work')} added to {vectors.n_before:,}"


def _write(config: Config, vectors: Vectors, embeddings: np.ndarray, pca: Any) -> Path:
    path = config.outputs / f"{vectors.stage}.h5"
    with store.create(path, vectors.stage, vectors.recipe, vectors.inputs) as h5:
        store.write_ids(h5, vectors.image_ids)
        h5["embeddings"] = embeddings
        reuse.write_digests(h5, vectors.digests)
        if pca:
            store.write_pca(h5, pca)
    if vectors.before:  # those of the works before stay, for the day when all are drawn anew
        shards.remove(vectors.folder)
        return path
    budget = config.machine.keep_vectors_gb * 1e9 if pca else 0  # without PCA they stand in the file
    reuse.keep(vectors.folder, reuse.vectors_folder(path, vectors.recipe), vectors.digests, budget)
    return path
