"""Open Clip Art comes out of its packages whole, with its credits, and nothing else does."""

import csv
import functools
import hashlib
import http.server
import io
import tarfile
import threading
from xml.parsers import expat

import get_openclipart as script
import pytest
from conftest import run_script
from PIL import Image

from artatlas import debian, download
from artatlas.errors import UserError

SVG = """<?xml version="1.0"?>{doctype}
<svg xmlns="http://www.w3.org/2000/svg" xmlns:cc="{cc}" xmlns:dc="http://purl.org/dc/elements/1.1/"
     xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><title>not this one</title>
<metadata><rdf:RDF><cc:Work rdf:about=""><dc:title>{title}</dc:title>
<dc:publisher><cc:Agent><dc:title>Open Clip Art Library</dc:title></cc:Agent></dc:publisher>
<dc:creator><cc:Agent><dc:title>{artist}</dc:title></cc:Agent></dc:creator>
<dc:subject><rdf:Bag><rdf:li>{keyword}</rdf:li><rdf:li/><rdf:li>bird</rdf:li></rdf:Bag></dc:subject>
</cc:Work></rdf:RDF></metadata><text>drawn</text></svg>"""
PREFIX = "./usr/share/openclipart"


def svg(artist="Ann Pen", title="A duck", keyword="duck", doctype="", cc="http://web.resource.org/cc/"):
    return SVG.format(artist=artist, title=title, keyword=keyword, doctype=doctype, cc=cc).encode()


def png(color):
    file = io.BytesIO()
    Image.new("RGBA", (30, 20), color).save(file, "PNG")
    return file.getvalue()


