"""What a caller may pass to the Python functions, checked before any work is done."""

from __future__ import annotations

import contextlib
import math
import numbers
import os
from typing import Any, BinaryIO, NamedTuple, TypeAlias

import numpy as np
from PIL import Image

from bitcodec.errors import BitcodecError, ImageError, OptionError, TargetError, shown
from bitcodec.files import as_bytes
from bitcodec.picture.images import Picture, to_picture

#: a file: bytes or another buffer, its path, or open for reading
Data: TypeAlias = "bytes | bytearray | memoryview | str | os.PathLike[str] | BinaryIO"
Encodable: TypeAlias = "Image.Image | np.ndarray[Any, Any] | Picture | Data"

MAX_TILE = 65536
_MAX_SIZE = 2**62


class EncodeOptions(NamedTuple):
    """Options of ``encode``, as plain numbers; at most one target is not None."""

    quality: int | None
    bpp: float | None
    size: int | None
    psnr: float | None
    effort: int
    tile: int


def check_encoding(
    *,
    quality: object = None,
    bpp: object = None,
    size: object = None,
    psnr: object = None,
    lossless: object = False,
    effort: object = 0,
    tile: object = 16,
) -> EncodeOptions:
    """The options; numbers of NumPy become Python's, which do not overflow.

    TargetError for a wrong target or several, OptionError for a wrong effort or tile.
    """
    targets = {"quality": quality, "bpp": bpp, "size": size, "psnr": psnr}
    options = EncodeOptions(
        None if quality is None else _whole("quality", quality, 1, 100, TargetError),
        None if bpp is None else _positive("bpp", bpp),
        None if size is None else _whole("size", size, 1, _MAX_SIZE, TargetError),
        None if psnr is None else _positive("psnr", psnr),
        _whole("effort", effort, 0, 9, OptionError),
        _whole("tile", tile, 16, MAX_TILE, OptionError),
    )
    given = [name for name, value in targets.items() if value is not None]
    given += ["lossless"] if lossless else []
    if len(given) > 1:
        raise TargetError(f"{' and '.join(given)} exclude each other")
    if options.tile % 16:
        raise OptionError(f"tile must be a multiple of 16, not {tile}")
    return options


def check_switch(name: str, value: object) -> None:
    """OptionError unless it is True or False, of Python or NumPy."""
    if type(value).__name__ not in ("bool", "bool_"):
        raise OptionError(f"{name} must be True or False, not {shown(value)}")


def check_max_pixels(value: object) -> int:
    """The value; OptionError unless it is a whole number from 1 on."""
    return _whole("max_pixels", value, 1, _MAX_SIZE, OptionError)


def check_crop(value: object) -> tuple[int, int, int, int] | None:
    """The value; OptionError unless it is None or four whole numbers, inside or not."""
    if value is None:
        return None
    if not isinstance(value, (tuple, list)) or len(value) != 4:
        raise OptionError(f"crop must be x, y, width and height, not {shown(value)}")
    x, y, w, h = (_whole("crop", n, -_MAX_SIZE, _MAX_SIZE, OptionError) for n in value)
    return x, y, w, h


def readable(image: Encodable) -> Image.Image | np.ndarray[Any, Any] | Picture | bytes:
    """The bytes of a picture file that came in another form; other pictures as they are."""
    if isinstance(image, (Picture, Image.Image)):
        return image
    if hasattr(image, "__array__") or isinstance(image, (list, tuple)):
        return np.asarray(image)
    if isinstance(image, memoryview) and image.ndim > 1:
        return np.asarray(image)
    try:
        return as_bytes(image)
    except OptionError as error:
        kinds = "a Pillow image, an array, bytes, a path or a binary file"
        raise ImageError(f"a picture is {kinds}, not {type(image).__name__}") from error


def mask_of(roi: Encodable | None) -> np.ndarray[Any, Any] | None:
    """A mask as grey, uint8 (H, W), from any form of a picture; None is none.

    Raises what reading a picture does, with "roi" in front.
    """
    if roi is None:
        return None
    try:
        picture = to_picture(readable(roi))
    except BitcodecError as error:
        raise type(error)(f"roi: {error}") from error
    return np.asarray(Image.fromarray(picture.rgb).convert("L"))


def _whole(name: str, value: object, low: int, high: int, kind: type[BitcodecError]) -> int:
    if not isinstance(value, bool) and isinstance(value, numbers.Integral):
        if low <= int(value) <= high:
            return int(value)
    limits = f" from {low} to {high}" if high < _MAX_SIZE else " above 0" if low > 0 else ""
    raise kind(f"{name} must be a whole number{limits}, not {shown(value)}")


def _positive(name: str, value: object) -> float:
    if not isinstance(value, bool) and isinstance(value, numbers.Real):
        with contextlib.suppress(OverflowError):
            number = float(value)
            if 0 < number < math.inf:
                return number
    raise TargetError(f"{name} must be a finite number above 0, not {shown(value)}")
