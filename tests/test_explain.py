"""Shares add up, palettes hold the colours that are there, and the channels named are those that agree most."""

import numpy as np
import pytest
from PIL import Image

from artatlas import explain, sources, vgg, vgg_numpy, weights


def test_shares_are_of_the_squared_distance_of_each_source():
    rng = np.random.default_rng(0)
    embeddings = {"style": rng.normal(0, 5, (30, 7)), "color": rng.random((30, 4))}
    features, scalers = sources.combine(embeddings, {"style": 2, "color": 1}, "cosine")
    found = explain.shares(features[3], features[8], scalers)
    style, color = (np.square(features[3, part] - features[8, part]).sum() for part in (slice(0, 7), slice(7, 11)))
    assert found == {"style": pytest.approx(style / (style + color)), "color": pytest.approx(color / (style + color))}
    assert explain.shares(features[3], features[3], scalers) == {"style": 0, "color": 0}


def test_a_palette_has_the_colours_that_are_there_by_their_share():
    pixels = np.zeros((10, 20, 3), np.uint8)
    pixels[:, :12], pixels[:, 12:18], pixels[:, 18:] = (200, 30, 30), (20, 40, 160), (250, 250, 240)
    assert explain.palette(Image.fromarray(pixels)) == [
        ((200, 30, 30), 0.6), ((20, 40, 160), 0.3), ((250, 250, 240), 0.1)
    ]  # fmt: skip
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 256, (50, 50, 3), dtype=np.uint8))
    found = explain.palette(noise)
    assert len(found) == 6 and sum(share for _, share in found) == pytest.approx(1) and found == explain.palette(noise)


@pytest.mark.parametrize("transform", ["none", "log1p"])
def test_the_pairs_that_agree_most_are_found_and_shown_where_they_fire(transform):
    network = weights.resolve("vgg16", "random")
    pixels = np.random.default_rng(2).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    pixels[1] = pixels[0]
    pixels[1, :16] = 255 - pixels[1, :16]  # half the same, half the opposite
    head = vgg.Gram("block1_conv2", "hw", transform)
    maps = vgg_numpy.activations(network, "block1_conv2", pixels)  # (2, 32, 32, 64)
    grams = np.einsum("bhwc,bhwd->bcd", maps, maps) / 32**2
    grams = np.log1p(grams) if transform == "log1p" else grams
    mean = np.random.default_rng(3).permutation(grams[0].ravel())[: 64 * 65 // 2].astype(np.float32)
    rows, columns = np.triu_indices(64)
    a, b = grams[:, rows, columns] * np.where(rows == columns, 1, np.sqrt(2)) - mean
    score = np.where((a > 0) & (b > 0), a * b, -1)
    found = explain.agreeing_pairs(network, head, mean, pixels, 3)
    best = int(score.argmax())
    assert (found[0].first, found[0].second) == (rows[best], columns[best])
    assert found[0].weight == pytest.approx((a * b)[best] / (a * b)[a * b > 0].mean(), rel=1e-3)
    free = ~np.isin(rows, [rows[best], columns[best]]) & ~np.isin(columns, [rows[best], columns[best]])
    second = int(np.where(free, score, -1).argmax())
    assert (found[1].first, found[1].second) == (rows[second], columns[second])
    for pair in found:
        for i in (0, 1):
            both = np.sqrt(maps[i, ..., pair.first] * maps[i, ..., pair.second])
            assert pair.maps[i].shape == (32, 32) and pair.maps[i].min() >= 0 and pair.maps[i].max() == 1
            assert np.unravel_index(both.argmax(), both.shape) in list(zip(*np.where(pair.maps[i] == 1), strict=True))
    assert explain.agreeing_pairs(network, head, mean + 1e9, pixels, 3) == []  # nothing is beyond such a mean


def test_lit_is_the_picture_where_it_fires_and_dark_grey_elsewhere():
    picture = Image.new("RGB", (80, 40), (200, 100, 50))
    where = np.zeros((10, 10), np.float32)
    where[:, 5:] = 1
    shown = np.asarray(explain.lit(picture, where))
    assert shown.shape == (40, 80, 3)
    assert tuple(shown[20, 75]) == (200, 100, 50)
    assert len(set(shown[20, 5].tolist())) == 1 and shown[20, 5, 0] < 60
