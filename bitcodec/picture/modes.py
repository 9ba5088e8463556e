"""Pillow's picture modes -> 8-bit RGB or grey, and a separate alpha.

What a conversion loses is said in a note; what cannot be kept is an ImageError.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

from bitcodec.errors import ImageError

__all__ = ["Converted", "raw_mode", "to_pixels"]

_Bytes = npt.NDArray[np.uint8]
# Modes that Pillow converts by itself, without and with an alpha channel of their own.
_SOLID = {"RGB", "RGBX", "CMYK", "YCbCr", "HSV"}
_SEE_THROUGH = {"RGBA": "RGBA", "RGBa": "RGBA", "PA": "RGBA", "LA": "LA", "La": "LA"}
_NOTED = {"CMYK", "YCbCr", "HSV", "LAB"}
_DEEP_NOTE = "16 bits a channel reduced to 8"


@dataclass(frozen=True, eq=False)
class Converted:
    """A converted picture: ``rgb`` uint8 (H, W, 3), ``alpha`` uint8 (H, W) or None."""

    rgb: _Bytes
    alpha: _Bytes | None
    grey: bool
    notes: tuple[str, ...] = ()


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
                return argument
    return ""


def to_pixels(image: Image.Image, raw: str = "") -> Converted:
    """Convert a loaded picture; ``raw`` is what :func:`raw_mode` said before loading.

    A single colour or palette entry that is marked transparent becomes alpha. Samples of 16 bits
    become round(v * 255 / 65535), except that for RGB Pillow has taken the high byte already.
    ImageError for modes that have no clear meaning in 8 bits.
    """
    mode = image.mode
    if mode in ("1", "L"):
        return _from_grey(image, raw)
    if mode == "I" or mode.startswith("I;"):
        return _from_deep_grey(image, raw)
    if mode == "P":
        target = "RGBA" if image.has_transparency_data else "RGB"
        pixels = _from_samples(np.array(image.convert(target)))
        return _noted(pixels, "palette converted to RGB")
    if mode == "LAB":
        return _noted(_from_samples(np.array(_lab_to_rgb(image))), "LAB converted to RGB")
    if mode in _SEE_THROUGH:
        return _from_see_through(image, raw)
    if mode in _SOLID:
        return _from_solid(image, raw)
    kind = "floating-point pictures" if mode == "F" else f"pictures of mode {mode}"
    raise ImageError(f"{kind} are not supported: convert it to 8 or 16 bits first")


def _from_grey(image: Image.Image, raw: str) -> Converted:
    samples = np.array(image.convert("L"))
    key = image.info.get("transparency")
    if key is None:
        return _from_samples(samples)
    # Pillow widens samples of 2 and 4 bits to 8, but not the key.
    key *= {"L;2": 85, "L;4": 17}.get(raw, 1)
    return _from_samples(samples, _alpha(samples != key))


def _from_deep_grey(image: Image.Image, raw: str) -> Converted:
    samples = np.asarray(image)
    if samples.min() < 0 or samples.max() > 65535:
        raise ImageError("grey values outside 0..65535 are not supported")
    key = image.info.get("transparency")
    alpha = None if key is None else _alpha(samples != key)
    top = 4095 if raw.startswith("I;12") else 65535
    # round(v * 255 / top) in integers; int32 holds 65535 * 510.
    reduced = np.minimum((samples.astype(np.int32) * 510 + top) // (2 * top), 255).astype(np.uint8)
    note = _DEEP_NOTE if top == 65535 else "12 bits a channel reduced to 8"
    return _noted(_from_samples(reduced, alpha), note)


def _from_see_through(image: Image.Image, raw: str) -> Converted:
    samples = np.array(image.convert(_SEE_THROUGH[image.mode]))
    if raw.startswith("LA;16"):  # Pillow has no 16-bit LA, and widens it to RGBA
        samples = samples[..., [0, 3]]
    pixels = _from_samples(samples)
    if ";16" in raw:
        return _noted(pixels, _DEEP_NOTE)
    return _noted(pixels, "palette converted to RGB") if image.mode == "PA" else pixels


def _from_solid(image: Image.Image, raw: str) -> Converted:
    samples = np.array(image.convert("RGB"))
    key = image.info.get("transparency") if image.mode == "RGB" else None
    if key is not None and ";16" in raw:
        raise ImageError("a transparent colour in a 16-bit picture is not supported")
    alpha = None if key is None else _alpha((samples != np.array(key)).any(axis=2))
    pixels = _from_samples(samples, alpha)
    if image.mode in _NOTED:
        pixels = _noted(pixels, f"{image.mode} converted to RGB")
    return _noted(pixels, _DEEP_NOTE) if ";16" in raw else pixels


def _from_samples(samples: _Bytes, alpha: _Bytes | None = None) -> Converted:
    """Split (H, W) or (H, W, 2, 3 or 4) into colour and alpha; an opaque alpha is none."""
    channels = 1 if samples.ndim == 2 else samples.shape[2]
    if channels in (2, 4):
        samples, alpha = samples[..., :-1], np.ascontiguousarray(samples[..., -1])
    if alpha is not None and alpha.min() == 255:
        alpha = None
    grey = channels < 3
    if grey:
        samples = np.repeat(samples.reshape(*samples.shape[:2], 1), 3, axis=2)
    return Converted(np.ascontiguousarray(samples), alpha, grey)


def _alpha(opaque: npt.NDArray[np.bool_]) -> _Bytes:
    return np.where(opaque, 255, 0).astype(np.uint8)


def _noted(pixels: Converted, note: str) -> Converted:
    return Converted(pixels.rgb, pixels.alpha, pixels.grey, (*pixels.notes, note))


def _lab_to_rgb(image: Image.Image) -> Image.Image:
    lab: Any = ImageCms.createProfile("LAB")
    srgb: Any = ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
    if converted is None:
        raise ImageError("LAB could not be converted")
    return converted
