"""The maps: t-SNE of the content, style and colour embeddings, one map per entry of `maps:`.

Reads   outputs/content.h5, style.h5, color.h5   (those that `maps:` mentions)
Writes  outputs/tsne.h5   image_ids (N,), and per map <map>/coordinates (N, 2), attribute kl_divergence
Run     python build_tsne.py            settings: maps, tsne
Source  van der Maaten & Hinton 2008; Policar, Strazar & Zupan 2024 (openTSNE); initialisation and learning rate after
        Kobak & Berens 2019 and Belkina et al. 2019
Cost    about 10 s a map for 1,000 works, 1 min for 10,000 on 2 cores
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from artatlas import cli, sources, store
from artatlas.config import Config, Tsne
from artatlas.errors import UserError
from artatlas.stages import BY_NAME, SOURCES

EARLY_ITERATIONS = 250  # under early exaggeration, as in every t-SNE since 2008
INITIAL_STD = 1e-4  # of the first axis: small enough that early exaggeration decides (Kobak & Berens 2019)
SINGLE_THREAD_BELOW = 2000  # threads cost more than they bring; the result is the same with any number
EXACT_NEIGHBOURS_BELOW = 5000  # brute force is exact, deterministic and takes a second or two up to here


def resolve_perplexity(perplexity: float | str, n_works: int, file: str) -> float:
    """`auto` is 30, or less where the collection is small.

    t-SNE looks at 3 x perplexity neighbours of every work (van der Maaten 2014), so there must be that many others.
    Raises UserError where a number that was asked for needs more works than there are.
    """
    largest = max(1, (n_works - 1) // 3)
    if perplexity == "auto":
        return float(min(30, largest))
    if 3 * float(perplexity) + 1 > n_works and n_works > 3:
        raise UserError(
            f"tsne.perplexity: {perplexity:g} needs at least {3 * float(perplexity) + 1:.0f} images, {file} has"
            f" {n_works}. Set it to {largest} or less."
        )
    return float(perplexity)


def initial_layout(features: np.ndarray, method: str, rng: np.random.Generator) -> np.ndarray:
    """(N, D) -> (N, 2) float64: the first two principal components, or noise, with a standard deviation of 1e-4."""
    noise = rng.normal(0, INITIAL_STD, (len(features), 2))
    if method == "random":
        return noise
    mean = features.mean(axis=0, dtype=np.float64).astype(np.float32)
    squares = np.zeros((features.shape[1], features.shape[1]))  # a float64 copy of all rows would outweigh them
    for rows in sources.blocks(len(features)):
        centred = (features[rows] - mean).astype(np.float64)
        squares += centred.T @ centred
    _, axes = np.linalg.eigh(squares)
    axes = axes[:, ::-1][:, :2]
    axes *= np.where(axes[np.abs(axes).argmax(axis=0), [0, 1]] < 0, -1, 1)  # an eigenvector's sign is arbitrary
    layout = np.concatenate([(features[rows] - mean) @ axes for rows in sources.blocks(len(features))])
    spread = layout[:, 0].std()
    if not spread > 0:
        return noise  # all works alike: there is nothing to start from
    # Jitter far below the layout's own scale parts works that share a point, which t-SNE's forces never could.
    return layout / spread * INITIAL_STD + noise * 0.01


def embed_opentsne(
    features: np.ndarray, layout: np.ndarray, settings: Tsne, perplexity: float, threads: int, report: Callable
) -> tuple[np.ndarray, float]:
    """Coordinates (N, 2) and the KL divergence, by openTSNE (FFT-accelerated above 10,000 works, else Barnes-Hut)."""
    from openTSNE import TSNEEmbedding
    from openTSNE.affinity import PerplexityBasedNN
    from openTSNE.nearest_neighbors import Annoy, PrecomputedNeighbors, Sklearn

    # The index holds a copy of the features: it goes before P is computed, which needs no more than the neighbours.
    index = (Sklearn if len(features) < EXACT_NEIGHBOURS_BELOW else Annoy)(
        features, k=min(len(features) - 1, int(3 * perplexity)), n_jobs=threads, random_state=settings.seed
    )
    neighbours = PrecomputedNeighbors(*index.build())
    del index
    affinities = PerplexityBasedNN(perplexity=perplexity, knn_index=neighbours, n_jobs=threads)
    embedding = TSNEEmbedding(layout, affinities, n_jobs=threads, random_state=settings.seed)
    phases = ((EARLY_ITERATIONS, settings.early_exaggeration), (settings.n_iter, 1.0))
    for n_iter, exaggeration in phases:
        done = 0

        def callback(iteration: int, kl: float, _: object) -> None:
            nonlocal done
            report(iteration - done, kl)
            done = iteration

        embedding = embedding.optimize(
            n_iter=n_iter, exaggeration=exaggeration, learning_rate=settings.learning_rate,
            momentum=0.5 if exaggeration > 1 else 0.8, n_jobs=threads, callbacks=callback, callbacks_every_iters=25,
        )  # fmt: skip
        report(n_iter - done, None)
    return np.asarray(embedding), float(embedding.kl_divergence)


def embed_sklearn(
    features: np.ndarray, layout: np.ndarray, settings: Tsne, perplexity: float, threads: int, report: Callable
) -> tuple[np.ndarray, float]:
    """The same by scikit-learn's Barnes-Hut t-SNE, the reference."""
    from sklearn.manifold import TSNE

    tsne = TSNE(
        perplexity=perplexity, early_exaggeration=settings.early_exaggeration, learning_rate=settings.learning_rate,
        max_iter=EARLY_ITERATIONS + settings.n_iter, init=layout.astype(np.float32), random_state=settings.seed,
        n_jobs=threads,
    )  # fmt: skip
    coordinates = tsne.fit_transform(features)
    report(EARLY_ITERATIONS + settings.n_iter, tsne.kl_divergence_)
    return coordinates, float(tsne.kl_divergence_)


