"""A transform's layers in int8, from its float tensors and the ranges of what layers put out.

Weights have 8 bits and one unit an output channel. Activations are bytes; of both signs they count
from 128, after a ReLU from 0; see :mod:`bitcodec.models.ladder.activations`.
Unlike the context model's these numbers need not be the same everywhere: a pixel may differ by one
between processors.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bitcodec.errors import WeightsError
from bitcodec.models.ladder.activations import Activation
from bitcodec.models.ladder.channels import CHANNELS
from bitcodec.models.ladder.steps import STEP_MIDDLE
from bitcodec.models.layers import fixed_point as fx

__all__ = ["Quantizer", "byte_matrix", "split_matrix"]

Tensors = Mapping[str, np.ndarray]


class Quantizer:
    """Layers by name.

    Args:
        tensors: of the transform, float, by name.
        ranges: of activations, by name: the largest magnitude of each channel, but for outliers.
    """

    def __init__(self, tensors: Tensors, ranges: Tensors) -> None:
        self.tensors, self.ranges = tensors, ranges

    def array(self, name: str) -> np.ndarray:
        """A tensor as float32; WeightsError where there is none."""
        if name not in self.tensors:
            raise WeightsError(f"no tensor transform.{name}")
        return np.asarray(self.tensors[name], np.float32)

    def log_gain(self, step: float | np.ndarray) -> np.ndarray:
        """log of each channel's gain at steps: float64 (..., 768); :meth:`Transform.log_gain`.

        By Horner's rule, in the order in which the decoder for browsers adds.
        """
        l = np.log(np.asarray(step, np.float64) / STEP_MIDDLE)[..., None]  # noqa: E741
        out = np.zeros((*np.shape(step), CHANNELS))
        for term in self.array("g").reshape(-1, CHANNELS)[::-1].astype(np.float64):
            out = out * l + term
        return out

    def layer(
        self, weight: np.ndarray, bias: np.ndarray, x: Activation, y: Activation
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """A convolution (O, I, k, k) from x to y: int8 weights, int32 bias, float32 scale.

        A depthwise one is (O, 1, k, k).
        """
        depthwise = weight.shape[1] == 1 and len(x.channels) == len(weight)
        inputs = x.units[:, None, None, None] if depthwise else x.units[None, :, None, None]
        weight = weight * inputs
        unit = np.abs(weight).reshape(len(weight), -1).max(1)
        unit = np.maximum(unit, np.float32(1e-12)) / fx.WEIGHT
        q = np.rint(weight / unit[:, None, None, None]).astype(np.int8)
        sums = np.rint(bias / unit).clip(-(2**30), 2**30).astype(np.int32)
        return q, sums, (unit / y.units).astype(np.float32)


def byte_matrix(matrix: np.ndarray, largest: int = fx.WEIGHT) -> tuple[np.ndarray, np.ndarray]:
    """A matrix (I, O) as int8, none larger, times float32 (O,)."""
    scale = np.maximum(np.abs(matrix).max(0), 1e-12) / largest
    return np.rint(matrix / scale).astype(np.int8), scale.astype(np.float32)


def split_matrix(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A matrix (I, O) as (high + low / 128) * scale: int8 (I, O) of 7 bits twice, float32 (O,)."""
    high, scale = byte_matrix(matrix, fx.SMALL_WEIGHT)
    low = np.rint((matrix / scale - high) * 128).clip(-fx.SMALL_WEIGHT, fx.SMALL_WEIGHT)
    return high, low.astype(np.int8), scale
