"""Titles in any script are written in a font that has their letters."""

import shutil
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image

from artatlas import fonts, plots, sheets

FOLDER = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
RARE = "\u1d15\u1d24"  # in DejaVu Serif, not in DejaVu Sans


@pytest.fixture
def system(monkeypatch, tmp_path):
    """A system whose fonts are those in the folder that is given."""
    for each in (fonts._of_system, fonts._with, fonts._tell_of_boxes):
        each.cache_clear()
    monkeypatch.setattr(
        "matplotlib.font_manager.findSystemFonts", lambda: [str(file) for file in sorted(tmp_path.iterdir())]
    )
    yield tmp_path
    for each in (fonts._of_system, fonts._with, fonts._tell_of_boxes):
        each.cache_clear()


def test_accents_and_alphabets_are_of_dejavu(system, capsys):
    for text in ("", "plain", "Mèjõr Lëttêrs", "Čeština, Ελλάδα, Русский", "line\nbreak\u200b"):
        assert fonts.font(13, text=text).getname()[0] == "DejaVu Sans"
        assert fonts.families(text) == ["DejaVu Sans"]
    assert set(map(ord, fonts.MARKS)) | set(range(0xA0, ord(fonts.SURE))) - {0xAD} <= fonts._codes(fonts._usual())
    assert fonts.font(13, bold=True).getname() == ("DejaVu Sans", "Bold")
    assert capsys.readouterr().err == ""


def test_a_text_is_in_a_font_that_has_its_letters(system, capsys):
    (system / "broken.ttf").write_bytes(b"no font")
    for name in ("DejaVuSerif-Bold.ttf", "DejaVuSerif.ttf", "LastResortHE-Regular.ttf", "cmr10.ttf"):
        shutil.copy(FOLDER / name, system)
    assert fonts.font(13, text=RARE).getname() == ("DejaVu Serif", "Book")
    assert fonts.families(f"plain {RARE}") == ["DejaVu Sans", "DejaVu Serif"]
    assert capsys.readouterr().err == ""


def test_boxes_are_told_of_once(system, capsys):
    for text in (RARE, "\u1d2f", RARE):
        assert fonts.font(13, text=text).getname()[0] == "DejaVu Sans"
    assert capsys.readouterr().err.count("no font of this system has all letters") == 1


def test_sheets_and_plots_draw_them(system, tmp_path_factory, monkeypatch):
    shutil.copy(FOLDER / "DejaVuSerif.ttf", system)
    out = tmp_path_factory.mktemp("drawn")

    def drawn():
        for each in (fonts._of_system, fonts._with, fonts._tell_of_boxes):
            each.cache_clear()
        tile = sheets.Tile(Image.new("RGB", (90, 90)), [RARE])
        plots.plot_points(out / "plot.png", "map", np.random.default_rng(0).random((4, 2)), "artist", [RARE, "b"] * 2)
        with Image.open(out / "plot.png") as plot:
            return np.asarray(sheets.contact_sheet("near", tile, [tile])), np.asarray(plot.convert("RGB"))

    with_it = drawn()
    (system / "DejaVuSerif.ttf").unlink()
    without = drawn()
    for a, b in zip(with_it, without, strict=True):
        assert a.shape != b.shape or (a != b).any()
