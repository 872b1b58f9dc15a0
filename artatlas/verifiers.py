"""How a verifier learns: the loop that trains any method, keeps the best epoch and takes up a stopped run.

All methods train on features, a few hundred principal components of the collection's embeddings, and hence in seconds;
what they are is in `methods`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from artatlas import cli, metrics, pairs, store
from artatlas.config import Verifier as Settings
from artatlas.methods import METHODS, Method
from artatlas.pixel_siamese import Pixels
from artatlas.verification import Verifier, Works

SAVED_EVERY_S = 5  # an epoch takes less; a stopped run loses no more than this
VALIDATION_PAIRS = 500_000  # at most, of all pairs among validation works


def validation_auc(verifier: Verifier, works: Works, labels: np.ndarray, rng: np.random.Generator) -> float:
    """ROC AUC over all pairs of works (or half a million of them, drawn); NaN where there is but one kind."""
    left, right = (np.concatenate(each) for each in zip(*pairs.every(len(labels)), strict=True))
    if len(left) > VALIDATION_PAIRS:
        some = rng.choice(len(left), VALIDATION_PAIRS, replace=False)
        left, right = left[some], right[some]
    return metrics.auc(labels[left] == labels[right], verifier.raw(works, left, right))


def train(
    tf: Any, features: np.ndarray | Pixels, labels: np.ndarray, parts: np.ndarray, settings: Settings,
    checkpoint: Path | None,
) -> tuple[Verifier, np.ndarray]:  # fmt: skip
    """Trains on the works of TRAIN; keeps the epoch with the highest ROC AUC among those of VALIDATION.

    features, labels, parts : (N, P) float32 or the pixels, (N,) str, (N,) int8
    checkpoint : where a stopped run is kept and taken up again; a run so stopped ends in the same bytes

    Returns the verifier, not yet calibrated, and (epochs + 1, 2) float32: mean training loss and validation AUC after
    every epoch, the first row being before training (loss NaN, and AUC too where nothing is known then).
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
    # A random network may score well by chance, and must not be kept for that.
    history = [(np.nan, measure() if method.knows_at_first else np.nan)]
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
