"""Decodes every picture once: the only stage that reads the collection itself.

Reads   paths.images, a folder walked to any depth, and paths.metadata, a CSV or null
Writes  outputs/images.h5: image_ids, pixels (what the network sees), thumbnails (JPEG), width, height, duplicate_of,
        digest (of all that later stages see of a picture), metadata/<column>; skipped/image_ids and skipped/reason, the
        files that gave no picture; file_sha256, file_bytes and file_mtime_ns of both, to see later what has changed
Run     python prepare_images.py [--retry-skipped]        settings: images
        python prepare_images.py --add FOLDER [--add-metadata CSV]     as run_all.py --add does: its rows stay
Cost    a core does 120 works/s at 0.2 megapixels (JPEG), 40 at 2, 13 at 12; 0.5 GB of memory for 20,000 works as for
        any number, unless single pictures are huge; 170 KB of disk a work, twice that while it runs

Work is kept in shards: a run that was stopped goes on where it was and ends in the same bytes. So does one after files
were added, changed or removed: rows of files with the size and time of before are taken from the images.h5 that is
there, and so are the reasons of those that were skipped, unless --retry-skipped asks to try them again. Where nothing
has changed, all is decoded again.
"""

import argparse
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import h5py
import numpy as np

from artatlas import added_pictures, additions, cli, cluster, collection, images, metadata, reuse, shards, store
from artatlas.collection import Earlier, File, Outcome
from artatlas.config import Config
from artatlas.errors import UserError
from artatlas.images import Decoded, Unreadable

SHARD_BYTES = 256 << 20  # of pixels a shard, so that a large images.network_px does not fill the memory
TOLD = 20  # skipped files that are named on the screen; all of them are in the file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--add", type=Path, metavar="FOLDER", help="keeps all rows, adds the new pictures of FOLDER")
    parser.add_argument("--add-metadata", type=Path, metavar="CSV", help="about them, with file names below FOLDER")
    parser.add_argument("--retry-skipped", action="store_true", help="tries files again that gave no picture")


