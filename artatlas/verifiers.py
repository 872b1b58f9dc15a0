"""How a verifier learns: the loop that trains any method, keeps the best epoch and takes up a stopped run.

All methods but one train on features, a few hundred principal components of the collection's embeddings, and hence in
seconds; what they are is in `methods`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from artatlas import cli, methods, metrics, pairs, reduce, store, verification
from artatlas.config import Verifier as Settings
from artatlas.methods import Method
from artatlas.pixel_siamese import Pixels
from artatlas.verification import Layer, Verifier, Works

SAVED_EVERY_S = 5  # an epoch takes less; a stopped run loses no more than this
COMPONENTS, SHRINKAGES = (80, 160), (0.5, 0.8)  # that `auto` chooses from
USUAL_COMPONENTS, MOST_COMPONENTS, CHOICE_FOLDS = 160, max(COMPONENTS), 3
LEAST_GAIN = 0.003  # of validation AUC: less is what chance gives (docs/EXPERIMENTS.md), and `metric` stays as it began
VALIDATION_PAIRS = 500_000  # at most, of all pairs among validation works


def validation_auc(verifier: Verifier, works: Works, labels: np.ndarray, rng: np.random.Generator) -> float:
    """ROC AUC over all pairs of works (or half a million of them, drawn); NaN where there is but one kind."""
    left, right = pairs.some(len(labels), VALIDATION_PAIRS, rng)
    return metrics.auc(labels[left] == labels[right], verifier.raw(works, left, right))


def reduced(features: np.ndarray, n_components: int, seed: int) -> tuple[np.ndarray, Layer]:
    """Principal components (N, P) of features (N, D), rows of unit length on average, and the layer that makes them.

    Fitted on all works, those of the test part too, whose labels it does not see: as the PCA behind style.h5 is."""
    pca = reduce.fit_pca(lambda: [features], n_components, np.random.default_rng(seed))
    total = float(pca.explained_variance.sum())
    scale = np.float32(1 / np.sqrt(total) if total > 0 else 1)
    kernel = np.ascontiguousarray(pca.components.T) * scale
    layer = Layer(kernel, -pca.mean @ kernel, "linear")
    return verification.forward([layer], features), layer


def most_components(settings: Settings) -> int:
    """How many `reduced` should keep for `choose` to choose from."""
    return MOST_COMPONENTS if settings.n_components == "auto" else settings.n_components


def choose(features: np.ndarray, labels: np.ndarray, parts: np.ndarray, settings: Settings) -> Settings:
    """Settings without `auto`: the number of components of features (N, P) and the shrinkage with which within-class
    whitening, where `metric` begins, has the highest ROC AUC on works whose labels it was not fitted on.

    Cross-validated over the works outside the test part, which hence has no say in it.
    """
    sizes, amounts = (
        (wanted,) if wanted != "auto" else tried
        for wanted, tried in ((settings.n_components, COMPONENTS), (settings.shrinkage, SHRINKAGES))
    )
    tried = list(dict.fromkeys((min(size, features.shape[1]), amount) for size in sizes for amount in amounts))
    if settings.method != "metric":
        tried = [
            (min(USUAL_COMPONENTS if settings.n_components == "auto" else sizes[0], features.shape[1]), amounts[0])
        ]
    others = (parts == pairs.TRAIN) | (parts == pairs.VALIDATION)
    scores = np.zeros((len(tried), CHOICE_FOLDS))
    for fold in range(CHOICE_FOLDS) if len(tried) > 1 else ():
        inner = pairs.fold(labels, others, settings.split == "disjoint", fold, CHOICE_FOLDS, 0.0, settings.seed)
        known, held_out = (np.flatnonzero(inner == part) for part in (pairs.TRAIN, pairs.TEST))
        for i, (size, amount) in enumerate(tried):
            one = settings.model_copy(update={"n_components": size, "shrinkage": amount})
            verifier = methods.whitened(features[known, :size], labels[known], one)
            works = verifier.works(features[held_out, :size], held_out)
            rng = np.random.default_rng(settings.seed)
            scores[i, fold] = validation_auc(verifier, works, labels[held_out], rng)
    size, amount = tried[int(np.argmax(np.nan_to_num(scores).mean(axis=1)))]
    return settings.model_copy(update={"n_components": size, "shrinkage": amount})


def train(
    tf: Any, features: np.ndarray | Pixels, labels: np.ndarray, parts: np.ndarray, settings: Settings,
    checkpoint: Path | None,
) -> tuple[Verifier, np.ndarray]:  # fmt: skip
    """Trains on the works of TRAIN until the ROC AUC among those of VALIDATION rises no more.

    That epoch is kept; or, where those works are not needed for the calibration too (verifier.calibration_folds), the
    training is done once more on both parts, for as many epochs: as a model is refitted on all that it was chosen by.

    features, labels, parts : (N, P) float32 or the pixels, (N,) str, (N,) int8
    checkpoint : where a stopped run is kept and taken up again; a run so stopped ends in the same bytes

    Returns the verifier, not yet calibrated, and (epochs + 1, 2) float32: mean training loss and validation AUC after
    every epoch, the first row being before training (loss NaN, and AUC too where nothing is known then).
    """
    known, watched = (np.flatnonzero(parts == part) for part in (pairs.TRAIN, pairs.VALIDATION))
    method = _begun(tf, features, labels, known, settings)

    def measure() -> float:
        verifier, rng = method.export(), np.random.default_rng(settings.seed)
        return validation_auc(verifier, verifier.works(features[watched], watched), labels[watched], rng)

    best = [variable.numpy() for variable in method.variables]
    # A random network may score well by chance, and must not be kept for that.
    history = [(np.nan, measure() if method.knows_at_first else np.nan)]
    if checkpoint and checkpoint.exists():
        best, history = _resume(checkpoint, method)
    saved = time.monotonic()
    with cli.progress(total=settings.epochs, unit="epoch", desc=settings.method) as bar:
        bar.update(len(history) - 1)
        while len(history) <= settings.epochs and len(history) - 1 - _highest(history) < settings.patience:
            loss = method.epoch(np.random.default_rng([settings.seed, len(history)]))
            history.append((loss, measure()))
            if _highest(history) == len(history) - 1:
                best = [variable.numpy() for variable in method.variables]
            if checkpoint and time.monotonic() - saved > SAVED_EVERY_S:
                _save(checkpoint, method, best, history)
                saved = time.monotonic()
            bar.set_postfix_str(f"loss {loss:.3g}, validation AUC {history[-1][1]:.4f}", refresh=False)
            bar.update()
    learned = np.array(history, np.float32)
    if n_cross_fits(settings) or best_epoch(learned) == 0:
        known = np.flatnonzero(learned_from(parts, settings))
        return fitted(tf, features, labels, known, settings, best_epoch(learned)), learned
    for variable, value in zip(method.variables, best, strict=True):
        variable.assign(value)
    return method.export(), learned


def fitted(
    tf: Any, features: np.ndarray | Pixels, labels: np.ndarray, rows: np.ndarray, settings: Settings, n_epochs: int
) -> Verifier:
    """Trained on the works `rows` for so many epochs."""
    method = _begun(tf, features, labels, rows, settings)
    for epoch in range(1, n_epochs + 1):
        method.epoch(np.random.default_rng([settings.seed, epoch]))
    return method.export()


def _begun(tf: Any, features: np.ndarray | Pixels, labels: np.ndarray, rows: np.ndarray, settings: Settings) -> Method:
    import keras

    keras.utils.set_random_seed(settings.seed)
    tf.config.experimental.enable_op_determinism()
    return methods.METHODS[settings.method](tf, features[rows], labels[rows], settings)


def n_cross_fits(settings: Settings) -> int:
    """In how many folds the calibration is cross-fitted; 0 where it is by validation works: always on pixels, where
    training again is minutes to hours, and of what a classifier says, which with other classes is on another scale."""
    says_classes = settings.method == "classifier" and settings.class_readout != "penultimate"
    return 0 if says_classes or settings.method == "siamese_contrastive" else settings.calibration_folds or 0


def learned_from(parts: np.ndarray, settings: Settings) -> np.ndarray:
    """(N,) bool: the works that a verifier has seen the labels of in the end."""
    return (parts == pairs.TRAIN) | ((parts == pairs.VALIDATION) & (n_cross_fits(settings) > 0))


def best_epoch(history: Sequence[tuple[float, float]] | np.ndarray) -> int:
    """The first with the highest validation AUC, or 0 where training hardly raised it; the last where there is none to
    measure."""
    best, aucs = _highest(history), [auc for _, auc in history]
    return 0 if aucs[best] < aucs[0] + LEAST_GAIN else best  # never 0 where aucs[0] is NaN


def _highest(history: Sequence[tuple[float, float]] | np.ndarray) -> int:
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
