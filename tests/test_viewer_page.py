"""The page in a real browser: what a visitor does, and what is then on the screen, down to the pixels.

An error of JavaScript, a failed request or a message in the console fails any test. Needs Chromium of the system.
"""

import csv
import functools
import http.server
import io
import os
import shutil
import threading

import numpy as np
import pytest
from conftest import REPO, run_script
from PIL import Image
from test_build_viewer import HOSTILE, add_findings, collection, color, group_of, kept, sidecar, unpacked, works_of

import build_viewer
from artatlas.thumbnails import PLACEHOLDER

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
if CHROMIUM is None and os.environ.get("CI") != "true":
    pytest.skip("no Chromium: apt-get install chromium", allow_module_level=True)

DESKTOP = {"viewport": {"width": 1280, "height": 800}}
PHONE = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "has_touch": True, "is_mobile": True}


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    assert CHROMIUM, "Chromium is missing: apt-get install chromium"
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def serve():
    """Serves a folder on this machine; gives its address."""
    servers = []

    def start(folder):
        handler = functools.partial(_Quiet, directory=str(folder))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()


@pytest.fixture
def visit(browser):
    """Opens an address in a new window; at the end, nothing may have gone wrong in it."""
    contexts, faults = [], []

    def start(address, **options):
        context = browser.new_context(**(options or DESKTOP))
        context.set_default_timeout(15_000)
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(f"error: {error}"))
        page.on("console", lambda message: faults.append(f"console: {message.text}"))
        page.on("requestfailed", lambda request: faults.append(f"failed: {request.url} {request.failure}"))
        page.on("response", lambda answer: answer.status >= 400 and faults.append(f"{answer.status}: {answer.url}"))
        page.goto(address)
        page.wait_for_selector("#waiting", state="hidden")
        settle(page)
        contexts.append(context)
        return page

    yield start
    for context in contexts:
        context.close()
    assert not faults


def settle(page):
    """Until the map has come to rest and all that it shows is loaded."""
    page.wait_for_function(
        """() => {
            const {viewer} = artatlas.map, item = viewer.world.getItemAt(0), port = viewer.viewport;
            if (!item || !item.getFullyLoaded()) return false;
            const [now, then, near] = [port.getBounds(true), port.getBounds(), 1e-4 * port.getBounds().width];
            return ["x", "y", "width"].every((side) => Math.abs(now[side] - then[side]) < near);
        }"""
    )
    page.wait_for_timeout(350)  # tiles fade in; the address is written


def screen(page):
    """(height, width, 3) as it is on the screen, in CSS pixels."""
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    size = page.viewport_size
    return np.asarray(picture.resize((size["width"], size["height"]), Image.Resampling.BOX)).astype(int)


def boxes_of(page):
    """left, top, width, height of all works on the screen, (N, 4), by the page's own account."""
    return np.array(page.evaluate(
        """() => {
            const {x, y} = document.getElementById("stage").getBoundingClientRect();
            return Array.from({length: artatlas.index.n_works}, (_, number) => {
                const box = artatlas.map.boxOnScreen(number);
                return [x + box.x, y + box.y, box.width, box.height];
            });
        }"""
    ))  # fmt: skip


def box_of(page, number):
    return tuple(boxes_of(page)[number])


def middle(page, number):
    left, top, width, height = box_of(page, number)
    return left + width / 2, top + height / 2


def seen(page, number):
    """The colour in the middle of a work on the screen."""
    return seen_in(screen(page), boxes_of(page)[number])


def seen_in(pixels, box):
    x, y = box[:2] + box[2:] / 2
    return np.median(pixels[int(y) - 3 : int(y) + 4, int(x) - 3 : int(x) + 4].reshape(-1, 3), axis=0)


def state(page, expression):
    return page.evaluate(f"() => {{ const s = artatlas.state; return {expression}; }}")


ARTISTS = ["Ada", "Béatrice", "Ada", "Çelik"]


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """60 works of one colour each, so that a pixel tells which work it belongs to."""
    folder = tmp_path_factory.mktemp("plain")
    columns = {"title": [f"number {i}" for i in range(60)], "artist": [ARTISTS[i % 4] for i in range(60)],
               "year": [str(1850 + i) if i else "" for i in range(60)],
               "rights": ["closed" if i == 59 else "" for i in range(60)]}  # fmt: skip
    settings = collection(
        folder, "viewer.title='{title}'", "viewer.caption='{artist}, {year}'", "viewer.restricted=rights",
        "viewer.link='https://museum.example/{title}/'", "viewer.heading=Sixty", n_works=60, columns=columns,
    )  # fmt: skip
    add_findings(settings, 60)
    return build_viewer.main(settings)[0]


