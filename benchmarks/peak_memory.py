"""How much memory does every stage take at N works? The design says: under 4 GB at 20,000.

Makes a synthetic collection (JPEG files of random blobs, 200 different ones linked under N names) and runs every stage
on it in a process of its own, with random weights: memory does not depend on what they hold. Prints a Markdown table.

Run     python benchmarks/peak_memory.py --works 20000
        python benchmarks/peak_memory.py --works 2000 --network-px 64        (a quick look)
Cost    the network looks at every work twice: at 224 px some 15 minutes for 20,000 works in bfloat16; 8 GB of disk
"""

import argparse
import datetime
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

REPO = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPO))
from artatlas.stages import STAGES

DIFFERENT = 200


def make_collection(folder, n_works, size=(400, 300)):
    """N names for 200 pictures of `size` (width, height), each a blurred noise of its own; links cost no disk."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i in range(n_works):
        path = folder / f"{i:06d}.jpg"
        if i < DIFFERENT:
            noise = Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8))
            noise.resize(size, Image.Resampling.BICUBIC).save(path, quality=90)
        else:
            os.link(folder / f"{i % DIFFERENT:06d}.jpg", path)


def run(command):
    """Runs a command to its end; returns (seconds, peak resident memory in MB) as the kernel counts it (VmHWM)."""
    start, peak = time.perf_counter(), 0
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    status = Path(f"/proc/{process.pid}/status")
    while process.poll() is None:
        try:
            lines = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
        except (FileNotFoundError, ProcessLookupError):
            lines = []
        if lines:
            peak = max(peak, int(lines[0].split()[1]))
        time.sleep(0.1)
    if process.returncode:
        sys.exit(f"{' '.join(command)}\n{process.stderr.read()}")
    return time.perf_counter() - start, peak / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--works", type=int, default=20000)
    parser.add_argument("--network-px", type=int, default=224)
    parser.add_argument("--epochs", type=int, default=5, help="of the parametric network; memory does not depend on it")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=REPO / "outputs") as temporary:
        make_collection(Path(temporary) / "images", options.works)
        settings = [f"paths.images={temporary}/images", "paths.metadata=null", f"paths.outputs={temporary}/outputs",
                    "vgg.weights=random", "vgg.network=vgg19", f"images.network_px={options.network_px}",
                    f"parametric_tsne.epochs={options.epochs}"]  # fmt: skip
        flags = [word for setting in settings for word in ("--set", setting)]
        print(f"{datetime.date.today()}, {options.works:,} works at {options.network_px} px, {os.cpu_count()} cores,"
              f" {platform.processor() or platform.machine()}, Python {platform.python_version()}\n")  # fmt: skip
        print("| stage | peak memory | time |\n|---|---|---|", flush=True)
        peaks = []
        for stage in STAGES:
            seconds, peak = run([sys.executable, str(REPO / stage.script), *flags])
            peaks.append(peak)
            print(f"| {stage.script} | {peak:,.0f} MB | {seconds:,.0f} s |", flush=True)
    print(f"\nlargest: {max(peaks):,.0f} MB; under 4 GB: {'yes' if max(peaks) < 4096 else 'NO'}")


if __name__ == "__main__":
    main()
