"""The decoder for browsers in Debian's headless Chromium: golden files, damage, the page itself."""

from __future__ import annotations

import base64
import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from browser import CHROMIUM, GOLDEN, chromium, open_module, serve, unpack_golden_weights
from PIL import Image
from playwright.sync_api import Error, Page

import bitcodec
from bitcodec.cli.main import main
from bitcodec.info import read_info

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="Debian's package chromium is not installed"
)
ROOT = GOLDEN.parents[2]
SHIPPED = ROOT / "weights" / "ladder.safetensors"
NAMES = sorted(path.stem for path in GOLDEN.glob("*.bin"))
_STATE = "document.body.dataset.state"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with the golden models and the shipped `ladder`, and the golden files in it."""
    weights, folder = tmp_path_factory.mktemp("weights"), tmp_path_factory.mktemp("site")
    unpack_golden_weights(weights)
    shutil.copy(SHIPPED, weights / "shipped.safetensors")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BITCODEC_WEIGHTS", str(weights))
        assert main(["page", "--quiet", str(folder)]) == 0
    for path in GOLDEN.glob("*.bin"):
        shutil.copy(path, folder)
    return folder


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    with serve(site) as found:
        yield found


@pytest.fixture(scope="module")
def page(address: str) -> Iterator[Page]:
    with chromium() as browser:
        yield open_module(browser, address)


@pytest.fixture(scope="module")
def view(page: Page) -> Iterator[Page]:
    """Another tab, for what the page looks like."""
    browser = page.context.browser
    assert browser is not None
    context = browser.new_context(viewport={"width": 1000, "height": 900})
    yield context.new_page()
    context.close()


def decode(page: Page, data: bytes, crop: dict[str, int] | None = None) -> np.ndarray:
    """uint8 (H, W, 4) by the module's function."""
    width, height, rgba = page.evaluate(
        """async ([data, crop]) => {
          const found = await bitcodec.decode(bytes(data), crop ? { crop } : {});
          return [found.width, found.height, text(found.rgba)];
        }""",
        [base64.b64encode(data).decode(), crop],
    )
    return np.frombuffer(base64.b64decode(rgba), np.uint8).reshape(height, width, 4)


def stored(name: str) -> np.ndarray:
    with Image.open(GOLDEN / f"{name}.png") as image:
        return np.asarray(image.convert("RGBA")).astype(int)


@pytest.mark.parametrize("name", NAMES)
def test_latents(page: Page, name: str) -> None:
    found = page.evaluate(
        """async (data) => {
          const { latents } = await bitcodec.latents(bytes(data));
          return latents.map((t) => [t.channels, t.h, t.w, text(t.q), t.offsets && text(t.offsets)])
        }""",
        base64.b64encode((GOLDEN / f"{name}.bin").read_bytes()).decode(),
    )
    tiles = []
    for channels, h, w, q, offsets in found:
        tile = np.frombuffer(base64.b64decode(q), np.int16).reshape(h, w, channels)
        tile = tile.transpose(2, 0, 1)
        if offsets is not None:
            plane = np.frombuffer(base64.b64decode(offsets), np.int8).reshape(1, h, w)
            tile = np.concatenate((tile, plane))
        tiles.append(tile)
    with np.load(GOLDEN / f"{name}.npz") as expected:
        wanted = [expected[key] for key in expected.files]
    assert len(tiles) == len(wanted)
    assert all(map(np.array_equal, tiles, wanted))


@pytest.mark.parametrize("name", NAMES)
def test_pixels(page: Page, name: str) -> None:
    difference = decode(page, (GOLDEN / f"{name}.bin").read_bytes()) - stored(name)
    assert np.abs(difference).max() <= (0 if name.endswith("lossless") else 1)
    assert not difference[..., 3].any()


@pytest.mark.parametrize("quality", [20, 95])
def test_pixels_of_the_shipped_weights(page: Page, quality: int) -> None:
    """At the high quality, with latents beyond 127."""
    with Image.open(ROOT / "samples" / "astronaut.png") as image:
        picture = image.convert("RGB").crop((100, 60, 356, 236))
    model = bitcodec.load_model(SHIPPED)
    data = bitcodec.encode(picture, model=model, quality=quality)
    wanted = np.asarray(bitcodec.decode(data, model=model)).astype(int)
    assert np.abs(decode(page, data)[..., :3] - wanted).max() <= 1


def test_three_megapixels_in_several_workers(page: Page, tmp_path: Path) -> None:
    unpack_golden_weights(tmp_path)
    model = bitcodec.load_model(tmp_path / "certain.safetensors")  # tiny, with few decisions
    one = Image.radial_gradient("L").resize((2048, 1536))
    picture = Image.merge("RGB", (one, one.rotate(180), one))
    data = bitcodec.encode(picture, model=model, quality=1, effort=1)
    shape_and_rows = page.evaluate(
        """async (data) => {
          const { width, height, rgba } = await bitcodec.decode(bytes(data), { threads: 2 });
          return [width, height, text(rgba.subarray(4 * 1000 * width, 4 * 1050 * width))];
        }""",
        base64.b64encode(data).decode(),
    )
    assert shape_and_rows[:2] == [2048, 1536]
    rows = np.frombuffer(base64.b64decode(shape_and_rows[2]), np.uint8).reshape(50, 2048, 4)
    wanted = np.asarray(bitcodec.decode(data, model=model)).astype(int)
    assert np.abs(rows[..., :3] - wanted[1000:1050]).max() <= 1  # a seam of tiles is in them


