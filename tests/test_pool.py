"""A task over many files, here and in processes. The task is ``eval``: it needs no module."""

from __future__ import annotations

import multiprocessing

import pytest

from bitcodec.cli.batch import run_tasks
from bitcodec.cli.outcome import FileFailure, Output

FINE = "Output(b'{}')"  # a name in bitcodec.cli.outcome, where eval finds it
REFUSED = "(_ for _ in ()).throw(BitcodecError('no'))"
BUG = "1 / 0"
DIES = "__import__('os')._exit(9)"


def short(outcome: Output | FileFailure) -> str:
    return outcome.data.decode() if isinstance(outcome, Output) else outcome.reason


def test_serial_outcomes_in_order() -> None:
    sources = [FINE.format(1), REFUSED, BUG, FINE.format(2)]
    outcomes = list(run_tasks(eval, sources, 1))
    assert [short(o) for o in outcomes] == [
        "1", "no", "internal error: ZeroDivisionError: division by zero", "2",
    ]  # fmt: skip
    bug = outcomes[2]
    assert isinstance(bug, FileFailure)
    assert "Traceback" in (bug.detail or "")


def test_interruption_is_not_a_failure_of_a_file() -> None:
    with pytest.raises(KeyboardInterrupt):
        list(run_tasks(eval, ["(_ for _ in ()).throw(KeyboardInterrupt)", "1"], 1))


@pytest.mark.slow
def test_parallel_outcomes_in_order() -> None:
    slow_first = ["[__import__('time').sleep(0.3), Output(b'0')][1]"]
    sources = [*slow_first, *(FINE.format(i) for i in range(1, 12)), REFUSED]
    assert [short(o) for o in run_tasks(eval, sources, 2)] == [*map(str, range(12)), "no"]
    assert multiprocessing.active_children() == []


@pytest.mark.slow
def test_a_worker_that_dies_costs_only_its_file() -> None:
    sources = [FINE.format(i) for i in range(7)]
    sources[2] = DIES
    got = [short(o) for o in run_tasks(eval, sources, 2)]
    assert got == ["0", "1", "the worker process died (out of memory?)", "3", "4", "5", "6"]
    assert multiprocessing.active_children() == []


@pytest.mark.slow
def test_workers_have_one_thread() -> None:
    ours = "__import__('bitcodec.runtime.threads').runtime.threads.threads()"
    for count in ("__import__('torch').get_num_threads()", ours):
        source = f"Output(str({count}).encode())"
        assert [short(o) for o in run_tasks(eval, [source] * 2, 2)] == ["1", "1"]


@pytest.mark.slow
def test_closing_early_ends_the_workers() -> None:
    outcomes = run_tasks(eval, [FINE.format(1), "threading.Event().wait(60)", "1"], 2)
    assert short(next(outcomes)) == "1"
    outcomes.close()
    assert multiprocessing.active_children() == []
