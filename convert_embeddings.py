"""An exported file in the forms that other programs read: tables, arrays, TensorBoard, PixPlot, FiftyOne.

Reads   outputs/embeddings.h5, or a file of export_embeddings.py that is named, as data/paintings_embeddings.h5
Writes  outputs/exports/, or --output FOLDER, one folder a form:
        csv/works.csv, parquet/works.parquet   a row a work, columns as Embedding Atlas names them; Parquet also holds
                                               the embeddings and the nearest works, and needs pyarrow
        npz/works.npz                          every dataset by its name, without pickle
        tensorboard/                           tensors, metadata.tsv, projector_config.pbtxt
        pixplot/metadata.csv                   filename, category, tags, description, permalink, year, x, y
        fiftyone/                              metadata.json, samples.json
Run     python convert_embeddings.py [FILE] [--form FORM ...] [--map NAME]
Cost    5 s for 1,231 works in all forms
"""

import argparse
import json
from pathlib import Path

import h5py

from artatlas import cli, forms, store
from artatlas.config import Config
from artatlas.errors import UserError
from artatlas.forms import FORMS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", nargs="?", type=Path, metavar="FILE", help="default: embeddings.h5 in outputs")
    parser.add_argument("--form", nargs="+", choices=[*FORMS], help="default: all that can be written here")
    parser.add_argument("--map", dest="drawn", metavar="NAME", help="whose places are projection_x, projection_y")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="write here (default: exports in outputs)")


def choose_map(h5: h5py.File, asked: str | None, shown: str) -> str:
    """The map that was asked for; else `combined`, or the last there is."""
    there = forms.groups(h5, "coordinates")
    if asked is None:
        return "combined" if "combined" in there else there[-1]
    if asked not in there:
        raise UserError(f"--map {asked}: {shown} has {', '.join(there)}. Name one of them.")
    return asked


def main(
    config: Config, file: Path | None = None, form: list[str] | None = None, drawn: str | None = None,
    output: Path | None = None,
) -> tuple[Path, str]:  # fmt: skip
    # 1. Read
    output = output or config.outputs / "exports"
    opened = store.open_kept(file, "export") if file else store.open_output(config, "export")
    with opened as h5:
        chosen = choose_map(h5, drawn, store.show(h5.filename))
        spaces = forms.groups(h5, "neighbors")
        near = chosen if chosen in spaces else next(iter(spaces), None)

        # 2. Compute, and 3. Write: a folder a form, each whole or not at all
        commands = {}
        for name in form or FORMS:
            recipe = {"form": name, "map": chosen, "made_from": json.loads(h5.attrs["recipe"])["settings"]}
            with store.create_folder(output / name, "exports", recipe, {"export": str(h5.attrs["fingerprint"])}) as new:
                commands[name] = FORMS[name](h5, new, chosen, near)
        n_works = len(h5["image_ids"])
    opened_by = "; ".join(f"{name}: {command}" for name, command in commands.items())
    return output, f"{cli.count(n_works, 'work')}, opened by {opened_by}"


if __name__ == "__main__":
    cli.run(main, __doc__, add_arguments)
