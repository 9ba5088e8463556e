"""A transform's layers in int8, from its float tensors and the ranges of what layers put out.

Weights have 8 bits and one unit an output channel. Activations are bytes; of both signs they count
from 128, after a ReLU from 0. Each channel has a unit of its own, which costs nothing: it goes into
the weights of the layers before and after. What is added up must agree on them but for a factor.
Unlike the context model's these numbers need not be the same everywhere: a pixel may differ by one
between processors.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bitcodec.errors import WeightsError
from bitcodec.models.ladder.channels import CHANNELS
from bitcodec.models.ladder.steps import STEP_MIDDLE
from bitcodec.models.layers import fixed_point as fx
from bitcodec.models.whole import MAX_WIDTH

__all__ = ["Activation", "Quantizer", "byte_matrix", "check_ranges", "split_matrix"]

Tensors = Mapping[str, np.ndarray]
_LEAST = 0.01  #: a channel's unit is no less than this part of the largest


@dataclass(frozen=True)
class Activation:
    """How a tensor of bytes is to be read: (byte - zero) * unit * channels.

    Attributes:
        unit: the same for all.
        zero: the byte that stands for 0.
        channels: a factor for each channel, or one for all: float32 (C,) or (1,).
    """

    unit: float
    zero: int
    channels: np.ndarray

    @classmethod
    def of(
        cls, largest: float, channels: np.ndarray | None = None, *, positive: bool = False
    ) -> Activation:
        """Of values in -largest..largest, or in 0..largest, times the channels' factors."""
        zero = 0 if positive else 128
        channels = np.ones(1, np.float32) if channels is None else channels
        return cls(max(largest, 1e-6) / (255 if positive else 127), zero, channels)

    @property
    def units(self) -> np.ndarray:
        """What one step of a byte stands for: float32 (C,) or (1,)."""
        return np.asarray(self.unit * self.channels, np.float32)

    def tiled(self, times: int) -> Activation:
        """With so many copies of the channels, one after the other."""
        return Activation(self.unit, self.zero, np.tile(self.channels, times))


def check_ranges(ranges: Tensors) -> None:
    """WeightsError unless all are finite float32 vectors."""
    for name, value in ranges.items():
        fits = value.dtype == np.float32 and value.ndim == 1 and 0 < value.size <= MAX_WIDTH
        if not fits or not np.isfinite(value).all() or value.min() < 0:
            raise WeightsError(f"tensor ranges.{name:.80} is out of range")


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

    def range(self, name: str) -> np.ndarray:
        """The range of each channel that layer ``name`` puts out: float32 (C,).

        WeightsError where it is not known.
        """
        if name not in self.ranges:
            raise WeightsError("the weights have no ranges: bitcodec export makes them")
        found = np.asarray(self.ranges[name], np.float32)
        return np.maximum(found, max(1e-6, _LEAST * float(found.max())))

    def shared(self, *names: str) -> np.ndarray:
        """Channels' factors for layers whose outputs are added up: float32 (C,)."""
        return np.asarray(np.max([self.range(name) for name in names], 0))

    def log_gain(self, step: float) -> np.ndarray:
        """log of each channel's gain at a step: float32 (768,), see :meth:`Transform.log_gain`."""
        terms = self.array("g").reshape(-1, CHANNELS)
        powers = math.log(step / STEP_MIDDLE) ** np.arange(len(terms))
        return np.asarray(powers @ terms, np.float32)

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
