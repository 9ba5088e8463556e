"""Latents that suit the synthesis better than the analysis's own: the high efforts of `ladder`.

The targets of rate-distortion optimised rounding follow the gradient of the distortion, lam MSE,
at the latents that they were rounded to. So each rounding makes up for the errors of the others.
As rounding with straight-through gradients (Theis et al. 2017, arXiv 1703.00395, equation 4), but
for one picture's latents; each channel's steps are scaled by its curvature, get smaller, and the
targets are drawn back to where they began, or else they would give back what rounding saves.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from bitcodec.models.ladder.steps import LAMBDA_SCALE

_CAUTION = 6.0  #: the first step is so many times smaller than Newton's
_BACK = 0.1  #: of the way to where a target began, at each step


def search_latents(
    x: Tensor,
    latents: np.ndarray,
    step: Tensor,
    encode: Callable[[np.ndarray], tuple[int, np.ndarray]],
    synthesize: Callable[[Tensor], Tensor],
    curvature: Tensor,
    rounds: int,
) -> np.ndarray:
    """Targets for rate-distortion optimised rounding.

    Args:
        x: pixels (1, 3, 16 h, 16 w), 0..255.
        latents: (C, h, w) float32, in units of the step, from the analysis.
        step: the quantisation step, (1, 1, 1, 1) or a map (1, 1, h, w).
        encode: targets (C, h, w) to the bits they cost and the levels chosen, int16.
        synthesize: levels (1, C, h, w) to pixels like ``x``.
        curvature: of the distortion in bits, halved, by each channel's latents: (1, C, 1, 1), or
            of a map, (1, C, h, w).
        rounds: gradient steps.

    Returns:
        The best targets met, (C, h, w) float32; ``latents`` themselves if none were better.
    """
    lam = LAMBDA_SCALE / step.square()
    if lam.numel() > 1:
        lam = lam.repeat_interleave(16, 2).repeat_interleave(16, 3)
    target = best = latents
    least = float("inf")
    for turn in range(rounds + 1):
        bits, levels = encode(target)
        q = torch.from_numpy(levels).to(x.device)[None].float()
        with torch.set_grad_enabled(turn < rounds):
            q.requires_grad_(turn < rounds)
            error = (synthesize(q) - x).square().mean(1, keepdim=True)
            distortion = (lam * error).sum()
        loss = bits + float(distortion.detach())
        if loss < least:
            best, least = target, loss
        if turn < rounds:
            (gradient,) = torch.autograd.grad(distortion, q)
            move = gradient / (2 * _CAUTION * (1 + turn) * curvature)
            target = target + _BACK * (latents - target) - move[0].cpu().numpy()
    return best
