"""Scores pairs of pictures by how probably they are of the same artist.

Reads   a CSV of pairs, and outputs/verifier.h5. Pairs name works of the collection by their image_ids, or pictures
        below the folder that --images names, which are looked at once each
Writes  outputs/scores.csv (or what --output names)   index, score: the probability, 0 to 1, in the order of the pairs
        outputs/scores_missing.csv   index, image: the pairs that have no score because a picture was not to be had
Run     python verify_pairs.py PAIRS.csv [--images FOLDER] [--output FILE]
        Columns are index,image1,image2 and, where the answer is known, sameArtist (1 or 0); names can be changed:
        --index, --left, --right, --same. With known answers it tells how good the scores are.
Source  Kaggle's "Painter by Numbers" (2016), whose submission_info.csv and submission these are
Cost    about 35 s for a million pairs on 2 busy cores, most of it for reading and writing CSV (scoring takes 2 s);
        190 MB for 13,000 works, however many pairs

An interval draws whole artists with replacement where the collection knows them, and pictures where it does not.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from artatlas import cli, embed, metadata, outcomes, sources, store, verification
from artatlas.config import Config, Images
from artatlas.errors import UserError
from artatlas.outcomes import Outcomes
from artatlas.pixel_siamese import Pixels
from artatlas.verification import Verifier, Works

ROWS = 1 << 15  # pairs at a time, some 20 MB as Python's text
TRUE, FALSE = ("1", "true", "True", "1.0"), ("0", "false", "False", "0.0")
LISTED = 3  # missing pictures that are named on the screen


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pairs", type=Path, metavar="PAIRS.csv", help="what to score")
    parser.add_argument(
        "--images", type=Path, metavar="FOLDER", help="where pictures are that are not in the collection"
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="(default: scores.csv among the outputs)")
    for name, default in (("index", "index"), ("left", "image1"), ("right", "image2"), ("same", "sameArtist")):
        parser.add_argument(f"--{name}", default=default, metavar="COLUMN", help=f"(default: {default})")


class Pairs:
    """A CSV of pairs, read some rows at a time, as often as is needed.

    Raises UserError where it is not readable or lacks a column; `same` may be missing.
    """

    def __init__(self, path: Path, index: str, left: str, right: str, same: str) -> None:
        self.path, self.shown = path, store.show(path)
        with self._open() as reader:
            self.header = next(reader, [])
        for name in (index, left, right):
            if name not in self.header:
                found = ", ".join(map(cli.printable, self.header)) or "it is empty"
                raise UserError(
                    f"{self.shown}: has no column {name} ({found}). Name its columns with --index, --left and --right."
                )
        self.columns = [self.header.index(name) for name in (index, left, right)]
        self.same = self.header.index(same) if same in self.header else None

    @contextmanager
    def _open(self) -> Iterator[Any]:
        """The rows as lists of text; what goes wrong while they are read is told."""
        try:
            with self.path.open(encoding="utf-8-sig", newline="") as file:
                yield csv.reader(file)
        except OSError as error:
            raise UserError(f"{self.shown}: cannot be read ({error.strerror}). Name a CSV of pairs.") from None
        except (csv.Error, UnicodeDecodeError) as error:
            raise UserError(f"{self.shown}: is not readable as CSV ({error}). Save it again as UTF-8.") from None

    def read(self, at_a_time: int = ROWS) -> Iterator[tuple[tuple[str, ...], ...]]:
        """index, left, right and, where there is one, same: tuples of text of up to `at_a_time` rows."""
        wanted = [*self.columns, *([self.same] if self.same is not None else [])]
        with self._open() as reader:
            next(reader)
            while block := list(islice(reader, at_a_time)):
                rows = [row for row in block if row]  # there may be an empty line at the end
                for odd in (row for row in rows if len(row) != len(self.header)):
                    raise UserError(
                        f"{self.shown}: {cli.printable(','.join(odd))[:80]} has {len(odd)} fields, the header has"
                        f" {len(self.header)}. Correct that line."
                    )
                if rows:
                    columns = tuple(zip(*rows, strict=True))
                    yield tuple(columns[i] for i in wanted)


def names_of(pairs: Pairs) -> set[str]:
    """Every picture that a pair names."""
    found: set[str] = set()
    for _, left, right, *_ in cli.progress(pairs.read(), unit="block", desc="reading"):
        found.update(left)
        found.update(right)
    return found


@dataclass(frozen=True)
class Collection:
    """What verifier.h5 holds.

    together : of each work, what is drawn together for intervals: its artist, or itself where that is not known
    picture_of : SHA-256 of a file -> its picture
    edges : of the bins that scores are counted in
    """

    image_ids: list[str]
    verifier: Verifier
    works: Works
    together: list[str]
    picture_of: dict[str, int]
    edges: np.ndarray


def read_collection(config: Config) -> Collection:
    with store.open_output(config, "verifier") as h5:
        ids = store.read_ids(h5)
        works = Works(h5["embeddings"][:], h5["norms"][:], h5["picture"][:])
        together = [label or name for label, name in zip(h5["label"].asstr()[:], ids, strict=True)]
        picture_of = dict(zip(h5["file_sha256"].asstr()[:].tolist(), works.picture.tolist(), strict=True))
        return Collection(list(ids), verification.read(h5), works, together, picture_of, h5["report/edges"][:])


def find_rows(names: list[str], image_ids: list[str]) -> dict[str, int]:
    """name -> row of the work that it means, exactly or loosely as in a metadata CSV; without names that mean none."""
    row = {image_id: i for i, image_id in enumerate(image_ids)}
    row_of: dict[str, int] = {}
    # A join gives each work one name; a file of pairs may call it by several.
    while found := metadata.join(image_ids, left := [name for name in names if name not in row_of]):
        row_of |= {left[i]: row[image_id] for image_id, i in found.items()}
    return row_of


def look_at(
    names: list[str], folder: Path, config: Config, verifier: Verifier
) -> tuple[list[str], list[str], np.ndarray]:
    """Names, SHA-256 and embeddings (M, D) of the pictures below `folder` that can be read."""
    files = embed.find_named(names, folder)
    if not files:
        return [], [], np.zeros((0, 0), np.float32)
    with store.open_output(config, "verifier") as h5:
        images, placed = sources.read_written(h5)
    settings = Images(**images)
    embedder = embed.embedder(placed, settings.network_px, config, "verifier.h5", len(files))
    found: list[str] = []
    hashes: list[str] = []
    embeddings = []
    for batch in embed.decode(files, settings, config, [], "looking"):
        pixels = np.stack([picture.pixels for _, picture in batch])
        seen: np.ndarray | Pixels = Pixels(pixels, np.arange(len(pixels)))
        if placed:
            vectors = embedder(pixels)
            seen = np.hstack([source.scaler.transform(vectors[name]) for name, source in placed.items()])
        embeddings.append(verifier.embed(seen))
        found += [name for name, _ in batch]
        hashes += [picture.sha256 for _, picture in batch]
    return found, hashes, np.concatenate(embeddings) if embeddings else np.zeros((0, 0), np.float32)


def joined(works: Works, embeddings: np.ndarray, hashes: list[str], known: dict[str, int], verifier: Verifier) -> Works:
    """The works and new ones after them. `hashes` (M,) of the new files; `known`: hash -> picture of the works."""
    if not len(embeddings):
        return works
    start = len(works.embeddings)
    picture = [known.setdefault(each, start + i) for i, each in enumerate(hashes)]
    return Works(
        np.concatenate([works.embeddings, embeddings]),
        np.concatenate([works.norms, verifier.norms(embeddings)]),
        np.concatenate([works.picture, np.array(picture, np.int64)]),
    )


def is_true(values: tuple[str, ...], shown: str) -> np.ndarray:
    truth = np.fromiter((1 if value in TRUE else 0 if value in FALSE else -1 for value in values), np.int8)
    if (truth < 0).any():
        value = values[int(np.argmin(truth))]
        raise UserError(f"{shown}: {cli.printable(value)!r} is no answer. Use 1 and 0, or leave the column out.")
    return truth == 1


def score(
    pairs: Pairs, row_of: dict[str, int], works: Works, verifier: Verifier, group: np.ndarray, edges: np.ndarray,
    output: Path, missing_file: Path,
) -> tuple[int, int, Outcomes | None]:  # fmt: skip
    """Streams the pairs through; returns how many were scored, how many not, and outcomes where answers are known."""
    found = Outcomes(edges, verifier.calibration.band) if pairs.same is not None else None
    n_scored = n_missing = 0
    with ExitStack() as stack:
        out, missing = (
            stack.enter_context(stack.enter_context(store.replacing(path)).open("w", encoding="utf-8", newline=""))
            for path in (output, missing_file)
        )
        scores, lacking = (csv.writer(file, lineterminator="\n") for file in (out, missing))
        scores.writerow(["index", "score"])
        lacking.writerow(["index", "image"])
        for index, left, right, *same in cli.progress(pairs.read(), unit="block", desc="scoring"):
            a, b = (np.fromiter((row_of.get(name, -1) for name in side), np.int64) for side in (left, right))
            there = (a >= 0) & (b >= 0)
            for i in np.flatnonzero(~there):
                lacking.writerows([index[i], name] for name, row in ((left[i], a[i]), (right[i], b[i])) if row < 0)
            rows = np.flatnonzero(there)
            a, b = a[rows], b[rows]
            raw = verifier.raw(works, a, b)
            probability = verifier.probability(raw)
            kept = index if len(rows) == len(index) else [index[i] for i in rows]
            scores.writerows(zip(kept, map("%.6f".__mod__, probability.tolist()), strict=True))
            if found is not None:
                found.add(raw, probability, is_true(same[0], pairs.shown)[rows], group[a], group[b])
            n_scored, n_missing = n_scored + len(rows), n_missing + len(index) - len(rows)
    if not n_missing:
        missing_file.unlink()
    return n_scored, n_missing, found


def table(found: Outcomes) -> str:
    """The figures, and what was answered."""
    figures = found.figures()
    sure, right = figures["answered"], figures["accuracy_answered"]
    told = [
        f"ROC AUC             {figures['roc_auc']}",
        f"PR AUC              {figures['pr_auc']}, of a guess {figures['prevalence'].value:.3f}",
        f'accuracy            {figures["accuracy"]}, of always "different" {figures["always_different"].value:.3f}',
        f"balanced accuracy   {figures['balanced_accuracy']}",
        f"sure of its answer  {sure} of the pairs, and then accuracy {right}",
        "",
        f"{'answer':>16}  {'different':>12}  {'same':>12}",
    ]
    for column, answer in enumerate(outcomes.ANSWERS):
        other, same = found.confusion[:, column]
        told.append(f"{answer:>16}  {other:>12,}  {same:>12,}")
    return "\n".join([*told, ""])


def main(
    config: Config, pairs: Path, images: Path | None = None, output: Path | None = None, index: str = "index",
    left: str = "image1", right: str = "image2", same: str = "sameArtist",
) -> tuple[Path, str]:  # fmt: skip
    # 1. Read
    output = output or config.outputs / "scores.csv"
    asked = Pairs(pairs, index, left, right, same)
    known = read_collection(config)

    # 2. Compute
    names = sorted(names_of(asked))
    row_of = find_rows(names, known.image_ids)
    works, together = known.works, known.together
    new = [name for name in names if name not in row_of]
    if new and images is not None:
        found, hashes, embeddings = look_at(new, images, config, known.verifier)
        row_of |= {name: len(together) + i for i, name in enumerate(found)}
        works = joined(works, embeddings, hashes, known.picture_of, known.verifier)
        together = together + found
    missing = [name for name in names if name not in row_of]
    if missing:
        listed = ", ".join(map(cli.printable, missing[:LISTED])) + (", ..." if len(missing) > LISTED else "")
        remedy = "" if images else "; --images names a folder of others"
        cli.notice(f"{cli.count(len(missing), 'picture is', 'pictures are')} not to be had: {listed}{remedy}")
    if len(missing) == len(names):
        raise UserError(
            f"{asked.shown}: none of its {cli.count(len(names), 'picture')} is a work of the collection. Name pairs by"
            " image_ids, or the folder that they are in with --images."
        )

    # 3. Write
    missing_file = output.with_name(f"{output.stem}_missing.csv")
    group = outcomes.groups(together)
    n_scored, n_missing, counted = score(asked, row_of, works, known.verifier, group, known.edges, output, missing_file)
    if counted is not None and n_scored:
        print(table(counted))
    summary = f"{cli.count(n_scored, 'pair')} of {cli.count(len(names) - len(missing), 'picture')} scored"
    if n_missing:
        summary += f", {n_missing:,} left out for {cli.count(len(missing), 'missing picture')}"
        summary += f" ({store.show(missing_file)})"
    return output, summary


if __name__ == "__main__":
    cli.run(main, __doc__, add_arguments)
