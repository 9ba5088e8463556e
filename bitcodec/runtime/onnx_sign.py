"""`sign` in ONNX Runtime: on CPUs, without torch, in float32."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from bitcodec.errors import WeightsError
from bitcodec.format.tiling import STRIDE
from bitcodec.models.families import read_config
from bitcodec.models.layers.blocks import in_blocks
from bitcodec.models.layers.halo import NO_HALO, Halo, crop_halo
from bitcodec.models.sign.coding import SignCoding
from bitcodec.models.sign.shapes import Kind, layer_kinds, tensor_shapes
from bitcodec.models.tensors import check_arrays
from bitcodec.models.weights_file import Stored
from bitcodec.runtime.onnx_file import MICROSOFT, Graph
from bitcodec.runtime.onnx_session import LazySession
from bitcodec.runtime.threads import threads

__all__ = ["OnnxSign"]

_BLOCK = 256  #: edge in pixels of what layers at strides below 8 are given


class OnnxSign(SignCoding):
    """A `sign` model whose networks are graphs; see :class:`SignModel`.

    Args:
        stored: what its weights file holds; WeightsError where that does not fit.
    """

    def __init__(self, stored: Stored) -> None:
        self.name, self.model_id = stored.path.stem, stored.model_id
        self._tensors = stored.tensors
        try:
            self.take_config(read_config(stored.family, stored.config))
            check_arrays(self._tensors, tensor_shapes(self.config))
        except WeightsError as error:
            raise WeightsError(f"{stored.path}: {error}") from error
        g_a, g_s = (list(enumerate(kinds)) for kinds in layer_kinds(self.config).values())
        up = 2 + self.config.blocks  # where g_s leaves stride 8
        self._to_stride8 = self._session("g_a", g_a[:6])
        self._to_latents = self._session("g_a", g_a[6:])
        self._up = g_s[:up], g_s[up:]
        self._to_features = self._session("g_s", self._up[0])
        self._to_pixels = self._session("g_s", self._up[1], pixels=True)
        self._to_preview = self._session("small", [], pixels=True)

    def analyze(self, rgb: np.ndarray, rate: int, offsets: np.ndarray | None = None) -> np.ndarray:
        """uint8 (16 h, 16 w, 3) to latents (rate, h, w), float32."""
        x = rgb.transpose(2, 0, 1)[None] / np.float32(255) - np.float32(0.5)
        x = in_blocks(self._to_stride8, x, (STRIDE, 2), 1, _BLOCK, np.concatenate)
        y = self._to_latents(x)[0, :rate]
        for j, p in enumerate(self.config.parents[:rate]):  # see :class:`Refinement`
            if p >= 0:
                step = self._array("refine.step")[j]
                y[j] += self._array("refine.scale")[j] * y[p] - np.where(y[p] >= 0, step, -step)
        return y

    def _features(self, latents: np.ndarray) -> np.ndarray:
        """int8 -1 and +1 (rate, h, w) to what g_s has at stride 8, (1, N, 2 h, 2 w)."""
        values = latents if self.config.levels == "plus-minus" else latents > 0
        q = np.zeros((1, self.config.m, *latents.shape[1:]), np.float32)
        q[0, : len(latents)] = values  # a channel that is not sent counts as 0
        return self._to_features(q)

    def synthesize_pixels(self, latents: np.ndarray, rate: int, halo: Halo = NO_HALO) -> np.ndarray:
        """int8 (rate, h, w) to uint8, (16 h, 16 w, 3) without the halo."""
        near = halo.at_most(1)  # what layers from stride 8 on read around their own
        x = crop_halo(self._features(latents), halo, near, 2)
        x = in_blocks(self._to_pixels, x, (2, STRIDE), 1, _BLOCK, np.concatenate)
        return np.ascontiguousarray(crop_halo(x, near, NO_HALO, STRIDE)[0].transpose(1, 2, 0))

    def synthesize_small(self, latents: np.ndarray, rate: int, reduce: int) -> np.ndarray:
        """int8 (rate, h, w) to uint8 (2 h, 2 w, 3), where there is ``SignConfig.preview``."""
        if reduce not in self.reductions:
            raise NotImplementedError
        x = self._to_preview(self._features(latents))
        return np.ascontiguousarray(x[0].transpose(1, 2, 0))

    def decoder_parts(self) -> dict[str, np.ndarray]:
        """Two graphs as bytes, for a program that runs them itself; and what latents stand for."""
        features = self._graph("g_s", self._up[0], False)
        pixels = self._graph("g_s", self._up[1], True)
        low = -1 if self.config.levels == "plus-minus" else 0
        return {
            "features": np.frombuffer(features, np.uint8),
            "pixels": np.frombuffer(pixels, np.uint8),
            "latents": np.array([self.config.m, low], np.int32),
        }

    def _array(self, name: str) -> np.ndarray:
        return self._tensors[name].astype(np.float32)

    def _session(
        self, side: str, layers: list[tuple[int, Kind]], *, pixels: bool = False
    ) -> Callable[[np.ndarray], np.ndarray]:
        session = LazySession(partial(self._graph, side, layers, pixels), threads(), fused=True)
        return lambda x: session.run({"x": x})[0]

    def _graph(self, side: str, layers: list[tuple[int, Kind]], pixels: bool) -> bytes:
        g = Graph()
        x = g.input("x", "float32", [1, "channels", "h", "w"])
        for at, kind in layers:
            x = self._layer(g, x, kind, f"{side}.{at}")
        if side == "small":
            x = self._conv(g, x, side)
        if pixels:
            x = g.node("Add", x, g.constant(0.5))
            x = g.node("QuantizeLinear", x, g.constant(1 / 255), g.constant(np.uint8(0)))
        kind_out = "uint8" if pixels else "float32"
        g.output(x, "out", kind_out, [1, "channels_out", "h_out", "w_out"])
        return g.serialize()

    def _layer(self, g: Graph, x: str, kind: Kind, name: str) -> str:
        if kind == "conv":
            return self._conv(g, x, name, stride=2)
        if kind == "deconv":
            weight, bias = (
                _as_convolution(self._array(name + ".weight")),
                self._array(name + ".bias"),
            )
            x = _convolution(g, x, weight, np.tile(bias, 4))
            return g.node("DepthToSpace", x, blocksize=2)
        if kind == "block":
            more = self._conv(g, x, name + ".dw")
            more = g.node("Gelu", self._conv(g, more, name + ".a"), domain=MICROSOFT)
            return g.node("Add", x, self._conv(g, more, name + ".b"))
        return self._activation(g, x, name)

    def _conv(self, g: Graph, x: str, name: str, stride: int = 1) -> str:
        return _convolution(
            g, x, self._array(name + ".weight"), self._array(name + ".bias"), stride
        )

    def _activation(self, g: Graph, x: str, name: str) -> str:
        kind = self.config.activation
        if kind == "none":
            return x
        if kind == "relu":
            return g.node("Relu", x)
        if kind == "leaky-relu":
            return g.node("Max", x, g.node("Mul", x, g.constant(0.1)))
        gamma, beta = np.abs(self._array(name + ".gamma")), np.abs(self._array(name + ".beta"))
        norm = _convolution(g, g.node("Abs", x), gamma, beta + np.float32(1e-3))
        return g.node("Div" if name.startswith("g_a") else "Mul", x, norm)


def _convolution(g: Graph, x: str, weight: np.ndarray, bias: np.ndarray, stride: int = 1) -> str:
    """(1, I, h, w) with weights (O, I, k, k), or (O, 1, k, k) depthwise, to (1, O, ...)."""
    edge = weight.shape[2]
    return g.node(
        "Conv",
        *(x, g.constant(weight), g.constant(bias)),
        group=len(weight) if weight.shape[1] == 1 else 1,
        kernel_shape=[edge, edge],
        pads=[edge // 2] * 4,
        strides=[stride, stride],
    )


def _as_convolution(weight: np.ndarray) -> np.ndarray:
    """A 5x5 deconvolution of stride 2 (I, O, 5, 5) as a 3x3 one: (4 O, I, 3, 3).

    Output 2 p + a reads input p + d through tap a + 2 - 2 d; channels are ordered (a, a', O).
    """
    inputs, outputs = weight.shape[:2]
    out = np.zeros((2, 2, outputs, inputs, 3, 3), np.float32)
    padded = np.pad(weight, ((0, 0), (0, 0), (0, 1), (0, 1)))  # tap 5 is none
    for a in (0, 1):
        for b in (0, 1):
            taps = padded[:, :, a::2, b::2][:, :, ::-1, ::-1]
            out[a, b] = taps.transpose(1, 0, 2, 3)
    return out.reshape(4 * outputs, inputs, 3, 3)
