"""The VGG networks as fixed feature extractors: pixels in, pooled activations and Gram matrices out.

Simonyan & Zisserman 2015, "Very deep convolutional networks for large-scale image recognition". Layer names are those
of Keras. TensorFlow is imported when a network is built, not when this module is.
"""

from __future__ import annotations

import ctypes
import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from glob import glob
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from artatlas import cli, store
from artatlas.config import Config
from artatlas.errors import UserError
from artatlas.weights import Weights

CONVOLUTIONS = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}  # per block
CHANNELS = (64, 128, 256, 512, 512)  # of the layers of each block
DENSE = ("fc1", "fc2")  # the layers of the top that describe a picture; `predictions` names ImageNet classes
# Mean of ImageNet's training pictures in BGR, subtracted by the authors' preprocessing ("caffe" mode in Keras).
IMAGENET_MEAN_BGR = (103.939, 116.779, 123.68)
CARDS = "/dev/nvidia[0-9]*"  # what Linux calls NVIDIA's


@dataclass(frozen=True)
class Pooled:
    """Activations of `layer`, averaged or maximised over positions: (B, C). A dense layer is taken as it is."""

    layer: str
    pooling: str  # avg | max


@dataclass(frozen=True)
class Gram:
    """The Gram matrix of `layer` as a vector (B, C (C + 1) / 2); see `_gram_vectors`."""

    layer: str
    normalizer: str  # none | hw | chw
    transform: str  # none | sqrt | log1p


Head = Pooled | Gram


def layer_names(network: str) -> list[str]:
    """Every layer a head may name, in order of computation."""
    names = []
    for block, n_convolutions in enumerate(CONVOLUTIONS[network], start=1):
        names += [f"block{block}_conv{i}" for i in range(1, n_convolutions + 1)] + [f"block{block}_pool"]
    return [*names, *DENSE]


def check_layer(layer: str, setting: str, weights: Weights, network_px: int, dense: bool = False) -> None:
    """Raises UserError where `layer`, asked for by the setting of that name, is not to be had from these weights.

    `dense` allows the layers of the top, which have no positions and hence no Gram matrix.
    """
    names = [name for name in layer_names(weights.network) if dense or name not in DENSE]
    if layer not in names:
        raise UserError(f"{setting}: {layer} is not a layer of {weights.network}. Use one of: {', '.join(names)}.")
    if layer in DENSE and network_px != 224:
        raise UserError(f"{setting}: {layer} needs images.network_px: 224, it is {network_px}. Change one of the two.")
    needed = [name for name in names[: names.index(layer) + 1] if not name.endswith("_pool")]
    missing = [name for name in needed if name not in weights.layers]
    if missing:
        raise UserError(
            f"{setting}: {layer} needs the weights of {missing[0]}, and {weights.source} has none."
            " Choose an earlier layer, or other weights with vgg.weights."
        )


def gram_length(layer: str) -> int:
    """Length of the vector that a Gram head on `layer` gives: 32,896 for block 3."""
    channels = CHANNELS[int(layer[len("block")]) - 1]
    return channels * (channels + 1) // 2


def provenance(network: Weights, precision: str) -> dict[str, str]:
    """What a recipe says of the network that was really used, whatever `auto` stood for."""
    return {
        "network": network.network, "weights": network.source, "weights_sha256": network.sha256, "precision": precision,
    }  # fmt: skip


