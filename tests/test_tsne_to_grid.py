"""A grid is a bijection, keeps neighbours together, and does not depend on the units of the map."""

import subprocess
import sys

import numpy as np
import pytest
from conftest import REPO, run_script
from test_grids import assert_bijection, blobs

import tsne_to_grid
from artatlas import config, grids, shapes, store
from artatlas.errors import UserError
from artatlas.grids import to_unit_square

MAPS = ("maps={content: {content: 1}, both: {content: 1, color: 2}}", "parametric_tsne.map=both")


def write_tsne(*overrides, outputs, n_works=60):
    settings = config.load(None, (f"paths.outputs={outputs}", *MAPS, *overrides))
    with store.create(outputs / "tsne.h5", "tsne", {"settings": settings.settings(("maps", "tsne"))}, {}) as h5:
        store.write_ids(h5, np.array([f"w{i:03}" for i in range(n_works)], object))
        for seed, name in enumerate(settings.maps):
            h5[f"{name}/coordinates"] = blobs(n_works, seed)
    return settings


def read(settings, name="content"):
    with store.open_output(settings, "grid") as h5:
        return store.read_ids(h5), h5[f"{name}/cells"][:], dict(h5[name].attrs)


# The stage


def test_stage_writes_the_contract(tmp_path):
    settings = write_tsne(outputs=tmp_path)
    path, summary = tsne_to_grid.main(settings)
    assert path == tmp_path / "grid.h5" and summary.startswith("60 works on 8 x 8 cells, moved by")
    positions = to_unit_square(blobs(60, seed=1))
    ids, cells, attributes = read(settings, "both")
    assert list(ids) == [f"w{i:03}" for i in range(60)] and cells.dtype == np.int32
    offered = shapes.rectangle(60, 8)
    np.testing.assert_array_equal(cells, offered[grids.assign_lap(positions, offered, 8, 8)])
    assert attributes["rows"] == attributes["cols"] == 8
    assert attributes["cost"] == pytest.approx(grids.cost(positions, cells, 8, 8) / 60)
    assert 0 < attributes["mean_displacement"] <= attributes["cost"] ** 0.5


@pytest.mark.parametrize("method", ["swaps", "rasterfairy", "lap"])
@pytest.mark.parametrize("n_works", [1, 2, 3, 22])
def test_tiny_collections(tmp_path, method, n_works):
    """A57: one to thirty works are a collection too."""
    settings = write_tsne(f"grid.method={method}", outputs=tmp_path, n_works=n_works)
    tsne_to_grid.main(settings)
    _, cells, attributes = read(settings)
    assert_bijection(cells, n_works, attributes["rows"], attributes["cols"])


def test_same_bytes_every_time(tmp_path):
    settings = write_tsne("grid.sample=5", outputs=tmp_path)
    first, second = (tsne_to_grid.main(settings)[0].read_bytes() for _ in range(2))
    assert first == second


def test_sample_is_seeded(tmp_path):
    def sampled(seed):
        settings = write_tsne("grid.sample=6", f"grid.seed={seed}", outputs=tmp_path)
        tsne_to_grid.main(settings)
        return read(settings)

    ids, cells, attributes = sampled(1)
    assert_bijection(cells, 36, 6, 6)
    assert len(set(ids)) == 36 and (attributes["rows"], attributes["cols"]) == (6, 6)
    assert list(ids) == list(sampled(1)[0]) != list(sampled(2)[0])
    rows = [int(image_id[1:]) for image_id in ids]  # each id is with its own coordinates still
    positions, offered = to_unit_square(blobs(60)[rows]), shapes.rectangle(36, 6)
    np.testing.assert_array_equal(sampled(1)[1], offered[grids.assign_lap(positions, offered, 6, 6)])


def test_too_large_a_sample_is_refused(tmp_path):
    settings = write_tsne("grid.sample=8", outputs=tmp_path)
    with pytest.raises(UserError) as error:
        tsne_to_grid.main(settings)
    file = store.show(tmp_path / "tsne.h5")
    assert (
        str(error.value)
        == f"grid.sample: 8 takes 64 works, {file} has 60. Set it to 7 or less, or to null for all works."
    )
    assert not (tmp_path / "grid.h5").exists()


def test_lap_refuses_what_memory_cannot_hold(capsys):
    with pytest.raises(UserError) as error:
        tsne_to_grid.check_lap(50_000, 50_176)
    assert str(error.value) == (
        "grid.method: lap needs 20.1 GB for the distances of 50,000 works to 50,176 cells, the limit is 4 GB."
        " Set it to swaps, which comes within 1% of it."
    )
    tsne_to_grid.check_lap(149**2, 149**2)
    assert capsys.readouterr().err == "note: grid.method: lap takes about 36 min 29 s a map for 22,201 works\n"
    tsne_to_grid.check_lap(2500, 2500)
    assert capsys.readouterr().err == ""


def test_a_circle_and_free_cells(tmp_path):
    settings = write_tsne("grid.mask=circle", outputs=tmp_path)
    tsne_to_grid.main(settings)
    _, cells, attributes = read(settings)
    rows, cols = attributes["rows"], attributes["cols"]
    assert_bijection(cells, 60, rows, cols)
    assert rows * cols > 60 and not set(map(tuple, cells)) & {(0, 0), (0, cols - 1), (rows - 1, 0)}
    settings = write_tsne("grid.free=0.5", outputs=tmp_path)
    tsne_to_grid.main(settings)
    _, loose, attributes = read(settings)
    assert_bijection(loose, 60, attributes["rows"], attributes["cols"])
    assert attributes["rows"] * attributes["cols"] >= 120
    settings = write_tsne(outputs=tmp_path)
    tsne_to_grid.main(settings)
    assert attributes["mean_displacement"] < read(settings)[2]["mean_displacement"]  # they stay nearer to the map


