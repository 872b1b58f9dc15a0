"""Works let into a finished collection: nothing that is there moves, and what is said of the new ones is true."""

import json
import os
import shutil
import signal
import subprocess
import sys

import h5py
import numpy as np
import pytest
from conftest import FAST, REPO, flags, run_script
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import build_tsne
import prepare_images
import run_all
import tsne_to_grid
from artatlas import additions, config, coranking, drift, shapes, store, swaps
from artatlas.errors import UserError
from artatlas.stages import STAGES

FILES = [stage.output for stage in STAGES if stage.output.endswith(".h5")]
N_OLD = 64
ROWS = {  # of a work, in each file
    "images.h5": ["image_ids", "pixels", "thumbnails", "width", "height", "duplicate_of", "file_sha256", "digest"],
    "content.h5": ["embeddings"], "style.h5": ["embeddings"], "color.h5": ["embeddings"],
    "clusters.h5": ["*/labels"], "variants.h5": ["group"], "tsne.h5": ["*/coordinates"],
    "parametric_tsne.h5": ["coordinates", "is_test"], "grid.h5": ["*/cells"], "faithfulness.h5": ["*/faithfulness"],
}  # fmt: skip


def expand(h5, name):
    if not name.startswith("*/"):
        return [name]
    return [f"{group}/{name[2:]}" for group in h5 if isinstance(h5[group], h5py.Group)]


def rows_of(h5, name, n=N_OLD):
    return [np.asarray(row).tobytes() for row in h5[name].asstr()[:n]] if h5[name].dtype == object and (
        h5py.check_string_dtype(h5[name].dtype)) else [row.tobytes() for row in h5[name][:n]]  # fmt: skip


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*")
            if path.is_file() and not path.name.startswith(".")}  # fmt: skip


