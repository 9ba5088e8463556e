"""Files that Pillow reads wrongly, or tells less of than they say: TIFF, TGA, BMP, PNG, JP2."""

import io
import struct
import time
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, UnidentifiedImageError

from bitcodec.errors import ImageError
from bitcodec.picture.images import from_pil, open_picture

RNG = np.random.default_rng(5)
H, W = 20, 30
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
DEEP = "16 bits a channel reduced to 8"
SHORT, LONG = 3, 4


def ramps(channels: int) -> np.ndarray:
    """(H, W, channels) in 0..1, all of them different."""
    y, x = np.mgrid[0:H, 0:W]
    every = np.dstack((x / (W - 1), y / (H - 1), (x + y) / (W + H - 2), 0.2 + 0.7 * x / (W - 1)))
    return every[..., :channels]


def tiff(
    planes: list[bytes], bits: list[int], colours: int, order: str, *, planar: int = 2, **more: Any
) -> bytes:
    """A TIFF file of one strip a plane; ``tags`` adds tags, ``packed`` is Deflate."""
    packed = more.get("packed", False)
    strips = [zlib.compress(plane) for plane in planes] if packed else planes
    offsets, body = [], b""
    for strip in strips:
        offsets.append(8 + len(body))
        body += strip + bytes(len(strip) % 2)
    entries: dict[int, tuple[int, list[int]]] = {
        256: (LONG, [W]),
        257: (LONG, [H]),
        258: (SHORT, bits),
        259: (SHORT, [8 if packed else 1]),
        262: (SHORT, [colours]),
        273: (LONG, offsets),
        277: (SHORT, [len(bits)]),
        278: (LONG, [H]),
        279: (LONG, [len(strip) for strip in strips]),
        284: (SHORT, [planar]),
        **more.get("tags", {}),
    }
    table, extra = b"", b""
    behind = 8 + len(body) + 2 + 12 * len(entries) + 4
    for tag, (kind, values) in sorted(entries.items()):
        data = struct.pack(f"{order}{len(values)}{'I' if kind == LONG else 'H'}", *values)
        place = data.ljust(4, b"\0")
        if len(data) > 4:
            place = struct.pack(order + "I", behind + len(extra))
            extra += data
        table += struct.pack(order + "HHI", tag, kind, len(values)) + place
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8 + len(body))
    return start + body + struct.pack(order + "H", len(entries)) + table + bytes(4) + extra


def stored(picture: np.ndarray, depth: int, order: str) -> np.ndarray:
    code = "u1" if depth == 8 else order + "u2"
    return np.rint(picture * (2**depth - 1)).astype(code)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("channels", "colours", "extra"),
    [(3, 2, []), (4, 2, [2]), (4, 2, [0]), (2, 1, [2]), (2, 0, [2]), (4, 5, [])],
)
@pytest.mark.parametrize("planar", [1, 2])
def test_tiff_layouts(
    order: str, depth: int, packed: bool, channels: int, colours: int, extra: list[int], planar: int
) -> None:
    """The picture, or an error; never anything else."""
    picture = ramps(channels)
    samples = stored(picture, depth, order)
    if colours == 0:
        top = samples.dtype.type(2**depth - 1)
        samples[..., 0] = top - samples[..., 0]
    strips = (
        [samples.tobytes()]
        if planar == 1
        else [np.ascontiguousarray(samples[..., i]).tobytes() for i in range(channels)]
    )
    tags = {338: (SHORT, extra)} if extra else {}
    data = tiff(strips, [depth] * channels, colours, order, planar=planar, packed=packed, tags=tags)
    unnamed = extra == [0] and planar == 2 and not packed and depth == 8
    if (channels == 2 and depth == 16) or unnamed:
        with pytest.raises(ImageError, match="TIFF"):
            open_picture(data)
        return
    pictures = [open_picture(data)]
    if (channels, colours) != (2, 0):  # which Pillow does not open
        pictures.append(from_pil(Image.open(io.BytesIO(data))))
    for got in pictures:
        right = np.rint(picture * 255)
        if colours == 5:
            inks = Image.fromarray(right.astype(np.uint8), "CMYK")
            off = got.rgb.astype(int) - np.asarray(inks.convert("RGB"))
            assert np.abs(off).max() <= (2 if depth == 16 else 0)
            continue
        seen = got.rgb[..., :1] if got.grey else got.rgb
        assert np.abs(seen - right[..., : seen.shape[2]]).max() <= (1 if depth == 16 else 0)
        assert got.grey == (channels == 2)
        if extra == [2]:
            assert got.alpha is not None
            assert np.abs(got.alpha - right[..., -1]).max() <= (1 if depth == 16 else 0)
        else:
            assert got.alpha is None
        assert (DEEP in got.notes) == (depth == 16)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("planar", [1, 2])
