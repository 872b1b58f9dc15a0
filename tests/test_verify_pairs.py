"""Pairs in, scores out, in the same order; what is missing is listed; what is known is judged."""

import csv

import numpy as np
import pytest
from conftest import peak_bytes, run_script

from artatlas import calibration, config, metrics, outcomes, pair_files, store, verification
from artatlas.errors import UserError
from artatlas.verification import Layer, Verifier

import verify_pairs as script  # isort: skip

IDS = [f"set/{i:03d}.jpg" for i in range(200)]


def write_verifier(folder, n_works=200):
    """A verifier.h5 made by hand: 20 artists, works of each around a point of their own."""
    rng = np.random.default_rng(0)
    labels = np.repeat([f"artist {i}" for i in range(20)], n_works // 20).astype(object)
    hands = rng.normal(size=(20, 8))[np.repeat(np.arange(20), n_works // 20)]
    embeddings = verification.unit((hands + 0.7 * rng.normal(size=(n_works, 8))).astype(np.float32))
    left, right = np.triu_indices(n_works, 1)
    bare = Verifier(
        [], "dot", [], "none", np.zeros((0, 0), np.float32), calibration.Calibration("platt", np.ones(2), np.zeros(0))
    )
    works = bare.works(embeddings, np.arange(n_works))
    raw = bare.raw(works, left, right)
    fitted = calibration.fit(raw, labels[left] == labels[right], 0.5, "platt", 0.9)
    verifier = Verifier(
        [Layer(np.eye(8, dtype=np.float32), np.zeros(8, np.float32), "unit")], "dot", [], "none", bare.cohort, fitted
    )
    settings = config.load(None, (f"paths.outputs={folder}",))
    recipe = {"settings": settings.settings(("verifier",))}
    ids = np.array([f"set/{i:03d}.jpg" for i in range(n_works)], dtype=object)
    with store.create(folder / "verifier.h5", "verifier", recipe, {}) as h5:
        store.write_ids(h5, ids)
        h5["embeddings"], h5["norms"], h5["picture"] = works.embeddings, works.norms, works.picture
        h5["part"] = np.ones(n_works, np.int8)
        for name, values in (("label", labels), ("file_sha256", ids)):
            h5.create_dataset(name, data=values, dtype=store.TEXT)
        h5["report/edges"] = outcomes.edges(raw)
        verification.write(h5, verifier, {}, {})
    return settings, verifier, works, labels


@pytest.fixture
def by_hand(tmp_path):
    return write_verifier(tmp_path)


def write_pairs(path, rows, header=("index", "image1", "image2")):
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(header)
        table.writerows(rows)
    return path


def read_scores(path):
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["index", "score"]
    return [row[0] for row in rows[1:]], np.array([float(row[1]) for row in rows[1:]])


def some_pairs(labels, n_pairs=3000, seed=0):
    left, right = np.random.default_rng(seed).integers(len(labels), size=(2, n_pairs))
    return left, right, labels[left] == labels[right]


def test_scores_are_those_of_the_verifier_in_the_order_of_the_file(by_hand, tmp_path):
    settings, verifier, works, labels = by_hand
    left, right, _ = some_pairs(labels)
    rows = [(f"p{i}", IDS[a], IDS[b]) for i, (a, b) in enumerate(zip(left, right, strict=True))]
    path, said = script.main(settings, write_pairs(tmp_path / "pairs.csv", rows))
    index, scores = read_scores(path)
    assert index == [row[0] for row in rows] and "3,000 pairs of 200 pictures scored" in said
    expected = verifier.probability(verifier.raw(works, left, right))
    np.testing.assert_allclose(scores, expected, atol=6e-7)
    assert ((scores == 1) == (left == right)).all()
    assert not (tmp_path / "scores_missing.csv").exists()


def test_order_of_rows_and_of_pairs_and_size_of_blocks_do_not_matter(by_hand, tmp_path, monkeypatch):
    settings, _, _, labels = by_hand
    left, right, _ = some_pairs(labels, 500)
    rows = [(i, IDS[a], IDS[b]) for i, (a, b) in enumerate(zip(left, right, strict=True))]
    straight = read_scores(script.main(settings, write_pairs(tmp_path / "a.csv", rows))[0])
    monkeypatch.setattr(pair_files, "ROWS", 20)
    monkeypatch.setattr(pair_files, "PARSED", 7)
    order = np.random.default_rng(1).permutation(500)
    turned = [(rows[i][0], rows[i][2], rows[i][1]) for i in order]
    mixed = read_scores(script.main(settings, write_pairs(tmp_path / "b.csv", turned))[0])
    assert mixed[0] == [straight[0][i] for i in order]
    np.testing.assert_array_equal(mixed[1], straight[1][order])


def test_empty_lines_are_no_pairs(tmp_path, monkeypatch):
    monkeypatch.setattr(pair_files, "ROWS", 4)
    monkeypatch.setattr(pair_files, "PARSED", 3)
    path = tmp_path / "pairs.csv"
    path.write_text("index,image1,image2\n\n\n\n" + "".join(f"{i},a{i},b{i}\n\n" for i in range(9)), encoding="utf-8")
    blocks = list(pair_files.Pairs(path, "index", "image1", "image2", "sameArtist").read())
    assert all(len(column) == len(block[0]) > 0 for block in blocks for column in block) and len(blocks) > 1
    assert [[text for block in blocks for text in block[i]] for i in range(3)] == [
        [f"{name}{i}" for i in range(9)] for name in ("", "a", "b")
    ]


def test_known_answers_are_judged(by_hand, tmp_path, capsys):
    settings, verifier, works, labels = by_hand
    left, right, same = some_pairs(labels)
    apart = left != right
    left, right, same = left[apart], right[apart], same[apart]
    header = ("index", "image1", "image2", "sameArtist")
    rows = [(i, IDS[a], IDS[b], int(s)) for i, (a, b, s) in enumerate(zip(left, right, same, strict=True))]
    script.main(settings, write_pairs(tmp_path / "pairs.csv", rows, header))
    told = capsys.readouterr().out
    raw = verifier.raw(works, left, right)
    auc, accuracy = metrics.auc(same, raw), np.mean((verifier.probability(raw) >= 0.5) == same)
    assert auc > 0.8
    assert f"ROC AUC             {auc:.2f}" in told and f"accuracy            {accuracy:.3f}" in told
    assert f'of always "different" {1 - same.mean():.3f}' in told

    shuffled = [
        (*row[:3], answer)
        for row, answer in zip(rows, np.random.default_rng(0).permutation(same.astype(int)), strict=True)
    ]
    script.main(settings, write_pairs(tmp_path / "control.csv", shuffled, header))
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("ROC AUC"))
    assert float(line.split()[2]) == pytest.approx(0.5, abs=0.05)


def test_missing_images_are_listed_and_the_others_scored(by_hand, tmp_path, capsys):
    settings, *_ = by_hand
    rows = [(0, IDS[0], "gone.jpg"), (1, IDS[0], IDS[1]), (2, "lost.jpg", "gone.jpg")]
    path, said = script.main(settings, write_pairs(tmp_path / "pairs.csv", rows))
    assert read_scores(path)[0] == ["1"]
    assert "2 left out for 2 missing pictures" in said
    with (tmp_path / "scores_missing.csv").open(encoding="utf-8") as file:
        assert list(csv.reader(file)) == [["index", "image"], ["0", "gone.jpg"], ["2", "lost.jpg"], ["2", "gone.jpg"]]
    assert "gone.jpg, lost.jpg" in capsys.readouterr().err
    with pytest.raises(UserError, match="none of its 1 picture is a work of the collection"):
        script.main(settings, write_pairs(tmp_path / "none.csv", [(0, "gone.jpg", "gone.jpg")]))
    assert read_scores(path)[0] == ["1"], "an old result was lost to a run that failed"


def test_names_are_found_as_kaggle_writes_them_and_columns_may_be_called_otherwise(by_hand, tmp_path):
    settings, *_ = by_hand
    rows = [("x,1", "000.jpg", ".\\set\\001.jpg"), ("2", "set/000.jpg", "001.jpg")]
    path = write_pairs(tmp_path / "pairs.csv", rows, ("id", "a", "b"))
    index, scores = read_scores(
        script.main(settings, path, index="id", left="a", right="b", output=tmp_path / "o.csv")[0]
    )
    assert index == ["x,1", "2"]
    assert scores[0] == scores[1]


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "has no column index (it is empty)"),
        ("index,image1\n1,a\n", "has no column image2 (index, image1)"),
        ("index,image1,image2\n1,set/000.jpg\n", "1,set/000.jpg has 2 fields, the header has 3"),
        ("index,image1,image2,sameArtist\n1,set/000.jpg,set/001.jpg,maybe\n", "'maybe' is no answer"),
        ("index,image1,image2\n1,\xff\xfe", "is not readable as CSV"),
    ],
)
def test_what_is_wrong_with_a_file_is_told(by_hand, tmp_path, text, message):
    settings, *_ = by_hand
    (tmp_path / "pairs.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError) as told:
        script.main(settings, tmp_path / "pairs.csv")
    assert message in str(told.value)
    assert not (tmp_path / "scores.csv").exists() and not list(tmp_path.glob(".tmp*"))


def test_memory_does_not_grow_with_the_pairs(by_hand, tmp_path, monkeypatch):
    settings, *_ = by_hand
    monkeypatch.setattr(pair_files, "ROWS", 2000)
    peaks = []
    for n_pairs in (10_000, 80_000):
        left, right = np.random.default_rng(0).integers(200, size=(2, n_pairs))
        rows = [(i, IDS[a], IDS[b]) for i, (a, b) in enumerate(zip(left, right, strict=True))]
        path = write_pairs(tmp_path / f"{n_pairs}.csv", rows)
        del rows
        peaks.append(peak_bytes(lambda path=path: script.main(settings, path)))
    assert peaks[1] < 1.3 * peaks[0]


def test_a_new_process_gives_the_same_scores(by_hand, tmp_path):
    """One older system scored a network of random weights after loading it, and did not notice."""
    settings, _, _, labels = by_hand
    left, right, _ = some_pairs(labels, 300)
    pairs = write_pairs(
        tmp_path / "p.csv", [(i, IDS[a], IDS[b]) for i, (a, b) in enumerate(zip(left, right, strict=True))]
    )
    here = script.main(settings, pairs)[0].read_bytes()
    for _ in range(2):
        run_script("verify_pairs.py", pairs, "--set", f"paths.outputs={tmp_path}", "--output", tmp_path / "again.csv")
        assert (tmp_path / "again.csv").read_bytes() == here