@pytest.fixture(scope="module")
def numbers(plain):
    """work i -> its number on the page."""
    return {int(image_id[1:4]): number for image_id, (number, _) in works_of(plain).items()}


@pytest.fixture(scope="module")
def address(plain, serve):
    """Below another folder, as on a museum's server."""
    return f"{serve(plain.parent)}/viewer/index.html"


# The map


def place_on_grid(folder, number):
    return tuple(unpacked(sidecar(folder, "layouts/content_grid")["places"], "<i4", 2)[number])


@pytest.mark.parametrize("options", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_right_work_is_where_the_index_says(visit, address, plain, numbers, options):
    page = visit(address, **options)
    pixels, boxes = screen(page), boxes_of(page)
    assert boxes[:, :2].min() >= 0 and (boxes[:, 0] + boxes[:, 2]).max() <= page.viewport_size["width"]
    for i, number in numbers.items():
        assert np.abs(seen_in(pixels, boxes[number]) - (color(i) if i != 59 else PLACEHOLDER)).max() <= 12, i
    places = {i: place_on_grid(plain, number) for i, number in numbers.items()}
    for i, other in ((0, 1), (3, 30), (7, 58)):  # and the page's account is the index's
        one, two = boxes[numbers[i]], boxes[numbers[other]]
        scale = one[2] / 30
        for axis in (0, 1):
            assert two[axis] - one[axis] == pytest.approx((places[other][axis] - places[i][axis]) * scale, abs=0.5)
    zoom_out = page.locator("#zoom-out")
    zoom_out.click()
    settle(page)
    assert box_of(page, numbers[0])[2] < one[2]


def test_it_opens_from_the_disk(visit, plain, numbers):
    page = visit((plain / "index.html").as_uri())
    assert page.locator("#count").inner_text() == "60 works"
    assert np.abs(seen(page, numbers[5]) - color(5)).max() <= 12
    page.mouse.click(*middle(page, numbers[5]))
    page.wait_for_selector("#panel .near li")
    page.fill("#query", "number 17")
    page.wait_for_function("() => document.getElementById('count').textContent.startsWith('1 of')")


def test_a_missing_folder_is_explained(browser, plain, tmp_path):
    shutil.copytree(plain, tmp_path / "broken", ignore=shutil.ignore_patterns("data"))
    page = browser.new_page()
    page.goto((tmp_path / "broken" / "index.html").as_uri())
    page.wait_for_function("() => document.getElementById('waiting').textContent.includes('could not be opened')")
    page.close()


def test_zoom_and_pan_with_mouse_and_buttons(visit, address, numbers):
    page = visit(address)
    target = numbers[20]
    x, y = middle(page, target)
    width = box_of(page, target)[2]
    page.mouse.move(x, y)
    page.mouse.wheel(0, -500)
    page.wait_for_timeout(300)
    settle(page)
    assert box_of(page, target)[2] > 1.15 * width
    assert middle(page, target) == pytest.approx((x, y), abs=4)  # what is under the pointer stays there
    page.mouse.down()
    page.mouse.move(x + 60, y + 40, steps=5)
    page.mouse.move(x + 60, y + 40)
    page.wait_for_timeout(400)
    page.mouse.up()
    settle(page)
    assert middle(page, target) == pytest.approx((x + 60, y + 40), abs=25)
    assert np.abs(seen(page, target) - color(20)).max() <= 12
    assert page.locator("#panel").is_hidden()  # dragging is no click
    page.click("#zoom-home")
    settle(page)
    assert box_of(page, target)[2] == pytest.approx(width, rel=0.01)


def test_hover_tells_the_title(visit, address, numbers):
    page = visit(address)
    page.mouse.move(*middle(page, numbers[14]))
    page.wait_for_selector("#tip:visible")
    assert page.locator("#tip").inner_text() == "number 14\nAda, 1864"
    page.mouse.move(5, 400)
    page.wait_for_selector("#tip", state="hidden")


# The panel


def test_a_click_opens_the_work_with_all_that_is_known(visit, address, numbers):
    page = visit(address)
    page.mouse.click(*middle(page, numbers[21]))
    page.wait_for_selector("#panel .near li")
    panel = page.locator("#panel")
    assert (
        panel.locator("h2").inner_text() == "number 21" and panel.locator(".caption").inner_text() == "Béatrice, 1871"
    )
    assert panel.locator("dl").inner_text().split("\n") == [
        "artist", "Béatrice", "title", "number 21", "year", "1871", "file", "w021.jpg"]  # fmt: skip
    link = panel.locator("a", has_text="More about this work")
    assert link.get_attribute("href") == "https://museum.example/number%2021/"
    left, top, width, height = panel.locator("img.large").bounding_box().values()
    assert np.abs(screen(page)[int(top + height / 2), int(left + width / 2)] - color(21)).max() <= 12
    near = panel.locator(".near li button")
    assert [near.nth(i).get_attribute("data-work") for i in range(5)] == [str(numbers[21 + i]) for i in range(1, 6)]
    page.wait_for_function("() => [...document.querySelectorAll('.near img')].every((image) => image.complete)")
    left, top, width, height = near.nth(2).bounding_box().values()
    assert np.abs(screen(page)[int(top + height / 2), int(left + width / 2)] - color(24)).max() <= 12
    near.nth(2).click()
    page.wait_for_function("() => document.querySelector('#panel h2').textContent === 'number 24'")
    settle(page)
    assert state(page, "s.work") == numbers[24]
    page.click("#panel .close")
    assert page.locator("#panel").is_hidden()


def test_the_open_work_is_not_under_the_panel(visit, address, numbers):
    for options in (DESKTOP, PHONE):
        page = visit(address, **options)
        covered = int(boxes_of(page)[:, :2].sum(axis=1).argmax())  # bottom right
        page.mouse.click(*middle(page, covered)) if options is DESKTOP else page.touchscreen.tap(*middle(page, covered))
        page.wait_for_selector("#panel .near li")
        page.wait_for_timeout(300)
        settle(page)
        left, top, width, height = box_of(page, covered)
        panel = page.locator("#panel").bounding_box()
        assert left + width <= panel["x"] or top + height <= panel["y"]


def test_a_restricted_work_shows_its_place_only(visit, address, numbers):
    page = visit(address)
    assert np.abs(seen(page, numbers[59]) - PLACEHOLDER).max() <= 6
    page.mouse.click(*middle(page, numbers[59]))
    page.wait_for_selector("#panel h2")
    assert page.locator("#panel .withheld").first.inner_text() == "This picture may not be shown."
    assert page.locator("#panel img.large").count() == 0


# Layouts


def test_layouts_and_maps_keep_the_chosen_work_in_view(visit, address, numbers):
    page = visit(address)
    page.mouse.click(*middle(page, numbers[33]))
    page.wait_for_selector("#panel .near li")
    page.keyboard.press("Escape")
    for _ in range(3):
        page.click("#zoom-in")
    settle(page)
    page.evaluate("number => artatlas.map.goTo(number)", numbers[33])
    settle(page)
    before = middle(page, numbers[33])
    for value in ("scatter", "both", "grid", "content"):
        page.click(f".choice [data-value={value}]")
        page.wait_for_timeout(300)
        settle(page)
        assert middle(page, numbers[33]) == pytest.approx(before, abs=3), value
        assert page.locator(f".choice [data-value={value}]").get_attribute("aria-checked") == "true"
        topmost = page.evaluate(
            "([x, y]) => artatlas.map.workAt({x, y})",
            [
                before[0] - page.locator("#stage").bounding_box()["x"],
                before[1] - page.locator("#stage").bounding_box()["y"],
            ],
        )
        i = next(i for i, number in numbers.items() if number == topmost)
        if i != 59:
            assert np.abs(seen(page, numbers[33]) - color(i)).max() <= 14, value


# Search and filters


def assert_shown(page, numbers, wanted):
    """Works of `wanted` are as they are; over all others lies the wall's colour."""
    pixels, boxes, wall = screen(page), boxes_of(page), np.array((0x1D, 0x1E, 0x21))
    for i in range(59):
        own = np.array(color(i))
        expected = own if i in wanted else 0.84 * wall + 0.16 * own
        assert np.abs(seen_in(pixels, boxes[numbers[i]]) - expected).max() <= 12, i


def search(page, text, count):
    page.fill("#query", text)
    page.wait_for_function("text => document.getElementById('count').textContent === text", arg=count)
    page.wait_for_timeout(100)


def test_search_dims_what_does_not_match(visit, address, numbers):
    page = visit(address)
    search(page, "celik 18", "12 of 60 works")  # marks do not matter, every word counts, in any column
    assert_shown(page, numbers, range(3, 50, 4))
    search(page, "nothing like that", "0 of 60 works")
    assert page.locator("#next").is_hidden()
    search(page, "", "60 works")
    assert_shown(page, numbers, range(60))


def test_next_and_previous_match(visit, address, numbers):
    page = visit(address)
    search(page, "ada 190", "5 of 60 works")
    visited = []
    for _ in range(5):
        page.keyboard.press("Enter")
        page.wait_for_timeout(60)
        visited.append(state(page, "s.work"))
    assert sorted(visited) == sorted(numbers[i] for i in range(50, 60, 2))
    settle(page)
    x, y = middle(page, visited[-1])
    assert 0 < x < 1280 and 60 < y < 800
    page.click("#previous")
    assert state(page, "s.work") == visited[-2]
    page.click("#next")
    assert state(page, "s.work") == visited[-1]


def test_filters_count_and_combine(visit, address, numbers):
    page = visit(address)
    page.click("#filter-button")
    page.click("details[data-column=artist] summary")
    values = page.locator("details[data-column=artist] li")
    values.first.wait_for()
    assert [text.split("\n") for text in values.all_inner_texts()] == [
        ["Ada", "30"],
        ["Béatrice", "15"],
        ["Çelik", "15"],
    ]
    page.check("details[data-column=artist] [data-value=Ada]")
    page.wait_for_function("() => document.getElementById('count').textContent === '30 of 60 works'")
    page.click("details[data-column=year] summary")
    page.fill("[aria-label='year from']", "1890")
    page.wait_for_function("() => document.getElementById('count').textContent === '10 of 60 works'")
    assert values.nth(1).inner_text().split("\n") == ["Béatrice", "5"]  # of what the other filters leave
    page.fill("[aria-label='year to']", "1899")
    page.wait_for_function("() => document.getElementById('count').textContent === '5 of 60 works'")
    page.click("#filters-close")
    page.wait_for_timeout(150)
    assert_shown(page, numbers, range(40, 50, 2))
    page.click("#filter-button")
    page.click("#filters-clear")
    page.wait_for_function("() => document.getElementById('count').textContent === '60 works'")


def test_colour_by_a_column(visit, address, numbers):
    page = visit(address)
    page.click("#filter-button")
    page.select_option("#color", "artist")
    page.wait_for_selector("#legend:visible")
    assert page.locator("#legend").inner_text().split("\n") == ["artist", "Ada", "30", "Béatrice", "15", "Çelik", "15"]
    page.click("#filters-close")
    page.wait_for_timeout(150)
    pixels, boxes = screen(page), boxes_of(page)
    expected = {0: (0x56, 0xB4, 0xE9), 1: (0xE6, 0x9F, 0x00), 3: (0x19, 0xB5, 0x8B)}
    for i, wanted in expected.items():
        left, top, width, height = boxes[numbers[i]]
        assert np.abs(pixels[int(top + height - 3), int(left + width / 2)] - wanted).max() <= 12
        assert np.abs(seen_in(pixels, boxes[numbers[i]]) - color(i)).max() <= 12


# What other stages found out


def test_colour_by_faithfulness_is_that_of_the_map_on_view(visit, address, numbers):
    """A work that the content map places badly may be well placed on another one."""
    page = visit(f"{address}#color=artatlas:faithfulness")
    page.wait_for_selector("#legend:visible")
    palette = [(0xE8, 0x60, 0x1C), (0xF6, 0xB2, 0x6B), (0xDC, 0xDC, 0xD6), (0x7F, 0xB8, 0xDE), (0x4A, 0x83, 0xC4)]

    def assert_coloured(name):
        pixels, boxes = screen(page), boxes_of(page)
        for i in range(0, 12):
            left, top, width, height = boxes[numbers[i]]
            wanted = palette[min(4, kept(i, name))]
            assert np.abs(pixels[int(top + height - 3), int(left + width / 2)] - wanted).max() <= 12, (name, i)

    assert_coloured("content")
    told = [line for line in page.locator("#legend").inner_text().split("\n") if line]
    assert told[0] == "Faithfulness of the map" and "distrust its place" in told[1]
    assert told[2:] == ["0 %", "10", "20 %", "10", "40 %", "10", "60 %", "10", "80 – 100 %", "20"]
    page.click(".choice [data-value=both]")
    page.wait_for_timeout(300)
    settle(page)
    assert_coloured("both")
    page.click("#filter-button")  # and a filter by it, likewise
    page.click("details[data-column='artatlas:faithfulness'] summary")
    page.fill("[aria-label='Faithfulness of the map to']", "0.2")
    page.wait_for_function("() => document.getElementById('count').textContent === '20 of 60 works'")
    among = "[...Array(60).keys()].filter(artatlas.search.isMatch)"
    assert set(state(page, among)) == {numbers[i] for i in range(60) if kept(i, "both") <= 1}
    page.click(".choice [data-value=content]")
    page.wait_for_function("n => artatlas.search.isMatch(n)", arg=numbers[0])
    assert set(state(page, among)) == {numbers[i] for i in range(60) if kept(i, "content") <= 1}


def test_the_panel_tells_how_far_to_trust_a_place_and_shows_the_group(visit, address, numbers):
    """By keyboard alone: from the work to its group, and back to all."""
    page = visit(f"{address}#work={numbers[22]}~w022.jpg&open=1")
    page.wait_for_selector("#panel .near li")
    rows = page.locator("#panel .trust li")
    assert rows.all_inner_texts() == [f"Content\n{kept(22, 'content')} of 5", f"Both\n{kept(22, 'both')} of 5"]
    assert [row.get_attribute("aria-current") for row in rows.all()] == ["true", None]
    page.click(".choice [data-value=both]")
    assert [row.get_attribute("aria-current") for row in rows.all()] == [None, "true"]
    settle(page)
    members = {numbers[i] for i in range(60) if group_of(i) == group_of(22)}
    group = page.locator("#panel .group")
    assert group.get_attribute("aria-label") == f"Only show group 1 of groups by content, {len(members)} works"
    page.locator("#panel").focus()
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("() => document.activeElement.className") == "group":
            break
    page.keyboard.press("Enter")
    page.wait_for_function("n => artatlas.search.nMatches === n", arg=len(members))
    assert set(state(page, "[...Array(60).keys()].filter(artatlas.search.isMatch)")) == members
    assert group.get_attribute("aria-pressed") == "true"
    assert page.evaluate("() => document.activeElement.className") == "group"  # where he was
    page.keyboard.press("Enter")
    page.wait_for_function("() => artatlas.search.matches === null")
    page.evaluate("number => artatlas.set({work: number, isOpen: true})", numbers[9])  # in no group
    page.wait_for_function("() => document.querySelector('#panel h2').textContent === 'number 9'")
    assert group.count() == 0


# Selection


def test_rectangle_lasso_and_csv(visit, address, numbers, tmp_path):
    page = visit(address)
    page.click("#select-button")
    boxes = boxes_of(page)
    first = int(boxes[:, :2].sum(axis=1).argmin())
    left, top, width, _ = boxes[first]
    pitch = width * 32 / 30
    page.mouse.move(left - 5, top - 5)
    page.mouse.down()
    page.mouse.move(left + 2 * pitch, top + 1.2 * pitch, steps=4)
    page.mouse.up()
    inside = {
        n for n, (x, y, w, h) in enumerate(boxes) if x + w / 2 < left + 2 * pitch and y + h / 2 < top + 1.2 * pitch
    }
    assert set(state(page, "[...s.selection]")) == inside and len(inside) == 2
    page.click("[data-value=lasso]")
    corners = [(left + 3.2 * pitch, top - 4), (left + 5.8 * pitch, top - 4), (left + 4.5 * pitch, top + 2.6 * pitch)]
    page.mouse.move(*corners[0])
    page.mouse.down()
    for corner in [*corners[1:], corners[0]]:
        page.mouse.move(*corner, steps=6)
    page.mouse.up()
    chosen = state(page, "[...s.selection]")
    assert len(chosen) > 4 and inside < set(chosen)
    assert page.locator("#selection-count").inner_text() == f"{len(chosen)} selected"
    with page.expect_download() as download:
        page.click("#selection-download")
    download.value.save_as(tmp_path / "works.csv")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "works.csv").read_text(encoding="utf-8-sig"))))
    assert {numbers[int(row["filename"][1:4])] for row in rows} == set(chosen)
    assert all(
        row["Faithfulness of the map both"] == f"{kept(int(row['filename'][1:4]), 'both') / 5:g}" for row in rows
    )
    assert all(row["title"] == f"number {int(row['filename'][1:4])}" for row in rows)
    page.mouse.click(*middle(page, first))  # a click takes a single one out
    assert len(state(page, "[...s.selection]")) == len(chosen) - 1
    page.click("#selection-clear")
    assert state(page, "s.selection.size") == 0