def test_16_bits_that_were_multiplied_by_alpha(order: str, packed: bool, planar: int) -> None:
    picture = ramps(4)
    multiplied = np.dstack((picture[..., :3] * picture[..., 3:], picture[..., 3]))
    samples = stored(multiplied, 16, order)
    strips = [samples.tobytes()]
    if planar == 2:
        strips = [np.ascontiguousarray(samples[..., i]).tobytes() for i in range(4)]
    tags = {338: (SHORT, [1])}
    data = tiff(strips, [16] * 4, 2, order, planar=planar, packed=packed, tags=tags)
    for got in (open_picture(data), from_pil(Image.open(io.BytesIO(data)))):
        assert got.alpha is not None
        seen = np.dstack((got.rgb, got.alpha))
        assert np.abs(seen - picture * 255).max() <= 1
        assert DEEP in got.notes


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("colours", [0, 1])
def test_grey_tiff_of_every_depth(order: str, packed: bool, depth: int, colours: int) -> None:
    levels = np.rint(ramps(1)[..., 0] * (2**depth - 1)).astype(np.uint16)
    samples = 2**depth - 1 - levels if colours == 0 else levels
    if depth < 8:
        digits = (samples[..., None] >> np.arange(depth)[::-1]) & 1
        strip = np.packbits(digits.reshape(H, -1).astype(np.uint8), axis=1).tobytes()
    else:
        strip = samples.astype("u1" if depth == 8 else order + "u2").tobytes()
    data = tiff([strip], [depth], colours, order, planar=1, packed=packed)
    picture = open_picture(data)
    assert picture.grey
    right = np.rint(levels / (2**depth - 1) * 255)
    np.testing.assert_array_equal(picture.rgb[..., 0], right)


