"""A picture placed again lies where it lay; sets grow and nothing in them moves; noise is told from works."""

import csv
import dataclasses
import shutil

import h5py
import numpy as np
import pytest
from conftest import edited, run_script
from PIL import Image

import build_tsne
import extract_color
import extract_content
import extract_style
import place_images as script
import prepare_images
import train_parametric_tsne
from artatlas import config, placed, store
from artatlas.errors import UserError

# A map of all three sources, both VGG sources with a PCA, in seconds. float32: the same bits whatever the batch holds.
SMALL = ("vgg.weights=random", "vgg.network=vgg16", "vgg.precision=float32", "images.network_px=48", "color.bins=4",
         "content.layer=block2_pool", "content.n_components=12", "style.layers=[block1_conv1, block2_conv1]",
         "style.n_components=12", "maps={all: {style: 1, content: 1, color: 1}}", "tsne.n_iter=250",
         "parametric_tsne.map=all", "parametric_tsne.hidden=[64, 64]", "parametric_tsne.epochs=60",
         "render.color_by=null")  # fmt: skip
NETWORK = "placement.by=network"


def paint(path, seed):
    """A picture of a colour and a stripe width that depend on its group (seed modulo 4), JPEG or PNG."""
    rng = np.random.default_rng(seed)
    group = seed % 4
    stripes = np.arange(60)[:, None] // (3 + 4 * group) % 2 * 120  # (60, 1)
    color = np.array([[220, 60, 60], [60, 200, 60], [60, 60, 220], [200, 200, 60]])[group]
    pixels = np.clip(color * 0.6 + stripes[:, :, None] * 0.4 + rng.normal(0, 12, (60, 80, 3)), 0, 255)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path)


def flags(folder, *more):
    return (f"paths.images={folder / 'images'}", "paths.metadata=null", f"paths.outputs={folder / 'outputs'}", *SMALL,
            *more)  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A collection of 40 pictures taken through all stages up to parametric_tsne.h5. Read only."""
    folder = tmp_path_factory.mktemp("trained")
    for i in range(40):
        paint(folder / "images" / f"group{i % 4}" / f"w{i:02d}.{'png' if i % 3 else 'jpg'}", i)
    settings = config.load(None, flags(folder))
    for stage in (prepare_images, extract_content, extract_style, extract_color, build_tsne, train_parametric_tsne):
        stage.main(settings)
    return folder


@pytest.fixture
def copied(trained, tmp_path):
    """A copy of `trained` to break, and its config."""
    shutil.copytree(trained, tmp_path / "copy")
    return tmp_path / "copy", config.load(None, flags(tmp_path / "copy"))


def read_placed(settings):
    with store.open_output(settings, "placed") as h5:
        return placed.read(h5)


def places(settings, network=False):
    """ids and coordinates of the collection's works, by t-SNE or by the network."""
    name, dataset = ("parametric_tsne", "coordinates") if network else ("tsne", "all/coordinates")
    with h5py.File(settings.outputs / f"{name}.h5") as h5:
        return store.read_ids(h5), h5[dataset][:]


def test_the_collection_placed_again_lies_where_it_is(copied):
    folder, settings = copied
    (settings.outputs / "images.h5").unlink()  # large, and not needed
    (settings.outputs / "parametric_tsne.h5").unlink()
    ids, known = places(settings)
    path, summary = script.main(settings, [folder / "images"])
    found, skipped = read_placed(settings)
    assert list(found.image_ids) == sorted(ids) and not skipped and path.name == "placed.h5"
    assert (found.coordinates == known[store.rows_of(found.image_ids, ids)]).all()
    assert (found.nearest_ids[:, 0] == found.image_ids).all() and found.nearest_ids.shape == (40, 5)
    assert (found.certainty == found.certainty[0]).all() and not found.is_off_map.any()  # each is surest of itself
    assert summary.startswith("40 works placed among 40, certainty ") and "0 off the map" in summary


def test_the_network_places_the_collection_where_it_drew_it(copied):
    folder, _ = copied
    settings = config.load(None, flags(folder, NETWORK))
    ids, known = places(settings, network=True)
    script.main(settings, [folder / "images"])
    found, _ = read_placed(settings)
    assert np.abs(found.coordinates - known[store.rows_of(found.image_ids, ids)]).max() < 1e-3 * np.ptp(known)
    with h5py.File(settings.outputs / "placed.h5") as h5:
        assert h5["calibration"].attrs["n_works"] == 8  # those that the network never saw
        assert "parametric_tsne" in h5.attrs["inputs"]


