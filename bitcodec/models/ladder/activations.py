"""How every activation of `ladder`'s transforms is read in their int8 form: one table.

The graphs of ONNX Runtime and the fake quantisation of training both take it from here. An
activation has the name of the layer, in files, that puts it out; ``NAME.in`` is what layer NAME
reads, where that is rounded from floats. Each channel has a unit of its own, which costs nothing:
it goes into the weights of the layers before and after. What is added up must agree on them but
for a factor.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bitcodec.errors import WeightsError
from bitcodec.models.ladder.config import LadderConfig
from bitcodec.models.whole import MAX_WIDTH

__all__ = [
    "BYTE",
    "Activation",
    "analysis_activations",
    "check_ranges",
    "down_sections",
    "synthesis_activations",
]

BYTE = 127  #: largest magnitude of a byte
_LEAST = 0.01  #: a channel's unit is no less than this part of the largest
_LEAST_GELU = 0.17  #: GELU is no less than -0.17


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
        return cls(max(largest, 1e-6) / (255 if positive else BYTE), zero, channels)

    @property
    def units(self) -> np.ndarray:
        """What one step of a byte stands for: float32 (C,) or (1,)."""
        return np.asarray(self.unit * self.channels, np.float32)

    def tiled(self, times: int) -> Activation:
        """With so many copies of the channels, one after the other."""
        return Activation(self.unit, self.zero, np.tile(self.channels, times))


Table = dict[str, Activation]
_PIXELS = Activation.of(BYTE / 64)  #: what the pixel path of g_a reads: (x - 128) / 64


def check_ranges(ranges: Mapping[str, np.ndarray]) -> None:
    """WeightsError unless all are finite float32 vectors."""
    for name, value in ranges.items():
        fits = value.dtype == np.float32 and value.ndim == 1 and 0 < value.size <= MAX_WIDTH
        if not fits or not np.isfinite(value).all() or value.min() < 0:
            raise WeightsError(f"tensor ranges.{name:.80} is out of range")


def down_sections(config: LadderConfig) -> list[tuple[str, list[str]]]:
    """The pixel path of g_a at strides 4, 8 and 16: a convolution and its residual blocks."""
    sections, at = [], 0
    for count in (*config.down, 0):
        names = [f"down.d4.{at + n}" for n in range(count + 1)]
        sections.append((names[0], names[1:]))
        at += count + 2
    return sections


def analysis_activations(config: LadderConfig, ranges: Mapping[str, np.ndarray]) -> Table:
    """Those of g_a; WeightsError where a range is not known.

    Args:
        config: of the model.
        ranges: the largest magnitude of each channel, but for outliers, by name: float32 (C,).
    """
    of = _Ranges(ranges)
    companded = Activation.of(BYTE / 14)  # asinh of latents, up to 9
    table = {"fa.0.in": companded, "down.d4.0.in": _PIXELS}
    for first, blocks in down_sections(config)[:2]:
        shared = of.shared(first, *_parts(blocks, ".f.2"))
        table[first] = of.into(first, shared)
        table |= of.residuals(blocks, shared)
    return table | of.trunk("fa", config.blocks, "taps.fa_sum", relu=False)


def synthesis_activations(config: LadderConfig, ranges: Mapping[str, np.ndarray]) -> Table:
    """Those of g_s, as :func:`analysis_activations`. Wider layers are meant after their shuffle."""
    of = _Ranges(ranges)
    wide8, wide4 = of.narrow("up.u8.0"), of.narrow("up.u4.0")
    at8, at4 = ["up.u8.2", "up.u8.3"], [f"up.body.{n}" for n in range(3)]
    shared8 = np.maximum(of.shared(*_parts(at8, ".b")), wide8)
    shared4 = of.shared("up.taps.inp", "up.taps.sum", *_parts(at4, ".b"))
    shared4 = np.maximum(shared4, wide4)
    return {
        "fs.0.in": Activation.of(BYTE / 16),  # companded latents
        **of.trunk("fs", config.blocks, "taps.fs0", relu=True),
        "up.u8.0": Activation.of(float((wide8 / shared8).max()), shared8),
        **of.depthwise_blocks(at8, shared8),
        "up.u4.0": Activation.of(float((wide4 / shared4).max()), shared4),
        "up.inp.in": Activation.of(float(of.range("taps.x1").max())),
        "up.inp": of.into("up.taps.inp", shared4),
        "up.taps.sum": of.into("up.taps.sum", shared4),
        **of.depthwise_blocks(at4, shared4),
        "up.out": Activation.of(float(of.range("up.out").max())),
    }


def _parts(blocks: list[str], last: str) -> list[str]:
    """What is added up in residual blocks with such a last layer."""
    return [name + part for name in blocks for part in ("", last)]


class _Ranges:
    """Activations from the ranges of channels."""

    def __init__(self, ranges: Mapping[str, np.ndarray]) -> None:
        self.ranges = ranges

    def range(self, name: str) -> np.ndarray:
        """The range of each channel that layer ``name`` puts out: float32 (C,)."""
        if name not in self.ranges:
            raise WeightsError("the weights have no ranges: bitcodec export makes them")
        found = np.asarray(self.ranges[name], np.float32)
        return np.maximum(found, max(1e-6, _LEAST * float(found.max())))

    def shared(self, *names: str) -> np.ndarray:
        """Channels' factors for layers whose outputs are added up: float32 (C,)."""
        return np.asarray(np.max([self.range(name) for name in names], 0))

    def narrow(self, name: str) -> np.ndarray:
        """Ranges after a shuffle of 2x2: each channel's is the largest of its four."""
        return np.asarray(self.range(name).reshape(-1, 4).max(1))

    def own(self, name: str, *, positive: bool = False) -> Activation:
        """What layer ``name`` puts out, in units of its own."""
        return Activation.of(1.0, self.range(name), positive=positive)

    def into(self, name: str, shared: np.ndarray) -> Activation:
        """What layer ``name`` puts out, in units that others share."""
        return Activation.of(float((self.range(name) / shared).max()), shared)

    def residuals(self, blocks: list[str], shared: np.ndarray) -> Table:
        """3x3, ReLU, 3x3, plus the input."""
        table: Table = {}
        for name in blocks:
            table[name + ".f.0"] = self.own(name + ".f.0", positive=True)
            table[name + ".f.2"] = self.into(name + ".f.2", shared)
            table[name] = self.into(name, shared)
        return table

    def depthwise_blocks(self, blocks: list[str], shared: np.ndarray) -> Table:
        """Depthwise, 1x1, ReLU, 1x1, plus the input, which is in bytes too."""
        table: Table = {}
        for name in blocks:
            table[name + ".dw"] = self.own(name + ".dw")
            table[name + ".a"] = self.own(name + ".a", positive=True)
            table[name + ".b"] = self.into(name + ".b", shared)
            table[name] = self.into(name, shared)
        return table

    def trunk(self, name: str, count: int, first: str, *, relu: bool) -> Table:
        """Of blocks: their inputs, which are summed in float32, and what is inside."""
        blocks = [f"{name}.{n + 1}" for n in range(count)]
        table: Table = {}
        for n, before in enumerate((first, *blocks)):
            table[f"{name}.{n + 1}.in"] = self.own(before)
        for block in blocks:
            table[block + ".dw"] = self.own(block + ".dw")
            if relu:
                table[block + ".a"] = self.own(block + ".a", positive=True)
            else:  # most of the bytes are for what is above 0
                most = float(self.range(block + ".a").max()) + _LEAST_GELU
                zero = round(255 * _LEAST_GELU / most)
                table[block + ".a"] = Activation(most / 255, zero, np.ones(1, np.float32))
        return table
