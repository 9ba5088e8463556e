"""Pixels of any box of a picture from the latents of the tiles around it.

The networks run over blocks of 1024 pixels with a halo of neighbouring latents, whatever the
tiles are: so memory and work a pixel do not depend on a file's tile size, and no seam shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from bitcodec.codec.parallel import side_by_side
from bitcodec.format.header import LATENT_STRIDE as STRIDE
from bitcodec.format.header import Header
from bitcodec.models.base import Model
from bitcodec.models.layers.halo import Margins

__all__ = [
    "BLOCK",
    "GREY",
    "Box",
    "TileSource",
    "cut",
    "decode_region",
    "reduced_box",
    "tiles_in",
]

BLOCK = 1024  #: edge in pixels of what the synthesis network is given at a time, without halo
GREY = 128  #: the pixels of lost tiles
Box = tuple[int, int, int, int]  #: x0, y0, x1, y1; right and bottom exclusive
TileSource = Callable[[int], "np.ndarray | None"]  #: index to latents (C, h, w), None if lost


def tiles_in(header: Header, box: Box) -> Iterator[tuple[int, Box]]:
    """Index and box, clipped to ``box`` (pixels), of every tile that meets it."""
    x0, y0, x1, y1 = box
    for row in range(y0 // header.tile, -(-y1 // header.tile)):
        for column in range(x0 // header.tile, -(-x1 // header.tile)):
            index = row * header.tiles_x + column
            a, b, c, d = header.tile_box(index)
            yield index, (max(a, x0), max(b, y0), min(c, x1), min(d, y1))


def reduced_box(box: Box, reduce: int) -> Box:
    """The pixels of a picture reduced so many times each way that a box of the full one touches."""
    x0, y0, x1, y1 = box
    return x0 // reduce, y0 // reduce, -(-x1 // reduce), -(-y1 // reduce)


def cut(start: int, stop: int, edge: int = BLOCK) -> list[tuple[int, int]]:
    """The range start..stop cut at multiples of ``edge``: [(start, ...), ..., (..., stop)]."""
    at = [start, *range(start // edge * edge + edge, stop, edge), stop]
    return list(zip(at, at[1:], strict=False))


class _TileCache:
    """Latents of tiles, decoded when first asked for."""

    def __init__(self, header: Header, source: TileSource) -> None:
        self.header, self.source = header, source
        self.tiles: dict[int, np.ndarray | None] = {}

    def drop_before(self, x: int, y: int) -> None:
        """Forget tiles that end at or before column ``x`` or row ``y``, in latents."""
        for index in list(self.tiles):
            _, _, right, bottom = self.header.latent_box(index)
            if right <= x or bottom <= y:
                del self.tiles[index]

    def get(self, index: int) -> np.ndarray | None:
        if index not in self.tiles:
            self.tiles[index] = self.source(index)
        return self.tiles[index]

    def load(self, wanted: list[int]) -> None:
        """Decode what is missing of several tiles, side by side."""
        missing = [index for index in wanted if index not in self.tiles]
        for index, latents in zip(missing, side_by_side(self.source, missing), strict=True):
            self.tiles[index] = latents

    def gather(self, x0: int, y0: int, x1: int, y1: int) -> np.ndarray | None:
        """Latents of a box in latent units, lost tiles as zeros; None if all are lost."""
        edge = self.header.tile // STRIDE
        out: np.ndarray | None = None
        rows, columns = range(y0 // edge, -(-y1 // edge)), range(x0 // edge, -(-x1 // edge))
        self.load([ty * self.header.tiles_x + tx for ty in rows for tx in columns])
        for ty in rows:
            for tx in columns:
                part = self.get(ty * self.header.tiles_x + tx)
                if part is None:
                    continue
                if out is None:
                    out = np.zeros((part.shape[0], y1 - y0, x1 - x0), part.dtype)
                top, left = max(y0, ty * edge), max(x0, tx * edge)
                bottom, right = min(y1, (ty + 1) * edge), min(x1, (tx + 1) * edge)
                out[:, top - y0 : bottom - y0, left - x0 : right - x0] = part[
                    :, top - ty * edge : bottom - ty * edge, left - tx * edge : right - tx * edge
                ]
        return out


def _ranges(start: int, stop: int) -> list[tuple[int, int]]:
    """In one piece what is small enough: halos are work too."""
    return [(start, stop)] if stop - start <= BLOCK else cut(start, stop)


def _blocks(box: Box, wide: bool) -> Iterator[Box]:
    """``box`` in blocks; strips across its shorter side, so that few tiles are kept."""
    xs, ys = _ranges(box[0], box[2]), _ranges(box[1], box[3])
    if wide:
        for x0, x1 in xs:
            for y0, y1 in ys:
                yield x0, y0, x1, y1
    else:
        for y0, y1 in ys:
            for x0, x1 in xs:
                yield x0, y0, x1, y1


def _synthesize(
    cache: _TileCache, model: Model, block: Box, wide: bool, reduce: int
) -> np.ndarray | None:
    """Pixels of one block, reduced, uint8; None where no tile around it is left."""
    header, halo = cache.header, model.halo_out
    columns, rows = header.latent_grid
    x0, y0, x1, y1 = block
    left, top = max(0, x0 // STRIDE - halo), max(0, y0 // STRIDE - halo)
    right, bottom = min(columns, -(-x1 // STRIDE) + halo), min(rows, -(-y1 // STRIDE) + halo)
    cache.drop_before(left if wide else 0, 0 if wide else top)
    latents = cache.gather(left, top, right, bottom)
    if latents is None:
        return None
    if reduce > 1:
        pixels = model.synthesize_small(latents, header.rate, reduce)
    else:
        margins = Margins(
            x0 // STRIDE - left, y0 // STRIDE - top, right + -x1 // STRIDE, bottom + -y1 // STRIDE
        )
        pixels = model.synthesize_pixels(latents, header.rate, margins)
        left, top = x0 // STRIDE, y0 // STRIDE
    a, b, c, d = reduced_box(block, reduce)
    i, j = b - top * STRIDE // reduce, a - left * STRIDE // reduce
    return pixels[i : i + d - b, j : j + c - a]


def decode_region(
    header: Header, source: TileSource, model: Model, box: Box, reduce: int = 1
) -> np.ndarray:
    """Pixels of a box (x0, y0, x1, y1) inside the picture, reading only the tiles it needs.

    Args:
        header: of the file.
        source: gives the latents of a tile, or None where they are lost; the pixels of
            lost tiles are mid-grey.
        model: whose id is the header's.
        box: in pixels of the full picture, right and bottom exclusive.
        reduce: 1, or one of ``model.reductions``; left and top are then multiples of it.

    Returns:
        uint8 (height, width, 3), of the size of :func:`reduced_box`.
    """
    rx0, ry0, rx1, ry1 = reduced_box(box, reduce)
    # Not touched before there are pixels for it: a file must earn the memory that it claims.
    rgb = np.empty((ry1 - ry0, rx1 - rx0, 3), np.uint8)
    cache = _TileCache(header, source)
    wide = rx1 - rx0 > ry1 - ry0

    def place(part: Box) -> np.ndarray:
        a, b, c, d = reduced_box(part, reduce)
        return rgb[b - ry0 : d - ry0, a - rx0 : c - rx0]

    for block in _blocks(box, wide):
        pixels = _synthesize(cache, model, block, wide, reduce)
        place(block)[:] = GREY if pixels is None else pixels
        for index, part in tiles_in(header, block):
            if pixels is not None and cache.get(index) is None:
                place(part)[:] = GREY
    return rgb
