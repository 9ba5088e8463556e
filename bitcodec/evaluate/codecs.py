"""The codecs that an evaluation compares: one small protocol, and the classical codecs behind it.

Every codec sees the same thing, 8-bit RGB pixels without profile or metadata, and gives back the
bytes of a complete file: what counts is what would lie on the disk. The settings are the strong
ones (see each writer), since a comparison with a weakly set rival says nothing.
"""

from __future__ import annotations

import importlib
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import PIL
from PIL import Image, features

from bitcodec.errors import BitcodecError

__all__ = [
    "CLASSICAL",
    "DEFAULT_CLASSICAL",
    "ClassicalCodec",
    "MeasuredCodec",
    "Pixels",
    "Setting",
    "classical",
    "nearest_quality",
    "require",
]

Pixels = npt.NDArray[np.uint8]  #: (H, W, 3), RGB, 0 to 255


@dataclass(frozen=True)
class Setting:
    """Where on its curve a codec is asked to be.

    Attributes:
        kind: "quality", the codec's own scale, mostly 1 to 100; "bpp", a target in bits per pixel;
            "size", a target in bytes.
        value: on that scale.
    """

    kind: Literal["quality", "bpp", "size"]
    value: float

    @property
    def label(self) -> str:
        """Short name, the same for the same setting: "q30", "0.25 bpp", "9000 B"."""
        number = f"{self.value:g}"
        if self.kind == "size":
            return f"{int(self.value)} B"
        return f"q{number}" if self.kind == "quality" else f"{number} bpp"


class MeasuredCodec(Protocol):
    """What an evaluation needs of a codec."""

    @property
    def name(self) -> str:
        """Name in tables and plots; unique in one evaluation."""

    @property
    def identity(self) -> str:
        """Everything, besides the setting, that decides the bytes: library version, model id."""

    @property
    def settings(self) -> Sequence[Setting]:
        """The settings to measure, at least one."""

    def encode(self, pixels: Pixels, setting: Setting) -> bytes:
        """The bytes of a complete file."""

    def decode(self, data: bytes) -> Pixels:
        """The (H, W, 3) uint8 pixels of a file made by :meth:`encode`."""

    def fit(self, pixels: Pixels, size: int) -> tuple[Setting, bytes]:
        """A file of as nearly ``size`` bytes as the codec can, and the setting that made it.

        Raises TargetError where there is none at all.
        """


