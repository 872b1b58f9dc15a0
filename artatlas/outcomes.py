"""How good a verifier's answers are, counted as pairs stream by, in memory that does not grow with them.

Intervals are bootstraps that draw whole groups with replacement: pairs of one artist's works (or, where artists are not
known, of one picture) stand and fall together, and drawn pair by pair they would make every interval too narrow.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

N_GROUPS = 32  # artists (pictures) are dealt to so many groups; counts are kept for each pair of groups
N_BINS = 1024  # of scores; pairs in one bin count as tied, which moves an AUC by less than 1e-4
N_RELIABILITY = 10  # bins of probabilities
N_SAMPLES = 1000
INTERVAL = (0.025, 0.975)
LEAST_GROUPS = 8  # below, an interval would claim what it cannot know: of two groups half the samples are the same
ANSWERS = ("different", "rather different", "rather same", "same")  # the inner two are within the band


@dataclass(frozen=True)
class Figure:
    """A figure and the ends of its 95% interval, NaN where there are too few groups for one."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        interval = f" ({self.low:.3f} to {self.high:.3f})" if np.isfinite(self.low) else ""
        return f"{self.value:.3f}{interval}"


def groups(names: Iterable[str]) -> np.ndarray:
    """Group (N,) int64 of each name, the same whatever other names there are."""
    return np.fromiter((zlib.crc32(name.encode()) % N_GROUPS for name in names), dtype=np.int64)


