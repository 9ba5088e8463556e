"""The page in a real browser: Debian's headless Chromium, driven by Playwright."""

from __future__ import annotations

import base64
import io
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import ConsoleMessage, Page, sync_playwright

from bitcodec.evaluate.metrics import chosen
from bitcodec.evaluate.rivals import rival
from bitcodec.evaluate.worst import Losses
from bitcodec.report import page, viewer

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="Debian's package chromium is not installed"
)
METRICS = chosen(("psnr", "ms-ssim", "ssimulacra2"))
READY = "document.getElementById('viewer').dataset.state === 'ready'"
_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"]


class Browser:
    """One page. ``errors`` collects what is wrong on its console, ``requests`` URLs."""

    def __init__(self, page: Page) -> None:
        self.page, self.js = page, page.evaluate
        self.mouse, self.keyboard = page.mouse, page.keyboard
        self.errors: list[str] = []
        self.requests: list[str] = []
        page.on("console", self._say)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))
        self._session = page.context.new_cdp_session(page)

    def _say(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(message.text)

    def size(self, width: int, height: int, *, scale: float = 1, mobile: bool = False) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": mobile}
        self._session.send("Emulation.setDeviceMetricsOverride", metrics)

    def dark(self, *, on: bool) -> None:
        self.page.emulate_media(color_scheme="dark" if on else "light")

    def open(self, path: Path) -> None:
        self.page.goto(path.resolve().as_uri())

    def wait(self, expression: str, seconds: float = 20) -> None:
        end = time.monotonic() + seconds
        while not self.js(expression):
            assert time.monotonic() < end, f"never true: {expression}"
            self.page.wait_for_timeout(20)

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        self.mouse.move(*start)
        self.mouse.down()
        self.mouse.move(*end)
        self.mouse.up()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory, draw: Callable[..., Image.Image]) -> Path:
    """A page with two pictures, one much taller than wide."""
    codecs = [rival("jpeg"), rival("webp"), rival("jpeg2000")]
    shown = [
        viewer.at_sizes(name, np.asarray(draw(*size)), codecs, (0.8, 2), METRICS)[0]
        for name, size in (("wide.png", (240, 160)), ("tall.png", (90, 300)))
    ]
    path = tmp_path_factory.mktemp("page") / "report.html"
    table = page.Table("numbers", [("codec", *("a column",) * 9), ("x", *("123456",) * 9)], 1)
    worst = (("tall.png", -12.3), ("elsewhere.png", 4.0))
    losses = [Losses("ssimulacra2", "webp-m6", "jpeg2000", 1.5, worst)]
    text = page.build(
        title="A report", intro="Of pictures.", pictures=shown, tables=[table], losses=losses
    )
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def started() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=_FLAGS)
        yield Browser(chromium.new_page(viewport={"width": 1000, "height": 900}))
        chromium.close()


@pytest.fixture
def browser(started: Browser, report: Path) -> Iterator[Browser]:
    """The page, freshly loaded; afterwards there must have been no error and no request."""
    started.errors.clear()
    started.requests.clear()
    started.size(1000, 900)
    started.dark(on=False)
    started.open(report)
    started.wait(READY)
    yield started
    started.page.wait_for_timeout(20)  # brings what is still on the way
    assert started.errors == []
    assert [url for url in started.requests if not url.startswith("data:")] == [report.as_uri()]


def box(browser: Browser, selector: str) -> dict[str, float]:
    found: dict[str, float] = browser.js(
        f"document.querySelector({selector!r}).getBoundingClientRect().toJSON()"
    )
    return found


def choose(browser: Browser, name: str, index: int) -> None:
    browser.page.select_option(f"#{name}", index=index)
    browser.wait(READY)


def divider(browser: Browser) -> float:
    """Where the divider stands, 0 to 1, having checked that picture and slider agree."""
    left = float(browser.js("parseFloat(document.getElementById('divider').style.left)"))
    clip = browser.js("document.getElementById('clip-right').style.clipPath")
    assert float(clip.split()[-1].rstrip("%)")) == pytest.approx(left)
    assert float(browser.js("document.getElementById('slider').value")) == pytest.approx(
        left, abs=0.3
    )
    return left / 100


