"""How a verifier learns: every method is a Keras network, a loss over an epoch, and what it leaves for `verification`.

All train on features, a few hundred principal components of the collection's embeddings, and therefore in seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from artatlas import cli, metrics, pairs, store, verification
from artatlas.config import Verifier as Settings
from artatlas.verification import Layer, Verifier, Works

TOGETHER = 8  # works of one label that come into a batch together, so that each has partners there
SAVED_EVERY_S = 5  # an epoch takes less; a stopped run loses no more than this
CLASS_UNITS = 256  # hidden units of the classifier, its penultimate layer
VALIDATION_PAIRS = 500_000  # at most, of all pairs among validation works


@dataclass(frozen=True)
class Method:
    """A method at work.

    variables : Keras variables that training changes, the optimiser's and the random states included
    epoch : one pass; takes a Generator and returns the mean loss
    export : the verifier as it stands, without calibration
    """

    variables: Sequence[Any]
    epoch: Callable[[np.random.Generator], float]
    export: Callable[[], Verifier]


UNCALIBRATED = verification.Calibration("platt", np.array([1.0, 0.0]), np.zeros(0))


def batches(labels: np.ndarray, batch_size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """All rows of labels (N,) once, in batches of about `batch_size`, works of one label in groups of up to 8."""
    order = np.lexsort((rng.random(len(labels)), labels))
    _, starts = np.unique(labels[order], return_index=True)
    groups = [group[i : i + TOGETHER] for group in np.split(order, starts[1:]) for i in range(0, len(group), TOGETHER)]
    shuffled = np.concatenate([groups[i] for i in rng.permutation(len(groups))])
    return iter(np.array_split(shuffled, -(-len(shuffled) // batch_size)))


def within_class_whitening(
    features: np.ndarray, labels: np.ndarray, shrinkage: float, n_dimensions: int
) -> tuple[np.ndarray, np.ndarray]:
    """(kernel (P, D), bias (D,)): the linear map after which works of one label scatter alike in all directions.

    Hatch, Kajarekar & Stolcke 2006, "Within-class covariance normalization": x -> S_w^(-1/2) (x - mean); its axes
    turned to those of linear discriminant analysis (Fisher 1936), most telling first, of which D are kept. S_w is mixed
    with `shrinkage` of the identity times its mean variance: there are too few works to know it all.
    """
    _, codes, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    wide = features.astype(np.float64)
    mean = wide.mean(axis=0)
    centres = np.zeros((len(sizes), wide.shape[1]))
    np.add.at(centres, codes, wide)
    centres /= sizes[:, None]
    scatter = wide - centres[codes]
    within = scatter.T @ scatter / max(1, len(wide) - len(sizes))
    size = within.trace() / len(within)
    within = (1 - shrinkage) * within + shrinkage * (size if size > 0 else 1) * np.eye(len(within))
    variances, directions = np.linalg.eigh(within)
    whiten = directions / np.sqrt(np.maximum(variances, 1e-9 * variances.max()))
    between = (centres - mean) @ whiten * np.sqrt(sizes / len(wide))[:, None]
    turn = np.linalg.eigh(between.T @ between)[1][:, ::-1][:, :n_dimensions]
    kernel = whiten @ turn
    # Rows go to unit length afterwards, so its size is free; this one suits the steps of Adam.
    kernel /= np.sqrt(np.square(kernel).sum() / kernel.shape[1])
    kernel *= np.where(kernel[np.abs(kernel).argmax(axis=0), np.arange(kernel.shape[1])] < 0, -1, 1)
    return kernel.astype(np.float32), (-mean @ kernel).astype(np.float32)


def supervised_contrastive(tf: Any, embeddings: Any, codes: Any, temperature: float) -> Any:
    """L_out of Khosla et al. 2020, "Supervised contrastive learning", eq. 2: the mean over works with a partner.

    embeddings : (B, D) of unit length; codes : (B,) int, equal for works of one label
    """
    itself = tf.eye(tf.shape(embeddings)[0])
    partner = tf.cast(codes[:, None] == codes[None, :], tf.float32) - itself
    similarity = tf.matmul(embeddings, embeddings, transpose_b=True) / temperature
    log_share = similarity - tf.reduce_logsumexp(similarity - 1e9 * itself, axis=1, keepdims=True)
    n_partners = tf.reduce_sum(partner, axis=1)
    each = -tf.reduce_sum(partner * log_share, axis=1) / tf.maximum(n_partners, 1)
    return tf.reduce_sum(each) / tf.maximum(tf.reduce_sum(tf.cast(n_partners > 0, tf.float32)), 1)


def _stepper(tf: Any, model: Any, loss: Callable, settings: Settings) -> tuple[Any, Callable]:
    """The optimiser, and one step of it: takes the arguments of `loss` and returns its value."""
    import keras

    optimizer = keras.optimizers.Adam(settings.learning_rate)
    optimizer.build(model.trainable_variables)

    @tf.function(reduce_retracing=True)
    def step(*batch: Any) -> Any:
        with tf.GradientTape() as tape:
            value = loss(*batch)
        weights = model.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(value, weights), weights, strict=True))
        return value

    return optimizer, step


def metric(tf: Any, features: np.ndarray, labels: np.ndarray, settings: Settings) -> Method:
    """A linear map, works compared by the cosine after it: begun at within-class whitening, which is the best that is
    known in closed form, and trained by the supervised contrastive loss, pulled back to where it began."""
    import keras

    kernel, bias = within_class_whitening(features, labels, settings.shrinkage, settings.dimensions)
    dense = keras.layers.Dense(kernel.shape[1])
    model = keras.Sequential([
        keras.Input((features.shape[1],)), keras.layers.Dropout(settings.dropout, seed=settings.seed), dense,
        keras.layers.UnitNormalization(),
    ])  # fmt: skip
    dense.set_weights([kernel, bias])
    start = tf.constant(kernel)
    _, codes = np.unique(labels, return_inverse=True)

    def loss(x: Any, y: Any) -> Any:
        moved = tf.reduce_sum((dense.kernel - start) ** 2)
        return supervised_contrastive(tf, model(x, training=True), y, settings.temperature) + (
            settings.weight_decay * moved
        )

    optimizer, step = _stepper(tf, model, loss, settings)

    def epoch(rng: np.random.Generator) -> float:
        steps = [
            float(step(tf.constant(features[rows]), tf.constant(codes[rows])))
            for rows in batches(labels, settings.batch_size, rng)
        ]
        return float(np.mean(steps))

    def export() -> Verifier:
        layer = Layer(dense.kernel.numpy(), dense.bias.numpy(), "unit")
        cohort = verification.forward([layer], features) if settings.hubness != "none" else np.zeros((0, 0), np.float32)
        return Verifier([layer], "dot", [], settings.hubness, cohort, UNCALIBRATED)

    return Method([*model.variables, *optimizer.variables], epoch, export)


METHODS = {"metric": metric}


def validation_auc(verifier: Verifier, works: Works, labels: np.ndarray, rng: np.random.Generator) -> float:
    """ROC AUC over all pairs of works (or half a million of them, drawn); NaN where there is but one kind."""
    left, right = (np.concatenate(each) for each in zip(*pairs.every(len(labels)), strict=True))
    if len(left) > VALIDATION_PAIRS:
        some = rng.choice(len(left), VALIDATION_PAIRS, replace=False)
        left, right = left[some], right[some]
    return metrics.auc(labels[left] == labels[right], verifier.raw(works, left, right))


def train(
    tf: Any, features: np.ndarray, labels: np.ndarray, parts: np.ndarray, settings: Settings, checkpoint: Path | None
) -> tuple[Verifier, np.ndarray]:
    """Trains on the works of TRAIN; keeps the epoch with the highest ROC AUC among those of VALIDATION.

    features, labels, parts : (N, P) float32, (N,) str, (N,) int8
    checkpoint : where a stopped run is kept and taken up again; a run so stopped ends in the same bytes

    Returns the verifier, not yet calibrated, and (epochs + 1, 2) float32: mean training loss and validation AUC after
    every epoch, the first row being before training (loss NaN).
    """
    import keras

    keras.utils.set_random_seed(settings.seed)
    tf.config.experimental.enable_op_determinism()
    known, watched = (np.flatnonzero(parts == part) for part in (pairs.TRAIN, pairs.VALIDATION))
    method = METHODS[settings.method](tf, features[known], labels[known], settings)

    def measure() -> float:
        verifier, rng = method.export(), np.random.default_rng(settings.seed)
        return validation_auc(verifier, verifier.works(features[watched], watched), labels[watched], rng)

    best = [variable.numpy() for variable in method.variables]
    history = [(np.nan, measure())]
    if checkpoint and checkpoint.exists():
        best, history = _resume(checkpoint, method)
    saved = time.monotonic()
    with cli.progress(total=settings.epochs, unit="epoch", desc=settings.method) as bar:
        bar.update(len(history) - 1)
        while len(history) <= settings.epochs and len(history) - 1 - _best_epoch(history) < settings.patience:
            loss = method.epoch(np.random.default_rng([settings.seed, len(history)]))
            history.append((loss, measure()))
            if _best_epoch(history) == len(history) - 1:
                best = [variable.numpy() for variable in method.variables]
            if checkpoint and time.monotonic() - saved > SAVED_EVERY_S:
                _save(checkpoint, method, best, history)
                saved = time.monotonic()
            bar.set_postfix_str(f"loss {loss:.3g}, validation AUC {history[-1][1]:.4f}", refresh=False)
            bar.update()
    for variable, value in zip(method.variables, best, strict=True):
        variable.assign(value)
    return method.export(), np.array(history, np.float32)


def _best_epoch(history: Sequence[tuple[float, float]]) -> int:
    """The first with the highest validation AUC; the last where there is none to measure."""
    measured = [-1.0 if np.isnan(auc) else auc for _, auc in history]
    return int(np.argmax(measured)) if max(measured) >= 0 else len(history) - 1


def _save(checkpoint: Path, method: Method, best: list[np.ndarray], history: list[tuple[float, float]]) -> None:
    with store.replacing(checkpoint) as temporary, temporary.open("wb") as file:
        now = {f"now{i}": variable.numpy() for i, variable in enumerate(method.variables)}
        kept: dict[str, Any] = now | {f"best{i}": value for i, value in enumerate(best)}
        np.savez(file, history=np.array(history), **kept)


def _resume(checkpoint: Path, method: Method) -> tuple[list[np.ndarray], list[tuple[float, float]]]:
    with np.load(checkpoint) as saved:
        for i, variable in enumerate(method.variables):
            variable.assign(saved[f"now{i}"])
        best = [saved[f"best{i}"] for i in range(len(method.variables))]
        return best, [(float(loss), float(auc)) for loss, auc in saved["history"]]
