"""Pictures that are not in the collection, taken through what its pictures went through: find, decode, embed.

What place_images.py and find_similar.py share. Everything fitted comes from the collection: the settings under which
it was decoded, the network, its weights and the PCA.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from artatlas import cli, collection, color, features, images, vgg, vgg_numpy, weights
from artatlas.config import Color, Config, Content, Images, Style
from artatlas.errors import UserError
from artatlas.images import Decoded, Unreadable
from artatlas.sources import PlacedSource

Embed = Callable[[np.ndarray], dict[str, np.ndarray]]  # pixels (B, S, S, 3) uint8 -> source -> (B, D) float32


def find_pictures(pictures: list[Path], config: Config) -> list[collection.File]:
    """Every picture meant. The id of one inside a folder that was named is its POSIX path below it, as in the
    collection; of one that was named itself, that name.

    Raises UserError where something named does not exist, a folder holds no pictures, or two have the same id.
    """
    files: list[collection.File] = []
    for path in pictures:
        if path.is_dir():
            below = collection.find_below(path, config)
            if not below:
                kinds = " ".join(collection.EXTENSIONS).replace(".", "")
                raise UserError(f"{cli.printable(str(path))} holds no pictures ({kinds}). Name another folder.")
            files += below
        elif path.exists():
            files.append(collection.File(path.as_posix(), str(path)))
        else:
            raise UserError(f"{cli.printable(str(path))} does not exist. Name pictures or folders of pictures.")
    seen: dict[str, str] = {}
    for file in files:
        if file.image_id in seen:
            raise UserError(
                f"{cli.printable(file.image_id)} stands for both {cli.printable(seen[file.image_id])} and"
                f" {cli.printable(file.path)}. Name the folder above both, or name them in two runs."
            )
        seen[file.image_id] = file.path
    return files


def find_named(names: list[str], folder: Path) -> list[collection.File]:
    """The pictures among `names` that are there below `folder`; one that leads out of it is not."""
    if not folder.is_dir():
        raise UserError(f"{cli.printable(str(folder))} is not a folder. Name the one that the pictures are in.")
    top = folder.resolve()
    there = [name for name in names if (top / name).is_file() and (top / name).resolve().is_relative_to(top)]
    return [collection.File(name, str(top / name)) for name in there]


def decode(
    files: list[collection.File], settings: Images, config: Config, skipped: list[tuple[str, str]], desc: str
) -> Iterator[list[tuple[str, Decoded]]]:
    """Yields (id, picture) of those that can be decoded, in batches of machine.batch_size, in order.

    `skipped` gets (id, reason) of the others, which are told as notices too. `desc` says on the progress bar what for.
    """
    results = images.decode_all((file.path for file in files if not file.problem), settings, config.machine.threads)
    batch: list[tuple[str, Decoded]] = []
    for file in cli.progress(files, desc=desc):
        result = Unreadable(file.problem) if file.problem else next(results)
        if isinstance(result, Unreadable):
            skipped.append((file.image_id, result.reason))
            cli.notice(f"skipped {cli.printable(file.image_id)}: {result.reason}")
            continue
        batch.append((file.image_id, result))
        if len(batch) == config.machine.batch_size:
            yield batch
            batch = []
    if batch:
        yield batch


def embedder(
    sources: dict[str, PlacedSource], network_px: int, config: Config, made_with: str, n_pictures: int
) -> Embed:
    """What the extract scripts do to pixels, from each source's recipe and PCA; one forward pass where one will do.

    made_with : the file that the recipes stand in, for messages
    n_pictures : how many there will be about. A few are computed without TensorFlow, in float32 whatever the recipe's
        precision is: the start alone would take longer.

    Raises UserError where the weights cannot be had or are not those that the recipe names, and for the source `own`.
    """
    if "own" in sources:
        raise UserError(
            "own.h5 holds features that were made elsewhere, so a picture cannot be looked at in the same way. Ask in a"
            " space, or on a map, of content, style and color."
        )
    heads = {name: _heads(name, source) for name, source in sources.items() if name != "color"}
    passes: dict[tuple[str, str], list[str]] = {}  # sources that the same network, weights and precision see
    for name in heads:
        passes.setdefault((sources[name].recipe["weights_sha256"], sources[name].recipe["precision"]), []).append(name)
    forwards = [
        (names, _forward(sources, heads, names, network_px, config, made_with, n_pictures)) for names in passes.values()
    ]

    def embed(pixels: np.ndarray) -> dict[str, np.ndarray]:
        found = {}
        if "color" in sources:
            chosen = Color(**sources["color"].recipe["settings"]["color"])
            found["color"] = color.histograms(pixels, chosen.space, chosen.bins, chosen.transform)
        for names, forward in forwards:
            outputs = iter(forward(pixels))
            for name in names:
                vectors = np.hstack([next(outputs) for _ in heads[name]])  # (B, P)
                pca = sources[name].pca
                found[name] = pca.transform(vectors) if pca else vectors
        return found

    return embed


def _heads(name: str, source: PlacedSource) -> list[vgg.Head]:
    settings = source.recipe["settings"][name]
    return features.content_heads(Content(**settings)) if name == "content" else features.style_heads(Style(**settings))


def _forward(
    sources: dict[str, PlacedSource], heads: dict[str, list[vgg.Head]], names: list[str], network_px: int,
    config: Config, made_with: str, n_pictures: int,
) -> Callable[[np.ndarray], list[np.ndarray]]:  # fmt: skip
    every_head = [head for name in names for head in heads[name]]
    needs_top = any(head.layer in vgg.DENSE for head in every_head)
    network = read_weights(sources[names[0]], needs_top, config, made_with)
    if n_pictures <= vgg_numpy.FEW:
        return vgg_numpy.build(network, every_head, network_px)
    precision = sources[names[0]].recipe["precision"]
    return vgg.build(network, every_head, precision, network_px, vgg.start_tensorflow(config))


def read_weights(source: PlacedSource, needs_top: bool, config: Config, made_with: str) -> weights.Weights:
    """The weights that a source was made with. Raises UserError where they cannot be had or are others now."""
    recipe = source.recipe
    network = weights.resolve(recipe["network"], recipe["settings"]["vgg"]["weights"], needs_top)
    if network.sha256 != recipe["weights_sha256"]:
        raise UserError(
            f"vgg.weights: {network.source} are not the weights that {made_with} was made with"
            f" ({recipe['weights']}). Run: {config.command('run_all.py')}"
        )
    return network
