"""A grid is a bijection, keeps neighbours together, and does not depend on the units of the map."""

import itertools
import subprocess
import sys
import time

import numpy as np
import pytest
from conftest import REPO, run_script
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

import tsne_to_grid
from artatlas import config, store
from artatlas.errors import UserError
from tsne_to_grid import assign_lap, assign_rasterfairy, cell_centres, choose_shape, to_unit_square

MAPS = ("maps={content: {content: 1}, both: {content: 1, color: 2}}", "parametric_tsne.map=both")
METHODS = pytest.mark.parametrize("assign", [assign_rasterfairy, assign_lap])


def blobs(n_works, seed=0):
    """A map as t-SNE draws them: groups of different sizes with empty space between them. (N, 2) float32."""
    rng = np.random.default_rng(seed)
    centres, spreads = rng.normal(size=(12, 2)) * 30, rng.uniform(2, 10, 12)
    group = rng.integers(12, size=n_works)
    return (centres[group] + rng.normal(size=(n_works, 2)) * spreads[group, None]).astype(np.float32)


def assert_bijection(cells, n_works, rows, cols):
    assert cells.shape == (n_works, 2)
    assert (cells >= 0).all() and (cells < (rows, cols)).all()
    assert len(np.unique(cells, axis=0)) == n_works


def cost(positions, cells, rows, cols):
    return np.square(cell_centres(cells, rows, cols) - positions).sum(axis=1).mean()


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


# Shapes


@pytest.mark.parametrize(
    "n_works, aspect_ratio, shape",
    [(1, 1.0, (1, 1)), (2, 1.0, (1, 2)), (3, 1.0, (2, 2)), (5, 1.0, (2, 3)), (6, 1.5, (2, 3)), (24, 1.0, (5, 5)),
     (1231, 1.0, (35, 36)), (10_000, 1.0, (100, 100)), (10_000, 4.0, (50, 200)), (7, 1000.0, (1, 7)),
     (7, 0.001, (7, 1)), (62_039, 1.0, (249, 250))],
)  # fmt: skip
def test_shape_is_near_the_aim_with_few_holes(n_works, aspect_ratio, shape):
    """A21: "no good rectangle for 62039 points"; A57: tiny collections."""
    assert choose_shape(n_works, aspect_ratio) == shape


@given(n_works=st.integers(1, 5000), aspect_ratio=st.floats(0.05, 20))
def test_only_the_last_row_is_short(n_works, aspect_ratio):
    rows, cols = choose_shape(n_works, aspect_ratio)
    assert (rows - 1) * cols < n_works <= rows * cols


@given(n_works=st.integers(200, 5000), aspect_ratio=st.floats(0.25, 4))
def test_aspect_ratio_is_kept(n_works, aspect_ratio):
    rows, cols = choose_shape(n_works, aspect_ratio)
    assert abs(np.log(cols / rows / aspect_ratio)) < 0.2


# Bijection


def test_bijection_for_every_number_of_works():
    """A21: primes, and 1, 2 and 3 works, are as good as any."""
    for n_works in range(1, 301):
        positions = to_unit_square(blobs(n_works, seed=n_works))
        rows, cols = choose_shape(n_works, (1.0, 16 / 9, 0.2)[n_works % 3])
        assert_bijection(assign_rasterfairy(positions, rows, cols), n_works, rows, cols)


@METHODS
@hypothesis_settings(max_examples=60, deadline=None)
@given(
    coordinates=st.lists(st.tuples(*[st.integers(-4, 4)] * 2), min_size=1, max_size=60),
    aspect_ratio=st.floats(0.05, 20),
)
def test_bijection_with_duplicates_and_collinear_works(assign, coordinates, aspect_ratio):
    """A21: equal coordinates, works on one line, all works in one point."""
    rows, cols = choose_shape(len(coordinates), aspect_ratio)
    cells = assign(to_unit_square(np.array(coordinates, np.float32)), rows, cols)
    assert_bijection(cells, len(coordinates), rows, cols)


@METHODS
@pytest.mark.parametrize("coordinates", [np.zeros((50, 2)), np.column_stack((np.zeros(50), np.arange(50)))])
def test_constant_axes(assign, coordinates):
    """A21: without a difference there is no order, but every work still gets its cell."""
    assert_bijection(assign(to_unit_square(coordinates), 7, 8), 50, 7, 8)


def test_rasterfairy_fills_in_reading_order():
    """Holes are at the end of the last row only, where a reader of the picture expects them."""
    cells = assign_rasterfairy(to_unit_square(blobs(50)), 7, 8)
    assert sorted(map(tuple, cells)) == list(itertools.product(range(7), range(8)))[:50]


# What a grid means


@METHODS
def test_map_and_grid_look_alike(assign):
    """Row 0 is the top: a map that already is a grid comes back as that grid, with y up."""
    row, col = np.indices((6, 9)).reshape(2, -1)
    order = np.random.default_rng(0).permutation(54)
    coordinates = np.column_stack((col * 3.0 + 100, -row * 5.0))[order]
    cells = assign(to_unit_square(coordinates), 6, 9)
    np.testing.assert_array_equal(cells, np.column_stack((row, col))[order])


@METHODS
@pytest.mark.parametrize("scale", [(1e-6, 1e-6), (1e6, 1e6), (3.0, 0.01)])
def test_units_of_the_map_do_not_matter(assign, scale):
    """A19: RasterFairy scrambled maps scaled to 0..1, for it sorts integers."""
    coordinates = blobs(150).astype(np.float64)
    moved = coordinates * scale + (12.5, -700.0) * np.array(scale)
    before, after = (assign(to_unit_square(points), 12, 13) for points in (coordinates, moved))
    np.testing.assert_array_equal(before, after)


