"""What a picture file says of its pixels, against what Pillow makes of them."""

from __future__ import annotations

import io
import struct
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile, TiffImagePlugin

from bitcodec.errors import ImageError
from bitcodec.picture import boxes, png, tiff
from bitcodec.picture.colour import Coding
from bitcodec.picture.modes import raw_mode

__all__ = ["Alpha", "Facts", "deep_samples", "look", "whole_file"]

#: How to take an alpha channel: as it is; as none where it is 0 everywhere, since the format does
#: not say that it is one; as none; as one that the colours were multiplied by.
Alpha = str
_UNSURE = {"BMP", "DIB", "ICO", "CUR", "TGA"}
_MARKED = {"AVIF", "HEIF", "JPEG2000", "BMP", "TGA", "TIFF", "PNG"}
_TRUEVISION = b"TRUEVISION-XFILE.\0"
# Numbers of colour spaces in JP2 that Pillow gives as RGB or grey.
_JP2_KNOWN = {None, 12, 15, 16, 17, 18}


@dataclass(frozen=True)
class Facts:
    """What is known of a picture apart from what Pillow says.

    Attributes:
        coding: how colours are coded, where the file says it other than by a profile.
        icc: a profile that Pillow does not read.
        alpha: "real", "unsure" (none, if it is 0 everywhere), "none" or "multiplied".
        bits: of a channel, where Pillow has made 8 of them.
    """

    coding: Coding | None = None
    icc: bytes | None = None
    alpha: Alpha = "real"
    bits: int = 8


def whole_file(image: Image.Image) -> bytes | None:
    """The bytes of the file that a picture which is not loaded yet comes from, if at hand."""
    file = getattr(image, "fp", None)
    if image.format not in _MARKED or file is None or getattr(file, "closed", True):
        return None
    at = file.tell()
    file.seek(0)
    data = file.read()
    file.seek(at)
    return bytes(data)


def look(image: Image.Image, file: bytes | None) -> Facts:
    """Before loading: see what the file says. ImageError for what is known to be read wrongly."""
    kind, info = image.format, image.info
    if kind == "FITS" and image.mode != "L":
        raise ImageError("FITS pictures of more than 8 bits are not supported: convert it first")
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        tiff.set_right(image)
        raw = raw_mode(image)
        # Pillow would divide by alpha in 8 bits; planes are not read by it.
        if raw.startswith("RGBa;16") and image.tag_v2.get(284) != 2:
            image.tile = _with_raw(image, raw.replace("a", "A"))
            return Facts(alpha="multiplied")
        said = image.tag_v2.get(338)
        return Facts(alpha="real" if said in ((1,), (2,), 1, 2) else "unsure")
    if kind in ("AVIF", "HEIF"):
        return Facts(coding=_nclx(info, file), bits=boxes.bits(file) if file is not None else 8)
    if kind == "PNG":
        return Facts(coding=_png_colours(info, file))
    if kind == "JPEG2000" and file is not None:
        profile, number = boxes.jp2_colours(file)
        if number not in _JP2_KNOWN and profile is None:
            raise ImageError(f"JPEG 2000 of colour space {number} is not supported")
        bits = 8 if image.mode.startswith("I") else boxes.jp2_bits(file)
        return Facts(icc=profile, bits=bits)
    if kind == "TGA" and file is not None:
        return Facts(alpha=_tga_alpha(file))
    if kind == "BMP" and file is not None:
        return _bmp(file)
    return Facts(alpha="unsure" if kind in _UNSURE else "real")


def deep_samples(image: Image.Image, raw: str, file: bytes | None) -> npt.NDArray[Any] | None:
    """All 16 bits of an RGB or RGBA picture of which Pillow takes the upper 8.

    ``raw`` is how the file stores samples. The file is read twice, in either byte order: the
    lower byte of the one is the upper of the other. uint16 (H, W, 3 or 4), or None where the
    file is not at hand or of another kind.
    """
    swapped = {"L": "B", "B": "L", "N": "B" if sys.byteorder == "little" else "L"}
    start, _, end = raw.partition(";16")
    if file is None or start not in ("RGB", "RGBA", "RGBX") or end not in swapped:
        return None
    if image.format not in ("PNG", "TIFF"):
        return None
    other = f"{start};16{swapped[end]}"
    with Image.open(io.BytesIO(file), formats=[image.format]) as low:
        low.tile = _with_raw(low, other)
        lower = np.array(low)
    both: npt.NDArray[Any] = np.array(image).astype(np.uint16) << 8 | lower
    return both


def _with_raw(image: ImageFile.ImageFile, raw: str) -> list[Any]:
    """The pieces of a file, to be read as stored in another way."""
    pieces = []
    for tile in image.tile:
        more = tile.args[1:] if isinstance(tile.args, tuple) else ()
        pieces.append(tile._replace(args=(raw, *more) if more else raw))
    return pieces


def _nclx(info: dict[Any, Any], file: bytes | None) -> Coding | None:
    given = info.get("nclx_profile")  # of the plugin pillow-heif
    if isinstance(given, dict):
        numbers = given.get("color_primaries"), given.get("transfer_characteristics")
    else:
        numbers = (boxes.nclx(file) if file is not None else None) or (None, None)
    return _coding(numbers)


def _png_colours(info: dict[Any, Any], file: bytes | None) -> Coding | None:
    marked = png.cicp(file) if file is not None else None
    if marked is not None:
        return _coding(marked)
    if "srgb" in info or not {"gamma", "chromaticity"} & set(info):
        return None
    return Coding.of_png(info.get("gamma"), info.get("chromaticity"))


def _coding(numbers: tuple[Any, Any]) -> Coding | None:
    if not all(isinstance(number, int) for number in numbers):
        return None
    coding = Coding.of_numbers(*numbers)
    if coding is None:
        named = f"primaries {numbers[0]}, transfer {numbers[1]}"
        raise ImageError(f"colours marked as {named} are not supported: convert it first")
    return coding


def _tga_alpha(file: bytes) -> Alpha:
    """By the attribute bits of the header and, in version 2, the type of the attributes."""
    bits = file[17] & 15 if len(file) > 17 else 0
    if file[-18:] == _TRUEVISION and len(file) >= 44:
        (at,) = struct.unpack_from("<I", file, len(file) - 26)
        if 0 < at <= len(file) - 495:
            said = {0: "none", 1: "none", 2: "none", 3: "real", 4: "multiplied"}
            return said.get(file[at + 494], "unsure")
    return "unsure" if bits else "none"


def _bmp(file: bytes) -> Facts:
    """The profile that a header of version 5 may have; alpha that is 0 everywhere is none."""
    if len(file) < 138 or struct.unpack_from("<I", file, 14)[0] < 124:
        return Facts(alpha="unsure")
    (kind,) = struct.unpack_from("<I", file, 14 + 56)
    start, length = struct.unpack_from("<II", file, 14 + 112)
    profile = file[14 + start : 14 + start + length] if kind == 0x4D424544 else None  # "MBED"
    return Facts(icc=profile, alpha="unsure")
