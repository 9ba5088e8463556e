"""Pictures of every mode in, Pillow pictures and PNG files out."""

import io
import struct
import threading
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms, PngImagePlugin

from bitcodec.errors import FileError, ImageError
from bitcodec.picture.images import (
    Picture,
    from_pil,
    open_picture,
    to_pil,
)
from bitcodec.picture.save import save

RNG = np.random.default_rng(7)
RGB = RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8)
GREY = RNG.integers(0, 256, (5, 7), dtype=np.uint8)
ALPHA = RNG.integers(0, 255, (5, 7), dtype=np.uint8)
ORIENTATION = ExifTags.Base.Orientation
DEEP = ("16 bits a channel reduced to 8",)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
GREY_PROFILE = SRGB[:16] + b"GRAY" + SRGB[20:]
CMYK_PROFILE = SRGB[:16] + b"CMYK" + SRGB[20:]


def file_of(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def png(
    depth: int, colour: int, rows: list[bytes], width: int, *chunks: tuple[bytes, bytes]
) -> bytes:
    """A PNG file by hand, for what Pillow cannot write."""
    start = struct.pack(">IIBBBBB", width, len(rows), depth, colour, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    out = b"\x89PNG\r\n\x1a\n"
    for name, body in ((b"IHDR", start), *chunks, (b"IDAT", data), (b"IEND", b"")):
        crc = zlib.crc32(name + body)
        out += struct.pack(">I", len(body)) + name + body + struct.pack(">I", crc)
    return out


def deep(v: Any) -> np.ndarray:
    return np.rint(np.asarray(v, dtype=float) * 255 / 65535).astype(np.uint8)


def test_rgb() -> None:
    picture = from_pil(Image.fromarray(RGB))
    np.testing.assert_array_equal(picture.rgb, RGB)
    assert picture.rgb.flags.writeable
    assert (picture.alpha, picture.grey, picture.icc, picture.exif) == (None, False, None, None)
    assert picture.notes == ()
    assert (picture.width, picture.height) == (7, 5)


def test_grey_stays_grey() -> None:
    picture = from_pil(Image.fromarray(GREY))
    assert picture.grey
    for channel in range(3):
        np.testing.assert_array_equal(picture.rgb[..., channel], GREY)
    assert picture.notes == ()


def test_one_bit() -> None:
    picture = from_pil(Image.fromarray(GREY > 128))
    assert picture.grey
    np.testing.assert_array_equal(picture.rgb[..., 0], np.where(GREY > 128, 255, 0))


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_alpha_is_kept(mode: str) -> None:
    colour = GREY if mode == "LA" else RGB
    picture = from_pil(Image.fromarray(np.dstack((colour, ALPHA))))
    assert picture.grey == (mode == "LA")
    assert picture.alpha is not None
    np.testing.assert_array_equal(picture.alpha, ALPHA)
    np.testing.assert_array_equal(picture.rgb[..., 0], colour.reshape(5, 7, -1)[..., 0])
    assert picture.notes == ()


def test_opaque_alpha_is_dropped_silently() -> None:
    picture = from_pil(Image.fromarray(RGB).convert("RGBA"))
    assert picture.alpha is None
    assert picture.notes == ()


@pytest.mark.parametrize(("mode", "straight"), [("La", "LA"), ("RGBa", "RGBA")])
def test_premultiplied(mode: str, straight: str) -> None:
    image = Image.fromarray(np.dstack((RGB, ALPHA))).convert(straight)
    if mode == "La":
        image = Image.merge("LA", (Image.fromarray(GREY), Image.fromarray(ALPHA)))
    picture = from_pil(image.convert(mode))
    expected = np.asarray(image.convert(mode).convert(straight))
    np.testing.assert_array_equal(picture.alpha, ALPHA)
    np.testing.assert_array_equal(picture.rgb[..., 0], expected[..., 0])
    assert picture.grey == (mode == "La")


def palette_image() -> Image.Image:
    image = Image.new("P", (3, 1))
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    image.putdata([0, 1, 2])
    return image


PALETTE_COLOURS = [[[255, 0, 0], [0, 255, 0], [0, 0, 255]]]


@pytest.mark.parametrize(
    ("key", "alpha"),
    [(None, None), (1, [[255, 0, 255]]), (bytes([9, 255, 70]), [[9, 255, 70]])],
)
def test_palette(key: object, alpha: object) -> None:
    options = {} if key is None else {"transparency": key}
    picture = open_picture(file_of(palette_image(), **options))
    np.testing.assert_array_equal(picture.rgb, PALETTE_COLOURS)
    assert picture.notes == ("palette converted to RGB",)
    assert not picture.grey
    if alpha is None:
        assert picture.alpha is None
    else:
        np.testing.assert_array_equal(picture.alpha, alpha)


def test_palette_with_an_alpha_band() -> None:
    image = palette_image().convert("PA")
    image.putalpha(Image.fromarray(np.array([[1, 2, 3]], dtype=np.uint8)))
    picture = from_pil(image)
    np.testing.assert_array_equal(picture.rgb, PALETTE_COLOURS)
    np.testing.assert_array_equal(picture.alpha, [[1, 2, 3]])


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "HSV"])
def test_other_colour_models(mode: str) -> None:
    image = Image.fromarray(RGB).convert(mode)
    picture = from_pil(image)
    np.testing.assert_array_equal(picture.rgb, np.asarray(image.convert("RGB")))
    assert picture.notes == (f"{mode} converted to RGB",)


