"""A task over many files in processes; results in order, failures as values."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from bitcodec.cli.outcome import FileFailure, FileOutcome, FileTask, attempt
from bitcodec.cli.process import claim_process
from bitcodec.runtime.threads import THREADS

__all__ = ["in_processes"]

_DIED = "the worker process died (out of memory?)"


def in_processes(
    task: FileTask, sources: Sequence[str], workers: int
) -> Generator[FileOutcome, None, None]:
    """As :func:`bitcodec.cli.batch.run_tasks`, in so many processes of one thread each."""
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
    # One that was sending a result has left a part of it in the pipe. The pool waits for the rest
    # as long as any process could write it, this one too.
    if pool._result_queue is not None:
        pool._result_queue._writer.close()  # type: ignore[attr-defined]
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
