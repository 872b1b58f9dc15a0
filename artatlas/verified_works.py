"""The works that a trained verifier can compare: those of verifier.h5, and new pictures that join them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from artatlas import embed, metadata, sources, store, verification
from artatlas.config import Config, Images
from artatlas.pixel_siamese import Pixels
from artatlas.verification import Verifier, Works


@dataclass(frozen=True)
class Collection:
    """What verifier.h5 holds.

    together : of each work, what is drawn together for intervals: its artist, or itself where that is not known
    picture_of : SHA-256 of a file -> its picture
    edges : of the bins that scores are counted in
    """

    image_ids: list[str]
    verifier: Verifier
    works: Works
    together: list[str]
    picture_of: dict[str, int]
    edges: np.ndarray


def read(config: Config) -> Collection:
    with store.open_output(config, "verifier") as h5:
        ids = store.read_ids(h5)
        works = Works(h5["embeddings"][:], h5["norms"][:], h5["picture"][:])
        together = [label or name for label, name in zip(h5["label"].asstr()[:], ids, strict=True)]
        picture_of = dict(zip(h5["file_sha256"].asstr()[:].tolist(), works.picture.tolist(), strict=True))
        return Collection(list(ids), verification.read(h5), works, together, picture_of, h5["report/edges"][:])


def find_rows(names: list[str], image_ids: list[str]) -> dict[str, int]:
    """name -> row of the work that it means, exactly or loosely as in a metadata CSV; without names that mean none."""
    row = {image_id: i for i, image_id in enumerate(image_ids)}
    row_of: dict[str, int] = {}
    # A join gives each work one name; a file of pairs may call it by several.
    while found := metadata.join(image_ids, left := [name for name in names if name not in row_of]):
        row_of |= {left[i]: row[image_id] for image_id, i in found.items()}
    return row_of


def look_at(
    names: list[str], folder: Path, config: Config, verifier: Verifier
) -> tuple[list[str], list[str], np.ndarray]:
    """Names, SHA-256 and embeddings (M, D) of the pictures below `folder` that can be read."""
    files = embed.find_named(names, folder)
    if not files:
        return [], [], np.zeros((0, 0), np.float32)
    with store.open_output(config, "verifier") as h5:
        images, placed = sources.read_written(h5)
    settings = Images(**images)
    embedder = embed.embedder(placed, settings.network_px, config, "verifier.h5", len(files))
    found: list[str] = []
    hashes: list[str] = []
    embeddings = []
    for batch in embed.decode(files, settings, config, [], "looking"):
        pixels = np.stack([picture.pixels for _, picture in batch])
        seen: np.ndarray | Pixels = Pixels(pixels, np.arange(len(pixels)))
        if placed:
            vectors = embedder(pixels)
            seen = np.hstack([source.scaler.transform(vectors[name]) for name, source in placed.items()])
        embeddings.append(verifier.embed(seen))
        found += [name for name, _ in batch]
        hashes += [picture.sha256 for _, picture in batch]
    return found, hashes, np.concatenate(embeddings) if embeddings else np.zeros((0, 0), np.float32)


def joined(works: Works, embeddings: np.ndarray, hashes: list[str], known: dict[str, int], verifier: Verifier) -> Works:
    """The works and new ones after them. `hashes` (M,) of the new files; `known`: hash -> picture of the works."""
    if not len(embeddings):
        return works
    start = len(works.embeddings)
    picture = [known.setdefault(each, start + i) for i, each in enumerate(hashes)]
    return Works(
        np.concatenate([works.embeddings, embeddings]),
        np.concatenate([works.norms, verifier.norms(embeddings)]),
        np.concatenate([works.picture, np.array(picture, np.int64)]),
    )


def find(known: Collection, names: list[str], folder: Path | None, config: Config) -> tuple[dict[str, int], Collection]:
    """name -> row, without names of no picture; and the works with those pictures below `folder` that are new."""
    row_of = find_rows(names, known.image_ids)
    new = [name for name in names if name not in row_of]
    if not new or folder is None:
        return row_of, known
    found, hashes, embeddings = look_at(new, folder, config, known.verifier)
    row_of |= {name: len(known.together) + i for i, name in enumerate(found)}
    works = joined(known.works, embeddings, hashes, known.picture_of, known.verifier)
    return row_of, replace(known, works=works, together=known.together + found)
