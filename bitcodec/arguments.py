"""What a caller may pass to the Python functions, checked before any work is done."""

from __future__ import annotations

import contextlib
import math
import numbers
import os
import re
from typing import Any, NamedTuple

from bitcodec.errors import BitcodecError, OptionError, TargetError
from bitcodec.files import read_file

__all__ = [
    "MAX_TILE",
    "EncodeOptions",
    "as_bytes",
    "check_crop",
    "check_device",
    "check_encoding",
    "check_max_pixels",
    "check_switch",
    "is_path",
]

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
        raise OptionError(f"{name} must be True or False, not {_shown(value)}")


def check_max_pixels(value: object) -> int:
    """The value; OptionError unless it is a whole number from 1 on."""
    return _whole("max_pixels", value, 1, _MAX_SIZE, OptionError)


def check_crop(value: object) -> tuple[int, int, int, int] | None:
    """The value; OptionError unless it is None or four whole numbers, inside or not."""
    if value is None:
        return None
    if not isinstance(value, (tuple, list)) or len(value) != 4:
        raise OptionError(f"crop must be x, y, width and height, not {_shown(value)}")
    x, y, w, h = (_whole("crop", n, -_MAX_SIZE, _MAX_SIZE, OptionError) for n in value)
    return x, y, w, h


def check_device(value: object) -> str:
    """The value; OptionError unless it is "auto", "cpu", "cuda" or "cuda:" and a number."""
    if not isinstance(value, str) or not re.fullmatch(r"auto|cpu|cuda(:\d{1,3})?", value):
        raise OptionError(f"unknown device {_shown(value)} (one of auto, cpu, cuda, cuda:0, ...)")
    return value


def is_path(value: object) -> bool:
    """Whether it is the name of a file."""
    return isinstance(value, (str, os.PathLike))


def as_bytes(data: Any) -> bytes:
    """The bytes of a buffer of any type, of a file by its path, or of one open for reading.

    Raises:
        FileError: the path cannot be read.
        OptionError: it is something else.
        OSError: reading an open file fails.
    """
    if isinstance(data, bytes):
        return data
    if is_path(data):
        return read_file(data)
    with contextlib.suppress(TypeError, ValueError, BufferError):
        return memoryview(data).tobytes()
    if callable(getattr(data, "read", None)):
        content = data.read()
        if isinstance(content, bytes):
            return content
    kind = type(data).__name__
    raise OptionError(f"data must be bytes, a path or a binary file, not {kind}")


def _whole(name: str, value: object, low: int, high: int, kind: type[BitcodecError]) -> int:
    if not isinstance(value, bool) and isinstance(value, numbers.Integral):
        if low <= int(value) <= high:
            return int(value)
    limits = f" from {low} to {high}" if high < _MAX_SIZE else " above 0" if low > 0 else ""
    raise kind(f"{name} must be a whole number{limits}, not {_shown(value)}")


def _positive(name: str, value: object) -> float:
    if not isinstance(value, bool) and isinstance(value, numbers.Real):
        with contextlib.suppress(OverflowError):
            number = float(value)
            if 0 < number < math.inf:
                return number
    raise TargetError(f"{name} must be a finite number above 0, not {_shown(value)}")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
