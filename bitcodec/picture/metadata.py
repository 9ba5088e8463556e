"""What a picture file says about its pixels: orientation, EXIF and the colour profile."""

from __future__ import annotations

from PIL import ExifTags, Image, ImageOps

__all__ = ["EXIF_PREFIX", "icc_profile", "is_one_channel", "upright"]

EXIF_PREFIX = b"Exif\0\0"
"""What JPEG, and Pillow, put before the TIFF structure that EXIF is."""

_ICC_HEADER_BYTES = 128
_RAW_EXIF = "Raw profile type exif"


def upright(image: Image.Image) -> tuple[Image.Image, bytes | None, tuple[str, ...]]:
    """Turn a loaded picture as its EXIF orientation says.

    Returns the picture, its EXIF as a TIFF structure without the orientation that was applied
    (None where nothing else is in it), and notes. Damaged EXIF is dropped with a note.
    """
    try:
        # 1 is upright already, and other numbers mean nothing.
        if image.getexif().get(ExifTags.Base.Orientation) in range(2, 9):
            image = ImageOps.exif_transpose(image)
        return image, _exif(image), ()
    except MemoryError:
        raise
    except Exception:  # Pillow's parser raises whatever the bytes lead to
        return image, None, ("damaged EXIF dropped",)


def icc_profile(image: Image.Image, *, grey: bool) -> tuple[bytes | None, tuple[str, ...]]:
    """The colour profile, if it fits pixels that are grey, or else RGB; and notes.

    Bytes 16..19 of a profile name the colour space that it is for.
    """
    profile = image.info.get("icc_profile")
    if not profile:
        return None, ()
    if not isinstance(profile, bytes) or len(profile) < _ICC_HEADER_BYTES:
        return None, ("damaged colour profile dropped",)
    space = profile[16:20]
    if space == (b"GRAY" if grey else b"RGB "):
        return profile, ()
    name = space.decode("ascii", "replace").strip()
    name = name if name.isprintable() and name.isascii() and name else "unknown"
    return None, (f"{name} colour profile dropped",)


def is_one_channel(grey: bool, icc: bytes | None) -> bool:
    """Whether a picture is shown as one channel: if it is grey, and has no profile for RGB."""
    return grey and (icc is None or icc[16:20] != b"RGB ")


def _exif(image: Image.Image) -> bytes | None:
    data = image.info.get("exif")
    if data is None and _RAW_EXIF in image.info:  # how ImageMagick puts EXIF into a PNG
        data = image.getexif().tobytes()
    if not data:
        return None
    data = bytes(data).removeprefix(EXIF_PREFIX)
    parsed = Image.Exif()
    parsed.load(data)
    return data if len(parsed) else None
