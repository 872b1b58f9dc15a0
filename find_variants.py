"""Which works are the same picture again: exact duplicates, other scans, crops and details of one another.

Reads   outputs/neighbors.h5 and images.h5
Writes  outputs/variants.h5   image_ids (N,), pairs (M, 2) int32, rows of image_ids, the part first and then the whole,
        boxes (M, 4) float32, where the part is (top, left, height, width as shares of the whole), scores (M,) float32,
        and group (N,) int32, the first row of all that are linked by pairs: a work's own where it has none
        outputs/variants.csv, a line a pair, and variants.jpg, the pairs side by side, the part outlined in the whole
Run     python find_variants.py [--update]            settings: variants
Source  Lewis 1995; Evangelidis & Psarakis 2008 (artatlas/variants.py)
Cost    about 6 ms of a core a pair and 10 pairs a work: 40 s for 1,231 works on 2 cores; a stopped run goes on
"""

import csv
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from artatlas import answers, cli, images, queries, shards, sheets, store, variants
from artatlas.config import Config
from artatlas.queries import Catalogue

PROMISING = 0.55  # of the quick search; of 420 planted variants the least had .60, of neighbours 4% have as much
BLOCK = 64  # pairs between two steps of the progress bar
KEPT_OUTLINES = 2048  # 200 MB; a work's candidates are all over the collection
WHOLE = 0.8  # of a side: a part that covers as much of both is told as another copy and not as a detail
MOST_SHOWN = 60  # pairs on the sheet, the surest


@dataclass(frozen=True)
class Found:
    part: int  # row
    whole: int  # row
    kind: str  # duplicate (the same picture in both files) | copy | detail
    score: float  # correlation
    box: tuple[float, float, float, float]  # top, left, height, width, shares of the whole


def read_candidates(config: Config, image_ids: np.ndarray, is_copy: np.ndarray) -> tuple[np.ndarray, str]:
    """Pairs of rows (P, 2), the lower one first, where one is among the nearest of the other in any space; and the
    fingerprint of neighbors.h5. Works of `is_copy` (N,) bool, exact duplicates of others, are left out."""
    pairs = []
    with store.open_output(config, "neighbors") as h5:
        rows = store.rows_of(store.read_ids(h5), image_ids)
        for space in (name for name in h5 if name != "image_ids"):
            near = rows[h5[f"{space}/indices"][:, : config.variants.candidates]]  # (N, k)
            of_space = np.column_stack((np.repeat(rows, near.shape[1]), near.ravel()))
            pairs.append(of_space[~is_copy[of_space].any(axis=1)])
        made_from = str(h5.attrs["fingerprint"])
    joined, n_works = np.sort(np.concatenate(pairs), axis=1), len(image_ids)
    codes = np.unique(joined[:, 0] * n_works + joined[:, 1])  # one number a pair: pairs take ten times as long to sort
    return np.column_stack(np.divmod(codes, n_works)), made_from


def read_known(config: Config, image_ids: np.ndarray) -> tuple[list[Found], dict[str, Any], int]:
    """What variants.h5 says of the works that were there before others were added, its recipe with the addition, and
    how many works these are; exact duplicates are left out, for images.h5 knows them."""
    with store.open_before(config, "variants") as h5:
        n_before = store.check_first_rows(h5, image_ids, config)
        rows = zip(h5["pairs"][:].tolist(), h5["scores"][:].tolist(), h5["boxes"][:].tolist(), strict=True)
        found = [Found(*pair, kind_of(box), score, tuple(box)) for pair, score, box in rows]
        with store.open_output(config, "images") as images:
            is_copy = images["duplicate_of"].asstr()[:] != ""
        return [each for each in found if not is_copy[each.part]], store.recipe_after(h5), n_before


def kind_of(box: Sequence[float]) -> str:
    return "copy" if min(box[2:]) >= WHOLE else "detail"


