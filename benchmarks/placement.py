"""Do new works land where a map with them would have them, is certainty true, and is what does not belong told?

A fifth of a finished collection is held out: all stages run on the rest, and place_images.py places the fifth. Its
places are compared with two maps that hold all works: the finished one, drawn from scratch (a t-SNE map that is drawn
again moves even works that were in both: that is the floor), and one that continues the smaller map with the new works
in it. Then strangers are placed: noise, works turned to noise, flat drawings, and folders of pictures (--strangers).

Run     python benchmarks/placement.py --config my.yaml --work scratch/ [--strangers clipart/ ...] [--network]
Cost    some 5 minutes for 1,231 works on 2 idle cores, and 2 more with --network; a run that was stopped goes on
"""

import argparse
import itertools
import json
import shutil
import sys
import time
from pathlib import Path

import numpy as np
from common import header
from PIL import Image, ImageDraw

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import build_tsne
import extract_color
import extract_features
import place_images
import prepare_images
import train_parametric_tsne
from artatlas import config, joining, metrics, neighbors, parametric, placed, placement, sources, store

SIDE = 300  # pixels of what is made here
N_EACH = 40
# Distance to the 10 nearest works, or its ratio to what that is for those; by the map's features (unit length) or by
# embeddings as they are, joined or each source alone. The last is what placement.py does.
SCORES = ("distance, unit length", "ratio, unit length", "distance, joined", "ratio, joined", "ratio, by source")
BINS = (0, 0.5, 0.8, 0.9, 0.95, 1.01)  # of certainty


def read_map(settings):
    with store.open_output(settings, "tsne") as h5:
        return store.read_ids(h5), h5[f"{settings.parametric_tsne.map}/coordinates"][:]


