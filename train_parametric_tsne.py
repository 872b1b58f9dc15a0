"""A network that draws a map: it gives a place to works that were not in the collection as well.

Reads   outputs/tsne.h5 and the embeddings that parametric_tsne.map is drawn from; outputs/images.h5, where there is
        one, for which works are the same picture
Writes  outputs/parametric_tsne.h5   image_ids (N,), coordinates (N, 2) as the network draws them, is_test (N,);
        history/ and report/, how well it does; network/, map/, scalers/, sources/: all that a new work needs
        outputs/parametric_tsne_losses.png, parametric_tsne_maps.png
Run     python train_parametric_tsne.py            settings: parametric_tsne
Source  van der Maaten 2009, "Learning a parametric embedding by preserving local structure" (AISTATS)
Cost    about 25 s for 250 works and 75 s for 1,200 on 2 busy cores, TensorFlow's start included

Two objectives. `regression` learns the finished map's coordinates by their squared error. `kl` is parametric t-SNE:
what t-SNE minimises over coordinates, KL(P || Q), is minimised over the network's weights. It begins with epochs of
regression where the paper pre-trains layer by layer: a good start too, and one that lies on the finished map.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from artatlas import cli, metrics, parametric, sources, store, vgg
from artatlas.config import Config, ParametricTsne
from artatlas.parametric import Model, Network

WARMUP_SHARE = 0.25  # of the epochs of `kl` are regression
# `kl` multiplies the outputs by this. They stand for the whole width of the map, so that without it one step of Adam
# moves works across clusters, and with batches of a tenth of the works the map is torn apart and never mends.
OUTPUT_SCALE = 0.1
MIN_SPLIT = 4  # different works; below, there is nothing to hold out and there are no neighbours to keep
PROBE = 1000  # works at most on each side of the split that the loss after an epoch is measured on
N_NEIGHBORS = 12  # of the trustworthiness that is reported, as in the paper
SCORED = 3000  # test works at most that are scored: trustworthiness compares all pairs


def split_works(image_ids: np.ndarray, duplicate_of: dict[str, str], test_share: float, seed: int) -> np.ndarray:
    """Which works are never trained on: (N,) bool, about `test_share` of them, drawn at random by id.

    The order of rows plays no part, and copies of one picture (`duplicate_of`: id -> id of the first, or "") stay on
    one side: a copy of a training work would be no test.
    """
    firsts = [duplicate_of.get(image_id) or image_id for image_id in image_ids]
    different = np.array(sorted(set(firsts)), dtype=object)
    if len(different) < MIN_SPLIT:
        return np.zeros(len(image_ids), dtype=bool)
    n_test = min(max(2, round(test_share * len(different))), len(different) - 2)  # one work alone has no neighbours
    test = set(np.random.default_rng(seed).permutation(different)[:n_test])
    return np.array([first in test for first in firsts])


def kl_divergence(tf: Any, p: Any, coordinates: Any, alpha: float) -> Any:
    """KL(P || Q) of t-SNE, a scalar tensor.

    p : (B, B) float32, zero on the diagonal, summing to 1
    coordinates : (B, 2) float32
    alpha : degrees of freedom of the Student t in Q: q_ij ~ (1 + |y_i - y_j|^2 / alpha)^(-(alpha + 1) / 2), eq. 4
    """
    squares = tf.reduce_sum(coordinates**2, axis=1)
    distances = squares[:, None] + squares[None, :] - 2 * tf.matmul(coordinates, coordinates, transpose_b=True)
    log_weights = -(alpha + 1) / 2 * tf.math.log1p(tf.maximum(distances, 0) / alpha)
    others = 1 - tf.eye(tf.shape(p)[0])  # a work is not its own neighbour
    log_q = log_weights - tf.math.log(tf.reduce_sum(tf.exp(log_weights) * others))
    return tf.reduce_sum(tf.math.xlogy(p, p) - p * log_q)


def batches(rows: np.ndarray, batch_size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """All rows once, shuffled, in batches of at most `batch_size` of even size; none is dropped."""
    return np.array_split(rng.permutation(rows), -(-len(rows) // batch_size))


def batch_affinities(p: Any, rows: np.ndarray) -> np.ndarray:
    """The training works' P (N, N) CSR among the works of a batch, scaled to sum to 1: (B, B) float32.

    So a batch pulls together what are neighbours among all works. The paper calibrates P within each batch, where the
    same perplexity reaches the further the fewer works there are, at the cost of a calibration a step.
    """
    among = p[rows][:, rows].toarray()
    total = among.sum()
    return among / total if total > 0 else among  # where no two are neighbours, the batch only spreads out


def fit_constants(features: np.ndarray, coordinates: np.ndarray) -> Network:
    """A network without layers yet: the constants around it, from the training works' (N, D) and (N, 2).

    Inputs are centred and divided by one number, so that rows have unit length on average. A start with large inputs
    (unit variance a column) ends in networks that know the training works as well, and new ones far less.
    """
    mean = features.mean(axis=0, dtype=np.float64).astype(np.float32)
    mean_square = sources.mean_square(features, mean)
    low, high = coordinates.min(axis=0), coordinates.max(axis=0)
    high = np.where(high > low, high, low + 1)  # a map of works that all lie on one point or line
    return Network(mean, float(1 / np.sqrt(mean_square)) if mean_square > 0 else 1.0, (), low, high)


def make_step(tf: Any, model: Any, loss: Callable, settings: ParametricTsne) -> Callable:
    """One step of gradient descent on a batch: inputs (B, D), target (B, B) or (B, 2). Traced once for all sizes."""
    import keras

    kind = {"adam": keras.optimizers.Adam, "sgd": keras.optimizers.SGD}[settings.optimizer]
    optimizer = kind(settings.learning_rate)

    @tf.function(input_signature=[tf.TensorSpec((None, model.input_shape[1])), tf.TensorSpec((None, None))])
    def step(inputs: Any, target: Any) -> None:
        with tf.GradientTape() as tape:
            value = loss(model(inputs, training=True), target)
        weights = model.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(value, weights), weights, strict=True))

    return step


@dataclass(frozen=True)
class Objective:
    """loss(outputs (B, 2), target) is what falls; target(rows (B,)) what it compares with, also when `measured`."""

    loss: Callable[[Any, Any], Any]
    target: Callable[[np.ndarray], np.ndarray]
    measured: Callable[[np.ndarray], np.ndarray]


def regression(tf: Any, coordinates: np.ndarray, network: Network) -> Objective:
    """The mean squared error of outputs against `coordinates` (N, 2) scaled to 0..1."""
    targets = (coordinates - network.map_low) / (network.map_high - network.map_low)

    def target_of(rows: np.ndarray) -> np.ndarray:
        return targets[rows]

    return Objective(lambda outputs, target: tf.reduce_mean((outputs - target) ** 2), target_of, target_of)


def parametric_tsne(
    tf: Any, features: np.ndarray, known: np.ndarray, perplexity: float, alpha: float, network: Network
) -> Objective:
    """KL(P || Q), P of the training works (rows `known`) for training and of just the given rows for measuring."""
    span = network.map_high - network.map_low
    p = parametric.affinities(features[known], perplexity)
    position = np.zeros(len(features), dtype=np.int64)
    position[known] = np.arange(len(known))
    return Objective(
        lambda outputs, target: kl_divergence(tf, target, outputs * span, alpha),
        lambda rows: batch_affinities(p, position[rows]),
        lambda rows: parametric.affinities(features[rows], perplexity).toarray(),
    )


def build_model(n_inputs: int, settings: ParametricTsne) -> Any:
    """The paper's network, untrained. The noise, in training only, is `input_noise` times as long as the mean row."""
    import keras

    return keras.Sequential([
        keras.Input((n_inputs,)),
        keras.layers.GaussianNoise(settings.input_noise / np.sqrt(n_inputs)),
        *[keras.layers.Dense(units, activation="relu") for units in settings.hidden],
        keras.layers.Dense(2),
        keras.layers.Rescaling(OUTPUT_SCALE if settings.objective == "kl" else 1.0),
    ])  # fmt: skip


