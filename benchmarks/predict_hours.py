"""How many hours will a collection take on this machine, and on a GPU? From rates measured here and now.

Measured: decoding JPEGs of 2 megapixels on all cores, the network with both heads in the precision `auto` picks, the
colour histograms, and one matrix product of the PCA of Gram vectors, which needs several a work above 4,096 works. Maps
and pictures are not in it. The formula for other machines follows the table.

Then times on a cluster of machines like this one with more cores: stages that are distributed at EFFICIENCY of it, what
the driver does alone on one machine's cores, and what it has to read and write there at DRIVER_GB_S.

Run     python benchmarks/predict_hours.py              a minute on 2 cores
        python benchmarks/predict_hours.py --rates 132 16 346 606 --of-cores 2      of an earlier run, measures nothing
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from common import header, paired
from end_to_end import photographs
from network_speed import BATCH, CONTENT, GRAM, SIDE, gflop_per_picture

from artatlas import cli, color, config, images, plans, reduce, vgg, weights

WORKS = {"paintings of a museum": 10_000, "WikiArt": 81_444, "a million": 1_000_000}
COLUMNS = 32_896  # of a Gram vector of block 3
MACHINES, CORES = (1, 4, 32), 64
CLUSTERED = {"WikiArt": 81_444, "ten million": 10_000_000}
EFFICIENCY = 0.9  # assumed: benchmarks/ray_scaling.py measured .96 to .99 with 64 workers that sleep
DRIVER_GB_S = 1.0  # assumed, not measured: a shared file system or a good disk, as one process reads and writes it
PCA_READS = reduce.N_POWER_ITERATIONS + 1 + 3  # moments, power iterations, inner products, embeddings
IMAGE_BYTES, VECTOR_BYTES = 170_000, 4 * COLUMNS  # a work in images.h5; a Gram vector
PRODUCTS = 2 * (reduce.N_POWER_ITERATIONS + 1) + 2 + 1  # power iterations, the inner products, the embeddings


def rate(function, works, repeats=5):
    return works / float(np.median(paired({"it": function}, repeats)["it"]))


def on_a_cluster(rates, of_cores):
    """Prints hours by stage, from works/s on `of_cores` cores."""
    decode, network, pca, color = (rate / of_cores for rate in rates)  # works/s a core
    heads = [f"{name}, {cli.count(m, 'machine')}" for name in CLUSTERED for m in MACHINES]
    print(f"\nMachines of {CORES} cores:\n\n| stage | " + " | ".join(heads), "|")
    print("|---|" + "---|" * (len(CLUSTERED) * len(MACHINES)))

    def row(stage, seconds_of):
        cells = [seconds_of(n, m * CORES) for n in CLUSTERED.values() for m in MACHINES]
        print(f"| {stage} |", " | ".join(map(cli.duration, cells)), "|")
        return cells

    def gigabytes(n_bytes):
        return n_bytes / 1e9 / DRIVER_GB_S

    total = [
        row("prepare_images.py, decoding", lambda n, c: n / decode / c / EFFICIENCY),
        row("prepare_images.py, joining (driver)", lambda n, c: gigabytes(2 * n * IMAGE_BYTES)),
        row("extract_features.py, network", lambda n, c: n / network / c / EFFICIENCY),
        row(
            "extract_features.py, PCA (driver)",
            lambda n, c: max(n / pca / CORES, gigabytes(PCA_READS * n * VECTOR_BYTES)),
        ),
        row("extract_color.py", lambda n, c: n / color / c / EFFICIENCY),
        row("find_similar.py, exact, a space", lambda n, c: plans.NEIGHBORS_S * 2 * n**2 / c / EFFICIENCY),
        row("build_viewer.py, tiles of a map", lambda n, c: 2 * plans.VIEWER_S * n / c / EFFICIENCY),
    ]
    print("| together |", " | ".join(cli.duration(sum(cells)) for cells in zip(*total, strict=True)), "|")
    row("build_tsne.py, a map: not distributed, on 2 cores", lambda n, c: plans.TSNE_S * n)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rates", type=float, nargs=4, help="works/s of the four rows of the first table")
    parser.add_argument("--of-cores", type=int, default=os.cpu_count(), help="cores that reached them")
    options = parser.parse_args()
    if options.rates:
        on_a_cluster(options.rates, options.of_cores)
        return
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
    on_a_cluster(rates.values(), options.of_cores)


if __name__ == "__main__":
    began = time.perf_counter()
    main()
    print(f"\n({time.perf_counter() - began:.0f} s)")
