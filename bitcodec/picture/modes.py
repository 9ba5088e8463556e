"""Pillow's picture modes -> samples of colour and alpha, not yet reduced to 8 bits.

What a conversion loses is said in a note; what cannot be kept is an ImageError.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

from bitcodec.errors import ImageError

__all__ = ["Samples", "raw_mode", "reduced", "samples_of", "turned"]

_Bytes = npt.NDArray[np.uint8]
_Numbers = npt.NDArray[Any]
# Modes that Pillow converts by itself, without and with an alpha channel of their own.
_SOLID = {"RGB", "RGBX", "CMYK", "YCbCr", "HSV"}
_SEE_THROUGH = {"RGBA": "RGBA", "RGBa": "RGBA", "PA": "RGBA", "LA": "LA", "La": "LA"}
_NOTED = {"CMYK", "YCbCr", "HSV", "LAB"}
_DEEP_NOTE = "16 bits a channel reduced to 8"


@dataclass(frozen=True, eq=False)
class Samples:
    """A picture as numbers.

    Attributes:
        colour: uint8 or uint16 (H, W, 3), or (H, W, 1) where it is grey.
        alpha: (H, W) of the same type, or uint8; None where there is none.
        notes: what the conversion lost.
    """

    colour: _Numbers
    alpha: _Numbers | None = None
    notes: tuple[str, ...] = ()

    def noted(self, *notes: str) -> Samples:
        """The same with more notes."""
        return replace(self, notes=(*self.notes, *notes))


def raw_mode(image: Image.Image) -> str:
    """How the file stores its pixels ("RGB;16B", ...), where Pillow says it; else "".

    To be asked before the picture is loaded: Pillow opens a 16-bit RGB file as 8-bit RGB, and
    forgets that it did once the pixels are there.
    """
    for tile in getattr(image, "tile", ()):
        arguments = tile[3] if isinstance(tile[3], tuple) else (tile[3],)
        if tile[0] == "ppm" and any(isinstance(top, int) and top > 255 for top in arguments):
            return f"{image.mode};16"
        for argument in arguments:
            if isinstance(argument, str):
                return "" if argument == "BGR;16" else argument  # that is 5, 6 and 5 bits
    return ""


def reduced(samples: _Numbers) -> _Bytes:
    """uint8 as it is, uint16 as round(v * 255 / 65535)."""
    if samples.dtype == np.uint8:
        return samples
    return ((samples.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)


def turned(samples: _Numbers, orientation: int) -> _Numbers:
    """(H, W, ...) turned or mirrored as an EXIF orientation of 1..8 says."""
    if orientation >= 5:
        samples = np.swapaxes(samples, 0, 1)
    if orientation in (3, 4, 7, 8):
        samples = samples[::-1]
    if orientation in (2, 3, 6, 7):
        samples = samples[:, ::-1]
    return samples


def samples_of(image: Image.Image, raw: str = "", deep: _Numbers | None = None) -> Samples:
    """Convert a loaded picture.

    Args:
        image: of any mode.
        raw: what :func:`raw_mode` said before loading.
        deep: all 16 bits of an RGB or RGBA picture of which Pillow has the upper 8.

    A single colour or palette entry that is marked transparent becomes alpha.
    ImageError for modes that have no clear meaning in 8 bits.
    """
    mode = image.mode
    if mode in ("1", "L"):
        return _from_grey(image, raw)
    if mode == "I" or mode.startswith("I;"):
        return _from_deep_grey(image, raw)
    if mode == "P":
        target = "RGBA" if image.has_transparency_data else "RGB"
        return _split(np.array(image.convert(target))).noted("palette converted to RGB")
    if mode == "LAB":
        return _split(np.array(_lab_to_rgb(image))).noted("LAB converted to RGB")
    if mode in _SEE_THROUGH:
        return _from_see_through(image, raw, deep)
    if mode in _SOLID:
        return _from_solid(image, raw, deep)
    kind = "floating-point pictures" if mode == "F" else f"pictures of mode {mode}"
    raise ImageError(f"{kind} are not supported: convert it to 8 or 16 bits first")


def _from_grey(image: Image.Image, raw: str) -> Samples:
    samples = np.array(image.convert("L"))
    key = image.info.get("transparency")
    if not isinstance(key, int):
        return _split(samples)
    # Pillow widens samples of 2 and 4 bits to 8, but not the key.
    key *= {"L;2": 85, "L;4": 17}.get(raw, 1)
    return _split(samples, _alpha(samples != key))


def _from_deep_grey(image: Image.Image, raw: str) -> Samples:
    samples = np.asarray(image)
    if samples.min() < 0 or samples.max() > 65535:
        raise ImageError("grey values outside 0..65535 are not supported")
    key = image.info.get("transparency")
    alpha = _alpha(samples != key) if isinstance(key, int) else None
    if raw.startswith("I;12"):
        wide = (np.minimum(samples, 4095).astype(np.uint32) * 131070 + 4095) // 8190
        return _split(wide.astype(np.uint16), alpha).noted("12 bits a channel reduced to 8")
    return _split(samples.astype(np.uint16), alpha).noted(_DEEP_NOTE)


def _from_see_through(image: Image.Image, raw: str, deep: _Numbers | None) -> Samples:
    samples: _Numbers = np.array(image.convert(_SEE_THROUGH[image.mode]))
    if raw.startswith("LA;16"):  # Pillow has no 16-bit LA, and widens it to RGBA
        samples = samples[..., [0, 3]]
    out = _split(samples if deep is None else deep)
    if ";16" in raw:
        return out.noted(_DEEP_NOTE)
    return out.noted("palette converted to RGB") if image.mode == "PA" else out


def _from_solid(image: Image.Image, raw: str, deep: _Numbers | None) -> Samples:
    samples: _Numbers = np.array(image.convert("RGB")) if deep is None else deep
    key = image.info.get("transparency") if image.mode == "RGB" else None
    alpha = None
    if key is not None:
        if deep is None and (";16" in raw or max(key) > 255):
            raise ImageError(
                "a transparent colour in a 16-bit picture that is loaded already is not supported: "
                "pass the file's bytes"
            )
        alpha = _alpha((samples != np.array(key)).any(axis=2))
    out = _split(samples, alpha)
    if image.mode in _NOTED:
        out = out.noted(f"{image.mode} converted to RGB")
    return out.noted(_DEEP_NOTE) if ";16" in raw else out


def _split(samples: _Numbers, alpha: _Numbers | None = None) -> Samples:
    """Split (H, W) or (H, W, 2, 3 or 4) into colour and alpha."""
    if samples.ndim == 2:
        samples = samples[..., None]
    if samples.shape[2] in (2, 4):
        samples, alpha = samples[..., :-1], samples[..., -1]
    return Samples(samples, alpha)


def _alpha(opaque: npt.NDArray[np.bool_]) -> _Bytes:
    return np.where(opaque, 255, 0).astype(np.uint8)


def _lab_to_rgb(image: Image.Image) -> Image.Image:
    lab: Any = ImageCms.createProfile("LAB")
    srgb: Any = ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
    if converted is None:
        raise ImageError("LAB could not be converted")
    return converted
