"""How far a collection has outgrown its maps since these were drawn: when is it time to draw them anew?"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from artatlas import cli, store
from artatlas.config import Config

FILE = "drift.json"
DUE_SHARE = 0.1  # of all works: docs/EXPERIMENTS.md, Works that were added


def read(config: Config) -> dict[str, Any]:
    """The figures of tsne.h5, map by map: what its added works are like, beside what is expected of works that are like
    those that it was drawn from."""
    with store.open_output(config, "tsne") as h5:
        n_drawn, n_works = store.n_before_additions(h5), len(h5["image_ids"])
        maps = {}
        for name in config.maps:
            if f"{name}/added" in h5:
                added = h5[f"{name}/added"]
                maps[name] = {
                    "certainty": float(np.mean(added["certainty"][:])),
                    "certainty_expected": float(h5[name].attrs["share_right"]),
                    "off_map": float(np.mean(added["is_off_map"][:])),
                    "off_map_expected": config.placement.off_map_share,
                }
    share = (n_works - n_drawn) / n_works
    return {"works": n_works, "added": n_works - n_drawn, "share_added": share, "maps": maps, "is_due": is_due(share)}


def is_due(share: float) -> bool:
    return share > DUE_SHARE


def write(config: Config, figures: dict[str, Any]) -> None:
    with store.replacing(config.outputs / FILE) as temporary:
        temporary.write_text(json.dumps(figures, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def tell(figures: dict[str, Any], config: Config) -> str:
    text = f"{figures['share_added']:.1%} of {cli.count(figures['works'], 'work')} were added since the maps were drawn"
    if figures["maps"]:
        off_map = max(each["off_map"] for each in figures["maps"].values())
        text += f", up to {off_map:.0%} of these are off a map"
    if not figures["is_due"]:
        return text
    return f"{text}: time to draw the maps anew, by: {config.command('run_all.py')} --from images"
