"""From JPEG files to content.h5 and style.h5: the two stages against scripts that take one picture at a time.

The original way loads a picture with Keras and calls model.predict on it, once for content and twice for style: such
scripts fit their PCA in a first pass over the pictures and apply it in a second. PCA and writing are left out of their
time and part of ours.

Run     python benchmarks/end_to_end.py               2 minutes on 2 cores; --works 64 is a quick look
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from common import header
from decode_speed import photograph
from network_speed import gram, keras_model

import extract_features  # a benchmark may look inside a stage
import prepare_images
from artatlas import config, vgg, weights


def photographs(folder, count):
    """Paths of `count` names of one JPEG of 1600 x 1200; every way decodes it anew under each name."""
    folder.mkdir()
    paths = [folder / f"{i:04d}.jpg" for i in range(count)]
    photograph((1600, 1200)).save(paths[0], quality=90)
    for path in paths[1:]:
        os.link(paths[0], path)
    return paths


def original(tf, models, files):
    """Seconds a picture."""
    content, style = models
    start = time.perf_counter()
    for path in files:
        for model, times in ((content, 1), (style, 2)):
            for _ in range(times):
                picture = tf.keras.utils.img_to_array(tf.keras.utils.load_img(path, target_size=(224, 224)))
                found = model.predict(tf.keras.applications.vgg19.preprocess_input(picture[None]), verbose=0)
                if model is style:
                    gram(found)
    return (time.perf_counter() - start) / len(files)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--works", type=int, default=320)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        files = photographs(Path(temporary) / "images", options.works)
        settings = config.load(None, (
            f"paths.images={temporary}/images", "paths.metadata=null", f"paths.outputs={temporary}/outputs",
            "vgg.weights=random", "vgg.network=vgg19",
        ))  # fmt: skip
        tf = vgg.start_tensorflow(settings)
        network = weights.resolve("vgg19", "random")
        models = [keras_model(tf, network, [name]) for name in ("content", "style")]
        original(tf, models, files[:2])  # compiles
        slow = [original(tf, models, files[:6])]
        times = {}
        for stage in (prepare_images, extract_features):
            start = time.perf_counter()
            _, summary = stage.main(settings)
            times[stage.__name__] = (time.perf_counter() - start) / len(files)
            print(f"{stage.__name__}: {summary}", file=sys.stderr)
        slow.append(original(tf, models, files[:6]))
    ours, theirs = sum(times.values()), float(np.mean(slow))
    print(header("keras", "numpy", "pillow") + f", TensorFlow {tf.__version__}; {len(files)} JPEG of 1600 x 1200\n")
    print("| way | ms a picture | pictures/s |\n|---|---|---|")
    print(f"| one at a time, three predictions | {theirs * 1000:.0f} | {1 / theirs:.2f} |")
    for name, seconds in times.items():
        print(f"| {name}.py | {seconds * 1000:.1f} | {1 / seconds:.1f} |")
    print(f"| both stages, start and PCA included | {ours * 1000:.1f} | {1 / ours:.1f} |")
    print(f"\nratio: {theirs / ours:.1f}")


if __name__ == "__main__":
    main()
