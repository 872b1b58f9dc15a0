"""Does memory stay flat as the collection grows? Peak of every stage at two sizes, and how much more the larger takes.

A stage may grow by what it cannot do without: what it reads or writes as a whole, and what the t-SNE of N works is
(features, neighbours), all listed in `held`. Everything else should go by in blocks. Every stage runs in a process of
its own. Pictures are tiny and the network sees 32 px with random weights: what their size adds, it adds at both numbers
of works. Embeddings are made up, in clusters, with the widths of the defaults. There are few iterations and epochs,
because memory does not depend on their number, and one map, the widest of the defaults: they are drawn one after the
other. Prints a Markdown table.

Run     python benchmarks/memory_growth.py
        python benchmarks/memory_growth.py --works 5000 20000 --stages tsne parametric_tsne grid      (a quick look)
Cost    on 2 cores about 20 min and 5 GB of disk. The network is slow, and the Gram vectors take 128 KB of disk a work:
        content and style are therefore measured at no more than --most-seen works
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
from common import header
from peak_memory import make_collection, run

REPO = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPO))
from artatlas import config as config_module
from artatlas import store, weights
from artatlas.config import Config
from artatlas.reduce import Pca
from artatlas.stages import BY_NAME, ON_REQUEST, SOURCES, STAGES

WIDTH = 512  # of every source's embeddings under the defaults
GRAM_LENGTH = 32896  # of style's vectors before PCA
CLUSTERS = 200
PLACED = 200  # pictures that place_images.py gets
NAMES = 2048  # bytes a work: ids, paths and hashes as Python strings, several of each while files are joined by id
ALLOWED = 50  # MB beyond what is held: allocators, blocks that 5,000 works do not fill
LIMIT = 4096  # MB
WITH_FILES = ("scores", "own", "imported_map")  # stages that only run on a file of the user's
NEIGHBOURS = 90  # 3 x perplexity
FAST = ("vgg.network=vgg19", "vgg.weights=random", "images.network_px=32", "images.thumbnail_px=32",
        "maps={combined: {content: 1, style: 1}}", "tsne.n_iter=25", "parametric_tsne.epochs=4", "render.tile_px=8",
        "render.scatter_px=1000", "render.scatter_thumbnail_px=16")  # fmt: skip


def held(stage, n_works):
    """MB that a stage needs at N works, whatever the code: what it works on as a whole."""
    embeddings = 4 * n_works * WIDTH
    features = 2 * embeddings  # of the map: content and style
    # (index int64, p float64) of the neighbours of every work, then of both directions while P is made symmetric
    neighbours = n_works * NEIGHBOURS * 16 * 3
    needed = {
        "content": embeddings,
        "style": embeddings,
        "color": embeddings,
        "tsne": 2 * features + neighbours,  # ours, and the copy inside the index of neighbours
        "placed": features + embeddings,  # those of the map, then of one source
        "parametric_tsne": 1.8 * features + 0.8 * neighbours,  # all works, and those of them that are trained on
        "report": 2 * features + n_works * 50 * 72,  # a centred copy; rows, ranks, distances of 50 either way
    }.get(stage, 0)
    return (needed + n_works * NAMES) / 2**20


def make_embeddings(config, name):
    """The file of one source, up to date for `store`: `WIDTH` columns, clusters of works, as the works of images.h5."""
    with store.open_output(config, "images") as h5:
        ids, inputs = store.read_ids(h5), {"images": str(h5.attrs["fingerprint"])}
    recipe = {"settings": config.settings(BY_NAME[name].sections)}
    if name != "color":  # what place_images.py checks before it looks at pictures with the same network
        network = weights.resolve("vgg19", "random")
        recipe |= {"network": network.network, "weights": network.source, "weights_sha256": network.sha256,
                   "precision": "float32"}  # fmt: skip
    rng = np.random.default_rng(SOURCES.index(name))
    centres = rng.normal(size=(CLUSTERS, WIDTH)).astype(np.float32)
    with store.create(config.outputs / f"{name}.h5", name, recipe, inputs) as h5:
        store.write_ids(h5, ids)
        rows = h5.create_dataset("embeddings", (len(ids), WIDTH), np.float32)
        for start in range(0, len(ids), 1000):
            near = centres[np.arange(start, min(start + 1000, len(ids))) % CLUSTERS]
            rows[start : start + 1000] = near + rng.normal(size=near.shape).astype(np.float32)
        if name == "style":
            components = rng.normal(0, 0.01, (WIDTH, GRAM_LENGTH)).astype(np.float32)
            store.write_pca(h5, Pca(np.zeros(GRAM_LENGTH, np.float32), components, np.ones(WIDTH, np.float32), 1.0))


def make_map(config):
    """tsne.h5 with noise for coordinates, for the stages that only need to find one."""
    recipe = {"settings": config.settings(BY_NAME["tsne"].sections), "perplexity": NEIGHBOURS / 3}
    inputs = {name: store.attributes(config, name)["fingerprint"] for name in ("content", "style")}
    with store.open_output(config, "content") as h5:
        ids = store.read_ids(h5)
    with store.create(config.outputs / "tsne.h5", "tsne", recipe, inputs) as h5:
        store.write_ids(h5, ids)
        h5["combined/coordinates"] = np.random.default_rng(0).normal(0, 30, (len(ids), 2)).astype(np.float32)
        h5["combined"].attrs["kl_divergence"] = 0.0


def measure(n_works, stages, folder):
    """Runs `stages` over N works in a new folder; returns stage -> (peak in MB, MB that are held, seconds)."""
    make_collection(folder / "images", n_works, size=(40, 30))
    settings = (f"paths.images={folder}/images", "paths.metadata=null", f"paths.outputs={folder}/outputs", *FAST)
    config: Config = config_module.load(None, settings)
    flags = [word for setting in settings for word in ("--set", setting)]
    found = {}
    for stage in (*STAGES, *ON_REQUEST):
        output = config.outputs / stage.output
        if stage.name in stages:
            pictures = sorted(str(path) for path in (folder / "images").iterdir())[:PLACED]
            extra = pictures if stage.name == "placed" else []
            seconds, peak = run([sys.executable, str(REPO / stage.script), *extra, *flags])
            found[stage.name] = peak, held(stage.name, n_works), seconds
            print(f"{n_works:,} works: {stage.script} {peak:,.0f} MB, {seconds:.0f} s", file=sys.stderr, flush=True)
        elif stage.name == "tsne" and needs(stage.name, stages):
            make_map(config)
        elif stage.name not in (*SOURCES, *WITH_FILES) and needs(stage.name, stages):
            run([sys.executable, str(REPO / stage.script), *flags])
        is_drawn = stage.name in SOURCES and stage.name not in WITH_FILES
        if is_drawn and {"tsne", "parametric_tsne", "grid", "pictures", "placed", "report"} & set(stages):
            # In place of what random weights made of a few different pictures, which is no collection.
            output.unlink(missing_ok=True)
            make_embeddings(config, stage.name)
    shutil.rmtree(folder)
    return found


def needs(name, stages):
    """Whether one of `stages` reads, directly or not, what stage `name` writes."""
    return any(name in BY_NAME[stage].reads or needs(name, BY_NAME[stage].reads) for stage in stages)


def main():
    names = [stage.name for stage in (*STAGES, *ON_REQUEST) if stage.name not in WITH_FILES]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--works", type=int, nargs=2, default=(5000, 100_000), metavar=("FEW", "MANY"))
    parser.add_argument("--stages", nargs="+", choices=names, default=names, metavar="STAGE", help=", ".join(names))
    parser.add_argument("--most-seen", type=int, default=20_000, metavar="N", help="works that the network sees")
    parser.add_argument("--folder", type=Path, default=REPO / "outputs", help="where the files are made")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    found = {}
    with tempfile.TemporaryDirectory(dir=options.folder) as temporary:
        for n_works in options.works:
            seen = [name for name in options.stages if name in ("content", "style") and n_works > options.most_seen]
            others = [name for name in options.stages if name not in seen]
            for stages, n_measured in ((others, n_works), (seen, options.most_seen)):
                measured = measure(n_measured, stages, Path(temporary) / "collection") if stages else {}
                found |= {(name, n_works): of for name, of in measured.items()}
    print(header("numpy", "openTSNE", "scikit-learn", "keras"))
    few, many = options.works
    print(f"Few works are {few:,}, many are {many:,} (content, style: {min(many, options.most_seen):,}).\n")
    print("| stage | few works | many works | growth | of it held | seconds | verdict |\n|---|---|---|---|---|---|---|")
    for name in options.stages:
        (few, few_held, _), (many, many_held, seconds) = (found[name, n_works] for n_works in options.works)
        growth, needed = many - few, many_held - few_held
        verdict = "flat" if growth < needed + ALLOWED else f"{growth - needed:,.0f} MB too many"
        verdict += "" if many < LIMIT else ", over 4 GB"
        print(f"| {BY_NAME[name].script} | {few:,.0f} MB | {many:,.0f} MB | {growth:,.0f} MB | {needed:,.0f} MB |"
              f" {seconds:,.0f} | {verdict} |")  # fmt: skip


if __name__ == "__main__":
    main()
