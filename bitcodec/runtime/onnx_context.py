"""The integer context model as graphs for ONNX Runtime, a head and an embedding for each group."""

from __future__ import annotations

import functools
from functools import partial

import numpy as np

from bitcodec.models.ladder.context_integer import IntegerContext, rows_of
from bitcodec.models.ladder.plane import ZERO
from bitcodec.models.layers import fixed_point as fx
from bitcodec.runtime.onnx_file import MICROSOFT, Graph
from bitcodec.runtime.onnx_session import LazySession
from bitcodec.runtime.operators import clip, conv, reshape

__all__ = ["OnnxKernels"]


class OnnxKernels:
    """:class:`bitcodec.models.ladder.context_integer.ContextKernels` in ONNX Runtime.

    Threads may share one of these.
    """

    def __init__(self, context: IntegerContext) -> None:
        groups = range(len(context.heads))
        self._heads = [LazySession(partial(head_graph, context, g)) for g in groups]
        self._embeddings = [LazySession(partial(embedding_graph, context, g)) for g in groups]

    def head(
        self, group: int, state: np.ndarray, where: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`ContextKernels`."""
        if where is None:
            where = _all(state.shape[0] * state.shape[1])
        centre, scale = self._heads[group].run({"state": state[None], "where": where})
        size = centre.shape[-1]
        return centre.reshape(-1, size), scale.reshape(-1, size)

    def embed(self, group: int, patches: np.ndarray) -> np.ndarray:
        """See :class:`ContextKernels`."""
        return self._embeddings[group].run({"patches": patches})[0]


@functools.lru_cache(8)
def _all(count: int) -> np.ndarray:
    return np.arange(count)


def head_graph(context: IntegerContext, group: int) -> bytes:
    """State (1, h, w, S) and positions (n,) to centre and scale codes, (1, 1, n, C) each."""
    graph, layers = Graph(), context.heads[group]
    s, size, limit = context.state, len(layers["o"].bias) // 2, context.zero(group)
    state = graph.input("state", "float32", [1, "h", "w", s])
    where = graph.input("where", "int64", ["n"])
    step, nothing = graph.constant(float(fx.STATE_SHIFT)), graph.constant(np.uint8(0))
    t = graph.node("QuantizeLinear", state, step, nothing)
    dw, middle = layers["dw"], fx.U_MAX + 1
    u = conv(graph, t, dw.weight, dw.bias, dw.scale, 0, middle, groups=s)
    u = graph.node("Gather", reshape(graph, u, -1, s), where)
    u = reshape(graph, clip(graph, u, 1, 2 * middle - 1), 1, 1, -1, s)
    a, b, o = (layers[name] for name in "abo")
    x = clip(graph, conv(graph, u, a.weight, a.bias, a.scale, middle), 0, fx.HIDDEN_MAX)
    more = clip(graph, conv(graph, x, b.weight, b.bias, b.scale), 0, fx.HIDDEN_MAX)
    both = graph.node("Concat", x, more, axis=3)  # o(x) + o(more): their sum would not be a byte
    weight = np.concatenate([o.weight, o.weight], 1)
    part = weight[:size], o.bias[:size], o.scale[:size]
    if limit < 256:
        centre = clip(graph, conv(graph, both, *part, 0, limit), 0, 2 * limit)
    else:
        centre = _wide(graph, reshape(graph, both, -1, 2 * context.hidden), *part, limit)
    kind = "uint8" if limit < 256 else "uint16"
    graph.output(centre, "centre", kind, ["n", size] if limit >= 256 else [1, 1, "n", size])
    scale = conv(graph, both, weight[size:], o.bias[size:], o.scale[size:])
    graph.output(scale, "scale", "uint8", [1, 1, "n", size])
    return graph.serialize()


def _wide(
    graph: Graph, x: str, weight: np.ndarray, bias: np.ndarray, scale: np.ndarray, limit: int
) -> str:
    """A 1x1 convolution whose results, clipped and with ``limit`` added, are uint16: (n, O)."""
    matrix = graph.constant(np.ascontiguousarray(rows_of(weight).T))
    sums = graph.node("MatMulInteger", x, matrix)
    sums = graph.node("Cast", graph.node("Add", sums, graph.constant(bias)), to=1)
    out = graph.node("Round", graph.node("Mul", sums, graph.constant(scale)))
    out = graph.node("Add", out, graph.constant(float(limit)))
    out = graph.node("Clip", out, graph.constant(0.0), graph.constant(2.0 * limit))
    return graph.node("Cast", out, to=4)


def embedding_graph(context: IntegerContext, group: int) -> bytes:
    """Patches uint8 (n, k k C) to float32 (n, S)."""
    graph, layer = Graph(), context.emb[group]
    matrix = np.ascontiguousarray(rows_of(layer.weight).T)
    patches = graph.input("patches", "uint8", ["n", len(matrix)])
    scales = graph.constant(1.0), graph.constant(layer.scale)
    zero = graph.constant(np.uint8(ZERO))
    out = graph.node(
        "MatMulIntegerToFloat", patches, graph.constant(matrix), *scales, zero, domain=MICROSOFT
    )
    graph.output(graph.node("Round", out), "more", "float32", ["n", context.state])
    return graph.serialize()
