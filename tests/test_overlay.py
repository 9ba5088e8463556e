"""Overlays as PNG and WebP files: any pixels come back, and nothing but plain files is read."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from bitcodec.errors import ContainerError
from bitcodec.picture.overlay import decode_overlay, encode_overlay

RGB = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


def header(width: int, height: int, depth: int = 8, colour: int = 2, *rest: int) -> bytes:
    return struct.pack(">IIBBBBB", width, height, depth, colour, *(rest or (0, 0, 0)))


def rows(width: int, height: int) -> bytes:
    return zlib.compress(bytes((1 + 3 * width) * height))


@pytest.mark.parametrize("holes", [False, True])
@pytest.mark.parametrize("colours", [1, 2, 3, 16, 17, 256, 100000])
@pytest.mark.parametrize("shape", [(1, 1), (7, 33), (64, 100)])
def test_pixels_come_back(shape: tuple[int, int], colours: int, holes: bool) -> None:
    rng = np.random.default_rng(colours)
    rgb = rng.integers(0, 256, (colours, 3), dtype=np.uint8)[rng.integers(0, colours, shape)]
    shown = rng.random(shape) < 0.5 if holes else np.ones(shape, bool)
    out = decode_overlay(encode_overlay(rgb, shown), shape[1], shape[0])
    np.testing.assert_array_equal(out[..., 3], np.where(shown, 255, 0))
    np.testing.assert_array_equal(out[shown, :3], rgb[shown])


def test_both_kinds_are_made() -> None:
    stripes = np.zeros((3, 2000, 3), np.uint8)
    assert encode_overlay(RGB).startswith(b"RIFF")
    wide = np.zeros((1, 1 << 14, 3), np.uint8)  # more than WebP takes
    assert encode_overlay(wide).startswith(b"\x89PNG")
    assert len(encode_overlay(stripes)) < 60
    wide[0, :, 0] = RGB.ravel()[:1].repeat(1 << 14)
    np.testing.assert_array_equal(decode_overlay(encode_overlay(wide), 1 << 14, 1)[..., :3], wide)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"RIFF",
        saved(Image.fromarray(RGB), "JPEG"),
        saved(Image.fromarray(RGB), "WEBP", quality=90),
        saved(Image.fromarray(RGB), "WEBP", lossless=True, exif=b"Exif\0\0II*\0"),
        saved(Image.fromarray(RGB), "WEBP", lossless=True) + b"\0\0",
        saved(Image.fromarray(RGB), "WEBP", lossless=True)[:-20],
        saved(Image.fromarray(RGB[:-1]), "WEBP", lossless=True),
        saved(Image.fromarray(RGB[:, :-1]), "PNG"),
        saved(Image.fromarray(RGB), "PNG")[:-1],
        saved(Image.fromarray(RGB), "PNG") + b"\0",
        saved(Image.fromarray(RGB), "PNG", dpi=(72, 72)),
        saved(Image.fromarray(RGB), "PNG", transparency=(1, 2, 3)),
        saved(Image.fromarray(RGB).convert("I;16"), "PNG"),
        saved(
            Image.fromarray(np.dstack((RGB, RGB[..., 0] | np.uint8(1)))),
            "WEBP",
            lossless=True,
            exact=True,
        ),
        png((b"IHDR", header(30, 20, 8, 2, 0, 0, 1)), (b"IDAT", rows(30, 20)), (b"IEND", b"")),
        png((b"IHDR", header(30, 20)[:-1]), (b"IDAT", rows(30, 20)), (b"IEND", b"")),
        png((b"IHDR", header(30, 20)), (b"IDAT", rows(30, 20)[:9]), (b"IEND", b"")),
        png((b"IHDR", header(30, 20)), (b"IEND", b"")),
        png((b"IEND", b"")),
        b"\x89PNG\r\n\x1a\n",
    ],
)
def test_other_files_are_refused(data: bytes) -> None:
    with pytest.raises(ContainerError):
        decode_overlay(data, 30, 20)


def test_a_plain_png_of_another_program_is_read() -> None:
    data = png((b"IHDR", header(30, 20)), (b"IDAT", rows(30, 20)), (b"IEND", b""))
    out = decode_overlay(data, 30, 20)
    assert not out[..., :3].any()
    assert (out[..., 3] == 255).all()


def test_any_damage_is_a_container_error() -> None:
    rng = np.random.default_rng(1)
    for whole in (encode_overlay(RGB), encode_overlay(RGB // 128 * 128, RGB[..., 0] > 90)):
        for _ in range(300):
            data = bytearray(whole)
            data[rng.integers(len(data))] ^= 1 << rng.integers(8)
            try:
                assert decode_overlay(bytes(data), 30, 20).shape == (20, 30, 4)
            except ContainerError:
                pass
