"""Open Clip Art as a collection: illustrations in the public domain by hundreds of artists, from Debian's packages.

Reads   openclipart-png and openclipart-svg 0.18, from `apt-get download` where there is one, from a mirror of Debian
        (--mirror; www.debian.org/mirror/list), or from files that are there already (--debs); each against its SHA-256
Writes  FOLDER/images/..., the PNGs, and FOLDER/metadata.csv: filename, artist, title, category, keywords, which are in
        the SVG of the same name. Nothing else is unpacked
Run     python data/get_openclipart.py [FOLDER] [--mirror URL | --debs FILE FILE]
        then, as it says:  python run_all.py --config configs/openclipart.yaml
Source  openclipart.org, release 0.18 (2005), as Debian packs it: 156 MB to download, 170 MB of pictures. The package's
        copyright file has the Public Domain Dedication that artists agreed to
Cost    half a minute, and the download

Needs neither root nor Debian: a .deb is an ar archive of tar archives. A run that was stopped goes on where it was. The
pictures are 6,900 files under 8,121 names: one that stands in several categories is there under each, and
prepare_images.py finds that they are the same.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import os
import re
import shutil
import subprocess
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from xml.parsers import expat

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from artatlas import cli, config, debian, download, store
from artatlas.errors import UserError

FOLDER = config.SAMPLE.parent / "openclipart"  # below the working folder where the package is installed
POOL = "pool/main/o/openclipart"
PACKAGES = {  # file -> SHA-256, as in Debian's signed Packages file
    "openclipart-png_0.18+dfsg-19_all.deb": "f07f1545a2970c2cf3fa339bc2405da1a95cf2b1827bfa05bf73eb1c20291c02",
    "openclipart-svg_0.18+dfsg-19_all.deb": "989712d90d57dfa3230049f553bb43b76c30ee4d4b8c5f6e106e33f7db5cbdc5",
}
INSIDE = PurePosixPath("usr/share/openclipart")
EMAIL = re.compile(r"[(<\[]?\s*([\w.+-]+)@[\w-]+(\.[\w-]+)+\s*[)>\]]?")
NO_NAME = re.compile(r"HASH\(0x[0-9a-f]+\)|unknown|anonymous|open clip art library|", re.IGNORECASE)


@dataclass(frozen=True)
class Credits:
    """What an SVG says of itself; "" where it says nothing."""

    artist: str = ""
    title: str = ""
    keywords: tuple[str, ...] = ()


class Refused(Exception):
    """A drawing that declares entities, by which a small file can grow without end."""


def read_credits(svg: bytes) -> Credits:
    """Dublin Core of an SVG: dc:title of the work, the first of its dc:creator, and the words of dc:subject.

    Nothing outside the file is looked up. Raises Refused for entity declarations, expat.ExpatError for no XML.
    """
    parser = expat.ParserCreate(namespace_separator=" ")
    names: list[str] = []  # of the elements that are open, and their text so far
    texts: list[str] = []
    found: dict[str, list[str]] = {"creator": [], "title": [], "subject": []}

    def start(name: str, _: dict[str, str]) -> None:
        names.append(name.rpartition(" ")[2])
        texts.append("")

    def text(data: str) -> None:
        if names[-1] in ("title", "li", "creator", "subject"):  # not the megabytes of a picture inside the drawing
            texts[-1] += data

    def end(_: str) -> None:
        where, said = names[:], without_addresses(texts.pop())
        names.pop()
        if not said or "Work" not in where:
            return
        for key in ("creator", "subject"):
            if key in where:
                found[key].append(said)
        if where[-2:] == ["Work", "title"]:
            found["title"].append(said)

    def refuse(*_: object) -> None:
        raise Refused

    parser.StartElementHandler, parser.CharacterDataHandler, parser.EndElementHandler = start, text, end
    parser.EntityDeclHandler = refuse
    parser.Parse(svg, True)
    artist, title = (next(iter(found[key]), "") for key in ("creator", "title"))
    return Credits(named(artist), title, tuple(dict.fromkeys(found["subject"])))


def without_addresses(text: str) -> str:
    """On one line, and of e-mail addresses only what is before the @: the rest is nobody's business in a table."""
    return " ".join(EMAIL.sub(lambda found: found[1] if found[0] == text.strip() else " ", text).split()).strip(" ,;")


def named(artist: str) -> str:
    """ "" where that names nobody."""
    return "" if NO_NAME.fullmatch(artist) else artist


def one_spelling(artists: list[str]) -> dict[str, str]:
    """Artist -> the most frequent of all spellings that differ in capitals, accents, dots and spaces alone."""
    spellings: dict[str, Counter[str]] = {}
    for artist in artists:
        spellings.setdefault(_letters(artist), Counter())[artist] += 1
    return {
        artist: min(counts, key=lambda name: (-counts[name], name))
        for counts in spellings.values()
        for artist in counts
    }


def _letters(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name).casefold()
    return "".join(c for c in plain if c.isalnum()) or name


def unpack_pictures(deb: Path, images: Path) -> list[str]:
    """Every PNG below `images`, whole or not at all; those of the right size are left alone. Returns their names."""
    links: dict[str, str] = {}
    times: dict[str, float] = {}
    for member in debian.read(deb, INSIDE / "png", ".png"):
        if member.link is not None:
            links[member.name] = member.link
            continue
        times[member.name] = member.mtime
        path = images / member.name
        if member.content and not (path.is_file() and path.stat().st_size == member.size):
            with written(path, member.mtime) as temporary, temporary.open("wb") as file:
                shutil.copyfileobj(member.content, file)
    found = debian.resolved(links, set(times))
    for name, aim in found.items():
        path = images / name
        if not (path.is_file() and path.stat().st_size == (images / aim).stat().st_size):
            with written(path, times[aim]) as temporary:
                shutil.copyfile(images / aim, temporary)
    return sorted([*times, *found], key=lambda name: name.removesuffix(".png"))


