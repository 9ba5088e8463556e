"""Summaries as text for a terminal, as CSV and as JSON."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bitcodec.evaluate.runner import Outcome
from bitcodec.evaluate.summary import BdRate, Curve

__all__ = ["Results", "bd_table", "mean_table", "text_table", "to_csv", "to_json"]


@dataclass(frozen=True)
class Results:
    """What an evaluation found.

    Attributes:
        outcome: rows and failures.
        curves: means of what was measured, then the published curves.
        anchor: name of the curve that ``rates`` are against; None where it could not be measured.
        rates: BD-rates of the other curves.
    """

    outcome: Outcome
    curves: Sequence[Curve]
    anchor: str | None
    rates: Sequence[BdRate]


MEAN_HEAD = ("codec", "setting", "bpp", "PSNR dB", "MS-SSIM", "enc s/MP", "dec s/MP")


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def mean_table(curves: Sequence[Curve]) -> list[tuple[str, ...]]:
    """Rows of ``MEAN_HEAD``, that first: the measured means."""
    rows: list[tuple[str, ...]] = [MEAN_HEAD]
    for curve in curves:
        rows.extend(
            (
                curve.name,
                point.setting,
                _number(point.bpp, 4),
                _number(point.psnr, 2),
                _number(point.ms_ssim, 5),
                _number(point.encode_s, 3),
                _number(point.decode_s, 3),
            )
            for point in curve.points
            if curve.measured
        )
    return rows


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:+.1f} %"


def bd_table(rates: Sequence[BdRate], anchor: str) -> list[tuple[str, ...]]:
    """BD-rate of every curve against the anchor, a heading first."""
    rows: list[tuple[str, ...]] = [(f"BD-rate against {anchor}", "PSNR", "MS-SSIM")]
    rows.extend((rate.name, _percent(rate.psnr), _percent(rate.ms_ssim)) for rate in rates)
    return rows


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
    names = ("setting", "bpp", "psnr", "ms_ssim", "bytes", "encode_s", "decode_s")
    writer.writerow(("codec", "source", *names))
    for curve in curves:
        for point in curve.points:
            cells = [getattr(point, name) for name in names]
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
                "failures": [asdict(failure) for failure in results.outcome.failures],
            }
        ),
        allow_nan=False,
    )
