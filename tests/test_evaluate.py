"""The evaluation: figures, resuming, failures, BD-rate."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, features

from bitcodec.cli.main import main
from bitcodec.errors import BitcodecError, FileError, TargetError
from bitcodec.evaluate.codecs import Pixels, Setting, nearest_quality
from bitcodec.evaluate.learned import LearnedCodec, code_digest
from bitcodec.evaluate.metrics import METRICS, chosen
from bitcodec.evaluate.rivals import RIVALS, find, rival
from bitcodec.evaluate.rows import Row, RowStore
from bitcodec.evaluate.runner import Job, Outcome
from bitcodec.evaluate.runner import run as run_metrics
from bitcodec.evaluate.speed import measure_speed
from bitcodec.evaluate.summary import (
    BdRate,
    Curve,
    Point,
    bd_rates,
    common_range,
    load_anchors,
    mean_curves,
)
from bitcodec.evaluate.worst import find_losses

pytest.importorskip("scipy")
pytest.importorskip("matplotlib")

Draw = Callable[..., Image.Image]
Command = Callable[..., tuple[int, str, str]]


@dataclass
class Fake:
    """At q the file is 10 q bytes, and every sample comes back 100 / q higher or lower."""

    name: str = "fake"
    identity: str = "1"
    settings: tuple[Setting, ...] = (Setting("quality", 10), Setting("quality", 50))
    stop_after: int | None = None
    fail_at: float | None = None
    calls: list[float] = field(default_factory=list)
    pixels: Pixels = field(default_factory=lambda: np.zeros((1, 1, 3), np.uint8))

    def encode(self, pixels: Pixels, setting: Setting) -> bytes:
        if self.stop_after is not None and len(self.calls) >= self.stop_after:
            raise KeyboardInterrupt
        if setting.value == self.fail_at:
            raise OSError("the encoder\nfell over")
        self.calls.append(setting.value)
        self.pixels = pixels
        return bytes([int(setting.value)]) * (10 * int(setting.value))

    def decode(self, data: bytes) -> Pixels:
        shift = 100 // data[0]
        return np.where(self.pixels < 128, self.pixels + shift, self.pixels - shift).astype(
            np.uint8
        )

    @property
    def recipe(self) -> dict[str, Any]:
        raise NotImplementedError

    def command(
        self, what: Literal["encode", "decode"], source: Path, target: Path, setting: Setting
    ) -> None:
        return None

    def fit(self, pixels: Pixels, size: int) -> tuple[Setting, bytes]:
        raise TargetError("none")


@pytest.fixture
def folder(tmp_path: Path, draw: Draw) -> Path:
    """Three pictures: 48x32, 40x40, 64x16."""
    path = tmp_path / "pictures"
    path.mkdir()
    for name, size in {"a.png": (48, 32), "b.png": (40, 40), "c.png": (64, 16)}.items():
        draw(*size).save(path / name)
    return path


@pytest.fixture
def jobs(folder: Path) -> list[Job]:
    return [Job(path.name, path) for path in sorted(folder.iterdir())]


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


FAST = chosen(("psnr", "ms-ssim"))
SCORES = {"psnr": 30.0, "ms-ssim": 0.9}


def run(*args: Any, **options: Any) -> Outcome:
    return run_metrics(*args, **{"metrics": FAST, **options})


def steady(row: Row) -> Row:
    return replace(row, encode_s=0, decode_s=0, jobs=0)


def test_figures_of_a_row(jobs: list[Job], tmp_path: Path) -> None:
    outcome = run(jobs, [Fake()], RowStore(tmp_path / "rows.csv"))
    assert [(r.picture, r.setting) for r in outcome.rows[:3]] == [
        ("a.png", "q10"),
        ("a.png", "q50"),
        ("b.png", "q10"),
    ]
    first = outcome.rows[0]
    assert (first.bytes, first.width, first.height) == (100, 48, 32)
    assert first.bpp == 800 / (48 * 32)
    assert first.scores["psnr"] == pytest.approx(20 * math.log10(255 / 10))
    assert outcome.rows[1].scores["psnr"] == pytest.approx(20 * math.log10(255 / 2))
    assert first.scores["ms-ssim"] is None  # too small for it


def test_means_are_of_the_pictures_values(jobs: list[Job], tmp_path: Path) -> None:
    outcome = run(jobs, [Fake()], RowStore(tmp_path / "rows.csv"))
    (curve,) = mean_curves(outcome.rows)
    areas = [48 * 32, 40 * 40, 64 * 16]
    assert [p.setting for p in curve.points] == ["q10", "q50"]
    assert curve.points[0].bpp == pytest.approx(sum(800 / a for a in areas) / 3)
    assert curve.points[0].scores["psnr"] == pytest.approx(20 * math.log10(255 / 10))
    assert curve.points[0].scores["ms-ssim"] is None


def test_mean_psnr_is_not_psnr_of_the_mean_error() -> None:
    base = Row("a", "0", 200, 200, "x", "1", "q1", 10, 1.0, SCORES, 0.1, 0.1, 1)
    other = replace(base, picture="b", scores={"psnr": 40.0, "ms-ssim": None})
    (curve,) = mean_curves([base, other])
    assert curve.points[0].scores["psnr"] == 35.0
    assert curve.points[0].scores["ms-ssim"] == 0.9
    assert curve.points[0].encode_s == pytest.approx(0.2 / 0.08)  # per megapixel


def test_interrupted_and_started_again(jobs: list[Job], tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    whole = run(jobs, [Fake()], RowStore(tmp_path / "other.csv"))
    with pytest.raises(KeyboardInterrupt):
        run(jobs, [Fake(stop_after=4)], RowStore(path))
    with path.open("a") as stream:
        stream.write("c.png,torn off in the mid")
    again = Fake()
    outcome = run(jobs, [again], RowStore(path))
    assert again.calls == [10, 50]  # the third picture alone
    assert outcome.reused == 4
    assert [steady(r) for r in outcome.rows] == [steady(r) for r in whole.rows]
    third = Fake()
    assert run(jobs, [third], RowStore(path)).reused == 6
    assert third.calls == []
    assert len(path.read_text().splitlines()) == 7
    assert "torn" not in path.read_text()


@pytest.mark.parametrize("what", ["model", "picture", "setting"])
def test_what_changed_is_measured_again(
    what: str, jobs: list[Job], tmp_path: Path, draw: Draw
) -> None:
    path = tmp_path / "rows.csv"
    run(jobs, [Fake()], RowStore(path))
    again = Fake()
    expected = [10.0, 50.0]
    if what == "model":
        again.identity = "2"
        expected *= 3
    elif what == "picture":
        draw(48, 33).save(jobs[0].path)
    else:
        again.settings = (Setting("quality", 10), Setting("quality", 20))
        expected = [20.0] * 3
    run(jobs, [again], RowStore(path))
    assert again.calls == expected


@pytest.mark.parametrize(("name", "other"), [("models/a.py", True), ("cli/a.py", False)])
def test_rows_of_other_code_are_measured_again(name: str, other: bool, tmp_path: Path) -> None:
    for part in ("models", "cli"):
        (tmp_path / "one" / part).mkdir(parents=True)
        (tmp_path / "one" / part / "a.py").write_text("a = 1")
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    assert code_digest(tmp_path / "one") == code_digest(tmp_path / "two")
    shutil.copytree(tmp_path / "one", tmp_path / "three")
    (tmp_path / "three" / name).write_text("a = 2")
    assert (code_digest(tmp_path / "one") != code_digest(tmp_path / "three")) == other


def test_threads_give_the_same_rows(jobs: list[Job], tmp_path: Path) -> None:
    codecs = [rival("jpeg", (20, 80)), rival("webp", (30,))]
    one = run(jobs, codecs, RowStore(tmp_path / "1.csv"))
    count: list[int] = []
    three = run(jobs, codecs, RowStore(tmp_path / "3.csv"), jobs=3, advance=count.append)
    assert [steady(r) for r in one.rows] == [steady(r) for r in three.rows]
    assert {r.jobs for r in three.rows} == {3}
    assert sum(count) == 9
    kept = RowStore(tmp_path / "3.csv")
    assert all(kept.get(row.key) == row for row in three.rows)


def test_failures_are_collected(jobs: list[Job], tmp_path: Path) -> None:
    jobs[1].path.write_bytes(b"no picture")
    outcome = run(jobs, [Fake(fail_at=50)], RowStore(tmp_path / "rows.csv"))
    assert [(r.picture, r.setting) for r in outcome.rows] == [("a.png", "q10"), ("c.png", "q10")]
    texts = [str(failure) for failure in outcome.failures]
    assert texts[0] == "a.png: fake q50: the encoder fell over"
    assert texts[1].startswith("b.png: ")
    assert len(texts) == 3


def test_a_setting_that_failed_for_one_picture_is_not_in_the_means() -> None:
    base = Row("a", "0", 200, 200, "x", "1", "q1", 10, 1.0, SCORES, 0.1, 0.1, 1)
    rows = [base, replace(base, picture="b"), replace(base, setting="q2")]
    (curve,) = mean_curves(rows)
    assert [p.setting for p in curve.points] == ["q1"]


def test_a_decoder_that_gives_another_size_fails(jobs: list[Job], tmp_path: Path) -> None:
    codec = Fake()
    codec.decode = lambda data: np.zeros((2, 2, 3), np.uint8)  # type: ignore[method-assign]
    outcome = run(jobs[:1], [codec], RowStore(tmp_path / "rows.csv"))
    assert not outcome.rows
    assert "decoded to the shape (2, 2, 3)" in outcome.failures[0].reason


def test_two_codecs_of_one_name(tmp_path: Path) -> None:
    with pytest.raises(BitcodecError, match="two codecs of one name"):
        run([], [Fake(), Fake()], RowStore(tmp_path / "rows.csv"))


@pytest.mark.parametrize("content", ["", "a,b\n1,2\n", "\xff\xfe", None])
def test_a_foreign_rows_file_is_refused(content: str | None, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    if content is None:
        RowStore(path)
        path.write_text(path.read_text() + "not,enough\n")
    else:
        path.write_text(content, encoding="latin-1")
    with pytest.raises(FileError, match=r"rows\.csv"):
        RowStore(path)
    RowStore(path, fresh=True)


def test_rows_survive_the_file(tmp_path: Path) -> None:
    scores = {"psnr": math.inf, "ms-ssim": None}
    row = Row('od,d "n"ame', "0", 2, 2, "x", "1", "q1", 1, 1 / 3, scores, 0.1, 0.2, 1)
    store = RowStore(tmp_path / "rows.csv")
    store.add(row)
    store.add(replace(row, scores={"ssimulacra2": 0.1 + 0.2}, picture="b"))
    again = RowStore(tmp_path / "rows.csv")
    assert len(again) == 2
    assert again.get(row.key) == row
    other = again.get(replace(row, picture="b").key)
    assert other is not None
    assert other.scores == {"ssimulacra2": 0.1 + 0.2}


# Codecs


def available(name: str) -> bool:
    try:
        rival(name)
    except BitcodecError:
        return False
    return True


@pytest.mark.parametrize("name", RIVALS)
def test_rivals(name: str, draw: Draw) -> None:
    if not available(name):
        pytest.skip(f"no library for {name} here")
    codec = rival(name)
    pixels = np.asarray(draw(96, 64))
    low, high = (codec.encode(pixels, codec.settings[i]) for i in (1, -1))
    assert len(low) < len(high)
    errors = [np.abs(codec.decode(d).astype(int) - pixels).mean() for d in (low, high)]
    assert errors[1] < errors[0] < 60
    assert codec.decode(high).dtype == np.uint8
    assert codec.encode(pixels, codec.settings[1]) == low


def test_jpeg_is_progressive_optimised_and_subsampled(draw: Draw) -> None:
    pixels = np.asarray(draw(96, 64))
    codec = rival("jpeg", (50,))
    data = codec.encode(pixels, codec.settings[0])
    with Image.open(io.BytesIO(data)) as image:
        assert image.info.get("progressive")
        assert [layer[1:3] for layer in image.layer] == [(2, 2), (1, 1), (1, 1)]  # type: ignore[attr-defined]
    plain = io.BytesIO()
    Image.fromarray(pixels).save(plain, "JPEG", quality=50)
    assert len(data) < len(plain.getvalue())


@pytest.mark.skipif(not features.check("jpg_2000"), reason="Pillow without OpenJPEG")
def test_jpeg2000_has_a_colour_transform() -> None:
    with Image.open(Path(__file__).parent.parent / "samples" / "chelsea.png") as image:
        pixels = np.asarray(image.convert("RGB"))[:192, :256]
    codec = rival("jpeg2000", (1,))
    ours = codec.encode(pixels, codec.settings[0])
    assert len(ours) == pytest.approx(256 * 192 / 8, rel=0.05)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(
        stream, "JPEG2000", quality_mode="rates", quality_layers=[24], irreversible=True, mct=0
    )
    errors = [
        ((codec.decode(d) - pixels.astype(float)) ** 2).mean() for d in (ours, stream.getvalue())
    ]
    assert errors[0] < 0.8 * errors[1]


def test_the_first_part_of_a_name_will_do() -> None:
    assert [find(name) for name in ("avif", "jxl", "avif-444-s3")] == [
        "avif-420-s6",
        "jxl-e7",
        "avif-444-s3",
    ]


def test_codec_errors() -> None:
    with pytest.raises(BitcodecError, match="unknown codec 'gif'"):
        rival("gif")
    for name, value in (("jpeg", 0), ("jpeg", 101), ("webp", 1.5), ("jpeg2000", 0)):
        with pytest.raises(BitcodecError, match=name):
            rival(name, (value,))
    with pytest.raises(BitcodecError, match="no setting of the kind bpp"):
        rival("jpeg").encode(np.zeros((8, 8, 3), np.uint8), Setting("bpp", 1))


@pytest.mark.parametrize(("name", "module"), [("jxl-e7", "pillow_jxl"), ("mozjpeg-420", "pyvips")])
def test_a_missing_codec_package_is_named(
    name: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(BitcodecError, match="needs the package") as caught:
        rival(name)
    assert "\n" not in str(caught.value)


@given(steps=st.lists(st.integers(0, 50), min_size=100, max_size=100), size=st.integers(1, 3000))
def test_nearest_quality_is_the_nearest_of_all(steps: list[int], size: int) -> None:
    lengths = [20 + sum(steps[: i + 1]) for i in range(100)]
    tried: list[int] = []

    def encode(quality: int) -> bytes:
        tried.append(quality)
        return bytes(lengths[quality - 1])

    quality, data = nearest_quality(encode, size)
    assert len(data) == lengths[quality - 1]
    best = min(abs(math.log(length / size)) for length in lengths)
    assert abs(math.log(len(data) / size)) == pytest.approx(best)
    assert len(tried) <= 7


# BD-rate and published curves


def curve(name: str, factor: float = 1, lift: float = 0) -> Curve:
    points = (
        Point(
            "",
            factor * 2.0**i / 10,
            {
                "psnr": 25 + 2 * i + lift,
                "ms-ssim": 1 - 0.1 * 0.6 ** (i + lift),
                "ssimulacra2": 12 * i + lift,
            },
        )
        for i in range(6)
    )
    return Curve(name, "measured", tuple(points))


ALL = chosen(("psnr", "ms-ssim", "ssimulacra2"))


def bd_rate(anchor: Curve, test: Curve) -> BdRate:
    (rate,) = bd_rates([anchor, test], anchor, [], ALL)
    return rate


def without(of: Curve, metric: str) -> Curve:
    kept = [
        replace(p, scores={name: v for name, v in p.scores.items() if name != metric})
        for p in of.points
    ]
    return replace(of, points=tuple(kept))


def test_bd_rate_of_a_codec_that_needs_a_tenth_less() -> None:
    result = bd_rate(curve("a"), curve("b", factor=0.9))
    assert result.curve == pytest.approx(dict.fromkeys(("psnr", "ms-ssim", "ssimulacra2"), -10))
    assert result.mean("psnr") is None  # there are no pictures


def test_bd_rate_is_that_of_the_package() -> None:
    package = pytest.importorskip("bjontegaard")
    sides = [([0.1, 0.25, 0.6, 1.3, 2], [24, 28.1, 33, 36.5, 40])]
    sides.append(([0.12, 0.2, 0.5, 1.5], [25, 27.5, 32, 38]))
    a, b = (
        Curve(str(i), "measured", tuple(Point("", r, {"psnr": q}) for r, q in zip(*side)))  # noqa: B905
        for i, side in enumerate(sides)
    )
    wanted = package.bd_rate(
        *sides[0], *sides[1], method="pchip", require_matching_points=False, min_overlap=0
    )
    assert bd_rate(a, b).curve["psnr"] == pytest.approx(wanted)


def test_bd_rate_is_none_without_overlap_or_points() -> None:
    assert bd_rate(curve("a"), curve("b", lift=40)).curve["psnr"] is None
    single = replace(curve("b"), points=curve("b").points[:1])
    assert bd_rate(curve("a"), single).curve["psnr"] is None
    result = bd_rate(curve("a"), without(curve("b"), "ms-ssim"))
    assert result.curve["psnr"] == pytest.approx(0, abs=1e-9)
    assert result.curve["ms-ssim"] is None


def test_bd_rate_passes_over_a_point_that_is_no_better() -> None:
    points = list(curve("b").points)
    points.insert(3, replace(points[2], bpp=points[2].bpp * 1.01))
    bent = replace(curve("b"), points=tuple(points))
    assert bd_rate(curve("a"), bent).curve["psnr"] == pytest.approx(0, abs=1e-9)


def test_ssimulacra2_is_over_the_range_of_all_codecs() -> None:
    """A third curve narrows it: at low scores the second one is no better, at high ones it is."""
    points = [
        replace(point, bpp=point.bpp * (1 if index < 3 else 0.75))
        for index, point in enumerate(curve("b").points)
    ]
    better = replace(curve("b"), points=tuple(points))
    third = replace(curve("c"), points=curve("c").points[3:])
    metric = METRICS["ssimulacra2"]
    assert common_range([curve("a"), better], metric) == (0, 60)
    assert common_range([curve("a"), better, third], metric) == (36, 60)
    wide = bd_rates([curve("a"), better], curve("a"), [], ALL)[0].curve
    narrow = bd_rates([curve("a"), better, third], curve("a"), [], ALL)[0].curve
    assert narrow["ssimulacra2"] == pytest.approx(-25, abs=1)
    assert wide["ssimulacra2"] is not None
    assert -20 < wide["ssimulacra2"] < -5
    assert narrow["psnr"] == wide["psnr"]


def rows_of(picture: str, codec: str, factor: float) -> list[Row]:
    return [
        Row(picture, "0", 9, 9, codec, "1", f"q{i}", 1, p.bpp, dict(p.scores), 0.1, 0.1, 1)
        for i, p in enumerate(curve(codec, factor).points)
    ]


def test_bd_rates_of_pictures_and_where_a_codec_does_worst() -> None:
    rows = [*rows_of("x", "ours", 1), *rows_of("y", "ours", 1)]
    rows += [*rows_of("x", "near", 0.8), *rows_of("y", "near", 1.3)]
    rows += [*rows_of("x", "far", 2), *rows_of("y", "far", 3)]
    curves = mean_curves(rows)
    near, far = bd_rates(curves, curves[0], rows, ALL)
    assert near.pictures["psnr"] == pytest.approx({"x": -20, "y": 30})
    assert near.mean("psnr") == pytest.approx(5)
    assert near.curve["psnr"] == pytest.approx(5)
    assert far.mean("ssimulacra2") == pytest.approx(150)
    losses = find_losses("ours", curves, rows, ALL)
    assert [loss.metric for loss in losses] == [metric.name for metric in ALL]
    assert {loss.rival for loss in losses} == {"near"}
    assert [name for name, _ in losses[0].pictures] == ["x", "y"]
    assert find_losses("missing", curves, rows, ALL) == []


def test_anchors_file(tmp_path: Path) -> None:
    path = tmp_path / "anchors.json"
    points = [{"bpp": 2, "psnr_rgb": None, "ms_ssim": 0.99}, {"bpp": 1, "psnr_rgb": 30}]
    path.write_text(json.dumps({"x": {"source": "a paper", "points": points}}))
    (found,) = load_anchors(path)
    assert found.source == "a paper"
    assert not found.measured
    assert found.points == (
        Point("", 1, {"psnr": 30, "ms-ssim": None}),
        Point("", 2, {"psnr": None, "ms-ssim": 0.99}),
    )
    for bad in (
        "[]",
        '{"x": 1}',
        '{"x": {"points": []}}',
        "{",
        '{"x": {"source": "", "points": [{}]}}',
    ):
        path.write_text(bad)
        with pytest.raises(BitcodecError, match=r"anchors\.json"):
            load_anchors(path)
    with pytest.raises(FileError):
        load_anchors(tmp_path / "none.json")


# The command

QUICK = ("--codec", "jpeg,webp", "--codec-quality", "jpeg=20,50,80", "--no-page")
RIVALS = ("--no-model", *QUICK)


def test_command(command: Command, folder: Path, tmp_path: Path) -> None:
    anchors = tmp_path / "anchors.json"
    points = [{"bpp": b, "psnr_rgb": 20 + 4 * b, "ms_ssim": None} for b in (0.5, 1, 2, 4)]
    anchors.write_text(json.dumps({"old": {"source": "a paper", "points": points}}))
    code, out, err = command("eval", folder, *RIVALS, "--anchors", anchors, "-o", "out")
    assert code == 0
    assert "27 rows measured in " in err
    assert "0 known from before" in err
    lines = out.splitlines()
    assert lines[0].split()[:4] == ["codec", "setting", "bpp", "PSNR"]
    assert any(line.startswith("BD-rate against jpeg-420") for line in lines)
    names = {path.name for path in Path("out").iterdir()}
    kinds = ("rd-psnr", "rd-ssimulacra2", "time")
    plots = {f"{kind}.{suffix}" for kind in kinds for suffix in ("png", "svg")}
    assert names == {"rows.csv", "summary.csv", "results.json", "report.html", *plots}
    with open("out/rows.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 3 * (3 + 6)
    assert rows[0]["ms-ssim"] == "none"
    assert rows[0]["butteraugli"] == ""
    results = json.loads(Path("out/results.json").read_text())
    assert len(results["rows"]) == 27
    assert [c["name"] for c in results["curves"]] == ["jpeg-420", "webp-m6", "old"]
    assert [r["name"] for r in results["bd_rate"]] == ["webp-m6", "old"]

    code, out, err = command("eval", folder, *RIVALS, "-o", "out", "--json", "--quiet")
    assert (code, err) == (0, "")
    assert len(json.loads(out)["rows"]) == 27
    code, _, err = command("eval", folder, *RIVALS, "-o", "out")
    assert "0 rows measured" in err
    assert "27 known" in err
    code, _, err = command("eval", folder, *RIVALS, "-o", "out", "--fresh")
    assert "27 rows measured in " in err


def test_corrupt_picture_is_one_line_and_exit_1(command: Command, folder: Path) -> None:
    whole = (folder / "b.png").read_bytes()
    (folder / "b.png").write_bytes(whole[: len(whole) // 2])
    code, _, err = command("eval", folder, *RIVALS, "-o", "out", "--quiet")
    assert code == 1
    (line,) = err.splitlines()
    assert line.startswith("bitcodec: error: b.png: ")
    assert len(json.loads(Path("out/results.json").read_text())["rows"]) == 18


def test_models(command: Command, folder: Path, tiny_weights: Path) -> None:
    code, out, err = command(
        "eval", folder, "-m", "sign", "--bpp", "0.5,0.9", *QUICK, "-o", "out", "--anchor", "webp"
    )
    assert code == 0, err
    rows = [
        r for r in json.loads(Path("out/results.json").read_text())["rows"] if r["codec"] == "sign"
    ]
    assert {r["setting"] for r in rows} == {"0.5 bpp", "0.9 bpp"}
    assert all(r["identity"].startswith("model ") for r in rows)
    assert all(r["identity"].endswith(f"code {code_digest()}") for r in rows)
    # By path, from a folder that is not searched, the same file gives the same rows.
    elsewhere = folder.parent / "sign.safetensors"
    elsewhere.write_bytes(tiny_weights.read_bytes())
    _, _, err = command("eval", folder, "-m", elsewhere, "--bpp", "0.5,0.9", *QUICK, "-o", "out")
    assert "0 rows measured" in err


def test_set(command: Command, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, _, err = command("eval", "--set", "pictures", *RIVALS, "-o", "out")
    assert (code, "BITCODEC_SETS" in err) == (5, True)
    monkeypatch.setenv("BITCODEC_SETS", f"/nowhere{os.pathsep}{folder.parent}")
    assert command("eval", "--set", "pictures", *RIVALS, "-o", "out", "--quiet")[0] == 0
    named = json.loads(Path("out/results.json").read_text())["rows"]
    assert {row["picture"] for row in named} == {"a.png", "b.png", "c.png"}


def test_metrics(command: Command, folder: Path) -> None:
    args = ("eval", folder, *RIVALS, "-o", "out", "--metrics")
    code, out, _ = command(*args, "psnr")
    assert code == 0
    assert "SSIMULACRA2" not in out
    assert "27 rows measured" in command(*args, "ssimulacra2")[2]
    # Both are known now.
    code, out, err = command(*args, "psnr,ssimulacra2")
    assert "0 rows measured" in err
    assert "over the scores that all codecs cover" in out
    assert command(*args, "beauty")[0] == 1


@pytest.mark.skipif(shutil.which("butteraugli") is None, reason="no program butteraugli")
def test_butteraugli(draw: Draw) -> None:
    (metric,) = chosen(["butteraugli"])
    pixels = np.asarray(draw(64, 48))
    values = []
    for quality in (20, 80):
        codec = rival("jpeg", (quality,))
        values.append(metric.prepare(pixels)(codec.decode(codec.encode(pixels, codec.settings[0]))))
    assert values[0] is not None
    assert values[1] is not None
    assert values[0] > values[1] > 0
    assert metric.scale(values[0]) < metric.scale(values[1])


def test_a_missing_program_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(BitcodecError, match="needs the program butteraugli"):
        chosen(["butteraugli"])


def test_metadata_costs_no_codec_anything(folder: Path, tmp_path: Path, draw: Draw) -> None:
    """A profile, EXIF and XMP in the picture's file are in no codec's file."""
    plain = folder / "a.png"
    rich = tmp_path / "rich.png"
    exif = Image.Exif()
    exif[0x010E] = "a description " * 50
    with Image.open(plain) as image:
        image.save(rich, icc_profile=b"profile" * 400, exif=exif)
    codecs = [rival(name) for name in ("jpeg", "webp") if available(name)]
    rows = [
        run([Job("a", path)], codecs, RowStore(tmp_path / f"{path.stem}.csv")).rows
        for path in (plain, rich)
    ]
    assert [row.bytes for row in rows[0]] == [row.bytes for row in rows[1]]


@pytest.mark.slow
def test_speed(draw: Draw, tiny_weights: Path) -> None:
    pixels = [np.asarray(draw(64, 48))]
    for codec in (rival("jpeg", (50,)), LearnedCodec("sign", bpps=(0.9,), device="cpu")):
        speeds = measure_speed(codec, codec.settings[0], pixels)
        assert speeds[0].cores == 1
        for speed in speeds:
            assert speed.codec == codec.name
            assert speed.encode > 0
            assert speed.decode > 0
            assert speed.encode_command
            assert speed.decode_command
            assert speed.encode_command > 64 * 48 / 1e6 / speed.encode


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (("--anchor", "nothing"), 1, "no curve named 'nothing' (there are jpeg-420, webp-m6)"),
        (("--anchors", "missing.json"), 5, "missing.json"),
        (("--draw", "x"), 2, "--draw needs --anchors"),
        (("--codec", "gif"), 1, "unknown codec 'gif'"),
        (("--codec", "none"), 2, "nothing to measure"),
        (("-m", "sign"), 2, "exclude each other"),
        (("--codec-quality", "avif=3"), 2, "'avif-420-s6' is not measured"),
        (("--codec-quality", "jpeg=x"), 2, "not a list of numbers"),
        (("-q", "0"), 2, "not in 1 to 100"),
        (("--bpp", "nan"), 2, "not in"),
    ],
)
def test_command_errors(
    command: Command, folder: Path, args: tuple[str, ...], code: int, message: str
) -> None:
    base = ("eval", folder, "--no-model", "--no-page", "-o", "out")
    codec = () if "--codec" in args else ("--codec", "jpeg,webp")
    got, out, err = command(*base, *codec, *args)
    assert (got, out) == (code, "")
    assert message in err
    assert err.startswith("bitcodec: error: ")
    assert not Path("out").exists()


def test_nothing_to_read(command: Command, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("empty", "missing"):
        code, _, err = command("eval", name, *RIVALS, "-o", "out")
        assert code == 5
        assert name in err
        assert not Path("out").exists()


def test_output_that_is_not_ours(command: Command, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/report.html").write_text("mine")
    code, _, err = command("eval", folder, *RIVALS, "-o", "out")
    assert code == 5
    assert "report.html" in err
    assert (tmp_path / "out/report.html").read_text() == "mine"
    code, _, _ = command("eval", folder, *RIVALS, "-o", folder / "a.png")
    assert code == 5


@pytest.mark.parametrize("module", ["scipy", "matplotlib"])
def test_missing_packages_are_named_first(
    command: Command, folder: Path, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    code, _, err = command("eval", folder, *RIVALS, "-o", "out")
    assert code == 1
    assert len(err.splitlines()) == 1
    assert "pip install 'bitcodec[eval]'" in err


def test_nothing_measured_still_reports(command: Command, folder: Path) -> None:
    for path in folder.iterdir():
        path.write_bytes(b"no")
    code, _, err = command("eval", folder, *RIVALS, "-o", "out", "--quiet")
    assert code == 1
    assert len(err.splitlines()) == 3
    assert Path("out/report.html").exists()


def test_empty_outcome_has_no_curves() -> None:
    assert mean_curves(Outcome().rows) == []
