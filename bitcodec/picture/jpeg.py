"""JPEG files whose EXIF keeps Pillow from opening them: it asks that for the resolution."""

from __future__ import annotations

import io
import struct

from PIL import Image, UnidentifiedImageError

from bitcodec.picture.metadata import EXIF_PREFIX

__all__ = ["START", "reopened"]

START = b"\xff\xd8\xff"
_APP0, _APP1, _APP15 = 0xE0, 0xE1, 0xEF


def reopened(data: bytes) -> Image.Image:
    """A JPEG opened without its EXIF, which is put into ``info`` unread.

    UnidentifiedImageError where it has none, or it is not to blame.
    """
    out, exif, at = [data[:2]], b"", 2
    while at + 4 <= len(data):
        mark, marker, length = struct.unpack_from(">BBH", data, at)
        if mark != 0xFF or not _APP0 <= marker <= _APP15:
            break
        segment = data[at : at + 2 + length]
        at += 2 + length
        if marker == _APP1 and segment[4:].startswith(EXIF_PREFIX):
            exif += segment[10:]
        else:
            out.append(segment)
    if not exif:
        raise UnidentifiedImageError("no EXIF to leave out")
    image = Image.open(io.BytesIO(b"".join(out) + data[at:]))
    image.info["exif"] = EXIF_PREFIX + exif
    return image
