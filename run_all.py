"""All stages in order, each in a process of its own; what is up to date is skipped.

Reads   the collection (paths.images, paths.metadata) and config.yaml
Writes  everything below outputs/
Run     python run_all.py                     skips every stage whose settings and inputs have not changed
        python run_all.py --from tsne         does tsne and all that follow again
        python run_all.py --only tsne grid    does just these, again
        python run_all.py --plan              tells what would run, and the disk, memory and time that it takes
        python run_all.py --add FOLDER [--add-metadata CSV]
                                              lets the new pictures of FOLDER in, and nothing that is there moves: its
                                              embeddings, places, cells, distances and tiles stay to the byte (the
                                              mosaics of more than 10,000 works are left as they were)
        python run_all.py --from images       draws everything anew, with what was added
Cost    the sum of the stages; under 5 s when nothing has changed
"""

import argparse
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from artatlas import additions, cli, collection, drift, lock, plans, stopping, store
from artatlas.config import Config
from artatlas.errors import UserError
from artatlas.stages import BY_NAME, STAGES, TOGETHER, Stage

MADE_ANEW = ("render_grid.py", "build_viewer.py")  # with --add too; tiles that show what they showed stay
PICTURES_UP_TO = 10_000  # works; above, --add leaves the mosaics alone: all of them are drawn, which takes minutes
FOLDER = Path(__file__).resolve().parent
NAMES = [stage.name for stage in STAGES]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--from", dest="start", choices=NAMES, help="do this stage and all later ones again")
    parser.add_argument(
        "--plan", action="store_true", help="runs nothing; tells what would run, and the disk, memory and time it takes"
    )
    choice.add_argument("--only", nargs="+", choices=NAMES, help="do only these stages, again")
    choice.add_argument("--add", type=Path, metavar="FOLDER", help="let its pictures in, where nothing moves")
    parser.add_argument("--add-metadata", type=Path, metavar="CSV", help="about them; file names are below FOLDER")


def why(config: Config, stage: Stage, start: str | None, only: list[str] | None) -> str | None:
    """Why a stage has to run, or None to skip it."""
    if only:
        return "asked for" if stage.name in only else None
    if start and NAMES.index(stage.name) >= NAMES.index(start):
        return "asked for"
    reason = store.why_stale(config, stage.name)
    if reason is None and stage.name == "images":
        reason = collection.why_changed(config)
    return reason


def script_for(stage: Stage, is_due: Callable[[Stage], bool]) -> tuple[str, tuple[str, ...]]:
    """The script that makes `stage`, and the names of all that it makes: several where each of those is due."""
    for script, names in TOGETHER.items():
        if stage.name in names and all(is_due(BY_NAME[name]) for name in names):
            return script, names
    return stage.script, (stage.name,)


def ended_by(code: int) -> str:
    """In words: a stage that was killed, or stopped by somebody else, has said nothing itself."""
    number = -code if code < 0 else code - 128
    if number == signal.SIGKILL:
        return "was killed (signal 9), on Linux most often because the memory was full. Close other programs"
    return f"was ended by signal {number}. See what sent it"


def run_script(config: Config, script: str, more: tuple[str, ...] = ()) -> str:
    """Runs one script to its end and returns its closing line; progress and errors go to our own stderr.

    The script takes part in our lock, and where we are told to stop it is told too, and waited for.
    """
    command = [sys.executable, str(FOLDER / script), *more, *config.flags]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, encoding="utf-8", pass_fds=lock.descriptors()
    ) as process:
        try:
            told, _ = process.communicate()
        except stopping.Stopped as stopped:
            process.send_signal(stopped.number)
            process.communicate()
            raise
    if process.returncode:
        again = f"run: {config.command('run_all.py')} (finished stages are kept)"
        if process.returncode < 0 or process.returncode > 128:
            raise UserError(f"{script} {ended_by(process.returncode)}. Then {again}")
        raise UserError(
            f"{script} stopped with exit code {process.returncode}; what it said stands above. Mend that, then {again}"
        )
    return told.strip().splitlines()[-1]


