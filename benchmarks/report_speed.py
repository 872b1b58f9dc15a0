"""How long does the report take as the collection grows, and how much memory? evaluate_maps.py over made-up works.

Embeddings are made up in clusters, 512 numbers each, artists and styles with them; the map is the clusters' centres in
two dimensions and noise. One map, not drawn again: what that costs is what build_tsne.py does. Prints a Markdown table.

Run     python benchmarks/report_speed.py
        python benchmarks/report_speed.py --works 5000        (a quick look)
Cost    of one core some 5 minutes and 2 GB
"""

import argparse
import io
import resource
import sys
import tempfile
from pathlib import Path

import numpy as np
from common import header
from peak_memory import run
from PIL import Image

REPO = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPO))
from artatlas import config as config_module
from artatlas import store
from artatlas.stages import BY_NAME

WIDTH, CLUSTERS, STYLES = 512, 1000, 25
SETTINGS = ("maps={content: {content: 1}}", "parametric_tsne.map=content")


def make(settings, n_works):
    """images.h5, content.h5 and tsne.h5 of N works, as their stages would leave them."""
    rng = np.random.default_rng(0)
    ids = np.array([f"{i:06}.jpg" for i in range(n_works)], dtype=object)
    artist = rng.integers(0, CLUSTERS, n_works)
    buffer = io.BytesIO()
    Image.new("RGB", (64, 48), "#886644").save(buffer, "JPEG")
    jpeg = np.frombuffer(buffer.getvalue(), np.uint8)
    outputs, made = settings.outputs, {}

    def create(name, **more):
        recipe = {"settings": settings.settings(BY_NAME[name].sections), **more}
        return store.create(outputs / BY_NAME[name].output, name, recipe, dict(made))

    with create("images") as h5:
        store.write_ids(h5, ids)
        h5["pixels"] = np.zeros((n_works, 1, 1, 3), np.uint8)
        thumbnails = h5.create_dataset("thumbnails", (n_works,), store.h5py.vlen_dtype(np.uint8))
        for row in range(n_works):
            thumbnails[row] = jpeg
        h5["width"], h5["height"] = np.full(n_works, 64, np.int32), np.full(n_works, 48, np.int32)
        for name in ("duplicate_of", "metadata/artist", "metadata/style"):
            values = {"metadata/artist": artist, "metadata/style": artist % STYLES}.get(name, [""] * n_works)
            h5.create_dataset(name, data=np.array([str(value) for value in values], dtype=object), dtype=store.TEXT)
        for name in ("image_ids", "reason"):
            h5.create_dataset(f"skipped/{name}", (0,), store.TEXT)
    made["images"] = store.attributes(settings, "images")["fingerprint"]
    with create("content") as h5:
        store.write_ids(h5, ids)
        rows = h5.create_dataset("embeddings", (n_works, WIDTH), np.float32)
        centres = rng.normal(size=(CLUSTERS, WIDTH)).astype(np.float32)
        for start in range(0, n_works, 1000):
            near = centres[artist[start : start + 1000]]
            rows[start : start + 1000] = near + rng.normal(size=near.shape).astype(np.float32)
    made = {"content": store.attributes(settings, "content")["fingerprint"]}
    with create("tsne", perplexity=30.0) as h5:
        store.write_ids(h5, ids)
        drawn = rng.normal(0, 30, (CLUSTERS, 2))[artist] + rng.normal(0, 1, (n_works, 2))
        h5["content/coordinates"] = drawn.astype(np.float32)
        h5["content"].attrs["kl_divergence"] = 0.0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--works", type=int, nargs="+", default=(1_000, 20_000, 100_000))
    options = parser.parse_args()
    lines = []
    for n_works in options.works:
        with tempfile.TemporaryDirectory() as folder:
            values = (f"paths.outputs={folder}", "paths.metadata=null", "evaluate.n_seeds=null", *SETTINGS)
            settings = config_module.load(None, values)
            make(settings, n_works)
            run([sys.executable, str(REPO / "tsne_to_grid.py"), *settings.flags])
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            seconds, peak = run([sys.executable, str(REPO / "evaluate_maps.py"), *settings.flags])
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            page = (Path(folder) / "report.html").stat().st_size
        lines.append(f"| {n_works:,} | {seconds:,.0f} | {busy:,.0f} | {peak:,.0f} MB | {page / 2**20:.1f} MB |")
        print(lines[-1], file=sys.stderr, flush=True)
    print(header("numpy", "faiss-cpu", "scipy"))
    print("\n| works | seconds a map | of one core | memory | page |\n|---|---|---|---|---|")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
