"""The figures of the shipped files, recomputed from the files alone and compared with their cards.

Run     make figures, or python benchmarks/shipped_figures.py [NAME ...] [--write]
        exits 1 where a card says something else; --write puts what was found into the cards
Cost    15 s for paintings, 3 min for openclipart

No images and no TensorFlow: data/NAME_embeddings.h5 is all that is read.
"""

import argparse
import re
import sys
from pathlib import Path

import h5py
import numpy as np

REPO = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPO))

from artatlas import forms, metrics, parametric, sources, store

CARDS = {"paintings": "DATASET_PAINTINGS.md", "openclipart": "DATASET_OPENCLIPART.md"}
OPENING, CLOSING = "<!-- figures -->\n", "<!-- /figures -->"
LABEL, K, K_TRUST = "artist", 10, 12
AUC_WORKS = 3000  # drawn, where there are more: all pairs of them
TOLERANCE = 0.0015  # figures have three decimals, and sums may end in another order elsewhere


def unit(x):
    """Rows (N, D) centred and brought to unit length."""
    x = x.astype(np.float32) - x.mean(axis=0, dtype=np.float64).astype(np.float32)
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)


def features_of(f, name):
    """What the map `name` was drawn from, as far as the file holds it: (N, D)."""
    weights = re.search(r"\{.*?\}", f[f"{name}/coordinates"].attrs["description"])[0]
    weights = {key: float(value) for key, value in re.findall(r'"(\w+)": ([\d.]+)', weights)}
    return sources.combine({key: f[f"{key}/embeddings"].astype("f4")[:] for key in weights}, weights, "cosine")[0]


def labels_of(f):
    """(N,) str, and which works have one that another work has too."""
    labels = f[f"metadata/{LABEL}"].asstr()[:]
    values, counts = np.unique(labels, return_counts=True)
    shared = set(values[counts > 1]) - {""}
    return labels, np.array([label in shared for label in labels])


def of_source(f, name, labels, asked):
    x = unit(f[f"{name}/embeddings"][:])
    rows = np.flatnonzero(asked)
    if len(rows) > AUC_WORKS:
        rows = np.sort(np.random.default_rng(0).choice(rows, AUC_WORKS, replace=False))
    row = {
        "dimensions": x.shape[1],
        "variance kept": float(f[f"{name}/embeddings"].attrs["explained_variance_ratio"]),
        f"same {LABEL}, by 5 neighbours": metrics.knn_accuracy(x[asked], labels[asked]),
        f"same {LABEL}, mAP@{K}": metrics.mean_average_precision(x[asked], labels[asked], K),
        f"same {LABEL}, AUC over pairs": metrics.pair_auc(x[rows], labels[rows]),
    }
    if f"{name}/neighbors" in f:
        near, stored = metrics.neighbours(x, K), f[f"{name}/neighbors"][:, :K]
        row[f"of the {K} stored neighbours, those by cosine too"] = float(
            (near[:, :, None] == stored[:, None, :]).any(axis=2).mean()
        )
    return row


def of_map(f, name, labels, asked):
    features, xy = features_of(f, name), f[f"{name}/coordinates"][:]
    row = {
        f"trustworthiness, {K_TRUST} neighbours": metrics.trustworthiness(features, xy, K_TRUST),
        f"continuity, {K_TRUST} neighbours": metrics.continuity(features, xy, K_TRUST),
        f"same {LABEL}, by 5 neighbours": metrics.knn_accuracy(xy[asked], labels[asked]),
    }
    if f"{name}/faithfulness" in f:
        row["faithfulness stored, mean"] = float(f[f"{name}/faithfulness"].astype("f4")[:].mean())
    return row


def of_network(f):
    """The network in the file, fed with the embeddings in the file."""
    model, drawn = parametric.read(f["model"]), f["model/network"].attrs["map"]
    placed = model.network.place(
        model.features({name: f[f"{name}/embeddings"].astype("f4")[:] for name in model.sources})
    )
    wanted, is_test = f[f"{drawn}/coordinates"][:], f["model/is_test"][:]
    side = np.ptp(wanted, axis=0).max()
    features = features_of(f, drawn)
    return {
        "works it never saw": int(is_test.sum()),
        "its places, against those stored (largest difference, shares of the map)":
            float(np.abs(placed - f["model/coordinates"][:]).max() / side),
        "off the map's places, works it never saw (median, shares of the map)":
            float(np.median(np.linalg.norm(placed - wanted, axis=1)[is_test]) / side),
        f"trustworthiness, {K_TRUST} neighbours, works it never saw":
            metrics.trustworthiness(features[is_test], placed[is_test], K_TRUST),
        "the same of the map itself": metrics.trustworthiness(features[is_test], wanted[is_test], K_TRUST),
    }  # fmt: skip


def cell(figure):
    return f"{figure:.3f}" if isinstance(figure, float) else f"{figure:,}" if isinstance(figure, int) else figure


def markdown(rows):
    """A Markdown table of name -> {column: figure}."""
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    shown = [[name, *(cell(row.get(column, "")) for column in columns)] for name, row in rows.items()]
    lines = [["", *columns], ["---"] * (len(columns) + 1), *shown]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def figures(path):
    """Everything that the card says of the file, as Markdown."""
    with h5py.File(path) as f:
        labels, asked = labels_of(f)
        n_labels = len(set(labels) - {""})
        counts = {
            "works": len(store.read_ids(f)), f"{LABEL}s": n_labels,
            f"works whose {LABEL} has another": int(asked.sum()), "megabytes": path.stat().st_size / 1e6,
        }  # fmt: skip
        tables = [
            {"file": counts},
            {name: of_source(f, name, labels, asked) for name in forms.groups(f, "embeddings")},
            {name: of_map(f, name, labels, asked) for name in forms.groups(f, "coordinates")},
            {"network": of_network(f)},
        ]
    return "\n".join(markdown(table) for table in tables)


def differences(card, found):
    """Lines of two texts that are not the same but for the last digit of a figure."""
    number = re.compile(r"\d+\.\d+")
    one, other = card.splitlines(), found.splitlines()
    if len(one) != len(other):
        return ["the tables have other rows"]
    return [
        f"card: {a}\nfile: {b}"
        for a, b in zip(one, other, strict=True)
        if number.sub("#", a) != number.sub("#", b)
        or any(abs(float(x) - float(y)) > TOLERANCE
               for x, y in zip(number.findall(a), number.findall(b), strict=True))
    ]  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[[], *CARDS], metavar="NAME", help="default: all that are there")
    parser.add_argument("--write", action="store_true", help="put the figures into the cards")
    options = parser.parse_args()
    wrong = 0
    there = [name for name in CARDS if (REPO / "data" / f"{name}_embeddings.h5").exists()]
    for name in options.names or there:
        path, card = REPO / "data" / f"{name}_embeddings.h5", REPO / "docs" / CARDS[name]
        found = figures(path)
        before, _, rest = card.read_text(encoding="utf-8").partition(OPENING)
        told, _, after = rest.partition(CLOSING)
        if options.write:
            card.write_text(before + OPENING + found + CLOSING + after, encoding="utf-8")
        elif problems := differences(told, found):
            wrong += 1
            print(f"{card.relative_to(REPO)} says something else than {path.name}:", *problems, sep="\n")
        print(f"{name}\n\n{found}")
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