def require(module: str, package: str, purpose: str) -> Any:
    """Import an optional module, or raise a BitcodecError that says what to install."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise BitcodecError(
            f"{purpose} needs the package {package}: pip install 'bitcodec[eval]' ({error})"
        ) from error


@dataclass(frozen=True)
class ClassicalCodec:
    """A codec of a library, with a fixed way of calling it. Implements :class:`MeasuredCodec`."""

    name: str
    identity: str
    settings: tuple[Setting, ...]
    writer: Callable[[Pixels, float], bytes]

    def encode(self, pixels: Pixels, setting: Setting) -> bytes:
        """As :meth:`MeasuredCodec.encode`; ``setting`` must be of the kind of ``self.settings``."""
        if setting.kind != self.settings[0].kind:
            raise BitcodecError(f"{self.name} has no setting of the kind {setting.kind}")
        return self.writer(pixels, setting.value)

    def decode(self, data: bytes) -> Pixels:
        """As :meth:`MeasuredCodec.decode`."""
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image.convert("RGB"))

    def fit(self, pixels: Pixels, size: int) -> tuple[Setting, bytes]:
        """As :meth:`MeasuredCodec.fit`: the nearest of all whole qualities, or the rate itself."""
        if self.settings[0].kind == "bpp":
            setting = Setting("bpp", 8 * size / (pixels.shape[0] * pixels.shape[1]))
            return setting, self.writer(pixels, setting.value)
        quality, data = nearest_quality(lambda q: self.writer(pixels, q), size)
        return Setting("quality", quality), data


def nearest_quality(
    encode: Callable[[int], bytes], size: int, low: int = 1, high: int = 100
) -> tuple[int, bytes]:
    """The quality whose file is nearest to ``size`` bytes, by ratio; bisects, so about 7 encodings.

    ``encode`` must give longer files for higher qualities, apart from small dips.
    """
    tried: dict[int, bytes] = {}
    while low <= high:
        middle = (low + high) // 2
        tried[middle] = encode(middle)
        if len(tried[middle]) < size:
            low = middle + 1
        else:
            high = middle - 1
    best = min(tried, key=lambda q: abs(np.log(len(tried[q]) / size)))
    return best, tried[best]


def _save(pixels: Pixels, format_: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format_, **options)
    return stream.getvalue()


def _jpeg(pixels: Pixels, quality: float) -> bytes:
    # Without optimize the same pixels cost up to 0.08 bpp more: published curves often do that.
    return _save(
        pixels, "JPEG", quality=int(quality), optimize=True, progressive=True, subsampling="4:2:0"
    )


def _webp(pixels: Pixels, quality: float) -> bytes:
    return _save(pixels, "WEBP", quality=int(quality), method=6)


def _jpeg2000(pixels: Pixels, bpp: float) -> bytes:
    # Without mct there is no colour transform, which costs about 3 dB.
    return _save(
        pixels,
        "JPEG2000",
        quality_mode="rates",
        quality_layers=[24 / bpp],
        mct=1,
        irreversible=True,
    )


def _avif(pixels: Pixels, quality: float) -> bytes:
    return _save(pixels, "AVIF", quality=int(quality), speed=6, subsampling="4:2:0")


def _jxl(pixels: Pixels, quality: float) -> bytes:
    return _save(pixels, "JXL", quality=int(quality), effort=7)


def _mozjpeg(pixels: Pixels, quality: float) -> bytes:
    # The binary wheel of libvips is linked with mozjpeg; trellis, scans and tables are mozjpeg's.
    vips = importlib.import_module("pyvips")
    height, width = pixels.shape[:2]
    image = vips.Image.new_from_memory(
        np.ascontiguousarray(pixels).tobytes(), width, height, 3, "uchar"
    ).copy(interpretation="srgb")
    data: bytes = image.jpegsave_buffer(
        Q=int(quality),
        interlace=True,
        optimize_coding=True,
        subsample_mode="on",
        trellis_quant=True,
        overshoot_deringing=True,
        optimize_scans=True,
        quant_table=3,
        keep="none",
    )
    return data


def _pillow(feature: str, title: str) -> Callable[[], str]:
    def identity() -> str:
        if not features.check(feature):
            raise BitcodecError(f"this Pillow was built without {title}")
        return f"{title} {features.version(feature)}, Pillow {PIL.__version__}"

    return identity


def _identify_jpeg() -> str:
    turbo = features.version("libjpeg_turbo")
    return f"{'libjpeg-turbo ' + turbo if turbo else 'libjpeg'}, Pillow {PIL.__version__}"


def _identify_jxl() -> str:
    module = require("pillow_jxl", "pillow-jxl-plugin", "JPEG XL")
    return f"pillow-jxl-plugin {getattr(module, '__version__', 'unknown')}, effort 7"


def _identify_mozjpeg() -> str:
    try:
        vips = require("pyvips", "pyvips[binary]", "mozjpeg")
    except OSError as error:  # pyvips is there and the library libvips is not
        raise BitcodecError("mozjpeg needs the package pyvips[binary]") from error
    return f"mozjpeg, libvips {vips.version(0)}.{vips.version(1)}.{vips.version(2)}"


@dataclass(frozen=True)
class _Entry:
    identify: Callable[[], str]
    writer: Callable[[Pixels, float], bytes]
    kind: Literal["quality", "bpp"]
    values: tuple[float, ...]  # about 0.1 to 2 bpp on photographs


CLASSICAL: Mapping[str, _Entry] = {
    "jpeg": _Entry(_identify_jpeg, _jpeg, "quality", (5, 10, 20, 30, 45, 60, 75, 85)),
    "webp": _Entry(_pillow("webp", "libwebp"), _webp, "quality", (1, 5, 15, 30, 50, 70, 85, 90)),
    "jpeg2000": _Entry(
        _pillow("jpg_2000", "OpenJPEG"), _jpeg2000, "bpp", (0.1, 0.2, 0.35, 0.5, 0.75, 1, 1.5, 2)
    ),
    "avif": _Entry(_pillow("avif", "libavif"), _avif, "quality", (5, 15, 25, 37, 50, 60, 70, 80)),
    "jxl": _Entry(_identify_jxl, _jxl, "quality", (5, 15, 30, 45, 60, 70, 80, 87)),
    "mozjpeg": _Entry(_identify_mozjpeg, _mozjpeg, "quality", (5, 10, 20, 30, 45, 60, 75, 85)),
}
DEFAULT_CLASSICAL = ("jpeg", "webp", "jpeg2000", "avif")


def classical(name: str, values: Iterable[float] = ()) -> ClassicalCodec:
    """The classical codec of that name, with ``values`` instead of its own list of settings.

    Raises BitcodecError for a name that is not in :data:`CLASSICAL`, a library that is missing,
    and a value outside the codec's scale.
    """
    if name not in CLASSICAL:
        raise BitcodecError(f"unknown codec {name!r} (there are {', '.join(CLASSICAL)})")
    entry = CLASSICAL[name]
    chosen = tuple(values) or entry.values
    for value in chosen:
        if entry.kind == "quality" and not (1 <= value <= 100 and value == int(value)):
            raise BitcodecError(f"{name}: a quality is a whole number from 1 to 100, not {value:g}")
        if entry.kind == "bpp" and not 0 < value <= 24:
            raise BitcodecError(f"{name}: a rate is over 0 and at most 24 bpp, not {value:g}")
    settings = tuple(Setting(entry.kind, value) for value in chosen)
    return ClassicalCodec(name, entry.identify(), settings, entry.writer)
