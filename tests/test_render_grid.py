"""Every work is where its cell and its coordinates say, whole and in its colours; what cannot be drawn is refused."""

import io
import subprocess
import sys

import h5py
import numpy as np
import pytest
from conftest import REPO, run_script
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from PIL import Image

import render_grid
import tsne_to_grid
from artatlas import config, store, strips
from artatlas.errors import UserError

FAST = ("maps={content: {content: 1}, both: {content: 1, color: 2}}", "parametric_tsne.map=both",
        "images.thumbnail_px=64", "render.tile_px=16", "render.scatter_px=400", "render.scatter_thumbnail_px=10",
        "render.format=png")  # fmt: skip


def colors(n_works):
    """RGB (N, 3) uint8, any two at least 100 apart in one channel."""
    assert n_works <= 27
    return np.stack(np.meshgrid(*[(30, 130, 230)] * 3), axis=-1).reshape(-1, 3)[:n_works].astype(np.uint8)


def size_of(i):
    return [(64, 48), (40, 64), (64, 64)][i % 3]


def jpeg(color, size):
    buffer = io.BytesIO()
    Image.new("RGB", size, tuple(map(int, color))).save(buffer, "JPEG", quality=95)
    return np.frombuffer(buffer.getvalue(), np.uint8)


def collection(outputs, *overrides, n_works=23, columns=None):
    """images.h5 and tsne.h5, their rows in different orders, and grid.h5; a work's colour tells which it is."""
    settings = config.load(None, (f"paths.outputs={outputs}", *FAST, *overrides))
    ids = np.array([f"w{i:02}" for i in range(n_works)], object)
    back = np.arange(n_works)[::-1]
    with store.create(outputs / "images.h5", "images", {"settings": settings.settings(("images",))}, {}) as h5:
        store.write_ids(h5, ids[back])
        h5["pixels"] = np.zeros((n_works, 1, 1, 3), np.uint8)
        h5.create_dataset("thumbnails", (n_works,), h5py.vlen_dtype(np.uint8))
        for row, i in enumerate(back):
            h5["thumbnails"][row] = jpeg(colors(n_works)[i], size_of(i))
        h5["width"] = h5["height"] = np.ones(n_works, np.int32)
        empty = np.array([""] * n_works, object)
        for name, values in {
            "duplicate_of": empty,
            **{f"metadata/{k}": v[back] for k, v in (columns or {}).items()},
        }.items():
            h5.create_dataset(name, data=values, dtype=store.TEXT)
        for name in ("skipped/image_ids", "skipped/reason"):
            h5.create_dataset(name, (0,), store.TEXT)
    with store.create(outputs / "tsne.h5", "tsne", {"settings": settings.settings(("maps", "tsne"))}, {}) as h5:
        store.write_ids(h5, ids)
        for seed, name in enumerate(settings.maps):
            h5[f"{name}/coordinates"] = np.random.default_rng(seed).normal(size=(n_works, 2)).astype(np.float32)
    tsne_to_grid.main(settings)
    return settings


def pixels(settings, file):
    return np.asarray(Image.open(settings.outputs / "pictures" / file).convert("RGB")).astype(int)


def is_color(patch, color, tolerance=12):
    return (np.abs(patch - np.asarray(color, int)) <= tolerance).all()


def read_cells(settings, name="content"):
    with store.open_output(settings, "grid") as h5:
        return [int(i[1:]) for i in store.read_ids(h5)], h5[f"{name}/cells"][:]


# Mosaics


@pytest.mark.parametrize("file_format", ["png", "jpg"])
def test_every_tile_is_its_work(tmp_path, file_format):
    """A15: the wrong thumbnails on tiles. Gaps and holes show the background."""
    settings = collection(
        tmp_path,
        "render.gap_px=3",
        'render.background="#102030"',
        f"render.format={file_format}",
        "render.quality=95",
    )
    render_grid.main(settings)
    tolerance = 12 if file_format == "png" else 40  # a JPEG's colours reach a little into the gaps
    for name in settings.maps:
        works, cells = read_cells(settings, name)
        mosaic = pixels(settings, f"{name}_grid.{file_format}")
        assert mosaic.shape == (5 * 16 + 4 * 3, 5 * 16 + 4 * 3, 3)
        rest = np.ones(mosaic.shape[:2], bool)
        for work, (row, col) in zip(works, cells, strict=True):
            tile = np.s_[row * 19 : row * 19 + 16, col * 19 : col * 19 + 16]
            assert is_color(mosaic[tile][4:-4, 4:-4], colors(23)[work], 25)
            rest[tile] = False
        assert is_color(mosaic[rest], (0x10, 0x20, 0x30), tolerance)
        assert (rest == 0).sum() == 23 * 16 * 16


