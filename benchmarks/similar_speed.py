"""How fast are the nearest of 100,000 works found, and in how much memory? Ours (faiss) against
scikit-learn, exact and not.

Vectors are made up, in clusters, 576 numbers each (a PCA of style to 512 beside 64 of colour). Prints Markdown tables.

Run     python benchmarks/similar_speed.py
        python benchmarks/similar_speed.py --quick        10,000 works, 200 queries
Cost    on 2 cores about 4 minutes and 1 GB, with --quick 30 s
"""

import argparse
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from common import header, paired, ratio

from artatlas import neighbors

WIDTH = 576
K = 20
CLUSTERS = 1000
BLOCK = 1024  # queries to warm up with, and works made at a time


def make(n_works, n_queries):
    """Works (N, D) in clusters, and queries that are others of the same clusters."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((CLUSTERS, WIDTH), dtype=np.float32)
    rows = centres[rng.integers(0, CLUSTERS, n_works + n_queries)]
    for block in np.array_split(rows, len(rows) // BLOCK + 1):  # views: rows themselves change
        block += 0.7 * rng.standard_normal(block.shape, dtype=np.float32)
    return rows[:n_works], rows[n_works:]


def exact(works, queries, repeats):
    """Our exact search, faiss' proposals measured again and put in order, against scikit-learn's."""
    from sklearn.neighbors import NearestNeighbors

    brute = NearestNeighbors(n_neighbors=K, algorithm="brute", n_jobs=-1).fit(works)
    searchable = neighbors.prepare(works, "none", "exact", 0)
    ours, theirs = neighbors.find(searchable, queries, K)[0], brute.kneighbors(queries)[1]
    same = np.mean([len(np.intersect1d(a, b)) for a, b in zip(ours, theirs, strict=True)]) / K
    ways = {"scikit-learn": brute.kneighbors, "artatlas": lambda some: neighbors.find(searchable, some, K)}
    seconds = paired({name: lambda way=way: way(queries) for name, way in ways.items()}, repeats)
    one = paired({name: lambda way=way: way(queries[:1]) for name, way in ways.items()}, 2 * repeats)
    print(f"\n### Exact: the {K} nearest of {len(queries):,} queries among {len(works):,} works, {WIDTH} numbers each")
    print("\n| | seconds for all | ms for one query |\n|---|---|---|")
    for name, words in (("scikit-learn", "scikit-learn, brute force"), ("artatlas", "artatlas, exact (faiss)")):
        print(f"| {words} | {statistics.median(seconds[name]):.2f} | {statistics.median(one[name]) * 1000:.0f} |")
    ratios = ", ".join(f"{a / b:.1f}" for a, b in zip(*seconds.values(), strict=True))
    print(f"\nOurs is {ratio(*seconds.values()):.1f} times as fast (median of runs in turns: {ratios}), for one query"
          f" {ratio(*one.values()):.1f} times. {same:.2%} of the neighbours are the same.")  # fmt: skip
    return ours


def approximate(works, queries, truth):
    import faiss

    print(f"\n### Approximate: the same queries\n\n| index | build, s | search, s | recall@{K} |\n|---|---|---|---|")
    start = time.perf_counter()
    hnsw = faiss.IndexHNSWFlat(WIDTH, 32)
    hnsw.hnsw.efConstruction = 80
    hnsw.add(works)
    built = time.perf_counter() - start
    for breadth in (32, 128, 512):
        hnsw.hnsw.efSearch = breadth
        report(f"HNSW, 32 links, efSearch {breadth}", hnsw, built, queries, truth)
    start = time.perf_counter()
    cells = min(int(4 * np.sqrt(len(works))), len(works) // 39)  # faiss asks for 39 works a cell
    ivf = faiss.IndexIVFFlat(faiss.IndexFlatL2(WIDTH), WIDTH, cells)
    ivf.train(works)
    ivf.add(works)
    built = time.perf_counter() - start
    for probes in (4, 16, 64):
        ivf.nprobe = probes
        report(f"IVF, {cells:,} cells, {probes} probed", ivf, built, queries, truth)


def report(name, index, built, queries, truth):
    index.search(queries[:10], K)
    start = time.perf_counter()
    found = index.search(queries, K)[1]
    took = time.perf_counter() - start
    recall = np.mean([len(np.intersect1d(a, b)) for a, b in zip(found, truth, strict=True)]) / K
    print(f"| {name} | {built:.1f} | {took:.3f} | {recall:.3f} |", flush=True)


def peak():
    """Of this process, KB. What getrusage says would hold the peak of the process that started this one, too."""
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])


def all_pairs(n_works):
    """Run in a process of its own: what asking about every work takes at its peak."""
    works, _ = make(n_works, 0)
    searchable = neighbors.prepare(works, "none", "exact", 0)
    neighbors.find(searchable, works[:BLOCK], K)  # what the library itself takes is there before
    before, start = peak(), time.perf_counter()
    neighbors.find(searchable, works, K, np.arange(n_works))
    after = peak()
    print(f"| {n_works:,} | {time.perf_counter() - start:.1f} | {after / 1024:.0f} | {(after - before) / 1024:.0f} |"
          f" {works.nbytes / 2**20:.0f} | {n_works**2 * 4 / 2**20:,.0f} |")  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="10,000 works, 200 queries")
    parser.add_argument("--all-pairs", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.all_pairs:
        all_pairs(options.all_pairs)
        return
    print(header("faiss-cpu", "scikit-learn", "numpy"))
    works, queries = make(*((10_000, 200) if options.quick else (100_000, 1_000)))
    truth = exact(works, queries, 3 if options.quick else 5)
    approximate(works, queries, truth)
    print(f"\n### All pairs: the {K} nearest of every work\n")
    print("| works | s | peak, MB | of it while searching | the works themselves | all distances at once |")
    print("|---|---|---|---|---|---|", flush=True)
    for n_works in (2_500, 5_000) if options.quick else (10_000, 30_000, 100_000):
        subprocess.run([sys.executable, __file__, "--all-pairs", str(n_works)], check=True)


if __name__ == "__main__":
    main()
