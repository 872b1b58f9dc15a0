"""How long does `run_all.py --add` take where many works are there already, and does it move anything?

Makes the outputs of a collection of N works without computing them: pictures that carry their number, embeddings in
groups, maps, grids, neighbours, a network, all with the recipes and fingerprints that real ones have (random weights of
VGG16). The page is built as a user does. Then M new pictures are added, and old rows, coordinates, cells, neighbours'
distances and tiles are compared byte by byte.

Run     python benchmarks/additions.py [--works 100000] [--add 100] [--folder FOLDER]
        With --folder what is there already is not made again.
Cost    100,000 works: a quarter of an hour and 12 GB of disk, most of it for the page and the pictures
"""

import argparse
import hashlib
import itertools
import os
import re
import resource
import shutil
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import h5py
import numpy as np
from common import header
from PIL import Image
from viewer_scale import CHUNK, picture, some_pictures

REPO = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPO))
import run_all
from artatlas import config, neighbor_lists, parametric, queries, reuse, shapes, sources, store, vgg, weights
from artatlas.reduce import Pca

SIDE = 32  # px of what the network sees: the smallest that VGG takes
GROUPS = 200
DIMENSIONS = {"content": 512, "style": 512, "color": 512}
LINKS = 30_000  # names that one file may have, for ext4 stops at 65,000


def settings_for(folder):
    return (
        f"paths.images={folder / 'images'}", "paths.metadata=null", f"paths.outputs={folder / 'outputs'}",
        "vgg.network=vgg16", "vgg.weights=random", "vgg.precision=float32", f"images.network_px={SIDE}",
        "evaluate.labels=[]", "render.color_by=null",
    )  # fmt: skip


def load(folder):
    return config.load(None, settings_for(folder))


