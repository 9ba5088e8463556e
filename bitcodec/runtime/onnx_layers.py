"""The building blocks of `ladder`'s transforms as ONNX operators: bytes, channels last."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bitcodec.models.ladder.activations import Activation
from bitcodec.models.ladder.quantized import Quantizer, byte_matrix
from bitcodec.runtime.onnx_file import MICROSOFT, Graph
from bitcodec.runtime.onnx_session import adds_in_16_bits
from bitcodec.runtime.operators import conv, weights

__all__ = ["Builder", "Order", "Value", "product", "shuffled"]


@dataclass(frozen=True)
class Value:
    """A tensor of bytes in a graph, and how it is to be read."""

    name: str
    how: Activation


@dataclass(frozen=True)
class Order:
    """How a layer's channels are ordered where that is not as in its tensors, and their gain."""

    inputs: np.ndarray | None = None
    outputs: np.ndarray | None = None
    gain: float = 1.0


class Builder:
    """Adds layers of a transform to a graph.

    Args:
        graph: to put them in.
        quantizer: of their tensors.
        table: how what they put out is read, by name.
    """

    def __init__(self, graph: Graph, quantizer: Quantizer, table: dict[str, Activation]) -> None:
        self.graph, self.of, self.table = graph, quantizer, table
        self.unsigned = adds_in_16_bits()

    def _how(self, how: Activation) -> tuple[str, str]:
        return self.graph.constant(how.unit), self.graph.constant(np.uint8(how.zero))

    def quantize(self, x: str, how: Activation) -> Value:
        """Floats to bytes, one unit for all channels."""
        return Value(self.graph.node("QuantizeLinear", x, *self._how(how)), how)

    def conv(self, x: Value, name: str, order: Order | None = None) -> Value:
        """Layer ``name``, clipped to the range of what it puts out."""
        order, y = order or Order(), self.table[name]
        weight, bias = self.of.array(name + ".weight"), self.of.array(name + ".bias")
        weight = weight * np.float32(order.gain)
        if order.inputs is not None:
            weight = weight[:, order.inputs]
        if order.outputs is not None:
            weight, bias = weight[order.outputs], bias[order.outputs]
            y = y.tiled(4) if 4 * len(y.channels) == len(weight) else y
        layer, zeros = self.of.layer(weight, bias, x.how, y), (x.how.zero, y.zero)
        groups = len(weight) if weight.shape[1] == 1 and len(weight) > 1 else 1
        return Value(conv(self.graph, x.name, *layer, *zeros, groups, self.unsigned), y)

    def add(self, a: Value, b: Value, name: str) -> Value:
        """The sum ``name`` of two that share their channels' units."""
        y = self.table[name]
        parts = (a.name, *self._how(a.how), b.name, *self._how(b.how), *self._how(y))
        return Value(self.graph.node("QLinearAdd", *parts, domain=MICROSOFT), y)

    def residual(self, x: Value, name: str) -> Value:
        """3x3, ReLU, 3x3, plus the input."""
        hidden = self.conv(x, name + ".f.0")
        return self.add(self.conv(hidden, name + ".f.2"), x, name)

    def depthwise_block(self, x: Value, name: str) -> Value:
        """Depthwise, 1x1, ReLU, 1x1, plus the input, all in bytes."""
        hidden = self.conv(self.conv(x, name + ".dw"), name + ".a")
        return self.add(self.conv(hidden, name + ".b"), x, name)

    def rows(self, x: str, channels: int) -> str:
        """Positions as rows: (n, C)."""
        shape = self.graph.constant(np.array([-1, channels], np.int64))
        return self.graph.node("Reshape", x, shape)

    def quantize_rows(self, x: str, how: Activation) -> Value:
        """Floats (..., C) to bytes, a unit for each channel."""
        scaled = self.graph.node("Mul", x, self.graph.constant(1 / how.channels))
        return Value(self.graph.node("QuantizeLinear", scaled, *self._how(how)), how)

    def dense(self, x: Value, weight: np.ndarray, bias: np.ndarray | None = None) -> str:
        """Bytes (n, I) times weights (O, I), plus a bias (O,), in float32: (n, O)."""
        matrix, scale = byte_matrix(x.how.units[:, None] * weight.T)
        c, some = self.graph.constant, self.graph.constant(1.0)
        values, zero = weights(self.graph, matrix, self.unsigned)
        inputs = [x.name, values, some, c(scale), c(np.uint8(x.how.zero)), zero]
        inputs += [] if bias is None else [c(bias)]
        return self.graph.node("MatMulIntegerToFloat", *inputs, domain=MICROSOFT)

    def block(self, x: str, name: str, size: str, *, relu: bool = False) -> str:
        """Depthwise 5x5, 1x1, GELU or ReLU, 1x1, plus the input, which stays in float32.

        Args:
            x: rows (n, C).
            name: of the block.
            size: (1, h, w, C), as a value.
            relu: ReLU, not GELU.
        """
        g, q = self.graph, self.quantize_rows(x, self.table[name + ".in"])
        d = self.conv(Value(g.node("Reshape", q.name, size), q.how), name + ".dw")
        width = len(d.how.channels)
        if relu:
            hidden = self.conv(d, name + ".a")
            hidden = Value(self.rows(hidden.name, 2 * width), hidden.how)
        else:
            weight, bias = self.of.array(name + ".a.weight"), self.of.array(name + ".a.bias")
            wide = self.dense(Value(self.rows(d.name, width), d.how), weight[:, :, 0, 0])
            wide = g.node("BiasGelu", wide, g.constant(bias), domain=MICROSOFT)
            hidden = self.quantize(wide, self.table[name + ".a"])
        weight, bias = self.of.array(name + ".b.weight"), self.of.array(name + ".b.bias")
        return g.node("Add", x, self.dense(hidden, weight[:, :, 0, 0], bias))

    def rearrange(self, x: str, shape: list[int], order: list[int], size: str) -> str:
        """Reshape (0 keeps a size), transpose, and reshape to a size that is fed."""
        x = self.graph.node("Reshape", x, self.graph.constant(np.array(shape, np.int64)))
        return self.graph.node("Reshape", self.graph.node("Transpose", x, perm=order), size)

    def shuffle(self, x: Value, size: str, channels: int) -> Value:
        """Channels (2, 2, C) of each position to four positions: (1, h, w, 4 C) to the size."""
        shape, order = [0, 0, 0, 2, 2, channels], [0, 1, 3, 2, 4, 5]
        how = Activation(x.how.unit, x.how.zero, x.how.channels[:channels])
        return Value(self.rearrange(x.name, shape, order, size), how)

    def unshuffle(self, x: Value, squares: str, size: str) -> Value:
        """The inverse, by way of the shape (1, h, 2, w, 2, C), which is fed too."""
        name = self.graph.node("Reshape", x.name, squares)
        name = self.graph.node("Transpose", name, perm=[0, 1, 3, 2, 4, 5])
        return Value(self.graph.node("Reshape", name, size), x.how.tiled(4))

    def cut(self, x: Value, name: str) -> Value:
        """Rows and columns between ``NAME_from`` and ``NAME_to``, which are fed."""
        limits = (self.graph.input(f"{name}_{end}", "int64", [2]) for end in ("from", "to"))
        axes = self.graph.constant(np.array([1, 2], np.int64))
        return Value(self.graph.node("Slice", x.name, *limits, axes), x.how)


def shuffled(channels: int) -> np.ndarray:
    """Where torch's shuffle of 2x2 has our channels (2, 2, C): indices (4 C,)."""
    return np.asarray(np.arange(4 * channels).reshape(channels, 4).T.ravel())


def product(
    graph: Graph,
    rows: str,
    matrix: np.ndarray,
    scale: np.ndarray,
    zero: int,
    bias: np.ndarray | None = None,
) -> str:
    """Bytes (n, I) from ``zero`` times 7 bits (I, O), times float32 (O,): float32 (n, O)."""
    c = graph.constant
    inputs = [rows, c(matrix), c(1.0), c(scale), c(np.uint8(zero))]
    inputs += [] if bias is None else ["", c(bias)]
    return graph.node("MatMulIntegerToFloat", *inputs, domain=MICROSOFT)
