"""What a task makes of a file; failures are values."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bitcodec.errors import BitcodecError

__all__ = ["FileFailure", "FileOutcome", "FileTask", "Output", "attempt"]


@dataclass(frozen=True)
class Output:
    """What a task made of a file: the bytes to write, figures to report, notes to show.

    ``damage`` says what is missing where the output was saved out of a damaged input.
    """

    data: bytes
    record: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    damage: str | None = None


@dataclass(frozen=True)
class FileFailure:
    """Why a file could not be done; ``detail`` is a traceback where it is our fault."""

    reason: str
    exit_code: int
    detail: str | None = None


FileOutcome = Output | FileFailure
FileTask = Callable[[str], Output]


def attempt(task: FileTask, source: str) -> FileOutcome:
    """Run the task; an exception of any kind becomes a :class:`FileFailure`."""
    try:
        return task(source)
    except BitcodecError as error:
        return FileFailure(str(error), error.exit_code)
    except MemoryError:
        return FileFailure("out of memory", 1)
    except Exception as error:  # a fault of ours must not end a batch of thousands
        if isinstance(error.__cause__, KeyboardInterrupt):  # while a library was being loaded
            raise error.__cause__ from None
        reason = f"internal error: {type(error).__name__}: {error}".splitlines()[0]
        return FileFailure(reason, 1, traceback.format_exc())
