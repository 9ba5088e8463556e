"""A picture of Pillow -> :class:`Picture`: 8 bits, upright, with a profile that fits."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, TiffImagePlugin

from bitcodec.picture import tiff
from bitcodec.picture.base import Picture
from bitcodec.picture.colour import ADOBE_RGB, Coding, render, through_profile
from bitcodec.picture.metadata import read_metadata
from bitcodec.picture.modes import Samples, raw_mode, reduced, samples_of, turned
from bitcodec.picture.readers import Facts, deep_samples, look, whole_file

__all__ = ["convert"]

_ICC_HEADER_BYTES = 128
_LONG_ICC = 2**20  # from here on Pillow does not open a PNG that has it


def convert(image: Image.Image) -> Picture:
    """See :func:`bitcodec.picture.images.from_pil`, which turns Pillow's errors into ours."""
    notes: tuple[str, ...] = (
        ("other frames dropped",) if getattr(image, "is_animated", False) else ()
    )
    file = whole_file(image)
    facts = look(image, file)
    raw = raw_mode(image)
    if facts.bits > 8:
        notes += (f"{facts.bits} bits a channel reduced to 8",)
    is_tiff = isinstance(image, TiffImagePlugin.TiffImageFile)
    planes = None
    if isinstance(image, TiffImagePlugin.TiffImageFile) and file is not None:
        planes = tiff.planes(image, file)
    negative = planes is None and tiff.white_is_zero(image, raw)
    if planes is None:
        image.load()
    metadata = read_metadata(image, file if is_tiff else None)
    # Pillow turns a TIFF by itself when it loads it.
    orientation = 1 if is_tiff and planes is None else metadata.orientation
    icc = image.info.get("icc_profile") or facts.icc
    icc, icc_notes = _sound(icc, "icc_profile" in image.info)
    if planes is not None:
        image, samples = _of_planes(*planes)
    else:
        samples = None
    if image.mode == "CMYK" and icc is not None and icc[16:20] == b"CMYK":
        converted = through_profile(image, icc)
        if converted is not None:
            image, icc, samples = converted, None, None
            notes += ("CMYK converted to sRGB by its profile",)
    if samples is None:
        samples = samples_of(image, raw, deep_samples(image, raw, file))
    if negative:
        top = np.iinfo(samples.colour.dtype).max
        samples = Samples(top - samples.colour, samples.alpha, samples.notes)
    samples = _with_true_alpha(samples, facts)
    samples, icc, colour_notes = _coloured(samples, icc, facts.coding, metadata.adobe_rgb)
    notes = (*notes, *samples.notes, *icc_notes, *colour_notes, *metadata.notes)
    return _picture(samples, orientation, icc, metadata.exif, notes)


def _picture(
    samples: Samples,
    orientation: int,
    icc: bytes | None,
    exif: bytes | None,
    notes: tuple[str, ...],
) -> Picture:
    colour = turned(reduced(samples.colour), orientation)
    grey = colour.shape[2] == 1
    rgb = np.repeat(colour, 3, axis=2) if grey else np.require(colour, np.uint8, ["C", "W"])
    alpha = None
    if samples.alpha is not None:
        alpha = np.require(turned(reduced(samples.alpha), orientation), np.uint8, ["C", "W"])
        alpha = None if alpha.min() == 255 else alpha
    return Picture(rgb, alpha, grey, icc, exif, notes)


def _sound(profile: Any, named: bool) -> tuple[bytes | None, tuple[str, ...]]:
    """A profile that is long enough to be one. ``named``: Pillow found one, if only a part."""
    if isinstance(profile, bytes) and len(profile) >= _ICC_HEADER_BYTES:
        return profile, ()
    return None, ("damaged colour profile dropped",) if profile or named else ()


