"""Pictures are written whole, or it is said that they are not."""

import errno
import sys
from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image

from artatlas import picture_files

NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 80), dtype=np.uint8)).convert("RGB")


@contextmanager
def files_of_at_most(n_bytes):
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("save", [picture_files.save_jpeg, picture_files.save_webp])
def test_what_is_saved_is_the_picture(tmp_path, save):
    save(NOISE, tmp_path / "noise", 95)
    saved = Image.open(tmp_path / "noise")
    assert saved.size == NOISE.size
    assert np.abs(np.asarray(saved.convert("RGB"), float) - np.asarray(NOISE)).mean() < 8


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such limits")
@pytest.mark.parametrize("save", [picture_files.save_jpeg, picture_files.save_webp])
@pytest.mark.parametrize("n_bytes", [0, 1, 100, 3000])
def test_a_disk_that_gets_full_is_an_error(tmp_path, save, n_bytes):
    """Pillow alone wrote 3,000 bytes of the JPEG and returned."""
    with files_of_at_most(n_bytes), pytest.raises(OSError) as raised:
        save(NOISE, tmp_path / "noise", 95)
    assert raised.value.errno in (errno.EFBIG, errno.ENOSPC) or "encoder error" in str(raised.value)
