"""Work on several tiles at once.

Coding a tile is many small operations, which gain little from threads of their own. So two tiles on
one thread each take hardly longer than one tile on two threads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from bitcodec.models.fork_safe import fork_safe_lock
from bitcodec.runtime.threads import threads

__all__ = ["side_by_side"]

T = TypeVar("T")
R = TypeVar("R")
_one_at_a_time = fork_safe_lock()


def side_by_side(work: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """``[work(item) for item in items]``, on as many threads as a picture may use.

    Exceptions come from the first item, in order, that raised one. Callers on several threads do
    not multiply: while one is here, the others work through their items alone.
    """
    count = threads()
    if len(items) < 2 or count < 2 or not _one_at_a_time.acquire(blocking=False):
        return [work(item) for item in items]
    try:
        from concurrent.futures import ThreadPoolExecutor  # takes a while

        with ThreadPoolExecutor(min(count, len(items))) as pool:
            return list(pool.map(work, items))
    finally:
        _one_at_a_time.release()