def read_layers(model: Any) -> list[tuple[np.ndarray, np.ndarray]]:
    """(kernel, bias) of the dense layers, the scale of the outputs multiplied into the last."""
    layers = [(layer.kernel.numpy(), layer.bias.numpy()) for layer in model.layers if layer.weights]
    scale = np.float32(model.layers[-1].scale)
    return [*layers[:-1], (layers[-1][0] * scale, layers[-1][1] * scale)]


def train(
    features: np.ndarray, coordinates: np.ndarray, is_test: np.ndarray, perplexity: float, settings: ParametricTsne,
    tf: Any,
) -> tuple[Network, np.ndarray, int]:  # fmt: skip
    """Trains on the works that are not `is_test`; the others are only looked at, to measure.

    features, coordinates : (N, D) and (N, 2) float32, what the finished map was drawn from and the map

    Returns the network; the losses after each epoch on training and on test works, (epochs, 2) float32, NaN where
    there are too few works to hold any out; and the number of epochs of regression that `kl` began with.
    """
    import keras

    keras.utils.set_random_seed(settings.seed)
    tf.config.experimental.enable_op_determinism()
    rng = np.random.default_rng(settings.seed)
    known = np.flatnonzero(~is_test)
    network = fit_constants(features[known], coordinates[known])
    model = build_model(features.shape[1], settings)

    phases = [(regression(tf, coordinates, network), settings.epochs)]
    if settings.objective == "kl" and len(known) >= MIN_SPLIT:
        n_warmup = round(WARMUP_SHARE * settings.epochs)
        kl = parametric_tsne(tf, features, known, perplexity, settings.alpha, network)
        phases = [(phases[0][0], n_warmup), (kl, settings.epochs - n_warmup)]
    measure = measurer(phases[-1][0], model, features, network, is_test, rng)
    losses: list[list[float]] = []
    with cli.progress(total=settings.epochs, unit="epoch", desc=settings.objective) as bar:
        for objective, n_epochs in phases:
            step = make_step(tf, model, objective.loss, settings)
            for _ in range(n_epochs):
                for rows in batches(known, settings.batch_size, rng):
                    step(network.standardize(features[rows]), objective.target(rows))
                losses.append(measure())
                bar.set_postfix_str("training {:.4g}, test {:.4g}".format(*losses[-1]), refresh=False)
                bar.update()

    network = dataclasses.replace(network, layers=read_layers(model))
    if len(phases) > 1:  # KL does not care which way up a map is, and `input_noise` lets it shrink
        network = parametric.align(network, features[known], coordinates[known])
    return network, np.array(losses, np.float32), phases[0][1] if len(phases) > 1 else 0


