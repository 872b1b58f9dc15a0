"""What does a GPU give, and does it give the same embeddings?

Every row is a process of its own, for TensorFlow decides once a process how exactly it computes.

network     VGG19 with the heads of content and style, random weights, pictures of 224 px in memory: pictures/s with
            batches of several sizes, copies to and from the card included; how far the outputs are from those of the
            processor in float32 (root mean square, relative, after the mean over pictures is taken away); whether a
            second process gives the same bytes, and whether batches of another size do. "The fastest kernels": as
            TensorFlow takes them by itself, by a race in every process, where the stages ask for deterministic ones
training    seconds an epoch of the networks that this project trains, on the card and on the processor

Run     python benchmarks/gpu_speed.py                      some minutes; without a GPU: the processor's rows alone
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from common import header
from network_speed import CONTENT, GRAM, SIDE, gflop_per_picture

from artatlas import config, methods, parametric_training, vgg, weights
from artatlas.pixel_siamese import Pixels

BATCHES = (32, 64, 128, 256)
COMPARED = 64  # pictures whose outputs are compared
WAYS = {  # name -> precision, settings of TensorFlow
    "float32, the processor": ("float32", "cpu"),
    "bfloat16, the processor": ("bfloat16", "cpu"),
    "float32": ("float32", ""),
    "float32 by TF32": ("float32", "tf32"),
    "bfloat16": ("bfloat16", ""),
    "float16": ("float16", ""),
    "bfloat16, the fastest kernels": ("bfloat16", "race"),
    "float16, the fastest kernels": ("float16", "race"),
}
TRAINED = ("parametric kl", "parametric regression", "metric", "siamese_contrastive")


def pictures(n):
    """(N, S, S, 3) uint8: smooth patches, whose activations are like those of pictures, not of noise."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (n, SIDE // 16, SIDE // 16, 3), np.uint8).repeat(16, axis=1).repeat(16, axis=2)


