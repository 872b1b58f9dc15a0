"""How fast does VGG19 give content and style, against the other ways of running it, and what limits it?

All ways look at the same pictures in memory, 224 px, with the same random weights, and are timed in turns:

    original      model.predict on one picture at a time: once for content, twice for style, as scripts do that fit
                  a PCA in a first pass over the pictures and apply it in a second
    Keras         predict_on_batch of one model with both outputs
    artatlas      vgg.build, as extract_features.py runs it; and as two passes, as the two scripts do
    ONNX Runtime, OpenVINO       the same two-headed network, where they are installed: pip install ".[bench]"

Then the share of the machine's peak that is reached (the fastest large matrix product or convolution of that
precision), and a profile by kind of operation, which names what to look at next.

Run     python benchmarks/network_speed.py            6 minutes on 2 cores; --quick: 2
"""

import argparse
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from common import header, paired, ratio

from artatlas import config, vgg, weights

SIDE, BATCH = 224, 32
CONTENT, GRAM = vgg.Pooled("block5_pool", "avg"), vgg.Gram("block3_conv1", "hw", "none")


def gflop_per_picture() -> float:
    """Multiplications and additions of VGG19's convolutions."""
    total, side, channels = 0.0, SIDE, 3
    for width, convolutions in zip(vgg.CHANNELS, vgg.CONVOLUTIONS["vgg19"], strict=True):
        for _ in range(convolutions):
            total += 2 * 9 * channels * width * side * side
            channels = width
        side //= 2
    return total / 1e9


def keras_model(tf, network, outputs):
    model = tf.keras.applications.VGG19(weights=None, include_top=False, input_shape=(SIDE, SIDE, 3))
    for layer in model.layers:
        if layer.name in network.layers:
            layer.set_weights(list(network.layers[layer.name]))
    found = {"content": tf.keras.layers.GlobalAveragePooling2D()(model.get_layer("block5_pool").output),
             "style": model.get_layer("block3_conv1").output}  # fmt: skip
    return tf.keras.Model(model.input, [found[name] for name in outputs])


def gram(activations):
    """(B, H, W, C) -> (B, C, C), in numpy, as such scripts do."""
    positions = activations.reshape(len(activations), -1, activations.shape[-1])
    return np.matmul(positions.transpose(0, 2, 1), positions) / positions.shape[1]


