"""One report a file: a line on stderr, or a JSON object on stdout; a total; a progress bar."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, TextIO

from bitcodec.cli.outcome import FileFailure, Output
from bitcodec.cli.plan import STREAM, FileJob
from bitcodec.errors import printable

_SUMMED = ("input_bytes", "output_bytes", "pixels", "seconds")
Describe = Callable[[Mapping[str, Any]], str]


class Reporter:
    """Reports what happens to ``count`` files, and the total where there are several.

    A context manager: the bar goes and the total is printed at the end of its body.

    Args:
        count: files in all.
        describe: words for a record (of a file, or the sums over several), which has at least
            the keys input_bytes, output_bytes, pixels and seconds.
        quiet: errors only.
        verbose: also every field of a record, and tracebacks of internal errors.
        as_json: one object a file on standard output.
    """

    def __init__(
        self, count: int, describe: Describe, *, quiet: bool, verbose: bool, as_json: bool
    ) -> None:
        self.count, self.describe = count, describe
        self.quiet, self.verbose, self.as_json = quiet, verbose, as_json
        self.files = self.failures = self.skips = 0
        self.sums: dict[str, float] = dict.fromkeys(_SUMMED, 0)
        off = quiet or count < 2 or sys.stderr is None or not sys.stderr.isatty()
        self.bar = None
        if not off:
            from tqdm import tqdm

            self.bar = tqdm(total=count, unit="file", file=sys.stderr, leave=False)

    def __enter__(self) -> Reporter:
        """The reporter."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove the bar; print the total unless something was raised."""
        if self.bar is not None:
            self.bar.close()
        if kind is None and self.count > 1:
            self._total()

    def done(self, job: FileJob, output: Output) -> bool:
        """A file has been written; returns whether anything was lost in it."""
        self.files += 1
        record = output.record
        for key in _SUMMED:
            self.sums[key] += record[key]
        source = _shown(job.source, "stdin")
        for note in output.notes:
            self._line(f"bitcodec: note: {source}: {note}")
        self._line(f"{source} -> {_shown(job.target, 'stdout')}: {self.describe(record)}")
        if self.verbose:
            self._line("  " + ", ".join(f"{key} {value}" for key, value in record.items()))
        if output.damage:
            self._line(f"bitcodec: error: {source}: {output.damage}", always=True)
        self._finish({"input": job.source, "output": job.target, **record})
        return output.damage is not None

    def failed(self, job: FileJob, failure: FileFailure) -> int:
        """A file has failed; returns its exit code. Failures are told even with --quiet."""
        self.failures += 1
        source = _shown(job.source, "stdin")
        self._line(f"bitcodec: error: {source}: {printable(failure.reason)}", always=True)
        if failure.detail and self.verbose:
            self._line(failure.detail, always=True)
        error = {"error": failure.reason, "exit_code": failure.exit_code}
        self._finish({"input": job.source, "output": job.target, **error})
        return failure.exit_code

    def skipped(self, job: FileJob) -> None:
        """A file's output exists and is to be left as it is."""
        self.skips += 1
        self._line(f"{printable(job.source)}: skipped, {printable(job.target)} exists")
        self._finish({"input": job.source, "output": job.target, "skipped": True})

    def _total(self) -> None:
        counts = [f"{self.files} files"]
        counts += [f"{self.failures} failed"] if self.failures else []
        counts += [f"{self.skips} skipped"] if self.skips else []
        text = f": {self.describe(self.sums)}" if self.files else ""
        self._line(f"total: {', '.join(counts)}{text}")

    def _line(self, text: str, *, always: bool = False) -> None:
        if sys.stderr is not None and (always or not self.quiet):  # None: closed
            self._write(text, sys.stderr)

    def _finish(self, record: dict[str, Any]) -> None:
        if self.as_json:
            self._write(json.dumps(record), sys.stdout)
            sys.stdout.flush()
        if self.bar is not None:
            self.bar.update()

    def _write(self, text: str, file: TextIO) -> None:
        """A line, above the bar where there is one."""
        if self.bar is None:
            print(text, file=file)
        else:
            self.bar.write(text, file=file)


def _shown(path: str, stream: str) -> str:
    return f"<{stream}>" if path == STREAM else printable(path)
