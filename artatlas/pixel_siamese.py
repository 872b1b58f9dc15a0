"""A siamese network from scratch: twelve convolutions and two dense layers, on the pixels themselves.

Hadsell, Chopra & LeCun 2006, "Dimensionality reduction by learning an invariant mapping": both works of a pair go
through the same network; works of one label are drawn together, others pushed a margin apart. Without pretraining it
needs far more works than a collection usually has; it is here to compare with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np

FILTERS = (16, 32, 64, 128, 128, 128)  # two convolutions each, halving the side after
UNITS = 256  # of the first dense layer; the second has verifier.dimensions
EMBEDDED = 32  # works at a time when only looking


class OnDisk:
    """The dataset `pixels` of an images.h5, which is opened for every read: it may be larger than the memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with h5py.File(path, "r") as h5:
            self.shape: tuple[int, ...] = h5["pixels"].shape

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        with h5py.File(self.path, "r") as h5:
            return h5["pixels"][rows]


class Pixels:
    """Some works' pixels, read from images.h5 when they are needed: pixels[rows] are fewer of them."""

    def __init__(self, dataset: OnDisk | np.ndarray, rows: np.ndarray) -> None:
        self.dataset, self.rows = dataset, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: np.ndarray) -> Pixels:
        return Pixels(self.dataset, self.rows[rows])

    def read(self) -> np.ndarray:
        """(B, S, S, 3) uint8."""
        different, place = np.unique(self.rows, return_inverse=True)  # as HDF5 wants them: rising, each once
        return self.dataset[different][place]


def build(network_px: int, n_dimensions: int, policy: str = "float32") -> Any:
    """The Keras network, untrained: pixels (B, S, S, 3) 0..255 -> embeddings (B, D) float32."""
    import keras

    layers = [keras.Input((network_px, network_px, 3)), keras.layers.Rescaling(1 / 127.5, offset=-1, dtype=policy)]
    for n_filters in FILTERS:
        for _ in range(2):
            layers.append(
                keras.layers.Conv2D(n_filters, 3, padding="same", activation="relu", dtype=policy,
                                    kernel_initializer="he_normal")
            )  # fmt: skip
        layers += [keras.layers.MaxPooling2D(dtype=policy), keras.layers.BatchNormalization(momentum=0.9, dtype=policy)]
    return keras.Sequential([
        *layers, keras.layers.GlobalAveragePooling2D(dtype=policy), keras.layers.Dense(UNITS, "relu", dtype=policy),
        keras.layers.Dense(n_dimensions, dtype="float32"), keras.layers.UnitNormalization(dtype="float32"),
    ])  # fmt: skip


def contrastive(tf: Any, embeddings: Any, codes: Any, margin: float, same_share: float) -> Any:
    """Eq. 4 of the paper over every pair of a batch: the mean of d^2 over pairs of one label and that of
    max(0, margin - d)^2 over the others, d Euclidean, at weights of `same_share` and the rest.

    Each work is seen once and stands in B - 1 pairs, where pairs drawn one by one would cost two works each.

    embeddings : (B, D); codes : (B,) int, equal for works of one label
    """
    # The root has no slope at zero, where a network may begin.
    distance = tf.sqrt(tf.reduce_sum((embeddings[:, None] - embeddings[None]) ** 2, axis=2) + 1e-9)  # (B, B)
    itself = tf.eye(tf.shape(embeddings)[0])
    same = tf.cast(codes[:, None] == codes[None, :], tf.float32) - itself
    other = 1 - same - itself
    together = tf.reduce_sum(same * distance**2) / tf.maximum(tf.reduce_sum(same), 1)
    apart = tf.reduce_sum(other * tf.maximum(0.0, margin - distance) ** 2) / tf.maximum(tf.reduce_sum(other), 1)
    return same_share * together + (1 - same_share) * apart


@cache
def _forward(network_px: int, n_dimensions: int) -> tuple[Any, Callable]:
    import tensorflow as tf

    model = build(network_px, n_dimensions)
    return model, tf.function(lambda pixels: model(tf.cast(pixels, tf.float32), training=False), reduce_retracing=True)


def embed(weights: Sequence[np.ndarray], pixels: Pixels) -> np.ndarray:
    """Embeddings (N, D) float32 by a network with these weights, as Keras lists them."""
    if not len(pixels):
        return np.zeros((0, len(weights[-1])), np.float32)
    model, forward = _forward(pixels.dataset.shape[1], len(weights[-1]))
    model.set_weights(weights)
    parts = [np.arange(start, min(start + EMBEDDED, len(pixels))) for start in range(0, len(pixels), EMBEDDED)]
    return np.concatenate([forward(pixels[rows].read()).numpy() for rows in parts])
