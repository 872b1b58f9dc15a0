"""The file to hand on says what the stages said, row by row, and draws again what it says; nothing else is in it."""

import json
import shutil

import h5py
import numpy as np
import pytest
from conftest import FAST

import export_embeddings as script
from artatlas import compact, config, embed, export, integrity, metrics, parametric, reduce, shipped, sources, store
from artatlas.errors import UserError


def settings_for(painted, outputs, *more, file=None):
    return config.load(file, (f"paths.images={painted / 'images'}", f"paths.metadata={painted / 'metadata.csv'}",
                              f"paths.outputs={outputs}", *FAST, *more))  # fmt: skip


@pytest.fixture(scope="module")
def exported(painted, finished, tmp_path_factory):
    """(config, path) of the whole collection's file, its rows in another order than those of content.h5."""
    outputs = tmp_path_factory.mktemp("exported")
    for path in finished.glob("*.h5"):
        shutil.copy(path, outputs)
    for name in ("tsne", "grid", "faithfulness", "neighbors"):  # files need not agree in their order
        turn_round(outputs / f"{name}.h5")
    settings = settings_for(painted, outputs)
    path, _ = script.main(settings)
    return settings, path


def turn_round(path):
    """The same file with its works in the opposite order."""
    with h5py.File(path, "r+") as h5:
        n_works = len(h5["image_ids"])

        def turn(name, item):
            if isinstance(item, h5py.Dataset) and item.shape[:1] == (n_works,):
                values = item[()][::-1]
                item[...] = n_works - 1 - values if name.endswith("/indices") else values

        h5.visititems(turn)
    integrity.seal(path)


def by_id(h5, name):
    return dict(zip(store.read_ids(h5), h5[name][:].tolist(), strict=True))


def cosines(x):
    x = x.astype(np.float64) - x.mean(axis=0)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return x @ x.T


def test_every_work_keeps_its_places_cells_and_figures(exported):
    settings, path = exported
    with h5py.File(path) as f:
        for file, there, here in (
            ("tsne.h5", "combined/coordinates", "combined/coordinates"), ("grid.h5", "style/cells", "style/cells"),
            ("faithfulness.h5", "content/continuity", "content/continuity"),
            ("clusters.h5", "color/labels", "color/cluster"), ("images.h5", "width", "width"),
        ):  # fmt: skip
            with h5py.File(settings.outputs / file) as h5:
                wanted, found = by_id(h5, there), by_id(f, here)
            assert wanted.keys() == found.keys()
            assert all(np.allclose(found[each], wanted[each], atol=1e-3) for each in wanted), here
        with h5py.File(settings.outputs / "images.h5") as h5:
            artists = dict(zip(store.read_ids(h5), h5["metadata/artist"].asstr()[:], strict=True))
        assert dict(zip(store.read_ids(f), f["metadata/artist"].asstr()[:], strict=True)) == artists


def test_neighbours_are_the_same_works_by_other_rows(exported):
    settings, path = exported
    with h5py.File(path) as f, h5py.File(settings.outputs / "neighbors.h5") as h5:
        ids, stored = store.read_ids(f), store.read_ids(h5)
        k = settings.export.n_neighbors
        wanted = {each: stored[row[:k]].tolist() for each, row in zip(stored, h5["style/indices"][:], strict=True)}
        found = {each: ids[row].tolist() for each, row in zip(ids, f["style/neighbors"][:], strict=True)}
    assert found == wanted


@pytest.mark.parametrize("name", ["content", "style", "color"])
def test_the_embeddings_order_works_as_the_stages_do(exported, name):
    settings, path = exported
    with h5py.File(path) as f, h5py.File(settings.outputs / f"{name}.h5") as h5:
        rows = store.rows_of(store.read_ids(f), store.read_ids(h5))
        of_stage, of_file = h5["embeddings"][:], f[f"{name}/embeddings"][:]
    assert np.abs(cosines(of_stage[rows]) - cosines(of_file)).max() < 0.01
    assert np.abs(cosines(of_stage) - cosines(of_file)).max() > 0.1  # the rows of another order, for control


