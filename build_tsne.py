"""The maps: t-SNE of the content, style and colour embeddings, one map per entry of `maps:`.

Reads   outputs/content.h5, style.h5, color.h5   (those that `maps:` mentions)
Writes  outputs/tsne.h5   image_ids (N,), and per map <map>/coordinates (N, 2), attribute kl_divergence
Run     python build_tsne.py            settings: maps, tsne
Source  van der Maaten & Hinton 2008; Policar, Strazar & Zupan 2024 (openTSNE); initialisation and learning rate after
        Kobak & Berens 2019 and Belkina et al. 2019; repulsion by artatlas/repulsion.py; momentum by experiment
Cost    5 s of a core a map for 1,000 works; larger: docs/BENCHMARKS.md, t-SNE
"""

from pathlib import Path

import numpy as np

from artatlas import cli, images, sources, store
from artatlas.config import Config
from artatlas.errors import UserError
from artatlas.stages import BY_NAME, SOURCES
from artatlas.tsne import draw_map, resolve_perplexity


def check_finite(features: np.ndarray, image_ids: np.ndarray, weights: dict[str, float], name: str) -> None:
    """Raises UserError where features (N, D) of the map `name` hold NaN or infinity, which would reach all works."""
    bad = [image_ids[rows][~np.isfinite(features[rows]).all(axis=1)] for rows in sources.blocks(len(features))]
    bad = np.concatenate(bad)
    if len(bad):
        scripts = " and ".join(f"python {BY_NAME[source].script}" for source in weights)
        raise UserError(
            f"maps.{name}: the features of {cli.count(len(bad), 'work')} are not numbers, first {bad[0]}."
            f" Delete the outputs of its sources and run: {scripts}"
        )


def main(config: Config) -> tuple[Path, str]:
    # 1. Read
    names = [name for name in SOURCES if any(name in weights for weights in config.maps.values())]
    image_ids, inputs = sources.common_ids(config, names)
    file = store.show(config.outputs / BY_NAME[names[0]].output)
    perplexity = resolve_perplexity(config.tsne.perplexity, len(image_ids), file)
    recipe = {"settings": config.settings(("maps", "tsne")), "perplexity": perplexity}
    threads = images.n_threads(config.machine.threads)

    # 2. Compute
    maps = {}
    for name, weights in config.maps.items():
        features, _ = sources.read_features(config, image_ids, weights, config.tsne.scaling)
        check_finite(features, image_ids, weights, name)
        maps[name] = draw_map(features, config.tsne, perplexity, threads, name)
        del features  # before the next map's are read

    # 3. Write
    output = config.outputs / "tsne.h5"
    with store.create(output, "tsne", recipe, inputs) as h5:
        store.write_ids(h5, image_ids)
        for name, (coordinates, kl) in maps.items():
            h5[f"{name}/coordinates"] = coordinates
            h5[name].attrs["kl_divergence"] = kl
    drawn = ", ".join(f"{name} (KL {kl:.2f})" for name, (_, kl) in maps.items())
    works = f"{cli.count(len(image_ids), 'work')} on {cli.count(len(maps), 'map')}"
    return output, f"{works}: {drawn}, perplexity {perplexity:g}"


if __name__ == "__main__":
    cli.run(main, __doc__)
