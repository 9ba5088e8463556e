"""What a picture file says besides its pixels: orientation, EXIF, XMP, resolution, text.

EXIF is kept as it is; XMP and the resolution go into it where they are not in it (tags 700, 282,
283 and 296, which TIFF has for them). What cannot be kept is said in a note.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import Any

from PIL import Image

from bitcodec.picture.exif import (
    DESCRIPTIVE,
    EXIF_IFD,
    INTEROP_IFD,
    ORIENTATION,
    XMP,
    Block,
    Entry,
)

__all__ = [
    "EXIF_PREFIX",
    "Metadata",
    "info_of_exif",
    "is_one_channel",
    "only_resolution",
    "read_metadata",
]

EXIF_PREFIX = b"Exif\0\0"
"""What JPEG, and Pillow, put before the TIFF structure that EXIF is."""

_X, _Y, _UNIT = 282, 283, 296
_LONGEST = 2**24  # what a file of ours may have
_UNKNOWN_DPI = 72  # what EXIF says to write where the resolution is unknown
_MOST_DPI = 60000  # what a JPEG can say, nearly
_SCREEN = 96  # what Windows and Pillow write into every BMP
_RAW = "Raw profile type "  # how ImageMagick puts blocks into a PNG
_XMP_TEXT = "XML:com.adobe.xmp"
_TURN = re.compile(rb"""tiff:Orientation\s*(?:=\s*["']|>)\s*([1-8])""")
_TURN_WHOLE = re.compile(
    rb"""\s*tiff:Orientation\s*=\s*(["'])[^"']*\1|<tiff:Orientation>[^<]*</tiff:Orientation>"""
)


@dataclass(frozen=True)
class Metadata:
    """What a file says besides its pixels.

    Attributes:
        orientation: 1..8, what EXIF or else XMP asks for.
        exif: a TIFF structure without that orientation, None where nothing else is in it.
        adobe_rgb: whether EXIF says, as cameras do in place of a profile, that this is Adobe RGB.
        notes: what was lost.
    """

    orientation: int = 1
    exif: bytes | None = None
    adobe_rgb: bool = False
    notes: tuple[str, ...] = ()


def read_metadata(image: Image.Image, file: bytes | None = None) -> Metadata:
    """Of a loaded picture, from its ``info``; of a TIFF ``file``, from its own tags."""
    block, notes = _block(image, file)
    xmp = _xmp(image, block)
    turn = next(iter(block.numbers(ORIENTATION)), 0)
    if turn not in range(1, 9):
        found = _TURN.search(xmp)
        turn = int(found[1]) if found else 1
    drop = {ORIENTATION}
    new: dict[int, Entry] = {}
    if xmp:
        cleaned = _TURN_WHOLE.sub(b"", xmp)
        if XMP not in block.entries or block.entries[XMP].octets != cleaned:
            drop.add(XMP)
            new[XMP] = Entry(1, len(cleaned), cleaned)
    if block.ratio(_X) is None:
        new |= _resolution(image, block.order)
    adobe = block.numbers(EXIF_IFD, 40961) == (2,) or block.text(EXIF_IFD, INTEROP_IFD, 1) == b"R03"
    block = block.without(drop).with_entries(new)
    exif = block.to_bytes() if block.entries else None
    if exif is not None and len(exif) > _LONGEST:
        notes += (f"EXIF of {len(exif)} bytes dropped: too long",)
        exif = None
    return Metadata(turn, exif, adobe, notes + _left_behind(image))


def info_of_exif(exif: bytes) -> dict[str, Any]:
    """What Pillow calls the contents of an EXIF section: "exif", "xmp" and "dpi" in ``info``."""
    try:
        block = Block.parse(exif)
    except ValueError:
        return {"exif": EXIF_PREFIX + exif}
    info: dict[str, Any] = {}
    if XMP in block.entries:
        info["xmp"] = block.entries[XMP].octets
        block = block.without({XMP})
    x, y = block.ratio(_X), block.ratio(_Y)
    scale = {(2,): 1.0, (): 1.0, (3,): 2.54}.get(block.numbers(_UNIT))
    if x and y and scale and max(x, y) < _MOST_DPI and not x == y == _UNKNOWN_DPI:
        info["dpi"] = x * scale, y * scale
    if block.entries:
        info["exif"] = EXIF_PREFIX + (block.to_bytes() if "xmp" in info else exif)
    return info


def is_one_channel(grey: bool, icc: bytes | None) -> bool:
    """Whether a picture is shown as one channel: if it is grey, and has no profile for RGB."""
    return grey and (icc is None or icc[16:20] != b"RGB ")


def only_resolution(exif: bytes) -> bool:
    """Whether nothing else is in an EXIF block, with its prefix or without."""
    try:
        entries = Block.parse(exif.removeprefix(EXIF_PREFIX)).entries
    except ValueError:
        return False
    return {*entries} <= {_X, _Y, _UNIT}


def _block(image: Image.Image, file: bytes | None) -> tuple[Block, tuple[str, ...]]:
    """The EXIF of a picture, empty where it has none."""
    try:
        if file is not None and file[2:4] in (b"+\0", b"\0+"):
            return Block(), ("metadata of a BigTIFF dropped",)
        if file is not None:
            block = Block.parse(file)
            entries = {
                tag: entry.moved(swap=block.order == ">")
                for tag, entry in block.entries.items()
                if tag in {*DESCRIPTIVE, ORIENTATION}
            }
            block = Block().with_entries(entries)
            meaning = {block.ratio(_X), block.ratio(_Y)} - {None, 1.0, float(_UNKNOWN_DPI)}
            return (block if meaning else block.without({_X, _Y, _UNIT})), ()
        data = image.info.get("exif")
        for name in ("exif", "APP1"):
            text = image.info.get(_RAW + name)
            if not data and isinstance(text, str):
                data = bytes.fromhex("".join(text.split("\n")[3:]))
                data = data if data.startswith((EXIF_PREFIX, b"II", b"MM")) else None
        if not data:
            return Block(), ()
        block = Block.parse(bytes(data).removeprefix(EXIF_PREFIX))
    except (ValueError, struct.error):
        return Block(), ("damaged EXIF dropped",)
    notes = (f"damaged EXIF: {block.lost} tags dropped",) if block.lost else ()
    return block, notes


def _xmp(image: Image.Image, block: Block) -> bytes:
    """The XMP packet, from wherever it is."""
    for found in (image.info.get("xmp"), image.info.get(_XMP_TEXT)):
        if found:
            return found.encode() if isinstance(found, str) else bytes(found)
    text = image.info.get(_RAW + "xmp")
    if isinstance(text, str):
        try:
            return bytes.fromhex("".join(text.split("\n")[3:]))
        except ValueError:
            return b""
    return block.entries[XMP].octets if XMP in block.entries else b""


def _resolution(image: Image.Image, order: str) -> dict[int, Entry]:
    """Tags for a resolution in dots per inch; none for one that means nothing."""
    try:
        dots = [round(float(value) * 100) for value in image.info["dpi"]]
    except (KeyError, TypeError, ValueError, ArithmeticError):
        return {}
    nothing = {1, _UNKNOWN_DPI, _SCREEN if image.format in ("BMP", "DIB") else 1}
    if len(dots) != 2 or not all(0 < d < 100 * _MOST_DPI for d in dots):
        return {}
    if {round(d / 100) for d in dots} <= nothing:
        return {}
    ratios = [Entry(5, 1, struct.pack(order + "II", d, 100)) for d in dots]
    return {_X: ratios[0], _Y: ratios[1], _UNIT: Entry(3, 1, struct.pack(order + "H", 2))}


def _left_behind(image: Image.Image) -> tuple[str, ...]:
    """Notes for what has no place in our files."""
    notes = []
    if image.info.get("comment"):
        notes.append("comment dropped")
    if image.info.get("photoshop"):
        notes.append("IPTC or Photoshop data dropped")
    parts = getattr(image, "applist", ())
    if any(part.startswith(b"http://ns.adobe.com/xmp/extension/") for _, part in parts):
        notes.append("extended XMP dropped")
    text = getattr(image, "text", None) if image.format == "PNG" else None
    names = [str(name) for name in text or () if name != _XMP_TEXT and not name.startswith(_RAW)]
    if names:
        shown = ", ".join(name if name.isprintable() else "?" for name in names[:5])
        notes.append(f"PNG text dropped ({shown}{', ...' if len(names) > 5 else ''})")
    return tuple(notes)
