"""neighbors.h5 holds what a count over all pairs gives; a query finds itself and its copies."""

import csv
import json
import shutil
import subprocess
import sys

import h5py
import numpy as np
import pytest
from conftest import REPO, edited, run_script
from PIL import Image

import extract_color
import extract_content
import extract_style
import find_similar as script
import prepare_images
from artatlas import answers, config, fonts, sheets, sources, store, vgg_numpy
from artatlas.errors import UserError

# All three sources, both VGG sources with a PCA, in seconds. float32, so that numpy and TensorFlow agree closely.
SMALL = ("vgg.weights=random", "vgg.network=vgg16", "vgg.precision=float32", "images.network_px=48", "color.bins=4",
         "content.layer=block2_pool", "content.n_components=12", "style.layers=[block1_conv1, block2_conv1]",
         "style.n_components=12", "render.color_by=null", "similar.n_neighbors=6",
         "similar.spaces={content: {content: 1}, style: {style: 1}, color: {color: 1}, mix: {style: 2, color: 1}}",
         )  # fmt: skip

EVIL = "b\x1b[31m\nevil.png"  # a name that turns a terminal red and breaks its lines
COPIES = {"group0/w99.png": "group0/w00.jpg", "zz.png": "group1/w01.png"}  # exact duplicates, endings aside


def paint(path, seed):
    """A picture of a colour and a stripe width that depend on its group (seed modulo 4)."""
    rng = np.random.default_rng(seed)
    group = seed % 4
    stripes = np.arange(60)[:, None] // (3 + 4 * group) % 2 * 120  # (60, 1)
    color = np.array([[220, 60, 60], [60, 200, 60], [60, 60, 220], [200, 200, 60]])[group]
    color = color + rng.normal(0, 15, 3)
    pixels = np.clip(color * 0.6 + stripes[:, :, None] * 0.4 + rng.normal(0, 12, (60, 80, 3)), 0, 255)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path)


def name_of(i):
    return f"group{i % 4}/w{i:02d}.{'png' if i % 3 else 'jpg'}"


