"""The evaluation: figures, resuming, failures, BD-rate."""

from __future__ import annotations

import csv
import io
import json
import math
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, features

from bitcodec.cli.main import main
from bitcodec.errors import BitcodecError, FileError, TargetError
from bitcodec.evaluate.codecs import CLASSICAL, Pixels, Setting, classical, nearest_quality
from bitcodec.evaluate.learned import code_digest
from bitcodec.evaluate.rows import Row, RowStore
from bitcodec.evaluate.runner import Job, Outcome, run
from bitcodec.evaluate.summary import Curve, Point, bd_rate, load_anchors, mean_curves

pytest.importorskip("bjontegaard")
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
    assert first.psnr == pytest.approx(20 * math.log10(255 / 10))
    assert outcome.rows[1].psnr == pytest.approx(20 * math.log10(255 / 2))
    assert first.ms_ssim is None  # too small for it


def test_means_are_of_the_pictures_values(jobs: list[Job], tmp_path: Path) -> None:
    outcome = run(jobs, [Fake()], RowStore(tmp_path / "rows.csv"))
    (curve,) = mean_curves(outcome.rows)
    areas = [48 * 32, 40 * 40, 64 * 16]
    assert [p.setting for p in curve.points] == ["q10", "q50"]
    assert curve.points[0].bpp == pytest.approx(sum(800 / a for a in areas) / 3)
    assert curve.points[0].psnr == pytest.approx(20 * math.log10(255 / 10))
    assert curve.points[0].ms_ssim is None


def test_mean_psnr_is_not_psnr_of_the_mean_error() -> None:
    base = Row("a", "0", 200, 200, "x", "1", "q1", 10, 1.0, 30.0, 0.9, 0.1, 0.1, 1)
    other = replace(base, picture="b", psnr=40.0, ms_ssim=None)
    (curve,) = mean_curves([base, other])
    assert curve.points[0].psnr == 35.0
    assert curve.points[0].ms_ssim == 0.9
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
    codecs = [classical("jpeg", (20, 80)), classical("webp", (30,))]
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
    base = Row("a", "0", 200, 200, "x", "1", "q1", 10, 1.0, 30.0, 0.9, 0.1, 0.1, 1)
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
    row = Row('od,d "n"ame', "0", 2, 2, "x", "1", "q1", 1, 1 / 3, math.inf, None, 0.1, 0.2, 1)
    store = RowStore(tmp_path / "rows.csv")
    store.add(row)
    store.add(replace(row, ms_ssim=0.1 + 0.2, picture="b"))
    again = RowStore(tmp_path / "rows.csv")
    assert len(again) == 2
    assert again.get(row.key) == row


# Codecs


def available(name: str) -> bool:
    try:
        classical(name)
    except BitcodecError:
        return False
    return True


@pytest.mark.parametrize("name", CLASSICAL)
def test_classical_codecs(name: str, draw: Draw) -> None:
    if not available(name):
        pytest.skip(f"no library for {name} here")
    codec = classical(name)
    pixels = np.asarray(draw(96, 64))
    low, high = (codec.encode(pixels, codec.settings[i]) for i in (1, -1))
    assert len(low) < len(high)
    errors = [np.abs(codec.decode(d).astype(int) - pixels).mean() for d in (low, high)]
    assert errors[1] < errors[0] < 60
    assert codec.decode(high).dtype == np.uint8
    assert codec.encode(pixels, codec.settings[1]) == low


def test_jpeg_is_progressive_optimised_and_subsampled(draw: Draw) -> None:
    pixels = np.asarray(draw(96, 64))
    codec = classical("jpeg", (50,))
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
    codec = classical("jpeg2000", (1,))
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


def test_codec_errors() -> None:
    with pytest.raises(BitcodecError, match="unknown codec 'gif'"):
        classical("gif")
    for name, value in (("jpeg", 0), ("jpeg", 101), ("webp", 1.5), ("jpeg2000", 0)):
        with pytest.raises(BitcodecError, match=name):
            classical(name, (value,))
    with pytest.raises(BitcodecError, match="no setting of the kind bpp"):
        classical("jpeg").encode(np.zeros((8, 8, 3), np.uint8), Setting("bpp", 1))


