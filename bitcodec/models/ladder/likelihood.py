"""How many bits latents cost under the distributions that the context model predicts."""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from torch import Tensor

__all__ = ["bits"]

_LEAST = 1e-9  #: no probability counts as less


def _sides(q: Tensor, mu: Tensor, s: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """d = -|q - mu|, the logistic's values at d + 1/2 and d - 1/2, and their difference."""
    d = (q - mu).abs_().neg_()
    high = torch.sigmoid_((d + 0.5).div_(s))
    low = torch.sigmoid_((d - 0.5).div_(s))
    return d, high, low, high - low


def _pieces(q: Tensor) -> list[slice]:
    """A picture at a time stays in the processor's cache."""
    return [slice(n, n + 1) for n in range(len(q))] if q.dim() == 4 else [slice(None)]


class _Bits(torch.autograd.Function):
    """With gradients from closed forms, found on the way there: less to read and to keep.

    With h, l the two values and P = h - l: h (1 - h) - l (1 - l) = P (1 - h - l), so
    d bits / d mu = sign(mu - q) (1 - h - l) / (s ln 2), which is -d bits / d q, and
    d bits / d s = ((d + 1/2) h (1 - h) - (d - 1/2) l (1 - l)) / (P s^2 ln 2).
    """

    @staticmethod
    def forward(ctx: Any, q: Tensor, mu: Tensor, s: Tensor) -> Tensor:
        out, of_mu, of_s = (torch.empty_like(q) for _ in range(3))
        for index in _pieces(q):
            x, m, t = q[index], mu[index], s[index]
            d, high, low, p = _sides(x, m, t)
            seen = p > _LEAST
            p.clamp_min_(_LEAST)
            torch.log2(p, out=out[index])
            scale = seen / (t * math.log(2))
            torch.mul((1 - high).sub_(low).mul_(scale), (m - x).sign_(), out=of_mu[index])
            above = (d + 0.5).mul_(high).mul_(1 - high)
            above -= (d - 0.5).mul_(low).mul_(1 - low)
            torch.mul(above.div_(p), scale.div_(t), out=of_s[index])
        ctx.save_for_backward(of_mu, of_s)
        return out.neg_()

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor | None, ...]:
        grad = cast(Tensor, grads[0])
        of_mu, of_s = ctx.saved_tensors
        by_mu = of_mu * grad
        by_q = -by_mu if ctx.needs_input_grad[0] else None
        return by_q, by_mu, of_s * grad


def bits(q: Tensor, mu: Tensor, s: Tensor) -> Tensor:
    """Information of latents under discretised logistics, in bits, the shape of ``q``.

    P(q) = sigmoid((q + 1/2 - mu) / s) - sigmoid((q - 1/2 - mu) / s), by the symmetric form that
    keeps its precision in both tails; never more than about 30 bits. All three have one shape.
    """
    if q.device.type != "cpu":  # in one piece: small ones would keep a GPU waiting
        d = (q - mu).abs().neg()
        p = torch.sigmoid((d + 0.5) / s) - torch.sigmoid((d - 0.5) / s)
        return -torch.log2(p.clamp_min(_LEAST))
    if torch.is_grad_enabled() and (q.requires_grad or mu.requires_grad or s.requires_grad):
        return cast(Tensor, _Bits.apply(q, mu, s))  # type: ignore[no-untyped-call]
    out = torch.empty_like(q)
    for index in _pieces(q):
        torch.log2(_sides(q[index], mu[index], s[index])[3].clamp_min_(_LEAST), out=out[index])
    return out.neg_()