@dataclass
class Outcomes:
    """Counts of pairs with a known answer.

    edges : (N_BINS - 1,) float32, rising: where bins of raw scores meet
    band : between them is no answer
    prevalence : share of same pairs that probabilities are for
    """

    edges: np.ndarray
    band: tuple[float, float]
    prevalence: float = 0.5
    by_score: np.ndarray = field(default_factory=lambda: np.zeros((N_GROUPS**2, 2, N_BINS), np.int64))
    by_answer: np.ndarray = field(default_factory=lambda: np.zeros((N_GROUPS**2, 2, len(ANSWERS)), np.int64))
    by_probability: np.ndarray = field(default_factory=lambda: np.zeros((N_GROUPS**2, 2, N_RELIABILITY), np.int64))
    said: np.ndarray = field(default_factory=lambda: np.zeros((N_GROUPS**2, 2, N_RELIABILITY)))  # sums of probability

    def add(
        self, raw: np.ndarray, probability: np.ndarray, is_same: np.ndarray, left: np.ndarray, right: np.ndarray
    ) -> None:
        """Counts pairs (P,): raw scores, probabilities, truth (bool), and the groups of both works."""
        pair = np.minimum(left, right) * N_GROUPS + np.maximum(left, right)
        place = pair * 2 + is_same
        score = np.searchsorted(self.edges, raw, side="right")
        low, high = self.band
        answer = (probability >= low).astype(np.int64) + (probability >= 0.5) + (probability >= high)
        tenth = np.minimum((probability * N_RELIABILITY).astype(np.int64), N_RELIABILITY - 1)
        for counts, column in ((self.by_score, score), (self.by_answer, answer), (self.by_probability, tenth)):
            counts += np.bincount(place * counts.shape[2] + column, minlength=counts.size).reshape(counts.shape)
        here = place * N_RELIABILITY + tenth
        self.said += np.bincount(here, probability, self.said.size).reshape(self.said.shape)

    @property
    def n_pairs(self) -> int:
        return int(self.by_answer.sum())

    @property
    def confusion(self) -> np.ndarray:
        """(2, 4) pairs: different, same by `ANSWERS`."""
        return self.by_answer.sum(axis=0)

    def figures(self) -> dict[str, Figure]:
        """Each figure with its interval, see `samples`."""
        return {name: figure(values) for name, values in self.samples().items()}

    def samples(self, drawn: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """Each figure as it was seen and in every sample of the bootstrap, (1 + N_SAMPLES,) float64.

        drawn : (N_SAMPLES, N_GROUPS) how often each sample holds each group; drawn here where it is not given, the same
            for the same groups, so that two verifiers can be compared sample by sample

        NaN where only one kind of pair was seen.

        roc_auc, pr_auc; prevalence : share of same pairs; always_different : the accuracy of that answer
        accuracy : at probability 0.5; balanced_accuracy : the mean of those of the two kinds
        answered : share of pairs outside the band; accuracy_answered : accuracy of these
        calibration_error : the expected one of Naeini et al. 2015 in ten bins, at the prevalence of the probabilities;
            being a sum of sizes it is larger in samples, so that an interval may lie above what was seen
        """
        used, weights, n_groups = self._weights(drawn)
        scores, answers = (_drawn(weights, counts[used]) for counts in (self.by_score, self.by_answer))
        found = _areas(scores) | _shares(answers)
        said, true, mass, _ = self.reliability(drawn)
        apart = np.nansum(mass * np.abs(said - true), axis=1)
        found["calibration_error"] = np.where(np.isfinite(found["roc_auc"]), apart, np.nan)
        if n_groups < LEAST_GROUPS:
            for values in found.values():
                values[1:] = np.nan
        return found

    def reliability(self, drawn: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Pairs by tenths of probability, as seen and in every sample, (1 + N_SAMPLES, 10) each: mean probability,
        share of the same label (both NaN where there is no pair), share of all pairs, and of all pairs that are the
        same; pairs count as if `prevalence` of them were the same.

        The reliability diagram of DeGroot & Fienberg 1983; the first two agree where probabilities can be believed.
        """
        used, weights, _ = self._weights(drawn)
        counts, said = (_drawn(weights, values[used]) for values in (self.by_probability, self.said))  # (S, 2, 10)
        with np.errstate(divide="ignore", invalid="ignore"):
            of_kind = np.array([1 - self.prevalence, self.prevalence]) / counts.sum(axis=2)  # (S, 2)
            counts, said = np.nan_to_num(counts * of_kind[:, :, None]), np.nan_to_num(said * of_kind[:, :, None])
            mass = counts.sum(axis=1)
            return said.sum(axis=1) / mass, counts[:, 1] / mass, mass, counts[:, 1]

    def _weights(self, drawn: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, int]:
        """Group pairs that were seen (U,), how often each counts (1 + N_SAMPLES, U), the first as seen, and the number
        of groups."""
        used = np.flatnonzero(self.by_answer.sum(axis=(1, 2)))  # half of the group pairs cannot occur
        first, second = np.divmod(used, N_GROUPS)
        there = np.union1d(first, second)
        if drawn is None:
            rng = np.random.default_rng(0)
            drawn = np.zeros((N_SAMPLES, N_GROUPS), np.int64)
            drawn[:, there] = rng.multinomial(len(there), np.full(len(there), 1 / max(1, len(there))), N_SAMPLES)
        weights = np.where(first == second, drawn[:, first], drawn[:, first] * drawn[:, second])  # (S, U)
        return used, np.vstack([np.ones((1, len(used))), weights]), len(there)


def _drawn(weights: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Weights (S, U) times counts (U, 2, B): (S, 2, B)."""
    return (weights @ counts.reshape(len(counts), -1)).reshape(-1, *counts.shape[1:])


def figure(values: np.ndarray) -> Figure:
    """Of what `samples` gives."""
    measured = values[1:][np.isfinite(values[1:])]
    low, high = np.quantile(measured, INTERVAL) if len(measured) else (np.nan, np.nan)
    return Figure(float(values[0]), float(low), float(high))


def _areas(counts: np.ndarray) -> dict[str, np.ndarray]:
    """Of counts (S, 2, B) of different and same pairs by rising score: ROC AUC and PR AUC, (S,) each."""
    other, same = counts[:, 0], counts[:, 1]
    n_other, n_same = other.sum(axis=1), same.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        below = other.cumsum(axis=1) - other / 2  # a tie counts half
        roc = (same * below).sum(axis=1) / (n_same * n_other)
        hits, seen = same[:, ::-1].cumsum(axis=1), counts.sum(axis=1)[:, ::-1].cumsum(axis=1)
        precision = np.where(seen > 0, hits / np.maximum(seen, 1e-9), 0)
        pr = (same[:, ::-1] * precision).sum(axis=1) / n_same
    return {"roc_auc": roc, "pr_auc": pr}


def _shares(counts: np.ndarray) -> dict[str, np.ndarray]:
    """Of counts (S, 2, 4) by `ANSWERS`: (S,) each."""
    n_pairs = counts.sum(axis=(1, 2))
    right_other, right_same = counts[:, 0, :2].sum(axis=1), counts[:, 1, 2:].sum(axis=1)
    answered = counts[:, :, [0, 3]].sum(axis=(1, 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            "prevalence": counts[:, 1].sum(axis=1) / n_pairs,
            "accuracy": (right_other + right_same) / n_pairs,
            "always_different": counts[:, 0].sum(axis=1) / n_pairs,
            "balanced_accuracy": (right_other / counts[:, 0].sum(axis=1) + right_same / counts[:, 1].sum(axis=1)) / 2,
            "answered": answered / n_pairs,
            "accuracy_answered": (counts[:, 0, 0] + counts[:, 1, 3]) / answered,
        }


def edges(raw: np.ndarray) -> np.ndarray:
    """Bin edges for scores that are spread like `raw` (P,): half by their quantiles, half evenly and a little beyond,
    so that neither the crowd nor the rare high scores, which decide precision, are lumped together."""
    finite = raw[np.isfinite(raw)].astype(np.float64)
    if not len(finite):
        return np.linspace(-1, 1, N_BINS - 1)
    low, high = finite.min(), finite.max()
    beyond = max(high - low, 1e-6) / 2
    n_even = N_BINS // 2
    even = np.linspace(low - beyond, high + beyond, n_even)
    crowd = np.quantile(finite, np.linspace(0, 1, N_BINS - 1 - n_even))
    return np.sort(np.concatenate([even, crowd]))
