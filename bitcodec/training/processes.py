"""Where a process of a training run works, and the group of those that torchrun started."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

import torch

from bitcodec.runtime.loaded import pick_device

__all__ = ["distributed", "patient_group", "place"]


def place(device: str) -> torch.device:
    """Where to train: the device asked for, and under torchrun the process's own of that kind."""
    place = torch.device(pick_device(device))
    if place.type == "cuda":
        place = torch.device("cuda", int(os.environ.get("LOCAL_RANK", place.index or 0)))
        torch.cuda.set_device(place)
    return place


def distributed(device: torch.device) -> tuple[int, int]:
    """(rank, processes); joins the group when started by torchrun."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world > 1 and not torch.distributed.is_initialized():
        torch.distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return int(os.environ.get("RANK", "0")), world


def patient_group() -> Any:
    """For barriers that others wait at while one process does long work."""
    return torch.distributed.new_group(backend="gloo", timeout=timedelta(days=1))
