"""Maps hold together what was planted together, are the same every time, and refuse what cannot be drawn."""

import gc
import sys
import weakref

import numpy as np
import pytest
from conftest import peak_bytes
from sklearn.neighbors import KNeighborsClassifier

import build_tsne
from artatlas import config, neighbors, sources, store, tsne
from artatlas.errors import UserError


@pytest.fixture
def settings(tmp_path):
    return config.load(None, (f"paths.outputs={tmp_path}", "maps={content: {content: 1}, both: {content: 1, color: 2}}",
                              "parametric_tsne.map=both", "tsne.n_iter=250"))  # fmt: skip


def plant(settings, n_works=120, n_groups=6, seed=0):
    """Groups far apart in content and not at all in colour. Rows of the two files are in different orders."""
    rng = np.random.default_rng(seed)
    groups = np.arange(n_works) % n_groups
    ids = np.array([f"w{i:04d}" for i in range(n_works)], object)
    content = rng.normal(size=(n_groups, 20))[groups] * 4 + rng.normal(size=(n_works, 20))
    for name, embeddings, order in (
        ("content", content, np.arange(n_works)),
        ("color", rng.normal(size=(n_works, 5)), rng.permutation(n_works)),
    ):
        sections = store.BY_NAME[name].sections
        with store.create(settings.outputs / f"{name}.h5", name, {"settings": settings.settings(sections)}, {}) as h5:
            store.write_ids(h5, ids[order])
            h5["embeddings"] = embeddings[order].astype(np.float32)
    return ids, groups


def read(settings, name="content"):
    with store.open_output(settings, "tsne") as h5:
        return store.read_ids(h5), h5[f"{name}/coordinates"][:]


def accuracy(coordinates, labels):
    """Leave-one-out 5-NN accuracy."""
    neighbours = KNeighborsClassifier(5).fit(coordinates, labels).kneighbors(return_distance=False)
    return np.mean([np.bincount(row).argmax() == label for row, label in zip(labels[neighbours], labels, strict=True)])


@pytest.mark.parametrize("engine", ["opentsne", "sklearn"])
def test_planted_groups_stay_together(settings, engine):
    ids, groups = plant(settings)
    settings = settings.model_copy(update={"tsne": settings.tsne.model_copy(update={"engine": engine})})
    build_tsne.main(settings)
    found, coordinates = read(settings)
    assert list(found) == list(ids) and coordinates.dtype == np.float32
    assert accuracy(coordinates, groups) > 0.95
    assert accuracy(coordinates, np.random.default_rng(0).permutation(groups)) < 0.4  # shuffled labels: chance is 1/6


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(settings):
    plant(settings)
    build_tsne.main(settings)
    first = (settings.outputs / "tsne.h5").read_bytes()
    build_tsne.main(settings)
    assert (settings.outputs / "tsne.h5").read_bytes() == first
    other = settings.model_copy(update={"tsne": settings.tsne.model_copy(update={"seed": 7})})
    build_tsne.main(other)
    assert (settings.outputs / "tsne.h5").read_bytes() != first


def test_the_order_of_rows_in_the_sources_does_not_matter(settings):
    """Rows are joined by id: a colour file in another order gives the same map."""
    ids, _ = plant(settings)
    build_tsne.main(settings)
    _, before = read(settings, "both")
    with store.open_output(settings, "color") as h5:
        rows = store.rows_of(ids, store.read_ids(h5))
        embeddings = h5["embeddings"][:][rows]
    with store.create(settings.outputs / "color.h5", "color", {"settings": settings.settings(("color",))}, {}) as h5:
        store.write_ids(h5, ids)
        h5["embeddings"] = embeddings
    build_tsne.main(settings)
    np.testing.assert_array_equal(read(settings, "both")[1], before)


def test_too_large_a_perplexity_names_the_largest_that_fits(settings):
    with pytest.raises(UserError) as caught:
        tsne.resolve_perplexity(30.0, 24, "outputs/style.h5")
    assert str(caught.value) == (
        "tsne.perplexity: 30 needs at least 91 images, outputs/style.h5 has 24. Set it to 7 or less."
    )
    assert tsne.resolve_perplexity(7.0, 24, "") == 7  # the remedy works
    assert tsne.resolve_perplexity(30.0, 91, "") == 30
    assert tsne.resolve_perplexity("auto", 24, "") == 7 and tsne.resolve_perplexity("auto", 5000, "") == 30


@pytest.mark.parametrize("engine", ["opentsne", "sklearn"])
@pytest.mark.parametrize("n_works", [1, 2, 3, 4, 5, 10, 30])
def test_tiny_collections(settings, n_works, engine):
    """A57: 1 to 30 works are drawn, with the defaults."""
    settings = settings.model_copy(update={"tsne": settings.tsne.model_copy(update={"engine": engine})})
    plant(settings, n_works, n_groups=2)
    build_tsne.main(settings)
    coordinates = read(settings)[1]
    assert coordinates.shape == (n_works, 2) and np.isfinite(coordinates).all()
    assert len(np.unique(coordinates, axis=0)) == n_works


