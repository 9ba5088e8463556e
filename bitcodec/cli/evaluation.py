"""What ``bitcodec eval`` does with its options."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bitcodec.cli.lists import NumberList, words
from bitcodec.cli.plan import PICTURE_SUFFIXES
from bitcodec.errors import BitcodecError, FileError, printable
from bitcodec.files import find_inputs

if TYPE_CHECKING:  # some of these import torch when they are used
    from bitcodec.evaluate.codecs import MeasuredCodec
    from bitcodec.evaluate.metrics import Metric
    from bitcodec.evaluate.runner import Job, Outcome
    from bitcodec.evaluate.speed import Speed
    from bitcodec.evaluate.summary import BdRate, Curve
    from bitcodec.evaluate.tables import Results
    from bitcodec.evaluate.worst import Losses
    from bitcodec.report.viewer import Shown

ROWS = "rows.csv"
SETS = "BITCODEC_SETS"
DRAWN = 5  # published curves in the plots, unless others are named: more cannot be told apart
_TIMED = 2  # pictures for speed


@dataclass
class Evaluation:
    """One call of the command."""

    paths: Sequence[str]
    options: dict[str, Any]

    def run(self) -> int:
        """All of it; the exit code."""
        from bitcodec.evaluate.metrics import chosen
        from bitcodec.evaluate.summary import mean_curves
        from bitcodec.evaluate.tables import Results
        from bitcodec.evaluate.worst import find_losses
        from bitcodec.report.write import write_results

        self.metrics: Sequence[Metric] = chosen(words(self.options["metrics"]))
        errors = self._find()
        codecs = self._codecs()
        published, drawn = self._published()
        self._check_packages([codec.name for codec in codecs], published)
        out = self._folder()
        start = time.monotonic()
        outcome = self._measure(codecs, out)
        seconds = time.monotonic() - start
        curves = [*mean_curves(outcome.rows), *published]
        anchor, rates = self._bd(curves, outcome)
        speeds = self._speeds(codecs, curves, outcome) if self.options["speed"] else []
        results = Results(outcome, curves, anchor, rates, self.metrics, speeds, seconds)
        losses = find_losses(self.own[0], curves, outcome.rows, self.metrics) if self.own else []
        shown = self._viewer(codecs, outcome, losses)
        name = ", ".join(printable(Path(path).name or path) for path in self.paths)
        title = f"bitcodec eval: {name}"
        write_results(out, results, drawn=drawn, shown=shown, losses=losses, title=title)
        self._say(results, out)
        errors += [str(failure) for failure in outcome.failures]
        for error in errors:
            click.echo(f"bitcodec: error: {printable(error)}", err=True)
        return 1 if errors else 0

    def _find(self) -> list[str]:
        from bitcodec.evaluate.runner import Job

        self.paths = [*self.paths, *map(_set_folder, self.options["sets"])]
        if not self.paths:
            raise click.UsageError("no folder and no --set")
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
        from bitcodec.evaluate.rivals import DEFAULT_RIVALS, find, rival
        from bitcodec.models.registry import default_model

        wanted = self.options["codecs"]
        given = DEFAULT_RIVALS if wanted is None else () if wanted == "none" else words(wanted)
        names = [find(name) for name in given]
        values = self._codec_values(names)
        rivals = [rival(name, values.get(name, ())) for name in names]
        if self.options["no_model"] and self.options["models"]:
            raise click.UsageError("-m and --no-model exclude each other")
        models = [] if self.options["no_model"] else self.options["models"] or [default_model()]
        if not models and not rivals:
            raise click.UsageError("nothing to measure")
        learned = self._learned(models)
        self.own = [codec.name for codec in learned]
        return [*learned, *rivals]

    def _codec_values(self, names: Sequence[str]) -> dict[str, tuple[float, ...]]:
        from bitcodec.evaluate.rivals import find

        values = {}
        for text in self.options["codec_quality"]:
            part, _, numbers = text.partition("=")
            name = find(part)
            if name not in names:
                raise click.UsageError(f"--codec-quality {text}: {name!r} is not measured")
            values[name] = NumberList(float, 0, 100).convert(numbers, None, None)
        return values

    def _learned(self, models: Iterable[str]) -> list[MeasuredCodec]:
        if not models:
            return []
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
            # "measured_*" are of codecs that this command measures itself.
            return curves, [name for name in names if not name.startswith("measured")][:DRAWN]
        wanted = names if draw == "all" else [] if draw == "none" else list(words(draw))
        for name in wanted:
            if name not in names:
                raise BitcodecError(f"{self.options['anchors']}: no curve named {name!r}")
        return curves, wanted

    def _check_packages(self, measured: Sequence[str], published: Sequence[Curve]) -> None:
        """Everything that may be missing, before the first minute of measuring is spent."""
        from bitcodec.evaluate.codecs import require

        require("matplotlib", "matplotlib", "eval")
        require("scipy", "scipy", "eval")
        known = [*measured, *(curve.name for curve in published)]
        for name in known:
            if known.count(name) > 1:
                raise BitcodecError(f"two curves are named {name!r}")
        anchor = self.options["anchor"]
        if anchor is None:
            anchor = "jpeg" if "jpeg-420" in measured else measured[0]
        if anchor not in known:
            anchor = next((name for name in known if name.startswith(f"{anchor}-")), anchor)
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
            return run(
                self.jobs,
                codecs,
                store,
                metrics=self.metrics,
                jobs=self.options["jobs"],
                advance=bar.update,
            )

    def _bd(self, curves: Sequence[Curve], outcome: Outcome) -> tuple[str | None, Sequence[BdRate]]:
        from bitcodec.evaluate.summary import bd_rates

        base = next((curve for curve in curves if curve.name == self.anchor), None)
        if base is None:  # every one of its settings failed for some picture
            return None, []
        return self.anchor, bd_rates(curves, base, outcome.rows, self.metrics)

    def _speeds(
        self, codecs: Sequence[MeasuredCodec], curves: Sequence[Curve], outcome: Outcome
    ) -> list[Speed]:
        from bitcodec.evaluate.runner import load_pixels
        from bitcodec.evaluate.speed import measure_speed, nearest_setting
        from bitcodec.report.viewer import spread

        readable = {row.picture for row in outcome.rows}
        jobs = spread([job for job in self.jobs if job.name in readable], _TIMED)
        pictures = [load_pixels(job.path)[0] for job in jobs]
        by_name = {curve.name: curve for curve in curves}
        result = []
        for codec in (codec for codec in codecs if codec.name in by_name):
            if not self.options["quiet"]:
                click.echo(f"speed: {codec.name}", err=True)
            setting = nearest_setting(codec, by_name[codec.name])
            result += measure_speed(codec, setting, pictures)
        return result

    def _viewer(
        self, codecs: Sequence[MeasuredCodec], outcome: Outcome, losses: Sequence[Losses]
    ) -> list[Shown]:
        from bitcodec.evaluate.runner import load_pixels
        from bitcodec.report.viewer import at_sizes

        wanted = {*self.own, *words(self.options["show"]), *(loss.rival for loss in losses)}
        chosen = [codec for codec in codecs if codec.name in wanted] or codecs
        result = []
        for job in self._pages(outcome, losses):
            if not self.options["quiet"]:
                click.echo(f"report: {job.name}", err=True)
            pixels, _ = load_pixels(job.path)
            sizes = self.options["sizes"]
            picture, failures = at_sizes(job.name, pixels, chosen, sizes, self.metrics)
            outcome.failures += failures
            if picture.sizes:
                result.append(picture)
        return result

    def _pages(self, outcome: Outcome, losses: Sequence[Losses]) -> list[Job]:
        """The worst picture by each metric, and then others evenly spread over the folder."""
        from bitcodec.report.viewer import spread

        count = 0 if self.options["no_page"] else self.options["pages"]
        readable = {row.picture for row in outcome.rows}
        jobs = {job.name: job for job in self.jobs if job.name in readable}
        worst = [loss.pictures[0][0] for loss in losses]
        others = [job.name for job in spread(list(jobs.values()), count)]
        return [jobs[name] for name in dict.fromkeys([*worst, *others, *jobs])][:count]

    def _say(self, results: Results, out: Path) -> None:
        from bitcodec.evaluate import tables

        if self.options["as_json"]:
            click.echo(tables.to_json(results))
        elif not self.options["quiet"]:
            for rows, left in _tables(results):
                click.echo(tables.text_table(rows, left) + "\n")
            if results.rates:
                note = "BD-rate: mean of the pictures' BD-rates (in brackets: of the mean curve). "
                click.echo(note + tables.range_note(results))
        if not self.options["quiet"]:
            reused, count = results.outcome.reused, len(results.outcome.rows)
            took = f"{results.seconds:.0f} s"
            if results.seconds > 600:
                took = f"{results.seconds / 60:.0f} min"
            measured = f"{count - reused} rows measured in {took}"
            click.echo(f"{measured}, {reused} known from before: {printable(out)}", err=True)


def _tables(results: Results) -> Iterator[tuple[list[tuple[str, ...]], int]]:
    from bitcodec.evaluate import tables

    yield tables.mean_table(results.curves, results.metrics), 2
    yield tables.codec_table(results.outcome.rows), 2
    if results.speeds:
        yield tables.speed_table(results.speeds), 2
    if results.rates and results.anchor:
        yield tables.bd_table(results.rates, results.anchor, results.metrics), 1


def _set_folder(name: str) -> str:
    """The folder of a named set of pictures; FileError where there is none."""
    for folder in filter(None, os.environ.get(SETS, "").split(os.pathsep)):
        if (Path(folder) / name).is_dir():
            return str(Path(folder) / name)
    raise FileError(f"no set {name!r}: no folder of that name in a folder that {SETS} lists")
