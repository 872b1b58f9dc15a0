"""Does the page hold 100,000 works? Building it, and using it in a browser.

Paints works that each carry their number as a pattern of 18 bits, builds the page as a user does, reads every 997th
work back from its tile, then opens the page in headless Chromium (software rendering, as on a machine without a GPU).

Run     python benchmarks/viewer_scale.py [--works 100000] [--maps 3] [--folder FOLDER]
        With --folder what is there already is not made again. Needs Chromium and the extra `dev`.
"""

import argparse
import functools
import http.server
import io
import json
import os
import resource
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import h5py
import numpy as np
from common import header
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from artatlas import config, store

BITS = 18
TINY = 8, 6  # px, with --page-only
WORDS = (
    "the", "a", "of", "in", "with", "river", "morning", "evening", "garden", "portrait", "life", "bridge", "harbour",
    "winter", "study", "woman", "man",
)  # fmt: skip
CHUNK = 2000


@functools.cache
def ground(seed: int) -> np.ndarray:
    """(192, 256, 3) uint8, soft blots and grain, so that a JPEG of it has the size of a painting's thumbnail."""
    rng = np.random.default_rng(seed)
    blots = Image.fromarray(rng.integers(40, 216, (24, 32, 3), np.uint8)).resize((256, 192), Image.Resampling.BICUBIC)
    return np.clip(np.asarray(blots) + rng.integers(-14, 15, (192, 256, 1)), 0, 255).astype(np.uint8)


def picture(number: int) -> bytes:
    """A JPEG with the number on it as 3 x 6 black or white squares."""
    pixels = ground(number % 64).copy()
    for bit in range(BITS):
        row, col = divmod(bit, 6)
        pixels[48 + 32 * row : 80 + 32 * row, 32 + 32 * col : 64 + 32 * col] = 255 * (number >> bit & 1)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


def some_pictures(start: int, end: int, are_tiny: bool) -> list[bytes]:
    if are_tiny:
        buffer = io.BytesIO()
        Image.new("RGB", TINY, (200, 160, 120)).save(buffer, "JPEG")
        return [buffer.getvalue()] * (end - start)
    return [picture(number) for number in range(start, end)]


def read_number(cell: np.ndarray) -> int:
    """From a cell of a grid in which pictures are whole (`viewer.fit: contain`), (H, W, 3)."""
    height, width = cell.shape[:2]
    number = 0
    for bit in range(BITS):
        row, col = divmod(bit, 6)
        y, x = round((64 + 32 * row) / 192 * height), round((48 + 32 * col) / 256 * width)
        number |= int(cell[y - 2 : y + 3, x - 2 : x + 3].mean() > 127) << bit
    return number


def settings_for(folder: Path, n_maps: int, are_tiny: bool) -> tuple[str, ...]:
    names = ["content", "style", "combined", "color"][:n_maps]
    sources = {"content": "content: 1", "style": "style: 1", "combined": "content: 1, style: 1", "color": "color: 1"}
    maps = ", ".join(f"{name}: {{{sources[name]}}}" for name in names)
    tiny = (
        "images.thumbnail_px=16",
        "viewer.detail_px=16",
        "viewer.cell_px=8",
        "viewer.gap_px=0",
        "viewer.scatter_px=8",
    )
    return (f"paths.outputs={folder}", f"maps={{{maps}}}", f"parametric_tsne.map={names[0]}", "viewer.fit=contain",
            "viewer.heading=Scale", *(tiny if are_tiny else ()))  # fmt: skip