def test_the_network_redraws_what_the_file_says_from_the_file_alone(exported):
    settings, path = exported
    with h5py.File(path) as f, h5py.File(settings.outputs / "parametric_tsne.h5") as h5:
        model = parametric.read(f["model"])
        features = model.features({name: f[f"{name}/embeddings"].astype("f4")[:] for name in model.sources})
        drawn, told = model.network.place(features), f["model/coordinates"][:]
        before = h5["coordinates"][:][store.rows_of(store.read_ids(f), store.read_ids(h5))]
    side = np.ptp(before, axis=0).max()
    assert np.array_equal(drawn, told)
    assert np.linalg.norm(told - before, axis=1).max() < 0.02 * side
    assert np.median(np.linalg.norm(told[::-1] - before, axis=1)) > 0.05 * side  # other works' places are elsewhere


def test_pictures_go_through_the_file_alone_to_the_embeddings_that_it_holds(exported):
    settings, path = exported
    with h5py.File(path) as f, h5py.File(settings.outputs / "images.h5") as images:
        model, ids = parametric.read(f["model"]), store.read_ids(f)
        rows = store.rows_of(ids[:4], store.read_ids(images))
        pixels = np.stack([images["pixels"][row] for row in rows])
        held = {name: f[f"{name}/embeddings"].astype("f4")[:4] for name in model.sources}
    looked = embed.embedder(model.sources, pixels.shape[1], settings, path.name, len(pixels))(pixels)
    for name, rows in looked.items():
        scale = np.abs(held[name]).max()
        assert np.abs(rows - held[name]).max() < 0.03 * scale, name  # bfloat16, int8 and half floats together
        assert np.abs(rows[::-1] - held[name]).max() > 0.1 * scale, name


def test_everything_in_the_file_says_what_it_is_and_nothing_says_where_it_was_made(exported):
    settings, path = exported
    with h5py.File(path) as f:
        names = []
        f.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        for name in names:
            assert f[name].attrs["axes"] and f[name].attrs["description"] and f[name].attrs["unit"], name
            assert f[name].dtype != object or h5py.check_string_dtype(f[name].dtype), name
            if f[name].attrs["axes"].startswith("works"):
                assert len(f[name]) == len(f["image_ids"]), name
        recipe = json.loads(f.attrs["recipe"])
        assert recipe["stages"]["style"]["recipe"]["weights_sha256"] and f.attrs["about"] and f.attrs["license"]
    assert not [name for name in names if name.rpartition("/")[2] in ("pixels", "thumbnails")]
    assert str(settings.outputs.parent).encode() not in path.read_bytes()
    assert path.stat().st_size < 12_000_000


def test_recipes_keep_names_of_files_and_lose_folders():
    told = export.without_paths({"a": "/home/me/my weights.npz", "b": ["C:\\art\\mask.png", "imagenet (x 0.1)"],
                                 "c": "sha of /srv/w.h5 (file)", "d": 3, "e": "{style}/{artist}_{title}"})  # fmt: skip
    assert told == {"a": "my weights.npz", "b": ["mask.png", "imagenet (x 0.1)"], "c": "sha of w.h5 (file)", "d": 3,
                    "e": "{style}/{artist}_{title}"}  # fmt: skip


def test_the_same_outputs_give_the_same_bytes(exported, tmp_path):
    settings, path = exported
    again, _ = script.main(settings, tmp_path / "again.h5")
    assert again.read_bytes() == path.read_bytes()


def test_what_was_not_made_is_left_out_and_what_is_out_of_date_is_refused(painted, outputs, capsys):
    for name in ("images", "grid", "neighbors", "clusters", "faithfulness", "parametric_tsne"):
        (outputs / f"{name}.h5").unlink()
    path, _ = script.main(settings_for(painted, outputs))
    assert "parametric_tsne.h5 is not there" in capsys.readouterr().err
    with h5py.File(path) as f:
        assert "cells" not in f["style"] and "network" not in f["model"] and "metadata" not in f
        assert set(f["style"]) == {"embeddings", "coordinates"}
    with pytest.raises(UserError, match="was made with tsne"):
        script.main(settings_for(painted, outputs, "tsne.seed=7"))