ENGINES = {"opentsne": embed_opentsne, "sklearn": embed_sklearn}


def draw_map(
    features: np.ndarray, settings: Tsne, perplexity: float, threads: int, name: str
) -> tuple[np.ndarray, float]:
    """(N, D) features -> (N, 2) float32 coordinates centred on the origin, and the KL divergence reached."""
    layout = initial_layout(features, settings.initialization, np.random.default_rng(settings.seed))
    if len(features) <= 3:  # too few for a perplexity above 1: the principal axes say all there is to say
        return (layout / INITIAL_STD).astype(np.float32), 0.0
    with cli.progress(total=EARLY_ITERATIONS + settings.n_iter, unit="it", desc=f"{name} map") as bar:

        def report(n_done: int, kl: float | None) -> None:
            bar.update(n_done)
            if kl is not None:
                bar.set_postfix_str(f"KL {kl:.3f}")

        threads = 1 if len(features) < SINGLE_THREAD_BELOW else threads
        coordinates, kl = ENGINES[settings.engine](features, layout, settings, perplexity, threads, report)
    # Threads sum the divergence in any order: rounded, it is the same number every time.
    return (coordinates - coordinates.mean(axis=0)).astype(np.float32), round(kl, 6)


def main(config: Config) -> tuple[Path, str]:
    # 1. Read
    names = [name for name in SOURCES if any(name in weights for weights in config.maps.values())]
    image_ids, inputs = sources.common_ids(config, names)
    file = store.show(config.outputs / BY_NAME[names[0]].output)
    perplexity = resolve_perplexity(config.tsne.perplexity, len(image_ids), file)
    recipe = {"settings": config.settings(("maps", "tsne")), "perplexity": perplexity}
    threads = -1 if config.machine.threads == "auto" else config.machine.threads

    # 2. Compute
    maps = {}
    for name, weights in config.maps.items():
        features, _ = sources.read_features(config, image_ids, weights, config.tsne.scaling)
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
