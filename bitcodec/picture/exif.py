"""The TIFF structure that EXIF is: tags read and changed, all others left byte for byte.

Pillow's own parser gives up on a whole block for one odd tag, and writes only ASCII.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

__all__ = [
    "DESCRIPTIVE",
    "EXIF_IFD",
    "INTEROP_IFD",
    "ORIENTATION",
    "STRUCTURAL",
    "XMP",
    "Block",
    "Entry",
]

ORIENTATION, XMP = 274, 700
EXIF_IFD, GPS_IFD, INTEROP_IFD = 34665, 34853, 40965
_SUBFOLDERS = {EXIF_IFD, GPS_IFD, INTEROP_IFD}
#: What says something about a picture and nothing about how a file stores it.
DESCRIPTIVE = frozenset(
    {270, 271, 272, 282, 283, 296, 305, 306, 315, 316, 18246, 33432, 40091, 40092, 40093, 40094}
    | {40095, XMP, EXIF_IFD, GPS_IFD}
)
#: What says how a file stores its pixels.
STRUCTURAL = frozenset(
    {*range(254, 267), 273, 274, *range(277, 282), *range(284, 296), 301, *range(317, 348)}
    | {*range(512, 522), *range(529, 533), 34675}
)
# Bytes of a value, by type; and of the numbers in it, which the byte order turns around.
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_UNITS = {**_SIZES, 5: 4, 10: 4}
_CODES = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I"}
_ENTRY_BYTES = 12
_DEPTH = 3


@dataclass(frozen=True)
class Entry:
    """A tag of a folder (IFD).

    Attributes:
        kind: TIFF's type, 1..13; another where the file has one that nobody knows.
        count: values of that type.
        value: their bytes, in the block's byte order; for a sub-folder, its entries.
        raw: the 12 bytes of the entry in the block that it is from; empty for a new one.
    """

    kind: int
    count: int
    value: bytes | memoryview | Mapping[int, Entry]
    raw: bytes = b""

    @property
    def octets(self) -> bytes:
        """The value's bytes; none for a sub-folder."""
        return b"" if isinstance(self.value, Mapping) else bytes(self.value)

    def moved(self, *, swap: bool) -> Entry:
        """A new entry for another block; ``swap`` where that has the other byte order."""
        if isinstance(self.value, Mapping):
            below = {tag: entry.moved(swap=swap) for tag, entry in self.value.items()}
            return Entry(4, 1, below)
        value, unit = self.octets, _UNITS.get(self.kind, 1)
        if swap and unit > 1:
            value = b"".join(value[i : i + unit][::-1] for i in range(0, len(value), unit))
        return Entry(self.kind, self.count, value)


@dataclass(frozen=True)
class Block:
    """A TIFF structure and the entries of its first folder, with sub-folders.

    Attributes:
        data: the bytes.
        order: "<" or ">".
        entries: by tag; those that can be read.
        lost: how many cannot.
        start: where the first folder lies, and ``end`` where it ends.
        following: where the next folder lies (a thumbnail's), 0 for none.
    """

    data: bytes = b"II*\0\x08\0\0\0"
    order: str = "<"
    entries: Mapping[int, Entry] = field(default_factory=dict)
    lost: int = 0
    start: int = 8
    end: int = 8
    following: int = 0

    @staticmethod
    def parse(data: bytes) -> Block:
        """Read a block; what cannot be read is counted, ValueError where nothing can."""
        order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4])
        if order is None or len(data) < 8:
            raise ValueError("no TIFF structure")
        (start,) = struct.unpack_from(order + "I", data, 4)
        entries, lost, end = _folder(data, order, start, _DEPTH)
        if not entries and lost:
            raise ValueError("no tag can be read")
        following = struct.unpack_from(order + "I", data, end - 4)[0] if end <= len(data) else 0
        return Block(data, order, entries, lost, start, min(end, len(data)), following)

    def numbers(self, *path: int) -> tuple[int, ...]:
        """The whole numbers of a tag, or of one in a sub-folder: ``numbers(EXIF_IFD, 40961)``.

        () where it is not there, of another type, or a long list.
        """
        entry = self._find(path)
        if entry is None or entry.kind not in _CODES or entry.count > 16:
            return ()
        if isinstance(entry.value, Mapping):
            return ()
        return struct.unpack(f"{self.order}{entry.count}{_CODES[entry.kind]}", entry.value)

    def text(self, *path: int) -> bytes:
        """The bytes of a text without its closing 0; none where there is no text."""
        entry = self._find(path)
        return entry.octets.partition(b"\0")[0] if entry is not None and entry.kind == 2 else b""

    def _find(self, path: tuple[int, ...]) -> Entry | None:
        entries = self.entries
        for name in path[:-1]:
            entry = entries.get(name)
            if entry is None or not isinstance(entry.value, Mapping):
                return None
            entries = entry.value
        return entries.get(path[-1])

    def ratio(self, tag: int) -> float | None:
        """The value of an unsigned RATIONAL, None where there is none or it is 0 or infinite."""
        entry = self.entries.get(tag)
        if entry is None or entry.kind != 5 or entry.count < 1:
            return None
        above, below = struct.unpack_from(self.order + "II", entry.octets)
        return above / below if above and below else None

    def without(self, tags: Collection[int]) -> Block:
        """The block less some tags of its first folder; everything else stays where it is."""
        kept = {tag: entry for tag, entry in self.entries.items() if tag not in tags}
        data = self.data
        xmp = self.entries[XMP].octets if XMP in tags and XMP in self.entries else b""
        if len(xmp) > 4 and data.endswith(xmp):  # where `to_bytes` puts it
            data = data[: -len(xmp)]
        return Block(data, self.order, kept, self.lost, self.start, self.end, self.following)

    def with_entries(self, new: Mapping[int, Entry]) -> Block:
        """The block with more tags in its first folder, or others in place of its own."""
        entries = {**self.entries, **new}
        return Block(
            self.data, self.order, entries, self.lost, self.start, self.end, self.following
        )

    def to_bytes(self) -> bytes:
        """The block with its entries as they are now.

        The first folder stays in its place if it has no new tags. Otherwise it is written anew at
        the end, and behind it only an XMP packet. Nothing else moves: maker notes have offsets.
        """
        body = bytearray(self.data)
        body[self.start : self.end] = bytes(self.end - self.start)
        if self.end == len(body):
            del body[self.start :]
        fields = [entry.raw for _, entry in sorted(self.entries.items())]
        table = _table(self.order, fields, self.following)
        if all(fields) and len(table) <= self.end - self.start:
            body[self.start : self.start + len(table)] = table
            return bytes(body)
        body += bytes(len(body) % 2)
        body[4:8] = struct.pack(
            self.order + "I", _append(body, self.order, self.entries, self.following)
        )
        return bytes(body)


