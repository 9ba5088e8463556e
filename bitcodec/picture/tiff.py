"""TIFF files that Pillow reads wrongly or not at all, made ready for it; others refused by name."""

from __future__ import annotations

import contextlib
import io
import struct
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile, ImagePalette, TiffImagePlugin

from bitcodec.errors import ImageError
from bitcodec.picture.exif import Block, Entry

__all__ = ["is_tiff", "planes", "reopened", "set_right", "white_is_zero"]

_BITS, _COMPRESSION, _PHOTOMETRIC, _PER_PIXEL, _PLANAR = 258, 259, 262, 277, 284
_COLOUR_MAP, _EXTRA, _FORMAT, _SUBSAMPLING = 320, 338, 339, 530
_WHITE_IS_ZERO, _RGB, _CMYK, _YCBCR = 0, 2, 5, 6
_RESOLUTION = {282, 283, 296}
# Where the strips or tiles of a file lie, and how long they are.
_PLACES = ((273, 279), (324, 325))


def is_tiff(data: bytes) -> bool:
    """Whether a file starts as a classic TIFF does."""
    return data[:4] in (b"II*\0", b"MM\0*")


def reopened(data: bytes) -> TiffImagePlugin.TiffImageFile:
    """A file that Pillow does not open as it is: for an odd resolution, or for 0 that is white.

    Where 0 is white it is opened as if 0 were black; :func:`white_is_zero` of it is true.
    ImageError for any other.
    """
    try:
        block = Block.parse(data).without(_RESOLUTION)
        negative = block.numbers(_PHOTOMETRIC) == (_WHITE_IS_ZERO,)
        one = Entry(3, 1, b"\1\0" if block.order == "<" else b"\0\1")
        for change in ({}, {_PHOTOMETRIC: one}) if negative else ({},):
            changed = io.BytesIO(block.with_entries(change).to_bytes())
            with contextlib.suppress(OSError):
                image = Image.open(changed, formats=["TIFF"])
                assert isinstance(image, TiffImagePlugin.TiffImageFile)
                if change:
                    image.tag_v2[_PHOTOMETRIC] = _WHITE_IS_ZERO
                return image
    except (ValueError, struct.error):
        pass
    raise ImageError("a kind of TIFF that cannot be read: convert it to 8 or 16 bits first")


def white_is_zero(image: Image.Image, raw: str) -> bool:
    """Whether samples are still negative: Pillow turns those round whose raw mode ends in I."""
    tags = getattr(image, "tag_v2", {})
    return tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO and not raw.rstrip("R").endswith("I")


def set_right(image: TiffImagePlugin.TiffImageFile) -> None:
    """Before a picture is loaded: mend what Pillow would read wrongly; ImageError where it can't.

    Samples that are signed or of 32 bits have no clear white; a palette may be of 8 bits; colour
    that is stored at half the resolution needs libtiff also where it is not compressed.
    """
    tags = image.tag_v2
    kinds, bits = _all(tags.get(_FORMAT, 1)), _all(tags.get(_BITS, 1))
    if 2 in kinds or (image.mode == "I" and 32 in bits):
        kind = "signed" if 2 in kinds else "32-bit"
        raise ImageError(f"{kind} TIFF pictures are not supported: convert it first")
    colours = tags.get(_COLOUR_MAP)
    if image.mode in ("P", "PA") and colours and max(colours) < 256:
        image.palette = ImagePalette.raw("RGB;L", bytes(colours))
    if tags.get(_PHOTOMETRIC) == _YCBCR and not image.use_load_libtiff:
        if tags.get(_SUBSAMPLING, (2, 2)) != (1, 1):
            image._mode, image.use_load_libtiff = "RGB", True
            arguments = ("RGBX", False, tags._offset)
            image.tile = [ImageFile._Tile("libtiff", (0, 0, *image._tile_size), 0, arguments)]


def planes(
    image: TiffImagePlugin.TiffImageFile, file: bytes
) -> tuple[str, list[npt.NDArray[Any]]] | None:
    """The channels of a file that stores one after the other, each read by itself.

    Returns a mode (L, LA, La, RGB, RGBA, RGBa or CMYK) and for each of its channels uint8 or
    uint16 (H, W), as they lie in the file; None for a file of another layout.
    """
    tags = image.tag_v2
    count = tags.get(_PER_PIXEL, 1)
    kind = tags.get(_PHOTOMETRIC)
    names = {_WHITE_IS_ZERO: "L", 1: "L", _RGB: "RGB", _CMYK: "CMYK"}
    if tags.get(_PLANAR) != 2 or count < 2 or kind not in names:
        return None
    bits = set(_all(tags.get(_BITS, 1)))
    if bits != {8} and bits != {16}:
        raise ImageError("TIFF pictures in planes of other than 8 or 16 bits are not supported")
    mode = names[kind]
    extra = _all(tags.get(_EXTRA, ()))[:1]
    if extra in ((1,), (2,)) and kind != _CMYK:
        mode += "a" if extra == (1,) else "A"
    block = Block.parse(file)
    depth = min(bits)
    channels = [_plane(tags, block, index, count, depth) for index in range(len(mode))]
    if kind == _WHITE_IS_ZERO:
        channels[0] = np.iinfo(channels[0].dtype).max - channels[0]
    return mode, channels


def _plane(tags: Any, block: Block, index: int, count: int, bits: int) -> npt.NDArray[Any]:
    """One channel, read as a grey picture of its own."""
    code = "<" if block.order == "<" else ">"
    new = {tag: _short(code, [value]) for tag, value in ((_BITS, bits), (_PER_PIXEL, 1))}
    new |= {_PHOTOMETRIC: _short(code, [1]), _PLANAR: _short(code, [1])}
    for offsets, lengths in _PLACES:
        for tag in (offsets, lengths):
            if tag in tags:
                each = len(_all(tags[tag])) // count
                values = _all(tags[tag])[index * each : (index + 1) * each]
                new[tag] = Entry(4, each, np.array(values, code + "u4").tobytes())
    drop = {_EXTRA, _FORMAT, 274, 320}
    data = block.without(drop).with_entries(new).to_bytes()
    with Image.open(io.BytesIO(data), formats=["TIFF"]) as image:
        return np.array(image).astype(np.uint8 if bits == 8 else np.uint16)


def _short(code: str, values: list[int]) -> Entry:
    return Entry(3, len(values), np.array(values, code + "u2").tobytes())


def _all(value: Any) -> tuple[int, ...]:
    return value if isinstance(value, tuple) else (value,)
