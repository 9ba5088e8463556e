"""Means over the pictures, published curves, and BD-rate."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bitcodec.errors import BitcodecError, FileError
from bitcodec.evaluate.codecs import require
from bitcodec.evaluate.metrics import METRICS, Metric, Scores
from bitcodec.evaluate.rows import Row

__all__ = [
    "BdRate",
    "Curve",
    "Point",
    "bd_rates",
    "common_range",
    "load_anchors",
    "mean_curves",
]


@dataclass(frozen=True)
class Point:
    """Means over all pictures at one setting.

    Attributes:
        setting: "" for a published point.
        bpp: mean of the pictures' bits per pixel.
        scores: by metric, the mean of the pictures' values, over those large enough for it; None
            where there is none; of a published point only what was published.
        bytes: mean file length; None for a published point, as the seconds are.
        encode_s, decode_s: seconds per megapixel.
    """

    setting: str
    bpp: float
    scores: Scores
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
    """Bits saved (negative) or spent against the anchor at equal quality, in percent, by metric.

    Attributes:
        name: of the curve.
        curve: of the mean curve. None where it does not overlap the anchor's or has under 2 points.
        pictures: of each picture, by its name; pictures that have none are left out.
    """

    name: str
    curve: Mapping[str, float | None]
    pictures: Mapping[str, Mapping[str, float]]

    def mean(self, metric: str) -> float | None:
        """Mean over the pictures that have one; None where none has."""
        values = self.pictures.get(metric, {})
        return math.fsum(values.values()) / len(values) if values else None


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if math.inf not in values else math.inf


def _point(setting: str, rows: Sequence[Row]) -> Point:
    scores: dict[str, float | None] = {}
    for name in METRICS:
        if all(name in row.scores for row in rows):
            values = [value for row in rows if (value := row.scores[name]) is not None]
            scores[name] = _mean(values) if values else None
    megapixels = math.fsum(row.width * row.height for row in rows) / 1e6
    return Point(
        setting=setting,
        bpp=_mean([row.bpp for row in rows]),
        scores=scores,
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
            scores={"psnr": _maybe(point["psnr_rgb"]), "ms-ssim": _maybe(point.get("ms_ssim"))},
        )
        for point in entry["points"]
    ]
    points.sort(key=lambda point: point.bpp)
    return Curve(name, str(entry["source"]), tuple(points))


def bd_rates(
    curves: Sequence[Curve], anchor: Curve, rows: Sequence[Row], metrics: Sequence[Metric]
) -> list[BdRate]:
    """Bjøntegaard delta rates of every other curve against ``anchor``.

    Piecewise cubic (PCHIP, by SciPy) through the logarithms of all rates. The range of quality is
    what two curves both cover, but for SSIMULACRA2 what all measured ones cover, if they overlap:
    the low end reaches below 0 there, where the score means little, and further for some codecs.
    MS-SSIM is in dB, since its raw scale would weigh the low end almost alone.
    Raises BitcodecError where SciPy is not installed.
    """
    others = [curve for curve in curves if curve.name != anchor.name]
    whole = {metric.name: _against(anchor, others, curves, metric) for metric in metrics}
    each: dict[str, dict[str, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    for picture in dict.fromkeys(row.picture for row in rows):
        own = {c.name: c for c in mean_curves([row for row in rows if row.picture == picture])}
        if (base := own.pop(anchor.name, None)) is None:
            continue
        tests, every = list(own.values()), [base, *own.values()]
        for metric in metrics:
            for name, value in _against(base, tests, every, metric).items():
                if value is not None:
                    each[name][metric.name][picture] = value
    return [
        BdRate(
            curve.name,
            {metric.name: whole[metric.name][curve.name] for metric in metrics},
            {metric: dict(values) for metric, values in each[curve.name].items()},
        )
        for curve in others
    ]


def common_range(curves: Sequence[Curve], metric: Metric) -> tuple[float, float] | None:
    """The values of ``metric.scale`` that all measured curves cover; None where there are none."""
    sides = [_side(curve, metric) for curve in curves if curve.measured]
    ends = [(side[0][1], side[-1][1]) for side in sides if len(side) > 1]
    if not ends:
        return None
    low, high = max(end[0] for end in ends), min(end[1] for end in ends)
    return (low, high) if low < high else None


def _against(
    anchor: Curve, tests: Sequence[Curve], curves: Sequence[Curve], metric: Metric
) -> dict[str, float | None]:
    limits = common_range(curves, metric) if metric.name == "ssimulacra2" else None
    base = _side(anchor, metric)
    return {test.name: _delta(base, _side(test, metric), limits) for test in tests}


def _side(curve: Curve, metric: Metric) -> list[tuple[float, float]]:
    """(bpp, quality) pairs, both rising."""
    pairs = [
        (point.bpp, metric.scale(value))
        for point in curve.points
        if (value := point.scores.get(metric.name)) is not None
    ]
    return _rising([pair for pair in pairs if math.isfinite(pair[1])])


def _delta(
    base: list[tuple[float, float]],
    test: list[tuple[float, float]],
    limits: tuple[float, float] | None,
) -> float | None:
    if min(len(base), len(test)) < 2:
        return None
    low, high = max(base[0][1], test[0][1]), min(base[-1][1], test[-1][1])
    if limits is not None:
        low, high = max(low, limits[0]), min(high, limits[1])
    if low >= high:
        return None
    interpolate = require("scipy.interpolate", "scipy", "BD-rate").PchipInterpolator
    total = 0.0
    for sign, side in ((1, test), (-1, base)):
        rates, qualities = zip(*side, strict=True)
        curve = interpolate(qualities, [math.log(rate) for rate in rates])
        total += sign * float(curve.integrate(low, high))
    return 100 * math.expm1(total / (high - low))


def _rising(side: list[tuple[float, float]]) -> list[tuple[float, float]]:
    # The interpolation is of rate over quality, so a point that is no better for more bits goes.
    kept: list[tuple[float, float]] = []
    for rate, quality in side:
        if not kept or (quality > kept[-1][1] and rate > kept[-1][0]):
            kept.append((rate, quality))
    return kept
