"""Binarization: one sign threshold, and a ladder of them.

Latents are turned into bits by comparing them with thresholds,
``b_k = sign(y - theta_k)``. The classic codec has one threshold at 0; the
ladder has one at every half-integer, and the sum of its bits is the rounded
latent, so that scalar quantisation is a special case of binarization.

Gradients follow Courbariaux et al., "Binarized Neural Networks" (arXiv
1602.02830): the forward pass takes the sign, the backward pass pretends that
it was hard tanh (straight-through estimator, their equation 4).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, cast

import torch
from torch import Tensor

Levels = Literal["plus-minus", "zero-one"]
Rule = Literal["deterministic", "stochastic"]


class _SignHardTanh(torch.autograd.Function):
    """sign(hardtanh(y)) forward, the gradient of hardtanh backward."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, threshold: Tensor | None) -> Tensor:
        ctx.save_for_backward(y)
        if threshold is None:  # sign(0) = +1
            return torch.where(y >= 0, 1.0, -1.0).to(y.dtype)
        return torch.where(y >= threshold, 1.0, -1.0).to(y.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (y,) = ctx.saved_tensors
        return grads[0] * (y.abs() <= 1).to(grads[0].dtype), None


_apply: Callable[..., Any] = _SignHardTanh.apply


def hard_sigmoid(y: Tensor) -> Tensor:
    """clip((y + 1) / 2, 0, 1): Courbariaux et al., equation 3.

    Args:
        y: any shape, floating point.

    Returns:
        The probability of +1, same shape and dtype, in [0, 1].
    """
    return ((y + 1) / 2).clamp(0, 1)


def binary_tanh(y: Tensor) -> Tensor:
    """Deterministic binarization: sign(hardtanh(y)) with sign(0) = +1.

    Args:
        y: latents of any shape, floating point; +-1 is where hardtanh saturates.

    Returns:
        +1 or -1 in the shape and dtype of ``y``. The gradient is passed on where
        |y| <= 1 and is zero elsewhere (Courbariaux et al., equations 1 and 4).
    """
    return cast(Tensor, _apply(y, None))


def stochastic_binary_tanh(y: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Stochastic binarization: +1 with probability hard_sigmoid(y), else -1.

    For training only: encoding is always deterministic, so that a picture gives
    one file. The expected value of the result is hardtanh(y), so the
    straight-through gradient is that of the expectation.

    Args:
        y: latents of any shape, floating point.
        generator: source of the random numbers; None for torch's default.

    Returns:
        +1 or -1 in the shape and dtype of ``y`` (Courbariaux et al., equations 2, 4).
    """
    uniform = torch.rand(y.shape, generator=generator, device=y.device, dtype=torch.float32)
    threshold = (2 * uniform - 1).to(y.dtype)  # y >= u  <=>  hard_sigmoid(y) >= (u + 1) / 2
    return cast(Tensor, _apply(y, threshold))


def binarize(y: Tensor, rule: Rule = "deterministic", levels: Levels = "plus-minus") -> Tensor:
    """Binarize latents.

    Args:
        y: latents of any shape, floating point.
        rule: "deterministic" (sign) or "stochastic" (training only).
        levels: "plus-minus" for -1/+1, "zero-one" for the report's 0/1.

    Returns:
        The two levels, in the shape and dtype of ``y``.

    Raises:
        ValueError: ``rule`` or ``levels`` is not one of those named.
    """
    if rule == "deterministic":
        b = binary_tanh(y)
    elif rule == "stochastic":
        b = stochastic_binary_tanh(y)
    else:
        raise ValueError(f"unknown binarizer {rule!r}")
    if levels == "plus-minus":
        return b
    if levels == "zero-one":
        return (b + 1) / 2
    raise ValueError(f"unknown levels {levels!r}")


def ladder_thresholds(k_max: int) -> Tensor:
    """The ladder's thresholds theta_k = k - 1/2 for k = -k_max + 1 .. k_max.

    Args:
        k_max: the largest magnitude that the ladder can express, at least 1.

    Returns:
        float32 tensor of 2 * k_max half-integers, ascending, symmetric about 0.
    """
    if k_max < 1:
        raise ValueError("k_max must be at least 1")
    return torch.arange(-k_max + 1, k_max + 1, dtype=torch.float32) - 0.5


def ladder_bits(y: Tensor, thresholds: Tensor) -> Tensor:
    """All latent bits b_k = sign(y - theta_k) of a ladder at once.

    With the single threshold 0 this is exactly :func:`binary_tanh`.

    Args:
        y: latents of shape (...), floating point.
        thresholds: (K,), ascending.

    Returns:
        (..., K) of -1 and +1 in the dtype of ``y``; not increasing along K.
    """
    return binary_tanh(y.unsqueeze(-1) - thresholds.to(y.dtype))


def ladder_sum(bits: Tensor) -> Tensor:
    """q = sum_k b_k / 2: the quantised latent that the bits of a full ladder spell.

    For half-integer thresholds this is round-half-up(y), clipped to +-k_max.

    Args:
        bits: (..., K) of -1 and +1.

    Returns:
        (...), integers in floating point.
    """
    return bits.sum(dim=-1) / 2
