"""The synthesis of `ladder` for latents that are mostly zeros.

Some 5 % of quantised latents are not 0. The layers that read latents are 1x1, so their output at a
position is a sum of a few rows of a table, one for each latent that is not 0. The last layer of the
trunk feeds the block transform alone, so both are one matrix here. The result is that of
:meth:`Transform.synthesize_parts`, apart from the order of summation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bitcodec.models.ladder.transform import STEP_MIDDLE, UP_REACH, Transform
from bitcodec.models.layers.halo import NO_HALO, Halo, crop_halo


@dataclass(frozen=True)
class SparseLatents:
    """Latents (C, h, w) by position.

    Attributes:
        channels: int64 (n,), of the latents that are not 0, position after position.
        values: float32 (n,).
        starts: int64 (h w + 1,), where in these a position's begin and, at last, where all end.
        shape: (h, w).
    """

    channels: Tensor
    values: Tensor
    starts: Tensor
    shape: tuple[int, int]

    @classmethod
    def of(cls, latents: np.ndarray, device: torch.device) -> SparseLatents:
        """From integers (C, h, w)."""
        _, h, w = latents.shape
        where = np.flatnonzero(latents)
        channels, at = np.divmod(where, h * w)
        # NumPy sorts 16-bit integers in linear time.
        order = np.argsort(at.astype(np.uint16) if h * w <= 1 << 16 else at, kind="stable")
        counts = np.bincount(at, minlength=h * w)
        values = latents.ravel().take(where.take(order)).astype(np.float32)
        return cls(
            torch.from_numpy(channels.take(order)).to(device),
            torch.from_numpy(values).to(device),
            torch.from_numpy(np.append(0, np.cumsum(counts))).to(device),
            (h, w),
        )

    def cropped(self, now: Halo, wanted: Halo) -> SparseLatents:
        """Without the positions that a narrower halo leaves out."""
        if now == wanted:
            return self
        h, w = self.shape
        counts = self.starts.diff()
        kept = torch.zeros(1, 1, h, w, dtype=torch.bool, device=counts.device)
        inside = crop_halo(kept, now, wanted, 1)
        inside.fill_(True)
        mask = kept.flatten()
        some = torch.repeat_interleave(mask, counts, output_size=len(self.channels))
        starts = F.pad(counts[mask].cumsum(0), (1, 0))
        shape = (inside.shape[2], inside.shape[3])
        return SparseLatents(self.channels[some], self.values[some], starts, shape)

    def times(self, values: Tensor, table: Tensor) -> Tensor:
        """The sum of values (n,) times their channels' rows of a table (C, O): (h w, O)."""
        return F.embedding_bag(
            self.channels,
            table,
            self.starts,
            mode="sum",
            per_sample_weights=values,
            include_last_offset=True,
        )


class SparseSynthesis:
    """Tables made of a transform's parameters, which must not change any more.

    Args:
        transform: on the device, and of the precision, that it is to be used with.
    """

    def __init__(self, transform: Transform) -> None:
        self.transform = t = transform
        first, last = cast(nn.Conv2d, t.synthesis_trunk[0]), cast(nn.Conv2d, t.synthesis_trunk[-1])
        # Columns in the order of `latents_to_unshuffled4`: 4 rows, 4 columns, 48 channels.
        kernels = t.synthesis_kernels.reshape(-1, 3, 4, 4, 4, 4).permute(0, 2, 4, 1, 3, 5)
        kernels = kernels.reshape(len(t.synthesis_kernels), -1)
        self.enter = first.weight[:, :-1, 0, 0].t().contiguous()
        self.of_step = first.weight[:, -1, 0, 0]
        self.enter_bias = cast(Tensor, first.bias)
        self.kernels = kernels
        self.small = torch.bfloat16 if t.use_bfloat16 else torch.float32
        self.last, self.last_bias = last.weight[:, :, 0, 0].t(), cast(Tensor, last.bias)

    def parts(
        self, latents: SparseLatents, step: float, halo: Halo = NO_HALO
    ) -> tuple[Tensor, Tensor]:
        """As :meth:`Transform.synthesize_parts`, of one picture."""
        t = self.transform
        near = halo.at_most(UP_REACH[1])
        bias = self.enter_bias + self.of_step * math.log(step / STEP_MIDDLE)
        x = latents.times(torch.asinh(latents.values), self.enter).add_(bias)
        x = x.to(self.small).view(1, *latents.shape, -1).permute(0, 3, 1, 2)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=t.use_bfloat16):
            h = t.synthesis_trunk[1:-1](x)
            x1 = self._blocks(latents.cropped(halo, near), crop_halo(h, halo, near, 1), step)
            correction = t.up(h, x1, halo)
        return crop_halo(x1, near, NO_HALO, 4), correction

    def _blocks(self, latents: SparseLatents, h: Tensor, step: float) -> Tensor:
        """The block transform of latents and the trunk's features: (1, 48, 4 h, 4 w)."""
        rows, columns = latents.shape
        of_step = torch.full((1, 1, 1, 1), step, device=h.device, dtype=self.kernels.dtype)
        gain = step * torch.exp(-self.transform.log_gain(of_step)).flatten()
        x = latents.times(latents.values * gain[latents.channels], self.kernels)
        after = len(self.transform.log_gains) == 1  # see Transform.synthesize_parts
        kernels = self.kernels * (step if after else gain[:, None])
        leave = (self.last @ kernels).to(self.small)
        x.add_(h.permute(0, 2, 3, 1).reshape(len(x), -1).to(self.small) @ leave)
        x.add_(self.last_bias @ kernels)
        lines = x.view(rows, columns, 4, 4 * 48).transpose(1, 2)
        return lines.reshape(1, 4 * rows, 4 * columns, 48).permute(0, 3, 1, 2)
