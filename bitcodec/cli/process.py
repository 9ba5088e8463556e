"""Whether this process is the command's own, and settings that only such a process may have."""

from __future__ import annotations

import os

__all__ = ["claim_process", "is_ours"]

#: Threads that wait for work sleep. Where they spin, two programs on one processor hold each other
#: up: training steps took four times as long.
WAITING = {"GOMP_SPINCOUNT": "0", "OMP_WAIT_POLICY": "passive"}
_ours = False


def claim_process() -> None:
    """This process is a command's, or a worker of one; to be called before torch is imported."""
    global _ours
    _ours = True
    if not WAITING.keys() & os.environ.keys():
        os.environ.update(WAITING)


def is_ours() -> bool:
    """Whether :func:`claim_process` was called."""
    return _ours