def test_sample_leaves_the_others_out(tmp_path):
    settings = collection(tmp_path, "grid.sample=3")
    render_grid.main(settings)
    works, cells = read_cells(settings)
    mosaic = pixels(settings, "content_grid.png")
    assert mosaic.shape == (48, 48, 3)
    for work, (row, col) in zip(works, cells, strict=True):
        assert is_color(mosaic[row * 16 : row * 16 + 16, col * 16 : col * 16 + 16], colors(23)[work])


def shrunk(size, **changes):
    settings = config.load(None, FAST).render.model_copy(update=changes)
    left_red = np.zeros((size[1], size[0], 3), np.uint8)
    left_red[:, : size[0] // 2] = (255, 0, 0)
    buffer = io.BytesIO()
    Image.fromarray(left_red).save(buffer, "JPEG", quality=95, subsampling=0)
    return render_grid.shrink(np.frombuffer(buffer.getvalue(), np.uint8), settings)


def test_fill_cuts_both_ends_alike():
    tile = np.asarray(shrunk((64, 16), fit="fill")[0]).astype(int)
    assert tile.shape == (16, 16, 3)
    assert is_color(tile[:, :6], (255, 0, 0), 30) and is_color(tile[:, 10:], (0, 0, 0), 30)


@pytest.mark.parametrize("size, drawn", [((64, 32), (16, 8)), ((20, 64), (5, 16)), ((9, 6), (9, 6))])
def test_contain_shows_the_whole_work(size, drawn):
    tile = shrunk(size, fit="contain", background="#0000ff")[0]
    left, top = ((16 - side) // 2 for side in drawn)
    assert tile.size == (16, 16)
    assert is_background(tile) == 16 * 16 - drawn[0] * drawn[1]  # never enlarged
    assert is_background(tile.crop((left, top, left + drawn[0], top + drawn[1]))) == 0


def is_background(tile):
    """How many pixels are pure blue."""
    return (np.asarray(tile) == (0, 0, 255)).all(axis=2).sum()


def test_thumbnails_of_a_scatter_are_whole():
    assert shrunk((64, 32))[1].size == (10, 5)


def test_contain_centres_the_work(tmp_path):
    settings = collection(tmp_path, "render.fit=contain", n_works=2)
    render_grid.main(settings)
    mosaic = pixels(settings, "content_grid.png")
    works, cells = read_cells(settings)
    for work, (_, col) in zip(works, cells, strict=True):
        tile = mosaic[:, col * 16 : col * 16 + 16]
        drawn = ~(tile > 250).all(axis=2)
        box = [(int(side.min()), int(side.max()) + 1) for side in np.nonzero(drawn)]
        assert box == [[(2, 14), (0, 16)], [(0, 16), (3, 13)]][work]  # 16 x 12 and 10 x 16


# Scatter pictures


def test_scatter_shows_works_at_their_coordinates(tmp_path):
    settings = collection(tmp_path)
    render_grid.main(settings)
    with store.open_output(settings, "tsne") as h5:
        coordinates = h5["both/coordinates"][:].astype(float)
    picture = pixels(settings, "both_scatter.jpg")
    low, high = coordinates.min(axis=0), coordinates.max(axis=0)
    scale = (400 - 20) / (high - low).max()
    assert max(picture.shape) == 400
    at = np.column_stack(((high[1] - coordinates[:, 1]), coordinates[:, 0] - low[0])) * scale + 10  # (y, x), y up
    n_seen = 0
    for i, (y, x) in enumerate(at.round().astype(int)):
        if np.abs(np.delete(at, i, 0) - at[i]).max(axis=1).min() > 14:  # others overlap it otherwise
            assert is_color(picture[y - 1 : y + 2, x - 1 : x + 2].mean(axis=(0, 1)), colors(23)[i], 30)
            n_seen += 1
    assert n_seen > 12


@hypothesis_settings(deadline=None)
@given(
    st.lists(st.tuples(*[st.floats(-1e6, 1e6, width=32)] * 2), min_size=1, max_size=20),
    st.integers(64, 4000),
    st.integers(4, 16),
)
def test_no_thumbnail_is_cut(coordinates, scatter_px, thumbnail_px):
    (width, height), centres = render_grid.scatter_layout(np.array(coordinates, np.float32), scatter_px, thumbnail_px)
    assert 2 * thumbnail_px <= min(width, height) and max(width, height) <= scatter_px
    assert (centres - thumbnail_px / 2 >= 0).all() and (centres + thumbnail_px / 2 <= (width, height)).all()


# Points


def test_metadata_is_joined_by_id(tmp_path, monkeypatch):
    """Rows of images.h5 are in another order than those of tsne.h5."""
    drawn = []
    monkeypatch.setattr(render_grid.plots, "plot_points", lambda *arguments: drawn.append(arguments))
    names = np.array([f"artist {i}" for i in range(23)], object)
    render_grid.main(collection(tmp_path, columns={"artist": names}))
    assert [arguments[3:] for arguments in drawn] == [("artist", list(names))] * 2


def test_missing_column_is_told(tmp_path, capsys):
    settings = collection(
        tmp_path, columns={"title": np.array(["t"] * 23, object), "a∕b": np.array(["t"] * 23, object)}
    )
    render_grid.main(settings)
    said = "note: render.color_by: the metadata has no column artist (has a∕b, title), so points have one colour\n"
    assert capsys.readouterr().err == said
    assert (tmp_path / "pictures" / "both_points.png").exists()
    with h5py.File(tmp_path / "images.h5") as images:  # a "/" in a column's name is another character in HDF5
        assert render_grid.read_column(images, "a/b", np.arange(23)) == ("a/b", ["t"] * 23)
        assert render_grid.read_column(images, None, np.arange(23)) == (None, [""] * 23)
    assert capsys.readouterr().err == ""


# The stage


@pytest.mark.parametrize("file_format", ["png", "jpg"])
def test_same_pictures_every_time_and_in_strips_of_any_height(tmp_path, monkeypatch, file_format):
    """Strips cut through tiles and gaps. Every thumbnail is decoded once, for all maps."""
    decoded, shrink = [], render_grid.shrink
    monkeypatch.setattr(render_grid, "shrink", lambda *a: (decoded.append(1), shrink(*a))[1])
    columns = {"artist": np.array([f"a{i % 4}" for i in range(23)], object)}
    settings = collection(tmp_path, f"render.format={file_format}", "render.gap_px=11", columns=columns)

    def render():
        decoded.clear()
        path, summary = render_grid.main(settings)
        assert summary.startswith("6 pictures of 23 works, mosaics of 5 x 5 tiles (124 x 124 px), at ")
        assert len(decoded) == 23
        return {file.name: file.read_bytes() for file in path.iterdir()}

    first, again = render(), render()
    monkeypatch.setattr(render_grid, "CHUNK", 5)
    heights = [64] if file_format == "jpg" else [1, 7, 64]
    for rows in heights:
        monkeypatch.setattr(strips, "STRIP_PIXELS", 124 * rows)
        in_strips = render()
        assert first == again and list(first) == list(in_strips)
        for file in first:
            if file.endswith("_grid.png"):  # the strips of a PNG are compressed together: same pixels, other bytes
                both = [np.asarray(Image.open(io.BytesIO(files[file]))) for files in (first, in_strips)]
                np.testing.assert_array_equal(*both)
            else:
                assert first[file] == in_strips[file]
    kinds = (f"grid.{file_format}", "scatter.jpg", "points.png")
    assert sorted(first) == sorted(["recipe.json", *(f"{m}_{kind}" for m in ("content", "both") for kind in kinds)])


@pytest.mark.parametrize("file_format", ["png", "jpg"])
def test_memory_does_not_grow_with_the_mosaic(tmp_path, file_format):
    """As a whole, 59 megapixels take 177 MB, and 236 MB in Pillow; most of them are gaps between 25 tiles."""
    peaks_mb = []
    for gap_px in (0, 1900):
        name = f"gap_{gap_px}"
        collection(tmp_path / name, f"render.format={file_format}", f"render.gap_px={gap_px}", n_works=25)
        values = (f"paths.outputs={tmp_path / name}", *FAST, f"render.format={file_format}", f"render.gap_px={gap_px}")
        code = (
            "import resource, render_grid; from artatlas import config;"
            f"render_grid.main(config.load(None, {values!r}));"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)"
        )
        done = subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True, check=True)
        peaks_mb.append(int(done.stdout))
    with Image.open(tmp_path / name / "pictures" / f"content_grid.{file_format}") as mosaic:
        assert mosaic.size == (7_680, 7_680)
    assert peaks_mb[1] - peaks_mb[0] < 100, peaks_mb


