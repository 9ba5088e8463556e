"""What a file may make a decoder do: memory and work, judged from its header and table alone.

``max_pixels`` limits the pixels of a picture. That alone does not bound the work. With the payload
coder ``ranged`` every tile runs the whole context model, however small it is, and all latents of a
tile are in memory at once. The length of a ranged payload says nothing: a flat picture has next to
no bytes. A packed payload has exactly one possible length.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bitcodec.errors import ContainerError, LimitError
from bitcodec.format.header import Coder, Header

MAX_RANGED_TILE_PIXELS = 2**22
"""Most pixels in a tile of a ranged payload: decoding one takes up to 200 bytes a pixel (noise)."""
MIN_RANGED_TILE_COST = 2**12
"""What a ranged tile counts for at least, in pixels, since a tile of one latent takes as long."""


def check_pixels(header: Header, max_pixels: int | None) -> None:
    """LimitError where a picture has more pixels than that; None is no limit."""
    if max_pixels is not None and header.width * header.height > max_pixels:
        raise LimitError(
            f"{header.width}x{header.height} pixels are more than {max_pixels} (see --max-pixels)"
        )


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
    check_pixels(header, max_pixels)
    if header.coder is not Coder.RANGED:
        return
    largest = _largest_tile(header)
    if largest > MAX_RANGED_TILE_PIXELS:
        raise LimitError(
            f"ranged tiles of {largest} pixels are larger than {MAX_RANGED_TILE_PIXELS}"
        )
    tiles = header.tiling.count
    cost = tiles * MIN_RANGED_TILE_COST
    if max_pixels is not None and tiles > 1 and cost > max_pixels:
        raise LimitError(
            f"{tiles} small tiles take as long as {cost} pixels, which are more than "
            f"{max_pixels} (see --max-pixels)"
        )


def allows_overlays(header: Header) -> bool:
    """Whether tiles are small enough for overlays: at most 2**22 pixels, whatever the coder."""
    return _largest_tile(header) <= MAX_RANGED_TILE_PIXELS


def check_overlays(header: Header) -> None:
    """LimitError where they are not."""
    if not allows_overlays(header):
        raise LimitError(
            f"overlays of {_largest_tile(header)} pixels are larger than {MAX_RANGED_TILE_PIXELS}"
        )


def _largest_tile(header: Header) -> int:
    return min(header.tile, header.width) * min(header.tile, header.height)


def impossible_payloads(header: Header, lengths: Sequence[int | None]) -> Iterator[int]:
    """Indices of tiles whose payload cannot be right.

    A packed payload has exactly one bit a latent, a ranged one is a whole number of 32-bit words.

    Args:
        header: of the file.
        lengths: of all its payloads in bytes, in order; None for one that is not there, and
            need not be.
    """
    if header.coder is Coder.RANGED:
        yield from (i for i, length in enumerate(lengths) if length is not None and length % 4)
        return
    counts = header.tiling.latent_counts()
    for index, (length, latents) in enumerate(zip(lengths, counts, strict=True)):
        if length is not None and length != packed_bytes(header.rate, latents):
            yield index


def packed_bytes(channels: int, latents: int) -> int:
    """Length of a packed payload: one bit for each channel of each latent."""
    return -(-channels * latents // 8)


def check_payloads(header: Header, lengths: Sequence[int | None]) -> None:
    """ContainerError if any is impossible; to be called before any pixel is allocated."""
    for index in impossible_payloads(header, lengths):
        raise ContainerError(f"tile {index}: {lengths[index]} bytes cannot be its payload")
