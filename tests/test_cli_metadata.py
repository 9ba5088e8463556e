"""Metadata on the command line: notes, ``--strip``, targets that it defeats, Pillow's warnings."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

Draw = Callable[..., Image.Image]
Run = Callable[..., tuple[int, str, str]]
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
LARGE = SRGB + np.random.default_rng(1).bytes(40_000)
EXIF = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x0f\x01\x02\0\x08\0\0\0\x1a\0\0\0\0\0\0\0a maker\0"


@pytest.fixture
def heavy(draw: Draw, run: Run) -> Path:
    path = Path("heavy.png")
    draw().save(path, icc_profile=LARGE, exif=EXIF)
    return path


def sizes(run: Run, path: str) -> dict[str, int | None]:
    info = json.loads(run("info", "--json", path)[1])
    return {key: info[f"{key}_size"] for key in ("icc", "exif", "file")}


def test_strip_leaves_all_of_it_out(run: Run, heavy: Path) -> None:
    assert run("encode", heavy, "a.bin")[0] == 0
    assert run("encode", "--strip", heavy, "b.bin")[0] == 0
    assert sizes(run, "a.bin")["icc"]
    bare = sizes(run, "b.bin")
    assert (bare["icc"], bare["exif"]) == (None, None)
    assert run("decode", "b.bin", "b.png")[0] == 0
    with Image.open("b.png") as image:
        assert not {"icc_profile", "exif"} & set(image.info)


def test_metadata_that_is_most_of_a_file_is_noted(run: Run, heavy: Path) -> None:
    code, _, err = run("encode", heavy, "a.bin")
    assert code == 0
    assert "note: heavy.png: the colour profile has 40" in err
    assert "(--strip leaves it out)" in err
    assert run("encode", "-f", "--quiet", heavy, "a.bin") == (0, "", "")
    assert "note" not in run("encode", "-f", "--strip", heavy, "a.bin")[2]


def test_a_target_that_metadata_defeat_says_so(run: Run, heavy: Path) -> None:
    code, _, err = run("encode", "--size", "3000", heavy, "a.bin")
    assert code == 1
    assert "are colour profile" in err
    assert "--strip" in err
    assert run("encode", "--strip", "--size", "3000", heavy, "b.bin")[0] == 0
    code, _, err = run("encode", "--bpp", "2", heavy, "c.bin")
    assert code == 0
    assert "the colour profile has" in err


def malformed_mpo(draw: Draw) -> bytes:
    draw().save("plain.jpg")
    jpeg = Path("plain.jpg").read_bytes()
    mpf = b"MPF\0MM\0*\0\0\0\x08\0\0\0\0\0\0"
    return jpeg[:2] + b"\xff\xe2" + (2 + len(mpf)).to_bytes(2, "big") + mpf + jpeg[2:]


def test_warnings_of_pillow_are_notes(run: Run, draw: Draw) -> None:
    Path("m.jpg").write_bytes(malformed_mpo(draw))
    code, _, err = run("encode", "m.jpg", "m.bin")
    assert code == 0
    lines = err.splitlines()
    assert lines[0].startswith("bitcodec: note: m.jpg: Image appears to be a malformed MPO file")
    assert len(lines) == 2
    assert run("encode", "-f", "--quiet", "m.jpg", "m.bin") == (0, "", "")
    assert run("compare", "--quiet", "m.jpg", "m.bin") == (0, "", "")


def test_libtiff_does_not_write_past_quiet(draw: Draw, run: Run) -> None:
    """It complains of an odd tag by itself, on the file descriptor."""
    draw().save("odd.tif", compression="tiff_deflate", tiffinfo={296: 2})
    data = bytearray(Path("odd.tif").read_bytes())
    entry = data.index(struct.pack("<HHI", 296, 3, 1))
    data[entry + 8 : entry + 10] = struct.pack("<H", 9)
    Path("odd.tif").write_bytes(data)
    line = [sys.executable, "-m", "bitcodec", "encode", "-f", "odd.tif", "odd.bin"]
    told = subprocess.run(line, capture_output=True, text=True, check=True)
    assert told.stderr.startswith("bitcodec: note: odd.tif: _TIFFVSetField: ")
    quiet = subprocess.run([*line, "--quiet"], capture_output=True, text=True, check=True)
    assert (quiet.stdout, quiet.stderr) == ("", "")


def test_what_decode_cannot_write_is_noted(run: Run, heavy: Path) -> None:
    run("encode", heavy, "a.bin")
    err = run("decode", "a.bin", "a.ppm")[2]
    for lost in ("colour profile (colours converted to sRGB) dropped", "EXIF dropped"):
        assert f"note: a.bin: {lost}: PPM has no room for it" in err
    assert run("decode", "--quiet", "-f", "a.bin", "a.ppm") == (0, "", "")