def make(folder: Path, n: int, n_maps: int, are_tiny: bool) -> None:
    """images.h5, tsne.h5, grid.h5 and neighbors.h5 of n works."""
    settings, rng = config.load(None, settings_for(folder, n_maps, are_tiny)), np.random.default_rng(0)
    ids = np.array([f"some/folder/of/works/work-{i:06}.jpg" for i in range(n)], object)
    with store.create(folder / "images.h5", "images", {"settings": settings.settings(("images",))}, {}) as h5:
        store.write_ids(h5, ids)
        h5["pixels"] = np.zeros((n, 1, 1, 3), np.uint8)
        h5.create_dataset("thumbnails", (n,), h5py.vlen_dtype(np.uint8))
        starts = range(0, n, CHUNK)
        with ProcessPoolExecutor() as pool:
            ends = [min(start + CHUNK, n) for start in starts]
            made = pool.map(some_pictures, starts, ends, [are_tiny] * len(ends))
            for start, jpegs in zip(starts, made, strict=True):
                block = np.empty(len(jpegs), object)  # h5py takes a list of arrays of equal length for a matrix
                for i, jpeg in enumerate(jpegs):
                    block[i] = np.frombuffer(jpeg, np.uint8)
                h5["thumbnails"][start : start + len(jpegs)] = block
        width, height = TINY if are_tiny else (256, 192)
        h5["width"], h5["height"] = np.full(n, width, np.int32), np.full(n, height, np.int32)
        words = rng.choice(WORDS, (n, 6))
        columns = {
            "title": [f"{' '.join(row)} {i}" for i, row in enumerate(words)],
            "artist": [f"artist {i}" for i in rng.integers(0, 800, n)],
            "style": [f"style {i}" for i in rng.integers(0, 20, n)],
            "year": [str(year) for year in rng.integers(1400, 2000, n)],
        }
        texts = {"duplicate_of": [""] * n} | {f"metadata/{name}": values for name, values in columns.items()}
        for name, values in texts.items():
            h5.create_dataset(name, data=np.array(values, object), dtype=store.TEXT)
        for name in ("skipped/image_ids", "skipped/reason"):
            h5.create_dataset(name, (0,), store.TEXT)
    cols = int(np.ceil(np.sqrt(n)))
    rows = -(-n // cols)
    with store.create(folder / "tsne.h5", "tsne", {"settings": settings.settings(("maps", "tsne"))}, {}) as tsne:
        store.write_ids(tsne, ids)
        for name in settings.maps:
            angle, radius = rng.uniform(0, 2 * np.pi, n), 50 * np.sqrt(rng.uniform(0, 1, n))  # t-SNE fills a disc
            tsne[f"{name}/coordinates"] = np.column_stack((radius * np.cos(angle), radius * np.sin(angle))).astype(
                np.float32
            )
    with h5py.File(folder / "tsne.h5") as tsne:
        inputs = {"tsne": str(tsne.attrs["fingerprint"])}
    with store.create(folder / "grid.h5", "grid", {"settings": settings.settings(("grid",))}, inputs) as grid:
        store.write_ids(grid, ids)
        for name in settings.maps:
            grid[f"{name}/cells"] = np.column_stack(np.divmod(rng.permutation(n), cols)).astype(np.int32)
            grid[name].attrs["rows"], grid[name].attrs["cols"] = rows, cols
    with store.create(folder / "neighbors.h5", "neighbors", {"settings": settings.settings(("similar",))}, {}) as near:
        store.write_ids(near, ids)
        for name in settings.similar.spaces:
            near[f"{name}/indices"] = rng.integers(0, n, (n, 20)).astype(np.int32)
            near[f"{name}/distances"] = np.ones((n, 20), np.float32)


def build(folder: Path, n_maps: int, are_tiny: bool) -> dict[str, float]:
    """Seconds, and the highest sum of memory of all its processes in MB, looked at ten times a second."""
    repo = Path(__file__).resolve().parent.parent
    flags = [word for value in settings_for(folder, n_maps, are_tiny) for word in ("--set", value)]
    start, peak = time.perf_counter(), 0
    process = subprocess.Popen([sys.executable, str(repo / "build_viewer.py"), *flags])
    while process.poll() is None:
        peak = max(peak, sum(_resident_kb(pid) for pid in _family(process.pid)))
        time.sleep(0.1)
    if process.returncode:
        raise SystemExit(process.returncode)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "processors_s": used.ru_utime + used.ru_stime, "memory_mb": peak / 1024}