@pytest.mark.parametrize(("name", "module"), [("jxl", "pillow_jxl"), ("mozjpeg", "pyvips")])
def test_a_missing_codec_package_is_named(
    name: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(BitcodecError, match="needs the package") as caught:
        classical(name)
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
        Point("", factor * 2.0**i / 10, 25 + 2 * i + lift, 1 - 0.1 * 0.6 ** (i + lift))
        for i in range(6)
    )
    return Curve(name, "measured", tuple(points))


def test_bd_rate_of_a_codec_that_needs_a_tenth_less() -> None:
    result = bd_rate(curve("a"), curve("b", factor=0.9))
    assert result.psnr == pytest.approx(-10, abs=1e-6)
    assert result.ms_ssim == pytest.approx(-10, abs=1e-6)


def test_bd_rate_is_none_without_overlap_or_points() -> None:
    assert bd_rate(curve("a"), curve("b", lift=40)).psnr is None
    single = replace(curve("b"), points=curve("b").points[:1])
    assert bd_rate(curve("a"), single).psnr is None
    plain = replace(curve("b"), points=tuple(replace(p, ms_ssim=None) for p in curve("b").points))
    result = bd_rate(curve("a"), plain)
    assert result.psnr == pytest.approx(0, abs=1e-9)
    assert result.ms_ssim is None


def test_bd_rate_passes_over_a_point_that_is_no_better() -> None:
    points = list(curve("b").points)
    points.insert(3, replace(points[2], bpp=points[2].bpp * 1.01, psnr=points[2].psnr))
    bent = replace(curve("b"), points=tuple(points))
    assert bd_rate(curve("a"), bent).psnr == pytest.approx(0, abs=1e-9)


def test_anchors_file(tmp_path: Path) -> None:
    path = tmp_path / "anchors.json"
    points = [{"bpp": 2, "psnr_rgb": None, "ms_ssim": 0.99}, {"bpp": 1, "psnr_rgb": 30}]
    path.write_text(json.dumps({"x": {"source": "a paper", "points": points}}))
    (found,) = load_anchors(path)
    assert found.source == "a paper"
    assert not found.measured
    assert found.points == (Point("", 1, 30, None), Point("", 2, None, 0.99))
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
    assert "33 rows measured, 0 known" in err
    lines = out.splitlines()
    assert lines[0].split()[:4] == ["codec", "setting", "bpp", "PSNR"]
    assert any(line.startswith("BD-rate against jpeg") for line in lines)
    names = {path.name for path in Path("out").iterdir()}
    plots = {"rd-psnr.png", "rd-psnr.svg", "time.png", "time.svg"}
    assert names == {"rows.csv", "summary.csv", "results.json", "report.html", *plots}
    with open("out/rows.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 3 * (3 + 8)
    assert rows[0]["ms_ssim"] == ""
    results = json.loads(Path("out/results.json").read_text())
    assert len(results["rows"]) == 33
    assert [c["name"] for c in results["curves"]] == ["jpeg", "webp", "old"]
    assert [r["name"] for r in results["bd_rate"]] == ["webp", "old"]

    code, out, err = command("eval", folder, *RIVALS, "-o", "out", "--json", "--quiet")
    assert (code, err) == (0, "")
    assert len(json.loads(out)["rows"]) == 33
    code, _, err = command("eval", folder, *RIVALS, "-o", "out")
    assert "0 rows measured, 33 known" in err
    code, _, err = command("eval", folder, *RIVALS, "-o", "out", "--fresh")
    assert "33 rows measured, 0 known" in err


def test_corrupt_picture_is_one_line_and_exit_1(command: Command, folder: Path) -> None:
    whole = (folder / "b.png").read_bytes()
    (folder / "b.png").write_bytes(whole[: len(whole) // 2])
    code, _, err = command("eval", folder, *RIVALS, "-o", "out", "--quiet")
    assert code == 1
    (line,) = err.splitlines()
    assert line.startswith("bitcodec: error: b.png: ")
    assert len(json.loads(Path("out/results.json").read_text())["rows"]) == 22


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


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (("--anchor", "nothing"), 1, "no curve named 'nothing' (there are jpeg, webp)"),
        (("--anchors", "missing.json"), 5, "missing.json"),
        (("--draw", "x"), 2, "--draw needs --anchors"),
        (("--codec", "gif"), 1, "unknown codec 'gif'"),
        (("--codec", "none"), 2, "nothing to measure"),
        (("-m", "sign"), 2, "exclude each other"),
        (("--codec-quality", "avif=3"), 2, "'avif' is not measured"),
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


@pytest.mark.parametrize("module", ["bjontegaard", "matplotlib"])
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
