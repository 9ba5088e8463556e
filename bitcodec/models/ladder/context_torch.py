"""The layers of the integer context model in torch, for GPUs.

Sums are products of matrices in float32, on whole numbers below 2**24, each rounded after it:
algorithms for convolutions may use fractions.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from bitcodec.models.ladder.context_integer import IntegerContext, Layer, rows_of
from bitcodec.models.ladder.plane import ZERO
from bitcodec.models.layers import fixed_point as fx

__all__ = ["TorchKernels"]


class _Matrix:
    """A layer on a device: weights (O, k k I), bias and scale (O,), all whole numbers but scale."""

    def __init__(self, layer: Layer, device: torch.device, kind: torch.dtype) -> None:
        def tensor(array: np.ndarray) -> Tensor:
            return torch.from_numpy(array.astype(np.float32)).to(device, kind)

        self.weight, self.kernel = tensor(rows_of(layer.weight)), tensor(layer.weight)
        self.bias, self.scale = tensor(layer.bias), tensor(layer.scale).float()

    def rows(self, a: Tensor) -> Tensor:
        """(n, k k I) to (n, O), scaled and rounded: float32."""
        return self.scaled(F.linear(a.to(self.weight.dtype), self.weight, self.bias))

    def scaled(self, sums: Tensor) -> Tensor:
        """Sums (n, O) times the scale, a product in float32, rounded."""
        return (sums.round().float() * self.scale).round_()

    def depthwise(self, t: Tensor) -> Tensor:
        """(h, w, C) to (h w, C), scaled and rounded."""
        h, w, channels = t.shape
        edge = self.kernel.shape[2]
        wide = F.pad(t.to(self.weight.dtype), (0, 0, *(edge // 2,) * 4))
        sums = self.bias.expand(h, w, channels).clone()
        for y, x in np.ndindex(edge, edge):
            sums.addcmul_(wide[y : y + h, x : x + w], self.kernel[:, 0, y, x])
        return self.scaled(sums.flatten(0, 1))


class TorchKernels:
    """:class:`bitcodec.models.ladder.context_integer.ContextKernels` in torch."""

    def __init__(
        self,
        context: IntegerContext,
        device: torch.device,
        kind: torch.dtype = torch.float32,
    ) -> None:
        self.context, self.device = context, device
        self.emb = [_Matrix(layer, device, kind) for layer in context.emb]
        self.heads = [
            {name: _Matrix(layer, device, kind) for name, layer in head.items()}
            for head in context.heads
        ]

    @torch.inference_mode()
    def head(
        self, group: int, state: np.ndarray, where: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`ContextKernels`."""
        layers = self.heads[group]
        s = torch.from_numpy(state).to(self.device)
        u = layers["dw"].depthwise(s.div(fx.STATE_SHIFT).round_().clamp_(0, 255))
        if where is not None:
            u = u.index_select(0, torch.from_numpy(where).to(self.device))
        u = u.clamp_(-fx.U_MAX, fx.U_MAX)
        x = layers["a"].rows(u).clamp_(0, fx.HIDDEN_MAX)
        x = x + layers["b"].rows(x).clamp_(0, fx.HIDDEN_MAX)
        limit = self.context.zero(group)
        centre, scale = layers["o"].rows(x).chunk(2, 1)
        centre = centre.clamp(-limit, limit).add_(limit)
        kind = np.uint8 if limit < 256 else np.uint16
        codes = scale.clamp(0, 255).to(torch.uint8).cpu().numpy()
        return centre.short().cpu().numpy().astype(kind), codes

    @torch.inference_mode()
    def embed(self, group: int, patches: np.ndarray) -> np.ndarray:
        """See :class:`ContextKernels`."""
        rows = torch.from_numpy(patches).to(self.device).float().sub_(ZERO)
        out: np.ndarray = self.emb[group].rows(rows).cpu().numpy()
        return out