def test_lab() -> None:
    dull = RGB // 4 + 96  # 8-bit LAB is coarse where colours are strong
    lab = ImageCms.profileToProfile(
        Image.fromarray(dull),
        ImageCms.createProfile("sRGB"),
        ImageCms.createProfile("LAB"),
        outputMode="LAB",
    )
    assert lab is not None
    picture = from_pil(lab)
    assert np.abs(picture.rgb.astype(int) - dull).max() <= 4
    assert picture.notes == ("LAB converted to RGB", "Lab colour profile dropped")


def test_cmyk_jpeg_loses_its_profile_with_a_note() -> None:
    data = file_of(Image.fromarray(RGB).convert("CMYK"), "JPEG", icc_profile=CMYK_PROFILE)
    picture = open_picture(data)
    assert picture.icc is None
    assert picture.notes == ("CMYK converted to RGB", "CMYK colour profile dropped")


VALUES = np.array([[0, 128, 129, 256, 257, 32767, 32768, 65406, 65407, 65535]], dtype=np.uint16)


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I"])
def test_deep_grey_is_rounded(mode: str) -> None:
    if mode == "I":
        image = Image.fromarray(VALUES.astype(np.int32))
    else:
        dtype = ">u2" if mode == "I;16B" else "<u2"
        image = Image.frombytes(mode, (VALUES.shape[1], 1), VALUES.astype(dtype).tobytes())
    picture = from_pil(image)
    np.testing.assert_array_equal(picture.rgb[..., 0], deep(VALUES))
    assert picture.grey
    assert picture.notes == DEEP


def test_every_16_bit_value() -> None:
    every = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    np.testing.assert_array_equal(from_pil(Image.fromarray(every)).rgb[..., 1], deep(every))


@pytest.mark.parametrize("value", [-1, 65536])
def test_integers_beyond_16_bits_are_refused(value: int) -> None:
    with pytest.raises(ImageError, match="0..65535"):
        from_pil(Image.fromarray(np.full((2, 2), value, dtype=np.int32)))


def test_floating_point_is_refused() -> None:
    with pytest.raises(ImageError, match="floating-point"):
        from_pil(Image.new("F", (2, 2)))