def pictures_of(folder):
    """A copy of an old work, a new one under an old one's id, one in a folder, noise, and a file that is none."""
    from paint_collection import Work, paint

    folder.mkdir(parents=True)
    for style, subject, name in (("pastel", "cat", "cat.jpg"), ("linocut", "boat", "sub/boat.jpg")):
        (folder / name).parent.mkdir(exist_ok=True)
        paint(*Work(style, subject, 1)).save(folder / name, quality=90)
    noise = np.random.default_rng(0).integers(0, 256, (90, 90, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "noise.png")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff no picture")
    return folder


@pytest.fixture(scope="module")
def grown(finished, painted, tmp_path_factory):
    """(outputs before, outputs after, the added folder, its CSV): an addition that was killed on its way and gone on
    with. Read only."""
    top = tmp_path_factory.mktemp("grown")
    shutil.copytree(finished, top / "before")
    shutil.copytree(finished, top / "after")
    new = pictures_of(top / "gifts")
    old = sorted((painted / "images").rglob("*.jpg"))[3]
    shutil.copy(old, new / "copy.jpg")
    (top / "gifts.csv").write_text("filename,title,donor\ncat.jpg,A cat,Ada\nsub/boat.jpg,A boat,Bob\n")
    how = [*flags(painted, top / "after"), "--add", new, "--add-metadata", top / "gifts.csv"]
    command = [sys.executable, str(REPO / "run_all.py"), *map(str, how)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
                               start_new_session=True)  # fmt: skip
    for line in process.stderr:
        if line.startswith("build_tsne.py"):  # half of the files are of 64 works now, half of 68
            break
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    refused = run_script("run_all.py", *flags(painted, top / "after"), check=False)
    assert refused.returncode == 2 and "was not finished. To go on, run: " in refused.stderr, refused.stderr
    result = run_script("run_all.py", *how)
    assert "1 skipped" not in result.stdout and "prepare_images.py" in result.stdout
    return top / "before", top / "after", new, top / "gifts.csv"


@pytest.mark.parametrize("file", sorted(ROWS))
def test_what_was_there_stays_to_the_byte(grown, file):
    """A10: curators add pictures every week; a map that moves is a map that must be learnt again."""
    before, after, *_ = grown
    with h5py.File(before / file) as old, h5py.File(after / file) as new:
        assert len(old["image_ids"]) == N_OLD and len(new["image_ids"]) == N_OLD + 4
        for pattern in ["image_ids", *ROWS[file]]:
            for name in expand(old, pattern):
                assert rows_of(old, name) == rows_of(new, name), name
        if "pca" in old:
            assert old["pca/components"][:].tobytes() == new["pca/components"][:].tobytes()


@pytest.mark.parametrize(("limit", "is_drawn"), [(N_OLD, False), (N_OLD + 4, True)])
def test_mosaics_of_many_works_stay_as_they_were(grown, painted, tmp_path, monkeypatch, capsys, limit, is_drawn):
    """They show all works, so that one more costs as much as all."""
    _, after, new, _ = grown
    shutil.copytree(after, tmp_path / "outputs")
    shutil.rmtree(tmp_path / "outputs" / "pictures")
    told = []
    monkeypatch.setattr(run_all, "PICTURES_UP_TO", limit)
    monkeypatch.setattr(run_all, "run_script", lambda config, script, more=(): told.append(script) or "done")
    settings = config.load(None, tuple(word for word in flags(painted, tmp_path / "outputs") if word != "--set"))
    run_all.main(settings, add=new)
    assert ("render_grid.py" in told) == is_drawn and "prepare_images.py" in told
    assert ("left out  to draw them anew, run: python render_grid.py" in capsys.readouterr().out) != is_drawn


def lists(h5, space):
    """Of every old work: row of a neighbour -> distance."""
    indices, distances = h5[f"{space}/indices"][:N_OLD].tolist(), h5[f"{space}/distances"][:N_OLD].tolist()
    return [dict(zip(*pair, strict=True)) for pair in zip(indices, distances, strict=True)]


def test_distances_of_old_works_stay_and_new_ones_are_found(grown):
    before, after, *_ = grown
    with h5py.File(before / "neighbors.h5") as old, h5py.File(after / "neighbors.h5") as new:
        for space in (name for name in old if name != "image_ids"):
            pairs = list(zip(lists(old, space), lists(new, space), strict=True))
            assert all(was[row] == far for was, now in pairs for row, far in now.items() if row < N_OLD)
            assert any(row >= N_OLD for _, now in pairs for row in now), "no new work is anyone's neighbour"


def test_recipes_tell_what_was_added_to(grown):
    before, after, *_ = grown
    for file in FILES:
        with h5py.File(before / file) as old, h5py.File(after / file) as new:
            step = json.loads(new.attrs["recipe"])["additions"]
            assert step == [{"to": old.attrs["fingerprint"], "works": N_OLD}], file
            assert old.attrs["fingerprint"] != new.attrs["fingerprint"]
            assert store.n_before_additions(old) == store.n_before_additions(new) == N_OLD


def test_new_works_are_told_apart(grown, painted):
    """A work of the same file name, a duplicate, one that is no picture."""
    _, after, *_ = grown
    with h5py.File(after / "images.h5") as h5:
        ids = h5["image_ids"].asstr()[:]
        added = dict(zip(ids[N_OLD:], h5["duplicate_of"].asstr()[N_OLD:], strict=True))
        assert list(added) == ["gifts/cat.jpg", "gifts/copy.jpg", "gifts/noise.png", "gifts/sub/boat.jpg"]
        assert len(set(ids)) == N_OLD + 4
        old = sorted((painted / "images").rglob("*.jpg"))[3].relative_to(painted / "images").as_posix()
        assert [name for name in added.values() if name] == [added["gifts/copy.jpg"]] == [old]
        skipped = dict(zip(h5["skipped/image_ids"].asstr()[:], h5["skipped/reason"].asstr()[:], strict=True))
        assert list(skipped) == ["gifts/broken.jpg"] and "is not a JPEG" in skipped["gifts/broken.jpg"]
        assert h5["metadata/donor"].asstr()[N_OLD:].tolist() == ["Ada", "", "", "Bob"]
        assert h5["metadata/title"].asstr()[N_OLD] == "A cat" and not any(h5["metadata/donor"].asstr()[:N_OLD])
    with h5py.File(after / "tsne.h5") as h5:
        place = dict(zip(ids, h5["content/coordinates"][:].tolist(), strict=True))
        assert place["gifts/copy.jpg"] == pytest.approx(place[old], abs=1e-4)
        for name in ("content", "style", "combined"):
            off = dict(zip(ids[N_OLD:], h5[f"{name}/added/is_off_map"][:], strict=True))
            assert not off["gifts/copy.jpg"], name
    with h5py.File(after / "variants.h5") as h5:
        group = dict(zip(ids, h5["group"][:].tolist(), strict=True))
        assert group["gifts/copy.jpg"] == group[old]


def write_content(settings, ids, rows):
    """content.h5 of these works, added to those that it has."""
    path, recipe = settings.outputs / "content.h5", {"settings": settings.settings(("vgg", "content"))}
    if path.exists():
        with h5py.File(path) as h5:
            recipe = store.recipe_after(h5)
    with store.create(path, "content", recipe, {}) as h5:
        store.write_ids(h5, np.array(ids, object))
        h5["embeddings"] = rows


def test_strangers_are_told_and_it_does_not_matter_who_comes_first(tmp_path):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(8, 20))[np.arange(130) % 8] * 2 + rng.normal(size=(130, 20))
    rows[125:] = 9 * rng.normal(size=(5, 20))  # strangers
    rows, ids = rows.astype(np.float32), [f"{i:03}.jpg" for i in range(130)]
    maps = {}
    for name, steps in (("at once", [130]), ("in two steps", [110, 130])):
        settings = config.load(None, (f"paths.outputs={tmp_path / name}", "maps={content: {content: 1}}",
                                      "parametric_tsne.map=content"))  # fmt: skip
        write_content(settings, ids[:100], rows[:100])
        build_tsne.main(settings)
        for n in steps:
            write_content(settings, ids[:n], rows[:n])
            build_tsne.main(settings, update=True)
        assert store.why_stale(settings, "tsne") is None
        with h5py.File(settings.outputs / "tsne.h5") as h5:
            assert len(json.loads(h5.attrs["recipe"])["additions"]) == len(steps)
            is_off_map = h5["content/added/is_off_map"][:]
            assert is_off_map[25:].all() and is_off_map[:25].mean() < 0.3
            certainty = h5["content/added/certainty"][:]
            assert certainty.shape == (30,) and (certainty >= 0).all() and (certainty <= 1).all()
            maps[name] = h5["content/coordinates"][:]
        group = np.arange(100) % 8
        nearest = coranking.nearest_on_map(maps[name], 5)[100:125]
        agree = [np.mean(group[near[near < 100]] == i % 8) for i, near in enumerate(nearest, 100)]
        assert np.mean(agree) > 0.8  # they lie among their group
    assert maps["at once"].tobytes() == maps["in two steps"].tobytes()


