"""Which font can write a text: titles come in every script, and no one font has all letters.

DejaVu Sans, which matplotlib brings, has those of most alphabets; where it lacks one (Chinese, Japanese, Korean and so
on), the text is written in the first font of this system that has all of its letters. Where none has, boxes stand in
their place, and a note tells so.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path

from PIL import ImageFont

from artatlas import cli

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
SURE = "\u0250"  # DejaVu Sans has every letter before this one: Latin with all its accents
MARKS = frozenset("–—‘’“”„…•")  # it has these too, and many titles do: to ask the font takes half a second
PLAIN = ("sans", "gothic", "hei")  # in the names of fonts like DejaVu Sans, whatever their script


def font(size: int, bold: bool = False, text: str = "") -> Font:
    """A font for `text` at `size` px; without a text, and where no font has its letters, DejaVu Sans."""
    found = _file_for(text) or _usual(bold)
    return _opened(found, size) if found else ImageFont.load_default(size)


def families(text: str) -> list[str]:
    """What matplotlib's `font.family` has to be for `text`: it takes each letter from the first that has it."""
    found = _file_for(text)
    if not found:
        return ["DejaVu Sans"]
    from matplotlib import font_manager

    if found not in {each.fname for each in font_manager.fontManager.ttflist}:  # newer than matplotlib's list
        font_manager.fontManager.addfont(found)
    return ["DejaVu Sans", font_manager.FontProperties(fname=found).get_name()]


@cache
def _usual(bold: bool = False) -> str | None:
    """The file of DejaVu Sans."""
    found = find_spec("matplotlib")  # where it is; importing it would take half a second
    for folder in (found.submodule_search_locations or []) if found else []:
        file = Path(folder) / "mpl-data" / "fonts" / "ttf" / ("DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf")
        if file.is_file():
            return str(file)
    return None


@cache
def _opened(file: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(file, size)


def _file_for(text: str) -> str | None:
    """The font for a text, None where that is DejaVu Sans."""
    letters = frozenset(letter for letter in text if letter >= SURE and letter not in MARKS and letter.isprintable())
    return _with(letters) if letters else None


@cache
def _with(letters: frozenset[str]) -> str | None:
    """The first font of this system that has all these letters; None where DejaVu Sans has, or none has."""
    wanted, usual = set(map(ord, letters)), _usual()
    if usual and wanted <= _codes(usual):
        return None
    found = next((file for file in _of_system() if wanted <= _codes(file)), None)
    if found is None:
        _tell_of_boxes()
    return found


@cache
def _tell_of_boxes() -> None:
    """Once."""
    cli.notice(
        "no font of this system has all letters of the titles or labels: boxes stand for some in pictures."
        " Install Noto Sans (on Debian: apt install fonts-noto-cjk for Chinese, Japanese, Korean)."
    )


@cache
def _of_system() -> list[str]:
    """Files of its fonts, upright and plain ones of usual weight first."""
    from matplotlib import font_manager
    from matplotlib.ft2font import FT2Font

    ranked = []
    for file in font_manager.findSystemFonts():
        try:
            face = FT2Font(file)
            ImageFont.truetype(file, 13)
        except (OSError, RuntimeError):  # FreeType does not know it, or it is of one size, as emoji are
            continue
        family = face.family_name.lower()
        if "last" in family and "resort" in family:  # which has a box for everything
            continue
        usual = face.style_name.lower() in ("regular", "book", "medium", "w3", "normal")
        ranked.append((not usual, not any(word in family for word in PLAIN), file))
    return [file for *_, file in sorted(ranked)]


@cache
def _codes(file: str) -> frozenset[int]:
    """The characters that a font has."""
    from matplotlib.ft2font import FT2Font

    return frozenset(FT2Font(file).get_charmap())
