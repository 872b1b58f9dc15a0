"""Decoding: every kind of picture in its true colours and the right way up, every kind of bad file with a reason."""

import functools
import io
import os
import random
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from conftest import REPO
from PIL import Image, ImageCms, PngImagePlugin

from artatlas import config, images
from artatlas.images import Decoded, Unreadable

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # pytest undoes what the module does
SHIPPED = config.load().images
T = Image.Transpose
# What a camera that is held another way stores for the same upright picture: the inverse of what EXIF asks for.
STORED = {1: None, 2: T.FLIP_LEFT_RIGHT, 3: T.ROTATE_180, 4: T.FLIP_TOP_BOTTOM, 5: T.TRANSPOSE, 6: T.ROTATE_90,
          7: T.TRANSVERSE, 8: T.ROTATE_270}  # fmt: skip


def settings(**changes):
    return SHIPPED.model_copy(update=changes)


SMALL = settings(network_px=32, thumbnail_px=48)


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def quadrants(size=(60, 40), colours=("red", "lime", "blue", "yellow")):
    """Four colours, so that every turn and mirror image looks different."""
    image, (width, height) = Image.new("RGB", size), size
    for k, colour in enumerate(colours):
        left, top = (k % 2) * width // 2, (k // 2) * height // 2
        image.paste(colour, (left, top, left + width // 2, top + height // 2))
    return image


@functools.cache
def texture(size):
    """Detail at every scale, as a canvas has."""
    rng = np.random.default_rng(0)
    total = np.zeros((size[1], size[0], 3))
    for octave in range(2, 9):
        coarse = Image.fromarray(rng.integers(0, 256, (2**octave, 2**octave, 3), dtype=np.uint8))
        total += np.asarray(coarse.resize(size, Image.Resampling.BICUBIC), float) / octave
    total -= total.min()
    return Image.fromarray((total / total.max() * 255).astype(np.uint8))


def corners(decoded):
    """Colour in the middle of each quadrant of the pixels, (4, 3) int."""
    side = len(decoded.pixels)
    near, far = side // 4, 3 * side // 4
    return decoded.pixels[[near, near, far, far], [near, far, near, far]].astype(int)


def thumbnail(decoded):
    return Image.open(io.BytesIO(decoded.thumbnail))


def middle(source, **changes):
    decoded = images.decode(source, settings(network_px=32, **changes))
    return decoded.pixels[16, 16].tolist()


def rms(a, b):
    return float(np.sqrt(np.mean((np.asarray(a, float) - np.asarray(b, float)) ** 2)))


RGBY = np.array([(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)])


# --- what a good picture becomes


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "MPO"])
def test_every_format_keeps_colours_and_places(kind):
    lossless = {"lossless": True} if kind == "WEBP" else {}
    decoded = images.decode(encoded(quadrants(), kind, **lossless), SMALL)
    assert decoded.pixels.shape == (32, 32, 3) and decoded.pixels.dtype == np.uint8
    assert np.abs(corners(decoded) - RGBY).max() <= (6 if kind in ("JPEG", "MPO") else 0)
    assert (decoded.width, decoded.height) == (60, 40)
    assert thumbnail(decoded).size == (48, 32) and thumbnail(decoded).mode == "RGB"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("fit", ["squash", "crop", "pad"])
def test_exif_orientation(kind, orientation, fit):
    """A08-like phone pictures: stored turned, seen upright; width and height are those seen."""
    upright, options = quadrants((600, 400)), settings(network_px=32, thumbnail_px=48, fit=fit)
    stored = upright.transpose(STORED[orientation]) if STORED[orientation] is not None else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    decoded = images.decode(
        encoded(stored, kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {})), options
    )
    expected = images.decode(encoded(upright, "PNG"), options)
    assert (decoded.width, decoded.height) == (600, 400)
    assert rms(decoded.pixels, expected.pixels) < 6  # a wrong turn is above 100; a JPEG is decoded at a size of its own
    assert thumbnail(decoded).size == (48, 32)
    assert rms(thumbnail(decoded), thumbnail(expected)) < 8
    if orientation != 1:  # the control: without the tag the quadrants stand elsewhere
        assert rms(images.decode(encoded(stored, "PNG"), options).pixels, expected.pixels) > 40


