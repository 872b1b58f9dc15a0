"""The parsers of what users bring, fed by atheris, which changes inputs towards branches that none has reached yet.

test_fuzz.py draws its nonsense from a grammar; this one finds what nobody thought of. It stops at the first input that
ends in anything but a value or an error in words, and names the file that holds it. `make fuzz` runs both.

Run     python tests/fuzz_by_coverage.py config --inputs 10000        needs the extra "fuzz"
"""

import argparse
import contextlib
import io
import sys
import tempfile
from pathlib import Path

import atheris

REPO = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPO))
with atheris.instrument_imports(include=["artatlas", "yaml"]):
    from artatlas import config, images, metadata, selection
    from artatlas.errors import UserError
    from artatlas.pair_files import Pairs

SECONDS = 60  # more for one input is a hang
MOST_BYTES = 4096
FOLDER = Path(tempfile.mkdtemp(prefix="artatlas-fuzz-"))
SHIPPED = config.load()
TABLE = b"filename,artist\na.jpg,Ana\n\xc3\xbc.jpg,\"Bo, the\nolder\"\n"
PAIRS = b"index,image1,image2,sameArtist\n0,a.jpg,b.jpg,1\n1,b.jpg,c.jpg,0\n"
PARTS = b"filename,part\na.jpg,train\nb.jpg,test\n"


def written(data: bytes, name: str) -> Path:
    path = FOLDER / name
    path.write_bytes(data)
    return path


def read_metadata(data: bytes) -> None:
    paths = SHIPPED.paths.model_copy(update={"metadata": str(written(data, "metadata.csv"))})
    settings = SHIPPED.model_copy(update={"paths": paths})
    ids = ["a.jpg", "b.jpg", "ü.jpg"]
    found = metadata.columns(ids, metadata.read(settings), settings)
    assert all(len(values) == len(ids) for values in found.values())


def read_pairs(data: bytes) -> None:
    for columns in Pairs(written(data, "pairs.csv"), "index", "image1", "image2", "sameArtist").read():
        assert len({len(column) for column in columns}) == 1


def read_selection(data: bytes) -> None:
    import numpy as np

    assert selection.read(written(data, "selection.csv"), np.array(["a.jpg", "b.jpg"], object)).shape == (2,)


def read_config(data: bytes) -> None:
    based = f"base: {REPO / 'config.yaml'}\n".encode() + data
    assert isinstance(config.load(written(based, "c.yaml")), config.Config)


def read_picture(data: bytes) -> None:
    with contextlib.suppress(images.Unreadable):
        assert images.decode(data, SHIPPED.images).pixels.shape == (224, 224, 3)


def pictures() -> list[bytes]:
    from PIL import Image

    made = []
    for kind in ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP"):
        buffer = io.BytesIO()
        Image.linear_gradient("L").resize((9, 7)).convert("RGB").save(buffer, kind)
        made.append(buffer.getvalue())
    return made


TARGETS = {
    "metadata": (read_metadata, lambda: [TABLE]),
    "pairs": (read_pairs, lambda: [PAIRS]),
    "selection": (read_selection, lambda: [PARTS]),
    "config": (read_config, lambda: [b"tsne: {perplexity: 20}\nmaps: {x: {content: 1, style: 0.5}}\n"]),
    "picture": (read_picture, pictures),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--inputs", type=int, default=10000)
    asked = parser.parse_args()
    read, seeds = TARGETS[asked.target]
    corpus = FOLDER / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(seeds()):
        (corpus / str(number)).write_bytes(seed)

    def one(data: bytes) -> None:
        with contextlib.suppress(UserError), contextlib.redirect_stderr(io.StringIO()):  # notes, one an input
            read(data)

    options = [f"-runs={asked.inputs}", f"-timeout={SECONDS}", f"-max_len={MOST_BYTES}", "-seed=1", "-verbosity=0"]
    atheris.Setup([sys.argv[0], *options, f"-artifact_prefix={FOLDER}/", str(corpus)], one)
    print(f"{asked.target}: {asked.inputs:,} inputs; one that fails is kept in {FOLDER}", flush=True)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
