"""Learns to tell whether two works are by the same artist, and measures that on artists it has never seen.

Reads   outputs/content.h5, style.h5, color.h5 (those that verifier.sources mentions), images.h5, whose metadata column
        verifier.label says who is who, and variants.h5, which works are one picture
Writes  outputs/verifier.h5   image_ids (N,), embeddings (N, D) that works are compared by (verifier.readout plda:
        by the inner product without the last column, minus both last columns), part (N,) (0 unused, 1 train, 2
        validation, 3 test), label (N,); history/ and report/, how well it does; network/, readout/, calibration/,
        scalers/, sources/: all that verify_pairs.py needs, for new pictures too
        outputs/verifier/   selection.csv (which work was in which part, to use again), curves.png, reliability.png,
        hardest.jpg: the test pairs that it is most wrong about
Run     python train_verifier.py            settings: verifier
Source  metric: Hatch, Kajarekar & Stolcke 2006 (within-class covariance normalization), Ioffe 2006 (probabilistic
        linear discriminant analysis), Khosla et al. 2020 (supervised contrastive learning), Matejka et al. 2017
        (adaptive score normalisation)
Cost    metric: some ten seconds for 1,200 works on 2 cores, TensorFlow's start included; siamese_contrastive looks
        at pixels, in four to ten minutes of a core

An artist is in one part only (verifier.split: disjoint), so that the figures are of artists that are new. Whatever is
chosen, calibrated or ended early is so by the other parts.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from artatlas import (
    answers,
    cli,
    judging,
    outcomes,
    pairs,
    queries,
    selection,
    sources,
    store,
    verification,
    verifier_pictures,
    verifiers,
    vgg,
)
from artatlas.config import Config
from artatlas.config import Verifier as Settings
from artatlas.outcomes import Outcomes
from artatlas.pixel_siamese import OnDisk, Pixels
from artatlas.selection import Known
from artatlas.sources import PlacedSource
from artatlas.verification import Layer, Verifier, Works


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
    components, first = verifiers.reduced(features, verifiers.most_components(settings), settings.seed)
    placed = {name: sources.read_placed(config, name, scaler) for name, scaler in scalers.items()}
    return components, [first], placed


def decide(
    seen: np.ndarray | Pixels, first: list[Layer], labels: np.ndarray, parts: np.ndarray, settings: Settings
) -> tuple[np.ndarray | Pixels, list[Layer], Settings]:
    """Settings without `auto`, and as many of the components as they say."""
    if isinstance(seen, Pixels):
        return seen, first, settings
    settings = verifiers.choose(seen, labels, parts, settings)
    n = settings.n_components
    return seen[:, :n], [Layer(layer.kernel[:, :n], layer.bias[:n], layer.activation) for layer in first], settings


def summarize(config: Config, labels: np.ndarray, parts: np.ndarray, found: dict[str, Outcomes]) -> str:
    settings = config.verifier
    known, new = verifiers.learned_from(parts, settings), parts == pairs.TEST
    figures = found["all"].figures()
    text = (
        f"{settings.method} from {cli.count(int(known.sum()), 'work')} of {cli.count(len(set(labels[known])), 'label')}"
        f" ({settings.label}); {found['all'].n_pairs:,} pairs of {len(set(labels[new])):,}"
        f" {'unseen' if settings.split == 'disjoint' else 'seen'} labels: ROC AUC {figures['roc_auc']}"
    )
    if "within" in found and np.isfinite((inside := found["within"].figures()["roc_auc"]).value):
        text += f", within one {settings.within} {inside}"
    text += f", PR AUC {figures['pr_auc']} at {figures['prevalence'].value:.1%} same"
    return f"{text}, calibration error {figures['calibration_error']}"


def draw(
    config: Config, image_ids: np.ndarray, verifier: Verifier, works: Works, labels: np.ndarray, test: np.ndarray,
    found: Outcomes, history: np.ndarray,
) -> None:  # fmt: skip
    """curves.png, reliability.png and hardest.jpg."""
    folder = config.outputs / "verifier"
    verifier_pictures.draw_curves(folder / "curves.png", history, verifiers.best_epoch(history), config.verifier.method)
    verifier_pictures.draw_reliability(folder / "reliability.png", found)
    hardest = judging.hardest(verifier, works, labels, test)
    with store.open_output(config, "images") as h5:
        catalogue = queries.read_catalogue(h5, image_ids)
        sheet = verifier_pictures.draw_hardest(hardest, catalogue, config.verifier.label)
    answers.save(sheet, folder / "hardest.jpg")


def write(
    h5: Any, image_ids: np.ndarray, known: Known, labels: np.ndarray, parts: np.ndarray, works: Works,
    edges: np.ndarray, found: dict[str, Outcomes], history: np.ndarray,
) -> None:  # fmt: skip
    """What verifier.h5 says of the works, and how well the verifier does."""
    store.write_ids(h5, image_ids)
    h5["embeddings"], h5["norms"], h5["picture"], h5["part"] = works.embeddings, works.norms, works.picture, parts
    h5.create_dataset("label", data=labels, dtype=store.TEXT)
    h5.create_dataset("file_sha256", data=known.file_sha256, dtype=store.TEXT)
    h5["history/loss"], h5["history/validation_auc"] = history.T
    h5["report/edges"] = edges
    for name, outcome in found.items():
        h5.create_group(f"report/{name}").attrs.update(
            {key: (figure.value, figure.low, figure.high) for key, figure in outcome.figures().items()}
        )


def main(config: Config) -> tuple[Path, str]:
    # 1. Read
    weights: dict[str, float] = dict(config.verifier.sources.items())
    image_ids, inputs = sources.common_ids(config, list(weights))
    known = selection.read_known(config, image_ids, inputs)
    labels = known.columns[config.verifier.label]
    within = known.columns[config.verifier.within] if config.verifier.within else None
    parts = selection.select(config, image_ids, labels, known.group)
    seen, first, placed = read_inputs(config, image_ids, weights)

    # 2. Compute
    output = config.outputs / "verifier.h5"
    digest = hashlib.sha256(parts.tobytes()).hexdigest()  # of the selection's file, whatever its name
    recipe = {"settings": config.settings(("verifier",)), "parts_sha256": digest}
    checkpoint = output.with_name(f".verifier-{store.fingerprint('verifier', recipe, inputs)[:16]}.npz")
    tf = vgg.start_tensorflow(config)
    seen, first, settings = decide(seen, first, labels, parts, config.verifier)
    trained, history = verifiers.train(tf, seen, labels, parts, settings, checkpoint)
    works = trained.works(seen, known.picture)
    n_epochs = verifiers.best_epoch(history)
    fitted, edges = judging.calibrate(tf, trained, works, seen, labels, parts, settings, n_epochs)
    verifier = trained.begun_by(first, fitted)
    test = np.flatnonzero(parts == pairs.TEST)
    found = judging.count(verifier, works, labels, within, test, edges, outcomes.groups(labels))

    # 3. Write
    selection.write(config.outputs / "verifier" / "selection.csv", image_ids, labels, parts)
    draw(config, image_ids, verifier, works, labels, test, found["all"], history)
    with store.create(output, "verifier", recipe, inputs) as h5:
        write(h5, image_ids, known, labels, parts, works, edges, found, history)
        h5["history"].attrs.update(n_components=settings.n_components, shrinkage=settings.shrinkage)  # chosen
        verification.write(h5, verifier, config.settings(("images",))["images"], placed)
    checkpoint.unlink(missing_ok=True)
    return output, summarize(config, labels, parts, found)


if __name__ == "__main__":
    cli.run(main, __doc__)