def expected(is_due: Callable[[Stage], bool], only: list[str] | None) -> list[Stage]:
    """The stages that will run: those that are due now, and what may be made from them."""
    due: list[Stage] = []
    for stage in STAGES:
        follows = not only and bool({each.name for each in due} & {*stage.reads})
        if follows or is_due(stage):
            due.append(stage)
    return due


def show_plan(config: Config, due: list[Stage], only: list[str] | None) -> tuple[Path, str]:
    asked = tuple(stage for stage in STAGES if not only or stage.name in only)
    print(*plans.table(config, due, asked), sep="\n")
    rest = f"{len(asked) - len(due)} up to date; nothing was run"
    return config.outputs, f"{cli.count(len(due), 'stage')} to make, {rest}"


def check_settings(config: Config, due: list[Stage]) -> None:
    """Raises UserError for settings that a late stage would refuse, hours after the first has begun."""
    problems: list[str] = []
    for stage in due:
        check = getattr(import_module(Path(stage.script).stem), "check_settings", None)
        try:
            if check:
                check(config)
        except UserError as error:
            problems += error.messages
    if problems:
        raise UserError(*problems)


def check_can_add(config: Config) -> None:
    """Raises UserError where some output could not be added to, before any of them is."""
    for stage in STAGES:
        if stage.output.endswith(".h5"):
            with store.open_before(config, stage.name):
                pass


def flags_for_adding(config: Config, script: str, folder: Path, csv_file: Path | None) -> tuple[str, ...]:
    """What a script needs to be told to let works in. Two folders are made anew, but for files that stay the same."""
    if script == "prepare_images.py":
        return ("--add", str(folder), *(("--add-metadata", str(csv_file)) if csv_file else ()))
    if script in MADE_ANEW or (script == "find_similar.py" and config.similar.hubness == "csls"):
        return ()
    return ("--update",)


def main(
    config: Config, start: str | None = None, only: list[str] | None = None, plan: bool = False,
    add: Path | None = None, add_metadata: Path | None = None,
) -> tuple[Path, str]:  # fmt: skip
    if add:
        check_can_add(config)
    elif add_metadata:
        raise UserError(f"--add-metadata {add_metadata}: is about an added folder. Name that with --add.")
    elif not (start or only or plan):
        additions.check_finished(config)

    def is_due(stage: Stage) -> bool:
        return (bool(add) and stage.name == "images") or why(config, stage, start, only) is not None

    due = expected(is_due, only)
    check_settings(config, due)
    if plan:
        return show_plan(config, due, only)
    if not add:
        plans.check(config, due)
    made: set[str] = set()
    lines = []
    for stage in STAGES:
        if stage.name in made or (only and stage.name not in only):
            continue
        began = time.perf_counter()
        if not is_due(stage):
            lines.append((stage.script, "up to date", ""))
            continue
        if add and stage.name == "pictures" and drift.read(config)["works"] > PICTURES_UP_TO:
            lines.append((stage.script, "left out", f"to draw them anew, run: {config.command(stage.script)}"))
            continue
        script, names = script_for(stage, is_due)
        print(f"{script} ...", file=sys.stderr, flush=True)
        summary = run_script(config, script, flags_for_adding(config, script, add, add_metadata) if add else ())
        made.update(names)
        lines.append((script, cli.duration(time.perf_counter() - began), summary))
    if not only:
        additions.finish(config)

    up_to_date = sum(took == "up to date" for _, took, _ in lines)
    width = max(len(script) for script, _, _ in lines)
    for script, took, summary in lines:
        print(f"{script:{width}}  {took:>12}  {summary}".rstrip())
    pages = [config.outputs / name for name in ("viewer/index.html", "report.html")]
    shown = [*(path for path in pages if path.exists()), *sorted((config.outputs / "pictures").glob("*.[jp][pn]g"))]
    if shown:
        print("Open:", *[store.show(path) for path in shown], sep="\n  ")
    if add:
        print(drift.tell(drift.read(config), config))
    return config.outputs, f"{cli.count(len(made), 'stage')} made, {up_to_date} up to date"


if __name__ == "__main__":
    cli.run(main, __doc__, add_arguments, only_reads=lambda options: options["plan"])
