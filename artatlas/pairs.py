"""Which works are trained on, calibrated on and tested on, and which pairs of them: drawn once, the same every time.

Nothing here knows of networks. Labels are text, one a work, "" where nothing is known; such works take no part, and of
works that are one picture (copies, other scans, details) one does: another on the other side of a split would give the
answer away, and two on one side would be a pair that looks right for the wrong reason.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

PARTS = ("unused", "train", "validation", "test")
UNUSED, TRAIN, VALIDATION, TEST = range(4)
MOST_ROUNDS = 64  # of drawing again what came out as two works of one label; each leaves a small share


def usable(labels: np.ndarray, group: np.ndarray) -> np.ndarray:
    """(N,) bool: works with a label that are the first such work of their group.

    group : (N,) int64, equal for works that are one picture
    """
    rows = np.flatnonzero(labels != "")
    _, first = np.unique(group[rows], return_index=True)
    found = np.zeros(len(labels), dtype=bool)
    found[rows[first]] = True
    return found


def choose(
    labels: np.ndarray, group: np.ndarray, least_works: int, most_works: int | None, n_labels: int | None,
    rng: np.random.Generator,
) -> np.ndarray:  # fmt: skip
    """(N,) bool: the works that take part, of labels with `least_works` or more, at most `most_works` of each, of at
    most `n_labels` labels; drawn where there are more."""
    left = usable(labels, group)
    names, counts = np.unique(labels[left], return_counts=True)
    names = names[counts >= least_works]
    if n_labels is not None and n_labels < len(names):
        names = np.sort(rng.permutation(names)[:n_labels])
    chosen = np.zeros(len(labels), dtype=bool)
    for name in names:
        rows = np.flatnonzero(left & (labels == name))
        if most_works is not None and most_works < len(rows):
            rows = rng.permutation(rows)[:most_works]
        chosen[rows] = True
    return chosen


def split(
    labels: np.ndarray, chosen: np.ndarray, disjoint: bool, validation_share: float, test_share: float,
    rng: np.random.Generator,
) -> np.ndarray:  # fmt: skip
    """The part of every work, (N,) int8 as in `PARTS`; works not `chosen` (N,) bool are unused.

    disjoint : whole labels are dealt, so that none is in two parts, and shares are of labels. Otherwise every label's
        works are dealt (seen labels, unseen works), and shares are of works.
    """
    parts = np.where(chosen, TRAIN, UNUSED).astype(np.int8)
    if disjoint:
        names = rng.permutation(np.unique(labels[chosen]))
        n_test, n_validation = round(test_share * len(names)), round(validation_share * len(names))
        dealt = {VALIDATION: names[n_test : n_test + n_validation], TEST: names[:n_test]}
        for part, some in dealt.items():
            parts[chosen & np.isin(labels, some)] = part
        return parts
    for name in np.unique(labels[chosen]):
        rows = rng.permutation(np.flatnonzero(chosen & (labels == name)))
        n_test = int(test_share * len(rows) + rng.random())  # 0.2 of 2 works is one work in two of five cases
        n_validation = int(validation_share * len(rows) + rng.random())
        parts[rows[:n_test]] = TEST
        parts[rows[n_test : n_test + n_validation]] = VALIDATION
    return parts


def fold(
    labels: np.ndarray, chosen: np.ndarray, disjoint: bool, i: int, n_folds: int, validation_share: float, seed: int
) -> np.ndarray:
    """Part of every work (N,) int8 in the `i`-th of `n_folds` folds of a cross-validation, in which each label (or, not
    `disjoint`, each work of each label) is in TEST once. Of the others a share is for validation."""
    rng = np.random.default_rng(seed)
    turn = np.full(len(labels), -1)
    if disjoint:
        names = rng.permutation(np.unique(labels[chosen]))
        for k in range(n_folds):
            turn[chosen & np.isin(labels, names[k::n_folds])] = k
    else:
        for name in np.unique(labels[chosen]):
            rows = rng.permutation(np.flatnonzero(chosen & (labels == name)))
            turn[rows] = (np.arange(len(rows)) + rng.integers(n_folds)) % n_folds
    others = chosen & (turn != i)
    share = validation_share * n_folds / (n_folds - 1)  # `validation_share` is of all
    parts = split(labels, others, disjoint, share, 0.0, np.random.default_rng([seed, i]))
    parts[turn == i] = TEST
    return parts


def sample(
    labels: np.ndarray, n_pairs: int, same_share: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows (P,), rows (P,) and (P,) bool same label, of about `n_pairs` pairs of works with labels (N,).

    The first work of a pair is any work (for a pair of one label: that has a partner), the other any work that makes
    it a pair of the wanted kind. None is paired with itself; a pair may be drawn twice.
    """
    _, codes, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    n_same = round(same_share * n_pairs)
    by_code = np.argsort(codes, kind="stable")
    starts = np.concatenate([[0], sizes.cumsum()[:-1]])
    place = np.empty(len(codes), np.int64)  # of a work among those of its label
    place[by_code] = np.arange(len(codes)) - np.repeat(starts, sizes)
    partnered = np.flatnonzero(sizes[codes] > 1)
    if not len(partnered):
        n_same = 0
    left = partnered[rng.integers(len(partnered), size=n_same)] if n_same else np.empty(0, np.int64)
    shift = 1 + (rng.random(n_same) * (sizes[codes[left]] - 1)).astype(np.int64)  # to another work of the label
    right = by_code[starts[codes[left]] + (place[left] + shift) % sizes[codes[left]]]
    n_different = n_pairs - n_same if len(sizes) > 1 else 0
    first = rng.integers(len(codes), size=n_different)
    second = rng.integers(len(codes), size=n_different)
    for _ in range(MOST_ROUNDS):
        again = np.flatnonzero(codes[first] == codes[second])
        if not len(again):
            break
        second[again] = rng.integers(len(codes), size=len(again))
    keep = codes[first] != codes[second]
    left, right = np.concatenate([left, first[keep]]), np.concatenate([right, second[keep]])
    order = rng.permutation(len(left))
    left, right = left[order], right[order]
    return left, right, codes[left] == codes[right]


def every(n_works: int, block: int = 1 << 20) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Every pair of `n_works` rows once, in the order of rows, as (P,) and (P,) of about `block` pairs."""
    lefts: list[np.ndarray] = []
    rights: list[np.ndarray] = []
    size = 0
    for row in range(n_works - 1):
        others = np.arange(row + 1, n_works)
        lefts.append(np.full(len(others), row))
        rights.append(others)
        size += len(others)
        if size >= block or row == n_works - 2:
            yield np.concatenate(lefts), np.concatenate(rights)
            lefts, rights, size = [], [], 0


def some(n_works: int, most: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rows (P,) and rows (P,) of every pair of `n_works` works once; where that is more than `most`, as many are drawn,
    a pair perhaps twice."""
    if n_works * (n_works - 1) // 2 <= most:
        blocks = [*every(n_works), (np.zeros(0, np.int64),) * 2]
        left, right = (np.concatenate(each) for each in zip(*blocks, strict=True))
        return left, right
    left = rng.integers(n_works, size=most)
    return left, (left + rng.integers(1, n_works, size=most)) % n_works
