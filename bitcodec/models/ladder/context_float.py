"""The context model of `ladder` in floating point: for training, and to be exported to integers.

One state S (192 channels at stride 16) collects what has been decoded. A pass's head reads S and
puts out centre and scale of a logistic distribution for each of its latents; the decoded latents
are then folded into S by a convolution. With ``quantized`` the network rounds everything as its
integer form will (fake quantisation; Jacob et al. 2018, arXiv 1712.05877), with straight-through
gradients.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bitcodec.models.ladder.channels import GROUPS, pass_of
from bitcodec.models.ladder.config import LadderConfig
from bitcodec.models.ladder.steps import STEP_MIDDLE
from bitcodec.models.layers import fixed_point as fx
from bitcodec.models.layers.depthwise import Depthwise


def round_ste(x: Tensor) -> Tensor:
    """Round half to even forward, identity backward."""
    return x + (torch.round(x) - x).detach()


def weight_scale(w: Tensor, largest: int) -> Tensor:
    """The unit of each output channel of (O, ...) weights, broadcastable to them."""
    return w.abs().amax(dim=tuple(range(1, w.dim())), keepdim=True).clamp_min(1e-8) / largest


def fake_weight(w: Tensor, largest: int = fx.WEIGHT) -> Tensor:
    """Round (O, ...) weights to integers of no larger magnitude, one unit an output channel."""
    scale = weight_scale(w.detach(), largest)
    return round_ste(w / scale) * scale


class Head(nn.Module):
    """State to two numbers for each latent of a group."""

    def __init__(self, size: int, state: int, hidden: int) -> None:
        super().__init__()
        self.dw = Depthwise(state, 5)
        self.a = nn.Conv2d(state, hidden, 1)
        self.b = nn.Conv2d(hidden, hidden, 1)
        self.o = nn.Conv2d(hidden, 3 * size, 1)
        # range of t + dw(t), for the integer form; set by calibration
        self.register_buffer("reach", torch.full((state,), 12.0))

    def gather(self, s: Tensor, quantized: bool) -> Tensor:
        """What the head reads around each position: S (N, state, h, w) to the same shape."""
        if not quantized:
            t = F.relu6(s)
            return t + cast(Tensor, self.dw(t))
        t = _relu6(s, fx.ACT)
        weight = fake_weight(self.gathering(), fx.SMALL_WEIGHT)
        u = F.conv2d(t, weight, self.dw.bias, padding=2, groups=t.shape[1])
        unit = self._unit()
        return round_ste(u / unit).clamp(-fx.U_MAX, fx.U_MAX) * unit

    def gathering(self) -> Tensor:
        """The kernels of t + dw(t): those of `dw`, with 1 added in the middle; (state, 1, 5, 5)."""
        weight: Tensor = self.dw.weight
        return weight + F.pad(self.dw.weight.new_ones(1, 1, 1, 1), (2, 2, 2, 2))

    def predict(self, u: Tensor, quantized: bool) -> Tensor:
        """That to (N, 3 size, h, w): asinh of the centre, log of twice the scale, and unused."""
        if not quantized:
            t = F.relu6(self.a(u))
            t = t + F.relu6(self.b(t))
            out: Tensor = self.o(t)
            return out
        unit = self._unit()
        # the unit of the weights of `a` is taken after folding the units of its inputs into them
        folded = fake_weight(self.a.weight * unit[None])
        t = _relu6(F.conv2d(u / unit, folded, self.a.bias), fx.HIDDEN)
        t = t + _relu6(_conv(self.b, t), fx.HIDDEN)
        return _conv(self.o, t)

    def _unit(self) -> Tensor:
        return (cast(Tensor, self.reach) / fx.U_MAX)[:, None, None]


def _relu6(x: Tensor, unit: float) -> Tensor:
    return round_ste(F.relu6(x) * unit) / unit


def _conv(conv: nn.Conv2d, x: Tensor) -> Tensor:
    return F.conv2d(x, fake_weight(conv.weight), conv.bias)


def centre_shift(group: int) -> int:
    """The centre codes of a group count 2**shift units: 8 bits are enough for the large groups."""
    return 3 if GROUPS[group].size > 50 else 0


def _fake_centre(a: Tensor, group: int) -> Tensor:
    """asinh of the centres of a group, rounded and clipped as the integer form does."""
    shift = centre_shift(group)
    unit, most = fx.CENTRE / (1 << shift), fx.FINE_MAX if shift else fx.CENTRE_MAX
    return round_ste(a * unit).clamp(-most, most) / unit


class Context(nn.Module):
    """The whole model: groups, passes, state.

    Shapes are (N, C, h, w) with h and w in latents.
    """

    def __init__(self, config: LadderConfig | None = None) -> None:
        super().__init__()
        self.config = config or LadderConfig()
        state = self.config.state
        self.base = nn.Parameter(torch.zeros(1, state, 1, 1))
        self.dl = nn.Parameter(torch.zeros(1, state, 1, 1))
        kernels = [5 if g < 4 else 3 for g in range(len(GROUPS))]
        self.emb = nn.ModuleList(
            nn.Conv2d(group.size, state, k, padding=k // 2, bias=False)
            for group, k in zip(GROUPS, kernels, strict=True)
        )
        self.pos = nn.ParameterList(
            nn.Parameter(torch.zeros(group.passes, state, 1, 1)) for group in GROUPS
        )
        self.heads = nn.ModuleList(Head(group.size, state, self.config.hidden) for group in GROUPS)

    def start(self, step: Tensor, h: int, w: int) -> Tensor:
        """The state before anything is decoded; step (N, 1, 1, 1) or a map (N, 1, h, w)."""
        s = self.base + self.dl * torch.log(step / STEP_MIDDLE)
        s = s.expand(-1, -1, h, w)
        return s.contiguous(memory_format=torch.channels_last)  # what convolutions are fastest in

    def embed(self, group: int, e: Tensor, quantized: bool) -> Tensor:
        """Contribution to the state of companded latents of one group."""
        conv = cast(nn.Conv2d, self.emb[group])
        weight = fake_weight(conv.weight, fx.SMALL_WEIGHT) if quantized else conv.weight
        out = F.conv2d(e, weight, padding=conv.padding)
        return round_ste(out * fx.STATE) / fx.STATE if quantized else out

    def forward(self, q: Tensor, step: Tensor, quantized: bool = False) -> tuple[Tensor, Tensor]:
        """Centre and scale of every latent, all passes.

        Args:
            q: latents (N, 768, h, w), rounded or with uniform noise.
            step: (N, 1, 1, 1) or a map (N, 1, h, w).
            quantized: round as the integer form does; q must then be integers.

        Returns:
            (mu, s), each (N, 768, h, w), s positive.
        """
        h, w = q.shape[2:]
        rows, columns = torch.arange(h, device=q.device)[:, None], torch.arange(w, device=q.device)
        s = self.start(step, h, w)
        e = torch.asinh(q)
        if quantized:
            e = (torch.floor(e * fx.COMPAND + 0.5) / fx.COMPAND).clamp(
                -fx.COMPAND_MAX, fx.COMPAND_MAX
            )
        outs = []
        # Not slices: each would have a gradient as large as the whole.
        parts = torch.split(e, [group.size for group in GROUPS], 1)
        for index, (group, part) in enumerate(zip(GROUPS, parts, strict=True)):
            head, pos = cast(Head, self.heads[index]), self.pos[index]
            where = pass_of(group.passes, rows, columns)
            around: Tensor | None = None
            for k in range(group.passes):
                seen = s + pos[k]
                if k:
                    seen = seen + self.embed(index, part * (where < k), quantized)
                now = head.gather(seen, quantized)
                around = now if around is None else torch.where(where >= k, now, around)
            out = torch.split(head.predict(cast(Tensor, around), quantized), group.size, 1)
            outs.append((_fake_centre(out[0], index), out[1]) if quantized else out)
            s = s + self.embed(index, part, quantized)
        a = torch.cat([out[0] for out in outs], 1).clamp(-7, 7)
        b = torch.cat([out[1] for out in outs], 1).clamp(-6, 6)
        if quantized:
            code = (round_ste((b + fx.SCALE_SHIFT) * fx.SCALE)).clamp(0, fx.SCALES - 1)
            b = code / fx.SCALE - fx.SCALE_SHIFT
        return torch.sinh(a), torch.exp(b) / 2
