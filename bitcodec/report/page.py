"""The page: one HTML file with everything in it, that asks the network for nothing."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import resources

from bitcodec.evaluate.metrics import METRICS
from bitcodec.evaluate.worst import Losses
from bitcodec.report.viewer import Shown

__all__ = ["Table", "build"]

_WORST = 3  # pictures by each metric
_MOST = 1e9  # for what is infinite


@dataclass(frozen=True)
class Table:
    """A table: its caption, rows of cells with the heading first, how many columns are text."""

    caption: str
    rows: Sequence[tuple[str, ...]]
    left: int


def build(
    *,
    title: str,
    intro: str,
    pictures: Sequence[Shown] = (),
    plots: Mapping[str, str] | None = None,
    tables: Sequence[Table] = (),
    losses: Sequence[Losses] = (),
) -> str:
    """The page as text.

    Args:
        title: heading and title, plain text.
        intro: a paragraph under it, plain text.
        pictures: of the viewer; without any, the page has no viewer.
        plots: <svg> elements by name, of :func:`bitcodec.report.plots.inline_svg`.
        tables: below the plots.
        losses: where a codec does worst, with buttons for what the viewer has.
    """
    parts = {
        "title": html.escape(title),
        "intro": html.escape(intro),
        "css": _file("page.css"),
        "js": _file("page.js") if pictures else "",
        "hidden": "" if pictures else "hidden",
        "data": _data(pictures),
        "losses": _losses(losses, [picture.name for picture in pictures]),
        "plots": "\n".join(_plot(name, svg) for name, svg in (plots or {}).items()),
        "tables": "\n".join(_table(table) for table in tables),
    }
    page = _file("template.html")
    # One pass from the left: what is put in is never searched for further places.
    pieces = page.split("{{")
    text = [pieces[0]]
    for piece in pieces[1:]:
        name, rest = piece.split("}}", 1)
        text += [parts[name], rest]
    return "".join(text)


def _file(name: str) -> str:
    return resources.files("bitcodec.report").joinpath(name).read_text(encoding="utf-8")


def _data(pictures: Sequence[Shown]) -> str:
    content = [asdict(picture) for picture in pictures]
    for picture in content:
        for _, versions in picture["sizes"]:
            for version in versions:
                version["scores"] = [_score(*item) for item in version["scores"].items()]
    text = json.dumps(content, allow_nan=False)
    return text.replace("<", "\\u003c")  # a file named "</script>" must not end the element


def _score(name: str, value: float | None) -> tuple[str, str, float]:
    """Title, text, and a finite number that rises with quality."""
    metric = METRICS[name]
    rank = -_MOST if value is None else metric.scale(value)
    return metric.title, metric.text(value), max(-_MOST, min(_MOST, rank))


def _losses(losses: Sequence[Losses], shown: Sequence[str]) -> str:
    if not losses:
        return ""
    lines = "\n".join(f"<li>{_loss(loss, shown)}</li>" for loss in losses)
    intro = (
        "By each metric the strongest other codec, the bits that it needs at equal quality (mean "
        "of the pictures’ BD-rates), and the pictures for which it needs the least."
    )
    title = f"Where {html.escape(losses[0].codec)} does worst"
    return f"<h2>{title}</h2>\n<p>{intro}</p>\n<ul>\n{lines}\n</ul>"


def _loss(loss: Losses, shown: Sequence[str]) -> str:
    def picture(name: str, rate: float) -> str:
        text = html.escape(name)
        if name in shown:
            sides = f'data-left="{html.escape(loss.codec)}" data-right="{html.escape(loss.rival)}"'
            text = f'<button data-picture="{shown.index(name)}" {sides}>{text}</button>'
        return f"{text} {_percent(rate)}"

    pictures = ", ".join(picture(*item) for item in loss.pictures[:_WORST])
    title = METRICS[loss.metric].title.removesuffix(" dB")
    return f"{title}: {html.escape(loss.rival)} needs {_percent(loss.mean)} bits; {pictures}"


def _percent(rate: float) -> str:
    return f"{abs(rate):.1f} % {'fewer' if rate < 0 else 'more'}"


def _plot(name: str, svg: str) -> str:
    metric = METRICS.get(name.removeprefix("rd-"))
    kind = metric.title.removesuffix(" dB") if metric else name
    title = html.escape(f"Rate and {kind}")
    return (
        f'<figure><figcaption>{title}</figcaption><div role="img" '
        f'aria-label="{title}, plot">{svg}</div></figure>'
    )


def _table(table: Table) -> str:
    head, *body = table.rows

    def cells(row: tuple[str, ...], tag: str) -> str:
        return "".join(
            f"<{tag}{' class=text' if i < table.left else ''}>{html.escape(cell)}</{tag}>"
            for i, cell in enumerate(row)
        )

    lines = "\n".join(f"<tr>{cells(row, 'td')}</tr>" for row in body)
    return (
        f'<div class="scroll" tabindex="0"><table><caption>{html.escape(table.caption)}</caption>'
        f"<thead><tr>{cells(head, 'th')}</tr></thead><tbody>\n{lines}\n</tbody></table></div>"
    )
