"""One file to hand on: embeddings, maps, grids, neighbours and the network of a collection, without its images.

Reads   outputs/content.h5, style.h5, color.h5 (those that `maps:` and `similar.spaces` mention), tsne.h5; and where
        they are there images.h5 (metadata), grid.h5, neighbors.h5, faithfulness.h5, clusters.h5, parametric_tsne.h5
Writes  outputs/embeddings.h5, or --output FILE: opened with h5py alone, every dataset with its meaning beside it
Run     python export_embeddings.py [--output FILE]            settings: export
Cost    15 s and 8 MB for 1,231 works

The embeddings are the leading principal components as half floats, and the network is folded to read these. What is
lost by it is counted in the closing line, and measured in docs/EXPERIMENTS.md, "The shipped files".
"""

import argparse
import json
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from artatlas import cli, export, store
from artatlas.compact import CompactSource, reduce_source
from artatlas.config import Config
from artatlas.export import Writer
from artatlas.sources import PlacedSource
from artatlas.stages import SOURCES

OPTIONAL = ("images", "grid", "report", "neighbors", "clusters", "parametric_tsne")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", type=Path, metavar="FILE", help="write here (default: embeddings.h5 in outputs)")


def used_sources(config: Config) -> list[str]:
    mixes = [dict(weights.items()) for weights in config.maps.values()]
    mixes += [space.weights for space in config.similar.spaces.values()]
    return [name for name in SOURCES if any(name in weights for weights in mixes)]


def moved(before: np.ndarray, after: np.ndarray) -> float:
    """How far the works are from where they were, at the median, as a share of the map's longer side."""
    return float(np.median(np.linalg.norm(before - after, axis=1)) / max(np.ptp(before, axis=0).max(), 1e-12))


def main(config: Config, output: Path | None = None) -> tuple[Path, str]:
    # 1. Read
    export.check_names(config)
    output = output or config.outputs / "embeddings.h5"
    with ExitStack() as stack:
        tsne = stack.enter_context(store.open_output(config, "tsne"))
        image_ids = store.read_ids(tsne)
        files = {"tsne": tsne}
        for name in OPTIONAL:
            if (h5 := stack.enter_context(export.optional(config, name))) is not None:
                files[name] = h5
        made = {name: export.of_stage(h5) for name, h5 in files.items()}

        # 2. Compute
        compacted: dict[str, CompactSource] = {}
        placed: dict[str, PlacedSource] = {}
        for name in cli.progress(used_sources(config), unit="source"):
            embeddings, pca, recipe, made[name] = export.read_source(config, name, image_ids)
            compacted[name] = reduce_source(embeddings, pca, config.export.n_components.get(name))
            placed[name] = PlacedSource(recipe, None, export.identity_scaler(len(compacted[name].basis)))

        # 3. Write
        settings = config.export
        recipe = {"settings": config.settings(("export",)), "stages": made}
        inputs = {name: of_stage["fingerprint"] for name, of_stage in made.items()}
        with store.create(output, "export", recipe, inputs) as h5:
            out = Writer(h5)
            h5.attrs["about"] = export.ABOUT
            for key in ("title", "source", "license"):
                h5.attrs[key] = getattr(settings, key) or "not stated"
            export.write_works(out, files.get("images"), image_ids)
            export.write_sources(out, compacted, placed)
            export.write_maps(out, config, tsne, files.get("grid"), files.get("report"))
            if "neighbors" in files:
                export.write_neighbors(out, config, files["neighbors"], image_ids, settings.n_neighbors)
            if "clusters" in files:
                export.write_clusters(out, config, files["clusters"], image_ids)
            images = made.get("images", {}).get("recipe", {}).get("settings", {}).get("images", {})
            h5["model/sources"].attrs["images"] = json.dumps(images, sort_keys=True)
            lost = ""
            if "parametric_tsne" in files:
                export.write_network(out, files["parametric_tsne"], compacted, image_ids, config.parametric_tsne.map)
                rows = store.rows_of(image_ids, store.read_ids(files["parametric_tsne"]))
                before = files["parametric_tsne"]["coordinates"][:][rows]
                lost = f", the network's places moved by {moved(before, h5['model/coordinates'][:]):.2%} of the map"
            export.describe_model(out)
    kept = ", ".join(
        f"{name} {len(each.basis)} ({each.pca.explained_variance_ratio:.0%})" for name, each in compacted.items()
    )
    size = output.stat().st_size / 1e6
    return output, f"{cli.count(len(image_ids), 'work')}, {size:.1f} MB, components (variance): {kept}{lost}"


if __name__ == "__main__":
    cli.run(main, __doc__, add_arguments)