def test_every_added_work_has_a_cell_and_the_page_shows_it(grown):
    _, after, *_ = grown
    with h5py.File(after / "grid.h5") as h5:
        for name in ("content", "style", "combined"):
            cells, attributes = h5[f"{name}/cells"][:], h5[name].attrs
            assert len(np.unique(cells, axis=0)) == N_OLD + 4 and attributes["moved"] == 0
            assert (cells < (attributes["rows"], attributes["cols"])).all()
    data = after / "viewer" / "data"
    works = "".join(path.read_text(encoding="utf-8") for path in (data / "works").glob("*.js"))
    for name in ("gifts/cat.jpg", "gifts/sub/boat.jpg", "gifts/noise.png", "A boat"):
        assert f'"{name}"' in works
    assert '"n_works":68' in (data / "index.js").read_text(encoding="utf-8")


def test_adding_again_and_running_as_usual_change_nothing(grown, painted, tmp_path):
    _, after, new, csv_file = grown
    shutil.copytree(after, tmp_path / "outputs")
    before = contents(tmp_path / "outputs")
    usual = run_script("run_all.py", *flags(painted, tmp_path / "outputs"))
    assert f"0 stages made, {len(STAGES)} up to date" in usual.stdout
    again = run_script("run_all.py", *flags(painted, tmp_path / "outputs"), "--add", new)
    assert "nothing new in" in again.stdout and f"{len(STAGES) - 1} up to date" in again.stdout
    assert contents(tmp_path / "outputs") == before
    assert str(csv_file) in before["additions.json"].decode()


