"""Pictures to the files of any format that Pillow writes, and what such a file cannot hold."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from bitcodec.errors import FileError
from bitcodec.picture import png
from bitcodec.picture.colour import to_srgb
from bitcodec.picture.exif import STRUCTURAL, XMP, Block, Entry
from bitcodec.picture.limit import pixel_limit
from bitcodec.picture.metadata import EXIF_PREFIX, only_resolution

__all__ = ["save"]

# Nothing that the codec kept should be lost to the format that it is saved in.
_OPTIONS: dict[str, dict[str, Any]] = {
    # On photographs a third of the time of Pillow's own choice, and smaller.
    "PNG": {"compress_level": 3},
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"lossless": True},
    "AVIF": {"quality": 95},
}
# The longest blocks that a JPEG has room for, and how many of 65519 bytes a profile may take.
_JPEG_MOST = {"exif": 65533, "xmp": 65502, "icc_profile": 255 * 65519}
_ALSO = {"RGBA": ("RGB",), "LA": ("RGBA", "L", "RGB"), "L": ("RGB",), "RGB": ()}
_SEE_THROUGH = {"RGBA", "LA", "PA", "RGBa", "La"}
_NAMES = {"icc_profile": "colour profile", "exif": "EXIF", "xmp": "XMP"}


def save(image: Image.Image, kind: str) -> tuple[bytes, tuple[str, ...]]:
    """A picture file in memory, and notes on what it could not hold.

    Args:
        image: of mode L, LA, RGB or RGBA; its ``info`` may have "icc_profile", "exif", "xmp" and
            "dpi". Where the format has no profiles, colours are converted to sRGB. Where it has
            no alpha, that is left out, and colours stay as they are.
        kind: Pillow's name of a format: "PNG", ...

    Raises:
        FileError: the format cannot hold this picture.
    """
    wanted: dict[str, bytes] = {
        key: image.info[key] for key in ("icc_profile", "exif", "xmp") if key in image.info
    }
    lost = [key for key, most in _JPEG_MOST.items() if kind == "JPEG" and _size(wanted, key) > most]
    kept = {key: value for key, value in wanted.items() if key not in lost}
    dpi = image.info.get("dpi")
    data, seen = _written(image, kind, kept, dpi)
    icc, converted = wanted.get("icc_profile"), None
    if icc is not None and not _has_profile(seen, icc):
        lost.append("icc_profile")
        kept.pop("icc_profile", None)
        converted = to_srgb(image, icc)
        image = converted or image
        data, seen = _written(image, kind, kept, dpi)
    held = {key for key in ("exif", "xmp") if seen is not None and seen.info.get(key)}
    if kind == "TIFF":
        data, held = _tiff_with(data, kept), {"exif", "xmp"}
    lost += [key for key in ("exif", "xmp") if key in kept and key not in held]
    notes = _alpha_notes(image, seen)
    for key in dict.fromkeys(lost):
        if key == "exif" and only_resolution(wanted["exif"]):
            notes += [] if seen is not None and "dpi" in seen.info else ["resolution dropped"]
        elif key == "icc_profile" and converted is not None:
            notes.append("colour profile (colours converted to sRGB) dropped")
        else:
            notes.append(f"{_NAMES[key]} dropped")
    reason = f"{kind} has no room for it" if notes else ""
    return data, tuple(f"{note}: {reason}" for note in notes)


def _size(wanted: dict[str, bytes], key: str) -> int:
    return len(wanted.get(key, b""))


def _written(
    image: Image.Image, kind: str, kept: dict[str, bytes], dpi: tuple[float, float] | None
) -> tuple[bytes, Image.Image | None]:
    """The file, and how Pillow opens it; None where it cannot. FileError."""
    options = {**_OPTIONS.get(kind, {}), **kept}
    if kind == "TIFF":
        options = {key: value for key, value in options.items() if key not in ("exif", "xmp")}
    if kind == "PNG" and "xmp" in kept:
        info = PngInfo()
        info.add_itxt("XML:com.adobe.xmp", kept["xmp"].decode("utf-8", "replace"))
        options["pnginfo"] = info
    if kind == "ICO" and max(image.size) <= 256:
        options["sizes"] = [image.size]
    if dpi is not None:
        options["dpi"] = dpi
    problem: Exception | None = None
    for mode in (image.mode, *_ALSO.get(image.mode, ())):
        buffer = io.BytesIO()
        try:
            (image if mode == image.mode else image.convert(mode)).save(buffer, kind, **options)
        # Pillow's plugins raise nearly anything for what they cannot write.
        except Exception as error:
            problem = problem or error
            continue
        data = buffer.getvalue()
        seen = _seen(data)
        if seen is not None and seen.size != image.size:
            size = f"{image.width}x{image.height}"
            raise FileError(f"cannot be saved as {kind}: it has no pictures of {size}")
        return data, seen
    raise FileError(f"cannot be saved as {kind}: {problem}") from problem


def _seen(data: bytes) -> Image.Image | None:
    """What Pillow makes of a file; None where it cannot read the format (PDF)."""
    profile = None
    if data.startswith(png.SIGNATURE):
        data, profile, _ = png.tidy(data)
    try:
        with pixel_limit(2**62):  # it is our own file, of which the header is read
            seen = Image.open(io.BytesIO(data))
    except (UnidentifiedImageError, OSError, ValueError):
        return None
    if profile is not None:
        seen.info["icc_profile"] = profile
    return seen


def _has_profile(seen: Image.Image | None, icc: bytes) -> bool:
    """Whether the profile is in the file, and fits the pixels in it."""
    if seen is None or seen.info.get("icc_profile") != icc:
        return False
    return (icc[16:20] == b"GRAY") == (seen.mode in ("1", "L", "LA"))


def _alpha_notes(image: Image.Image, seen: Image.Image | None) -> list[str]:
    """What has become of transparency, and of colours where the file has a palette."""
    if seen is None:
        return ["alpha dropped"] if image.mode in _SEE_THROUGH else []
    notes = []
    if image.mode in _SEE_THROUGH:
        if seen.mode not in _SEE_THROUGH and "transparency" not in seen.info:
            notes.append("alpha dropped")
        elif seen.mode == "P" and any(image.getchannel("A").histogram()[1:255]):
            notes.append("alpha reduced to all or nothing")
    if seen.mode in ("1", "P", "PA"):
        shown = np.array(seen.convert("RGBA"))
        right = np.array(image.convert("RGBA"))
        visible = shown[..., 3] > 0
        if (shown[..., :3] != right[..., :3])[visible].any():
            notes.append("colours reduced to a palette")
    return notes


def _tiff_with(data: bytes, kept: dict[str, bytes]) -> bytes:
    """A TIFF file with the tags of EXIF and XMP, as Pillow does not copy them: byte for byte."""
    new: dict[int, Entry] = {}
    try:
        file = Block.parse(data)
        if "exif" in kept:
            block = Block.parse(kept["exif"].removeprefix(EXIF_PREFIX))
            new = {
                tag: entry.moved(swap=block.order != file.order)
                for tag, entry in block.entries.items()
                if tag not in STRUCTURAL
            }
        if "xmp" in kept:
            new[XMP] = Entry(1, len(kept["xmp"]), kept["xmp"])
        return file.with_entries(new).to_bytes() if new else data
    except (ValueError, struct.error):
        return data
