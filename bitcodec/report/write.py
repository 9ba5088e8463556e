"""The files of an evaluation: summary.csv, results.json, plots, report.html."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from bitcodec.errors import FileError
from bitcodec.evaluate import tables
from bitcodec.evaluate.worst import Losses
from bitcodec.files import atomic_write
from bitcodec.report import page, plots
from bitcodec.report.viewer import Shown

__all__ = ["write_results"]


def write_results(
    folder: Path,
    results: tables.Results,
    *,
    drawn: Collection[str],
    shown: Sequence[Shown],
    losses: Sequence[Losses] = (),
    title: str,
) -> None:
    """Write everything into a folder that exists, over what an earlier run left there.

    Args:
        folder: where.
        results: of the evaluation.
        drawn: names of the published curves to plot; the anchor and what was measured always are.
        shown: pictures of the page's viewer.
        losses: where a model does worst.
        title: of the page, plain text.

    Raises FileError where a file cannot be written.
    """
    anchor = results.anchor
    _put(folder / "summary.csv", tables.to_csv(results.curves))
    _put(folder / "results.json", tables.to_json(results).encode())
    plotted = [c for c in results.curves if c.measured or c.name in drawn or c.name == anchor]
    if plotted:
        for name, data in plots.plot_files(plotted, results.metrics).items():
            _put(folder / name, data)
    metrics, rows = results.metrics, results.outcome.rows
    made = []
    if anchor and results.rates:
        caption = (
            "Bits saved (−) or spent (+) at equal quality: the mean of the pictures' BD-rates, and "
            f"in brackets that of the mean curve. {tables.range_note(results)}"
        )
        made.append(page.Table(caption, tables.bd_table(results.rates, anchor, metrics), 1))
    if results.speeds:
        caption = "Speed, loaded, and a whole command on one picture"
        made.append(page.Table(caption, tables.speed_table(results.speeds), 2))
    made.append(page.Table("Codecs", tables.codec_table(rows), 2))
    caption = "Means over the pictures"
    made.append(page.Table(caption, tables.mean_table(results.curves, metrics), 2))
    count = len({row.picture for row in rows})
    text = page.build(
        title=title,
        intro=f"{count} {'picture' if count == 1 else 'pictures'}. Bytes are those of whole files "
        "and PSNR is over RGB; means are of the pictures' values; times are this machine's.",
        pictures=shown,
        plots=plots.inline_svg(plotted, results.metrics) if plotted else {},
        tables=made,
        losses=losses,
    )
    _put(folder / "report.html", text.encode())


def _put(path: Path, data: bytes) -> None:
    try:
        atomic_write(path, data, overwrite=True)
    except FileError as error:
        raise FileError(f"{path}: {error}") from error
