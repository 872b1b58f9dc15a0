"""Every notebook runs from start to end where it lies, and what is stored in it is what comes out."""

import os
import re

import nbformat
import pytest
from conftest import REPO
from nbclient import NotebookClient

from artatlas import weights
from artatlas.errors import UserError

NOTEBOOKS = sorted((REPO / "notebooks").glob("*.ipynb"))
LOOKS_AT_PICTURES = "3_place_your_own_picture"  # needs the network's weights
NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


def told(notebook):
    """What the cells print, in their order."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return ["".join(output.text for output in cell.outputs if output.output_type == "stream") for cell in cells]


def alike(text, stored):
    """Word for word, and every number within a hundredth of its size: machines round differently."""
    numbers, of_stored = ([float(n.replace(",", "")) for n in NUMBER.findall(each)] for each in (text, stored))
    return NUMBER.sub("#", text) == NUMBER.sub("#", stored) and numbers == pytest.approx(of_stored, rel=0.01, abs=0.011)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_says_what_is_stored_in_it(path, monkeypatch):
    if path.stem == LOOKS_AT_PICTURES:
        try:
            weights.resolve("vgg16", "imagenet")
        except UserError as error:
            pytest.skip(f"no pretrained weights can be had here: {error}")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(REPO), os.environ.get("PYTHONPATH", "")]))
    notebook = nbformat.read(path, as_version=4)
    stored = told(notebook)
    client = NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(path.parent)}})
    made = told(client.execute())
    assert any(stored), "it prints nothing"
    if path.stem != LOOKS_AT_PICTURES:  # other versions of a JPEG library write other pictures
        for text, before in zip(made, stored, strict=True):
            assert alike(text, before), f"now:\n{text}\nstored:\n{before}"


def test_there_are_four_and_each_is_small_and_whole():
    assert [path.stem[:2] for path in NOTEBOOKS] == ["1_", "2_", "3_", "4_"]
    for path in NOTEBOOKS:
        assert path.stat().st_size < 300_000, path.name
        counts = [cell.execution_count for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
        assert counts == [*range(1, len(counts) + 1)], f"{path.name} was not run from start to end"


def test_another_figure_or_word_would_be_seen():
    assert alike("12 works, AUC 0.781", "12 works, AUC 0.784")
    assert not alike("12 works, AUC 0.781", "12 works, AUC 0.838")
    assert not alike("by Monet", "by Manet")
