"""The arrays of a VGG network in the files they come in: HDF5 as Keras writes it, .npz, and ONNX.

Whatever the file, the result is the same: `Layers`, the arrays under the names Keras gives the layers, so
that the network can be built by name and a hash of the arrays does not depend on the container.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import h5py
import numpy as np

from artatlas import store
from artatlas.errors import UserError

# Layer name -> (kernel, bias), float32. Kernels are (height, width, in, out), those of the top (in, out).
Layers = dict[str, tuple[np.ndarray, np.ndarray]]

# Simonyan & Zisserman 2015, table 1, columns E and D.
CONVOLUTIONS = {"vgg19": (2, 2, 4, 4, 4), "vgg16": (2, 2, 3, 3, 3)}  # per block
CHANNELS = (64, 128, 256, 512, 512)
TOP_SHAPES = {"fc1": (25088, 4096), "fc2": (4096, 4096), "predictions": (4096, 1000)}  # 25088 = 7 x 7 x 512

_FORMS = (
    "Give a .h5 or .weights.h5 file that Keras saved, or an .npz with arrays named block1_conv1/kernel,"
    " block1_conv1/bias and so on"
)


_ZIP_ERRORS = (zipfile.BadZipFile, zlib.error)


def kernel_shapes(network: str, with_top: bool) -> dict[str, tuple[int, ...]]:
    """Layer name -> shape of its kernel, in the order of the layers. A bias has the kernel's last length."""
    shapes: dict[str, tuple[int, ...]] = {}
    n_in = 3  # RGB
    for block, (n_layers, n_out) in enumerate(zip(CONVOLUTIONS[network], CHANNELS, strict=True), start=1):
        for layer in range(1, n_layers + 1):
            shapes[f"block{block}_conv{layer}"] = (3, 3, n_in, n_out)
            n_in = n_out
    return shapes | TOP_SHAPES if with_top else shapes


def network_of(layers: Mapping[str, object]) -> str | None:
    """vgg19 or vgg16, told by the names; None where they end before block3_conv4, the first difference."""
    if layers.keys() - kernel_shapes("vgg16", with_top=True):
        return "vgg19"
    return "vgg16" if any(name.startswith(("block4", "block5")) for name in layers) else None


def sha256(layers: Layers) -> str:
    """SHA-256 (hex) of names in sorted order, shapes and little-endian float32 values, kernel then bias."""
    digest = hashlib.sha256()
    for name in sorted(layers):
        for part, array in zip(("kernel", "bias"), layers[name], strict=True):
            digest.update(f"{name}/{part} {array.shape}\n".encode())
            digest.update(np.ascontiguousarray(array, dtype="<f4").data)
    return digest.hexdigest()


def read(path: Path) -> Layers:
    """The VGG layers of a weights file, whose format is told by its content; other layers are left out.

    Raises UserError where the file is missing, damaged, of another format, holds no layer of VGG, or holds
    one with another shape, without a bias, or with values that are no finite numbers.
    """
    name = store.show(path)
    if not path.is_file():
        raise UserError(f"vgg.weights: {name} does not exist. Set it to imagenet, random or the path of a file.")
    try:
        if h5py.is_hdf5(path):
            with h5py.File(path, "r") as file:
                arrays = _h5_arrays(file)
        elif zipfile.is_zipfile(path):
            arrays = _npz_arrays(path)
        else:
            raise UserError(f"{name} is neither HDF5 nor .npz, or was cut off. {_FORMS}.")
    except (OSError, LookupError, TypeError, ValueError, RuntimeError, EOFError, *_ZIP_ERRORS) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise UserError(f"{name} cannot be read ({reason}). {_FORMS}.") from error
    if not arrays:
        raise UserError(f"{name} holds no layer of VGG19 or VGG16. {_FORMS}.")
    shapes = kernel_shapes("vgg19", with_top=True)  # layers of the same name are alike in VGG16
    return {layer: _checked(name, layer, parts, shapes[layer]) for layer, parts in arrays.items()}