def test_16_bit_rgb_png_is_noted() -> None:
    row = struct.pack(">6H", 0, 32768, 65535, 257, 512, 65280)
    picture = open_picture(png(16, 2, [row], 2))
    np.testing.assert_array_equal(picture.rgb, [[[0, 128, 255], [1, 2, 254]]])
    assert picture.notes == DEEP


def test_16_bit_rgba_png_is_noted() -> None:
    picture = open_picture(png(16, 6, [struct.pack(">4H", 0, 32768, 65535, 32768)], 1))
    np.testing.assert_array_equal(picture.rgb, [[[0, 128, 255]]])
    np.testing.assert_array_equal(picture.alpha, [[128]])
    assert picture.notes == DEEP


def test_16_bit_grey_alpha_png_stays_grey() -> None:
    picture = open_picture(png(16, 4, [struct.pack(">2H", 25700, 12850)], 1))
    assert picture.grey
    np.testing.assert_array_equal(picture.rgb, [[[100, 100, 100]]])
    np.testing.assert_array_equal(picture.alpha, [[50]])
    assert picture.notes == DEEP


def test_16_bit_ppm_is_noted() -> None:
    data = b"P6 1 1 65535\n" + struct.pack(">3H", 0, 32896, 65535)
    picture = open_picture(data)
    np.testing.assert_array_equal(picture.rgb, [[[0, 128, 255]]])
    assert picture.notes == DEEP


@pytest.mark.parametrize(
    ("depth", "rows", "key", "alpha"),
    [
        (1, b"\x40", 1, [[255, 0]]),
        (2, b"\x60", 2, [[255, 0]]),
        (4, b"\x3a", 10, [[255, 0]]),
        (8, b"\x03\x0a", 10, [[255, 0]]),
        (16, b"\x01\x02\x01\x03", 0x103, [[255, 0]]),
    ],
)
def test_transparent_grey_level(depth: int, rows: bytes, key: int, alpha: object) -> None:
    data = png(depth, 0, [rows], 2, (b"tRNS", struct.pack(">H", key)))
    picture = open_picture(data)
    assert picture.grey
    np.testing.assert_array_equal(picture.alpha, alpha)


def test_transparent_colour() -> None:
    data = png(8, 2, [bytes([1, 2, 3, 1, 2, 4])], 2, (b"tRNS", struct.pack(">3H", 1, 2, 3)))
    picture = open_picture(data)
    np.testing.assert_array_equal(picture.alpha, [[0, 255]])


def test_transparent_colour_of_16_bits() -> None:
    """A colour that differs in the lower bytes only is another one."""
    row = struct.pack(">6H", 1, 2, 300, 1, 2, 301)
    data = png(16, 2, [row], 2, (b"tRNS", struct.pack(">3H", 1, 2, 300)))
    picture = open_picture(data)
    np.testing.assert_array_equal(picture.alpha, [[0, 255]])
    np.testing.assert_array_equal(from_pil(Image.open(io.BytesIO(data))).alpha, [[0, 255]])
    loaded = Image.open(io.BytesIO(data))
    loaded.load()  # Pillow forgets the lower bytes
    with pytest.raises(ImageError, match="16-bit"):
        from_pil(loaded)


def test_frames() -> None:
    frames = [Image.fromarray(RGB), Image.fromarray(RGB[::-1].copy())]
    data = file_of(frames[0], "TIFF", save_all=True, append_images=frames[1:])
    picture = open_picture(data)
    np.testing.assert_array_equal(picture.rgb, RGB)
    assert picture.notes == ("other frames dropped",)


def exif_of(orientation: int | None, artist: str | None = None) -> Image.Exif:
    exif = Image.Exif()
    if orientation is not None:
        exif[ORIENTATION] = orientation
    if artist is not None:
        exif[ExifTags.Base.Artist] = artist
    return exif


