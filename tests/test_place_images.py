"""A picture placed again lies where it lay; the saved file alone is enough; bad files are told and passed over."""

import csv
import shutil

import h5py
import numpy as np
import pytest
from conftest import run_script
from PIL import Image

import build_tsne
import extract_color
import extract_content
import extract_style
import place_images as script
import prepare_images
import train_parametric_tsne
from artatlas import config, store
from artatlas.errors import UserError

# A map of all three sources, both VGG sources with a PCA, in seconds. float32: the same bits whatever the batch holds.
SMALL = ("vgg.weights=random", "vgg.network=vgg16", "vgg.precision=float32", "images.network_px=48", "color.bins=4",
         "content.layer=block2_pool", "content.n_components=12", "style.layers=[block1_conv1, block2_conv1]",
         "style.n_components=12", "maps={all: {style: 1, content: 1, color: 1}}", "tsne.n_iter=250",
         "parametric_tsne.map=all", "parametric_tsne.hidden=[64, 64]", "parametric_tsne.epochs=60",
         "render.color_by=null")  # fmt: skip


def paint(path, seed):
    """A picture of a colour and a stripe width that depend on its group (seed modulo 4), JPEG or PNG."""
    rng = np.random.default_rng(seed)
    group = seed % 4
    stripes = np.arange(60)[:, None] // (3 + 4 * group) % 2 * 120  # (60, 1)
    color = np.array([[220, 60, 60], [60, 200, 60], [60, 60, 220], [200, 200, 60]])[group]
    pixels = np.clip(color * 0.6 + stripes[:, :, None] * 0.4 + rng.normal(0, 12, (60, 80, 3)), 0, 255)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path)


def flags(folder):
    return (f"paths.images={folder / 'images'}", "paths.metadata=null", f"paths.outputs={folder / 'outputs'}", *SMALL)


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
        skipped = dict(zip(h5["skipped/image_ids"].asstr()[:], h5["skipped/reason"].asstr()[:], strict=True))
        return store.read_ids(h5), h5["coordinates"][:], h5["nearest_ids"].asstr()[:], skipped


def read_known(settings):
    with h5py.File(settings.outputs / "parametric_tsne.h5") as h5:
        return store.read_ids(h5), h5["coordinates"][:]


def test_collection_is_placed_where_it_is_by_the_saved_file_alone(copied):
    folder, settings = copied
    ids, known = read_known(settings)
    for path in settings.outputs.iterdir():
        if path.name != "parametric_tsne.h5":
            path.unlink() if path.is_file() else shutil.rmtree(path)
    path, summary = script.main(settings, [folder / "images"])
    found, coordinates, nearest, skipped = read_placed(settings)
    assert list(found) == list(ids) and not skipped and path.name == "placed.h5"
    assert np.abs(coordinates - known).max() < 1e-3 * np.ptp(known, axis=0).min()
    assert (nearest[:, 0] == ids).all() and nearest.shape == (40, 5)  # each lies nearest to itself
    assert summary == "40 works placed among 40"


def test_new_works_lie_among_their_like(copied):
    folder, settings = copied
    for i in range(100, 132):
        paint(folder / "new" / f"group{i % 4}-{i}.png", i)
    script.main(settings, [folder / "new"])
    ids, _, nearest, _ = read_placed(settings)

    def share_of_own_group(of_each):
        pairs = [(near, image_id) for image_id, row in zip(ids, of_each, strict=True) for near in row]
        return np.mean([near.split("/")[0] == image_id.split("-")[0] for near, image_id in pairs])

    assert share_of_own_group(nearest) > 0.8
    assert share_of_own_group(np.random.default_rng(0).permutation(nearest)) < 0.5  # chance is 1/4


def test_bad_files_are_listed_with_the_reason_and_the_rest_is_placed(copied, capsys):
    folder, settings = copied
    paint(folder / "new" / "deep" / "er" / "good, really.png", 3)
    (folder / "new" / "empty.jpg").write_bytes(b"")
    (folder / "new" / "text.png").write_text("no picture")
    (folder / "new" / "notes.txt").write_text("passed over in silence")
    paint(folder / "=SUM(A1).png", 5)
    _, summary = script.main(settings, [folder / "new", folder / "=SUM(A1).png"])
    ids, coordinates, _, skipped = read_placed(settings)
    typed = (folder / "=SUM(A1).png").as_posix()
    assert list(ids) == ["deep/er/good, really.png", typed]
    assert skipped.keys() == {"empty.jpg", "text.png"} and "empty" in skipped["empty.jpg"]
    assert summary == "2 works placed among 40, 2 skipped"
    assert "skipped text.png: " in capsys.readouterr().err
    lines = (settings.outputs / "placed.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == '"filename","x","y"' and lines[1].startswith('"deep/er/good, really.png",')
    with (settings.outputs / "placed.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["filename"] for row in rows] == list(ids)
    assert np.allclose([[float(row["x"]), float(row["y"])] for row in rows], coordinates, atol=1e-4)


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
    changed = config.load(None, (*flags(folder), "parametric_tsne.epochs=7"))
    with pytest.raises(UserError, match=r"epochs: 60, the settings now say 7. Run: python train_parametric_tsne.py"):
        script.main(changed, [folder / "a"])
    with h5py.File(settings.outputs / "parametric_tsne.h5", "r+") as h5:
        recipe = h5["sources/content"].attrs["recipe"]
        sha256 = recipe.split('"weights_sha256": "')[1][:64]
        h5["sources/content"].attrs["recipe"] = recipe.replace(sha256, "0" * 64)
    with pytest.raises(UserError, match="are not the weights that parametric_tsne.h5 was made with"):
        script.main(settings, [folder / "a"])


def test_placed_is_out_of_date_after_the_network_is_trained_again(copied):
    folder, settings = copied
    script.main(settings, [folder / "images"])
    assert store.why_stale(settings, "placed") is None
    again = config.load(None, (*flags(folder), "parametric_tsne.seed=7", "parametric_tsne.epochs=2"))
    train_parametric_tsne.main(again)
    assert "placed.h5 was made from an older" in store.why_stale(again, "placed")


def test_same_bytes_from_the_command_line_and_silence(copied):
    folder, settings = copied
    script.main(settings, [folder / "images" / "group1"])
    first = (settings.outputs / "placed.h5").read_bytes()
    words = [word for value in flags(folder) for word in ("--set", value)]
    result = run_script("place_images.py", folder / "images" / "group1", *words)
    assert result.stderr == "" and "10 works placed among 40" in result.stdout
    assert (settings.outputs / "placed.h5").read_bytes() == first