def held_out(settings, seed):
    ids, _ = read_map(settings)
    return sorted(np.random.default_rng(seed).permutation(ids)[: len(ids) // 5])


def copy(names, source, target):
    for name in names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source / name, target / name)


def shuffled(pixels, rng):
    return rng.permutation(pixels.reshape(-1, 3)).reshape(pixels.shape)


def rephased(pixels, rng):
    """The same spectrum with random phases: the colours and the grain of a work, and nothing of what it shows."""
    spectrum = np.fft.fft2(pixels, axes=(0, 1))
    turned = np.fft.ifft2(np.abs(spectrum) * np.exp(2j * np.pi * rng.random(pixels.shape[:2]))[:, :, None], axes=(0, 1))
    return turned.real - turned.real.mean(axis=(0, 1)) + pixels.mean(axis=(0, 1))


def drawing(rng):
    """Flat shapes in flat colours on a pale ground."""
    image = Image.new("RGB", (2 * SIDE, 2 * SIDE), tuple(rng.integers(200, 256, 3).tolist()))
    draw = ImageDraw.Draw(image)
    for _ in range(rng.integers(2, 9)):
        middle, size = rng.integers(0, 2 * SIDE, 2), rng.integers(40, SIDE, 2)
        box = [*(middle - size // 2).tolist(), *(middle + size // 2).tolist()]
        color, outline = tuple(rng.integers(0, 256, 3).tolist()), (0, 0, 0) if rng.random() < 0.5 else None
        corners = [tuple(corner) for corner in rng.normal(middle, 100, (5, 2)).tolist()]
        kind = rng.integers(4)
        if kind == 0:
            draw.ellipse(box, fill=color, outline=outline, width=6)
        elif kind == 1:
            draw.rectangle(box, fill=color, outline=outline, width=6)
        elif kind == 2:
            draw.polygon(corners, fill=color, outline=outline, width=6)
        else:
            draw.arc(box, 0, int(rng.integers(90, 360)), fill=color, width=12)
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.LANCZOS))


def make_strangers(folder, works, rng):
    """Folders of PNG files below `folder`, one a kind."""
    shape = (SIDE, SIDE, 3)
    pictures = [np.asarray(Image.open(path).convert("RGB").resize((SIDE, SIDE))) for path in works[:N_EACH]]
    kinds = {
        "pixels of works, shuffled": [shuffled(picture, rng) for picture in pictures],
        "phases of works, at random": [rephased(picture, rng) for picture in pictures],
        "works under heavy noise": [picture / 2 + rng.normal(64, 70, shape) for picture in pictures],
        "noise, colour": [rng.integers(0, 256, shape) for _ in range(N_EACH)],
        "noise, grey": [np.repeat(rng.normal(128, 50, (SIDE, SIDE, 1)), 3, axis=2) for _ in range(N_EACH)],
        "flat drawings": [drawing(rng) for _ in range(N_EACH)],
    }
    for kind, made in kinds.items():
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for i, pixels in enumerate(made):
            Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(folder / kind / f"{i:03d}.png")


def place(settings, pictures):
    place_images.main(settings, pictures, replace=True)
    with store.open_output(settings, "placed") as h5:
        return placed.read(h5)[0], dict(h5["calibration"].attrs)


def continued(features, start, settings, perplexity):
    """The map of all works that optimising on from `start` (N, 2) ends in."""
    from openTSNE import TSNEEmbedding
    from openTSNE.affinity import PerplexityBasedNN

    affinities = PerplexityBasedNN(features, perplexity=perplexity, method="exact", n_jobs=1)
    embedding = TSNEEmbedding(start.astype(np.float64), affinities, n_jobs=1, random_state=0)
    return np.asarray(embedding.optimize(n_iter=750, momentum=0.8, n_jobs=1))


def shifts(small, whole, is_new):
    """How far works lie apart on two maps, as a share of the diagonal, the small one turned and scaled onto the other
    by the works that were on both from the start."""
    matrix, shift = parametric.similarity(small[~is_new], whole[~is_new])
    return np.linalg.norm(small @ matrix + shift - whole, axis=1) / np.linalg.norm(np.ptp(whole, axis=0))


def compare(name, found, whole_settings, settings):
    """Lines of the table of displacement, and certainty of the new works with their error on the continued map."""
    ids, drawn = read_map(settings)
    whole_ids, whole = read_map(whole_settings)
    joined = np.concatenate([ids, found.image_ids])
    is_new = np.arange(len(joined)) >= len(ids)
    small = np.concatenate([drawn, found.coordinates])
    weights = dict(settings.maps[settings.parametric_tsne.map].items())
    features, _ = sources.read_features(whole_settings, joined, weights, settings.tsne.scaling)
    scratch = shifts(small, whole[store.rows_of(joined, whole_ids)], is_new)
    on = shifts(small, continued(features, small, settings, 30), is_new)
    trust = metrics.trustworthiness(features[is_new], found.coordinates, min(12, (len(found.image_ids) - 1) // 2))
    for kind, far in (("drawn again from scratch", scratch), ("continued with the new works", on)):
        right = (far[is_new] <= placement.RIGHT_WITHIN).mean()
        new, old = np.median(far[is_new]), np.median(far[~is_new])
        print(f"| {name} | {kind} | {new:.3f} | {old:.3f} | {right:.3f} | {trust:.3f} |", flush=True)
    return on[is_new]


def embed(settings, pictures, placed_sources):
    """ids, and source -> (M, D) embeddings of pictures."""
    files = place_images.embed.find_pictures(pictures, settings)
    works, embeddings = place_images.look(files, settings, placed_sources, {}, {})
    return [image_id for image_id, _ in works], embeddings


def distance_ratio(known, asked):
    """(mean distance to the 10 nearest of `known`, the same over what that is for these)."""
    searchable = neighbors.prepare(known, "none", "exact", 0)
    own = neighbors.find(searchable, known, 10, np.arange(len(known)))[1].mean(axis=1)
    rows, distances = neighbors.find(searchable, asked, 10)
    return distances.mean(axis=1), distances.mean(axis=1) / np.exp(np.log(own)[rows].mean(axis=1))


def strangeness(settings, works, strangers):
    """Kind of every picture (M,), "" for held-out works, and score -> (M,), several ways to say how strange it is."""
    weights = dict(settings.maps[settings.parametric_tsne.map].items())
    ids, _ = read_map(settings)
    known, scalers = sources.read_features(settings, ids, weights, settings.tsne.scaling)
    placed_sources = {name: sources.read_placed(settings, name, scaler) for name, scaler in scalers.items()}
    names, of_works = embed(settings, works, placed_sources)
    others, of_strangers = embed(settings, strangers, placed_sources)
    kinds = np.array([""] * len(names) + [image_id.split("/")[0] for image_id in others])
    raw = {name: np.concatenate([of_works[name], of_strangers[name]]) for name in weights}
    on_map = distance_ratio(known, np.hstack([scalers[name].transform(raw[name]) for name in weights]))
    whole, unit = sources.read_features(settings, ids, weights, "mean_square")
    joined = distance_ratio(whole, np.hstack([unit[name].transform(raw[name]) for name in weights]))
    by_source = joining.novelty(settings, ids, raw)[1]
    return kinds, dict(zip(SCORES, (*on_map, *joined, by_source), strict=True))


def seconds_for(n_works, settings):
    """Seconds to place that many works once their embeddings are there: all that comes after the network's look."""
    weights = dict(settings.maps[settings.parametric_tsne.map].items())
    ids, drawn = read_map(settings)
    features, scalers = sources.read_features(settings, ids, weights, settings.tsne.scaling)
    rng = np.random.default_rng(0)
    raw = {}
    for name in weights:
        known, _ = sources.read_features(settings, ids, {name: 1.0}, "none")
        one, other = known[rng.integers(0, len(ids), (2, n_works))]
        raw[name] = (one + other) / 2  # a work between two
    start = time.perf_counter()
    new = np.hstack([scalers[name].transform(rows) for name, rows in raw.items()])
    atlas = placement.prepare(features, drawn, 30, 42)
    near = placement.neighborhood(atlas, new)
    found = placement.gather(near, atlas.bandwidth)
    own, _ = joining.novelty(settings, ids, raw)
    calibration = placement.calibrate(*placement.rehearse(atlas, features, atlas.sample), own, 0.05)
    calibration.certainty_of(placement.agreement(near, found, atlas.bandwidth))
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True, help="of a collection whose map is finished")
    parser.add_argument("--work", type=Path, required=True, help="a folder for copies and outputs")
    parser.add_argument("--strangers", type=Path, nargs="*", default=[])
    parser.add_argument("--network", action="store_true", help="trains the network and places by it too")
    parser.add_argument("--seed", type=int, default=10)
    options = parser.parse_args()
    whole = config.load(options.config)
    source, images, new = Path(whole.paths.images), options.work / "images", options.work / "new"
    names = held_out(whole, options.seed)
    rest = [name for name in read_map(whole)[0] if name not in set(names)]
    for folder, some in ((images, rest), (new, names)):
        copy(some, source, folder)
    drawn = {whole.parametric_tsne.map: dict(whole.maps[whole.parametric_tsne.map].items())}
    overrides = (
        f"maps={json.dumps(drawn)}", "render.color_by=null", "paths.metadata=null", f"paths.images={images}",
        f"paths.outputs={options.work / 'outputs'}",
    )  # fmt: skip
    settings = config.load(options.config, overrides)
    stages = {
        "images": prepare_images,
        "content": extract_features,
        "style": extract_features,
        "color": extract_color,
        "tsne": build_tsne,
    }
    for name, stage in stages.items():
        is_wanted = name in ("images", "tsne") or any(name in weights for weights in settings.maps.values())
        if is_wanted and store.why_stale(settings, name):  # a run that was stopped goes on
            print(f"{stage.__name__}: {stage.main(settings)[1]}", file=sys.stderr, flush=True)
    print(f"{header('openTSNE', 'faiss-cpu', 'keras')}; {len(rest):,} works, {len(names)} held out\n")
    print("| placed by | against the map | new works, median | works on both, median | right | trustworthiness (12) |")
    print("|---|---|---|---|---|---|")
    found, calibration = place(settings, [new])
    errors = compare("neighbours", found, whole, settings)
    if options.network:
        train_parametric_tsne.main(settings)
        by_network = config.load(options.config, (*overrides, "placement.by=network"))
        compare("the network", place(by_network, [new])[0], whole, by_network)
    print(f"\nrehearsed: {calibration['share_right']:.3f} right, median {calibration['median_error']:.3f}\n")
    print("| certainty | works | right on the continued map |\n|---|---|---|")
    for low, high in itertools.pairwise(BINS):
        inside = (found.certainty >= low) & (found.certainty < high)
        share = f"{(errors[inside] <= placement.RIGHT_WITHIN).mean():.2f}" if inside.any() else ""
        print(f"| {low:.2f} to {min(high, 1):.2f} | {inside.sum()} | {share} |")
    print(f"\n| strangers | pictures | AUC: {' | '.join(SCORES)} | flagged |\n|{'---|' * (len(SCORES) + 3)}")
    print(f"| held-out works | {len(names)} {'| ' * len(SCORES)}| {found.is_off_map.mean():.3f} |", flush=True)
    strangers = options.work / "strangers"
    make_strangers(strangers, [new / name for name in names], np.random.default_rng(0))
    for folder in options.strangers:
        files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".png", ".jpg", ".jpeg"))
        chosen = [files[i].relative_to(folder) for i in np.random.default_rng(0).permutation(len(files))[: 2 * N_EACH]]
        copy(chosen, folder, strangers / folder.name)
    of_kind, scores = strangeness(settings, [new], [strangers])
    for kind in np.unique(of_kind[of_kind != ""]):
        chosen = (of_kind == "") | (of_kind == kind)
        aucs = " | ".join(f"{metrics.auc(of_kind[chosen] != '', score[chosen]):.3f}" for score in scores.values())
        flagged = (scores["ratio, by source"][of_kind == kind] > calibration["off_map_above"]).mean()
        print(f"| {kind} | {(of_kind == kind).sum()} | {aucs} | {flagged:.2f} |", flush=True)
    taken = sorted(seconds_for(1000, settings) for _ in range(4))
    print(f"\n1,000 works placed after their features: {taken[0]:.2f} to {taken[-1]:.2f} s")


if __name__ == "__main__":
    main()
