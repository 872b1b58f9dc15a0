"""Are other scans, crops and details found among real works, and nothing else?

Makes a collection of all works of another and of planted variants of some, each of another work; runs the stages on it.
Prints a Markdown table: how many of each kind are among the candidates that embeddings propose, how many are found, and
how near the box of a crop is to where it was cut. What is found and was not planted is listed, to be looked at.

Reads   the pictures in paths.images
Run     python benchmarks/score_variants.py --config paintings.yaml
Cost    for 1,231 works and 420 variants on 2 cores 6 minutes
"""

import argparse
import csv
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np
from PIL import Image

REPO = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPO))
from common import header

from artatlas import collection, config


def crop(picture, share, rng):
    """A part with `share` of both sides, and where it was: (top, left, height, width) as shares."""
    width, height = round(picture.width * share), round(picture.height * share)
    left, top = int(rng.integers(0, picture.width - width + 1)), int(rng.integers(0, picture.height - height + 1))
    box = top / picture.height, left / picture.width, height / picture.height, width / picture.width
    return picture.crop((left, top, left + width, top + height)), box


def scan(picture, rng):
    """Cut at the edges, half the size, 2% out of shape, another tone and a yellow cast."""
    part, box = crop(picture, 0.96, rng)
    part = part.resize((part.width // 2, round(part.height * 0.51)), Image.Resampling.BICUBIC)
    light = (np.asarray(part) / 255) ** rng.uniform(0.7, 1.4) * (1, rng.uniform(0.85, 1), rng.uniform(0.75, 1))
    return Image.fromarray((light * 255).round().astype(np.uint8)), box


def framed(picture, rng):
    frame = Image.new("RGB", (round(picture.width * 1.2), round(picture.height * 1.2)), (90, 70, 40))
    frame.paste(picture, (round(picture.width * 0.1), round(picture.height * 0.1)))
    return frame, None


SIDES = ("top", "left", "height", "width")
KINDS = {
    "other scan": scan,
    "with a frame": framed,
    "without colour": lambda picture, rng: (picture.convert("L").convert("RGB"), None),
    **{f"crop, {share:.0%} of both sides": lambda picture, rng, share=share: crop(picture, share, rng)
       for share in (0.8, 0.65, 0.5, 0.35)},
}  # fmt: skip


def plant(files, folder, n_each):
    """Copies all works to `folder`, with variants; returns variant -> (kind, work, box)."""
    for file in files:
        (folder / file.image_id).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file.path, folder / file.image_id)
    rng = np.random.default_rng(0)
    chosen = rng.choice(len(files), n_each * len(KINDS), replace=False).reshape(len(KINDS), n_each)
    planted = {}
    for number, (kind, make) in enumerate(KINDS.items()):
        for i in chosen[number]:
            with Image.open(files[i].path) as picture:
                variant, box = make(picture.convert("RGB"), rng)
            name = f"variant-{number}-{i}.jpg"
            variant.save(folder / name, quality=85)
            planted[name] = kind, files[i].image_id, box
    return planted


def candidates(outputs, n_candidates):
    """Pairs of ids that are among each other's nearest in any space."""
    with h5py.File(outputs / "neighbors.h5") as h5:
        ids = h5["image_ids"].asstr()[:]
        near = np.concatenate(
            [h5[f"{space}/indices"][:, :n_candidates] for space in h5 if space != "image_ids"], axis=1
        )
    return {frozenset((ids[row], ids[other])) for row, others in enumerate(near) for other in others}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--each", type=int, default=60, help="variants of each kind")
    options = parser.parse_args()
    settings = config.load(options.config)
    files = collection.find(settings)
    with tempfile.TemporaryDirectory() as folder:
        images, outputs = Path(folder) / "images", Path(folder) / "outputs"
        planted = plant(files, images, options.each)
        flags = ("--set", f"paths.images={images}", "--set", "paths.metadata=null", "--set", f"paths.outputs={outputs}")
        stages = ("images", "content", "style", "color", "neighbors", "variants")
        command = [sys.executable, str(REPO / "run_all.py"), "--only", *stages, *flags]
        subprocess.run(command, check=True, stdout=sys.stderr)
        proposed = candidates(outputs, settings.variants.candidates)
        with (outputs / "variants.csv").open(encoding="utf-8", newline="") as file:
            found = {frozenset((line["filename"], line["variant_of"])): line for line in csv.DictReader(file)}
    print(f"{header('pillow', 'scipy')}. {len(files):,} works and {len(planted):,} variants,", end="")
    print(f" {len(proposed):,} pairs compared.")
    print("\n| variant | among the candidates | found | least score | box off by |\n|---|---|---|---|---|")
    for kind in KINDS:
        pairs = {frozenset((name, work)): box for name, (of, work, box) in planted.items() if of == kind}
        seen = [pair for pair in pairs if pair in found]
        cropped = [pair for pair in seen if pairs[pair] and pairs[pair][2] < 0.9]
        off = [np.abs(np.array([float(found[pair][side]) for side in SIDES]) - pairs[pair]).max() for pair in cropped]
        least = min((float(found[pair]["score"]) for pair in seen), default=float("nan"))
        told = f"{np.median(off):.3f}, at most {max(off):.3f}" if off else ""
        print(f"| {kind} | {np.mean([pair in proposed for pair in pairs]):.0%} | {len(seen) / len(pairs):.0%} |"
              f" {least:.2f} | {told} |")  # fmt: skip
    wanted = {frozenset((name, work)) for name, (_, work, _) in planted.items()}
    print("\nFound and not planted:\n")
    for pair in found:
        if pair not in wanted:
            print(f"- {found[pair]['score']} {' and '.join(sorted(pair))}")


if __name__ == "__main__":
    main()
