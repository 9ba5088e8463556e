"""Plots of an evaluation, by matplotlib: PNG and SVG files, and SVG to put into a page.

The first six colours are Okabe and Ito's, which the colour-blind can tell apart; markers differ
too, so that a grey print can be read. The page's SVG takes the colour of the text around it, for
dark pages.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Sequence
from typing import Any

from bitcodec.evaluate.codecs import require
from bitcodec.evaluate.metrics import Metric
from bitcodec.evaluate.summary import Curve, Point

__all__ = ["figures", "inline_svg", "plot_files"]

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6BB1", "#A6761D")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<")
_DASHES: tuple[tuple[float, ...], ...] = ((5, 2), (2, 1.5), (6, 2, 1.5, 2), (8, 3), (1, 1.5))
_GREYS = ("#757575", "#969696")  # to be seen on white and on black
_INK = "#0a0b0c"  # stands for the text's colour until the SVG goes into a page
_SALT = "bitcodec"  # a fixed one makes the ids in an SVG the same each time
_MAX_BPP = 2.2  # what users choose lies below; published curves go on to 5 bpp


def figures(
    curves: Sequence[Curve], metrics: Sequence[Metric], *, narrow: bool = False
) -> dict[str, Any]:
    """The figures by name: "rd-" and a metric that any curve has, "time" if any is measured.

    ``narrow`` is for a column or a phone: larger type, and the legend below. Published curves are
    thin, grey and dashed. Raises BitcodecError where matplotlib is missing.
    """
    require("matplotlib", "matplotlib", "plotting")
    result = {
        f"rd-{metric.name}": _rd(curves, metric, narrow)
        for metric in metrics
        if any(p.scores.get(metric.name) is not None for c in curves for p in c.points)
    }
    if any(curve.measured for curve in curves):
        result["time"] = _time([curve for curve in curves if curve.measured], narrow)
    return result


def _figure(width: float, height: float) -> Any:
    from matplotlib.figure import Figure  # without pyplot: no window system, no global state

    return Figure(figsize=(width, height), layout="constrained")


def _style(index: int, curve: Curve) -> dict[str, Any]:
    if curve.measured:
        return {
            "color": _COLOURS[index % len(_COLOURS)],
            "marker": _MARKERS[index % len(_MARKERS)],
            "markersize": 5,
            "linewidth": 1.8,
        }
    return {
        "color": _GREYS[index % len(_GREYS)],
        "dashes": _DASHES[index % len(_DASHES)],
        "linewidth": 1.1,
    }


def _rd(curves: Sequence[Curve], metric: Metric, narrow: bool) -> Any:
    figure = _figure(5.4, 4.2 + 0.11 * len(curves)) if narrow else _figure(8, 5.4)
    axes = figure.add_subplot()
    kinds = [curve.measured for curve in curves]
    for index, curve in enumerate(curves):
        pairs = [
            (point.bpp, scaled)
            for point in curve.points
            if (value := point.scores.get(metric.name)) is not None
            and math.isfinite(scaled := metric.scale(value))
            and point.bpp <= _MAX_BPP
        ]
        if pairs:
            order = kinds[:index].count(curve.measured)
            x, y = zip(*pairs, strict=True)
            axes.plot(x, y, label=curve.name, **_style(order, curve))
    _dress(axes, "bits per pixel", metric.axis)
    axes.set_xlim(left=0)
    if narrow:
        _legend_below(figure, axes, 2)
    else:
        columns = 2 if len(curves) > 8 else 1
        axes.legend(loc="lower right", fontsize=8.5, frameon=False, ncols=columns)
    return figure


def _legend_below(figure: Any, axes: Any, columns: int) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", fontsize=8.5, frameon=False, ncols=columns
    )


def _time(curves: Sequence[Curve], narrow: bool) -> Any:
    figure = _figure(5.4, 4.2) if narrow else _figure(8, 4)
    panels: list[tuple[str, Callable[[Point], float | None]]] = [
        ("encoding", lambda point: point.encode_s),
        ("decoding", lambda point: point.decode_s),
    ]
    shared: Any = None
    for number, (title, value) in enumerate(panels):
        axes = figure.add_subplot(1, 2, number + 1, sharey=shared)
        shared = shared or axes
        for index, curve in enumerate(curves):
            pairs = [(p.bpp, v) for p in curve.points if (v := value(p)) is not None and v > 0]
            if pairs:
                x, y = zip(*pairs, strict=True)
                axes.plot(x, y, label=curve.name, **_style(index, curve))
        axes.set_yscale("log")
        axes.set_title(title, fontsize=10)
        _dress(axes, "bits per pixel", "" if number else "seconds per megapixel")
        axes.set_xlim(left=0)
    _legend_below(figure, shared, 3 if narrow else 6)
    return figure


def _dress(axes: Any, x: str, y: str) -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(visible=True, linewidth=0.5, alpha=0.35)
    axes.spines[["top", "right"]].set_visible(False)


def plot_files(curves: Sequence[Curve], metrics: Sequence[Metric]) -> dict[str, bytes]:
    """Every figure of :func:`figures` as NAME.png (150 dpi) and NAME.svg, on white."""
    matplotlib = require("matplotlib", "matplotlib", "plotting")
    files = {}
    with matplotlib.rc_context({"svg.hashsalt": _SALT}):
        for name, figure in figures(curves, metrics).items():
            for suffix in ("png", "svg"):
                stream = io.BytesIO()
                figure.savefig(
                    stream, format=suffix, dpi=150, facecolor="white", metadata=_metadata(suffix)
                )
                files[f"{name}.{suffix}"] = stream.getvalue()
    return files


def _metadata(suffix: str) -> dict[str, Any]:
    # Without the date the same rows give the same file.
    return {"Date": None} if suffix == "svg" else {"Software": None}


def inline_svg(curves: Sequence[Curve], metrics: Sequence[Metric]) -> dict[str, str]:
    """The figures of :func:`figures` as <svg> elements that take the colour of the page's text."""
    matplotlib = require("matplotlib", "matplotlib", "plotting")
    ink = dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color"), _INK)
    style = {**ink, "axes.edgecolor": _INK, "svg.fonttype": "none", "svg.hashsalt": _SALT}
    result = {}
    with matplotlib.rc_context(style):
        for name, figure in figures(curves, metrics, narrow=True).items():
            stream = io.StringIO()
            figure.savefig(stream, format="svg", transparent=True, metadata=_metadata("svg"))
            result[name] = _adapt(stream.getvalue(), name)
    return result


def _adapt(svg: str, prefix: str) -> str:
    svg = svg[svg.index("<svg") :].replace(_INK, "currentColor")
    # Several figures share one page: without a prefix they would use each other's clip paths.
    svg = re.sub(r'\bid="', f'id="{prefix}-', svg)
    svg = re.sub(r"url\(#", f"url(#{prefix}-", svg)
    return re.sub(r'xlink:href="#', f'xlink:href="#{prefix}-', svg)
