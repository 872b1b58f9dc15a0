"""A grid has exactly as many cells as it needs, in the shape that was asked for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from artatlas import images, shapes
from artatlas.errors import UserError


def drawn(cells, rows, cols):
    """The cells as a picture in letters, a line a row."""
    grid = np.full((rows, cols), ".")
    grid[tuple(cells.T)] = "#"
    return ["".join(line) for line in grid]


@pytest.mark.parametrize(
    "n_works, aspect_ratio, shape",
    [(1, 1.0, (1, 1)), (2, 1.0, (1, 2)), (3, 1.0, (2, 2)), (5, 1.0, (2, 3)), (6, 1.5, (2, 3)), (24, 1.0, (5, 5)),
     (1231, 1.0, (35, 36)), (10_000, 1.0, (100, 100)), (10_000, 4.0, (50, 200)), (7, 1000.0, (1, 7)),
     (7, 0.001, (7, 1)), (62_039, 1.0, (249, 250))],
)  # fmt: skip
def test_shape_is_near_the_aim_with_few_holes(n_works, aspect_ratio, shape):
    """A21: "no good rectangle for 62039 points"; A57: tiny collections."""
    assert shapes.choose_shape(n_works, aspect_ratio) == shape


@given(n_works=st.integers(1, 5000), aspect_ratio=st.floats(0.05, 20))
def test_only_the_last_row_is_short(n_works, aspect_ratio):
    rows, cols = shapes.choose_shape(n_works, aspect_ratio)
    assert (rows - 1) * cols < n_works <= rows * cols


@given(n_works=st.integers(200, 5000), aspect_ratio=st.floats(0.25, 4))
def test_aspect_ratio_is_kept(n_works, aspect_ratio):
    rows, cols = shapes.choose_shape(n_works, aspect_ratio)
    assert abs(np.log(cols / rows / aspect_ratio)) < 0.2


def test_a_rectangle_is_filled_in_reading_order():
    assert drawn(shapes.rectangle(7, 3), 3, 3) == ["###", "###", "#.."]


def test_circles():
    """A57: also of a handful of works."""
    assert drawn(*_flat(shapes.fill(shapes.disc(), 1, 1.0))) == ["#"]
    assert drawn(*_flat(shapes.fill(shapes.disc(), 5, 1.0))) == [".#.", "###", ".#."]
    assert drawn(*_flat(shapes.fill(shapes.disc(), 52, 1.0))) == [
        "..####..", ".######.", "########", "########", "########", "########", ".######.", "..####..",
    ]  # fmt: skip


def _flat(filled):
    cells, (rows, cols) = filled
    return cells, rows, cols


@given(n_cells=st.integers(100, 3000), aspect_ratio=st.floats(0.3, 3))
@hypothesis_settings(max_examples=20, deadline=None)
def test_a_circle_is_round_and_holds_all_works(n_cells, aspect_ratio):
    cells, (rows, cols) = shapes.fill(shapes.disc(), n_cells, aspect_ratio)
    assert len(cells) == n_cells and len(np.unique(cells, axis=0)) == n_cells
    assert (cells >= 0).all() and (cells < (rows, cols)).all()
    assert 0.65 < n_cells / (rows * cols) < 0.9  # pi / 4 is 0.785, that of a rectangle 1
    assert abs(np.log(cols / rows / aspect_ratio)) < 0.3
    radii = np.hypot(*((cells + 0.5) / (rows, cols) - 0.5).T)
    assert radii.max() < 0.5 + 1 / min(rows, cols)


def ring(size=(300, 200)):
    """A ring as wide as the picture, but for margins of 20 px."""
    picture = Image.new("L", size, 255)
    draw = ImageDraw.Draw(picture)
    draw.ellipse((20, 20, size[0] - 20, size[1] - 20), fill=0)
    draw.ellipse((100, 70, size[0] - 100, size[1] - 70), fill=255)
    return picture


def test_a_dark_shape_and_an_opaque_one_are_the_same(tmp_path):
    ring().save(tmp_path / "dark.png")
    colour = Image.new("RGBA", (300, 200), (250, 240, 20, 255))  # bright, and only its alpha tells the shape
    colour.putalpha(Image.eval(ring(), lambda value: 255 - value))
    colour.save(tmp_path / "opaque.png")
    dark, opaque = (images.read_mask(str(tmp_path / name)) for name in ("dark.png", "opaque.png"))
    np.testing.assert_array_equal(dark, opaque)
    assert dark.shape == (161, 261)  # its margins are cut off


@given(n_cells=st.integers(1, 1500))
@hypothesis_settings(max_examples=20, deadline=None)
def test_a_silhouette_holds_all_works(n_cells):
    mask = np.asarray(ring()) < 128
    cells, (rows, cols) = shapes.fill(mask, n_cells, 1.5)
    assert len(cells) == n_cells and len(np.unique(cells, axis=0)) == n_cells
    assert (cells >= 0).all() and (cells < (rows, cols)).all()
    if n_cells > 300:
        assert not (cells == (rows // 2, cols // 2)).all(axis=1).any()  # its middle is no part of a ring
        assert n_cells / (rows * cols) < 0.75


def test_masks_that_are_none(tmp_path):
    Image.new("L", (20, 20), 255).save(tmp_path / "white.png")
    (tmp_path / "text.png").write_text("no picture")
    for name, words in (("white.png", "has no dark pixels"), ("text.png", "no picture"), ("none.png", "No such file")):
        with pytest.raises(UserError, match=words) as error:
            images.read_mask(str(tmp_path / name))
        assert str(error.value).startswith(f"grid.mask: {tmp_path / name}")


def test_an_earlier_grid_grows_at_the_bottom():
    kept = np.vstack((shapes.rectangle(7, 3), [[-1, -1]] * 3))
    assert drawn(*_flat(shapes.enlarge([kept[:9]], (3, 3), False))) == ["###", "###", "###"]
    assert drawn(*_flat(shapes.enlarge([kept], (3, 3), False))) == ["###", "###", "###", "#.."]
    assert drawn(*_flat(shapes.enlarge([kept[:8]], (3, 3), True))) == ["###", "###", "###"]
    assert drawn(*_flat(shapes.enlarge([kept[[0, 3, 6]]], (3, 3), False))) == ["###", "###", "#.."]  # works went away
