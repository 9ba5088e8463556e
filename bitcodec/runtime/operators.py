"""Quantised layers as ONNX operators, channels last from end to end.

The operators are named outright (QLinearConv and others of ONNX Runtime's own) and sessions do not
optimise, so that nothing is fused into something that rounds otherwise.
"""

from __future__ import annotations

import numpy as np

from bitcodec.runtime.onnx_file import MICROSOFT, Graph

__all__ = ["as_unsigned", "clip", "conv", "reshape", "weights"]


def conv(
    graph: Graph,
    x: str,
    weight: np.ndarray,
    bias: np.ndarray | str,
    scale: np.ndarray,
    zero_in: int = 0,
    zero_out: int = 0,
    groups: int = 1,
    unsigned: bool = False,
) -> str:
    """A convolution of bytes that keeps the size: uint8 (1, h, w, I) to uint8 (1, h, w, O).

    Args:
        graph: to put it in.
        x: what to convolve.
        weight: int8 (O, I, k, k).
        bias: int32 (O,), or the name of such a value.
        scale: float32 (O,), what sums are multiplied by before they are rounded.
        zero_in: the byte that stands for 0 in x.
        zero_out: and in what is put out.
        groups: I for a depthwise convolution.
        unsigned: see :func:`weights`.
    """
    edge = weight.shape[2]
    c = graph.constant
    one = c(1.0)
    values, zero_weight = weights(graph, weight, unsigned)
    return graph.node(
        "QLinearConv",
        *(x, one, c(np.uint8(zero_in))),
        *(values, c(scale), zero_weight),
        *(one, c(np.uint8(zero_out)), bias if isinstance(bias, str) else c(bias)),
        domain=MICROSOFT,
        channels_last=1,
        group=groups,
        kernel_shape=[edge, edge],
        pads=[edge // 2] * 4,
    )


def weights(graph: Graph, weight: np.ndarray, unsigned: bool) -> tuple[str, str]:
    """int8 weights and their zero, or the same numbers as uint8 counted from 128.

    Where products of signed bytes are added in 16 bits, unsigned ones are not: half as fast, exact.
    """
    if not unsigned:
        return graph.constant(weight), graph.constant(np.int8(0))
    return graph.constant(as_unsigned(weight)), graph.constant(np.uint8(128))


def as_unsigned(weight: np.ndarray) -> np.ndarray:
    """int8 as uint8, 128 more."""
    return (weight.astype(np.int16) + 128).astype(np.uint8)


def clip(graph: Graph, x: str, low: int, high: int) -> str:
    """Bytes clipped to low..high."""
    return graph.node("Clip", x, graph.constant(np.uint8(low)), graph.constant(np.uint8(high)))


def reshape(graph: Graph, x: str, *shape: int) -> str:
    """With -1 for what is left, 0 for what stays."""
    return graph.node("Reshape", x, graph.constant(np.array(shape, np.int64)))
