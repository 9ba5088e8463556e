"""Plots and the page, as files; `compare`."""

from __future__ import annotations

import base64
import io
import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bitcodec.cli.main import main
from bitcodec.evaluate.metrics import chosen
from bitcodec.evaluate.rivals import rival
from bitcodec.evaluate.summary import Curve, Point
from bitcodec.report import page, plots, viewer
from bitcodec.report.page import Table

pytest.importorskip("matplotlib")

ALL = chosen(("psnr", "ms-ssim", "ssimulacra2"))
Draw = Callable[..., Image.Image]
Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Command:
    monkeypatch.chdir(tmp_path)

    def invoke(*args: str | Path) -> tuple[int, str, str]:
        capfd.readouterr()
        code = main([str(a) for a in args])
        out, err = capfd.readouterr()
        return code, out, err

    return invoke


def curves(count: int = 2, ms_ssim: bool = True) -> list[Curve]:
    def point(i: int, j: int, measured: bool) -> Point:
        similar = 1 - 0.1 * 0.6**i if ms_ssim else None
        time = (1000.0, 0.1, 0.2) if measured else (None, None, None)
        scores = {"psnr": 25 + 2 * i + j, "ms-ssim": similar}
        return Point(f"q{i}", 0.2 * 2**i, scores, *time)

    return [
        Curve(
            f"codec {j} <&>",
            "measured" if j < 2 else "a paper",
            tuple(point(i, j, j < 2) for i in range(4)),
        )
        for j in range(count)
    ]


def pixels_of(uri: str) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    kind, data = uri.split(",", 1)
    assert kind == "data:image/webp;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        return np.asarray(image.convert("RGB"))


