"""The training of the parametric t-SNE network: its objectives, batches and descent. The rest is in parametric.py.

van der Maaten 2009, "Learning a parametric embedding by preserving local structure" (AISTATS). This is the only module
that trains with Keras.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from artatlas import cli, parametric, sources
from artatlas.config import ParametricTsne
from artatlas.parametric import Network

WARMUP_SHARE = 0.25  # of the epochs of `kl` are regression
# `kl` multiplies the outputs by this. They stand for the whole width of the map, so that without it one step of Adam
# moves works across clusters, and with batches of a tenth of the works the map is torn apart and never mends.
OUTPUT_SCALE = 0.1
# `kl` pulls by so many times P (Böhm, Berens & Kobak 2022). Groups draw a little closer together, and a work that the
# network puts between two of them lands less often in a third (docs/EXPERIMENTS.md).
EXAGGERATION = 1.5
# Of learning_rate: auto. A higher one helps `kl` by far, and regression not at all (docs/EXPERIMENTS.md).
RATES = {"kl": 0.005, "regression": 0.001}
# Neighbours that a work meets on average in a batch drawn at random. Where they are fewer, with the defaults from some
# 10,000 works on, batches are drawn around works, or there is little to learn from in them (docs/EXPERIMENTS.md).
LEAST_NEAR = 3
ANCHORS = 4  # then one work in so many is drawn at random, and the others are its neighbours
MIN_SPLIT = 4  # different works; below, there is nothing to hold out and there are no neighbours to keep
PROBE = 1000  # works at most on each side of the split that the loss after an epoch is measured on


def kl_divergence(tf: Any, p: Any, coordinates: Any, alpha: float, exaggeration: float = 1.0) -> Any:
    """KL(P || Q) of t-SNE, a scalar tensor; with an `exaggeration`, attraction counts so many times, repulsion once.

    p : (B, B) float32, zero on the diagonal, summing to 1
    coordinates : (B, 2) float32
    alpha : degrees of freedom of the Student t in Q: q_ij ~ (1 + |y_i - y_j|^2 / alpha)^(-(alpha + 1) / 2), eq. 4
    """
    squares = tf.reduce_sum(coordinates**2, axis=1)
    distances = squares[:, None] + squares[None, :] - 2 * tf.matmul(coordinates, coordinates, transpose_b=True)
    log_weights = -(alpha + 1) / 2 * tf.math.log1p(tf.maximum(distances, 0) / alpha)
    others = 1 - tf.eye(tf.shape(p)[0])  # a work is not its own neighbour
    log_q = exaggeration * log_weights - tf.math.log(tf.reduce_sum(tf.exp(log_weights) * others))
    return tf.reduce_sum(tf.math.xlogy(p, p) - p * log_q)


def batches(rows: np.ndarray, batch_size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """All rows once, shuffled, in batches of at most `batch_size` of even size; none is dropped."""
    return np.array_split(rng.permutation(rows), -(-len(rows) // batch_size))


def batch_around(p: Any, works: np.ndarray, starts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A batch in which neighbours meet: the first of the `works` (B,), and neighbours of these, drawn by P.

    p : (N, N) CSR; starts : (M + 1,) float64, the sums of p.data before each of its M entries, and of all

    Returns at most B rows of p, each once.
    """
    anchors = works[: -(-len(works) // ANCHORS)]
    first, end = p.indptr[anchors, None], p.indptr[anchors + 1, None]
    drawn = starts[first] + (starts[end] - starts[first]) * rng.random((len(anchors), ANCHORS - 1))
    entries = np.clip(np.searchsorted(starts, drawn, side="right") - 1, first, end - 1)
    return np.unique(np.concatenate([anchors, p.indices[entries].ravel()]))


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


def learning_rate(epoch: int, settings: ParametricTsne) -> float:
    """What the optimizer's rate is in an epoch. Regression keeps it; with `kl` it falls along half a cosine, nearly to
    zero in the last (Loshchilov & Hutter 2017): large steps early go far, and small ones late settle."""
    start = RATES[settings.objective] if settings.learning_rate == "auto" else settings.learning_rate
    if settings.objective == "regression":
        return start
    return start * (1 + math.cos(math.pi * epoch / settings.epochs)) / 2


def make_optimizer(settings: ParametricTsne) -> Any:
    import keras

    return {"adam": keras.optimizers.Adam, "sgd": keras.optimizers.SGD}[settings.optimizer]()


def make_step(tf: Any, model: Any, loss: Callable, optimizer: Any) -> Callable:
    """One step of gradient descent on a batch: inputs (B, D), target (B, B) or (B, 2). Traced once for all sizes."""

    @tf.function(input_signature=[tf.TensorSpec((None, model.input_shape[1])), tf.TensorSpec((None, None))])
    def step(inputs: Any, target: Any) -> None:
        with tf.GradientTape() as tape:
            value = loss(model(inputs, training=True), target)
        weights = model.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(value, weights), weights, strict=True))

    return step


