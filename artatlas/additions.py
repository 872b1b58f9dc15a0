"""Folders of works that joined a finished collection: where they lie, and under which names.

The collection's own folder stays as it is. outputs/additions.json lists the others; with them every stage, run again
as usual, sees one collection. What `run_all.py --add` does to the files of the stages is that nothing in them moves:
old rows are copied, new rows follow, and the recipe says what was added to (`store.recipe_after`).
"""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from artatlas import store, urls
from artatlas.config import Config
from artatlas.errors import UserError

FILE = "additions.json"


@dataclass(frozen=True)
class Folder:
    """A folder that was added. The ids of its works are `name`/<path below it>, so that none meets an old one."""

    folder: str  # absolute
    name: str
    metadata: str | None  # a CSV about its works, whose file names are below it; absolute


@dataclass(frozen=True)
class Additions:
    folders: tuple[Folder, ...] = ()
    unfinished: str = ""  # the folder that is being added: the files may be half old and half new until that is done


def read(config: Config) -> Additions:
    """Raises UserError where the file is no such list."""
    path = config.outputs / FILE
    if not path.exists():
        return Additions()
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        folders = tuple(Folder(**each) for each in found["folders"])
        texts = [text for each in folders for text in (each.folder, each.name, each.metadata or "")]
        if not all(isinstance(text, str) for text in [*texts, found["unfinished"]]):
            raise TypeError
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(
            f"{store.show(path)}: is not a list of added folders. Delete it and run: {config.command('run_all.py')}"
            " --add FOLDER, for each folder again."
        ) from None
    return Additions(folders, found["unfinished"])


def write(config: Config, additions: Additions) -> None:
    """Nothing happens where the file says so already."""
    path = config.outputs / FILE
    if additions == read(config):
        return
    with store.replacing(path) as temporary:
        temporary.write_text(json.dumps(dataclasses.asdict(additions), indent=1) + "\n", encoding="utf-8")


def with_folder(config: Config, folder: Path, metadata: Path | None, image_ids: Iterable[str]) -> Additions:
    """The additions, and that of `folder` begun; a folder below paths.images is part of the collection as it is.

    image_ids : of the works that there are, whose names the new ones must not take

    Raises UserError where the folder cannot be added, or holds what is added already.
    """
    before = read(config)
    own = None if urls.is_url(config.paths.images) else Path(config.paths.images).resolve()
    top = folder.expanduser().resolve()
    csv_file = str(metadata.expanduser().resolve()) if metadata else None
    if not top.is_dir():
        raise UserError(f"--add {folder}: is not a folder. Name the folder that holds the new pictures.")
    if own and own != top and own.is_relative_to(top):
        raise UserError(
            f"--add {folder}: holds the collection itself, {store.show(own)}. Name a folder with new pictures alone."
        )
    if own and top.is_relative_to(own):
        if csv_file:
            raise UserError(
                f"--add-metadata {metadata}: {store.show(top)} is part of the collection, whose metadata stand in"
                " paths.metadata. Add the rows there."
            )
        return dataclasses.replace(before, unfinished=str(top))
    for each in before.folders:
        if top == Path(each.folder):
            known = dataclasses.replace(each, metadata=csv_file or each.metadata)
            folders = tuple(known if one == each else one for one in before.folders)
            return Additions(folders, str(top))
        if top.is_relative_to(each.folder) or Path(each.folder).is_relative_to(top):
            raise UserError(
                f"--add {folder}: overlaps {each.folder}, which was added before. Add that folder again: only what is"
                " new in it is looked at."
            )
    taken = {image_id.partition("/")[0] for image_id in image_ids} | {each.name for each in before.folders}
    name, number = top.name or "added", 2
    while name in taken:
        name, number = f"{top.name or 'added'} ({number})", number + 1
    return Additions((*before.folders, Folder(str(top), name, csv_file)), str(top))


def finish(config: Config) -> None:
    """Every output is up to date with what was added."""
    write(config, dataclasses.replace(read(config), unfinished=""))


def check_finished(config: Config) -> None:
    """Raises UserError where an addition was stopped: going on as usual would draw every map anew."""
    if folder := read(config).unfinished:
        run, shown = config.command("run_all.py"), store.show(folder)
        raise UserError(
            f"adding {shown} was not finished. To go on, run: {run} --add {shlex.quote(shown)}; to draw all maps anew"
            f" instead, run: {run} --from images"
        )


def path_of(config: Config, image_id: str) -> str:
    """The file of a work, wherever its folder is: a path, or a URL where the collection lies behind one."""
    for each in read(config).folders:
        if image_id.startswith(f"{each.name}/"):
            return str(Path(each.folder) / image_id.removeprefix(f"{each.name}/"))
    if urls.is_url(config.paths.images):
        return f"{config.paths.images.rstrip('/')}/{image_id}"
    return str(Path(config.paths.images) / image_id)


def below(image_ids: Sequence[str], folder: Folder) -> dict[int, str]:
    """Position among `image_ids` -> path below the folder, of the works that lie in it."""
    start = f"{folder.name}/"
    return {i: name.removeprefix(start) for i, name in enumerate(image_ids) if name.startswith(start)}
