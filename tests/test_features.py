"""extract_features.py writes what the two scripts write, in one pass, and goes on where any of the three stopped."""

import itertools

import h5py
import numpy as np
import pytest
from conftest import FAST, flags, run_script

import extract_content
import extract_features
import extract_style
from artatlas import config, features, reuse, shards, vgg
from artatlas.errors import UserError


def load(painted, images, outputs, *more):
    """A config over a folder that holds nothing but images.h5."""
    outputs.mkdir()
    (outputs / "images.h5").symlink_to(images)
    paths = (f"paths.images={painted / 'images'}", f"paths.metadata={painted / 'metadata.csv'}")
    return config.load(None, (*paths, f"paths.outputs={outputs}", *FAST, *more))


@pytest.fixture
def count_forwards(monkeypatch):
    """A list that gets the number of works of every batch that the network looks at."""
    seen, build = [], vgg.build

    def counting(*arguments):
        forward = build(*arguments)

        def forward_and_count(pixels):
            seen.append(len(pixels))
            return forward(pixels)

        return forward_and_count

    monkeypatch.setattr(vgg, "build", counting)
    return seen


@pytest.mark.parametrize("more", [(), ("content.n_components=20", "vgg.precision=float32", "machine.batch_size=7")])
def test_one_pass_gives_the_bytes_of_two(painted, finished, tmp_path, count_forwards, more):
    apart = load(painted, finished / "images.h5", tmp_path / "apart", *more)
    extract_content.main(apart)
    extract_style.main(apart)
    assert sum(count_forwards) == 2 * 64
    count_forwards.clear()
    together = load(painted, finished / "images.h5", tmp_path / "together", *more)
    _, summary = extract_features.main(together)
    assert sum(count_forwards) == 64
    for file in ("content.h5", "style.h5"):
        assert (together.outputs / file).read_bytes() == (apart.outputs / file).read_bytes(), file
    assert "content.h5 with 64 works" in summary and "of the time waiting for input" in summary
    assert sorted(path.name for path in together.outputs.iterdir()) == [
        "content.h5", "images.h5", "style.h5", "vectors",
    ]  # fmt: skip


def test_any_of_the_three_goes_on_where_another_stopped(painted, finished, tmp_path, count_forwards, monkeypatch):
    monkeypatch.setattr(shards, "slices", lambda n, rows=16: [slice(i, min(i + 16, n)) for i in range(0, n, 16)])
    settings = load(painted, finished / "images.h5", tmp_path / "outputs", "machine.batch_size=16")
    compute = shards.compute

    def stopping(folders, n_rows, work, *more, **options):
        batches = itertools.count()

        def until_the_third(some):
            if next(batches) == 2:
                raise KeyboardInterrupt
            return work(some)

        return compute(folders, n_rows, until_the_third, *more, **options)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(shards, "compute", stopping)
        extract_features.main(settings)
    assert sum(count_forwards) == 32
    count_forwards.clear()
    extract_style.main(settings)
    assert sum(count_forwards) == 32  # what the stopped pass had seen is not looked at again
    count_forwards.clear()
    extract_content.main(settings)
    assert sum(count_forwards) == 32
    whole = load(painted, finished / "images.h5", tmp_path / "whole", "machine.batch_size=16")
    extract_features.main(whole)
    for file in ("content.h5", "style.h5"):
        assert (settings.outputs / file).read_bytes() == (whole.outputs / file).read_bytes(), file


def test_wide_vectors_make_short_shards(painted, finished, tmp_path, monkeypatch):
    """Up to three shards are in memory: 1,024 Gram vectors of a deep layer would be 1 GB each."""
    settings = load(painted, finished / "images.h5", tmp_path / "outputs")
    extract_features.main(settings)
    with h5py.File(settings.outputs / "style.h5") as h5:
        before = h5["embeddings"][:]
    lengths = []
    compute = shards.compute
    monkeypatch.setattr(shards, "compute", lambda *args, **more: lengths.append(args[4]) or compute(*args, **more))
    monkeypatch.setattr(features, "NUMBERS", 32 * vgg.gram_length("block1_conv1"))
    extract_features.main(settings)
    assert lengths == [32]
    with h5py.File(settings.outputs / "style.h5") as h5:  # not to the bit on every processor: sums of other lengths
        np.testing.assert_allclose(h5["embeddings"][:], before, atol=1e-5 * np.abs(before).max())
    monkeypatch.setattr(features, "NUMBERS", 200 * vgg.gram_length("block1_conv1"))
    extract_features.main(settings)
    assert lengths == [32, 192]


def test_a_shard_that_cannot_be_written_stops_the_run(painted, finished, tmp_path, monkeypatch):
    """It is written in another thread, whose errors must not be lost."""
    settings = load(painted, finished / "images.h5", tmp_path / "outputs")
    folder_for = shards.folder_for

    def vanishing(output, fingerprint):
        folder = folder_for(output, fingerprint)
        folder.rmdir()
        return folder

    monkeypatch.setattr(shards, "folder_for", vanishing)
    with pytest.raises(UserError, match="could not be written"):
        extract_features.main(settings)
    assert not (settings.outputs / "content.h5").exists()


def test_run_all_looks_at_every_work_once(painted, outputs):
    result = run_script("run_all.py", *flags(painted, outputs), "--only", "content", "style")
    lines = [line.split()[0] for line in result.stdout.splitlines() if line.startswith("extract_")]
    assert lines == ["extract_features.py"]
    assert "2 stages made, 0 up to date" in result.stdout
    result = run_script("run_all.py", *flags(painted, outputs), "--only", "style")
    assert "extract_style.py" in result.stdout and "extract_features.py" not in result.stdout


def test_speed_counts_what_was_computed():
    assert features._Speed().phrase("float32", "CPU") == "nothing left for the network (float32, CPU)"
    computed = features._Speed(works=100, seconds=20.0, waited=5.0).phrase("float32", "CPU")
    assert computed.startswith("at 5.0 works/s") and "25% of the time" in computed
    assert features._Speed(100, 7, 20.0, 5.0).phrase("float32", "CPU").startswith("7 rows of an earlier run")


def test_the_blocks_of_vectors_are_their_rows_however_these_lie_in_shards(tmp_path, monkeypatch):
    monkeypatch.setattr(features, "NUMBERS", 256 * 3)
    rows = np.arange(700 * 3, dtype=np.float32).reshape(700, 3)
    paths = [tmp_path / "a.npy", tmp_path / "b.npy"]
    for path, part in zip(paths, np.split(rows, [300]), strict=True):
        np.save(path, part)
    digests = np.full(700, "", object)
    vectors = features.Vectors("style", np.arange(700), "vgg16", {}, {}, digests, tmp_path, paths, reuse.NOTHING)
    assert [len(block) for block in vectors.blocks()] == [256, 256, 188]
    np.testing.assert_array_equal(np.concatenate(list(vectors.blocks())), rows)
