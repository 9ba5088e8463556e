"""The block transform of `ladder`'s synthesis in ONNX Runtime.

It reads the latents themselves, and pixels must not show its rounding: its kernels have two times 7
bits, and latents beyond 127 the rest of them in float32.
"""

from __future__ import annotations

import numpy as np

from bitcodec.models.ladder.activations import BYTE, Activation
from bitcodec.models.ladder.channels import CHANNELS
from bitcodec.models.ladder.config import LadderConfig
from bitcodec.models.ladder.quantized import Quantizer
from bitcodec.models.layers import fixed_point as fx
from bitcodec.runtime.onnx_file import MICROSOFT, Graph
from bitcodec.runtime.onnx_layers import Builder, Value
from bitcodec.runtime.onnx_session import LazySession

__all__ = ["OnnxBlocks"]

_PIXELS = 768  #: numbers of a block, 16 x 16 x 3
_FLOAT32, _INT8, _FLOAT64 = 1, 3, 11  #: TensorProto.DataType


class OnnxBlocks:
    """Quantised latents and the trunk's features to blocks of pixels; threads may share one.

    Three graphs: the matrices of a step, in bytes; the transform with these; and the transform in
    float32 with a map of steps.

    Args:
        config: of the model.
        quantizer: of its transform.
        features: how the trunk's features are read.
        threads: that one call may use.
    """

    def __init__(
        self, config: LadderConfig, quantizer: Quantizer, features: Activation, threads: int
    ) -> None:
        self.width, self.of, self.features = config.width, quantizer, features
        last = f"fs.{config.blocks + 1}."
        self._weight = quantizer.array(last + "weight")[:, :, 0, 0]
        self._bias = quantizer.array(last + "bias")
        self.kernels = _unshuffled(quantizer.array("ws"))
        self._matrices = LazySession(self._matrices_graph)
        self._block = LazySession(self._block_graph, threads)
        self._mapped = LazySession(self._mapped_graph, threads)
        self._last: tuple[float, dict[str, np.ndarray]] | None = None

    def __call__(self, rows: np.ndarray, features: np.ndarray, steps: np.ndarray) -> np.ndarray:
        """Blocks of pixels, less 128: float32 (n, 768).

        Args:
            rows: latents (n, 768).
            features: what the trunk's last layer reads, bytes (n, width).
            steps: (1, 1), or of each position.
        """
        feed = {"features": features}
        if steps.size > 1:
            gains = self._gain(steps.ravel())
            feed |= {"latents": rows.astype(np.float32), "gains": gains, "kernels": self.kernels}
            found: np.ndarray = self._mapped.run(feed)[0]
            return found
        gain, large = self._gain(steps[0]), large_channels(rows)
        clipped = rows[:, large].clip(-BYTE, BYTE)
        used = _used(rows)
        feed["bytes"] = low_bytes(rows[:, :used])
        feed["bytes"][:, large] = low_bytes(clipped)
        feed |= self._of_step(steps[0, 0], gain)
        feed |= {"high": feed["high"][:used], "low": feed["low"][:used]}
        blocks: np.ndarray = self._block.run(feed)[0]
        rest = rows[:, large] - clipped
        where = np.flatnonzero(rest.any(1))
        blocks[where] += rest[where].astype(np.float32) @ (gain.T[large] * self.kernels[large])
        return blocks

    def _of_step(self, step: float, gain: np.ndarray) -> dict[str, np.ndarray]:
        last = self._last
        if last is None or last[0] != step:
            found = self._matrices.run({"kernels": self.kernels, "gains": gain})
            last = self._last = step, dict(zip(self._shapes, found, strict=True))
        return last[1]

    def parts(self) -> dict[str, np.ndarray]:
        """See :meth:`OnnxSynthesis.parts`; ``terms`` are those of the gains' logarithms."""
        graphs = {
            "matrices": self._matrices_graph,
            "block": self._block_graph,
            "mapped": self._mapped_graph,
        }
        return {
            **{name: np.frombuffer(make(), np.uint8) for name, make in graphs.items()},
            "kernels": self.kernels,
            "terms": self.of.array("g").reshape(-1, CHANNELS),
        }

    def _gain(self, steps: np.ndarray) -> np.ndarray:
        """What latents are multiplied by, (n, 768) float32; the step is in it."""
        return np.asarray(np.exp(-self.of.log_gain(steps)) * steps[:, None], np.float32)

    @property
    def _shapes(self) -> dict[str, tuple[str, list[int | str]]]:
        """Of the matrices: two times 7 bits and a scale, of latents; and the same of features."""
        return {
            "high": ("int8", ["k", _PIXELS]),
            "low": ("int8", ["k", _PIXELS]),
            "high_scale": ("float32", [_PIXELS]),
            "low_scale": ("float32", [_PIXELS]),
            "leave": ("int8", [self.width, _PIXELS]),
            "leave_scale": ("float32", [_PIXELS]),
            "bias": ("float32", [_PIXELS]),
        }

    def _matrices_graph(self) -> bytes:
        """Gains (1, 768) of a step to the matrices of :meth:`_block_graph`."""
        g = Graph()
        kernels = g.input("kernels", "float32", [CHANNELS, _PIXELS])
        gains = g.input("gains", "float32", [1, CHANNELS])
        gained = g.node("Mul", kernels, g.node("Transpose", gains, perm=[1, 0]))
        trunk = self.features.units[:, None] * self._weight.T
        scaled, high, high_scale = _as_bytes(g, gained)
        rest = g.node("Sub", scaled, g.node("Round", scaled))
        low = g.node("Round", g.node("Mul", rest, g.constant(128.0)))
        _, leave, leave_scale = _as_bytes(g, _product(g, trunk, gained))
        found = (
            high,
            g.node("Cast", low, to=_INT8),
            high_scale,
            g.node("Div", high_scale, g.constant(128.0)),
            leave,
            leave_scale,
            _product(g, self._bias, gained),
        )
        for value, (name, shape) in zip(found, self._shapes.items(), strict=True):
            g.output(value, name, *shape)
        return g.serialize()

    def _block_graph(self) -> bytes:
        """The block transform of latents and of the trunk's features, at one step."""
        g = Graph()
        rows = g.input("bytes", "uint8", ["n", "k"])
        features = g.input("features", "uint8", ["n", self.width])
        of = {name: g.input(name, *shape) for name, shape in self._shapes.items()}

        def product(x: str, name: str, zero: int, bias: str = "") -> str:
            inputs = x, of[name], g.constant(1.0), of[name + "_scale"], g.constant(np.uint8(zero))
            return g.node("MatMulIntegerToFloat", *inputs, "", bias, domain=MICROSOFT)

        x = product(features, "leave", self.features.zero, of["bias"])
        x = g.node("Add", x, product(rows, "low", 128))
        x = g.node("Add", x, product(rows, "high", 128))
        g.output(x, "blocks", "float32", ["n", _PIXELS])
        return g.serialize()

    def _mapped_graph(self) -> bytes:
        """The same where every latent has gains of its own, in float32."""
        g = Graph()
        kernels = g.input("kernels", "float32", [CHANNELS, _PIXELS])
        features = Value(g.input("features", "uint8", ["n", self.width]), self.features)
        more = Builder(g, self.of, {}).dense(features, self._weight, self._bias)
        q = g.input("latents", "float32", ["n", CHANNELS])
        y = g.node("Mul", g.node("Add", q, more), g.input("gains", "float32", ["n", CHANNELS]))
        g.output(g.node("MatMul", y, kernels), "blocks", "float32", ["n", _PIXELS])
        return g.serialize()


