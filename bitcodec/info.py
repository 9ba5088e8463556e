"""What a ``.bin`` file says of itself, read from its front without torch."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import BinaryIO

from bitcodec.errors import UnknownModelError
from bitcodec.files import as_bytes
from bitcodec.format import container
from bitcodec.format.container import Coder, Layout
from bitcodec.models import registry


@dataclass(frozen=True)
class Info:
    """The header of a file and what follows from it.

    Attributes:
        version: of the file format.
        model: name of the model, None where no weights file has the id.
        family: "sign" or "ladder", None where no weights file has the id.
        model_id: 16 hex digits.
        width: in pixels.
        height: in pixels.
        rate: the number that sets the rate; for ``sign`` the latent channels.
        coder: "packed" or "ranged".
        tile: edge of a payload tile, in pixels.
        tiles: how many tiles.
        lossless_tiles: those without latents, which an overlay covers; unless ``lossless`` was
            asked for, it may have fewer shades than the picture had.
        mixed_tiles: those with latents and an overlay.
        grey: whether it decodes to one channel.
        step_map: whether the step differs from place to place.
        header_size: bytes before the payload.
        payload_size: bytes of latent bits.
        overlay_size: bytes of overlays.
        alpha_size: bytes, None without alpha.
        icc_size: bytes, None without an ICC profile.
        exif_size: bytes, None without EXIF.
        file_size: bytes, of the whole file.
        bpp: 8 * file_size / (width * height).
        ratio_raw: raw 8-bit RGB bytes / file_size.
        numel_ratio: numel(bits) / numel(image), the figure of the report that ``sign`` comes
            from; None where the coder is "ranged": such files do not hold every latent bit.
    """

    version: int
    model: str | None
    family: str | None
    model_id: str
    width: int
    height: int
    rate: int
    coder: str
    tile: int
    tiles: int
    lossless_tiles: int
    mixed_tiles: int
    grey: bool
    step_map: bool
    header_size: int
    payload_size: int
    overlay_size: int
    alpha_size: int | None
    icc_size: int | None
    exif_size: int | None
    file_size: int
    bpp: float
    ratio_raw: float
    numel_ratio: float | None


def read_info(data: bytes | bytearray | memoryview | str | os.PathLike[str] | BinaryIO) -> Info:
    """The header of a file.

    Args:
        data: the file, or just the front of it as far as the first payload, as bytes or another
            buffer, by its path, or open for reading. Payloads are not looked at; decoding does
            that.

    Raises:
        ContainerError: not one of our files, or its header is damaged.
    """
    return info_of(container.read_header(as_bytes(data)))


def info_of(layout: Layout) -> Info:
    """The same from a header that has been read. A model that is not here is no error."""
    header = layout.header
    try:
        entry = registry.find_by_id(header.model_id)
    except UnknownModelError:
        entry = None
    pixels = header.width * header.height
    covered = [span.length > 0 for span in layout.overlays]
    bare = sum(over and not tile.length for over, tile in zip(covered, layout.tiles, strict=False))
    numel_ratio = None
    if header.coder is Coder.PACKED:
        rows, columns = header.tiling.latents.shape
        numel_ratio = header.rate * columns * rows / (3 * pixels)
    return Info(
        version=container.VERSION,
        model=entry.name if entry else None,
        family=entry.family if entry else None,
        model_id=header.model_id.hex(),
        width=header.width,
        height=header.height,
        rate=header.rate,
        coder=header.coder.name.lower(),
        tile=header.tile,
        tiles=header.tiling.count,
        lossless_tiles=bare,
        mixed_tiles=sum(covered) - bare,
        grey=header.grey,
        step_map=header.mapped,
        header_size=layout.header_size,
        payload_size=sum(span.length for span in layout.tiles),
        overlay_size=sum(span.length for span in layout.overlays),
        alpha_size=layout.alpha.length if layout.alpha else None,
        icc_size=layout.icc.length if layout.icc else None,
        exif_size=layout.exif.length if layout.exif else None,
        file_size=layout.file_size,
        bpp=8 * layout.file_size / pixels,
        ratio_raw=3 * pixels / layout.file_size,
        numel_ratio=numel_ratio,
    )
