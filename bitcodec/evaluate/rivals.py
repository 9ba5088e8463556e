"""The other codecs, each at settings that a careful user takes, and named by them.

A comparison with a weakly set rival says nothing. The values are chosen to give about 0.1 to 2 bpp
on photographs. All are Pillow's, but for two of libvips, whose binary wheel is linked with mozjpeg
and knows WebP's sharp YUV.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import PIL
from PIL import Image, features

from bitcodec.errors import BitcodecError
from bitcodec.evaluate.codecs import ClassicalCodec, Pixels, Setting, require

__all__ = ["DEFAULT_RIVALS", "RIVALS", "PillowWriter", "VipsWriter", "find", "rival"]


@dataclass(frozen=True)
class PillowWriter:
    """Saves by Pillow: a format and options, but for the quality or rate."""

    format: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def arguments(self, value: float) -> dict[str, Any]:
        """The options of `Image.save` for a quality, or for bits per pixel with JPEG 2000."""
        rate = {"quality_layers": [24 / value]} if self.format == "JPEG2000" else {}
        return {**self.options, **(rate or {"quality": int(value)})}

    def __call__(self, pixels: Pixels, value: float) -> bytes:
        """The bytes of a file of (H, W, 3) uint8 pixels."""
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, self.format, **self.arguments(value))
        return stream.getvalue()


@dataclass(frozen=True)
class VipsWriter:
    """Saves by libvips: the name of a method that gives bytes, and its options."""

    method: str
    options: Mapping[str, Any]

    def __call__(self, pixels: Pixels, value: float) -> bytes:
        """The bytes of a file of (H, W, 3) uint8 pixels."""
        vips = importlib.import_module("pyvips")
        height, width = pixels.shape[:2]
        data = np.ascontiguousarray(pixels).tobytes()
        image = vips.Image.new_from_memory(data, width, height, 3, "uchar")
        save = getattr(image.copy(interpretation="srgb"), self.method)
        result: bytes = save(Q=int(value), keep="none", **self.options)
        return result


def _pillow(feature: str, title: str) -> Callable[[], str]:
    def version() -> str:
        if not features.check(feature):
            raise BitcodecError(f"this Pillow was built without {title}")
        return f"{title} {features.version(feature)}, Pillow {PIL.__version__}"

    return version


def _jpeg_version() -> str:
    turbo = features.version("libjpeg_turbo")
    return f"{'libjpeg-turbo ' + turbo if turbo else 'libjpeg'}, Pillow {PIL.__version__}"


def _avif_version() -> str:
    text = _pillow("avif", "libavif")()
    codecs = str(importlib.import_module("PIL._avif").codec_versions())
    encoder = next((part.strip() for part in codecs.split(",") if "[enc]" in part), codecs)
    return f"{encoder.replace(' [enc]:', ' ')}, {text}"


def _jxl_version() -> str:
    require("pillow_jxl", "pillow-jxl-plugin", "JPEG XL")
    return f"pillow-jxl-plugin {importlib.metadata.version('pillow-jxl-plugin')}"


def _vips_version() -> str:
    try:
        vips = require("pyvips", "pyvips[binary]", "this codec")
    except OSError as error:  # pyvips is there and the library libvips is not
        raise BitcodecError("this codec needs the package pyvips[binary]") from error
    return f"libvips {vips.version(0)}.{vips.version(1)}.{vips.version(2)}"


@dataclass(frozen=True)
class _Rival:
    settings: str
    version: Callable[[], str]
    writer: PillowWriter | VipsWriter
    values: tuple[float, ...]
    kind: Literal["quality", "bpp"] = "quality"


_JPEG_VALUES = (5, 12, 25, 45, 70, 85)
_WEBP_VALUES = (1, 8, 25, 50, 75, 90)
_AVIF_VALUES = (6, 20, 36, 52, 68, 82)
_JXL_VALUES = (5, 20, 40, 58, 74, 87)


def _jpeg(chroma: str) -> _Rival:
    # Without optimize the same pixels cost up to 0.08 bpp more: published curves often do that.
    options = {"optimize": True, "progressive": True, "subsampling": chroma}
    settings = f"progressive, optimised, {chroma}"
    return _Rival(settings, _jpeg_version, PillowWriter("JPEG", options), _JPEG_VALUES)


def _avif(chroma: str, speed: int) -> _Rival:
    writer = PillowWriter("AVIF", {"speed": speed, "subsampling": chroma})
    return _Rival(f"{chroma}, speed {speed}", _avif_version, writer, _AVIF_VALUES)


def _jxl(effort: int) -> _Rival:
    writer = PillowWriter("JXL", {"effort": effort})
    return _Rival(f"effort {effort}", _jxl_version, writer, _JXL_VALUES)


RIVALS: Mapping[str, _Rival] = {
    "jpeg-420": _jpeg("4:2:0"),
    "jpeg-444": _jpeg("4:4:4"),
    "webp-m6": _Rival(
        "method 6", _pillow("webp", "libwebp"), PillowWriter("WEBP", {"method": 6}), _WEBP_VALUES
    ),
    "avif-420-s6": _avif("4:2:0", 6),
    "avif-444-s3": _avif("4:4:4", 3),
    "jxl-e7": _jxl(7),
    "jpeg2000": _Rival(
        # Without mct there is no colour transform, which costs about 3 dB.
        "irreversible, colour transform",
        _pillow("jpg_2000", "OpenJPEG"),
        PillowWriter("JPEG2000", {"quality_mode": "rates", "mct": 1, "irreversible": True}),
        (0.1, 0.2, 0.4, 0.7, 1.2, 2),
        "bpp",
    ),
    "jxl-e9": _jxl(9),
    "webp-m6-sharp": _Rival(
        "method 6, sharp YUV",
        _vips_version,
        VipsWriter("webpsave_buffer", {"effort": 6, "smart_subsample": True}),
        _WEBP_VALUES,
    ),
    "mozjpeg-420": _Rival(
        "mozjpeg: trellis, scans, table 3, 4:2:0",
        _vips_version,
        VipsWriter(
            "jpegsave_buffer",
            {
                "interlace": True,
                "optimize_coding": True,
                "subsample_mode": "on",
                "trellis_quant": True,
                "overshoot_deringing": True,
                "optimize_scans": True,
                "quant_table": 3,
            },
        ),
        _JPEG_VALUES,
    ),
}
DEFAULT_RIVALS = tuple(RIVALS)[:7]


def find(name: str) -> str:
    """The full name: "avif" is the first one whose name starts so.

    Raises BitcodecError where there is none.
    """
    if name in RIVALS:
        return name
    for full in RIVALS:
        if full.startswith(f"{name}-"):
            return full
    raise BitcodecError(f"unknown codec {name!r} (there are {', '.join(RIVALS)})")


def rival(name: str, values: Iterable[float] = ()) -> ClassicalCodec:
    """The codec of that name, with ``values`` instead of its own list of settings.

    Raises BitcodecError for an unknown name, a library that is missing, and a value outside the
    codec's scale.
    """
    name = find(name)
    entry = RIVALS[name]
    chosen = tuple(values) or entry.values
    for value in chosen:
        if entry.kind == "quality" and not (1 <= value <= 100 and value == int(value)):
            raise BitcodecError(f"{name}: a quality is a whole number from 1 to 100, not {value:g}")
        if entry.kind == "bpp" and not 0 < value <= 24:
            raise BitcodecError(f"{name}: a rate is over 0 and at most 24 bpp, not {value:g}")
    settings = tuple(Setting(entry.kind, value) for value in chosen)
    identity = f"{entry.settings}; {entry.version()}"
    return ClassicalCodec(name, identity, settings, entry.writer)
