"""Collections behind URLs, on fsspec's file systems in memory and on the disk."""

import re
import shutil

import h5py
import numpy as np
import pytest
from conftest import flags
from PIL import Image

import prepare_images
from artatlas import collection, config, originals, urls
from artatlas.errors import UserError

fsspec = pytest.importorskip("fsspec")


@pytest.fixture
def bucket(painted):
    """The painted works as objects in memory, and a few that are no works."""
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    memory.pseudo_dirs[:] = [""]
    for path in painted.rglob("*.*"):
        memory.pipe(f"/bucket/{path.relative_to(painted).as_posix()}", path.read_bytes())
    for name in (".hidden.jpg", ".folder/x.jpg", "notes.txt"):
        memory.pipe(f"/bucket/images/{name}", b"no work")
    memory.pipe("/bucket/images/empty.jpg", b"")
    memory.pipe("/bucket/images/broken.jpg", b"\xff\xd8\xff and no more")
    yield memory
    memory.store.clear()


def load(painted, outputs, *more):
    return config.load(None, tuple(flags(painted, outputs, *more)[1::2]))


AT = ("paths.images=memory://bucket/images", "paths.metadata=memory://bucket/metadata.csv")


def works(path):
    with h5py.File(path) as h5:
        columns = {name: h5[f"metadata/{name}"].asstr()[:].tolist() for name in h5["metadata"]}
        skipped = dict(zip(h5["skipped/image_ids"].asstr()[:], h5["skipped/reason"].asstr()[:], strict=True))
        thumbnails = [thumbnail.tobytes() for thumbnail in h5["thumbnails"]]
        ids, hashes = h5["image_ids"].asstr()[:].tolist(), h5["file_sha256"].asstr()[:].tolist()
        return ids, h5["pixels"][:].tobytes(), hashes, thumbnails, columns, skipped


def test_objects_are_the_works_that_files_would_be(bucket, painted, tmp_path):
    at_url = load(painted, tmp_path / "outputs", *AT)
    prepare_images.main(at_url)
    found = works(tmp_path / "outputs" / "images.h5")
    folder = tmp_path / "folder"
    shutil.copytree(painted / "images", folder / "images")
    for name in ("empty.jpg", "broken.jpg"):
        (folder / "images" / name).write_bytes(bucket.cat_file(f"/bucket/images/{name}"))
    prepare_images.main(load(painted, tmp_path / "local", f"paths.images={folder / 'images'}"))
    assert found == works(tmp_path / "local" / "images.h5")
    assert len(found[0]) == 64 and found[5]["empty.jpg"] == "is empty (0 bytes)"
    assert collection.why_changed(at_url) is None


def test_a_changed_added_or_removed_object_is_noticed(bucket, painted, tmp_path):
    at_url = load(painted, tmp_path / "outputs", *AT)
    prepare_images.main(at_url)
    first, second = sorted(file.image_id for file in collection.find(at_url) if not file.problem)[:2]
    as_long = bytearray(bucket.cat_file(f"/bucket/images/{first}"))
    as_long[-3] ^= 1
    bucket.pipe(f"/bucket/images/{first}", bytes(as_long))
    assert "1 changed" in collection.why_changed(at_url)
    bucket.rm(f"/bucket/images/{second}")
    bucket.pipe("/bucket/images/new.jpg", bytes(as_long))
    bucket.pipe("/bucket/metadata.csv", b"filename\n")
    told = collection.why_changed(at_url)
    assert all(word in told for word in ("1 added (new.jpg)", "1 removed", "1 changed", "the metadata CSV differs"))


def test_an_object_that_was_written_again_as_it_was_has_not_changed(bucket, painted, tmp_path, monkeypatch):
    at_url = load(painted, tmp_path / "outputs", *AT)
    prepare_images.main(at_url)
    read = []
    original = urls.read
    monkeypatch.setattr(urls, "read", lambda url, *more: read.append(url) or original(url, *more))
    assert collection.why_changed(at_url) is None
    asked = [url for url in read if not url.endswith(".csv")]
    assert {url.rpartition("/")[2] for url in asked} <= {"broken.jpg"}  # nothing is read for nothing
    path = f"/bucket/images/{next(file.image_id for file in collection.find(at_url) if not file.problem)}"
    bucket.pipe(path, bucket.cat_file(path))
    assert collection.why_changed(at_url) is None