def _folder(data: bytes, order: str, at: int, depth: int) -> tuple[dict[int, Entry], int, int]:
    """Entries of the folder at an offset, how many are lost, and where it should end."""
    if at < 8 or at + 2 > len(data):
        return {}, 1, len(data) + 1
    (count,) = struct.unpack_from(order + "H", data, at)
    end = at + 2 + count * _ENTRY_BYTES + 4
    whole = min(count, (len(data) - at - 2) // _ENTRY_BYTES)
    entries: dict[int, Entry] = {}
    lost, seen, view = count - whole, set(), memoryview(data)
    for position in range(at + 2, at + 2 + whole * _ENTRY_BYTES, _ENTRY_BYTES):
        raw = data[position : position + _ENTRY_BYTES]
        tag, kind, values, offset = struct.unpack(order + "HHII", raw)
        if tag in seen:
            continue
        seen.add(tag)
        if tag in _SUBFOLDERS and depth:
            below, missing, _ = _folder(data, order, offset, depth - 1)
            lost += missing
            if below:
                entries[tag] = Entry(4, 1, below, b"" if missing else raw)
            continue
        size = _SIZES[kind] * values if kind in _SIZES else 4
        if size <= 4:
            entries[tag] = Entry(kind, values, raw[8 : 8 + size], raw)
        elif 8 <= offset <= len(data) - size:
            entries[tag] = Entry(kind, values, view[offset : offset + size], raw)
        else:
            lost += 1
    return entries, lost, end


def _table(order: str, fields: list[bytes], following: int) -> bytes:
    count, next_one = struct.pack(order + "H", len(fields)), struct.pack(order + "I", following)
    return count + b"".join(fields) + next_one


def _append(body: bytearray, order: str, entries: Mapping[int, Entry], following: int) -> int:
    """Write a folder behind ``body`` and give its offset; XMP goes behind the folder."""
    fields: dict[int, bytes] = {}
    tail = b""
    for tag, entry in sorted(entries.items()):
        if entry.raw:
            fields[tag] = entry.raw
            continue
        if isinstance(entry.value, Mapping):
            place = struct.pack(order + "I", _append(body, order, entry.value, 0))
        elif len(entry.value) <= 4:
            place = entry.octets.ljust(4, b"\0")
        elif tag == XMP:
            tail, place = entry.octets, b""
        else:
            place = struct.pack(order + "I", len(body))
            body += entry.octets + bytes(len(entry.value) % 2)
        fields[tag] = struct.pack(order + "HHI", tag, entry.kind, entry.count) + place
    start = len(body)
    if tail:
        end = start + 2 + _ENTRY_BYTES * len(fields) + 4
        fields[XMP] += struct.pack(order + "I", end)
    body += _table(order, list(fields.values()), following) + tail
    return start
