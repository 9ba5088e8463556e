"""Boxes of AVIF, HEIF (ISO 14496-12, 23008-12) and JP2 files: what is said of colours and bits."""

from __future__ import annotations

import struct
from collections.abc import Iterator

__all__ = ["bits", "jp2_bits", "jp2_colours", "nclx"]

_Box = tuple[bytes, bytes]
_MOST = 4096
_JP2_START = b"\xff\x4f\xff\x51"  # of the codestream: SOC, SIZ


def nclx(data: bytes) -> tuple[int, int] | None:
    """Primaries and transfer, as numbers of H.273, of an AVIF or HEIF file's main picture."""
    marks = _marks(data)
    if marks is None:
        return _first_mark(data)
    for name, body in marks:
        if name == b"colr" and body[:4] == b"nclx" and len(body) >= 8:
            return struct.unpack_from(">HH", body, 4)
    return None


def bits(data: bytes) -> int:
    """Bits a channel of an AVIF or HEIF file's main picture; 8 where it does not say."""
    for name, body in _marks(data) or ():
        if name == b"pixi" and len(body) > 5:
            return max(body[5:])
        if name == b"av1C" and len(body) > 3 and body[2] & 0x40:
            return 12 if body[2] & 0x20 else 10
    return 8


def jp2_bits(data: bytes) -> int:
    """Bits a channel of a JPEG 2000 file or codestream; 8 where it does not say."""
    at = data.find(_JP2_START)
    return 8 if at < 0 or at + 43 > len(data) else (data[at + 42] & 0x7F) + 1


def _marks(data: bytes) -> list[_Box] | None:
    """The properties of the main picture; None where they stand elsewhere."""
    try:
        meta = dict(_boxes(data)).get(b"meta", b"")
        inside = dict(_boxes(meta[4:]))
        properties = dict(_boxes(inside.get(b"iprp", b"")))
        of_main = _properties_of(_main_item(inside[b"pitm"]), properties[b"ipma"])
        listed = list(_boxes(properties[b"ipco"]))
        return [listed[i - 1] for i in of_main if 0 < i <= len(listed)]
    except (KeyError, IndexError, struct.error):
        return None


def _first_mark(data: bytes) -> tuple[int, int] | None:
    """For sequences, which have their properties elsewhere: the first mark that there is."""
    at = data.find(b"colrnclx")
    return None if at < 0 or at + 12 > len(data) else struct.unpack_from(">HH", data, at + 8)


def jp2_colours(data: bytes) -> tuple[bytes | None, int | None]:
    """The ICC profile and the number of the colour space of a JP2 file, where it has them."""
    profile, number = None, None
    try:
        header = dict(_boxes(data)).get(b"jp2h", b"")
        for name, body in _boxes(header):
            if name == b"colr" and body[:1] in (b"\2", b"\3"):
                profile = profile or body[3:]
            elif name == b"colr" and body[:1] == b"\1" and number is None:
                (number,) = struct.unpack_from(">I", body, 3)
    except struct.error:
        pass
    return profile, number


def _boxes(data: bytes) -> Iterator[_Box]:
    """Name and content of each box; an unfinished one is left out."""
    at = 0
    for _ in range(_MOST):
        if at + 8 > len(data):
            return
        size, name = struct.unpack_from(">I4s", data, at)
        head = 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, at + 8)
            head = 16
        end = at + size if size else len(data)
        if end < at + head or end > len(data):
            return
        yield name, b"" if name == b"mdat" else data[at + head : end]
        at = end


def _main_item(pitm: bytes) -> int:
    (number,) = struct.unpack_from(">H" if pitm[:1] == b"\0" else ">I", pitm, 4)
    return int(number)


def _properties_of(item: int, ipma: bytes) -> list[int]:
    """Which properties an item has, counted from 1."""
    version, wide = ipma[0], ipma[3] & 1
    (entries,) = struct.unpack_from(">I", ipma, 4)
    at = 8
    for _ in range(entries):
        (number,) = struct.unpack_from(">I" if version else ">H", ipma, at)
        at += 4 if version else 2
        (count,) = struct.unpack_from("B", ipma, at)
        at += 1
        code, size = (">H", 2) if wide else ("B", 1)
        if number == item:
            top = 0x7FFF if wide else 0x7F
            return [struct.unpack_from(code, ipma, at + i * size)[0] & top for i in range(count)]
        at += count * size
    return []
