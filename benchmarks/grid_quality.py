"""How near the optimum is a grid, how well does it keep the distances among features, and what does it cost?

Every method on the same map, each in a process of its own: squared displacement over that of the optimum, mean
displacement in sides of the map, DPQ16 on features where there are any (1,000 works asked about where there are more
than 2,500), processor seconds and peak memory. The methods: those of tsne_to_grid.py; FLAS from the wheel vc-flas,
which sorts 50 principal components of the features or, where there are none, the map; LAS, and grids of `swaps` that
it polishes from a small radius on, written from the paper.

Run     python benchmarks/grid_quality.py colours                       1,024 random RGB colours and their t-SNE map
        python benchmarks/grid_quality.py stored --config FILE          the maps of a finished tsne.h5
        python benchmarks/grid_quality.py file --map MAP.npy [--features FEATURES.npy]
        python benchmarks/grid_quality.py drawn --works 10000 --shapes clusters rings dense uniform spirals
Source  Barthel et al. 2023, "Improved Evaluation and Generation of Grid Layouts using Distance Preservation Quality and
        Linear Assignment Sorting"
Cost    colours, and stored at 1,231 works: a minute a map. drawn: 2,500 works seconds, 10,000 works some 2 minutes a
        shape for the optimum, 102,400 works 1 minute a shape
"""

import argparse
import multiprocessing
import resource
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from common import header

from artatlas import config, grids, metrics, shapes, sources, store, swaps

LAP_WORKS = 2500  # more take the short cut of `optimum`, which needs a full rectangle
OPTIMUM_WORKS = 10_000
LAS_WORKS = 1300  # 100 assignments of all works
ASKED = 1000


# Maps


def clusters(n, rng):
    """Sixty normal clouds of sizes and spreads that differ ten times and more."""
    centres, spreads = rng.uniform(-60, 60, (60, 2)), rng.uniform(0.6, 6, 60)
    group = rng.choice(60, n, p=rng.dirichlet(np.ones(60)))
    return centres[group] + rng.normal(size=(n, 2)) * spreads[group, None]


def rings(n, rng):
    angle, radius = rng.random(n) * 2 * np.pi, np.array([1, 2.2, 4, 6.5, 9])[rng.integers(5, size=n)]
    return np.column_stack((np.cos(angle), np.sin(angle))) * (radius + rng.normal(size=n) * 0.15)[:, None]