def large_channels(rows: np.ndarray) -> np.ndarray:
    """Channels of latents, int16 (n, 768), with any that bytes do not hold."""
    return np.flatnonzero((rows.max(0) > BYTE) | (rows.min(0) < -BYTE))


def _used(rows: np.ndarray) -> int:
    """How many channels from the first on hold all latents that are not 0; a multiple of 64."""
    last = np.flatnonzero(rows.any(0)).max(initial=0)
    return int(last) // 64 * 64 + 64


def low_bytes(latents: np.ndarray) -> np.ndarray:
    """128 + latents of -128..127, int16: uint8."""
    return np.asarray(latents.astype(np.uint8) ^ np.uint8(128))


def _as_bytes(g: Graph, matrix: str) -> tuple[str, str, str]:
    """A matrix (I, O) in units of a scale (O,): as floats, as int8 of 7 bits; and that scale."""
    largest = g.node("ReduceMax", g.node("Abs", matrix), axes=[0], keepdims=0)
    largest = g.node("Max", largest, g.constant(1e-12))
    scale = g.node("Div", largest, g.constant(float(fx.SMALL_WEIGHT)))
    scaled = g.node("Div", matrix, scale)
    return scaled, g.node("Cast", g.node("Round", scaled), to=_INT8), scale


def _product(g: Graph, a: np.ndarray, b: str) -> str:
    """float32 of a product in float64, which is the same whatever the order of its sums."""
    wide = (g.node("Cast", x, to=_FLOAT64) for x in (g.constant(a), b))
    return g.node("Cast", g.node("MatMul", *wide), to=_FLOAT32)


def _unshuffled(kernels: np.ndarray) -> np.ndarray:
    """Kernels (C, 3, 16, 16) as rows (C, 768).

    By rows of fours, fours of a row, rows of pixels, pixels of a row, colours.
    """
    split = kernels.reshape(-1, 3, 4, 4, 4, 4).transpose(0, 2, 4, 3, 5, 1)
    return np.ascontiguousarray(split.reshape(len(kernels), -1))
