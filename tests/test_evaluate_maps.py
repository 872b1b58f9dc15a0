"""The report finds what was planted, says what it lacks, escapes what it is given, and is the same every time."""

import html.parser
import json
import re

import h5py
import numpy as np
import pytest
from conftest import REPO, edited, flags, run_script
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from PIL import Image

import evaluate_maps
from artatlas import config, markup, metrics, store
from artatlas.errors import UserError
from artatlas.stages import BY_NAME

MAPS = ("maps={content: {content: 1}, style: {style: 1}}", "parametric_tsne.map=content", "evaluate.n_seeds=null")
JPEG = markup.small_jpeg(Image.new("RGB", (64, 48), "#886644"))


def write(folder, n_works, *overrides, metadata=None, ids=None, seed=0):
    """Small finished outputs: two sources in clusters, their maps, a grid in reading order, and images.h5."""
    settings = config.load(None, (f"paths.outputs={folder}", "paths.metadata=null", *MAPS, *overrides))
    rng = np.random.default_rng(seed)
    ids = np.array(ids or [f"w{i:03}" for i in range(n_works)], dtype=object)
    made = {}

    def create(name, **more):
        recipe = {"settings": settings.settings(BY_NAME[name].sections), **more}
        return store.create(folder / BY_NAME[name].output, name, recipe, dict(made))

    with create("images") as h5:
        store.write_ids(h5, ids)
        h5["pixels"] = np.zeros((n_works, 1, 1, 3), np.uint8)
        thumbnails = h5.create_dataset("thumbnails", (n_works,), h5py.vlen_dtype(np.uint8))
        for row in range(n_works):
            thumbnails[row] = np.frombuffer(JPEG, np.uint8)
        h5["width"] = h5["height"] = np.ones(n_works, np.int32)
        h5.create_dataset("duplicate_of", data=np.array([""] * n_works, dtype=object), dtype=store.TEXT)
        for name in ("image_ids", "reason"):
            h5.create_dataset(f"skipped/{name}", (0,), store.TEXT)
        group = h5.create_group("metadata")
        for name, values in (metadata or {}).items():
            group.create_dataset(name, data=np.array(values, dtype=object), dtype=store.TEXT)
    made["images"] = store.attributes(settings, "images")["fingerprint"]
    features, drawn = {}, {}
    for name in ("content", "style"):
        cluster = rng.integers(0, 4, n_works)
        features[name] = (rng.normal(size=(4, 6))[cluster] * 3 + rng.normal(size=(n_works, 6))).astype(np.float32)
        drawn[name] = features[name][:, :2] + 0.1 * features[name][:, 2:4]
        with create(name) as h5:
            store.write_ids(h5, ids)
            h5["embeddings"] = features[name]
            if name == "style":
                h5["pca/mean"], h5["pca/components"] = np.zeros(6, np.float32), np.eye(6, dtype=np.float32)
    write_maps(settings, ids, drawn)
    return settings, features, drawn


def write_maps(settings, ids, drawn):
    inputs = {name: store.attributes(settings, name)["fingerprint"] for name in drawn}
    recipe = {"settings": settings.settings(("maps", "tsne")), "perplexity": 5.0}
    with store.create(settings.outputs / "tsne.h5", "tsne", recipe, inputs) as h5:
        store.write_ids(h5, ids)
        for name, coordinates in drawn.items():
            h5[f"{name}/coordinates"] = coordinates
            h5[name].attrs["kl_divergence"] = 1.5
    inputs = {"tsne": store.attributes(settings, "tsne")["fingerprint"]}
    side = int(np.ceil(np.sqrt(len(ids))))
    with store.create(settings.outputs / "grid.h5", "grid", {"settings": settings.settings(("grid",))}, inputs) as h5:
        store.write_ids(h5, ids)
        for name in drawn:
            h5[f"{name}/cells"] = np.stack(np.divmod(np.arange(len(ids)), side), axis=1).astype(np.int32)
            h5[name].attrs.update(rows=side, cols=side)


def figures_of(settings):
    evaluate_maps.main(settings)
    return json.loads((settings.outputs / "report.json").read_text(encoding="utf-8"))