def test_a_crop(page: Page) -> None:
    data = (GOLDEN / "ladder-mapped.bin").read_bytes()
    part = decode(page, data, {"x0": 40, "y0": 21, "x1": 131, "y1": 80})
    assert np.abs(part - stored("ladder-mapped")[21:80, 40:131]).max() <= 1


def test_errors_are_those_of_the_command(page: Page) -> None:
    data = (GOLDEN / "ladder-rgb.bin").read_bytes()
    changed = bytearray(data)
    changed[len(data) // 2] ^= 1
    other = data[:6] + b"\0" * 8 + data[14:]
    for bad in (b"", b"GIF89a", data[:-5], data + b"x", bytes(changed), other):
        with pytest.raises(bitcodec.BitcodecError) as told:
            bitcodec.decode(bad)
        with pytest.raises(Error, match=f"BitcodecError: {told.value}\n"):
            decode(page, bad)
    assert decode(page, data).shape == (40, 70, 4)  # the worker goes on


def as_shown(value: object) -> str:
    """What the page's table makes of a value."""
    if value is None or isinstance(value, bool):
        return {True: "yes", False: "no", None: "none"}[value]
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def test_the_page_shows_a_linked_file(view: Page, address: str, site: Path, tmp_path: Path) -> None:
    errors: list[str] = []
    requests: list[str] = []
    view.on("pageerror", lambda error: errors.append(str(error)))
    view.on("request", lambda request: requests.append(request.url))
    view.goto(f"{address}index.html?file=ladder-mapped.bin")
    view.wait_for_function(f"{_STATE} === 'ready'")
    shown = view.evaluate(
        "[...document.getElementById('canvas').getContext('2d').getImageData(85, 45, 1, 1).data]"
    )
    assert np.abs(np.array(shown) - stored("ladder-mapped")[45, 85]).max() <= 1
    info = read_info(site / "ladder-mapped.bin")
    facts = dict(
        view.evaluate(
            "[...document.querySelectorAll('#facts tr')].map((r) => "
            "[r.cells[0].textContent, r.cells[1].textContent])"
        )
    )
    wanted = dataclasses.asdict(info) | {"model": "ladder", "family": "ladder"}
    assert facts == {name: as_shown(value) for name, value in wanted.items()}
    view.keyboard.press("1")
    view.keyboard.press("+")
    assert view.inner_text("#zoom") == "200 %"
    with view.expect_download() as download:
        view.keyboard.press("s")
    download.value.save_as(tmp_path / "saved.png")
    with Image.open(tmp_path / "saved.png") as image:
        assert np.abs(np.asarray(image.convert("RGBA")) - stored("ladder-mapped")).max() <= 1
    view.screenshot(path=tmp_path / "page.png")
    assert errors == []
    assert all(url.startswith((address, "blob:", "data:")) for url in requests)


def test_chosen_files_and_an_error_on_the_page(view: Page, address: str, tmp_path: Path) -> None:
    view.goto(address)
    (tmp_path / "bad.bin").write_bytes(b"nothing")
    view.set_input_files("#choose", [tmp_path / "bad.bin", GOLDEN / "sign-rgb.bin"])
    view.wait_for_function(f"{_STATE} === 'failed'")
    assert view.inner_text("#error") == "bad.bin: not a bitcodec file"
    assert view.is_hidden("#viewer")
    view.click("#files button:has-text('sign-rgb.bin')")
    view.wait_for_function(f"{_STATE} === 'ready'")
    assert view.is_hidden("#error")
    assert view.get_attribute("#stage", "aria-label") == "sign-rgb.bin, 70 by 40 pixels"


def test_a_dropped_file_and_one_of_another_site(view: Page, address: str) -> None:
    view.goto(f"{address}?file=https://example.com/a.bin")
    view.wait_for_function(f"{_STATE} === 'failed'")
    assert view.inner_text("#error") == "a.bin: it is of another site, and not loaded"
    dropped = view.evaluate_handle(
        """async () => {
          const data = new DataTransfer();
          const blob = await (await fetch('ladder-grey.bin')).blob();
          data.items.add(new File([blob], 'dropped.bin'));
          return data;
        }"""
    )
    view.dispatch_event("body", "drop", {"dataTransfer": dropped})
    view.wait_for_function(f"{_STATE} === 'ready'")
    assert str(view.inner_text("#status")).startswith("dropped.bin: ")


def test_without_a_network_once_it_was_loaded(view: Page, address: str) -> None:
    view.goto(f"{address}?file=ladder-rgb.bin")
    view.wait_for_function(f"{_STATE} === 'ready'")
    view.evaluate("navigator.serviceWorker.ready.then(() => true)")
    view.reload()  # the service worker sees what is loaded
    view.wait_for_function(f"{_STATE} === 'ready'")
    view.context.set_offline(True)
    try:
        view.goto(address)
        view.set_input_files("#choose", [GOLDEN / "ladder-rgb.bin"])
        view.wait_for_function(f"{_STATE} === 'ready'")
    finally:
        view.context.set_offline(False)


def test_a_folder_that_is_not_empty_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    assert main(["page", str(tmp_path)]) == 5
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
