"""In which colours: a histogram of every picture over the cells of a colour cube.

Reads   outputs/images.h5
Writes  outputs/color.h5   image_ids (N,), embeddings (N, bins^3)
Run     python extract_color.py            settings: color
Source  Swain & Ballard 1991, "Color indexing"; the square root for Hellinger distance: Arandjelovic & Zisserman 2012
Cost    about 1,000 works/s a core for RGB, 100 for CIELAB
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from artatlas import cli, cluster, reuse, shards, store
from artatlas.color import histograms
from artatlas.config import Config

BATCH = 64  # works at a time: 10 MB of pixels


@dataclass(frozen=True)
class Histograms:
    """What computes the embeddings of some works, `rows` (M,) of images.h5, a slice of those at a time."""

    config: Config
    rows: np.ndarray

    def __call__(self, some: slice) -> Iterator[list[np.ndarray]]:
        settings, rows = self.config.color, self.rows[some]
        with store.open_output(self.config, "images") as images:
            for batch in shards.slices(len(rows), BATCH):
                pixels = store.take(images["pixels"], rows[batch])
                yield [histograms(pixels, settings.space, settings.bins, settings.transform)]


def main(config: Config, update: bool = False) -> tuple[Path, str]:
    # 1. Read
    settings, output, n_before = config.color, config.outputs / "color.h5", 0
    with store.open_output(config, "images") as images:
        image_ids, digests = store.read_ids(images), reuse.read_digests(images)
        inputs = {"images": str(images.attrs["fingerprint"])}
    recipe = {"settings": config.settings(("color",))}
    embeddings = np.empty((len(image_ids), settings.bins**3), np.float32)
    if update:
        with store.open_before(config, "color") as before:
            n_before, recipe = store.check_first_rows(before, image_ids, config), store.recipe_after(before)
            embeddings[:n_before] = before["embeddings"][:]

    # 2. Compute
    start = time.perf_counter()
    known = np.full(len(image_ids), -1)
    known[:n_before] = np.arange(n_before)
    with reuse.opened(output, "color") as h5:
        if not update:
            earlier = reuse.earlier(h5, output, recipe, store.fingerprint("color", recipe, inputs))
            known = earlier.known(digests)
            if (known >= 0).any():
                embeddings[known >= 0] = earlier.read(known[known >= 0])
    new = np.flatnonzero(known < 0)
    folder = shards.folder_for(output, store.fingerprint("color", recipe, inputs, [new.tolist()]))
    machine = cluster.one_core(config.machine)
    work = Histograms(config.model_copy(update={"machine": cluster.at_worker(machine)}), new)
    (paths,) = shards.compute([folder], len(new), work, "color", machine=machine)
    for some, path in zip(shards.slices(len(new)), paths, strict=True):
        embeddings[new[some]] = shards.load(path)
    rate = len(new) / (time.perf_counter() - start)

    # 3. Write
    with store.create(output, "color", recipe, inputs) as h5:
        store.write_ids(h5, image_ids)
        h5["embeddings"] = embeddings
        reuse.write_digests(h5, digests)
    shards.remove(folder)
    cells, where = f"{settings.bins}^3 cells of {settings.space.upper()}", cluster.describe(machine)
    if update:
        return output, f"{cli.count(len(new), 'work')} added to {n_before:,}, {cells} at {rate:,.0f} works/s{where}"
    taken = f"{len(known) - len(new):,} taken over from before, " if len(new) < len(known) else ""
    return output, f"{cli.count(len(image_ids), 'work')}, {taken}{cells} at {rate:,.0f} works/s{where}"


if __name__ == "__main__":
    cli.run(main, __doc__, cli.add_update)
