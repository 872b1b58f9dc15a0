"""The whole path rehearsed at WikiArt's size: 81,444 pictures in its layout, from the folder to the page.

The pictures are drawn, of 64 x 48 px: 27 styles with a texture each, 1,119 painters with a palette each. The network
looks at squares of 32 px with its real weights; from there on nothing is smaller than it will be: Gram vectors, their
PCA, neighbours, map, network, grid, report, page, and the CSV file that the original repository publishes. Every stage
runs as a user runs it, in a process of its own; the folder stays, and what is up to date is not run again.

Run     python benchmarks/rehearse_wikiart.py FOLDER                       all of STAGES
        python benchmarks/rehearse_wikiart.py FOLDER --stages tsne grid    these, again
Cost    an hour and a half of one core, 15 GB of disk; --works 2000 three minutes
"""

import argparse
import csv
import os
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

REPO = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPO))
from common import header

from artatlas import config, plans, store
from artatlas.stages import BY_NAME, STAGES, TOGETHER

WORKS, STYLES, PAINTERS = 81_444, 27, 1119  # as WikiArt has them
SIZE = (64, 48)
PUBLISHED = "published.csv"
SETTINGS = (
    "paths.metadata=null", 'images.path_pattern="{style}/{artist}_{title}"', "images.network_px=32",
    "images.thumbnail_px=64", "render.tile_px=64", "render.scatter_thumbnail_px=64", "render.color_by=style",
    "viewer.detail_px=64", "viewer.cell_px=64", "viewer.scatter_px=64", "viewer.heading=WikiArt, rehearsed",
    "maps={combined: {content: 1, style: 1}}", "parametric_tsne.epochs=20",
)  # fmt: skip
AFTER = ("export", "own", "imported_map")  # after run_all.py's; the last replaces the map
NAMES = tuple(stage.name for stage in STAGES) + AFTER


def make(folder: Path, n_works: int) -> None:
    """Pictures, and a map of them as the original repository publishes it."""
    rng = np.random.default_rng(0)
    painter = rng.integers(0, PAINTERS, n_works)
    palettes = rng.uniform(20, 235, (PAINTERS, 2, 3))
    y, x = np.mgrid[0 : SIZE[1], 0 : SIZE[0]] / 10
    waves = rng.uniform(-3, 3, (STYLES, 2))
    names = [f"style-{p % STYLES}/painter-{p}_work-{i}.jpg" for i, p in enumerate(painter)]
    for i in range(STYLES):
        (folder / "wikiart" / f"style-{i}").mkdir(parents=True, exist_ok=True)
    for name, p in zip(tqdm(names, desc="pictures", unit="file"), painter, strict=True):
        (a, b), (u, v) = palettes[p] + rng.normal(0, 15, (2, 3)), waves[p % STYLES] + rng.normal(0, 0.3, 2)
        share = 0.5 + 0.5 * np.sin(u * x + v * y + rng.uniform(0, 6))[..., None]
        pixels = a * share + b * (1 - share) + rng.normal(0, 12, (*share.shape[:2], 1))
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / "wikiart" / name, quality=80)
    with open(folder / PUBLISHED, "w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["Image", "X", "Y"])
        places = np.round(rng.normal(0, 30, (n_works, 2)), 5).tolist()
        table.writerows([f"/home/somebody/wikiart/{name}", *place] for name, place in zip(names, places, strict=True))


def run(command):
    """Seconds on the clock and of processors, peak memory in MB, and the closing lines of one process."""
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


def jobs(settings, asked):
    """(script, names of the stages that it makes) of those that were asked for, else of all that are out of date."""
    made = set()
    for name in asked or NAMES:
        together = next(((script, names) for script, names in TOGETHER.items() if name in names), None)
        script, names = together or (BY_NAME[name].script, (name,))
        if name not in made and (asked or name in AFTER or any(store.why_stale(settings, n) for n in names)):
            yield script, names
        made.update(names)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--works", type=int, default=WORKS)
    parser.add_argument("--stages", nargs="+", choices=NAMES, metavar="STAGE", help=", ".join(NAMES))
    options = parser.parse_args()
    folder = options.folder.resolve()
    given = (f"paths.images={folder}/wikiart", f"paths.outputs={folder}/outputs", *SETTINGS)
    settings = config.load(None, given)
    if not (folder / PUBLISHED).exists():
        make(folder, options.works)
    planned = plans.needs(settings, options.works)
    print(header("numpy", "keras", "faiss-cpu", "openTSNE") + "\n")
    print(f"| {options.works:,} works | seconds | of processors | planned | peak MB | closing line |")
    print("|---|---|---|---|---|---|", flush=True)
    for script, names in jobs(settings, options.stages):
        extra = [str(folder / PUBLISHED)] if {"own", "imported_map"} & set(names) else []
        command = [sys.executable, str(REPO / script), *extra, *(word for s in given for word in ("--set", s))]
        seconds, processors, peak, said = run(command)
        plan = f"{sum(planned[name].seconds for name in names):,.0f}" if names[0] in planned else ""
        closing = said.splitlines()[-1].partition(": ")[2]
        print(f"| {script} | {seconds:,.0f} | {processors:,.0f} | {plan} | {peak:,.0f} | {closing} |", flush=True)


if __name__ == "__main__":
    main()
