#!/usr/bin/env python
"""The browser decoder in headless Chromium: how fast it is, and what mutated files do to it.

    scripts/browser.py time PICTURE... [--quality Q] [--threads N]... [--repeat N]
    scripts/browser.py mutate [--count N] [--seed K] [--findings DIR]

`time` prints seconds of the module's `decode`, the first and the best, with 1 thread and more,
beside `bitcodec.decode` in a loaded process; what the page loads; and how long an empty browser
takes from the address to the picture. `mutate` throws mutated golden files at it. Each must give
the picture or the error that `bitcodec.decode` gives; findings are saved, and exit with 1.
"""

from __future__ import annotations

import argparse
import base64
import collections
import contextlib
import functools
import http.server
import lzma
import os
import re
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

import bitcodec
from bitcodec.cli.main import main as command

GOLDEN = Path(__file__).resolve().parents[1] / "tests" / "golden" / "v1"
CHROMIUM = shutil.which("chromium")
_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
_HELPERS = """async () => {
  window.bitcodec = await import('./bitcodec.js');
  window.bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  window.text = (array) => {
    const all = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
    let out = '';
    for (let i = 0; i < all.length; i += 8192) {
      out += String.fromCharCode(...all.subarray(i, i + 8192));
    }
    return btoa(out);
  };
}"""
_TRY = """async (data) => {
  const late = new Promise((_, reject) => setTimeout(() => reject(new Error('hangs')), 60000));
  try {
    const { width, height, rgba } = await Promise.race([bitcodec.decode(bytes(data)), late]);
    return { width, height, rgba: text(rgba) };
  } catch (error) {
    return { error: error.message, known: error instanceof bitcodec.BitcodecError };
  }
}"""
_TIME = """async ([data, threads, repeat]) => {
  const out = [];
  for (let n = 0; n < repeat; n++) {
    const start = performance.now();
    await bitcodec.decode(bytes(data), { threads });
    out.push((performance.now() - start) / 1000);
  }
  bitcodec.stop();
  return out;
}"""
MOST_PIXELS = 2**20  #: mutated files that claim more are left out


class _Handler(http.server.SimpleHTTPRequestHandler):
    extensions_map = {
        **http.server.SimpleHTTPRequestHandler.extensions_map,
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
    }
    isolated = False

    def end_headers(self) -> None:
        if self.isolated:
            self.send_header("Cross-Origin-Opener-Policy", "same-origin")
            self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()

    def log_message(self, *args: Any) -> None:
        pass


class _Isolated(_Handler):
    isolated = True


@contextlib.contextmanager
def serve(folder: Path, *, isolated: bool = False) -> Iterator[str]:
    """A web server of a folder; its address. Isolated pages may use threads."""
    handler = functools.partial(_Isolated if isolated else _Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=_FLAGS)
        yield browser
        browser.close()


def open_module(browser: Browser, address: str) -> Page:
    """A page with `bitcodec`, and `bytes` and `text` to and from base64."""
    page = browser.new_page(viewport={"width": 1000, "height": 900})
    page.goto(address)
    page.evaluate(_HELPERS)
    return page


def write_site(folder: Path) -> None:
    """The page with the models that the command has."""
    if command(["page", "--quiet", "--force", str(folder)]):
        raise SystemExit("the page could not be written")


def unpack_golden_weights(folder: Path) -> None:
    """The golden models into a folder for BITCODEC_WEIGHTS."""
    for path in GOLDEN.glob("*.safetensors.xz"):
        (folder / path.stem).write_bytes(lzma.decompress(path.read_bytes()))


def time_files(options: argparse.Namespace, site: Path) -> int:
    """See the top."""
    write_site(site)
    with chromium() as browser:
        for path in options.pictures:
            with Image.open(path) as image:
                data = bitcodec.encode(image.convert("RGB"), quality=options.quality)
            (site / "picture.bin").write_bytes(data)
            print(f"{path}: {image.width}x{image.height}, {len(data)} bytes")
            seconds = []
            for _ in range(options.repeat):
                start = time.perf_counter()
                bitcodec.decode(data)
                seconds.append(time.perf_counter() - start)
            print(f"  bitcodec.decode: first {seconds[0]:.2f} s, best {min(seconds):.2f} s")
            for isolated in (False, True):
                with serve(site, isolated=isolated) as address:
                    for threads in options.threads or (1, 2):
                        page = open_module(browser, address)
                        given = [base64.b64encode(data).decode(), threads, options.repeat]
                        found = page.evaluate(_TIME, given)
                        kind = "isolated" if isolated else "any page"
                        first, best = found[0], min(found)
                        print(f"  {kind}, {threads} threads: first {first:.2f}, best {best:.2f} s")
                        page.close()
        with serve(site) as address:
            show_load(browser, f"{address}?file=picture.bin")
    return 0


def show_load(browser: Browser, address: str) -> None:
    """How much a page loads, and how long it takes with an empty cache."""
    context = browser.new_context()
    page = context.new_page()
    sizes: dict[str, int] = {}
    page.on("response", lambda r: sizes.update({r.url: int(r.headers.get("content-length", 0))}))
    start = time.perf_counter()
    page.goto(address)
    page.wait_for_function("document.body.dataset.state === 'ready'")
    seconds = time.perf_counter() - start
    print(f"from the address to the picture: {seconds:.2f} s, {sum(sizes.values())} bytes")
    for url, size in sizes.items():
        print(f"  {size:9d} {url.rsplit('/', 1)[-1]}")
    context.close()


