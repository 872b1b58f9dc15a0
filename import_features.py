"""Features that were made elsewhere, as one more source of maps and similar works, by the name `own`.

Reads   FILE: .npz, .parquet, .csv, .h5 with a name and a row of numbers for every work; outputs/images.h5
Writes  outputs/own.h5   image_ids (N,), embeddings (N, D)
Run     python import_features.py FILE [--columns NAME ...]
        then for example: python build_tsne.py --set 'maps={mine: {own: 1}}' --set parametric_tsne.map=mine
Cost    1 s for 1,231 works of 512 numbers; a table in text 20 s for 100 MB

Works are known by their path below the collection's folder, or by the last part of it where that is unambiguous. Those
that the file does not have are left out of what is made from it.
"""

import argparse
from pathlib import Path

import numpy as np

from artatlas import cli, store, tables
from artatlas.config import Config
from artatlas.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="the features")
    parser.add_argument("--columns", nargs="+", metavar="NAME", help="columns or array to take (default: all numbers)")


def main(config: Config, file: Path, columns: list[str] | None = None) -> tuple[Path, str]:
    # 1. Read
    table = tables.read(file, columns)
    with store.open_output(config, "images") as h5:
        image_ids, inputs = store.read_ids(h5), {"images": str(h5.attrs["fingerprint"])}

    # 2. Compute
    rows = tables.join(image_ids, table.names)
    if not rows:
        raise UserError(
            f"{store.show(file)}: names none of the collection's works (it has {cli.printable(table.names[0])}, the"
            f" collection {cli.printable(image_ids[0])}). Name the works by their path below paths.images."
        )
    there = np.array([image_id in rows for image_id in image_ids])
    embeddings = table.values[[rows[image_id] for image_id in image_ids[there]]]

    # 3. Write
    output = config.outputs / "own.h5"
    recipe = {"file": file.name, "sha256": table.sha256, "columns": table.columns}
    with store.create(output, "own", recipe, inputs) as h5:
        store.write_ids(h5, image_ids[there])
        h5["embeddings"] = embeddings
    left = f", {len(image_ids) - there.sum():,} of the collection are not in it" if not there.all() else ""
    return output, f"{cli.count(int(there.sum()), 'work')}, {embeddings.shape[1]} dimensions{left}"


if __name__ == "__main__":
    cli.run(main, __doc__, add_arguments)