@pytest.mark.parametrize("by", ["neighbors", "network"])
def test_new_works_lie_among_their_like(copied, by):
    folder, _ = copied
    settings = config.load(None, flags(folder, f"placement.by={by}"))
    for i in range(100, 132):
        paint(folder / "new" / f"group{i % 4}-{i}.png", i)
    script.main(settings, [folder / "new"])
    found, _ = read_placed(settings)

    def share_of_own_group(of_each):
        pairs = [(near, image_id) for image_id, row in zip(found.image_ids, of_each, strict=True) for near in row]
        return np.mean([near.split("/")[0] == image_id.split("-")[0] for near, image_id in pairs])

    assert share_of_own_group(found.nearest_ids) > 0.8
    assert share_of_own_group(np.random.default_rng(0).permutation(found.nearest_ids)) < 0.5  # chance is 1/4
    assert found.is_off_map.mean() < 0.5


def test_noise_is_off_the_map_and_works_like_the_others_are_not(copied):
    folder, settings = copied
    rng = np.random.default_rng(0)
    (folder / "new").mkdir()
    for i in range(8):
        paint(folder / "new" / f"work{i}.png", 200 + i)
        Image.fromarray(rng.integers(0, 256, (60, 80, 3), np.uint8)).save(folder / "new" / f"noise{i}.png")
    script.main(settings, [folder / "new"])
    found, _ = read_placed(settings)
    is_noise = np.array([image_id.startswith("noise") for image_id in found.image_ids])
    assert found.is_off_map[is_noise].all() and found.is_off_map[~is_noise].mean() <= 0.25
    assert found.novelty[is_noise].min() > found.novelty[~is_noise].max()


def test_a_set_grows_and_what_is_in_it_keeps_its_bytes(copied, capsys):
    folder, settings = copied
    for i in range(12):
        paint(folder / "new" / f"{i:02d}.png", 300 + i)
    (folder / "new" / "13.png").write_bytes(b"no picture")
    script.main(settings, [folder / "new" / f"{i:02d}.png" for i in (5, 1, 7)] + [folder / "new" / "13.png"])
    first, skipped = read_placed(settings)
    lines = (settings.outputs / "placed.csv").read_bytes()
    assert skipped.keys() == {(folder / "new" / "13.png").as_posix()}

    script.main(settings, [folder / "images" / "group0"])
    _, summary = script.main(settings, [folder / "new"])  # other ids: named by their folder
    grown, skipped = read_placed(settings)
    assert len(grown.image_ids) == 3 + 10 + 12 and len(skipped) == 2 and "12 works placed" in summary
    assert "13 placed before" in summary
    for field in dataclasses.fields(first):
        before, after = getattr(first, field.name), getattr(grown, field.name)[:3]
        assert (before == after).all() and before.dtype == after.dtype
    assert (settings.outputs / "placed.csv").read_bytes().startswith(lines)
    # The same pictures in another order; not to the bit, for processors add up otherwise at another place in a batch.
    np.testing.assert_allclose(grown.coordinates[:3], grown.coordinates[[18, 14, 20]], rtol=1e-5)

    whole = (settings.outputs / "placed.h5").read_bytes()
    paint(folder / "new" / "03.png", 999)  # another picture of a name that is taken
    _, summary = script.main(settings, [folder / "new"])
    assert summary == "nothing new: 25 works placed already"
    assert "03.png is left where it is: another picture has this name now" in capsys.readouterr().err
    assert (settings.outputs / "placed.h5").read_bytes() == whole
    paint(folder / "new" / "13.png", 13)
    script.main(settings, [folder / "new"])
    assert len(read_placed(settings)[0].image_ids) == 26 and "13.png" not in read_placed(settings)[1]
    script.main(settings, [folder / "new"], replace=True)
    again, skipped = read_placed(settings)
    assert len(again.image_ids) == 13 and not skipped


def test_sets_of_two_maps_or_methods_are_not_mixed(copied):
    folder, settings = copied
    script.main(settings, [folder / "images" / "group0"])
    before = (settings.outputs / "placed.h5").read_bytes()
    by_network = config.load(None, flags(folder, NETWORK))
    with pytest.raises(UserError, match=r"placement.by: neighbors, the settings now say network. Name all .*--replace"):
        script.main(by_network, [folder / "images" / "group1"])
    again = config.load(None, flags(folder, "tsne.seed=7"))
    build_tsne.main(again)
    with pytest.raises(UserError, match=r"made from an older .*tsne.h5. Name all pictures and add --replace"):
        script.main(again, [folder / "images" / "group1"])
    assert (settings.outputs / "placed.h5").read_bytes() == before
    script.main(again, [folder / "images" / "group1"], replace=True)
    assert len(read_placed(again)[0].image_ids) == 10


