"""EXIF blocks, whole and damaged; XMP, resolution and text."""

import io
import re
import struct
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image, PngImagePlugin

from bitcodec.picture.exif import XMP, Block, Entry
from bitcodec.picture.images import Picture, from_pil, open_picture, to_pil
from bitcodec.picture.metadata import EXIF_PREFIX, info_of_exif
from bitcodec.picture.save import save

RGB = np.random.default_rng(3).integers(0, 256, (6, 9, 3), dtype=np.uint8)
TURNED = np.rot90(RGB, -1)
BYTE, ASCII, SHORT, LONG, RATIONAL, UNDEFINED, SLONG, SRATIONAL = 1, 2, 3, 4, 5, 7, 9, 10
CODES = {BYTE: "B", ASCII: "B", SHORT: "H", LONG: "I", RATIONAL: "I", UNDEFINED: "B"}
CODES |= {SLONG: "i", SRATIONAL: "i"}
Tags = dict[int, tuple[int, Any]]
TURN: Tags = {274: (SHORT, [6])}


def block(tags: Tags, order: str = "<") -> bytes:
    """A TIFF structure of one folder, written without the code under test."""
    table, extra = b"", b""
    behind = 8 + 2 + 12 * len(tags) + 4
    for tag, (kind, values) in sorted(tags.items()):
        data = struct.pack(f"{order}{len(values)}{CODES[kind]}", *values)
        count = len(values) // 2 if kind in (RATIONAL, SRATIONAL) else len(values)
        place = data.ljust(4, b"\0")
        if len(data) > 4:
            place = struct.pack(order + "I", behind + len(extra))
            extra += data + b"\0" * (len(data) % 2)
        table += struct.pack(order + "HHI", tag, kind, count) + place
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    return start + struct.pack(order + "H", len(tags)) + table + bytes(4) + extra


def saved(kind: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(RGB).save(out, kind, **options)
    return out.getvalue()


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    "odd",
    [
        {296: (LONG, [131072])},
        {282: (ASCII, b"72 dpi\0")},
        {282: (RATIONAL, [0, 0])},
        {282: (SRATIONAL, [-1, 1])},
        {282: (SLONG, [-1])},
        {33432: (SHORT, [1, 2, 3])},
        {270: (UNDEFINED, b"\xff\xfe\xfd\xfc\xfb")},
        {700: (BYTE, b"no xmp")},
        {282: (RATIONAL, []), 296: (SHORT, [2])},
        {282: (RATIONAL, [4000000000, 1]), 283: (RATIONAL, [4000000000, 1]), 296: (SHORT, [2])},
        {296: (SHORT, []), 270: (ASCII, b"")},
    ],
)
def test_one_odd_tag_does_not_cost_the_orientation(order: str, odd: Tags) -> None:
    for kind in ("PNG", "WEBP"):
        lossless = {"lossless": True} if kind == "WEBP" else {}
        picture = open_picture(saved(kind, exif=EXIF_PREFIX + block(TURN | odd, order), **lossless))
        np.testing.assert_array_equal(picture.rgb, TURNED)
        assert picture.notes == ()
        assert picture.exif is not None
        kept = Block.parse(picture.exif)
        assert set(kept.entries) == set(odd)
        save(to_pil(picture), "PNG")
        jpeg = open_picture(saved("JPEG", exif=EXIF_PREFIX + block(TURN | odd, order)))
        assert jpeg.rgb.shape == TURNED.shape
        assert jpeg.exif == picture.exif


def test_a_block_that_is_cut_off_keeps_what_is_there() -> None:
    whole = block({270: (ASCII, b"A long description\0"), **TURN, 315: (ASCII, b"me\0")})
    for length in range(8, len(whole) - 1):  # the last byte is padding
        data = saved(exif=EXIF_PREFIX + whole[:length])
        picture = open_picture(data)
        has_turn = length >= 8 + 2 + 24
        np.testing.assert_array_equal(picture.rgb, TURNED if has_turn else RGB)
        assert len(picture.notes) == 1
        assert "EXIF" in picture.notes[0]
        if picture.exif is not None:
            assert 270 not in Block.parse(picture.exif).entries
            assert Block.parse(picture.exif).lost == 0


