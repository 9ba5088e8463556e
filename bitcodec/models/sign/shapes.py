"""The layers of a `sign` model and the shapes of their tensors, for readers without torch."""

from __future__ import annotations

from typing import Literal

from bitcodec.models.sign.config import SignConfig
from bitcodec.models.tensors import Shapes, block_shapes, conv_shapes

__all__ = ["Kind", "layer_kinds", "tensor_shapes"]

Kind = Literal["conv", "deconv", "activation", "block"]


def layer_kinds(config: SignConfig) -> dict[str, list[Kind]]:
    """What the layers of "g_a" and "g_s" are, in order: ``g_a.0``, ``g_a.1``, ..."""
    blocks: list[Kind] = ["block"] * config.blocks
    down: list[Kind] = ["conv", "activation"]
    up: list[Kind] = ["deconv", "activation"]
    return {"g_a": [*down * 3, *blocks, "conv"], "g_s": [*up, *blocks, *up * 2, "deconv"]}


def tensor_shapes(config: SignConfig) -> Shapes:
    """Of all tensors in a weights file of this configuration."""
    n, m = config.n, config.m
    out: Shapes = {}
    for side, kinds in layer_kinds(config).items():
        inputs, outputs = [n] * len(kinds), [n] * len(kinds)
        inputs[0], outputs[-1] = (3, m) if side == "g_a" else (m, 3)
        for at, kind in enumerate(kinds):
            name = f"{side}.{at}"
            if kind == "block":
                out |= block_shapes(name, n)
            elif kind == "conv":
                out |= conv_shapes(name, inputs[at], outputs[at], 5)
            elif kind == "deconv":
                out[f"{name}.weight"] = inputs[at], outputs[at], 5, 5
                out[f"{name}.bias"] = (outputs[at],)
            elif config.activation == "gdn":
                out |= {f"{name}.beta": (n,), f"{name}.gamma": (n, n, 1, 1)}
    if config.parents:
        out |= {"refine.scale": (m, 1, 1), "refine.step": (m, 1, 1)}
    return out | (conv_shapes("small", n, 3, 3) if config.preview else {})
