"""Planted groups are found and those of noise are not; a group is led by the work nearest to its mean."""

import csv
import shutil

import h5py
import numpy as np
import pytest
from conftest import flags, run_script
from PIL import Image
from sklearn.metrics import adjusted_rand_score

import cluster_works as script
from artatlas import config

KMEANS = config.load(None, ("clusters.n_clusters=6",)).clusters
HDBSCAN = config.load(None, ("clusters.method=hdbscan",)).clusters


def blobs(n_each=30, n_groups=6, width=40, seed=0):
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((n_groups, width)).astype(np.float32)
    labels = rng.permutation(np.repeat(np.arange(n_groups), n_each))
    return centres[labels] + rng.normal(0, 0.2, (len(labels), width)).astype(np.float32), labels


@pytest.mark.parametrize("settings", [KMEANS, HDBSCAN], ids=["kmeans", "hdbscan"])
def test_planted_groups_are_found(settings):
    features, planted = blobs()
    labels = script.find_labels(features, settings)
    assert adjusted_rand_score(planted, labels) == 1
    assert abs(adjusted_rand_score(np.random.default_rng(1).permutation(planted), labels)) < 0.1


def test_many_works_are_grouped_as_well_from_starts_that_were_tried_on_some(monkeypatch):
    features, planted = blobs(n_each=100)
    monkeypatch.setattr(script, "TRIED_ON", 120)
    monkeypatch.setattr(script, "MEMBERS", 10)
    labels = script.find_labels(features, KMEANS)
    assert adjusted_rand_score(planted, labels) == 1
    assert np.array_equal(labels, script.find_labels(features, KMEANS))


def test_hdbscan_leaves_strangers_out():
    features, planted = blobs()
    strangers = np.random.default_rng(5).normal(0, 3, (10, features.shape[1])).astype(np.float32)
    labels = script.find_labels(np.vstack([features, strangers]), HDBSCAN)
    assert (labels[len(planted) :] == -1).mean() >= 0.8 and (labels[: len(planted)] >= 0).mean() > 0.95


@pytest.mark.parametrize("n_works", range(1, 9))
@pytest.mark.parametrize("method", ["kmeans", "hdbscan"])
def test_few_works_and_equal_works(n_works, method):
    settings = config.load(None, (f"clusters.method={method}",)).clusters
    for features in (np.ones((n_works, 3), np.float32), np.eye(n_works, 5, dtype=np.float32)):
        groups = script.describe(features, script.find_labels(features, settings))
        assert groups.labels.shape == (n_works,) and sum(map(len, groups.order)) == (groups.labels >= 0).sum()
        assert method == "hdbscan" or (groups.labels >= 0).all()


def test_groups_are_numbered_by_size_and_led_by_the_work_nearest_to_their_mean():
    features = np.array([[0.0], [1.0], [10.0], [11.0], [12.5], [50.0], [99.0]], np.float32)
    groups = script.describe(features, np.array([7, 7, 3, 3, 3, 5, -1]))
    assert groups.labels.tolist() == [1, 1, 0, 0, 0, 2, -1]
    assert [rows.tolist() for rows in groups.order] == [[3, 2, 4], [0, 1], [5]]  # the mean of the first is 11.17


def test_auto_is_the_root_of_half_the_works():
    assert [script.resolve_n_clusters("auto", n) for n in (1, 2, 8, 1231, 100_000)] == [1, 1, 2, 25, 224]
    assert script.resolve_n_clusters(50, 12) == 12


def test_the_stage_writes_whole_groups_lists_and_sheets(painted, outputs):
    with h5py.File(outputs / "clusters.h5") as h5:
        ids = h5["image_ids"].asstr()[:]
        for space in ("content", "style", "color", "combined"):
            labels, leaders, sizes = (h5[f"{space}/{name}"][:] for name in ("labels", "representatives", "sizes"))
            assert np.bincount(labels).tolist() == sizes.tolist() == sorted(sizes, reverse=True)
            assert labels[leaders].tolist() == list(range(len(sizes)))
            with (outputs / "clusters" / f"{space}.csv").open(encoding="utf-8", newline="") as file:
                lines = list(csv.DictReader(file))
            assert {(line["filename"], int(line["cluster"])) for line in lines} == set(zip(ids, labels, strict=True))
            leads = {line["filename"] for line in lines if line["rank"] == "1"}
            assert leads == set(ids[leaders])
            with Image.open(outputs / "clusters" / f"{space}.jpg") as sheet:
                sheet.load()


def test_the_same_groups_with_any_number_of_threads(painted, outputs):
    before = (outputs / "clusters.h5").read_bytes()
    result = run_script("cluster_works.py", *flags(painted, outputs, "machine.threads=1"))
    assert (outputs / "clusters.h5").read_bytes() == before
    assert "64 works in groups, 6 by content" in result.stdout


def test_a_duplicate_is_in_the_group_of_its_original(painted, tmp_path):
    shutil.copytree(painted / "images", tmp_path / "images")
    originals = sorted((tmp_path / "images").rglob("*.*"))[:5]
    for i, original in enumerate(originals):
        shutil.copy(original, tmp_path / "images" / f"copy{i}{original.suffix}")
    words = flags(painted, tmp_path / "o", f"paths.images={tmp_path / 'images'}", "similar.spaces={color: {color: 1}}")
    for stage in ("prepare_images.py", "extract_color.py", "cluster_works.py"):
        run_script(stage, *words)
    with h5py.File(tmp_path / "o" / "clusters.h5") as h5:
        group = dict(zip(h5["image_ids"].asstr()[:], h5["color/labels"][:], strict=True))
    for i, original in enumerate(originals):
        name = original.relative_to(tmp_path / "images").as_posix()
        assert group[name] == group[f"copy{i}{original.suffix}"]
