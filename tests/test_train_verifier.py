"""A verifier trained on planted artists knows new ones; a stopped run ends in the same bytes; mistakes are told."""

import csv
import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest
import scipy.stats
from conftest import REPO, edited, flags, run_script
from PIL import Image

from artatlas import (
    calibration,
    config,
    judging,
    methods,
    metrics,
    outcomes,
    pairs,
    pixel_siamese,
    selection,
    verification,
    verifiers,
    vgg,
)  # fmt: skip
from artatlas.errors import UserError
from artatlas.pixel_siamese import Pixels

import train_verifier as script  # isort: skip

QUICK = ("verifier.n_components=20", "verifier.dimensions=8", "verifier.epochs=3", "verifier.validation_share=0.25",
         "verifier.test_share=0.25", "verifier.calibration_folds=2")  # fmt: skip


def settings_of(**changes):
    return config.load().verifier.model_copy(
        update={"dimensions": 8, "epochs": 5, "validation_share": 0.2, "shrinkage": 0.6} | changes
    )


def planted(n_artists=40, n_works=8, noise=1.0, seed=0):
    """Features (N, P): artists differ in the first 6 columns, works of one artist in the other 14, and strongly."""
    rng = np.random.default_rng(seed)
    labels = np.repeat([f"artist {i:02d}" for i in range(n_artists)], n_works).astype(object)
    features = rng.normal(size=(len(labels), 20)).astype(np.float32) * noise * 2
    hands = rng.normal(size=(n_artists, 6)).astype(np.float32)
    features[:, :6] = hands[np.repeat(np.arange(n_artists), n_works)] + 0.5 * features[:, :6] / 2
    return features / np.float32(10), labels


@pytest.fixture(scope="module")
def tf():
    return vgg.start_tensorflow(config.load())


def test_auc_of(verifier, features, labels, parts, part=pairs.TEST):
    rows = np.flatnonzero(parts == part)
    works = verifier.works(features[rows], rows)
    return verifiers.validation_auc(verifier, works, labels[rows], np.random.default_rng(0))


test_auc_of.__test__ = False


def parts_of(labels, seed=0):
    return pairs.split(labels, np.ones(len(labels), bool), True, 0.2, 0.3, np.random.default_rng(seed))


ON_FEATURES = sorted(methods.METHODS.keys() - {"siamese_contrastive"})


@pytest.mark.parametrize("method", ON_FEATURES)
def test_artists_never_seen_are_told_apart_and_with_shuffled_labels_are_not(tf, method):
    features, labels = planted(noise=0.3)
    parts = parts_of(labels)
    chosen = settings_of(method=method, epochs=15, learning_rate=0.01, dropout=0.1, batch_size=128)
    trained, history = verifiers.train(tf, features, labels, parts, chosen, None)
    assert np.isnan(history[0, 0]) and np.isfinite(history[1:]).all()
    raw = verifiers.validation_auc(
        trained, trained.works(features, np.arange(len(labels))), labels, np.random.default_rng(0)
    )
    assert raw > 0.75
    assert test_auc_of(trained, features, labels, parts) > 0.75
    shuffled = np.random.default_rng(1).permutation(labels)
    control_parts = parts_of(shuffled)
    control, _ = verifiers.train(tf, features, shuffled, control_parts, chosen, None)
    assert test_auc_of(control, features, shuffled, control_parts) == pytest.approx(0.5, abs=0.07)


def test_a_network_on_pixels_learns_and_an_untrained_one_is_never_kept(tf):
    """Painters with a colour of their own each. The twelve convolutions start at random: epoch 0 has no figure."""
    rng = np.random.default_rng(0)
    hues = rng.integers(40, 215, (12, 1, 1, 1, 3))
    pixels = np.clip(hues + rng.normal(0, 25, (12, 5, 64, 64, 3)), 0, 255).astype(np.uint8).reshape(60, 64, 64, 3)
    labels = np.repeat([f"p{i:02d}" for i in range(12)], 5).astype(object)
    seen = Pixels(pixels, np.arange(60))
    chosen = settings_of(method="siamese_contrastive", epochs=6, learning_rate=0.003)
    parts = parts_of(labels)
    trained, history = verifiers.train(tf, seen, labels, parts, chosen, None)
    assert np.isnan(history[0]).all() and np.isfinite(history[1:]).all()
    works = trained.works(seen, np.arange(60))
    left, right = np.triu_indices(60, 1)
    assert metrics.auc(labels[left] == labels[right], trained.raw(works, left, right)) > 0.7
    assert history[-1, 0] < 0.7 * history[1, 0]
    assert len(trained.pixel_weights) == 12 * 2 + 6 * 4 + 2 * 2