@pytest.mark.parametrize("n_works", [1, 2, 3])
def test_tiny_collections(tmp_path, n_works):
    """A57: one, two and three works."""
    settings = collection(tmp_path, n_works=n_works)
    render_grid.main(settings)
    mosaic = pixels(settings, "both_grid.png")
    for work, (row, col) in zip(*read_cells(settings, "both"), strict=True):
        assert is_color(mosaic[row * 16 : row * 16 + 16, col * 16 : col * 16 + 16], colors(n_works)[work])


REFUSALS = [
    (("render.tile_px=65",), (5, 5),
     "render.tile_px: 65 would be blurred, images.thumbnail_px is 64. Set it to 64 or less, or images.thumbnail_px to"
     " 65 or more."),
    (("render.scatter_thumbnail_px=60", "render.scatter_px=100"), (5, 5),
     "render.scatter_px: 100 leaves no room between thumbnails of 60 px. Set it to 240 or more."),
    (("render.scatter_px=30000",), (5, 5),
     "render.scatter_px: 30000 is over the limit of 10000 (0.4 GB of memory). Set it to 10000 or less."),
    (("render.tile_px=64", "render.format=jpg"), (2, 2000),
     "render.tile_px: 64 makes 2 x 2,000 tiles a mosaic of 128,000 x 128 px, which is over the limit of 65,500 px a"
     " side that a JPEG can have. Set it to 32 or less, or render.format to png."),
    (("render.gap_px=30000", "render.format=jpg"), (700, 700),
     "render.tile_px: 16 makes 700 x 700 tiles a mosaic of 20,981,200 x 20,981,200 px, which is over the limit of"
     " 65,500 px a side that a JPEG can have. Take fewer works with grid.sample, or render.format to png."),
    (("render.gap_px=30000000",), (700, 700),
     "render.tile_px: 16 makes 700 x 700 tiles a mosaic of 20,970,011,200 x 20,970,011,200 px, which is over the limit"
     " of 2,147,483,647 px a side that a PNG can have. Take fewer works with grid.sample."),
]  # fmt: skip


