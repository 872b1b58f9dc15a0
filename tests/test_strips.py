"""A picture written strip by strip is the picture, whatever its size and however it is cut."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from PIL import Image

from artatlas import strips

SIZES = st.tuples(st.integers(1, 150), st.integers(1, 400))  # most are no multiples of 8, of 64, of anything


def picture(size, seed):
    """(height, width, 3) uint8: soft colours on the left, noise, which needs the longest codes, on the right."""
    rng = np.random.default_rng(seed)
    width, height = size
    soft = Image.fromarray(rng.integers(0, 256, (3, 3, 3), np.uint8)).resize(size, Image.Resampling.BICUBIC)
    noise = rng.integers(0, 256, (height, width, 3), np.uint8)
    return np.where(np.arange(width)[:, None] < width // 2, np.asarray(soft), noise)


def save(tmp_path, pixels, strip_rows, quality=None):
    """Writes `pixels` as strips of `strip_rows` at most, a PNG where there is no quality -> the path, the strips."""
    height, width, _ = pixels.shape
    path, drawn = tmp_path / "picture", []

    def draw(top, bottom):
        drawn.append(pixels[top:bottom])
        return drawn[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(strips, "STRIP_PIXELS", width * strip_rows)
        if quality:
            strips.save_jpeg(path, (width, height), draw, quality)
        else:
            strips.save_png(path, (width, height), draw)
    np.testing.assert_array_equal(np.concatenate(drawn), pixels)  # each row once, from top to bottom
    return path, drawn


def pillow_jpeg(pixels, quality, **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, subsampling=0, **options)
    return buffer.getvalue()


def decode(file):
    with Image.open(file) as image:
        image.load()
        return np.asarray(image)


@hypothesis_settings(deadline=None, max_examples=60)
@given(SIZES, st.integers(64, 450), st.integers(1, 95), st.integers(0, 99))
def test_jpeg_is_its_strips(tmp_path_factory, size, strip_rows, quality, seed):
    """Decodes to exactly what the strips decode to, and is byte for byte what Pillow makes of the whole."""
    pixels = picture(size, seed)
    path, drawn = save(tmp_path_factory.getbasetemp(), pixels, strip_rows, quality)
    apart = [decode(io.BytesIO(pillow_jpeg(strip, quality))) for strip in drawn]
    np.testing.assert_array_equal(decode(path), np.concatenate(apart))
    assert len(drawn) == -(-size[1] // (strip_rows // 64 * 64))
    assert path.read_bytes() == pillow_jpeg(pixels, quality, restart_marker_rows=1)


@hypothesis_settings(deadline=None, max_examples=60)
@given(SIZES, st.integers(1, 500), st.integers(0, 99))
def test_png_is_lossless(tmp_path_factory, size, strip_rows, seed):
    pixels = picture(size, seed)
    path, _ = save(tmp_path_factory.getbasetemp(), pixels, strip_rows)
    np.testing.assert_array_equal(decode(path), pixels)
    with Image.open(path) as image:
        image.verify()  # the checksums of all chunks
        assert image.mode == "RGB"


@given(st.integers(1, 2**31 - 1), st.integers(1, 5_000))
def test_spans_cover_every_row_once(width, height):
    spans = list(strips.spans(width, height))
    assert [top for top, _ in spans] == [0, *(bottom for _, bottom in spans[:-1])] and spans[-1][1] == height
    for top, bottom in spans:
        assert bottom == top + 1 or width * (bottom - top) <= strips.STRIP_PIXELS
        assert width > strips.SIDES["jpg"] or bottom == height or (bottom - top) % strips.JPEG_ROWS == 0


@pytest.mark.parametrize("quality", [90, None])
def test_refuses_what_is_no_strip(tmp_path, quality):
    def write(size, strip):
        if quality:
            strips.save_jpeg(tmp_path / "picture", size, lambda top, bottom: strip, quality)
        else:
            strips.save_png(tmp_path / "picture", size, lambda top, bottom: strip)

    with pytest.raises(ValueError, match=r"rows 0 to 3 of 5 px are uint8 \(4, 6, 3\)"):
        write((5, 4), np.zeros((4, 6, 3), np.uint8))
    with pytest.raises(ValueError, match="are float64"):
        write((5, 4), np.zeros((4, 5, 3)))
    for size in ((0, 4), (2**31, 1)):
        with pytest.raises(ValueError, match="cannot be of"):
            write(size, np.zeros((1, 1, 3), np.uint8))


@pytest.mark.parametrize("side", [65_500, 65_501])
def test_the_longest_jpeg(tmp_path, side):
    """The limit is real: Pillow writes and reads a JPEG of that side, and none that is longer."""
    pixels = np.zeros((3, side, 3), np.uint8)
    if side > strips.SIDES["jpg"]:
        with pytest.raises(ValueError, match="65501 x 3 px"):
            strips.save_jpeg(tmp_path / "long.jpg", (side, 3), lambda top, bottom: pixels, 90)
        with pytest.raises(OSError):
            pillow_jpeg(pixels, 90)
    else:
        strips.save_jpeg(tmp_path / "long.jpg", (side, 3), lambda top, bottom: pixels, 90)
        assert decode(tmp_path / "long.jpg").shape == pixels.shape