def test_the_contrastive_loss_on_pixels_is_the_papers_over_all_pairs_of_a_batch(tf):
    """Distances 1 (one label), 3 and sqrt(10) (others), by hand."""
    embeddings, codes = tf.constant([[0.0, 0.0], [0.0, 1.0], [3.0, 0.0]]), tf.constant([0, 0, 1])

    def loss(margin, same_share):
        return float(pixel_siamese.contrastive(tf, embeddings, codes, margin, same_share))

    apart = ((4 - 3) ** 2 + (4 - 10**0.5) ** 2) / 2
    assert loss(1, 0.5) == pytest.approx(0.5 * 1, abs=1e-4)  # nothing is pulled apart beyond the margin
    assert loss(4, 0.0) == pytest.approx(apart, abs=1e-4)
    assert loss(4, 0.25) == pytest.approx(0.25 * 1 + 0.75 * apart, abs=1e-4)
    only = tf.constant([0, 1, 2])
    assert float(pixel_siamese.contrastive(tf, embeddings, only, 1, 0.5)) == pytest.approx(0, abs=1e-4)


def test_training_beats_the_cosine_of_what_it_starts_from(tf):
    """The planted works differ most in what says nothing of the artist, which whitening within artists takes out."""
    features, labels = planted()
    parts = parts_of(labels)
    trained, _ = verifiers.train(tf, features, labels, parts, settings_of(), None)
    bare = verification.Verifier([], "dot", [], "none", methods.NO_COHORT, methods.UNCALIBRATED)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    before, after = test_auc_of(bare, unit, labels, parts), test_auc_of(trained, features, labels, parts)
    assert after > before + 0.1


def test_within_class_whitening_makes_artists_scatter_alike():
    features, labels = planted(60, 30)
    kernel, bias, _ = methods.within_class_whitening(features, labels, 1e-6, 20)
    placed = features @ kernel + bias
    _, codes = np.unique(labels, return_inverse=True)
    centres = np.stack([np.bincount(codes, column) / np.bincount(codes) for column in placed.T], axis=1)
    scatter = np.cov((placed - centres[codes]).T)
    np.testing.assert_allclose(scatter / scatter.trace() * 20, np.eye(20), atol=0.02)
    before = np.cov(features.T)
    assert np.abs(before / before.trace() * 20 - np.eye(20)).max() > 0.3  # the control: they did not
    between = centres.var(axis=0)
    assert between[:6].sum() > 5 * between[6:].sum() and (np.diff(between) <= 1e-3 * between[0]).all()


def test_the_likelihood_ratio_is_that_of_normal_works():
    """Against the densities of SciPy; and fitted on works that are drawn so, it finds what they were drawn with."""
    between = np.array([3.0, 1.0, 0.1])
    p, q = methods.likelihood_ratio(between)
    rng = np.random.default_rng(0)
    x, y = verification.unit(rng.normal(size=(2, 50, 3)).reshape(100, 3)).reshape(2, 50, 3)
    found = x * y @ p - (x**2 + y**2) @ q
    within, apart = np.eye(3) / (between + 1).sum(), np.diag(between) / (between + 1).sum()
    one = np.block([[apart + within, apart], [apart, apart + within]])
    two = np.block([[apart + within, 0 * apart], [0 * apart, apart + within]])
    both = np.hstack([x, y])
    one_label, two_labels = (scipy.stats.multivariate_normal(cov=cov).logpdf(both) for cov in (one, two))
    truth = one_label - two_labels
    np.testing.assert_allclose(found - found.mean(), truth - truth.mean(), atol=1e-5)
    labels = np.repeat(np.arange(4000), 5)
    works = (rng.normal(size=(4000, 3)) * np.sqrt(between))[labels] + rng.normal(size=(20000, 3))
    *_, estimated = methods.within_class_whitening(works @ np.diag([1.0, 5.0, 0.2]), labels, 1e-9, 3)
    np.testing.assert_allclose(estimated, between + 1 / 5, rtol=0.1)  # means of five works scatter by a fifth more


