"""t-SNE: from features (N, D) to a map (N, 2), by one of several engines.

Source  van der Maaten & Hinton 2008; Policar, Strazar & Zupan 2024 (openTSNE); initialisation and learning rate after
        Kobak & Berens 2019 and Belkina et al. 2019; repulsion by artatlas/repulsion.py; momentum by experiment
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np

from artatlas import cli, neighbors, sources
from artatlas.config import Tsne
from artatlas.errors import UserError
from artatlas.repulsion import Repulsion

# Iterations and momentum under early exaggeration, and after it (docs/EXPERIMENTS.md, t-SNE engines). A large map takes
# longer to find its order and to unfold, and more momentum helps; a small one it tears apart, and 0.97 tears all apart.
PHASES = ((100, 0.8), (500, 0.8))
PHASES_OF_MANY, MANY = ((250, 0.8), (400, 0.95)), 5000  # works
SKLEARN_PHASES = ((250, 0.5), (750, 0.8))  # its momentum is fixed, and so is the first number
INITIAL_STD = 1e-4  # of the first axis: small enough that early exaggeration decides (Kobak & Berens 2019)
SINGLE_THREAD_BELOW = 2000  # threads cost more than they bring; the result is the same with any number


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


def schedule(settings: Tsne, n_works: int) -> tuple[tuple[int, float], tuple[int, float]]:
    """(iterations, momentum) under early exaggeration, and after it. Engines other than opentsne set their momentum."""
    early, later = PHASES if n_works < MANY else PHASES_OF_MANY
    if settings.engine != "opentsne":
        early, later = SKLEARN_PHASES
    return early, later if settings.n_iter == "auto" else (settings.n_iter, later[1])


def n_iterations(settings: Tsne, n_works: int) -> int:
    return sum(n_iter for n_iter, _ in schedule(settings, n_works))


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


def find_affinities(features: np.ndarray, perplexity: float, threads: int) -> Any:
    """openTSNE's affinities: P over the exact 3 x perplexity + 1 nearest neighbours, as many as scikit-learn takes."""
    from openTSNE.affinity import PerplexityBasedNN
    from openTSNE.nearest_neighbors import PrecomputedNeighbors

    n_neighbors = min(len(features) - 1, int(3 * perplexity) + 1)
    neighbors.set_threads(threads)
    searchable = neighbors.prepare(features, "none", "exact", seed=0)
    rows, distances = neighbors.find(searchable, features, n_neighbors, np.arange(len(features)))
    found = PrecomputedNeighbors(rows.astype(np.int32), distances)
    return PerplexityBasedNN(perplexity=perplexity, knn_index=found, n_jobs=threads)


def embed_opentsne(
    features: np.ndarray, layout: np.ndarray, settings: Tsne, perplexity: float, threads: int, report: Callable
) -> tuple[np.ndarray, float]:
    """Coordinates (N, 2) and the KL divergence: affinities, attraction and descent by openTSNE, repulsion our own."""
    from openTSNE import TSNEEmbedding, _tsne

    repulsion = Repulsion(threads=threads)

    def objective(
        coordinates: np.ndarray, P: Any, n_jobs: int, should_eval_error: bool, **_: object
    ) -> tuple[float, np.ndarray]:
        """The KL divergence where it is asked for, and sum_j (p_ij - q_ij) (y_i - y_j) / (1 + d_ij^2), (N, 2)."""
        y = np.ascontiguousarray(coordinates)
        forces, z = repulsion(y)
        gradient = forces / -z
        sum_p, kl = _tsne.estimate_positive_gradient_nn(
            P.indices, P.indptr, P.data, y, y, gradient, num_threads=n_jobs, should_eval_error=should_eval_error
        )
        return kl + sum_p * np.log(z), gradient

    affinities = find_affinities(features, perplexity, threads)
    embedding = TSNEEmbedding(layout, affinities, n_jobs=threads, random_state=settings.seed)
    phases = schedule(settings, len(features))
    for (n_iter, momentum), exaggeration in zip(phases, (settings.early_exaggeration, 1.0), strict=True):
        done = 0

        def callback(iteration: int, kl: float, _: object) -> None:
            nonlocal done
            report(iteration - done, kl)
            done = iteration

        embedding = embedding.optimize(
            n_iter=n_iter, exaggeration=exaggeration, learning_rate=settings.learning_rate, momentum=momentum,
            negative_gradient_method=objective, n_jobs=threads, callbacks=callback, callbacks_every_iters=25,
        )  # fmt: skip
        report(n_iter - done, None)
    return np.asarray(embedding), float(embedding.kl_divergence)


