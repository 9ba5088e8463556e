"""What the Python functions take, what they refuse, and that they do so before any work."""

from __future__ import annotations

import array
import io
import mmap
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFile

import bitcodec
import bitcodec.pillow
from bitcodec import api
from bitcodec.api import codec
from bitcodec.runtime import loaded

Draw = Callable[..., Image.Image]
NAN, INF = float("nan"), float("inf")

bitcodec.pillow.register()
pytestmark = pytest.mark.usefixtures("tiny_weights")

WHOLE = ("x", b"5", NAN, INF, -INF, 50.5, 50.0, True, -1, 10**30, None.__class__, [5], Decimal(5))
REAL = ("x", NAN, INF, -INF, 0, 0.0, -1, True, 1j, [1.0], 10**400, Decimal(1), np.array([1.0]))
WRONG = (
    [("quality", value) for value in (*WHOLE, 0, 101)]
    + [("size", value) for value in (*WHOLE, 0)]
    + [(name, value) for name in ("bpp", "psnr") for value in REAL]
    + [("effort", value) for value in (*WHOLE, 10, None)]
    + [("tile", value) for value in (*WHOLE, 0, 8, 24, 65552, None)]
    + [("device", value) for value in ("tpu", "cuda:", "cuda:x", "CPU", 0, None, b"cpu")]
    + [("exact", value) for value in (1, "yes", None)]
    + [("model", value) for value in (5, b"sign", ["sign"], 1.5)]
)


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """No model may be loaded and no picture read."""

    def work(*_: object, **__: object) -> None:
        raise AssertionError("work was begun")

    monkeypatch.setattr(codec, "open_picture", work)
    monkeypatch.setattr(loaded, "read_weights", work)
    loaded._load.cache_clear()


@pytest.mark.parametrize(("name", "value"), WRONG, ids=lambda v: repr(v)[:20])
def test_wrong_options(draw: Draw, idle: None, tmp_path: Path, name: str, value: Any) -> None:
    kind = bitcodec.TargetError if name in ("quality", "size", "bpp", "psnr") else ValueError
    with pytest.raises(kind, match=name) as caught:
        bitcodec.encode(draw(), **{name: value})
    assert isinstance(caught.value, bitcodec.BitcodecError)
    assert len(str(caught.value)) < 200
    if name in ("effort", "tile", "device", "model"):
        with pytest.raises(bitcodec.OptionError, match=name):
            bitcodec.Codec(**{name: value})
    if value is not None:
        old = tmp_path / "old.bitc"
        old.write_bytes(b"as it was")
        for path in (old, tmp_path / "new.bitc"):
            with pytest.raises(ValueError, match=name):
                draw().save(path, **{name: value})
        assert [p.name for p in tmp_path.iterdir()] == ["old.bitc"]
        assert old.read_bytes() == b"as it was"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_pixels", "x"),
        ("max_pixels", NAN),
        ("max_pixels", True),
        ("max_pixels", 0),
        ("crop", "0,0,1,1"),
        ("crop", (0, 0, 1)),
        ("crop", (0, 0, 1.5, 1)),
        ("crop", (0, 0, True, 1)),
        ("crop", 5),
        ("scale", "1/2"),
        ("scale", NAN),
        ("scale", True),
        ("scale", None),
        ("device", "tpu"),
        ("model", 5),
    ],
)
def test_wrong_options_of_decode(draw: Draw, name: str, value: Any) -> None:
    data = bitcodec.encode(draw())
    for call in (bitcodec.decode, bitcodec.decode_partial):
        with pytest.raises(bitcodec.BitcodecError, match=name):
            call(data, **{name: value})


def test_numbers_of_every_kind(draw: Draw) -> None:
    wanted = bitcodec.encode(draw(), quality=50, effort=3, tile=32)
    of_numpy = {"quality": np.uint8(50), "effort": np.int64(3), "tile": np.int16(32)}
    assert bitcodec.encode(draw(), **of_numpy) == wanted  # type: ignore[arg-type]
    bpp = bitcodec.encode(draw(), bpp=0.5)
    for value in (Fraction(1, 2), np.float32(0.5)):
        assert bitcodec.encode(draw(), bpp=value) == bpp  # type: ignore[arg-type]
    assert bitcodec.decode(wanted, crop=[0, 1, np.int64(2), 3]).size == (2, 3)  # type: ignore[arg-type, list-item]


def buffers(data: bytes, path: Path) -> list[Any]:
    path.write_bytes(data)
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    padded = np.zeros((len(data), 2), np.uint8)
    padded[:, 0] = np.frombuffer(data, np.uint8)
    return [
        bytearray(data),
        memoryview(data),
        memoryview(bytearray(b"x" + data))[1:],
        array.array("B", data),
        mapped,
        str(path),
        path,
        io.BytesIO(data),
        memoryview(padded[:, 0]),
    ]


