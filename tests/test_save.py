"""What decode writes: every format that Pillow writes, and notes on what it cannot hold."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from bitcodec.errors import FileError
from bitcodec.picture.images import open_picture, to_pil
from bitcodec.picture.save import save

H, W = 24, 40
Y, X = np.mgrid[0:H, 0:W]
RGB = np.dstack((X * 6, Y * 10, 255 - X * 3 - Y)).astype(np.uint8)
ALPHA = (X * 5 + 30).astype(np.uint8)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
EXIF = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x0f\x01\x02\0\x08\0\0\0\x1a\0\0\0\0\0\0\0a maker\0"
XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"
EVERYTHING = {"icc_profile": SRGB, "exif": EXIF, "xmp": XMP}


def image(mode: str, **info: Any) -> Image.Image:
    out = Image.fromarray(RGB).convert(mode[:-1] if mode in ("LA", "RGBA") else mode)
    if mode in ("LA", "RGBA"):
        out.putalpha(Image.fromarray(ALPHA))
    out.info.update(info)
    return out


def opened(data: bytes) -> Image.Image:
    out = Image.open(io.BytesIO(data))
    out.load()
    return out


def lost(notes: tuple[str, ...]) -> set[str]:
    return {note.split(":")[0] for note in notes}


NO_PROFILE = "colour profile (colours converted to sRGB) dropped"
NO_METADATA = {NO_PROFILE, "EXIF dropped", "XMP dropped"}


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA"])
@pytest.mark.parametrize(
    "kind",
    ["PNG", "TIFF", "WEBP", "AVIF", "JPEG", "BMP", "PPM", "TGA", "JPEG2000", "QOI", "GIF"]
    + ["ICO", "SGI", "PCX", "DIB"],
)
def test_everything_is_kept_or_noted(kind: str, mode: str) -> None:
    info = {**EVERYTHING}
    if mode.startswith("L"):
        info.pop("icc_profile")
    source = image(mode, **info)
    data, notes = save(source, kind)
    back = open_picture(data)
    assert (back.width, back.height) == (W, H)
    said = lost(notes)
    assert ("EXIF dropped" in said) == (back.exif is None or b"a maker" not in back.exif)
    assert ("XMP dropped" in said) == ("xmp" not in to_pil(back).info)
    if "icc_profile" in info:
        assert (NO_PROFILE in said) == (back.icc != SRGB)
    if mode.endswith("A"):
        has_all = back.alpha is not None and np.abs(back.alpha.astype(int) - ALPHA).max() < 8
        some = {"alpha dropped", "alpha reduced to all or nothing"}
        assert bool(said & some) == (not has_all)
    if kind not in ("GIF", "JPEG", "AVIF"):
        right = np.asarray(source.convert("RGB")).astype(int)
        assert np.abs(back.rgb - right).max() <= 2
    if kind == "GIF" and mode.startswith("RGB"):
        assert "colours reduced to a palette" in said
    for note in notes:
        assert note.endswith(f": {kind} has no room for it")


def test_what_each_format_loses() -> None:
    full = image("RGBA", **EVERYTHING)
    for kind in ("PNG", "TIFF", "WEBP", "AVIF"):
        assert save(full, kind)[1] == (), kind
    assert lost(save(full, "JPEG")[1]) == {"alpha dropped"}
    assert lost(save(full, "PPM")[1]) == {"alpha dropped", *NO_METADATA}
    assert lost(save(full, "TGA")[1]) == NO_METADATA
    plain = image("RGB")
    for kind in ("PNG", "JPEG", "PPM", "BMP", "JPEG2000", "TGA", "QOI", "ICO"):
        assert save(plain, kind)[1] == (), kind


def test_colours_stay_right_where_the_profile_goes() -> None:
    """Of a linear profile: the numbers have to change where nothing says that they are linear."""
    profile = bytearray(SRGB)
    from bitcodec.picture.icc import make_profile

    profile[:] = make_profile((0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06), "linear", 1.0)
    data, notes = save(image("RGB", icc_profile=bytes(profile)), "PPM")
    light = RGB / 255
    right = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055) * 255
    assert np.abs(np.asarray(opened(data)) - right).max() <= 2
    assert lost(notes) == {NO_PROFILE}


def test_a_profile_that_converts_nothing() -> None:
    broken = SRGB[:36] + bytes(4) + SRGB[40:]
    data, notes = save(image("RGB", icc_profile=broken), "PPM")
    np.testing.assert_array_equal(np.asarray(opened(data)), RGB)
    assert lost(notes) == {"colour profile dropped"}


def test_a_grey_profile_where_there_is_no_grey() -> None:
    grey = SRGB[:16] + b"GRAY" + SRGB[20:]
    data, notes = save(image("L", icc_profile=grey), "WEBP")
    assert opened(data).info.get("icc_profile") is None
    assert lost(notes) == {"colour profile dropped"}  # this one converts nothing
    assert save(image("L", icc_profile=grey), "PNG")[1] == ()


@pytest.mark.parametrize(
    ("key", "size", "name"), [("exif", 70_000, "EXIF"), ("xmp", 70_000, "XMP")]
)
def test_metadata_too_long_for_a_jpeg(key: str, size: int, name: str) -> None:
    long = EXIF + bytes(size) if key == "exif" else XMP + b" " * size
    source = image("RGB", **{key: long})
    data, notes = save(source, "JPEG")
    assert notes == (f"{name} dropped: JPEG has no room for it",)
    assert opened(data).size == (W, H)
    assert save(source, "PNG")[1] == ()


def test_profile_too_long_for_a_jpeg() -> None:
    long = SRGB + bytes(255 * 65519)
    data, notes = save(image("RGB", icc_profile=long), "JPEG")
    assert NO_PROFILE in lost(notes)
    assert "icc_profile" not in opened(data).info


def test_icons_have_the_size_of_the_picture_or_are_refused() -> None:
    assert opened(save(image("RGB"), "ICO")[0]).size == (W, H)
    large = Image.new("RGB", (300, 200))
    with pytest.raises(FileError, match="300x200"):
        save(large, "ICO")
    with pytest.raises(FileError, match="40x24"):
        save(image("RGB"), "ICNS")


def test_alpha_of_on_and_off_is_whole_in_a_gif() -> None:
    source = image("RGBA")
    source.putalpha(Image.fromarray(np.where(ALPHA > 100, 255, 0).astype(np.uint8)))
    assert lost(save(source, "GIF")[1]) <= {"colours reduced to a palette"}
    assert save(image("L"), "GIF")[1] == ()


def test_resolution_alone_is_called_so() -> None:
    source = image("RGB", dpi=(300, 300))
    with_dpi = open_picture(save(source, "PNG")[0])
    assert with_dpi.exif is not None
    assert lost(save(to_pil(with_dpi), "PPM")[1]) == {"resolution dropped"}
    for kind in ("BMP", "JPEG", "PNG", "TIFF"):
        data, notes = save(to_pil(with_dpi), kind)
        assert notes == ()
        assert opened(data).info["dpi"] == pytest.approx((300, 300), abs=0.1)


def test_formats_that_cannot_hold_it_at_all() -> None:
    with pytest.raises(FileError, match="cannot be saved as XBM"):
        save(image("RGB"), "XBM")


def test_formats_that_pillow_does_not_read() -> None:
    data, notes = save(image("RGB", **EVERYTHING), "PDF")
    assert data.startswith(b"%PDF")
    assert lost(notes) == NO_METADATA


def test_more_pixels_than_pillows_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    for kind in ("PNG", "TIFF", "JPEG"):
        assert save(image("RGB"), kind)[1] == ()