@pytest.mark.parametrize("n_labels", [2, 5])
def test_of_few_labels_little_is_believed(n_labels):
    """Their means lie in fewer directions than there are axes, and the others must not count for nothing."""
    features, labels = planted(n_labels, 40)
    *_, between = methods.within_class_whitening(features, labels, 0.5, 8)
    assert between[n_labels:].min() > 0.05 * between[0] and methods.doubt(8, n_labels) > 0.6
    assert methods.doubt(8, 10**6) < 1e-4


@pytest.mark.parametrize("hubness", ["none", "csls", "as_norm"])
def test_what_a_pair_scores_is_the_likelihood_ratio(hubness):
    features, labels = planted()
    chosen = settings_of(hubness=hubness)
    verifier = methods.whitened(features, labels, chosen)
    kernel, bias, between = methods.within_class_whitening(features, labels, 0.6, 8)
    p, q = methods.likelihood_ratio(between)
    rows = verification.unit(features @ kernel + bias)
    truth = (rows * p) @ rows.T - (rows**2 @ q)[:, None] - rows**2 @ q  # (N, N)
    works = verifier.works(features, np.arange(len(labels)))
    left, right = np.triu_indices(len(labels), 1)
    bare = dataclasses.replace(verifier, hubness="none").raw(works, left, right)
    np.testing.assert_allclose(bare, truth[left, right], atol=1e-4)
    k = {"none": 0, "csls": 10, "as_norm": 80}[hubness]
    if k:
        usual = -np.sort(-truth, axis=1)[:, :k].mean(axis=1)
        np.testing.assert_allclose(works.norms[:, 0], usual, atol=1e-4)
    cosine = methods.whitened(features, labels, chosen.model_copy(update={"readout": "cosine"}))
    assert cosine.readout == "dot" and cosine.embed(features).shape == (len(labels), 8)


def test_what_is_chosen_does_best_on_unseen_labels_and_the_test_part_has_no_say(monkeypatch):
    """Artists differ in 6 of 20 columns: in the first ones, six are enough; in the last ones, all are needed."""
    monkeypatch.setattr(verifiers, "COMPONENTS", (6, 20))
    monkeypatch.setattr(verifiers, "SHRINKAGES", (0.5,))
    features, labels = planted(noise=0.7)
    parts = parts_of(labels)
    auto = settings_of(n_components="auto", shrinkage="auto")
    chosen = verifiers.choose(features, labels, parts, auto)
    assert (chosen.n_components, chosen.shrinkage) == (6, 0.5)
    assert verifiers.choose(features[:, ::-1], labels, parts, auto).n_components == 20  # the control
    assert verifiers.choose(features, labels, parts, chosen) == chosen  # what is no `auto` stays
    swapped, test = features.copy(), parts == pairs.TEST
    swapped[test] = features[test, ::-1]
    assert verifiers.choose(swapped, labels, parts, auto) == chosen


def test_with_cross_fitting_validation_works_are_learned_from_in_the_end_and_else_they_are_not(tf):
    """Not trained at all, the verifier is in closed form what its works say: of both parts, or of the one."""
    features, labels = planted()
    parts = parts_of(labels)
    train, both = parts == pairs.TRAIN, (parts == pairs.TRAIN) | (parts == pairs.VALIDATION)
    for folds, known in ((4, both), (None, train)):
        chosen = settings_of(epochs=0, calibration_folds=folds)
        found, _ = verifiers.train(tf, features, labels, parts, chosen, None)
        kernel, *_ = methods.within_class_whitening(features[known], labels[known], 0.6, 8)
        np.testing.assert_array_equal(found.layers[0].kernel, kernel)
        assert len(found.cohort) == known.sum()
    said = {name: settings_of(method="classifier", class_readout=name) for name in ("penultimate", "dot", "pearson")}
    assert [verifiers.n_cross_fits(each) for each in said.values()] == [4, 0, 0]
    # Trained: for as many epochs as did best, again on both.
    chosen = settings_of(epochs=6, patience=6, dropout=0.1)
    found, history = verifiers.train(tf, features, labels, parts, chosen, None)
    best = int(np.argmax(history[:, 1]))
    assert best > 0
    alone = chosen.model_copy(update={"epochs": best, "calibration_folds": None})
    unwatched = np.where(both, pairs.TRAIN, pairs.UNUSED)
    unwatched[labels == labels[parts == pairs.TEST][0]] = pairs.VALIDATION  # pairs of one kind: no epoch is better
    trained, _ = verifiers.train(tf, features, labels, unwatched, alone, None)
    np.testing.assert_array_equal(found.layers[0].kernel, trained.layers[0].kernel)


