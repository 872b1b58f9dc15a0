"""A changed picture costs its own rows, and the files end in the bytes of a run from scratch."""

import shutil

import h5py
import numpy as np
import pytest
from conftest import FAST, edited
from PIL import Image

import extract_color
import extract_features
import prepare_images
from artatlas import collection, config, images, integrity, reuse, vgg

OUTPUTS = ("images.h5", "content.h5", "style.h5", "color.h5")


@pytest.fixture
def counted(monkeypatch):
    """How many pictures were decoded, and how many works the network looked at."""
    seen = {"decoded": 0, "looked at": 0}
    decode, build = images.decode, vgg.build

    def decode_and_count(*arguments):
        seen["decoded"] += 1
        return decode(*arguments)

    def counting(*arguments):
        forward = build(*arguments)

        def forward_and_count(pixels):
            seen["looked at"] += len(pixels)
            return forward(pixels)

        return forward_and_count

    monkeypatch.setattr(images, "decode", decode_and_count)
    monkeypatch.setattr(vgg, "build", counting)
    return seen


@pytest.fixture
def folder(painted, tmp_path):
    """20 works and two files that give no picture."""
    for i, path in enumerate(sorted((painted / "images").rglob("*.jpg"))[:20]):
        (tmp_path / "images").mkdir(exist_ok=True)
        shutil.copy(path, tmp_path / "images" / f"{i:02d}.jpg")
    (tmp_path / "images" / "07b.jpg").write_bytes(b"no picture")
    (tmp_path / "images" / "99.jpg").write_bytes(b"none either")
    (tmp_path / "t.csv").write_text("filename,n\n00.jpg,zero\n")
    return tmp_path


def load(folder, outputs, *more):
    paths = (f"paths.images={folder / 'images'}", f"paths.metadata={folder / 't.csv'}", f"paths.outputs={outputs}")
    return config.load(None, (*paths, *FAST, "machine.batch_size=8", *more))


def run(settings, counted, **options):
    counted.update(dict.fromkeys(counted, 0))
    prepare_images.main(settings, **options)
    extract_features.main(settings)
    extract_color.main(settings)
    return counted["decoded"], counted["looked at"]


def contents(outputs):
    return {name: (outputs / name).read_bytes() for name in OUTPUTS}


def test_only_what_changed_is_computed_and_the_bytes_are_those_of_a_run_from_scratch(folder, counted):
    """A10, A08: a changed, an added, a removed and a moved picture and an edited CSV; style fits its PCA anew."""
    settings, pictures = load(folder, folder / "outputs"), folder / "images"
    assert run(settings, counted) == (22, 20)
    Image.open(pictures / "00.jpg").rotate(180).save(pictures / "03.jpg", quality=90)
    Image.open(pictures / "01.jpg").rotate(90).save(pictures / "05b.jpg", quality=90)  # rows behind it shift by one
    (pictures / "11.jpg").unlink()
    (pictures / "12.jpg").rename(pictures / "a12.jpg")  # decoded again, for its name is new, and known by its looks
    (pictures / "99.jpg").unlink()
    (folder / "t.csv").write_text("filename,n\n00.jpg,other\n")
    assert run(settings, counted) == (3, 2)
    changed = contents(folder / "outputs")
    assert run(settings, counted) == (21, 20)  # the control: asked for again, all of it is computed again
    assert contents(folder / "outputs") == changed
    shutil.rmtree(folder / "outputs")
    assert run(settings, counted) == (21, 20)
    assert contents(folder / "outputs") == changed
    with h5py.File(folder / "outputs" / "style.h5") as h5:
        assert len(set(h5["digest"].asstr()[:])) == len(h5["image_ids"]) == 20


def test_skipped_files_are_tried_again_when_asked(folder, counted, monkeypatch):
    """A08: a share that failed for a moment. The reasons are kept until somebody asks."""
    settings = load(folder, folder / "outputs")
    decode = images.decode

    def failing(path, wanted):
        if str(path).endswith("05.jpg"):
            data = (folder / "images" / "05.jpg").read_bytes()
            raise images.Unreadable("is damaged (out of memory)", images.hashlib.sha256(data).hexdigest())
        return decode(path, wanted)

    with monkeypatch.context() as patched:
        patched.setattr(images, "decode", failing)
        _, summary = prepare_images.main(settings)
    assert summary.startswith("19 works (3 skipped)")
    (folder / "t.csv").write_text("filename,n\n")
    assert prepare_images.main(settings)[1].startswith("19 works (3 skipped), 22 files taken over")
    counted["decoded"] = 0
    assert prepare_images.main(settings, retry_skipped=True)[1].startswith("20 works (2 skipped), 19 files taken over")
    assert counted["decoded"] == 3


