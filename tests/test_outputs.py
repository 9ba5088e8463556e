"""Outputs that are no plain files, outputs that must not be touched, and names of any kind."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from bitcodec.cli.main import main
from bitcodec.cli.plan import PICTURE_SUFFIXES
from bitcodec.errors import printable
from bitcodec.streams import is_stream, own_descriptor

Draw = Callable[..., Image.Image]
Run = Callable[..., tuple[int, str, str]]

posix = pytest.mark.skipif(not os.path.exists("/dev/fd"), reason="no /dev/fd here")


def in_one_process(lines: str, folder: Path, **environment: str) -> bytes:
    """What a script prints that has ``main`` and ``onto(file, *arguments)``, its output there."""
    script = """
import os, sys
from bitcodec.cli.main import main
def onto(target, *arguments):
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(target.fileno(), 1)
    try:
        assert main(arguments) == 0, arguments
    finally:
        os.dup2(kept, 1)
        target.close()
"""
    done = subprocess.run(
        [sys.executable, "-c", script + lines],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])} | environment,
        capture_output=True,
        timeout=110,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@posix
def test_every_way_to_standard_output_gives_the_same_file(
    tmp_path: Path, picture: Path, tiny_weights: Path
) -> None:
    lines = """
main(["encode", "picture.png", "wanted.bin"])
main(["decode", "wanted.bin", "wanted.png"])
open("appended", "w").write("keep\\n")
onto(open("appended", "a"), "encode", "-f", "picture.png", "/dev/stdout")
onto(open("new", "w"), "encode", "picture.png", "/dev/stdout")
onto(open("new2", "w"), "encode", "picture.png", "/proc/self/fd/1")
onto(open("out.png", "w"), "decode", "wanted.bin", "/dev/stdout")
for name, arguments in (("piped", ["encode", "picture.png"]), ("b", ["decode", "wanted.bin"])):
    read, write = os.pipe()  # as >(...) of a shell
    os.set_inheritable(write, True)
    assert main([*arguments, f"/dev/fd/{write}"]) == 0
    os.close(write)
    open(name, "wb").write(open(read, "rb").read())
"""
    in_one_process(lines, tmp_path)
    data = (tmp_path / "wanted.bin").read_bytes()
    for name in ("piped", "new", "new2"):
        assert (tmp_path / name).read_bytes() == data, name
    assert (tmp_path / "appended").read_bytes() == b"keep\n" + data
    for name in ("out.png", "b"):
        assert (tmp_path / name).read_bytes() == (tmp_path / "wanted.png").read_bytes()


@posix
def test_what_is_a_stream(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x")
    fifo, link, loop = tmp_path / "fifo", tmp_path / "link", tmp_path / "loop"
    os.mkfifo(fifo)
    link.symlink_to("/dev/stdout")
    loop.symlink_to(loop)
    assert [is_stream(p) for p in (file, tmp_path, tmp_path / "none", loop)] == [False] * 4
    assert [is_stream(p) for p in ("/dev/null", fifo, link, "/dev/fd/1")] == [True] * 4
    assert [own_descriptor(p) for p in (link, "/dev/fd/7", "/dev/stderr")] == [1, 7, 2]
    assert [own_descriptor(p) for p in (file, loop, "/dev/null", "a\0b")] == [None] * 4


@pytest.mark.parametrize("name", ["b.jfif", "b.jpe", "b.J2K", "b.apng", "b.heic", "b.dng"])
def test_a_picture_by_its_name_is_no_output(run: Run, picture: Path, name: str) -> None:
    Path(name).write_bytes(b"a photograph")
    code, _, err = run("encode", "-f", picture, name)
    assert code == 2
    assert "a picture is not an output of encode" in err
    assert Path(name).read_bytes() == b"a photograph"


def test_a_folder_takes_all_that_pillow_reads(run: Run, draw: Draw) -> None:
    formats = {".jfif": "JPEG", ".jpe": "JPEG", ".dib": "DIB", ".apng": "PNG", ".pcx": "PCX"}
    Path("folder").mkdir()
    for suffix, name in formats.items():
        draw().save(f"folder/x{suffix[1:]}{suffix}", name)
    Path("folder/stub.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    Path("folder/film.mpg").write_bytes(b"\0\0\1\xb3")
    Path("folder/notes.txt").write_text("no picture")
    code, _, err = run("encode", "folder", "-o", "out")
    assert code == 1
    assert len(os.listdir("out")) == len(formats)
    assert "bitcodec: error: folder/stub.HEIC: " in err
    assert "film" not in err
    assert "notes" not in err


def test_suffixes_are_known_without_opening_anything() -> None:
    assert {".jpg", ".tga", ".ppm", ".jp2", ".heic"} <= set(PICTURE_SUFFIXES)
    assert not {".bin", ".bitc", ".mpg", ".pdf", ".txt", ""} & set(PICTURE_SUFFIXES)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("plain name.png", "plain name.png"),
        (
            "Gr\u00fc\u00dfe \u65e5\u672c \U0001f600\u00a0.png",
            "Gr\u00fc\u00dfe \u65e5\u672c \U0001f600\u00a0.png",
        ),
        ("na\udcefve", r"na\xefve"),
        ("a\nb\x1b[2J\x7f", r"a\nb\x1b[2J\x7f"),
        ("\u202egnp.exe\ud800", r"\u202egnp.exe\ud800"),
    ],
)
def test_printable(name: str, shown: str) -> None:
    assert printable(name) == shown
    shown.encode()


STRANGE = os.fsdecode(b"na\xefve\x1b[31m\n.bin")


@pytest.mark.skipif(sys.platform == "win32" or sys.platform == "darwin", reason="names are Unicode")
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_names_that_are_no_text(
    tmp_path: Path, picture: Path, tiny_weights: Path, encoding: str
) -> None:
    assert main(["encode", str(picture), str(tmp_path / STRANGE)]) == 0
    (tmp_path / "f\u00fcr").mkdir()
    calls = {
        ("compare", "picture.png", STRANGE, "missing" + STRANGE, "-o", "page.html"): 1,
        ("compare", "--json", "picture.png", STRANGE): 0,
        ("info", STRANGE, STRANGE): 0,
        ("decode", STRANGE): 0,
        ("encode", STRANGE, "f\u00fcr" + STRANGE): 3,
        ("encode", "none" + STRANGE, "-o", "f\u00fcr"): 5,
        ("encode", "-m", STRANGE + ".safetensors", "picture.png"): 4,
        ("decode", STRANGE, STRANGE): 2,
    }
    lines = f"sys.stderr = sys.stdout; print([main(a) for a in {list(calls)!a}])"
    said = in_one_process(lines, tmp_path, PYTHONIOENCODING=f"{encoding}:strict")
    assert b"\x1b" not in said
    assert said.decode(encoding).splitlines()[-1] == str(list(calls.values()))
    page = (tmp_path / "page.html").read_text("utf-8")
    assert r"na\xefve\x1b[31m\n.bin" in page