# Links


def test_a_link_restores_everything(visit, address, numbers):
    page = visit(address)
    page.click(".choice [data-value=both]")
    page.click(".choice [data-value=scatter]")
    page.wait_for_timeout(300)
    settle(page)
    page.evaluate("number => artatlas.set({work: number, isOpen: true})", numbers[8])
    page.evaluate("number => artatlas.map.goTo(number)", numbers[8])
    page.evaluate("() => artatlas.set({selection: new Set([3, 4, 5, 9]), color: 'year',"
                  "filters: new Map([['artist', new Set(['Ada'])], ['year', {from: 1852, to: null}]])})")  # fmt: skip
    search(page, "number", "29 of 60 works")
    settle(page)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.click("#link-button")
    page.wait_for_timeout(200)
    link = page.evaluate("() => navigator.clipboard.readText()")
    page.click("body", position={"x": 400, "y": 30})
    assert link == page.url
    again = visit(link)
    again.wait_for_selector("#panel .near li")
    wanted = ("s.map", "s.layout", "s.work", "s.isOpen", "s.query", "s.color", "[...s.selection]",
              "[...s.filters].map(([name, one]) => [name, one instanceof Set ? [...one] : one])")  # fmt: skip
    for expression in wanted:
        assert state(again, expression) == state(page, expression), expression
    assert again.locator("#count").inner_text() == "29 of 60 works"
    assert box_of(again, numbers[8]) == pytest.approx(box_of(page, numbers[8]), abs=1.5)
    page.wait_for_timeout(1600)
    difference = np.abs(screen(page) - screen(again))
    assert (difference.max(axis=2) > 24).mean() < 0.01


