"""What an evaluation needs of a codec: one small protocol, and codecs of a library behind it.

Every codec sees the same thing, 8-bit RGB pixels without profile, EXIF or XMP, and gives back the
bytes of a complete file: what counts is what would lie on the disk.
"""

from __future__ import annotations

import importlib
import io
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from bitcodec.errors import BitcodecError

__all__ = [
    "ClassicalCodec",
    "MeasuredCodec",
    "Pixels",
    "Setting",
    "Writer",
    "nearest_quality",
    "require",
]

Pixels = npt.NDArray[np.uint8]  #: (H, W, 3), RGB, 0 to 255
Writer = Callable[[Pixels, float], bytes]  #: a file of pixels at a quality or a rate


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
        """Everything, besides the setting, that decides the bytes: options, library, model id."""

    @property
    def settings(self) -> Sequence[Setting]:
        """The settings to measure, at least one."""

    def encode(self, pixels: Pixels, setting: Setting) -> bytes:
        """The bytes of a complete file."""

    def decode(self, data: bytes) -> Pixels:
        """The (H, W, 3) uint8 pixels of a file made by :meth:`encode`."""

    @property
    def recipe(self) -> dict[str, Any]:
        """What makes the codec anew in another process, as JSON; see ``evaluate.speed``."""

    def command(
        self, what: Literal["encode", "decode"], source: Path, target: Path, setting: Setting
    ) -> list[str] | None:
        """The command line that codes a PNG file, or decodes to one; None if there is none."""

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


_COMMAND = """
import importlib, json, sys
from PIL import Image
source, target, name, options, plugin = sys.argv[1:]
importlib.import_module(plugin)
with Image.open(source) as image:
    image.convert("RGB").save(target, name, **json.loads(options))
"""


@dataclass(frozen=True)
class ClassicalCodec:
    """A codec of a library, with a fixed way of calling it. Implements :class:`MeasuredCodec`."""

    name: str
    identity: str
    settings: tuple[Setting, ...]
    writer: Writer

    def encode(self, pixels: Pixels, setting: Setting) -> bytes:
        """As :meth:`MeasuredCodec.encode`; ``setting`` must be of the kind of ``self.settings``."""
        if setting.kind != self.settings[0].kind:
            raise BitcodecError(f"{self.name} has no setting of the kind {setting.kind}")
        return self.writer(pixels, setting.value)

    def decode(self, data: bytes) -> Pixels:
        """As :meth:`MeasuredCodec.decode`."""
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image.convert("RGB"))

    @property
    def recipe(self) -> dict[str, Any]:
        """As :meth:`MeasuredCodec.recipe`."""
        return {"rival": self.name}

    def command(
        self, what: Literal["encode", "decode"], source: Path, target: Path, setting: Setting
    ) -> list[str] | None:
        """As :meth:`MeasuredCodec.command`: a few lines around Pillow, for its codecs alone."""
        arguments = getattr(self.writer, "arguments", None)
        if arguments is None:
            return None
        saved = arguments(setting.value) if what == "encode" else {}
        format_ = getattr(self.writer, "format", "") if what == "encode" else "PNG"
        plugin = "pillow_jxl" if self.name.startswith("jxl") else "PIL"
        options = [format_, json.dumps(saved), plugin]
        return [sys.executable, "-c", _COMMAND, str(source), str(target), *options]

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
