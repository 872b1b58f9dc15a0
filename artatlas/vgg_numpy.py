"""The VGG networks' forward pass in plain numpy, for a handful of pictures.

Importing TensorFlow takes longer than showing VGG a picture: whoever asks about one picture is answered before
TensorFlow would have started. Convolutions are matrix products of unfolded neighbourhoods (im2col), which BLAS computes
on all cores, in float32. For many pictures `vgg.build` is faster.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

import numpy as np
from numpy.lib.stride_tricks import as_strided

from artatlas import vgg
from artatlas.vgg import Gram, Head
from artatlas.weights import Weights

FEW = 8  # pictures up to which this is the faster way, TensorFlow's 4 s of start counted
TOGETHER = 4  # pictures in one pass: the deep layers' products are too small for all cores otherwise
UNFOLDED = 4_000_000  # numbers of an unfolded strip, 16 MB: large enough for the products of deep layers


def build(weights: Weights, heads: list[Head], network_px: int) -> Callable[[np.ndarray], list[np.ndarray]]:
    """The same as `vgg.build` at float32: pixels (B, S, S, 3) uint8 RGB to one (B, P) float32 array per head.

    Results differ from TensorFlow's by rounding (some 1e-5 of a vector's length).
    """
    names = vgg.layer_names(weights.network)
    layers = names[: max(names.index(head.layer) for head in heads) + 1]

    def forward(pixels: np.ndarray) -> list[np.ndarray]:
        parts = [_forward(pixels[at : at + TOGETHER]) for at in range(0, len(pixels), TOGETHER)]
        return [np.concatenate(vectors) for vectors in zip(*parts, strict=True)]

    def _forward(pixels: np.ndarray) -> list[np.ndarray]:
        if pixels.shape[1:] != (network_px, network_px, 3):
            raise ValueError(f"pixels are {pixels.shape}, not (B, {network_px}, {network_px}, 3)")
        outputs: dict[int, np.ndarray] = {}
        for name, activations in _activations(weights, layers, pixels):
            outputs |= {i: _head(head, activations) for i, head in enumerate(heads) if head.layer == name}
        return [outputs[i] for i in range(len(heads))]

    return forward


def activations(weights: Weights, layer: str, pixels: np.ndarray) -> np.ndarray:
    """What `layer` makes of pixels (B, S, S, 3) uint8 RGB: (B, H, W, C) float32."""
    names = vgg.layer_names(weights.network)
    ((_, last),) = deque(_activations(weights, names[: names.index(layer) + 1], pixels), maxlen=1)
    return last


def _activations(weights: Weights, layers: list[str], pixels: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Yields (name, activations) layer by layer."""
    x = pixels[..., ::-1].astype(np.float32) - np.array(vgg.IMAGENET_MEAN_BGR, np.float32)  # RGB to BGR, as VGG has it
    for name in layers:
        if name.endswith("_pool"):
            x = _pool(x)
        elif name in vgg.DENSE:
            kernel, bias = weights.layers[name]
            x = np.maximum(x.reshape(len(x), -1) @ kernel + bias, 0)  # (B, 7, 7, 512) -> (B, 25088) -> (B, 4096)
        else:
            x = _convolution(x, *weights.layers[name])
        yield name, x


def _convolution(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """3 x 3, zero padding, ReLU: (B, H, W, C) -> (B, H, W, C'), a strip of rows at a time."""
    n_works, height, width, channels = x.shape
    padded = np.zeros((n_works, height + 2, width + 2, channels), np.float32)
    padded[:, 1:-1, 1:-1] = x
    work, row, column, number = padded.strides
    # Three neighbours in a row with their channels are consecutive in memory: (B, H, W, 3, 3 C), nothing copied yet.
    windows = as_strided(padded, (n_works, height, width, 3, 3 * channels), (work, row, column, row, number))
    flat = kernel.reshape(-1, kernel.shape[-1])  # (3, 3, C, C') -> (9 C, C')
    out = np.empty((n_works, height, width, kernel.shape[-1]), np.float32)
    step = max(1, UNFOLDED // (n_works * width * len(flat)))
    # The same memory for every strip: fresh memory costs more than what is computed in it.
    unfolded = np.empty(n_works * min(step, height) * width * len(flat), np.float32)
    product = np.empty(n_works * min(step, height) * width * kernel.shape[-1], np.float32)
    for top in range(0, height, step):
        rows = min(step, height - top)
        n_positions = n_works * rows * width
        strip = unfolded[: n_positions * len(flat)].reshape(n_works, rows, width, 3, -1)
        np.copyto(strip, windows[:, top : top + rows])
        result = product[: n_positions * kernel.shape[-1]].reshape(n_positions, -1)
        np.matmul(strip.reshape(n_positions, -1), flat, out=result)  # (B rows W, 9 C) @ (9 C, C')
        result += bias
        np.maximum(result.reshape(n_works, rows, width, -1), 0, out=out[:, top : top + rows])
    return out


def _pool(x: np.ndarray) -> np.ndarray:
    """The largest of each 2 x 2; an odd last row or column is dropped, as in Keras."""
    x = x[:, : x.shape[1] // 2 * 2, : x.shape[2] // 2 * 2]
    rows = np.maximum(x[:, ::2], x[:, 1::2])
    return np.maximum(rows[:, :, ::2], rows[:, :, 1::2])


def _head(head: Head, activations: np.ndarray) -> np.ndarray:
    if isinstance(head, Gram):
        return gram_vectors(activations, head)
    if head.layer in vgg.DENSE:
        return activations
    return activations.mean(axis=(1, 2)) if head.pooling == "avg" else activations.max(axis=(1, 2))


def gram_vectors(activations: np.ndarray, head: Gram) -> np.ndarray:
    """(B, H, W, C) -> (B, C (C + 1) / 2): upper triangles of the Gram matrices as `vgg` defines them."""
    n_works, height, width, channels = activations.shape
    positions = activations.reshape(n_works, height * width, channels)
    gram = positions.transpose(0, 2, 1) @ positions  # (B, C, C)
    gram /= {"none": 1.0, "hw": height * width, "chw": channels * height * width}[head.normalizer]
    if head.transform == "sqrt":
        gram = np.sqrt(gram)
    elif head.transform == "log1p":
        gram = np.log1p(gram)
    rows, columns = np.triu_indices(channels)
    return gram[:, rows, columns] * np.where(rows == columns, 1, np.sqrt(2)).astype(np.float32)
