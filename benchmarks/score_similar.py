"""Which recipe finds other works of the same artist? Leave-one-out retrieval with nothing trained on labels.

Every work is a possible answer; works of artists with 5 or more are the questions. Figures of every space and mix, with
95% intervals from drawing whole artists, beside artists dealt at random; then a recipe chosen on half of the artists
and scored on the other half, three times. Prints Markdown for docs/EXPERIMENTS.md.

Reads   images.h5 with metadata columns artist and style (python prepare_images.py)
Run     python benchmarks/score_similar.py --config paintings.yaml --cache vectors.npz
Cost    for 1,231 works on 2 cores 6 minutes and 5 GB for the vectors, which --cache keeps; then 4 minutes
"""

import argparse
import itertools
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from common import header

from artatlas import cli, color, config, metrics, store, vgg, weights

GRAMS = ("block1_conv1", "block2_conv1", "block3_conv1", "block4_conv1", "block5_conv1")
POOLED = ("block4_pool", "block5_conv1", "block5_pool")
TRANSFORMS = {"none": lambda x: x, "sqrt": np.sqrt, "log1p": np.log1p}
JOINED = {"b3": GRAMS[2:3], "b4": GRAMS[3:4], "b5": GRAMS[4:], "b3+b4": GRAMS[2:4], "b4+b5": GRAMS[3:],
          "b3+b4+b5": GRAMS[2:], "b1+...+b5": GRAMS}  # fmt: skip
FEW = 5  # artists with fewer works are not asked about
DEPTH = 100  # neighbours looked at
HUB = 10  # of CSLS
EXPANSION = 2  # nearest works that stand in for a question beside itself
SHRINK = 0.1  # of the mean variance, added to every column's before it is divided by a power of it
POWERS = {"cosine": 0.0, "half-white": 0.25, "white": 0.5}
SPLITS = 3


# Vectors


def compute(settings, tf, network):
    """{name: (N, D)}: pooled activations, colour shares, and Gram vectors in the coordinates of all their principal
    components, which keep every distance and take 6 MB in the place of 650."""
    heads = [vgg.Gram(layer, "hw", "none") for layer in GRAMS]
    pooled = [(layer, pooling) for layer in (*POOLED, *GRAMS[:4]) for pooling in ("avg", "max")]
    heads += [vgg.Pooled(*head) for head in pooled]
    names = [f"gram {layer}" for layer in GRAMS] + [f"{pooling} {layer}" for layer, pooling in pooled]
    precision = vgg.resolve_precision(settings.vgg.precision, tf)
    forward = vgg.build(network, heads, precision, settings.images.network_px, tf)
    with store.open_output(settings, "images") as images:
        n_works = len(images["image_ids"])
        batches = vgg.Batches(images["pixels"], settings.machine.batch_size).read(slice(0, n_works))
        parts = [forward(batch) for batch in cli.progress(list(batches), desc="looking")]
        vectors = {name: np.concatenate([part[i] for part in parts]) for i, name in enumerate(names)}
        del parts
        for space in ("rgb", "lab"):
            vectors[space] = color.histograms(images["pixels"][:], space, 8, "none")
    for layer in cli.progress(GRAMS, desc="rotating"):
        gram, mean = vectors.pop(f"gram {layer}"), vectors[f"avg {layer}"]
        rows, columns = np.triu_indices(mean.shape[1])
        twice = np.where(rows == columns, 1, np.sqrt(2)).astype(np.float32)  # entries off the diagonal stand for two
        gram /= twice
        for transform, function in TRANSFORMS.items():
            vectors[f"gram {layer} {transform}"] = rotated(function(gram) * twice)
        deviation = np.sqrt(np.maximum(gram[:, rows == columns] - mean**2, 1e-6))
        for i in range(len(gram)):  # correlations of the channels
            gram[i] -= mean[i, rows] * mean[i, columns]
            gram[i] /= deviation[i, rows] * deviation[i, columns]
        vectors[f"gram {layer} correlation"] = rotated(gram * twice)
        del gram
    return vectors