@pytest.mark.parametrize("n_works", [40, 600])  # forces of all pairs, and by splines
@pytest.mark.parametrize("kind", ["constant", "duplicates", "collinear", "constant columns"])
def test_degenerate_features_give_finite_maps(kind, n_works, settings):
    """A22: other tools give NaN or never end."""
    rng = np.random.default_rng(0)
    features = {
        "constant": np.ones((n_works, 8)),
        "duplicates": rng.normal(size=(n_works // 4, 8)).repeat(4, axis=0),
        "collinear": np.outer(np.arange(n_works), np.ones(8)),
        "constant columns": rng.normal(size=(n_works, 8)) * (np.arange(8) < 3),
    }[kind].astype(np.float32)
    few = settings.tsne.model_copy(update={"n_iter": 30})
    coordinates, kl = tsne.draw_map(features, few, 5, 2, "m")
    assert np.isfinite(coordinates).all() and np.isfinite(kl)
    assert len(np.unique(coordinates, axis=0)) == n_works  # works that are alike lie near each other, not on each other


def test_features_that_are_not_numbers_are_refused(settings, monkeypatch):
    ids, _ = plant(settings)
    read_features = sources.read_features

    def spoiled(*arguments):
        features, scalers = read_features(*arguments)
        features[3, 1] = np.nan
        return features, scalers

    monkeypatch.setattr(sources, "read_features", spoiled)
    with pytest.raises(UserError) as caught:
        build_tsne.main(settings)
    assert str(caught.value) == (
        f"maps.content: the features of 1 work are not numbers, first {ids[3]}."
        " Delete the outputs of its sources and run: python extract_content.py"
    )
    assert not (settings.outputs / "tsne.h5").exists()
    monkeypatch.undo()
    build_tsne.main(settings)  # the remedy works


def test_cosine_looks_at_directions_only(settings):
    rng = np.random.default_rng(0)
    features = rng.normal(size=(60, 8)).astype(np.float32)
    stretched = features * rng.uniform(1, 9, (60, 1)).astype(np.float32)
    cosine = settings.tsne.model_copy(update={"metric": "cosine"})
    same = [tsne.draw_map(x, cosine, 5, 1, "m")[0] for x in (features, features * 4)]
    np.testing.assert_array_equal(*same)
    near = [tsne.find_affinities(neighbors.unit_rows(x), 5, 1).P.toarray() for x in (features, stretched)]
    np.testing.assert_allclose(*near, atol=1e-5)
    other = tsne.find_affinities(stretched, 5, 1).P.toarray()  # the control: lengths count for euclidean
    assert np.abs(other - near[0]).max() > 0.1 * near[0].max()


def test_without_cuml_its_engine_is_refused_with_the_remedy(settings, monkeypatch):
    monkeypatch.setitem(sys.modules, "cuml", None)
    plant(settings)
    chosen = settings.model_copy(update={"tsne": settings.tsne.model_copy(update={"engine": "cuml"})})
    with pytest.raises(UserError, match="cuml is not installed. Install it .* or set tsne.engine to opentsne"):
        build_tsne.main(chosen)


def test_initial_layout_is_the_principal_plane():
    rng = np.random.default_rng(0)
    features = (rng.normal(size=(500, 6)) * [9, 5, 1, 1, 1, 1]).astype(np.float32)
    layout = tsne.initial_layout(features, "pca", np.random.default_rng(0))
    assert layout[:, 0].std() == pytest.approx(1e-4, rel=1e-2)
    assert abs(np.corrcoef(layout[:, 0], features[:, 0])[0, 1]) > 0.99
    assert abs(np.corrcoef(layout[:, 1], features[:, 1])[0, 1]) > 0.99


# --- memory


def test_initial_layout_copies_only_blocks(monkeypatch):
    monkeypatch.setattr(sources, "BLOCK", 512)
    features = np.random.default_rng(0).normal(size=(20_000, 128)).astype(np.float32)
    peak = peak_bytes(lambda: tsne.initial_layout(features, "pca", np.random.default_rng(0)))
    assert peak < 0.3 * features.nbytes  # less than one copy, of which there were five


def test_one_map_is_held_at_a_time(settings, monkeypatch):
    plant(settings)
    read_features, held = sources.read_features, []

    def watched(*arguments):
        gc.collect()
        assert not [ref for ref in held if ref() is not None], "the features of the map before are still there"
        features, scalers = read_features(*arguments)
        held.append(weakref.ref(features))
        return features, scalers

    monkeypatch.setattr(sources, "read_features", watched)
    build_tsne.main(settings)
    assert len(held) == len(settings.maps)


# --- affinities


def test_p_is_what_opentsne_makes_of_exact_neighbours():
    from openTSNE.affinity import PerplexityBasedNN

    features = np.random.default_rng(0).normal(size=(300, 16)).astype(np.float32)
    theirs = PerplexityBasedNN(features, perplexity=10, method="exact", k_neighbors=31).P.toarray()
    ours = tsne.find_affinities(features, 10, 2).P.toarray()
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-9)
    other = tsne.find_affinities(features, 20, 2).P.toarray()  # the control: another perplexity is another P
    assert np.abs(other - theirs).max() > 0.1 * theirs.max()


def test_the_same_bytes_on_any_number_of_threads():
    """`machine:` changes speed, never results; above the numbers of works where other ways of computing begin."""
    features = np.random.default_rng(0).normal(size=(2100, 16)).astype(np.float32)
    settings = config.load(None, ("tsne.n_iter=5",)).tsne
    maps = [tsne.draw_map(features, settings, 30, threads, "m") for threads in (1, 2, 2)]
    assert len({(coordinates.tobytes(), kl) for coordinates, kl in maps}) == 1
    other = tsne.draw_map(features, settings.model_copy(update={"seed": 1}), 30, 2, "m")
    assert other[0].tobytes() != maps[0][0].tobytes()
