"""Bits a channel: a note where Pillow makes 8 of more, and none where there are fewer."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image

import bitcodec
from bitcodec.errors import ImageError
from bitcodec.picture import boxes
from bitcodec.picture.images import open_picture

Y, X = np.mgrid[0:24, 0:32]
RGB = np.dstack((X * 8, Y * 10, X * 4 + Y * 4)).astype(np.uint8)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def box(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), name) + body


@pytest.mark.parametrize(
    ("mark", "wanted"),
    [
        (box(b"pixi", b"\0\0\0\0\3\x0a\x0a\x0a"), 10),
        (box(b"pixi", b"\0\0\0\0\1\x08"), 8),
        (box(b"av1C", b"\x81\x04\x40\0"), 10),
        (box(b"av1C", b"\x81\x44\x60\0"), 12),
        (box(b"av1C", b"\x81\x04\x0c\0"), 8),
        (box(b"pixi", b""), 8),
    ],
)
def test_bits_of_avif(mark: bytes, wanted: int) -> None:
    pitm = box(b"pitm", b"\0\0\0\0\0\1")
    ipma = box(b"ipma", bytes(4) + b"\0\0\0\1\0\1\1\x81")
    iprp = box(b"iprp", box(b"ipco", mark) + ipma)
    assert boxes.bits(box(b"ftyp", b"avif") + box(b"meta", bytes(4) + pitm + iprp)) == wanted


@pytest.mark.parametrize("data", [b"", b"ftyp", box(b"meta", b"\0"), box(b"meta", bytes(40))])
def test_bits_of_nothing(data: bytes) -> None:
    assert (boxes.bits(data), boxes.jp2_bits(data), boxes.nclx(data)) == (8, 8, None)


def test_bits_of_jpeg_2000() -> None:
    assert boxes.jp2_bits(saved(Image.fromarray(RGB), "JPEG2000")) == 8
    deep = Image.fromarray(RGB[..., 0].astype(np.uint16) * 257)
    data = saved(deep, "JPEG2000")
    assert boxes.jp2_bits(data) == 16
    notes = [note for note in open_picture(data).notes if "reduced" in note]
    assert notes == ["16 bits a channel reduced to 8"]


@pytest.mark.parametrize(("kind", "name"), [("AVIF", "bits"), ("JPEG2000", "jp2_bits")])
def test_more_bits_are_noted_and_refused(
    kind: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = saved(Image.fromarray(RGB), kind)
    assert not [note for note in open_picture(data).notes if "reduced" in note]
    monkeypatch.setattr(boxes, name, lambda data: 12)
    assert "12 bits a channel reduced to 8" in open_picture(data).notes
    with pytest.raises(ImageError, match="not without loss"):
        bitcodec.encode(data, lossless=True)


def test_a_bmp_of_5_6_and_5_bits() -> None:
    red, green, blue = (RGB.astype(np.uint16)[..., c] for c in range(3))
    pixels = (red >> 3 << 11 | green >> 2 << 5 | blue >> 3).astype("<u2")[::-1].tobytes()
    head = struct.pack("<IiiHHIIiiII", 40, 32, 24, 1, 16, 3, len(pixels), 0, 0, 0, 0)
    masks = struct.pack("<III", 0xF800, 0x7E0, 0x1F)
    data = b"BM" + struct.pack("<IHHI", 66 + len(pixels), 0, 0, 66) + head + masks + pixels
    picture = open_picture(data)
    assert picture.notes == ()
    assert np.abs(picture.rgb.astype(int) - RGB).max() <= 8


def test_metadata_of_a_bigtiff() -> None:
    data = saved(Image.fromarray(RGB), "TIFF", big_tiff=True, dpi=(300, 300))
    picture = open_picture(data)
    np.testing.assert_array_equal(picture.rgb, RGB)
    assert picture.notes == ("metadata of a BigTIFF dropped",)
