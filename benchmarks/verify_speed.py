"""How fast are pairs scored, beside a step of Python or a call of a network for each?

A verifier of 13,000 made-up works of 128 dimensions, corrected by a cohort of 2,000, as `metric` makes it. In turns:
pairs in blocks as verify_pairs.py scores them, one pair at a time in Python, and one call of a Keras network a pair.
Then verify_pairs.py itself in a process of its own on a CSV of pairs with answers: seconds, and the most memory.

Run     python benchmarks/verify_speed.py [--pairs 1048576] [--csv 1048576 21916047]
Cost    a minute a million pairs of --csv, and 50 MB of disk
"""

import argparse
import csv
import re
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from common import header, paired, ratio

from artatlas import config, methods, outcomes, store, verification, vgg
from artatlas.calibration import Calibration

N_WORKS, N_DIMENSIONS, N_COHORT, N_ARTISTS = 13_000, 128, 2_000, 500
REPO = Path(__file__).resolve().parent.parent


def make(folder):
    """A verifier of made-up works, in memory and as verifier.h5."""
    rng = np.random.default_rng(0)
    labels = rng.integers(N_ARTISTS, size=N_WORKS)
    hands = rng.normal(size=(N_ARTISTS, N_DIMENSIONS))
    rows = (hands[labels] + 2 * rng.normal(size=(N_WORKS, N_DIMENSIONS))).astype(np.float32)
    settings = config.load(None, (f"paths.outputs={folder}",))
    chosen = settings.verifier.model_copy(update={"shrinkage": 0.5})
    fitted = methods.whitened(rows[:N_COHORT], labels[:N_COHORT], chosen)
    verifier = fitted.begun_by([], Calibration("platt", np.array([2.0, -4.0]), np.zeros(0)))
    works = verifier.works(rows, np.arange(N_WORKS))
    ids = np.array([f"train/{i}.jpg" for i in range(N_WORKS)], dtype=object)
    with store.create(folder / "verifier.h5", "verifier", {"settings": settings.settings(("verifier",))}, {}) as h5:
        store.write_ids(h5, ids)
        h5["embeddings"], h5["norms"], h5["picture"] = works.embeddings, works.norms, works.picture
        h5["part"] = np.ones(N_WORKS, np.int8)
        names = np.array([f"artist {label}" for label in labels], dtype=object)
        for name, values in (("label", names), ("file_sha256", ids)):
            h5.create_dataset(name, data=values, dtype=store.TEXT)
        some = rng.integers(N_WORKS, size=(2, 100_000))
        h5["report/edges"] = outcomes.edges(verifier.raw(works, *some))
        verification.write(h5, verifier, {}, {})
    return verifier, works, labels


def one_by_one(verifier, works, left, right):
    """The same scores, a step of Python a pair."""
    found = []
    for a, b in zip(left.tolist(), right.tolist(), strict=True):
        x, y = works.embeddings[a], works.embeddings[b]
        ratio = float(x[:-1] @ y[:-1] - x[-1] - y[-1])
        (m_a, d_a), (m_b, d_b) = works.norms[a], works.norms[b]
        raw = ((ratio - m_a) / d_a + (ratio - m_b) / d_b) / 2
        found.append(1 / (1 + np.exp(-(verifier.calibration.x[0] * raw + verifier.calibration.x[1]))))
    return found


def call_a_pair(works, left, right):
    """One call of a small Keras network on both embeddings a pair; the older systems called a whole VGG."""
    import keras

    n_columns = 2 * works.embeddings.shape[1]
    model = keras.Sequential([keras.Input((n_columns,)), keras.layers.Dense(64, "relu"), keras.layers.Dense(1)])

    def call():
        for a, b in zip(left.tolist(), right.tolist(), strict=True):
            model.predict(np.hstack([works.embeddings[a], works.embeddings[b]])[None], verbose=0)

    return call


def write_csv(path, labels, n_pairs):
    rng = np.random.default_rng(1)
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["index", "image1", "image2", "sameArtist"])
        for start in range(0, n_pairs, 1 << 18):
            left, right = rng.integers(N_WORKS, size=(2, min(1 << 18, n_pairs - start)))
            same = (labels[left] == labels[right]).astype(int)
            table.writerows(
                (start + i, f"{a}.jpg", f"{b}.jpg", s)
                for i, (a, b, s) in enumerate(zip(left.tolist(), right.tolist(), same.tolist(), strict=True))
            )


def run_script(pairs, folder):
    """Seconds and most memory of verify_pairs.py on `pairs`, and the ROC AUC that it told."""
    command = [sys.executable, str(REPO / "verify_pairs.py"), str(pairs), "--set", f"paths.outputs={folder}"]
    start = time.perf_counter()
    process, peak = subprocess.Popen(command, stdout=subprocess.PIPE, text=True), 0
    status = Path(f"/proc/{process.pid}/status")
    while process.poll() is None:  # what it says fits into the pipe
        found = re.search(r"VmHWM:\s+(\d+)", status.read_text()) if status.exists() else None
        peak = max(peak, int(found[1])) if found else peak  # the kernel's own count; ru_maxrss has the parent's in it
        time.sleep(0.1)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed")
    return time.perf_counter() - start, peak / 2**10, re.search(r"ROC AUC\s+(\S+.*)", process.stdout.read())[1]


def compare(verifier, works, n_pairs, repeats):
    vgg.start_tensorflow(config.load())
    left, right = np.random.default_rng(0).integers(N_WORKS, size=(2, n_pairs))

    def blocks():
        return verifier.probability(verifier.raw(works, left, right))

    few, calls = 1 << 14, 64
    np.testing.assert_allclose(one_by_one(verifier, works, left[:99], right[:99]), blocks()[:99], atol=1e-5)
    seconds = paired(
        {
            "in blocks": blocks,
            "a step of Python a pair": lambda: one_by_one(verifier, works, left[:few], right[:few]),
            "a call of a network a pair": call_a_pair(works, left[:calls], right[:calls]),
        },
        repeats,
    )
    tracemalloc.start()
    blocks()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    n_done = {"in blocks": n_pairs, "a step of Python a pair": few, "a call of a network a pair": calls}
    print(header("numpy", "keras") + f". {N_WORKS:,} works of {N_DIMENSIONS} dimensions.\n")
    print("| scoring | pairs a second | s for 1,048,576 | times as long |\n|---|---|---|---|")
    per_pair = {name: [s / n_done[name] for s in found] for name, found in seconds.items()}
    for name, found in per_pair.items():
        each = statistics.median(found)
        times = "" if name == "in blocks" else f"{ratio(found, per_pair['in blocks']):,.0f}"
        print(f"| {name} | {1 / each:,.0f} | {each * 2**20:,.1f} | {times} |")
    print(f"\n{n_pairs:,} pairs in blocks took {peak / 2**20:.0f} MiB beside the embeddings.\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=1 << 20)
    parser.add_argument("--csv", type=int, nargs="*", default=[1 << 20], metavar="N")
    parser.add_argument("--only-csv", action="store_true", help="leaves the comparison out")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        verifier, works, labels = make(folder)
        if not arguments.only_csv:
            compare(verifier, works, arguments.pairs, arguments.repeats)
        print("| verify_pairs.py, pairs with answers | s | most memory, MiB | ROC AUC |\n|---|---|---|---|")
        for n_pairs in arguments.csv:
            write_csv(folder / "pairs.csv", labels, n_pairs)
            took, memory, auc = run_script(folder / "pairs.csv", folder)
            print(f"| {n_pairs:,} | {took:.1f} | {memory:,.0f} | {auc} |", flush=True)


if __name__ == "__main__":
    main()