def flags(folder):
    return (f"paths.images={folder / 'images'}", f"paths.metadata={folder / 'metadata.csv'}",
            f"paths.outputs={folder / 'outputs'}", *SMALL)  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """40 pictures, two exact copies of some and one with an evil name, with neighbors.h5. Read only."""
    folder = tmp_path_factory.mktemp("made")
    for i in range(40):
        paint(folder / "images" / name_of(i), i)
    paint(folder / "images" / EVIL, 40)
    for copy, original in COPIES.items():
        shutil.copy(folder / "images" / original, folder / "images" / copy)
    with (folder / "metadata.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["filename", "title", "artist"])
        table.writerows([f"{name_of(i)}", f"Étude {i}", "A. B."] for i in range(40))
        table.writerow([EVIL, "red \x1b[31m alert\r\nnew line", "=1+1"])
    settings = config.load(None, flags(folder))
    for stage in (prepare_images, extract_content, extract_style, extract_color, script):
        stage.main(settings)
    return folder


@pytest.fixture
def copied(made, tmp_path):
    """A copy of `made` to break, and its config."""
    shutil.copytree(made, tmp_path / "copy")
    return tmp_path / "copy", config.load(None, flags(tmp_path / "copy"))


def settings_of(made, outputs, *more):
    """Settings for the read-only collection with outputs of one's own: the sources of `made` are linked there."""
    outputs.mkdir(exist_ok=True)
    for name in ("images", "content", "style", "color", "neighbors"):
        if not (outputs / f"{name}.h5").exists():
            shutil.copy(made / "outputs" / f"{name}.h5", outputs)
    return config.load(None, (*flags(made), f"paths.outputs={outputs}", *more))


def read_embeddings(folder):
    with h5py.File(folder / "outputs" / "images.h5") as h5:
        ids, duplicate_of = h5["image_ids"].asstr()[:], h5["duplicate_of"].asstr()[:]
    embeddings = {}
    for name in ("content", "style", "color"):
        with h5py.File(folder / "outputs" / f"{name}.h5") as h5:
            assert (h5["image_ids"].asstr()[:] == ids).all()
            embeddings[name] = h5["embeddings"][:]
    return ids, duplicate_of, embeddings


def truth(features, ids, duplicate_of, k):
    """Rows (N, k) and distances by a count over all pairs, without faiss and without the script's own joins."""
    features = features.astype(np.float64)
    picture = np.array([d or i for i, d in zip(ids, duplicate_of, strict=True)])
    rows, distances = [], []
    for i in range(len(ids)):
        distance = np.sqrt(np.square(features - features[i]).sum(axis=1))
        distance[(duplicate_of != "") | (picture == picture[i])] = np.inf
        order = np.argsort(distance, kind="stable")[:k]
        rows.append(order)
        distances.append(distance[order])
    return np.array(rows), np.array(distances)


@pytest.mark.parametrize("index", ["exact", "hnsw", "ivf"])
@pytest.mark.parametrize("scaling", ["cosine", "half_white", "white", "mean_square", "min_max", "none"])
def test_all_spaces_are_a_count_over_all_pairs(made, tmp_path, scaling, index):
    settings = settings_of(made, tmp_path / "o", f"similar.scaling={scaling}", f"similar.index={index}")
    path, summary = script.main(settings)
    ids, duplicate_of, embeddings = read_embeddings(made)
    assert set(duplicate_of) == {"", *COPIES.values()}
    with h5py.File(path) as h5:  # h5py alone reads it
        assert (h5["image_ids"].asstr()[:] == ids).all()
        assert {name for name in h5 if isinstance(h5[name], h5py.Group)} == {"content", "style", "color", "mix"}
        for space, weights in ((name, space.weights) for name, space in settings.similar.spaces.items()):
            indices, distances = h5[f"{space}/indices"][:], h5[f"{space}/distances"][:]
            assert indices.dtype == np.int32 and distances.dtype == np.float32 and indices.shape == (43, 6)
            assert json.loads(h5[space].attrs["weights"]) == weights
            features, _ = sources.combine(embeddings, weights, scaling)
            rows, right = truth(features, ids, duplicate_of, 6)
            assert np.allclose(distances, right, rtol=1e-4, atol=1e-5), space
            assert (indices == rows).mean() > 0.99  # two that are equally far but for rounding may change places
            assert h5[space].attrs["recall"] == 1  # of so few works, the index misses none
    assert summary.startswith("6 neighbours of 43 works by content, style, color, mix, ")
    told = "exact" if index == "exact" else f"by {index}, which agrees with exact search to: content 100.0%, style"
    assert told in summary
    assert summary.endswith("2 exact duplicates left out of the lists")


def test_neighbours_are_of_ones_own_group(made):
    """What the stage is for: works painted alike are near, and are not with shuffled names."""
    with h5py.File(made / "outputs" / "neighbors.h5") as h5:
        ids, indices = h5["image_ids"].asstr()[:], h5["mix/indices"][:]
    group = np.array([name.split("/")[0] for name in ids])
    in_group = np.char.startswith(group.astype(str), "group")
    assert (group[indices] == group[:, None])[in_group].mean() > 0.9
    shuffled = np.random.default_rng(0).permutation(group)
    assert (shuffled[indices] == shuffled[:, None]).mean() < 0.5


def test_csls_is_written_with_its_local_similarity_and_answers_queries(made, tmp_path, capsys):
    settings = settings_of(made, tmp_path / "o", "similar.hubness=csls")
    with pytest.raises(UserError, match="hubness: none, the settings now say csls. Run: python find_similar.py"):
        script.main(settings, ["group1/w05.png"])
    path, _ = script.main(settings)
    ids, duplicate_of, embeddings = read_embeddings(made)
    features, _ = sources.combine(embeddings, {"style": 1}, settings.similar.scaling)
    keep = duplicate_of == ""
    unit = features[keep].astype(np.float64)
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -np.inf)
    r = np.sort(cosines, axis=1)[:, -10:].mean(axis=1)
    best = np.argsort(-(2 * cosines - r[:, None] - r), axis=1)[:, :6]
    with h5py.File(path) as h5:
        indices = h5["style/indices"][:]
        assert np.allclose(h5["style/local_similarity"][:][keep], r, atol=1e-5)
    assert (indices[keep] == np.flatnonzero(keep)[best]).mean() > 0.99
    script.main(settings, ["group1/w05.png"], "style")
    told = [line.split()[-1] for line in capsys.readouterr().out.splitlines()[2:] if line]
    assert told == list(ids[indices[list(ids).index("group1/w05.png")]])