def compare(pairs: np.ndarray, catalogue: Catalogue, threshold: float, threads: int) -> Callable:
    """A function from a slice of `pairs` (P, 2) to blocks [(B, 7)] float64, a row a pair: part, whole, score, box; the
    score is 0 where they are different pictures."""

    @lru_cache(KEPT_OUTLINES)
    def outline(row: int) -> variants.Outline:
        return variants.outline(catalogue.picture(row))

    def judge(pair: np.ndarray) -> tuple[float, ...]:
        a, b = int(pair[0]), int(pair[1])
        one, other = outline(a), outline(b)
        (score, scale), part, whole = max(
            (variants.search(one, other), a, b), (variants.search(other, one), b, a), key=lambda found: found[0]
        )
        if score >= PROMISING:
            match = variants.match(catalogue.picture(part), catalogue.picture(whole), scale)
            if match.score >= threshold:
                return part, whole, match.score, *match.box
        return part, whole, 0, 0, 0, 0, 0

    def blocks(rows: slice) -> Iterator[list[np.ndarray]]:
        with ThreadPoolExecutor(threads) as pool:
            for some in np.array_split(pairs[rows], -(-(rows.stop - rows.start) // BLOCK)):
                yield [np.array(list(pool.map(judge, some)), np.float64)]

    return blocks


def listed(compared: list[np.ndarray], duplicates: list[tuple[int, int]], known: list[Found]) -> list[Found]:
    """Duplicates, what is `known` and the pairs of (B, 7) arrays that are one picture, surest first."""
    found = known + [Found(part, whole, "duplicate", 1.0, (0.0, 0.0, 1.0, 1.0)) for part, whole in duplicates]
    for part, whole, score, top, left, height, width in np.concatenate(compared) if compared else ():
        if score > 0:
            box = float(top), float(left), float(height), float(width)
            found.append(Found(int(part), int(whole), kind_of(box), float(score), box))
    return sorted(found, key=lambda each: (-each.score, each.part, each.whole))


def linked(n_works: int, pairs: list[tuple[int, int]]) -> np.ndarray:
    """(N,) int32: the first row among all that a work is linked to, over any number of pairs; its own without any."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    a, b = np.array(pairs, np.int64).reshape(-1, 2).T
    links = coo_array((np.ones(len(a)), (a, b)), shape=(n_works, n_works))
    _, component = connected_components(links, directed=False)
    _, first = np.unique(component, return_index=True)
    return first[component].astype(np.int32)


def write_csv(path: Path, found: list[Found], catalogue: Catalogue) -> None:
    columns = ["title", "artist"]
    with store.replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
        known = [name for name in columns if name in catalogue.columns]
        writer.writerow([
            "filename", "variant_of", "kind", "score", "top", "left", "height", "width",
            *known, *[f"{name}_of_whole" for name in known],
        ])  # fmt: skip
        for each in found:
            numbers = [round(number, 4) for number in (each.score, *each.box)]
            texts = [catalogue.columns[name][row] for row in (each.part, each.whole) for name in known]
            ids = catalogue.image_ids[[each.part, each.whole]]
            writer.writerow([*ids, each.kind, *numbers, *texts])


def draw_sheet(found: list[Found], catalogue: Catalogue) -> Image.Image:
    rows = []
    for each in found[:MOST_SHOWN]:
        whole = catalogue.picture(each.whole)
        outlined = sheets.fitted(whole, sheets.TILE, sheets.TILE)
        top, left, height, width = each.box
        corners = (left * outlined.width, top * outlined.height,
                   (left + width) * outlined.width - 1, (top + height) * outlined.height - 1)  # fmt: skip
        ImageDraw.Draw(outlined).rectangle(corners, outline=sheets.RED, width=2)
        tiles = [sheets.Tile(picture, catalogue.caption(row)) for picture, row in
                 ((catalogue.picture(each.part), each.part), (outlined, each.whole))]  # fmt: skip
        rows.append((f"{each.score:.2f}", each.kind, tiles))
    return sheets.group_sheet("The same picture again", rows, 2)


def main(config: Config, update: bool = False) -> tuple[Path, str]:
    # 1. Read
    settings, recipe, known = config.variants, {"settings": config.settings(("variants",))}, []
    with store.open_output(config, "images") as h5:
        image_ids, duplicate_of = store.read_ids(h5), h5["duplicate_of"].asstr()[:]
        is_copy = duplicate_of != ""
        pairs, made_from = read_candidates(config, image_ids, is_copy)
        inputs = {"images": str(h5.attrs["fingerprint"]), "neighbors": made_from}
        catalogue = queries.read_catalogue(h5, image_ids)
        if update:
            known, recipe, n_before = read_known(config, image_ids)
            pairs = pairs[(pairs >= n_before).any(axis=1)]

        # 2. Compute
        output = config.outputs / "variants.h5"
        folder = shards.folder_for(output, store.fingerprint("variants", recipe, inputs))
        compared = compare(pairs, catalogue, settings.threshold, images.n_threads(config.machine.threads))
        (paths,) = shards.compute([folder], len(pairs), compared, "comparing pairs")
        copies = np.flatnonzero(is_copy)
        originals = store.rows_of(duplicate_of[copies], image_ids)
        duplicates = list(zip(copies.tolist(), originals.tolist(), strict=True))
        found = listed([shards.load(path) for path in paths], duplicates, known)

        # 3. Write
        write_csv(config.outputs / "variants.csv", found, catalogue)
        answers.save(draw_sheet(found, catalogue), config.outputs / "variants.jpg")
    with store.create(output, "variants", recipe, inputs) as h5:
        store.write_ids(h5, image_ids)
        h5["pairs"] = np.array([(each.part, each.whole) for each in found], np.int32).reshape(-1, 2)
        h5["boxes"] = np.array([each.box for each in found], np.float32).reshape(-1, 4)
        h5["scores"] = np.array([each.score for each in found], np.float32)
        h5["group"] = linked(len(image_ids), [(each.part, each.whole) for each in found])
    shards.remove(folder)
    kinds = [each.kind for each in found]
    told = [cli.count(kinds.count(kind), kind, plural) for kind, plural in
            (("duplicate", "duplicates"), ("copy", "copies"), ("detail", "details"))]  # fmt: skip
    return output, f"{', '.join(told)} among {cli.count(len(image_ids), 'work')}, {len(pairs):,} pairs compared"


if __name__ == "__main__":
    cli.run(main, __doc__, cli.add_update)
