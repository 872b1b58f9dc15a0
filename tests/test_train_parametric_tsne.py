"""The network learns what was planted, from training works only; P, KL and its gradient are those of the papers."""

import dataclasses

import h5py
import numpy as np
import pytest
from conftest import peak_bytes, run_script
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

import train_parametric_tsne as script
from artatlas import config, metrics, parametric, parametric_training, sources, store
from artatlas.errors import UserError
from artatlas.reduce import Pca

SMALL = ("parametric_tsne.hidden=[64, 64]", "parametric_tsne.learning_rate=0.003", "parametric_tsne.batch_size=64",
         "parametric_tsne.epochs=60", "parametric_tsne.input_noise=0.3")  # fmt: skip
N_GROUPS = 6


@pytest.fixture
def outputs_of(tmp_path):
    """A function from --set overrides to a config whose outputs are in a folder of the test's own."""
    return lambda *more: config.load(None, (f"paths.outputs={tmp_path}", *SMALL, *more))


@pytest.fixture(scope="session")
def tf():
    import tensorflow

    return tensorflow


def plant(settings, n_works=240, seed=0, order=None, copies=0):
    """content.h5, style.h5 and tsne.h5 with `N_GROUPS` groups of works; returns ids, group numbers and coordinates.

    The first `copies` works are there twice, and images.h5 says so. `order` permutes the rows of every file.
    """
    rng = np.random.default_rng(seed)
    groups = np.arange(n_works) % N_GROUPS
    inner = rng.normal(size=(n_works, 2))  # where in its group a work is: on the map, and in the features too
    embeddings = {
        name: rng.normal(size=(N_GROUPS, width))[groups] * 3 + inner @ rng.normal(size=(2, width))
        + 0.3 * rng.normal(size=(n_works, width)) + 5
        for name, width in (("content", 30), ("style", 20))
    }  # fmt: skip
    angle = 2 * np.pi * groups / N_GROUPS
    coordinates = 30 * np.stack([np.cos(angle), 2 * np.sin(angle)], axis=1) + 4 * inner
    rows = np.concatenate([np.arange(n_works), np.arange(copies)])
    ids = np.array([f"w{i:04d}.png" for i in range(n_works)] + [f"copy{i:04d}.png" for i in range(copies)], object)
    rows, ids = (rows, ids) if order is None else (rows[order], ids[order])
    write_files(settings, ids, {name: values[rows] for name, values in embeddings.items()}, coordinates[rows])
    if copies:
        first = {f"copy{i:04d}.png": f"w{i:04d}.png" for i in range(copies)}
        artists = [f"artist {group}" for group in groups[rows]]
        write_images(settings, ids, [first.get(image_id, "") for image_id in ids], artist=artists)
    return ids, groups[rows], coordinates[rows]


def write_files(settings, ids, embeddings, coordinates):
    made = {}
    for name, values in embeddings.items():
        recipe = {"settings": settings.settings(store.BY_NAME[name].sections)}
        made[name] = store.fingerprint(name, recipe, {}, [values.tobytes().hex()[:64]])
        with store.create(settings.outputs / f"{name}.h5", name, recipe, {}, [values.tobytes().hex()[:64]]) as h5:
            store.write_ids(h5, ids)
            h5["embeddings"] = values.astype(np.float32)
            if name == "style":
                width = values.shape[1]
                store.write_pca(h5, Pca(np.zeros(40, "f4"), np.eye(width, 40, dtype="f4"), np.ones(width, "f4"), 0.5))
    recipe = {"settings": settings.settings(("maps", "tsne")), "perplexity": 20.0}
    with store.create(settings.outputs / "tsne.h5", "tsne", recipe, made) as h5:
        store.write_ids(h5, ids[::-1])  # rows are joined by id, whatever their order
        for name in settings.maps:
            h5[f"{name}/coordinates"] = coordinates[::-1].astype(np.float32)


def write_images(settings, ids, duplicate_of, **metadata):
    recipe = {"settings": settings.settings(("images",))}
    with store.create(settings.outputs / "images.h5", "images", recipe, {}) as h5:
        store.write_ids(h5, ids)
        h5["pixels"] = np.zeros((len(ids), 4, 4, 3), np.uint8)
        thumbnails = h5.create_dataset("thumbnails", (len(ids),), h5py.vlen_dtype(np.uint8))
        for row in range(len(ids)):
            thumbnails[row] = np.zeros(1, np.uint8)
        for name in ("width", "height"):
            h5[name] = np.ones(len(ids), np.int32)
        for name, values in (("duplicate_of", duplicate_of), ("skipped/image_ids", []), ("skipped/reason", [])):
            h5.create_dataset(name, data=np.array(values, object), dtype=store.TEXT)
        for name, values in metadata.items():
            h5.create_dataset(f"metadata/{name}", data=np.array(values, object), dtype=store.TEXT)