def test_training_that_gains_nothing_is_not_kept(tf):
    """Shuffled labels: validation AUC moves by chance. What is in closed form stays, whatever epoch was luckiest."""
    nan = float("nan")
    for aucs, best in (
        ([0.8, 0.801, 0.802, 0.7], 0), ([0.8, 0.801, 0.82, 0.81], 2), ([0.8, 0.7], 0), ([nan, 0.6, 0.6, 0.5], 1),
        ([nan, nan, nan], 2), ([nan], 0),
    ):  # fmt: skip
        assert verifiers.best_epoch([(nan, auc) for auc in aucs]) == best, aucs
    features, labels = planted()
    parts = parts_of(labels)
    chosen = settings_of(epochs=4, patience=4, learning_rate=1e-6, calibration_folds=None)  # no step worth the name
    found, history = verifiers.train(tf, features, labels, parts, chosen, None)
    assert np.ptp(history[:, 1]) < verifiers.LEAST_GAIN
    train = parts == pairs.TRAIN
    kernel, *_ = methods.within_class_whitening(features[train], labels[train], 0.6, 8)
    np.testing.assert_array_equal(found.layers[0].kernel, kernel)


def test_cross_fitted_probabilities_can_be_believed_of_labels_never_seen(tf):
    features, labels = planted(40, 8, noise=0.5)
    parts = parts_of(labels)
    chosen = settings_of(epochs=2, dropout=0.1)
    trained, history = verifiers.train(tf, features, labels, parts, chosen, None)
    n_epochs, picture, test = verifiers.best_epoch(history), np.arange(len(labels)), np.flatnonzero(parts == pairs.TEST)
    works, errors = trained.works(features, picture), []
    _, group = np.unique(labels, return_inverse=True)
    for folds in (3, None):
        settings = chosen.model_copy(update={"calibration_folds": folds})
        fitted, edges = judging.calibrate(tf, trained, works, features, labels, parts, settings, n_epochs)
        verifier = dataclasses.replace(trained, calibration=fitted)
        found = judging.count(verifier, works, labels, None, test, edges, group % outcomes.N_GROUPS)
        errors.append(found["all"].figures()["calibration_error"].value)
    assert errors[0] < 0.1
    surer = calibration.Calibration("platt", fitted.x + [0, 4], fitted.y)
    too_sure = dataclasses.replace(trained, calibration=surer)
    bad = judging.count(too_sure, works, labels, None, test, edges, group % outcomes.N_GROUPS)  # the control
    assert bad["all"].figures()["calibration_error"].value > 0.15


@pytest.mark.parametrize(
    "changes",
    [{"method": "metric"}, {"method": "siamese_symmetric"}]
    + [{"method": "classifier", "class_readout": readout} for readout in ("penultimate", "pearson", "dot")],
)
def test_what_is_counted_in_bins_is_the_auc_of_the_scores(tf, changes):
    """Bins follow the scores of the verifier itself: those that calibrate in its stead may score on another scale."""
    features, labels = planted(40, 8, noise=0.5)
    parts = parts_of(labels)
    settings = settings_of(epochs=4, patience=4, learning_rate=0.01).model_copy(update=changes)
    trained, history = verifiers.train(tf, features, labels, parts, settings, None)
    works, test = trained.works(features, np.arange(len(labels))), np.flatnonzero(parts == pairs.TEST)
    fitted, edges = judging.calibrate(
        tf, trained, works, features, labels, parts, settings, verifiers.best_epoch(history)
    )
    verifier, group = dataclasses.replace(trained, calibration=fitted), np.zeros(len(labels), np.int64)
    counted = judging.count(verifier, works, labels, None, test, edges, group)["all"].figures()["roc_auc"].value
    left, right = (test[side] for side in np.triu_indices(len(test), 1))
    exact = metrics.auc(labels[left] == labels[right], verifier.raw(works, left, right))
    assert counted == pytest.approx(exact, abs=5e-4) and exact > 0.55