def load(painted, outputs, *more):
    return config.load(None, (f"paths.images={painted / 'images'}", f"paths.metadata={painted / 'metadata.csv'}",
                              f"paths.outputs={outputs}", *FAST, *more))  # fmt: skip


def test_a_stop_leaves_the_bytes_of_a_run_that_was_not_stopped(grown, painted, tmp_path):
    """The stages whose file was there when the run was killed, and one that was not, made once more in one go."""
    before, after, new, csv_file = grown
    shutil.copytree(before, tmp_path / "outputs")
    how = flags(painted, tmp_path / "outputs")
    run_script("prepare_images.py", *how, "--add", new, "--add-metadata", csv_file)
    run_script("extract_features.py", *how, "--update")
    run_script("extract_color.py", *how, "--update")
    run_script("build_tsne.py", *how, "--update")
    run_script("tsne_to_grid.py", *how, "--update")
    for file in ("images.h5", "content.h5", "style.h5", "color.h5", "tsne.h5", "grid.h5", "drift.json"):
        assert (tmp_path / "outputs" / file).read_bytes() == (after / file).read_bytes(), file


def test_drawing_anew_takes_the_added_works_along(grown, painted, tmp_path):
    _, after, *_ = grown
    shutil.copytree(after, tmp_path / "outputs")
    settings = load(painted, tmp_path / "outputs")
    prepare_images.main(settings)
    with h5py.File(tmp_path / "outputs" / "images.h5") as h5:
        ids = h5["image_ids"].asstr()[:].tolist()
        assert ids == sorted(ids) and len(ids) == N_OLD + 4
        assert "additions" not in json.loads(h5.attrs["recipe"])
        donors = dict(zip(ids, h5["metadata/donor"].asstr()[:], strict=True))
    assert donors["gifts/cat.jpg"] == "Ada"
    with pytest.raises(UserError, match="works cannot be added to it. Run: python run_all.py"), store.open_before(
        settings, "content"
    ):
        pass  # its rows are in another order now


def test_adding_is_refused_before_anything_is_touched(grown, painted, tmp_path):
    before, _, new, _ = grown
    shutil.copytree(before, tmp_path / "outputs")
    whole = contents(tmp_path / "outputs")
    how = flags(painted, tmp_path / "outputs")

    def refused(*arguments):
        result = run_script("run_all.py", *how, *arguments, check=False)
        assert result.returncode == 2 and contents(tmp_path / "outputs") == whole
        return result.stderr

    assert "settings now say 2" in refused("--add", new, "--set", "grid.aspect_ratio=2")
    settings = load(painted, tmp_path / "outputs")
    for folder, reason in (
        (new / "cat.jpg", "is not a folder"), (painted, "holds the collection itself"), (new / "no", "is not a folder"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=reason):
            prepare_images.main(settings, add=folder)
    with pytest.raises(UserError, match="is about an added folder"):
        prepare_images.main(settings, add_metadata=new)
    moved = load(painted, tmp_path / "outputs", f"paths.images={new}")
    with pytest.raises(UserError, match="64 files of the collection were removed"):
        prepare_images.main(moved, add=new)
    assert contents(tmp_path / "outputs") == whole


def test_names_of_added_folders(painted, tmp_path):
    settings = load(painted, tmp_path / "outputs")
    (tmp_path / "outputs").mkdir()
    for name in ("a/new", "b/new", "a/new/deeper"):
        (tmp_path / name).mkdir(parents=True)
    first = additions.with_folder(settings, tmp_path / "a" / "new", None, ["x.jpg"])
    assert [folder.name for folder in first.folders] == ["new"]
    additions.write(settings, first)
    second = additions.with_folder(settings, tmp_path / "b" / "new", None, ["new/y.jpg"])
    assert [folder.name for folder in second.folders] == ["new", "new (2)"]
    taken = additions.with_folder(settings, tmp_path / "b" / "new", None, ["new/y.jpg", "new (2)/z.jpg"])
    assert taken.folders[1].name == "new (3)"
    assert additions.path_of(settings, "new/sub/x.jpg") == str(tmp_path / "a" / "new" / "sub" / "x.jpg")
    assert additions.path_of(settings, "news/x.jpg") == str(painted / "images" / "news" / "x.jpg")
    with pytest.raises(UserError, match="overlaps"):
        additions.with_folder(settings, tmp_path / "a" / "new" / "deeper", None, [])
    inside = additions.with_folder(settings, painted / "images", None, [])
    assert inside.folders == first.folders and inside.unfinished  # its works have the names that they have anyway
    (tmp_path / "outputs" / additions.FILE).write_text("{}")
    with pytest.raises(UserError, match="is not a list of added folders"):
        additions.read(settings)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 40), st.integers(0, 30), st.sampled_from([0.5, 1.0, 2.0]), st.sampled_from([0, 0.3]),
       st.sampled_from([None, "circle"]), st.integers(0, 99))  # fmt: skip