def read_answers(path):
    """query -> [(filename, distance)] of a CSV."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    found = {}
    for row in rows:
        found.setdefault(row["query"], []).append((row["filename"], float(row["distance"])))
        assert int(row["rank"]) == len(found[row["query"]])
    return found


def test_an_id_is_answered_as_the_file_says_and_without_itself(made, tmp_path, capsys):
    settings = settings_of(made, tmp_path / "o")
    copy = "zz.png"
    path, summary = script.main(settings, ["group2/w06.jpg", copy], "mix", 4, tmp_path / "a.csv")
    found = read_answers(tmp_path / "a.csv")
    with h5py.File(settings.outputs / "neighbors.h5") as h5:
        ids, indices = h5["image_ids"].asstr()[:], h5["mix/indices"][:]
    for name in ("group2/w06.jpg", copy):
        assert [near for near, _ in found[name]] == list(ids[indices[list(ids).index(name)][:4]])
    assert not {copy, COPIES[copy]} & {near for near, _ in found[copy]}
    assert summary == "4 neighbours of 2 queries by mix" and path == settings.outputs / "similar"
    out = capsys.readouterr().out
    assert "group2/w06.jpg: nearest by mix" in out and "rank  distance  title" in out and "Étude" in out


def test_a_members_own_file_finds_itself_first_and_says_so(made, tmp_path, capsys):
    settings = settings_of(made, tmp_path / "o")
    for space in settings.similar.spaces:
        script.main(settings, [str(made / "images" / "group3" / "w07.png")], space, 3, tmp_path / "a.csv")
        (((nearest, distance), (_, second), _),) = read_answers(tmp_path / "a.csv").values()
        assert nearest == "group3/w07.png" and distance < 1e-3 < 0.05 * second
        first, rest = capsys.readouterr().out.splitlines()[2:4]
        assert "(the same file)" in first and "(the same file)" not in rest


def test_a_copy_encoded_as_jpeg_finds_its_original(made, tmp_path):
    settings = settings_of(made, tmp_path / "o")
    (tmp_path / "new").mkdir()
    for i in range(1, 40, 3):
        picture = Image.open(made / "images" / name_of(i))
        picture.save(tmp_path / "new" / f"{i}.jpg", quality=90)
    script.main(settings, [str(tmp_path / "new")], "mix", 1, tmp_path / "a.csv")
    found = read_answers(tmp_path / "a.csv")
    assert len(found) == 13
    hits = [near[0][0] == name_of(int(name[:-4])) for name, near in found.items()]
    assert np.mean(hits) > 0.9


def test_folders_ids_and_files_together_few_or_many(made, tmp_path, monkeypatch):
    settings = settings_of(made, tmp_path / "o", "machine.batch_size=3")
    for i in range(60, 70):
        paint(tmp_path / "new" / "deep" / f"n{i}.png", i)
    shutil.copy(made / "images" / EVIL, tmp_path / "new" / EVIL)
    (tmp_path / "new" / "broken.jpg").write_bytes(b"no")
    asked = ["group0/w04.png", str(tmp_path / "new")]
    monkeypatch.setattr(vgg_numpy, "FEW", 100)
    script.main(settings, asked, "mix", 5, tmp_path / "a.csv")
    few = read_answers(tmp_path / "a.csv")
    assert list(few) == ["group0/w04.png", EVIL, *[f"deep/n{i}.png" for i in range(60, 70)]]
    assert len(list((settings.outputs / "similar").iterdir())) == 12  # a sheet each
    monkeypatch.setattr(vgg_numpy, "FEW", 0)  # TensorFlow says the same
    script.main(settings, asked, "mix", 5, tmp_path / "b.csv")
    many = read_answers(tmp_path / "b.csv")
    for name, near in few.items():
        assert np.allclose([d for _, d in near], [d for _, d in many[name]], atol=1e-3), name


def test_one_picture_is_answered_without_tensorflow(made, tmp_path):
    paint(tmp_path / "new.png", 99)
    settings = settings_of(made, tmp_path / "o")
    values = (*flags(made), f"paths.outputs={settings.outputs}")
    code = (
        "import sys, find_similar; from pathlib import Path; from artatlas import config;"
        f"find_similar.main(config.load(None, {values!r}), [{str(tmp_path / 'new.png')!r}], 'mix');"
        "print(sorted({'tensorflow', 'matplotlib', 'sklearn', 'scipy'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "[]"


def test_what_is_shown_is_escaped_and_what_is_written_is_not(made, tmp_path, capsys):
    settings = settings_of(made, tmp_path / "o")
    script.main(settings, [EVIL], "color", 42, tmp_path / "a.csv")
    script.main(settings, ["group0/w04.png"], "color", 42, tmp_path / "b.csv")
    captured = capsys.readouterr()
    assert "\x1b" not in captured.out
    assert "red \\x1b[31m alert" in captured.out and "b\\x1b[31m\\nevil.png" in captured.out
    assert len(captured.out.splitlines()) == 2 * (2 + 40 + 1)  # 41 different pictures but the one asked about
    assert EVIL in {name for name, _ in read_answers(tmp_path / "b.csv")["group0/w04.png"]}
    names = {path.name for path in (settings.outputs / "similar").iterdir()}
    assert names == {"b_31m_evil_color.jpg", "group0_w04_color.jpg"}


def test_sheets_of_queries_with_like_names_do_not_replace_each_other():
    taken = set()
    names = [answers.sheet_name(name, "mix", taken) for name in ("a b.jpg", "a_b.jpg", "A b.jpg", "../..", "画.png")]
    assert names == ["a_b_mix.jpg", "a_b_mix_2.jpg", "A_b_mix_3.jpg", "query_mix.jpg", "画_mix.jpg"]
    assert len(answers.sheet_name("x" * 500, "mix", taken)) < 100


def test_a_sheet_shows_every_picture_in_its_place(made, tmp_path):
    """Squares of plain colours: the query's in the corner, the others in reading order, each upright on its caption."""
    colours = [(10 + 9 * i, 250 - 9 * i, (37 * i) % 256) for i in range(21)]
    tiles = [sheets.Tile(Image.new("RGB", (64, 64), colour), ["x", "y"]) for colour in colours]
    sheet = sheets.contact_sheet("Nearest", tiles[0], tiles[1:])
    corners = [(sheets.MARGIN, sheets.MARGIN + sheets.HEADING), *[sheets.place(rank) for rank in range(20)]]
    for i, (left, top) in enumerate(corners):
        side = sheets.QUERY if i == 0 else sheets.TILE
        bottom = top + (sheets.ROW + sheets.TILE if i == 0 else side)
        inside = [(left + 1, bottom - side + 1), (left + side - 2, bottom - 2)]
        assert [sheet.getpixel(at) for at in inside] == [colours[i]] * 2, i
        assert sheet.getpixel((left - 2, bottom - 2)) == sheet.getpixel((left + 2, bottom + 1)) == sheets.PAPER
    order = [(top, left) for left, top in corners[1:]]
    assert order == sorted(order) and len(set(order)) == 20
    assert max(left for left, _ in corners) + sheets.TILE + sheets.MARGIN == sheet.width
    wide = sheets.contact_sheet("Nearest", tiles[0], [sheets.Tile(Image.new("RGB", (90, 30), (255, 0, 0)), ["x"])])
    left, top = sheets.place(0)
    assert wide.getpixel((left + 5, top + 5)) == sheets.PAPER  # a third as high as wide: it keeps its shape
    assert wide.getpixel((left + 5, top + sheets.TILE - 5)) == (255, 0, 0)


