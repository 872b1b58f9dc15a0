"""Learns to tell whether two works are by the same artist, and measures that on artists it has never seen.

Reads   outputs/content.h5, style.h5, color.h5 (those that verifier.sources mentions) and images.h5, whose metadata
        column verifier.label says who is who
Writes  outputs/verifier.h5   image_ids (N,), embeddings (N, D) that works are compared by, part (N,) (0 unused,
        1 train, 2 validation, 3 test), label (N,); history/ and report/, how well it does; network/, readout/,
        calibration/, scalers/, sources/: all that verify_pairs.py needs, for new pictures too
        outputs/verifier/   selection.csv (which work was in which part, to use again), curves.png, reliability.png,
        hardest.jpg: the test pairs that it is most wrong about
Run     python train_verifier.py            settings: verifier
Source  metric: Hatch, Kajarekar & Stolcke 2006 (within-class covariance normalization), Khosla et al. 2020 (supervised
        contrastive learning), Matejka et al. 2017 (adaptive score normalisation)
Cost    metric: about 30 s for 1,200 works on 2 busy cores, TensorFlow's start included; siamese_contrastive looks at
        pixels and takes 8 s a step of 32 pairs there, a GPU for more than a trial

An artist is in one part only (verifier.split: disjoint), so that the figures are of artists that are new. Probabilities
are calibrated, and the end of training chosen, on the artists of the validation part.
"""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from artatlas import (
    calibration,
    cli,
    metadata,
    outcomes,
    pairs,
    queries,
    reduce,
    sheets,
    sources,
    store,
    verification,
    verifiers,
    vgg,
)
from artatlas.config import Config
from artatlas.errors import UserError
from artatlas.outcomes import Outcomes
from artatlas.pixel_siamese import OnDisk, Pixels
from artatlas.sources import PlacedSource
from artatlas.verification import Layer, Verifier, Works

LEAST_LABELS = 4  # in training; and 2 in each of the other parts, or there are no pairs of two
HARDEST = 6  # pairs of each kind in the picture
DRAWN = 2000  # works at most whose pairs are looked through for it
SHEET_QUALITY = 92  # of JPEG: text has to stay sharp


@dataclass(frozen=True)
class Known:
    """What images.h5 knows of some works.

    columns : of the metadata -> (N,) text
    picture : (N,) int64, row of the first work with the same picture
    """

    columns: dict[str, np.ndarray]
    picture: np.ndarray
    file_sha256: np.ndarray


def read_known(config: Config, image_ids: np.ndarray, inputs: dict[str, str]) -> Known:
    """Adds to `inputs`."""
    with store.open_output(config, "images") as h5:
        rows = store.rows_of(image_ids, store.read_ids(h5))
        columns = {name: h5[f"metadata/{name}"].asstr()[:].astype(object)[rows] for name in h5["metadata"]}
        duplicate_of, hashes = (h5[name].asstr()[:][rows] for name in ("duplicate_of", "file_sha256"))
        inputs["images"] = str(h5.attrs["fingerprint"])
    for key in ("label", "within"):
        name = getattr(config.verifier, key)
        if name is not None and name not in columns:
            found = ", ".join(columns) or "none"
            raise UserError(f"verifier.{key}: {name} is not a column of the metadata ({found}). Set it to one of them.")
    row_of: dict[str, int] = {}
    firsts = [
        row_of.setdefault(first or name, i) for i, (first, name) in enumerate(zip(duplicate_of, image_ids, strict=True))
    ]
    return Known(columns, np.array(firsts, np.int64), hashes)


def select(config: Config, image_ids: np.ndarray, labels: np.ndarray, picture: np.ndarray) -> np.ndarray:
    """Part of every work (N,) int8: drawn, or as verifier.selection says."""
    settings = config.verifier
    if settings.selection is not None:
        parts = read_selection(Path(settings.selection), image_ids)
        parts[~pairs.usable(labels, picture)] = pairs.UNUSED
        for part in (pairs.VALIDATION, pairs.TEST) if settings.split == "disjoint" else ():
            if shared := set(labels[parts == pairs.TRAIN]) & set(labels[parts == part]):
                raise UserError(
                    f"{store.show(settings.selection)}: {cli.printable(min(shared))} is in train and in"
                    f" {pairs.PARTS[part]}. Correct it, or set verifier.split to seen."
                )
    else:
        rng = np.random.default_rng(settings.seed)
        chosen = pairs.choose(labels, picture, settings.least_works, settings.most_works, settings.n_labels, rng)
        parts = pairs.split(
            labels, chosen, settings.split == "disjoint", settings.validation_share, settings.test_share, rng
        )
    for part, least in ((pairs.TRAIN, LEAST_LABELS), (pairs.VALIDATION, 2), (pairs.TEST, 2)):
        names, counts = np.unique(labels[parts == part], return_counts=True)
        if len(names) < least or counts.max() < 2:
            raise UserError(
                f"verifier.label: {settings.label} has too few works to learn from: {cli.count(len(names), 'label')} in"
                f" the part {pairs.PARTS[part]}, which needs {least} and two works of one. Name another column, or"
                " change verifier.least_works, validation_share or test_share."
            )
    return parts


