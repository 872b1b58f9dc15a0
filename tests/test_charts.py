"""The charts draw what they are given, name every line, and are the same every time."""

import re
from xml.etree import ElementTree

import numpy as np

from artatlas import charts


def test_every_line_is_named_whatever_it_is_called():
    lines = {"_content": {"5": 0.9, "10": 0.8}, "x-1": {"5": 0.5, "10": 0.4}}
    text = charts.curves(lines, {"5": 0.1, "10": 0.2}, 0)
    root = ElementTree.fromstring(text)
    assert root.tag.endswith("svg")
    words = {"".join(each.itertext()).strip() for each in root.iter() if each.tag.endswith("text")}
    assert {"_content", "x-1", "by chance", "k neighbours"} <= words
    assert text == charts.curves(lines, {"5": 0.1, "10": 0.2}, 0)
    assert not re.search(r"<style|<metadata|<script|<\?xml|\d{4}-\d\d-\d\dT", text)


def test_bars_are_as_high_as_their_counts():
    root = ElementTree.fromstring(charts.bars([10, 20, 0, 5], "x"))
    paths = [each for each in root.iter() if "fill: #" in each.get("style", "") and each.get("clip-path")]
    heights = [np.ptp([float(y) for _, y in re.findall(r"([\d.]+) ([\d.]+)", path.get("d"))]) for path in paths]
    np.testing.assert_allclose(np.array(heights) / heights[1], [0.5, 1, 0, 0.25], atol=1e-4)


def test_an_interval_stands_where_its_shares_are():
    root = ElementTree.fromstring(charts.interval(0.5, 0.25, 0.75, 0.0, "half"))
    circle = next(each for each in root if each.tag == "circle")
    assert float(circle.get("cx")) == 80
    assert {each.get("class"): each.get("d") for each in root if each.tag == "path"} == {
        "axis": "M2 7H158", "span": "M41.0 7H119.0", "chance": "M2.0 2V12"}  # fmt: skip


def test_a_map_of_one_work_or_of_equal_ones_is_drawn():
    for coordinates in (np.zeros((1, 2), np.float32), np.ones((5, 2), np.float32)):
        drawn = charts.faithful_map(coordinates, np.ones(len(coordinates)), "a &amp; b")
        assert drawn.startswith('<img alt="a &amp; b" src="data:image/png;base64,')
