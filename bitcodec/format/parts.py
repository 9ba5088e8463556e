"""The parts of a file after its header: tile payloads and sections, checked and (de)compressed."""

from __future__ import annotations

import zlib
from typing import NamedTuple

from bitcodec.errors import ChecksumError, ContainerError, LimitError, TruncatedError

__all__ = ["CRC_BYTES", "MAX_SECTION_BYTES", "Span", "checked", "crc32", "deflate", "inflate"]

CRC_BYTES = 4
MAX_SECTION_BYTES = 2**24
"""Largest ICC profile or EXIF block, uncompressed: 16 MiB."""


class Span(NamedTuple):
    """Where a payload or section lies: bytes from the start of the file, and their CRC-32."""

    offset: int
    length: int
    crc32: int


def checked(part: bytes, name: str, span: Span) -> bytes:
    """``part``, if it has the length and CRC-32 of ``span``; TruncatedError or ChecksumError."""
    if len(part) < span.length:
        raise TruncatedError(f"the file ends before the end of {name}")
    if zlib.crc32(part) != span.crc32:
        raise ChecksumError(f"{name} is damaged: its checksum does not match")
    return part


def crc32(data: bytes | bytearray | memoryview) -> bytes:
    """The CRC-32 (as in zlib and PNG) of ``data``, as the four bytes that the file has."""
    return zlib.crc32(data).to_bytes(CRC_BYTES, "little")


def deflate(section: bytes, name: str) -> bytes:
    """Compress a section to a zlib stream; LimitError over 16 MiB."""
    if len(section) > MAX_SECTION_BYTES:
        raise LimitError(f"{name} of {len(section)} bytes is longer than {MAX_SECTION_BYTES}")
    return zlib.compress(section, 9)


def inflate(data: bytes, name: str) -> bytes:
    """Inflate one whole zlib stream, never making more than 16 MiB and one byte.

    LimitError beyond that, ContainerError where the stream is bad, cut or followed by bytes.
    """
    stream = zlib.decompressobj()
    try:
        section = stream.decompress(data, MAX_SECTION_BYTES + 1)
    except zlib.error:
        raise ContainerError(f"{name} is not one whole zlib stream") from None
    if len(section) > MAX_SECTION_BYTES:
        raise LimitError(f"{name} is longer than {MAX_SECTION_BYTES} bytes")
    if not stream.eof or stream.unused_data:
        raise ContainerError(f"{name} is not one whole zlib stream")
    return section
