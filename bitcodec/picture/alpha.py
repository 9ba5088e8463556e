"""The alpha channel as a greyscale PNG or a lossless WebP file, and back."""

from __future__ import annotations

import io
import struct

import numpy as np
import numpy.typing as npt
from PIL import Image

from bitcodec.errors import ContainerError, ImageError
from bitcodec.picture.images import pillow_errors
from bitcodec.picture.limit import pixel_limit
from bitcodec.picture.overlay import decode_overlay, encode_webp, takes_webp

__all__ = ["decode_alpha", "encode_alpha"]

_WEBP_PIXELS = 1 << 22  # at most: WebP takes several bytes of memory a pixel


def encode_alpha(alpha: npt.NDArray[np.uint8]) -> bytes:
    """The alpha section of a ``.bin``: of uint8 (H, W) the smaller of both kinds of file."""
    image = Image.fromarray(np.ascontiguousarray(alpha))
    out = io.BytesIO()
    image.save(out, "PNG", optimize=True)
    files = [out.getvalue()]
    if alpha.size <= _WEBP_PIXELS and takes_webp(image):
        files.append(encode_webp(image.convert("RGB")))
    return min(files, key=len)


def decode_alpha(data: bytes, width: int, height: int) -> npt.NDArray[np.uint8]:
    """What :func:`encode_alpha` was given: uint8 (height, width).

    ContainerError where the data are no such file of that size.
    """
    if data.startswith(b"RIFF"):
        return _from_webp(data, width, height)
    # Signature, length and name of the first chunk, then its fields up to the colour type.
    start = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">IIBB", width, height, 8, 0)
    if data[: len(start)] != start:
        raise ContainerError(
            f"the alpha section is no {width}x{height} 8-bit greyscale PNG, nor WebP"
        )
    try:
        with (
            pillow_errors(),
            pixel_limit(width * height),
            Image.open(io.BytesIO(data), formats=["PNG"]) as image,
        ):
            alpha = np.array(image)
    except ImageError as error:
        raise ContainerError(f"the alpha section is damaged: {error}") from error
    if alpha.shape != (height, width) or alpha.dtype != np.uint8:
        raise ContainerError("the alpha section is damaged: its size is not the picture's")
    return alpha


def _from_webp(data: bytes, width: int, height: int) -> npt.NDArray[np.uint8]:
    if width * height > _WEBP_PIXELS:
        raise ContainerError(f"an alpha section of more than {_WEBP_PIXELS} pixels must be PNG")
    try:
        rgba = decode_overlay(data, width, height)
    except ContainerError as error:
        raise ContainerError(f"the alpha section: {error}") from None
    if (rgba != rgba[..., [0, 0, 0, 3]]).any() or not rgba[..., 3].all():
        raise ContainerError("the alpha section is not grey")
    return np.ascontiguousarray(rgba[..., 0])
