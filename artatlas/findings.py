"""What other stages found out about the works, as columns of the page: how far to trust a place, which group it is in.

Both are optional: a page is built without them where their files have not been made. Their names on the page start with
"artatlas:", so that no column of the metadata is taken for one of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import h5py
import numpy as np

from artatlas import store
from artatlas.config import Config
from artatlas.errors import UserError
from artatlas.sidecars import Column
from artatlas.stages import BY_NAME

OPTIONAL = ("report", "clusters")
FAITHFULNESS = "artatlas:faithfulness"
GROUP = "artatlas:group:"  # and the name of the space


@contextmanager
def opened(config: Config) -> Iterator[dict[str, h5py.File]]:
    """Those of the optional outputs that are there, by stage. Raises UserError for one that is out of date."""
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(store.open_output(config, name))
            for name in OPTIONAL
            if (config.outputs / BY_NAME[name].output).exists()
        }


def faithfulness(h5: h5py.File, image_ids: np.ndarray, maps: Sequence[str], config: Config) -> list[Column]:
    """A column for each map: the share of a work's nearest on the map that are its nearest indeed."""
    rows = _rows(h5, image_ids, "report", config)
    columns = []
    for name in maps:
        k = int(h5[name].attrs["n_neighbors"])
        if not k:  # one or two works: nothing can be out of place
            continue
        kept = np.rint(h5[f"{name}/faithfulness"][:][rows] * k)
        columns.append(Column(
            FAITHFULNESS, "share", [f"{n / k:.4g}" for n in range(k + 1)], kept.astype(np.min_scalar_type(k)),
            {"label": "Faithfulness of the map", "map": name, "n_neighbors": k,
             "note": f"How many of the {k} works around a work are the {k} most like it: where few are, distrust its"
                     " place."},
        ))  # fmt: skip
    return columns


def groups(
    h5: h5py.File, image_ids: np.ndarray, titles: Sequence[str], spaces: Sequence[str], config: Config
) -> list[Column]:
    """A column for each space: the number of a work's group as clusters.h5 has it, "" for none."""
    rows, stored = _rows(h5, image_ids, "clusters", config), store.read_ids(h5)
    title_of = dict(zip(image_ids, titles, strict=True))
    columns = []
    for space in spaces:
        stand_for = [title_of.get(image_id, image_id) for image_id in stored[h5[f"{space}/representatives"][:]]]
        codes = h5[f"{space}/labels"][:][rows] + 1
        columns.append(Column(
            f"{GROUP}{space}", "category", ["", *map(str, range(len(stand_for)))],
            codes.astype(np.min_scalar_type(len(stand_for))),
            {"label": f"Groups by {space}", "space": space,
             "sizes": np.bincount(codes, minlength=len(stand_for) + 1).tolist(),
             "shown": ["in no group", *(f"{number}: such as {title}" for number, title in enumerate(stand_for))]},
        ))  # fmt: skip
    return columns


def _rows(h5: h5py.File, image_ids: np.ndarray, stage: str, config: Config) -> np.ndarray:
    stored = store.read_ids(h5)
    if lacking := sorted(set(image_ids) - set(stored)):
        raise UserError(
            f"{store.show(h5.filename)} lacks works of the maps, for example {lacking[0]}. Run:"
            f" {config.command(BY_NAME[stage].script)}"
        )
    return store.rows_of(image_ids, stored)