def read(settings):
    with store.open_output(settings, "parametric_tsne") as h5:
        return store.read_ids(h5), h5["coordinates"][:], h5["is_test"][:], dict(h5["report"].attrs), {
            name: h5[f"history/{name}"][:] for name in ("train_loss", "test_loss")
        }  # fmt: skip


def held_out_accuracy(coordinates, labels, is_test):
    """Share of test works whose nearest training work on the map has their label."""
    distances = np.linalg.norm(coordinates[is_test][:, None] - coordinates[~is_test][None], axis=2)
    return (labels[~is_test][distances.argmin(axis=1)] == labels[is_test]).mean()


# --- P


@hypothesis_settings(deadline=None, max_examples=30)
@given(st.integers(8, 60), st.floats(1.5, 7), st.floats(1e-3, 1e3), st.integers(0, 2**16))
def test_every_row_has_the_entropy_of_the_perplexity(n_others, perplexity, scale, seed):
    distances = np.random.default_rng(seed).gamma(2, scale, (20, n_others))
    p = parametric.conditional_affinities(distances, perplexity)
    assert np.allclose(p.sum(axis=1), 1)
    entropy = -np.sum(p * np.log(p, where=p > 0, out=np.zeros_like(p)), axis=1)
    assert np.allclose(entropy, np.log(perplexity), atol=1e-6)
    assert (np.argsort(p, axis=1)[:, -1] == distances.argmin(axis=1)).all()  # the nearest is the likeliest


def test_affinities_are_symmetric_sum_to_one_and_are_those_of_opentsne():
    from openTSNE.affinity import PerplexityBasedNN

    features = np.random.default_rng(0).normal(size=(150, 10)).astype(np.float32)
    p = parametric.affinities(features, 12).toarray()
    assert np.allclose(p, p.T) and np.isclose(p.sum(), 1, atol=1e-6) and not p.diagonal().any() and (p >= 0).all()
    theirs = PerplexityBasedNN(features, perplexity=12, method="exact").P.toarray()
    assert np.abs(p - theirs).max() < 0.02 * theirs.max()  # they look at 36 neighbours, we at 37
    assert np.abs(p - parametric.affinities(features, 24).toarray()).max() > 0.2 * theirs.max()  # control


@pytest.mark.parametrize("n_works", [2, 3, 5])
def test_affinities_of_few_or_equal_works_are_finite(n_works):
    for features in (np.zeros((n_works, 3), np.float32), np.eye(n_works, 3, dtype=np.float32)):
        p = parametric.affinities(features, 30).toarray()
        assert np.isfinite(p).all() and np.isclose(p.sum(), 1)


def test_a_batch_around_works_holds_them_and_neighbours_as_p_draws_them():
    """Of 2,000 works, 40 drawn at random are no neighbours of each other; these are, and the near more often."""
    rng = np.random.default_rng(0)
    p = parametric.affinities(rng.normal(size=(2000, 5)).astype(np.float32), 10)
    starts = np.concatenate([[0.0], np.cumsum(p.data, dtype=np.float64)])
    times, works = np.zeros(2000), rng.permutation(2000)[:40]
    for _ in range(400):
        batch = parametric_training.batch_around(p, works, starts, rng)
        assert len(np.unique(batch)) == len(batch) <= 40 and np.isin(works[:10], batch).all()
        others = np.setdiff1d(batch, works[:10])
        assert len(others) > 10 and (p[works[:10]][:, others].sum(axis=0) > 0).all()
        times[others] += 1
    row = p[[works[0]]].toarray()[0]
    lone = (p[works[1:10]].sum(axis=0) == 0) & (row > 0)  # neighbours of the first work alone
    lone[works[:10]] = False
    expected = 1 - (1 - row[lone] / row.sum()) ** 3  # three draws
    assert np.corrcoef(times[lone], expected)[0, 1] > 0.9
    assert np.isclose(times[lone].sum() / 400, expected.sum(), rtol=0.1)


