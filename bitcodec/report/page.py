"""The page: one HTML file with everything in it, that asks the network for nothing."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import resources

from bitcodec.report.viewer import Shown

__all__ = ["Table", "build"]

_PLOT_TITLES = {
    "rd-psnr": "Rate and PSNR",
    "rd-ms-ssim": "Rate and MS-SSIM",
    "time": "Rate and time",
}


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
) -> str:
    """The page as text.

    Args:
        title: heading and title, plain text.
        intro: a paragraph under it, plain text.
        pictures: of the viewer; without any, the page has no viewer.
        plots: <svg> elements by name, of :func:`bitcodec.report.plots.inline_svg`.
        tables: below the plots.
    """
    parts = {
        "title": html.escape(title),
        "intro": html.escape(intro),
        "css": _file("page.css"),
        "js": _file("page.js") if pictures else "",
        "hidden": "" if pictures else "hidden",
        "data": _data(pictures),
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
    text = json.dumps([asdict(picture) for picture in pictures], allow_nan=False)
    return text.replace("<", "\\u003c")  # a file named "</script>" must not end the element


def _plot(name: str, svg: str) -> str:
    title = html.escape(_PLOT_TITLES.get(name, name))
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