def read_selection(path: Path, image_ids: np.ndarray) -> np.ndarray:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [(row["filename"], row["part"]) for row in csv.DictReader(file)]
    except (OSError, UnicodeDecodeError, KeyError, csv.Error) as error:
        reason = f"no column {error}" if isinstance(error, KeyError) else str(error)
        raise UserError(
            f"verifier.selection: {store.show(path)} cannot be read ({reason}). Name a selection.csv that"
            " train_verifier.py wrote, or null."
        ) from None
    strange = sorted({part for _, part in rows} - set(pairs.PARTS))
    if strange:
        raise UserError(
            f"{store.show(path)}: {cli.printable(strange[0])} is not a part. Use one of: {', '.join(pairs.PARTS)}."
        )
    of_file = {name: pairs.PARTS.index(part) for name, part in rows}
    joined = metadata.join(list(image_ids), [name for name, _ in rows])
    missing = sum(part != pairs.UNUSED for part in of_file.values()) - sum(
        of_file[rows[row][0]] != pairs.UNUSED for row in joined.values()
    )
    if missing:
        cli.notice(f"{store.show(path)}: {cli.count(missing, 'work is', 'works are')} not in the collection")
    parts = [of_file[rows[joined[name]][0]] if name in joined else pairs.UNUSED for name in image_ids]
    return np.array(parts, np.int8)


def reduced(features: np.ndarray, n_components: int, seed: int) -> tuple[np.ndarray, Layer]:
    """Principal components (N, P) of features (N, D), rows of unit length on average, and the layer that makes them.

    Fitted on all works, those of the test part too, whose labels it does not see: as the PCA behind style.h5 is."""
    pca = reduce.fit_pca(lambda: [features], n_components, np.random.default_rng(seed))
    total = float(pca.explained_variance.sum())
    scale = np.float32(1 / np.sqrt(total) if total > 0 else 1)
    kernel = np.ascontiguousarray(pca.components.T) * scale
    layer = Layer(kernel, -pca.mean @ kernel, "linear")
    return verification.forward([layer], features), layer


def read_inputs(
    config: Config, image_ids: np.ndarray, weights: dict[str, float]
) -> tuple[np.ndarray | Pixels, list[Layer], dict[str, PlacedSource]]:
    """What the method sees of every work, the layer that made it of scaled embeddings, and what made those."""
    settings = config.verifier
    if settings.method == "siamese_contrastive":
        with store.open_output(config, "images") as h5:
            rows = store.rows_of(image_ids, store.read_ids(h5))
        return Pixels(OnDisk(config.outputs / "images.h5"), rows), [], {}
    features, scalers = sources.read_features(config, image_ids, weights, settings.scaling)
    components, first = reduced(features, settings.n_components, settings.seed)
    placed = {name: sources.read_placed(config, name, scaler) for name, scaler in scalers.items()}
    return components, [first], placed