@pytest.mark.parametrize("least, is_around", [(0, False), (np.inf, True)])
def test_batches_are_drawn_around_works_where_neighbours_would_not_meet(monkeypatch, least, is_around):
    monkeypatch.setattr(parametric_training, "LEAST_NEAR", least)
    rng = np.random.default_rng(0)
    features = rng.normal(size=(300, 5)).astype(np.float32)
    known = np.arange(0, 300, 2)
    network = parametric_training.fit_constants(features, features[:, :2])
    objective = parametric_training.parametric_tsne(
        None, features, known, 5, config.load().parametric_tsne, network, lambda: [known[:40], known[40:]], rng
    )
    batches = objective.batches()
    assert np.isin(np.concatenate(batches), known).all()
    assert ([*map(list, batches)] != [[*known[:40]], [*known[40:]]]) == is_around


def test_batches_hold_every_row_once_and_the_affinities_among_them_sum_to_one():
    rng = np.random.default_rng(0)
    rows = np.arange(100, 200)
    drawn = parametric_training.batches(rows, 32, rng)
    assert sorted(np.concatenate(drawn)) == sorted(rows) and {len(batch) for batch in drawn} == {25}
    p = parametric.affinities(rng.normal(size=(100, 5)).astype(np.float32), 10)
    batch = rng.permutation(100)[:25]
    among = parametric_training.batch_affinities(p, batch)
    assert np.isclose(among.sum(), 1) and np.allclose(among, among.T)
    everything = p.toarray()
    assert np.allclose(among * everything[np.ix_(batch, batch)].sum(), everything[np.ix_(batch, batch)])
    assert np.allclose(parametric_training.batch_affinities(p, np.arange(100)), everything)
    strangers = np.flatnonzero(everything[0] == 0)[:2]  # 0 itself and a work that it is no neighbour of
    assert not parametric_training.batch_affinities(p, strangers).any()


# --- KL(P || Q)


def test_kl_gradient_equals_finite_differences_and_that_of_van_der_maaten(tf):
    rng = np.random.default_rng(0)
    features = rng.normal(size=(12, 4)).astype(np.float32)
    p = parametric.affinities(features, 3).toarray()
    y = rng.normal(size=(12, 2))

    def kl(coordinates, alpha=1.0):  # the definition, in float64
        squared = np.square(coordinates[:, None] - coordinates[None]).sum(axis=2)
        weights = (1 + squared / alpha) ** (-(alpha + 1) / 2)
        np.fill_diagonal(weights, 0)
        q = weights / weights.sum()
        return np.sum(p[p > 0] * np.log(p[p > 0] / q[p > 0]))

    for alpha in (1.0, 2.5):
        with tf.GradientTape() as tape:
            coordinates = tf.Variable(y.astype(np.float32))
            value = parametric_training.kl_divergence(tf, tf.constant(p), coordinates, alpha)
        gradient = tape.gradient(value, coordinates).numpy()
        assert np.isclose(float(value), kl(y, alpha), atol=1e-5)
        sparse = parametric.affinities(features, 3)
        assert np.isclose(parametric.kl_divergence(sparse, y + 100, alpha), kl(y, alpha), atol=1e-5)
        numeric = np.empty_like(y)
        for i in np.ndindex(y.shape):
            step = np.zeros_like(y)
            step[i] = 1e-5
            numeric[i] = (kl(y + step, alpha) - kl(y - step, alpha)) / 2e-5
        assert np.allclose(gradient, numeric, atol=1e-5)
        if alpha == 1:  # van der Maaten & Hinton 2008, eq. 5
            difference = y[:, None] - y[None]
            weights = 1 / (1 + np.square(difference).sum(axis=2))
            np.fill_diagonal(weights, 0)
            factor = (p - weights / weights.sum()) * weights
            assert np.allclose(gradient, 4 * (factor[:, :, None] * difference).sum(axis=1), atol=1e-5)
        else:
            assert not np.isclose(kl(y, alpha), kl(y, 1.0), atol=1e-3)  # control: alpha matters