def test_files_of_every_kind(draw: Draw, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    draw().save(buffer, "PNG")
    data = bitcodec.encode(buffer.getvalue())
    codec = bitcodec.Codec()
    for source in buffers(buffer.getvalue(), tmp_path / "a.png"):
        assert bitcodec.encode(source) == data, type(source)
    for source in buffers(buffer.getvalue(), tmp_path / "a.png"):
        assert codec.encode(source) == data, type(source)
    pixels = bitcodec.decode(data).tobytes()
    part = bitcodec.decode(data, crop=(1, 2, 9, 8)).tobytes()
    for count in range(len(buffers(data, tmp_path / "a.bin"))):
        fresh = [buffers(data, tmp_path / "a.bin")[count] for _ in range(5)]
        assert bitcodec.decode(fresh[0]).tobytes() == pixels
        assert bitcodec.decode(fresh[1], crop=(1, 2, 9, 8)).tobytes() == part
        assert bitcodec.decode_partial(fresh[2])[0].tobytes() == pixels
        assert codec.decode(fresh[3]).tobytes() == pixels
        assert bitcodec.read_info(fresh[4]) == bitcodec.read_info(data)
    view = memoryview(np.asarray(draw()))
    assert bitcodec.encode(view) == bitcodec.encode(draw())
    assert bitcodec.encode(np.asarray(draw()).tolist() and np.asarray(draw())[::1]) == data


@pytest.mark.parametrize(
    "source", [None, 5, 1.5, object(), io.StringIO("text"), {}], ids=lambda x: type(x).__name__
)
def test_what_is_no_file(source: Any) -> None:
    kind = type(source).__name__
    for call in (bitcodec.encode, bitcodec.decode, bitcodec.decode_partial, bitcodec.read_info):
        with pytest.raises(bitcodec.BitcodecError, match=kind):
            call(source)


def test_a_path_that_leads_nowhere(tmp_path: Path) -> None:
    for call in (bitcodec.encode, bitcodec.decode, bitcodec.read_info):
        with pytest.raises(bitcodec.FileError, match="no such file"):
            call(tmp_path / "none")


@pytest.mark.parametrize("step", [7, 100, 10**6])
@pytest.mark.parametrize("profile", [0, 40000])
def test_a_file_in_pieces(draw: Draw, step: int, profile: int) -> None:
    image = draw()
    image.info["icc_profile"] = None
    data = bitcodec.encode(image)
    if profile:  # longer than its pixels
        from bitcodec.format import container

        whole = container.read(data)
        icc = np.random.default_rng(0).bytes(profile)
        parts = container.Container(whole.header, whole.tiles, None, icc, None)
        data = container.write(parts)
        assert len(data) > 48 * 32 * 3
    parser = ImageFile.Parser()
    for start in range(0, len(data), step):
        parser.feed(data[start : start + step])
    assert parser.close().tobytes() == bitcodec.decode(data).tobytes()


def test_a_piece_of_a_file(draw: Draw) -> None:
    parser = ImageFile.Parser()
    parser.feed(bitcodec.encode(draw())[:-10])
    with pytest.raises(OSError, match="the file has"):
        parser.close()


def test_a_save_that_fails_later(
    draw: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old file is as it was whatever goes wrong; what is saved takes its place."""
    old = tmp_path / "old.bitc"
    old.write_bytes(b"as it was")

    def fail(*_: object, **__: object) -> bytes:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(api, "encode", fail)
        with pytest.raises(MemoryError):
            draw().save(old)
    assert old.read_bytes() == b"as it was"
    with pytest.raises(FileNotFoundError):
        draw().save(tmp_path / "none" / "x.bitc")
    with pytest.raises(IsADirectoryError):
        draw().save(tmp_path, "BITCODEC")
    draw().save(old, quality=50)
    assert old.read_bytes() == bitcodec.encode(draw(), quality=50)
    draw().save(str(tmp_path / "other"), format="bitcodec")
    draw().save(tmp_path / "x.png")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["old.bitc", "other", "x.png"]


def test_a_picture_is_saved_over_itself(draw: Draw, tmp_path: Path) -> None:
    path = tmp_path / "a.bitc"
    draw().save(path)
    with Image.open(path) as image:
        image.save(path, quality=100)
        pixels = image.tobytes()
    assert bitcodec.decode(path).tobytes() == bitcodec.decode(bitcodec.encode(image)).tobytes()
    assert pixels