def test_bad_files_are_listed_with_the_reason_and_the_rest_is_placed(copied, capsys):
    folder, settings = copied
    paint(folder / "new" / "deep" / "er" / "good, really.png", 3)
    (folder / "new" / "empty.jpg").write_bytes(b"")
    (folder / "new" / "text.png").write_text("no picture")
    (folder / "new" / "notes.txt").write_text("passed over in silence")
    paint(folder / "=SUM(A1).png", 5)
    _, summary = script.main(settings, [folder / "new", folder / "=SUM(A1).png"])
    found, skipped = read_placed(settings)
    typed = (folder / "=SUM(A1).png").as_posix()
    assert list(found.image_ids) == ["deep/er/good, really.png", typed]
    assert skipped.keys() == {"empty.jpg", "text.png"} and "empty" in skipped["empty.jpg"]
    assert summary.startswith("2 works placed among 40, ") and summary.endswith(", 2 skipped")
    assert "skipped text.png: " in capsys.readouterr().err
    lines = (settings.outputs / "placed.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == '"filename","x","y","certainty","off_map"' and lines[1].startswith('"deep/er/good, really.png",')
    with (settings.outputs / "placed.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["filename"] for row in rows] == list(found.image_ids)
    numbers = [[float(row[name]) for name in ("x", "y", "certainty", "off_map")] for row in rows]
    expected = np.column_stack([found.coordinates, found.certainty, found.is_off_map])
    assert np.allclose(numbers, expected, atol=1e-4)


def test_mistakes_are_told(copied):
    folder, settings = copied
    with pytest.raises(UserError, match=r"nothing.jpg does not exist"):
        script.main(settings, [folder / "nothing.jpg"])
    (folder / "bad").mkdir()
    with pytest.raises(UserError, match="holds no pictures"):
        script.main(settings, [folder / "bad"])
    (folder / "bad" / "bad.jpg").write_bytes(b"no")
    with pytest.raises(UserError, match="none could be decoded"):
        script.main(settings, [folder / "bad"])
    assert not (settings.outputs / "placed.h5").exists() and not (settings.outputs / "placed.csv").exists()
    for name in ("a", "b"):
        paint(folder / name / "same.png", 1)
    with pytest.raises(UserError, match=r"same.png stands for both"):
        script.main(settings, [folder / "a", folder / "b"])
    changed = config.load(None, flags(folder, NETWORK, "parametric_tsne.epochs=7"))
    with pytest.raises(UserError, match=r"epochs: 60, the settings now say 7. Run: python train_parametric_tsne.py"):
        script.main(changed, [folder / "a"])
    with edited(settings.outputs / "content.h5") as h5:
        recipe = h5.attrs["recipe"]
        sha256 = recipe.split('"weights_sha256": "')[1][:64]
        h5.attrs["recipe"] = recipe.replace(sha256, "0" * 64)
    with pytest.raises(UserError, match=r"are not the weights that style.h5 or content.h5 or color.h5 was made with"):
        script.main(settings, [folder / "a"])


def test_placed_is_out_of_date_after_the_network_is_trained_again(copied):
    folder, _ = copied
    settings = config.load(None, flags(folder, NETWORK))
    script.main(settings, [folder / "images"])
    assert store.why_stale(settings, "placed") is None
    again = config.load(None, flags(folder, NETWORK, "parametric_tsne.seed=7", "parametric_tsne.epochs=2"))
    train_parametric_tsne.main(again)
    assert "placed.h5 was made from an older" in store.why_stale(again, "placed")


def test_same_bytes_from_the_command_line_and_silence(copied):
    folder, settings = copied
    script.main(settings, [folder / "images" / "group1"])
    first = (settings.outputs / "placed.h5").read_bytes()
    words = [word for value in flags(folder) for word in ("--set", value)]
    result = run_script("place_images.py", folder / "images" / "group1", "--replace", *words)
    assert result.stderr == "" and "10 works placed among 40" in result.stdout
    assert (settings.outputs / "placed.h5").read_bytes() == first
