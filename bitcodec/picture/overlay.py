"""A picture with holes as a PNG or a lossless WebP file, whichever is smaller, and back.

What is read is checked before Pillow sees it: its size, and that it is one plain still picture.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, features

from bitcodec.errors import ContainerError, ImageError
from bitcodec.picture.images import pillow_errors
from bitcodec.picture.limit import pixel_limit

__all__ = ["decode_overlay", "encode_overlay", "encode_webp", "takes_webp"]

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_KINDS = {(2, 8), (3, 1), (3, 2), (3, 4), (3, 8), (0, 8), (6, 8)}  # (colour type, bit depth)
_PNG_CHUNKS = re.compile(rb"IHDR(PLTE)?(tRNS)?(IDAT)+IEND")
_WEBP_MOST = 1 << 14
_MOST_COLOURS = 256


def encode_overlay(
    rgb: npt.NDArray[np.uint8],
    shown: npt.NDArray[np.bool_] | None = None,
    *,
    webp: Sequence[tuple[int, int]] = ((4, 100),),
) -> bytes:
    """The smaller one of a PNG and a WebP file.

    Args:
        rgb: uint8 (H, W, 3).
        shown: bool (H, W), the pixels that are kept, and are seen; None for all.
        webp: what to try of WebP: methods, 0 (fast) to 6 (small), and qualities, 0 to 100.
    """
    if shown is None or shown.all():
        image = Image.fromarray(np.ascontiguousarray(rgb))
    else:
        alpha = np.where(shown, 255, 0).astype(np.uint8)
        image = Image.fromarray(np.dstack((rgb * shown[..., None], alpha)))
    files = []
    colours = image.getcolors(_MOST_COLOURS)
    if takes_webp(image):
        files += [encode_webp(image, method, quality) for method, quality in webp]
    if colours is not None:
        files.append(_palette_png(np.asarray(image)))
    elif not files:
        files.append(_saved(image, "PNG", optimize=True))
    return min(files, key=len)


def takes_webp(image: Image.Image) -> bool:
    """Whether it can be a WebP file: of less than 16384 pixels each way, and if WebP is here."""
    return bool(features.check("webp")) and max(image.size) < _WEBP_MOST


def encode_webp(image: Image.Image, method: int = 4, quality: int = 100) -> bytes:
    """A lossless WebP file of an image of mode RGB or RGBA."""
    return _saved(image, "WEBP", lossless=True, method=method, quality=quality)


def decode_overlay(data: bytes, width: int, height: int) -> npt.NDArray[np.uint8]:
    """What :func:`encode_overlay` was given: uint8 (height, width, 4), alpha 0 or 255.

    ContainerError where it is anything but a plain PNG or lossless WebP file of that size.
    """
    kind = "PNG" if data.startswith(_PNG) else "WEBP"
    (_check_png if kind == "PNG" else _check_webp)(data, width, height)
    try:
        with (
            pillow_errors(),
            pixel_limit(width * height),
            Image.open(io.BytesIO(data), formats=[kind]) as image,
        ):
            rgba = np.array(image.convert("RGBA"))
    except ImageError as error:
        raise ContainerError(f"damaged: {error}") from error
    if rgba.shape != (height, width, 4):
        raise ContainerError("its size is not the tile's")
    if ((rgba[..., 3] != 0) & (rgba[..., 3] != 255)).any():
        raise ContainerError("it has half-transparent pixels")
    return rgba


def _palette_png(samples: npt.NDArray[np.uint8]) -> bytes:
    """A PNG of as few bits a pixel as its colours need; samples (H, W, 3 or 4), of few colours."""
    shifts = (8 * np.arange(samples.shape[2])).astype(np.uint32)
    keys = (samples.astype(np.uint32) << shifts).sum(2, dtype=np.uint32)
    colours, index = np.unique(keys, return_inverse=True)
    image = Image.fromarray(index.reshape(keys.shape).astype(np.uint8))
    table = (colours[:, None] >> shifts).astype(np.uint8)
    image.putpalette(table[:, :3].tobytes())
    options: dict[str, Any] = {}
    if samples.shape[2] == 4:
        options["transparency"] = table[:, 3].tobytes()
    return _saved(image, "PNG", optimize=True, **options)


def _saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def _check_png(data: bytes, width: int, height: int) -> None:
    """ContainerError for other sizes, 16 bits, interlacing, animation, text, profiles, ..."""
    names, at = [], len(_PNG)
    while at + 12 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        names.append(name)
        at += 12 + length
    if at != len(data) or not _PNG_CHUNKS.fullmatch(b"".join(names)):
        raise ContainerError("its PNG has other chunks than IHDR, PLTE, tRNS, IDAT and IEND")
    length, w, h, depth, colour, *rest = struct.unpack_from(">I4xIIBBBBB", data, len(_PNG))
    if length != 13 or (w, h) != (width, height):
        raise ContainerError("its size is not the tile's")
    see_through = b"tRNS" in names
    if (colour, depth) not in _PNG_KINDS or any(rest) or (see_through and colour != 3):
        raise ContainerError("its PNG is of a kind that is not allowed")


def _check_webp(data: bytes, width: int, height: int) -> None:
    """ContainerError for all but one still lossless picture of that size."""
    if len(data) < 25:
        raise ContainerError("neither a PNG nor a WebP file")
    riff, size, kind, length, mark, bits = struct.unpack_from("<4sI8sIBI", data)
    if (riff, kind, mark) != (b"RIFF", b"WEBPVP8L", 0x2F):
        raise ContainerError("neither a PNG nor a lossless WebP file")
    if size != len(data) - 8 or length + length % 2 != len(data) - 20:
        raise ContainerError("its WebP has a wrong length, or more than one chunk")
    if (bits & 0x3FFF, bits >> 14 & 0x3FFF) != (width - 1, height - 1):
        raise ContainerError("its size is not the tile's")