def test_an_exaggeration_multiplies_the_attraction_and_not_the_repulsion(tf):
    """With Z the sum of all w_ij = 1 / (1 + d_ij^2): the loss is sum p ln p - r sum p ln w + ln Z, r at 1 is KL."""
    rng = np.random.default_rng(0)
    p = parametric.affinities(rng.normal(size=(12, 4)).astype(np.float32), 3).toarray()
    y = rng.normal(size=(12, 2)).astype(np.float32)
    weights = 1 / (1 + np.square(y[:, None] - y[None]).sum(axis=2))
    attraction = -(p * np.log(weights)).sum()
    plain = float(parametric_training.kl_divergence(tf, p, y, 1.0))
    assert np.isclose(float(parametric_training.kl_divergence(tf, p, y, 1.0, 3.0)), plain + 2 * attraction, atol=1e-5)


def test_the_learning_rate_falls_to_nearly_nothing_with_kl_and_stays_with_regression(outputs_of):
    settings = outputs_of("parametric_tsne.epochs=100", "parametric_tsne.learning_rate=0.5").parametric_tsne
    rates = [parametric_training.learning_rate(epoch, settings) for epoch in range(100)]
    assert rates[0] == 0.5 and np.isclose(rates[50], 0.25) and 0 < rates[-1] < 1e-3 * rates[0]
    assert (np.diff(rates) < 0).all()
    regression = settings.model_copy(update={"objective": "regression"})
    assert {parametric_training.learning_rate(epoch, regression) for epoch in range(100)} == {0.5}
    auto = regression.model_copy(update={"learning_rate": "auto"})
    assert parametric_training.learning_rate(0, auto) == parametric_training.RATES["regression"]


def test_kl_is_zero_where_q_is_p(tf):
    y = np.random.default_rng(0).normal(size=(9, 2)).astype(np.float32)
    weights = 1 / (1 + np.square(y[:, None] - y[None]).sum(axis=2))
    np.fill_diagonal(weights, 0)
    assert abs(float(parametric_training.kl_divergence(tf, weights / weights.sum(), y, 1.0))) < 1e-6
    assert float(parametric_training.kl_divergence(tf, weights / weights.sum(), 2 * y, 1.0)) > 0.01


# --- the split


def test_split_is_by_id_random_and_of_the_share_asked_for():
    ids = np.array([f"style{i // 50}/w{i:03d}" for i in range(500)], object)
    is_test = script.split_works(ids, {}, 0.2, 42)
    assert is_test.sum() == 100
    order = np.random.default_rng(1).permutation(500)
    assert (script.split_works(ids[order], {}, 0.2, 42) == is_test[order]).all()
    assert (script.split_works(ids, {}, 0.2, 43) != is_test).any()
    # Every folder is on both sides: the first 80 % by path would hold out whole styles.
    assert all(5 <= is_test[i : i + 50].sum() <= 20 for i in range(0, 500, 50))


def test_copies_of_a_picture_are_on_one_side():
    ids = np.array([f"w{i:03d}" for i in range(300)], object)
    first = {f"w{i:03d}": f"w{i % 100:03d}" if i >= 100 else "" for i in range(300)}
    is_test = script.split_works(ids, first, 0.2, 0)
    sides = is_test.reshape(3, 100)
    assert (sides == sides[0]).all() and is_test.sum() == 60
    alone = script.split_works(ids, {}, 0.2, 0).reshape(3, 100)
    assert (alone != alone[0]).any()  # control


def test_training_never_sees_a_test_work(outputs_of, tf):
    """Other test works, on other places, give the very same network: nothing of them flows into it."""
    rng = np.random.default_rng(0)
    features, coordinates = rng.normal(size=(80, 6)).astype("f4"), rng.normal(size=(80, 2)).astype("f4")
    is_test = rng.permutation(80) < 20
    settings = outputs_of("parametric_tsne.epochs=4").parametric_tsne
    first, losses, _ = parametric_training.train(features, coordinates, is_test, 10, settings, tf)
    other_features, other_coordinates = features.copy(), coordinates.copy()
    other_features[is_test], other_coordinates[is_test] = 3 * rng.normal(size=(20, 6)), rng.normal(size=(20, 2))
    second, other_losses, _ = parametric_training.train(other_features, other_coordinates, is_test, 10, settings, tf)
    for one, two in zip(first.layers, second.layers, strict=True):
        assert (one[0] == two[0]).all() and (one[1] == two[1]).all()
    assert (first.input_mean == second.input_mean).all() and first.input_scale == second.input_scale
    assert (losses[:, 0] == other_losses[:, 0]).all() and (losses[:, 1] != other_losses[:, 1]).all()
    other_features[~is_test] += 1e-3 * rng.normal(size=(60, 6)).astype("f4")  # control: training works do
    third, _, _ = parametric_training.train(other_features, coordinates, is_test, 10, settings, tf)
    assert (first.layers[0][0] != third.layers[0][0]).any()


