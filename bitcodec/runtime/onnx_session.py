"""Sessions of ONNX Runtime: one way to make them, and a self-test before the first."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import math
import os
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from bitcodec.errors import BitcodecError
from bitcodec.models.fork_safe import fork_safe_lock
from bitcodec.runtime.onnx_file import MICROSOFT, Graph
from bitcodec.runtime.onnx_import import onnxruntime
from bitcodec.runtime.operators import conv

__all__ = ["LazySession", "adds_in_16_bits"]

Session = Any  # onnxruntime has no types


class LazySession:
    """A session that is made when it is first used; threads may share one.

    In a child of ``os.fork`` it is made anew, and has one thread. The parent's stays in memory
    there: its threads did not come along, and whoever ends it waits for them.

    Args:
        graph: makes the model, as :meth:`Graph.serialize` gives it.
        count: threads.
        fused: whether operators may be fused into what rounds otherwise; for floats alone.
    """

    def __init__(self, graph: Callable[[], bytes], count: int = 1, *, fused: bool = False) -> None:
        self._graph, self._count, self._fused = graph, count, fused
        self._session: Session | None = None
        self._making = fork_safe_lock()
        _sessions.add(self)

    def run(self, feed: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """The outputs for inputs by name."""
        with self._making:
            if self._session is None:
                _self_test()
                self._session = _open(self._graph(), self._count, self._fused)
            session = self._session
        out: list[np.ndarray] = session.run(None, feed)
        return out

    def abandon(self) -> None:
        """In a child of ``os.fork``: never use the session again, and never end it."""
        if self._session is not None:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._session))
        self._session, self._count = None, 1


_sessions: weakref.WeakSet[LazySession] = weakref.WeakSet()


def _abandon_all() -> None:
    for session in list(_sessions):
        session.abandon()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_abandon_all)


def _open(model: bytes, count: int, fused: bool = False) -> Session:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = count
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.use_env_allocators", str(int(_share_memory())))
    options.enable_mem_pattern = False  # it plans for one shape; ours change
    if not fused:  # graphs say what they mean
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _share_memory() -> bool:
    """Whether sessions take memory from one common store.

    There are some forty of them, one at work at a time. In a child of ``os.fork`` each has its own
    instead, since a thread that stayed in the parent may have locked the common one.
    """
    return _make_store() == os.getpid()


@functools.cache
def _make_store() -> int:
    """Make the common store; in which process."""
    kind, memory = onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, onnxruntime.OrtMemType.DEFAULT
    info = onnxruntime.OrtMemoryInfo("Cpu", kind, 0, memory)
    with contextlib.suppress(Exception):  # the program may have made one already
        onnxruntime.create_and_register_allocator(info, onnxruntime.OrtArenaCfg({}))
    return os.getpid()


@functools.cache
def adds_in_16_bits() -> bool:
    """Whether sums of two products of an unsigned and a signed byte are cut to 16 bits here.

    That is so with AVX2 but without VNNI. There the context model's layers stay within 16 bits;
    the transform's, whose weights have all 8 bits, must not use such products.
    """
    x = np.full((1, 1, 4, 64), 255, np.uint8)
    weight, zero = np.full((64, 64, 1, 1), 127, np.int8), np.zeros(64, np.int32)
    graph = Graph()
    name = graph.input("x", "uint8", [1, "h", "w", 64])
    out = conv(graph, name, weight, zero, np.full(64, 2.0**-14, np.float32))
    graph.output(out, "out", "uint8", [1, "h", "w", 64])
    found = _open(graph.serialize(), 1).run(None, {"x": x})[0]
    return not np.array_equal(found, np.full((1, 1, 4, 64), round(255 * 127 * 64 / 2**14)))


@functools.cache
def _self_test() -> None:
    """BitcodecError unless integers come out as the format says, at the extremes too.

    A library or processor that adds products in 16 bits, or rounds otherwise, is found here and
    not by wrong pictures.
    """
    x = _scattered(256, 1, 4, 6, 32).astype(np.uint8)
    x[0, 0], x[0, 1] = 255, 0
    weight = (_scattered(129, 48, 32, 1, 1) - 64).astype(np.int8)
    weight[0], weight[1] = 64, -64
    bias = (_scattered(10001, 48) - 5000).astype(np.int32)
    scale = np.exp2(_scattered(7, 48) - 12).astype(np.float32)  # so that halves occur
    scale[::3] *= np.float32(1.1)
    graph = Graph()
    name = graph.input("x", "uint8", [1, "h", "w", 32])
    graph.output(conv(graph, name, weight, bias, scale, 64, 7), "conv", "uint8", [1, "h", "w", 48])
    rows = graph.node("Reshape", name, graph.constant(np.array([-1, 32], np.int64)))
    matrix = graph.constant(np.ascontiguousarray(weight[:, :, 0, 0].T))
    some = (graph.constant(1.0), graph.constant(scale), graph.constant(np.uint8(128)))
    product = graph.node("MatMulIntegerToFloat", rows, matrix, *some, domain=MICROSOFT)
    graph.output(graph.node("Round", product), "product", "float32", ["n", 48])
    found = _open(graph.serialize(), 1).run(None, {"x": x})
    exact = x.astype(np.int64)[0] @ weight[:, :, 0, 0].T.astype(np.int64)
    sums = exact - 64 * weight[:, :, 0, 0].sum(1, dtype=np.int64) + bias
    expected = (np.rint(sums.astype(np.float32) * scale) + 7).clip(0, 255)
    shifted = exact - 128 * weight[:, :, 0, 0].sum(1, dtype=np.int64)
    wanted = np.rint(shifted.astype(np.float32) * scale).reshape(-1, 48)
    if not (np.array_equal(found[0][0], expected) and np.array_equal(found[1], wanted)):
        raise BitcodecError("ONNX Runtime computes other integers than it should on this machine")


def _scattered(below: int, *shape: int) -> np.ndarray:
    """Numbers that look random; importing NumPy's takes a while."""
    count = np.arange(math.prod(shape))
    return np.asarray((count * count * 7919 // 31 % below).reshape(shape))