def start_tensorflow(config: Config) -> Any:
    """Imports TensorFlow quietly, sets its threads and what it does on a GPU; returns the module."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with _silent_stderr():
        import tensorflow as tf

        _load_cusolver()
        gpus = tf.config.list_physical_devices("GPU")
    if config.machine.threads != "auto":
        tf.config.threading.set_intra_op_parallelism_threads(config.machine.threads)
    if not gpus:
        _tell_unused_card()
        return tf
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)  # else TensorFlow takes the whole card at once
    # Else cards since NVIDIA's Ampere round float32 to 10 bits before they multiply (TF32), and every process races for
    # its fastest kernels: another winner is another last bit, and a run that goes on would not end in the same bytes.
    tf.config.experimental.enable_tensor_float_32_execution(False)
    tf.config.experimental.enable_op_determinism()
    return tf


@cache
def _tell_unused_card() -> None:
    """A card that stays idle costs hours, and TensorFlow's own message is one of those that are not shown."""
    if glob(CARDS) and os.environ.get("CUDA_VISIBLE_DEVICES", "0") not in ("", "-1"):
        cli.notice(
            "this machine has an NVIDIA GPU, and TensorFlow does not use it. Install what it needs with: python -m pip"
            ' install "tensorflow[and-cuda]"; docs/GPU.md tells more. To compute on the processor without this note,'
            " set CUDA_VISIBLE_DEVICES=-1."
        )


