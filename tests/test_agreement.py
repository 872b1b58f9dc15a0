"""Planted labels are found, shuffled ones are not, and the controls take away what they are there to take away."""

import numpy as np
import pytest

from artatlas import agreement, coranking
from artatlas.agreement import as_codes, nearest_among, score, score_apart, score_within


def found(x):
    return coranking.nearest_by_features(x.astype(np.float32), 10)


def blobs(codes, dimensions=8, spread=3.0, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(codes.max() + 1, dimensions))[codes] * spread + rng.normal(size=(len(codes), dimensions))


def test_planted_labels_score_high_and_shuffled_at_chance():
    codes = np.arange(500) % 10
    figures = score(found(blobs(codes)), codes, 0)
    for figure in figures.values():
        assert figure["value"] > 0.85 and figure["low"] <= figure["value"] <= figure["high"]
    assert figures["knn_accuracy"]["shuffled"] == pytest.approx(0.1, abs=0.03)
    assert figures["recall_at_10"]["shuffled"] == pytest.approx(1 - 0.9**10, abs=0.04)
    shuffled = score(found(blobs(codes)), np.random.default_rng(3).permutation(codes), 0)
    assert shuffled["knn_accuracy"]["value"] == pytest.approx(0.1, abs=0.04)


def test_a_work_without_a_label_is_nobody_s_like():
    codes = as_codes(["a", "", "a", " ", "b"])
    assert codes[0] == codes[2] and len(set(codes.tolist())) == 4
    lists = np.array([[2, 1], [3, 0], [0, 4], [1, 0], [3, 1]])
    assert score(lists, codes, 0)["recall_at_10"]["value"] == 1  # only the two a are asked about
    assert score(lists, as_codes(["a", "b", "", "", ""]), 0) == {}


def test_all_of_one_label_is_always_found():
    codes = np.zeros(30, int)
    figures = score(found(np.random.default_rng(0).normal(size=(30, 3))), codes, 0)
    assert {figure["value"] for figure in figures.values()} == {1.0}
    assert {figure["shuffled"] for figure in figures.values()} == {1.0}  # and says nothing, as this shows


def test_within_a_group_an_artist_who_is_only_his_style_is_no_more():
    """Where only the style leaves a trace, artists seem known, and within one style are at chance."""
    artist = np.arange(600) % 12
    style = artist // 3
    by_style_alone = blobs(style, spread=6)
    plain = score(found(by_style_alone), artist, 0)["knn_accuracy"]
    assert plain["value"] > 2.5 * plain["shuffled"]
    within = score_within(by_style_alone, artist, style, 0)["knn_accuracy"]
    assert within["value"] == pytest.approx(1 / 3, abs=0.06) and within["shuffled"] == pytest.approx(1 / 3, abs=0.06)
    within = score_within(blobs(artist, spread=6), artist, style, 0)["knn_accuracy"]  # the control of the control
    assert within["value"] > 0.9


def test_apart_from_the_artist_a_style_that_is_only_its_artists_is_no_more():
    artist = np.arange(600) % 12
    style = artist // 3
    by_artist_alone = blobs(artist, spread=6, dimensions=20)
    assert score(found(by_artist_alone), style, 0)["knn_accuracy"]["value"] > 0.95
    assert score_apart(by_artist_alone, style, artist, 0)["knn_accuracy"]["value"] < 0.6
    assert score_apart(blobs(style, spread=6), style, artist, 0)["knn_accuracy"]["value"] > 0.9


def test_controls_are_left_out_where_they_do_not_apply():
    x, alone = np.random.default_rng(0).normal(size=(20, 3)), np.arange(20)
    assert score_within(x, np.zeros(20, int), np.zeros(20, int), 0) == {}  # one label: nobody to be taken for
    assert score_within(x, alone, np.zeros(20, int), 0) == {}  # nobody twice
    assert score_apart(x, alone // 4, alone // 4, 0) == {}  # no label in two groups


def test_nearest_among_is_brute_force(monkeypatch):
    monkeypatch.setattr(agreement.sources, "BLOCK", 7)
    rng = np.random.default_rng(0)
    x, groups, asked = rng.normal(size=(90, 4)), rng.integers(0, 4, 90), np.arange(3, 90, 2)
    lists = nearest_among(x, asked, 30, lambda rows, some: groups[rows, None] == groups[some])
    for row, nearest in zip(asked, lists, strict=True):
        others = np.flatnonzero((groups == groups[row]) & (np.arange(90) != row))
        expected = others[np.linalg.norm(x[others] - x[row], axis=1).argsort()][:30]
        np.testing.assert_array_equal(nearest[: len(expected)], expected)
        assert (nearest[len(expected) :] == -1).all()


def test_many_works_are_asked_by_a_seeded_draw(monkeypatch):
    monkeypatch.setattr(agreement, "MOST_ASKED", 200)
    artist = np.arange(600) % 12
    x = blobs(artist)
    one, again = (score_within(x, artist, artist // 3, 7) for _ in range(2))
    assert one == again != score_within(x, artist, artist // 3, 8)
    assert one["knn_accuracy"]["value"] > 0.8
