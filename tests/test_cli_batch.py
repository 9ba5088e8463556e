"""The command line: which input becomes which output, several files, usage errors."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
from PIL import Image

from bitcodec.cli.outcome import attempt

Draw = Callable[..., Image.Image]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def folder(tmp_path: Path, draw: Draw) -> Path:
    """photos/ with a.png, b.jpg, sub/a.png and notes.txt."""
    photos = tmp_path / "photos"
    (photos / "sub").mkdir(parents=True)
    draw().save(photos / "a.png")
    draw(20, 20).save(photos / "b.jpg")
    draw(16, 16).save(photos / "sub" / "a.png")
    (photos / "notes.txt").write_text("not a picture")
    return photos


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        (["encode", "a.png", "b.png", "c.png"], "several inputs need -o DIR/"),
        (["encode", "a.png", "b.png"], "b.png: a picture is not an output of encode"),
        (["encode", "photos"], "photos is a folder"),
        (["encode", ""], "the name of a file is empty"),
        (["encode", "a.png", ""], "the name of a file is empty"),
        (["encode", "a.png", "-o", ""], "the name of a file is empty"),
        (["decode", ""], "the name of a file is empty"),
        (["encode", "a.png", "photos"], "photos is a folder"),
        (["encode", "photos", "-o", "-"], "several inputs cannot go to standard output"),
        (["encode", "-", "-o", "out/"], "standard input has no name"),
        (["encode", "a.png", "photos", "-o", "a.png"], "a.png is not a folder"),
        (["encode", "a.png", "-o", "./photos/../a.png"], "a picture is not an output"),
        (["encode", "-q", "50", "--size", "9", "a.png"], "--quality and --size exclude each other"),
        (["encode", "-q", "0", "a.png"], "0 is not in the range"),
        (["encode", "--bpp", "nan", "a.png"], "'nan' is not a finite number"),
        (["encode", "--psnr", "inf", "a.png"], "'inf' is not a finite number"),
        (["encode", "--bpp", "-1", "a.png"], "-1.0 is not in the range"),
        (["encode", "-e", "99", "a.png"], "99 is not in the range"),
        (["encode", "--device", "tpu", "a.png"], "'tpu' is not one of auto"),
        (["encode", "--tile", "100", "a.png"], "multiple of 16"),
        (["encode", "-f", "--skip-existing", "a.png"], "exclude each other"),
        (["encode", "--json", "a.png", "-"], "--json and the data"),
        (["decode", "a.bin", "b.bin"], "b.bin: a .bin file is not an output of decode"),
        (["decode", "a.bin", "b.xyz"], "no picture format has the suffix '.xyz'"),
        (["decode", "a.bin", "b"], "no picture format has the suffix ''"),
    ],
)
def test_usage_errors(run: Run, folder: Path, draw: Draw, args: list[str], reason: str) -> None:
    draw().save("a.png")
    before = sorted(Path().rglob("*"))
    code, out, err = run(*args)
    assert (code, out) == (2, "")
    assert err.startswith("bitcodec: error: ")
    assert reason in err
    assert sorted(Path().rglob("*")) == before


def test_a_collision_costs_only_the_files_that_collide(run: Run, draw: Draw) -> None:
    for name in ("a.png", "a.jpg", "b.png"):
        draw().save(name)
    code, out, err = run("encode", "--json", "a.png", "b.png", "a.jpg", "-o", "out/")
    assert code == 1
    assert tree("out") == ["b.bin"]
    assert err.count("a.png and a.jpg would all be written to out/a.bin") == 2
    records = {record["input"]: record for record in map(json.loads, out.splitlines())}
    assert {name for name in records if "error" in records[name]} == {"a.png", "a.jpg"}


def test_an_input_that_is_an_output_of_another_is_kept(run: Run, draw: Draw) -> None:
    draw().save("a.png")
    draw().save("b.png")
    draw().save("a.bin", "PNG")
    before = Path("a.bin").read_bytes()
    code, _, err = run("encode", "-f", "a.png", "a.bin", "b.png", "-o", ".")
    assert code == 1
    assert "a.bin is an input" in err
    assert Path("a.bin").read_bytes() == before
    assert Path("b.bin").exists()


def test_input_is_not_overwritten(run: Run, picture: Path) -> None:
    run("encode", picture, "a.bin")
    data = Path("a.bin").read_bytes()
    Path("link").symlink_to("a.bin")
    for target in ("a.bin", "./a.bin", "link"):
        code, _, err = run("encode", "-f", "a.bin", target)
        assert code == 2
        assert "is an input" in err
    assert Path("a.bin").read_bytes() == data


def test_a_folder(run: Run, folder: Path) -> None:
    code, _, err = run("encode", "photos", "-o", "out")
    assert code == 0
    assert tree("out") == ["a.bin", "b.bin"]
    lines = err.splitlines()
    assert [line.split()[0] for line in lines] == ["photos/a.png", "photos/b.jpg", "total:"]
    sizes = [os.path.getsize(f"out/{name}") for name in ("a.bin", "b.bin")]
    inputs = [os.path.getsize(f"photos/{name}") for name in ("a.png", "b.jpg")]
    assert lines[-1].startswith(f"total: 2 files: {sum(inputs)} -> {sum(sizes)} bytes, ")
    bpp = 8 * sum(sizes) / (48 * 32 + 20 * 20)
    assert f", {bpp:.4f} bpp, " in lines[-1]


def test_a_tree_is_mirrored_both_ways(run: Run, folder: Path) -> None:
    assert run("encode", "-r", "photos", "-o", "out/")[0] == 0
    assert tree("out") == ["a.bin", "b.bin", "sub/a.bin"]
    assert run("decode", "-r", "out", "-o", "back/")[0] == 0
    assert tree("back") == ["a.png", "b.png", "sub/a.png"]


def test_failures_are_collected(run: Run, folder: Path) -> None:
    (folder / "0.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    code, out, err = run("encode", "--json", "-r", "photos", "missing.png", "-o", "out")
    assert code == 1
    assert tree("out") == ["a.bin", "b.bin", "sub/a.bin"]
    errors = [line for line in err.splitlines() if line.startswith("bitcodec: error: ")]
    assert [line.split(": ")[2] for line in errors] == ["missing.png", "photos/0.png"]
    assert "total: 3 files, 2 failed: " in err
    records = [json.loads(line) for line in out.splitlines()]
    assert [r.get("exit_code") for r in records] == [5, 3, None, None, None]


def test_only_the_missing_ones_are_done(run: Run, folder: Path) -> None:
    assert run("encode", "photos", "-o", "out")[0] == 0
    os.unlink("out/a.bin")
    before = os.stat("out/b.bin").st_mtime_ns
    code, _, err = run("encode", "--skip-existing", "photos", "-o", "out")
    assert code == 0
    assert "total: 1 files, 1 skipped" in err
    assert os.stat("out/b.bin").st_mtime_ns == before
    assert run("encode", "photos", "-o", "out")[0] == 1


def test_an_output_older_than_its_input_is_done_again(run: Run, folder: Path) -> None:
    assert run("encode", "photos", "-o", "out")[0] == 0
    old = os.stat("photos/b.jpg").st_mtime - 60
    os.utime("out/b.bin", (old, old))
    code, _, err = run("encode", "--skip-existing", "photos", "-o", "out")
    assert code == 0
    assert "total: 1 files, 1 skipped" in err
    assert os.stat("out/b.bin").st_mtime > old + 1


def test_a_folder_without_pictures(run: Run) -> None:
    Path("empty").mkdir()
    code, _, err = run("encode", "empty", "-o", "out/")
    assert code == 5
    assert err.startswith("bitcodec: error: empty: no suitable files")
    assert not Path("out").exists()


@pytest.mark.slow
def test_processes_give_the_same_files_in_the_same_order(run: Run, folder: Path) -> None:
    (folder / "0.png").write_bytes(b"broken")
    assert run("encode", "-r", "photos", "-o", "one")[0] == 1
    code, out, err = run("encode", "--json", "-j", "2", "-r", "photos", "-o", "two")
    assert code == 1
    assert [json.loads(line)["input"] for line in out.splitlines()] == [
        "photos/0.png", "photos/a.png", "photos/b.jpg", "photos/sub/a.png",
    ]  # fmt: skip
    assert tree("one") == tree("two") == ["a.bin", "b.bin", "sub/a.bin"]
    for name in tree("one"):
        assert Path("one", name).read_bytes() == Path("two", name).read_bytes()


def tree(folder: str) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in Path(folder).rglob("*") if p.is_file())


def test_an_interrupt_that_a_library_turned_into_an_import_error() -> None:
    def task(source: str) -> NoReturn:
        raise ImportError("initialization failed") from KeyboardInterrupt()

    with pytest.raises(KeyboardInterrupt):
        attempt(task, "a.png")