def network(precision, how, sizes):
    """Rates with batches of these sizes, and the outputs of some pictures, in this process."""
    tf = vgg.start_tensorflow(config.load())
    tf.config.experimental.enable_tensor_float_32_execution("tf32" in how)
    if "race" in how:
        from tensorflow.python.framework import config as internal  # nothing public takes it back

        internal.disable_op_determinism()
    forward = vgg.build(weights.resolve("vgg19", "random"), [CONTENT, GRAM], precision, SIDE, tf)
    pixels = pictures(COMPARED)
    outputs = [np.concatenate(parts) for parts in zip(*map(forward, np.split(pixels, COMPARED // 32)), strict=True)]
    others = [np.concatenate(parts) for parts in zip(*map(forward, np.split(pixels, 4)), strict=True)]
    rates = {}
    for size in sizes:
        batch = np.resize(pixels, (size, SIDE, SIDE, 3))
        for _ in range(1 if "cpu" in how else 3):  # the first looks for the fastest kernels
            forward(batch)
        n_runs, start = 0, time.perf_counter()
        while n_runs < 3 or time.perf_counter() - start < 1.5:
            forward(batch)
            n_runs += 1
        rates[size] = n_runs * size / (time.perf_counter() - start)
    digests = [hashlib.sha256(b"".join(map(bytes, each))).hexdigest() for each in (outputs, others)]
    return {"device": vgg.device_name(tf), "rates": rates, "digests": digests,
            "peak": peak(tf, precision) if sizes and how != "cpu" else 0}, outputs  # fmt: skip


def peak(tf, precision):
    """TFLOP/s of a large matrix product: of many, because a card is done with one before the next is asked for."""
    side, n_products = 8192, 20
    normal = np.random.default_rng(0).standard_normal((side, side), np.float32) / side**0.5
    matrix = tf.cast(tf.constant(normal), tf.as_dtype(precision))

    @tf.function
    def products():
        x = matrix
        for _ in range(n_products):
            x = tf.matmul(x, matrix)
        return x[0, 0]

    products().numpy()
    start = time.perf_counter()
    products().numpy()
    return 2 * side**3 * n_products / (time.perf_counter() - start) / 1e12


def training(name, epochs=3):
    """Seconds of an epoch on drawn works, the fastest of some after one that is not counted."""
    settings = config.load()
    tf = vgg.start_tensorflow(settings)
    rng = np.random.default_rng(0)
    n_works, n_labels = (512, 64) if name == "siamese_contrastive" else (5000, 500)
    labels = np.char.add("artist", rng.integers(0, n_labels, n_works).astype(str))
    features = rng.normal(size=(n_works, 160)).astype(np.float32)
    seconds = []
    if name.startswith("parametric"):
        for n_epochs in (2, 2 + epochs):  # the difference is free of what is done once
            chosen = settings.parametric_tsne.model_copy(
                update={"objective": name.split()[1], "epochs": n_epochs, "seed": 0}
            )
            start = time.perf_counter()
            parametric_training.train(
                features, features[:, :2].copy(), np.arange(n_works) % 5 == 0, 30.0, chosen, tf
            )
            seconds.append(time.perf_counter() - start)
        return {"device": vgg.device_name(tf), "seconds": (seconds[1] - seconds[0]) / epochs}
    chosen = settings.verifier.model_copy(
        update={"method": name, "pairs_per_epoch": 1024, "shrinkage": 0.5, "n_components": 160}
    )
    tf.config.experimental.enable_op_determinism()  # as train_verifier.py does
    seen = Pixels(pictures(n_works), np.arange(n_works)) if name == "siamese_contrastive" else features
    epoch = methods.METHODS[name](tf, seen, labels, chosen).epoch
    for _ in range(1 + epochs):
        start = time.perf_counter()
        epoch(rng)
        seconds.append(time.perf_counter() - start)
    return {"device": vgg.device_name(tf), "seconds": min(seconds[1:])}


def ask(*arguments, device="gpu"):
    """What another process of this script finds."""
    environment = os.environ | ({"CUDA_VISIBLE_DEVICES": "-1"} if device == "cpu" else {})
    found = subprocess.run(
        [sys.executable, __file__, "--one", *arguments], capture_output=True, text=True, env=environment
    )
    if found.returncode:
        return {"failed": (found.stderr.strip().splitlines() or ["no message"])[-1]}
    return json.loads(found.stdout.splitlines()[-1])


def one(arguments):
    if arguments[0] == "network":
        found, outputs = network(arguments[1], arguments[2], list(map(int, arguments[4:])))
        np.savez(arguments[3], *outputs)
    else:
        found = training(arguments[1])
    print(json.dumps(found))


def apart(a, b):
    """Root mean square difference of two sets of outputs over that of the second, both without the mean picture."""
    a, b = (x - b.mean(axis=0) for x in (a, b))
    return float(np.sqrt(np.square(a - b).mean() / np.square(b).mean()))


def networks(has_gpu, keep):
    """The table of the network."""
    ways = {name: way for name, way in WAYS.items() if way[1] == "cpu" or has_gpu}

    def run(name, which, sizes):
        precision, how = ways[name]
        file = keep / f"{name.replace(' ', '_')}-{which}.npz"
        return ask("network", precision, how, str(file), *map(str, sizes), device="cpu" if how == "cpu" else "gpu")

    with ThreadPoolExecutor(max(1, (os.cpu_count() or 1) // 2)) as several:
        again = dict(zip(ways, several.map(lambda name: run(name, "again", ()), ways), strict=True))
    sizes = " | ".join(f"batches of {size}" for size in BATCHES)
    print(f"| network | {sizes} | TFLOP/s | of a matrix product's | content off by | style off by | second process |"
          " other batches |\n" + "|---" * (7 + len(BATCHES)) + "|")  # fmt: skip
    exact = None
    for name, (_, how) in ways.items():
        found = run(name, "first", BATCHES[:1] if how == "cpu" else BATCHES)
        if failed := found.get("failed", again[name].get("failed")):
            print(f"| {name} | {failed} |", flush=True)
            continue
        outputs = list(np.load(keep / f"{name.replace(' ', '_')}-first.npz").values())
        exact = outputs if exact is None else exact
        rates = [f"{found['rates'][str(size)]:,.0f}" if str(size) in found["rates"] else "" for size in BATCHES]
        reached = max(found["rates"].values()) * gflop_per_picture() / 1000
        share = f"{reached / found['peak']:.2f}" if found["peak"] else ""
        first, smaller = found["digests"]
        same = ["same bytes" if first == other else "other bytes" for other in (again[name]["digests"][0], smaller)]
        errors = [f"{apart(a, b):.1e}" for a, b in zip(outputs, exact, strict=True)]
        print("| " + " | ".join([name, *rates, f"{reached:,.1f}", share, *errors, *same]) + " |", flush=True)


def trainings(has_gpu):
    """The table of training."""
    print("\n| trained | s an epoch, GPU | s an epoch, processor | ratio |\n|---|---|---|---|")
    for name in TRAINED:
        found = [ask("training", name, device=device) if device == "cpu" or has_gpu else {"failed": ""}
                 for device in ("gpu", "cpu")]  # fmt: skip
        seconds = [each.get("seconds", 0) for each in found]
        cells = [f"{each['seconds']:.3f}" if "seconds" in each else each["failed"] for each in found]
        ratio = f"{seconds[1] / seconds[0]:.1f}" if all(seconds) else ""
        print("| " + " | ".join([name, *cells, ratio]) + " |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, default=Path("outputs/gpu_speed"), help="folder for outputs compared")
    parser.add_argument("--only", choices=("network", "training"), help="one of the two tables")
    parser.add_argument("--one", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        one(options.one)
        return
    options.keep.mkdir(parents=True, exist_ok=True)
    tf = vgg.start_tensorflow(config.load())
    print(header("keras", "numpy") + f", TensorFlow {tf.__version__}; {vgg.device_name(tf)}\n", flush=True)
    has_gpu = bool(tf.config.list_physical_devices("GPU"))
    if options.only != "training":
        networks(has_gpu, options.keep)
    if options.only != "network":
        trainings(has_gpu)


if __name__ == "__main__":
    main()
