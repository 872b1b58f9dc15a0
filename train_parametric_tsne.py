"""A network that draws a map: it gives a place to works that were not in the collection as well.

Reads   outputs/tsne.h5 and the embeddings that parametric_tsne.map is drawn from; outputs/images.h5, where there is
        one, for which works are the same picture and for labels to score with
Writes  outputs/parametric_tsne.h5   image_ids (N,), coordinates (N, 2) as the network draws them, is_test (N,);
        history/ and report/, how well it does; network/, map/, scalers/, sources/: all that a new work needs
        outputs/parametric_tsne_losses.png, parametric_tsne_maps.png
        With --update the network stays as it is and places added works, in the rows behind
Run     python train_parametric_tsne.py [--update]            settings: parametric_tsne
Source  van der Maaten 2009, "Learning a parametric embedding by preserving local structure" (AISTATS)
Cost    about 15 s for 250 works and 50 s for 1,200 on one core, TensorFlow's start included

Two objectives. `regression` learns the finished map's coordinates by their squared error. `kl` is parametric t-SNE:
what t-SNE minimises over coordinates, KL(P || Q), is minimised over the network's weights. It begins with epochs of
regression where the paper pre-trains layer by layer: a good start too, and one that lies on the finished map. Then
attraction counts half as much again as in KL, and the learning rate falls: works held out are placed better so.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from artatlas import cli, metrics, parametric, parametric_training, plots, sources, store, vgg
from artatlas.config import Config, ParametricTsne
from artatlas.parametric import Model, Network

N_NEIGHBORS = 12  # of the trustworthiness that is reported, as in the paper
SCORED = 3000  # test works at most that are scored: trustworthiness compares all pairs


def split_works(image_ids: np.ndarray, duplicate_of: dict[str, str], test_share: float, seed: int) -> np.ndarray:
    """Which works are never trained on: (N,) bool, about `test_share` of them, drawn at random by id.

    The order of rows plays no part, and copies of one picture (`duplicate_of`: id -> id of the first, or "") stay on
    one side: a copy of a training work would be no test.
    """
    firsts = [duplicate_of.get(image_id) or image_id for image_id in image_ids]
    different = np.array(sorted(set(firsts)), dtype=object)
    if len(different) < parametric_training.MIN_SPLIT:
        return np.zeros(len(image_ids), dtype=bool)
    n_test = min(max(2, round(test_share * len(different))), len(different) - 2)  # one work alone has no neighbours
    test = set(np.random.default_rng(seed).permutation(different)[:n_test])
    return np.array([first in test for first in firsts])


def report(
    network: Network, features: np.ndarray, coordinates: np.ndarray, is_test: np.ndarray, losses: np.ndarray,
    labels: np.ndarray | None, perplexity: float, alpha: float,
) -> dict[str, float]:  # fmt: skip
    """How well the network places the works that it was not trained on; `map_...` is the same of the finished map,
    which knew them.

    trustworthiness (Venna & Kaski 2001) and kl_divergence : among the test works
    nearest_error : share of test works whose nearest training work on the map has another of `labels` (N,); of those
        that have a label which some training work has too, and left out where there are no labels
    median_distance, mean_distance : to where the finished map has the work, as a share of the map's diagonal
    """
    figures = {
        "n_training": float((~is_test).sum()), "n_test": float(is_test.sum()),
        "training_loss": float(losses[-1, 0]), "test_loss": float(losses[-1, 1]),
    }  # fmt: skip
    test = np.flatnonzero(is_test)[:SCORED]
    if len(test) < 3:
        return figures
    k = min(N_NEIGHBORS, (len(test) - 1) // 2)
    placed = network.place(features)
    distances = np.linalg.norm((placed - coordinates)[test], axis=1)
    distances /= np.linalg.norm(network.map_high - network.map_low)
    figures |= {
        "n_neighbors": float(k),
        "median_distance": float(np.median(distances)), "mean_distance": float(distances.mean()),
    }  # fmt: skip
    p = parametric.affinities(features[test], perplexity)
    for prefix, points in (("", placed), ("map_", coordinates)):
        figures[f"{prefix}trustworthiness"] = metrics.trustworthiness(features[test], points[test], k)
        figures[f"{prefix}kl_divergence"] = parametric.kl_divergence(p, points[test], alpha)
        if labels is None:
            continue
        asked = test[np.isin(labels[test], labels[~is_test & (labels != "")])]
        if len(asked):
            error = metrics.nearest_label_error(points[~is_test], labels[~is_test], points[asked], labels[asked])
            figures[f"{prefix}nearest_error"] = error
    return figures


def summarize(figures: dict[str, float], settings: ParametricTsne) -> str:
    """The closing line: of the held-out works, and in brackets of the finished map, which knew them."""
    text = f"{cli.count(int(figures['n_training']), 'work')} trained on by {settings.objective}"
    if "trustworthiness" not in figures:
        return text
    text += (
        f", {cli.count(int(figures['n_test']), 'work')} held out: trustworthiness {figures['trustworthiness']:.3f}"
        f" (the map itself {figures['map_trustworthiness']:.3f}), KL {figures['kl_divergence']:.2f}"
        f" ({figures['map_kl_divergence']:.2f})"
    )
    if "nearest_error" in figures:
        text += f", {settings.label} 1-NN error {figures['nearest_error']:.3f} ({figures['map_nearest_error']:.3f})"
    return f"{text}, {figures['median_distance']:.1%} of the map off at the median"


def read_works(
    config: Config, image_ids: np.ndarray, inputs: dict[str, str]
) -> tuple[dict[str, str], np.ndarray | None]:
    """What images.h5 knows, where it is there: id -> id of the first work with the same picture, or ""; and the labels
    (N,) of parametric_tsne.label, None where there is no such column. Adds to `inputs`."""
    if not (config.outputs / "images.h5").exists():
        return {}, None
    with store.open_output(config, "images") as h5:
        inputs["images"] = str(h5.attrs["fingerprint"])
        ids, column = store.read_ids(h5), f"metadata/{config.parametric_tsne.label}"
        duplicate_of = dict(zip(ids, h5["duplicate_of"].asstr()[:], strict=True))
        if column not in h5 or not set(image_ids) <= set(ids):
            return duplicate_of, None
        return duplicate_of, h5[column].asstr()[:][store.rows_of(image_ids, ids)]


def add_works(
    config: Config, image_ids: np.ndarray, weights: dict[str, float], inputs: dict[str, str]
) -> tuple[Path, str]:
    """--update: the network stays as it is and places the works of `image_ids` that the file has not."""
    output = config.outputs / "parametric_tsne.h5"
    with store.open_before(config, "parametric_tsne") as h5:
        n_before, model = store.check_first_rows(h5, image_ids, config), parametric.read(h5)
        recipe, before, was_test = store.recipe_after(h5), h5["coordinates"][:], h5["is_test"][:]
    fitted = {name: source.scaler for name, source in model.sources.items()}
    features, _ = sources.read_features(config, image_ids[n_before:], weights, config.tsne.scaling, fitted)
    placed = model.network.place(features) if len(features) else before[:0]
    with store.create(output, "parametric_tsne", recipe, inputs) as h5:
        store.write_ids(h5, image_ids)
        h5["coordinates"] = np.concatenate([before, placed])
        h5["is_test"] = np.concatenate([was_test, np.ones(len(placed), bool)])  # it was not trained on them
        with store.open_before(config, "parametric_tsne") as old:
            for name in old:
                if name not in h5:
                    old.copy(name, h5)
    return output, f"{cli.count(len(placed), 'work')} placed by the network as it is, added to {n_before:,}"


def main(config: Config, update: bool = False) -> tuple[Path, str]:
    # 1. Read
    settings = config.parametric_tsne
    weights: dict[str, float] = dict(config.maps[settings.map].items())
    _, inputs = sources.common_ids(config, list(weights))
    with store.open_output(config, "tsne") as h5:
        image_ids, coordinates = store.read_ids(h5), h5[f"{settings.map}/coordinates"][:]
        perplexity = float(json.loads(h5.attrs["recipe"])["perplexity"])
        inputs["tsne"] = str(h5.attrs["fingerprint"])
    duplicate_of, labels = read_works(config, image_ids, inputs)
    if update:
        return add_works(config, image_ids, weights, inputs)
    # The scalers, and the PCA behind the style embeddings, are fitted on all works, test works too, as the finished
    # map is. They do not tell where a work lies, but make a test work a little less strange than one from elsewhere.
    features, scalers = sources.read_features(config, image_ids, weights, config.tsne.scaling)
    placed_sources = {name: sources.read_placed(config, name, scaler) for name, scaler in scalers.items()}

    # 2. Compute
    is_test = split_works(image_ids, duplicate_of, settings.test_share, settings.seed)
    tf = vgg.start_tensorflow(config)
    network, losses, n_warmup = parametric_training.train(features, coordinates, is_test, perplexity, settings, tf)
    placed = network.place(features)
    figures = report(network, features, coordinates, is_test, losses, labels, perplexity, settings.alpha)

    # 3. Write
    output = config.outputs / "parametric_tsne.h5"
    plots.draw_losses(config.outputs / "parametric_tsne_losses.png", losses, n_warmup, settings.objective)
    plots.draw_maps(config.outputs / "parametric_tsne_maps.png", coordinates, placed, is_test, settings.map)
    recipe = {"settings": config.settings(("parametric_tsne",)), "perplexity": perplexity}
    model = Model(config.settings(("images",))["images"], placed_sources, network)
    with store.create(output, "parametric_tsne", recipe, inputs) as h5:
        store.write_ids(h5, image_ids)
        h5["coordinates"], h5["is_test"] = placed, is_test
        h5["history/train_loss"], h5["history/test_loss"] = losses.T
        h5.create_group("report").attrs.update(figures)
        parametric.write(h5, model)
    return output, summarize(figures, settings)


if __name__ == "__main__":
    cli.run(main, __doc__, cli.add_update)
