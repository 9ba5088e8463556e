"""The same numbers whatever a caller has set in torch.

Autocast, reduced precision of float32 products, inference mode and gradients are the caller's to
choose for networks of his own. Here they would cost a codec bits: a sum of the context model that
is rounded differently makes a file that nobody can decode.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import torch

from bitcodec.models.fork_safe import fork_safe_lock

__all__ = ["fork_safe_lock", "pinned"]

_FULL = ("ieee", "none")


@contextlib.contextmanager
def pinned(*, gradients: bool = False) -> Iterator[None]:
    """A context, or a decorator, in which float32 is float32 and nothing is recorded.

    Autocast is off, products and convolutions have full precision, and it is inference mode,
    or with ``gradients`` neither that nor ``no_grad``. In a child of ``os.fork`` there is one
    thread, since the others of an OpenMP library stayed behind and would be waited for. All of it
    is as before afterwards; the precision, a setting of the whole process, as soon as no thread
    is in here.
    """
    with _full_precision, _one_thread_after_fork(), _no_autocast():
        with torch.inference_mode(not gradients), torch.set_grad_enabled(gradients):
            yield


@contextlib.contextmanager
def _no_autocast() -> Iterator[None]:
    on = [kind for kind in ("cpu", "cuda") if torch.is_autocast_enabled(kind)]
    for kind in on:
        torch.set_autocast_enabled(kind, False)
    try:
        yield
    finally:
        for kind in on:
            torch.set_autocast_enabled(kind, True)


class _FullPrecision:
    """Settings of the process: the first thread that comes in sets them, the last restores."""

    def __init__(self) -> None:
        self.lock, self.inside = fork_safe_lock(), 0
        self.kept: list[tuple[Any, str, Any]] = []

    def __enter__(self) -> None:
        with self.lock:
            if not self.inside:
                self.kept = [item for item in _precisions() if item[2] not in _FULL]
                for owner, name, value in self.kept:
                    setattr(owner, name, False if value is True else "ieee")
            self.inside += 1

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.inside -= 1
            if not self.inside:
                for owner, name, value in self.kept:
                    setattr(owner, name, value)


def _precisions() -> list[tuple[Any, str, Any]]:
    """Owner, name and value of each setting that reduces float32; torch 2.9 has new ones."""
    backends: Any = torch.backends
    if hasattr(backends.mkldnn, "matmul"):
        new = (
            backends.mkldnn.matmul,
            backends.mkldnn.conv,
            backends.cuda.matmul,
            backends.cudnn.conv,
        )
        return [(owner, "fp32_precision", owner.fp32_precision) for owner in new]
    return [
        (_matmul, "precision", _matmul.precision),
        (backends.cudnn, "allow_tf32", backends.cudnn.allow_tf32 or "none"),
    ]


class _OfMatmul:
    """torch's older setting, as an attribute with the newer one's values."""

    @property
    def precision(self) -> str:
        value = torch.get_float32_matmul_precision()
        return "ieee" if value == "highest" else value

    @precision.setter
    def precision(self, value: str) -> None:
        torch.set_float32_matmul_precision("highest" if value == "ieee" else value)


_matmul = _OfMatmul()
_full_precision = _FullPrecision()
_forked = False


def _note_fork() -> None:
    global _forked
    _forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)


@contextlib.contextmanager
def _one_thread_after_fork() -> Iterator[None]:
    threads = torch.get_num_threads() if _forked else 1
    if threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