def _checked(file: str, layer: str, parts: list[np.ndarray], shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """(kernel, bias) of one layer as float32, or UserError."""
    if len(parts) != 2:
        raise UserError(f"{file}: {layer} has {len(parts)} arrays, not a kernel and a bias. {_FORMS}.")
    kernel, bias = parts
    for part, array, expected in (("kernel", kernel, shape), ("bias", bias, shape[-1:])):
        if array.shape != expected:
            raise UserError(
                f"{file}: {layer}/{part} has the shape {array.shape}, VGG's has {expected}. Give a file of"
                " VGG19 or VGG16 in Keras' order (height, width, in, out)."
            )
        if array.dtype.kind != "f" or not np.isfinite(array).all():
            raise UserError(f"{file}: {layer}/{part} has values that are no finite numbers. Get the file again.")
    return kernel.astype(np.float32, copy=False), bias.astype(np.float32, copy=False)


def _npz_arrays(path: Path) -> dict[str, list[np.ndarray]]:
    with np.load(path, allow_pickle=False) as file:
        return {
            layer: [file[f"{layer}/{part}"] for part in ("kernel", "bias") if f"{layer}/{part}" in file]
            for layer in kernel_shapes("vgg19", with_top=True)
            if f"{layer}/kernel" in file
        }


def write_npz(file: BinaryIO, layers: Layers) -> None:
    """The form that `read` takes, without compression, so that it is read at the speed of the disk."""
    arrays: dict[str, Any] = {}
    for name, (kernel, bias) in layers.items():
        arrays |= {f"{name}/kernel": kernel, f"{name}/bias": bias}
    np.savez(file, **arrays)


def _h5_arrays(file: h5py.File) -> dict[str, list[np.ndarray]]:
    """Layer name -> arrays of either of Keras' two layouts, wherever in the file the layers lie."""
    groups: dict[str, h5py.Group] = {"": file}
    file.visititems(lambda path, node: groups.update({path: node}) if isinstance(node, h5py.Group) else None)
    known = kernel_shapes("vgg19", with_top=True)
    found: dict[str, list[np.ndarray]] = {}
    unnamed: dict[str, list[np.ndarray]] = {}
    for path, group in groups.items():
        layer = path.rpartition("/")[2]
        if "weight_names" in group.attrs and layer in known:  # Keras 1, 2: a group lists its arrays in order
            found[layer] = [np.asarray(group[_text(name)][()]) for name in group.attrs["weight_names"]]
        elif layer == "vars" and "0" in group:  # Keras 3: layers/conv2d_7/vars/0, the name an attribute
            layer = _text(group.attrs.get("name", path.split("/")[-2]))
            if layer in known or re.fullmatch(r"conv2d(_\d+)?", layer):
                arrays = [np.asarray(group[part][()]) for part in sorted(group)]
                (found if layer in known else unnamed)[layer] = arrays
    return found or _named_by_order(unnamed)


def _named_by_order(unnamed: dict[str, list[np.ndarray]]) -> dict[str, list[np.ndarray]]:
    """Names for conv2d, conv2d_1, ..., all that early versions of this layout give: by order and shape.

    Only convolutions: among dense layers without names, VGG's own top cannot be told from another.
    """
    in_order = sorted(unnamed, key=lambda name: int(name.partition("_")[2] or 0))
    kernels = [unnamed[name][0].shape for name in in_order]
    for network in CONVOLUTIONS:
        shapes = kernel_shapes(network, with_top=False)
        if kernels == list(shapes.values())[: len(kernels)]:
            return {layer: unnamed[name] for layer, name in zip(shapes, in_order, strict=False)}
    return {}


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def read_onnx(model: bytes) -> Layers:
    """The convolutions of a VGG network that tf2onnx converted from Keras.

    A kernel is the initialiser `.../<layer>_1/convolution/ReadVariableOp:0`, (out, in, height, width); its
    bias is `.../<layer>_1/Squeeze:0`. The `onnx` package is left out on purpose: it and TensorFlow each want
    their own versions of protobuf, and all that is needed of the format is in the two functions below.
    """
    arrays = {name: array for graph in _fields(memoryview(model), 7) for name, array in _initializers(graph)}
    layers: Layers = {}
    for name, kernel in arrays.items():
        if match := re.fullmatch(r"(.*/(block\d_conv\d)_1/)convolution/ReadVariableOp:0", name):
            hwio = np.ascontiguousarray(kernel.transpose(2, 3, 1, 0))  # (out, in, h, w) -> (h, w, in, out)
            layers[match[2]] = hwio, arrays[f"{match[1]}Squeeze:0"]
    return layers


def _initializers(graph: memoryview) -> Iterator[tuple[str, np.ndarray]]:
    """(name, array) of every float32 TensorProto in GraphProto.initializer (field 5) that holds raw data."""
    for tensor in _fields(graph, 5):
        dims, dtype, name, raw = (list(_fields(tensor, number)) for number in (1, 2, 8, 9))
        if dtype == [1] and raw:  # 1 is FLOAT
            yield bytes(name[0]).decode(), np.frombuffer(raw[0], "<f4").reshape(dims)


def _fields(message: memoryview, wanted: int) -> Iterator:
    """Values of one field of a protobuf message: int for a varint, memoryview for what has a length."""
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at, value, shift = at + 1, value | (byte & 127) << shift, shift + 7
            if byte < 128:
                return value

    while at < len(message):
        number, wire_type = divmod(varint(), 8)
        value: int | memoryview
        if wire_type == 0:
            value = varint()
        else:
            n_bytes = {1: 8, 5: 4}.get(wire_type) or varint()  # 64 bits, 32 bits, or a stated length
            value, at = message[at : at + n_bytes], at + n_bytes
        if number == wanted:
            yield value