def deb(path, members):
    """A .deb of `members`: name -> bytes, or a text that a symbolic link leads to."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:xz") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.mtime = 1_100_000_000
            if isinstance(content, str):
                member.type, member.linkname = tarfile.SYMTYPE, content
                archive.addfile(member)
            else:
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    parts = [("debian-binary", b"2.0\n"), ("control.tar.xz", b"odd"), ("data.tar.xz", data.getvalue())]
    with path.open("wb") as file:
        file.write(b"!<arch>\n")
        for name, content in parts:
            file.write(f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode())
            file.write(content + b"\n" * (len(content) % 2))
    return path


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def debs(tmp_path, monkeypatch):
    """Two packages of three pictures under five names, and of what must not come out of them."""
    pictures = deb(tmp_path / "p.deb", {
        f"{PREFIX}/png/animals/duck.png": png("red"), f"{PREFIX}/png/people/mo.png": png("#00ff0000"),
        f"{PREFIX}/png/food/a,b.png": png("blue"),
        f"{PREFIX}/png/food/duck.png": "../animals/duck.png", f"{PREFIX}/png/food/again.png": "duck.png",
        f"{PREFIX}/png/food/out.png": "../../../../../etc/passwd", f"{PREFIX}/png/food/circle.png": "circle.png",
        f"{PREFIX}/png/../../../../evil.png": png("red"), "/evil.png": png("red"), f"{PREFIX}/png/.hidden.png": b"x",
        "./usr/share/doc/evil.png": png("red"), f"{PREFIX}/png/food/readme.txt": b"x",
    })  # fmt: skip
    drawings = deb(tmp_path / "s.deb", {
        f"{PREFIX}/svg/animals/duck.svg": svg("Ann Pen (ann@pen.org)", keyword="a  duck\n swims"),
        f"{PREFIX}/svg/people/mo.svg": svg("ANN PEN", title="Têtes & \"co\"".replace("&", "&amp;"), cc="http://x/ns#"),
        f"{PREFIX}/svg/food/a,b.svg": svg(doctype='<!DOCTYPE svg [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>'),
        f"{PREFIX}/svg/food/duck.svg": "../animals/duck.svg", f"{PREFIX}/svg/food/again.svg": svg("Anonymous"),
    })  # fmt: skip
    hashes = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (pictures, drawings)]
    monkeypatch.setattr(script, "PACKAGES", dict(zip(script.PACKAGES, hashes, strict=True)))
    return [pictures, drawings]


def read(folder):
    with (folder / "metadata.csv").open(encoding="utf-8", newline="") as file:
        return {row.pop("filename"): row for row in csv.DictReader(file)}


def test_every_picture_comes_out_with_its_credits_and_nothing_else(tmp_path, debs):
    folder = tmp_path / "collection"
    said = script.get(folder, "http://nowhere", debs[::-1])
    rows = read(folder)
    names = ["animals/duck.png", "food/a,b.png", "food/again.png", "food/duck.png", "people/mo.png"]
    assert list(rows) == names
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()) == [
        *(f"images/{name}" for name in names), "metadata.csv"
    ]  # fmt: skip
    assert not (tmp_path / "evil.png").exists()
    assert (folder / "images/food/again.png").read_bytes() == png("red")
    duck = {"artist": "ANN PEN", "title": "A duck", "category": "animals", "keywords": "a duck swims; bird"}
    assert rows["animals/duck.png"] == duck | {"artist": "Ann Pen"}  # two spellings, the more frequent one
    assert rows["people/mo.png"]["artist"] == "Ann Pen" and rows["people/mo.png"]["title"] == 'Têtes & "co"'
    assert rows["food/duck.png"] == duck | {"artist": "Ann Pen", "category": "food"}
    assert rows["food/again.png"]["artist"] == ""  # Anonymous is no artist
    assert rows["food/a,b.png"] == {"artist": "", "title": "", "category": "food", "keywords": ""}
    assert "5 pictures by 1 artist; 1 drawing declares entities" in said


def test_a_stopped_run_goes_on_and_a_finished_one_changes_nothing(tmp_path, debs):
    """A07"""
    folder = tmp_path / "collection"
    script.get(folder, "", debs)
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*.png")}
    stopped = folder / "images/animals/duck.png"
    stopped.unlink()
    kept = folder / "images/people/mo.png"
    inode = kept.stat().st_ino
    assert "is there already" not in script.get(folder, "", debs)
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*.png")} == before
    assert kept.stat().st_ino == inode  # was not written again
    for path in debs:
        path.unlink()
    assert "is there already" in script.get(folder, "", [])


def test_entities_are_never_expanded_and_files_outside_never_read(tmp_path):
    (tmp_path / "secret").write_text("secret")
    laughs = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10 if i else "ha"}">' for i in range(30))
    for doctype in (f"<!DOCTYPE svg [{laughs}]>", f'<!DOCTYPE svg [<!ENTITY x SYSTEM "file://{tmp_path}/secret">]>'):
        with pytest.raises(script.Refused):
            script.read_credits(svg(title="&l29;" if "l29" in doctype else "&x;", doctype=doctype))
    assert script.read_credits(svg()).title == "A duck"  # the control
    with pytest.raises(expat.ExpatError):
        script.read_credits(b"<svg><title>")


def test_only_the_published_packages_are_taken(tmp_path, debs, monkeypatch):
    debs[0].write_bytes(debs[0].read_bytes() + b"x")
    with pytest.raises(UserError, match=r"none is openclipart-png_0.18\+dfsg-19_all.deb \(SHA-256"):
        script.get(tmp_path / "collection", "", debs)
    assert not (tmp_path / "collection").exists()
    monkeypatch.setattr(script.shutil, "which", lambda _: None)

    def gone(url, *_):
        raise download.Unavailable("HTTP Error 404: Not Found")

    monkeypatch.setattr(download, "fetch", gone)
    with pytest.raises(UserError, match=r"http://old/pool/.*png_0.18.*deb: HTTP Error 404.*with --mirror, or download"):
        script.get(tmp_path / "collection", "http://old/", [])
    (tmp_path / "odd").write_bytes(b"PK")
    with pytest.raises(UserError, match="is not a .deb"), debian.open_data(tmp_path / "odd"):
        pass


def test_packages_come_from_a_mirror_and_only_whole(tmp_path, debs):
    served = tmp_path / "debian" / script.POOL
    served.mkdir(parents=True)
    for name, path in zip(script.PACKAGES, debs, strict=True):
        (served / name).write_bytes(path.read_bytes())
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=tmp_path / "debian")
    ) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        mirror = f"http://127.0.0.1:{server.server_port}"
        folder = tmp_path / "collection"
        assert "5 pictures by 1 artist" in script.get(folder, mirror + "/", [])
        assert not (folder / ".packages").exists()
        second = served / list(script.PACKAGES)[1]
        second.write_bytes(second.read_bytes()[:-1] + b"?")
        with pytest.raises(UserError, match=r"is not the published file \(SHA256 .*and name it with --debs"):
            script.get(tmp_path / "other", mirror, [])
        kept = [path.name for path in (tmp_path / "other").rglob("*") if path.is_file()]
        assert kept == [next(iter(script.PACKAGES))]  # the next run has to fetch the other alone
        server.shutdown()


def test_the_pipeline_takes_it_and_transparent_pictures_get_a_white_ground(tmp_path, debs):
    folder = tmp_path / "collection"
    script.get(folder, "", debs)
    result = run_script(
        "prepare_images.py", "--config", "configs/openclipart.yaml", "--set", f"paths.images={folder / 'images'}",
        "--set", f"paths.metadata={folder / 'metadata.csv'}", "--set", f"paths.outputs={tmp_path / 'out'}",
    )  # fmt: skip
    assert "5 works (2 duplicates)" in result.stdout
    import h5py

    with h5py.File(tmp_path / "out" / "images.h5") as h5:
        ids = list(h5["image_ids"].asstr()[:])
        assert (h5["pixels"][ids.index("people/mo.png")] == 255).all()
        assert h5["metadata/artist"].asstr()[ids.index("food/duck.png")] == "Ann Pen"
