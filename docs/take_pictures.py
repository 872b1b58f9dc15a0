"""Takes the README's picture of the page, from what `make demo` built, in headless Chromium.

Run     python docs/take_pictures.py [--viewer outputs/demo/viewer] [--output docs/images]
        needs the extra `dev` and Chromium; tests/test_viewer_page.py runs it too
Writes  viewer.jpg into docs/images
"""

import argparse
import io
import shutil
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

REPO = Path(__file__).resolve().parent.parent
ARTIST = "Hana Mizuki"  # a painter of the demo whose works gather on the style map


def ready(page: Page) -> None:
    page.wait_for_selector("#waiting", state="hidden")
    page.wait_for_function("() => artatlas.map.viewer.world.getItemAt(0).getFullyLoaded()")
    page.wait_for_timeout(1500)


def save(page: Page, path: Path) -> None:
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    picture.save(path, quality=82, optimize=True, progressive=True)


def open_work(page: Page, number: int) -> None:
    page.evaluate("number => artatlas.set({work: number, isOpen: true})", number)
    page.wait_for_selector("#panel .near li")
    page.wait_for_function(
        "() => [...document.querySelectorAll('.near img')].slice(0, 12).every((one) => one.complete)"
    )
    page.wait_for_timeout(1000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--viewer", type=Path, default=REPO / "outputs" / "demo" / "viewer")
    parser.add_argument("--output", type=Path, default=REPO / "docs" / "images")
    options = parser.parse_args()
    address = (options.viewer.resolve() / "index.html").as_uri()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 760})
        page.goto(f"{address}#map=style&view=0.62,0.49,1.4")
        ready(page)
        number = page.evaluate("""async (artist) => {
            for (let i = 0; i < artatlas.index.n_works; i++) {
                const work = await artatlas.work(i);
                if (work.caption.startsWith(artist)) return i;
            }
        }""", ARTIST)  # fmt: skip
        open_work(page, number)
        save(page, options.output / "viewer.jpg")
        browser.close()


if __name__ == "__main__":
    main()
