"""What comes after the features, rehearsed at WikiArt's size: 81,444 works in its layout, their embeddings drawn.

The works are 27 styles of many painters; each has a centre of its own among 512 dimensions for content, style and
colour, and its works lie around it. images.h5 holds names, metadata and thumbnails of a few pixels. Stages then run as
a user runs them, each in a process of its own; the folder stays, so that they may be run one at a time.

Run     python benchmarks/rehearse_wikiart.py FOLDER                       all of STAGES
        python benchmarks/rehearse_wikiart.py FOLDER --stages tsne grid    these
Cost    20 minutes and 3 GB of disk on 2 cores; --works 2000 a minute
"""

import argparse
import csv
import io
import os
import sys
import time
from pathlib import Path

import h5py
import numpy as np
from PIL import Image

REPO = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPO))
from common import header

from artatlas import config, store
from artatlas.stages import BY_NAME

WORKS, STYLES, PAINTERS, WIDTH = 81_444, 27, 1119, 512  # as WikiArt has them, and our embeddings
STAGES = ("neighbors", "tsne", "grid", "clusters", "export", "imported_map")
PUBLISHED = "published.csv"


def settings_of(folder, maps):
    values = [
        f"paths.images={folder}/images", "paths.metadata=null", f"paths.outputs={folder}/outputs",
        'images.path_pattern="{style}/{artist}_{title}"', "images.network_px=32", "images.thumbnail_px=16",
        f"maps={maps}", "parametric_tsne.map=combined",
    ]  # fmt: skip
    return [word for value in values for word in ("--set", value)], tuple(values)


def make(folder, n_works, settings):
    """images.h5 and the embeddings, up to date for every stage; and a map as the original repository publishes it."""
    rng = np.random.default_rng(0)
    painter = rng.integers(0, PAINTERS, n_works)
    names = [f"style-{p % STYLES}/painter-{p}_work-{i}.jpg" for i, p in enumerate(painter)]
    buffer = io.BytesIO()
    Image.new("RGB", (16, 12), (120, 90, 60)).save(buffer, "JPEG")
    thumbnail = np.frombuffer(buffer.getvalue(), np.uint8)
    images = config.load(None, settings)
    with store.create(images.outputs / "images.h5", "images", {"settings": images.settings(("images",))}, {}) as h5:
        store.write_ids(h5, np.array(names, object))
        h5["pixels"] = np.zeros((n_works, 1, 1, 3), np.uint8)
        rows = h5.create_dataset("thumbnails", (n_works,), h5py.vlen_dtype(np.uint8))
        for start in range(0, n_works, 4096):
            rows[start : start + 4096] = [thumbnail] * len(names[start : start + 4096])
        h5["width"], h5["height"] = np.full(n_works, 16, np.int32), np.full(n_works, 12, np.int32)
        for name in ("duplicate_of", "skipped/image_ids", "skipped/reason"):
            n = n_works if name == "duplicate_of" else 0
            h5.create_dataset(name, data=np.array([""] * n, object), dtype=store.TEXT)
        h5.create_dataset("file_sha256", data=np.array([f"{i:064x}" for i in range(n_works)], object), dtype=store.TEXT)
        for column, values in (("artist", [f"painter-{p}" for p in painter]),
                               ("style", [f"style-{p % STYLES}" for p in painter])):  # fmt: skip
            h5.create_dataset(f"metadata/{column}", data=np.array(values, object), dtype=store.TEXT)
    inputs = {"images": store.attributes(images, "images")["fingerprint"]}
    for name in ("content", "style", "color"):
        centres = rng.normal(size=(PAINTERS, WIDTH)).astype(np.float32)
        recipe = {"settings": images.settings(BY_NAME[name].sections)}
        with store.create(images.outputs / f"{name}.h5", name, recipe, inputs) as h5:
            store.write_ids(h5, np.array(names, object))
            rows = h5.create_dataset("embeddings", (n_works, WIDTH), np.float32)
            for start in range(0, n_works, 4096):
                near = centres[painter[start : start + 4096]]
                rows[start : start + 4096] = near + rng.normal(size=near.shape).astype(np.float32)
            if name == "style":
                h5["pca/mean"], h5["pca/components"] = np.zeros(WIDTH, np.float32), np.eye(WIDTH, dtype=np.float32)
                h5["pca/explained_variance"] = np.ones(WIDTH, np.float32)
                h5["pca"].attrs["explained_variance_ratio"] = 1.0
    with open(folder / PUBLISHED, "w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["Image", "X", "Y"])
        places = np.round(rng.normal(0, 30, (n_works, 2)), 5).tolist()
        table.writerows([f"/home/somebody/wikiart/{name}", *place] for name, place in zip(names, places, strict=True))


def run(command):
    """Seconds and peak memory in MB of one process, and its closing line."""
    reader, writer = os.pipe()
    began = time.perf_counter()
    child = os.fork()
    if not child:
        os.dup2(writer, 1)
        os.execv(command[0], command)
    os.close(writer)
    with os.fdopen(reader, encoding="utf-8") as told:
        said = told.read()
    _, status, usage = os.wait4(child, 0)
    if status:
        sys.exit(f"{command[1]} stopped")
    return time.perf_counter() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, said.strip()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--works", type=int, default=WORKS)
    parser.add_argument("--stages", nargs="+", default=STAGES, choices=STAGES, metavar="STAGE", help=", ".join(STAGES))
    parser.add_argument("--maps", default="{combined: {content: 1, style: 1}}")
    options = parser.parse_args()
    flags, settings = settings_of(options.folder.resolve(), options.maps)
    if not (options.folder / PUBLISHED).exists():
        make(options.folder.resolve(), options.works, settings)
    print(header("numpy", "faiss-cpu", "openTSNE") + "\n")
    print(
        f"| stage, {options.works:,} works | seconds | of processors | peak MB | closing line |\n|---|---|---|---|---|"
    )
    for name in options.stages:
        extra = [str(options.folder / PUBLISHED)] if name == "imported_map" else []
        script = BY_NAME[name].script
        seconds, processors, peak, said = run([sys.executable, str(REPO / script), *extra, *flags])
        closing = said.splitlines()[-1].partition(": ")[2]
        print(f"| {script} | {seconds:.0f} | {processors:.0f} | {peak:,.0f} | {closing} |", flush=True)


if __name__ == "__main__":
    main()
