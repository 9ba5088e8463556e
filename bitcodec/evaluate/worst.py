"""The pictures for which a codec does worst, beside the strongest other codec by each metric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bitcodec.evaluate.metrics import Metric
from bitcodec.evaluate.rows import Row
from bitcodec.evaluate.summary import Curve, bd_rates

__all__ = ["Losses", "find_losses"]


@dataclass(frozen=True)
class Losses:
    """Where a codec loses most by one metric.

    Attributes:
        metric: its name.
        codec: that is looked at.
        rival: the other one with the lowest mean BD-rate.
        mean: BD-rate of the rival against the codec, mean over the pictures, percent; over 0 where
            the codec is the better one.
        pictures: (name, the same for this picture), the worst first.
    """

    metric: str
    codec: str
    rival: str
    mean: float
    pictures: tuple[tuple[str, float], ...]


def find_losses(
    codec: str, curves: Sequence[Curve], rows: Sequence[Row], metrics: Sequence[Metric]
) -> list[Losses]:
    """Of ``codec``, by each metric that gives a BD-rate against any other measured codec."""
    measured = [curve for curve in curves if curve.measured]
    own = next((curve for curve in measured if curve.name == codec), None)
    if own is None:
        return []
    rates = bd_rates(measured, own, rows, metrics)
    found = []
    for metric in metrics:
        means = {r.name: mean for r in rates if (mean := r.mean(metric.name)) is not None}
        if not means:
            continue
        rival = min(means, key=means.__getitem__)
        values = next(rate for rate in rates if rate.name == rival).pictures[metric.name]
        order = tuple(sorted(values.items(), key=lambda item: item[1]))
        found.append(Losses(metric.name, codec, rival, means[rival], order))
    return found
