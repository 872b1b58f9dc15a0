"""PCA of Gram vectors: ours against scikit-learn's IncrementalPCA, in time, memory and explained variance.

Synthetic vectors of 32,896 numbers with a spectrum that falls as slowly as that of paintings lie on the disk in
shards, as extract_style.py leaves them. Each method fits and transforms them in a process of its own. The explained
variance of both is computed the same way here, as the share of the total that is left after projection.

Run     python benchmarks/style_pca.py                  20,000 works: 2.6 GB of disk, some 15 minutes
        python benchmarks/style_pca.py --works 5000     some 3 minutes
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from common import header

from artatlas import features, reduce, shards

COLUMNS, COMPONENTS, ROWS, BATCH = 32_896, 512, 1024, 1024
DECAY, LATENT, NOISE = 0.7, 1500, 0.02  # variance of component k falls as k^-1.4; 1,231 paintings: k^-1.3


def make_shards(folder, n_works):
    """(N, 32896) float32 in shards: 1,500 latent directions of falling variance, noise, and a large mean."""
    rng = np.random.default_rng(0)
    basis = rng.standard_normal((LATENT, COLUMNS), dtype=np.float32) / np.sqrt(COLUMNS)
    basis *= (np.arange(1, LATENT + 1, dtype=np.float32) ** -DECAY)[:, None]
    mean = rng.uniform(0, 5, COLUMNS).astype(np.float32)
    for rows in shards.slices(n_works, ROWS):
        n = rows.stop - rows.start
        vectors = rng.standard_normal((n, COLUMNS), dtype=np.float32) * (NOISE / np.sqrt(COLUMNS)) + mean
        vectors += rng.standard_normal((n, LATENT), dtype=np.float32) @ basis
        np.save(folder / f"{rows.start:09d}.npy", vectors)


def blocks(folder, n_rows=features.NUMBERS // COLUMNS):
    for path in sorted(folder.glob("*.npy")):
        shard = np.load(path, mmap_mode="r")
        for start in range(0, len(shard), n_rows):
            yield np.asarray(shard[start : start + n_rows])


def fit_ours(folder):
    pca = reduce.fit_pca(lambda: blocks(folder), COMPONENTS, np.random.default_rng(0))
    embeddings = np.concatenate([pca.transform(block) for block in blocks(folder)])
    return pca.mean, pca.components, embeddings


def fit_incremental(folder):
    from sklearn.decomposition import IncrementalPCA

    pca = IncrementalPCA(COMPONENTS)
    for block in blocks(folder, BATCH):
        if len(block) >= COMPONENTS:  # it refuses a smaller batch; so it sees no row of the last one
            pca.partial_fit(block)
    embeddings = np.concatenate([pca.transform(block) for block in blocks(folder)])
    return pca.mean_, pca.components_, embeddings


METHODS = {"artatlas.reduce.fit_pca": fit_ours, "scikit-learn IncrementalPCA": fit_incremental}


def peak_memory(command):
    """Runs a command; returns its output and its peak resident memory in MB. Pages of the shards count too."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    status, peak = Path(f"/proc/{process.pid}/status"), 0
    while process.poll() is None:
        # Anonymous memory: what is mapped from the shards belongs to the page cache and is given back when needed.
        try:
            fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
            peak = max(peak, int(fields["RssAnon"].split()[0]))
        except (FileNotFoundError, ProcessLookupError, KeyError):
            pass
        time.sleep(0.05)
    if process.returncode:
        sys.exit("stopped: " + " ".join(command))
    return process.stdout.read(), peak / 1024


def explained(folder, mean, components):
    """Share of the variance around the mean of all rows that the subspace keeps."""
    total = kept = count = 0.0
    offset = np.zeros(COLUMNS)
    for block in blocks(folder):
        offset += (block - mean).sum(axis=0)
        count += len(block)
    mean = (mean + offset / count).astype(np.float32)
    for block in blocks(folder):
        rows = block - mean
        total += float(np.square(rows, dtype=np.float64).sum())
        kept += float(np.square(rows @ components.T, dtype=np.float64).sum())
    return kept / total


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--works", type=int, default=20_000)
    parser.add_argument("--method", choices=METHODS, help=argparse.SUPPRESS)  # one method, in a process of its own
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.method:
        start = time.perf_counter()
        mean, components, _ = METHODS[options.method](options.folder)
        print(time.perf_counter() - start)
        np.savez(options.folder / "fitted.npz", mean=mean, components=components)
        return
    with tempfile.TemporaryDirectory(dir=Path(__file__).resolve().parent.parent / "outputs") as temporary:
        folder = Path(temporary)
        make_shards(folder, options.works)
        found = {}
        for method in METHODS:
            command = [sys.executable, __file__, "--method", method, "--folder", temporary]
            output, peak = peak_memory(command)
            with np.load(folder / "fitted.npz") as fitted:
                found[method] = float(output), peak, explained(folder, fitted["mean"], fitted["components"])
    print(header("numpy", "scikit-learn") + f"; {options.works:,} vectors of {COLUMNS:,}\n")
    print("| method | seconds | memory | explained variance |\n|---|---|---|---|")
    for method, (seconds, peak, share) in found.items():
        print(f"| {method} | {seconds:,.1f} | {peak:,.0f} MB | {share:.5f} |")
    (ours, _, _), (other, _, _) = found.values()
    print(f"\nratio: {other / ours:.1f}")


if __name__ == "__main__":
    main()