def test_a_name_of_the_file_itself_is_no_name_for_a_map(painted, outputs):
    settings = settings_for(painted, outputs, "maps={model: {style: 1}}", "parametric_tsne.map=model")
    with pytest.raises(UserError, match="Call it otherwise"):
        script.main(settings)


@pytest.mark.parametrize("scaling", ["cosine", "mean_square", "min_max", "none"])
def test_a_folded_network_is_the_network(scaling):
    rng = np.random.default_rng(1)
    embeddings = {name: rng.normal(1, 2, (60, width)).astype("f4") for name, width in (("content", 9), ("color", 6))}
    features, scalers = sources.combine(embeddings, {"content": 2.0, "color": 0.5}, scaling)
    layers = [(rng.normal(0, 0.3, (15, 8)).astype("f4"), rng.normal(0, 1, 8).astype("f4")),
              (rng.normal(0, 0.3, (8, 2)).astype("f4"), rng.normal(0, 1, 2).astype("f4"))]  # fmt: skip
    mean, low, high = features.mean(axis=0), np.zeros(2, "f4"), np.ones(2, "f4")
    network = parametric.Network(mean, 0.7, layers, low, high)
    whole = {name: compact.reduce_source(rows, None, None) for name, rows in embeddings.items()}
    folded, new_scalers = compact.fold(network, scalers, whole)
    new = np.hstack([new_scalers[name].transform(whole[name].embeddings) for name in scalers])
    assert np.allclose(folded.place(new), network.place(features), atol=1e-4)
    fewer = {name: compact.reduce_source(rows, None, 2) for name, rows in embeddings.items()}
    folded, new_scalers = compact.fold(network, scalers, fewer)
    new = np.hstack([new_scalers[name].transform(fewer[name].embeddings) for name in scalers])
    assert not np.allclose(folded.place(new), network.place(features), atol=1e-2)


def test_a_stored_pca_of_long_rows_is_nearly_the_pca(tmp_path):
    rng = np.random.default_rng(2)
    vectors = (rng.normal(0, 1, (40, 6)) @ rng.normal(0, 1, (6, 5000)) + rng.normal(0, 0.05, (40, 5000))).astype("f4")
    pca = reduce.fit_pca(lambda: [vectors], 6, rng)
    with h5py.File(tmp_path / "pca.h5", "w") as h5:
        compact.write_pca(h5, pca, {})
        assert h5["pca/components"].dtype == np.int8
        read = store.read_pca(h5)
    one, other = pca.transform(vectors), read.transform(vectors)
    assert np.linalg.norm(one - other) < 0.01 * np.linalg.norm(one)
    assert (metrics.neighbours(one, 3) == metrics.neighbours(other, 3)).mean() > 0.95


def test_numbers_beyond_half_floats_stay_floats():
    assert compact.half(np.array([1e3], "f4")).dtype == np.float16
    assert compact.half(np.array([1e9], "f4")).dtype == np.float32


def test_a_picture_of_the_collection_is_found_again_with_the_file_alone(exported, painted):
    _, path = exported
    with h5py.File(path) as f:
        ids, places = store.read_ids(f), f["model/coordinates"][:]
    new = shipped.look(path, [painted / "images" / ids[row] for row in (3, 40)])
    assert new.nearest[:, 0].tolist() == [3, 40] and len(new.names) == 2
    side = np.ptp(places, axis=0).max()
    assert np.linalg.norm(new.coordinates - places[[3, 40]], axis=1).max() < 0.02 * side
    assert np.linalg.norm(new.coordinates - places[[40, 3]], axis=1).min() > 0.05 * side


def test_a_file_without_a_network_says_so(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as h5:
        h5["image_ids"] = ["a"]
    with pytest.raises(UserError, match="has no network"):
        shipped.look(tmp_path / "x.h5", [])
