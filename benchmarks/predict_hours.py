"""How many hours will a collection take on this machine, and on a GPU? From rates measured here and now.

Measured: decoding JPEGs of 2 megapixels on all cores, the network with both heads in the precision `auto` picks, the
colour histograms, and one matrix product of the PCA of Gram vectors, which needs several a work above 4,096 works. Maps
and pictures are not in it. The formula for other machines follows the table.

Run     python benchmarks/predict_hours.py              a minute on 2 cores
"""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from common import header, paired
from end_to_end import photographs
from network_speed import BATCH, CONTENT, GRAM, SIDE, gflop_per_picture

from artatlas import color, config, images, reduce, vgg, weights

WORKS = {"paintings of a museum": 10_000, "WikiArt": 81_444, "a million": 1_000_000}
COLUMNS = 32_896  # of a Gram vector of block 3
PRODUCTS = 2 * (reduce.N_POWER_ITERATIONS + 1) + 2 + 1  # power iterations, the inner products, the embeddings


def rate(function, works, repeats=5):
    return works / float(np.median(paired({"it": function}, repeats)["it"]))


def main():
    settings = config.load()
    tf = vgg.start_tensorflow(settings)
    precision = vgg.resolve_precision("auto", tf)
    pixels = np.random.default_rng(0).integers(0, 256, (BATCH, SIDE, SIDE, 3), dtype=np.uint8)
    forward = vgg.build(weights.resolve("vgg19", "random"), [CONTENT, GRAM], precision, SIDE, tf)
    block = np.random.default_rng(0).standard_normal((256, COLUMNS), dtype=np.float32)
    basis = np.random.default_rng(1).standard_normal((COLUMNS, 512 + reduce.N_OVERSAMPLES), dtype=np.float32)
    with tempfile.TemporaryDirectory() as temporary:
        paths = [str(path) for path in photographs(Path(temporary) / "images", 64)]
        rates = {
            "prepare_images.py": rate(lambda: list(images.decode_all(paths, settings.images, "auto")), len(paths)),
            f"extract_features.py, network ({precision})": rate(lambda: forward(pixels), BATCH),
            "extract_features.py, PCA": rate(lambda: block @ basis, len(block)) / PRODUCTS,
            "extract_color.py": rate(lambda: color.histograms(pixels, "rgb", 8, "sqrt"), BATCH),
        }
    print(header("numpy", "pillow") + f", TensorFlow {tf.__version__}\n")
    print("| stage | works/s |", " | ".join(f"{name}: {n:,}" for name, n in WORKS.items()), "|")
    print("|---|---|" + "---|" * len(WORKS))
    for stage, speed in rates.items():
        print(f"| {stage} | {speed:,.0f} |", " | ".join(f"{n / speed / 3600:.2f} h" for n in WORKS.values()), "|")
    together = sum(1 / speed for speed in rates.values())
    print(f"| all | {1 / together:.1f} |", " | ".join(f"{n * together / 3600:.1f} h" for n in WORKS.values()), "|")
    print(
        f"\nOn other machines: the network takes N x {gflop_per_picture():.1f} GFLOP / (peak x share reached), decoding"
        " N / (cores x rate of one core), in stages one after the other. A GPU of P TFLOP/s in half precision of which"
        f" a share s is reached: N x {gflop_per_picture() / 1000 / 3600:.2e} / (P x s) hours."
    )


if __name__ == "__main__":
    began = time.perf_counter()
    main()
    print(f"\n({time.perf_counter() - began:.0f} s)")