def test_a_row_that_rotted_on_the_disk_is_decoded_again(folder, counted, monkeypatch):
    """Of a file too large to be checked as a whole."""
    monkeypatch.setattr(integrity, "READ_WHOLE", 0)
    settings, path = load(folder, folder / "outputs"), folder / "outputs" / "images.h5"
    prepare_images.main(settings)
    with h5py.File(path) as h5:
        offset = h5["pixels"].id.get_offset()
    with path.open("r+b") as file:
        file.seek(offset + 100)
        file.write(b"\0\0\0")
    (folder / "t.csv").write_text("filename,n\n")
    counted["decoded"] = 0
    prepare_images.main(settings)
    assert counted["decoded"] == 1
    taken_over = path.read_bytes()
    path.unlink()
    prepare_images.main(settings)
    assert path.read_bytes() == taken_over


def test_kept_vectors_are_found_by_digest_as_far_as_they_are_whole(tmp_path):
    rows = np.arange(14, dtype=np.float32).reshape(7, 2)
    digests = np.array(list("abcdefg"), object)

    def keep(budget):
        folder = tmp_path / "shards"
        folder.mkdir()
        for some in (slice(0, 4), slice(4, 7)):
            np.save(folder / f"{some.start:09d}-{some.stop:09d}.npy", rows[some])
        reuse.keep(folder, tmp_path / "vectors" / "style-1", digests, budget)
        assert not folder.exists()

    keep(100)  # bytes, less than they are
    assert not (tmp_path / "vectors").exists()
    keep(1e9)
    (tmp_path / "vectors" / "style-0").mkdir()
    (tmp_path / "vectors" / "content-0").mkdir()
    keep(1e9)
    assert sorted(path.name for path in (tmp_path / "vectors").iterdir()) == ["content-0", "style-1"]
    found = reuse.of_kept(tmp_path / "vectors" / "style-1")
    known = found.known(np.array(["g", "x", "b"], object))
    assert known.tolist() == [6, -1, 1]
    np.testing.assert_array_equal(found.read(known[[0, 2]]), rows[[6, 1]])
    with (tmp_path / "vectors" / "style-1" / "000000004-000000007.npy").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"!")
    assert set(reuse.of_kept(tmp_path / "vectors" / "style-1").row_of) == set("abcd")
    (tmp_path / "vectors" / "style-1" / reuse.DIGESTS).write_bytes(b"PK")
    assert reuse.of_kept(tmp_path / "vectors" / "style-1") is reuse.NOTHING
    keep(0)
    assert [path.name for path in (tmp_path / "vectors").iterdir()] == ["content-0"]


def test_vectors_outlive_other_settings_of_the_pca_only(tmp_path):
    def folder_for(**settings):
        return reuse.vectors_folder(tmp_path / "style.h5", {"settings": {"style": {"n_components": 9, **settings}}})

    assert folder_for(n_components=5) == folder_for()
    assert folder_for(normalizer="hw") != folder_for()


@pytest.mark.parametrize("damage", ["versions", "truncated", "foreign", "object"])
def test_what_cannot_be_trusted_is_not_taken_over(folder, damage):
    settings = load(folder, folder / "outputs")
    prepare_images.main(settings)
    path = folder / "outputs" / "images.h5"
    whole = path.read_bytes()
    if damage == "versions":
        with edited(path) as h5:
            h5.attrs["versions"] = h5.attrs["versions"].replace('"pillow": "', '"pillow": "9')
    elif damage == "truncated":
        path.write_bytes(whole[:5000])
    elif damage == "foreign":
        path.write_bytes(b"no HDF5")
    else:
        with edited(path) as h5:
            del h5["pixels"]
            h5["pixels"] = np.zeros((3, 3), np.uint8)
    (folder / "images" / "00.jpg").unlink()
    with reuse.opened(path, "images") as h5:
        earlier = collection.Earlier(h5, settings, False)
        assert all(not earlier.knows(file) or not isinstance(earlier.read(file), images.Decoded) for file in
                   collection.find(settings))  # fmt: skip
    assert prepare_images.main(settings)[1].startswith("19 works (2 skipped)")