def test_broken_exif_is_no_reason_to_lose_a_picture():
    decoded = images.decode(encoded(quadrants(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff"), SMALL)
    assert np.abs(corners(decoded) - RGBY).max() <= 6


def test_transparency_lies_over_white_and_hidden_colours_do_not_bleed():
    half_red = Image.new("RGBA", (64, 64), (255, 0, 0, 128))
    assert middle(encoded(half_red, "PNG")) == [255, 127, 127]
    assert middle(encoded(half_red, "WEBP", lossless=True)) == [255, 127, 127]
    assert middle(encoded(Image.new("LA", (64, 64), (0, 128)), "PNG")) == [127, 127, 127]
    # Transparent black beside opaque red: shrinking must mix red with white, never with the hidden black.
    edge = Image.new("RGBA", (640, 640), (0, 0, 0, 0))
    edge.paste((255, 0, 0, 255), (0, 0, 325, 640))
    pixels = images.decode(encoded(edge, "PNG"), SMALL).pixels
    assert pixels[..., 0].min() == 255 and pixels[..., 1].max() == 255 and pixels[..., 1].min() == 0


@pytest.mark.parametrize("mode", ["P", "L", "RGB"])
def test_a_transparent_colour_is_white(mode):
    image = quadrants(colours=("black", "gray", "gray", "gray")).convert(mode)
    key = image.getpixel((1, 1))
    decoded = images.decode(encoded(image, "PNG", transparency=key), SMALL)
    assert corners(decoded)[0].tolist() == [255] * 3 and corners(decoded)[1].tolist() == [128] * 3


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk(kind):
    """JPEG stores CMYK inverted as Adobe does, TIFF does not; both are cyan, and none comes out as a negative."""
    for ink, colour in (
        ((255, 0, 0, 0), (0, 255, 255)),
        ((0, 0, 0, 0), (255, 255, 255)),
        ((0, 0, 0, 255), (0, 0, 0)),
    ):
        assert rms(middle(encoded(Image.new("CMYK", (64, 64), ink), kind)), colour) < 3


def test_16_bits_are_scaled_not_clipped():
    ramp = np.tile(np.linspace(0, 65535, 256).astype(np.uint16), (64, 1))
    for kind in ("PNG", "TIFF"):
        row = images.decode(encoded(Image.fromarray(ramp), kind), settings(network_px=256)).pixels[128]
        assert np.abs(row[:, 0].astype(int) - np.arange(256)).max() <= 1
        assert (row == row[:, :1]).all()
    assert (
        middle(encoded(Image.fromarray(np.full((9, 9), 100 * 257, np.uint16)), "PNG")) == [100] * 3
    )  # no stretching


def test_pictures_of_numbers():
    """32-bit TIFFs: floats within 0..1 as they are, all else lowest to highest; NaN and infinity harm nothing."""

    def grey(values):
        picture = Image.fromarray(np.asarray(values))
        return images.decode(encoded(picture, "TIFF"), settings(network_px=32)).pixels[:, :, 0]

    assert (grey(np.full((32, 32), 0.5, np.float32)) == 128).all()
    steps = np.repeat(np.float32([[-1000, 0, 1000, 3000]]), 32, axis=0).repeat(8, axis=1)
    assert grey(steps)[5, [3, 11, 19, 28]].tolist() == [0, 64, 128, 255]
    assert grey(steps.astype(np.int32))[5, [3, 28]].tolist() == [0, 255]
    broken = np.full((32, 32), 0.25, np.float32)
    broken[0, :3] = np.nan, np.inf, -np.inf
    assert grey(broken)[-1, -1] == 64
    assert (grey(np.full((32, 32), np.nan, np.float32)) == 0).all()


def test_one_bit_palette_and_lab():
    assert np.abs(corners(images.decode(encoded(quadrants().quantize(16), "PNG"), SMALL)) - RGBY).max() <= 1
    bits = quadrants(colours=("white", "black", "black", "white")).convert("1")
    for kind in ("PNG", "TIFF", "BMP"):
        assert corners(images.decode(encoded(bits, kind), SMALL))[:, 0].tolist() == [255, 0, 0, 255]
    # A fine chequerboard of black and white is grey when it is shrunk: bits are averaged, not picked.
    board = Image.fromarray((np.indices((512, 512)).sum(0) % 2).astype(bool))
    assert abs(middle(encoded(board, "PNG"))[0] - 128) <= 2
    lab = ImageCms.profileToProfile(
        quadrants(), ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    assert np.abs(corners(images.decode(encoded(lab, "TIFF"), SMALL)) - RGBY).max() <= 25  # 8-bit LAB is coarse


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF", "MPO"])
def test_the_first_frame_counts(kind):
    frames = [Image.new("RGB", (64, 64), colour) for colour in ("red", "lime", "blue")]
    lossless = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **lossless)
    with Image.open(io.BytesIO(data)) as image:
        assert image.n_frames == 3
    assert rms(middle(data), (255, 0, 0)) < 3


def swapped_profile():
    """An ICC profile in which red and green have changed places: a picture that says red means green."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    (count,) = struct.unpack(">I", profile[128:132])
    for entry in range(132, 132 + 12 * count, 12):
        name = bytes(profile[entry : entry + 4])
        profile[entry : entry + 4] = {b"rXYZ": b"gXYZ", b"gXYZ": b"rXYZ"}.get(name, name)
    return bytes(profile).replace("sRGB".encode("utf-16-be"), "swap".encode("utf-16-be")).replace(b"sRGB", b"swap")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_a_colour_profile_is_applied(kind):
    red = Image.new("RGB", (64, 64), "red")
    assert rms(middle(encoded(red, kind)), (255, 0, 0)) < 5
    assert rms(middle(encoded(red, kind, icc_profile=swapped_profile())), (0, 255, 0)) < 8
    half = Image.new("RGBA", (64, 64), (255, 0, 0, 128))
    if kind != "JPEG":
        assert rms(middle(encoded(half, kind, icc_profile=swapped_profile())), (127, 255, 127)) < 8


def test_a_broken_or_strange_profile_is_ignored():
    for profile in (b"not a profile", swapped_profile()[:200]):
        assert rms(middle(encoded(Image.new("RGB", (64, 64), "red"), "JPEG", icc_profile=profile)), (255, 0, 0)) < 3
    grey = Image.new("L", (64, 64), 77)  # an RGB profile cannot be that of a grey picture
    assert middle(encoded(grey, "PNG", icc_profile=swapped_profile())) == [77] * 3


def test_the_three_ways_to_fit():
    """squash shows all of it stretched, crop the middle, pad all of it between borders."""
    stripes = Image.new("RGB", (300, 100))
    for k, colour in enumerate(("red", "lime", "blue")):
        stripes.paste(colour, (100 * k, 0, 100 * k + 100, 100))
    data = encoded(stripes, "PNG")
    squash, crop, pad = (images.decode(data, settings(network_px=90, fit=fit)) for fit in ("squash", "crop", "pad"))
    assert squash.pixels[45, [10, 45, 80]].tolist() == [[255, 0, 0], [0, 255, 0], [0, 0, 255]]
    assert crop.pixels[45, [10, 45, 80]].tolist() == [[0, 255, 0]] * 3
    assert pad.pixels[45, [10, 45, 80]].tolist() == [[255, 0, 0], [0, 255, 0], [0, 0, 255]]
    assert pad.pixels[[10, 80], 45].tolist() == [list(images.PAD_COLOR)] * 2
    assert squash.thumbnail == crop.thumbnail == pad.thumbnail


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (3, 2000), (2, 2), (255, 257), (1023, 31)])
@pytest.mark.parametrize("fit", ["squash", "crop", "pad"])
def test_extreme_shapes(size, fit):
    """A57-like edges: every shape gives a full square and a thumbnail of at least one pixel a side."""
    for kind in ("PNG", "JPEG"):
        decoded = images.decode(encoded(Image.new("RGB", size, "red"), kind), settings(network_px=40, fit=fit))
        assert decoded.pixels.shape == (40, 40, 3)
        assert np.abs(decoded.pixels[19:21, 19:21] - [254.0, 0, 0]).max(axis=-1).min() < 2  # pad may leave one line
        assert (decoded.width, decoded.height) == size
        assert (
            max(thumbnail(decoded).size) == min(max(size), SHIPPED.thumbnail_px) and min(thumbnail(decoded).size) >= 1
        )


def test_thumbnails_are_never_enlarged_and_carry_no_metadata():
    exif = Image.Exif()
    exif[0x010E] = "a description"
    options = {"exif": exif, "comment": b"a comment", "dpi": (300, 300)}
    for profile in ({}, {"icc_profile": swapped_profile()}):
        data = encoded(texture((100, 50)), "JPEG", **options, **profile)
        decoded = images.decode(data, SHIPPED)
        assert thumbnail(decoded).size == (100, 50)
        assert not {"exif", "comment", "icc_profile", "dpi"} & set(thumbnail(decoded).info)
        assert decoded.thumbnail == images.decode(data, SHIPPED).thumbnail


def test_a_picture_of_the_right_size_is_not_touched():
    image = texture((224, 224))
    assert (images.decode(encoded(image, "PNG"), SHIPPED).pixels == np.asarray(image)).all()


def inserted(data, marker, payload):
    """The JPEG with one more segment at its front."""
    return data[:2] + marker + struct.pack(">H", len(payload) + 2) + payload + data[2:]


def test_a_small_jpeg_is_its_own_thumbnail():
    """Encoding it once more would only lose; what was not written by Pillow but says nothing more is as good."""
    small = texture((256, 100))
    kept = [encoded(small, "JPEG", quality=quality, subsampling=quality % 3) for quality in (60, 90, 95)]
    kept += [encoded(small, "JPEG", optimize=True), encoded(small, "JPEG", restart_marker_blocks=8)]
    kept += [kept[0][:2] + kept[0][20:], encoded(small, "JPEG", keep_rgb=True)]  # without JFIF, without YCbCr
    for data in kept:
        decoded = images.decode(data, SHIPPED)
        assert decoded.thumbnail == data
        assert (decoded.pixels == images.decode(encoded(Image.open(io.BytesIO(data)), "PNG"), SHIPPED).pixels).all()


def test_a_small_jpeg_with_anything_more_in_it_is_encoded_again():
    """What is stored goes into pages: no metadata, previews or hidden bytes go with it, and all of it is RGB."""
    small, exif = texture((200, 100)), Image.Exif()
    exif[0x0112] = 3
    plain, noise = encoded(small, "JPEG"), Image.effect_noise((256, 256), 90).convert("RGB")
    assert images.decode(plain, SHIPPED).thumbnail == plain  # the control
    preview = struct.pack(">5sHBHHBB", b"JFIF", 258, 0, 1, 1, 1, 1) + b"\xff\0\0"
    others = {
        "exif": encoded(small, "JPEG", exif=exif),
        "colour profile": encoded(small, "JPEG", icc_profile=swapped_profile()),
        "comment": encoded(small, "JPEG", comment=b"<script>"),
        "XMP": inserted(plain, b"\xff\xe1", b"http://ns.adobe.com/xap/1.0/\0<x/>"),
        "segment of an application": inserted(plain, b"\xff\xef", b"secret"),
        "preview": inserted(plain[:2] + plain[20:], b"\xff\xe0", preview),
        "comment before the end": plain[:-2] + b"\xff\xfe\0\x08secret\xff\xd9",
        "bytes after the end": plain + b"secret",
        "another picture after the end": plain + plain,
        "several frames": encoded(small, "MPO", save_all=True, append_images=[small]),
        "progressive": encoded(small, "JPEG", progressive=True),
        "grey": encoded(small.convert("L"), "JPEG"),
        "CMYK": encoded(small.convert("CMYK"), "JPEG"),
        "PNG": encoded(small, "PNG"),
        "too large": encoded(texture((300, 100)), "JPEG"),
        "too many bytes": encoded(noise, "JPEG", quality=100, subsampling=0),
    }
    assert len(others["too many bytes"]) > images.KEPT_BYTES
    for name, data in others.items():
        decoded = images.decode(data, SHIPPED)
        assert decoded.thumbnail != data and len(decoded.thumbnail) < images.KEPT_BYTES, name
        stored = thumbnail(decoded)
        assert (stored.format, stored.mode) == ("JPEG", "RGB") and b"secret" not in decoded.thumbnail, name
        assert set(stored.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}, name


def test_reduced_decoding_is_as_good_as_full_decoding(monkeypatch):
    """A large JPEG is never decoded whole, and no one can tell: nearer to the fair result than another filter is."""
    loaded = []
    take = images._loaded_pixels.take
    monkeypatch.setattr(images._loaded_pixels, "take", lambda amount: loaded.append(amount) or take(amount))
    for size in ((1601, 1251), (1100, 2001)):
        image = texture((1601, 2001)).crop((0, 0, *size))
        data = encoded(image, "JPEG", quality=92)
        whole = Image.open(io.BytesIO(data)).convert("RGB")
        fair = whole.resize((224, 224), Image.Resampling.BICUBIC)
        other = whole.resize((224, 224), Image.Resampling.BOX)
        decoded = images.decode(data, SHIPPED)
        assert loaded[-1] <= size[0] * size[1] / 3.9
        assert rms(decoded.pixels, fair) < min(1.5, rms(other, fair))
        fair_thumbnail = whole.resize(thumbnail(decoded).size, Image.Resampling.BICUBIC)
        fair_thumbnail = Image.open(io.BytesIO(encoded(fair_thumbnail, "JPEG", quality=SHIPPED.thumbnail_quality)))
        assert rms(thumbnail(decoded), fair_thumbnail) < 3
        bitmap = images.decode(encoded(whole, "BMP"), SHIPPED)  # other formats are shrunk by averaging blocks
        assert rms(bitmap.pixels, fair) < 1.5


def test_the_hash_is_that_of_the_file(tmp_path):
    path = tmp_path / "x.png"
    path.write_bytes(encoded(quadrants(), "PNG"))
    decoded = images.decode(path, SMALL)
    assert decoded.sha256 == subprocess.run(["sha256sum", path], capture_output=True, text=True).stdout.split()[0]
    assert decoded.digest() == images.decode(path.read_bytes(), SMALL).digest()


def test_digests_are_equal_for_equal_pictures_only():
    picture = texture((90, 30)).copy()
    same = [images.decode(encoded(picture, kind), settings(fit="crop")).digest() for kind in ("PNG", "BMP", "TIFF")]
    assert len(set(same)) == 1
    picture.putpixel((1, 1), (0, 0, 0))  # outside the crop that the network sees
    picture.putpixel((2, 1), (255, 255, 255))
    assert images.decode(encoded(picture, "PNG"), settings(fit="crop")).digest() != same[0]
    sizes = [
        images.decode(encoded(Image.new("RGB", s, "red"), "PNG"), SHIPPED).digest() for s in ((900, 900), (901, 901))
    ]
    assert sizes[0] != sizes[1]


# --- what a bad file becomes


def reason(source, **changes):
    start = time.perf_counter()
    with pytest.raises(Unreadable) as caught:
        images.decode(source, settings(**changes))
    assert time.perf_counter() - start < 5
    assert "0x" not in caught.value.reason and "\n" not in caught.value.reason
    return caught.value.reason


def test_files_that_are_no_pictures(tmp_path):
    """A02, A03: each kind has its reason; none hangs or raises anything else."""
    strange = "is not a JPEG, PNG, WebP, TIFF, GIF or BMP that can be read"
    assert reason(b"") == "is empty (0 bytes)"
    assert reason(b"This is a text renamed to .jpg\n" * 99) == strange
    assert reason(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n") == strange  # would start Ghostscript
    assert reason(b"\xff\xd8\xff") == strange
    assert reason(bytes(5000)) == strange
    (tmp_path / "empty.jpg").touch()
    assert reason(tmp_path / "empty.jpg") == "is empty (0 bytes)"
    (tmp_path / "folder.jpg").mkdir()
    assert reason(tmp_path / "folder.jpg") == "is a folder"
    (tmp_path / "link.jpg").symlink_to("nowhere.jpg")
    assert reason(tmp_path / "link.jpg") == "cannot be opened (No such file or directory)"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_pipes_sockets_and_devices_are_not_opened(tmp_path):
    """A02: opening a pipe that nobody writes to would wait for ever."""
    os.mkfifo(tmp_path / "pipe.jpg")
    assert reason(tmp_path / "pipe.jpg") == "is not a file but a pipe, socket or device"
    with socket.socket(socket.AF_UNIX) as server, tempfile.TemporaryDirectory() as folder:  # a short path
        server.bind(f"{folder}/s.jpg")
        assert reason(f"{folder}/s.jpg") == "is not a file but a pipe, socket or device"
    (tmp_path / "zero.jpg").symlink_to("/dev/zero")
    assert reason(tmp_path / "zero.jpg") == "is not a file but a pipe, socket or device"


@pytest.mark.skipif(sys.platform == "win32", reason="permissions work otherwise there")
def test_a_file_without_permission():
    """Root may read everything, so the decoding runs as another user where the tests run as root."""
    code = """if True:
        import os, sys
        from artatlas import config, images
        settings = config.load().images
        if os.getuid() == 0:
            os.setuid(65534)
        try:
            images.decode(sys.argv[1], settings)
        except images.Unreadable as unreadable:
            print(unreadable.reason, repr(unreadable.sha256))
    """
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        path = Path(folder, "secret.png")
        path.write_bytes(encoded(quadrants(), "PNG"))
        path.chmod(0)
        run = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, cwd=REPO, timeout=60)
    assert run.stdout == "cannot be opened (Permission denied) ''\n", run.stderr


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP"])
@pytest.mark.parametrize("share", [0.5, 0.95])
def test_truncated_files_are_listed_not_half_decoded(kind, share):
    """A02: in a large collection some download always broke off."""
    data = encoded(texture((200, 150)), kind)
    assert images.decode(data, SMALL)
    assert reason(data[: int(len(data) * share)]).startswith(("is damaged (", "is not a JPEG"))


def png_header(width, height):
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + rows + chunk(b"IEND", b"")


def test_size_bombs_are_refused_by_their_header():
    """The 30,000 x 30,000 picture of a few bytes: nothing is allocated for it."""
    expected = "has 30000 x 30000 = 900 megapixels, above images.max_megapixels: 500"
    bitmap = (
        b"BM" + struct.pack("<IHHI", 100, 0, 0, 54) + struct.pack("<IiiHHIIiiII", 40, 30000, 30000, 1, 24, *[0] * 6)
    )
    gif = b"GIF89a" + struct.pack("<HHBBB", 30000, 30000, 0x80, 0, 0) + bytes(6)
    gif += b"," + struct.pack("<HHHHB", 0, 0, 30000, 30000, 0) + b"\x02\x02\x4c\x01\x00;"
    jpeg = bytearray(encoded(Image.new("RGB", (16, 16)), "JPEG"))
    start = jpeg.index(b"\xff\xc0") + 5
    jpeg[start : start + 4] = struct.pack(">HH", 30000, 30000)
    for data in (png_header(30000, 30000), bitmap, gif, bytes(jpeg)):
        assert reason(data) == expected
    assert reason(png_header(1000, 1001), max_megapixels=1.0).startswith("has 1000 x 1001 = 1.001 megapixels, above")
    assert reason(png_header(1000, 1000), max_megapixels=1.0).startswith("is damaged")  # at the limit it is tried


def test_other_bombs(tmp_path):
    text = PngImagePlugin.PngInfo()
    text.add_text("bomb", "0" * 50_000_000, zip=True)  # 50 MB of text in 50 KB
    assert reason(encoded(quadrants(), "PNG", pnginfo=text)).startswith("is damaged (Decompressed data too large")
    with (tmp_path / "sparse.jpg").open("wb") as file:
        file.truncate(100 << 30)  # takes no room on the disk, and all of the memory if it were read
    assert reason(tmp_path / "sparse.jpg").startswith(
        "has 107,374,182,400 bytes, more than images.max_megapixels: 500"
    )


def test_damage_anywhere_gives_a_picture_or_a_reason():
    """A01: a seeded sample of the 20,000 damages that the list of exceptions was found with."""
    image, rng = texture((120, 80)), random.Random(5)
    exif = Image.Exif()
    exif[0x0112] = 6
    whole = [encoded(image, kind, exif=exif) for kind in ("JPEG", "PNG", "WEBP", "TIFF")]
    whole += [encoded(image, "GIF"), encoded(image, "BMP"), encoded(image, "TIFF", compression="tiff_lzw")]
    outcomes = {Decoded: 0, Unreadable: 0}
    for _ in range(400):
        data = bytearray(rng.choice(whole))
        for _ in range(rng.choice((1, 2, 8))):
            data[rng.randrange(rng.choice((len(data), 400)))] = rng.randrange(256)
        try:
            outcomes[type(images.decode(bytes(data), SMALL))] += 1
        except Unreadable:
            outcomes[Unreadable] += 1
    assert min(outcomes.values()) > 50  # both happen, and nothing else


# --- many at once


def test_decode_all_keeps_the_order_and_reports_in_place(tmp_path):
    """A09: the last file is as sure to come as the first."""
    paths = []
    for k in range(40):
        paths.append(str(tmp_path / f"{k}.png"))
        Path(paths[-1]).write_bytes(
            b"" if k % 7 == 3 else encoded(Image.new("RGB", (9 + k, 9), (k, 2 * k, 3 * k)), "PNG")
        )
    for threads in (1, 5, "auto"):
        results = list(images.decode_all(paths, SMALL, threads))
        assert [isinstance(r, Unreadable) for r in results] == [k % 7 == 3 for k in range(40)]
        for k, r in enumerate(results):
            assert isinstance(r, Unreadable) or (r.pixels[5, 5].tolist() == [k, 2 * k, 3 * k] and r.width == 9 + k)


def test_decode_all_holds_few_results_and_opens_few_files(monkeypatch):
    """A06, A48: neither memory nor open files grow with the collection, and stopping early stops the threads."""
    begun = []
    monkeypatch.setattr(images, "decode", lambda path, settings: begun.append(path))
    monkeypatch.setattr(images, "IN_FLIGHT", 10)
    results = images.decode_all(map(str, range(10_000)), SMALL, 3)
    for _ in range(20):
        next(results)
    time.sleep(0.1)
    assert len(begun) <= 30
    results.close()
    assert len(begun) <= 30 and threading.active_count() < 20


def test_the_budget_is_never_exceeded_and_lets_a_giant_through():
    budget, held, most, lock = images._Budget(10), 0, [], threading.Lock()

    def work(amount):
        nonlocal held
        with budget.take(amount):
            with lock:
                held += amount
                most.append(held)
            time.sleep(0.002)
            with lock:
                held -= amount

    threads = [threading.Thread(target=work, args=(amount,)) for amount in [3, 4, 5, 25, 1, 9] * 5]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
        assert not thread.is_alive()
    assert len(most) == 30 and {m for m in most if m > 10} == {25}


def test_warnings_of_harmless_damage_are_not_shown(tmp_path):
    """Pillow warns of broken EXIF and the like on stderr, which would drown the reasons that matter."""
    broken = b"Exif\0\0II*\0\x08\0\0\0\x02\0\x0f\x01\x02\0\xff\0\0\0\xff\xff\0\0"
    path = tmp_path / "x.jpg"
    path.write_bytes(encoded(quadrants(), "JPEG", exif=broken))
    ours = "from artatlas import config, images; images.decode({!r}, config.load().images)"
    pillows = "from PIL import Image; Image.open({!r}).getexif()"
    for code, is_silent in ((ours, True), (pillows, False)):
        command = [sys.executable, "-c", code.format(str(path))]
        run = subprocess.run(command, capture_output=True, text=True, cwd=REPO, timeout=60, check=True)
        assert (run.stderr == "") == is_silent