class Page(html.parser.HTMLParser):
    """Tags, attributes and text of a page; checks that what is opened is closed."""

    VOID = ("meta", "img", "br", "path", "circle", "use", "rect")

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.text, self.open = set(), [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.attributes += attributes
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.add(tag)
        self.attributes += attributes

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


# A whole run


def test_figures_of_a_whole_run_are_those_of_its_files(finished):
    figures = json.loads((finished / "report.json").read_text(encoding="utf-8"))
    assert list(figures["maps"]) == ["content", "style", "combined"] and figures["works"] == 64
    with h5py.File(finished / "tsne.h5") as h5, h5py.File(finished / "style.h5") as style:
        ids, coordinates = h5["image_ids"].asstr()[:], h5["style/coordinates"][:]
        embeddings = style["embeddings"][:][store.rows_of(ids, style["image_ids"].asstr()[:])]
    unit = embeddings - embeddings.mean(axis=0, dtype=np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    lists = metrics.neighbours(unit, 10), metrics.neighbours(coordinates, 10)
    kept = [len(np.intersect1d(*pair)) / 10 for pair in zip(*lists, strict=True)]
    with h5py.File(finished / "faithfulness.h5") as h5:
        rows = store.rows_of(ids, h5["image_ids"].asstr()[:])
        np.testing.assert_allclose(h5["style/faithfulness"][:][rows], kept, atol=1e-6)
        trust, continuity = (h5[f"style/{name}"][:].mean() for name in ("trustworthiness", "continuity"))
    found = figures["maps"]["style"]
    assert found["kept"]["10"] == pytest.approx(np.mean(kept), abs=1e-4)
    assert trust == pytest.approx(metrics.trustworthiness(unit, coordinates, 10), abs=1e-4)
    assert continuity == pytest.approx(metrics.continuity(unit, coordinates, 10), abs=1e-4)
    assert found["trustworthiness"]["10"] == pytest.approx(trust, abs=1e-4)
    with h5py.File(finished / "grid.h5") as h5:
        assert found["grid"]["cost"] == pytest.approx(h5["style"].attrs["cost"], rel=2e-3)
    with h5py.File(finished / "parametric_tsne.h5") as h5:
        held_out = figures["network"]["held_out"]
        assert held_out["trustworthiness"] == pytest.approx(h5["report"].attrs["trustworthiness"], abs=1e-4)
    assert figures["labels_missing"] == [] or set(figures["labels_missing"]) < {"artist", "style"}
    assert 0 <= found["redrawn"]["median_displacement"] < 1 and found["redrawn"]["seeds"] == [43]


def test_the_page_needs_nothing_else_and_shows_every_map(finished):
    text = (finished / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert not page.tags & {"script", "link", "iframe", "object", "form", "base"}
    sources = [value for name, value in page.attributes if name in ("src", "href", "xlink:href", "srcset")]
    assert sources and all(value.startswith(("data:image/", "#")) for value in sources)
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert not re.search(r"url\((?!#)|@import", text)
    told = "".join(page.text)
    for words in ("Can these maps be trusted?", "content", "style", "combined", "The network that places new works"):
        assert words in told
    assert "nan" not in told.lower().split() and "None" not in told


def test_the_same_again_is_the_same_bytes_with_any_number_of_threads(painted, outputs):
    names = ("report.json", "report.html", "faithfulness.h5")
    before = {name: (outputs / name).read_bytes() for name in names}
    run_script("evaluate_maps.py", *flags(painted, outputs, "machine.threads=1"))
    assert {name: (outputs / name).read_bytes() for name in names} == before


def test_an_older_input_names_the_command(painted, outputs):
    told = run_script("evaluate_maps.py", *flags(painted, outputs, "tsne.seed=5"), check=False)
    assert told.returncode == 2 and "tsne.h5 was made with tsne.seed: 42, the settings now say 5" in told.stderr
    assert "Run: python build_tsne.py" in told.stderr
    (outputs / "grid.h5").unlink()
    told = run_script("evaluate_maps.py", *flags(painted, outputs), check=False)
    assert told.returncode == 2 and "grid.h5 does not exist. Run: python tsne_to_grid.py" in told.stderr


def test_the_docs_quote_the_committed_report():
    """Every number of its table, and of the line below it, is that of docs/report_paintings.json as it is told."""
    figures = json.loads((REPO / "docs" / "report_paintings.json").read_text(encoding="utf-8"))
    page = (REPO / "docs" / "REPORT.md").read_text(encoding="utf-8")
    quoted = page.partition("<!-- report -->")[2].partition("<!-- /report -->")[0]
    rows = [line.strip("|").split("|") for line in quoted.splitlines() if line.startswith("| ")]
    heads, rows = rows[0], {cells[0].strip(): [cell.strip() for cell in cells[1:]] for cells in rows[1:]}
    assert list(rows) == list(figures["maps"]) and f"{figures['works']:,} paintings" in page
    for name, each in figures["maps"].items():
        artist = each["labels"]["artist"]["map"]["knn_accuracy"]
        stay = f"{100 * each['redrawn']['neighbours_kept']:.0f}" if each["redrawn"] else "not tried"
        assert rows[name] == [
            f"{100 * each['near']:.0f}", f"{100 * each['kept']['10']:.0f}", f"{each['trustworthiness']['10']:.3f}",
            f"{each['continuity']['10']:.3f}", stay,
            f"{artist['value']:.2f} ({artist['shuffled']:.2f})",
        ]  # fmt: skip
    assert "10 nearest" in heads[1] and f"the {figures['maps']['content']['near_limit']} most like it" in heads[1]
    assert "Chance would give 5 in the first column and 0.8 in the second." in quoted


# Planted


def test_a_work_put_in_the_wrong_place_is_the_least_faithful_and_the_one_that_changes_most(tmp_path):
    settings, features, _ = write(tmp_path, 120)
    ids = np.array([f"w{i:03}" for i in range(120)], dtype=object)
    plane = np.random.default_rng(3).normal(size=(120, 2)).astype(np.float32)
    wrong = plane.copy()
    wrong[17] = -4 * plane[17] / np.linalg.norm(plane[17])
    for name in ("content", "style"):
        features[name][:] = 0
        features[name][:, :2] = plane
    scored = {
        name: evaluate_maps.score_map(plane, drawn, settings.evaluate, {}, np.arange(120), name)
        for name, drawn in (("content", plane), ("style", wrong))
    }
    assert scored["content"].faithfulness.min() == 1
    assert scored["style"].least_faithful[0].row == 17
    compared, examples = evaluate_maps.compare_maps(["content", "style"], scored, np.arange(120))
    assert examples["change most"][0].row == 17 and examples["change least"][0].row != 17
    assert compared["in_common"] > 0.9 and sum(compared["works_by_number_in_common"]) == 120
    same, _ = evaluate_maps.compare_maps(["content", "content"], scored, np.arange(120))
    assert same["in_common"] == 1
    write_maps(settings, ids, {"content": plane, "style": wrong})  # and so it stands in the files
    evaluate_maps.main(settings)
    with h5py.File(tmp_path / "faithfulness.h5") as h5:
        assert h5["style"].attrs["n_neighbors"] == 10 and h5["style/faithfulness"].dtype == np.float32


def test_drawn_again_the_map_of_the_features_stays_and_a_random_one_does_not(tmp_path):
    settings, features, _ = write(tmp_path, 100, "tsne.n_iter=250")
    rng, redrawn = np.random.default_rng(0), {}
    true, _ = evaluate_maps.draw_map(features["content"], settings.tsne, 10, 1, "true")
    for name, drawn in (("true", true), ("random", rng.normal(size=(100, 2)).astype(np.float32))):
        scored = evaluate_maps.score_map(features["content"], drawn, settings.evaluate, {}, np.arange(100), name)
        redrawn[name] = evaluate_maps.redraw(features["content"], scored, settings, 10, 1, name)
    assert redrawn["true"]["neighbours_kept"] > redrawn["random"]["neighbours_kept"] + 0.4
    assert redrawn["true"]["median_displacement"] < redrawn["random"]["median_displacement"] / 2
    assert redrawn["random"]["neighbours_kept"] == pytest.approx(10 / 99, abs=0.05)


@hypothesis_settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 40))
def test_no_arrangement_costs_less_than_the_least_and_the_bound_is_no_more(seed, n_works):
    rng = np.random.default_rng(seed)
    positions, centres = rng.random((n_works, 2)), rng.random((n_works, 2))
    least = evaluate_maps.least_cost(positions, centres)
    assert least <= np.square(positions - centres).sum(axis=1).mean() + 1e-12
    assert evaluate_maps.cost_bound(positions, centres) <= least + 1e-12
    shuffled = rng.permutation(n_works)
    assert evaluate_maps.least_cost(positions, positions[shuffled]) == 0
    assert evaluate_maps.cost_bound(positions, positions[shuffled]) == 0


def test_labels_planted_in_the_features_are_found(tmp_path):
    rng = np.random.default_rng(0)
    artist = rng.integers(0, 6, 150)
    settings, _, _ = write(tmp_path, 150, metadata={"artist": [f"a{i}" for i in artist],
                                                    "style": [f"s{i // 2}" for i in artist]})  # fmt: skip
    features = rng.normal(size=(6, 5))[artist] * 4 + rng.normal(size=(150, 5))
    labels, missing, _ = evaluate_maps.read_labels(settings, np.array([f"w{i:03}" for i in range(150)], dtype=object))
    assert not missing
    scored = evaluate_maps.score_map(features.astype(np.float32), features[:, :2].astype(np.float32),
                                     settings.evaluate, labels, np.arange(150), "m")  # fmt: skip
    found = scored.figures["labels"]["artist"]
    assert found["features"]["knn_accuracy"]["value"] > 0.9 > 0.4 > found["features"]["knn_accuracy"]["shuffled"]
    assert found["features"]["map_at_10"]["value"] > found["map"]["map_at_10"]["value"]  # two dimensions lose some
    assert found["within one style"]["features"]["knn_accuracy"]["value"] > 0.9
    assert "without the same artist" in scored.figures["labels"]["style"]


# Whatever it is given


HOSTILE = ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "a & b <b>bold</b>", "$x_1$ {css} %s",
           "\x1b[31m", "</style></main>", "javascript:alert(1)", "画 שלום é", "'", "   "]  # fmt: skip


