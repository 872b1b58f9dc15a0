"""How much do 64 workers lose to scheduling? Ray's own scheduler and our dispatch; only the work is a sleep.

A cluster of simulated machines runs here, each worker a real process. They get the shards of WikiArt (81,444 works, 318
shards of 256) as extract_features.py hands them out, and sleep as long as one takes instead of computing it. The ideal
is shards x seconds / workers; a run is also bound by whole rounds, ceil(shards / workers), which the table tells apart.
Starting the workers is timed by itself.

Run     python benchmarks/ray_scaling.py                       needs the extra "cluster"; 7 GB and some minutes
        python benchmarks/ray_scaling.py --workers 2 4 --shards 20 --seconds 0.5
"""

import argparse
import math
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import ray
from common import header
from ray.cluster_utils import Cluster

from artatlas import cluster, config

MACHINE_CORES = 16


def sleeping(seconds):
    def work(jobs):
        for job in jobs:
            time.sleep(seconds)
            yield job

    return work


def start(n_workers):
    """A cluster of machines with 16 workers each, all of them started; returns its address, and the seconds."""
    began = time.perf_counter()
    sizes = [min(MACHINE_CORES, n_workers - i) for i in range(0, n_workers, MACHINE_CORES)]
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": sizes[0], "include_dashboard": False})
    for cores in sizes[1:]:
        made.add_node(num_cpus=cores)
    machine = config.load().machine.model_copy(update={"engine": "ray", "threads": 1, "ray_address": made.address})
    while len(cluster._workers(machine)._idle) < n_workers:
        list(cluster.run(machine, sleeping(1), range(2 * n_workers)))
    return made, machine, time.perf_counter() - began


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="+", default=[8, 16, 32, 64])
    parser.add_argument("--shards", type=int, default=318)
    parser.add_argument("--seconds", type=float, nargs="+", default=[2.0, 15.0], help="of a shard")
    options = parser.parse_args()
    print(header("ray"), "\n")
    print("| workers | s a shard | ideal | took | efficiency | of what whole rounds allow | s to start the workers |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for n_workers in options.workers:
        made, machine, to_start = start(n_workers)
        for seconds in options.seconds:
            if options.shards * seconds / n_workers > 100:
                continue  # what takes long anyway is lost to nothing
            began = time.perf_counter()
            assert sorted(cluster.run(machine, sleeping(seconds), range(options.shards))) == list(range(options.shards))
            took = time.perf_counter() - began
            ideal = options.shards * seconds / n_workers
            rounds = math.ceil(options.shards / n_workers) * seconds
            shares = f"{ideal / took:.1%} | {rounds / took:.1%} | {to_start:.0f}"
            print(f"| {n_workers} | {seconds:g} | {ideal:.1f} s | {took:.1f} s | {shares} |", flush=True)
        ray.shutdown()
        cluster._fleet.cache_clear()
        made.shutdown()


if __name__ == "__main__":
    main()