def test_long_titles_are_cut_to_the_tile():
    style = fonts.font(13)
    assert sheets.shortened("short", 180, style) == "short"
    cut = sheets.shortened("a very long title " * 9, 180, style)
    assert cut.endswith("…") and style.getlength(cut) <= 180


def test_the_sheet_on_the_disk_is_that_of_the_query(made, tmp_path):
    settings = settings_of(made, tmp_path / "o")
    path, _ = script.main(settings, ["group1/w05.png"], "style", 20)
    sheet = np.asarray(Image.open(path)).astype(int)
    left, top = sheets.MARGIN, sheets.MARGIN + sheets.HEADING
    bottom = top + sheets.ROW + sheets.TILE
    shown = sheet[bottom - 200 : bottom - 4, left + 4 : left + sheets.QUERY - 4].mean(axis=(0, 1))
    original = np.asarray(Image.open(made / "images" / "group1" / "w05.png").convert("RGB")).mean(axis=(0, 1))
    assert np.abs(shown - original).max() < 12
    assert shown.argmax() == 1  # group 1 is green


def test_mistakes_are_told(copied):
    folder, settings = copied
    with pytest.raises(UserError) as caught:
        script.main(settings, ["W05", "?", "b\x1b[31m"])
    assert list(caught.value.messages) == [
        "W05: is neither a work of the collection nor a file. Did you mean group1/w05.png?",
        "?: is neither a work of the collection nor a file. Give an id as in image_ids, or a path.",
        "b\\x1b[31m: is neither a work of the collection nor a file. Did you mean b\\x1b[31m\\nevil.png?",
    ]
    with pytest.raises(UserError, match=r"--space styl: is not one of similar.spaces \(content, style, color, mix\)."):
        script.main(settings, ["group1/w05.png"], "styl")
    with pytest.raises(UserError, match="-k 0: is no number of neighbours. Give 1 or more."):
        script.main(settings, ["group1/w05.png"], None, 0)
    with pytest.raises(UserError, match="-k 3: is for queries. Add --query"):
        script.main(settings, k=3)
    (folder / "bad.jpg").write_bytes(b"no")
    with pytest.raises(UserError, match="1 file named, and none could be decoded"):
        script.main(settings, [str(folder / "bad.jpg")])
    with edited(settings.outputs / "style.h5") as h5:
        recipe = h5.attrs["recipe"]
        sha256 = recipe.split('"weights_sha256": "')[1][:64]
        h5.attrs["recipe"] = recipe.replace(sha256, "0" * 64)
    with pytest.raises(UserError, match="are not the weights that style.h5 or color.h5 was made with"):
        script.main(settings, [str(folder / "images" / "group1" / "w05.png")])


