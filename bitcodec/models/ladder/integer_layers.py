"""What the integer context model is built from: convolutions, their patches, and a head."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bitcodec.models.layers import fixed_point as fx

_PIECE = 512  # positions


def integers(*shape: int, dtype: torch.dtype = torch.int32) -> Tensor:
    """Zeros, for a buffer of integers."""
    return torch.zeros(shape, dtype=dtype)


class IntegerConv(nn.Module):
    """int8 weights (O, I, k, k), int32 bias, and the multiplier m / 2**k of each output."""

    weight: Tensor
    bias: Tensor
    m: Tensor
    k: Tensor

    def __init__(self, out: int, inputs: int, kernel: int, groups: int = 1) -> None:
        super().__init__()
        self.groups, self.padding = groups, kernel // 2
        self.register_buffer("weight", integers(out, inputs, kernel, kernel, dtype=torch.int8))
        self.register_buffer("bias", integers(out))
        self.register_buffer("m", integers(out))
        self.register_buffer("k", integers(out))
        self._ready: tuple[Tensor, Tensor, Tensor] | None = None
        self._int8: tuple[Tensor, Tensor] | None = None

    def prepare(self, dtype: torch.dtype = torch.float32) -> None:
        """Cache weights, bias and multipliers as floats (all exact)."""
        ratio = self.m.double() / torch.pow(2.0, self.k.double())
        self._ready = (self.weight.to(dtype), self.bias.to(dtype), ratio[:, None, None])
        self._int8 = None

    def prepare_int8(
        self, input_zero_point: int = 0, repeats: int = 1, output_zero_point: int = 0
    ) -> None:
        """Make ready for :meth:`product`.

        Args:
            input_zero_point: what was taken from every input to make it an int8.
            repeats: inputs come as so many summands, each with that zero point, in turn.
            output_zero_point: what is to be taken from every output.
        """
        weight = self.weight.permute(0, 2, 3, 1).flatten(1)  # in the order of `patches`
        bias = self.bias.double() + repeats * input_zero_point * weight.double().sum(1)
        shift = bias * self.multiplier() + (0.5 - output_zero_point)
        self._int8 = (weight.repeat(1, repeats).t(), shift)

    def product(self, a: Tensor) -> Tensor:
        """What :meth:`rows` gives, or a larger kernel on patches: int8 (n, k k I) to (n, O).

        The zero points are those that :meth:`prepare_int8` was given.
        """
        weight, shift = cast("tuple[Tensor, Tensor]", self._int8)
        if a.stride() != (a.shape[1], 1):  # torch 2.13 takes what overlaps, and one row, wrongly
            a = torch.empty(a.shape, dtype=a.dtype, device=a.device).copy_(a)
        return torch.addcmul(shift, torch._int_mm(a, weight).double(), self.multiplier()).floor_()

    def sums(self, a: Tensor) -> Tensor:
        """The integer convolution of a (1, I, h, w), in floating point; still to be rounded.

        As products and sums, which are exact; algorithms for convolutions may use fractions.
        """
        weight, bias, _ = cast("tuple[Tensor, Tensor, Tensor]", self._ready)
        _, _, h, w = a.shape
        if self.groups == 1:
            matrix = weight.permute(0, 2, 3, 1).flatten(1)  # in the order of `patches`
            rows = F.linear(patches(a[0].permute(1, 2, 0), weight.shape[2]), matrix, bias)
            return rows.t().reshape(1, -1, h, w)
        if a.device.type == "cpu":  # oneDNN has but one way for these
            return F.conv2d(a, weight, bias, padding=self.padding, groups=self.groups)
        wide = F.pad(a, (self.padding,) * 4)
        out = bias[:, None, None].expand_as(a).clone()
        for i, j in np.ndindex(weight.shape[2], weight.shape[3]):
            out.addcmul_(wide[:, :, i : i + h, j : j + w], weight[:, 0, i, j, None, None])
        return out

    def accumulate(self, a: Tensor) -> Tensor:
        """The exact integer convolution of a (1, I, h, w), in floating point."""
        return self.sums(a).round_()

    def scale(self, acc: Tensor) -> Tensor:
        """acc m / 2**k in float64, not yet rounded."""
        return acc.double() * cast("tuple[Tensor, Tensor, Tensor]", self._ready)[2]

    def rows(self, a: Tensor) -> Tensor:
        """A 1x1 convolution of (n, I), scaled and rounded: float64 (n, O)."""
        weight, bias, _ = cast("tuple[Tensor, Tensor, Tensor]", self._ready)
        acc = F.linear(a, weight.flatten(1), bias).round_()
        return acc.double().mul_(self.multiplier()).add_(0.5).floor_()

    def multiplier(self) -> Tensor:
        """m / 2**k of each output: (O,) float64."""
        return cast("tuple[Tensor, Tensor, Tensor]", self._ready)[2].flatten()

    def bound(self, most: int) -> int:
        """max over outputs of sum |w| most + |bias|."""
        weight = self.weight.long().abs().flatten(1).sum(1)
        return int((weight * most + self.bias.long().abs()).max())


def _widened(a: Tensor, p: int) -> Tensor:
    """(h, w, C) with p zeros around it."""
    h, w, c = a.shape
    wide = a.new_zeros(h + 2 * p, w + 2 * p, c)
    wide[p : p + h, p : p + w] = a
    return wide


def patches(a: Tensor, size: int) -> Tensor:
    """The surroundings of each position, zeros outside: (h, w, C) to (h w, size size C)."""
    h, w, _ = a.shape
    wide = _widened(a, size // 2)
    return wide.unfold(0, size, 1).unfold(1, size, 1).permute(0, 1, 3, 4, 2).reshape(h * w, -1)


def patches_at(a: Tensor, size: int, where: np.ndarray) -> Tensor:
    """Those rows of :func:`patches` alone."""
    w, p = a.shape[1], size // 2
    wide = _widened(a, p)
    i, j = np.divmod(where, w)
    corner = i * (w + 2 * p) + j
    window = (np.arange(size)[:, None] * (w + 2 * p) + np.arange(size)).ravel()
    rows = torch.from_numpy((corner[:, None] + window).ravel()).to(a.device)
    return wide.flatten(0, 1).index_select(0, rows).reshape(len(where), -1)


def around(marked: np.ndarray, reach: int) -> np.ndarray:
    """Flat indices of the positions of (h, w) with a mark no further away than that."""
    marks = torch.from_numpy(marked)[None].to(torch.float32)
    return np.flatnonzero(F.max_pool2d(marks, 2 * reach + 1, 1, reach).numpy())


def pieces(count: int) -> list[slice]:
    """Of rows; in pieces, what is done to them stays in the processor's cache."""
    return [slice(at, at + _PIECE) for at in range(0, count, _PIECE)]


