"""How a picture is cut into tiles: boxes of pixels and of latents, and the tiles that they touch.

A latent stands for a square of 16x16 pixels. Tiles are squares of whole latents, numbered row by
row; those at the right and bottom edges may be smaller.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["DEFAULT_TILE", "STRIDE", "Box", "Tiling", "cut", "whole_latents"]

STRIDE = 16  #: pixels to a latent, both ways; also the unit of the tile edge
DEFAULT_TILE = 1024  #: edge of a tile in pixels, if none is asked for


class Box(NamedTuple):
    """A rectangle of pixels or of latents; right and bottom are exclusive."""

    x0: int
    y0: int
    x1: int
    y1: int

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width)."""
        return self.y1 - self.y0, self.x1 - self.x0

    def reduced(self, factor: int = STRIDE) -> Box:
        """The positions of a grid that many times coarser which the box touches."""
        return Box(
            self.x0 // factor, self.y0 // factor, -(-self.x1 // factor), -(-self.y1 // factor)
        )

    def enlarged(self, factor: int = STRIDE) -> Box:
        """The same rectangle on a grid that many times finer."""
        return Box(*(edge * factor for edge in self))

    def grown(self, halo: int) -> Box:
        """With a halo on every side."""
        return Box(self.x0 - halo, self.y0 - halo, self.x1 + halo, self.y1 + halo)

    def clipped(self, outer: Box) -> Box:
        """The part of it that is inside another box."""
        return Box(
            max(self.x0, outer.x0),
            max(self.y0, outer.y0),
            min(self.x1, outer.x1),
            min(self.y1, outer.y1),
        )

    def within(self, outer: Box) -> tuple[slice, slice]:
        """Its rows and columns in an array that covers ``outer``."""
        return (
            slice(self.y0 - outer.y0, self.y1 - outer.y0),
            slice(self.x0 - outer.x0, self.x1 - outer.x0),
        )

    def holds(self, other: Box) -> bool:
        """Whether another box is inside, and is not empty."""
        return min(other.shape) > 0 and other.clipped(self) == other


@dataclass(frozen=True)
class Tiling:
    """The tiles of a picture.

    Attributes:
        width: of the picture, in pixels.
        height: of the picture, in pixels.
        tile: edge of a tile in pixels, a multiple of 16.
    """

    width: int
    height: int
    tile: int

    @property
    def picture(self) -> Box:
        """All pixels."""
        return Box(0, 0, self.width, self.height)

    @property
    def latents(self) -> Box:
        """All latents: ceil(width / 16) columns, ceil(height / 16) rows."""
        return self.picture.reduced()

    @property
    def columns(self) -> int:
        """Tiles in a row: ceil(width / tile)."""
        return -(-self.width // self.tile)

    @property
    def rows(self) -> int:
        """Tiles in a column: ceil(height / tile)."""
        return -(-self.height // self.tile)

    @property
    def count(self) -> int:
        """Tiles in all."""
        return self.columns * self.rows

    def box(self, index: int) -> Box:
        """A tile's pixels, clipped to the picture; IndexError where there is no such tile."""
        if not 0 <= index < self.count:
            raise IndexError(f"tile {index} of {self.count}")
        row, column = divmod(index, self.columns)
        x, y = column * self.tile, row * self.tile
        return Box(x, y, x + self.tile, y + self.tile).clipped(self.picture)

    def latent_box(self, index: int) -> Box:
        """A tile's latents; IndexError where there is no such tile."""
        return self.box(index).reduced()

    def touching(self, box: Box) -> Iterator[int]:
        """Indices of the tiles that share pixels with a box inside the picture, in order."""
        x0, y0, x1, y1 = box.reduced(self.tile)
        for row in range(y0, y1):
            yield from range(row * self.columns + x0, row * self.columns + x1)

    def latent_counts(self) -> Iterator[int]:
        """How many latents each tile has, in order."""
        widths = _latents(self.width, self.tile)
        for height in _latents(self.height, self.tile):
            yield from (height * width for width in widths)

    def groups(self, across: int, down: int) -> Iterator[Box]:
        """The picture in rectangles of so many tiles each way."""
        for top in range(0, self.height, down * self.tile):
            for left in range(0, self.width, across * self.tile):
                group = Box(left, top, left + across * self.tile, top + down * self.tile)
                yield group.clipped(self.picture)


def cut(start: int, stop: int, edge: int) -> list[tuple[int, int]]:
    """The range start..stop cut at multiples of ``edge``: [(start, ...), ..., (..., stop)]."""
    at = [start, *range(start // edge * edge + edge, stop, edge), stop]
    return list(zip(at, at[1:], strict=False))


def whole_latents(pixels: int) -> int:
    """Rounded up to a multiple of 16."""
    return -(-pixels // STRIDE) * STRIDE


def _latents(pixels: int, tile: int) -> list[int]:
    """Latents along one side of each tile in a row or column of them."""
    return [-(-min(tile, pixels - start) // STRIDE) for start in range(0, pixels, tile)]
