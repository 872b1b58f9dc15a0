"""Is a work's nearest the work itself, when it is asked about by a copy: re-encoded, half the size, mirrored?

Copies go through the same decoding, network, PCA and scalers as the collection they are looked up in. Prints a Markdown
table, one column a space of similar.spaces: the share of copies to which no work is nearer than the one they were made
from.

Reads   content.h5, style.h5, color.h5, and the pictures in paths.images
Run     python benchmarks/copies.py --config paintings.yaml
Cost    for 200 works on 2 cores 2 minutes
"""

import argparse
import io
import itertools
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from common import header

from artatlas import cli, config, embed, images, sources

BATCH = 32


def encoded(picture, kind, **options):
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


COPIES = {
    "the same file": lambda picture, data: data,
    "JPEG, quality 75": lambda picture, data: encoded(picture, "JPEG", quality=75),
    "half the size": lambda picture, data: encoded(
        picture.resize((picture.width // 2, picture.height // 2), Image.Resampling.BICUBIC), "PNG"
    ),
    "mirrored": lambda picture, data: encoded(ImageOps.mirror(picture), "PNG"),
    "mirrored, half the size, JPEG 75": lambda picture, data: encoded(
        ImageOps.mirror(picture.resize((picture.width // 2, picture.height // 2), Image.Resampling.BICUBIC)),
        "JPEG", quality=75,
    ),
}  # fmt: skip


def copied(path, make):
    """The bytes of a copy of the picture in a file, as it is meant to be seen."""
    data = path.read_bytes()
    with Image.open(io.BytesIO(data)) as picture:
        return make(ImageOps.exif_transpose(picture).convert("RGB"), data)


def found_itself(copies, works, own):
    """Whether no work is nearer to a copy (Q, D) than the one it was made from; equal ones (duplicates) do no harm."""
    copies, works = copies.astype(np.float64), works.astype(np.float64)
    distances = np.square(copies).sum(axis=1)[:, None] + np.square(works).sum(axis=1) - 2 * copies @ works.T
    return distances[np.arange(len(own)), own] <= distances.min(axis=1) + 1e-9


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--works", type=int, default=200, help="so many, drawn with a seed")
    options = parser.parse_args()
    settings = config.load(options.config, tuple(options.set))
    scaling = settings.similar.scaling
    spaces = {name: space.weights for name, space in settings.similar.spaces.items() if not space.scaling}
    names = list(dict.fromkeys(itertools.chain(*spaces.values())))
    ids, _ = sources.common_ids(settings, names)
    searched, scalers = {}, {}
    for space, of_sources in spaces.items():
        searched[space], scalers[space] = sources.read_features(settings, ids, of_sources, scaling)
    unscaled = sources.fit_scaler(np.zeros((1, 1), np.float32), "none")  # what a copy is embedded by needs one
    placed = {name: sources.read_placed(settings, name, unscaled) for name in names}
    embedder = embed.embedder(placed, settings.images.network_px, settings, "the sources", options.works)
    own = np.sort(np.random.default_rng(0).permutation(len(ids))[: options.works])
    made = next((f", {placed[name].recipe['network'].upper()} ({placed[name].recipe['weights']}),"
                 f" {placed[name].recipe['precision']}" for name in names if name != "color"), "")  # fmt: skip
    print(f"{header('pillow')}. {len(own):,} of {len(ids):,} works{made}, scaling {scaling}.\n")
    print("| copy | " + " | ".join(spaces) + " |\n|" + "---|" * (len(spaces) + 1))
    for name, make in COPIES.items():
        pixels = np.stack([
            images.decode(copied(Path(settings.paths.images) / ids[row], make), settings.images).pixels
            for row in cli.progress(own, desc=name)
        ])  # fmt: skip
        parts = [embedder(pixels[start : start + BATCH]) for start in range(0, len(pixels), BATCH)]
        cells = []
        for space, of_sources in spaces.items():
            copies = np.concatenate([
                np.hstack([scalers[space][source].transform(part[source]) for source in of_sources]) for part in parts
            ])  # fmt: skip
            cells.append(f"{found_itself(copies, searched[space], own).mean():.1%}")
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