def _load_cusolver() -> None:
    """Loads the cuSOLVER that `pip install "tensorflow[and-cuda]"` brings, where it did.

    TensorFlow 2.21 looks for it everywhere but there (it is not in the RUNPATH of libtensorflow_framework.so.2, as the
    other libraries are), and without it uses no GPU at all. A library that is loaded it need not find.
    """
    nvidia = find_spec("nvidia")
    for folder in nvidia.submodule_search_locations or () if nvidia else ():
        for library in Path(folder).glob("cusolver/lib/libcusolver.so.*"):
            with suppress(OSError):  # of another CUDA: TensorFlow says what it misses
                ctypes.CDLL(str(library))


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """TensorFlow's C++ greets on file descriptor 2 before any setting of its own is heard."""
    sys.stderr.flush()
    saved, devnull = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(devnull, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(devnull)


def device_name(tf: Any) -> str:
    """For the closing line: "NVIDIA H100", or "CPU, 2 cores"."""
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        return str(tf.config.experimental.get_device_details(gpus[0]).get("device_name", gpus[0].name))
    return f"CPU, {os.cpu_count()} cores"


def resolve_precision(precision: str, tf: Any) -> str:
    """`auto` is float16 on a GPU, bfloat16 on a processor that computes in it, else float32."""
    if precision != "auto":
        return precision
    if tf.config.list_physical_devices("GPU"):
        return "float16"
    return "bfloat16" if computes_in_bfloat16() else "float32"


def computes_in_bfloat16() -> bool:
    """Whether the processor does."""
    return bool({"amx_bf16", "avx512_bf16"} & _processor_flags())


def _processor_flags() -> set[str]:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return set()  # not Linux: float32 is right everywhere
    lines = [line for line in text.splitlines() if line.startswith("flags")]
    return set(lines[0].split()) if lines else set()


def build(
    weights: Weights, heads: list[Head], precision: str, network_px: int, tf: Any
) -> Callable[[np.ndarray], list[np.ndarray]]:
    """A function from pixels (B, S, S, 3) uint8 RGB to one (B, P) float32 array per head, in one forward pass.

    Only the layers up to the last head are computed. Convolutions run in `precision`, accumulating in float32 where the
    hardware does; pooling over positions is always float32, and Gram matrices are unless it is bfloat16.
    """
    last = max(layer_names(weights.network).index(head.layer) for head in heads)
    layers = layer_names(weights.network)[: last + 1]
    dtype = tf.as_dtype(precision)
    # Made once, out here: as constants inside the graph they were 8 % slower and took 0.8 GB to optimise.
    arrays = {name: [tf.constant(a, dtype) for a in weights.layers[name]] for name in layers if name in weights.layers}

    @tf.function(input_signature=[tf.TensorSpec((None, network_px, network_px, 3), tf.uint8)])
    def forward(pixels: Any) -> list:
        activations = tf.cast(preprocess(tf, pixels), dtype)
        outputs: dict[int, Any] = {}
        for name in layers:
            activations = _layer(tf, name, activations, arrays.get(name, []))
            for i, head in enumerate(heads):
                if head.layer == name:
                    outputs[i] = _head(tf, head, activations)
        return [outputs[i] for i in range(len(heads))]

    return lambda pixels: [output.numpy() for output in forward(tf.constant(pixels))]


def preprocess(tf: Any, pixels: Any) -> Any:
    """RGB uint8 (B, S, S, 3) -> what VGG was trained on: BGR float32 with ImageNet's mean subtracted."""
    return tf.cast(pixels[..., ::-1], tf.float32) - tf.constant(IMAGENET_MEAN_BGR, tf.float32)


def _layer(tf: Any, name: str, x: Any, kernel_bias: list) -> Any:
    if name.endswith("_pool"):
        return tf.nn.max_pool2d(x, ksize=2, strides=2, padding="VALID")
    kernel, bias = kernel_bias
    if name in DENSE:
        if name == "fc1":
            x = tf.reshape(x, (-1, kernel.shape[0]))  # (B, 7, 7, 512) -> (B, 25088)
        return tf.nn.relu(tf.nn.bias_add(tf.matmul(x, kernel), bias))
    return tf.nn.relu(tf.nn.bias_add(tf.nn.conv2d(x, kernel, strides=1, padding="SAME"), bias))


def _head(tf: Any, head: Head, activations: Any) -> Any:
    if isinstance(head, Gram):
        return _gram_vectors(tf, activations, head)
    activations = tf.cast(activations, tf.float32)
    if head.layer in DENSE:
        return activations
    return (tf.reduce_mean if head.pooling == "avg" else tf.reduce_max)(activations, axis=(1, 2))


def _gram_vectors(tf: Any, activations: Any, head: Gram) -> Any:
    """(B, H, W, C) -> (B, C (C + 1) / 2): Gatys, Ecker & Bethge 2016, eq. 3, as the upper triangle.

    Entries off the diagonal are multiplied by sqrt(2), so that Euclidean distances between vectors are the Frobenius
    distances between the full matrices at half the length. The normaliser divides before the transform is applied.
    """
    height, width, channels = activations.shape[1:]
    if activations.dtype == tf.float16:
        activations = tf.cast(activations, tf.float32)  # sums over positions are beyond what float16 can hold
    positions = tf.reshape(activations, (-1, height * width, channels))  # (B, HW, C)
    # In bfloat16 this sums in float32 and rounds once, which no neighbour notices: docs/BENCHMARKS.md.
    gram = tf.cast(tf.matmul(positions, positions, transpose_a=True), tf.float32)  # (B, C, C)
    gram /= {"none": 1.0, "hw": float(height * width), "chw": float(channels * height * width)}[head.normalizer]
    if head.transform == "sqrt":
        gram = tf.sqrt(gram)  # never negative: activations come out of a ReLU
    elif head.transform == "log1p":
        gram = tf.math.log1p(gram)
    rows, columns = np.triu_indices(channels)
    upper = tf.gather(tf.reshape(gram, (-1, channels * channels)), rows * channels + columns, axis=1)
    return upper * tf.constant(np.where(rows == columns, 1, np.sqrt(2)), tf.float32)


class Batches:
    """Batches of an HDF5 dataset (N, S, S, 3), the next one read while the caller computes."""

    def __init__(self, pixels: Any, batch_size: int) -> None:
        self._pixels, self._batch_size = pixels, batch_size
        self.waited = 0.0  # seconds that the caller had to wait for pixels

    def read(self, rows: slice | np.ndarray) -> Iterator[np.ndarray]:
        """Yields (B, S, S, 3) uint8 for some rows, a slice or (M,) ascending, in order."""
        rows = np.arange(rows.start, rows.stop) if isinstance(rows, slice) else rows

        def load(start: int) -> np.ndarray:
            return store.take(self._pixels, rows[start : start + self._batch_size])

        with ThreadPoolExecutor(1) as reader:
            ahead = reader.submit(load, 0)
            for start in range(0, len(rows), self._batch_size):
                began = time.perf_counter()
                batch = ahead.result()
                self.waited += time.perf_counter() - began
                if start + self._batch_size < len(rows):
                    ahead = reader.submit(load, start + self._batch_size)
                yield batch
