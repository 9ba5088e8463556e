"""Picture files <-> :class:`Picture`, through Pillow.

Errors of Pillow, of whatever type, become an ImageError with a one-line reason.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from bitcodec.errors import (
    DEFAULT_MAX_PIXELS,
    BitcodecError,
    ImageError,
    one_line,
)
from bitcodec.files import read_file
from bitcodec.picture import jpeg, png, tiff
from bitcodec.picture.base import Picture
from bitcodec.picture.colour import to_srgb
from bitcodec.picture.convert import convert
from bitcodec.picture.limit import pixel_limit
from bitcodec.picture.metadata import info_of_exif, is_one_channel

__all__ = [
    "Picture",
    "from_pil",
    "open_picture",
    "pillow_errors",
    "stripped",
    "to_pil",
    "to_picture",
]

# Drawings that Pillow hands to another program (Ghostscript) or to Windows to be rendered.
_DRAWINGS = {"EPS", "WMF"}


def open_picture(
    source: str | os.PathLike[str] | bytes, *, max_pixels: int = DEFAULT_MAX_PIXELS
) -> Picture:
    """Read a picture from a file, or from the bytes of one.

    ``max_pixels`` takes the place of Pillow's own limit and is checked before pixels are decoded.
    FileError where the file cannot be opened; otherwise as :func:`from_pil`.
    """
    if not isinstance(source, bytes):
        source = read_file(source)
    return _open(source, max_pixels)


def from_pil(image: Image.Image) -> Picture:
    """Convert a Pillow picture of any mode; of several frames the current one is taken.

    EXIF orientation is applied. Alpha that is opaque everywhere is dropped. Colours keep an ICC
    profile for RGB or grey, get one where the file marks a wide gamut in another way, and are
    converted to sRGB where they are HDR, CMYK, ... Also noted: palettes, 16-bit samples, dropped
    frames and metadata. A picture that is loaded already has forgotten some of what its file says.
    ImageError for what cannot be read (truncated, ...) or has no clear meaning in 8 bits.
    """
    with pillow_errors():
        if image.format in _DRAWINGS:
            raise ImageError(f"{image.format} is a drawing, not a picture of pixels")
        if not image.width or not image.height:
            raise ImageError("the picture is empty")
        return convert(image)


def to_picture(image: Image.Image | npt.NDArray[Any] | Picture | bytes) -> Picture:
    """A picture from any form that :func:`bitcodec.encode` takes; ImageError where it is none."""
    if isinstance(image, Picture):
        return image
    if isinstance(image, bytes):
        return open_picture(image)
    return from_pil(_as_pil(image))


def to_pil(picture: Picture) -> Image.Image:
    """A Pillow picture of mode L, LA, RGB or RGBA.

    ``info`` holds "icc_profile" and "exif" where there are any, for plugins that save them.
    """
    samples = picture.rgb
    if picture.grey:
        samples = _mean(samples)
        if not is_one_channel(picture.grey, picture.icc):
            samples = np.dstack((samples, samples, samples))
    if picture.alpha is not None:
        samples = np.dstack((samples, picture.alpha))
    image = Image.fromarray(np.ascontiguousarray(samples))
    if picture.icc is not None:
        image.info["icc_profile"] = picture.icc
    if picture.exif is not None:
        image.info.update(info_of_exif(picture.exif))
    return image


def stripped(picture: Picture) -> Picture:
    """The picture without metadata: its colours are converted to sRGB, which needs no profile."""
    if picture.icc is None:
        return replace(picture, exif=None)
    plain = replace(picture, exif=None, icc=None)
    converted = to_srgb(to_pil(plain), picture.icc)
    if converted is None:
        return replace(plain, notes=(*picture.notes, "damaged colour profile dropped"))
    return replace(from_pil(converted), notes=picture.notes)


def _as_pil(image: Image.Image | npt.NDArray[Any]) -> Image.Image:
    if isinstance(image, Image.Image):
        return image
    array = np.asarray(image)
    if array.dtype != np.uint8:
        raise ImageError(f"an array must be uint8, not {array.dtype}")
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (2, 3, 4)):
        raise ImageError(f"an array must be (H, W) or (H, W, 2, 3 or 4), not {array.shape}")
    if 0 in array.shape:
        raise ImageError("a picture without pixels")
    return Image.fromarray(np.ascontiguousarray(array))


def _mean(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """(H, W, 3) -> (H, W): the mean, rounded to nearest, as FORMAT.md has it."""
    total: npt.NDArray[np.uint16] = rgb.sum(axis=2, dtype=np.uint16)
    return ((total + 1) // 3).astype(np.uint8)


def _open(data: bytes, max_pixels: int) -> Picture:
    notes: tuple[str, ...] = ()
    profile = None
    if data.startswith(png.SIGNATURE):
        data, profile, notes = png.tidy(data)
    with pillow_errors(), pixel_limit(max_pixels), _image_of(data) as image:
        if image.width * image.height > max_pixels:
            size = f"{image.width}x{image.height}"
            raise ImageError(f"{size} pixels are more than {max_pixels} (see --max-pixels)")
        if profile is not None:
            image.info["icc_profile"] = profile
        picture = from_pil(image)
    return replace(picture, notes=(*notes, *picture.notes))


def _image_of(data: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data))
    except UnidentifiedImageError:
        if tiff.is_tiff(data):
            return tiff.reopened(data)
        if data.startswith(jpeg.START):
            return jpeg.reopened(data)
        raise


@contextlib.contextmanager
def pillow_errors() -> Iterator[None]:
    """Turn what Pillow raises into an ImageError."""
    try:
        yield
    except BitcodecError:
        raise
    except UnidentifiedImageError as error:
        raise ImageError("not a picture, or of an unknown kind") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError("more pixels than the limit (see --max-pixels)") from error
    except MemoryError as error:
        raise ImageError("not enough memory for the picture") from error
    # Broken files make Pillow's plugins raise nearly anything: SyntaxError, struct.error, ...
    except Exception as error:
        raise ImageError(f"cannot be read: {one_line(error)}") from error
