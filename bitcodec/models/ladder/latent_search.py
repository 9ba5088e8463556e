"""Latents that suit the synthesis better than the analysis's own: the high efforts of `ladder`.

Rate plus distortion is minimised over the quantised latents q by proximal gradient steps (ISTA;
Daubechies, Defrise, De Mol 2004; Beck and Teboulle 2009, equation 1.4):

    q <- argmin  bits(q) + c |t - q|^2,    t = q - gradient / (2 c),

where the gradient is that of the distortion in bits, lam MSE, through the synthesis network. The
minimisation is the rate-distortion optimised rounding of the lower efforts, with t instead of the
analysis's latents. So each rounding makes up for the errors of the others.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from bitcodec.models.ladder.steps import LAMBDA_SCALE


def search_latents(
    x: Tensor,
    latents: np.ndarray,
    step: Tensor,
    encode: Callable[[np.ndarray], tuple[int, np.ndarray]],
    synthesize: Callable[[Tensor], Tensor],
    weight: float,
    rounds: int,
) -> np.ndarray:
    """Targets for rate-distortion optimised rounding.

    Args:
        x: pixels (1, 3, 16 h, 16 w), 0..255.
        latents: (C, h, w) float32, in units of the step, from the analysis.
        step: the quantisation step, (1, 1, 1, 1) or a map (1, 1, h, w).
        encode: targets (C, h, w) to the bits they cost and the levels chosen, int16.
        synthesize: levels (1, C, h, w) to pixels like ``x``.
        weight: c.
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
            moved = q.detach() - gradient / (2 * weight)
            target = moved[0].cpu().numpy()
    return best
