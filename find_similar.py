"""What else looks like this: the nearest works of every work, or of any picture, by content, style, colour and mixes.

Reads   outputs/content.h5, style.h5, color.h5 (those that similar.spaces mentions) and images.h5
Writes  outputs/neighbors.h5   image_ids (N,), and per space <space>/indices (N, k) int32, rows of image_ids, nearest
        first, and <space>/distances (N, k) float32. No work is its own neighbour; of exact duplicates only the first is
        anyone's, and it is not its duplicates'. With csls also <space>/local_similarity (N,): high is a hub.
        With --update, the same file with the works in it that have been added, distances measured as before.
        With --query, instead: a table, a contact sheet a query below outputs/similar/, and what --csv names.
        With --why, instead: a picture there of what each source adds to the distance of two works, of their palettes,
        and of the channels that fire together in both, lit up where they do.
Run     python find_similar.py [--update]
        python find_similar.py --query PICTURE_OR_FOLDER_OR_ID [...] [--space style] [-k 20] [--csv FILE]
        python find_similar.py --why ONE OTHER [--space style]
        settings: similar
Source  faiss: Johnson, Douze & Jegou 2021; CSLS: Conneau et al. 2018
Cost    all works: 1 s for 1,000 works a space and 10 s for 20,000 on 2 cores (exact); memory for their features and as
        much again. A query: 2 s for a picture, half a second more for each further one up to 8; 10 s to start for more
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from artatlas import answers, cli, embed, explain, features, images, neighbor_lists, neighbors, queries, store, vgg
from artatlas.answers import Answer
from artatlas.config import Config
from artatlas.errors import UserError

N_PAIRS = 3  # of channels that --why shows


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--query", nargs="+", default=(), metavar="WHAT", help="ids of works, pictures, folders of pictures"
    )
    parser.add_argument("--why", nargs=2, default=(), metavar=("A", "B"), help="draws why two works are near or far")
    parser.add_argument("--update", action="store_true", help="keeps all distances, searches only for added works")
    parser.add_argument("--space", help="of similar.spaces (default: the last)")
    parser.add_argument("-k", type=int, help="neighbours of a query (default: similar.n_neighbors)")
    parser.add_argument("--csv", type=Path, metavar="FILE", dest="csv_file", help="writes the answers there too")


def all_neighbors(config: Config, update: bool) -> tuple[Path, str]:
    """The stage: neighbors.h5 of all works in all spaces."""
    # 1. Read
    settings, works = config.similar, queries.read_works(config)
    neighbors.set_threads(images.n_threads(config.machine.threads))
    known = neighbor_lists.read_known(config, works) if update else None
    index = known.index if known else neighbors.resolve_index(settings.index, len(works.base))

    # 2. Compute
    found = {}
    for name in settings.spaces:
        if known:
            found[name] = neighbor_lists.search_added(config, works, name, known)
        else:
            found[name] = neighbor_lists.search_all(config, works, name, index)

    # 3. Write
    output = config.outputs / "neighbors.h5"
    recipe = {"settings": config.settings(("similar",)), "index": index}
    if known:
        recipe |= {"scaled_as": known.scaled_as, "additions": known.additions}
    with store.create(output, "neighbors", recipe, works.inputs) as h5:
        store.write_ids(h5, works.image_ids)
        for name, lists in found.items():
            neighbor_lists.write(h5.create_group(name), lists, settings.spaces[name].weights, index)
    told = ", ".join(f"{name} {lists.recall:.1%}" for name, lists in found.items())
    agreement = "exact" if index == "exact" else f"by {index}, which agrees with exact search to: {told}"
    k = next(iter(found.values())).indices.shape[1]
    duplicates = len(works.first) - len(works.base)
    return output, (
        f"{cli.count(k, 'neighbour')} of {cli.count(len(works.first), 'work')} by {', '.join(found)}, {agreement}"
        + (f"; {cli.count(len(works.first) - len(known.rows), 'work')} of them added" if known else "")
        + (f"; {cli.count(duplicates, 'exact duplicate')} left out of the lists" if duplicates else "")
    )


def answer(config: Config, what: Sequence[str], space: str, k: int, csv_file: Path | None) -> tuple[Path, str]:
    """Query mode: a table, a contact sheet a query and, if asked for, a CSV."""
    # 1. Read
    works = queries.read_works(config)
    local_similarity = neighbor_lists.read_local_similarity(config, space, works)
    place = queries.read_space(config, works, space, neighbor_lists.read_scalers(config, space))
    asked = queries.read_queries(config, what, works, place)
    neighbors.set_threads(images.n_threads(config.machine.threads))

    # 2. Compute
    base = place.features if len(works.base) == len(works.first) else place.features[works.base]
    searchable = neighbors.prepare(base, config.similar.hubness, "exact", 0, local_similarity)
    own = np.array([query.own for query in asked])
    rows, distances = neighbors.find(searchable, np.stack([query.features for query in asked]), k, own)
    answered = [Answer(*each) for each in zip(asked, works.base[rows], distances, strict=True)]

    # 3. Write
    with store.open_output(config, "images") as h5:
        catalogue = queries.read_catalogue(h5, works.image_ids)
        taken: set[str] = set()
        for each in answered:
            print(answers.table(each, space, catalogue))
            path = config.outputs / "similar" / answers.sheet_name(each.query.label, space, taken)
            answers.save(answers.draw_sheet(each, space, catalogue), path)
    if csv_file:
        answers.write_csv(csv_file, answered, catalogue)
    shown = path if len(asked) == 1 else path.parent
    return shown, f"{cli.count(rows.shape[1], 'neighbour')} of {cli.count(len(asked), 'query', 'queries')} by {space}"


def explain_pair(config: Config, pair: Sequence[str], space: str) -> tuple[Path, str]:
    """--why: a picture of why two works are as near as they are."""
    # 1. Read
    works = queries.read_works(config)
    place = queries.read_space(config, works, space, neighbor_lists.read_scalers(config, space))
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
        sheet = answers.draw_why(asked, space, distance, shares, found, layer, catalogue, config.images.fit)
    both = "_and_".join(Path(query.name).stem[:38] for query in asked)
    path = config.outputs / "similar" / answers.sheet_name(f"{both}.", space, set())
    answers.save(sheet, path)
    told = ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
    return path, f"distance {distance:.3f} by {space}, of its square {told}"


def main(
    config: Config, query: Sequence[str] = (), space: str | None = None, k: int | None = None,
    csv_file: Path | None = None, why: Sequence[str] = (), update: bool = False,
) -> tuple[Path, str]:  # fmt: skip
    if query and why:
        raise UserError("--why: is asked alone. Leave out --query, or ask twice.")
    if not query:
        for flag, value in (("--space", None if why else space), ("-k", k), ("--csv", csv_file)):
            if value is not None:
                raise UserError(f"{flag} {value}: is for queries. Add --query, or leave it out.")
    if not query and not why:
        return all_neighbors(config, update)
    if update:
        raise UserError("--update: is for neighbors.h5. Run it alone, then ask.")
    spaces = config.similar.spaces
    space = space or list(spaces)[-1]
    if space not in spaces:
        known = ", ".join(spaces)
        raise UserError(f"--space {cli.printable(space)}: is not one of similar.spaces ({known}). Name one of them.")
    if why:
        return explain_pair(config, why, space)
    k = config.similar.n_neighbors if k is None else k
    if k < 1:
        raise UserError(f"-k {k}: is no number of neighbours. Give 1 or more.")
    return answer(config, query, space, k, csv_file)


if __name__ == "__main__":
    cli.run(main, __doc__, add_arguments, only_reads=lambda options: bool(options["query"]))
