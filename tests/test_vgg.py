"""The network computes what VGG computes, and Gram vectors are what Gram matrices are."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from artatlas import config, vgg, weights
from artatlas.errors import UserError


@pytest.fixture(scope="module")
def tf():
    return vgg.start_tensorflow(config.load())


@pytest.fixture(scope="module")
def network():
    return weights.resolve("vgg16", "random")


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)


def test_pure_red_becomes_the_bgr_triple_that_vgg_expects(tf):
    red = vgg.preprocess(tf, tf.constant([[[[255, 0, 0]]]], tf.uint8)).numpy()[0, 0, 0]
    np.testing.assert_allclose(red, [-103.939, -116.779, 255 - 123.68], rtol=1e-6)


@pytest.mark.parametrize("name", ["vgg16", "vgg19"])
def test_equals_keras_own_network(tf, name, pixels):
    """The same arrays in keras.applications' model give the same activations at every depth."""
    arrays = weights.resolve(name, "random")
    module = getattr(tf.keras.applications, name)
    model = getattr(module, name.upper())(weights=None, include_top=False, input_shape=(32, 32, 3))
    for layer in model.layers:
        if layer.name in arrays.layers:
            layer.set_weights(list(arrays.layers[layer.name]))
    names = ["block1_conv2", "block3_conv1", "block4_pool", "block5_pool"]
    expected = tf.keras.Model(model.input, [model.get_layer(layer).output for layer in names])(
        module.preprocess_input(pixels.astype(np.float32))
    )
    heads = [vgg.Pooled(layer, pooling) for layer in names for pooling in ("avg", "max")]
    found = vgg.build(arrays, heads, "float32", 32, tf)(pixels)
    for i, activations in enumerate(expected):
        np.testing.assert_allclose(found[2 * i], activations.numpy().mean(axis=(1, 2)), rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(found[2 * i + 1], activations.numpy().max(axis=(1, 2)), rtol=1e-3, atol=1e-4)


def full_matrix(vector, channels):
    matrix = np.zeros((channels, channels))
    rows, columns = np.triu_indices(channels)
    matrix[rows, columns] = matrix[columns, rows] = vector / np.where(rows == columns, 1, np.sqrt(2))
    return matrix


def gram(tf, activations, normalizer="none", transform="none"):
    return vgg._gram_vectors(tf, tf.constant(activations), vgg.Gram("block1_conv1", normalizer, transform)).numpy()


@pytest.fixture(scope="module")
def activations():
    return np.random.default_rng(3).uniform(0, 2, (2, 5, 7, 6)).astype(np.float32)


def test_gram_is_the_matrix_of_channel_products(tf, activations):
    """Symmetric by construction of the triangle; positive semidefinite; equal to A^T A."""
    for vector, picture in zip(gram(tf, activations), activations, strict=True):
        flat = picture.reshape(-1, 6).astype(np.float64)
        matrix = full_matrix(vector, 6)
        np.testing.assert_allclose(matrix, flat.T @ flat, rtol=1e-5)
        assert np.linalg.eigvalsh(matrix).min() > -1e-3


def test_gram_forgets_where_things_are(tf, activations):
    """Unchanged by any permutation of positions; changed by one of channels (the control)."""
    shuffled = activations.reshape(2, 35, 6)[:, np.random.default_rng(0).permutation(35)].reshape(activations.shape)
    np.testing.assert_allclose(gram(tf, shuffled), gram(tf, activations), rtol=1e-5)
    assert not np.allclose(gram(tf, activations[..., ::-1]), gram(tf, activations), rtol=1e-2)


@pytest.mark.parametrize("transform", ["none", "sqrt", "log1p"])
def test_distances_are_those_of_the_full_matrices(tf, activations, transform):
    a, b = gram(tf, activations, transform=transform)
    expected = np.linalg.norm(full_matrix(a, 6) - full_matrix(b, 6))
    assert np.linalg.norm(a - b) == pytest.approx(expected, rel=1e-5)
    apply = {"none": lambda x: x, "sqrt": np.sqrt, "log1p": np.log1p}[transform]
    raw = gram(tf, activations)[0]
    np.testing.assert_allclose(full_matrix(a, 6), apply(full_matrix(raw, 6)), rtol=1e-5)


@pytest.mark.parametrize("normalizer, divisor", [("none", 1), ("hw", 35), ("chw", 35 * 6)])
def test_normalizers(tf, activations, normalizer, divisor):
    np.testing.assert_allclose(gram(tf, activations, normalizer) * divisor, gram(tf, activations), rtol=1e-5)


def test_a_batch_is_its_pictures_and_two_heads_are_one_pass_of_each(tf, network, pixels):
    heads = [vgg.Pooled("block5_pool", "avg"), vgg.Gram("block2_conv1", "hw", "none")]
    together = vgg.build(network, heads, "float32", 32, tf)(pixels)
    for head, expected in zip(heads, together, strict=True):
        alone = vgg.build(network, [head], "float32", 32, tf)
        np.testing.assert_allclose(np.vstack([alone(pixels[i : i + 1])[0] for i in range(3)]), expected, rtol=1e-4)
    assert together[1].shape == (3, vgg.gram_length("block2_conv1")) == (3, 128 * 129 // 2)


def test_bfloat16_is_close_and_not_the_same(tf, network, pixels):
    heads = [vgg.Pooled("block5_pool", "avg"), vgg.Gram("block3_conv1", "hw", "none")]
    exact = vgg.build(network, heads, "float32", 32, tf)(pixels)
    fast = vgg.build(network, heads, "bfloat16", 32, tf)(pixels)
    for a, b in zip(exact, fast, strict=True):
        error = np.linalg.norm(a - b) / np.linalg.norm(a)
        assert 0 < error < 0.03


def test_unknown_and_missing_layers(network):
    unknown = r"style.layers: block3_conv4 is not a layer of vgg16\. Use one of: block1_conv1"
    with pytest.raises(UserError, match=unknown):
        vgg.check_layer("block3_conv4", "style.layers", network, 224)
    with pytest.raises(UserError, match="is not a layer of vgg16"):
        vgg.check_layer("fc2", "style.layers", network, 224)  # a dense layer has no Gram matrix
    with pytest.raises(UserError, match="content.layer: fc2 needs images.network_px: 224, it is 64"):
        vgg.check_layer("fc2", "content.layer", network, 64, dense=True)
    with pytest.raises(UserError, match="needs the weights of fc1"):
        vgg.check_layer("fc2", "content.layer", network, 224, dense=True)


def test_layers_of_the_top(tf):
    network = weights.resolve("vgg16", "random", needs_top=True)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), dtype=np.uint8)
    fc1, fc2 = vgg.build(network, [vgg.Pooled("fc1", "avg"), vgg.Pooled("fc2", "avg")], "float32", 224, tf)(pixels)
    assert fc1.shape == fc2.shape == (2, 4096)
    kernel, bias = network.layers["fc2"]
    np.testing.assert_allclose(fc2, np.maximum(fc1 @ kernel + bias, 0), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("n_rows", [0, 1, 4, 9])
def test_batches_are_the_rows_in_order(n_rows):
    pixels = np.arange(12)
    batches = vgg.Batches(pixels, 4)
    found = list(batches.read(slice(2, 2 + n_rows)))
    assert [len(batch) for batch in found[:-1]] == [4] * max(0, len(found) - 1)
    assert np.concatenate([np.empty(0, int), *found]).tolist() == list(range(2, 2 + n_rows))
    assert 0 <= batches.waited < 1


def test_auto_precision_is_what_the_processor_computes_in(tf):
    assert vgg.resolve_precision("float32", tf) == "float32"
    flags = vgg._processor_flags()
    expected = "bfloat16" if {"amx_bf16", "avx512_bf16"} & flags else "float32"
    if not tf.config.list_physical_devices("GPU"):
        assert vgg.resolve_precision("auto", tf) == expected
    assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == "2"


def test_cusolver_is_loaded_from_where_pip_puts_it(tmp_path, monkeypatch):
    folder = tmp_path / "nvidia" / "cusolver" / "lib"
    folder.mkdir(parents=True)
    (folder / "libcusolver.so.11").write_text("not a library")
    (folder / "libcusolverMg.so.11").write_text("TensorFlow does not ask for this one")
    monkeypatch.syspath_prepend(tmp_path)
    asked = []

    class Loader(ctypes.CDLL):
        def __init__(self, name):
            asked.append(Path(name))
            super().__init__(name)

    monkeypatch.setattr(vgg.ctypes, "CDLL", Loader)
    vgg._load_cusolver()  # a file that cannot be loaded is TensorFlow's to tell of
    assert [path for path in asked if tmp_path in path.parents] == [folder / "libcusolver.so.11"]


@pytest.mark.parametrize(("card", "visible", "is_told"), [
    (True, None, True), (True, "0", True), (True, "-1", False), (True, "", False), (False, None, False),
])  # fmt: skip
def test_a_card_that_tensorflow_does_not_use_is_told_once(tmp_path, monkeypatch, capsys, card, visible, is_told):
    if card:
        (tmp_path / "nvidia0").touch()
    monkeypatch.setattr(vgg, "CARDS", str(tmp_path / "nvidia[0-9]*"))
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    vgg._tell_unused_card.cache_clear()
    vgg._tell_unused_card()
    vgg._tell_unused_card()
    told = capsys.readouterr().err
    assert told.count("tensorflow[and-cuda]") == is_told


LOOK = """
import hashlib, sys
import numpy as np
from artatlas import config, vgg, weights
tf = vgg.start_tensorflow(config.load())
heads = [vgg.Pooled("block5_pool", "avg"), vgg.Gram("block3_conv1", "hw", "none")]
forward = vgg.build(weights.resolve("vgg19", "random"), heads, vgg.resolve_precision(sys.argv[1], tf), 224, tf)
pixels = np.random.default_rng(0).integers(0, 256, (8, 224, 224, 3), np.uint8)
print(hashlib.sha256(b"".join(map(bytes, forward(pixels)))).hexdigest())
"""


@pytest.mark.parametrize("precision", ["float32", "auto"])
def test_two_processes_see_the_same(precision):
    """Where they do not, a run that was stopped and goes on ends in other bytes. A GPU's kernels did, by a race."""
    command = [sys.executable, "-c", LOOK, precision]
    seen = [subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(2)]
    assert seen[0] == seen[1] != ""