# --- the network


@pytest.mark.parametrize("objective", ["kl", "regression"])
def test_forward_pass_equals_that_of_keras(outputs_of, objective):
    rng = np.random.default_rng(0)
    features, coordinates = rng.normal(size=(50, 12)).astype("f4"), (40 * rng.normal(size=(50, 2)) + 7).astype("f4")
    settings = outputs_of("parametric_tsne.hidden=[500, 500, 2000]", f"parametric_tsne.objective={objective}")
    model = parametric_training.build_model(12, settings.parametric_tsne)
    for layer in model.layers:
        if layer.weights:
            layer.bias.assign(rng.normal(size=layer.bias.shape))
    network = dataclasses.replace(
        parametric_training.fit_constants(features, coordinates), layers=parametric_training.read_layers(model)
    )
    span = network.map_high - network.map_low
    theirs = network.map_low + model(network.standardize(features), training=False).numpy() * span
    assert np.abs(network.place(features) - theirs).max() < 1e-5 * span.max()
    assert network.place(features).dtype == np.float32
    lengths = np.square(network.standardize(features)).sum(axis=1)
    assert np.isclose(lengths.mean(), 1, atol=1e-5)


def test_align_turns_and_scales_back_and_keeps_neighbours():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(40, 2))
    turn = np.array([[np.cos(2), -np.sin(2)], [np.sin(2), np.cos(2)]]) @ np.diag([1, -1])
    wanted = 3 * points @ turn + [5, -8]
    matrix, shift = parametric.similarity(points, wanted)
    assert np.allclose(points @ matrix + shift, wanted)
    assert np.allclose(matrix @ matrix.T, 9 * np.eye(2))

    low, high = np.array([-1, -5], "f4"), np.array([3, 20], "f4")
    shapes = ((4, 8), (8, 2))
    layers = [(rng.normal(size=shape).astype("f4"), np.ones(shape[1], "f4")) for shape in shapes]
    network = parametric.Network(np.zeros(4, "f4"), 1.0, layers, low, high)
    features = rng.normal(size=(40, 4)).astype("f4")
    before = network.place(features)
    after = parametric.align(network, features, 0.1 * before @ turn + [100, 0]).place(features)
    assert np.allclose(after, 0.1 * before @ turn + [100, 0], atol=1e-3)
    assert (metrics.neighbours(before, 3) == metrics.neighbours(after, 3)).all()


@pytest.mark.parametrize("objective", ["kl", "regression"])
def test_planted_groups_are_learned_and_shuffled_ones_are_not(outputs_of, objective):
    settings = outputs_of(f"parametric_tsne.objective={objective}")
    ids, groups, _ = plant(settings)
    _, summary = script.main(settings)
    found, coordinates, is_test, report, history = read(settings)
    groups = groups[store.rows_of(found, ids)]
    assert held_out_accuracy(coordinates, groups, is_test) > 0.9
    shuffled = np.random.default_rng(0).permutation(groups)
    assert held_out_accuracy(coordinates, shuffled, is_test) < 0.45  # chance is 1/6
    assert is_test.sum() == report["n_test"] == 48 and f"{objective}, 48 works held out" in summary
    assert report["trustworthiness"] > report["map_trustworthiness"] - 0.1
    assert abs(report["kl_divergence"] - report["map_kl_divergence"]) < 0.5 and report["kl_divergence"] > 0
    assert report["median_distance"] < {"kl": 0.15, "regression": 0.05}[objective]
    assert len(history["train_loss"]) == 60 and history["test_loss"][-1] < 0.7 * history["test_loss"][0]
    assert np.isclose(history["test_loss"][-1], report["test_loss"])
    if objective == "kl":  # from where regression ends KL(P || Q) falls further, on works not trained on too
        n_warmup = round(parametric_training.WARMUP_SHARE * 60)
        assert all(losses[-1] < losses[n_warmup - 1] for losses in history.values())
    for name in ("losses", "maps"):
        picture = (settings.outputs / f"parametric_tsne_{name}.png").read_bytes()
        assert picture.startswith(b"\x89PNG") and picture.endswith(b"IEND\xaeB`\x82")
    assert not list(settings.outputs.glob(".*"))  # no temporary files are left


