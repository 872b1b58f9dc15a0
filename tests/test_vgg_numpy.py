"""The network in numpy is the network in TensorFlow."""

import numpy as np
import pytest

from artatlas import config, vgg, vgg_numpy, weights


@pytest.fixture(scope="module")
def network():
    return weights.resolve("vgg19", "random")


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).integers(0, 256, (5, 52, 52, 3), dtype=np.uint8)  # 52, 26, 13: odd, halved to 6


HEADS = [
    vgg.Gram("block1_conv1", "none", "none"), vgg.Pooled("block2_pool", "max"), vgg.Gram("block3_conv1", "hw", "log1p"),
    vgg.Gram("block3_conv1", "chw", "sqrt"), vgg.Pooled("block5_conv4", "avg"), vgg.Pooled("block5_pool", "avg"),
]  # fmt: skip


def relative(a, b):
    return np.linalg.norm(a - b) / np.linalg.norm(b)


def test_equals_tensorflow(network, pixels):
    tf = vgg.start_tensorflow(config.load())
    wanted = vgg.build(network, HEADS, "float32", 52, tf)(pixels)
    found = vgg_numpy.build(network, HEADS, 52)(pixels)
    for head, a, b in zip(HEADS, found, wanted, strict=True):
        assert a.dtype == np.float32 and a.shape == b.shape
        assert relative(a, b) < 1e-5, head
    assert relative(found[-1][::-1], wanted[-1]) > 0.01  # the control: other pictures are other vectors


def test_pictures_do_not_depend_on_their_company_and_strips_join(network, pixels, monkeypatch):
    together = vgg_numpy.build(network, HEADS, 52)(pixels)
    monkeypatch.setattr(vgg_numpy, "UNFOLDED", 3 * 52 * 576)  # strips of three rows and less
    alone = [np.concatenate(one) for one in zip(
        *(vgg_numpy.build(network, HEADS, 52)(picture[None]) for picture in pixels), strict=True)]  # fmt: skip
    for a, b in zip(alone, together, strict=True):
        assert relative(a, b) < 1e-5


def test_activations_are_those_that_heads_read(network, pixels):
    maps = vgg_numpy.activations(network, "block2_pool", pixels)
    assert maps.shape == (5, 13, 13, 128) and (maps >= 0).all()
    # Not to the bit: a processor may add up in another order where a matrix has another size.
    np.testing.assert_allclose(maps.max(axis=(1, 2)), vgg_numpy.build(network, HEADS[1:2], 52)(pixels)[0], rtol=1e-5)


def test_a_picture_of_another_size_is_a_bug_of_ours(network):
    with pytest.raises(ValueError, match=r"not \(B, 52, 52, 3\)"):
        vgg_numpy.build(network, HEADS, 52)(np.zeros((1, 48, 52, 3), np.uint8))