def _family(pid: int) -> list[int]:
    """A process and its descendants, from /proc."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        children = []
    return [pid, *(one for child in children for one in _family(int(child)))]


def _resident_kb(pid: int) -> int:
    """Its share of memory: what several processes share counts in parts (PSS)."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def _used_s(pid: int) -> float:
    """Seconds of processors that it has used."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def check_cells(folder: Path, step: int = 997) -> tuple[int, int]:
    """(right, looked at): whether every 997th cell of every grid shows the work that grid.h5 has there."""
    viewer = folder / "viewer"
    index = sidecar(viewer, "index")
    cell, side, overlap, right, looked = index["cell_px"], index["tile_px"], index["overlap"], 0, 0
    with h5py.File(folder / "grid.h5") as grid:
        for each in index["maps"]:
            name = f"{each['name']}_grid"
            level = len(index["layouts"][name]["tiles"]) - 1
            cells = grid[f"{each['name']}/cells"][:]
            for work in range(0, len(cells), step):
                top, left = cells[work] * cell
                whole = Image.new("RGB", (cell, cell))
                for row in range(top // side, (top + cell - 1) // side + 1):
                    for col in range(left // side, (left + cell - 1) // side + 1):
                        tile = Image.open(viewer / "tiles" / name / str(level) / f"{col}_{row}.{index['format']}")
                        x, y = (col * side - (overlap if col else 0), row * side - (overlap if row else 0))
                        whole.paste(tile, (x - left, y - top))
                width, height = 124, 93
                x, y = (cell - width) // 2, (cell - height) // 2
                right += read_number(np.asarray(whole)[y : y + height, x : x + width]) == work
                looked += 1
    return right, looked


def sidecar(folder: Path, name: str) -> dict:
    text = (folder / "data" / f"{name}.js").read_text(encoding="utf-8")
    return json.loads(text[text.index(",") + 1 : text.rindex(")")])


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


PAN = """async () => {
    const viewport = artatlas.map.viewer.viewport, start = performance.now(), times = [];
    viewport.zoomTo(viewport.getHomeZoom() * ZOOM, null, true);
    await new Promise((resolve) => setTimeout(resolve, 1500));
    await new Promise((resolve) => {
        const first = performance.now();
        const frame = (now) => {
            times.push(now);
            const angle = (now - first) / 1000 * SCREENS / (0.2 * ZOOM);
            const to = new OpenSeadragon.Point(0.5 + 0.2 * Math.sin(angle), 0.5 + 0.2 * (1 - Math.cos(angle)));
            viewport.panTo(to, true);
            if (now - first < 4000) requestAnimationFrame(frame); else resolve();
        };
        requestAnimationFrame(frame);
    });
    const gaps = times.slice(1).map((time, i) => time - times[i]).sort((a, b) => a - b);
    const seconds = (times.at(-1) - times[0]) / 1000;
    return {n: gaps.length, fps: gaps.length / seconds, slow: 1000 / gaps[Math.floor(gaps.length * 0.95)]};
}"""


def browse(viewer: Path) -> list[tuple[str, str]]:
    import shutil

    from playwright.sync_api import sync_playwright

    handler = functools.partial(_Quiet, directory=str(viewer))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    found = []
    with sync_playwright() as playwright:
        chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--enable-precise-memory-info"]
        )
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        session = page.context.new_cdp_session(page)
        n_bytes = []
        session.send("Network.enable")
        session.on("Network.loadingFinished", lambda event: n_bytes.append(event["encodedDataLength"]))
        load = os.getloadavg()[0]
        start = time.perf_counter()
        page.goto(f"http://127.0.0.1:{server.server_port}/index.html", wait_until="commit")
        page.wait_for_selector("#waiting", state="hidden")
        first = page.evaluate("() => performance.getEntriesByName('first-contentful-paint')[0].startTime")
        page.wait_for_function("() => artatlas.map.viewer.world.getItemAt(0).getFullyLoaded()")
        found += [
            ("load of the machine meanwhile (processes that want a core)", f"{load:.0f}"),
            ("first paint", f"{first / 1000:.2f} s"),
            ("all works on the screen", f"{time.perf_counter() - start:.2f} s"),
        ]
        page.wait_for_timeout(1000)
        found.append(("transferred before interaction", f"{sum(n_bytes) / 1e6:.2f} MB in {len(n_bytes)} files"))
        for what, prepare, zoom, screens in (  # a second; a hand on the mouse moves about one
            ("panning over all works", "", 1.5, 0.2),
            ("panning among single works, a screen a second", "", 40, 1),
            ("panning among single works, five screens a second", "", 40, 5),
            ("panning, filtered and coloured", "artatlas.set({query: 'river', color: 'style'})", 1.5, 0.2),
            ("the same on the scatter", "artatlas.set({layout: 'scatter'})", 1.5, 0.2),
        ):
            page.evaluate(f"() => {{ {prepare} }}")
            page.wait_for_timeout(2500)
            before = sum(map(_used_s, _family(os.getpid())))
            frames = page.evaluate(PAN.replace("ZOOM", str(zoom)).replace("SCREENS", str(screens)))
            used_ms = 1000 * (sum(map(_used_s, _family(os.getpid()))) - before) / frames["n"]
            fps = f"{frames['fps']:.0f} frames/s, 95 % above {frames['slow']:.0f}"
            found.append((what, f"{fps}; {used_ms:.0f} ms of processors a frame, of all the browser's processes"))
        page.evaluate("() => artatlas.set({query: '', color: null, layout: 'grid'})")
        page.evaluate("() => artatlas.search.prepareAll()")
        page.wait_for_timeout(500)
        for query in ("river", "99", "winter morning artist 7", "nothing like it"):
            page.evaluate("query => artatlas.set({query})", query)
            page.wait_for_timeout(600)
            took, n = page.evaluate("() => [artatlas.search.took_ms, artatlas.search.nMatches]")
            found.append((f"search for “{query}”, {n:,} found", f"{took:.0f} ms"))
        session.send("HeapProfiler.collectGarbage")
        heap = session.send("Runtime.getHeapUsage")["usedSize"]
        found.append(("JavaScript heap after all that", f"{heap / 2**20:.0f} MB"))
        browser.close()
    server.shutdown()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--works", type=int, default=100_000)
    parser.add_argument("--maps", type=int, default=3, choices=range(1, 5))
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--page-only", action="store_true", help="pictures of 8 px, to look at the page alone, sooner")
    options = parser.parse_args()
    with TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        print(header("pillow", "numpy", "h5py"), "\n")
        if not (folder / "neighbors.h5").exists():
            make(folder, options.works, options.maps, options.page_only)
        rows = []
        if not (folder / "viewer").exists():
            built = build(folder, options.maps, options.page_only)
            rows += [
                ("build", f"{built['seconds']:.0f} s, {built['processors_s']:.0f} s of processors"),
                ("memory of its processes", f"{built['memory_mb']:.0f} MB"),
            ]
        files = list((folder / "viewer" / "tiles").rglob("*.jpg"))
        rows.append(("tiles", f"{len(files):,} files, {sum(map(os.path.getsize, files)) / 1e6:,.0f} MB"))
        if not options.page_only:
            right, looked = check_cells(folder)
            rows.append(("every 997th cell shows its work", f"{right} of {looked}"))
        print(f"| {options.works:,} works on {options.maps} maps | |\n|---|---|")
        for name, value in [*rows, *browse(folder / "viewer")]:
            print(f"| {name} | {value} |")


if __name__ == "__main__":
    main()
