"""The layers of the integer context model in NumPy: slow, and the definition of what they do."""

from __future__ import annotations

import numpy as np

from bitcodec.models.ladder.context_integer import (
    ContextKernels,
    IntegerContext,
    Layer,
    rows_of,
)
from bitcodec.models.ladder.plane import ZERO
from bitcodec.models.layers import fixed_point as fx

__all__ = ["NumpyKernels", "agrees", "requantize"]


def requantize(sums: np.ndarray, scale: np.ndarray, low: int, high: int) -> np.ndarray:
    """Exact sums times one float32 number, rounded half to even, clipped to low..high: int64."""
    product = np.rint(sums.astype(np.float32) * scale)
    return np.asarray(product.clip(low, high), np.int64)


class NumpyKernels:
    """:class:`bitcodec.models.ladder.context_integer.ContextKernels` in NumPy."""

    def __init__(self, context: IntegerContext) -> None:
        self.context = context

    def head(
        self, group: int, state: np.ndarray, where: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`ContextKernels`."""
        layers = self.context.heads[group]
        t = np.rint(state / fx.STATE_SHIFT).clip(0, 255).astype(np.int64)
        dw = layers["dw"]
        u = requantize(_depthwise(t, dw), dw.scale, -fx.U_MAX, fx.U_MAX).reshape(-1, t.shape[2])
        if where is not None:
            u = u[where]
        a = _dense(u, layers["a"], 0, fx.HIDDEN_MAX)
        b = _dense(a, layers["b"], 0, fx.HIDDEN_MAX)
        o = layers["o"]
        size = len(o.bias) // 2
        sums = (a + b) @ o.weight[:, :, 0, 0].T.astype(np.int64) + o.bias
        limit = self.context.zero(group)
        centre = requantize(sums[:, :size], o.scale[:size], -limit, limit) + limit
        scale = requantize(sums[:, size:], o.scale[size:], 0, 255)
        kind = np.uint8 if limit < 256 else np.uint16
        return centre.astype(kind), scale.astype(np.uint8)

    def embed(self, group: int, patches: np.ndarray) -> np.ndarray:
        """See :class:`ContextKernels`."""
        layer = self.context.emb[group]
        sums = (patches.astype(np.int64) - ZERO) @ rows_of(layer.weight).T.astype(np.int64)
        return np.asarray(np.rint(sums.astype(np.float32) * layer.scale))


def _dense(a: np.ndarray, layer: Layer, low: int, high: int) -> np.ndarray:
    sums = a @ layer.weight[:, :, 0, 0].T.astype(np.int64) + layer.bias
    return requantize(sums, layer.scale, low, high)


def _depthwise(t: np.ndarray, layer: Layer) -> np.ndarray:
    h, w, _ = t.shape
    edge = layer.weight.shape[2]
    wide = np.pad(t, ((edge // 2, edge // 2), (edge // 2, edge // 2), (0, 0)))
    sums = np.zeros_like(t) + layer.bias
    for y in range(edge):
        for x in range(edge):
            sums += wide[y : y + h, x : x + w] * layer.weight[:, 0, y, x].astype(np.int64)
    return np.asarray(sums)


def agrees(context: IntegerContext, kernels: ContextKernels) -> bool:
    """Whether other kernels give the same numbers, on a few positions of random states."""
    rng, own = np.random.default_rng(0), NumpyKernels(context)
    shape = (3, 5, context.state)
    for group, layer in enumerate(context.emb):
        state = rng.integers(-2000, 6000, shape).astype(np.float32)
        for one, two in zip(
            own.head(group, state, None), kernels.head(group, state, None), strict=True
        ):
            if not np.array_equal(one, two):
                return False
        most = int(context.most[group])
        patches = rng.integers(ZERO - most, ZERO + most + 1, (4, layer.weight[0].size))
        patches = patches.astype(np.uint8)
        if not np.array_equal(own.embed(group, patches), kernels.embed(group, patches)):
            return False
    return True
