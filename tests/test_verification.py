"""Scores are symmetric, highest for a picture and itself, calibrated, and counted as they should be."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artatlas import calibration, metrics, outcomes, verification
from artatlas.outcomes import Outcomes
from artatlas.verification import READOUTS, Layer, Verifier

PLATT = calibration.Calibration("platt", np.array([2.0, -1.0]), np.zeros(0), (0.2, 0.8))


def verifier_of(readout, hubness, seed=0, n_inputs=12, n_dimensions=8):
    rng = np.random.default_rng(seed)
    layer = Layer(
        rng.normal(size=(n_inputs, n_dimensions)).astype(np.float32), np.zeros(n_dimensions, np.float32), "unit"
    )
    half = n_dimensions // 2
    weights = {
        "difference": [-np.ones(n_dimensions, np.float32), np.float32(0.5)],
        "ordered": [
            rng.normal(size=half).astype(np.float32),
            np.float32(0.1),
            rng.normal(size=half).astype(np.float32),
        ],
    }.get(readout, [])
    cohort = verification.unit(rng.normal(size=(40, n_dimensions)).astype(np.float32))
    return Verifier([layer], readout, weights, hubness, cohort, PLATT)


CORRECTED = [(readout, hubness) for readout in ("dot", "plda") for hubness in ("csls", "as_norm")]
WAYS = [*[(readout, "none") for readout in READOUTS], *CORRECTED]


@pytest.mark.parametrize("readout, hubness", WAYS)
@given(seed=st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_scores_do_not_depend_on_the_order_of_a_pair_or_of_the_rows(readout, hubness, seed):
    rng = np.random.default_rng(seed)
    verifier = verifier_of(readout, hubness, seed)
    works = verifier.works(rng.normal(size=(30, 12)).astype(np.float32), np.arange(30))
    left, right = rng.integers(30, size=(2, 300))
    scores = verifier.raw(works, left, right)
    np.testing.assert_array_equal(scores, verifier.raw(works, right, left))
    order = rng.permutation(300)
    np.testing.assert_array_equal(scores[order], verifier.raw(works, left[order], right[order]))
    one_by_one = [verifier.raw(works, left[i : i + 1], right[i : i + 1])[0] for i in range(0, 300, 30)]
    np.testing.assert_array_equal(scores[::30], one_by_one)


@pytest.mark.parametrize("readout, hubness", WAYS)
@given(seed=st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_identical_pictures_score_highest(readout, hubness, seed):
    rng = np.random.default_rng(seed)
    verifier = verifier_of(readout, hubness, seed)
    picture = np.arange(20)
    picture[7] = 3  # another file with the picture of work 3
    works = verifier.works(rng.normal(size=(20, 12)).astype(np.float32), picture)
    left, right = (grid.ravel() for grid in np.meshgrid(np.arange(20), np.arange(20)))
    probability = verifier.probability(verifier.raw(works, left, right))
    same = picture[left] == picture[right]
    assert same.sum() == 22 and (probability[same] == 1).all() and (probability[~same] < 1).all()
    assert (probability >= 0).all()


def test_an_asymmetric_network_would_be_noticed():
    """The control: half of the read-out `ordered` alone depends on which work comes first."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 50, 8)).astype(np.float32)
    one_way = np.maximum(a[:, :4] + b[:, 4:], 0).sum(axis=1)
    other = np.maximum(b[:, :4] + a[:, 4:], 0).sum(axis=1)
    assert np.abs(one_way - other).max() > 0.1