def onnx_bytes(network):
    """The two-headed network as ONNX: input (B, 3, S, S) float32 preprocessed, outputs (B, 512) and (B, C, C)."""
    from onnx import TensorProto, helper, numpy_helper

    nodes, initializers, x, side = [], [], "input", SIDE
    for name in vgg.layer_names("vgg19"):
        if name in vgg.DENSE:
            break
        if name.endswith("_pool"):
            nodes.append(helper.make_node("MaxPool", [x], [name], kernel_shape=[2, 2], strides=[2, 2]))
            side //= 2
        else:
            kernel, bias = network.layers[name]
            initializers += [numpy_helper.from_array(np.ascontiguousarray(kernel.transpose(3, 2, 0, 1)), name + "_k"),
                             numpy_helper.from_array(bias, name + "_b")]  # fmt: skip
            nodes.append(helper.make_node("Conv", [x, name + "_k", name + "_b"], [name + "_c"], pads=[1, 1, 1, 1],
                                          kernel_shape=[3, 3]))  # fmt: skip
            nodes.append(helper.make_node("Relu", [name + "_c"], [name]))
        if name == GRAM.layer:
            initializers.append(numpy_helper.from_array(np.array([0, 256, side * side], np.int64), "flat"))
            initializers.append(numpy_helper.from_array(np.array(side * side, np.float32), "positions"))
            nodes += [helper.make_node("Reshape", [name, "flat"], ["rows"]),
                      helper.make_node("Transpose", ["rows"], ["columns"], perm=[0, 2, 1]),
                      helper.make_node("MatMul", ["rows", "columns"], ["products"]),
                      helper.make_node("Div", ["products", "positions"], ["gram"])]  # fmt: skip
        x = name
    nodes += [helper.make_node("GlobalAveragePool", [x], ["pooled"]),
              helper.make_node("Flatten", ["pooled"], ["content"])]  # fmt: skip
    graph = helper.make_graph(
        nodes, "vgg19", [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["B", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("content", TensorProto.FLOAT, ["B", 512]),
         helper.make_tensor_value_info("gram", TensorProto.FLOAT, ["B", 256, 256])], initializers,
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()


def preprocess(pixels):
    """(B, S, S, 3) uint8 RGB -> (B, 3, S, S) float32 BGR without ImageNet's mean."""
    bgr = pixels[..., ::-1].astype(np.float32) - np.array(vgg.IMAGENET_MEAN_BGR, np.float32)
    return np.ascontiguousarray(bgr.transpose(0, 3, 1, 2))


def other_runtimes(network):
    """name -> function of pixels giving (content, gram), for those that are installed."""
    found = {}
    if not importlib.util.find_spec("onnx"):
        return found
    model = onnx_bytes(network)
    if importlib.util.find_spec("onnxruntime"):
        import onnxruntime

        session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        found["ONNX Runtime float32"] = lambda pixels: session.run(None, {"input": preprocess(pixels)})
    if importlib.util.find_spec("openvino"):
        import openvino

        core = openvino.Core()
        for name, hint in (("float32", "f32"), ("bfloat16", "bf16")):
            settings = {"INFERENCE_PRECISION_HINT": hint, "PERFORMANCE_HINT": "THROUGHPUT", "NUM_STREAMS": "1"}
            compiled = core.compile_model(core.read_model(model), "CPU", settings)
            found[f"OpenVINO {name}"] = lambda pixels, compiled=compiled: list(
                compiled([preprocess(pixels)]).to_tuple()
            )
    return found


def peak_gflops(tf, precision, repeats):
    """The fastest of a large matrix product and of VGG's own kind of convolution, in GFLOP/s."""
    dtype = tf.as_dtype(precision)
    side = 4096
    normal = np.random.default_rng(0).standard_normal  # tf.random is refused without a seed where a GPU is used
    matrix = tf.cast(normal((side, side), np.float32), dtype)
    x = tf.cast(tf.nn.relu(normal((BATCH, 56, 56, 256), np.float32)), dtype)
    kernel = tf.cast(normal((3, 3, 256, 256), np.float32) / 50, dtype)
    jobs = {"matmul": (tf.function(lambda: tf.matmul(matrix, matrix)[0, 0]), 2 * side**3),
            "convolution": (tf.function(lambda: tf.nn.conv2d(x, kernel, 1, "SAME")[0, 0, 0, 0]),
                            2 * 9 * 256 * 256 * 56 * 56 * BATCH)}  # fmt: skip
    best = {}
    for name, (function, flop) in jobs.items():
        seconds = paired({name: lambda function=function: function().numpy()}, repeats)[name]
        best[name] = flop / min(seconds) / 1e9
    return best


PROFILE = """
import sys; sys.path.insert(0, {repo!r})
import numpy as np, time
from artatlas import config, vgg, weights
settings = config.load()
tf = vgg.start_tensorflow(settings)
forward = vgg.build(weights.resolve("vgg19", "random"), [vgg.Pooled("block5_pool", "avg"),
                    vgg.Gram("block3_conv1", "hw", "none")], {precision!r}, 224, tf)
pixels = np.zeros((32, 224, 224, 3), np.uint8)
forward(pixels)
print("BEGIN", flush=True)
began = time.perf_counter()
forward(pixels)
print("END", time.perf_counter() - began, flush=True)
"""


def profile(precision):
    """Milliseconds a picture by kind of oneDNN operation of one batch, and of what is outside oneDNN."""
    code = PROFILE.format(repo=str(Path(__file__).resolve().parent.parent), precision=precision)
    with tempfile.TemporaryDirectory() as folder:
        output = subprocess.run(
            [sys.executable, "-c", code], cwd=folder, env={**os.environ, "ONEDNN_VERBOSE": "1"},
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
    lines = output[output.index("BEGIN") : output.index("END")].splitlines()
    kinds = defaultdict(float)
    for line in lines:
        fields = line.split(",")
        if "exec" in fields:
            kinds[fields[fields.index("exec") + 2]] += float(fields[-1]) / BATCH
    total = float(re.search(r"END ([\d.]+)", output)[1]) * 1000 / BATCH
    kinds["outside oneDNN (heads, copies, preprocessing)"] = total - sum(kinds.values())
    return dict(kinds), total


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    options = parser.parse_args()
    repeats = 3 if options.quick else 7

    settings = config.load()
    tf = vgg.start_tensorflow(settings)
    fast = vgg.resolve_precision("auto", tf)
    network = weights.resolve("vgg19", "random")
    pixels = np.random.default_rng(0).integers(0, 256, (BATCH, SIDE, SIDE, 3), dtype=np.uint8)
    prepared = tf.keras.applications.vgg19.preprocess_input(pixels.astype(np.float32))
    one, two = [keras_model(tf, network, [name]) for name in ("content", "style")]
    both = keras_model(tf, network, ["content", "style"])
    n_original = 2

    def original():
        for i in range(n_original):
            one.predict(prepared[i : i + 1], verbose=0)
            for _ in range(2):
                gram(two.predict(prepared[i : i + 1], verbose=0))

    def keras():
        content, activations = both.predict_on_batch(prepared)
        return content, gram(np.asarray(activations))

    ours = {precision: vgg.build(network, [CONTENT, GRAM], precision, SIDE, tf) for precision in {"float32", fast}}
    apart = [vgg.build(network, [head], fast, SIDE, tf) for head in (CONTENT, GRAM)]
    ways = {
        "original, one at a time": (original, n_original), "Keras predict_on_batch float32": (keras, BATCH),
        **{f"artatlas {name}": (lambda forward=forward: forward(pixels), BATCH) for name, forward in ours.items()},
        f"artatlas {fast}, two passes": (lambda: [forward(pixels) for forward in apart], BATCH),
        **{name: (lambda run=run: run(pixels), BATCH) for name, run in other_runtimes(network).items()},
    }  # fmt: skip
    seconds = paired({name: function for name, (function, _) in ways.items()}, repeats)
    per_picture = {name: [s / ways[name][1] for s in seconds[name]] for name in ways}

    print(header("keras", "numpy") + f", TensorFlow {tf.__version__}\n")
    names = ("artatlas float32", f"artatlas {fast}")
    print(f"| way | pictures/s | {names[0]} is faster by | {names[1]} is faster by |\n|---|---|---|---|")
    for name in ways:
        ratios = " | ".join(f"{ratio(per_picture[name], per_picture[ours_]):.2f}" for ours_ in names)
        print(f"| {name} | {1 / np.median(per_picture[name]):.1f} | {ratios} |")

    flop = gflop_per_picture()
    print(f"\nThe network is {flop:.1f} GFLOP a picture.\n")
    print("| precision | matmul, GFLOP/s | convolution, GFLOP/s | network, GFLOP/s | share of the faster |")
    print("|---|---|---|---|---|")
    for precision in ours:
        best = peak_gflops(tf, precision, repeats)
        reached = flop / np.median(per_picture[f"artatlas {precision}"])
        print(f"| {precision} | {best['matmul']:,.0f} | {best['convolution']:,.0f} | {reached:,.0f} |"
              f" {reached / max(best.values()):.2f} |")  # fmt: skip
    for precision in ours:
        kinds, total = profile(precision)
        print(f"\nProfile of one batch in {precision}, {total:.1f} ms a picture:", ", ".join(
            f"{name} {ms / total:.1%}" for name, ms in sorted(kinds.items(), key=lambda item: -item[1])))  # fmt: skip


if __name__ == "__main__":
    began = time.perf_counter()
    main()
    print(f"\n({time.perf_counter() - began:.0f} s)")
