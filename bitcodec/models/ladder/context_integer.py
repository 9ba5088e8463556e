"""The context model in integers: the same numbers on every machine.

Weights are int8, biases int32, activations at most 9 bits. Convolutions run in float32 on
integer values and are exact in any order of summation as long as, for every output channel,
sum |w| max|a| + |bias| < 2**24, which :meth:`IntegerContext.check` proves. Each convolution is
rounded after it. They are products of matrices, so that no Winograd kernel can shift them. Where
the processor multiplies int8 matrices exactly, they are used: the same, sooner. Requantisation is a
multiplication by m / 2**k in float64, exact below 2**53. (Ballé, Johnston, Minnen, "Integer
networks for data compression with latent-variable models", ICLR 2019, gives the reason.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from bitcodec.errors import WeightsError
from bitcodec.models.ladder.channels import CHANNELS, GROUPS, pass_map
from bitcodec.models.ladder.config import LadderConfig
from bitcodec.models.ladder.integer_layers import (
    IntegerConv,
    IntegerHead,
    around,
    floor_half,
    integers,
    patches,
    patches_at,
    pieces,
)
from bitcodec.models.ladder.probability_tables import COMPAND_SIZE, UNARY
from bitcodec.models.layers import fixed_point as fx
from bitcodec.models.processor import has_int8

#: Codes the latents of one pass, in either direction: called with the group, the positions (n,) in
#: raster order, and int16 codes (C, n) of their centres, -1792..1792, and scales, 0..63. Returns
#: where in (C, n), flattened, latents are not zero, and what they are, integers.
PassCoder = Callable[[int, np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]

_LARGEST_ORDER = 15  # of Exp-Golomb codes: no latent needs more bits
_LARGEST_CENTRE = fx.FRACTIONS * 2**15
_SPARSE = 0.7  # with fewer positions than that to add to, the others are left out


class IntegerContext(nn.Module):
    """The whole context model; all state is integer buffers, and it is not trained."""

    base: Tensor
    slope: Tensor
    compand: Tensor
    centre: Tensor
    probability: Tensor
    orders: Tensor
    most: Tensor

    def __init__(self, config: LadderConfig | None = None) -> None:
        super().__init__()
        config = config or LadderConfig()
        state, self.hidden = config.state, config.hidden
        self.register_buffer("base", integers(state))
        self.register_buffer("slope", integers(state))  # per step code, over 2**16
        self.register_buffer("compand", integers(COMPAND_SIZE, dtype=torch.uint8))
        self.register_buffer("centre", integers(2 * fx.CENTRE_MAX + 1))
        self.register_buffer("probability", integers(fx.FRACTIONS * fx.SCALES, 2 + 2 * UNARY))
        self.register_buffer("orders", integers(fx.SCALES, dtype=torch.uint8))
        # companded latents of a group are clipped to this, so that its sums stay below 2**24
        self.register_buffer("most", integers(len(GROUPS)))
        kernels = [5 if g < 4 else 3 for g in range(len(GROUPS))]
        self.emb = nn.ModuleList(
            IntegerConv(state, group.size, k) for group, k in zip(GROUPS, kernels, strict=True)
        )
        self.heads = nn.ModuleList(
            IntegerHead(group.size, state, config.hidden) for group in GROUPS
        )
        for index, group in enumerate(GROUPS):
            self.register_buffer(f"pos{index}", integers(group.passes, state))
        self.dtype = self.state_dtype = torch.float32
        self.int8 = False

    def prepare(self, dtype: torch.dtype = torch.float32, *, int8: bool | None = None) -> None:
        """Make ready to run.

        Args:
            dtype: floating-point type of the convolutions (float32, or float64 for tests).
            int8: use products of int8 matrices; None where the processor is good at them.
        """
        self.dtype = dtype
        sizes = len(self.base), len(cast(IntegerHead, self.heads[0]).b.bias)
        if int8 is None:  # torch 2.13 is wrong about matrices with one column
            int8 = min(sizes) > 1 and has_int8(self.base.device)
        self.int8 = int8
        for module in self.modules():
            if isinstance(module, IntegerConv):
                module.prepare(dtype)
        for head, emb in zip(self.heads, self.emb, strict=True):
            cast(IntegerHead, head).int8 = False
            if self.int8:
                cast(IntegerHead, head).prepare_int8()
                cast(IntegerConv, emb).prepare_int8()
        self.state_dtype = torch.float32 if self._state_bound() < fx.EXACT else torch.float64
        self._compand = self.compand.cpu().numpy().astype(np.int16)
        self._centre = self.centre.cpu().numpy()

    def check(self) -> None:
        """WeightsError unless every convolution is exact in float32 and the tables are sane."""
        for index, head in enumerate(cast("list[IntegerHead]", list(self.heads))):
            emb = cast(IntegerConv, self.emb[index])
            limits = (
                (emb, int(self.most[index])),
                (head.dw, 255),
                (head.a, 127),
                (head.b, 255),
                (head.o, 510),
            )
            if max(-int(head.same.min()), int(head.same.max())) >= 1 << 44 or bool(emb.bias.any()):
                raise WeightsError(f"group {index}: a multiplier or bias is out of range")
            for conv, most in limits:
                if conv.bound(most) >= fx.EXACT:
                    raise WeightsError(f"group {index}: a sum may reach 2**24")
                if int(conv.k.min()) < 0 or int(conv.k.max()) > 46 or _too_big(conv.m):
                    raise WeightsError(f"group {index}: a multiplier is out of range")
        if int(self.most.min()) < 1 or int(self.most.max()) > 127:
            raise WeightsError("a clipping limit is out of range")
        if int(self.compand[0]) or int(self.compand.max()) > 127:
            raise WeightsError("compand is out of range")  # zeros are left out, the rest are int8
        if int(self.centre.long().abs().max()) > _LARGEST_CENTRE:
            raise WeightsError("a centre is out of range")
        if int(self.orders.max()) > _LARGEST_ORDER:
            raise WeightsError("an order is out of range")
        low, high = int(self.probability.min()), int(self.probability.max())
        if low < 0 or int(self.probability[:, 1:].min()) < 1 or high > 65535:
            raise WeightsError("a probability is out of range")

    def _state_bound(self) -> float:
        """No sum of parts of the state is larger, at any step code."""
        most = self.base.double().abs() + (self.slope.double().abs() / 65536 + 1) * 65536
        for index, module in enumerate(self.emb):
            emb = cast(IntegerConv, module)
            reach = emb.weight.double().abs().flatten(1).sum(1) * int(self.most[index])
            pos = cast(Tensor, getattr(self, f"pos{index}")).double().abs().amax(0)
            most = most + 2 * (reach * emb.multiplier().abs() + 1) + pos
        return float(most.max())

    def _start(self, step_code: int, h: int, w: int) -> Tensor:
        s = self.base.double() + floor_half(self.slope.double() * step_code / 65536)
        return s.to(self.state_dtype).repeat(h * w, 1)

    def _embed(self, index: int, e: np.ndarray, h: int, w: int) -> Callable[[slice], Tensor]:
        """What the companded latents e, int8 (C, h w), add to the state of some positions."""
        emb = cast(IntegerConv, self.emb[index])
        a = torch.from_numpy(e.reshape(-1, h, w)).to(self.base.device)
        if self.int8:
            around_each = patches(a.permute(1, 2, 0), emb.weight.shape[2])
            return lambda at: emb.product(around_each[at])
        rows = floor_half(emb.scale(emb.accumulate(a[None].to(self.dtype))))
        rows = rows[0].permute(1, 2, 0).flatten(0, 1)
        return lambda at: rows[at]

    def _add(self, index: int, e: np.ndarray, h: int, w: int, s: Tensor) -> None:
        """Add what :meth:`_embed` gives to the states s, (h w, state), where it is not zero.

        A convolution without a bias puts out zeros where it sees zeros.
        """
        emb = cast(IntegerConv, self.emb[index])
        size = emb.weight.shape[2]
        where = around(e.any(0).reshape(h, w), size // 2)
        if not self.int8 or len(where) > _SPARSE * h * w:
            more = self._embed(index, e, h, w)
            for at in pieces(h * w):
                s[at] += more(at)
            return
        a = torch.from_numpy(e.reshape(-1, h, w)).to(self.base.device).permute(1, 2, 0)
        rows = torch.from_numpy(where).to(self.base.device)
        for at in pieces(len(where)):
            some = emb.product(patches_at(a, size, where[at]))
            s.index_add_(0, rows[at], some.to(s.dtype))

    def eighths(self, codes: np.ndarray) -> np.ndarray:
        """Centre codes -1792..1792 to centres in eighths of a level, int32."""
        return np.asarray(self._centre.take(codes + fx.CENTRE_MAX))

    def _companded(self, index: int) -> np.ndarray:
        """round(16 asinh(q)) within a group's limit for q + 2047 = 0..4094: int8."""
        size = np.minimum(self._compand, int(self.most[index]))
        return np.concatenate((-size[:0:-1], size)).astype(np.int8)

    @torch.inference_mode()
    def run_passes(
        self, step_code: int, h: int, w: int, code_pass: PassCoder, groups: int = len(GROUPS)
    ) -> np.ndarray:
        """Go through all groups and passes; ``code_pass`` codes each, in either direction.

        Args:
            step_code: the header's rate.
            h: rows of latents.
            w: columns of latents.
            code_pass: see :data:`PassCoder`.
            groups: stop after so many, with zeros for the rest.

        Returns:
            What ``code_pass`` returned, in its place: int16 (768, h, w).
        """
        s = self._start(step_code, h, w)
        t = s.new_empty(s.shape, dtype=self.dtype)
        q = np.zeros((CHANNELS, h * w), np.int16)
        for index, group in enumerate(GROUPS[:groups]):
            which = pass_map(group.passes, h, w).ravel()
            pos = cast(Tensor, getattr(self, f"pos{index}")).to(self.state_dtype)
            compand = self._companded(index)
            e = np.zeros((group.size, h * w), np.int8)
            part = q[group.start : group.stop].reshape(-1)
            more: Callable[[slice], Tensor] | None = None
            for k in range(group.passes):
                indices = np.flatnonzero(which == k)
                if not len(indices):
                    continue
                for at in pieces(h * w):
                    _as_input(s[at], pos[k], more(at) if more else None, t[at])
                some = torch.from_numpy(indices).to(s.device) if group.passes > 1 else None
                codes = cast(IntegerHead, self.heads[index])(t, h, w, some).cpu().numpy()
                where, values = code_pass(index, indices, codes[: group.size], codes[group.size :])
                if not len(where):
                    continue
                if len(indices) < h * w:
                    channel, n = np.divmod(where, len(indices))
                    where = channel * (h * w) + indices[n]
                part[where] = values
                last = COMPAND_SIZE - 1
                e.reshape(-1)[where] = compand.take(values.clip(-last, last) + last)
                if k + 1 < group.passes:
                    more = self._embed(index, e, h, w)
            if index + 1 < groups and e.any():
                self._add(index, e, h, w, s)
        return q.reshape(CHANNELS, h, w)


def _as_input(s: Tensor, pos: Tensor, more: Tensor | None, out: Tensor) -> None:
    """What a head reads of states s (n, state): s + pos + more, 0 to 6 of it as 0 to 255."""
    x = s + pos
    if more is not None:
        x += more
    # S counts from 0 to 6 as 0..1536, so this is exact in float32 too: 18 bits and no more.
    # Where |S| beyond 2**24 was rounded on its way here, it is clipped anyway.
    x.clamp_(0, 6 * fx.STATE).mul_(255 / 6 / fx.STATE).add_(0.5)
    if out.dtype == x.dtype:
        torch.floor(x, out=out)
    else:
        out.copy_(x.floor_())


def _too_big(m: Tensor) -> bool:
    return int(m.long().abs().max()) > 1 << 22