def rotated(x):
    """Principal coordinates (N, up to N) of rows (N, P), by falling variance."""
    x = x - x.mean(axis=0)
    squares, directions = np.linalg.eigh((x @ x.T).astype(np.float64))
    squares, directions = squares[::-1], directions[:, ::-1]
    kept = squares > 1e-7 * squares[0]
    return (directions[:, kept] * np.sqrt(squares[kept])).astype(np.float32)


def load(settings, cache):
    """Vectors, artist (N,), style (N,) and what made them in words; from the cache where it fits images.h5."""
    with store.open_output(settings, "images") as images:
        artist, style = (images[f"metadata/{name}"].asstr()[:] for name in ("artist", "style"))
        key = str(images.attrs["fingerprint"])
    if cache and cache.exists():
        with np.load(cache) as stored:
            if str(stored["key"]) == key:
                return {name: stored[name] for name in stored.files if name not in ("key", "made")}, artist, style, str(
                    stored["made"])  # fmt: skip
    network = weights.resolve(settings.vgg.network, settings.vgg.weights)
    tf = vgg.start_tensorflow(settings)
    made = f"{network.network.upper()} ({network.source}), {vgg.resolve_precision(settings.vgg.precision, tf)}"
    vectors = compute(settings, tf, network)
    if cache:
        np.savez(cache, key=key, made=made, **vectors)
    return vectors, artist, style, made


# Distances


def joined(vectors, layers, transform, n_components=512):
    """What extract_style.py makes of several layers: each of the same total variance, then PCA."""
    parts = [vectors[f"gram {layer} {transform}"] for layer in layers]
    if len(parts) > 1:
        parts = [rotated(np.hstack([part / np.linalg.norm(part) for part in parts]))]
    return parts[0][:, :n_components]


def scaled(x, scaling):
    """"none" leaves x as it is. The others centre it, divide every column by its variance to the power of 0, 1/4 or
    1/2, and bring rows to unit length. On principal components that is whitening: none, half or whole."""
    if scaling == "none":
        return x
    x = x - x.mean(axis=0)
    variance = x.var(axis=0)
    x = x / (variance + SHRINK * variance.mean()) ** POWERS[scaling]
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)


def squared_distances(x):
    x = x.astype(np.float64) - x.mean(axis=0)
    squares = np.einsum("ij,ij->i", x, x)
    distances = np.maximum(squares[:, None] + squares - 2 * x @ x.T, 0)
    np.fill_diagonal(distances, np.inf)
    return distances.astype(np.float32)


def csls(distances):
    """Cross-domain similarity local scaling (Conneau et al. 2018): works that are near to everything step back."""
    near = np.partition(distances, HUB, axis=1)[:, :HUB].mean(axis=1)
    return distances - (near[:, None] + near) / 2


def expanded(distances):
    """Average query expansion (Chum et al. 2007): asks for what is near to the work and its two nearest together.

    The mean of their squared distances orders works as the squared distance to the mean of the three does.
    """
    whole = distances.copy()
    np.fill_diagonal(whole, 0)
    together = np.hstack([np.arange(len(distances))[:, None], ranked(distances, EXPANSION)])  # (N, 1 + 2)
    mean = sum(whole[rows] for rows in together.T) / np.float32(together.shape[1])
    np.fill_diagonal(mean, np.inf)
    return mean


CORRECTIONS = {"": lambda distances: distances, "CSLS": csls, "expanded": expanded}


def ranked(distances, depth=DEPTH):
    """The nearest rows of every row, nearest first: (N, depth)."""
    found = np.argpartition(distances, depth, axis=1)[:, :depth]
    order = np.argsort(np.take_along_axis(distances, found, axis=1), axis=1, kind="stable")
    return np.take_along_axis(found, order, axis=1)


# Figures