def test_stale_inputs_name_the_command(copied):
    _, settings = copied
    assert store.why_stale(settings, "neighbors") is None
    changed = config.load(None, (*settings.flags[1::2], "color.bins=5"))
    with pytest.raises(UserError, match="color.bins: 4, the settings now say 5. Run: python extract_color.py"):
        script.main(changed)
    extract_color.main(changed)
    assert "neighbors.h5 was made from an older" in store.why_stale(changed, "neighbors")
    script.main(changed)
    assert store.why_stale(changed, "neighbors") is None
    (settings.outputs / "images.h5").unlink()
    with pytest.raises(UserError, match="images.h5 does not exist. Run: python prepare_images.py"):
        script.main(changed)


def test_same_bytes_from_the_command_line(made, tmp_path):
    settings = settings_of(made, tmp_path / "o", "similar.index=hnsw", "similar.hubness=csls")
    script.main(settings)
    first = (settings.outputs / "neighbors.h5").read_bytes()
    result = run_script("find_similar.py", *settings.flags)
    assert result.stderr == "" and "by hnsw, which agrees with exact search" in result.stdout
    assert (settings.outputs / "neighbors.h5").read_bytes() == first
    words = ("--query", "group1/w05.png", "group2/w06.jpg", "--space", "style", "-k", "3", "--csv", tmp_path / "x.csv")
    result = run_script("find_similar.py", *words, *settings.flags)
    assert ": 3 neighbours of 2 queries by style" in result.stdout.splitlines()[-1]
    assert len((tmp_path / "x.csv").read_text(encoding="utf-8").splitlines()) == 7


