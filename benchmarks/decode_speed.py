"""How much faster are JPEGs decoded than by plain Pillow, and does it scale with the cores?

Plain Pillow is `Image.open(path).convert("RGB").resize((224, 224), BICUBIC)`. That is less than a work needs, which
also gets a hash and a thumbnail, so a second row lets plain Pillow make these too. Decoding at 1/8 and nothing else is
what nobody gets below who reads a JPEG. All in turns on one thread, on synthetic photographs: noise of every scale,
4:2:0, 2 and 12 megapixels. Ratios are of processor time; the difference is the mean one of the network's input from
plain Pillow's, in levels of 255. Prints Markdown tables.

Run     python benchmarks/decode_speed.py
        python benchmarks/decode_speed.py --quick       (fewer repeats)
Cost    a minute, 20 seconds with --quick; 0.7 GB of memory
"""

import argparse
import hashlib
import io
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from common import header, paired, ratio
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from artatlas import config, images

SETTINGS = config.load().images
SIZES = {"2 megapixels": (1600, 1200), "12 megapixels": (4000, 3000)}
BICUBIC = Image.Resampling.BICUBIC
PLAIN, ALONE, WITH_THUMBNAIL, OURS, FLOOR = (
    "plain Pillow", "artatlas", "plain Pillow, hash and thumbnail", "artatlas, hash and thumbnail",
    "decoded at 1/8, no more",
)  # fmt: skip


def photograph(size):
    """Noise at every scale: fine detail is 0.76 times as strong as that of twice its size. 2.2 bits a pixel as JPEG."""
    rng, total = np.random.default_rng(0), np.zeros((size[1], size[0], 3), np.float32)
    for octave in range(2, max(size).bit_length()):
        coarse = rng.integers(0, 256, (2**octave * size[1] // size[0], 2**octave, 3), dtype=np.uint8)
        total += np.asarray(Image.fromarray(coarse).resize(size, BICUBIC), np.float32) * 0.76**octave
    total -= total.min()
    total *= 255 / total.max()
    return Image.fromarray(total.astype(np.uint8))


def plain(path):
    return np.asarray(Image.open(path).convert("RGB").resize((SETTINGS.network_px,) * 2, BICUBIC))


def plain_with_thumbnail(path):
    data = path.read_bytes()
    hashlib.sha256(data).hexdigest()
    whole = Image.open(io.BytesIO(data)).convert("RGB")
    scale = SETTINGS.thumbnail_px / max(whole.size)
    thumbnail = whole.resize((round(whole.width * scale), round(whole.height * scale)), BICUBIC)
    thumbnail.save(io.BytesIO(), "JPEG", quality=SETTINGS.thumbnail_quality)
    return np.asarray(whole.resize((SETTINGS.network_px,) * 2, BICUBIC))


def ours_alone(path):
    """What `images.decode` does for the network, without thumbnail and hash."""
    with Image.open(path) as image:
        size = image.size
        picture, extent, _ = images._load(image, (SETTINGS.network_px,) * 2)
        return np.asarray(images._network_input(picture, extent, size, SETTINGS))


def floor(path):
    with Image.open(path) as image:
        image.draft(None, (image.width // 8, image.height // 8))
        image.load()


def with_cpu_time(function, path, spent):
    """The function of no arguments that notes its processor time in the list `spent`."""

    def timed():
        start = time.process_time()
        function(path)
        spent.append(time.process_time() - start)

    return timed


def compare(name, path, repeats):
    ways = {PLAIN: plain, WITH_THUMBNAIL: plain_with_thumbnail, FLOOR: floor,
            ALONE: ours_alone, OURS: lambda path: images.decode(path, SETTINGS)}  # fmt: skip
    cpu = {way: [] for way in ways}
    wall = paired({way: with_cpu_time(function, path, cpu[way]) for way, function in ways.items()}, repeats)
    difference = np.abs(plain(path).astype(int) - images.decode(path, SETTINGS).pixels).mean()
    for way in (PLAIN, ALONE, WITH_THUMBNAIL, OURS, FLOOR):
        spent = cpu[way][1:]  # the first call is the one that is not counted
        print(
            f"| {name}, {path.stat().st_size / 1000:,.0f} KB | {way} | {1000 * statistics.median(spent):.1f}"
            f" | {1000 * statistics.median(wall[way]):.1f} | {ratio(cpu[PLAIN][1:], spent):.2f}"
            f" | {ratio(cpu[WITH_THUMBNAIL][1:], spent):.2f} | {f'{difference:.2f}' if way == OURS else ''} |"
        )


def scaling(paths, repeats):
    def decode_all(threads):
        return lambda: sum(1 for _ in images.decode_all(map(str, paths), SETTINGS, threads))

    cores = images.n_threads("auto")
    counts = sorted({1, *(2**k for k in range(1, cores.bit_length())), cores})
    wall = paired({str(threads): decode_all(threads) for threads in counts}, repeats)
    print("\n| threads | works/s | times one thread |\n|---|---|---|")
    for threads in counts:
        seconds = wall[str(threads)]
        print(f"| {threads} | {len(paths) / statistics.median(seconds):.0f} | {ratio(wall['1'], seconds):.2f} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: Path(folder, f"{size[0]}.jpg") for name, size in SIZES.items()}
        for name, path in paths.items():
            photograph(SIZES[name]).save(path, quality=95)
        print(header("Pillow", "numpy") + "\n")
        print("| JPEG | way | CPU ms | wall ms | times plain Pillow | times plain with thumbnail | difference |")
        print("|" + "---|" * 7)
        for name, path in paths.items():
            compare(name, path, 3 if options.quick else 15)
        files = [Path(folder, f"{k}.jpg") for k in range((12 if options.quick else 24) * images.n_threads("auto"))]
        for file in files:  # names of one picture: the disk is not what is measured
            os.link(paths["2 megapixels"], file)
        scaling(files, 2 if options.quick else 5)


if __name__ == "__main__":
    main()
