"""A map that was drawn elsewhere, in the place of one of `maps:`, for the grid, the pictures and the page.

Reads   FILE: .csv (as the original WikiArt scripts write them: Image,X,Y), .parquet, .npz, .h5 with a name and two
        numbers for every work; the sources of the map, by which evaluate_maps.py then judges it
Writes  outputs/tsne.h5   with the map's coordinates from FILE; other maps as they are there
Run     python import_map.py FILE [--map NAME] [--columns X Y]
Cost    1 s for 1,231 works, 2 s for 81,444

Works are known as in import_features.py. A map without features of its own, as those published with the original
repository, may be judged by itself: docs/WIKIART.md.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from artatlas import cli, sources, store, tables
from artatlas.config import Config
from artatlas.errors import UserError
from artatlas.stages import SOURCES
from artatlas.tsne import resolve_perplexity


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="the coordinates")
    parser.add_argument("--map", dest="name", metavar="NAME", help="which of maps: it is (default: the only one)")
    parser.add_argument("--columns", nargs="+", metavar="NAME", help="x and y, or an array (default: by their names)")


def choose_map(config: Config, name: str | None) -> str:
    if name is None and len(config.maps) == 1:
        return next(iter(config.maps))
    if name not in config.maps:
        raise UserError(
            f"--map: {name or 'nothing'} is not one of the maps ({', '.join(config.maps)}). Name one of them."
        )
    return name


def read_others(config: Config, name: str) -> tuple[list[str], dict[str, tuple[np.ndarray, float]]]:
    """Of the other maps in tsne.h5: the works, and map -> (coordinates (N, 2), KL divergence)."""
    others = [other for other in config.maps if other != name]
    if not others:
        return [], {}
    with store.open_output(config, "tsne") as h5:
        kept = {other: (h5[f"{other}/coordinates"][:], float(h5[other].attrs["kl_divergence"])) for other in others}
        return list(store.read_ids(h5)), kept


def main(config: Config, file: Path, name: str | None = None, columns: list[str] | None = None) -> tuple[Path, str]:
    # 1. Read
    name = choose_map(config, name)
    table = tables.read(file, columns, coordinates=True)
    used = [source for source in SOURCES if any(source in weights for weights in config.maps.values())]
    image_ids, inputs = sources.common_ids(config, used)
    other_ids, others = read_others(config, name)

    # 2. Compute
    rows, known = tables.join(image_ids, table.names), set(other_ids)
    there = [image_id for image_id in image_ids if image_id in rows and (not others or image_id in known)]
    if not there:
        raise UserError(
            f"{store.show(file)}: names none of the collection's works (it has {cli.printable(table.names[0])}, the"
            f" collection {cli.printable(image_ids[0])}). Name the works by their path below paths.images."
        )
    maps = {name: (table.values[[rows[image_id] for image_id in there]], float("nan"))}
    if others:
        of_others = store.rows_of(np.array(there, object), np.array(other_ids, object))
        maps |= {other: (coordinates[of_others], kl) for other, (coordinates, kl) in others.items()}

    # 3. Write
    output = config.outputs / "tsne.h5"
    imported = {name: {"file": file.name, "sha256": table.sha256, "columns": table.columns}}
    perplexity = resolve_perplexity("auto", len(there), store.show(file))
    recipe: dict[str, Any] = {
        "settings": config.settings(("maps", "tsne")), "perplexity": perplexity, "imported": imported,
    }  # fmt: skip
    with store.create(output, "tsne", recipe, inputs) as h5:
        store.write_ids(h5, np.array(there, object))
        for each in config.maps:
            h5[f"{each}/coordinates"] = maps[each][0]
            h5[each].attrs["kl_divergence"] = maps[each][1]
    left = f", {len(image_ids) - len(there):,} of the collection are not on it" if len(there) < len(image_ids) else ""
    return output, f"map {name} of {cli.count(len(there), 'work')} from {file.name}{left}"


if __name__ == "__main__":
    cli.run(main, __doc__, add_arguments)
