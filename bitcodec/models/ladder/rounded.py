"""Fake quantisation of `ladder`'s transforms: torch computes what their int8 form does.

Every activation of the table in :mod:`bitcodec.models.ladder.activations` is rounded and clipped,
weights are rounded to 8 bits with the units of their inputs in them, and gradients go straight
through, but not through what was clipped (Jacob et al. 2018, arXiv 1712.05877). Layers see whole
numbers of at most 8 bits, which bfloat16 holds exactly; all else is in float32.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bitcodec.models.ladder.activations import (
    BYTE,
    analysis_activations,
    synthesis_activations,
)
from bitcodec.models.ladder.config import LadderConfig
from bitcodec.models.ladder.context_float import fake_weight, round_ste
from bitcodec.models.ladder.pixel_paths import UP_REACH, PixelDown, PixelUp, ResidualConv
from bitcodec.models.ladder.steps import STEP_MIDDLE
from bitcodec.models.layers import fixed_point as fx
from bitcodec.models.layers.depthwise import depthwise
from bitcodec.models.layers.halo import NO_HALO, Halo, crop_halo
from bitcodec.models.layers.residual_block import DepthwiseBlock

__all__ = ["Rounded", "Rounding", "block_error", "fake_kernels"]

_SPLIT = 128 * fx.SMALL_WEIGHT


class Rounded(NamedTuple):
    """An activation: whole numbers (N, C, h, w), and what one step of a channel stands for."""

    steps: Tensor
    units: Tensor  # (C, 1, 1) or (1, 1, 1)

    def real(self) -> Tensor:
        """The numbers that they stand for."""
        return self.steps * self.units

    def cut(self, now: Halo, wanted: Halo, per_latent: int) -> Rounded:
        """See :func:`crop_halo`."""
        return Rounded(crop_halo(self.steps, now, wanted, per_latent), self.units)


class Rounding:
    """The layers of both transforms, rounded.

    Its tensors are no buffers: they are not in weights files, and do not follow the model.

    Args:
        config: of the model.
        ranges: of its activations, see :mod:`bitcodec.models.ladder.ranges`.
        device: of the model.
        analysis: whether g_a is rounded.
        synthesis: whether g_s is.
    """

    def __init__(
        self,
        config: LadderConfig,
        ranges: Mapping[str, np.ndarray],
        device: torch.device,
        *,
        analysis: bool = True,
        synthesis: bool = True,
    ) -> None:
        self.analysis, self.synthesis = analysis, synthesis
        table = {**analysis_activations(config, ranges), **synthesis_activations(config, ranges)}
        self.zeros = {name: how.zero for name, how in table.items()}
        self.units = {
            name: torch.from_numpy(how.units).to(device)[:, None, None]
            for name, how in table.items()
        }

    def correct_latents(
        self, trunk: nn.Sequential, path: PixelDown, y0: Tensor, pixels: Tensor, step: Tensor
    ) -> Tensor:
        """What g_a adds to latents, (N, 768, h, w); of y0, and of pixels as its path reads them."""
        h = self._enter(cast(nn.Conv2d, trunk[0]), y0, step, "fa.0.in") + self._down(path, pixels)
        last = cast(nn.Conv2d, trunk[-1])
        return _dense(self._blocks(trunk, h, "fa"), last.weight, last.bias)

    def features(self, trunk: nn.Sequential, q: Tensor, step: Tensor) -> Rounded:
        """Latents to what the trunk of g_s puts out before its last layer: (N, width, h, w)."""
        h = self._enter(cast(nn.Conv2d, trunk[0]), q, step, "fs.0.in")
        return self._blocks(trunk, h, "fs")

    def correct_pixels(self, path: PixelUp, h: Rounded, x1: Tensor, halo: Halo) -> Tensor:
        """See :meth:`PixelUp.forward`; h has the halo that :data:`UP_REACH` leaves."""
        far, near = halo.at_most(sum(UP_REACH)), halo.at_most(UP_REACH[1])
        at8 = self._wider(path.u8, h, "up.u8.0")
        for n in (2, 3):
            at8 = self._depthwise_block(cast(DepthwiseBlock, path.u8[n]), at8, f"up.u8.{n}")
        at4 = self._wider(path.u4, at8.cut(far, near, 2), "up.u4.0")
        seen = self._layer(self._round(x1, "up.inp.in"), path.inp, "up.inp", gain=1 / 128)
        at4 = self._round(at4.real() + seen.real(), "up.taps.sum")
        for n in range(3):
            at4 = self._depthwise_block(cast(DepthwiseBlock, path.body[n]), at4, f"up.body.{n}")
        out = self._layer(at4, path.out, "up.out").real()
        return crop_halo(out, near, NO_HALO, 4)

    def _round(self, x: Tensor, name: str) -> Rounded:
        units, zero = self.units[name], self.zeros[name]
        return Rounded(round_ste((x.float() / units).clamp(-zero, 255 - zero)), units)

    def _layer(
        self, x: Rounded, layer: nn.Conv2d, name: str, *, gain: float = 1.0, times: int = 1
    ) -> Rounded:
        """A layer that puts out bytes; ``times`` channels in a row have the same unit."""
        units, zero = self.units[name].repeat_interleave(times, 0), self.zeros[name]
        sums, unit = _sums(x, layer.weight * gain)
        bias = cast(Tensor, layer.bias)[:, None, None]
        steps = (sums + round_ste(bias / unit)) * (unit / units)
        return Rounded(round_ste(steps.clamp(-zero, 255 - zero)), units)

    def _enter(self, first: nn.Conv2d, x: Tensor, step: Tensor, name: str) -> Tensor:
        """A trunk's first layer, on x, companded, and a plane of the step."""
        units = self.units[name]
        steps = round_ste((torch.asinh(x) / units).clamp(-BYTE, BYTE))
        steps = steps.contiguous(memory_format=torch.channels_last)
        plane = first.weight[:, -1:, 0] * torch.log(step / STEP_MIDDLE)  # no bits lost of it
        return _dense(Rounded(steps, units), first.weight[:, :-1], first.bias) + plane

    def _down(self, path: PixelDown, pixels: Tensor) -> Tensor:
        unshuffled4 = F.pixel_unshuffle(pixels, 4).contiguous(memory_format=torch.channels_last)
        d = self._round(unshuffled4, "down.d4.0.in")
        for n in range(len(path.d4) - 1):
            layer, name = path.d4[n], f"down.d4.{n}"
            if isinstance(layer, ResidualConv):
                d = self._residual(layer, d, name)
            elif isinstance(layer, nn.Conv2d):
                d = self._layer(d, layer, name)
            else:
                d = Rounded(F.pixel_unshuffle(d.steps, 2), d.units.repeat_interleave(4, 0))
        last = cast(nn.Conv2d, path.d4[-1])
        return _dense(d, last.weight, last.bias)

    def _wider(self, layers: nn.Sequential, x: Rounded, name: str) -> Rounded:
        """A layer, shuffled."""
        out = self._layer(x, cast(nn.Conv2d, layers[0]), name, times=4)
        return Rounded(F.pixel_shuffle(out.steps, 2), self.units[name])

    def _residual(self, block: ResidualConv, x: Rounded, name: str) -> Rounded:
        inner = self._layer(x, cast(nn.Conv2d, block.f[0]), name + ".f.0")  # clipped at 0: ReLU
        more = self._layer(inner, cast(nn.Conv2d, block.f[2]), name + ".f.2")
        return self._round(more.real() + x.real(), name)

    def _depthwise_block(self, block: DepthwiseBlock, x: Rounded, name: str) -> Rounded:
        inner = self._layer(x, block.dw, name + ".dw")
        inner = self._layer(inner, block.a, name + ".a")  # clipped at 0: ReLU
        more = self._layer(inner, block.b, name + ".b")
        return self._round(more.real() + x.real(), name)

    def _blocks(self, trunk: nn.Sequential, h: Tensor, name: str) -> Rounded:
        """A trunk's blocks, and what its last layer reads."""
        for n in range(1, len(trunk) - 1):
            block, within = cast(DepthwiseBlock, trunk[n]), f"{name}.{n}"
            d = self._layer(self._round(h, within + ".in"), block.dw, within + ".dw")
            if block.activate is F.relu:
                inner = self._layer(d, block.a, within + ".a")
            else:
                inner = self._round(
                    block.activate(_dense(d, block.a.weight, block.a.bias)), within + ".a"
                )
            h = h + _dense(inner, block.b.weight, block.b.bias)
        return self._round(h, f"{name}.{len(trunk) - 1}.in")


