"""What does machine.engine: ray cost on a single machine, against the plain loop?

The network (both heads, random weights: real weights take as long) looks at the same works by either engine, in turns,
each time from the first shard to the last; Ray's one worker has all cores. What Ray takes to start, and its worker to
import TensorFlow, is timed by itself: it is paid once a stage, or once at all with a cluster that runs.

Run     python benchmarks/ray_overhead.py                  needs the extra "cluster"; some 4 minutes on 2 cores
        python benchmarks/ray_overhead.py --works 2048 --repeats 5
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from common import header
from end_to_end import photographs

import prepare_images
from artatlas import cluster, config, features, shards


def seconds(settings):
    """Of one pass from nothing; what it computed is thrown away."""
    for folder in settings.outputs.glob(".*-shards-*"):
        shards.remove(folder)
    began = time.perf_counter()
    features.extract(settings, ["content", "style"])
    return time.perf_counter() - began


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--works", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    print(header("ray", "numpy"), "\n")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        photographs(folder / "images", options.works)
        changes = (f"paths.images={folder / 'images'}", "paths.metadata=null", f"paths.outputs={folder / 'outputs'}",
                   "vgg.network=vgg19", "vgg.weights=random")  # fmt: skip
        local = config.load(None, changes)
        on_ray = config.load(None, (*changes, "machine.engine=ray"))
        prepare_images.main(local)
        began = time.perf_counter()
        cluster.ask(on_ray.machine, features._hardware, local, network=True)
        started = time.perf_counter() - began
        taken = {"local": [], "ray": []}
        for k in range(options.repeats):
            for name, settings in [("local", local), ("ray", on_ray)][:: 1 if k % 2 == 0 else -1]:
                taken[name].append(seconds(settings))
                print(f"{name}: {taken[name][-1]:.1f} s, {options.works / taken[name][-1]:.1f} works/s", flush=True)
    ratio = statistics.median(b / a for a, b in zip(taken["local"], taken["ray"], strict=True))
    print(
        f"\nray / local, median of {options.repeats} turns: {ratio:.3f}; to start Ray and TensorFlow: {started:.0f} s"
    )


if __name__ == "__main__":
    main()