def test_text_of_the_collection_is_escaped(tmp_path, capsys):
    """A01, A32: names and metadata are the collection's own text and may be anything."""
    n_works = 40
    texts = [HOSTILE[i % len(HOSTILE)] for i in range(n_works)]
    ids = [f"{i:02} {text.replace('/', '-')}.jpg" for i, text in enumerate(texts)]
    label = "<i>artist</i>"
    settings, _, _ = write(tmp_path, n_works, f"evaluate.labels=['{label}', '<u>gone</u>']", ids=ids,
                           metadata={label.replace("/", "\u2215"): texts, "title": texts, "artist": texts})  # fmt: skip
    evaluate_maps.main(settings)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert not page.tags & {"script", "i", "u"} and text.count("<style") == 1
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert {value for name, value in page.attributes if name == "src" and not value.startswith("data:")} == set()
    told = "".join(page.text)
    assert "<script>alert(1)</script>" in told and label in told and "<u>gone</u>" in told and "\x1b" not in text
    assert "<u>gone</u>" in capsys.readouterr().err


@pytest.mark.parametrize("n_works", [1, 2, 3, 4, 5, 12])
def test_tiny_collections(tmp_path, n_works):
    """A57: tiny sets are first-class."""
    metadata = {"artist": ["same"] * n_works, "style": [str(i) for i in range(n_works)]}
    settings, _, _ = write(tmp_path, n_works, "evaluate.n_seeds=1", metadata=metadata)
    figures = figures_of(settings)
    with h5py.File(tmp_path / "faithfulness.h5") as h5:
        assert len(h5["content/faithfulness"]) == n_works
        if n_works < 3:
            assert (h5["content/faithfulness"][:] == 1).all()
    Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert figures["works"] == n_works
    if n_works == 12:
        assert list(figures["maps"]["content"]["kept"]) == ["5"] and figures["maps"]["content"]["n_neighbors"] == 5
        assert figures["maps"]["content"]["labels"]["artist"]["features"]["knn_accuracy"]["shuffled"] == 1
        assert figures["maps"]["content"]["labels"]["style"]["features"] == {}