def among(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of some rows (M,), once each."""
    left, right = (np.concatenate(each) for each in zip(*pairs.every(len(rows)), strict=True))
    return rows[left], rows[right]


def calibrate(verifier: Verifier, works: Works, labels: np.ndarray, parts: np.ndarray, config: Config) -> Any:
    """On all pairs among the works of the validation part."""
    settings = config.verifier
    left, right = among(np.flatnonzero(parts == pairs.VALIDATION))
    is_same = labels[left] == labels[right]
    prevalence = float(is_same.mean()) if settings.prevalence == "natural" else settings.prevalence
    raw = verifier.raw(works, left, right)
    return calibration.fit(raw, is_same, prevalence, settings.calibration, settings.confidence), outcomes.edges(raw)


def count(
    verifier: Verifier, works: Works, labels: np.ndarray, within: np.ndarray | None, rows: np.ndarray,
    edges: np.ndarray, group: np.ndarray,
) -> dict[str, Outcomes]:  # fmt: skip
    """Outcomes over all pairs of the test works `rows`, and over those that agree in `within`.

    group : (N,) int64, works that are drawn together for intervals
    """
    found = {name: Outcomes(edges, verifier.calibration.band) for name in ("all", "within")}
    for left, right in pairs.every(len(rows)):
        a, b = rows[left], rows[right]
        raw = verifier.raw(works, a, b)
        counted = raw, verifier.probability(raw), labels[a] == labels[b], group[a], group[b]
        found["all"].add(*counted)
        if within is not None:
            inside = (within[a] == within[b]) & (within[a] != "")
            found["within"].add(*[column[inside] for column in counted])
    if within is None:
        del found["within"]
    return found


def hardest(
    verifier: Verifier, works: Works, labels: np.ndarray, rows: np.ndarray
) -> dict[str, list[tuple[int, int, float]]]:
    """The pairs of two labels that score highest and those of one that score lowest, each work in one pair only."""
    left, right = among(rows[:DRAWN])
    raw = verifier.raw(works, left, right)
    is_same = labels[left] == labels[right]
    found: dict[str, list[tuple[int, int, float]]] = {}
    for name, of_kind, order in (
        ("different", ~is_same, np.argsort(-raw, kind="stable")), ("same", is_same, np.argsort(raw, kind="stable")),
    ):  # fmt: skip
        taken: set[int] = set()
        found[name] = []
        for i in order[of_kind[order]]:
            a, b = int(left[i]), int(right[i])
            if len(found[name]) < HARDEST and not {a, b} & taken:
                taken |= {a, b}
                found[name].append((a, b, float(verifier.probability(raw[i : i + 1])[0])))
    return found


def draw_curves(path: Path, history: np.ndarray, method: str) -> None:
    """Training loss and validation AUC after each epoch; the one that was kept is marked."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    epochs = np.arange(len(history))
    kept = int(np.nanargmax(history[:, 1])) if np.isfinite(history[:, 1]).any() else len(history) - 1
    axes.plot(epochs, history[:, 1], color="#0072B2", marker="o", markersize=3)
    axes.axvline(kept, color="0.6", linestyle=":")
    axes.annotate(
        f" kept: epoch {kept}, {history[kept, 1]:.3f} ", (kept, 0.04), xycoords=("data", "axes fraction"), color="0.3",
        ha="left" if kept < len(history) / 2 else "right",
    )  # fmt: skip
    axes.set(xlabel=f"epoch of {method}; 0 is before training", xlim=(-0.5, max(1, len(history) - 0.5)))
    axes.set_ylabel("ROC AUC, validation labels", color="#0072B2")
    axes.grid(alpha=0.3)
    losses = axes.twinx()
    losses.plot(epochs, history[:, 0], color="#D55E00", marker="s", markersize=3)
    losses.set_ylabel("training loss", color="#D55E00")
    with store.replacing(path) as temporary:
        figure.savefig(temporary, dpi=150)


def draw_reliability(path: Path, verifier: Verifier, works: Works, labels: np.ndarray, rows: np.ndarray) -> None:
    """Of test pairs with a probability about p, the share that is the same; on the diagonal where p can be believed.

    Pairs count as if the same were as many among them as the probabilities are for."""
    from matplotlib.figure import Figure

    left, right = among(rows[:DRAWN])
    is_same, share = labels[left] == labels[right], verifier.calibration.prevalence
    probability = verifier.probability(verifier.raw(works, left, right))
    weights = np.where(is_same, share / max(1, is_same.sum()), (1 - share) / max(1, (~is_same).sum()))
    said, true, _ = calibration.reliability(probability, is_same, weights)
    figure = Figure(figsize=(6, 7.2), layout="constrained")
    axes, below = figure.subplots(2, 1, height_ratios=(4, 1), sharex=True)
    axes.plot([0, 1], [0, 1], color="0.6", linestyle=":")
    low, high = verifier.calibration.band
    axes.axvspan(low, high, color="0.93", zorder=0)
    axes.text((low + high) / 2, 0.97, "no answer", ha="center", va="top", color="0.4")
    axes.plot(said, true, color="#0072B2", marker="o")
    axes.set(ylabel="share that is the same", ylim=(0, 1), title="Test pairs")
    for kind, color, label in ((~is_same, "#E69F00", "different"), (is_same, "#0072B2", "same")):
        below.hist(probability[kind], bins=40, range=(0, 1), weights=weights[kind], color=color, alpha=0.6, label=label)
    below.set(xlabel="probability of being the same", xlim=(0, 1), ylabel="share")
    below.legend(frameon=False)
    with store.replacing(path) as temporary:
        figure.savefig(temporary, dpi=150)


def write_selection(path: Path, image_ids: np.ndarray, labels: np.ndarray, parts: np.ndarray) -> None:
    with store.replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["filename", "label", "part"])
        table.writerows(
            [name, label, pairs.PARTS[part]] for name, label, part in zip(image_ids, labels, parts, strict=True)
        )


