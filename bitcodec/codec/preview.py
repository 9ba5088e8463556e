"""Small versions of a picture: each pixel stands for 2x2, 4x4, 8x8 or 16x16 of the full one.

Where the model codes its latents from low to high frequencies, only the low ones are decoded and
no network but the context model runs. Where it can put out a small picture early, that is decoded
and averaged further, and otherwise the full picture is.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bitcodec.codec.region import (
    GREY,
    Box,
    TileSource,
    cut,
    decode_region,
    reduced_box,
    tiles_in,
)
from bitcodec.errors import BitcodecError
from bitcodec.format.header import Header
from bitcodec.models.base import Model

__all__ = ["REDUCTIONS", "average", "reduction", "small_region"]

REDUCTIONS = (1, 2, 4, 8, 16)  #: pixels of the full picture to one of a preview, each way
_STRIP = 1024

PreviewSource = Callable[[int, int], "np.ndarray | None"]
"""(tile, reduction) to the small tile: uint8 (16 h / reduction, 16 w / reduction, 3)."""


def reduction(scale: float) -> int:
    """1, 2, 4, 8 or 16 for a scale of 1, 1/2, 1/4, 1/8 or 1/16; BitcodecError for others."""
    for reduce in REDUCTIONS:
        if scale * reduce == 1:
            return reduce
    raise BitcodecError(f"scale {scale} is not one of 1, 1/2, 1/4, 1/8 and 1/16")


def average(samples: np.ndarray, reduce: int) -> np.ndarray:
    """Means over squares: uint8 (H, W) or (H, W, C) to (ceil(H / reduce), ...), rounded.

    The last row and column are repeated where a square is not whole.
    """
    if reduce == 1:
        return samples
    pad = [(0, -n % reduce) for n in samples.shape[:2]] + [(0, 0)] * (samples.ndim - 2)
    if any(after for _, after in pad):
        samples = np.pad(samples, pad, mode="edge")
    h, w = samples.shape[0] // reduce, samples.shape[1] // reduce
    squares = samples.reshape(h, reduce, w, reduce, *samples.shape[2:])
    area = reduce * reduce
    means = (squares.sum((1, 3), dtype=np.uint32) + area // 2) // area
    return np.asarray(means, np.uint8)


def small_region(
    header: Header,
    model: Model,
    latents: TileSource,
    previews: PreviewSource | None,
    box: Box,
    reduce: int,
) -> np.ndarray:
    """The preview of a box of the picture.

    Args:
        header: of the file.
        model: whose id is the header's.
        latents: as for :func:`decode_region`, used where there are no ``previews``.
        previews: small tiles straight from the low bands, None for a tile that is lost.
        box: in pixels of the full picture, inside it.
        reduce: 2, 4, 8 or 16.

    Returns:
        uint8 of the size of :func:`reduced_box`, (height, width, 3).
    """
    x0, y0, x1, y1 = reduced_box(box, reduce)
    out = np.full((y1 - y0, x1 - x0, 3), GREY, np.uint8)
    if previews is not None:
        for index, (a, b, c, d) in tiles_in(header, box):
            small = previews(index, reduce)
            if small is None:
                continue
            left, top = (n // reduce for n in header.tile_box(index)[:2])
            a, b, c, d = reduced_box((a, b, c, d), reduce)
            out[b - y0 : d - y0, a - x0 : c - x0] = small[b - top : d - top, a - left : c - left]
        return out
    right = min(header.width, x1 * reduce)
    early = max(n for n in (1, *model.reductions) if n <= reduce)
    for top, bottom in cut(y0 * reduce, min(header.height, y1 * reduce), _STRIP):
        strip = decode_region(header, latents, model, (x0 * reduce, top, right, bottom), early)
        small = average(strip, reduce // early)
        out[top // reduce - y0 :][: len(small)] = small
    return out
