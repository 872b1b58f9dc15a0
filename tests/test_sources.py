"""Scaling lets sources be weighed against each other, and the same scaling fits a new work."""

import numpy as np
import pytest
from conftest import peak_bytes

from artatlas import config, sources, store
from artatlas.errors import UserError


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


@pytest.mark.parametrize("scaling, power", [("half_white", 0.25), ("white", 0.5)])
def test_whitening_makes_large_components_smaller(scaling, power):
    rng = np.random.default_rng(1)
    x = (rng.normal(2, 1, (5000, 4)) * [100, 10, 1, 0]).astype(np.float32)
    scaler = sources.fit_scaler(x, scaling)
    centred = (x - x.mean(axis=0)).astype(np.float64)
    variance = centred.var(axis=0)
    divided = centred / (variance + 0.1 * variance.mean()) ** power
    unit = divided / np.linalg.norm(divided, axis=1, keepdims=True)
    np.testing.assert_allclose(scaler.transform(x), unit, atol=1e-3)
    spread = ((x - scaler.offset) * scaler.scale).std(axis=0)
    assert spread[0] / spread[1] < 10 / 2 and spread[1] > spread[2] > spread[3] == 0  # 10 before; in order still


def test_min_max_is_the_original_recipe(embeddings):
    x = np.hstack([embeddings["content"], np.full((200, 1), 7, np.float32)])  # A22: a constant column, NaN there
    scaled = sources.fit_scaler(x, "min_max", weight=0.5).transform(x)
    assert scaled[:, :16].min() == 0 and scaled[:, :16].max() == pytest.approx(0.5)
    assert (scaled[:, 16] == 0).all()


@pytest.mark.parametrize("scaling", ["cosine", "half_white", "white", "mean_square", "min_max", "none"])
def test_degenerate_rows_stay_finite(scaling):
    for x in (np.ones((5, 3), np.float32), np.zeros((1, 3), np.float32)):
        assert np.isfinite(sources.fit_scaler(x, scaling).transform(x)).all()


def test_a_new_work_is_scaled_as_the_collection_was(embeddings):
    for scaling in ("cosine", "white", "mean_square", "min_max"):
        scaler = sources.fit_scaler(embeddings["style"], scaling)
        together = scaler.transform(embeddings["style"])
        np.testing.assert_array_equal(scaler.transform(embeddings["style"][3:4]), together[3:4])


# --- reading


@pytest.fixture
def settings(tmp_path):
    return config.load(None, (f"paths.outputs={tmp_path}",))


def write(settings, name, ids, embeddings):
    sections = store.BY_NAME[name].sections
    with store.create(settings.outputs / f"{name}.h5", name, {"settings": settings.settings(sections)}, {}) as h5:
        store.write_ids(h5, ids)
        h5["embeddings"] = embeddings


def ids_of(numbers):
    return np.array([f"w{number:05d}" for number in numbers], object)


@pytest.mark.parametrize("scaling", ["cosine", "half_white", "white", "mean_square", "min_max", "none"])
def test_what_is_read_is_what_combine_makes_of_rows_joined_by_id(settings, monkeypatch, scaling):
    """Files in different orders, each with works that the other lacks, read in many blocks."""
    monkeypatch.setattr(sources, "BLOCK", 7)
    rng = np.random.default_rng(0)
    numbers = {"content": rng.permutation(60), "color": rng.permutation(np.arange(20, 90))}
    whole = {name: rng.normal(3, 2, (90, width)).astype(np.float32) for name, width in (("content", 6), ("color", 4))}
    for name, rows in numbers.items():
        write(settings, name, ids_of(rows), whole[name][rows])
    image_ids, fingerprints = sources.common_ids(settings, ["content", "color"])
    common = numbers["content"][numbers["content"] >= 20]  # in the order of the first source
    assert list(image_ids) == list(ids_of(common))
    assert fingerprints == {name: store.attributes(settings, name)["fingerprint"] for name in whole}

    weights = {"color": 2, "content": 1}
    found, scalers = sources.read_features(settings, image_ids, weights, scaling)
    expected, expected_scalers = sources.combine({name: of[common] for name, of in whole.items()}, weights, scaling)
    assert found.dtype == np.float32 and list(scalers) == ["color", "content"]
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(scalers["color"].scale, expected_scalers["color"].scale)
    new = np.hstack([scalers[name].transform(whole[name][common]) for name in weights])  # as a new work is scaled
    np.testing.assert_array_equal(found, new)


def test_sources_without_a_common_work_are_told(settings):
    for name, numbers in (("content", range(5)), ("color", range(5, 9))):
        write(settings, name, ids_of(numbers), np.ones((len(numbers), 2), np.float32))
    with pytest.raises(UserError, match="content and color have no work in common"):
        sources.common_ids(settings, ["content", "color"])


@pytest.mark.parametrize("scaling", ["cosine", "half_white", "mean_square", "min_max"])
def test_reading_holds_the_features_once(settings, monkeypatch, scaling):
    monkeypatch.setattr(sources, "BLOCK", 256)
    n_works, width = 8000, 256
    embeddings = np.random.default_rng(0).normal(size=(n_works, width)).astype(np.float32)
    for name in ("content", "color"):
        write(settings, name, ids_of(range(n_works)), embeddings)
    weights = {"content": 1, "color": 1}
    image_ids, _ = sources.common_ids(settings, list(weights))
    peak = peak_bytes(lambda: sources.read_features(settings, image_ids, weights, scaling))
    assert 1 < peak / (2 * embeddings.nbytes) < 1.4  # 1.4: the features, some blocks and the ids
    combined = peak_bytes(lambda: sources.combine(dict.fromkeys(weights, embeddings), weights, scaling))
    assert 1 < combined / (2 * embeddings.nbytes) < 1.4
