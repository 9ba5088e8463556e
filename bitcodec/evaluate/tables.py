"""Summaries as text for a terminal, as CSV and as JSON."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bitcodec.evaluate.metrics import METRICS, Metric
from bitcodec.evaluate.rows import Row
from bitcodec.evaluate.runner import Outcome
from bitcodec.evaluate.speed import Speed
from bitcodec.evaluate.summary import BdRate, Curve, common_range

__all__ = [
    "Results",
    "bd_table",
    "codec_table",
    "mean_table",
    "range_note",
    "speed_table",
    "text_table",
    "to_csv",
    "to_json",
]


@dataclass(frozen=True)
class Results:
    """What an evaluation found.

    Attributes:
        outcome: rows and failures.
        curves: means of what was measured, then the published curves.
        anchor: name of the curve that ``rates`` are against; None where it could not be measured.
        rates: BD-rates of the other curves.
        metrics: that were asked for.
        speeds: how fast each codec is; empty if not asked for.
        seconds: that measuring took, by the wall clock.
    """

    outcome: Outcome
    curves: Sequence[Curve]
    anchor: str | None
    rates: Sequence[BdRate]
    metrics: Sequence[Metric]
    speeds: Sequence[Speed] = ()
    seconds: float = 0


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def mean_table(curves: Sequence[Curve], metrics: Sequence[Metric]) -> list[tuple[str, ...]]:
    """The measured means, a heading first."""
    titles = (metric.title for metric in metrics)
    rows: list[tuple[str, ...]] = [
        ("codec", "setting", "bpp", *titles, "enc s/MP", "dec s/MP"),
    ]
    rows.extend(
        (
            curve.name,
            point.setting,
            _number(point.bpp, 4),
            *(metric.text(point.scores.get(metric.name)) for metric in metrics),
            _number(point.encode_s, 3),
            _number(point.decode_s, 3),
        )
        for curve in curves
        if curve.measured
        for point in curve.points
    )
    return rows


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:+.1f} %"


def bd_table(
    rates: Sequence[BdRate], anchor: str, metrics: Sequence[Metric]
) -> list[tuple[str, ...]]:
    """BD-rate of every curve against the anchor, a heading first.

    A cell has the mean of the pictures' BD-rates, and in brackets that of the mean curve. Published
    curves have the latter alone.
    """
    names = [metric.name for metric in metrics]
    titles = (metric.title.removesuffix(" dB") for metric in metrics)
    rows: list[tuple[str, ...]] = [(f"BD-rate against {anchor}", *titles)]
    rows.extend((rate.name, *(_cell(rate, name) for name in names)) for rate in rates)
    return rows


def _cell(rate: BdRate, metric: str) -> str:
    each, curve = _percent(rate.mean(metric)), _percent(rate.curve.get(metric))
    return "-" if each == curve == "-" else f"{each} ({curve})"


def codec_table(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    """What each measured codec is: its settings, and the versions of its libraries."""
    identities = {row.codec: row.identity for row in rows}
    return [("codec", "settings and versions"), *identities.items()]


def speed_table(speeds: Sequence[Speed]) -> list[tuple[str, ...]]:
    """Megapixels a second in a loaded process, and seconds of a whole command, a heading first."""
    head = ("codec", "setting", "cores", "enc MP/s", "dec MP/s", "enc command s", "dec command s")
    return [
        head,
        *(
            (
                speed.codec,
                speed.setting,
                str(speed.cores),
                *(_number(value, 2) for value in (speed.encode, speed.decode)),
                *(_number(value, 2) for value in (speed.encode_command, speed.decode_command)),
            )
            for speed in speeds
        ),
    ]


def range_note(results: Results) -> str:
    """Over which SSIMULACRA2 scores its BD-rates are; "" where it was not measured."""
    for metric in results.metrics:
        if metric.name == "ssimulacra2" and (found := common_range(results.curves, metric)):
            low, high = found
            return (
                f"BD-rate by SSIMULACRA2 is over the scores that all codecs cover: {low:.0f} to "
                f"{high:.0f} for the mean curves, a picture's own range for each picture."
            )
    return ""


def text_table(rows: Sequence[tuple[str, ...]], left: int) -> str:
    """Columns of equal width, the first ``left`` of them to the left, a line under the heading."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def to_csv(curves: Sequence[Curve]) -> bytes:
    """All points of all curves, published ones too."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    names = ("setting", "bpp", *METRICS, "bytes", "encode_s", "decode_s")
    writer.writerow(("codec", "source", *names))
    for curve in curves:
        for point in curve.points:
            known = {**vars(point), **point.scores}
            cells = [known.get(name) for name in names]
            writer.writerow([curve.name, curve.source, *("" if c is None else c for c in cells)])
    return stream.getvalue().encode()


def _finite(value: Any) -> Any:
    # JSON has no infinity, and the PSNR of a lossless file is one.
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, (list, tuple)) else value


def to_json(results: Results) -> str:
    """Everything: rows, means, BD-rates and failures; an infinite PSNR is null."""
    return json.dumps(
        _finite(
            {
                "rows": [asdict(row) for row in results.outcome.rows],
                "curves": [asdict(curve) for curve in results.curves],
                "anchor": results.anchor,
                "bd_rate": [asdict(rate) for rate in results.rates],
                "speeds": [asdict(speed) for speed in results.speeds],
                "seconds": results.seconds,
                "failures": [asdict(failure) for failure in results.outcome.failures],
            }
        ),
        allow_nan=False,
    )
