"""Small versions of a picture: each pixel stands for 2x2, 4x4, 8x8 or 16x16 of the full one.

There are three ways. If the model codes its latents from low to high frequencies, only the low ones
are decoded, and of the networks only the context model runs. If the first layers of the synthesis
can put out a small picture, that is taken and averaged further. If not, the full picture is
averaged.
"""

from __future__ import annotations

import numpy as np

from bitcodec.codec.region import GREY, decode_region
from bitcodec.codec.tiles import Tiles
from bitcodec.errors import BitcodecError
from bitcodec.format.tiling import Box, cut
from bitcodec.models.base import BLOCK, Model

__all__ = ["REDUCTIONS", "average", "decode_preview", "reduction"]

REDUCTIONS = (1, 2, 4, 8, 16)  #: pixels of the full picture to one of a preview, each way


def reduction(scale: float) -> int:
    """1, 2, 4, 8 or 16 for a scale of 1, 1/2, 1/4, 1/8 or 1/16; BitcodecError for others."""
    if isinstance(scale, (int, float)) and not isinstance(scale, bool):
        for reduce in REDUCTIONS:
            if scale * reduce == 1:
                return reduce
    raise BitcodecError(f"scale {scale!r:.60} is not one of 1, 1/2, 1/4, 1/8 and 1/16")


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


def decode_preview(tiles: Tiles, model: Model, box: Box, reduce: int) -> np.ndarray:
    """The preview of a box of the picture.

    Args:
        tiles: of the file; lost ones are mid-grey.
        model: the one that made it.
        box: in pixels of the full picture, inside it.
        reduce: 2, 4, 8 or 16.

    Returns:
        uint8 (height, width, 3), of the size of ``box.reduced(reduce)``.
    """
    small = box.reduced(reduce)
    out = np.full((*small.shape, 3), GREY, np.uint8)
    if model.has_low_bands:
        for index in tiles.tiling.touching(box):
            tile = tiles.preview(index, reduce)
            if tile is not None:
                whole = tiles.tiling.box(index)
                part = whole.clipped(box).reduced(reduce)
                out[part.within(small)] = tile[part.within(whole.reduced(reduce))]
        return out
    step = max(n for n in (1, *model.reductions) if n <= reduce)
    left, top, right, bottom = small.enlarged(reduce).clipped(tiles.tiling.picture)
    for y0, y1 in cut(top, bottom, BLOCK):
        strip = decode_region(tiles, model, Box(left, y0, right, y1), step)
        rows = average(strip, reduce // step)
        out[y0 // reduce - small.y0 :][: len(rows)] = rows
    return out