def measurer(
    objective: Objective, model: Any, features: np.ndarray, network: Network, is_test: np.ndarray,
    rng: np.random.Generator,
) -> Callable[[], list[float]]:  # fmt: skip
    """A function that gives the loss on training and on test works as the network stands.

    Both are of equally many works (KL(P || Q) grows with their number), drawn once, P calibrated among these.
    """
    sides = [rng.permutation(np.flatnonzero(side)) for side in (~is_test, is_test)]
    n_works = min(PROBE, *map(len, sides))
    if n_works < 2:
        return lambda: [np.nan, np.nan]
    drawn = [side[:n_works] for side in sides]
    probes = [(network.standardize(features[rows]), objective.measured(rows)) for rows in drawn]
    return lambda: [float(objective.loss(model(works), target)) for works, target in probes]


def report(
    network: Network, features: np.ndarray, coordinates: np.ndarray, is_test: np.ndarray, losses: np.ndarray
) -> dict[str, float]:
    """How well the network places the works that it was not trained on.

    Distances are to the work's place on the finished map, as a share of the map's diagonal. Trustworthiness (Venna &
    Kaski 2001) is among the test works, 0 to 1: of the network, and to compare of the finished map, which knew them.
    """
    figures = {
        "n_training": float((~is_test).sum()), "n_test": float(is_test.sum()),
        "training_loss": float(losses[-1, 0]), "test_loss": float(losses[-1, 1]),
    }  # fmt: skip
    test = np.flatnonzero(is_test)[:SCORED]
    if len(test) < 3:
        return figures
    placed, drawn = network.place(features[test]), coordinates[test]
    distances = np.linalg.norm(placed - drawn, axis=1) / np.linalg.norm(network.map_high - network.map_low)
    k = min(N_NEIGHBORS, (len(test) - 1) // 2)
    return figures | {
        "median_distance": float(np.median(distances)), "mean_distance": float(distances.mean()),
        "n_neighbors": float(k),
        "trustworthiness": metrics.trustworthiness(features[test], placed, k),
        "map_trustworthiness": metrics.trustworthiness(features[test], drawn, k),
    }  # fmt: skip


def summarize(figures: dict[str, float], settings: ParametricTsne) -> str:
    text = f"{cli.count(int(figures['n_training']), 'work')} trained on by {settings.objective}"
    if "trustworthiness" not in figures:
        return text
    return (
        f"{text}, {cli.count(int(figures['n_test']), 'work')} held out: loss {figures['test_loss']:.3g} (training"
        f" {figures['training_loss']:.3g}), trustworthiness {figures['trustworthiness']:.3f} (the map itself"
        f" {figures['map_trustworthiness']:.3f}), {figures['median_distance']:.1%} of the map off at the median"
    )


def draw_losses(path: Path, losses: np.ndarray, n_warmup: int, objective: str) -> None:
    """The loss on training and on test works after each epoch."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    epochs = np.arange(1, len(losses) + 1)
    axes.plot(epochs, losses[:, 0], color="#4477aa", label="training works")
    axes.plot(epochs, losses[:, 1], color="#cc3311", label="test works, never trained on")
    if n_warmup:
        axes.axvline(n_warmup + 0.5, color="0.6", linestyle=":")
        for text, side in (("regression ", "right"), (" kl", "left")):
            where = axes.get_xaxis_transform()  # x in epochs, y as a share of the height
            axes.text(n_warmup + 0.5, 0.97, text, ha=side, va="top", color="0.4", transform=where)
    axes.set(xlabel="epoch", xlim=(0, len(losses) + 1))
    if objective == "kl":
        axes.set(ylabel="KL(P || Q)", ylim=(0, None))
    else:
        axes.set(ylabel="mean squared error, coordinates 0 to 1", yscale="log" if (losses > 0).all() else "linear")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    with store.replacing(path) as temporary:
        figure.savefig(temporary, dpi=150)
    plt.close(figure)


def draw_maps(path: Path, coordinates: np.ndarray, placed: np.ndarray, is_test: np.ndarray, name: str) -> None:
    """The finished map and the network's side by side. A work has one colour in both, that of its place on the first:
    where the colours stay together, neighbours have."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    width, height = np.ptp(np.vstack([coordinates, placed]), axis=0)
    inches = 13, 6.5 * np.clip(height / max(width, 1e-9), 0.5, 1.5) + 0.8  # panels of the maps' shape, and the legend
    figure, panels = plt.subplots(1, 2, figsize=inches, layout="constrained", sharex=True, sharey=True)
    colors = place_colors(coordinates)
    size = float(np.clip(6000 / len(coordinates), 1, 28))  # points shrink as they get many
    for axes, points, title in zip(panels, (coordinates, placed), (f"t-SNE, {name}", "the network"), strict=True):
        for rows, label, style in (
            (~is_test, "training works", {"s": size, "linewidths": 0, "alpha": 0.75}),
            (is_test, "test works, never trained on", {"s": 2 * size, "linewidths": 0.7, "edgecolors": "black"}),
        ):
            axes.scatter(*points[rows].T, c=colors[rows], label=label, **style)
        axes.set(title=title, aspect="equal", xticks=[], yticks=[])
    figure.legend(*panels[1].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    with store.replacing(path) as temporary:
        figure.savefig(temporary, dpi=150)
    plt.close(figure)


def place_colors(coordinates: np.ndarray) -> np.ndarray:
    """(N, 2) -> (N, 3) RGB 0..1 that changes smoothly over the map: by rank, so that every colour is used alike."""
    ranks = coordinates.argsort(axis=0, kind="stable").argsort(axis=0) / max(1, len(coordinates) - 1)
    x, y = ranks[:, :1], ranks[:, 1:]
    corners = np.array([[0.13, 0.35, 0.75], [0.90, 0.25, 0.20], [0.10, 0.65, 0.45], [0.98, 0.80, 0.15]])
    return (1 - y) * ((1 - x) * corners[0] + x * corners[1]) + y * ((1 - x) * corners[2] + x * corners[3])


def read_duplicates(config: Config, inputs: dict[str, str]) -> dict[str, str]:
    """id -> id of the first work with the same picture, or ""; nothing without images.h5. Adds to `inputs`."""
    if not (config.outputs / "images.h5").exists():
        return {}
    with store.open_output(config, "images") as h5:
        inputs["images"] = str(h5.attrs["fingerprint"])
        return dict(zip(store.read_ids(h5), h5["duplicate_of"].asstr()[:], strict=True))


def main(config: Config) -> tuple[Path, str]:
    # 1. Read
    settings = config.parametric_tsne
    weights: dict[str, float] = dict(config.maps[settings.map].items())
    _, inputs = sources.common_ids(config, list(weights))
    with store.open_output(config, "tsne") as h5:
        image_ids, coordinates = store.read_ids(h5), h5[f"{settings.map}/coordinates"][:]
        perplexity = float(json.loads(h5.attrs["recipe"])["perplexity"])
        inputs["tsne"] = str(h5.attrs["fingerprint"])
    duplicate_of = read_duplicates(config, inputs)
    # The scalers, and the PCA behind the style embeddings, are fitted on all works, test works too, as the finished
    # map is. They do not tell where a work lies, but make a test work a little less strange than one from elsewhere.
    features, scalers = sources.read_features(config, image_ids, weights, config.tsne.scaling)
    placed_sources = {name: sources.read_placed(config, name, scaler) for name, scaler in scalers.items()}

    # 2. Compute
    is_test = split_works(image_ids, duplicate_of, settings.test_share, settings.seed)
    tf = vgg.start_tensorflow(config)
    network, losses, n_warmup = train(features, coordinates, is_test, perplexity, settings, tf)
    placed = network.place(features)
    figures = report(network, features, coordinates, is_test, losses)

    # 3. Write
    output = config.outputs / "parametric_tsne.h5"
    draw_losses(config.outputs / "parametric_tsne_losses.png", losses, n_warmup, settings.objective)
    draw_maps(config.outputs / "parametric_tsne_maps.png", coordinates, placed, is_test, settings.map)
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
    cli.run(main, __doc__)
