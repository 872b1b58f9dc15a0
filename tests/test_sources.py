"""Scaling lets sources be weighed against each other, and the same scaling fits a new work."""

import numpy as np
import pytest

from artatlas import sources


@pytest.fixture
def embeddings():
    rng = np.random.default_rng(0)
    return {
        "content": rng.normal(5, 100, (200, 16)).astype(np.float32),
        "style": rng.normal(-3, 0.01, (200, 8)).astype(np.float32),
    }


def mean_square_distance(features):
    return np.square(features[:, None] - features[None]).sum(axis=2).mean()


@pytest.mark.parametrize("scaling", ["cosine", "mean_square"])
def test_weights_mean_what_they_say(embeddings, scaling):
    """Whatever the numbers' size, at 1:1 both sources give half of the squared distance, at 1:2 one part to four."""
    for weights, share in (({"content": 1, "style": 1}, 0.5), ({"content": 1, "style": 2}, 0.2)):
        features, _ = sources.combine(embeddings, weights, scaling)
        ratio = mean_square_distance(features[:, :16]) / mean_square_distance(features)
        assert ratio == pytest.approx(share, abs=0.02)
    unscaled, _ = sources.combine(embeddings, {"content": 1, "style": 1}, "none")
    assert mean_square_distance(unscaled[:, :16]) / mean_square_distance(unscaled) > 0.999  # the control


def test_cosine_scaling_orders_neighbours_as_centred_cosine_does(embeddings):
    x = embeddings["content"]
    scaled = sources.fit_scaler(x, "cosine").transform(x)
    centred = x - x.mean(axis=0)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    np.testing.assert_allclose(np.square(scaled[0] - scaled).sum(axis=1), 2 - 2 * centred @ centred[0], atol=1e-4)


def test_min_max_is_the_original_recipe(embeddings):
    x = np.hstack([embeddings["content"], np.full((200, 1), 7, np.float32)])  # A22: a constant column, NaN there
    scaled = sources.fit_scaler(x, "min_max", weight=0.5).transform(x)
    assert scaled[:, :16].min() == 0 and scaled[:, :16].max() == pytest.approx(0.5)
    assert (scaled[:, 16] == 0).all()


@pytest.mark.parametrize("scaling", ["cosine", "mean_square", "min_max", "none"])
def test_degenerate_rows_stay_finite(scaling):
    for x in (np.ones((5, 3), np.float32), np.zeros((1, 3), np.float32)):
        assert np.isfinite(sources.fit_scaler(x, scaling).transform(x)).all()


def test_a_new_work_is_scaled_as_the_collection_was(embeddings):
    for scaling in ("cosine", "mean_square", "min_max"):
        scaler = sources.fit_scaler(embeddings["style"], scaling)
        together = scaler.transform(embeddings["style"])
        np.testing.assert_array_equal(scaler.transform(embeddings["style"][3:4]), together[3:4])