def resident(browser: Browser, page: Page) -> int:
    """MiB of all renderers after the page's garbage is collected (Linux)."""
    page.context.new_cdp_session(page).send("HeapProfiler.collectGarbage")
    session = browser.new_browser_cdp_session()
    found = 0
    for process in session.send("SystemInfo.getProcessInfo")["processInfo"]:
        if process["type"] == "renderer":
            pages = Path(f"/proc/{process['id']}/statm").read_text().split()[1]
            found += int(pages) * os.sysconf("SC_PAGE_SIZE") >> 20
    session.detach()
    return found


def expected(data: bytes) -> np.ndarray | str | None:
    """RGBA, or an error's text, or None of a file that claims too much."""
    try:
        image = bitcodec.decode(data, max_pixels=MOST_PIXELS)
    except bitcodec.BitcodecError as error:
        return None if f"more than {MOST_PIXELS}" in str(error) else str(error)
    return np.asarray(image.convert("RGBA"))


def compare(found: dict[str, Any], wanted: np.ndarray | str) -> str | None:
    """What is wrong with a result, None where nothing is."""
    if "error" in found:
        if not found["known"]:
            return f"fails: {found['error']}"
        text = wanted if isinstance(wanted, str) else "a picture"
        same = _plain(found["error"]) == _plain(text)
        return None if same else f"{found['error']!r}, the command: {text!r}"
    if isinstance(wanted, str):
        return f"a picture, the command: {wanted!r}"
    rgba = np.frombuffer(base64.b64decode(found["rgba"]), np.uint8).astype(int)
    if wanted.shape != (found["height"], found["width"], 4):
        return "the size differs"
    most = np.abs(rgba - wanted.ravel()).max()
    return None if most <= 1 else f"pixels differ by {most}"


def _plain(message: str) -> str:
    """Without what only the command can know: other models, what Pillow says of a picture."""
    message = re.sub(r"( \(known: .*|: its weights are not here)$", "", message)
    return re.sub(r"((overlay \d+|section)(:| is) damaged): .*$", r"\1", message)


def mutate(options: argparse.Namespace, site: Path) -> int:
    """See the top."""
    from hostile import Mutator, reseal

    weights = site / "weights"
    weights.mkdir()
    unpack_golden_weights(weights)
    os.environ["BITCODEC_WEIGHTS"] = str(weights)
    write_site(site)
    seeds = [path.read_bytes() for path in sorted(GOLDEN.glob("*.bin"))]
    mutator = Mutator(seeds, options.seed)
    counts: collections.Counter[str] = collections.Counter()
    with serve(site) as address, chromium() as browser:
        page = open_module(browser, address)
        memory, slowest, start = [resident(browser, page)], 0.0, time.monotonic()
        for n in range(options.count):
            kind, data = mutator.draw()
            if data[6:14] == bytes(8):  # a made header: give it a model that is there
                data = data[:6] + mutator.random.choice(seeds)[6:14] + data[14:]
                data = reseal(data) if kind.endswith("sealed") else data
            wanted = expected(data)
            begin, problem = time.monotonic(), None
            if wanted is not None:
                found = page.evaluate(_TRY, base64.b64encode(data).decode())
                problem = compare(found, wanted)
            slowest = max(slowest, time.monotonic() - begin)
            kinds = {type(None): "too large", str: "errors", np.ndarray: "pictures"}
            counts[kinds[type(wanted)]] += 1
            if problem:
                counts["findings"] += 1
                options.findings.mkdir(exist_ok=True)
                path = options.findings / f"browser-{options.seed}-{n}.bin"
                path.write_bytes(data)
                print(f"{path} ({kind}): {problem}", file=sys.stderr, flush=True)
            if n + 1 in (options.count // 2, options.count):
                memory.append(resident(browser, page))
        seconds = time.monotonic() - start
        page.evaluate("() => bitcodec.stop()")
        time.sleep(2)
        print(f"{dict(counts)} in {seconds:.0f} s; slowest {slowest:.1f} s")
        memory.append(resident(browser, page))
        print("resident MiB before, after half, after all, after stop():", *memory)
    return 1 if counts["findings"] else 0


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    timing = commands.add_parser("time")
    timing.add_argument("pictures", nargs="+", type=Path)
    timing.add_argument("--quality", type=int, default=50)
    timing.add_argument("--threads", type=int, action="append")
    timing.add_argument("--repeat", type=int, default=3)
    timing.set_defaults(work=time_files)
    mutating = commands.add_parser("mutate")
    mutating.add_argument("--count", type=int, default=2000)
    mutating.add_argument("--seed", type=int, default=0)
    mutating.add_argument("--findings", type=Path, default=Path("findings"))
    mutating.set_defaults(work=mutate)
    options = parser.parse_args()
    if CHROMIUM is None:
        raise SystemExit("Debian's package chromium is not installed")
    with tempfile.TemporaryDirectory() as folder:
        found: int = options.work(options, Path(folder))
    return found


if __name__ == "__main__":
    sys.exit(main())
