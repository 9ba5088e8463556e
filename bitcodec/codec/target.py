"""Targets: the rate at which a file has a size, or a picture a quality.

A model's rates are ordered from the smallest file to the largest. Size and PSNR grow along them,
apart from ripples, so a bracketing search finds the target. The file that is returned has been
encoded and measured; for a size it fits.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from bitcodec.codec.decode import decode
from bitcodec.codec.encode import DEFAULT_EFFORT, DEFAULT_TILE, Encoder
from bitcodec.errors import TargetError
from bitcodec.format.container import Source, read_header
from bitcodec.format.header import Coder
from bitcodec.format.limits import packed_bytes
from bitcodec.models.base import Model
from bitcodec.picture.images import Picture
from bitcodec.picture.metrics import psnr as psnr_of

_FILL = 0.99  # a file of this share of the target size is large enough
_CLOSE_DB = 0.01


def last_within(
    value: Callable[[int], float], count: int, target: float, slack: float
) -> int | None:
    """The largest index whose value is at most ``target``, for an increasing function.

    Args:
        value: of an index in 0..count-1; increasing, apart from ripples.
        count: number of indices.
        target: not to be exceeded.
        slack: a value of at least ``target - slack`` ends the search early.

    Returns:
        An index with value(index) <= target, None if even index 0 exceeds it.
    """
    low, high = 0, count - 1
    at_low = value(low)
    if at_low > target:
        return None
    at_high = value(high)
    if at_high <= target:
        return high
    # invariant: value(low) <= target < value(high)
    turn = 0
    while high - low > 1 and at_low < target - slack:
        share = (target - slack / 2 - at_low) / (at_high - at_low)
        turn += 1
        if turn % 3 == 0:  # interpolation alone may take many small steps
            share = 0.5
        middle = min(high - 1, max(low + 1, low + round(share * (high - low))))
        now = value(middle)
        if now <= target:
            low, at_low = middle, now
        else:
            high, at_high = middle, now
    return low


def encode_to_target(
    picture: Picture,
    model: Model,
    *,
    bpp: float | None = None,
    size: int | None = None,
    psnr: float | None = None,
    tile: int = DEFAULT_TILE,
    effort: int = DEFAULT_EFFORT,
    roi: np.ndarray | None = None,
) -> bytes:
    """Encode to one target; exactly one of bpp, size and psnr is given.

    Args:
        picture: what to encode.
        model: with which model.
        bpp: bits per pixel of the whole file; the nearest rate is taken.
        size: bytes of the whole file, never exceeded.
        psnr: dB over RGB, reached or passed by as little as possible.
        tile: as in :class:`Encoder`.
        effort: as in :class:`Encoder`.
        roi: as in :class:`Encoder`.

    Raises:
        TargetError: the target cannot be reached.
    """
    rates = model.rates()
    encoder = Encoder(picture, model, tile=tile, effort=effort, roi=roi)
    files: dict[int, bytes] = {}

    def encoded(index: int) -> bytes:
        if index not in files:
            files[index] = encoder.encode(rates[index])
        return files[index]

    def log_size(index: int) -> float:
        # The size of a packed file without overlays is known without encoding.
        if model.coder is Coder.PACKED and not encoder.tries_overlays:
            return math.log(_packed_size(encoded(len(rates) - 1), rates[index]))
        return math.log(len(encoded(index)))

    if psnr is not None:
        return encoded(_index_for_psnr(picture, model, encoded, len(rates), psnr))
    pixels = picture.rgb.shape[0] * picture.rgb.shape[1]
    if size is not None:
        limit = float(size)
    elif bpp is not None:
        limit = bpp * pixels / 8
    else:
        raise TargetError("no target")
    if limit < 1:
        raise TargetError(f"a file of {limit:.3g} bytes is not possible")
    index = last_within(log_size, len(rates), math.log(limit), -math.log(_FILL))
    if index is None:
        if bpp is not None:  # the nearest rate
            return encoded(0)
        smallest = encoded(0)
        raise TargetError(
            f"the smallest file has {len(smallest)} bytes, more than {size}{_metadata_in(smallest)}"
        )
    if bpp is not None and index + 1 < len(rates):
        below, above = len(encoded(index)), len(encoded(index + 1))
        return encoded(index if limit - below <= above - limit else index + 1)
    return encoded(index)


def _metadata_in(data: bytes) -> str:
    """What of a file is no pixels, in words to be put behind its size."""
    layout = read_header(data)
    named = (("colour profile", layout.icc), ("EXIF", layout.exif), ("alpha", layout.alpha))
    parts = [f"{span.length} are {name}" for name, span in named if span is not None]
    return f": {', '.join(parts)} (--strip leaves metadata out)" if parts else ""


def _packed_size(data: bytes, rate: int) -> int:
    """Size of a packed file at another rate, given one; at most a few bytes too much."""
    header = read_header(data).header
    counts = list(header.tiling.latent_counts())
    now, then = (sum(packed_bytes(channels, n) for n in counts) for channels in (header.rate, rate))
    return len(data) - now + then


def _index_for_psnr(
    picture: Picture, model: Model, encoded: Callable[[int], bytes], count: int, target: float
) -> int:
    if not target > 0:
        raise TargetError(f"a PSNR of {target} dB is no target")
    values: dict[int, float] = {}

    def loss(index: int) -> float:
        """Minus the PSNR, falling along the reversed rates, so increasing along theirs."""
        if index not in values:
            picture_out = decode(Source.of(encoded(count - 1 - index)), model).picture
            original = picture.rgb
            if picture.grey:  # what is saved is the rounded mean of the channels
                mean = np.rint(picture_out.rgb.astype(np.float64).mean(2, keepdims=True))
                values[index] = -min(psnr_of(original[..., :1], mean.astype(np.uint8)), 200.0)
            else:
                values[index] = -min(psnr_of(original, picture_out.rgb), 200.0)
        return values[index]

    index = last_within(loss, count, -target, _CLOSE_DB)
    if index is None:
        raise TargetError(f"the best possible PSNR is {-loss(0):.2f} dB, less than {target:g}")
    return count - 1 - index
