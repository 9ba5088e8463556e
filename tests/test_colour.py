"""Colours that are marked other than by an ICC profile, and profiles that pixels do not fit."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from bitcodec.errors import ImageError
from bitcodec.picture.colour import through_profile
from bitcodec.picture.images import from_pil, open_picture, stripped
from bitcodec.picture.readers import look

H, W = 24, 40
Y, X = np.mgrid[0:H, 0:W]
LIGHT = np.dstack((X / (W - 1), Y / (H - 1), (X + Y) / (W + H - 2)))  # linear light of sRGB
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
# From linear sRGB, worked out from the chromaticities by hand-book formulas (BT.2087, Lindbloom).
TO_2020 = np.array(
    [[0.627404, 0.329283, 0.043313], [0.069097, 0.919540, 0.011362], [0.016391, 0.088013, 0.895595]]
)
TO_P3 = np.array(
    [[0.822462, 0.177538, 0.0], [0.033194, 0.966806, 0.0], [0.017083, 0.072397, 0.910520]]
)
TO_ADOBE = np.array([[0.715126, 0.284874, 0.0], [0.0, 1.0, 0.0], [0.0, 0.041166, 0.958834]])


def srgb(light: np.ndarray) -> np.ndarray:
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def pq(light: np.ndarray) -> np.ndarray:
    """Light in units of 203 nits -> PQ, by the formula of ST 2084."""
    y = (light * 203 / 10000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * y) / (1 + 18.6875 * y)) ** 78.84375


def hlg(light: np.ndarray, luma: np.ndarray) -> np.ndarray:
    """Light in units of 203 nits -> HLG on a display of 1000 nits, by BT.2100."""
    display = light * 0.203
    y = np.maximum(display @ luma, 1e-9) ** (1 / 1.2)
    scene = display * (y ** (1 - 1.2))[..., None]
    high = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), high)


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(values: np.ndarray, depth: int, *chunks: bytes) -> bytes:
    samples = np.rint(np.clip(values, 0, 1) * (2**depth - 1)).astype("u1" if depth == 8 else ">u2")
    head = struct.pack(">IIBBBBB", W, H, depth, 2 if values.ndim == 3 else 0, 0, 0, 0)
    rows = b"".join(b"\0" + row.tobytes() for row in samples)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + b"".join(chunks)
    return data + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def cicp(primaries: int, transfer: int) -> bytes:
    return chunk(b"cICP", bytes([primaries, transfer, 0, 1]))


def gama(value: float) -> bytes:
    return chunk(b"gAMA", struct.pack(">I", round(value * 100000)))


def chrm(*points: float) -> bytes:
    return chunk(b"cHRM", struct.pack(">8I", *(round(p * 100000) for p in points)))


D65 = 0.3127, 0.3290
ADOBE = (*D65, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
P3 = (*D65, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06)
REC709 = (*D65, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)


def avif(values: np.ndarray, primaries: int, transfer: int) -> bytes:
    out = io.BytesIO()
    samples = np.rint(values * 255).astype(np.uint8)
    Image.fromarray(samples).save(out, "AVIF", quality=100, subsampling="4:4:4")
    data = bytearray(out.getvalue())
    at = data.index(b"colrnclx") + 8
    data[at : at + 4] = struct.pack(">HH", primaries, transfer)
    return bytes(data)


def shown(data: bytes) -> np.ndarray:
    """What a screen of sRGB shows of a picture: its profile is applied."""
    picture = open_picture(data)
    if picture.icc is None:
        return picture.rgb.astype(int)
    out = through_profile(Image.fromarray(picture.rgb), picture.icc)
    return np.asarray(out).astype(int)


def off(data: bytes) -> float:
    """Mean distance of what is shown from the right colours, in levels."""
    return float(np.abs(shown(data) - np.rint(srgb(LIGHT) * 255)).mean())


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize(
    ("matrix", "primaries"), [(np.eye(3), 1), (TO_2020, 9), (TO_P3, 12)], ids=["709", "2020", "p3"]
)
@pytest.mark.parametrize("transfer", [8, 13, 16, 18, 4])
def test_png_marked_by_numbers(
    depth: int, matrix: np.ndarray, primaries: int, transfer: int
) -> None:
    light = LIGHT @ matrix.T
    inverse = np.linalg.inv(matrix)
    luma = np.array([0.2126, 0.7152, 0.0722]) @ inverse
    coded = {
        8: lambda: light,
        13: lambda: srgb(light),
        16: lambda: pq(light),
        18: lambda: hlg(light, luma),
        4: lambda: light ** (1 / 2.2),
    }[transfer]()
    data = png(coded, depth, cicp(primaries, transfer))
    limit = 1.0 if depth == 16 else {8: 3, 13: 1, 4: 2.5}.get(transfer, 4)
    assert off(data) < (2.5 if transfer == 4 else limit)
    picture = open_picture(data)
    notes = [note for note in picture.notes if "16 bits" not in note]
    assert bool(notes) == ((primaries, transfer) not in {(1, 13), (1, 4)})
    hdr = transfer in (16, 18)
    assert (picture.icc is None) == (hdr or primaries == 1)
    if hdr:
        name = {1: "BT.709", 9: "BT.2020", 12: "Display P3"}[primaries]
        curve = "PQ" if transfer == 16 else "HLG"
        assert notes == [f"HDR ({curve}, {name}) converted to SDR, sRGB"]


@pytest.mark.parametrize(
    ("matrix", "primaries", "transfer", "curve"),
    [(TO_P3, 12, 13, srgb), (TO_2020, 9, 16, pq), (TO_2020, 9, 14, srgb), (np.eye(3), 1, 13, srgb)],
)
def test_avif_marked_by_numbers(
    matrix: np.ndarray, primaries: int, transfer: int, curve: Any
) -> None:
    data = avif(curve(np.clip(LIGHT @ matrix.T, 0, 1)), primaries, transfer)
    assert off(data) < 5
    assert bool(open_picture(data).notes) == (primaries != 1)


def test_highlights_are_pressed_together_not_cut() -> None:
    light = LIGHT[..., :1] * np.ones(3) * 8
    picture = open_picture(png(pq(light), 16, cicp(1, 16)))
    row = picture.rgb[0, :, 0].astype(int)
    assert (np.diff(row) >= 0).all()
    assert row[-1] == 255
    assert row[W // 4] < 254
    dark = light[0, :, 0] < 0.75
    np.testing.assert_allclose(row[dark], np.rint(srgb(light[0, :, 0])[dark] * 255), atol=1)


@pytest.mark.parametrize(
    ("gamma", "points", "matrix", "profile"),
    [
        (1 / 2.2, None, np.eye(3), False),
        (1 / 2.2, REC709, np.eye(3), False),
        (1.0, None, np.eye(3), False),
        (1 / 1.8, None, np.eye(3), True),
        (1 / 2.2, ADOBE, TO_ADOBE, True),
        (1.0, P3, TO_P3, True),
    ],
)
def test_png_with_gamma_and_chromaticities(
    gamma: float, points: tuple[float, ...] | None, matrix: np.ndarray, profile: bool
) -> None:
    coded = np.clip(LIGHT @ matrix.T, 0, 1) ** gamma
    chunks = [gama(gamma)] + ([chrm(*points)] if points else [])
    data = png(coded, 16, *chunks)
    assert off(data) < 2.5
    assert (open_picture(data).icc is not None) == profile


def test_chromaticities_alone_have_the_curve_of_srgb() -> None:
    assert off(png(srgb(LIGHT @ TO_P3.T), 16, chrm(*P3))) < 1


def test_what_counts_where_a_png_says_it_twice() -> None:
    icc = chunk(b"iCCP", b"icc\0\0" + zlib.compress(SRGB))
    for more in ((gama(1.0),), (chrm(*P3),), (cicp(12, 13),)):
        picture = open_picture(png(srgb(LIGHT), 8, *more, icc))
        assert picture.icc == SRGB
    picture = open_picture(png(srgb(LIGHT), 8, chunk(b"sRGB", b"\0"), gama(0.9), chrm(*P3)))
    assert (picture.icc, picture.notes) == (None, ())
    assert off(png(pq(LIGHT), 16, icc, cicp(1, 16))) < 1


@pytest.mark.parametrize(
    "points", [(0, 0, 0, 0, 0, 0, 0, 0), (0.3, 0.3, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5)]
)
def test_chromaticities_without_a_meaning(points: tuple[float, ...]) -> None:
    picture = open_picture(png(srgb(LIGHT), 8, chrm(*points)))
    assert picture.icc is None


@pytest.mark.parametrize("gamma", [0.0, 0.00001, 0.04, 30.0, 21474.83647])
def test_a_gamma_that_cannot_be_meant(gamma: float) -> None:
    picture = open_picture(png(LIGHT, 8, gama(gamma)))
    np.testing.assert_array_equal(picture.rgb, open_picture(png(LIGHT, 8)).rgb)
    assert (picture.icc, picture.notes) == (None, ())


def test_video_range_is_refused() -> None:
    with pytest.raises(ImageError, match="video range"):
        open_picture(png(LIGHT, 8, chunk(b"cICP", bytes([1, 13, 0, 0]))))


def test_gamma_of_grey() -> None:
    picture = open_picture(png(LIGHT[..., 2], 16, gama(1.0), chrm(*P3)))
    assert picture.grey
    right = np.rint(srgb(LIGHT[..., 2]) * 255)
    assert np.abs(picture.rgb[..., 0] - right).max() <= 1
    assert picture.icc is None


def test_numbers_that_nobody_knows() -> None:
    with pytest.raises(ImageError, match="primaries 99, transfer 13"):
        open_picture(png(LIGHT, 8, cicp(99, 13)))


def test_heif_by_its_plugin() -> None:
    image = Image.fromarray(np.rint(srgb(LIGHT @ TO_P3.T) * 255).astype(np.uint8))
    image.format = "HEIF"
    image.info["nclx_profile"] = {"color_primaries": 12, "transfer_characteristics": 13}
    coding = look(image, None).coding
    assert coding is not None
    assert coding.name == "Display P3"
    assert from_pil(image).icc is not None


def folder(tag: int, kind: int, count: int, place: bytes) -> bytes:
    return struct.pack("<HHHI4sI", 1, tag, kind, count, place, 0)


R03 = (
    b"II*\0\x08\0\0\0"
    + folder(34665, 4, 1, struct.pack("<I", 26))
    + folder(40965, 4, 1, struct.pack("<I", 44))
    + folder(1, 2, 4, b"R03\0")
)
UNCALIBRATED_2 = R03[:26] + folder(40961, 3, 1, struct.pack("<HH", 2, 0))


@pytest.mark.parametrize("exif", [R03, UNCALIBRATED_2])
def test_adobe_rgb_by_exif(exif: bytes) -> None:
    image = Image.fromarray(np.rint((LIGHT @ TO_ADOBE.T) ** (1 / 2.2) * 255).astype(np.uint8))
    out = io.BytesIO()
    image.save(out, "PNG", exif=exif)
    assert off(out.getvalue()) < 2
    assert open_picture(out.getvalue()).notes == ("colours are Adobe RGB: kept as a profile",)


def swapped_inks() -> bytes:
    """A CMYK profile that takes cyan for magenta and so on: from a table of 16 corners in Lab."""
    table = b""
    for node in range(16):
        c, m, y, k = (node >> 3) & 1, (node >> 2) & 1, (node >> 1) & 1, node & 1
        light = 95 * (1 - 0.8 * k) * (1 - 0.25 * (c + m + y))
        table += bytes([int(light * 2.55), 128 + 60 * c - 50 * m, 128 - 40 * c + 60 * y])
    ramp = bytes(range(256))
    matrix = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    lut = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + matrix + ramp * 4 + table + ramp * 3
    text = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"inks\0" + bytes(79)
    tags = [(b"desc", text), (b"cprt", b"text\0\0\0\0none"), (b"A2B0", lut)]
    tags.append((b"wtpt", b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)))
    places, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, data in tags:
        places += name + struct.pack(">II", start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    head = struct.pack(">I4xI12s12x4s", start + len(body), 0x02400000, b"prtrCMYKLab ", b"acsp")
    head = head.ljust(68, b"\0") + struct.pack(">3i", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + places + body


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_goes_through_its_profile(kind: str) -> None:
    profile = swapped_inks()
    inks = Image.fromarray(
        np.rint(np.dstack((LIGHT, LIGHT[..., 2] / 3)) * 255).astype(np.uint8), "CMYK"
    )
    out = io.BytesIO()
    options = {"quality": 100, "subsampling": 0} if kind == "JPEG" else {}
    inks.save(out, kind, icc_profile=profile, **options)
    right = ImageCms.profileToProfile(
        Image.open(out),
        io.BytesIO(profile),
        ImageCms.createProfile("sRGB"),
        outputMode="RGB",
    )
    assert right is not None
    picture = open_picture(out.getvalue())
    np.testing.assert_array_equal(picture.rgb, np.asarray(right))
    assert picture.icc is None
    assert picture.notes == ("CMYK converted to sRGB by its profile",)
    assert np.abs(picture.rgb.astype(int) - np.asarray(inks.convert("RGB"))).mean() > 10


def p3_profile() -> bytes:
    icc = open_picture(png(LIGHT, 8, cicp(12, 13))).icc
    assert icc is not None
    return icc


def test_profile_is_one_that_others_read() -> None:
    parsed: Any = ImageCms.ImageCmsProfile(io.BytesIO(p3_profile()))
    assert parsed.profile.profile_description == "Display P3"
    assert parsed.profile.xcolor_space == "RGB "
    np.testing.assert_allclose(parsed.profile.red_primary[1][:2], (0.68, 0.32), atol=0.06)


def test_grey_with_a_profile_for_rgb() -> None:
    linear = open_picture(png(LIGHT, 8, gama(1 / 1.8))).icc
    image = Image.fromarray(np.rint(LIGHT[..., 2] * 255).astype(np.uint8))
    out = io.BytesIO()
    image.save(out, "TIFF", icc_profile=linear)
    picture = open_picture(out.getvalue())
    assert picture.grey
    right = np.rint(srgb(LIGHT[..., 2] ** 1.8) * 255)
    assert np.abs(picture.rgb[..., 0] - right).max() <= 2
    assert picture.notes == ("grey converted to that of sRGB by its profile",)


def test_stripped_has_no_metadata_and_the_same_colours() -> None:
    image = Image.fromarray(np.rint(srgb(LIGHT @ TO_P3.T) * 255).astype(np.uint8))
    image.putalpha(Image.fromarray(np.rint(LIGHT[..., 2] * 255).astype(np.uint8)))
    image.info["icc_profile"] = p3_profile()
    image.info["exif"] = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x0f\x01\x02\0\x02\0\0\0m\0\0\0\0\0\0\0"
    picture = from_pil(image)
    assert picture.exif is not None
    bare = stripped(picture)
    assert (bare.icc, bare.exif) == (None, None)
    assert np.abs(bare.rgb - np.rint(srgb(LIGHT) * 255)).mean() < 1
    np.testing.assert_array_equal(bare.alpha, picture.alpha)
    assert stripped(bare).rgb is bare.rgb
