"""Little-endian integers: fixed width, and LEB128 varints of at most five bytes.

A varint holds seven bits a byte, low bits first; every byte but the last has its top bit set.
Only the shortest form is legal, so every number has one spelling. Example: 300 is ``ac 02``.
"""

from __future__ import annotations

from bitcodec.errors import ContainerError, TruncatedError

__all__ = ["MAX_VARINT_BYTES", "Cursor", "varint"]

MAX_VARINT_BYTES = 5


def varint(value: int) -> bytes:
    """The bytes of ``value``, 0..2**35-1; ValueError beyond."""
    if not 0 <= value < 1 << 7 * MAX_VARINT_BYTES:
        raise ValueError(f"{value} does not fit a varint")
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


class Cursor:
    """Reads numbers off the front of ``data``; TruncatedError where the data end."""

    def __init__(self, data: bytes) -> None:
        """Start at the first byte of ``data``."""
        self.data = data
        self.position = 0

    @property
    def remaining(self) -> int:
        """Bytes that have not been read."""
        return len(self.data) - self.position

    def take(self, count: int) -> bytes:
        """The next ``count`` bytes."""
        if count > self.remaining:
            raise TruncatedError("the file ends inside its header")
        start = self.position
        self.position += count
        return self.data[start : self.position]

    def unsigned(self, width: int) -> int:
        """The next ``width`` bytes as a little-endian number."""
        return int.from_bytes(self.take(width), "little")

    def varint(self) -> int:
        """The next varint, 0..2**35-1; ContainerError where it is too long or not the shortest."""
        value = 0
        for index in range(MAX_VARINT_BYTES):
            byte = self.unsigned(1)
            value |= (byte & 0x7F) << 7 * index
            if byte < 0x80:
                if index and not byte:
                    raise ContainerError("a number in the header is not in its shortest form")
                return value
        raise ContainerError("a number in the header is too long")