def floor_half(x: Tensor) -> Tensor:
    """Rounded to nearest, halves up."""
    return torch.floor(x + 0.5)


class IntegerHead(nn.Module):
    """State to centre code (asinh domain, 12 bits) and scale code (6 bits) of each latent."""

    same: Tensor

    def __init__(self, size: int, state: int, hidden: int) -> None:
        super().__init__()
        self.dw = IntegerConv(state, 1, 5, groups=state)
        self.register_buffer(
            "same", integers(state, dtype=torch.int64)
        )  # of t itself, over 2**dw.k
        self.a = IntegerConv(hidden, state, 1)
        self.b = IntegerConv(hidden, hidden, 1)
        self.o = IntegerConv(2 * size, hidden, 1)
        self.int8 = False

    def prepare_int8(self) -> None:
        """Multiply int8 matrices from now on."""
        self.int8 = True
        self.a.prepare_int8(output_zero_point=128)
        self.b.prepare_int8(128, output_zero_point=128)
        self.o.prepare_int8(128, 2)

    def forward(self, t: Tensor, h: int, w: int, where: Tensor | None = None) -> Tensor:
        """States (h w, state) in 0..255 to codes (2 size, n), int16, centres first, clipped.

        n counts the positions that ``where`` lists in raster order, all h w of them without it.
        """
        acc = (
            self.dw.sums(t.view(1, h, w, -1).permute(0, 3, 1, 2))[0].permute(1, 2, 0).flatten(0, 1)
        )
        if where is not None:  # from here on every position is on its own
            acc, t = acc.index_select(0, where), t.index_select(0, where)
        ratio = self.dw.multiplier(), self.same.double() / torch.pow(2.0, self.dw.k.double())
        size = self.o.weight.shape[0] // 2
        out = torch.empty(2 * size, len(t), dtype=torch.int16, device=t.device)
        for at in pieces(len(t)):
            codes = self._codes(acc[at].round_(), t[at], *ratio)
            codes[:, :size].clamp_(-fx.CENTRE_MAX, fx.CENTRE_MAX)
            codes[:, size:].clamp_(0, fx.SCALES - 1)
            out[:, at] = codes.t()
        return out

    def _codes(self, acc: Tensor, t: Tensor, of_acc: Tensor, of_t: Tensor) -> Tensor:
        """Depthwise sums and t, (n, state), to codes (n, 2 size)."""
        u = torch.addcmul(of_acc.new_tensor(0.5), acc.double(), of_acc)
        u.addcmul_(t.double(), of_t).floor_().clamp_(-127, 127)
        if self.int8:  # 0..255 as -128..127
            t = self.a.product(u.to(torch.int8)).clamp_(-128, 127).to(torch.int8)
            more = self.b.product(t).clamp_(-128, 127).to(torch.int8)
            return self.o.product(torch.cat([t, more], 1))
        t = self.a.rows(u.to(acc.dtype)).clamp_(0, 255)
        t = t + self.b.rows(t.to(acc.dtype)).clamp_(0, 255)
        return self.o.rows(t.to(acc.dtype))
