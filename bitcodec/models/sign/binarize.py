"""Binarization: latents to the two levels of a bit, by their sign.

Gradients follow Courbariaux et al., "Binarized Neural Networks" (arXiv 1602.02830): the forward
pass takes the sign, the backward pass pretends that it was hard tanh (straight-through estimator,
their equation 4).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor

from bitcodec.models.sign.config import Levels, Rule


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
    """Stochastic binarization: +1 with probability clip((y + 1) / 2, 0, 1), else -1.

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
    threshold = (2 * uniform - 1).to(y.dtype)
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
