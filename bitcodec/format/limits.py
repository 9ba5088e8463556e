"""What a file may make a decoder do: memory and work, judged from its header and table alone.

The pixels of a picture are limited by ``max_pixels``. That alone does not bound the work: with
the payload coder ``ranged`` every tile costs a walk through the context model whatever its size,
and a tile's latents are in memory at once. A range-coded payload may be arbitrarily short (a flat
picture has next to no information), so its length says nothing; a packed one has exactly one
length.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bitcodec.errors import ContainerError, LimitError
from bitcodec.format.header import LATENT_STRIDE, Coder, Header

__all__ = [
    "MAX_RANGED_TILE_PIXELS",
    "MIN_RANGED_TILE_COST",
    "check_payloads",
    "check_work",
    "impossible_payloads",
]

MAX_RANGED_TILE_PIXELS = 2**22
"""Most pixels in a tile of a ranged payload: decoding one takes up to 200 bytes a pixel (noise)."""
MIN_RANGED_TILE_COST = 2**12
"""What a ranged tile counts for at least, in pixels, since a tile of one latent takes as long."""


def _largest_tile(header: Header) -> int:
    return min(header.tile, header.width) * min(header.tile, header.height)


def check_work(header: Header, max_pixels: int | None = None) -> None:
    """Refuse what would take too much memory or too long; needs only the header.

    Args:
        header: of a file, or of one that is to be made.
        max_pixels: the user's limit; None is no limit.

    Raises:
        LimitError: more pixels than that, ranged tiles of more than 2**22 pixels, or so many
            small ranged tiles that, at 2**12 pixels each, they are over the limit.
    """
    header.check_tiles()
    pixels = header.width * header.height
    if max_pixels is not None and pixels > max_pixels:
        raise LimitError(
            f"{header.width}x{header.height} pixels are more than {max_pixels} (see --max-pixels)"
        )
    if header.coder is not Coder.RANGED:
        return
    largest = _largest_tile(header)
    if largest > MAX_RANGED_TILE_PIXELS:
        raise LimitError(
            f"ranged tiles of {largest} pixels are larger than {MAX_RANGED_TILE_PIXELS}"
        )
    cost = header.tile_count * MIN_RANGED_TILE_COST
    if max_pixels is not None and header.tile_count > 1 and cost > max_pixels:
        raise LimitError(
            f"{header.tile_count} small tiles take as long as {cost} pixels, which are more than "
            f"{max_pixels} (see --max-pixels)"
        )


def impossible_payloads(header: Header, lengths: Sequence[int | None]) -> Iterator[int]:
    """Indices of tiles whose payload cannot be right.

    A packed payload has exactly one bit a latent, a ranged one is a whole number of 32-bit words.

    Args:
        header: of the file.
        lengths: of all its payloads in bytes, in order; None for one that is not there.
    """
    if header.coder is Coder.RANGED:
        yield from (i for i, length in enumerate(lengths) if length is None or length % 4)
        return
    widths = _latents(header.width, header.tile)
    heights = _latents(header.height, header.tile)
    for index, length in enumerate(lengths):
        row, column = divmod(index, header.tiles_x)
        if length != (header.rate * heights[row] * widths[column] + 7) // 8:
            yield index


def check_payloads(header: Header, lengths: Sequence[int | None]) -> None:
    """ContainerError if any is impossible; to be called before any pixel is allocated."""
    for index in impossible_payloads(header, lengths):
        raise ContainerError(f"tile {index}: {lengths[index]} bytes cannot be its payload")


def _latents(pixels: int, tile: int) -> list[int]:
    """Latents along one side of each tile in a row or column of them."""
    return [-(-min(tile, pixels - start) // LATENT_STRIDE) for start in range(0, pixels, tile)]
