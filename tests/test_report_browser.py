"""The page in a real browser: Debian's headless Chromium, driven over its debugging pipe.

The pipe needs nothing but the standard library: JSON messages, each ended by a zero byte
(https://chromedevtools.github.io/devtools-protocol/).
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bitcodec.evaluate.codecs import classical
from bitcodec.report import page, viewer

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="Debian's package chromium is not installed"
)
READY = "document.getElementById('viewer').dataset.state === 'ready'"
_FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --hide-scrollbars "
    "--disable-background-networking --disable-component-update --disable-sync "
    "--disable-dev-shm-usage --remote-debugging-pipe"
).split()


# The pipe's ends must be the file descriptors 3 and 4 of the browser; by way of two that are
# neither, since either may be taken by the other.
_LAUNCH = """
import fcntl, os, sys
ends = [fcntl.fcntl(int(end), fcntl.F_DUPFD, 10) for end in sys.argv[1:3]]
for number, end in enumerate(ends, 3):
    os.dup2(end, number)
os.execv(sys.argv[3], sys.argv[3:])
"""


class Browser:
    """One page. ``errors`` collects console errors and uncaught exceptions, ``requests`` URLs."""

    def __init__(self, process: subprocess.Popen[bytes], write: int, read: int) -> None:
        self._process, self._write, self._read = process, write, read
        self._buffer = b""
        self._number = 0
        self._session: str | None = None
        self.errors: list[str] = []
        self.requests: list[str] = []

    def attach(self) -> None:
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        found = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = found["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._write, data) :]
        while True:
            answer = self._next(30)
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return dict(answer["result"])

    def _next(self, timeout: float) -> dict[str, Any]:
        end = time.monotonic() + timeout
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], max(0, end - time.monotonic()))
            chunk = os.read(self._read, 1 << 20) if ready else b""
            if not chunk:
                raise RuntimeError("the browser does not answer")
            self._buffer += chunk
        line, self._buffer = self._buffer.split(b"\0", 1)
        answer: dict[str, Any] = json.loads(line)
        self._note(answer.get("method", ""), answer.get("params", {}))
        return answer

    def _note(self, method: str, params: dict[str, Any]) -> None:
        if method == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(params["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning"):
            self.errors.append(json.dumps(params["args"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.errors.append(params["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])

    def size(self, width: int, height: int, *, scale: float = 1, mobile: bool = False) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=mobile,
        )

    def dark(self, *, on: bool) -> None:
        value = "dark" if on else "light"
        self.call(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": value}],
        )

    def open(self, path: Path) -> None:
        self.call("Page.navigate", url=path.resolve().as_uri())
        self.wait("document.readyState === 'complete'")

    def js(self, expression: str) -> Any:
        answer = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def wait(self, expression: str, seconds: float = 20) -> None:
        end = time.monotonic() + seconds
        while not self.js(expression):
            if time.monotonic() > end:
                raise AssertionError(f"never true: {expression}")
            time.sleep(0.02)

    def key(self, key: str, *, shift: bool = False, up: bool = True) -> None:
        text = {"text": key} if len(key) == 1 else {}
        modifiers = 8 if shift else 0
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, modifiers=modifiers, **text)
        if up:
            self.call("Input.dispatchKeyEvent", type="keyUp", key=key, modifiers=modifiers)

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        steps = (("mousePressed", start), ("mouseMoved", end), ("mouseReleased", end))
        for kind, (x, y) in steps:
            self.call(
                "Input.dispatchMouseEvent",
                type=kind,
                x=x,
                y=y,
                button="left",
                buttons=1,
                clickCount=1,
            )

    def screenshot(self, path: Path, *, whole: bool = False) -> None:
        answer = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(answer["data"]))


@contextlib.contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    """A browser with an empty profile in that folder; ended with its process group."""
    to_read, to_write = os.pipe()
    from_read, from_write = os.pipe()
    command = [sys.executable, "-c", _LAUNCH, str(to_read), str(from_write)]
    process = subprocess.Popen(
        [*command, CHROMIUM or "chromium", *_FLAGS, f"--user-data-dir={profile}"],
        pass_fds=(to_read, from_write),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    os.close(to_read)
    os.close(from_write)
    browser = Browser(process, to_write, from_read)
    try:
        browser.attach()
        yield browser
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 15)
        process.wait(timeout=20)
        os.close(to_write)
        os.close(from_read)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory, draw: Callable[..., Image.Image]) -> Path:
    """A page with two pictures, one much taller than wide."""
    codecs = [classical("jpeg"), classical("webp"), classical("jpeg2000")]
    shown = [
        viewer.at_sizes(name, np.asarray(draw(*size)), codecs, (0.8, 2))[0]
        for name, size in (("wide.png", (240, 160)), ("tall.png", (90, 300)))
    ]
    path = tmp_path_factory.mktemp("page") / "report.html"
    table = page.Table("numbers", [("codec", *("a column",) * 9), ("x", *("123456",) * 9)], 1)
    text = page.build(title="A report", intro="Of pictures.", pictures=shown, tables=[table])
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


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
    started.js("1")  # brings what is still on the way
    assert started.errors == []
    assert [url for url in started.requests if not url.startswith("data:")] == [report.as_uri()]


def box(browser: Browser, selector: str) -> dict[str, float]:
    found: dict[str, float] = browser.js(
        f"document.querySelector({selector!r}).getBoundingClientRect().toJSON()"
    )
    return found


def choose(browser: Browser, name: str, index: int) -> None:
    browser.js(
        f"{{ const s = document.getElementById({name!r}); s.selectedIndex = {index};"
        " s.dispatchEvent(new Event('change')); }"
    )
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
    assert cells[::3] == ["setting", "bytes", "bpp", "PSNR dB", "MS-SSIM"]
    assert int(cells[4].replace(",", "")) > 100
    assert 15 < float(cells[10]) < 60
    assert "240×160" in browser.js("document.getElementById('status').textContent")


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
        browser.screenshot(tmp_path / "screen.png")
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
    browser.key("ArrowLeft")
    browser.key("ArrowLeft")
    assert divider(browser) == pytest.approx(0.46)
    browser.key("ArrowRight")
    assert divider(browser) == pytest.approx(0.48)
    tag = "document.getElementById('tag-left').textContent"
    hidden = "document.getElementById('clip-original').hidden"
    assert (browser.js(tag), browser.js(hidden)) == ("jpeg", True)
    browser.key("o", up=False)
    assert (browser.js(tag), browser.js(hidden)) == ("original", False)
    browser.call("Input.dispatchKeyEvent", type="keyUp", key="o")
    assert (browser.js(tag), browser.js(hidden)) == ("jpeg", True)
    browser.key("x")
    browser.wait(f"{READY} && {tag} === 'webp'")
    browser.key("s")
    browser.wait(f"{READY} && document.getElementById('size').selectedIndex === 1")
    browser.key("n")
    browser.wait(f"{READY} && document.getElementById('image-left').naturalWidth === 90")
    assert browser.js(tag) == "webp"  # the choice is kept


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
    browser.key("ArrowRight", shift=True)
    assert image() == pytest.approx((width, x - 100, y - 30))
    browser.drag(start, (start[0] - 5000, start[1]))  # no further than its edge
    found = box(browser, "#image-left")
    assert found["right"] == pytest.approx(stage["right"], abs=1)
    browser.key("-")  # 4 would be smaller than the stage
    assert image()[0] == pytest.approx(stage["width"], abs=0.5)
    browser.key("+")
    assert image()[0] == 8 * 240
    browser.key("1")
    assert image()[0] == 240
    browser.key("0")
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