def test_why_tells_the_shares_and_draws_both(made, tmp_path):
    settings = settings_of(made, tmp_path / "o")
    ids, _, embeddings = read_embeddings(made)
    features, _ = sources.combine(embeddings, {"style": 2, "color": 1}, settings.similar.scaling)
    a, b = (features[list(ids).index(name)] for name in ("group1/w05.png", "group3/w07.png"))
    style = np.square(a - b)[:12].sum() / np.square(a - b).sum()
    path, summary = script.main(settings, why=["group1/w05.png", "group3/w07.png"], space="mix")
    assert summary == (
        f"distance {np.linalg.norm(a - b):.3f} by mix, of its square style {style:.0%}, color {1 - style:.0%}"
    )
    sheet = np.asarray(Image.open(path)).astype(int)
    left, top = sheets.MARGIN, sheets.MARGIN + sheets.HEADING
    bar = sheet[top + sheets.BAR - 3, left : sheet.shape[1] - sheets.MARGIN]
    is_style = np.abs(bar - sheets.SHADES[0]).max(axis=1) < 40
    assert is_style.mean() == pytest.approx(style, abs=0.02)  # the bar is divided as the distance is
    top += sheets.BAR + sheets.GAP + 3 * sheets.LINE
    height = round(sheets.LARGE * 60 / 80)
    first = sheet[top + 5 : top + height - 5, left + 5 : left + sheets.LARGE - 5].mean(axis=(0, 1))
    original = np.asarray(Image.open(made / "images" / "group1" / "w05.png").convert("RGB")).mean(axis=(0, 1))
    assert np.abs(first - original).max() < 12
    assert sheet.shape[1] > 4 * sheets.LARGE  # the picture and three pairs of channels


def test_why_takes_files_and_spaces_without_style_and_tells_mistakes(made, tmp_path):
    settings = settings_of(made, tmp_path / "o")
    paint(tmp_path / "new.png", 77)
    path, summary = script.main(settings, why=[str(tmp_path / "new.png"), EVIL], space="color")
    assert summary.endswith("by color, of its square color 100%")
    assert Image.open(path).width < 4 * sheets.LARGE
    with pytest.raises(UserError, match="--why: needs two different works, this is 1. Name two ids or pictures."):
        script.main(settings, why=["group1/w05.png", "group1/w05.png"])
    with pytest.raises(UserError, match="--why: is asked alone. Leave out --query, or ask twice."):
        script.main(settings, ["group1/w05.png"], why=["group1/w05.png", EVIL])
    with pytest.raises(UserError, match="-k 3: is for queries"):
        script.main(settings, why=["group1/w05.png", EVIL], k=3)


@pytest.fixture
def growing(tmp_path):
    """30 pictures with their neighbours by colour, and settings; nothing in them depends on a PCA."""
    for i in range(30):
        paint(tmp_path / "images" / name_of(i), i)
    spaces = "similar.spaces={even: {color: 1}, plain: {color: 1, scaling: none}}"
    settings = config.load(None, (*flags(tmp_path), "paths.metadata=null", "similar.n_neighbors=4", spaces))
    for stage in (prepare_images, extract_color, script):
        stage.main(settings)
    return tmp_path, settings


