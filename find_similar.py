"""What else looks like this: the nearest works of every work, or of any picture, by content, style, colour and mixes.

Reads   outputs/content.h5, style.h5, color.h5 (those that similar.spaces mentions) and images.h5
Writes  outputs/neighbors.h5   image_ids (N,), and per space <space>/indices (N, k) int32, rows of image_ids, nearest
        first, and <space>/distances (N, k) float32. No work is its own neighbour; of exact duplicates only the first is
        anyone's, and it is not its duplicates'. With csls also <space>/local_similarity (N,): high is a hub.
        With --query, instead: a table, a contact sheet a query below outputs/similar/, and what --csv names.
        With --why, instead: a picture there of what each source adds to the distance of two works, of their palettes,
        and of the channels that fire together in both, lit up where they do.
Run     python find_similar.py
        python find_similar.py --query PICTURE_OR_FOLDER_OR_ID [...] [--space style] [-k 20] [--csv FILE]
        python find_similar.py --why ONE OTHER [--space style]
        settings: similar
Source  faiss: Johnson, Douze & Jegou 2021; CSLS: Conneau et al. 2018
Cost    all works: 1 s for 1,000 works a space and 10 s for 20,000 on 2 cores (exact); memory for their features and as
        much again. A query: 2 to 4 s for a picture, about 1 s more for each further one up to 8; 10 s to start for more
"""

import argparse
import csv
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL.Image import Image, fromarray

from artatlas import cli, embed, explain, features, images, neighbors, queries, sheets, store, vgg
from artatlas.config import Config
from artatlas.errors import UserError
from artatlas.explain import Pair
from artatlas.queries import Catalogue, Query, Works

WIDEST = 44  # letters of a title in the table
N_PAIRS = 3  # of channels that --why shows
SHEET_QUALITY = 92  # of JPEG: text has to stay sharp


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--query", nargs="+", default=(), metavar="WHAT", help="ids of works, pictures, folders of pictures"
    )
    parser.add_argument("--why", nargs=2, default=(), metavar=("A", "B"), help="draws why two works are near or far")
    parser.add_argument("--space", help="of similar.spaces (default: the last)")
    parser.add_argument("-k", type=int, help="neighbours of a query (default: similar.n_neighbors)")
    parser.add_argument("--csv", type=Path, metavar="FILE", dest="csv_file", help="writes the answers there too")


def all_neighbors(config: Config) -> tuple[Path, str]:
    """The stage: neighbors.h5 of all works in all spaces."""
    # 1. Read
    settings, works = config.similar, queries.read_works(config)
    neighbors.set_threads(images.n_threads(config.machine.threads))
    index = neighbors.resolve_index(settings.index, len(works.base))

    # 2. Compute
    found = {}
    for name in settings.spaces:
        features = queries.read_space(config, works, name).features
        base = features if len(works.base) == len(features) else features[works.base]
        searchable = neighbors.prepare(base, settings.hubness, index, settings.seed)
        rows, distances = neighbors.find(searchable, features, settings.n_neighbors, works.own, desc=name)
        recall = 1.0
        if index != "exact":
            rng = np.random.default_rng(settings.seed)
            sample = np.sort(rng.choice(len(rows), min(neighbors.SAMPLE, len(rows)), replace=False))
            recall = neighbors.recall(searchable, features[sample], rows.shape[1], works.own[sample], rows[sample])
        found[name] = works.base[rows].astype(np.int32), distances, searchable.local_similarity, recall
        del features, base, searchable  # before the next space's are read

    # 3. Write
    output = config.outputs / "neighbors.h5"
    recipe = {"settings": config.settings(("similar",)), "index": index}
    with store.create(output, "neighbors", recipe, works.inputs) as h5:
        store.write_ids(h5, works.image_ids)
        for name, (indices, distances, local_similarity, recall) in found.items():
            h5[f"{name}/indices"], h5[f"{name}/distances"] = indices, distances
            h5[name].attrs["weights"] = json.dumps(settings.spaces[name])
            h5[name].attrs["index"], h5[name].attrs["recall"] = index, recall
            if local_similarity is not None:
                h5[f"{name}/local_similarity"] = local_similarity[works.own]
    told = ", ".join(f"{name} {recall:.1%}" for name, (_, _, _, recall) in found.items())
    agreement = "exact" if index == "exact" else f"by {index}, which agrees with exact search to: {told}"
    k = next(iter(found.values()))[0].shape[1]
    duplicates = len(works.first) - len(works.base)
    return output, (
        f"{cli.count(k, 'neighbour')} of {cli.count(len(works.first), 'work')} by {', '.join(found)}, {agreement}"
        + (f"; {cli.count(duplicates, 'exact duplicate')} left out of the lists" if duplicates else "")
    )


