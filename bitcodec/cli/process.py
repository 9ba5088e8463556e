"""Settings that only a process of the command's own may have."""

from __future__ import annotations

import os

__all__ = ["claim_process"]

#: Threads that wait for work sleep. Where they spin, two programs on one processor hold each other
#: up: training steps took four times as long.
WAITING = {"GOMP_SPINCOUNT": "0", "OMP_WAIT_POLICY": "passive"}


def claim_process() -> None:
    """This process is a command's, or a worker of one; to be called before torch is imported."""
    if not WAITING.keys() & os.environ.keys():
        os.environ.update(WAITING)