def embed_sklearn(
    features: np.ndarray, layout: np.ndarray, settings: Tsne, perplexity: float, threads: int, report: Callable
) -> tuple[np.ndarray, float]:
    """The same by scikit-learn's Barnes-Hut t-SNE, the reference."""
    from sklearn.manifold import TSNE

    n_iter = n_iterations(settings, len(features))
    tsne = TSNE(
        perplexity=perplexity, early_exaggeration=settings.early_exaggeration, learning_rate=settings.learning_rate,
        max_iter=n_iter, init=layout.astype(np.float32), random_state=settings.seed, n_jobs=threads,
    )  # fmt: skip
    coordinates = tsne.fit_transform(features)
    report(n_iter, tsne.kl_divergence_)
    return coordinates, float(tsne.kl_divergence_)


def check_engine(settings: Tsne) -> None:
    """Raises UserError where the engine is not installed."""
    if settings.engine == "cuml" and find_spec("cuml") is None:
        raise UserError(
            "tsne.engine: cuml is not installed. Install it on a machine with an NVIDIA GPU (pip install cuml-cu12, or"
            " cuml-cu13), or set tsne.engine to opentsne."
        )


def embed_cuml(
    features: np.ndarray, layout: np.ndarray, settings: Tsne, perplexity: float, threads: int, report: Callable
) -> tuple[np.ndarray, float]:
    """The same by cuML on an NVIDIA GPU. It starts at random, whatever `initialization` says.

    Written after cuML's documentation (26.08) and not yet run on a GPU.
    """
    from cuml.manifold import TSNE

    n_iter = n_iterations(settings, len(features))
    rate = {} if settings.learning_rate == "auto" else {"learning_rate": settings.learning_rate,
                                                        "learning_rate_method": "none"}  # fmt: skip
    tsne = TSNE(
        perplexity=perplexity, n_neighbors=min(len(features) - 1, int(3 * perplexity) + 1), max_iter=n_iter,
        early_exaggeration=settings.early_exaggeration, random_state=settings.seed, output_type="numpy", **rate,
    )  # fmt: skip
    coordinates = tsne.fit_transform(features)
    report(n_iter, float(tsne.kl_divergence_))
    return coordinates, float(tsne.kl_divergence_)


ENGINES = {"opentsne": embed_opentsne, "sklearn": embed_sklearn, "cuml": embed_cuml}


def draw_map(
    features: np.ndarray, settings: Tsne, perplexity: float, threads: int, name: str
) -> tuple[np.ndarray, float]:
    """(N, D) features -> (N, 2) float32 coordinates centred on the origin, and the KL divergence reached."""
    if settings.metric == "cosine":
        features = neighbors.unit_rows(features)
    layout = initial_layout(features, settings.initialization, np.random.default_rng(settings.seed))
    if len(features) <= 3:  # too few for a perplexity above 1: the principal axes say all there is to say
        return (layout / INITIAL_STD).astype(np.float32), 0.0
    with cli.progress(total=n_iterations(settings, len(features)), unit="it", desc=f"{name} map") as bar:

        def report(n_done: int, kl: float | None) -> None:
            bar.update(n_done)
            if kl is not None:
                bar.set_postfix_str(f"KL {kl:.3f}")

        threads = 1 if len(features) < SINGLE_THREAD_BELOW else threads
        coordinates, kl = ENGINES[settings.engine](features, layout, settings, perplexity, threads, report)
    # Threads sum the divergence in any order: rounded, it is the same number every time.
    return (coordinates - coordinates.mean(axis=0)).astype(np.float32), round(kl, 6)