def test_random_weights_score_at_chance_and_learned_ones_do_not():
    """A verifier that knows nothing must look like one."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(20), 10)
    noise = rng.normal(size=(200, 12)).astype(np.float32)
    left, right = (rows for rows in np.triu_indices(200, 1))
    is_same = labels[left] == labels[right]
    guess = verifier_of("dot", "none")
    assert metrics.auc(is_same, guess.raw(guess.works(noise, np.arange(200)), left, right)) == pytest.approx(
        0.5, abs=0.04
    )
    told = noise * 0.3 + rng.normal(size=(20, 12)).astype(np.float32)[labels]
    assert metrics.auc(is_same, guess.raw(guess.works(told, np.arange(200)), left, right)) > 0.9


def test_as_norm_takes_back_what_a_hub_scores_with_everyone():
    """A hub and a loner, both at right angles to each other: the raw scores of the cohort favour the hub.

    They are measured by a quarter of it, so that half as many such works are the same measure."""
    rng = np.random.default_rng(0)
    hub, loner = np.eye(8, dtype=np.float32)[:2]
    cohort = verification.unit(rng.normal(size=(300, 8)).astype(np.float32) * 0.3 + hub)
    both = np.stack([hub, loner])
    assert (cohort @ hub).mean() > (cohort @ loner).mean() + 0.5
    means, spreads = Verifier([], "dot", [], "as_norm", cohort, PLATT).norms(both).T
    corrected = (np.sort(cohort @ both.T, axis=0)[-75:] - means) / spreads
    np.testing.assert_allclose(corrected.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(corrected.std(axis=0), 1, atol=1e-4)
    ranked = cohort[np.argsort(cohort @ loner)]
    of_half = Verifier([], "dot", [], "as_norm", ranked[::2], PLATT).norms(loner[None])[0]
    np.testing.assert_allclose(of_half, (means[1], spreads[1]), atol=0.02)
    assert (Verifier([], "dot", [], "none", cohort, PLATT).norms(both) == [[0, 1]]).all()


@pytest.mark.parametrize("kind", ["platt", "isotonic"])
def test_calibrated_probabilities_can_be_believed(kind):
    rng = np.random.default_rng(0)
    is_same = rng.random(20_000) < 0.1
    raw = np.where(is_same, rng.normal(1.5, 1, 20_000), rng.normal(0, 1, 20_000)).astype(np.float32)
    for prevalence in (0.1, 0.5):
        fitted = calibration.fit(raw, is_same, prevalence, kind, 0.9)
        weights = np.where(is_same, prevalence / is_same.sum(), (1 - prevalence) / (~is_same).sum())
        probability = fitted.probability(raw)
        group = np.arange(20_000) % outcomes.N_GROUPS
        found = Outcomes(outcomes.edges(raw), fitted.band, prevalence)
        found.add(raw, probability, is_same, group, group)
        said, true, mass, of_same = (values[0] for values in found.reliability())
        assert mass.sum() == pytest.approx(1) and of_same.sum() == pytest.approx(prevalence)
        tenth = (probability >= 0.3) & (probability < 0.4)
        assert said[3] == pytest.approx(np.average(probability[tenth], weights=weights[tenth]))
        assert true[3] == pytest.approx(np.average(is_same[tenth], weights=weights[tenth]))
        error = found.figures()["calibration_error"]
        assert error.value == pytest.approx(np.nansum(np.abs(said - true) * mass)) and error.value < 0.02
        sure = Outcomes(outcomes.edges(raw), fitted.band, prevalence)  # the control: the same order, too sure of itself
        sure.add(raw, np.clip(probability * 3 - 1, 0, 1), is_same, group, group)
        assert sure.figures()["calibration_error"].low > 0.05
        assert (np.diff(fitted.probability(np.linspace(-9, 9, 500, dtype=np.float32))) >= 0).all()
    assert np.abs(fitted.probability(raw).mean() - is_same.mean()) > 0.2  # the control: made for 0.5, there are 0.1


def test_a_score_that_says_nothing_is_calibrated_to_the_prevalence():
    rng = np.random.default_rng(0)
    is_same = rng.random(5000) < 0.3
    raw = rng.normal(size=5000).astype(np.float32)
    probability = calibration.fit(raw, is_same, 0.5, "platt", 0.9).probability(raw)
    assert np.abs(probability - 0.5).max() < 0.1


@given(st.integers(0, 1000), st.integers(1, 5))
@settings(max_examples=15, deadline=None)
def test_counts_give_the_figures_of_the_pairs_themselves(seed, n_blocks):
    rng = np.random.default_rng(seed)
    is_same = rng.random(3000) < 0.2
    raw = (rng.normal(size=3000) + is_same).astype(np.float32)
    probability = PLATT.probability(raw)
    group = rng.integers(outcomes.N_GROUPS, size=(2, 3000))
    found = Outcomes(outcomes.edges(raw[:500]), PLATT.band)
    for some in np.array_split(np.arange(3000), n_blocks):
        found.add(raw[some], probability[some], is_same[some], group[0, some], group[1, some])
    figures = found.figures()
    assert figures["roc_auc"].value == pytest.approx(metrics.auc(is_same, raw), abs=1e-3)
    assert figures["pr_auc"].value == pytest.approx(metrics.pr_auc(is_same, raw), abs=1e-2)
    assert figures["accuracy"].value == pytest.approx(np.mean((probability >= 0.5) == is_same))
    sure = (probability < 0.2) | (probability >= 0.8)
    assert figures["answered"].value == pytest.approx(sure.mean())
    assert found.confusion.sum() == found.n_pairs == 3000
    for figure in figures.values():
        assert (
            figure.low <= figure.value + 1e-9 and figure.value <= figure.high + 1e-9
        ) or figure.high - figure.low < 0.2


def test_pr_auc_is_average_precision():
    from sklearn.metrics import average_precision_score

    rng = np.random.default_rng(0)
    is_same = rng.random(2000) < 0.1
    score = np.round(rng.normal(size=2000) + is_same, 1)  # with ties
    assert metrics.pr_auc(is_same, score) == pytest.approx(average_precision_score(is_same, score))
    assert np.isnan(metrics.pr_auc(np.zeros(5, bool), np.arange(5.0)))


def test_an_interval_is_wider_where_pairs_hang_together():
    """What drawing whole artists is for: 8 artists' pairs say less than as many pairs of 32."""
    widths = []
    for n_groups in (8, 32):
        rng = np.random.default_rng(1)
        group = rng.integers(n_groups, size=20_000)
        easy = np.random.default_rng(2).random(n_groups)[group] * 3
        is_same = rng.random(20_000) < 0.5
        raw = (rng.normal(size=20_000) + is_same * easy).astype(np.float32)
        found = Outcomes(outcomes.edges(raw), (0.2, 0.8))
        found.add(raw, PLATT.probability(raw), is_same, group, group)
        figure = found.figures()["roc_auc"]
        widths.append(figure.high - figure.low)
    assert widths[0] > 1.5 * widths[1]


def test_two_artists_are_too_few_for_an_interval():
    rng = np.random.default_rng(0)
    raw, is_same, group = rng.normal(size=500).astype(np.float32), rng.random(500) < 0.5, rng.integers(2, size=500)
    found = Outcomes(outcomes.edges(raw), (0.2, 0.8))
    found.add(raw, PLATT.probability(raw), is_same, group, group)
    assert str(found.figures()["roc_auc"]) == f"{found.figures()['roc_auc'].value:.3f}"