def test_a_link_follows_a_work_through_a_new_build(visit, address, numbers):
    right = visit(f"{address}#work={numbers[12]}~w012.jpg&open=1")
    right.wait_for_selector("#panel h2")
    moved = visit(f"{address}#work={numbers[13]}~w012.jpg&open=1")
    moved.wait_for_selector("#panel h2")
    assert right.locator("#panel h2").inner_text() == moved.locator("#panel h2").inner_text() == "number 12"
    page = visit(f"{address}#work=5~gone.jpg&map=nosuch&color=nosuch&filter=nonsense&view=a,b&selected=x~1-3")
    assert page.locator("#panel").is_hidden()
    assert state(page, "[s.map, s.work, s.selection.size]") == ["content", None, 0]
    assert page.locator("#notice-text").inner_text() == (
        "A filter of the link could not be read. The work of the link is no longer in the collection. The selection of"
        " the link could not be read."
    )
    assert page.locator("#status").inner_text() == page.locator("#notice-text").inner_text()
    page.click("#notice-close")
    assert page.locator("#notice").is_hidden()


def test_a_selection_outlives_a_new_build(visit, address, numbers, serve, tmp_path):
    """More works have come and one has gone: the link still selects what it did, and says what it cannot."""
    page = visit(address)
    page.evaluate("numbers => artatlas.set({selection: new Set(numbers)})", [numbers[i] for i in (3, 17, 40)])
    page.wait_for_function("() => location.hash.includes('selected=')")
    link = page.url.partition("#")[2]
    assert len(link) < 100  # of all that it says; a few letters a work
    ids = [f"w{i:03}.jpg" for i in range(70) if i != 17]
    folder, _ = build_viewer.main(collection(tmp_path, n_works=69, ids=ids))
    after = visit(f"{serve(folder)}/index.html#{link}")
    wanted = {number for image_id, (number, _) in works_of(folder).items() if image_id in ("w003.jpg", "w040.jpg")}
    assert set(state(after, "[...s.selection]")) == wanted
    told = "Of 3 selected works that the link names, 1 is no longer in the collection."
    assert after.locator("#notice-text").inner_text() == told
    after.keyboard.press("Escape")
    assert after.locator("#notice").is_hidden()
    large = visit(f"{address}#rows=0123456789ab~3-30")  # ranges of numbers hold for one build only
    assert (
        "too large to outlive" in large.locator("#notice-text").inner_text() and state(large, "s.selection.size") == 0
    )


