"""Residual binarization: latent channels that refine others.

A channel may see what the sign of an earlier one, its parent, left over, so that a strong
coefficient gets several bits, the most significant first (Ghasemzadeh et al., "ReBNet",
arXiv 1711.01243).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bitcodec.models.sign.binarize import binarize
from bitcodec.models.sign.config import Levels, Rule

__all__ = ["Refinement"]


class Refinement(nn.Module):
    """Residual binarization: y_j = z_j + a_j y_p - c_j b_p, p the parent of j.

    ``z`` is what the last convolution puts out, ``b_p = sign(y_p)``. Channels
    without a parent have y_j = z_j. Chains are walked level by level, so a bit
    is taken once for each depth, not once for each channel.
    """

    def __init__(self, parents: tuple[int, ...]) -> None:
        super().__init__()
        depth: list[int] = []
        for p in parents:
            depth.append(0 if p < 0 else depth[p] + 1)
        # levels[d]: channels at depth d, in ascending order, and their parents
        self.levels = [
            [j for j, dj in enumerate(depth) if dj == d] for d in range(max(depth, default=0) + 1)
        ]
        self.slots = [
            [self.levels[d - 1].index(parents[j]) for j in level] if d else []
            for d, level in enumerate(self.levels)
        ]
        order = [j for level in self.levels for j in level]
        self.inverse = [order.index(j) for j in range(len(parents))]
        self.scale = nn.Parameter(torch.full((len(parents), 1, 1), 2.0))
        self.step = nn.Parameter(torch.ones(len(parents), 1, 1))

    def forward(self, z: Tensor, rule: Rule, levels: Levels) -> tuple[Tensor, Tensor]:
        """z (N, M, h, w) to the latents y and their bits b, both (N, M, h, w)."""
        y = z[:, self.levels[0]]
        b = binarize(y, rule)
        ys, bs = [y], [b]
        for level, slot in zip(self.levels[1:], self.slots[1:], strict=True):
            y = z[:, level] + self.scale[level] * y[:, slot] - self.step[level] * b[:, slot]
            b = binarize(y, rule)
            ys.append(y)
            bs.append(b)
        b = torch.cat(bs, 1)[:, self.inverse]
        return torch.cat(ys, 1)[:, self.inverse], b if levels == "plus-minus" else (b + 1) / 2
