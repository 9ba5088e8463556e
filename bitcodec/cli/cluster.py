"""A task over many files on a Ray cluster: results in order, failures as values.

The workers read the inputs, so these must have the same paths on every machine; the outputs are
written here. Each actor has one core and one torch thread, and loads the model once.
"""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Generator, Sequence
from typing import Any

from bitcodec.cli.outcome import FileFailure, FileOutcome, FileTask, attempt
from bitcodec.cli.process import WAITING
from bitcodec.errors import BitcodecError, one_line

__all__ = ["ANY", "check_address", "run_on_ray"]

ANY = "auto"
"""The running cluster that Ray finds (RAY_ADDRESS, or on this machine), or else a new one here."""
_ADDRESS = re.compile(r"auto|local|(ray://)?[\w.\[\]:-]+:\d+")
_DIED = "the worker process died twice (out of memory?)"
_PASSED_ON = ("BITCODEC_MODEL", "BITCODEC_WEIGHTS")


def check_address(address: str) -> str:
    """``address``, if it looks like one: auto, local, HOST:PORT or ray://HOST:PORT.

    BitcodecError otherwise; most likely it is an input that click took for the address.
    """
    if not _ADDRESS.fullmatch(address):
        raise BitcodecError(
            f"--ray: {address!r} is not an address (auto, local, HOST:PORT, ray://HOST:PORT); "
            "put --ray last where you give none"
        )
    return address


class _Worker:
    """What an actor is made of."""

    def __init__(self) -> None:
        import torch

        torch.set_num_threads(1)

    def run(self, task: FileTask, source: str) -> FileOutcome:
        return attempt(task, source)


def run_on_ray(
    task: FileTask, sources: Sequence[str], workers: int, *, address: str = ANY
) -> Generator[FileOutcome, None, None]:
    """One outcome for each source, in their order, computed by actors of a Ray cluster.

    Args:
        task: a picklable function of a source.
        sources: paths that the workers can read.
        workers: actors; 0 or 1 is one for each core of the cluster.
        address: see :func:`check_address`.

    Raises:
        BitcodecError: Ray is not installed, or there is no such cluster.
    """
    try:
        ray: Any = importlib.import_module("ray")
    except ImportError as error:
        raise BitcodecError("--ray needs Ray: pip install 'bitcodec[ray]'") from error
    if not sources:
        return
    ours = not ray.is_initialized()
    if ours:
        _connect(ray, address, workers)
    count = workers if workers > 1 else int(ray.cluster_resources().get("CPU", 1))
    # Ray starts an actor that died anew, and tries the file that it had once more.
    kind = ray.remote(num_cpus=1, max_restarts=-1, max_task_retries=1)(_Worker)
    actors = [kind.remote() for _ in range(min(max(1, count), len(sources)))]
    try:
        yield from _spread(ray, actors, ray.put(task), sources)
    finally:
        for actor in actors:
            ray.kill(actor)
        if ours:
            ray.shutdown()


def _connect(ray: Any, address: str, workers: int) -> None:
    here = {"num_cpus": workers} if workers > 1 and address == "local" else {}
    variables = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    variables |= {"OMP_NUM_THREADS": "1", **WAITING}
    # Ray would send reports of its use to its makers.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        ray.init(
            address=None if address == ANY else address,
            logging_level="ERROR",
            log_to_driver=False,
            runtime_env={"env_vars": variables},
            **here,
        )
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        raise BitcodecError(f"no Ray cluster at {address}: {one_line(error)}") from error


def _spread(
    ray: Any, actors: Sequence[Any], task: Any, sources: Sequence[str]
) -> Generator[FileOutcome, None, None]:
    """Keep every actor busy; hold back what is done early until it is its turn."""
    idle, under_way = list(actors), {}
    finished: dict[int, FileOutcome] = {}
    started = told = 0
    while told < len(sources):
        # A bounded lead, so that finished files do not pile up behind a slow one.
        while idle and started < len(sources) and started < told + 4 * len(actors):
            actor = idle.pop()
            under_way[actor.run.remote(task, sources[started])] = started, actor
            started += 1
        done, _ = ray.wait(list(under_way), num_returns=1)
        for reference in done:
            index, actor = under_way.pop(reference)
            finished[index] = _result(ray, reference)
            idle.append(actor)
        while told in finished:
            yield finished.pop(told)
            told += 1


def _result(ray: Any, reference: Any) -> FileOutcome:
    try:
        outcome: FileOutcome = ray.get(reference)
    except ray.exceptions.RayActorError:
        return FileFailure(_DIED, 1)
    except ray.exceptions.RayError as error:
        return FileFailure(f"Ray: {one_line(error)}", 1)
    return outcome