@pytest.mark.parametrize(
    ("bits", "kind"), [(8, "signed"), (16, "signed"), (32, "signed"), (32, "32-bit")]
)
def test_tiff_without_a_clear_white_is_refused_by_name(bits: int, kind: str) -> None:
    tags = {339: (SHORT, [2])} if kind == "signed" else {}
    data = tiff([bytes(H * W * bits // 8)], [bits], 1, "<", planar=1, tags=tags)
    with pytest.raises(ImageError, match=kind):
        open_picture(data)


def test_unknown_tiff_is_called_one() -> None:
    with pytest.raises(ImageError, match="TIFF"):
        open_picture(tiff([bytes(H * W * 8)], [64], 1, "<", planar=1))


def test_tiff_palette_of_8_bits() -> None:
    indices = RNG.integers(0, 256, (H, W), dtype=np.uint8)
    colours = RNG.integers(0, 256, (3, 256))
    tags = {320: (SHORT, colours.ravel().tolist())}
    picture = open_picture(tiff([indices.tobytes()], [8], 3, "<", planar=1, tags=tags))
    np.testing.assert_array_equal(picture.rgb, colours.T[indices])


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("planar", [1, 2])
def test_tiff_is_turned_once(planar: int, orientation: int) -> None:
    samples = stored(ramps(3), 8, "<")
    strips = (
        [samples.tobytes()]
        if planar == 1
        else [np.ascontiguousarray(samples[..., i]).tobytes() for i in range(3)]
    )
    tags = {274: (SHORT, [orientation]), 296: (LONG, [131072])}
    picture = open_picture(tiff(strips, [8] * 3, 2, "<", planar=planar, tags=tags))
    np.testing.assert_array_equal(picture.rgb, np.rot90(samples, {1: 0, 6: -1}[orientation]))


def test_an_odd_resolution_does_not_cost_a_tiff() -> None:
    """Pillow multiplies it."""
    samples = stored(ramps(3), 8, "<")
    text = LONG, [0x32374241]
    data = tiff([samples.tobytes()], [8] * 3, 2, "<", planar=1, tags={282: text, 296: (SHORT, [3])})
    at = data.index(struct.pack("<HHI", 282, LONG, 1))
    data = data[: at + 2] + struct.pack("<H", 2) + data[at + 4 :]  # a text of one letter
    with pytest.raises(UnidentifiedImageError):
        Image.open(io.BytesIO(data))
    np.testing.assert_array_equal(open_picture(data).rgb, samples)


@pytest.mark.parametrize("where", [0.2, 0.5, 0.9])
@pytest.mark.parametrize("packed", [False, True])
def test_truncated_planes(where: float, packed: bool) -> None:
    planes = [RNG.bytes(2 * H * W) for _ in range(3)]
    data = tiff(planes, [16] * 3, 2, "<", packed=packed)
    cut = data[: int(len(data) * where)]
    with pytest.raises(ImageError):
        open_picture(cut)
    offset = struct.unpack_from("<I", data, 4)[0]
    hole = bytearray(data)
    for tag in range(struct.unpack_from("<H", hole, offset)[0]):
        at = offset + 2 + 12 * tag
        if struct.unpack_from("<H", hole, at)[0] == 273:
            where_at = struct.unpack_from("<I", hole, at + 8)[0]
            struct.pack_into("<I", hole, where_at, len(data) + 100)
    with pytest.raises(ImageError):
        open_picture(bytes(hole))


def test_all_16_bits_are_rounded_not_cut() -> None:
    wide = RNG.integers(0, 65536, (H, W, 3))
    right = np.rint(wide / 257)
    for order in "<>":
        data = tiff([wide.astype(order + "u2").tobytes()], [16] * 3, 2, order, planar=1)
        np.testing.assert_array_equal(open_picture(data).rgb, right)


# --- alpha --------------------------------------------------------------------------------------

RGBA = np.rint(ramps(4) * 255).astype(np.uint8)


def tga(samples: np.ndarray, bits: int, attributes: int | None = None) -> bytes:
    head = struct.pack("<BBBHHBHHHHBB", 0, 0, 2, 0, 0, 0, 0, 0, W, H, 32, 0x20 | bits)
    data = head + samples[..., [2, 1, 0, 3]].tobytes()
    if attributes is not None:
        extension = struct.pack("<H", 495) + bytes(492) + bytes([attributes])
        at = len(data)
        data += extension + struct.pack("<II", at, 0) + b"TRUEVISION-XFILE.\0"
    return data


def bmp(samples: np.ndarray, header: int = 108, profile: bytes = b"") -> bytes:
    body = np.ascontiguousarray(samples[::-1, :, [2, 1, 0, 3]]).tobytes()
    head = struct.pack("<IiiHHIIiiII", header, W, H, 1, 32, 3, len(body), 0, 0, 0, 0)
    head += struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    head += b"DEBM" if profile else b"BGRs"
    head = head.ljust(header, b"\0")
    if profile:
        head = head[:112] + struct.pack("<II", header + len(body), len(profile)) + head[120:]
    start = 14 + header
    size = struct.pack("<IHHI", start + len(body) + len(profile), 0, 0, start)
    return b"BM" + size + head + body + profile


def clear(samples: np.ndarray) -> np.ndarray:
    return np.dstack((samples[..., :3], np.zeros((H, W), np.uint8)))


@pytest.mark.parametrize(
    ("data", "alpha"),
    [
        (tga(clear(RGBA), 0), False),
        (tga(RGBA, 0), False),
        (tga(clear(RGBA), 8), False),
        (tga(RGBA, 8), True),
        (tga(RGBA, 8, 2), False),
        (tga(RGBA, 8, 3), True),
        (tga(RGBA, 0, 3), True),
        (bmp(clear(RGBA)), False),
        (bmp(RGBA), True),
        (bmp(clear(RGBA), 124), False),
    ],
)
def test_alpha_is_what_the_file_says(data: bytes, alpha: bool) -> None:
    picture = open_picture(data)
    np.testing.assert_array_equal(picture.rgb, RGBA[..., :3])
    if alpha:
        np.testing.assert_array_equal(picture.alpha, RGBA[..., 3])
    else:
        assert picture.alpha is None
        assert picture.notes == ("unused alpha channel dropped",)


def test_multiplied_tga() -> None:
    alpha = RGBA[..., 3:].astype(np.float64) / 255
    multiplied = np.dstack((np.rint(RGBA[..., :3] * alpha), RGBA[..., 3])).astype(np.uint8)
    picture = open_picture(tga(multiplied, 8, 4))
    np.testing.assert_array_equal(picture.alpha, RGBA[..., 3])
    assert np.abs(picture.rgb.astype(int) - RGBA[..., :3]).max() <= 3


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_a_picture_that_is_clear_stays_clear(kind: str) -> None:
    out = io.BytesIO()
    Image.fromarray(clear(RGBA)).save(out, kind)
    picture = open_picture(out.getvalue())
    assert picture.alpha is not None
    assert not picture.alpha.any()


def test_profile_in_a_bmp() -> None:
    opaque = np.dstack((RGBA[..., :3], np.full((H, W), 255, np.uint8)))
    picture = open_picture(bmp(opaque, 124, SRGB))
    assert picture.icc == SRGB
    assert picture.notes == ()


# --- PNG ----------------------------------------------------------------------------------------


def chunk(name: bytes, body: bytes, wrong: int = 0) -> bytes:
    crc = zlib.crc32(name + body) ^ wrong
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", crc)


def with_chunks(*chunks: bytes, last: bytes = b"") -> bytes:
    out = io.BytesIO()
    Image.fromarray(RGBA[..., :3]).save(out, "PNG")
    data = out.getvalue()
    return data[:33] + b"".join(chunks) + data[33:-12] + last + data[-12:]


LONG_TEXT = b"text " * 400_000


@pytest.mark.parametrize("place", ["before", "behind"])
@pytest.mark.parametrize(
    ("name", "body"),
    [
        (b"tEXt", b"Comment\0" + LONG_TEXT),
        (b"zTXt", b"Comment\0\0" + zlib.compress(LONG_TEXT)),
        (b"iTXt", b"Comment\0\1\0\0\0" + zlib.compress(LONG_TEXT)),
        (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + LONG_TEXT),
    ],
)
def test_long_text_in_a_png(name: bytes, body: bytes, place: str) -> None:
    text = chunk(name, body)
    data = with_chunks(text) if place == "before" else with_chunks(last=text)
    picture = open_picture(data)
    np.testing.assert_array_equal(picture.rgb, RGBA[..., :3])
    assert picture.notes == (f"PNG chunk {name.decode()} dropped: too long",)


def test_much_text_in_a_png() -> None:
    text = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(2**20 - 9)))
    picture = open_picture(with_chunks(*[text] * 70))
    np.testing.assert_array_equal(picture.rgb, RGBA[..., :3])


def test_many_bombs_in_a_png_take_no_time() -> None:
    text = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(2**24), 9))
    profile = chunk(b"iCCP", b"icc\0\0" + zlib.compress(bytes(2**24), 9))
    started = time.monotonic()
    picture = open_picture(with_chunks(*[text, profile] * 300))
    assert time.monotonic() - started < 10
    np.testing.assert_array_equal(picture.rgb, RGBA[..., :3])


