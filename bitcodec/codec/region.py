"""Pixels of any box of a picture from the latents of the tiles around it.

The networks run over blocks of 1024 pixels with a halo of neighbouring latents, whatever the
tiles are: so memory and work a pixel do not depend on a file's tile size, and no seam shows.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bitcodec.codec.tiles import Tiles
from bitcodec.format.tiling import STRIDE, Box, cut
from bitcodec.models.base import BLOCK, Model
from bitcodec.models.layers.halo import Halo

__all__ = ["GREY", "decode_region"]

GREY = 128  #: the pixels of lost tiles


def decode_region(tiles: Tiles, model: Model, box: Box, reduce: int = 1) -> np.ndarray:
    """Pixels of a box inside the picture, reading only the tiles it needs.

    Args:
        tiles: of the file; the pixels of lost ones are mid-grey.
        model: the one that made it.
        box: in pixels of the full picture.
        reduce: 1, or one of ``model.reductions``; left and top are then multiples of it.

    Returns:
        uint8 (height, width, 3), of the size of ``box.reduced(reduce)``.
    """
    small = box.reduced(reduce)
    # The system gives memory to an array only where it is written to. So a file that claims to be
    # large takes no memory before its tiles have been decoded.
    rgb = np.empty((*small.shape, 3), np.uint8)
    wide = small.shape[1] > small.shape[0]
    for block in _blocks(box, wide):
        pixels = _synthesize(tiles, model, block, wide, reduce)
        rgb[block.reduced(reduce).within(small)] = GREY if pixels is None else pixels
        for index in tiles.tiling.touching(block):
            if pixels is not None and tiles.latents(index) is None:
                lost = tiles.tiling.box(index).clipped(block)
                rgb[lost.reduced(reduce).within(small)] = GREY
    return rgb


def _synthesize(
    tiles: Tiles, model: Model, block: Box, wide: bool, reduce: int
) -> np.ndarray | None:
    """Pixels of one block, reduced, uint8; None where no tile around it is left."""
    own, rate = block.reduced(), tiles.source.header.rate
    around = own.grown(model.halo_out).clipped(tiles.tiling.latents)
    tiles.drop_before(around.x0 if wide else 0, 0 if wide else around.y0)
    latents = tiles.gather(around)
    if latents is None:
        return None
    if reduce > 1:
        pixels, covered = model.synthesize_small(latents, rate, reduce), around
    else:
        halo = Halo(own.x0 - around.x0, own.y0 - around.y0, around.x1 - own.x1, around.y1 - own.y1)
        pixels, covered = model.synthesize_pixels(latents, rate, halo), own
    return pixels[block.reduced(reduce).within(covered.enlarged(STRIDE // reduce))]


def _blocks(box: Box, wide: bool) -> Iterator[Box]:
    """``box`` in blocks; strips across its shorter side, so that few tiles are kept."""
    xs, ys = _ranges(box.x0, box.x1), _ranges(box.y0, box.y1)
    if wide:
        yield from (Box(x0, y0, x1, y1) for x0, x1 in xs for y0, y1 in ys)
    else:
        yield from (Box(x0, y0, x1, y1) for y0, y1 in ys for x0, x1 in xs)


def _ranges(start: int, stop: int) -> list[tuple[int, int]]:
    """In one piece what is small enough: halos are work too."""
    return [(start, stop)] if stop - start <= BLOCK else cut(start, stop, BLOCK)
