"""What colours the numbers of a picture mean: profiles that are kept, others converted to sRGB.

Our files hold 8-bit samples and an ICC profile. So a wide gamut becomes a profile with the curve
of sRGB; other curves, HDR and other colour models are converted.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

from bitcodec.picture.hdr import hdr_to_srgb
from bitcodec.picture.icc import make_profile, solvable, srgb_curve

__all__ = ["ADOBE_RGB", "Coding", "render", "through_profile", "to_srgb"]

_Floats = npt.NDArray[np.float64]
# x, y of white, red, green and blue, by the number of ITU-T H.273.
_D65 = (0.3127, 0.3290)
_PRIMARIES: dict[int, tuple[str, tuple[float, ...]]] = {
    1: ("BT.709", (*_D65, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)),
    4: ("BT.470 M", (0.310, 0.316, 0.67, 0.33, 0.21, 0.71, 0.14, 0.08)),
    5: ("BT.470 BG", (*_D65, 0.64, 0.33, 0.29, 0.60, 0.15, 0.06)),
    6: ("BT.601", (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070)),
    7: ("SMPTE 240M", (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070)),
    8: ("film", (0.310, 0.316, 0.681, 0.319, 0.243, 0.692, 0.145, 0.049)),
    9: ("BT.2020", (*_D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046)),
    10: ("XYZ", (1 / 3, 1 / 3, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0)),
    11: ("DCI-P3", (0.314, 0.351, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060)),
    12: ("Display P3", (*_D65, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060)),
    22: ("EBU 3213", (*_D65, 0.630, 0.340, 0.295, 0.605, 0.155, 0.077)),
}
_SRGB = _PRIMARIES[1][1]
_ADOBE = (*_D65, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
# Curves that pictures are shown with as if they were sRGB's: unspecified ones and video's.
_LIKE_SRGB = {1, 2, 6, 7, 11, 12, 13, 14, 15}
_GAMMAS = {4: 2.2, 5: 2.8, 8: 1.0, 17: 2.6}
_PQ, _HLG = 16, 18
_KEPT = 1.7, 2.7  # curves near enough to sRGB's for 8 bits
_NEAR = 0.004  # x and y that are the same, after rounding


@dataclass(frozen=True)
class Coding:
    """How a picture file says its colours are coded, other than by a profile.

    Attributes:
        primaries: x, y of white, red, green, blue; None for those of sRGB or where unknown.
        name: of the primaries.
        curve: "srgb", "pq", "hlg", or the exponent from samples to light.
    """

    primaries: tuple[float, ...] | None = None
    name: str = ""
    curve: str | float = "srgb"

    @staticmethod
    def of_numbers(primaries: int, transfer: int) -> Coding | None:
        """Of the numbers of H.273, as nclx and cICP have them; None where one is unknown."""
        curves: dict[int, str | float] = {_PQ: "pq", _HLG: "hlg", **_GAMMAS}
        curve = "srgb" if transfer in _LIKE_SRGB else curves.get(transfer)
        if curve is None or primaries not in {2, *_PRIMARIES}:
            return None
        name, points = _PRIMARIES[1 if primaries == 2 else primaries]
        return Coding(_distinct(points), name, curve)

    @staticmethod
    def of_png(gamma: float | None, points: tuple[float, ...] | None) -> Coding:
        """Of gAMA (samples = light ** gamma; what cannot be meant is left out) and cHRM."""
        curve = 1 / gamma if gamma and 0.05 < gamma < 20 else 2.2
        valid = points if points and len(points) == 8 and solvable(points) else None
        wide = _distinct(valid) if valid else None
        named = [name for name, known in _KNOWN if valid and _same(valid, known)]
        return Coding(wide, named[0] if named else "the file's own", curve if gamma else "srgb")


def render(
    samples: npt.NDArray[Any], coding: Coding | None
) -> tuple[npt.NDArray[Any], bytes | None, tuple[str, ...]]:
    """Samples with the curve of sRGB, a profile for them if they have a wide gamut, and notes.

    ``samples`` are uint8 or uint16 (H, W, 1 or 3); the result has the same type, or uint8.
    """
    if coding is None:
        return samples, None, ()
    grey = samples.shape[2] == 1
    if coding.curve in ("pq", "hlg"):
        name = f"{str(coding.curve).upper()}, {coding.name or 'BT.709'}"
        points = coding.primaries or _SRGB
        out = hdr_to_srgb(samples, str(coding.curve), points, _SRGB)
        return out, None, (f"HDR ({name}) converted to SDR, sRGB",)
    notes: tuple[str, ...] = ()
    wide = None if grey else coding.primaries
    gamma = None if coding.curve == "srgb" else float(coding.curve)
    if gamma is not None and wide is None and abs(gamma - 2.2) < 0.1:
        gamma = None  # what sRGB is like, and how most files say sRGB
    if gamma is not None and (grey or not _KEPT[0] <= gamma <= _KEPT[1]):
        exponent, gamma = gamma, None
        samples = _by_table(samples, lambda v: srgb_curve(v**exponent))
        notes = (f"gamma {exponent:.3g} converted to that of sRGB",)
    if wide is None and gamma is None:
        return samples, None, notes
    name = coding.name if wide else f"sRGB with gamma {gamma:.3g}"
    note = f"colours are {name}: kept as a profile"
    return samples, make_profile(wide or _SRGB, name, gamma), (*notes, note)


def through_profile(image: Image.Image, profile: bytes) -> Image.Image | None:
    """The picture (L, RGB, CMYK, LAB) in sRGB by its profile; None where that cannot be.

    Grey comes back as grey if the profile keeps it so.
    """
    source = image
    try:
        if image.mode == "L" and profile[16:20] == b"RGB ":
            source = image.convert("RGB")
        target: Any = ImageCms.createProfile("sRGB")
        given: Any = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        out = ImageCms.profileToProfile(source, given, target, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None
    if out is None:
        return None
    out.info.pop("icc_profile", None)
    return out.convert("L") if image.mode == "L" else out


def to_srgb(image: Image.Image, profile: bytes) -> Image.Image | None:
    """The picture (L, LA, RGB, RGBA) in sRGB by its profile; None where that cannot be."""
    bands = list(image.split())
    alpha = bands.pop() if len(bands) in (2, 4) else None
    plain = Image.merge("RGB", bands) if len(bands) == 3 else bands[0]
    out = through_profile(plain, profile)
    if out is None:
        return None
    if alpha is not None:
        out.putalpha(alpha)
    out.info.update(image.info)
    return out


def _distinct(points: tuple[float, ...]) -> tuple[float, ...] | None:
    return None if _same(points, _SRGB) else points


def _same(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return all(abs(x - y) < _NEAR for x, y in zip(a, b, strict=True))


def _by_table(samples: npt.NDArray[Any], curve: Callable[[_Floats], _Floats]) -> npt.NDArray[Any]:
    top = np.iinfo(samples.dtype).max
    table = np.rint(np.clip(curve(np.arange(top + 1) / top), 0, 1) * top).astype(samples.dtype)
    out: npt.NDArray[Any] = table[samples]
    return out


ADOBE_RGB = Coding(_ADOBE, "Adobe RGB", 2.19921875)
"""What cameras mean by the interoperability index R03 of EXIF."""
_KNOWN = ("Adobe RGB", _ADOBE), *_PRIMARIES.values()