def _sums(x: Rounded, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Sums of a layer of 8 bits on x, and their units (O, 1, 1); depthwise where I is 1."""
    each = weight.shape[1] == 1 and x.steps.shape[1] > 1
    weight = weight * (x.units[:, None] if each else x.units)
    unit = weight.detach().abs().amax((1, 2, 3), keepdim=True).clamp_min(1e-12) / fx.WEIGHT
    whole = round_ste(weight / unit)
    if each:
        sums = depthwise(x.steps, whole, torch.zeros_like(unit).flatten())
    else:
        sums = F.conv2d(x.steps, whole, padding=weight.shape[2] // 2)
    return sums.float(), unit[:, 0]


def _dense(x: Rounded, weight: Tensor, bias: Tensor | None) -> Tensor:
    """A layer that puts out floats."""
    sums, unit = _sums(x, weight)
    return sums * unit + cast(Tensor, bias)[:, None, None]


def fake_kernels(kernels: Tensor) -> Tensor:
    """The block transform's kernels of g_a (768, 3, 16, 16), with two times 7 bits."""
    return fake_weight(kernels, _SPLIT)


def _rounding_error(matrix: Tensor, largest: int) -> Tensor:
    """What rounding adds to matrices (N, I, O), one unit for each of O."""
    scale = matrix.abs().amax(1, keepdim=True).clamp_min(1e-12) / largest
    return torch.round(matrix / scale) * scale - matrix


@torch.no_grad()
def block_error(
    q: Tensor, features: Rounded, weight: Tensor, kernels: Tensor, gain: Tensor
) -> Tensor:
    """What the int8 form of g_s adds to blocks of pixels by rounding matrices: (N, h, w, 768).

    The trunk's last layer and the kernels are one matrix of 7 bits there, for each step. The
    kernels themselves have two times 7 bits, which is too little to see: it counts for one step
    alone, where it costs no time.

    Args:
        q: latents (N, 768, h, w).
        features: what the trunk's last layer reads, (N, width, h, w).
        weight: of that layer, (768, width, 1, 1).
        kernels: of the synthesis, (768, 3, 16, 16).
        gain: of its channels and the step, (N, 768, 1, 1) or (1, 768, 1, 1).
    """
    rows = features.steps.permute(0, 2, 3, 1)
    inputs = (weight.flatten(1) * features.units[:, 0].t()).t()
    matrix = (inputs * gain.flatten(2).transpose(1, 2)) @ kernels.flatten(1)
    error = rows.flatten(1, 2) @ _rounding_error(matrix, fx.SMALL_WEIGHT)
    if len(gain) == 1:
        latents = q.clamp(-BYTE, BYTE).permute(0, 2, 3, 1).flatten(1, 2)
        error = error + latents @ _rounding_error(
            gain.flatten(2)[0] * kernels.flatten(1)[None], _SPLIT
        )
    return error.reshape(*rows.shape[:3], -1)
