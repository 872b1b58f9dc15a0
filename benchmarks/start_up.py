"""How long until something happens: --help, heavy imports, and each network stage on one single batch.

A stage on 32 works is all start-up: importing TensorFlow, loading weights, tracing, the first batch, writing. That
bounds the time from the command to the first batch from above.

Run     python benchmarks/start_up.py            2 minutes on 2 cores
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from common import header
from peak_memory import make_collection

REPO = Path(__file__).resolve().parent.parent
REPEATS = 2


def seconds(*command):
    """The best of a few runs, since the first one reads files that later ones find in memory."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        subprocess.run([sys.executable, *map(str, command)], check=True, capture_output=True, cwd=REPO)
        times.append(time.perf_counter() - start)
    return min(times)


def main():
    rows = {"python -c 'import tensorflow'": seconds("-c", "import tensorflow")}
    for script in ("prepare_images.py", "extract_features.py", "build_tsne.py", "run_all.py"):
        rows[f"{script} --help"] = seconds(script, "--help")
    with tempfile.TemporaryDirectory() as temporary:
        make_collection(Path(temporary) / "images", 32)
        flags = [word for setting in (f"paths.images={temporary}/images", "paths.metadata=null", "vgg.network=vgg19",
                                      f"paths.outputs={temporary}/outputs", "vgg.weights=random")
                 for word in ("--set", setting)]  # fmt: skip
        for script in ("prepare_images.py", "extract_color.py", "extract_style.py", "extract_content.py",
                       "extract_features.py", "build_tsne.py"):  # fmt: skip
            rows[f"{script}, 32 works, from start to end"] = seconds(script, *flags)
    print(header("numpy", "keras") + "\n\n| command | seconds |\n|---|---|")
    for name, took in rows.items():
        print(f"| {name} | {took:.1f} |")


if __name__ == "__main__":
    main()
