"""How a trained verifier is calibrated and judged: on labels that it has not learned from, pair by pair."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from artatlas import calibration, outcomes, pairs, verifiers
from artatlas.calibration import Calibration
from artatlas.config import Verifier as Settings
from artatlas.outcomes import Outcomes
from artatlas.pixel_siamese import Pixels
from artatlas.verification import Verifier, Works

HARDEST = 6  # pairs of each kind
DRAWN = 2000  # works at most whose pairs are looked through for it
CALIBRATION_PAIRS = 1_000_000  # of a fold, drawn where there are more


def calibrate(
    tf: Any, verifier: Verifier, works: Works, seen: np.ndarray | Pixels, labels: np.ndarray, parts: np.ndarray,
    settings: Settings, n_epochs: int,
) -> tuple[Calibration, np.ndarray]:  # fmt: skip
    """The calibration, and edges of bins for its raw scores.

    By the pairs of the validation works; or, with verifier.calibration_folds, by those of all works outside the test
    part, each scored by a verifier that was trained without its label, as predictions are for stacking (Wolpert 1992):
    a few validation labels say too little of what another few will be like.

    works : as `verifier` sees them, of `seen` (N, P)
    n_epochs : that `verifier` was trained for, and those in its stead are
    """
    folds = [(verifier, parts == pairs.VALIDATION)]
    if n_folds := verifiers.n_cross_fits(settings):
        folds = list(_cross_fitted(tf, seen, labels, parts, settings, n_folds, n_epochs))
    raws, same = [], []
    for i, (trained, held_out) in enumerate(folds):
        rows = np.flatnonzero(held_out)
        left, right = pairs.some(len(rows), CALIBRATION_PAIRS, np.random.default_rng([settings.seed, i]))
        raws.append(trained.raw(trained.works(seen[rows], works.picture[rows]), left, right))
        same.append(labels[rows[left]] == labels[rows[right]])
    raw, is_same = np.concatenate(raws), np.concatenate(same)
    prevalence = float(is_same.mean()) if settings.prevalence == "natural" else settings.prevalence
    fitted = calibration.fit(raw, is_same, prevalence, settings.calibration, settings.confidence)
    # Bins are for what this verifier gives new labels; no truth is looked at for them.
    rows = np.flatnonzero(parts == pairs.TEST)
    left, right = pairs.some(len(rows), CALIBRATION_PAIRS, np.random.default_rng(settings.seed))
    return fitted, outcomes.edges(verifier.raw(works, rows[left], rows[right]))


def _cross_fitted(
    tf: Any, seen: np.ndarray | Pixels, labels: np.ndarray, parts: np.ndarray, settings: Settings, n_folds: int,
    n_epochs: int,
) -> Iterator[tuple[Verifier, np.ndarray]]:  # fmt: skip
    """A verifier for each fold of the works outside the test part, and the (N,) bool works that it has not seen."""
    others = verifiers.learned_from(parts, settings)
    for i in range(n_folds):
        inner = pairs.fold(labels, others, settings.split == "disjoint", i, n_folds, 0.0, settings.seed)
        known = np.flatnonzero(inner == pairs.TRAIN)
        yield verifiers.fitted(tf, seen, labels, known, settings, n_epochs), inner == pairs.TEST


def count(
    verifier: Verifier, works: Works, labels: np.ndarray, within: np.ndarray | None, rows: np.ndarray,
    edges: np.ndarray, group: np.ndarray,
) -> dict[str, Outcomes]:  # fmt: skip
    """Outcomes over `all` pairs of the test works `rows`, and over those that agree in `within`.

    group : (N,) int64, works that are drawn together for intervals
    """
    fitted = verifier.calibration
    found = {name: Outcomes(edges, fitted.band, fitted.prevalence) for name in ("all", "within")}
    for left, right in pairs.every(len(rows)):
        a, b = rows[left], rows[right]
        raw = verifier.raw(works, a, b)
        counted = raw, verifier.probability(raw), labels[a] == labels[b], group[a], group[b]
        found["all"].add(*counted)
        if within is not None:
            inside = (within[a] == within[b]) & (within[a] != "")
            found["within"].add(*[column[inside] for column in counted])
    if within is None:
        del found["within"]
    return found


def hardest(
    verifier: Verifier, works: Works, labels: np.ndarray, rows: np.ndarray
) -> dict[str, list[tuple[int, int, float]]]:
    """The pairs of two labels that score highest and those of one that score lowest, each work in one pair only."""
    looked = rows[:DRAWN]
    left, right = (looked[each] for each in pairs.some(len(looked), len(looked) ** 2, np.random.default_rng(0)))
    raw = verifier.raw(works, left, right)
    is_same = labels[left] == labels[right]
    found: dict[str, list[tuple[int, int, float]]] = {}
    for name, of_kind, order in (
        ("different", ~is_same, np.argsort(-raw, kind="stable")), ("same", is_same, np.argsort(raw, kind="stable")),
    ):  # fmt: skip
        taken: set[int] = set()
        found[name] = []
        for i in order[of_kind[order]]:
            a, b = int(left[i]), int(right[i])
            if len(found[name]) < HARDEST and not {a, b} & taken:
                taken |= {a, b}
                found[name].append((a, b, float(verifier.probability(raw[i : i + 1])[0])))
    return found