def test_pictures_decode_and_figures_stand_beside(browser: Browser) -> None:
    sizes = browser.js("[...document.images].map((i) => [i.complete, i.naturalWidth])")
    assert sizes == [[True, 240]] * 3
    assert browser.js("document.getElementById('picture').length") == 2
    assert browser.js("document.getElementById('left').length") == 3
    cells = browser.js("[...document.querySelectorAll('#numbers td')].map((e) => e.textContent)")
    assert cells[::3] == ["setting", "bytes", "bpp", "PSNR dB", "MS-SSIM", "SSIMULACRA2"]
    assert int(cells[4].replace(",", "")) > 100
    assert 15 < float(cells[10]) < 60
    assert "240×160" in browser.js("document.getElementById('status').textContent")


def test_a_button_shows_a_worst_picture_beside_the_rival(browser: Browser) -> None:
    assert "12.3 % fewer" in browser.js("document.getElementById('worst').textContent")
    assert browser.js("document.querySelectorAll('[data-picture]').length") == 1
    browser.js("document.querySelector('[data-picture]').click()")
    browser.wait(f"{READY} && document.getElementById('image-left').naturalWidth === 90")
    tags = browser.js(
        "['left', 'right'].map((s) => document.getElementById('tag-' + s).textContent)"
    )
    assert tags == ["webp-m6", "jpeg2000"]


def test_dragging_moves_the_divider(browser: Browser) -> None:
    stage = box(browser, "#stage")
    y = stage["y"] + stage["height"] / 2
    assert divider(browser) == 0.5
    browser.drag((stage["x"] + stage["width"] / 2, y), (stage["x"] + 0.2 * stage["width"], y))
    assert divider(browser) == pytest.approx(0.2, abs=0.01)
    slider = box(browser, "#slider")
    y = slider["y"] + slider["height"] / 2
    middle = slider["x"] + 0.2 * slider["width"]
    browser.drag((middle, y), (slider["x"] + 0.8 * slider["width"], y))
    assert divider(browser) == pytest.approx(0.8, abs=0.03)


def test_what_is_left_and_right_of_the_divider(browser: Browser, tmp_path: Path) -> None:
    """The screen shows the left codec's pixels on the left and the right one's on the right."""
    browser.js("document.querySelector('[data-zoom=\"1\"]').click()")
    for left, right in ((0, 2), (2, 0)):
        choose(browser, "left", left)
        choose(browser, "right", right)
        browser.page.screenshot(path=tmp_path / "screen.png")
        with Image.open(tmp_path / "screen.png") as image:
            screen = np.asarray(image.convert("RGB")).astype(int)
        group = browser.js("JSON.parse(document.getElementById('data').textContent)[0].sizes[0][1]")
        image_box = box(browser, "#image-left")
        x0, y0 = round(image_box["x"]), round(image_box["y"])
        assert abs(x0 - image_box["x"]) + abs(y0 - image_box["y"]) < 0.01
        part = screen[y0 : y0 + 160, x0 : x0 + 240]
        for index, columns in ((left, slice(10, 90)), (right, slice(150, 230))):
            data = base64.b64decode(group[index]["uri"].split(",")[1])
            with Image.open(io.BytesIO(data)) as image:
                wanted = np.asarray(image.convert("RGB")).astype(int)
            # Not under the divider's handle, and not under the names in the corners.
            assert np.array_equal(part[50:150, columns], wanted[50:150, columns])


