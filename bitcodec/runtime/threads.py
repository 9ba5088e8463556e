"""How many threads a picture may use: one rule for the whole program.

``BITCODEC_THREADS``, else one a core. Networks use as many inside of a layer, and as many tiles are
worked on at a time. Processes of ``-j`` have one each. Only torch has a setting of its own
(``OMP_NUM_THREADS``); it matters to training and to efforts 7 to 9.
"""

from __future__ import annotations

import os

__all__ = ["THREADS", "cores", "threads"]

THREADS = "BITCODEC_THREADS"  #: environment variable


def threads() -> int:
    """Threads that one picture may use."""
    named = os.environ.get(THREADS, "")
    return int(named) if named.isdigit() and int(named) > 0 else cores()


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