def test_all_works_alike(tmp_path):
    """A22: constant features are no NaN."""
    settings, _, _ = write(tmp_path, 30)
    for name in ("content", "style"):
        with edited(tmp_path / f"{name}.h5") as h5:  # as an odd collection would make them
            h5["embeddings"][:] = 1
    figures = figures_of(settings)
    content = figures["maps"]["content"]
    assert content["kept"]["10"] == 1 and content["spearman"] is None and content["grid"]["dpq16"] is None
    Page((tmp_path / "report.html").read_text(encoding="utf-8"))


def test_a_missing_column_is_said_and_not_fatal(tmp_path, capsys):
    settings, _, _ = write(tmp_path, 30, metadata={"artist": [str(i % 3) for i in range(30)]})
    figures = figures_of(settings)
    assert figures["labels_missing"] == ["style"] and list(figures["maps"]["content"]["labels"]) == ["artist"]
    assert "evaluate.labels: the metadata has no column style (has artist)" in capsys.readouterr().err
    assert "no column <b>style</b>" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_without_images_works_go_by_their_ids(tmp_path):
    """images.h5 may be deleted: it is large, and what was made of it stands."""
    settings, _, _ = write(tmp_path, 30)
    (tmp_path / "images.h5").unlink()
    figures = figures_of(settings)
    assert figures["labels_missing"] == ["artist", "style"] and figures["network"] == {}
    assert "w000" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_images_that_lack_works_name_the_command(tmp_path):
    settings, _, _ = write(tmp_path, 30)
    with edited(tmp_path / "images.h5") as h5:
        h5["image_ids"][3] = "other"
    with pytest.raises(UserError, match=r"images.h5 lacks 1 work of the maps, for example w003. Run: .*run_all"):
        evaluate_maps.main(settings)