@contextmanager
def written(path: Path, mtime: float) -> Iterator[Path]:
    """A temporary file that becomes `path`, dated as in the archive: prepare_images.py knows it again."""
    temporary = path.with_name(f".tmp-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.utime(temporary, (mtime, mtime))
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(
            f"{store.show(path)}: cannot be written ({error.strerror or error}). Free space or name another folder."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def read_drawings(deb: Path) -> tuple[dict[str, Credits], int]:
    """Picture's name -> what the SVG of that name says; and how many SVGs are not read."""
    links: dict[str, str] = {}
    found: dict[str, Credits] = {}
    refused = set()
    for member in debian.read(deb, INSIDE / "svg", ".svg"):
        if member.link is not None:
            links[member.name] = member.link
            continue
        try:
            found[member.name] = read_credits(member.content.read() if member.content else b"")
        except (Refused, expat.ExpatError):
            refused.add(member.name)
    n_refused = len(refused) + len(debian.resolved(links, refused))
    found |= {name: found[aim] for name, aim in debian.resolved(links, set(found)).items()}
    return {f"{name.removesuffix('.svg')}.png": credits for name, credits in found.items()}, n_refused


def write_metadata(path: Path, names: list[str], drawings: dict[str, Credits]) -> int:
    """Returns the number of artists."""
    credits = [drawings.get(name, Credits()) for name in names]
    spelling = one_spelling([each.artist for each in credits])
    with store.replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["filename", "artist", "title", "category", "keywords"])
        for name, each in zip(names, credits, strict=True):
            keywords = "; ".join(each.keywords)
            table.writerow([name, spelling[each.artist], each.title, name.partition("/")[0], keywords])
    return len({spelling[each.artist] for each in credits} - {""})


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def obtain(folder: Path, mirror: str | None, debs: list[Path]) -> list[Path]:
    """The packages' files, each of the right hash: the given ones, those in `folder` or what is downloaded there."""
    given = {sha256(path): path for path in debs}
    paths = []
    for name, expected in PACKAGES.items():
        path = folder / name
        if debs and expected not in given:
            shown = ", ".join(store.show(each) for each in debs)
            raise UserError(f"{shown}: none is {name} (SHA-256 {expected}). Name that file, or leave --debs out.")
        if debs:
            path = given[expected]
        elif not path.is_file() or sha256(path) != expected:
            get_package(mirror and f"{mirror.rstrip('/')}/{POOL}/{name}", path, expected)
        paths.append(path)
    return paths


def get_package(url: str | None, path: Path, expected: str) -> None:
    """From a mirror where one is named, or else from whatever mirror this machine's apt-get knows."""
    shown, why = path.name, "apt-get is not here or does not have it"
    if url:
        try:
            download.fetch(
                url, path, expected, "sha256", "name it with --debs", "name another folder: get_openclipart.py FOLDER"
            )
            return
        except download.Unavailable as reason:
            shown, why = url, str(reason)
    package = path.name.partition("_")[0]
    path.parent.mkdir(parents=True, exist_ok=True)
    if apt := shutil.which("apt-get"):
        subprocess.run([apt, "download", package], cwd=path.parent, capture_output=True, check=False)
    for arrived in path.parent.glob(f"{package}_*.deb"):
        if sha256(arrived) == expected:
            os.replace(arrived, path)
            return
    raise UserError(
        f"{shown}: {why}. Name a mirror of Debian with --mirror, or download {path.name} and openclipart-svg"
        " elsewhere and name both with --debs."
    )


def is_there(folder: Path) -> bool:
    """Whether a run ended well here: metadata.csv comes last, and every picture that it names is there."""
    try:
        with (folder / "metadata.csv").open(encoding="utf-8", newline="") as file:
            return all((folder / "images" / row["filename"]).is_file() for row in csv.DictReader(file))
    except FileNotFoundError:
        return False


def get(folder: Path, mirror: str | None, debs: list[Path]) -> str:
    """Fills `folder`; returns what to say."""
    packages, table = folder / ".packages", folder / "metadata.csv"
    where = "" if folder == FOLDER else f" --set paths.images={folder / 'images'} --set paths.metadata={table}"
    then = f"\nNow: python run_all.py --config configs/openclipart.yaml{where}"
    if is_there(folder):
        return f"{store.show(folder)}: is there already.{then}"
    pictures, drawings = obtain(packages, mirror, debs)
    names = unpack_pictures(pictures, folder / "images")
    credits, n_refused = read_drawings(drawings)
    n_artists = write_metadata(table, names, credits)
    shutil.rmtree(packages, ignore_errors=True)
    told = f"{store.show(table)}: {cli.count(len(names), 'picture')} by {cli.count(n_artists, 'artist')}"
    if n_refused:
        told += f"; {cli.count(n_refused, 'drawing declares', 'drawings declare')} entities or is no XML: no credits"
    return told + then


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=FOLDER, help="(default: data/openclipart)")
    parser.add_argument("--mirror", metavar="URL", help="of Debian (default: the one that apt-get knows)")
    parser.add_argument("--debs", type=Path, nargs="+", default=[], metavar="FILE", help="both packages, if at hand")
    arguments = parser.parse_args()
    try:
        print(get(arguments.folder, arguments.mirror, arguments.debs))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
