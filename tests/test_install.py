"""What `pip install .` gives: the package and one command, with no checkout in sight."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from conftest import REPO

from artatlas import __main__ as command
from artatlas.stages import ON_REQUEST, STAGES


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The wheel, unpacked as pip does it. Built from the files of the checkout, without the network."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    shutil.copytree(REPO, source, ignore=shutil.ignore_patterns(
        ".*", "outputs", "collection", "openclipart", "node_modules", "tests", "docs", "*.h5", "__pycache__", "build",
        "*.egg-info",
    ))  # fmt: skip
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(folder),
             str(source)]  # fmt: skip
    subprocess.run(build, check=True, cwd=folder, env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"})
    (wheel,) = folder.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder / "site")
    return folder / "site"


@pytest.fixture
def artatlas(site, tmp_path):
    """Runs the command of the unpacked wheel in a folder that has nothing of the checkout."""

    def run(*arguments):
        environment = {**os.environ, "PYTHONPATH": str(site), "PYTHONSAFEPATH": "1"}
        words = [sys.executable, "-m", "artatlas", *map(str, arguments)]
        return subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True)

    return run


def test_the_wheel_carries_scripts_settings_and_the_page(site):
    home = site / "artatlas" / "home"
    for pattern in ("*.py", "config.yaml", "configs/*.yaml", "viewer/*.js", "viewer/*.html", "data/painter/*.py"):
        there = {path.relative_to(REPO).as_posix() for path in REPO.glob(pattern)}
        assert there and {path.relative_to(home).as_posix() for path in home.glob(pattern)} == there, pattern
    assert not list(site.rglob("test_*.py")) and not list(site.rglob("*.h5"))


def test_it_lists_its_stages_and_each_has_its_help(artatlas):
    listed = artatlas().stdout
    assert all(f"  {Path(stage.script).stem} " in listed for stage in (*STAGES, *ON_REQUEST))
    for name in ("tsne_to_grid", "tsne-to-grid", "grid", "tsne_to_grid.py"):
        assert "Writes  outputs/grid.h5" in artatlas(name, "--help").stdout, name


def test_stages_work_where_the_user_is(artatlas, painted, tmp_path, site):
    inputs = ("--set", f"paths.images={painted / 'images'}", "--set", f"paths.metadata={painted / 'metadata.csv'}",
              "--set", "images.network_px=64")  # fmt: skip
    done = artatlas("prepare_images", *inputs)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("outputs/images.h5: 64 works")
    assert artatlas("extract_color", *inputs).returncode == 0
    assert sorted(path.name for path in (tmp_path / "outputs").glob("*.h5")) == ["color.h5", "images.h5"]
    refused = artatlas("tsne_to_grid", *inputs)
    assert refused.returncode == 2
    assert "outputs/tsne.h5 does not exist. Run: artatlas build_tsne --set" in refused.stderr
    assert not (site / "artatlas" / "home" / "outputs").exists()


def test_presets_that_came_along_are_known_by_their_names(artatlas, tmp_path):
    refused = artatlas("extract_color", "--config", "configs/demo.yaml")
    assert refused.returncode == 2 and "error: outputs/demo/images.h5 does not exist." in refused.stderr
    (tmp_path / "mine.yaml").write_text("base: config.yaml\npaths: {images: a, metadata: null, outputs: out}\n")
    refused = artatlas("extract_color", "--config", "mine.yaml")
    assert "error: out/images.h5 does not exist. Run: artatlas prepare_images --config mine.yaml" in refused.stderr


def test_a_stage_that_is_none_is_told_with_the_nearest(artatlas):
    refused = artatlas("build_tsn")
    assert refused.returncode == 2 and "Did you mean build_tsne?" in refused.stderr


def test_in_a_checkout_the_command_runs_the_scripts_of_the_checkout():
    assert command.find("tsne") == REPO / "build_tsne.py"
    assert command.find("nothing") is None