def make_folder(folder, ids):
    """Files that have the sizes and times that images.h5 notes; nobody opens them again."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for start in range(0, len(ids), LINKS):
        one = folder / f"one{start}.jpg"
        one.write_bytes(picture(start))
        os.utime(one, (1_700_000_000, 1_700_000_000))
        for name in ids[start : start + LINKS]:
            path = folder / "images" / name
            path.parent.mkdir(exist_ok=True)
            os.link(one, path)


def make_images(settings, ids):
    n = len(ids)
    recipe = {"settings": settings.settings(("images",))}
    with store.create(settings.outputs / "images.h5", "images", recipe, {}, [[name] for name in ids]) as h5:
        store.write_ids(h5, ids)
        pixels = h5.create_dataset("pixels", (n, SIDE, SIDE, 3), np.uint8)
        rng = np.random.default_rng(0)
        for start in range(0, n, CHUNK):
            end = min(start + CHUNK, n)
            pixels[start:end] = rng.integers(0, 256, (end - start, SIDE, SIDE, 3), np.uint8)
        thumbnails = h5.create_dataset("thumbnails", (n,), h5py.vlen_dtype(np.uint8))
        starts = range(0, n, CHUNK)
        ends = [min(start + CHUNK, n) for start in starts]
        with ProcessPoolExecutor() as pool:
            for start, jpegs in zip(starts, pool.map(some_pictures, starts, ends, [False] * len(ends)), strict=True):
                for i, jpeg in enumerate(jpegs):
                    thumbnails[start + i] = np.frombuffer(jpeg, np.uint8)
        h5["width"], h5["height"] = np.full(n, 256, np.int32), np.full(n, 192, np.int32)
        files = [os.stat(Path(settings.paths.images) / name) for name in ids]
        h5["file_bytes"] = np.array([file.st_size for file in files], np.int64)
        h5["file_mtime_ns"] = np.array([file.st_mtime_ns for file in files], np.int64)
        hashes = [hashlib.sha256(name.encode()).hexdigest() for name in ids]
        for name, values in (("duplicate_of", [""] * n), ("file_sha256", hashes)):
            h5.create_dataset(name, data=np.array(values, object), dtype=store.TEXT)
        for name in ("image_ids", "file_sha256", "reason"):
            h5.create_dataset(f"skipped/{name}", (0,), store.TEXT)
        for name in ("file_bytes", "file_mtime_ns"):
            h5[f"skipped/{name}"] = np.zeros(0, np.int64)
        reuse.write_digests(h5, np.array(hashes))
        h5.create_group("metadata")
        h5.attrs["metadata_sha256"] = ""


def fingerprints(settings, *names):
    return {name: str(store.attributes(settings, name)["fingerprint"]) for name in names}


def make_embeddings(settings, ids, group, rng):
    network = weights.resolve("vgg16", "random")
    for name, width in DIMENSIONS.items():
        centres = rng.normal(size=(GROUPS, width)).astype(np.float32)
        recipe = {"settings": settings.settings(("color",))}
        if name != "color":
            recipe = {"settings": settings.settings(("vgg", name)), **vgg.provenance(network, "float32")}
        inputs = fingerprints(settings, "images")
        with store.create(settings.outputs / f"{name}.h5", name, recipe, inputs) as h5:
            store.write_ids(h5, ids)
            rows = h5.create_dataset("embeddings", (len(ids), width), np.float32)
            for start in range(0, len(ids), CHUNK):
                some = group[start : start + CHUNK]
                rows[start : start + len(some)] = centres[some] + rng.normal(size=(len(some), width))
            if name == "style":
                n_inputs = vgg.gram_length(settings.style.layers[0])
                components = (rng.normal(size=(width, n_inputs)) / np.sqrt(n_inputs)).astype(np.float32)
                store.write_pca(h5, Pca(np.zeros(n_inputs, np.float32), components, np.ones(width, np.float32), 0.9))


def make_lists(settings, ids, rng):
    """Lists of anybody, at distances at which they might be, so that new works get into some."""
    works = queries.read_works(settings)
    with store.create(settings.outputs / "neighbors.h5", "neighbors",
                      {"settings": settings.settings(("similar",)), "index": "exact"}, works.inputs) as h5:  # fmt: skip
        store.write_ids(h5, ids)
        for name, space in settings.similar.spaces.items():
            found = queries.read_space(settings, works, name)
            indices = (np.arange(len(ids))[:, None] + np.arange(1, 21)) % len(ids)
            distances = np.sort(rng.uniform(1, 1.3, indices.shape), axis=1).astype(np.float32)
            lists = neighbor_lists.Lists(
                indices.astype(np.int32), distances, found.scalers, neighbor_lists._digest(found.features)
            )
            neighbor_lists.write(h5.create_group(name), lists, space.weights, "exact")
    inputs = fingerprints(settings, "neighbors", "images")
    with store.create(settings.outputs / "variants.h5", "variants", {"settings": settings.settings(("variants",))},
                      inputs) as h5:  # fmt: skip
        store.write_ids(h5, ids)
        h5["pairs"], h5["boxes"] = np.zeros((0, 2), np.int32), np.zeros((0, 4), np.float32)
        h5["scores"], h5["group"] = np.zeros(0, np.float32), np.arange(len(ids), dtype=np.int32)


def make_maps(settings, ids, group, rng):
    outputs, n = settings.outputs, len(ids)
    with store.create(outputs / "clusters.h5", "clusters", {"settings": settings.settings(("clusters", "similar"))},
                      fingerprints(settings, *DIMENSIONS, "images")) as h5:  # fmt: skip
        store.write_ids(h5, ids)
        for name in settings.similar.spaces:
            h5[f"{name}/labels"] = group.astype(np.int32)
            h5[f"{name}/sizes"] = np.bincount(group).astype(np.int32)
            h5[f"{name}/representatives"] = np.zeros(GROUPS, np.int32)
    recipe = {"settings": settings.settings(("maps", "tsne")), "perplexity": 30.0}
    used = [name for name in DIMENSIONS if any(name in each for each in settings.maps.values())]
    angle, radius = rng.uniform(0, 2 * np.pi, GROUPS), 100 * np.sqrt(rng.uniform(0, 1, GROUPS))
    centres = np.column_stack((radius * np.cos(angle), radius * np.sin(angle)))
    with store.create(outputs / "tsne.h5", "tsne", recipe, fingerprints(settings, *used)) as h5:
        store.write_ids(h5, ids)
        for name in settings.maps:
            h5[f"{name}/coordinates"] = (centres[group] + rng.normal(0, 5, (n, 2))).astype(np.float32)
            h5[name].attrs["kl_divergence"] = 1.0
    with store.create(outputs / "grid.h5", "grid", {"settings": settings.settings(("grid",))},
                      fingerprints(settings, "tsne")) as h5:  # fmt: skip
        store.write_ids(h5, ids)
        rows, cols = shapes.choose_shape(n, 1.0)
        for name in settings.maps:
            h5[f"{name}/cells"] = shapes.rectangle(n, cols)[rng.permutation(n)].astype(np.int32)
            h5[name].attrs["rows"], h5[name].attrs["cols"] = rows, cols
    weighed = dict(settings.maps[settings.parametric_tsne.map])
    _, scalers = sources.read_features(settings, ids, weighed, settings.tsne.scaling)
    placed = {name: sources.read_placed(settings, name, scaler) for name, scaler in scalers.items()}
    widths = [sum(DIMENSIONS[name] for name in weighed), *settings.parametric_tsne.hidden, 2]
    layers = [
        (rng.normal(0, 0.02, pair).astype(np.float32), np.zeros(pair[1], np.float32))
        for pair in itertools.pairwise(widths)
    ]
    low = np.full(2, -100, np.float32)
    network = parametric.Network(np.zeros(widths[0], np.float32), 1.0, layers, low, -low)
    recipe = {"settings": settings.settings(("parametric_tsne",)), "perplexity": 30.0}
    inputs = fingerprints(settings, *weighed, "tsne", "images")
    with store.create(outputs / "parametric_tsne.h5", "parametric_tsne", recipe, inputs) as h5:
        store.write_ids(h5, ids)
        h5["coordinates"], h5["is_test"] = np.zeros((n, 2), np.float32), np.zeros(n, bool)
        h5.create_group("report")
        parametric.write(h5, parametric.Model(settings.settings(("images",))["images"], placed, network))
    inputs = fingerprints(settings, *used, "tsne", "grid", "parametric_tsne", "images")
    with store.create(outputs / "faithfulness.h5", "report", {"settings": settings.settings(("evaluate",))},
                      inputs) as h5:  # fmt: skip
        store.write_ids(h5, ids)
        for name in settings.maps:
            for key in ("faithfulness", "trustworthiness", "continuity"):
                h5[f"{name}/{key}"] = rng.uniform(0, 1, n).astype(np.float32)
            h5[name].attrs["n_neighbors"] = 10


def make(folder, n_works):
    settings, rng = load(folder), np.random.default_rng(0)
    ids = np.array([f"{i // 1000:03}/work-{i:06}.jpg" for i in range(n_works)], object)
    group = rng.integers(0, GROUPS, n_works)
    make_folder(folder, ids)
    make_images(settings, ids)
    make_embeddings(settings, ids, group, rng)
    make_lists(settings, ids, rng)
    make_maps(settings, ids, group, rng)


def run(folder, script, *more):
    flags = [word for value in settings_for(folder) for word in ("--set", value)]
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, str(REPO / script), *more, *flags], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(done.returncode)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processors = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - start, processors, done.stdout


def compare(before, after):
    """Lines (what, same, of how many)."""
    for name, keys in (
        ("content", ["embeddings"]), ("style", ["embeddings"]), ("color", ["embeddings"]),
        ("tsne", ["*/coordinates"]), ("grid", ["*/cells"]), ("clusters", ["*/labels"]),
    ):  # fmt: skip
        with h5py.File(before / f"{name}.h5") as old, h5py.File(after / f"{name}.h5") as new:
            groups = [key for key in old if isinstance(old[key], h5py.Group) and key not in ("pca",)]
            wanted = [key.replace("*", group) for key in keys for group in (groups if "*" in key else [""])]
            same = all(old[key][:].tobytes() == new[key][: len(old[key])].tobytes() for key in wanted)
            yield f"{name}.h5, rows that were there", "the same bytes" if same else "DIFFERENT", ""
    old_tiles = {path.relative_to(before): path for path in (before / "viewer" / "tiles").rglob("*.jpg")}
    same = sum((after / name).exists() and (after / name).read_bytes() == path.read_bytes()
               for name, path in old_tiles.items())  # fmt: skip
    yield "tiles that were there, the same bytes", f"{same:,}", f"{len(old_tiles):,}"
    linked = sum((after / name).exists() and (after / name).samefile(path) for name, path in old_tiles.items())
    yield "of these not written again", f"{linked:,}", ""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--works", type=int, default=100_000)
    parser.add_argument("--add", type=int, default=100)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        if not (folder / "outputs" / "faithfulness.h5").exists():
            make(folder, options.works)
        built = ""
        if not (folder / "outputs" / "viewer").exists():
            built = "{:.0f} s, {:.0f} s of processors".format(*run(folder, "build_viewer.py")[:2])
        if options.works <= run_all.PICTURES_UP_TO and not (folder / "outputs" / "pictures").exists():
            run(folder, "render_grid.py")
        before = folder / "before"
        if not before.exists():
            shutil.copytree(folder / "outputs", before, copy_function=os.link)
        new = folder / "new"
        new.mkdir(exist_ok=True)
        for i in range(options.add):
            rng = np.random.default_rng(10**6 + i)
            Image.fromarray(rng.integers(0, 256, (192, 256, 3), np.uint8)).save(new / f"new-{i:04}.jpg")
        seconds, processors, told = run(folder, "run_all.py", "--add", str(new))
        print(header("numpy", "h5py", "pillow", "faiss-cpu"), "\n")
        print(f"| {options.add} works added to {options.works:,} | |\n|---|---|")
        if built:
            print(f"| building the page once, before | {built} |")
        of_features = 0.0
        for script, took in re.findall(r"^(\w+\.py) +([\d.]+ s|\d+ min \d\d s)  ", told, re.M):
            print(f"| {script} | {took} |")
            if script in ("extract_features.py", "extract_color.py"):
                minutes = re.match(r"(?:(\d+) min )?([\d.]+) s", took)
                of_features += 60 * int(minutes[1] or 0) + float(minutes[2])
        print(f"| all of run_all.py --add | {seconds:.0f} s, {processors:.0f} s of processors |")
        print(f"| without the features of the new works | {seconds - of_features:.0f} s |")
        for what, same, of in compare(before, folder / "outputs"):
            print(f"| {what} | {same}{f' of {of}' if of else ''} |")


if __name__ == "__main__":
    main()