def test_nothing_else_in_a_block_moves() -> None:
    """Maker notes have offsets that count from the start of the block."""
    whole = block({**TURN, 37500: (UNDEFINED, b"maker note"), 270: (ASCII, b"text\0")})
    picture = open_picture(saved(exif=EXIF_PREFIX + whole))
    assert picture.exif is not None
    assert len(picture.exif) == len(whole)
    assert picture.exif.index(b"maker note") == whole.index(b"maker note")
    assert set(Block.parse(picture.exif).entries) == {37500, 270}


def test_thumbnails_stay() -> None:
    whole = bytearray(block({**TURN, 315: (ASCII, b"me\0")}))
    whole[8 + 2 + 24 : 8 + 2 + 28] = struct.pack("<I", len(whole))
    whole += struct.pack("<HHHII", 1, 259, SHORT, 1, 6) + bytes(4)
    picture = open_picture(saved(exif=EXIF_PREFIX + bytes(whole)))
    assert picture.exif is not None
    assert Image.open(io.BytesIO(saved(exif=picture.exif))).getexif().get_ifd(
        ExifTags.IFD.IFD1
    ) == {259: 6}


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "AVIF", "TIFF"])
def test_text_other_than_ascii_survives(kind: str) -> None:
    text = "Zürich, 東京 ☃".encode()
    options = {"quality": 95} if kind == "JPEG" else {"lossless": True} if kind == "WEBP" else {}
    source = "PNG" if kind == "TIFF" else kind  # Pillow cannot write it into a TIFF
    turn = {} if kind == "AVIF" else TURN  # which Pillow writes apart from EXIF, and EXIF anew
    data = saved(source, exif=EXIF_PREFIX + block({270: (ASCII, text + b"\0"), **turn}), **options)
    picture = open_picture(data)
    assert picture.exif is not None
    assert text in picture.exif
    out, notes = save(to_pil(picture), kind)
    assert text in out
    assert notes == ()
    again = open_picture(out)
    assert again.rgb.shape == picture.rgb.shape
    assert again.exif is not None
    assert Block.parse(again.exif).text(270) == text


PACKET = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><d tiff:Orientation="6" k="1"/></x:xmpmeta>'
UPRIGHT = PACKET.replace(b' tiff:Orientation="6"', b"")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "AVIF", "TIFF"])
@pytest.mark.parametrize("with_exif", [False, True])
def test_xmp_is_kept_and_turns(kind: str, with_exif: bool) -> None:
    exif = block({315: (ASCII, b"someone\0")})
    source = Image.fromarray(RGB)
    source.info["xmp"] = PACKET
    if with_exif:
        source.info["exif"] = EXIF_PREFIX + exif
    picture = from_pil(source)
    np.testing.assert_array_equal(picture.rgb, TURNED)
    image = to_pil(picture)
    assert image.info["xmp"] == UPRIGHT
    assert ("exif" in image.info) == with_exif
    data, notes = save(image, kind)
    assert notes == ()
    back = open_picture(data)
    assert back.rgb.shape == TURNED.shape
    assert to_pil(back).info["xmp"] == UPRIGHT
    assert back.exif is not None
    assert Block.parse(back.exif).text(315) == (b"someone" if with_exif else b"")


def test_a_packet_does_not_grow_a_block_each_time() -> None:
    source = Image.fromarray(RGB)
    source.info["xmp"] = UPRIGHT + b" " * 5000
    source.info["exif"] = EXIF_PREFIX + block({315: (ASCII, b"someone\0")})
    first = from_pil(source)
    picture = first
    for _ in range(4):
        picture = from_pil(to_pil(picture))
    assert first.exif is not None
    assert picture.exif is not None
    assert len(picture.exif) <= len(first.exif) + 64


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP"])
def test_resolution_is_kept(kind: str) -> None:
    picture = open_picture(saved(kind, dpi=(300, 150)))
    assert to_pil(picture).info["dpi"] == pytest.approx((300, 150), abs=0.02)
    data, notes = save(to_pil(picture), kind)
    assert Image.open(io.BytesIO(data)).info["dpi"] == pytest.approx((300, 150), abs=0.02)
    assert notes == ()


