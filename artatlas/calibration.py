"""From raw scores to probabilities, and to saying nothing where neither answer is sure."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

NEWTON_STEPS = 50  # Platt's two parameters settle in about ten
NO_PAIR_IS_CERTAIN = 1e-4  # isotonic: the least and, from 1, the most that a step of the curve may say


@dataclass(frozen=True)
class Calibration:
    """Raw scores to probabilities of the same label, at a stated share of such pairs.

    kind : platt, p = 1 / (1 + exp(-(x[0] s + x[1]))), Platt 1999; isotonic, the line through the points (x, y),
        Zadrozny & Elkan 2002
    band : (low, high): between them the verifier does not say
    prevalence : the share of same pairs that probabilities are for
    """

    kind: str
    x: np.ndarray
    y: np.ndarray
    band: tuple[float, float] = (0.5, 0.5)
    prevalence: float = 0.5

    def probability(self, raw: np.ndarray) -> np.ndarray:
        """(P,) float64 in 0..1, never falling as `raw` rises."""
        if self.kind == "isotonic":
            return np.interp(raw, self.x, self.y)
        return 1 / (1 + np.exp(-np.clip(self.x[0] * raw.astype(np.float64) + self.x[1], -500, 500)))


def fit(raw: np.ndarray, is_same: np.ndarray, prevalence: float, kind: str, confidence: float) -> Calibration:
    """Calibrates on raw scores (P,) of pairs that took no part in training, and sets the band.

    is_same : (P,) bool
    prevalence : share of same pairs that the probabilities are for; pairs count accordingly
    kind : platt | isotonic
    confidence : the verifier answers where the answer's probability is at least this
    """
    n_same = is_same.sum()
    weights = np.where(is_same, prevalence / max(1, n_same), (1 - prevalence) / max(1, len(is_same) - n_same))
    fitted = (_platt if kind == "platt" else _isotonic)(raw.astype(np.float64), is_same, weights * len(raw))
    return replace(fitted, band=(1 - confidence, confidence), prevalence=prevalence)


def _platt(raw: np.ndarray, is_same: np.ndarray, weights: np.ndarray) -> Calibration:
    """Logistic regression by Newton's method, towards the targets (n + 1) / (n + 2) and 1 / (n + 2) of Platt 1999."""
    n_same, n_other = is_same.sum(), (~is_same).sum()
    target = np.where(is_same, (n_same + 1) / (n_same + 2), 1 / (n_other + 2))
    middle, spread = raw.mean(), max(raw.std(), 1e-12)
    x = np.stack([(raw - middle) / spread, np.ones_like(raw)])  # (2, P); scaled, so that one size of step fits all
    ab = np.zeros(2)
    for _ in range(NEWTON_STEPS):
        p = 1 / (1 + np.exp(-np.clip(ab @ x, -500, 500)))
        gradient = x @ (weights * (p - target))
        hessian = (x * (weights * p * (1 - p))) @ x.T + 1e-9 * len(raw) * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        ab -= np.clip(step, -5, 5)
        if np.abs(step).max() < 1e-10:
            break
    slope = max(0.0, ab[0] / spread)  # a verifier that knows less than nothing must not be turned round here
    return Calibration("platt", np.array([slope, ab[1] - slope * middle]), np.zeros(0))


def _isotonic(raw: np.ndarray, is_same: np.ndarray, weights: np.ndarray) -> Calibration:
    """Pool adjacent violators: the rising curve of least squared error; scikit-learn's."""
    from sklearn.isotonic import IsotonicRegression

    model = IsotonicRegression(y_min=NO_PAIR_IS_CERTAIN, y_max=1 - NO_PAIR_IS_CERTAIN, out_of_bounds="clip")
    model.fit(raw, is_same, sample_weight=weights)
    return Calibration("isotonic", model.X_thresholds_.astype(np.float64), model.y_thresholds_.astype(np.float64))