class Scores:
    """Figures of one matrix of distances over the questions."""

    def __init__(self, artist, style):
        self.artist, self.style = artist, style
        _, codes, sizes = np.unique(artist, return_inverse=True, return_counts=True)
        self.asked = sizes[codes] >= FEW
        rng = np.random.default_rng(0)
        self.dealt, self.dealt_within = rng.permutation(artist), artist.copy()
        for name in np.unique(style):
            self.dealt_within[style == name] = rng.permutation(artist[style == name])

    def artists_alike(self, average):
        """The mean over artists of the means over their works."""
        _, codes = np.unique(self.artist[self.asked], return_inverse=True)
        return (np.bincount(codes, average[self.asked]) / np.bincount(codes)).mean()

    def inside(self, distances, labels):
        """mAP@10 where only works of the question's own style are possible answers."""
        of_style = np.char.add(np.char.add(self.style.astype(str), "|"), labels.astype(str))
        found = ranked(np.where(self.style[:, None] == self.style, distances, np.inf), 10)
        _, codes, sizes = np.unique(labels, return_inverse=True, return_counts=True)
        return np.nanmean(metrics.average_precision(found, of_style, 10)[sizes[codes] >= FEW])

    def header(self):
        cells = ["recipe", "mAP@1", "mAP@10", "95%", "artists alike", "mAP@100", "Recall@10", "pair AUC",
                 "AUC in one style", "mAP@10 in one style", "the same, dealt within styles", "mAP@10, dealt at random",
                 "mAP@10, dealt within styles"]  # fmt: skip
        print("\n| " + " | ".join(cells) + " |\n|" + "---|" * len(cells), flush=True)

    def print(self, name, distances):
        found, asked, artist = ranked(distances), self.asked, self.artist
        average = metrics.average_precision(found, artist, 10)
        low, high = metrics.bootstrap(average[asked], artist[asked])
        one_style = self.style[:, None] == self.style
        cells = [metrics.average_precision(found, artist, 1)[asked].mean(), average[asked].mean(), (low, high),
                 self.artists_alike(average), metrics.average_precision(found, artist, 100)[asked].mean(),
                 metrics.recall_at_k(found, artist, 10)[asked].mean(), self.auc(distances),
                 self.auc(distances, one_style), self.inside(distances, artist),
                 self.inside(distances, self.dealt_within), self.chance(found, self.dealt),
                 self.chance(found, self.dealt_within)]  # fmt: skip
        words = [three(*cell) if isinstance(cell, tuple) else three(cell) for cell in cells]
        print("| " + " | ".join([name, *words]) + " |", flush=True)

    def auc(self, distances, pairs=True):
        chosen = np.triu(np.ones_like(distances, bool), 1) & pairs
        either = distances + distances.T  # an expanded question is not as far from a work as the work, asked, from it
        return metrics.auc((self.artist[:, None] == self.artist)[chosen], -either[chosen])

    def chance(self, found, labels):
        _, codes, sizes = np.unique(labels, return_inverse=True, return_counts=True)
        return metrics.average_precision(found, labels, 10)[sizes[codes] >= FEW].mean()


def three(*numbers):
    return " to ".join(f"{number:.3f}".removeprefix("0") for number in numbers)


# Recipes