def read_local_similarity(config: Config, space: str, works: Works) -> np.ndarray | None:
    """Of the base (M,), where CSLS needs it: computing it anew would take as long as the whole stage."""
    if config.similar.hubness == "none":
        return None
    with store.open_output(config, "neighbors") as h5:
        return h5[f"{space}/local_similarity"][:][works.base]


def answer(config: Config, what: Sequence[str], space: str, k: int, csv_file: Path | None) -> tuple[Path, str]:
    """Query mode: a table, a contact sheet a query and, if asked for, a CSV."""
    # 1. Read
    works = queries.read_works(config)
    local_similarity = read_local_similarity(config, space, works)
    place = queries.read_space(config, works, space)
    asked = queries.read_queries(config, what, works, place)
    neighbors.set_threads(images.n_threads(config.machine.threads))

    # 2. Compute
    base = place.features if len(works.base) == len(works.first) else place.features[works.base]
    searchable = neighbors.prepare(base, config.similar.hubness, "exact", 0, local_similarity)
    own = np.array([query.own for query in asked])
    rows, distances = neighbors.find(searchable, np.stack([query.features for query in asked]), k, own)
    answers = [Answer(*each) for each in zip(asked, works.base[rows], distances, strict=True)]

    # 3. Write
    with store.open_output(config, "images") as h5:
        catalogue = queries.read_catalogue(h5, works.image_ids)
        taken: set[str] = set()
        for each in answers:
            print(table(each, space, catalogue))
            path = config.outputs / "similar" / sheet_name(each.query.label, space, taken)
            with store.replacing(path) as temporary:
                draw_sheet(each, space, catalogue).save(temporary, "JPEG", quality=SHEET_QUALITY, subsampling=0)
    if csv_file:
        write_csv(csv_file, answers, catalogue)
    shown = path if len(asked) == 1 else path.parent
    return shown, f"{cli.count(rows.shape[1], 'neighbour')} of {cli.count(len(asked), 'query', 'queries')} by {space}"


@dataclass(frozen=True)
class Answer:
    query: Query
    rows: np.ndarray  # (k,) of image_ids, nearest first
    distances: np.ndarray  # (k,) float32


def table(answer: Answer, space: str, catalogue: Catalogue) -> str:
    """Rank, distance, title and artist where they are known, id; nothing in it breaks a line or moves a cursor."""
    shown = [name for name in queries.SHOWN if name in catalogue.columns]
    lines = [["rank", "distance", *shown, "image_id"]]
    for rank, (row, distance) in enumerate(zip(answer.rows, answer.distances, strict=True), start=1):
        texts = [cli.printable(catalogue.columns[name][row]) for name in shown]
        texts = [text if len(text) <= WIDEST else text[: WIDEST - 1] + "…" for text in texts]
        same = "  (the same file)" if row == answer.query.same else ""
        lines.append([str(rank), f"{distance:.4f}", *texts, cli.printable(catalogue.image_ids[row]) + same])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    told = [f"{cli.printable(answer.query.name)}: nearest by {space}"]
    for line in lines:
        numbers = [text.rjust(width) for text, width in zip(line[:2], widths, strict=False)]
        texts = [text.ljust(width) for text, width in zip(line[2:], widths[2:], strict=True)]
        told.append("  ".join([*numbers, *texts]).rstrip())
    return "\n".join([*told, ""])


def draw_sheet(answer: Answer, space: str, catalogue: Catalogue) -> Image:
    query = answer.query
    tiles = []
    shown_rows, shown_distances = answer.rows[: sheets.MOST], answer.distances[: sheets.MOST]
    for rank, (row, distance) in enumerate(zip(shown_rows, shown_distances, strict=True), start=1):
        remark = "the same file" if row == query.same else ""
        caption = [f"{rank}    {distance:.3f}", *catalogue.caption(row)]
        tiles.append(sheets.Tile(catalogue.picture(row), caption, remark))
    shown = sheets.Tile(images.open_thumbnail(query.thumbnail), catalogue.caption_of(query))
    return sheets.contact_sheet(f"Nearest by {space}", shown, tiles)


