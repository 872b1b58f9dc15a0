"""The pipeline as a user meets it: real processes, real files, and errors word for word."""

import re
import shutil
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest
from conftest import FAST, REPO, flags, run_script
from PIL import Image

from artatlas.stages import STAGES


def contents(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_a_whole_run_leaves_whole_files_with_the_same_works(finished):
    ids = {}
    for stage in STAGES:
        output = finished / stage.output
        assert output.exists(), stage.script
        if output.suffix == ".h5":
            with h5py.File(output) as h5:
                ids[stage.name] = set(h5["image_ids"].asstr()[:])
                assert h5.attrs["stage"] == stage.name and len(h5.attrs["fingerprint"]) == 64
    assert all(len(found) == 64 and found == ids["images"] for found in ids.values())
    assert not list(finished.glob(".*")), "temporary files or shards were left behind"


def test_a_notebook_needs_no_package(finished):
    with h5py.File(finished / "tsne.h5") as f:
        ids, xy = f["image_ids"].asstr()[:], f["combined/coordinates"][:]
    assert xy.shape == (len(ids), 2)


def test_a_second_run_does_nothing_and_quickly(painted, outputs):
    before = contents(outputs)
    start = time.monotonic()
    result = run_script("run_all.py", *flags(painted, outputs))
    assert time.monotonic() - start < 20
    assert f"0 stages made, {len(STAGES)} up to date" in result.stdout
    assert contents(outputs) == before


@pytest.mark.parametrize(
    "setting, remade",
    [
        ("grid.aspect_ratio=2", {"tsne_to_grid.py", "render_grid.py", "evaluate_maps.py", "build_viewer.py"}),
        ("evaluate.n_neighbors=5", {"evaluate_maps.py", "build_viewer.py"}),
        ("render.tile_px=48", {"render_grid.py"}),
        ("machine.batch_size=8", set()),
        ("tsne.seed=7", {"build_tsne.py", "train_parametric_tsne.py", "tsne_to_grid.py", "render_grid.py",
                         "evaluate_maps.py", "build_viewer.py"}),
    ],
)
def test_a_tweak_remakes_what_depends_on_it_and_nothing_else(painted, outputs, setting, remade):
    result = run_script("run_all.py", *flags(painted, outputs, setting))
    lines = [line for line in result.stdout.splitlines() if re.match(r"\w+\.py ", line)]
    assert {line.split()[0] for line in lines if "up to date" not in line} == remade
    assert len(lines) == len(STAGES)


def test_only_and_from(painted, outputs):
    result = run_script("run_all.py", *flags(painted, outputs), "--only", "grid", "color")
    assert "2 stages made, 0 up to date" in result.stdout
    result = run_script("run_all.py", *flags(painted, outputs), "--from", "grid")
    from_grid = len(STAGES) - [stage.name for stage in STAGES].index("grid")
    assert f"{from_grid} stages made, {len(STAGES) - from_grid} up to date" in result.stdout


NAMES = ["it's (1) #2 50% é.jpg", "-rf.jpg", "e\u0301.jpg", "画 🎨.jpg", "שלום.jpg", '"q".jpg', "a\nb.jpg",
         "=1+1.jpg", "<b>&.jpg", "$x_1$.jpg", " lead and trail .jpg", "sub dir/x.JPG"]  # fmt: skip


def test_names_survive_every_stage(tmp_path):
    """A01: names with quotes, brackets, #, %, any Unicode or a leading dash failed other tools very late."""
    for i, name in enumerate(NAMES):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(i)
        Image.fromarray(rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(path, "JPEG")
    table = ["filename,label"] + [f'"{name.replace(chr(34), chr(34) * 2)}","{i:03d}"' for i, name in enumerate(NAMES)]
    (tmp_path / "metadata.csv").write_text("\n".join(table), encoding="utf-8")
    outputs = tmp_path / "outputs"
    run_script("run_all.py", *flags(tmp_path, outputs, "render.color_by=label"))
    for name in ("content", "style", "color", "tsne", "parametric_tsne", "grid"):
        with h5py.File(outputs / f"{name}.h5") as h5:
            assert sorted(h5["image_ids"].asstr()[:]) == sorted(NAMES), name
    with h5py.File(outputs / "images.h5") as h5:
        labels = dict(zip(h5["image_ids"].asstr()[:], h5["metadata/label"].asstr()[:], strict=True))
    assert labels == {name: f"{i:03d}" for i, name in enumerate(NAMES)}


def test_the_wikiart_preset_reads_its_folder_layout(painted, tmp_path):
    """A folder per style, artist_title.jpg in it, no CSV: the preset finds style, artist and title in the path."""
    for path in sorted((painted / "images").rglob("*-1.jpg"))[:24]:
        target = tmp_path / "wikiart" / f"style of {path.parent.name}" / f"{path.parent.name}_{path.name}"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    settings = [f"paths.images={tmp_path / 'wikiart'}", f"paths.outputs={tmp_path / 'outputs'}", "vgg.weights=random",
                "images.network_px=64", "style.layers=[block1_conv1]", "parametric_tsne.epochs=2", "render.tile_px=32",
                "render.scatter_px=400"]  # fmt: skip
    words = [word for setting in settings for word in ("--set", setting)]
    preset = ("--config", REPO / "configs" / "wikiart_feature_maps.yaml")
    refused = run_script("run_all.py", *preset, *words, check=False)
    assert refused.returncode == 2
    assert "tsne.perplexity: 50 needs at least 151 images" in refused.stderr  # the original's, kept as it is
    run_script("run_all.py", *preset, *words, "--set", "tsne.perplexity=7", "--set", "grid.sample=4")
    with h5py.File(tmp_path / "outputs" / "images.h5") as h5:
        for image_id, style, artist in zip(
            *[h5[name].asstr()[:] for name in ("image_ids", "metadata/style", "metadata/artist")], strict=True
        ):
            assert image_id.startswith(f"{style}/{artist}_") and style == f"style of {artist}"
    with h5py.File(tmp_path / "outputs" / "grid.h5") as h5:
        assert len(h5["image_ids"]) == 16 and h5["combined"].attrs["rows"] == 4
    with h5py.File(tmp_path / "outputs" / "tsne.h5") as h5:
        assert {"content", "style", "combined"} <= set(h5)


@pytest.fixture
def checkout(finished, painted, tmp_path):
    """A copy of the project in a folder with a space in its name, finished outputs and settings to match."""
    folder = tmp_path / "my copy"
    folder.mkdir()
    for path in (*REPO.glob("*.py"), REPO / "config.yaml"):
        shutil.copy(path, folder)
    shutil.copytree(REPO / "artatlas", folder / "artatlas", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(finished, folder / "outputs")
    for setting in (*FAST, f"paths.images={painted / 'images'}", f"paths.metadata={painted / 'metadata.csv'}"):
        key, value = setting.split("=")
        change(folder, key, value)
    return folder


def change(folder, key, value):
    section, name = key.split(".")
    text = (folder / "config.yaml").read_text(encoding="utf-8")
    start = text.index(f"\n{section}:")
    text = text[:start] + re.sub(rf"(?m)^  {name}:.*$", f"  {name}: {value}", text[start:], count=1)
    (folder / "config.yaml").write_text(text, encoding="utf-8")


def error(folder, script, *arguments):
    result = subprocess.run([sys.executable, script, *arguments], cwd=folder, capture_output=True, text=True)
    assert result.returncode == 2, result.stderr
    assert result.stdout == ""
    return result.stderr.removesuffix("\n")


def test_errors_word_for_word(checkout):
    """The lines of the design document, as a user sees them."""
    (checkout / "outputs" / "style.h5").rename(checkout / "style.h5")
    assert error(checkout, "build_tsne.py") == (
        "error: outputs/style.h5 does not exist. Run: python extract_style.py"
    )
    (checkout / "style.h5").rename(checkout / "outputs" / "style.h5")

    change(checkout, "tsne.perplexity", "30")
    assert error(checkout, "build_tsne.py") == (
        "error: tsne.perplexity: 30 needs at least 91 images, outputs/content.h5 has 64. Set it to 21 or less."
    )

    change(checkout, "tsne.perplexity", "8")
    subprocess.run([sys.executable, "build_tsne.py"], cwd=checkout, check=True, capture_output=True)
    assert error(checkout, "render_grid.py") == (
        "error: outputs/grid.h5 was made from an older outputs/tsne.h5. Run: python tsne_to_grid.py"
    )

    text = (checkout / "config.yaml").read_text(encoding="utf-8")
    (checkout / "config.yaml").write_text(text.replace("  perplexity:", "  perplxty:"), encoding="utf-8")
    assert error(checkout, "build_tsne.py").splitlines()[0] in (
        "error: config.yaml: tsne.perplxty is not a setting. Did you mean tsne.perplexity?",
        "error: config.yaml: tsne.perplexity is missing. Copy its line from the shipped config.yaml.",
    )
    assert "error: config.yaml: tsne.perplxty is not a setting. Did you mean tsne.perplexity?" in error(
        checkout, "build_tsne.py"
    )


def test_a_remedy_repeats_the_flags_that_were_given(checkout):
    (checkout / "outputs" / "color.h5").unlink()
    flags = ("--set", "maps={color: {color: 1}}", "--set", "parametric_tsne.map=color")
    assert error(checkout, "build_tsne.py", *flags) == (
        "error: outputs/color.h5 does not exist. Run: python extract_color.py --set 'maps={color: {color: 1}}'"
        " --set parametric_tsne.map=color"
    )


def test_a_failing_stage_stops_run_all_with_its_message_and_code(checkout):
    change(checkout, "tsne.perplexity", "30")
    told = error(checkout, "run_all.py")
    assert "error: tsne.perplexity: 30 needs at least 91 images" in told
    assert "build_tsne.py stopped with exit code 2" in told
