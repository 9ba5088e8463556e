"""The synthesis of `ladder` in ONNX Runtime: see :mod:`bitcodec.models.ladder.transform`.

Blocks are bytes through int8 layers. The block transform reads the latents themselves, and pixels
must not show its rounding: its kernels have two times 7 bits, and latents beyond 127 the rest of
them in float32.
"""

from __future__ import annotations

import functools

import numpy as np

from bitcodec.models.ladder.activations import BYTE, Activation, synthesis_activations
from bitcodec.models.ladder.channels import CHANNELS
from bitcodec.models.ladder.config import LadderConfig
from bitcodec.models.ladder.quantized import Quantizer, byte_matrix, split_matrix
from bitcodec.models.ladder.steps import STEP_MIDDLE, step_of_code, steps_of_codes
from bitcodec.models.layers import fixed_point as fx
from bitcodec.models.layers.halo import NO_HALO, Halo, crop_halo
from bitcodec.runtime.onnx_file import Graph
from bitcodec.runtime.onnx_layers import Builder, Order, Value, product, shuffled
from bitcodec.runtime.onnx_session import LazySession

__all__ = ["OnnxSynthesis"]

_REACH = (2, 2)  #: latents that the pixel path reads around its own, at stride 8 and at 4


class OnnxSynthesis:
    """Quantised latents to pixels; threads may share one.

    Args:
        config: of the model.
        quantizer: of its transform.
        threads: that one call may use.
    """

    def __init__(self, config: LadderConfig, quantizer: Quantizer, threads: int) -> None:
        self.config, self.of = config, quantizer
        self.kernels = _unshuffled(quantizer.array("ws"))
        self._session = LazySession(self._graph, threads)
        self._mapped = LazySession(lambda: self._graph(mapped=True), threads)
        self._gained: tuple[float, dict[str, np.ndarray]] | None = None

    def __call__(
        self, latents: np.ndarray, codes: int | np.ndarray, halo: Halo = NO_HALO
    ) -> np.ndarray:
        """As :meth:`Model.synthesize_pixels`, with a step code, or of each position, (h, w)."""
        far, near = halo.at_most(sum(_REACH)), halo.at_most(_REACH[1])
        q = np.ascontiguousarray(latents.transpose(1, 2, 0))
        inner = crop_halo(latents, halo, near, 1).transpose(1, 2, 0)
        tall, wide = inner.shape[:2]
        at4, at8 = self.config.pixels
        h8, w8 = tall + _tall(far) - _tall(near), wide + _wide(far) - _wide(near)
        feed = {
            "companded": self._compander.take(q.view(np.uint16)).reshape(-1, CHANNELS),
            "size16": np.array([1, *q.shape[:2], self.config.width]),
            "size8": np.array([1, 2 * h8, 2 * w8, at8]),
            "size4": np.array([1, 4 * tall, 4 * wide, at4]),
            "blocks": np.array([1, tall, wide, 4, 4, 48]),
            "fours": np.array([1, 4 * tall, 4 * wide, 48]),
            "size": np.array([16 * tall, 16 * wide, 3]),
            **_limits("far", halo, far, 1),
            **_limits("near", far, near, 1),
            **_limits("near8", far, near, 2),
        }
        rows = inner.reshape(-1, CHANNELS)
        if isinstance(codes, int):
            step, session = step_of_code(codes), self._session
            feed |= {**self._of_latents(rows, step), **self._of_step(step)}
        else:
            steps, session = steps_of_codes(codes), self._mapped
            feed |= {"latents": rows.astype(np.float32), "enter_bias": self._enter_bias(steps)}
            feed |= self._of_map(crop_halo(steps, halo, near, 1))
        out: np.ndarray = session.run(feed)[0]
        return np.ascontiguousarray(_cropped(out, near))

    @functools.cached_property
    def _table(self) -> dict[str, Activation]:
        return synthesis_activations(self.config, self.of.ranges)

    @functools.cached_property
    def _compander(self) -> np.ndarray:
        """128 + asinh(q) in units, for q as an unsigned 16-bit number: uint8 (65536,)."""
        q = np.arange(65536).astype(np.uint16).view(np.int16)
        e = np.rint(np.arcsinh(q.astype(np.float32)) / self._table["fs.0.in"].unit)
        return np.asarray(e.clip(-BYTE, BYTE) + 128, np.uint8)

    def _of_latents(self, rows: np.ndarray, step: float) -> dict[str, np.ndarray]:
        """Latents (n, 768) as bytes, and the rest of those that are none."""
        feed = {"bytes": (rows.clip(-BYTE, BYTE) + 128).astype(np.uint8)}
        which = np.flatnonzero((rows.max(0) > BYTE) | (rows.min(0) < -BYTE))
        which = which if len(which) else np.zeros(1, np.int64)
        some = rows[:, which].astype(np.float32)
        gain = self._gain(step)[which, None]
        return {
            **feed,
            "rest": some - some.clip(-BYTE, BYTE),
            "rest_kernels": gain * self.kernels[which],
        }

    def _gain(self, step: float | np.ndarray) -> np.ndarray:
        """What latents are multiplied by, (..., 768) float32; the step is in it."""
        each = np.asarray(step, np.float32)[..., None]
        return np.asarray(np.exp(-self.of.log_gain(step)) * each)

    def _of_map(self, steps: np.ndarray) -> dict[str, np.ndarray]:
        """What follows from a map of steps (h, w)."""
        gains = self._gain(steps.ravel())
        # Weights of the first release are corrected after the gain.
        after = gains if self.config.gain_terms > 1 else steps.reshape(-1, 1).astype(np.float32)
        units = self._unit(steps.repeat(4, 0).repeat(4, 1))[None, :, :, None]
        return {"gains": gains, "after": after, "unit": units}

    def _unit(self, step: float | np.ndarray) -> np.ndarray:
        """Grey levels of one step of a byte that the pixel path puts out."""
        return np.asarray(step * 128 / STEP_MIDDLE * self._table["up.out"].unit, np.float32)

    def _of_step(self, step: float) -> dict[str, np.ndarray]:
        """What does not change from call to call at one step; the last is kept."""
        kept = self._gained
        if kept is None or kept[0] != step:
            gained = self._gain(step)[:, None] * self.kernels
            high, low, scale = split_matrix(gained)
            # Weights of the first release are corrected after the gain.
            after = gained if self.config.gain_terms > 1 else self.kernels * np.float32(step)
            last = f"fs.{self.config.blocks + 1}."
            weight = self.of.array(last + "weight")[:, :, 0, 0].T
            units = self._table[last + "in"].units[:, None]
            leave, leave_scale = byte_matrix(units * (weight @ after), fx.SMALL_WEIGHT)
            kept = (
                step,
                {
                    "high": high,
                    "low": low,
                    "high_scale": scale,
                    "low_scale": scale / np.float32(128),
                    "leave": leave,
                    "leave_scale": leave_scale,
                    "leave_bias": self.of.array(last + "bias") @ after,
                    "enter_bias": self._enter_bias(step),
                    "unit": self._unit(step),
                },
            )
            self._gained = kept
        return kept[1]

    def _enter_bias(self, step: float | np.ndarray) -> np.ndarray:
        """The first layer's bias with the plane of the step in it: (n, width), of a map too."""
        plane = np.log(np.reshape(step, (-1, 1)) / STEP_MIDDLE).astype(np.float32)
        plane = self.of.array("fs.0.weight")[:, -1, 0, 0] * plane
        return np.asarray(self.of.array("fs.0.bias") + plane, np.float32)

    def _graph(self, mapped: bool = False) -> bytes:
        g = Graph()
        b = Builder(g, self.of, self._table)
        at4, at8 = self.config.pixels
        width, blocks = self.config.width, self.config.blocks
        x = Value(g.input("companded", "uint8", ["l", CHANNELS]), b.table["fs.0.in"])
        h = b.dense(x, self.of.array("fs.0.weight")[:, :-1, 0, 0])
        h = g.node("Add", h, g.input("enter_bias", "float32", ["k", width]))
        size16 = g.input("size16", "int64", [4])
        for n in range(blocks):
            h = b.block(h, f"fs.{n + 1}", size16, relu=self.config.gain_terms > 1)
        features = b.quantize_rows(h, b.table[f"fs.{blocks + 1}.in"])
        far = b.cut(Value(g.node("Reshape", features.name, size16), features.how), "far")
        near = b.cut(far, "near")
        x1 = self._mapped_pixels(g, b, near) if mapped else self._pixels(g, b, near)
        size8, size4 = (g.input(name, "int64", [4]) for name in ("size8", "size4"))
        up = b.shuffle(b.conv(far, "up.u8.0", Order(outputs=shuffled(at8))), size8, at8)
        for n in (2, 3):
            up = b.residual(up, f"up.u8.{n}")
        up = b.conv(b.cut(up, "near8"), "up.u4.0", Order(outputs=shuffled(at4)))
        seen = b.conv(b.quantize(x1, b.table["up.inp.in"]), "up.inp", Order(gain=1 / 128))
        up = b.add(b.shuffle(up, size4, at4), seen, "up.taps.sum")
        for n in range(3):
            up = b.residual(up, f"up.body.{n}")
        zero, out = g.constant(np.uint8(128)), b.conv(up, "up.out").name
        if mapped:
            more = g.node("DequantizeLinear", out, g.constant(1.0), zero)
            more = g.node("Mul", more, g.input("unit", "float32", [1, "y4", "x4", 1]))
        else:
            more = g.node("DequantizeLinear", out, g.input("unit", "float32", []), zero)
        pixels = g.node("QuantizeLinear", g.node("Add", x1, more), g.constant(1.0), zero)
        size = g.input("size", "int64", [3])
        pixels = b.rearrange(pixels, [0, 0, 0, 3, 4, 4], [0, 1, 4, 2, 5, 3], size)
        g.output(pixels, "pixels", "uint8", ["y", "x", 3])
        return g.serialize()

    def _pixels(self, g: Graph, b: Builder, h: Value) -> str:
        """The block transform of latents and of the trunk's features: (1, 4 h, 4 w, 48)."""
        rows = g.input("bytes", "uint8", ["n", CHANNELS])
        parts = [
            product(g, rows, g.input(name, "int8", [CHANNELS, 768]), scale, 128)
            for name in ("high", "low")
            for scale in [g.input(name + "_scale", "float32", [768])]
        ]
        rest = g.input("rest", "float32", ["n", "m"])
        parts.append(g.node("MatMul", rest, g.input("rest_kernels", "float32", ["m", 768])))
        width = self.config.width
        features = b.rows(h.name, width)
        leave = g.input("leave", "int8", [width, 768])
        scale = g.input("leave_scale", "float32", [768])
        parts.append(product(g, features, leave, scale, h.how.zero))
        parts.append(g.input("leave_bias", "float32", [768]))
        x = parts[0]
        for part in parts[1:]:
            x = g.node("Add", x, part)
        return self._in_place(g, x)

    def _mapped_pixels(self, g: Graph, b: Builder, h: Value) -> str:
        """The same where every latent has gains of its own, in float32."""
        last = f"fs.{self.config.blocks + 1}."
        weight, bias = self.of.array(last + "weight"), self.of.array(last + "bias")
        more = b.dense(Value(b.rows(h.name, self.config.width), h.how), weight[:, :, 0, 0])
        more = g.node("Add", more, g.constant(bias))
        more = g.node("Mul", more, g.input("after", "float32", ["n", "c"]))
        q = g.input("latents", "float32", ["n", CHANNELS])
        y = g.node("Mul", q, g.input("gains", "float32", ["n", CHANNELS]))
        x = g.node("MatMul", g.node("Add", y, more), g.constant(self.kernels))
        return self._in_place(g, x)

    def _in_place(self, g: Graph, x: str) -> str:
        """Blocks (n, 768) to (1, 4 h, 4 w, 48)."""
        x = g.node("Reshape", x, g.input("blocks", "int64", [6]))
        x = g.node("Transpose", x, perm=[0, 1, 3, 2, 4, 5])
        return g.node("Reshape", x, g.input("fours", "int64", [4]))


def _unshuffled(kernels: np.ndarray) -> np.ndarray:
    """Kernels (C, 3, 16, 16) as rows (C, 768): by rows of fours, fours of a row, 48 channels."""
    split = kernels.reshape(-1, 3, 4, 4, 4, 4).transpose(0, 2, 4, 1, 3, 5)
    return np.ascontiguousarray(split.reshape(len(kernels), -1))


def _tall(halo: Halo) -> int:
    return halo.top + halo.bottom


def _wide(halo: Halo) -> int:
    return halo.left + halo.right


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
