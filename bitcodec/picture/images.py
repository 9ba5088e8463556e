"""Picture files <-> :class:`Picture`, through Pillow.

Errors of Pillow, of whatever type, become an ImageError with a one-line reason.
"""

from __future__ import annotations

import contextlib
import io
import os
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from bitcodec.errors import (
    DEFAULT_MAX_PIXELS,
    BitcodecError,
    ContainerError,
    FileError,
    ImageError,
    one_line,
)
from bitcodec.picture.metadata import EXIF_PREFIX, icc_profile, is_one_channel, upright
from bitcodec.picture.modes import raw_mode, to_pixels

__all__ = [
    "Picture",
    "decode_alpha",
    "encode_alpha",
    "from_pil",
    "open_picture",
    "pillow_errors",
    "pixel_limit",
    "to_pil",
    "to_picture",
]

# Drawings that Pillow hands to another program (Ghostscript) or to Windows to be rendered.
_DRAWINGS = {"EPS", "WMF"}


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture in memory.

    Attributes:
        rgb: uint8 (H, W, 3), H and W at least 1.
        alpha: uint8 (H, W), 255 is opaque, not premultiplied; None where all is opaque.
        grey: show and save the mean of the three channels: as one channel, or as three equal
            ones where the colour profile is for RGB. A decoder's three differ a little; those of
            :func:`from_pil` do not.
        icc: a colour profile for RGB, or where ``grey`` also one for grey.
        exif: the TIFF structure, without "Exif\\0\\0" before it and without the orientation.
        notes: what was lost when the picture was converted, for people.

    ImageError where a shape or type is not as said.
    """

    rgb: npt.NDArray[np.uint8]
    alpha: npt.NDArray[np.uint8] | None = None
    grey: bool = False
    icc: bytes | None = None
    exif: bytes | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check shapes and types."""
        rgb, alpha = self.rgb, self.alpha
        if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or not rgb.size:
            raise ImageError(f"rgb must be uint8 (H, W, 3), not {rgb.dtype} {rgb.shape}")
        if alpha is not None and (alpha.dtype != np.uint8 or alpha.shape != rgb.shape[:2]):
            raise ImageError(f"alpha must be uint8 (H, W), not {alpha.dtype} {alpha.shape}")

    @property
    def width(self) -> int:
        """Pixels in a row."""
        return int(self.rgb.shape[1])

    @property
    def height(self) -> int:
        """Rows."""
        return int(self.rgb.shape[0])


def open_picture(
    source: str | os.PathLike[str] | bytes, *, max_pixels: int = DEFAULT_MAX_PIXELS
) -> Picture:
    """Read a picture from a file, or from the bytes of one.

    ``max_pixels`` takes the place of Pillow's own limit and is checked before pixels are decoded.
    FileError where the file cannot be opened; otherwise as :func:`from_pil`.
    """
    if isinstance(source, bytes):
        return _open(io.BytesIO(source), max_pixels)
    try:
        file = open(source, "rb")
    except (OSError, ValueError) as error:
        raise FileError(f"cannot read: {one_line(error)}") from error
    with file:
        return _open(file, max_pixels)


def from_pil(image: Image.Image) -> Picture:
    """Convert a Pillow picture of any mode; of several frames the current one is taken.

    EXIF orientation is applied. Alpha that is opaque everywhere is dropped; so is a colour profile
    for another colour space than the result's, with a note. Also noted: palettes, CMYK and other
    colour models, 16-bit samples, dropped frames.
    ImageError for what cannot be read (truncated, ...) or has no clear meaning in 8 bits.
    """
    with pillow_errors():
        if image.format in _DRAWINGS:
            raise ImageError(f"{image.format} is a drawing, not a picture of pixels")
        if not image.width or not image.height:
            raise ImageError("the picture is empty")
        frames = ("other frames dropped",) if getattr(image, "is_animated", False) else ()
        raw = raw_mode(image)
        image.load()
        image, exif, exif_notes = upright(image)
        pixels = to_pixels(image, raw)
        icc, icc_notes = icc_profile(image, grey=pixels.grey)
    notes = (*frames, *pixels.notes, *icc_notes, *exif_notes)
    return Picture(pixels.rgb, pixels.alpha, pixels.grey, icc, exif, notes)


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
        image.info["exif"] = EXIF_PREFIX + picture.exif
    return image


def encode_alpha(alpha: npt.NDArray[np.uint8]) -> bytes:
    """The alpha section of a ``.bin``: ``alpha`` uint8 (H, W) as an 8-bit greyscale PNG file."""
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(alpha)).save(out, "PNG", optimize=True)
    return out.getvalue()


def decode_alpha(data: bytes, width: int, height: int) -> npt.NDArray[np.uint8]:
    """What :func:`encode_alpha` was given: uint8 (height, width).

    ContainerError where the data are not an 8-bit greyscale PNG file of that size.
    """
    # Signature, length and name of the first chunk, then its fields up to the colour type.
    start = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">IIBB", width, height, 8, 0)
    if data[: len(start)] != start:
        raise ContainerError(f"the alpha section is not a {width}x{height} 8-bit greyscale PNG")
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


def _as_pil(image: Image.Image | npt.NDArray[Any]) -> Image.Image:
    if isinstance(image, Image.Image):
        return image
    array = np.asarray(image)
    if array.dtype != np.uint8:
        raise ImageError(f"an array must be uint8, not {array.dtype}")
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        raise ImageError(f"an array must be (H, W), (H, W, 3) or (H, W, 4), not {array.shape}")
    if 0 in array.shape:
        raise ImageError("a picture without pixels")
    return Image.fromarray(np.ascontiguousarray(array))


def _mean(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """(H, W, 3) -> (H, W): the mean, rounded to nearest, as FORMAT.md has it."""
    total: npt.NDArray[np.uint16] = rgb.sum(axis=2, dtype=np.uint16)
    return ((total + 1) // 3).astype(np.uint8)


def _open(file: BinaryIO, max_pixels: int) -> Picture:
    with pillow_errors(), pixel_limit(max_pixels), Image.open(file) as image:
        if image.width * image.height > max_pixels:
            size = f"{image.width}x{image.height}"
            raise ImageError(f"{size} pixels are more than {max_pixels} (see --max-pixels)")
        return from_pil(image)


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


_lock = threading.Lock()
_users = 0
_pillows_own: int | None = None


@contextlib.contextmanager
def pixel_limit(pixels: int) -> Iterator[None]:
    """Have Pillow refuse files by our limit instead of its own, for as long as any thread is here.

    Pillow's limit is a global; it is put back when the last thread leaves. With several threads
    the largest of their limits holds, and the caller checks its own.
    """
    global _users, _pillows_own
    with _lock:
        if not _users:
            _pillows_own, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, pixels
        else:
            Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS or 0, pixels)
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if not _users:
                Image.MAX_IMAGE_PIXELS = _pillows_own
