"""The front of a ``.bin`` file, version 1: what it is, and where everything else lies.

FORMAT.md specifies it field by field::

    magic, version, flags, header fields    see bitcodec/format/header.py
    table: length, CRC-32                   of every tile, of every overlay if there are any,
                                            then of alpha, ICC, EXIF if present
    CRC-32 of all the above
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
from bitcodec.format.header import MAX_SIZE, Header
from bitcodec.format.limits import check_pixels
from bitcodec.format.parts import CRC_BYTES, Span, crc32
from bitcodec.format.varint import Cursor, varint

__all__ = ["MAGIC", "SECTIONS", "VERSION", "Layout", "load_header", "read_header", "write_front"]

MAGIC = b"\x89BTC"
VERSION = 1
SECTIONS = {"alpha": 1, "icc": 2, "exif": 4}  #: flag of each, in the order of the file
_GREY = 8
_OVERLAYS = 16
_MAPS = 32
_KNOWN_FLAGS = 63
_ENTRY_MIN_BYTES = 1 + CRC_BYTES
_FRONT_BYTES = 4096


@dataclass(frozen=True)
class Layout:
    """The header and where everything else lies; made from the front of a file alone.

    ``overlays`` is one for each tile, of length 0 where the tile has none; or nothing at all.

    ``header_size`` and ``file_size`` are in bytes; ``file_size`` is what the whole file must have.
    """

    header: Header
    tiles: tuple[Span, ...]
    overlays: tuple[Span, ...]
    alpha: Span | None
    icc: Span | None
    exif: Span | None
    header_size: int
    file_size: int

    @property
    def is_bare(self) -> bool:
        """Whether no tile has latents, so that no network is needed: all have just an overlay."""
        pairs = zip(self.tiles, self.overlays, strict=False)
        return bool(self.overlays) and all(o.length and not tile.length for tile, o in pairs)

    def spans(self) -> Iterator[tuple[str, Span]]:
        """Every part with its name ("tile 0", ..., "overlay 0", ..., "alpha", ...), in order."""
        for name, spans in (("tile", self.tiles), ("overlay", self.overlays)):
            for index, span in enumerate(spans):
                yield f"{name} {index}", span
        for name in SECTIONS:
            section: Span | None = getattr(self, name)
            if section is not None:
                yield name, section


def write_front(
    header: Header, sections: Sequence[str], parts: Sequence[bytes], *, overlays: bool = False
) -> bytes:
    """Everything before the first payload.

    Args:
        header: of the file.
        sections: names of those that it has.
        parts: the tiles' payloads, the overlays, the sections; LimitError where one is too long.
        overlays: whether there are any.
    """
    flags = sum(SECTIONS[name] for name in sections)
    flags |= _GREY * header.grey | _OVERLAYS * overlays | _MAPS * header.mapped
    front = bytearray(MAGIC)
    front += bytes((VERSION, flags)) + header.to_bytes()
    for part in parts:
        if len(part) > MAX_SIZE:
            raise LimitError(f"a part of {len(part)} bytes is longer than {MAX_SIZE}")
        front += varint(len(part)) + crc32(part)
    return bytes(front + crc32(front))


def read_header(data: bytes, *, max_pixels: int | None = None) -> Layout:
    """Read and check the header and its table; ``data`` may be just the front of a file.

    NotBitcodecError, TruncatedError (more of the front is needed), UnsupportedVersionError,
    LimitError (more than ``max_pixels`` pixels; None is no limit), ChecksumError, or
    ContainerError for a value out of range.
    """
    cursor = Cursor(data)
    flags = _parse_start(cursor)
    header = Header.parse(cursor, grey=bool(flags & _GREY), mapped=bool(flags & _MAPS))
    check_pixels(header, max_pixels)
    header.check_tiles()
    names = [name for name, flag in SECTIONS.items() if flags & flag]
    tiles = header.tiling.count
    layers = 2 if flags & _OVERLAYS else 1
    entries = _parse_table(cursor, layers * tiles + len(names))
    checked = cursor.position
    if cursor.take(CRC_BYTES) != crc32(memoryview(data)[:checked]):
        raise ChecksumError("the header is damaged: its checksum does not match")
    return _lay_out(header, layers, names, entries, cursor.position)


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
    header: Header,
    layers: int,
    names: list[str],
    entries: list[tuple[int, int]],
    header_size: int,
) -> Layout:
    """Turn lengths into offsets: parts follow each other without gaps."""
    spans = []
    offset = header_size
    for length, checksum in entries:
        spans.append(Span(offset, length, checksum))
        offset += length
    count = header.tiling.count
    sections = dict(zip(names, spans[layers * count :], strict=True))
    return Layout(
        header=header,
        tiles=tuple(spans[:count]),
        overlays=tuple(spans[count : layers * count]),
        alpha=sections.get("alpha"),
        icc=sections.get("icc"),
        exif=sections.get("exif"),
        header_size=header_size,
        file_size=offset + CRC_BYTES,
    )