def test_of_works_that_are_one_picture_one_takes_part(painted, finished, tmp_path):
    for name in ("images.h5", "content.h5", "style.h5", "color.h5", "variants.h5"):
        shutil.copy(finished / name, tmp_path / name)
    settings = config.load(None, tuple(flags(painted, tmp_path, *QUICK)[1::2]))
    with edited(tmp_path / "variants.h5") as h5:
        ids, group = h5["image_ids"].asstr()[:], np.arange(len(h5["group"]))
        group[[9, 20, 63]] = 2  # works of four painters
        h5["group"][:] = group
    inputs = {}
    known = selection.read_known(settings, ids[::-1], inputs)  # joined by id, not by position
    assert set(inputs) == {"images", "variants"}
    assert len(set(known.group[[63 - 9, 63 - 20, 0, 63 - 2]])) == 1 and len(np.unique(known.group)) == 61
    labels = known.columns["artist"]
    parts = selection.select(settings, ids[::-1], labels, known.group)
    assert (parts[[63 - 9, 63 - 20, 0, 63 - 2]] != pairs.UNUSED).sum() == 1
    apart = config.load(None, tuple(flags(painted, tmp_path, *QUICK, "verifier.variants=apart")[1::2]))
    assert len(np.unique(selection.read_known(apart, ids, {}).group)) == 64  # the control
    (tmp_path / "variants.h5").unlink()
    with pytest.raises(UserError, match=r"variants.h5 does not exist. Run: python find_variants.py"):
        selection.read_known(settings, ids, {})


def test_the_contrastive_loss_is_the_papers(tf):
    rng = np.random.default_rng(0)
    z = rng.normal(size=(7, 3)).astype(np.float32)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    codes = np.array([0, 0, 1, 1, 1, 2, 0])
    losses = []
    for i in range(7):
        others = [a for a in range(7) if a != i]
        partners = [p for p in others if codes[p] == codes[i]]
        below = sum(np.exp(z[i] @ z[a] / 0.3) for a in others)
        losses += [-np.mean([np.log(np.exp(z[i] @ z[p] / 0.3) / below) for p in partners])] if partners else []
    found = methods.supervised_contrastive(tf, tf.constant(z @ z.T / 0.3), tf.constant(codes))
    assert float(found) == pytest.approx(np.mean(losses), rel=1e-4)


def test_a_stopped_run_goes_on_and_ends_in_the_same_bytes(tf, tmp_path, monkeypatch):
    """A07"""
    features, labels = planted()
    parts, chosen = parts_of(labels), settings_of(epochs=8, patience=8)
    whole, history = verifiers.train(tf, features, labels, parts, chosen, None)
    monkeypatch.setattr(verifiers, "SAVED_EVERY_S", -1)
    real, calls = verifiers.validation_auc, []

    def dies(*arguments):
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(verifiers, "validation_auc", dies)
    with pytest.raises(KeyboardInterrupt):
        verifiers.train(tf, features, labels, parts, chosen, tmp_path / "checkpoint.npz")
    assert (tmp_path / "checkpoint.npz").exists()
    before = len(calls)
    resumed, resumed_history = verifiers.train(tf, features, labels, parts, chosen, tmp_path / "checkpoint.npz")
    assert len(calls) - before == 6  # one before it reads the checkpoint of epoch 3, and epochs 4 to 8
    np.testing.assert_array_equal(resumed_history, history)
    for one, other in zip(resumed.layers, whole.layers, strict=True):
        np.testing.assert_array_equal(one.kernel, other.kernel)
        np.testing.assert_array_equal(one.bias, other.bias)


@pytest.fixture(scope="module")
def trained(painted, finished, tmp_path_factory):
    """The finished outputs with a verifier. Read only."""
    folder = tmp_path_factory.mktemp("trained") / "outputs"
    shutil.copytree(finished, folder)
    result = run_script("train_verifier.py", *flags(painted, folder, *QUICK))
    return folder, result.stdout