def dense(n, rng):
    """Half of the works in three spots, the others all over the place."""
    wide = rng.normal(size=(n - n // 2, 2)) * 20
    spots = np.array([[30, 5], [-10, 40], [0, -25]])[rng.integers(3, size=n // 2)]
    return np.vstack((wide, spots + rng.normal(size=(n // 2, 2)) * 0.2))


def uniform(n, rng):
    return rng.random((n, 2))


def spirals(n, rng):
    """Two arms, thin at the middle and at one end; no setting was chosen on it."""
    along, arm = np.sqrt(rng.random(n)) * 3 * np.pi, rng.integers(2, size=n) * np.pi
    return np.column_stack((np.cos(along + arm), np.sin(along + arm))) * along[:, None] + rng.normal(size=(n, 2)) * 0.3


DRAWN = {shape.__name__: shape for shape in (clusters, rings, dense, uniform, spirals)}


# Methods: (positions, values or None, cells, rows, cols) -> rows in `cells`


def annealed(passes):
    def method(positions, values, cells, rows, cols):
        return swaps.assign_swaps(positions, cells, rows, cols, np.random.default_rng(42), passes)

    return method


def rasterfairy(positions, values, cells, rows, cols):
    return grids.assign_rasterfairy(positions, cells, rows, cols)


def lap(positions, values, cells, rows, cols):
    return grids.assign_lap(positions, cells, rows, cols)


def flas(radius_decay):
    def method(positions, values, cells, rows, cols):
        import vc_flas

        sorted_by = np.ascontiguousarray(positions if values is None else values, np.float32)
        ids = np.full((rows, cols), -1, np.int32)
        ids[tuple(cells.T)] = np.arange(len(sorted_by))
        grid = vc_flas.Grid(sorted_by, ids, ids < 0, np.arange(len(sorted_by)))
        sorting = vc_flas.flas(grid, wrap=False, radius_decay=radius_decay, seed=42).sorting
        taken = np.empty(len(sorted_by), np.int64)
        taken[sorting[tuple(cells.T)]] = np.arange(len(cells))
        return taken if values is not None or rows != cols else upright(taken, positions, cells, rows, cols)

    return method


def upright(taken, positions, cells, rows, cols):
    """The best of the eight ways to lay a full square down: FLAS knows no up and no left."""
    square, ways = np.empty((rows, cols), np.int64), []
    square[tuple(cells[taken].T)] = np.arange(len(taken))
    for turns in range(4):
        for way in (np.rot90(square, turns), np.rot90(square, turns).T):
            turned = np.empty_like(taken)
            turned[way.ravel()] = np.arange(len(taken))
            ways.append(turned)
    return min(ways, key=lambda way: grids.cost(positions, cells[way], rows, cols))


def las(radius, start=None):
    """Linear assignment sorting: all works to the cells whose surroundings are like them, radii shrinking by 0.9."""

    def method(positions, values, cells, rows, cols):
        from scipy.ndimage import uniform_filter
        from scipy.optimize import linear_sum_assignment
        from scipy.spatial.distance import cdist

        taken = np.random.default_rng(42).permutation(len(values))
        if start is not None:
            taken = start(positions, values, cells, rows, cols)
        reach = radius or max(rows, cols) / 2
        while reach >= 1:
            plane = np.zeros((rows, cols, values.shape[1] + 1))  # the last one is 1 where there is a work
            plane[tuple(cells[taken].T)] = np.column_stack((values, np.ones(len(values))))
            size = 2 * round(reach) + 1
            blurred = uniform_filter(plane, (size, size, 1), mode="constant")[tuple(cells.T)]
            taken = linear_sum_assignment(cdist(values, blurred[:, :-1] / blurred[:, -1:], "sqeuclidean"))[1]
            reach *= 0.9
        return taken

    return method


def components(features):
    centred = features - features.mean(axis=0, dtype=np.float64)
    left, scale, _ = np.linalg.svd(centred, full_matrices=False)
    return left[:, :50] * scale[:50]


# The optimum


def optimum(positions, cells, rows, cols):
    """The least sum of squared displacements there is, on a full rectangle or for few works.

    Prices on cells change every assignment's cost by the same sum, so the optimum stays the optimum; with prices under
    which a grid of `swaps` is nearly the cheapest choice of every work, SciPy finds it in a tenth of the time. They are
    the shortest paths that Bellman and Ford find over the moves of works to cells at most two away.
    """
    if len(cells) <= LAP_WORKS or len(cells) < rows * cols:
        return grids.cost(positions, cells[grids.assign_lap(positions, cells, rows, cols)], rows, cols)
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    centres = grids.cell_centres(cells, rows, cols)
    taken = annealed(8000)(positions, None, cells, rows, cols)
    held = np.empty_like(positions)
    held[taken] = positions
    held, centre = held.reshape(rows, cols, 2), centres.reshape(rows, cols, 2)
    own = np.square(held - centre).sum(axis=2)
    prices, moves = np.zeros((rows, cols)), []
    for down, across in np.argwhere(np.ones((5, 5))) - 2:
        source = slice(max(0, -down), rows - max(0, down)), slice(max(0, -across), cols - max(0, across))
        target = slice(max(0, down), rows - max(0, -down)), slice(max(0, across), cols - max(0, -across))
        moves.append((source, target, np.square(held[source] - centre[target]).sum(axis=2) - own[source]))
    for _ in range(2 * (rows + cols)):
        for source, target, dearer in moves:
            np.minimum(prices[target], prices[source] + dearer, out=prices[target])
    distances = cdist(positions, centres, "sqeuclidean") - prices.ravel()
    distances -= distances.min(axis=1, keepdims=True)
    return grids.cost(positions, cells[linear_sum_assignment(distances)[1]], rows, cols)


# Runs


def run(method, *arguments):
    """(result, processor seconds, MB) of a call in a process of its own: its peak beyond what it started with."""

    def child(pipe):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start = time.process_time()  # of all its threads; other work on the machine only adds waiting
        result = method(*arguments)
        seconds = time.process_time() - start
        pipe.send((result, seconds, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024))

    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    process = context.Process(target=child, args=(there,))
    process.start()
    result = here.recv()
    process.join()
    return result


def compare(name, coordinates, features, all_passes):
    """Prints one table."""
    positions = grids.to_unit_square(coordinates)
    n_works = len(positions)
    rows, cols = shapes.choose_shape(n_works, 1.0)
    cells = shapes.rectangle(n_works, cols)
    methods = {"rasterfairy": rasterfairy}
    if n_works <= LAP_WORKS:
        methods["lap"] = lap
    swaps.EXACT_CELLS = 1  # what the swaps do is asked, not when they are left out
    methods |= {f"swaps, {passes} passes": annealed(passes) for passes in all_passes}
    methods |= {"FLAS": flas(0.93), "FLAS, slow": flas(0.99)}
    if features is not None and n_works <= LAS_WORKS:
        methods["LAS"] = las(None)
        methods |= {f"swaps, then LAS from radius {radius}": las(radius, annealed(2000)) for radius in (1, 2, 4)}
    least = optimum(positions, cells, rows, cols) if n_works <= OPTIMUM_WORKS else None
    asked = np.zeros(n_works, bool)
    asked[np.random.default_rng(0).permutation(n_works)[: n_works if n_works <= LAP_WORKS else ASKED]] = True
    values = None if features is None else components(features)
    found = {method: run(function, positions, values, cells, rows, cols) for method, function in methods.items()}
    costs = {method: grids.cost(positions, cells[taken], rows, cols) for method, (taken, _, _) in found.items()}
    best = least if least is not None else min(costs.values())
    above = "above the optimum" if least is not None else "above the best"
    print(f"\n{name}: {n_works:,} works on {rows} x {cols} cells\n")
    print(f"| method | squared displacement | {above} | mean displacement | DPQ16 | processor s | MB |\n|" + "---|" * 7)
    for method, (taken, seconds, megabytes) in found.items():
        moved = np.linalg.norm(grids.cell_centres(cells[taken], rows, cols) - positions, axis=1).mean()
        dpq = "" if features is None else f"{metrics.dpq(features, cells[taken], rows, cols, queries=asked):.4f}"
        print(f"| {method} | {costs[method]:.3f} | {100 * (costs[method] / best - 1):.2f}% | {moved:.4f} | {dpq} |"
              f" {seconds:.2f} | {megabytes:.0f} |", flush=True)  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", choices=("colours", "stored", "file", "drawn"))
    parser.add_argument("--config", type=Path)
    parser.add_argument("--maps", nargs="+", help="of the stored ones (default: all)")
    parser.add_argument("--map", type=Path, help="(N, 2)")
    parser.add_argument("--features", type=Path, help="(N, D)")
    parser.add_argument("--works", type=int, default=10_000)
    parser.add_argument("--shapes", nargs="+", choices=DRAWN, default=list(DRAWN))
    parser.add_argument("--passes", type=int, nargs="+", default=[500, 2000, 8000], help="of swaps")
    parser.add_argument("--seed", type=int, default=1, help="of drawn maps; the settings were chosen on 0")
    options = parser.parse_args()
    print(header("numpy", "scipy", "rasterfairy", "vc-flas"))
    if options.data == "drawn":
        for shape in options.shapes:
            compare(shape, DRAWN[shape](options.works, np.random.default_rng(options.seed)), None, options.passes)
    elif options.data == "file":
        features = np.load(options.features) if options.features else None
        compare(options.map.stem, np.load(options.map), features, options.passes)
    elif options.data == "colours":
        from openTSNE import TSNE

        colours = np.random.default_rng(0).random((1024, 3)).astype(np.float32)
        compare("RGB colours", np.asarray(TSNE(random_state=0).fit(colours)), colours, options.passes)
    else:
        settings = config.load(options.config)
        with store.open_output(settings, "tsne") as h5:
            ids = store.read_ids(h5)
            maps = {name: h5[f"{name}/coordinates"][:] for name in options.maps or settings.maps}
        for name, coordinates in maps.items():
            features, _ = sources.read_features(settings, ids, settings.maps[name], settings.tsne.scaling)
            compare(name, coordinates, features, options.passes)


if __name__ == "__main__":
    main()