class Tags(HTMLParser):
    """Every start tag with its attributes, and the text of the data element."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.data = ""
        self._inside = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = dict(attrs).get("id") == "data"

    def handle_endtag(self, tag: str) -> None:
        self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.data += data


# Plots


@pytest.mark.parametrize("count", [1, 2, 9])
def test_plot_files(count: int) -> None:
    files = plots.plot_files(curves(count), ALL)
    assert sorted(files) == sorted(
        f"{name}.{suffix}"
        for name in ("rd-psnr", "rd-ms-ssim", "time")
        for suffix in ("png", "svg")
    )
    for name, data in files.items():
        if name.endswith("png"):
            with Image.open(io.BytesIO(data)) as image:
                assert image.size[0] == 1200
                assert image.convert("L").getextrema() == (0, 255)
        else:
            assert ElementTree.fromstring(data).tag.endswith("svg")
    assert plots.plot_files(curves(count), ALL) == files  # no dates, no random ids


def test_no_plot_without_figures() -> None:
    assert set(plots.figures(curves(2, ms_ssim=False), ALL)) == {"rd-psnr", "time"}
    assert set(plots.figures([c for c in curves(4) if not c.measured], ALL)) == {
        "rd-psnr",
        "rd-ms-ssim",
    }


def test_measured_curves_differ_in_colour_and_marker() -> None:
    many = [Curve(str(i), "measured", curves(1)[0].points) for i in range(8)]
    lines = plots.figures(many, ALL)["rd-psnr"].axes[0].get_lines()
    assert len({line.get_color() for line in lines}) == 8
    assert len({line.get_marker() for line in lines}) == 8


def test_inline_svg_shares_a_page() -> None:
    figures = plots.inline_svg(curves(3), ALL)
    text = "".join(figures.values())
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(set(ids)) == len(ids)
    assert set(re.findall(r"url\(#([^)]+)\)", text)) <= set(ids)
    assert set(re.findall(r'xlink:href="#([^"]+)"', text)) <= set(ids)
    assert "currentColor" in text
    assert "codec 0 &lt;&amp;&gt;" in text


# Viewer


def test_versions_are_near_the_size_and_lossless_copies(draw: Draw) -> None:
    noise = np.random.default_rng(1).integers(0, 30, (90, 120, 3), dtype=np.uint8)
    pixels = np.asarray(draw(120, 90)) // 2 + noise
    codecs = [rival("jpeg"), rival("jpeg2000")]
    shown, failures = viewer.at_sizes("x.png", pixels, codecs, (1.5, 3), ALL)
    assert not failures
    assert np.array_equal(pixels_of(shown.uri), pixels)
    assert [label for label, _ in shown.sizes] == ["1.5 bpp, 2,025 B", "3 bpp, 4,050 B"]
    for size, (_, versions) in zip((2025, 4050), shown.sizes, strict=True):
        assert [v.codec for v in versions] == ["jpeg-420", "jpeg2000"]
        assert all(abs(v.bytes / size - 1) < 0.25 for v in versions)
        assert all(v.bpp == 8 * v.bytes / (120 * 90) for v in versions)
    best = shown.sizes[1][1][0]
    setting, data = codecs[0].fit(pixels, 4050)
    assert best.setting == setting.label
    assert np.array_equal(pixels_of(best.uri), codecs[0].decode(data))


def test_a_large_picture_is_cropped_to_its_middle() -> None:
    pixels = np.zeros((4, 2001, 3), np.uint8)
    pixels[:, 1000] = 255
    part = viewer.crop(pixels)
    assert part.shape == (4, viewer.MAX_SHOWN, 3)
    assert part[0, 1000 - (2001 - viewer.MAX_SHOWN) // 2].tolist() == [255] * 3


# Page


def test_page_is_self_contained_and_escaped(draw: Draw) -> None:
    name = '</script><script>alert(1)</script>{{js}} "x"'
    pixels = np.asarray(draw(40, 30))
    shown, _ = viewer.at_sizes(name, pixels, [rival("jpeg")], (2,), ALL)
    text = page.build(
        title="a <b>{{data}}",
        intro="c & d",
        pictures=[shown],
        plots=plots.inline_svg(curves(2), ALL),
        tables=[Table("t <i>", [("h", "n"), ("<u>", "1")], 1)],
    )
    found = Tags(text)
    (picture,) = json.loads(found.data)
    assert picture["name"] == name
    assert {tag for tag, _ in found.tags}.isdisjoint({"b", "i", "u", "iframe", "object"})
    assert sum(tag == "script" for tag, _ in found.tags) == 2
    for tag, attributes in found.tags:
        for key in ("src", "href", "action", "srcset"):
            value = attributes.get(key)
            assert value is None or value.startswith("data:"), (tag, value)
    assert not re.search(r"@import|url\((?!#)", text)
    assert "a &lt;b&gt;{{data}}" in text
    assert "hidden" not in dict(found.tags)["section"]


def test_page_without_pictures_has_no_viewer() -> None:
    found = Tags(page.build(title="t", intro=""))
    (viewer_attributes,) = [a for _, a in found.tags if a.get("id") == "viewer"]
    assert "hidden" in viewer_attributes
    assert json.loads(found.data) == []


# compare


def test_compare(command: Command, draw: Draw, tmp_path: Path, tiny_weights: Path) -> None:
    image = draw(200, 180)
    image.save("a.png")
    image.save("b.jpg", quality=40)
    image.save("c.webp", lossless=True)
    assert main(["encode", "a.png", "a.bin", "-m", "sign", "--quiet"]) == 0
    code, out, err = command("compare", "a.png", "a.bin", "b.jpg", "c.webp")
    assert (code, err) == (0, "")
    head, _, binary, jpeg, webp = (line.split() for line in out.splitlines())
    assert head == ["file", "bytes", "bpp", "PSNR", "dB", "MS-SSIM", "SSIMULACRA2"]
    assert binary[:2] == ["a.bin", str(Path("a.bin").stat().st_size)]
    assert jpeg[:2] == ["b.jpg", str(Path("b.jpg").stat().st_size)]
    assert 20 < float(jpeg[3]) < 60
    assert 0.8 < float(jpeg[4]) < 1
    assert webp[3:] == ["lossless", "1.00000", "100.00"]
    assert float(jpeg[5]) < 100

    code, out, _ = command("compare", "a.png", "b.jpg", "--json")
    record = json.loads(out)
    assert record["file"] == "b.jpg"
    assert record["psnr"] == pytest.approx(float(jpeg[3]), abs=0.006)

    code, out, _ = command("compare", "a.png", "a.bin", "b.jpg", "-o", "look.html", "--quiet")
    assert (code, out) == (0, "")
    (picture,) = json.loads(Tags(Path("look.html").read_text()).data)
    assert [v["codec"] for v in picture["sizes"][0][1]] == ["a.bin", "b.jpg"]
    code, _, err = command("compare", "a.png", "b.jpg", "-o", "look.html")
    assert code == 5
    assert "exists already" in err
    assert command("compare", "a.png", "b.jpg", "-o", "look.html", "-f")[0] == 0


def test_compare_errors(command: Command, draw: Draw) -> None:
    draw(50, 40).save("a.png")
    draw(40, 50).save("turned.png")
    draw(50, 40).save("good.jpg")
    Path("bad.bin").write_bytes(b"\x89BTC\x0d\x0a")
    code, out, err = command("compare", "a.png", "turned.png", "good.jpg", "missing.jpg", "bad.bin")
    assert code == 1
    assert "good.jpg" in out
    lines = err.splitlines()
    assert lines[0] == "bitcodec: error: turned.png: is 40x50, the original 50x40"
    assert [line.split(": ")[2] for line in lines] == ["turned.png", "missing.jpg", "bad.bin"]
    assert command("compare", "a.png", "bad.bin")[0] == 3
    assert command("compare", "a.png", "missing.jpg")[0] == 5
    code, _, err = command("compare", "missing.png", "a.png")
    assert code == 5
    assert "missing.png" in err
    assert command("compare", "a.png")[0] == 2
