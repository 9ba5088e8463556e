"""Models by name, path or id, which stay loaded for as long as the process runs."""

from __future__ import annotations

import os
import re
from functools import lru_cache
from pathlib import Path

from bitcodec.errors import BitcodecError, OptionError, WeightsError, shown
from bitcodec.files import is_path
from bitcodec.models import registry
from bitcodec.models.base import Model
from bitcodec.models.families import FAMILIES
from bitcodec.models.fork_safe import fork_safe_lock
from bitcodec.models.weights_file import Stored, read_weights

__all__ = [
    "cached_model",
    "check_device",
    "load_model",
    "loaded_model",
    "open_model",
    "pick_device",
]


def load_model(name_or_path: str | os.PathLike[str], *, device: str = "auto") -> Model:
    """Load a model once, to use it for many pictures.

    Args:
        name_or_path: a name that ``bitcodec models`` lists, or a weights file.
        device: "cpu", "cuda", "cuda:1" and so on, or "auto" for CUDA where there is one.

    Raises:
        UnknownModelError: there is no such model.
        WeightsError: its file is damaged.
        BitcodecError: the device is not there.
        OptionError: there is no such kind of device.
    """
    return open_model(registry.find_by_name(name_or_path).path, pick_device(device))


def cached_model(model: str | bytes | None, device: str = "auto") -> Model:
    """A model that stays loaded in this process.

    Args:
        model: a name, a path, the 8 bytes of an id, or None for the default.
        device: as in :func:`load_model`.

    Raises:
        What :func:`load_model` raises.
    """
    if isinstance(model, bytes):
        entry = registry.find_by_id(model)
    else:
        entry = registry.find_by_name(model or registry.default_model())
    # The id is part of the key, so that a file that was replaced is loaded anew.
    key = entry.path, entry.model_id, pick_device(device)
    with _loading:  # threads that want the same model wait for one load
        return _load(*key)


_loading = fork_safe_lock()


@lru_cache(maxsize=4)
def _load(path: Path, model_id: bytes, device: str) -> Model:
    return open_model(path, device)


def pick_device(device: str) -> str:
    """ "cpu", "cuda" or "cuda:1" for what :func:`load_model` takes; raises what it does."""
    check_device(device)
    count = 0 if device == "cpu" else _cuda_devices()
    if device in ("auto", "cpu"):
        return "cuda" if count else "cpu"
    if int(device.partition(":")[2] or 0) >= count:
        raise BitcodecError(f"no CUDA device {device} here, or not after a fork")
    return device


def loaded_model(
    model: str | os.PathLike[str] | Model | None, device: str, model_id: bytes | None = None
) -> Model:
    """The model itself, or loaded by its name, else by an id, else the default."""
    if isinstance(model, Model):
        return model
    if model is not None and not is_path(model):
        raise OptionError(f"model must be a name, a path or a model, not {type(model).__name__}")
    return cached_model(os.fspath(model) if model is not None else model_id, device)


def check_device(value: object) -> str:
    """The value; OptionError unless it is "auto", "cpu", "cuda" or "cuda:" and a number."""
    if not isinstance(value, str) or not re.fullmatch(r"auto|cpu|cuda(:\d{1,3})?", value):
        raise OptionError(f"unknown device {shown(value)} (one of auto, cpu, cuda, cuda:0, ...)")
    return value


def _has_driver() -> bool:
    return Path("/dev/nvidiactl").exists() or Path("/dev/dxg").exists()


def _cuda_devices() -> int:
    """How many GPUs torch can use; without a driver torch is not even asked."""
    if not _has_driver():
        return 0
    try:
        import torch
    except ImportError:
        return 0
    # CUDA does not work in a child of a process that has used it.
    return 0 if torch.cuda._is_in_bad_fork() else torch.cuda.device_count()


def open_model(path: Path, device: str) -> Model:
    """The model of a weights file, in ONNX Runtime or in torch.

    Raises:
        WeightsError: the file cannot be read, is not one of ours, or its id is wrong; or it is of
            a training run, and does not code yet.
        BitcodecError: the model needs torch, and there is none.
    """
    stored = read_weights(path)
    if any(stored.family == row.trained != row.name for row in FAMILIES.values()):
        raise WeightsError(f"{path}: these weights only train: run bitcodec export first")
    if device == "cpu" and stored.family == "ladder" and stored.part("ranges."):
        from bitcodec.runtime.onnx_ladder import OnnxLadder

        return OnnxLadder(stored)
    if device == "cpu" and stored.family == "sign":
        from bitcodec.runtime.onnx_sign import OnnxSign

        return OnnxSign(stored)
    return _in_torch(stored, device)


def _in_torch(stored: Stored, device: str) -> Model:
    try:
        from bitcodec.models.weights import torch_model
    except ImportError as error:
        if error.name != "torch":
            raise
        raise BitcodecError(f"{stored.path.stem} needs torch (pip install torch)") from error
    model = torch_model(stored, device)
    if stored.family == "ladder":
        from bitcodec.models.ladder.coding import LadderCoding
        from bitcodec.runtime.onnx_context import OnnxKernels

        assert isinstance(model, LadderCoding)
        model.use_kernels(OnnxKernels(model.context))  # many small layers: best on the CPU
    return model
