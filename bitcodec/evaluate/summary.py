"""Means over the pictures, published curves, and BD-rate."""

from __future__ import annotations

import json
import math
import warnings
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bitcodec.errors import BitcodecError, FileError
from bitcodec.evaluate.codecs import require
from bitcodec.evaluate.msssim import ms_ssim_db
from bitcodec.evaluate.rows import Row

__all__ = ["BdRate", "Curve", "Point", "bd_rate", "load_anchors", "mean_curves"]


@dataclass(frozen=True)
class Point:
    """Means over all pictures at one setting.

    Attributes:
        setting: "" for a published point.
        bpp: mean of the pictures' bits per pixel.
        psnr: mean of the pictures' PSNR in RGB, dB; None where it was not published.
        ms_ssim: mean over the pictures large enough for it; None where there is none.
        bytes: mean file length; None for a published point, as the seconds are.
        encode_s, decode_s: seconds per megapixel.
    """

    setting: str
    bpp: float
    psnr: float | None
    ms_ssim: float | None
    bytes: float | None = None
    encode_s: float | None = None
    decode_s: float | None = None


@dataclass(frozen=True)
class Curve:
    """A codec's points, by rising bpp; ``source`` is "measured" or where they were published."""

    name: str
    source: str
    points: tuple[Point, ...]

    @property
    def measured(self) -> bool:
        """Measured in this evaluation."""
        return self.source == "measured"


@dataclass(frozen=True)
class BdRate:
    """Bits saved (negative) or spent against the anchor at equal quality, in percent.

    None where the curves do not overlap or have fewer than two points.
    """

    name: str
    psnr: float | None
    ms_ssim: float | None


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if math.inf not in values else math.inf


def _point(setting: str, rows: Sequence[Row]) -> Point:
    similar = [row.ms_ssim for row in rows if row.ms_ssim is not None]
    megapixels = math.fsum(row.width * row.height for row in rows) / 1e6
    return Point(
        setting=setting,
        bpp=_mean([row.bpp for row in rows]),
        psnr=_mean([row.psnr for row in rows]),
        ms_ssim=_mean(similar) if similar else None,
        bytes=_mean([row.bytes for row in rows]),
        encode_s=math.fsum(row.encode_s for row in rows) / megapixels,
        decode_s=math.fsum(row.decode_s for row in rows) / megapixels,
    )


def mean_curves(rows: Sequence[Row]) -> list[Curve]:
    """One curve a codec, in the order in which the codecs first appear.

    A setting that failed for a picture which others managed is left out: its mean would be over
    other pictures than theirs.
    """
    pictures = {row.picture for row in rows}
    groups: dict[str, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        groups[row.codec][row.setting].append(row)
    curves = []
    for name, settings in groups.items():
        points = [_point(label, g) for label, g in settings.items() if len(g) == len(pictures)]
        points.sort(key=lambda point: point.bpp)
        if points:
            curves.append(Curve(name, "measured", tuple(points)))
    return curves


def load_anchors(path: Path) -> list[Curve]:
    """Published curves: ``{name: {"source": text, "points": [{"bpp", "psnr_rgb", "ms_ssim"}]}}``.

    ``psnr_rgb`` may be null, ``ms_ssim`` null or missing. Raises FileError where the file
    cannot be read, and BitcodecError where it has another form.
    """
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise FileError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise BitcodecError(f"{path}: not JSON: {error}") from error
    try:
        return [_published(name, entry) for name, entry in content.items()]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise BitcodecError(f"{path}: not a file of published curves ({error!r})") from error


def _maybe(value: Any) -> float | None:
    return None if value is None else float(value)


def _published(name: str, entry: dict[str, Any]) -> Curve:
    points = [
        Point(
            setting="",
            bpp=float(point["bpp"]),
            psnr=_maybe(point["psnr_rgb"]),
            ms_ssim=_maybe(point.get("ms_ssim")),
        )
        for point in entry["points"]
    ]
    points.sort(key=lambda point: point.bpp)
    return Curve(name, str(entry["source"]), tuple(points))


def bd_rate(anchor: Curve, test: Curve) -> BdRate:
    """Bjøntegaard delta rate of ``test`` against ``anchor`` for both measures.

    By the package bjontegaard, piecewise cubic (PCHIP) through all points over the range that both
    curves cover; MS-SSIM in dB, since its raw scale would weigh the low end almost alone.
    Raises BitcodecError where bjontegaard is not installed.
    """
    library = require("bjontegaard", "bjontegaard", "BD-rate")
    return BdRate(
        test.name,
        psnr=_delta(library, anchor, test, lambda point: point.psnr),
        ms_ssim=_delta(
            library,
            anchor,
            test,
            lambda point: None if point.ms_ssim is None else ms_ssim_db(point.ms_ssim),
        ),
    )


def _delta(
    library: Any, anchor: Curve, test: Curve, value: Callable[[Point], float | None]
) -> float | None:
    sides = [
        [(point.bpp, v) for point in curve.points if (v := value(point)) is not None]
        for curve in (anchor, test)
    ]
    sides = [_rising([pair for pair in side if math.isfinite(pair[1])]) for side in sides]
    if min(len(side) for side in sides) < 2:
        return None
    (r1, d1), (r2, d2) = (zip(*side, strict=True) for side in sides)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "do not overlap" comes back as NaN as well
        delta = library.bd_rate(
            r1, d1, r2, d2, method="pchip", require_matching_points=False, min_overlap=0
        )
    return float(delta) if math.isfinite(delta) else None


def _rising(side: list[tuple[float, float]]) -> list[tuple[float, float]]:
    # The interpolation is of rate over quality, so a point that is no better for more bits goes.
    kept: list[tuple[float, float]] = []
    for rate, quality in side:
        if not kept or (quality > kept[-1][1] and rate > kept[-1][0]):
            kept.append((rate, quality))
    return kept