TURNED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", TURNED)
def test_orientation_is_applied_once(orientation: int, kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    data = file_of(Image.fromarray(RGB), kind, exif=exif_of(orientation), **options)
    picture = open_picture(data)
    np.testing.assert_array_equal(picture.rgb, TURNED[orientation](RGB))
    if orientation > 1:
        assert picture.exif is None  # nothing else was in it
    again = open_picture(save(to_pil(picture), "PNG")[0])
    np.testing.assert_array_equal(again.rgb, picture.rgb)


def test_rotated_jpeg_keeps_the_rest_of_its_exif() -> None:
    data = file_of(Image.fromarray(RGB), "JPEG", exif=exif_of(6, "me"))
    picture = open_picture(data)
    assert picture.rgb.shape == (7, 5, 3)
    assert picture.exif is not None
    assert picture.exif[:2] in (b"II", b"MM")
    kept = Image.open(io.BytesIO(save(to_pil(picture), "PNG")[0])).getexif()
    assert dict(kept) == {ExifTags.Base.Artist: "me"}


def test_exif_as_imagemagick_writes_it_into_a_png() -> None:
    body = exif_of(3, "me").tobytes()
    text = PngImagePlugin.PngInfo()
    text.add_text("Raw profile type exif", f"\nexif\n{len(body):8}\n{body.hex()}\n", zip=True)
    picture = open_picture(file_of(Image.fromarray(RGB), pnginfo=text))
    np.testing.assert_array_equal(picture.rgb, RGB[::-1, ::-1])
    assert picture.exif is not None
    assert b"me" in picture.exif


def test_damaged_exif_is_dropped_with_a_note() -> None:
    data = file_of(Image.fromarray(RGB), exif=b"nonsense, not TIFF")
    picture = open_picture(data)
    np.testing.assert_array_equal(picture.rgb, RGB)
    assert picture.exif is None
    assert picture.notes == ("damaged EXIF dropped",)


@pytest.mark.parametrize(
    ("mode", "profile", "kept", "notes"),
    [
        ("RGB", SRGB, True, ()),
        ("L", GREY_PROFILE, True, ()),
        ("RGB", GREY_PROFILE, False, ("GRAY colour profile dropped",)),
        ("L", SRGB, False, ()),  # it says what grey is without it
        ("RGB", CMYK_PROFILE, False, ("CMYK colour profile dropped",)),
        ("RGB", SRGB[:16] + bytes(4) + SRGB[20:], False, ("unknown colour profile dropped",)),
        ("RGB", b"short", False, ("damaged colour profile dropped",)),
    ],
)
def test_profile(mode: str, profile: bytes, kept: bool, notes: tuple[str, ...]) -> None:
    image = Image.fromarray(RGB).convert(mode)
    picture = open_picture(file_of(image, "TIFF", icc_profile=profile))
    assert picture.icc == (profile if kept else None)
    assert picture.notes == notes


def test_palette_keeps_an_rgb_profile() -> None:
    assert open_picture(file_of(palette_image(), icc_profile=SRGB)).icc == SRGB


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_to_pil_and_png_round_trip(mode: str) -> None:
    grey, see_through = mode.startswith("L"), mode.endswith("A")
    rgb = np.repeat(GREY[..., None], 3, axis=2) if grey else RGB
    profile = GREY_PROFILE if grey else SRGB
    exif = exif_of(None, "me").tobytes()[6:]
    picture = Picture(rgb, ALPHA if see_through else None, grey, profile, exif)
    image = to_pil(picture)
    assert image.mode == mode
    assert image.info["icc_profile"] == profile
    assert image.info["exif"] == b"Exif\0\0" + exif
    for again in (from_pil(image), open_picture(save(to_pil(picture), "PNG")[0])):
        np.testing.assert_array_equal(again.rgb, rgb)
        np.testing.assert_array_equal(again.alpha, picture.alpha)
        assert (again.grey, again.icc, again.exif) == (grey, profile, exif)
        assert again.notes == ()
    assert Image.open(io.BytesIO(save(to_pil(picture), "PNG")[0])).mode == mode


def test_grey_is_the_rounded_mean() -> None:
    rgb = np.array([[[10, 11, 13], [0, 0, 1], [255, 255, 255], [0, 1, 1]]], dtype=np.uint8)
    np.testing.assert_array_equal(np.asarray(to_pil(Picture(rgb, grey=True))), [[11, 0, 255, 1]])


@pytest.mark.parametrize("size", [(1, 1), (17, 5)])
def test_small_sizes(size: tuple[int, int]) -> None:
    picture = from_pil(Image.new("RGB", size, (1, 2, 3)))
    assert (picture.width, picture.height) == size
    assert to_pil(picture).size == size


def test_empty_picture_is_refused() -> None:
    with pytest.raises(ImageError, match="empty"):
        from_pil(Image.new("RGB", (0, 3)))


@pytest.mark.parametrize(
    ("rgb", "alpha"),
    [
        (RGB.astype(float), None),
        (RGB[..., :2], None),
        (RGB[:0], None),
        (RGB, ALPHA[1:]),
        (RGB, ALPHA.astype(int)),
    ],
)
def test_picture_checks_its_arrays(rgb: np.ndarray, alpha: np.ndarray | None) -> None:
    with pytest.raises(ImageError):
        Picture(rgb, alpha)


NOISE = Image.fromarray(RNG.integers(0, 256, (40, 40, 3), dtype=np.uint8))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "WEBP", "TIFF", "GIF"])
@pytest.mark.parametrize("part", [0, 0.01, 0.1, 0.5, 0.9])
def test_truncated_pictures(kind: str, part: float) -> None:
    data = file_of(NOISE, kind)
    with pytest.raises(ImageError) as caught:
        open_picture(data[: int(len(data) * part)])
    assert "\n" not in str(caught.value)
    assert "0x" not in str(caught.value)