def test_file_holds_what_placing_needs(outputs_of):
    settings = outputs_of("parametric_tsne.epochs=2", "maps={combined: {style: 2, content: 1}}")
    ids, _, _ = plant(settings)
    script.main(settings)
    with h5py.File(settings.outputs / "content.h5") as content, h5py.File(settings.outputs / "style.h5") as style:
        embeddings = {"content": content["embeddings"][:], "style": style["embeddings"][:]}
        components = style["pca/components"][:]
    found, coordinates, _, _, _ = read(settings)
    with store.open_output(settings, "parametric_tsne") as h5:
        model = parametric.read(h5)
    assert list(model.sources) == ["style", "content"]  # the order of the map, which is that of the features
    assert model.images == settings.images.model_dump() and model.sources["content"].pca is None
    assert (model.sources["style"].pca.components == components).all()
    assert model.sources["style"].recipe["settings"] == settings.settings(("vgg", "style"))
    placed = model.network.place(model.features(embeddings))
    assert np.allclose(placed[store.rows_of(found, ids)], coordinates, atol=1e-4)


def test_copies_told_by_images_stay_together(outputs_of):
    settings = outputs_of("parametric_tsne.epochs=2")
    plant(settings, copies=40)
    _, summary = script.main(settings)
    ids, _, is_test, figures, _ = read(settings)
    assert f"artist 1-NN error {figures['nearest_error']:.3f} ({figures['map_nearest_error']:.3f})" in summary
    side = dict(zip(ids, is_test, strict=True))
    assert all(side[f"copy{i:04d}.png"] == side[f"w{i:04d}.png"] for i in range(40)) and any(
        side[f"copy{i:04d}.png"] for i in range(40)
    )
    assert "images" in store.attributes(settings, "parametric_tsne")["inputs"]


def test_the_report_counts_what_it_says():
    """Of a network that draws its two features as they are: its map is the finished one, and then a worse one."""
    rng = np.random.default_rng(0)
    places = rng.normal(size=(200, 2)).astype("f4")
    network = parametric.Network(
        np.zeros(2, "f4"), 1.0, [(np.eye(2, dtype="f4"), np.zeros(2, "f4"))], np.zeros(2, "f4"), np.ones(2, "f4")
    )
    is_test, losses = np.arange(200) % 4 == 0, np.zeros((1, 2), "f4")
    labels = np.where(places[:, 0] > 0, "east", "west").astype(object)
    labels[is_test & (np.arange(200) % 8 == 0)] = ""  # unknown: not asked about
    labels[4] = "met by no other work"
    figures = script.report(network, places, places, is_test, losses, labels, 10, 1.0)
    assert figures["trustworthiness"] == 1 and figures["median_distance"] == 0 and figures["n_test"] == 50
    assert figures["kl_divergence"] == figures["map_kl_divergence"]
    nearest = np.linalg.norm(places[is_test][:, None] - places[~is_test], axis=2).argmin(axis=1)
    wrong = [
        label != labels[~is_test][row]
        for label, row in zip(labels[is_test], nearest, strict=True)
        if label in ("east", "west")
    ]
    assert figures["nearest_error"] == np.mean(wrong) < 0.2
    shuffled = script.report(network, places, places, is_test, losses, rng.permutation(labels), 10, 1.0)
    assert shuffled["nearest_error"] > 0.3  # control
    other = script.report(network, places, rng.permutation(places), is_test, losses, None, 10, 1.0)
    assert other["trustworthiness"] == 1 > other["map_trustworthiness"] and other["median_distance"] > 0.2
    assert other["kl_divergence"] < other["map_kl_divergence"] and "nearest_error" not in other


def test_same_bytes_in_two_processes_and_others_with_another_seed(outputs_of):
    overrides = ("parametric_tsne.epochs=6", "parametric_tsne.seed=1")
    settings = outputs_of(*overrides)
    plant(settings, n_works=120)
    names = ("parametric_tsne.h5", "parametric_tsne_losses.png", "parametric_tsne_maps.png")

    def made():
        return [(settings.outputs / name).read_bytes() for name in names]

    script.main(settings)
    first = made()
    flags = [word for value in (f"paths.outputs={settings.outputs}", *SMALL, *overrides) for word in ("--set", value)]
    result = run_script("train_parametric_tsne.py", *flags)
    assert result.stderr == ""  # TensorFlow and Keras are silent, and so is progress in a pipe
    assert made() == first
    script.main(outputs_of("parametric_tsne.epochs=6", "parametric_tsne.seed=2"))
    assert all(one != two for one, two in zip(made(), first, strict=True))