@METHODS
def test_order_of_rows_does_not_matter(assign):
    positions, order = to_unit_square(blobs(150)), np.random.default_rng(1).permutation(150)
    np.testing.assert_array_equal(assign(positions, 12, 13)[order], assign(positions[order], 12, 13))


def kept_neighbours(coordinates, cells):
    """Share of each work's 8 nearest in the map that are at most 2 cells away in the grid."""
    nearest = NearestNeighbors(n_neighbors=9).fit(coordinates).kneighbors(coordinates, return_distance=False)[:, 1:]
    return (np.abs(cells[nearest] - cells[:, None]).max(axis=2) <= 2).mean()


@METHODS
@pytest.mark.parametrize("n_works", [900, 911, 1369])
def test_neighbours_stay_together(assign, n_works):
    """A17, A18: 911 is prime and 1369 = 37 x 37, sizes at which RasterFairy's own loop cuts long strips (0.60)."""
    coordinates = blobs(n_works)
    cells = assign(to_unit_square(coordinates), *choose_shape(n_works, 1.0))
    assert kept_neighbours(coordinates, cells) > 0.75
    shuffled = np.random.default_rng(0).permutation(cells)
    assert kept_neighbours(coordinates, shuffled) < 0.05


@pytest.mark.parametrize("n_works, rows, cols", [(1, 1, 1), (2, 1, 2), (4, 2, 2), (5, 2, 3), (6, 2, 3), (7, 7, 1)])
def test_lap_is_the_optimum(n_works, rows, cols):
    positions = np.random.default_rng(n_works).random((n_works, 2))
    all_cells = np.indices((rows, cols)).reshape(2, -1).T
    least = min(
        cost(positions, all_cells[list(choice)], rows, cols)
        for choice in itertools.permutations(range(rows * cols), n_works)
    )
    assert cost(positions, assign_lap(positions, rows, cols), rows, cols) == pytest.approx(least, abs=1e-12)


@hypothesis_settings(max_examples=25, deadline=None)
@given(n_works=st.integers(1, 200), seed=st.integers(0, 10**6))
def test_lap_is_never_worse_than_rasterfairy(n_works, seed):
    """A18: the ceiling is known, so a method can be judged against it."""
    positions, shape = to_unit_square(blobs(n_works, seed)), choose_shape(n_works, 1.0)
    lap, rasterfairy = (
        cost(positions, assign(positions, *shape), *shape) for assign in (assign_lap, assign_rasterfairy)
    )
    assert lap <= rasterfairy + 1e-12


def test_rasterfairy_is_near_the_optimum():
    """A18: at most half as much again, where a random grid costs several times as much."""
    positions = to_unit_square(blobs(900))
    lap, rasterfairy = (
        cost(positions, assign(positions, 30, 30), 30, 30) for assign in (assign_lap, assign_rasterfairy)
    )
    random = cost(positions, np.random.default_rng(0).permutation(np.indices((30, 30)).reshape(2, -1).T), 30, 30)
    assert lap < rasterfairy < 1.5 * lap < 0.5 * random


def test_rasterfairy_is_fast_and_quiet(capfd):
    """A20: works with today's numpy, from which np.float is gone; and prints nothing."""
    start = time.process_time()
    cells = assign_rasterfairy(to_unit_square(blobs(10_007)), 100, 101)
    assert time.process_time() - start < 5  # 0.6 s on an idle machine
    assert_bijection(cells, 10_007, 100, 101)
    assert not hasattr(np, "float")
    assert capfd.readouterr() == ("", "")


# The stage


def test_stage_writes_the_contract(tmp_path):
    settings = write_tsne(outputs=tmp_path)
    path, summary = tsne_to_grid.main(settings)
    assert path == tmp_path / "grid.h5" and summary.startswith("60 works on 8 x 8 cells, moved by")
    positions = to_unit_square(blobs(60, seed=1))
    ids, cells, attributes = read(settings, "both")
    assert list(ids) == [f"w{i:03}" for i in range(60)] and cells.dtype == np.int32
    np.testing.assert_array_equal(cells, assign_rasterfairy(positions, 8, 8))
    assert attributes["rows"] == attributes["cols"] == 8
    assert attributes["cost"] == pytest.approx(cost(positions, cells, 8, 8))
    assert 0 < attributes["mean_displacement"] <= attributes["cost"] ** 0.5


@pytest.mark.parametrize("method", ["rasterfairy", "lap"])
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
    np.testing.assert_array_equal(sampled(1)[1], assign_rasterfairy(to_unit_square(blobs(60)[rows]), 6, 6))


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
        " Set it to rasterfairy, or grid.sample to 149 or less."
    )
    tsne_to_grid.check_lap(149**2, 149**2)
    assert capsys.readouterr().err == "note: grid.method: lap takes about 36 min 29 s a map for 22,201 works\n"
    tsne_to_grid.check_lap(2500, 2500)
    assert capsys.readouterr().err == ""


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
    with pytest.raises(
        UserError, match=r"grid\.h5 was made with grid\.aspect_ratio: 1\.0, the settings now say 2\.0"
    ):
        store.attributes(changed, "grid")


def test_starts_quickly():
    """--help must not wait for imports that only the work needs."""
    code = "import sys, tsne_to_grid; print(sorted({'scipy', 'rasterfairy', 'matplotlib', 'PIL'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"
