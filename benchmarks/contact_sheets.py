"""What do the neighbours of twenty works look like? A contact sheet each, by every space, to be looked at.

The works are drawn with a seed, no two by one artist where the metadata tells artists.

Reads   what find_similar.py reads
Writes  <paths.outputs>/similar/*.jpg
Run     python benchmarks/contact_sheets.py --config paintings.yaml
Cost    for 1,231 works and four spaces 20 s
"""

import argparse
import contextlib
import io
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import find_similar
from artatlas import config, queries, store


def draw_works(image_ids, columns, n, seed):
    """n ids, of as many artists where these are known."""
    order = np.random.default_rng(seed).permutation(len(image_ids))
    if "artist" in columns:
        _, first = np.unique(columns["artist"][order], return_index=True)
        order = order[np.sort(first)]
    return list(image_ids[order[:n]])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--works", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    settings = config.load(options.config, tuple(options.set))
    works = queries.read_works(settings)
    with store.open_output(settings, "images") as h5:
        columns = queries.read_catalogue(h5, works.image_ids).columns
    asked = draw_works(works.image_ids, columns, options.works, options.seed)
    for space in settings.similar.spaces:
        with contextlib.redirect_stdout(io.StringIO()):  # the tables; sheets are what is looked at
            folder, summary = find_similar.main(settings, asked, space)
        print(f"{store.show(folder)}: {summary}")


if __name__ == "__main__":
    main()
