"""The README is followed line by line in a clean copy of what is committed, as by somebody who has just found it.

That takes its time (it installs, and runs the demo), so it is asked for: `make test-readme`. test_docs.py checks for
every command of every page, in seconds, that it could be typed.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import REPO
from PIL import Image

ASKED = "ARTATLAS_FOLLOW_README"
LEFT_OUT = ("make view", "make test")  # a server, which does not end, and what runs this test
MINUTES = 40


def plain(line):
    return re.split(r"\s+#\s", line)[0].strip()


def blocks(text):
    """The commands of the indented blocks, in their order."""
    lines = [plain(line) for line in re.findall(r"^    (\S.*)$", text, flags=re.M) if not line.startswith("error: ")]
    return [line for line in lines if line not in LEFT_OUT]


def wishes(text):
    """The rows of the table "I want to ...", each a list of commands."""
    table = text.partition("\n## I want to ...\n")[2].partition("\n## ")[0]
    cells = [row.split(" | ")[1] for row in table.splitlines() if row.count(" | ") == 2]
    rows = [[command for command in re.findall(r"`([^`]+)`", cell) if command not in LEFT_OUT] for cell in cells]
    return [row for row in rows if row]


def test_the_readme_has_commands_to_follow():
    text = (REPO / "README.md").read_text(encoding="utf-8")
    assert blocks(text)[0] == "make demo" and "run_all.py" in blocks(text)[-1]
    typed = [command for row in wishes(text) for command in row]
    for script in ("find_similar.py", "place_images.py", "tsne_to_grid.py", "verify_pairs.py", "find_variants.py"):
        assert any(script in command for command in typed), script


def furnish(home, painted):
    """What the README takes for granted in a home folder, and a CSV of pairs: its text."""
    works = sorted((painted / "images").rglob("*.jpg"))
    shutil.copytree(painted / "images", home / "pictures")
    shutil.copyfile(painted / "metadata.csv", home / "pictures.csv")
    shutil.copyfile(works[0], home / "some.jpg")
    shutil.copyfile(works[9], home / "another.jpg")
    (home / "acquisitions").mkdir()
    Image.open(works[3]).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(home / "acquisitions" / "new.jpg")
    names = [work.relative_to(painted / "images").as_posix() for work in works]
    pairs = [f"{i},{one},{other}" for i, (one, other) in enumerate(zip(names[:8], names[8:16], strict=True))]
    return "\n".join(["index,image1,image2", *pairs]) + "\n"


def environment(copy, ready):
    """An environment that is there already, in the place of the one that `make demo` would install."""
    (copy / ".venv").mkdir()
    for path in Path(ready).iterdir():
        (copy / ".venv" / path.name).symlink_to(path)
    (copy / ".venv" / "installed").touch()


@pytest.mark.skipif(not os.environ.get(ASKED), reason="installs and runs the demo: make test-readme")
def test_the_readme_can_be_followed(painted, tmp_path):
    copy, home = tmp_path / "a clean copy", tmp_path / "home"
    home.mkdir()
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", REPO, copy], check=True)
    (copy / "pairs.csv").write_text(furnish(home, painted), encoding="utf-8")
    if ready := os.environ.get("ARTATLAS_READY_VENV"):
        environment(copy, ready)
    text = (copy / "README.md").read_text(encoding="utf-8")
    lines = blocks(text)
    for row in wishes(text):
        lines += [*row, blocks(text)[-1]]  # every row starts from a finished run of one's own pictures
    cache = os.environ.get("ARTATLAS_CACHE") or Path.home() / ".cache" / "artatlas"
    followed = subprocess.run(
        ["bash", "-xec", "\n".join(lines)], cwd=copy, capture_output=True, text=True, timeout=MINUTES * 60,
        env={**os.environ, "HOME": str(home), "ARTATLAS_CACHE": str(cache)},
    )  # fmt: skip
    assert followed.returncode == 0, f"{followed.stdout[-3000:]}\n{followed.stderr[-3000:]}"
    outputs = copy / "outputs"
    for made in (
        "viewer/index.html",
        "pictures",
        "report.html",
        "clusters",
        "variants.csv",
        "placed.csv",
        "scores.csv",
    ):
        assert (outputs / made).exists(), made
    assert (outputs / "demo" / "viewer" / "index.html").exists()
