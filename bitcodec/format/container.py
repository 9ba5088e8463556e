"""The ``.bin`` file, version 1: bytes <-> :class:`Container`.

This is the one place that knows the layout; FORMAT.md specifies it field by field::

    magic, version, flags, header fields    see bitcodec/format/header.py
    table: length, CRC-32                   of every tile, then of alpha, ICC, EXIF if present
    CRC-32 of all the above
    the tiles' payloads, then the sections
    CRC-32 of all the above

Everything is checked before it is used or allocated. Whatever the bytes, the readers raise
ContainerError and its subclasses and nothing else.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from bitcodec.errors import (
    ChecksumError,
    ContainerError,
    LimitError,
    NotBitcodecError,
    TruncatedError,
    UnsupportedVersionError,
)
from bitcodec.format.header import MAX_SIZE, Coder, Header
from bitcodec.format.parts import (
    CRC_BYTES,
    MAX_SECTION_BYTES,
    Span,
    checked,
    crc32,
    deflate,
    inflate,
)
from bitcodec.format.varint import Cursor, varint

__all__ = [
    "DEFAULT_MAX_PIXELS",
    "MAGIC",
    "MAX_SECTION_BYTES",
    "VERSION",
    "Coder",
    "Container",
    "Header",
    "Layout",
    "PartialContainer",
    "Span",
    "load_header",
    "load_section",
    "load_span",
    "read",
    "read_header",
    "read_partial",
    "write",
]

MAGIC = b"\x89BTC"
VERSION = 1
DEFAULT_MAX_PIXELS = 2**28
# (name, flag, stored as a zlib stream), in the order of the file.
_SECTIONS = (("alpha", 1, False), ("icc", 2, True), ("exif", 4, True))
_COMPRESSED = {name for name, _, compressed in _SECTIONS if compressed}
_GREY = 8
_KNOWN_FLAGS = 15
_ENTRY_MIN_BYTES = 1 + CRC_BYTES
_FRONT_BYTES = 4096


@dataclass(frozen=True)
class Container:
    """A whole file: header, one payload a tile in raster order, and the optional sections.

    ``alpha`` is an 8-bit greyscale PNG file; ``icc`` and ``exif`` are raw (the file has them
    compressed), at most 16 MiB each. EXIF is the TIFF structure, without ``Exif\\0\\0`` before it.
    """

    header: Header
    tiles: tuple[bytes, ...]
    alpha: bytes | None = None
    icc: bytes | None = None
    exif: bytes | None = None


@dataclass(frozen=True)
class PartialContainer:
    """What could be saved of a damaged file: as :class:`Container`, None for what is lost."""

    header: Header
    tiles: tuple[bytes | None, ...]
    alpha: bytes | None = None
    icc: bytes | None = None
    exif: bytes | None = None


@dataclass(frozen=True)
class Layout:
    """The header and where everything else lies; made from the front of a file alone.

    ``header_size`` and ``file_size`` are in bytes; ``file_size`` is what the whole file must have.
    """

    header: Header
    tiles: tuple[Span, ...]
    alpha: Span | None
    icc: Span | None
    exif: Span | None
    header_size: int
    file_size: int

    def spans(self) -> Iterator[tuple[str, Span]]:
        """Every part with its name ("tile 0", ..., "alpha", "icc", "exif"), in file order."""
        for index, span in enumerate(self.tiles):
            yield f"tile {index}", span
        for name, _, _ in _SECTIONS:
            section: Span | None = getattr(self, name)
            if section is not None:
                yield name, section


def write(container: Container) -> bytes:
    """The bytes of a version 1 file.

    ContainerError where the number of tiles is not the header's, LimitError where a part is too
    long or there are too many tiles.
    """
    header = container.header
    header.check_tiles()
    if len(container.tiles) != header.tile_count:
        raise ContainerError(f"{len(container.tiles)} tiles where there are {header.tile_count}")
    flags = _GREY if header.grey else 0
    parts = list(container.tiles)
    for name, flag, compressed in _SECTIONS:
        section: bytes | None = getattr(container, name)
        if section is not None:
            flags |= flag
            parts.append(deflate(section, name) if compressed else section)
    front = bytearray(MAGIC)
    front += bytes((VERSION, flags)) + header.to_bytes()
    for part in parts:
        if len(part) > MAX_SIZE:
            raise LimitError(f"a part of {len(part)} bytes is longer than {MAX_SIZE}")
        front += varint(len(part)) + crc32(part)
    front += crc32(front)
    body = b"".join((bytes(front), *parts))
    return body + crc32(body)


def read_header(data: bytes, *, max_pixels: int | None = None) -> Layout:
    """Read and check the header and its table; ``data`` may be just the front of a file.

    NotBitcodecError, TruncatedError (more of the front is needed), UnsupportedVersionError,
    LimitError (more than ``max_pixels`` pixels; None is no limit), ChecksumError, or
    ContainerError for a value out of range.
    """
    cursor = Cursor(data)
    flags = _parse_start(cursor)
    header = Header.parse(cursor, grey=bool(flags & _GREY))
    pixels = header.width * header.height
    if max_pixels is not None and pixels > max_pixels:
        raise LimitError(
            f"{header.width}x{header.height} pixels are more than {max_pixels} (see --max-pixels)"
        )
    header.check_tiles()
    names = [name for name, flag, _ in _SECTIONS if flags & flag]
    entries = _parse_table(cursor, header.tile_count + len(names))
    checked = cursor.position
    if cursor.take(CRC_BYTES) != crc32(memoryview(data)[:checked]):
        raise ChecksumError("the header is damaged: its checksum does not match")
    return _lay_out(header, names, entries, cursor.position)


def read(data: bytes, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Container:
    """Read a whole file, strictly: every length and checksum must be right.

    Raises what :func:`read_header` does; TruncatedError where the file is too short,
    ContainerError where it is too long, ChecksumError, and LimitError for an ICC profile or EXIF
    block of more than 16 MiB.
    """
    layout = read_header(data, max_pixels=max_pixels)
    if len(data) < layout.file_size:
        raise TruncatedError(f"the file has {len(data)} bytes of {layout.file_size}")
    if len(data) > layout.file_size:
        raise ContainerError(f"{len(data) - layout.file_size} bytes after the end of the file")
    parts = {name: _part(data, name, span) for name, span in layout.spans()}
    if not _trailer_is_right(data, layout):
        raise ChecksumError("the file is damaged: its checksum does not match")
    return Container(
        header=layout.header,
        tiles=tuple(parts[f"tile {index}"] for index in range(len(layout.tiles))),
        alpha=parts.get("alpha"),
        icc=parts.get("icc"),
        exif=parts.get("exif"),
    )


def read_partial(
    data: bytes, *, max_pixels: int = DEFAULT_MAX_PIXELS
) -> tuple[PartialContainer, list[str]]:
    """Read what is undamaged of a file whose header is; damage after the header never raises.

    Returns what was read, with None for damaged tiles and sections, and the names of the damaged
    parts in file order: "tile 0", ..., "alpha", "icc", "exif". Where every part is whole, but the
    end of the file is not as it should be, the list is ["end of file"]. A part is trusted if its
    own CRC-32 matches. Raises what :func:`read_header` does.
    """
    layout = read_header(data, max_pixels=max_pixels)
    parts = {name: _part_or_none(data, name, span) for name, span in layout.spans()}
    damaged = [name for name, part in parts.items() if part is None]
    if not damaged and not _trailer_is_right(data, layout):
        damaged.append("end of file")
    partial = PartialContainer(
        header=layout.header,
        tiles=tuple(parts[f"tile {index}"] for index in range(len(layout.tiles))),
        alpha=parts.get("alpha"),
        icc=parts.get("icc"),
        exif=parts.get("exif"),
    )
    return partial, damaged


def load_header(file: BinaryIO, *, max_pixels: int | None = None) -> Layout:
    """:func:`read_header` from the start of an open binary file, reading no more than it needs."""
    front = b""
    while True:
        more = file.read(max(_FRONT_BYTES, len(front)))
        front += more
        try:
            return read_header(front, max_pixels=max_pixels)
        except TruncatedError:
            if not more:
                raise


def load_span(file: BinaryIO, span: Span, name: str) -> bytes:
    """Read one tile's payload from a seekable file; TruncatedError or ChecksumError.

    ``name`` is what the error calls the part.
    """
    # A table that lies about a length must not make us allocate it.
    if span.offset + span.length > file.seek(0, os.SEEK_END):
        raise TruncatedError(f"the file ends before the end of {name}")
    file.seek(span.offset)
    return checked(file.read(span.length), name, span)


def load_section(file: BinaryIO, layout: Layout, name: str) -> bytes | None:
    """Read section "alpha", "icc" or "exif" from a seekable file, None where there is none.

    Raises what :func:`load_span` does, and for ICC and EXIF LimitError over 16 MiB.
    """
    span: Span | None = getattr(layout, name)
    if span is None:
        return None
    data = load_span(file, span, name)
    return inflate(data, name) if name in _COMPRESSED else data


def _parse_start(cursor: Cursor) -> int:
    """Magic, version and flags; returns the flags."""
    start = cursor.data[: len(MAGIC)]
    if start != MAGIC[: len(start)]:
        raise NotBitcodecError("not a bitcodec file")
    cursor.take(len(MAGIC))
    version = cursor.unsigned(1)
    if version != VERSION:
        raise UnsupportedVersionError(f"format version {version} (this program reads {VERSION})")
    flags = cursor.unsigned(1)
    if flags & ~_KNOWN_FLAGS:
        raise UnsupportedVersionError(f"unknown flags {flags & ~_KNOWN_FLAGS:#04x}")
    return flags


def _parse_table(cursor: Cursor, count: int) -> list[tuple[int, int]]:
    """(length, CRC-32) of each part."""
    if cursor.remaining < count * _ENTRY_MIN_BYTES:
        raise TruncatedError(f"the file ends inside its table of {count} parts")
    entries = []
    for _ in range(count):
        length = cursor.varint()
        if length > MAX_SIZE:
            raise ContainerError(f"a part of {length} bytes is longer than {MAX_SIZE}")
        entries.append((length, cursor.unsigned(CRC_BYTES)))
    return entries


def _lay_out(
    header: Header, names: list[str], entries: list[tuple[int, int]], header_size: int
) -> Layout:
    """Turn lengths into offsets: parts follow each other without gaps."""
    spans = []
    offset = header_size
    for length, checksum in entries:
        spans.append(Span(offset, length, checksum))
        offset += length
    sections = dict(zip(names, spans[header.tile_count :], strict=True))
    return Layout(
        header=header,
        tiles=tuple(spans[: header.tile_count]),
        alpha=sections.get("alpha"),
        icc=sections.get("icc"),
        exif=sections.get("exif"),
        header_size=header_size,
        file_size=offset + CRC_BYTES,
    )


def _part(data: bytes, name: str, span: Span) -> bytes:
    """One part out of the whole file, checked, and inflated where it is stored compressed."""
    part = checked(data[span.offset : span.offset + span.length], name, span)
    return inflate(part, name) if name in _COMPRESSED else part


def _part_or_none(data: bytes, name: str, span: Span) -> bytes | None:
    try:
        return _part(data, name, span)
    except ContainerError:
        return None


def _trailer_is_right(data: bytes, layout: Layout) -> bool:
    end = layout.file_size - CRC_BYTES
    return data[end:] == crc32(memoryview(data)[:end])
