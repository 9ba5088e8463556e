"""The header's fields, and what each may hold.

FORMAT.md says the same in words. One table drives writing, reading and checking, so that the three
cannot disagree.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import NamedTuple

from bitcodec.errors import ContainerError, LimitError, UnsupportedVersionError
from bitcodec.format.tiling import STRIDE, Tiling
from bitcodec.format.varint import Cursor, varint

__all__ = ["MAX_SIZE", "MAX_TILES", "MODEL_ID_BYTES", "Coder", "Header"]

MAX_SIZE = 2**31 - 1
"""Largest width, height and length of a payload or section."""
MAX_TILES = 2**20
"""Most tiles in a file: it bounds what a hostile table can make a reader allocate."""
MODEL_ID_BYTES = 8


class Coder(enum.IntEnum):
    """How the latent bits of a tile became its payload."""

    PACKED = 0
    RANGED = 1


class _Field(NamedTuple):
    name: str
    width: int  # bytes; 0 is a varint
    low: int
    high: int
    unit: int = 1  # the header attribute is the stored number times this

    def check(self, value: int) -> None:
        if not self.low * self.unit <= value <= self.high * self.unit or value % self.unit:
            unit = f" and a multiple of {self.unit}" if self.unit > 1 else ""
            low, high = self.low * self.unit, self.high * self.unit
            raise ContainerError(f"{self.name} {value} is not in {low}..{high}{unit}")


_VARINT = 0
# In the order of the file; the eight bytes of the model id come before them.
_FIELDS = (
    _Field("width", _VARINT, 1, MAX_SIZE),
    _Field("height", _VARINT, 1, MAX_SIZE),
    _Field("rate", _VARINT, 1, 65535),
    _Field("coder", 1, 0, 255),
    _Field("tile", _VARINT, 1, 4096, STRIDE),
)


@dataclass(frozen=True)
class Header:
    """What the decoder must know before it touches a payload.

    Attributes:
        model_id: 8 bytes, the first of the SHA-256 of the weights file's content.
        width: pixels, 1..2**31-1.
        height: pixels, 1..2**31-1.
        rate: 1..65535; its meaning is the model family's (sign: channels; ladder: step code).
        coder: how payloads are coded.
        tile: edge of a tile in pixels, a multiple of 16 in 16..65536.
        grey: decode to one channel.
        mapped: each payload begins with a map of steps; ranged ones only.

    ContainerError where a value is out of its range.
    """

    model_id: bytes
    width: int
    height: int
    rate: int
    coder: Coder
    tile: int
    grey: bool = False
    mapped: bool = False

    def __post_init__(self) -> None:
        """Check every field against the table."""
        if len(self.model_id) != MODEL_ID_BYTES:
            raise ContainerError(f"a model id has {MODEL_ID_BYTES} bytes, not {len(self.model_id)}")
        for field in _FIELDS:
            field.check(getattr(self, field.name))
        if self.mapped and self.coder is not Coder.RANGED:
            raise ContainerError(f"{self.coder.name.lower()} payloads have no step maps")

    @property
    def tiling(self) -> Tiling:
        """How the picture is cut into tiles."""
        return Tiling(self.width, self.height, self.tile)

    def check_tiles(self) -> None:
        """LimitError where there are more tiles than the format allows."""
        if self.tiling.count > MAX_TILES:
            raise LimitError(f"{self.tiling.count} tiles are more than {MAX_TILES}")

    def to_bytes(self) -> bytes:
        """The model id and the fields, as the file has them."""
        out = [self.model_id]
        for field in _FIELDS:
            value = int(getattr(self, field.name)) // field.unit
            out.append(value.to_bytes(field.width, "little") if field.width else varint(value))
        return b"".join(out)

    @classmethod
    def parse(cls, cursor: Cursor, *, grey: bool, mapped: bool = False) -> Header:
        """Read what :meth:`to_bytes` wrote.

        TruncatedError, UnsupportedVersionError for an unknown coder, ContainerError for a value
        that is out of its range.
        """
        model_id = cursor.take(MODEL_ID_BYTES)
        values: dict[str, int] = {}
        for field in _FIELDS:
            stored = cursor.unsigned(field.width) if field.width else cursor.varint()
            values[field.name] = stored * field.unit
        number = values.pop("coder")
        try:
            coder = Coder(number)
        except ValueError:
            raise UnsupportedVersionError(f"unknown payload coder {number}") from None
        return cls(model_id=model_id, coder=coder, grey=grey, mapped=mapped, **values)