def test_free_cells_are_free_and_enough(n_old, n_new, aspect_ratio, free, mask, seed):
    grid = config.load(None).grid.model_copy(update={"aspect_ratio": aspect_ratio, "free": free, "mask": mask})
    cells, shape = tsne_to_grid.choose_cells(n_old, grid)
    rng = np.random.default_rng(seed)
    taken = cells[np.sort(rng.permutation(len(cells))[:n_old])]
    found, larger = tsne_to_grid.free_cells(taken, n_new, n_old, shape, grid)
    assert len(found) >= n_new and (found < larger).all() and larger[0] >= shape[0] and larger[1] >= shape[1]
    assert not set(map(tuple, found.tolist())) & set(map(tuple, taken.tolist()))
    if larger != shape:
        assert shape[0] * shape[1] < n_old + n_new, "it grew although there was room"
        assert min((larger[0] - 1) * larger[1], larger[0] * (larger[1] - 1)) < n_old + n_new
    kept = np.concatenate([taken, np.full((n_new, 2), -1)])
    placed = swaps.add_to_free_cells(rng.normal(size=(n_old + n_new, 2)), kept, found, *larger, rng, 50)
    assert (placed[:n_old] == taken).all() and len(np.unique(placed, axis=0)) == n_old + n_new


def test_a_new_work_gets_the_free_cell_beside_its_neighbours():
    taken = shapes.rectangle(100, 10)
    free = np.array([(0, 0), (5, 5), (9, 9)])
    kept = np.array([cell for cell in taken.tolist() if cell not in free.tolist()] + [[-1, -1]])
    positions = kept.astype(float)
    positions[-1] = (5.1, 4.9)
    assert swaps.add_to_free_cells(positions, kept, free, 10, 10, np.random.default_rng(0), 50)[-1].tolist() == [5, 5]


def test_scores_of_some_works_are_those_of_all():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(300, 8)).astype(np.float32)
    coordinates = (features[:, :2] + 0.5 * rng.normal(size=(300, 2))).astype(np.float32)
    lists = coranking.nearest_by_features(features, 10), coranking.nearest_on_map(coordinates, 10)
    whole = coranking.compare(features, coordinates, *lists, (10,), 10, np.arange(300))
    some = coranking.compare_some(features, coordinates, np.arange(250, 300), 10)
    for of_all, found in zip((whole.kept, whole.trustworthiness, whole.continuity), some, strict=True):
        assert np.allclose(of_all[250:, 0], found, atol=1e-12) and found.std() > 0


def test_drift_is_told_by_share(grown, painted):
    _, after, *_ = grown
    figures = drift.read(load(painted, after))
    assert (figures["works"], figures["added"]) == (68, 4) and figures["share_added"] == 4 / 68
    assert set(figures["maps"]) == {"content", "style", "combined"} and not figures["is_due"]
    assert figures == json.loads((after / "drift.json").read_text())
    assert "run_all.py" not in drift.tell(figures, load(painted, after))
    assert "run_all.py" in drift.tell({**figures, "is_due": drift.is_due(0.9)}, load(painted, after))