def test_foreign_file() -> None:
    with pytest.raises(ImageError, match="not a picture"):
        open_picture(b"this is a text")


def test_png_with_a_wrong_checksum() -> None:
    data = bytearray(file_of(NOISE))
    data[100] ^= 255
    with pytest.raises(ImageError):
        open_picture(bytes(data))


def test_postscript_is_not_run() -> None:
    data = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"
    with pytest.raises(ImageError, match="drawing"):
        open_picture(data)


def test_paths(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(file_of(Image.fromarray(RGB)))
    np.testing.assert_array_equal(open_picture(path).rgb, RGB)
    np.testing.assert_array_equal(open_picture(str(path)).rgb, RGB)
    for bad in (tmp_path / "no.png", tmp_path, "a\0b"):
        with pytest.raises(FileError):
            open_picture(bad)


def test_max_pixels() -> None:
    data = file_of(NOISE)
    assert open_picture(data, max_pixels=1600).width == 40
    # Twice the limit makes Pillow raise by itself; in between it warns, and we raise.
    with pytest.raises(ImageError, match="--max-pixels"):
        open_picture(data, max_pixels=799)
    with pytest.warns(Image.DecompressionBombWarning), pytest.raises(ImageError, match="40x40"):
        open_picture(data, max_pixels=1599)


def test_our_limit_takes_the_place_of_pillows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    for kind in ("PNG", "TIFF"):
        assert open_picture(file_of(NOISE, kind)).width == 40
    assert Image.MAX_IMAGE_PIXELS == 100
    with pytest.raises(ImageError):
        open_picture(b"no picture")
    assert Image.MAX_IMAGE_PIXELS == 100


def test_pillows_limit_is_put_back_after_many_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    data, failures = file_of(NOISE), []

    def work() -> None:
        try:
            for limit in (1600, 2**28) * 10:
                open_picture(data, max_pixels=limit)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert Image.MAX_IMAGE_PIXELS == 100
