"""Pictures for the page's viewer: one original, several codecs at nearly one file size.

Decoded pictures are embedded losslessly as they came out of our decoder, not as the compressed
files, so that what is seen is what was measured, whatever the browser's own decoders do.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from bitcodec.errors import TargetError, one_line
from bitcodec.evaluate.codecs import MeasuredCodec, Pixels
from bitcodec.evaluate.metrics import Metric, Scorer, Scores
from bitcodec.evaluate.runner import Failure

__all__ = ["MAX_SHOWN", "Shown", "Version", "at_sizes", "crop", "spread", "version"]

T = TypeVar("T")
MAX_SHOWN = 1024  #: pixels a side: of a larger picture the page shows the middle


@dataclass(frozen=True)
class Version:
    """One file of a picture: what it measures over the whole picture, and what is shown of it."""

    codec: str
    setting: str
    bytes: int
    bpp: float
    scores: Scores
    uri: str


@dataclass(frozen=True)
class Shown:
    """One picture of the viewer.

    Attributes:
        name: its name.
        width, height: of the whole picture, pixels.
        shown_width, shown_height: of what is embedded.
        uri: the original, as a data URI.
        sizes: (label, versions) pairs: the versions of one label have nearly the same bytes.
    """

    name: str
    width: int
    height: int
    shown_width: int
    shown_height: int
    uri: str
    sizes: tuple[tuple[str, tuple[Version, ...]], ...]


def crop(pixels: Pixels) -> Pixels:
    """The middle of (H, W, 3), at most ``MAX_SHOWN`` pixels each way."""
    height, width = pixels.shape[:2]
    h, w = min(height, MAX_SHOWN), min(width, MAX_SHOWN)
    top, left = (height - h) // 2, (width - w) // 2
    return pixels[top : top + h, left : left + w]


def _uri(pixels: Pixels) -> str:
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(
        stream, "WEBP", lossless=True, quality=60, method=4
    )
    return "data:image/webp;base64," + base64.b64encode(stream.getvalue()).decode("ascii")


def version(
    original: Pixels,
    decoded: Pixels,
    score: Scorer,
    *,
    codec: str,
    setting: str,
    size: int,
    embed: bool = True,
) -> Version:
    """Measure one decoded file of ``size`` bytes, and embed it if asked; of equal shapes."""
    return Version(
        codec=codec,
        setting=setting,
        bytes=size,
        bpp=8 * size / (original.shape[0] * original.shape[1]),
        scores=score(decoded),
        uri=_uri(crop(decoded)) if embed else "",
    )


def shown(name: str, pixels: Pixels, sizes: Sequence[tuple[str, tuple[Version, ...]]]) -> Shown:
    """A picture with its versions, for the page."""
    part = crop(pixels)
    return Shown(
        name=name,
        width=pixels.shape[1],
        height=pixels.shape[0],
        shown_width=part.shape[1],
        shown_height=part.shape[0],
        uri=_uri(part),
        sizes=tuple(sizes),
    )


def at_sizes(
    name: str,
    pixels: Pixels,
    codecs: Sequence[MeasuredCodec],
    bpps: Sequence[float],
    metrics: Sequence[Metric],
) -> tuple[Shown, list[Failure]]:
    """Every codec's file nearest to each of the sizes, and what failed.

    A codec that cannot make so small a file shows its nearest, with its true bytes beside it; one
    that can make none at all is left out of that size, without a failure.
    """
    failures: list[Failure] = []
    score = Scorer(pixels, metrics)
    groups = []
    for bpp in bpps:
        size = max(1, round(bpp * pixels.shape[0] * pixels.shape[1] / 8))
        versions = []
        for codec in codecs:
            try:
                setting, data = codec.fit(pixels, size)
                decoded = codec.decode(data)
                made: dict[str, Any] = {"codec": codec.name, "setting": setting.label}
                versions.append(version(pixels, decoded, score, size=len(data), **made))
            except TargetError:
                continue
            except Exception as error:  # as in the runner: a rival's library may raise anything
                failures.append(Failure(name, codec.name, f"{bpp:g} bpp", one_line(error)))
        if versions:
            groups.append((f"{bpp:g} bpp, {size:,} B", tuple(versions)))
    return shown(name, pixels, groups), failures


def spread(items: Sequence[T], count: int) -> list[T]:
    """``count`` of them, evenly spread: neighbours in a folder are often alike."""
    if count >= len(items):
        return list(items)
    return [items[i * len(items) // count] for i in range(count)]
