"""PNG files chunk by chunk: what Pillow does not read, and damage that costs no pixels.

Pillow refuses a whole picture for a long text or profile, and for a wrong checksum of a chunk that
nobody needs.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator

from bitcodec.errors import ImageError

__all__ = ["SIGNATURE", "cicp", "tidy"]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Chunks whose damage is damage to the picture.
_PIXELS = {b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS"}
# Those of an animation: without them the first frame is the picture.
_ANIMATION = {b"acTL", b"fcTL", b"fdAT"}
_LENGTHS = {b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"pHYs": 9, b"cICP": 4}
_TEXT = {b"tEXt", b"zTXt", b"iTXt"}
_LONGEST_TEXT = 2**20
_LONGEST_PROFILE = 2**24  # of our own files
_ALL_TEXT = 2**25
_NAME = re.compile(rb"[A-Za-z]{4}")


def tidy(data: bytes) -> tuple[bytes, bytes | None, tuple[str, ...]]:
    """A PNG file that Pillow opens if its pixels are whole; its ICC profile; and notes.

    Long texts, damaged chunks without pixels and other frames are left out, with a note. So is
    the profile, which Pillow would refuse from 1 MiB on: it is read here, up to 16 MiB.
    """
    out, notes, texts, at = [SIGNATURE], list[str](), 0, len(SIGNATURE)
    profile, profiles = None, 0
    for name, start, body, at in _chunks(data):
        wrong = None
        if name not in _PIXELS and zlib.crc32(name + body) != _checksum(data, at):
            wrong = "wrong checksum"
        elif name in _LENGTHS and len(body) != _LENGTHS[name]:
            wrong = "wrong length"
        elif name in _ANIMATION:
            if name == b"acTL" and body[:4] > b"\0\0\0\1":
                notes.append("other frames dropped")
            continue
        elif name in _TEXT:
            length = _unpacked(name, body) if texts < _ALL_TEXT else _LONGEST_TEXT
            texts += length
            wrong = "too long" if length >= _LONGEST_TEXT or texts >= _ALL_TEXT else None
        elif name == b"iCCP" and not profiles:
            profile, profiles = _profile(body), 1
            wrong = None if profile else "damaged or too long"
        if wrong:
            notes.append(f"PNG chunk {name.decode()} dropped: {wrong}")
        elif name != b"iCCP":
            out.append(data[start:at])
    out.append(data[at:])
    return b"".join(out), profile, tuple(dict.fromkeys(notes))


def cicp(data: bytes) -> tuple[int, int] | None:
    """Primaries and transfer, as numbers of H.273, of a cICP chunk.

    ImageError where black and white are not 0 and 255.
    """
    for name, _, body, _ in _chunks(data):
        if name == b"cICP" and len(body) == 4:
            if body[3] == 0:
                raise ImageError("a PNG of video range is not supported: convert it first")
            return body[0], body[1]
    return None


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, bytes, int]]:
    """Name, start, body and end of each whole chunk; stops where the file makes no sense."""
    at = len(SIGNATURE)
    while at + 12 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if end > len(data) or not _NAME.fullmatch(name):
            return
        yield name, at, b"" if name == b"IDAT" else data[at + 8 : end - 4], end
        at = end


def _checksum(data: bytes, end: int) -> int:
    return int.from_bytes(data[end - 4 : end], "big")


def _inflated(packed: bytes, most: int) -> bytes | None:
    """A zlib stream as far as ``most`` bytes and one; None where it is damaged."""
    try:
        return zlib.decompressobj().decompress(packed, most + 1)
    except zlib.error:
        return None


def _profile(body: bytes) -> bytes | None:
    _, _, packed = body.partition(b"\0")
    profile = _inflated(packed[1:], _LONGEST_PROFILE) if packed[:1] == b"\0" else None
    return None if profile is None or len(profile) > _LONGEST_PROFILE else profile


def _unpacked(name: bytes, body: bytes) -> int:
    """How long a text is, or at least the limit where it is longer."""
    _, _, rest = body.partition(b"\0")
    packed = rest[1:]
    if name == b"tEXt" or (name == b"iTXt" and rest[:1] != b"\1"):
        return min(len(body), _LONGEST_TEXT)
    if name == b"iTXt":
        packed = rest[2:].split(b"\0", 2)[-1]
    return min(len(_inflated(packed, _LONGEST_TEXT) or b""), _LONGEST_TEXT)