def test_additions_keep_the_grid(tmp_path):
    """A10: collections grow; the grid need not start anew. The closing line tells how many works had to make room."""
    before = write_tsne("grid.free=0.1", outputs=tmp_path, n_works=300)
    tsne_to_grid.main(before)
    (tmp_path / "grid.h5").rename(tmp_path / "earlier.h5")
    ids, old, _ = _of_file(tmp_path / "earlier.h5")
    settings = write_tsne("grid.free=0.1", f"grid.keep={tmp_path / 'earlier.h5'}", outputs=tmp_path, n_works=306)
    _, summary = tsne_to_grid.main(settings)
    new_ids, cells, attributes = read(settings)
    assert list(new_ids[:300]) == list(ids) and len(new_ids) == 306
    assert_bijection(cells, 306, attributes["rows"], attributes["cols"])
    moved = (cells[:300] != old).any(axis=1)
    assert (attributes["kept"], attributes["moved"]) == (300, moved.sum())
    assert f"content {moved.sum()} of 300" in summary
    assert np.abs(cells[:300] - old).max() <= 1 and moved.sum() < 60
    anew = write_tsne("grid.free=0.1", outputs=tmp_path, n_works=306)
    tsne_to_grid.main(anew)
    assert (read(anew)[1][:300] != old).any(axis=1).sum() > 150  # without it nearly every work moves
    again = settings.model_copy(update={"grid": settings.grid.model_copy(update={"keep": str(tmp_path / "grid.h5")})})
    tsne_to_grid.main(again)  # the file that it is about to replace
    assert read(again)[2]["moved"] == 0 and read(again)[2]["kept"] == 306


def _of_file(path, name="content"):
    with store.open_kept(path, "grid") as h5:
        return store.read_ids(h5), h5[f"{name}/cells"][:], dict(h5[name].attrs)


@pytest.mark.parametrize(
    "overrides, message",
    [(["grid.method=rasterfairy", "grid.free=0.2"], "grid.free: 0.2 needs a method that chooses cells."),
     (["grid.method=lap", "grid.keep=x.h5"], "grid.keep: does not go with grid.method: lap."),
     (["grid.mask=circle", "grid.keep=x.h5"], "grid.keep: does not go with grid.mask: circle."),
     (["grid.keep=nowhere.h5"], "nowhere.h5 does not exist. Name an output of tsne_to_grid.py."),
     (["grid.mask=nowhere.png"], "nowhere.png: No such file or directory.")],
)  # fmt: skip
def test_settings_that_do_not_go_together(tmp_path, overrides, message):
    with pytest.raises(UserError) as error:
        tsne_to_grid.main(write_tsne(*overrides, outputs=tmp_path))
    assert message in str(error.value)


def test_only_a_grid_can_be_kept(tmp_path):
    settings = write_tsne(f"grid.keep={tmp_path / 'tsne.h5'}", outputs=tmp_path)
    with pytest.raises(UserError, match=r"tsne\.h5 is of stage tsne, version 1\. Name an output of tsne_to_grid\.py"):
        tsne_to_grid.main(settings)


def test_threads_change_nothing(tmp_path, monkeypatch):
    """Same bytes with one thread and with four, in every library that starts some; the seed is the control."""
    found = []
    for threads, seed in ((1, 1), (4, 1), (1, 2)):
        flags = [
            f"paths.outputs={tmp_path}",
            *MAPS,
            f"machine.threads={threads}",
            f"grid.seed={seed}",
            "grid.passes=50",
        ]
        write_tsne(outputs=tmp_path, n_works=1600)
        for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            monkeypatch.setenv(variable, str(threads))
        run_script("tsne_to_grid.py", *[word for value in flags for word in ("--set", value)])
        with store.open_kept(tmp_path / "grid.h5", "grid") as h5:
            found.append([h5[f"{name}/cells"][:].tobytes() for name in ("content", "both")])
    assert found[0] == found[1] != found[2]


def test_command_line(tmp_path):
    """Missing input, success and changed settings, as a user sees them."""
    flags = [word for value in (f"paths.outputs={tmp_path}", *MAPS) for word in ("--set", value)]
    missing = run_script("tsne_to_grid.py", *flags, check=False)
    assert missing.returncode == 2 and missing.stderr.startswith(f"error: {tmp_path}/tsne.h5 does not exist. Run: ")
    settings = write_tsne(outputs=tmp_path)
    done = run_script("tsne_to_grid.py", *flags)
    assert done.stdout.startswith(f"{tmp_path}/grid.h5: 60 works on 8 x 8 cells") and done.stderr == ""
    assert done.stdout.count("\n") == 1
    changed = settings.model_copy(update={"grid": settings.grid.model_copy(update={"aspect_ratio": 2.0})})
    with pytest.raises(UserError, match=r"grid\.h5 was made with grid\.aspect_ratio: 1\.0, the settings now say 2\.0"):
        store.attributes(changed, "grid")


def test_starts_quickly():
    """--help must not wait for imports that only the work needs."""
    code = "import sys, tsne_to_grid; print(sorted({'scipy', 'rasterfairy', 'matplotlib', 'PIL'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"