@dataclass(frozen=True)
class Objective:
    """loss(outputs (B, 2), target) is what training lowers, target(rows (B,)) what it compares with; measure(outputs,
    measured(rows)) is what is told of it; batches() the rows that an epoch learns from."""

    loss: Callable[[Any, Any], Any]
    target: Callable[[np.ndarray], np.ndarray]
    measure: Callable[[Any, Any], Any]
    measured: Callable[[np.ndarray], np.ndarray]
    batches: Callable[[], list[np.ndarray]]


def regression(tf: Any, coordinates: np.ndarray, network: Network, draw: Callable[[], list[np.ndarray]]) -> Objective:
    """The mean squared error of outputs against `coordinates` (N, 2) scaled to 0..1."""
    targets = (coordinates - network.map_low) / (network.map_high - network.map_low)

    def target_of(rows: np.ndarray) -> np.ndarray:
        return targets[rows]

    def loss(outputs: Any, target: Any) -> Any:
        return tf.reduce_mean((outputs - target) ** 2)

    return Objective(loss, target_of, loss, target_of, draw)


def parametric_tsne(
    tf: Any, features: np.ndarray, known: np.ndarray, perplexity: float, settings: ParametricTsne, network: Network,
    draw: Callable[[], list[np.ndarray]], rng: np.random.Generator,
) -> Objective:  # fmt: skip
    """KL(P || Q), P of the training works (rows `known`) for training and of just the given rows for measuring."""
    span = network.map_high - network.map_low
    p = parametric.affinities(features[known], perplexity)
    position = np.zeros(len(features), dtype=np.int64)
    position[known] = np.arange(len(known))
    starts = np.concatenate([[0.0], np.cumsum(p.data, dtype=np.float64)])

    def around() -> list[np.ndarray]:
        return [known[batch_around(p, position[rows], starts, rng)] for rows in draw()]

    n_near = p.nnz / len(known) * settings.batch_size / len(known)
    return Objective(
        lambda outputs, target: kl_divergence(tf, target, outputs * span, settings.alpha, EXAGGERATION),
        lambda rows: batch_affinities(p, position[rows]),
        lambda outputs, target: kl_divergence(tf, target, outputs * span, settings.alpha),
        lambda rows: parametric.affinities(features[rows], perplexity).toarray(),
        draw if n_near >= LEAST_NEAR else around,
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

    def draw() -> list[np.ndarray]:
        return batches(known, settings.batch_size, rng)

    phases = [(regression(tf, coordinates, network, draw), settings.epochs)]
    if settings.objective == "kl" and len(known) >= MIN_SPLIT:
        n_warmup = round(WARMUP_SHARE * settings.epochs)
        kl = parametric_tsne(tf, features, known, perplexity, settings, network, draw, rng)
        phases = [(phases[0][0], n_warmup), (kl, settings.epochs - n_warmup)]
    measure = measurer(phases[-1][0], model, features, network, is_test, rng)
    losses: list[list[float]] = []
    with cli.progress(total=settings.epochs, unit="epoch", desc=settings.objective) as bar:
        for objective, n_epochs in phases:
            optimizer = make_optimizer(settings)  # a new one: Adam's moments of another loss would mislead it
            step = make_step(tf, model, objective.loss, optimizer)
            for _ in range(n_epochs):
                optimizer.learning_rate.assign(learning_rate(len(losses), settings))
                for rows in objective.batches():
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
    return lambda: [float(objective.measure(model(works), target)) for works, target in probes]
