"""The maps: t-SNE of the content, style and colour embeddings, one map per entry of `maps:`.

Reads   outputs/content.h5, style.h5, color.h5   (those that `maps:` mentions)
Writes  outputs/tsne.h5   image_ids (N,), and per map <map>/coordinates (N, 2), attribute kl_divergence
        With --update nothing moves; added works get a place among those that each map was drawn from, in the rows
        behind them, and <map>/added/certainty (M,) and <map>/added/is_off_map (M,) tell of these as placed.h5 does
Run     python build_tsne.py [--update]            settings: maps, tsne; with --update also placement
Source  van der Maaten & Hinton 2008; Policar, Strazar & Zupan 2024 (openTSNE); initialisation and learning rate after
        Kobak & Berens 2019 and Belkina et al. 2019; repulsion by artatlas/repulsion.py; momentum by experiment
Cost    5 s of a core a map for 1,000 works; larger: docs/BENCHMARKS.md, t-SNE
"""

from pathlib import Path

import numpy as np

from artatlas import cli, drift, images, joining, sources, store
from artatlas.config import Config
from artatlas.errors import UserError
from artatlas.stages import BY_NAME, SOURCES
from artatlas.tsne import check_engine, draw_map, resolve_perplexity


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


def add_works(config: Config, image_ids: np.ndarray, inputs: dict[str, str]) -> tuple[Path, str]:
    """--update: tsne.h5 with the works of `image_ids` that it has not, and nothing in it moved."""
    # 1. Read
    output, before = config.outputs / "tsne.h5", {}
    with store.open_before(config, "tsne") as h5:
        n_before, n_drawn = store.check_first_rows(h5, image_ids, config), store.n_before_additions(h5)
        recipe = store.recipe_after(h5)
        for name in config.maps:
            attributes, added = dict(h5[name].attrs), h5.get(f"{name}/added", {})
            before[name] = h5[f"{name}/coordinates"][:], attributes, {key: added[key][:] for key in added}
    new_ids = image_ids[n_before:]
    used = {source for weights in config.maps.values() for source in weights} if len(new_ids) else set()
    new = {source: sources.read_features(config, new_ids, {source: 1.0}, "none")[0] for source in sorted(used)}

    # 2. Compute
    strange = joining.novelty_by_source(config, image_ids[:n_drawn], new)
    with store.create(output, "tsne", recipe, inputs) as h5:
        store.write_ids(h5, image_ids)
        for name, weights in config.maps.items():
            coordinates, attributes, added = before[name]
            if len(new_ids):
                joined = joining.join(
                    config, image_ids[:n_drawn], coordinates[:n_drawn], recipe["perplexity"], dict(weights), new,
                    strange,
                )  # fmt: skip
                coordinates = np.concatenate([coordinates, joined.coordinates])
                attributes["share_right"] = joined.share_right
                told = {"certainty": joined.certainty, "is_off_map": joined.is_off_map}
                added = {key: np.concatenate([added[key], told[key]]) if added else told[key] for key in told}

            # 3. Write
            h5[f"{name}/coordinates"] = coordinates
            h5[name].attrs.update(attributes)
            for key, values in added.items():
                h5[f"{name}/added/{key}"] = values
    figures = drift.read(config)
    drift.write(config, figures)
    return output, f"{cli.count(len(new_ids), 'work')} added to {n_before:,}; {drift.tell(figures, config)}"


def check_settings(config: Config) -> None:
    """Raises UserError for an engine that is not there."""
    check_engine(config.tsne)


def main(config: Config, update: bool = False) -> tuple[Path, str]:
    # 1. Read
    check_settings(config)
    names = [name for name in SOURCES if any(name in weights for weights in config.maps.values())]
    image_ids, inputs = sources.common_ids(config, names)
    if update:
        return add_works(config, image_ids, inputs)
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
    cli.run(main, __doc__, cli.add_update)
