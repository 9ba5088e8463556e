"""The analysis of `ladder` in ONNX Runtime: see :mod:`bitcodec.models.ladder.transform`."""

from __future__ import annotations

import functools

import numpy as np

from bitcodec.models.ladder.activations import Activation, analysis_activations, down_sections
from bitcodec.models.ladder.channels import CHANNELS
from bitcodec.models.ladder.config import LadderConfig
from bitcodec.models.ladder.quantized import Quantizer, split_matrix
from bitcodec.models.ladder.steps import STEP_MIDDLE, steps_of_codes
from bitcodec.runtime.onnx_file import Graph
from bitcodec.runtime.onnx_layers import Builder, Order, Value, product, shuffled
from bitcodec.runtime.onnx_session import LazySession

__all__ = ["OnnxAnalysis"]


class OnnxAnalysis:
    """Pixels to latents; threads may share one.

    Args:
        config: of the model.
        quantizer: of its transform.
        threads: that one call may use.
    """

    def __init__(self, config: LadderConfig, quantizer: Quantizer, threads: int) -> None:
        self.config, self.of = config, quantizer
        self._sections = down_sections(config)
        self._first = LazySession(self._block_graph, threads)
        self._rest = LazySession(self._graph, threads)

    def __call__(self, rgb: np.ndarray, codes: int | np.ndarray) -> np.ndarray:
        """As :meth:`Model.analyze`, with a step code, or one for each position, (h, w)."""
        steps = steps_of_codes(codes).reshape(-1, 1)  # one row for all, or one for each
        tall, wide = (edge // 16 for edge in rgb.shape[:2])
        rows = rgb.reshape(tall, 16, wide, 48).transpose(0, 2, 1, 3).reshape(-1, 768)
        y0: np.ndarray = self._first.run({"rows": rows, "steps": steps.astype(np.float32)})[0]
        at4, at8 = self.config.pixels
        feed = {
            "y0": y0,
            "gains": np.exp(self.of.log_gain(steps[:, 0])).astype(np.float32),
            "companded": np.arcsinh(y0),
            "enter_bias": self._enter_bias(steps),
            "pixels": rgb.reshape(4 * tall, 4, 4 * wide, 4, 3),
            "fours": np.array([1, 4 * tall, 4 * wide, 48]),
            "squares0": np.array([1, 2 * tall, 2, 2 * wide, 2, at4]),
            "halved0": np.array([1, 2 * tall, 2 * wide, 4 * at4]),
            "squares1": np.array([1, tall, 2, wide, 2, at8]),
            "halved1": np.array([1, tall, wide, 4 * at8]),
            "size16": np.array([1, tall, wide, self.config.width]),
        }
        y: np.ndarray = self._rest.run(feed)[0]
        return np.asarray(y.reshape(tall, wide, CHANNELS).transpose(2, 0, 1))

    def _block_graph(self) -> bytes:
        """Pixels of blocks, uint8 (n, 768), to y0: float32 (n, 768)."""
        g = Graph()
        rows = g.input("rows", "uint8", ["n", 768])
        kernels = self.of.array("wa").transpose(0, 2, 3, 1).reshape(CHANNELS, -1).T
        high, low, scale = split_matrix(np.ascontiguousarray(kernels))
        low_scale = scale / np.float32(128)
        y = g.node("Add", product(g, rows, high, scale, 128), product(g, rows, low, low_scale, 128))
        g.output(
            g.node("Div", y, g.input("steps", "float32", ["m", 1])),
            "y0",
            "float32",
            ["n", CHANNELS],
        )
        return g.serialize()

    @functools.cached_property
    def _table(self) -> dict[str, Activation]:
        return analysis_activations(self.config, self.of.ranges)

    def _enter_bias(self, steps: np.ndarray) -> np.ndarray:
        """The biases that meet at the trunk's start, and the plane of steps (m, 1): (m, width)."""
        plane = np.log(steps / STEP_MIDDLE).astype(np.float32)
        plane = self.of.array("fa.0.weight")[:, -1, 0, 0] * plane
        down = self.of.array(self._sections[-1][0] + ".bias")
        return np.asarray(self.of.array("fa.0.bias") + plane + down, np.float32)

    def _graph(self) -> bytes:
        g = Graph()
        b = Builder(g, self.of, self._table)
        width = self.config.width
        y0 = g.input("y0", "float32", ["n", CHANNELS])
        x = b.quantize(g.input("companded", "float32", ["n", CHANNELS]), b.table["fa.0.in"])
        h = b.dense(x, self.of.array("fa.0.weight")[:, :-1, 0, 0])
        h = g.node("Add", h, g.input("enter_bias", "float32", ["m", width]))
        h = g.node("Add", h, self._down(g, b))
        size16 = g.input("size16", "int64", [4])
        for n in range(self.config.blocks):
            h = b.block(h, f"fa.{n + 1}", size16)
        last = f"fa.{self.config.blocks + 1}."
        features = b.quantize_rows(h, b.table[last + "in"])
        bias = self.of.array(last + "bias")
        more = b.dense(features, self.of.array(last + "weight")[:, :, 0, 0], bias)
        y = g.node("Mul", y0, g.input("gains", "float32", ["m", CHANNELS]))
        g.output(g.node("Add", y, more), "y", "float32", ["n", CHANNELS])
        return g.serialize()

    def _down(self, g: Graph, b: Builder) -> str:
        """The pixel path, but for its last bias: float32 (n, width)."""
        at4, at8 = self.config.pixels
        x = g.node(
            "Transpose", g.input("pixels", "uint8", ["y", 4, "x", 4, 3]), perm=[0, 2, 4, 1, 3]
        )
        d = Value(g.node("Reshape", x, g.input("fours", "int64", [4])), b.table["down.d4.0.in"])
        for section, (first, blocks) in enumerate(self._sections[:2]):
            d = b.conv(d, first, Order(inputs=shuffled(at4)) if section else None)
            for name in blocks:
                d = b.residual(d, name)
            squares = g.input(f"squares{section}", "int64", [6])
            d = b.unshuffle(d, squares, g.input(f"halved{section}", "int64", [4]))
        weight = self.of.array(self._sections[2][0] + ".weight")[:, shuffled(at8), 0, 0]
        return b.dense(Value(b.rows(d.name, 4 * at8), d.how), weight)