def test_keyboard(browser: Browser) -> None:
    browser.js("document.getElementById('stage').focus()")
    browser.keyboard.press("ArrowLeft")
    browser.keyboard.press("ArrowLeft")
    assert divider(browser) == pytest.approx(0.46)
    browser.keyboard.press("ArrowRight")
    assert divider(browser) == pytest.approx(0.48)
    tag = "document.getElementById('tag-left').textContent"
    hidden = "document.getElementById('clip-original').hidden"
    assert (browser.js(tag), browser.js(hidden)) == ("jpeg-420", True)
    browser.keyboard.down("o")
    assert (browser.js(tag), browser.js(hidden)) == ("original", False)
    browser.keyboard.up("o")
    assert (browser.js(tag), browser.js(hidden)) == ("jpeg-420", True)
    browser.keyboard.press("x")
    browser.wait(f"{READY} && {tag} === 'webp-m6'")
    browser.keyboard.press("s")
    browser.wait(f"{READY} && document.getElementById('size').selectedIndex === 1")
    browser.keyboard.press("n")
    browser.wait(f"{READY} && document.getElementById('image-left').naturalWidth === 90")
    assert browser.js(tag) == "webp-m6"  # the choice is kept


def test_zoom_to_pixels_and_move(browser: Browser) -> None:
    def image() -> tuple[float, float, float]:
        found = box(browser, "#image-left")
        assert found == box(browser, "#image-right") == box(browser, "#image-left")
        return found["width"], found["x"], found["y"]

    browser.js("document.querySelector('[data-zoom=\"8\"]').click()")
    width, x, y = image()
    assert width == 8 * 240
    style = "getComputedStyle(document.getElementById('image-left')).imageRendering"
    assert browser.js(style) == "pixelated"
    stage = box(browser, "#stage")
    start = (stage["x"] + 0.75 * stage["width"], stage["y"] + 100)
    browser.drag(start, (start[0] - 60, start[1] - 30))
    assert image() == pytest.approx((width, x - 60, y - 30))
    assert divider(browser) == 0.5
    browser.js("document.getElementById('stage').focus()")
    browser.keyboard.press("Shift+ArrowRight")
    assert image() == pytest.approx((width, x - 100, y - 30))
    browser.drag(start, (start[0] - 5000, start[1]))  # no further than its edge
    found = box(browser, "#image-left")
    assert found["right"] == pytest.approx(stage["right"], abs=1)
    browser.keyboard.press("-")  # 4 would be smaller than the stage
    assert image()[0] == pytest.approx(stage["width"], abs=0.5)
    browser.keyboard.press("+")
    assert image()[0] == 8 * 240
    browser.keyboard.press("1")
    assert image()[0] == 240
    browser.keyboard.press("0")
    assert image()[0] == pytest.approx(stage["width"], abs=0.5)


def test_phone(browser: Browser, tmp_path: Path) -> None:
    browser.size(390, 844, scale=3, mobile=True)
    for picture in (0, 1):
        choose(browser, "picture", picture)
        # The page itself never scrolls sideways; the wide table does, inside its frame.
        assert browser.js("document.documentElement.scrollWidth") == 390
        stage, image = box(browser, "#stage"), box(browser, "#image-left")
        assert stage["width"] == 358
        assert image["width"] <= stage["width"] + 1
        assert image["height"] <= stage["height"] + 1
    heights = browser.js(
        "[...document.querySelectorAll('button,select')].map((e) => e.offsetHeight)"
    )
    assert min(heights) >= 40  # a finger's width


def test_dark(browser: Browser) -> None:
    colours = "['color','backgroundColor'].map((n) => getComputedStyle(document.body)[n])"

    def brightness() -> tuple[int, int]:
        text, back = browser.js(colours)
        return tuple(sum(map(int, c[4:-1].split(", "))) for c in (text, back))  # type: ignore[return-value]

    text, back = brightness()
    assert text + 400 < back
    browser.dark(on=True)
    text, back = brightness()
    assert back + 400 < text


def test_a_picture_that_does_not_decode_is_said(
    started: Browser, report: Path, tmp_path: Path
) -> None:
    text = report.read_text("utf-8")
    broken = tmp_path / "broken.html"
    start = text.index("data:image/webp;base64,")
    broken.write_text(text[:start] + "data:image/webp;base64,AAAA" + text[text.index('"', start) :])
    started.open(broken)
    started.wait("document.getElementById('viewer').dataset.state === 'failed'")
    assert "could not be decoded" in started.js("document.getElementById('status').textContent")
    assert started.errors
