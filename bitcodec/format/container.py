"""The ``.bin`` file, version 1: bytes <-> :class:`Container`, and its parts one by one.

FORMAT.md specifies the layout field by field::

    the front                               see bitcodec/format/layout.py
    the tiles' payloads, the overlays, the sections
    CRC-32 of all the above

Everything is checked before it is used or allocated. Whatever the bytes, reading raises
ContainerError and its subclasses and nothing else.
"""

from __future__ import annotations

import io
import os
import threading
import zlib
from dataclasses import dataclass
from typing import BinaryIO

from bitcodec.errors import (
    DEFAULT_MAX_PIXELS,
    ChecksumError,
    ContainerError,
    TruncatedError,
)
from bitcodec.format.header import Coder, Header
from bitcodec.format.layout import (
    MAGIC,
    SECTIONS,
    VERSION,
    Layout,
    load_header,
    read_header,
    write_front,
)
from bitcodec.format.parts import (
    CRC_BYTES,
    MAX_SECTION_BYTES,
    Span,
    checked,
    crc32,
    deflate,
    inflate,
)

__all__ = [
    "DEFAULT_MAX_PIXELS",
    "MAGIC",
    "MAX_SECTION_BYTES",
    "VERSION",
    "Coder",
    "Container",
    "Header",
    "Layout",
    "Source",
    "Span",
    "load_header",
    "read",
    "read_header",
    "write",
]

_COMPRESSED = ("icc", "exif")
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Container:
    """A whole file: header, one payload a tile in raster order, and the optional parts.

    ``overlays`` is empty, or has one for each tile: a PNG or WebP file, or b"" for none.

    ``alpha`` is an 8-bit greyscale PNG or WebP file; ``icc`` and ``exif`` are raw (the file has
    them compressed), at most 16 MiB each. EXIF is the TIFF structure, without ``Exif\\0\\0``.
    """

    header: Header
    tiles: tuple[bytes, ...]
    alpha: bytes | None = None
    icc: bytes | None = None
    exif: bytes | None = None
    overlays: tuple[bytes, ...] = ()


def write(container: Container) -> bytes:
    """The bytes of a version 1 file.

    ContainerError where the number of tiles or overlays is not the header's, LimitError where a
    part is too long or there are too many tiles.
    """
    header = container.header
    header.check_tiles()
    if len(container.tiles) != header.tiling.count:
        raise ContainerError(f"{len(container.tiles)} tiles where there are {header.tiling.count}")
    if len(container.overlays) not in (0, header.tiling.count):
        raise ContainerError(f"{len(container.overlays)} overlays for {header.tiling.count} tiles")
    sections: dict[str, bytes] = {}
    for name in SECTIONS:
        section: bytes | None = getattr(container, name)
        if section is not None:
            sections[name] = deflate(section, name) if name in _COMPRESSED else section
    parts = [*container.tiles, *container.overlays, *sections.values()]
    front = write_front(header, list(sections), parts, overlays=bool(container.overlays))
    body = b"".join((front, *parts))
    return body + crc32(body)


class Source:
    """The parts of a file, each read and checked when it is asked for, by any number of threads.

    Args:
        file: seekable, at its start.
        max_pixels: refuse larger pictures; None is no limit.

    Attributes:
        layout: what stands in the front of the file.

    Raises:
        ContainerError: as :func:`read_header` does.
    """

    def __init__(self, file: BinaryIO, *, max_pixels: int | None = None) -> None:
        self.layout = load_header(file, max_pixels=max_pixels)
        self._file = file
        self._reading = threading.Lock()  # a file has one position

    @classmethod
    def of(cls, data: bytes, *, max_pixels: int | None = None) -> Source:
        """From the bytes of a file."""
        return cls(io.BytesIO(data), max_pixels=max_pixels)

    @property
    def header(self) -> Header:
        """The header's fields."""
        return self.layout.header

    def tile(self, index: int) -> bytes:
        """A tile's payload; TruncatedError or ChecksumError."""
        return self._part(f"tile {index}", self.layout.tiles[index])

    def overlay(self, index: int) -> bytes:
        """A tile's overlay, b"" where it has none; TruncatedError or ChecksumError."""
        spans = self.layout.overlays
        return self._part(f"overlay {index}", spans[index]) if spans else b""

    def has_overlay(self, index: int) -> bool:
        """Whether a tile has an overlay."""
        return bool(self.layout.overlays) and self.layout.overlays[index].length > 0

    def has_payload(self, index: int) -> bool:
        """Whether a tile has latents: an overlay that covers it may do without."""
        return self.layout.tiles[index].length > 0 or not self.has_overlay(index)

    def section(self, name: str) -> bytes | None:
        """Section "alpha", "icc" or "exif"; None where there is none.

        Raises TruncatedError or ChecksumError, and for ICC and EXIF LimitError over 16 MiB.
        """
        span: Span | None = getattr(self.layout, name)
        return None if span is None else self._part(name, span)

    def check(self) -> None:
        """Every length and checksum of the whole file must be right.

        TruncatedError where the file is too short, ContainerError where it is too long,
        ChecksumError, and LimitError for an ICC profile or EXIF block of more than 16 MiB.
        """
        size, wanted = self._file.seek(0, os.SEEK_END), self.layout.file_size
        if size < wanted:
            raise TruncatedError(f"the file has {size} bytes of {wanted}")
        if size > wanted:
            raise ContainerError(f"{size - wanted} bytes after the end of the file")
        for name, span in self.layout.spans():
            self._part(name, span)
        if not self._ends_well():
            raise ChecksumError("the file is damaged: its checksum does not match")

    def damaged(self) -> list[str]:
        """Names of the parts that are not whole, in file order.

        "tile 0", ..., "overlay 0", ..., "alpha", "icc", "exif". Where every part is whole, but
        the end of the file is not as it should be, the list is ["end of file"]. A part is whole
        if its own CRC-32 matches.
        """
        names = [name for name, span in self.layout.spans() if not self._is_whole(name, span)]
        return names if names or self._ends_well() else ["end of file"]

    def _part(self, name: str, span: Span) -> bytes:
        with self._reading:
            # A wrong length in the table must not make us allocate that much.
            if span.offset + span.length > self._file.seek(0, os.SEEK_END):
                raise TruncatedError(f"the file ends before the end of {name}")
            self._file.seek(span.offset)
            part = checked(self._file.read(span.length), name, span)
        return inflate(part, name) if name in _COMPRESSED else part

    def _is_whole(self, name: str, span: Span) -> bool:
        try:
            self._part(name, span)
        except ContainerError:
            return False
        return True

    def _ends_well(self) -> bool:
        """Whether the last bytes are the checksum of all before them."""
        with self._reading:
            self._file.seek(0)
            value, left = 0, self.layout.file_size - CRC_BYTES
            while left and (chunk := self._file.read(min(left, _CHUNK))):
                value, left = zlib.crc32(chunk, value), left - len(chunk)
            return self._file.read(CRC_BYTES + 1) == value.to_bytes(CRC_BYTES, "little")


def read(data: bytes, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Container:
    """Read a whole file, strictly; raises what :class:`Source` and its ``check`` do."""
    source = Source.of(data, max_pixels=max_pixels)
    source.check()
    return Container(
        source.header,
        tuple(source.tile(index) for index in range(len(source.layout.tiles))),
        overlays=tuple(source.overlay(index) for index in range(len(source.layout.overlays))),
        **{name: source.section(name) for name in SECTIONS},
    )