def draw_why(config: Config, pair: Sequence[str], space: str) -> tuple[Path, str]:
    """Draws why two works are as near as they are."""
    # 1. Read
    works = queries.read_works(config)
    place = queries.read_space(config, works, space)
    asked = queries.read_queries(config, pair, works, place, keep_pixels=True)
    if len(asked) != 2:
        raise UserError(f"--why: needs two different works, this is {len(asked)}. Name two ids or pictures.")
    one, other = asked
    placed = queries.read_placed(config, place)

    # 2. Compute
    distance = float(np.linalg.norm(one.features - other.features))
    shares = explain.shares(one.features, other.features, place.scalers)
    found, layer = [], ""
    if (style := placed.get("style")) and style.pca:
        head = features.style_heads(config.style)[0]
        layer, mean = head.layer, style.pca.mean[: vgg.gram_length(head.layer)]
        weights = embed.read_weights(style, False, config, "style.h5")
        found = explain.agreeing_pairs(weights, head, mean, [one.pixels, other.pixels], N_PAIRS)

    # 3. Write
    with store.open_output(config, "images") as h5:
        catalogue = queries.read_catalogue(h5, works.image_ids)
        sides = [draw_side(query, i, found, config, catalogue) for i, query in enumerate(asked)]
    headings = [
        (f"channels {p.first} and {p.second} of {layer}", f"in both; weighs {p.weight:.0f} times an average pair")
        for p in found
    ]
    sheet = sheets.pair_sheet(f"{distance:.3f} apart by {space}", shares, sides, headings)
    both = "_and_".join(Path(query.name).stem[:38] for query in asked)
    path = config.outputs / "similar" / sheet_name(f"{both}.", space, set())
    with store.replacing(path) as temporary:
        sheet.save(temporary, "JPEG", quality=SHEET_QUALITY, subsampling=0)
    told = ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
    return path, f"distance {distance:.3f} by {space}, of its square {told}"


def draw_side(query: Query, i: int, found: list[Pair], config: Config, catalogue: Catalogue) -> sheets.Side:
    thumbnail = images.open_thumbnail(query.thumbnail)
    # The regions belong to what the network saw; squashed, that is all of the picture in another shape.
    seen = fromarray(query.pixels)
    seen = seen.resize(thumbnail.size) if config.images.fit == "squash" else seen
    lit = [explain.lit(sheets.fitted(seen, sheets.LARGE, sheets.LARGE), pair.maps[i]) for pair in found]
    return sheets.Side(thumbnail, catalogue.caption_of(query), explain.palette(thumbnail), lit)


def sheet_name(query: str, space: str, taken: set[str]) -> str:
    """A file's name that every system takes and that no other query of this run has."""
    plain = re.sub(r"[^\w.-]+", "_", query.removesuffix(Path(query).suffix)).strip("._")[-80:] or "query"
    name, n = f"{plain}_{space}.jpg", 1
    while name.lower() in taken:
        n += 1
        name = f"{plain}_{space}_{n}.jpg"
    taken.add(name.lower())
    return name


def write_csv(path: Path, answers: list[Answer], catalogue: Catalogue) -> None:
    """query, rank, filename, distance and the metadata; texts are quoted and otherwise left as they are."""
    with store.replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
        writer.writerow(["query", "rank", "filename", "distance", *catalogue.columns])
        for answer in answers:
            for rank, (row, distance) in enumerate(zip(answer.rows, answer.distances, strict=True), start=1):
                known = [column[row] for column in catalogue.columns.values()]
                line = [answer.query.name, rank, catalogue.image_ids[row], round(float(distance), 6), *known]
                writer.writerow(line)


def main(
    config: Config, query: Sequence[str] = (), space: str | None = None, k: int | None = None,
    csv_file: Path | None = None, why: Sequence[str] = (),
) -> tuple[Path, str]:  # fmt: skip
    if query and why:
        raise UserError("--why: is asked alone. Leave out --query, or ask twice.")
    if not query:
        for flag, value in (("--space", None if why else space), ("-k", k), ("--csv", csv_file)):
            if value is not None:
                raise UserError(f"{flag} {value}: is for queries. Add --query, or leave it out.")
    if not query and not why:
        return all_neighbors(config)
    spaces = config.similar.spaces
    space = space or list(spaces)[-1]
    if space not in spaces:
        known = ", ".join(spaces)
        raise UserError(f"--space {cli.printable(space)}: is not one of similar.spaces ({known}). Name one of them.")
    if why:
        return draw_why(config, why, space)
    k = config.similar.n_neighbors if k is None else k
    if k < 1:
        raise UserError(f"-k {k}: is no number of neighbours. Give 1 or more.")
    return answer(config, query, space, k, csv_file)


if __name__ == "__main__":
    cli.run(main, __doc__, add_arguments)
