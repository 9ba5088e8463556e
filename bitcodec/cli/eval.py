"""``bitcodec eval``: measure models and other codecs on a folder, and make a report."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bitcodec.cli.complete import complete_files, complete_models
from bitcodec.cli.lists import NumberList, words
from bitcodec.cli.options import device_option, quiet_option
from bitcodec.cli.plan import PICTURE_SUFFIXES
from bitcodec.errors import BitcodecError, FileError, printable
from bitcodec.files import find_inputs

if TYPE_CHECKING:  # some of these import torch when they are used
    from bitcodec.evaluate.codecs import MeasuredCodec
    from bitcodec.evaluate.runner import Outcome
    from bitcodec.evaluate.summary import BdRate, Curve
    from bitcodec.evaluate.tables import Results
    from bitcodec.report.viewer import Shown

ROWS = "rows.csv"
_DRAWN = 5  # published curves in the plots, unless others are named: more cannot be told apart


@click.command("eval")
@click.argument("paths", metavar="DIR", nargs=-1, required=True, shell_complete=complete_files)
@click.option(
    "-m",
    "--model",
    "models",
    multiple=True,
    shell_complete=complete_models,
    help="Model name or weights file; repeatable.",
)
@click.option("--no-model", is_flag=True, help="Measure only the other codecs.")
@click.option(
    "-q",
    "--quality",
    "qualities",
    type=NumberList(int, 1, 100),
    default=(),
    help="Qualities of the models: whole numbers from 1 to 100, with commas.",
)
@click.option(
    "--bpp",
    "bpps",
    type=NumberList(float, 1e-3, 24),
    default=(),
    help="Target rates of the models: bits per pixel from 0.001 to 24, with commas.",
)
@click.option(
    "-e",
    "--effort",
    type=click.IntRange(0, 9),
    show_default="5",
    help="Of the models' encoder: 0 (fast) to 9 (smallest files).",
)
@click.option(
    "--codec",
    "codecs",
    metavar="LIST",
    help="Others to measure: jpeg, webp, jpeg2000, avif (the default), jxl, mozjpeg; or none.",
)
@click.option(
    "--codec-quality",
    multiple=True,
    metavar="CODEC=LIST",
    help="Settings of one of them (jpeg2000: bpp); repeatable.",
)
@click.option("--anchors", metavar="FILE", help="JSON of curves published for the same pictures.")
@click.option(
    "--draw", metavar="LIST", help=f"Published curves to plot [the first {_DRAWN}], or all, none."
)
@click.option("--anchor", help="Curve that BD-rate is against  [jpeg, or the first measured].")
@click.option("-o", "--output", required=True, metavar="OUT/", help="Folder for the results.")
@click.option("-r", "--recursive", is_flag=True, help="Search folders all the way down.")
@click.option(
    "-j", "--jobs", type=click.IntRange(1, 256), default=1, show_default=True,
    help="Pictures at a time; seconds are worth comparing only with 1.",
)  # fmt: skip
@click.option("--fresh", is_flag=True, help="Forget the finished rows in OUT/.")
@click.option(
    "--pages", type=click.IntRange(0), default=3, show_default=True,
    help="Pictures in the report's viewer.",
)  # fmt: skip
@click.option(
    "--sizes", type=NumberList(float, 1e-3, 24), default="0.25,0.5,0.75", show_default=True,
    help="File sizes in the viewer, in bpp.",
)  # fmt: skip
@click.option("--no-page", is_flag=True, help="No pictures in the report (same as --pages 0).")
@device_option
@quiet_option
@click.option("--json", "as_json", is_flag=True, help="Print all results as one JSON object.")
def eval_command(paths: tuple[str, ...], **options: Any) -> int:
    """Measure models and other codecs on a folder.

    Every picture goes through every codec at every setting; bytes are those of
    real files. OUT/ gets rows.csv (one row a file), summary.csv, results.json,
    plots as PNG and SVG, and report.html, which needs no network. Interrupted,
    the same command goes on where it stopped.

    -q and --bpp are lists for the models; with both, --bpp is for the family
    `sign` and -q for the others.

    \b
    Examples:
      bitcodec eval photos -o report/
      bitcodec eval kodak -m sign --bpp 0.25,0.5,0.75 --anchors kodak_rd.json -o out/
      bitcodec eval kodak --no-model --codec jpeg,avif --anchor jpeg -o out/
    """
    return _Evaluation(paths, options).run()


@dataclass
class _Evaluation:
    paths: Sequence[str]
    options: dict[str, Any]

    def run(self) -> int:
        from bitcodec.evaluate.summary import mean_curves
        from bitcodec.evaluate.tables import Results
        from bitcodec.report.write import write_results

        errors = self._find()
        codecs = self._codecs()
        published, drawn = self._published()
        self._check_packages([codec.name for codec in codecs], published)
        out = self._folder()
        outcome = self._measure(codecs, out)
        curves = [*mean_curves(outcome.rows), *published]
        anchor, rates = self._bd(curves)
        results = Results(outcome, curves, anchor, rates)
        name = ", ".join(printable(Path(path).name or path) for path in self.paths)
        shown = self._viewer(codecs, outcome)
        write_results(out, results, drawn=drawn, shown=shown, title=f"bitcodec eval: {name}")
        self._say(results, out)
        errors += [str(failure) for failure in outcome.failures]
        for error in errors:
            click.echo(f"bitcodec: error: {printable(error)}", err=True)
        return 1 if errors else 0

    def _find(self) -> list[str]:
        from bitcodec.evaluate.runner import Job

        found = find_inputs(
            self.paths, recursive=self.options["recursive"], suffixes=PICTURE_SUFFIXES
        )
        errors = [f"{printable(path)}: {error}" for path, error in found.errors]
        if not found.files:
            raise FileError(errors[0] if errors else "no pictures")
        names = [printable(file.relative.as_posix()) for file in found.files]
        if len(set(names)) < len(names):  # of two folders: tell them apart by the whole path
            names = [printable(file.path.as_posix()) for file in found.files]
        self.jobs = [Job(name, file.path) for name, file in zip(names, found.files, strict=True)]
        return errors

    def _codecs(self) -> list[MeasuredCodec]:
        from bitcodec.evaluate.codecs import DEFAULT_CLASSICAL, classical
        from bitcodec.models.registry import default_model

        wanted = self.options["codecs"]
        names = DEFAULT_CLASSICAL if wanted is None else () if wanted == "none" else words(wanted)
        values = self._codec_values(names)
        rivals = [classical(name, values.get(name, ())) for name in names]
        if self.options["no_model"] and self.options["models"]:
            raise click.UsageError("-m and --no-model exclude each other")
        models = [] if self.options["no_model"] else self.options["models"] or [default_model()]
        if not models and not rivals:
            raise click.UsageError("nothing to measure")
        return [*(self._learned(models) if models else ()), *rivals]

    def _codec_values(self, names: Sequence[str]) -> dict[str, tuple[float, ...]]:
        values = {}
        for text in self.options["codec_quality"]:
            name, _, numbers = text.partition("=")
            if name not in names:
                raise click.UsageError(f"--codec-quality {text}: {name!r} is not measured")
            values[name] = NumberList(float, 0, 100).convert(numbers, None, None)
        return values

    def _learned(self, models: Iterable[str]) -> list[MeasuredCodec]:
        from bitcodec.evaluate.learned import LearnedCodec

        return [
            LearnedCodec(
                model,
                qualities=self.options["qualities"],
                bpps=self.options["bpps"],
                effort=self.options["effort"],
                device=self.options["device"],
            )
            for model in models
        ]

    def _published(self) -> tuple[list[Curve], list[str]]:
        from bitcodec.evaluate.summary import load_anchors

        if not self.options["anchors"]:
            if self.options["draw"]:
                raise click.UsageError("--draw needs --anchors")
            return [], []
        curves = load_anchors(Path(self.options["anchors"]))
        names = [curve.name for curve in curves]
        draw = self.options["draw"]
        if draw is None:
            # "measured_*" are codecs that this command measures itself.
            return curves, [name for name in names if not name.startswith("measured")][:_DRAWN]
        wanted = names if draw == "all" else [] if draw == "none" else list(words(draw))
        for name in wanted:
            if name not in names:
                raise BitcodecError(f"{self.options['anchors']}: no curve named {name!r}")
        return curves, wanted

    def _check_packages(self, measured: Sequence[str], published: Sequence[Curve]) -> None:
        """Everything that may be missing, before the first minute of measuring is spent."""
        from bitcodec.evaluate.codecs import require

        require("matplotlib", "matplotlib", "eval")
        require("bjontegaard", "bjontegaard", "eval")
        known = [*measured, *(curve.name for curve in published)]
        for name in known:
            if known.count(name) > 1:
                raise BitcodecError(f"two curves are named {name!r}")
        anchor = self.options["anchor"]
        if anchor is None:
            anchor = "jpeg" if "jpeg" in measured else measured[0]
        if anchor not in known:
            raise BitcodecError(f"no curve named {anchor!r} (there are {', '.join(known)})")
        self.anchor: str = anchor

    def _folder(self) -> Path:
        out = Path(self.options["output"])
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FileError(f"{out}: cannot make the folder: {error.strerror}") from error
        if (out / "report.html").exists() and not (out / ROWS).exists():
            raise FileError(f"{out}: holds a report.html that is not this command's")
        return out

    def _measure(self, codecs: Sequence[MeasuredCodec], out: Path) -> Outcome:
        from tqdm import tqdm

        from bitcodec.evaluate.rows import RowStore
        from bitcodec.evaluate.runner import run

        total = len(self.jobs) * sum(len(codec.settings) for codec in codecs)
        off = self.options["quiet"] or not sys.stderr.isatty()
        store = RowStore(out / ROWS, fresh=self.options["fresh"])
        with tqdm(total=total, unit="file", disable=off, file=sys.stderr, leave=False) as bar:
            return run(self.jobs, codecs, store, jobs=self.options["jobs"], advance=bar.update)

    def _bd(self, curves: Sequence[Curve]) -> tuple[str | None, list[BdRate]]:
        from bitcodec.evaluate.summary import bd_rate

        by_name = {curve.name: curve for curve in curves}
        if self.anchor not in by_name:  # every one of its settings failed for some picture
            return None, []
        base = by_name[self.anchor]
        return self.anchor, [bd_rate(base, curve) for curve in curves if curve is not base]

    def _viewer(self, codecs: Sequence[MeasuredCodec], outcome: Outcome) -> list[Shown]:
        from bitcodec.evaluate.runner import load_pixels
        from bitcodec.report.viewer import at_sizes, spread

        count = 0 if self.options["no_page"] else self.options["pages"]
        readable = {row.picture for row in outcome.rows}
        result = []
        for job in spread([job for job in self.jobs if job.name in readable], count):
            if not self.options["quiet"]:
                click.echo(f"report: {job.name}", err=True)
            pixels, _ = load_pixels(job.path)
            picture, failures = at_sizes(job.name, pixels, codecs, self.options["sizes"])
            outcome.failures += failures
            if picture.sizes:
                result.append(picture)
        return result

    def _say(self, results: Results, out: Path) -> None:
        from bitcodec.evaluate import tables

        rows, anchor = results.outcome.rows, results.anchor
        if self.options["as_json"]:
            click.echo(tables.to_json(results))
        elif not self.options["quiet"]:
            click.echo(tables.text_table(tables.mean_table(results.curves), 2))
            if results.rates and anchor:
                click.echo("\n" + tables.text_table(tables.bd_table(results.rates, anchor), 1))
        if not self.options["quiet"]:
            reused = results.outcome.reused
            text = f"{len(rows) - reused} rows measured, {reused} known from before: "
            click.echo(text + printable(out), err=True)
