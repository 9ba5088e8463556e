"""How many threads a picture may use, for the whole program."""

from __future__ import annotations

import os

__all__ = ["THREADS", "threads"]

THREADS = "BITCODEC_THREADS"  #: environment variable


def threads() -> int:
    """Threads that one picture may use: ``BITCODEC_THREADS``, else one a core."""
    named = os.environ.get(THREADS, "")
    if named.isdigit() and int(named) > 0:
        return int(named)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