def shard_slices(n_files: int, network_px: int) -> list[slice]:
    return shards.slices(n_files, min(shards.ROWS, max(1, SHARD_BYTES // (network_px**2 * 3))))


def results(files: list[File], earlier: Earlier, config: Config) -> Iterator[Decoded | Unreadable]:
    """One result per file, in order: of the earlier run, or decoded in parallel."""
    new = (file.path for file in files if not file.problem and not earlier.knows(file))
    decoded = images.decode_all(new, config.images, config.machine.threads)
    for file in files:
        if file.problem:
            yield Unreadable(file.problem)
        elif earlier.knows(file):
            yield earlier.read(file) or next(images.decode_all([file.path], config.images, 1))
        else:
            yield next(decoded)


def pack(found: list[Decoded | Unreadable], network_px: int) -> dict[str, np.ndarray]:
    """The arrays of one shard: the first five have a row per work, the last two a row per file."""
    works = [result for result in found if isinstance(result, Decoded)]
    pixels = np.empty((len(works), network_px, network_px, 3), np.uint8)
    for row, work in enumerate(works):
        pixels[row] = work.pixels
    return {
        "pixels": pixels,
        "thumbnails": np.frombuffer(b"".join(work.thumbnail for work in works), np.uint8),  # end to end
        "thumbnail_bytes": np.array([len(work.thumbnail) for work in works], np.int64),
        "size": np.array([(work.width, work.height) for work in works], np.int32).reshape(-1, 2),
        "digest": np.array([work.digest() for work in works], np.str_),
        "sha256": np.array([result.sha256 for result in found], np.str_),
        "reason": np.array([result.reason if isinstance(result, Unreadable) else "" for result in found], np.str_),
    }


@dataclass(frozen=True)
class Decoding:
    """What fills shards, each a path and its files; yields 1 for every file."""

    config: Config
    earlier: Earlier

    def __call__(self, jobs: Iterable[tuple[Path, list[File]]]) -> Iterator[int]:
        jobs = list(jobs)
        stream = results([file for _, files in jobs for file in files], self.earlier, self.config)
        for path, files in jobs:  # one stream for all: threads go on while a shard is written
            found = []
            for result in islice(stream, len(files)):
                found.append(result)
                yield 1
            shards.save_arrays(path, **pack(found, self.config.images.network_px))


def decode_shards(files: list[File], folder: Path, config: Config, retry_skipped: bool) -> tuple[list[Path], int, int]:
    """Fills the shards that are not there yet; returns the paths of all, how many files were decoded for that, and how
    many rows of an earlier run were taken over."""
    slices = shard_slices(len(files), config.images.network_px)
    paths = [folder / f"{rows.start:09d}.npz" for rows in slices]
    jobs = [(path, files[rows]) for path, rows in zip(paths, slices, strict=True) if not path.exists()]
    wanted = [file for _, some in jobs for file in some]
    at_worker = config.model_copy(update={"machine": cluster.at_worker(config.machine)})
    with reuse.opened(config.outputs / "images.h5", "images") as h5:
        is_here = config.machine.engine == "local"  # an open file cannot be handed on, and a cluster is quick anyway
        earlier = Earlier(h5 if is_here else None, config, retry_skipped)
        n_known = sum(earlier.knows(file) for file in wanted)
        with cli.progress(total=len(wanted), desc="decoding") as bar:
            for n_done in cluster.run(config.machine, Decoding(at_worker, earlier), jobs):
                bar.update(n_done)
    return paths, len(wanted) - n_known, n_known


def join_shards(paths: list[Path]) -> dict[str, np.ndarray]:
    """The small arrays over all shards; the large ones are not read."""
    parts: dict[str, list[np.ndarray]] = {"size": [], "digest": [], "sha256": [], "reason": []}
    for path in paths:
        with np.load(path, allow_pickle=False) as shard:
            for name, arrays in parts.items():
                arrays.append(shard[name])
    return {name: np.concatenate(arrays) for name, arrays in parts.items()}


def duplicates(ids: list[str], digests: list[str]) -> list[str]:
    """For each work the id of the first that decodes to the same, "" for that first one itself."""
    first: dict[str, str] = {}
    found = [first.setdefault(digest, image_id) for image_id, digest in zip(ids, digests, strict=True)]
    return ["" if original == image_id else original for image_id, original in zip(ids, found, strict=True)]


def write_pictures(h5: h5py.File, paths: list[Path], n_works: int, network_px: int) -> None:
    """Pixels and thumbnails, a shard at a time. Pixels lie contiguous: any run of rows is one read."""
    h5.create_dataset("pixels", (n_works, network_px, network_px, 3), np.uint8)
    h5.create_dataset("thumbnails", (n_works,), h5py.vlen_dtype(np.uint8))
    fill_pictures(h5["pixels"], h5["thumbnails"], paths, 0)


def fill_pictures(pixels: h5py.Dataset, thumbnails: h5py.Dataset, paths: list[Path], row: int) -> None:
    """The works of all shards, from `row` on."""
    for path in cli.progress(paths, unit="shard", desc="writing"):
        with np.load(path, allow_pickle=False) as shard:
            ends = np.cumsum(shard["thumbnail_bytes"])
            pixels[row : row + len(ends)] = shard["pixels"]
            # What follows the last end is empty.
            store.write_blobs(thumbnails, row, np.split(shard["thumbnails"], ends)[:-1])
            row += len(ends)


def shard_folder(files: list[File], config: Config) -> Path:
    """Of another name whenever a file or a setting changed on which the decoding depends."""
    settings = config.images.model_dump(exclude={"filename_column", "path_pattern"})
    state = [[file.image_id, file.bytes, file.mtime_ns, file.problem] for file in files]
    return shards.folder_for(config.outputs / "images.h5", store.fingerprint("shards of images", settings, {}, state))


def tell_skipped(skipped: list[Outcome], output: Path) -> None:
    for outcome in skipped[:TOLD]:
        cli.notice(f"skipped {cli.printable(outcome.file.image_id)}: {outcome.reason}")
    if len(skipped) > TOLD:
        more = cli.count(len(skipped) - TOLD, "more file is", "more files are")
        cli.notice(f"{more} skipped; all are listed in {store.show(output)} under skipped")


def summarise(n_works: int, n_skipped: int, n_duplicates: int) -> str:
    notes = [f"{n_skipped:,} skipped"] if n_skipped else []
    if n_duplicates:
        notes.append(cli.count(n_duplicates, "duplicate"))
    return cli.count(n_works, "work") + (f" ({', '.join(notes)})" if notes else "")


def write_texts(
    h5: h5py.File, duplicate_of: list[str], columns: dict[str, list[str]], skipped: list[Outcome], metadata_sha256: str
) -> None:
    h5.create_dataset("duplicate_of", data=np.array(duplicate_of, object), dtype=store.TEXT)
    group = h5.create_group("metadata")
    for name, values in columns.items():
        group.create_dataset(name, data=np.array(values, object), dtype=store.TEXT)
    collection.write(h5.create_group("skipped"), skipped)
    h5["skipped"].create_dataset("reason", data=np.array([o.reason for o in skipped], object), dtype=store.TEXT)
    h5.attrs["metadata_sha256"] = metadata_sha256


def split(files: list[File], found: dict[str, np.ndarray]) -> tuple[list[Outcome], list[Outcome]]:
    """Works, and files that gave none."""
    outcomes = list(map(Outcome, files, found["sha256"].tolist(), found["reason"].tolist()))
    return [o for o in outcomes if not o.reason], [o for o in outcomes if o.reason]


def add_works(config: Config, folder: Path, csv_file: Path | None) -> tuple[Path, str]:
    """images.h5 with the new pictures of `folder` behind those that it has."""
    # 1. Read
    output = config.outputs / "images.h5"
    before = added_pictures.read(config, folder, csv_file)
    table = metadata.read(config)
    if not before.new and not before.is_other_metadata:
        additions.write(config, replace(before.added, unfinished=additions.read(config).unfinished))
        return output, f"nothing new in {store.show(folder)}, {cli.count(len(before.works), 'work')} as before"

    # 2. Compute
    shard_files = shard_folder(before.new, config)
    paths, _, _ = decode_shards(before.new, shard_files, config, False)
    found = join_shards(paths) if paths else {"sha256": np.array([]), "reason": np.array([])}
    works, skipped = split(before.new, found)
    tell_skipped(skipped, output)
    everything, n_before = before.works + works, len(before.works)
    ids = [work.file.image_id for work in everything]
    columns = metadata.all_columns(ids, table, config, before.added)
    identity = collection.identity(everything + before.skipped + skipped, metadata.sha256(config, before.added))

    # 3. Write. The list of folders goes first: from here on a run without --add says that this one was not finished.
    additions.write(config, before.added)
    with store.open_before(config, "images") as old:
        recipe, duplicate_of = store.recipe_after(old), old["duplicate_of"].asstr()[:].tolist()
    with store.create(output, "images", recipe, {}, identity) as h5, store.open_before(config, "images") as old:
        collection.write(h5, everything)
        added_pictures.copy_pictures(old, h5, len(everything))
        if works:
            fill_pictures(h5["pixels"], h5["thumbnails"], paths, n_before)
            h5["width"][n_before:], h5["height"][n_before:] = found["size"].T
        new_digests = found["digest"] if works else np.array([], object)
        digests = np.concatenate([reuse.read_digests(old), new_digests])
        duplicate_of += duplicates(ids, digests.tolist())[n_before:]
        reuse.write_digests(h5, digests)
        write_texts(h5, duplicate_of, columns, before.skipped + skipped, metadata.sha256(config, before.added))
    shards.remove(shard_files)
    summary = summarise(len(works), len(skipped), sum(map(bool, duplicate_of[n_before:])))
    return output, f"{summary} added to {n_before:,}"


def main(
    config: Config, retry_skipped: bool = False, add: Path | None = None, add_metadata: Path | None = None
) -> tuple[Path, str]:
    if add_metadata and not add:
        raise UserError(f"--add-metadata {add_metadata}: is about an added folder. Name that with --add.")
    if add and retry_skipped:
        raise UserError("--retry-skipped: is not for adding. Run it alone.")
    if add:
        return add_works(config, add, add_metadata)
    # 1. Read
    added = additions.read(config)
    files = collection.find(config, added)
    table, metadata_sha256 = metadata.read(config), metadata.sha256(config, added)

    # 2. Compute
    output, folder = config.outputs / "images.h5", shard_folder(files, config)
    if retry_skipped:  # a stopped run may have skipped them in its shards
        shards.remove(folder)
        folder.mkdir()
    began = time.perf_counter()
    paths, n_decoded, n_known = decode_shards(files, folder, config, retry_skipped)
    rate = n_decoded / (time.perf_counter() - began)
    found = join_shards(paths)
    works, skipped = split(files, found)
    tell_skipped(skipped, output)
    if not works:
        raise UserError(
            f"paths.images: {store.show(config.paths.images)} has {cli.count(len(files), 'file')} but none that could"
            " be decoded; the reasons stand above. Set paths.images to the folder with your pictures."
        )
    ids = [work.file.image_id for work in works]
    duplicate_of = duplicates(ids, found["digest"].tolist())
    columns = metadata.all_columns(ids, table, config, added)

    # 3. Write
    recipe = {"settings": config.settings(("images",))}
    identity = collection.identity(sorted(works + skipped, key=lambda o: o.file.image_id), metadata_sha256)
    with store.create(output, "images", recipe, {}, identity) as h5:
        collection.write(h5, works)
        write_pictures(h5, paths, len(works), config.images.network_px)
        h5["width"], h5["height"] = found["size"].T
        reuse.write_digests(h5, found["digest"])
        write_texts(h5, duplicate_of, columns, skipped, metadata_sha256)
    shards.remove(folder)
    summary = summarise(len(works), len(skipped), sum(map(bool, duplicate_of)))
    if n_known:
        summary += f", {n_known:,} files taken over from before"
    threads = cli.count(images.n_threads(config.machine.threads), "thread")
    where = cluster.describe(config.machine) or f" on {threads}"
    return output, f"{summary}, {rate:,.0f} works/s{where}" if n_decoded else summary


if __name__ == "__main__":
    cli.run(main, __doc__, add_arguments)