def test_exif_that_is_too_long_to_keep() -> None:
    exif = b"II*\0\x08\0\0\0\x01\0\x0f\x01\x02\0\x04\0\0\0abc\0\0\0\0\0" + bytes(2**24)
    picture = open_picture(with_chunks(chunk(b"eXIf", exif)))
    assert picture.exif is None
    assert picture.notes == (f"EXIF of {len(exif)} bytes dropped: too long",)


def test_profile_that_is_too_long_to_keep() -> None:
    long = struct.pack(">I", 2**21) + SRGB[4:] + bytes(2**21 - len(SRGB))
    data = with_chunks(chunk(b"iCCP", b"icc\0\0" + zlib.compress(long)))
    picture = open_picture(data)
    assert np.abs(picture.rgb.astype(int) - RGBA[..., :3]).max() <= 1
    assert picture.icc is None
    assert picture.notes[0].startswith("colour profile of 2097152 bytes dropped")


def test_profile_that_is_far_too_long() -> None:
    data = with_chunks(chunk(b"iCCP", b"icc\0\0" + zlib.compress(bytes(2**25))))
    picture = open_picture(data)
    assert picture.icc is None
    assert picture.notes == ("PNG chunk iCCP dropped: damaged or too long",)


@pytest.mark.parametrize("place", ["before", "behind"])
@pytest.mark.parametrize("name", [b"tEXt", b"gAMA", b"pHYs", b"eXIf", b"iCCP", b"tIME", b"abCd"])
def test_wrong_checksum_of_a_chunk_without_pixels(name: bytes, place: str) -> None:
    bad = chunk(name, b"Comment\0\0\0\0\0\0\0\0", wrong=1)
    data = with_chunks(bad) if place == "before" else with_chunks(last=bad)
    picture = open_picture(data)
    np.testing.assert_array_equal(picture.rgb, RGBA[..., :3])
    assert picture.notes == (f"PNG chunk {name.decode()} dropped: wrong checksum",)


