"""What a run will take is told before it begins, and one that cannot end is not begun."""

import pytest
from conftest import REPO, flags, run_script

from artatlas import config, plans
from artatlas.errors import UserError
from artatlas.stages import BY_NAME, STAGES


def load(painted, outputs, *more):
    return config.load(None, tuple(flags(painted, outputs, *more)[1::2]))


def test_sizes_are_those_of_the_files(painted, finished):
    """Within a factor of two of a real run for what grows with the works; the tiles are counted one by one."""
    wanted = plans.needs(load(painted, finished), 64)
    for name in ("images", "content", "color"):
        size = (finished / BY_NAME[name].output).stat().st_size
        assert size / 2 < wanted[name].disk < 2 * size, name
    n_tiles = sum(1 for path in (finished / "viewer" / "tiles").rglob("*_*.jpg"))
    assert n_tiles <= wanted["viewer"].tiles <= 1.6 * n_tiles  # some are of nothing but background


@pytest.mark.parametrize("name", [stage.name for stage in STAGES])
def test_ten_times_the_works_take_more_of_everything(painted, finished, name):
    settings = load(painted, finished)
    few, many = (plans.needs(settings, n)[name] for n in (10_000, 100_000))
    assert many.disk > 2 * few.disk or name in ("report", "parametric_tsne")
    assert many.seconds + many.decoding > 1.5 * (few.seconds + few.decoding) or name == "report"  # it draws less again
    assert many.memory >= few.memory


def test_what_cannot_end_is_refused_with_the_remedy(painted, tmp_path):
    """A14, A53: disk and memory, both at once; the control has enough of both."""
    settings, due = load(painted, tmp_path / "new"), list(STAGES)
    plans.check(settings, due, lambda config: 10**12, lambda: 10**12)
    with pytest.raises(UserError) as caught:
        plans.check(settings, due, lambda config: 1_000_000, lambda: 100_000_000)
    disk, memory = caught.value.messages
    assert disk.startswith("paths.outputs: ") and "more for 64 works, and 1 MB are free. Free some space" in disk
    assert "of memory for 64 works, this machine has 100 MB. Take a larger one, or fewer works." in memory
    plans.check(settings, [], lambda config: 0, lambda: 0)


@pytest.mark.parametrize("plan", [(), ("--plan",)])
def test_what_a_late_stage_would_refuse_is_refused_before_the_first(painted, tmp_path, plan):
    """All of it at once, and nothing is written; a stage that is not asked for has no say."""
    wrong = flags(painted, tmp_path / "new", "images.thumbnail_px=40", "grid.mask=gone.png", "viewer.scatter_px=40",
                  "viewer.cell_px=40", "render.tile_px=40", "render.scatter_thumbnail_px=41")  # fmt: skip
    refused = run_script("run_all.py", *wrong, *plan, check=False)
    assert refused.returncode == 2 and not (tmp_path / "new").exists()
    mask, thumbnail = refused.stderr.splitlines()
    assert mask == f"error: grid.mask: {REPO}/gone.png: No such file or directory. Name a picture, circle or null."
    assert thumbnail.startswith("error: render.scatter_thumbnail_px: 41 would be blurred, images.thumbnail_px is 40.")
    assert run_script("run_all.py", *wrong, "--plan", "--only", "images", "content").returncode == 0


def test_old_outputs_stay_until_the_new_ones_are_whole(painted, finished):
    """A file that is replaced counts twice for a while, and not after that."""
    settings = load(painted, finished)
    wanted = {"images": plans.Need(100, 50, 0, 0), "content": plans.Need(1000, 0, 0, 0)}
    due = [BY_NAME["images"], BY_NAME["content"]]
    sizes = [(finished / stage.output).stat().st_size for stage in due]
    assert plans.disk_needed(settings, due, wanted) == pytest.approx(1.05 * max(150, 100 - sizes[0] + 1000))


def test_the_plan_runs_nothing_and_tells_all(painted, tmp_path):
    told = run_script("run_all.py", *flags(painted, tmp_path / "new"), "--plan")
    for stage in STAGES:
        assert stage.script in told.stdout
    assert "docs/BENCHMARKS.md" in told.stdout and "free)" in told.stdout and "works/s)" in told.stdout
    assert f"{len(STAGES)} stages to make, 0 up to date; nothing was run" in told.stdout
    assert not (tmp_path / "new").exists()


    told = run_script("run_all.py", *flags(painted, tmp_path / "new"), "--plan", "--only", "grid")
    assert "tsne_to_grid.py" in told.stdout and "find_variants.py" not in told.stdout
    assert "1 stage to make, 0 up to date; nothing was run" in told.stdout
