"""Work on several tiles at once, on the threads that torch would use for one.

Coding a tile is many small operations, which gain little from torch's threads. So two tiles on one
thread each take hardly longer than one tile on two threads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

from bitcodec.models.pinned import fork_safe_lock

__all__ = ["side_by_side"]

T = TypeVar("T")
R = TypeVar("R")
_one_at_a_time = fork_safe_lock()


def side_by_side(work: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """``[work(item) for item in items]``, on as many threads as torch has.

    Exceptions come from the first item, in order, that raised one. Callers on several threads do
    not multiply: while one is here, the others work through their items alone.
    """
    threads = torch.get_num_threads()
    if len(items) < 2 or threads < 2 or not _one_at_a_time.acquire(blocking=False):
        return [work(item) for item in items]
    try:
        # Each worker has one torch thread. torch keeps that setting for each thread, but also takes
        # it as the default of new threads; so it is put back at the end.
        with ThreadPoolExecutor(
            min(threads, len(items)), initializer=torch.set_num_threads, initargs=(1,)
        ) as pool:
            return list(pool.map(work, items))
    finally:
        torch.set_num_threads(threads)
        _one_at_a_time.release()