# Keys, list, screen readers


def test_everything_by_keyboard(visit, address, numbers, plain):
    page = visit(address)
    page.focus("#stage")
    page.keyboard.press("ArrowRight")
    start = state(page, "s.work")
    col, row = (side // 32 for side in place_on_grid(plain, start))
    for key, (dx, dy) in {"ArrowRight": (1, 0), "ArrowDown": (0, 1), "ArrowLeft": (-1, 0), "ArrowUp": (0, -1)}.items():
        page.keyboard.press(key)
        col, row = col + dx, row + dy
        assert tuple(side // 32 for side in place_on_grid(plain, state(page, "s.work"))) == (col, row)
    page.wait_for_function("() => document.getElementById('status').textContent.startsWith('number ')")
    page.keyboard.press("Enter")
    page.wait_for_selector("#panel .near li")
    page.keyboard.press("Escape")
    assert page.locator("#panel").is_hidden() and page.evaluate("() => document.activeElement.id") == "stage"
    page.keyboard.press("x")
    assert state(page, "[...s.selection]") == [start]
    page.keyboard.press("/")
    page.keyboard.type("number 44")
    page.wait_for_function("() => document.getElementById('count').textContent === '1 of 60 works'")
    page.wait_for_function("() => document.getElementById('status').textContent === '1 work found'")
    page.keyboard.press("Enter")
    assert state(page, "s.work") == numbers[44]
    page.keyboard.press("Escape")
    assert page.locator("#query").input_value() == ""
    page.focus("#stage")
    width = box_of(page, start)[2]
    page.keyboard.press("+")
    settle(page)
    assert box_of(page, start)[2] > width
    page.keyboard.press("l")
    page.wait_for_selector("#list-works li")
    assert page.locator("#list-works li").count() == 60
    page.keyboard.press("?")
    assert page.locator("#help").is_visible()
    page.keyboard.press("Escape")
    assert page.locator("#help").is_hidden()


def test_the_list_holds_what_matches(visit, address, numbers):
    page = visit(address)
    search(page, "celik", "15 of 60 works")
    page.click("#layouts [data-value=list]")
    page.wait_for_selector("#list-works li")
    texts = page.locator("#list-works strong").all_inner_texts()
    assert sorted(texts) == sorted(f"number {i}" for i in range(3, 60, 4))
    page.locator("#list-works button").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#panel h2")
    assert page.locator("#panel h2").inner_text() == texts[0]
    page.keyboard.press("Escape")
    assert page.evaluate("() => document.activeElement.textContent").startswith(texts[0])  # where he was


def test_names_roles_and_focus(visit, address):
    """Every control has a name; the focus is seen; what is announced has a place."""
    page = visit(address)
    page.click("#filter-button")
    for control in page.locator("button:visible, input:visible, select:visible, summary:visible").all():
        name = control.evaluate(
            "e => e.getAttribute('aria-label') || e.innerText || e.labels?.[0]?.innerText || e.placeholder || ''"
        )
        assert name.strip(), control.evaluate("e => e.outerHTML")
    assert page.locator("#status").get_attribute("aria-live") == "polite"
    page.keyboard.press("Tab")
    outline = page.evaluate("() => getComputedStyle(document.activeElement).outlineWidth")
    assert outline == "3px"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_is_that_of_wcag_aa(visit, address, scheme):
    """At least 4.5 for every text of the page's own colours."""
    page = visit(address, **DESKTOP, color_scheme=scheme)
    page.evaluate("() => artatlas.set({work: 1, isOpen: true})")
    page.wait_for_selector("#panel .near li")
    page.evaluate("() => artatlas.tell('Something is gone.')")
    page.click("#select-button")  # pressed, and under the pointer
    pairs = page.evaluate("""() => {
        const found = [];
        for (const element of document.querySelectorAll("h1, h2, h3, p, dt, dd, label, button, a, small, span")) {
            if (!element.offsetParent || !element.innerText?.trim() || element.disabled) continue;
            const paper = (one) => getComputedStyle(one).backgroundColor;
            let ground = element;
            while (ground && paper(ground) === "rgba(0, 0, 0, 0)") ground = ground.parentElement;
            if (ground) found.push([getComputedStyle(element).color, paper(ground), element.outerHTML.slice(0, 80)]);
        }
        return found;
    }""")
    assert len(pairs) > 20

    def luminance(text):
        rgb = np.array([float(part) for part in text[text.index("(") + 1 : -1].split(",")[:3]]) / 255
        return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4) @ (0.2126, 0.7152, 0.0722)

    for ink, paper, element in pairs:
        light, dark = sorted((luminance(ink), luminance(paper)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (ink, paper, element)


def test_reduced_motion_is_respected(visit, address, numbers):
    page = visit(address, **DESKTOP, reduced_motion="reduce")
    width = box_of(page, numbers[0])[2]
    page.click("#zoom-in")
    page.wait_for_timeout(60)
    assert box_of(page, numbers[0])[2] > 1.3 * width


# Text from metadata


def test_hostile_text_is_shown_as_text(visit, serve, tmp_path):
    columns = {"title": HOSTILE, "url": ["javascript:alert(1)"] * 10}
    overrides = "viewer.title='{title}'", "viewer.link='{url}'", 'viewer.heading="<i>x</i>"'
    settings = collection(tmp_path, *overrides, n_works=10, columns=columns)
    folder, _ = build_viewer.main(settings)
    page = visit(f"{serve(folder)}/")
    page.on("dialog", lambda dialog: pytest.fail("a script of the metadata ran"))
    works = works_of(folder)
    for i, text in enumerate(HOSTILE):
        page.evaluate("number => artatlas.set({work: number, isOpen: true})", works[f"w{i:03}.jpg"][0])
        page.wait_for_function("text => document.querySelector('#panel h2')?.textContent === text", arg=text)
        assert page.locator("#panel script, #panel [onerror]").count() == 0
        box = page.locator("#panel").bounding_box()
        assert box["x"] + box["width"] <= 1280
        assert page.evaluate(
            "() => document.getElementById('panel').scrollWidth <= document.getElementById('panel').clientWidth"
        )
        assert page.locator("#panel a", has_text="More about").count() == 0
    assert page.locator("h1").inner_text() == "<i>x</i>"
    page.click("#layouts [data-value=list]")
    page.wait_for_selector("#list-works li")
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")


# The demo


def test_the_demo_opens_on_a_phone_and_nothing_comes_from_elsewhere(visit, serve, finished):
    root = serve(finished / "viewer")
    page = visit(f"{root}/index.html", **PHONE)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.reload()
    page.wait_for_selector("#waiting", state="hidden")
    settle(page)
    assert page.locator("#count").inner_text() == "64 works"
    stage = page.locator("#stage").bounding_box()
    page.touchscreen.tap(stage["x"] + stage["width"] / 2, stage["y"] + stage["height"] / 2)
    page.wait_for_selector("#panel .near li")
    assert asked and all(url.startswith((root, "data:")) for url in asked)
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
    assert page.locator("#panel .near").count() == page.locator("#panel .near .group").count() == 4
    assert page.locator("#panel .trust li").count() == 3


def test_the_picture_of_the_readme_can_be_taken(finished, tmp_path):
    run_script("docs/take_pictures.py", "--viewer", finished / "viewer", "--output", tmp_path)
    with Image.open(tmp_path / "viewer.jpg") as new, Image.open(REPO / "docs" / "images" / "viewer.jpg") as shown:
        assert new.size == shown.size == (1280, 760)
        pixels = np.asarray(new, int)
    wall, panel = pixels[130:, 20:900], pixels[130:, 960:]
    assert wall.mean() < panel.mean() - 20  # works on a dark wall, one of them open in a light panel
    assert wall.reshape(-1, 3).std(axis=0).min() > 20 < panel.reshape(-1, 3).std(axis=0).min()  # both show pictures