@pytest.mark.parametrize(("kind", "dpi"), [("PNG", 72), ("JPEG", 72), ("TIFF", 72), ("BMP", 96)])
def test_a_resolution_that_means_nothing_is_not(kind: str, dpi: int) -> None:
    assert open_picture(saved(kind, dpi=(dpi, dpi))).exif is None


def test_resolution_in_centimetres() -> None:
    exif = block({282: (RATIONAL, [100, 1]), 283: (RATIONAL, [100, 1]), 296: (SHORT, [3])})
    assert info_of_exif(exif)["dpi"] == pytest.approx((254, 254))


def test_text_that_is_left_behind_is_said() -> None:
    assert open_picture(saved("JPEG", comment=b"a comment")).notes == ("comment dropped",)
    text = PngImagePlugin.PngInfo()
    for name in ("Author", "Title", "Note\n"):
        text.add_text(name, "nobody")
    assert open_picture(saved(pnginfo=text)).notes == ("PNG text dropped (Author, Title, ?)",)


def test_tags_of_a_tiff_are_kept() -> None:
    tags = {270: "a text", 315: "someone", 700: UPRIGHT}
    picture = open_picture(saved("TIFF", tiffinfo=tags))
    assert picture.exif is not None
    parsed = Block.parse(picture.exif)
    assert set(parsed.entries) == {270, 315, 700}
    assert (parsed.text(270), parsed.text(315)) == (b"a text", b"someone")


def test_sub_folders_go_into_a_tiff() -> None:
    exif = Image.Exif()
    exif[271] = "a maker"
    exif.get_ifd(0x8769)[0x9003] = "2024:01:02 03:04:05"
    picture = Picture(RGB, exif=exif.tobytes()[6:])
    back = Image.open(io.BytesIO(save(to_pil(picture), "TIFF")[0])).getexif()
    assert back[271] == "a maker"
    assert back.get_ifd(0x8769)[0x9003] == "2024:01:02 03:04:05"


@pytest.mark.parametrize("order", ["<", ">"])
def test_numbers_and_ratios(order: str) -> None:
    tags: Tags = {296: (SHORT, [2]), 282: (RATIONAL, [600, 2]), 283: (RATIONAL, [1, 0])}
    parsed = Block.parse(block(tags, order))
    assert parsed.numbers(296) == (2,)
    assert parsed.numbers(282) == ()
    assert parsed.ratio(282) == 300
    assert parsed.ratio(283) is None
    assert parsed.ratio(1) is None


def test_any_bytes_are_no_more_than_a_value_error() -> None:
    rng = np.random.default_rng(1)
    base = block({**TURN, 270: (ASCII, b"A long description\0"), 34665: (LONG, [8])})
    for _ in range(3000):
        data = bytearray(base)
        for at in rng.integers(0, len(data), rng.integers(1, 6)):
            data[at] = rng.integers(0, 256)
        try:
            parsed = Block.parse(bytes(data[: rng.integers(0, len(data) + 1)]))
        except ValueError:
            continue
        new = {XMP: Entry(BYTE, 9, b"some xmp!")}
        again = Block.parse(parsed.without({274}).with_entries(new).to_bytes())
        assert again.entries[XMP].octets == b"some xmp!"
        assert set(again.entries) <= {*parsed.entries, XMP} - {274}


def test_no_python_names_in_notes() -> None:
    picture = open_picture(saved(exif=EXIF_PREFIX + b"II*\0\xff\xff\xff\xff"))
    assert picture.notes == ("damaged EXIF dropped",)
    assert not re.search("Error|0x", picture.notes[0])
