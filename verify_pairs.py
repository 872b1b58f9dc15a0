"""Scores pairs of pictures by how probably they are of the same artist.

Reads   a CSV of pairs, and outputs/verifier.h5. Pairs name works of the collection by their image_ids, or pictures
        below the folder that --images names, which are looked at once each
Writes  outputs/scores.csv (or what --output names)   index, score: the probability, 0 to 1, in the order of the pairs
        outputs/scores_missing.csv   index, image: the pairs that have no score because a picture was not to be had
Run     python verify_pairs.py PAIRS.csv [--images FOLDER] [--output FILE]
        Columns are index,image1,image2 and, where the answer is known, sameArtist (1 or 0); names can be changed:
        --index, --left, --right, --same. With known answers it tells how good the scores are.
Source  Kaggle's "Painter by Numbers" (2016), whose submission_info.csv and submission these are
Cost    about 4 s for a million pairs on two quick cores, start included, most of it for reading and writing CSV;
        180 MB for 13,000 works, however many pairs

An interval draws whole artists with replacement where the collection knows them, and pictures where it does not.
"""

from __future__ import annotations

import argparse
import csv
from contextlib import ExitStack
from itertools import repeat
from pathlib import Path

import numpy as np

from artatlas import cli, outcomes, store, verified_works
from artatlas.config import Config
from artatlas.errors import UserError
from artatlas.outcomes import Outcomes
from artatlas.pair_files import Pairs, is_true
from artatlas.verified_works import Collection

LISTED = 3  # missing pictures that are named on the screen


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pairs", type=Path, metavar="PAIRS.csv", help="what to score")
    parser.add_argument(
        "--images", type=Path, metavar="FOLDER", help="where pictures are that are not in the collection"
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="(default: scores.csv among the outputs)")
    for name, default in (("index", "index"), ("left", "image1"), ("right", "image2"), ("same", "sameArtist")):
        parser.add_argument(f"--{name}", default=default, metavar="COLUMN", help=f"(default: {default})")


def score(
    pairs: Pairs, row_of: dict[str, int], known: Collection, output: Path, missing_file: Path
) -> tuple[int, int, Outcomes | None]:
    """Streams the pairs through; returns how many were scored, how many not, and outcomes where answers are known."""
    fitted, group = known.verifier.calibration, outcomes.groups(known.together)
    found = Outcomes(known.edges, fitted.band, fitted.prevalence) if pairs.same is not None else None
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
            a, b = (np.fromiter(map(row_of.get, side, repeat(-1)), np.int64, len(side)) for side in (left, right))
            there = (a >= 0) & (b >= 0)
            for i in np.flatnonzero(~there):
                lacking.writerows([index[i], name] for name, row in ((left[i], a[i]), (right[i], b[i])) if row < 0)
            rows = np.flatnonzero(there)
            a, b = a[rows], b[rows]
            raw = known.verifier.raw(known.works, a, b)
            probability = known.verifier.probability(raw)
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
        f"calibration error   {figures['calibration_error']}, at {found.prevalence:.1%} of one label",
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
    collection = verified_works.read(config)

    # 2. Compute
    names = sorted(asked.names())
    row_of, known = verified_works.find(collection, names, images, config)
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
    n_scored, n_missing, counted = score(asked, row_of, known, output, missing_file)
    if counted is not None and n_scored:
        print(table(counted))
    summary = f"{cli.count(n_scored, 'pair')} of {cli.count(len(names) - len(missing), 'picture')} scored"
    if n_missing:
        summary += f", {n_missing:,} left out for {cli.count(len(missing), 'missing picture')}"
        summary += f" ({store.show(missing_file)})"
    return output, summary


if __name__ == "__main__":
    cli.run(main, __doc__, add_arguments)
