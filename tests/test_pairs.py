"""Splits that share nothing, pairs of the kind that was asked for, and the same ones every time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artatlas import pairs
from artatlas.pairs import TEST, TRAIN, UNUSED, VALIDATION


@st.composite
def collections(draw):
    """Labels of works, "" for some, and for some works an earlier one with the same picture."""
    n_works = draw(st.integers(10, 80))
    labels = np.array([draw(st.sampled_from(["", *"abcdefghij"])) for _ in range(n_works)], dtype=object)
    picture = np.arange(n_works)
    for row in draw(st.lists(st.integers(1, n_works - 1), max_size=6)):
        picture[row] = picture[draw(st.integers(0, row - 1))]
    return labels, picture


@given(collections(), st.booleans(), st.integers(0, 5), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_no_picture_is_in_two_parts_and_no_artist_where_they_are_disjoint(collection, disjoint, fold, seed):
    labels, picture = collection
    chosen = pairs.choose(labels, picture, 1, None, None, np.random.default_rng(seed))
    ways = [pairs.split(labels, chosen, disjoint, 0.2, 0.2, np.random.default_rng(seed))]
    ways.append(pairs.fold(labels, chosen, disjoint, fold % 5, 5, 0.2, seed))
    for parts in ways:
        used = np.flatnonzero(parts != UNUSED)
        assert len(np.unique(picture[used])) == len(used)  # a variant would be a second row of the same group
        assert (labels[used] != "").all()
        if disjoint:
            sides = [set(labels[parts == part]) for part in (TRAIN, VALIDATION, TEST)]
            assert sum(map(len, sides)) == len(set.union(*sides))


def test_seen_artists_are_in_all_parts_which_disjoint_ones_are_not():
    """The control of the test above: the other protocol does share artists."""
    labels = np.repeat(np.array(list("abcdefgh"), dtype=object), 20)
    chosen = np.ones(len(labels), bool)
    seen = pairs.split(labels, chosen, False, 0.2, 0.2, np.random.default_rng(0))
    for part in (TRAIN, VALIDATION, TEST):
        assert set(labels[seen == part]) == set("abcdefgh")
    assert np.bincount(seen, minlength=4)[[VALIDATION, TEST]] == pytest.approx([32, 32], abs=8)


@pytest.mark.parametrize("disjoint", [True, False])
def test_the_folds_test_every_work_once(disjoint):
    rng = np.random.default_rng(0)
    labels = rng.choice(list("abcdefghijkl"), 200).astype(object)
    chosen = np.ones(200, bool)
    parts = np.stack([pairs.fold(labels, chosen, disjoint, i, 5, 0.2, 7) for i in range(5)])
    assert ((parts == TEST).sum(axis=0) == 1).all()
    assert ((parts == VALIDATION).any(axis=1) & (parts == TRAIN).any(axis=1)).all()
    again = pairs.fold(labels, chosen, disjoint, 3, 5, 0.2, 7)
    np.testing.assert_array_equal(again, parts[3])
    assert (pairs.fold(labels, chosen, disjoint, 3, 5, 0.2, 8) != again).any()


def test_limits_are_kept_and_drawn_by_the_seed():
    labels = np.repeat(np.array(list("abcde"), dtype=object), [1, 3, 9, 9, 9])
    picture = np.arange(len(labels))
    chosen = pairs.choose(labels, picture, 3, 5, 3, np.random.default_rng(1))
    names, counts = np.unique(labels[chosen], return_counts=True)
    assert len(names) == 3 and "a" not in names and (counts <= 5).all() and (counts >= 3).all()


@given(st.lists(st.sampled_from("abcd"), min_size=4, max_size=60), st.floats(0.1, 0.9), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_pairs_are_of_their_kind_and_never_of_a_work_with_itself(labels, share, seed):
    labels = np.array(labels, dtype=object)
    left, right, is_same = pairs.sample(labels, 200, share, np.random.default_rng(seed))
    assert (left != right).all()
    np.testing.assert_array_equal(is_same, labels[left] == labels[right])
    _, counts = np.unique(labels, return_counts=True)
    if len(counts) > 1 and counts.max() > 1:
        assert is_same.sum() == round(share * 200)
        assert len(left) > 190  # a few different pairs are lost where nearly all works have one label
    again = pairs.sample(labels, 200, share, np.random.default_rng(seed))
    np.testing.assert_array_equal(left, again[0])
    np.testing.assert_array_equal(right, again[1])


@given(st.integers(2, 60), st.integers(1, 50))
@settings(max_examples=40, deadline=None)
def test_every_pair_comes_once(n_works, block):
    found = [pair for left, right in pairs.every(n_works, block) for pair in zip(left, right, strict=True)]
    assert found == [(a, b) for a in range(n_works) for b in range(a + 1, n_works)]


def test_of_works_that_are_one_picture_the_first_with_a_label_takes_part():
    labels = np.array(["", "a", "b", "a", "b"], dtype=object)
    group = np.array([0, 0, 0, 3, 4])
    np.testing.assert_array_equal(pairs.usable(labels, group), [False, True, False, True, True])


@given(st.integers(0, 40), st.integers(1, 2000), st.integers(0, 9))
@settings(max_examples=40, deadline=None)
def test_some_pairs_are_all_where_they_fit_and_else_as_many_as_asked(n_works, most, seed):
    left, right = pairs.some(n_works, most, np.random.default_rng(seed))
    assert len(left) == min(most, n_works * (n_works - 1) // 2) and (left != right).all()
    if len(left) < most:
        assert len({frozenset(pair) for pair in zip(left.tolist(), right.tolist(), strict=True)}) == len(left)
    assert not len(left) or max(left.max(), right.max()) < n_works