def add_pictures(folder, settings):
    """Ten more: one the duplicate of a work, whose place it takes for being first by name, and one of another."""
    for i in range(30, 38):
        paint(folder / "images" / name_of(i), i)
    shutil.copy(folder / "images" / name_of(7), folder / "images" / "a.png")
    shutil.copy(folder / "images" / name_of(8), folder / "images" / "z.png")
    for stage in (prepare_images, extract_color):
        stage.main(settings)


def test_added_works_join_the_lists_as_if_they_had_always_been_there(growing):
    folder, settings = growing
    with h5py.File(settings.outputs / "neighbors.h5") as h5:
        scalers = {space: sources.read_scaler(h5[f"{space}/scalers/color"]) for space in ("even", "plain")}
    add_pictures(folder, settings)
    path, summary = script.main(settings, update=True)
    assert "40 works by even, plain, exact; 10 works of them added; 2 exact duplicates" in summary
    with h5py.File(settings.outputs / "images.h5") as h5:
        ids, duplicate_of = h5["image_ids"].asstr()[:], h5["duplicate_of"].asstr()[:]
    assert (duplicate_of != "").sum() == 2 and duplicate_of[list(ids).index(name_of(7))] == "a.png"
    with h5py.File(settings.outputs / "color.h5") as h5:
        embeddings = h5["embeddings"][:]
    with h5py.File(path) as h5:
        assert (h5["image_ids"].asstr()[:] == ids).all()
        for space, scaler in scalers.items():
            rows, distances = truth(scaler.transform(embeddings), ids, duplicate_of, 4)
            assert np.allclose(h5[f"{space}/distances"][:], distances, rtol=1e-4, atol=1e-5)
            assert (h5[f"{space}/indices"][:] == rows).mean() > 0.99
        kept = json.loads(h5.attrs["recipe"])["scaled_as"]
        updated = {space: h5[f"{space}/distances"][:] for space in scalers}
    script.main(settings)  # anew, other means and variances
    with h5py.File(path) as h5:
        assert "scaled_as" not in json.loads(h5.attrs["recipe"]) and len(kept) == 64
        assert not np.allclose(h5["even/distances"][:], updated["even"], rtol=1e-4)
        assert np.allclose(h5["plain/distances"][:], updated["plain"], rtol=1e-4)


def test_a_query_after_an_update_is_told_the_distances_of_the_lists(growing, tmp_path):
    folder, settings = growing
    add_pictures(folder, settings)
    path, _ = script.main(settings, update=True)
    script.main(settings, [name_of(3)], "even", 4, tmp_path / "a.csv")
    with h5py.File(path) as h5:
        told = h5["even/distances"][:][list(h5["image_ids"].asstr()[:]).index(name_of(3))]
    assert np.allclose([distance for _, distance in read_answers(tmp_path / "a.csv")[name_of(3)]], told, atol=2e-6)


def test_what_cannot_be_updated_is_told(growing, made, tmp_path):
    folder, settings = growing
    before = (settings.outputs / "neighbors.h5").read_bytes()
    (folder / "images" / name_of(0)).unlink()
    for stage in (prepare_images, extract_color):
        stage.main(settings)
    with pytest.raises(UserError, match=r"has works that are no more \(group0/w00.jpg\). Run: python find_similar.py"):
        script.main(settings, update=True)
    assert (settings.outputs / "neighbors.h5").read_bytes() == before
    other = settings_of(made, tmp_path / "o")
    with edited(other.outputs / "style.h5") as h5:
        h5["embeddings"][3] += 0.5  # as a PCA fitted anew does
    with pytest.raises(UserError, match="style.h5 has other embeddings for works that were there before"):
        script.main(other, update=True)
    with pytest.raises(UserError, match="--update: with similar.hubness csls"):
        script.main(settings_of(made, tmp_path / "c", "similar.hubness=csls"), update=True)
    with pytest.raises(UserError, match="--update: is for neighbors.h5"):
        script.main(other, [name_of(1)], update=True)
    (other.outputs / "neighbors.h5").unlink()
    with pytest.raises(UserError, match="neighbors.h5 does not exist"):
        script.main(other, update=True)
