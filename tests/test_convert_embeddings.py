"""What is written in another form comes back the same: every export read again, every import from it."""

import csv
import json
import shutil

import h5py
import hypothesis
import numpy as np
import pytest
from conftest import REPO
from hypothesis import given
from hypothesis import strategies as st
from test_export_embeddings import settings_for

import build_tsne
import build_viewer
import convert_embeddings
import export_embeddings
import find_similar
import import_features
import import_map
import place_images
import tsne_to_grid
from artatlas import forms, integrity, plans, store, tables
from artatlas.errors import UserError


@pytest.fixture(scope="module")
def made(painted, finished, tmp_path_factory):
    """(outputs, embeddings.h5, exports) of the painted works, with evil titles. Read only."""
    outputs = tmp_path_factory.mktemp("converted")
    for path in finished.glob("*.h5"):
        shutil.copy(path, outputs)
    with h5py.File(outputs / "images.h5", "r+") as h5:
        h5["metadata/title"][:5] = ['=HYPERLINK("x")', "+1", "a\tb\nc", '"quoted", and \u05d0\U0001f600', "'=x"]
    integrity.seal(outputs / "images.h5")
    path, _ = export_embeddings.main(settings_for(painted, outputs))
    exports, told = convert_embeddings.main(settings_for(painted, outputs))
    assert all(name in told for name in forms.FORMS)
    return outputs, path, exports


@pytest.fixture
def fresh(painted, made, tmp_path):
    """Settings whose outputs folder has what imports need, and nothing imported."""
    for name in ("images", "content", "style", "color", "tsne"):
        shutil.copy(made[0] / f"{name}.h5", tmp_path)
    return lambda *more, file=None: settings_for(painted, tmp_path, *more, file=file)