def _of_planes(mode: str, planes: list[npt.NDArray[Any]]) -> tuple[Image.Image, Samples | None]:
    """Channels of a file as a picture for Pillow, or as samples where they have 16 bits."""
    stacked = np.dstack(planes)
    if stacked.dtype == np.uint8 or mode == "CMYK":
        bands = [Image.fromarray(np.ascontiguousarray(reduced(plane))) for plane in planes]
        image = Image.merge(mode, bands) if len(bands) > 1 else bands[0]
        note = ("16 bits a channel reduced to 8",) if stacked.dtype != np.uint8 else ()
        return image, samples_of(image).noted(*note)
    alpha = stacked[..., -1] if mode[-1] in "Aa" else None
    colour = stacked if alpha is None else stacked[..., :-1]
    if mode.endswith("a") and alpha is not None:
        colour = _divided(colour, alpha)
    samples = Samples(colour, alpha).noted("16 bits a channel reduced to 8")
    return Image.new(mode.replace("a", "A"), (1, 1)), samples


def _divided(colour: npt.NDArray[Any], alpha: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Colours that were multiplied by alpha, as they were before."""
    top = np.iinfo(colour.dtype).max
    straight = colour.astype(np.float64) * top / np.maximum(alpha, 1)[..., None]
    out: npt.NDArray[Any] = np.minimum(np.rint(straight), top).astype(colour.dtype)
    return out


def _with_true_alpha(samples: Samples, facts: Facts) -> Samples:
    """Alpha as the file means it, where it is not sure that it has any."""
    alpha = samples.alpha
    if alpha is None or facts.alpha == "real":
        return samples
    if facts.alpha == "multiplied":
        return Samples(_divided(samples.colour, alpha), alpha, samples.notes)
    if facts.alpha == "unsure" and alpha.any():
        return samples
    used = alpha.min() < np.iinfo(alpha.dtype).max
    note = ("unused alpha channel dropped",) if used else ()
    return Samples(samples.colour, None, (*samples.notes, *note))


def _coloured(
    samples: Samples, icc: bytes | None, coding: Coding | None, adobe_rgb: bool
) -> tuple[Samples, bytes | None, tuple[str, ...]]:
    """Samples of sRGB or of the profile that comes with them, and notes."""
    grey = samples.colour.shape[2] == 1
    notes: tuple[str, ...] = ()
    hdr = coding is not None and coding.curve in ("pq", "hlg")
    if icc is not None and not hdr:
        if icc[16:20] == (b"GRAY" if grey else b"RGB "):
            return (samples, icc, ()) if len(icc) < _LONG_ICC else _by_long(samples, icc)
        if grey and icc[16:20] == b"RGB ":
            return _grey_by(samples, icc)
        notes = (f"{_space(icc)} colour profile dropped",)
    if coding is None and adobe_rgb and icc is None and not grey:
        coding = ADOBE_RGB
    colour, made, more = render(samples.colour, coding)
    return Samples(colour, samples.alpha, samples.notes), made, (*notes, *more)


def _by_long(samples: Samples, icc: bytes) -> tuple[Samples, None, tuple[str, ...]]:
    """Samples through a profile that is too long to keep."""
    colour = np.ascontiguousarray(reduced(samples.colour))
    plain = Image.fromarray(colour if colour.shape[2] == 3 else colour[..., 0])
    out = through_profile(plain, icc)
    said = f"colour profile of {len(icc)} bytes dropped"
    if out is None:
        return samples, None, (said,)
    colour = np.asarray(out).reshape(colour.shape)
    note = f"{said}: colours converted to sRGB by it"
    return Samples(colour, samples.alpha, samples.notes), None, (note,)


def _grey_by(samples: Samples, icc: bytes) -> tuple[Samples, None, tuple[str, ...]]:
    """Grey through the curve of a profile for RGB."""
    ramp = Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    out = through_profile(ramp, icc)
    if out is None:
        return samples, None, ("RGB colour profile dropped",)
    table = np.asarray(out)[0]
    if np.abs(table.astype(int) - np.arange(256)).max() <= 1:  # sRGB's
        return samples, None, ()
    colour = table[reduced(samples.colour)]
    note = "grey converted to that of sRGB by its profile"
    return Samples(colour, samples.alpha, samples.notes), None, (note,)


def _space(profile: bytes) -> str:
    """What a profile says that it is for: bytes 16 to 19."""
    name = profile[16:20].decode("ascii", "replace").strip()
    return name if name.isprintable() and name.isascii() and name else "unknown"