@pytest.mark.parametrize("name", [b"gAMA", b"cHRM", b"sRGB", b"pHYs", b"cICP"])
@pytest.mark.parametrize("length", [0, 3, 40])
def test_wrong_length_of_a_chunk_without_pixels(name: bytes, length: int) -> None:
    picture = open_picture(with_chunks(chunk(name, bytes(length))))
    np.testing.assert_array_equal(picture.rgb, RGBA[..., :3])
    assert picture.notes == (f"PNG chunk {name.decode()} dropped: wrong length",)


@pytest.mark.parametrize("control", [b"", bytes(26), struct.pack(">IIIII6x", 9, W, H, 5, 5)])
def test_an_animation_that_is_damaged(control: bytes) -> None:
    """Its first frame is whole."""
    chunks = chunk(b"acTL", struct.pack(">II", 3, 0)), chunk(b"fcTL", control)
    picture = open_picture(with_chunks(*chunks, last=chunk(b"fdAT", b"??")))
    np.testing.assert_array_equal(picture.rgb, RGBA[..., :3])
    assert picture.notes == ("other frames dropped",)


@pytest.mark.parametrize("name", [b"IHDR", b"tRNS"])
def test_wrong_checksum_of_pixels_is_an_error(name: bytes) -> None:
    data = bytearray(with_chunks(chunk(b"tRNS", bytes(6))))
    at = data.index(name)
    length = struct.unpack_from(">I", data, at - 4)[0]
    data[at + 4 + length] ^= 1
    with pytest.raises(ImageError):
        open_picture(bytes(data))


# --- JPEG 2000 ------------------------------------------------------------------------------------


def jp2(colours: bytes) -> bytes:
    out = io.BytesIO()
    Image.fromarray(RGBA[..., :3]).save(out, "JPEG2000")
    data = out.getvalue()
    at = data.index(b"colr") - 4
    size = struct.unpack_from(">I", data, at)[0]
    box = struct.pack(">I", 8 + len(colours)) + b"colr" + colours
    header = data.index(b"jp2h") - 4
    longer = struct.unpack_from(">I", data, header)[0] + len(box) - size
    data = data[:header] + struct.pack(">I", longer) + data[header + 4 :]
    return data[:at] + box + data[at + size :]


def test_profile_in_a_jp2() -> None:
    picture = open_picture(jp2(b"\2\0\0" + SRGB))
    np.testing.assert_array_equal(picture.rgb, RGBA[..., :3])
    assert picture.icc == SRGB


def test_colour_space_of_a_jp2_that_nobody_knows() -> None:
    with pytest.raises(ImageError, match="colour space 20"):
        open_picture(jp2(b"\1\0\0" + struct.pack(">I", 20)))
