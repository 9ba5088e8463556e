"""Do a plan: run the task, write each output atomically, report, collect failures."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import TextIO

import click

from bitcodec.cli.outcome import FileFailure, FileOutcome, FileTask, Output, attempt
from bitcodec.cli.plan import STREAM, FileJob, Plan
from bitcodec.cli.reporter import Describe, Reporter
from bitcodec.errors import BitcodecError, FileError, printable
from bitcodec.files import atomic_write, read_file
from bitcodec.runtime.threads import cores
from bitcodec.streams import is_stream, read_stdin, write_stdout


@dataclass(frozen=True)
class BatchSettings:
    """How a batch is run and reported; the fields are the options of the same names."""

    force: bool = False
    skip_existing: bool = False
    jobs: int = 1
    quiet: bool = False
    verbose: bool = False
    json: bool = False


#: task, sources, number of workers: one outcome for each source, in their order
Runner = Callable[[FileTask, Sequence[str], int], Generator[FileOutcome, None, None]]


def run_tasks(
    task: FileTask, sources: Sequence[str], workers: int
) -> Generator[FileOutcome, None, None]:
    """One outcome for each source, in their order.

    Args:
        task: a picklable function of a source.
        sources: paths, or ``-``.
        workers: processes, each with one thread; 1 works in this process, with all
            threads; 0 is one a core.
    """
    workers = workers or cores()
    if workers <= 1 or len(sources) <= 1:
        return (attempt(task, source) for source in sources)
    from bitcodec.cli.pool import in_processes  # its imports take a while

    return in_processes(task, sources, min(workers, len(sources)))


def run_batch(
    task: FileTask,
    describe: Describe,
    plan: Plan,
    settings: BatchSettings,
    runner: Runner = run_tasks,
) -> int:
    """Do all jobs and return the exit code.

    An output that exists is found out before any work is done for it. ``runner`` is where the
    task runs: in this process and its children, or on a cluster.
    """
    _check_streams(plan.jobs, settings)
    reporter = Reporter(
        plan.count,
        describe,
        quiet=settings.quiet,
        verbose=settings.verbose,
        as_json=settings.json,
    )
    with reporter:
        codes = [
            reporter.failed(FileJob(source, ""), FileFailure(str(error), error.exit_code))
            for source, error in plan.missing
        ]
        overwrite = settings.force or settings.skip_existing
        doable, refused = _doable(plan.jobs, settings, reporter)
        codes += refused
        outcomes = runner(task, [job.source for job in doable], settings.jobs)
        with contextlib.closing(outcomes):
            for job, outcome in zip(doable, outcomes, strict=True):
                written = _write(job, outcome, overwrite, plan.makes_folders)
                if isinstance(written, Output):
                    codes += [1] if reporter.done(job, written) else []
                else:
                    codes.append(reporter.failed(job, written))
    if not codes:
        return 0
    return codes[0] if plan.count == 1 else 1


def _doable(
    jobs: Sequence[FileJob], settings: BatchSettings, reporter: Reporter
) -> tuple[list[FileJob], list[int]]:
    doable: list[FileJob] = []
    codes: list[int] = []
    for job in jobs:
        # A descriptor may be open on a file: then that is not ours to keep or to replace.
        new = not os.path.isfile(job.target) or is_stream(job.target)
        if job.target == STREAM or settings.force or new:
            doable.append(job)
        elif settings.skip_existing:
            if _is_stale(job):
                doable.append(job)
            else:
                reporter.skipped(job)
        else:
            reason = f"{printable(job.target)} exists already (-f overwrites it)"
            codes.append(reporter.failed(job, FileFailure(reason, FileError.exit_code)))
    return doable, codes


def _is_stale(job: FileJob) -> bool:
    """Whether the output is older than its input, which has changed since."""
    try:
        return os.path.getmtime(job.target) < os.path.getmtime(job.source)
    except OSError:  # a stream, or gone: reading it will say so
        return False


def _write(job: FileJob, outcome: FileOutcome, force: bool, make_folder: bool) -> FileOutcome:
    if isinstance(outcome, FileFailure):
        return outcome
    try:
        if job.target == STREAM:
            write_stdout(outcome.data)
        else:
            if make_folder:
                os.makedirs(os.path.dirname(job.target) or ".", exist_ok=True)
            atomic_write(job.target, outcome.data, overwrite=force)
    except BitcodecError as error:
        return FileFailure(f"{_name(job)}: {error}", error.exit_code)
    except OSError as error:
        return FileFailure(f"{_name(job)}: {error.strerror or error}", FileError.exit_code)
    return outcome


def _name(job: FileJob) -> str:
    return "<stdout>" if job.target == STREAM else printable(job.target)


def _check_streams(jobs: Sequence[FileJob], settings: BatchSettings) -> None:
    for job in jobs:
        if job.target == STREAM and settings.json:
            raise click.UsageError("--json and the data cannot both go to standard output")
        if job.target == STREAM and _is_terminal(sys.stdout):
            raise click.UsageError("standard output is a terminal: name a file, or pipe it")
        if job.source == STREAM and _is_terminal(sys.stdin):
            raise click.UsageError("standard input is a terminal: name a file, or pipe one in")


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()  # None: closed from the start


def read_source(source: str) -> bytes:
    """The bytes of a file, or of standard input for ``-``; FileError where it cannot be read."""
    return read_stdin() if source == STREAM else read_file(source)
