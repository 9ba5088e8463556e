"""The synthesis of `ladder` in ONNX Runtime: see :mod:`bitcodec.models.ladder.transform`.

Blocks are bytes through int8 layers; the block transform is in onnx_blocks.
"""

from __future__ import annotations

import functools

import numpy as np

from bitcodec.models.ladder.activations import BYTE, Activation, synthesis_activations
from bitcodec.models.ladder.channels import CHANNELS
from bitcodec.models.ladder.config import LadderConfig
from bitcodec.models.ladder.quantized import Quantizer
from bitcodec.models.ladder.steps import STEP_MIDDLE, steps_of_codes
from bitcodec.models.layers.halo import NO_HALO, Halo, crop_halo
from bitcodec.runtime.onnx_blocks import OnnxBlocks, large_channels, low_bytes
from bitcodec.runtime.onnx_file import Graph
from bitcodec.runtime.onnx_layers import Builder, Order, Value, shuffled
from bitcodec.runtime.onnx_session import LazySession

__all__ = ["OnnxSynthesis"]

_COLOURS_LAST = np.arange(48).reshape(3, 16).T.ravel()  #: of fours, as torch unshuffles them
_REACH = (2, 2)  #: latents that the pixel path reads around its own, at stride 8 and at 4


class OnnxSynthesis:
    """Quantised latents to pixels; threads may share one.

    Two graphs, the trunk and the pixel path, and between them :class:`OnnxBlocks`.

    Args:
        config: of the model.
        quantizer: of its transform.
        threads: that one call may use.
    """

    def __init__(self, config: LadderConfig, quantizer: Quantizer, threads: int) -> None:
        self.config, self.of = config, quantizer
        self._blocks = OnnxBlocks(config, quantizer, self._features, threads)
        self._trunk = LazySession(self._trunk_graph, threads)
        self._path = LazySession(self._path_graph, threads)

    def __call__(
        self, latents: np.ndarray, codes: int | np.ndarray, halo: Halo = NO_HALO
    ) -> np.ndarray:
        """As :meth:`Model.synthesize_pixels`, with a step code, or of each position, (h, w)."""
        far, near = halo.at_most(sum(_REACH)), halo.at_most(_REACH[1])
        steps = steps_of_codes(codes)
        q = np.ascontiguousarray(latents.transpose(1, 2, 0))
        feed = {
            "companded": self._companded(q),
            "enter_bias": self._enter_bias(steps),
            "size16": np.array([1, *q.shape[:2], self.config.width]),
        }
        features = _crop_rows(self._trunk.run(feed)[0], halo, far)
        inner = _crop_rows(q[None], halo, near)
        if steps.size > 1:
            steps = crop_halo(steps, halo, near, 1)
        rows = inner.reshape(-1, CHANNELS)
        near_features = _crop_rows(features, far, near).reshape(-1, self.config.width)
        blocks = self._blocks(rows, near_features, steps)
        tall, wide = inner.shape[1:3]
        at4, at8 = self.config.pixels
        feed = {
            "features": features,
            "blocks": blocks.reshape(1, tall, wide, 4, 4, 48),
            "size8": np.array([1, 2 * features.shape[1], 2 * features.shape[2], at8]),
            "size4": np.array([1, 4 * tall, 4 * wide, at4]),
            "fours": np.array([1, 4 * tall, 4 * wide, 48]),
            "size": np.array([16 * tall, 16 * wide, 3]),
            "unit": self._unit(steps),
            **_limits("near8", far, near, 2),
        }
        out: np.ndarray = self._path.run(feed)[0]
        return np.ascontiguousarray(_cropped(out, near))

    def _companded(self, q: np.ndarray) -> np.ndarray:
        """What the trunk reads of latents, int16 (h, w, 768): uint8 (h w, 768)."""
        table = np.concatenate((self._compander[-128:], self._compander[:128])).tobytes()
        rows, out = q.reshape(-1, CHANNELS), bytearray(low_bytes(q)).translate(table)
        companded = np.frombuffer(out, np.uint8).reshape(rows.shape)
        large = large_channels(rows)
        companded[:, large] = self._compander.take(rows[:, large].view(np.uint16))
        return companded

    def parts(self) -> dict[str, np.ndarray]:
        """What a program needs that runs the graphs itself; the graphs are bytes."""
        graphs = {"trunk": self._trunk_graph, "path": self._path_graph}
        bias, plane = self.of.array("fs.0.bias"), self.of.array("fs.0.weight")[:, -1, 0, 0]
        return {
            **{name: np.frombuffer(make(), np.uint8) for name, make in graphs.items()},
            **self._blocks.parts(),
            "compander": self._compander,
            "enter": np.stack((bias, plane)),
            "unit": self._unit(np.ones((1, 1))).ravel(),
            "widths": np.array([self.config.width, *self.config.pixels], np.int32),
        }

    @functools.cached_property
    def _table(self) -> dict[str, Activation]:
        return synthesis_activations(self.config, self.of.ranges)

    @functools.cached_property
    def _compander(self) -> np.ndarray:
        """128 + asinh(q) in units, for q as an unsigned 16-bit number: uint8 (65536,)."""
        q = np.arange(65536).astype(np.uint16).view(np.int16)
        e = np.rint(np.arcsinh(q.astype(np.float32)) / self._table["fs.0.in"].unit)
        return np.asarray(e.clip(-BYTE, BYTE) + 128, np.uint8)

    def _unit(self, steps: np.ndarray) -> np.ndarray:
        """Grey levels of one step of a byte that the pixel path puts out, (1, 4 h, 4 w, 1)."""
        fours = steps if steps.size == 1 else steps.repeat(4, 0).repeat(4, 1)
        unit = fours * (128 / STEP_MIDDLE * self._table["up.out"].unit)
        return np.asarray(unit[None, :, :, None], np.float32)

    def _enter_bias(self, step: float | np.ndarray) -> np.ndarray:
        """The first layer's bias with the plane of the step in it: (n, width), of a map too."""
        plane = np.log(np.reshape(step, (-1, 1)) / STEP_MIDDLE).astype(np.float32)
        plane = self.of.array("fs.0.weight")[:, -1, 0, 0] * plane
        return np.asarray(self.of.array("fs.0.bias") + plane, np.float32)

    def _trunk_graph(self) -> bytes:
        """Companded latents to what the trunk's last layer reads: bytes (1, h, w, width)."""
        g = Graph()
        b = Builder(g, self.of, self._table)
        width, blocks = self.config.width, self.config.blocks
        x = Value(g.input("companded", "uint8", ["l", CHANNELS]), b.table["fs.0.in"])
        h = b.dense(x, self.of.array("fs.0.weight")[:, :-1, 0, 0])
        h = g.node("Add", h, g.input("enter_bias", "float32", ["k", width]))
        size16 = g.input("size16", "int64", [4])
        for n in range(blocks):
            h = b.block(h, f"fs.{n + 1}", size16, relu=True)
        features = b.quantize_rows(h, self._features)
        out = g.node("Reshape", features.name, size16)
        g.output(out, "features", "uint8", [1, "h", "w", width])
        return g.serialize()

    @property
    def _features(self) -> Activation:
        return self._table[f"fs.{self.config.blocks + 1}.in"]

    def _path_graph(self) -> bytes:
        """The trunk's features and blocks of pixels to pixels, uint8 (16 h, 16 w, 3)."""
        g = Graph()
        b = Builder(g, self.of, self._table)
        at4, at8 = self.config.pixels
        features = g.input("features", "uint8", [1, "h", "w", self.config.width])
        x = g.input("blocks", "float32", [1, "tall", "wide", 4, 4, 48])
        x = g.node("Transpose", x, perm=[0, 1, 3, 2, 4, 5])
        x1 = g.node("Reshape", x, g.input("fours", "int64", [4]))
        size8, size4 = (g.input(name, "int64", [4]) for name in ("size8", "size4"))
        up = b.conv(Value(features, self._features), "up.u8.0", Order(outputs=shuffled(at8)))
        up = b.shuffle(up, size8, at8)
        for n in (2, 3):
            up = b.depthwise_block(up, f"up.u8.{n}")
        up = b.conv(b.cut(up, "near8"), "up.u4.0", Order(outputs=shuffled(at4)))
        seen = b.quantize(x1, b.table["up.inp.in"])
        seen = b.conv(seen, "up.inp", Order(inputs=_COLOURS_LAST, gain=1 / 128))
        up = b.add(b.shuffle(up, size4, at4), seen, "up.taps.sum")
        for n in range(3):
            up = b.depthwise_block(up, f"up.body.{n}")
        zero, out = g.constant(np.uint8(128)), b.conv(up, "up.out", Order(outputs=_COLOURS_LAST))
        more = g.node("DequantizeLinear", out.name, g.constant(1.0), zero)
        more = g.node("Mul", more, g.input("unit", "float32", [1, "y4", "x4", 1]))
        pixels = g.node("QuantizeLinear", g.node("Add", x1, more), g.constant(1.0), zero)
        size = g.input("size", "int64", [3])
        pixels = b.rearrange(pixels, [0, 0, 0, 4, 12], [0, 1, 3, 2, 4], size)
        g.output(pixels, "pixels", "uint8", ["y", "x", 3])
        return g.serialize()


def _crop_rows(x: np.ndarray, now: Halo, wanted: Halo) -> np.ndarray:
    """:func:`crop_halo` of x (1, h, w, C), in one piece."""
    left, top, right, bottom = (a - b for a, b in zip(now, wanted, strict=True))
    return np.ascontiguousarray(x[:, top : x.shape[1] - bottom, left : x.shape[2] - right])


def _limits(name: str, now: Halo, then: Halo, each: int) -> dict[str, np.ndarray]:
    """What :meth:`Builder.cut` is fed, to cut to narrower halo, ``each`` a latent."""
    left, top, right, bottom = (each * (a - b) for a, b in zip(now, then, strict=True))
    last = np.iinfo(np.int64).max
    ends = [-edge if edge else last for edge in (bottom, right)]
    return {f"{name}_from": np.array([top, left]), f"{name}_to": np.array(ends)}


def _cropped(pixels: np.ndarray, halo: Halo) -> np.ndarray:
    """Pixels (H, W, 3) without halo of latents."""
    left, top, right, bottom = (16 * m for m in halo)
    return pixels[top : len(pixels) - bottom, left : pixels.shape[1] - right]