def test_the_stage_writes_what_it_says(trained):
    folder, said = trained
    with h5py.File(folder / "verifier.h5") as h5:
        part, label, n_works = h5["part"][:], h5["label"].asstr()[:], len(h5["image_ids"])
        assert n_works == 64 and h5["embeddings"].shape == (64, 8 + 1)
        value, low, high = h5["report/all"].attrs["roc_auc"]
        assert 0.4 < value <= 1 and np.isnan(low) and np.isnan(high)  # two artists are too few for an interval
    sides = [set(label[part == p]) for p in (1, 2, 3)]
    assert list(map(len, sides)) == [4, 2, 2] and len(set.union(*sides)) == 8
    assert "ROC AUC" in said and "unseen labels" in said
    for name in ("curves.png", "reliability.png", "hardest.jpg"):
        with Image.open(folder / "verifier" / name) as picture:
            picture.load()
            assert min(picture.size) > 400
    with (folder / "verifier" / "selection.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [pairs.PARTS.index(row["part"]) for row in rows] == part.tolist()
    assert not list(folder.glob(".verifier*"))


def test_a_saved_selection_trains_the_same_verifier_and_one_that_leaks_is_refused(painted, trained, tmp_path):
    folder, _ = trained
    selection = tmp_path / "selection.csv"
    text = (folder / "verifier" / "selection.csv").read_text(encoding="utf-8")
    selection.write_text(text, encoding="utf-8")
    for name in ("images.h5", "content.h5", "style.h5", "color.h5", "neighbors.h5", "variants.h5"):
        os.link(folder / name, tmp_path / name)
    again = flags(painted, tmp_path, *QUICK, "verifier.seed=42", f"verifier.selection={selection}")
    run_script("train_verifier.py", *again)
    with h5py.File(folder / "verifier.h5") as one, h5py.File(tmp_path / "verifier.h5") as other:
        np.testing.assert_array_equal(one["part"][:], other["part"][:])
        np.testing.assert_array_equal(one["embeddings"][:], other["embeddings"][:])
    first = next(line for line in text.splitlines() if line.endswith(",test"))
    selection.write_text(text.replace(first, first.replace(",test", ",train"), 1), encoding="utf-8")
    result = run_script("train_verifier.py", *again, check=False)
    assert result.returncode == 2 and "is in train and in test" in result.stderr


@pytest.mark.parametrize(
    "setting, message",
    [
        ("verifier.label=painter", "verifier.label: painter is not a column of the metadata (artist"),
        ("verifier.least_works=30", "has too few works to learn from: 0 labels in the part train"),
        ("verifier.selection=/nowhere.csv", "verifier.selection: /nowhere.csv cannot be read"),
        ("verifier.method=magic", "verifier.method: 'magic' should be"),
    ],
)
def test_mistakes_are_told_before_anything_is_computed(painted, trained, setting, message):
    folder, _ = trained
    with pytest.raises(UserError) as told:
        values = flags(painted, folder, *QUICK, setting)[1::2]
        script.main(config.load(None, tuple(values)))
    assert message in str(told.value)


def test_kill_9_leaves_the_old_verifier_and_the_next_run_the_same_bytes(painted, trained, tmp_path):
    """A07"""
    folder, _ = trained
    before = (folder / "verifier.h5").read_bytes()
    for name in ("images.h5", "content.h5", "style.h5", "color.h5", "neighbors.h5", "variants.h5", "verifier.h5"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    command = [sys.executable, str(REPO / "train_verifier.py"), *flags(painted, tmp_path, *QUICK)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(3)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (tmp_path / "verifier.h5").read_bytes() == before
    subprocess.run(command, check=True, capture_output=True)
    assert (tmp_path / "verifier.h5").read_bytes() == before


def test_new_pictures_are_looked_at_as_the_collection_was(painted, trained, tmp_path):
    """Copies under other names go through decoding, network, PCA and scalers, and score as the works they are of."""
    folder, _ = trained
    with h5py.File(folder / "verifier.h5") as h5:
        ids = h5["image_ids"].asstr()[:][::16]  # 4 works of different painters
    new = [f"copy {i}.{name.rpartition('.')[2]}" for i, name in enumerate(ids)]
    (tmp_path / "new").mkdir()
    for name, copy in zip(ids, new, strict=True):
        shutil.copy(painted / "images" / name, tmp_path / "new" / copy)
    rows = [("old", 0, 1), ("old", 2, 3), ("both", 0, 1), ("new", 0, 1), ("new", 2, 3), ("both", 2, 2)]
    sides = {"old": (ids, ids), "new": (new, new), "both": (ids, new)}
    with (tmp_path / "pairs.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["index", "image1", "image2"])
        table.writerows([i, sides[kind][0][a], sides[kind][1][b]] for i, (kind, a, b) in enumerate(rows))
        table.writerow(["last", "../pairs.csv", ids[0]])  # leads out of the folder
    output = tmp_path / "scores.csv"
    result = run_script(
        "verify_pairs.py", tmp_path / "pairs.csv", "--images", tmp_path / "new", "--output", output,
        *flags(painted, folder, *QUICK),
    )  # fmt: skip
    with output.open(encoding="utf-8") as file:
        scores = np.array([float(row["score"]) for row in csv.DictReader(file)])
    assert len(scores) == 6 and "1 left out" in result.stdout
    np.testing.assert_allclose(scores[[2, 3, 4]], scores[[0, 0, 1]], atol=0.02)
    assert scores[5] == 1 and (scores[:5] < 1).all()
