"""The point of the whole, on the painted collection with real weights: content and style are told apart.

The factorial of painters and subjects is the ground truth. Where no pretrained weights can be had, these are skipped
with the reason why.
"""

import h5py
import numpy as np
import pytest
from conftest import REPO, run_script

from artatlas import config, features, vgg, weights
from artatlas.errors import UserError
from artatlas.metrics import knn_accuracy, neighbours, trustworthiness

CHANCE = 1 / 8


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The figures' arrays: image_ids, labels, embeddings and maps of all 256 works."""
    try:
        weights.resolve("auto", "imagenet")
    except UserError as error:
        pytest.skip(f"no pretrained weights can be had here: {error}")
    run_script("data/paint_collection.py")
    outputs = tmp_path_factory.mktemp("demo")
    arrays = {}
    for script in ("prepare_images.py", "extract_features.py", "build_tsne.py"):
        run_script(script, "--config", REPO / "configs" / "demo.yaml", "--set", f"paths.outputs={outputs}")
    with h5py.File(outputs / "images.h5") as h5:
        arrays["pixels"] = h5["pixels"][::2]
        arrays["painter"], arrays["subject"] = h5["metadata/artist"].asstr()[:], h5["metadata/genre"].asstr()[:]
    for name in ("content", "style"):
        with h5py.File(outputs / f"{name}.h5") as h5:
            arrays[name] = h5["embeddings"][:]
        with h5py.File(outputs / "tsne.h5") as h5:
            arrays[f"{name} map"] = h5[f"{name}/coordinates"][:]
    return arrays


def centred(x):
    x = x - x.mean(axis=0)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_style_embeddings_know_the_painter(demo):
    assert knn_accuracy(centred(demo["style"]), demo["painter"]) >= 0.95


def test_content_embeddings_know_the_subject_and_style_embeddings_do_not(demo):
    by_content = knn_accuracy(centred(demo["content"]), demo["subject"])
    by_style = knn_accuracy(centred(demo["style"]), demo["subject"])
    assert by_content >= 3 * CHANCE
    assert by_content > by_style + 0.3


def test_the_maps_say_the_same_weaker(demo):
    assert knn_accuracy(demo["style map"], demo["painter"]) >= 0.9
    by_content = knn_accuracy(demo["content map"], demo["subject"])
    assert by_content >= 3 * CHANCE
    assert by_content > knn_accuracy(demo["style map"], demo["subject"]) + 0.2


def test_shuffled_labels_are_at_chance(demo):
    """The control: with labels dealt at random every figure above falls to 1 in 8."""
    for name in ("content", "style", "content map", "style map"):
        for label in ("painter", "subject"):
            figures = [
                knn_accuracy(demo[name], np.random.default_rng(seed).permutation(demo[label])) for seed in range(10)
            ]
            assert np.mean(figures) == pytest.approx(CHANCE, abs=0.03), (name, label)


def test_the_maps_can_be_trusted(demo):
    for name in ("content", "style"):
        assert trustworthiness(centred(demo[name]), demo[f"{name} map"], 12) >= 0.9


def test_bfloat16_keeps_the_neighbours(demo):
    """Measured on 1,231 paintings in docs/BENCHMARKS.md; judged by centred neighbours, for a plain cosine hides all."""
    settings = config.load(REPO / "configs" / "demo.yaml")
    heads = [*features.content_heads(settings.content), *features.style_heads(settings.style)]
    tf = vgg.start_tensorflow(settings)
    network = weights.resolve("auto", "imagenet")
    found = {}
    for precision in ("float32", "bfloat16"):
        forward = vgg.build(network, heads, precision, 224, tf)
        parts = [forward(demo["pixels"][i : i + 32]) for i in range(0, len(demo["pixels"]), 32)]
        found[precision] = [np.concatenate(columns) for columns in zip(*parts, strict=True)]
    for exact, fast in zip(*found.values(), strict=True):
        near_exact, near_fast = neighbours(centred(exact), 10), neighbours(centred(fast), 10)
        kept = [len(set(a) & set(b)) / 10 for a, b in zip(near_exact, near_fast, strict=True)]
        assert np.mean(kept) >= 0.95
        cosines = np.einsum("ij,ij->i", centred(exact), centred(fast))
        assert cosines.min() > 0.99