def test_a_local_folder_joins_a_collection_behind_a_url(bucket, painted, tmp_path):
    at_url = load(painted, tmp_path / "outputs", *AT)
    prepare_images.main(at_url)
    before = works(tmp_path / "outputs" / "images.h5")
    (tmp_path / "new").mkdir()
    Image.new("RGB", (40, 30), (9, 99, 199)).save(tmp_path / "new" / "one.png")
    prepare_images.main(at_url, add=tmp_path / "new")
    ids, pixels, hashes, *_ = works(tmp_path / "outputs" / "images.h5")
    assert ids == [*before[0], "new/one.png"] and hashes[:-1] == before[2]
    assert pixels.startswith(before[1]) and len(pixels) > len(before[1])


def test_larger_pictures_for_the_page_are_read_from_where_the_work_lies(bucket, painted, tmp_path):
    at_url = load(painted, tmp_path / "outputs", *AT)
    prepare_images.main(at_url)
    ids, _, hashes, *_ = works(tmp_path / "outputs" / "images.h5")
    asked = at_url.images.model_copy(update={"thumbnail_px": at_url.viewer.detail_px, "network_px": 1})
    whole = originals._picture(ids[5], hashes[5], at_url, asked)
    assert whole == originals._picture(ids[5], hashes[5], load(painted, tmp_path / "outputs"), asked)
    bucket.rm(f"/bucket/images/{ids[5]}")
    with pytest.raises(UserError, match=r"memory://bucket/images/.*: cannot be opened .* Set paths\.images to where"):
        originals._picture(ids[5], hashes[5], at_url, asked)


def test_files_have_urls_too(painted, tmp_path):
    prepare_images.main(load(painted, tmp_path / "outputs", f"paths.images=file://{painted / 'images'}"))
    prepare_images.main(load(painted, tmp_path / "plain"))
    assert works(tmp_path / "outputs" / "images.h5") == works(tmp_path / "plain" / "images.h5")


@pytest.mark.parametrize(
    "setting, told",
    [
        ("paths.images=memory://nowhere", r"paths\.images: memory://nowhere"),
        ("paths.images=nosuch://bucket", r"paths\.images: nosuch://bucket: Protocol not known: nosuch\. Use s3://"),
        ("paths.metadata=memory://bucket/no.csv", r"paths\.metadata: memory://bucket/no\.csv does not exist"),
        ("paths.outputs=s3://bucket/outputs", r"paths\.outputs: 's3://bucket/outputs' cannot be a URL"),
    ],
)
def test_urls_that_lead_nowhere_are_told(bucket, painted, tmp_path, setting, told):
    with pytest.raises(UserError, match=told):
        prepare_images.main(load(painted, tmp_path / "outputs", *AT, setting))


def test_a_missing_package_is_named(monkeypatch, bucket, painted, tmp_path):
    def missing(url):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec.core, "url_to_fs", missing)
    with pytest.raises(UserError, match=re.escape('Install s3fs to access S3. Run: python -m pip install ".[cloud]"')):
        prepare_images.main(load(painted, tmp_path / "outputs", "paths.images=s3://bucket/images"))


def test_pictures_too_large_to_be_read_are_refused_by_the_listing(bucket, painted, tmp_path):
    settings = load(painted, tmp_path / "outputs", *AT, "images.max_megapixels=0.00001")
    bucket.pipe("/bucket/images/large.png", np.zeros(2 << 20, np.uint8).tobytes())
    problems = {file.image_id: file.problem for file in collection.find(settings)}
    assert problems["large.png"].startswith("has 2,097,152 bytes, more than images.max_megapixels")
