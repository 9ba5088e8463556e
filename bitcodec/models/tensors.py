"""Which tensors a network has, by name and shape, and whether a weights file has just those."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bitcodec.errors import WeightsError

__all__ = ["Shapes", "block_shapes", "check_arrays", "check_tensors", "conv_shapes"]

Shapes = dict[str, tuple[int, ...]]


def conv_shapes(name: str, inputs: int, outputs: int, edge: int = 1) -> Shapes:
    """Of a convolution with square kernels."""
    return {f"{name}.weight": (outputs, inputs, edge, edge), f"{name}.bias": (outputs,)}


def block_shapes(name: str, channels: int, edge: int = 5) -> Shapes:
    """Of a :class:`DepthwiseBlock`."""
    return {
        **conv_shapes(f"{name}.dw", 1, channels, edge),
        **conv_shapes(f"{name}.a", channels, 2 * channels),
        **conv_shapes(f"{name}.b", 2 * channels, channels),
    }


def check_tensors(tensors: Mapping[str, Any], wanted: Shapes) -> None:
    """WeightsError unless the tensors have these names and shapes.

    Args:
        tensors: of NumPy or torch, by name.
        wanted: their shapes.
    """
    for name in sorted(wanted.keys() | tensors.keys()):
        if name not in tensors:
            raise WeightsError(f"tensor {name} is missing")
        if name not in wanted:
            raise WeightsError(f"there is no tensor {name:.80} in such a model")
        found = tuple(tensors[name].shape)
        if found != wanted[name]:
            raise WeightsError(f"tensor {name} has the shape {found}, not {wanted[name]}")


def check_arrays(arrays: Mapping[str, np.ndarray], wanted: Shapes) -> None:
    """:func:`check_tensors`, and that they are floats and finite."""
    check_tensors(arrays, wanted)
    for name, array in arrays.items():
        if array.dtype.kind != "f":
            raise WeightsError(f"tensor {name} is {array.dtype}, not float")
        if not np.isfinite(array).all():
            raise WeightsError(f"tensor {name} is out of range")