@pytest.mark.parametrize("n_works", [1, 3, 5])
def test_tiny_collections_have_a_network_too(outputs_of, n_works):
    settings = outputs_of("parametric_tsne.epochs=3")
    plant(settings, n_works=n_works)
    _, summary = script.main(settings)
    _, coordinates, is_test, _, _ = read(settings)
    assert np.isfinite(coordinates).all() and len(coordinates) == n_works
    assert is_test.sum() == (0 if n_works < 4 else 2)
    assert "trained on" in summary


def test_the_original_recipe_is_possible(outputs_of):
    """Regression by SGD at 0.1 on coordinates scaled to 0..1 (LearnTSNE.py), without noise."""
    settings = outputs_of("parametric_tsne.objective=regression", "parametric_tsne.optimizer=sgd",
                          "parametric_tsne.learning_rate=0.1", "parametric_tsne.batch_size=128",
                          "parametric_tsne.input_noise=0", "parametric_tsne.epochs=100")  # fmt: skip
    plant(settings)
    script.main(settings)
    *_, report, history = read(settings)
    assert history["train_loss"][-1] < 0.5 * history["train_loss"][0]
    assert report["training_loss"] < 0.1  # chance is the variance of the coordinates, about 0.1 each


def test_a_changed_input_or_setting_is_told_with_the_command(outputs_of):
    settings = outputs_of("parametric_tsne.epochs=2")
    with pytest.raises(UserError, match=r"content.h5 does not exist. Run: python extract_content.py"):
        script.main(settings)
    plant(settings)
    script.main(settings)
    assert store.why_stale(settings, "parametric_tsne") is None
    recipe = store.attributes(settings, "parametric_tsne")["recipe"]
    assert recipe == {"settings": settings.settings(("parametric_tsne",)), "perplexity": 20.0}
    changed = outputs_of("parametric_tsne.epochs=3")
    reason = store.why_stale(changed, "parametric_tsne")
    assert "made with parametric_tsne.epochs: 2, the settings now say 3" in reason
    plant(settings, seed=1)
    assert "made from an older" in store.why_stale(settings, "parametric_tsne")
    (settings.outputs / "tsne.h5").unlink()
    with pytest.raises(UserError, match=r"tsne.h5 does not exist. Run: python build_tsne.py"):
        script.main(settings)


# --- memory


def test_placing_many_works_takes_the_memory_of_a_block(monkeypatch):
    rng = np.random.default_rng(0)
    layers = [(rng.normal(size=shape).astype("f4"), np.zeros(shape[1], "f4")) for shape in ((8, 400), (400, 2))]
    network = parametric.Network(np.zeros(8, "f4"), 1.0, layers, np.zeros(2, "f4"), np.ones(2, "f4"))
    features = rng.normal(size=(10_000, 8)).astype("f4")
    whole = network.place(features)
    monkeypatch.setattr(sources, "BLOCK", 300)
    np.testing.assert_allclose(network.place(features), whole, atol=1e-3)
    few, many = (peak_bytes(lambda n=n: network.place(features[:n])) for n in (1000, 10_000))
    assert many - few < 4 * whole.nbytes  # the hidden units of all works are 200 times the output


def test_constants_are_fitted_without_a_copy_of_all_works(monkeypatch):
    monkeypatch.setattr(sources, "BLOCK", 500)
    features = np.random.default_rng(0).normal(size=(20_000, 64)).astype("f4")
    assert peak_bytes(lambda: parametric_training.fit_constants(features, features[:, :2])) < 0.4 * features.nbytes


def test_works_are_standardized_in_batches(outputs_of, monkeypatch):
    """Not all at once, which would be a second copy of the features."""
    settings = outputs_of("parametric_tsne.epochs=2")
    plant(settings)
    monkeypatch.setattr(sources, "BLOCK", 50)
    standardize, sizes = parametric.Network.standardize, []

    def watched(self, features):
        sizes.append(len(features))
        return standardize(self, features)

    monkeypatch.setattr(parametric.Network, "standardize", watched)
    script.main(settings)
    assert 0 < max(sizes) <= settings.parametric_tsne.batch_size