def singles(vectors):
    """(name, distances) of one source at a time."""
    for name in ("avg block4_pool", "avg block5_conv1", "avg block5_pool", "max block5_pool"):
        for scaling in ("none", *POWERS):
            yield f"content {name}, {'L2' if scaling == 'none' else scaling}", squared_distances(
                scaled(vectors[name], scaling))  # fmt: skip
    for short, transforms in (("b3", TRANSFORMS), ("b4", ["log1p"]), ("b5", ["log1p"])):
        for transform, scaling in itertools.product(transforms, ("none", *POWERS)):
            x = scaled(joined(vectors, JOINED[short], transform), scaling)
            yield f"style {short} {transform}, {'L2' if scaling == 'none' else scaling}", squared_distances(x)
    for short in ("b3+b4", "b4+b5", "b3+b4+b5", "b1+...+b5"):
        for transform in ("sqrt", "log1p", "correlation"):
            for scaling in ("cosine", "half-white"):
                x = scaled(joined(vectors, JOINED[short], transform), scaling)
                yield f"style {short} {transform}, {scaling}", squared_distances(x)
    for short, n_components in itertools.product(("b3", "b4+b5"), (64, 128, 256)):
        x = scaled(joined(vectors, JOINED[short], "log1p", n_components), "half-white")
        yield f"style {short} log1p, {n_components} components, half-white", squared_distances(x)
    for layer in GRAMS[1:4]:
        yield f"channel means of {layer}, half-white", squared_distances(scaled(vectors[f"avg {layer}"], "half-white"))
    for space in ("rgb", "lab"):
        yield f"colour {space} counts, L2 (the original's way)", squared_distances(vectors[space])
        yield f"colour {space} Hellinger", squared_distances(np.sqrt(vectors[space]))
        for scaling in ("cosine", "half-white"):
            yield f"colour {space} Hellinger, {scaling}", squared_distances(scaled(np.sqrt(vectors[space]), scaling))