def summarize(config: Config, labels: np.ndarray, parts: np.ndarray, found: dict[str, Outcomes]) -> str:
    settings = config.verifier
    known, new = parts == pairs.TRAIN, parts == pairs.TEST
    figures = found["all"].figures()
    text = (
        f"{settings.method} from {cli.count(int(known.sum()), 'work')} of {cli.count(len(set(labels[known])), 'label')}"
        f" ({settings.label}); {found['all'].n_pairs:,} pairs of {len(set(labels[new])):,}"
        f" {'unseen' if settings.split == 'disjoint' else 'seen'} labels: ROC AUC {figures['roc_auc']}"
    )
    if "within" in found and np.isfinite((inside := found["within"].figures()["roc_auc"]).value):
        text += f", within one {settings.within} {inside}"
    return f"{text}, PR AUC {figures['pr_auc']} at {figures['prevalence'].value:.1%} same"


def main(config: Config) -> tuple[Path, str]:
    # 1. Read
    settings = config.verifier
    weights: dict[str, float] = dict(settings.sources.items())
    image_ids, inputs = sources.common_ids(config, list(weights))
    known = read_known(config, image_ids, inputs)
    labels, picture = known.columns[settings.label], known.picture
    within = known.columns[settings.within] if settings.within else None
    parts = select(config, image_ids, labels, picture)
    seen, first, placed = read_inputs(config, image_ids, weights)

    # 2. Compute
    output = config.outputs / "verifier.h5"
    digest = hashlib.sha256(parts.tobytes()).hexdigest()  # of the selection's file, whatever its name
    recipe = {"settings": config.settings(("verifier",)), "parts_sha256": digest}
    checkpoint = output.with_name(f".verifier-{store.fingerprint('verifier', recipe, inputs)[:16]}.npz")
    tf = vgg.start_tensorflow(config)
    trained, history = verifiers.train(tf, seen, labels, parts, settings, checkpoint)
    works = trained.works(seen, picture)
    fitted, edges = calibrate(trained, works, labels, parts, config)
    verifier = trained.begun_by(first, fitted)
    test = np.flatnonzero(parts == pairs.TEST)
    found = count(verifier, works, labels, within, test, edges, outcomes.groups(labels))

    # 3. Write
    folder = config.outputs / "verifier"
    write_selection(folder / "selection.csv", image_ids, labels, parts)
    draw_curves(folder / "curves.png", history, settings.method)
    draw_reliability(folder / "reliability.png", verifier, works, labels, test)
    with store.open_output(config, "images") as h5:
        sheet = draw_hardest(
            hardest(verifier, works, labels, test), queries.read_catalogue(h5, image_ids), settings.label
        )
    with store.replacing(folder / "hardest.jpg") as temporary:
        sheet.save(temporary, "JPEG", quality=SHEET_QUALITY, subsampling=0)
    with store.create(output, "verifier", recipe, inputs) as h5:
        store.write_ids(h5, image_ids)
        h5["embeddings"], h5["norms"], h5["picture"], h5["part"] = works.embeddings, works.norms, picture, parts
        h5.create_dataset("label", data=labels, dtype=store.TEXT)
        h5.create_dataset("file_sha256", data=known.file_sha256, dtype=store.TEXT)
        h5["history/loss"], h5["history/validation_auc"] = history.T
        h5["report/edges"] = edges
        for name, outcome in found.items():
            h5.create_group(f"report/{name}").attrs.update(
                {key: (figure.value, figure.low, figure.high) for key, figure in outcome.figures().items()}
            )
        verification.write(h5, verifier, config.settings(("images",))["images"], placed)
    checkpoint.unlink(missing_ok=True)
    return output, summarize(config, labels, parts, found)


def draw_hardest(found: dict[str, list[tuple[int, int, float]]], catalogue: queries.Catalogue, label: str) -> Any:
    titles = {"different": f"Not of one {label}, taken for it", "same": f"Of one {label}, taken for two"}
    rows = []
    for kind, title in titles.items():
        shown = [
            (
                [sheets.Tile(catalogue.picture(row), catalogue.caption(row)) for row in (a, b)],
                f"scores {probability:.3f}",
            )
            for a, b, probability in found[kind]
        ]
        rows.append((title, shown))
    return sheets.pairs_sheet(rows)


if __name__ == "__main__":
    cli.run(main, __doc__)