@pytest.mark.parametrize("overrides, shape, message", REFUSALS)
def test_refuses_what_a_picture_cannot_hold(overrides, shape, message):
    """A47, A49: the limits of memory and of the formats are told before the work, with what does fit."""
    settings = config.load(None, (*FAST, *overrides))
    with pytest.raises(UserError) as error:
        render_grid.check_settings(settings)
        render_grid.check_mosaic(settings.render, *shape)
    assert error.value.messages == (message,)


def test_command_line(tmp_path):
    settings = collection(tmp_path)
    flags = [word for value in (f"paths.outputs={tmp_path}", *FAST) for word in ("--set", value)]
    refused = run_script("render_grid.py", *flags, "--set", "render.tile_px=65", check=False)
    assert (refused.returncode, refused.stderr) == (2, f"error: {REFUSALS[0][2]}\n")
    done = run_script("render_grid.py", *flags)
    assert done.stdout.startswith(f"{tmp_path}/pictures: 6 pictures of 23 works, ") and done.stdout.count("\n") == 1
    assert store.why_stale(settings, "pictures") is None


def test_out_of_date_grid_is_refused(tmp_path):
    collection(tmp_path)
    changed = config.load(None, (f"paths.outputs={tmp_path}", *FAST, "grid.aspect_ratio=2"))
    with pytest.raises(UserError, match=r"grid\.h5 was made with grid\.aspect_ratio: 1\.0, .* tsne_to_grid\.py"):
        render_grid.main(changed)
    assert not (tmp_path / "pictures").exists()


def test_works_without_a_thumbnail_are_told(tmp_path):
    """The embeddings between images.h5 and tsne.h5 may be gone, so that nobody noticed a change of the collection."""
    settings = collection(tmp_path)
    with h5py.File(tmp_path / "images.h5") as images, pytest.raises(UserError) as error:
        render_grid.rows_of_works(images, np.array(["w01", "x", "y"], object), settings)
    assert f"{tmp_path}/images.h5 lacks 2 works of the maps, for example x. Run: python run_all.py" in str(
        error.value
    )


def test_full_disk(tmp_path, monkeypatch):
    """Tiles wait on the disk until they are drawn; where they do not fit, the old pictures stay."""
    settings = collection(tmp_path)
    path, _ = render_grid.main(settings)
    before = {file.name: file.read_bytes() for file in path.iterdir()}
    monkeypatch.setattr(render_grid, "TemporaryFile", lambda dir: open("/dev/full", "wb"))  # noqa: SIM115
    with pytest.raises(UserError, match=r"pictures: could not be written \(No space left on device\)"):
        render_grid.main(settings)
    assert before == {file.name: file.read_bytes() for file in path.iterdir()}
    assert not [file for file in tmp_path.iterdir() if file.name.startswith(".")]


def test_starts_quickly():
    """--help must not wait for imports that only the work needs."""
    code = "import sys, render_grid; print(sorted({'scipy', 'rasterfairy', 'matplotlib'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"