def original(vectors, side):
    """Raw Gram matrix (not divided by its positions) beside counts of pixels, L2."""
    positions = (side // 4) ** 2  # of block 3
    counts = vectors["rgb"] * side**2
    return squared_distances(vectors["gram block3_conv1 none"] * positions) + squared_distances(counts)


def first_mix(vectors):
    """content + log Gram of block 3 + 0.7 Hellinger colour, each to unit mean square, then centred cosine."""
    parts = []
    for x, weight in ((vectors["avg block5_pool"], 1), (vectors["gram block3_conv1 log1p"], 1),
                      (np.sqrt(vectors["rgb"]), 0.7)):  # fmt: skip
        x = x - x.mean(axis=0)
        parts.append(weight * x / np.sqrt(np.square(x).sum(axis=1).mean()))
    return squared_distances(scaled(np.hstack(parts), "cosine"))


class Grid:
    """Mixes that are chosen from. Of unit rows, weighed and put side by side, squared distances add up."""

    def __init__(self, vectors, transforms):
        self.style = {(layers, transform, scaling): squared_distances(
            scaled(joined(vectors, JOINED[layers], transform), scaling))
            for layers, transform, scaling in itertools.product(JOINED, transforms, POWERS)}  # fmt: skip
        self.content = {(name, scaling): squared_distances(scaled(vectors[f"avg {name}"], scaling))
                        for name in POOLED for scaling in POWERS}  # fmt: skip
        self.color = {scaling: squared_distances(scaled(np.sqrt(vectors["rgb"]), scaling)) for scaling in POWERS}

    def recipes(self, corrections):
        contents = [(None, 0.0), *itertools.product(POOLED, (0.5, 0.7, 1.0))]
        return itertools.product(self.style, contents, (0.0, 0.4, 0.7), corrections)

    def distances(self, style, content, color_weight, correction):
        """One scaling for all sources, as the stages have it."""
        scaling = style[2]
        distances = self.style[style]
        if content[0]:
            distances = distances + np.float32(content[1] ** 2) * self.content[content[0], scaling]
        if color_weight:
            distances = distances + np.float32(color_weight**2) * self.color[scaling]
        return CORRECTIONS[correction](distances)

    @staticmethod
    def name(style, content, color_weight, correction):
        parts = [f"style {style[0]} {style[1]}"]
        parts += [f"{content[1]:g} content {content[0]}"] if content[0] else []
        parts += [f"{color_weight:g} colour"] if color_weight else []
        return f"{' + '.join(parts)}, {style[2]}{correction and ', '}{correction}"


def choose(grid, scores, references, corrections):
    """Chooses on half of the artists and scores on the other half, both ways, `SPLITS` times.

    A few artists with many works, easy or hard to find, make halves differ by more than recipes do: compare within a
    row, or by both halves together.
    """
    recipes = list(grid.recipes(corrections))
    table = np.array([
        metrics.average_precision(ranked(grid.distances(*recipe), 10), scores.artist, 10)
        for recipe in cli.progress(recipes, desc="recipes")
    ])  # (R, N)
    others = {name: metrics.average_precision(ranked(distances, 10), scores.artist, 10)
              for name, distances in references.items()}  # fmt: skip
    artists = np.unique(scores.artist[scores.asked])
    print(f"\n{len(recipes):,} recipes, {len(artists)} artists\n")
    cells = ["split", "chosen", "on the half it was chosen on", "on the other half", "95%", *others]
    print("| " + " | ".join(cells) + " |\n|" + "---|" * len(cells))
    asked = scores.asked
    for split in range(SPLITS):
        half = np.random.default_rng(split).permutation(artists)[: len(artists) // 2]
        pooled = np.full(len(asked), np.nan)  # every work scored by the recipe that was chosen without its artist
        for chosen_on in (asked & np.isin(scores.artist, half), asked & ~np.isin(scores.artist, half)):
            held_out = asked & ~chosen_on
            best = int(table[:, chosen_on].mean(axis=1).argmax())
            pooled[held_out] = table[best, held_out]
            row(scores, str(split), grid.name(*recipes[best]), table[best, chosen_on].mean(), pooled, held_out, others)
        row(scores, str(split), "both halves, each by the other's choice", None, pooled, asked, others)
    print("\nThe ten best over all artists (chosen on what they are scored on, so flattered):\n")
    for best in np.argsort(-table[:, scores.asked].mean(axis=1))[:10]:
        print(f"- {three(table[best, scores.asked].mean())} {grid.name(*recipes[best])}")


def row(scores, split, name, chosen_on, averages, held_out, others):
    interval = metrics.bootstrap(averages[held_out], scores.artist[held_out])
    figures = [averages[held_out].mean(), *(other[held_out].mean() for other in others.values())]
    first, *rest = [three(figure) for figure in figures]
    cells = [split, name, "" if chosen_on is None else three(chosen_on), first, three(*interval), *rest]
    print("| " + " | ".join(cells) + " |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--cache", type=Path, help="an .npz that keeps the vectors")
    options = parser.parse_args()
    settings = config.load(options.config, tuple(options.set))
    vectors, artist, style, made = load(settings, options.cache)
    scores = Scores(artist, style)
    print(f"{header('numpy')}. {len(artist):,} works, {made}. {scores.asked.sum():,} questions, the works of"
          f" {len(np.unique(artist[scores.asked]))} artists with {FEW} or more.")  # fmt: skip

    print("\n### One source at a time")
    scores.header()
    for name, distances in singles(vectors):
        scores.print(name, distances)

    print("\n### Mixes, CSLS and expanded questions")
    scores.header()
    references = {"the original": original(vectors, settings.images.network_px), "first mix": first_mix(vectors)}
    for name, distances in references.items():
        scores.print(name, distances)
    grid = Grid(vectors, ("sqrt", "log1p"))
    for layers, scaling in itertools.product(("b3", "b4+b5", "b3+b4+b5"), ("cosine", "half-white")):
        for content_weight, color_weight in ((0.0, 0.0), (1.0, 0.0), (1.0, 0.4), (0.5, 0.4), (1.0, 1.0)):
            content = ("block5_pool" if content_weight else None), content_weight
            recipe = (layers, "log1p", scaling), content, color_weight
            for correction in CORRECTIONS:
                scores.print(grid.name(*recipe, correction), grid.distances(*recipe, correction))

    print("\n### Chosen on half of the artists, scored on the other half: mAP@10")
    print("\nNearest works as they are:")
    choose(grid, scores, references, [""])
    print("\nWith CSLS and expanded questions to choose from too:")
    choose(grid, scores, references, list(CORRECTIONS))
    print("\nOf the correlations of channels instead of the Gram matrix, which no stage computes:")
    choose(Grid(vectors, ("correlation",)), scores, references, list(CORRECTIONS))


if __name__ == "__main__":
    main()