def test_maps_that_are_not_there_are_not_compared(tmp_path):
    settings, _, _ = write(tmp_path, 30, "evaluate.compare=[content, elsewhere]")
    assert figures_of(settings)["compared"] == {}


def test_figures_are_told_with_four_decimals_and_never_nan():
    told = evaluate_maps.rounded({"a": 0.123456, "b": float("nan"), "c": [0.00012345, 7], "d": None, "e": 1234.56789})
    assert told == {"a": 0.1235, "b": None, "c": [0.000123, 7], "d": None, "e": 1234.5679}


def test_auto_draws_again_what_is_not_too_many():
    asked = (("auto", 10_000), ("auto", 10_001), (5, 10**6), (None, 9))
    assert [evaluate_maps.resolve_seeds(*each) for each in asked] == [3, 0, 5, 0]


def test_thumbnails_are_shrunk():
    assert len(markup.small_jpeg(Image.new("RGB", (4000, 3000)))) < 2000


def test_a_grid_of_a_sample_is_scored_on_its_works(tmp_path):
    """grid.sample takes some of the works, here in another order; the maps are scored on all."""
    settings, _, drawn = write(tmp_path, 64)
    rows = np.random.default_rng(0).permutation(64)[:36]
    cells = np.stack(np.divmod(np.arange(36), 6), axis=1).astype(np.int32)
    inputs = {"tsne": store.attributes(settings, "tsne")["fingerprint"]}
    with store.create(tmp_path / "grid.h5", "grid", {"settings": settings.settings(("grid",))}, inputs) as h5:
        store.write_ids(h5, np.array([f"w{row:03}" for row in rows], dtype=object))
        for name in drawn:
            h5[f"{name}/cells"] = cells
            h5[name].attrs.update(rows=6, cols=6)
    figures = figures_of(settings)
    grid = figures["maps"]["content"]["grid"]
    assert figures["works"] == 64 and grid["works"] == 36
    moved = evaluate_maps.to_unit_square(drawn["content"][rows]) - evaluate_maps.cell_centres(cells, 6, 6)
    assert grid["cost"] == pytest.approx(np.square(moved).sum(axis=1).mean(), abs=1e-4)
    assert 0 < grid["least_cost"] < grid["cost"]


def test_the_readme_quotes_the_report():
    figures = json.loads((REPO / "docs" / "report_paintings.json").read_text(encoding="utf-8"))
    style, works = figures["maps"]["style"], figures["works"]
    readme = " ".join((REPO / "README.md").read_text(encoding="utf-8").split())
    assert (
        f"on the style map of {works:,} paintings, {100 * style['near']:.0f} are among the {style['near_limit']} most"
        f" like it; chance would give {100 * style['near_limit'] / (works - 1):.0f}"
    ) in readme