def test_a_csv_holds_every_work_and_starts_no_formula(made):
    """A30: groups and metadata can be taken away."""
    _, path, exports = made
    with open(exports / "csv" / "works.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    with h5py.File(path) as h5:
        ids, titles = h5["image_ids"].asstr()[:], h5["metadata/title"].asstr()[:]
        xy = h5["combined/coordinates"][:]
    assert [row["filename"] for row in rows] == ids.tolist()
    assert [tables.unguard(row["title"]) for row in rows] == titles.tolist()
    assert {'=HYPERLINK("x")', "+1"} <= set(titles), "the evil titles are not in the file"
    cells = [cell for row in rows for cell in row.values()]
    assert not [cell for cell in cells if cell[:1] in "=@" and cell]
    assert np.allclose([[float(row["projection_x"]), float(row["projection_y"])] for row in rows], xy, atol=1e-5)


@hypothesis.settings(max_examples=60, deadline=None)
@given(st.text(max_size=20))
def test_a_guarded_text_comes_back(text):
    guarded = tables.guard(text)
    assert tables.unguard(guarded) == text
    assert guarded[:1] not in ("=", "@", "\t", "\r") and (guarded[:1] not in ("+", "-") or guarded[1:2].isdigit())


@pytest.mark.parametrize(
    "file, columns",
    [("parquet/works.parquet", ["style_embedding"]), ("npz/works.npz", ["style/embeddings"]),
     ("tensorboard", None), ("h5", ["style/embeddings"])],
)  # fmt: skip
def test_features_come_back_from_every_form_that_holds_them(made, fresh, tmp_path, file, columns):
    _, path, exports = made
    file = path if file == "h5" else exports / file
    if file.name == "tensorboard":  # two tables without names in one: what a user would join
        lines = (file / "metadata.tsv").read_text(encoding="utf-8").splitlines()
        numbers = (file / "style_embeddings.tsv").read_text().splitlines()
        header = "\t".join(["filename", *(f"c{i}" for i in range(len(numbers[0].split("\t"))))])
        joined = [f"{line.split(chr(9))[0]}\t{row}" for line, row in zip(lines[1:], numbers, strict=True)]
        file = tmp_path / "joined.tsv"
        file.write_text("\n".join([header, *joined]), encoding="utf-8")
    own, _ = import_features.main(fresh(), file, columns)
    with h5py.File(own) as f, h5py.File(path) as h5:
        rows = store.rows_of(store.read_ids(h5), store.read_ids(f))
        assert np.allclose(f["embeddings"][:][rows], h5["style/embeddings"][:], rtol=1e-5, atol=1e-5)
        assert not np.allclose(f["embeddings"][:][rows], h5["style/embeddings"][:][::-1], atol=1e-2)


@pytest.mark.parametrize("file", ["csv/works.csv", "parquet/works.parquet"])
def test_a_map_comes_back_and_is_laid_on_a_grid(made, fresh, file):
    _, path, exports = made
    settings = fresh("maps={combined: {style: 1}}")
    tsne, told = import_map.main(settings, exports / file)
    assert "map combined of 64 works" in told
    with h5py.File(tsne) as f, h5py.File(path) as h5:
        rows = store.rows_of(store.read_ids(h5), store.read_ids(f))
        assert np.allclose(f["combined/coordinates"][:][rows], h5["combined/coordinates"][:], atol=1e-5)
    tsne_to_grid.main(settings)
    assert store.why_stale(settings, "grid") is None


def test_one_map_of_several_is_replaced_and_the_others_stay(made, fresh):
    settings = fresh()
    with h5py.File(settings.outputs / "tsne.h5") as h5:
        style, content = h5["style/coordinates"][:], h5["content/coordinates"][:]
    import_map.main(settings, made[2] / "csv" / "works.csv", "style", ["combined_x", "combined_y"])
    with h5py.File(settings.outputs / "tsne.h5") as h5:
        assert np.array_equal(h5["content/coordinates"][:], content)
        assert not np.allclose(h5["style/coordinates"][:], style)
        assert json.loads(h5.attrs["recipe"])["imported"]["style"]["columns"] == ["combined_x", "combined_y"]
    path, _ = export_embeddings.main(settings)
    with h5py.File(path) as h5:
        told = [h5[f"{name}/coordinates"].attrs["description"] for name in ("style", "content")]
    assert told[0].startswith("drawn elsewhere, from works.csv") and told[1].startswith("t-SNE of")


def test_the_original_repositorys_csv_opens_by_whatever_folder_it_names(made, fresh, tmp_path):
    """A29: Image,X,Y with the paths of another machine, a work that is not here, and one of ours that is not there."""
    with h5py.File(made[1]) as h5:
        ids = h5["image_ids"].asstr()[:]
    xy = np.random.default_rng(0).normal(0, 30, (len(ids), 2)).astype("f4")
    lines = ["Image,X,Y", *(f"//src//wikiart//{name},{x},{y}" for name, (x, y) in zip(ids, xy.tolist(), strict=True))]
    lines[-1] = "//src//wikiart//Realism//another.jpg,1,2"
    file = tmp_path / "TSNE_Content50_Style50.csv"
    file.write_text("\n".join(lines), encoding="utf-8")
    settings = fresh("images.path_pattern=null", file=REPO / "configs" / "wikiart_published.yaml")
    import_features.main(settings, file)
    tsne, told = import_map.main(settings, file)
    assert "map published of 63 works" in told
    with h5py.File(tsne) as f:
        found = dict(zip(store.read_ids(f), f["published/coordinates"][:].tolist(), strict=True))
    assert found == dict(zip(ids[:-1], xy[:-1].tolist(), strict=True))
    assert plans.needs(settings, 64)["neighbors"].memory > 0  # run_all.py asks before it starts
    for script in (find_similar, tsne_to_grid, build_viewer):
        script.main(settings)
    assert (settings.outputs / "viewer" / "index.html").exists()


def test_own_features_draw_a_map_and_new_pictures_are_refused_in_words(painted, made, fresh):
    """A29: bring my own vectors."""
    settings = fresh("maps={mine: {own: 1}}", "parametric_tsne.map=mine", "similar.spaces={mine: {own: 1}}")
    import_features.main(settings, made[2] / "npz" / "works.npz", ["content/embeddings"])
    for script in (build_tsne, find_similar):
        script.main(settings)
    with h5py.File(settings.outputs / "neighbors.h5") as h5:
        assert h5["mine/indices"].shape[0] == 64
    picture = next((painted / "images").rglob("*.*"))
    with pytest.raises(UserError, match="own.h5 holds features that were made elsewhere"):
        place_images.main(settings, [picture])


def test_parquet_is_as_embedding_atlas_takes_it(made):
    import pyarrow.parquet as pq

    _, path, exports = made
    table = pq.read_table(exports / "parquet" / "works.parquet").to_pylist()
    with h5py.File(path) as h5:
        near = h5["combined/neighbors"][:]
    assert {"projection_x", "projection_y", "neighbors", "filename"} <= set(table[0])
    assert [row["neighbors"]["ids"] for row in table] == [row[row >= 0].tolist() for row in near]
    assert all(len(row["neighbors"]["ids"]) == len(row["neighbors"]["distances"]) for row in table)


def test_tensorboard_gets_one_row_a_work_in_every_file(made):
    folder = made[2] / "tensorboard"
    config = (folder / "projector_config.pbtxt").read_text()
    named = [line.split('"')[1] for line in config.splitlines() if "_path" in line]
    assert config.count("embeddings {") == 6 and "metadata.tsv" in named
    for name in set(named):
        lines = (folder / name).read_text(encoding="utf-8").splitlines()
        assert len(lines) == 64 + (name == "metadata.tsv"), name
    widths = {line.count("\t") for line in (folder / "metadata.tsv").read_text(encoding="utf-8").splitlines()}
    assert len(widths) == 1  # tabs and line breaks of titles do not count


def test_pixplot_and_fiftyone_name_the_pictures(made):
    _, path, exports = made
    with h5py.File(path) as h5:
        ids, titles = h5["image_ids"].asstr()[:], h5["metadata/title"].asstr()[:]
        style, drawn = h5["style/embeddings"].astype("f8")[:], h5["combined/coordinates"][:]
    with open(exports / "pixplot" / "metadata.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["filename", "category", "tags", "description", "permalink", "year", "x", "y"]
    assert [row["filename"] for row in rows] == [image_id.rpartition("/")[2] for image_id in ids]
    assert np.allclose([[float(row["x"]), float(row["y"])] for row in rows], drawn, atol=1e-5)
    samples = json.loads((exports / "fiftyone" / "samples.json").read_text(encoding="utf-8"))["samples"]
    assert [sample["filepath"] for sample in samples] == [f"data/{image_id}" for image_id in ids]
    assert [sample["title"] for sample in samples] == titles.tolist()
    assert np.allclose([sample["style_embedding"] for sample in samples], style, atol=1e-6)
    assert "version" not in json.loads((exports / "fiftyone" / "metadata.json").read_text())


def test_npz_holds_every_dataset_and_no_pickle(made):
    """A52: the state in plain arrays."""
    _, path, exports = made
    with np.load(exports / "npz" / "works.npz", allow_pickle=False) as arrays, h5py.File(path) as h5:
        assert arrays["image_ids"].tolist() == h5["image_ids"].asstr()[:].tolist()
        assert np.array_equal(arrays["model/network/0/kernel"], h5["model/network/0/kernel"][:])
        assert "metadata/title" in arrays.files


def write_npz(path, **arrays):
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize(
    "name, text, reason",
    [
        ("a.csv", "filename,x,y\na.jpg,1,nan\n", "numbers that are none"),
        ("a.csv", "filename,x,y\na.jpg,1,1e60\n", "numbers that are none"),
        ("a.csv", "filename,x,y\na.jpg,1\n", "more or fewer fields"),
        ("a.csv", "x,y\n1,2\n", "nothing in it names the works"),
        ("a.csv", "filename,x,y\nnobody.jpg,1,2\n", "names none of the collection's works"),
        ("a.csv", "filename,title\na.jpg,b\n", "not plain what is meant"),
        ("a.csv", b"\xff\x00\xff", "not readable as CSV"),
        ("a.npz", b"PK\x03\x04 cut off", "is not read"),
        ("a.h5", b"\x89HDF\r\n", "HDF5 cannot read it"),
        ("a.parquet", b"PAR1", "not readable as Parquet"),
        ("a.pkl", b"\x80\x04.", "of no kind that is known"),
    ],
)
def test_tables_that_cannot_be_used_are_told_in_a_line(fresh, tmp_path, name, text, reason):
    file = tmp_path / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=reason):
        import_features.main(fresh(), file)
    assert not (tmp_path / "own.h5").exists()


def test_a_small_file_that_asks_for_gigabytes_is_not_read(fresh, tmp_path):
    with h5py.File(tmp_path / "bomb.h5", "w") as h5:
        h5["image_ids"] = ["a.jpg"]
        h5.create_dataset("x", (1 << 20, 1 << 10), "f4", compression="gzip", chunks=(1 << 10, 1 << 10))
    with pytest.raises(UserError, match="the file is too small"):
        import_features.main(fresh(), tmp_path / "bomb.h5", ["x"])


def test_pickles_are_not_opened(fresh, tmp_path):
    class Trap:
        def __reduce__(self):
            return (exec, ("raise SystemExit('a pickle was run')",))

    file = write_npz(tmp_path / "trap.npz", image_ids=np.array([Trap()], object), x=np.zeros((1, 2)))
    with pytest.raises(UserError, match="pickled objects"):
        import_features.main(fresh(), file)
