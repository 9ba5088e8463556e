"""A task over many files: here, or in processes; results in order, failures as values."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import traceback
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from typing import Any

from bitcodec.cli.process import claim_process
from bitcodec.errors import BitcodecError
from bitcodec.runtime.threads import THREADS

_DIED = "the worker process died (out of memory?)"


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
    workers = workers or os.cpu_count() or 1
    if workers <= 1 or len(sources) <= 1:
        return (attempt(task, source) for source in sources)
    return _parallel(task, sources, min(workers, len(sources)))


def attempt(task: FileTask, source: str) -> FileOutcome:
    """Run the task; an exception of any kind becomes a :class:`FileFailure`."""
    try:
        return task(source)
    except BitcodecError as error:
        return FileFailure(str(error), error.exit_code)
    except MemoryError:
        return FileFailure("out of memory", 1)
    except Exception as error:  # a fault of ours must not end a batch of thousands
        reason = f"internal error: {type(error).__name__}: {error}".splitlines()[0]
        return FileFailure(reason, 1, traceback.format_exc())


def _parallel(
    task: FileTask, sources: Sequence[str], workers: int
) -> Generator[FileOutcome, None, None]:
    todo = deque(sources)
    window: deque[tuple[str, Future[FileOutcome]]] = deque()
    pool = _pool(workers)
    try:
        while todo or window:
            # A bounded window, so that finished files do not pile up behind a slow one.
            while todo and len(window) < 2 * workers:
                try:
                    window.append((todo[0], pool.submit(attempt, task, todo[0])))
                except BrokenProcessPool:
                    break
                todo.popleft()
            if window:
                source, future = window.popleft()
                outcome = _result(future)
                if outcome is not None:
                    yield outcome
                    continue
                # A worker died. Which file it had is unknown, so those that were under way are
                # tried again one by one, and only the one that killed it fails.
                yield _alone(task, source)
                while window:
                    source, future = window.popleft()
                    yield _result(future) or _alone(task, source)
            _stop(pool)
            pool = _pool(workers)
    finally:
        _stop(pool)


def _result(future: Future[FileOutcome]) -> FileOutcome | None:
    try:
        return future.result()
    except BrokenProcessPool:
        return None


def _alone(task: FileTask, source: str) -> FileOutcome:
    pool = _pool(1)
    try:
        return _result(pool.submit(attempt, task, source)) or FileFailure(_DIED, 1)
    finally:
        _stop(pool)


def _pool(workers: int) -> ProcessPoolExecutor:
    context = multiprocessing.get_context("spawn")  # fork and torch's threads do not mix
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker)


def _stop(pool: ProcessPoolExecutor) -> None:
    """End the workers at once. They write no files, so there is nothing to clean up."""
    for process in list((pool._processes or {}).values()):
        process.terminate()
    pool.shutdown(wait=True, cancel_futures=True)


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group: parent decides
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    if parent is not None:

        def follow() -> None:
            parent.join()  # a parent that was killed cannot stop us
            os._exit(1)

        threading.Thread(target=follow, daemon=True).start()
    claim_process()
    os.environ[THREADS] = os.environ["OMP_NUM_THREADS"] = "1"  # the second is torch's
