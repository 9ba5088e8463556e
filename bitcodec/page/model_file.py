"""Models as the page reads them: graphs and tables in one safetensors file.

Graphs are uint8 tensors, ``.onnx`` files. Tables have the names that they have in a weights file.
The page runs the graphs in ONNX Runtime for browsers, where sums of bytes are exact in 32 bits.
"""

from __future__ import annotations

import json

import numpy as np
from safetensors.numpy import save

from bitcodec.models.base import Model
from bitcodec.runtime.onnx_context import embedding_graph, head_graph
from bitcodec.runtime.onnx_ladder import OnnxLadder
from bitcodec.runtime.onnx_sign import OnnxSign

__all__ = ["model_file"]

_TABLES = ("base", "slope", "probability", "orders")


def model_file(model: Model) -> bytes | None:
    """The file of a model that runs in ONNX Runtime, None for one that needs torch."""
    if isinstance(model, OnnxLadder):
        tensors = _ladder(model)
    elif isinstance(model, OnnxSign):
        tensors = model.decoder_parts()
    else:
        return None
    rates = model.rates()
    metadata = {
        "family": model.family,
        "name": model.name,
        "id": model.model_id.hex(),
        "halo": str(model.halo_out),
        "coder": str(int(model.coder)),
        "rates": json.dumps(sorted((rates[0], rates[-1]))),
    }
    return save({k: np.ascontiguousarray(v) for k, v in tensors.items()}, metadata)


def _ladder(model: OnnxLadder) -> dict[str, np.ndarray]:
    context = model.context
    out = {name: context.tensors[name] for name in _TABLES}
    for g in range(len(context.heads)):
        out[f"head{g}"] = np.frombuffer(head_graph(context, g), np.uint8)
        out[f"embedding{g}"] = np.frombuffer(embedding_graph(context, g), np.uint8)
        out[f"pos{g}"] = context.tensors[f"pos{g}"]
        out[f"eighths{g}"] = context.eighths(g).astype(np.int32)
        out[f"companded{g}"] = context.companded[g]
    return out | model.synthesis_parts()
