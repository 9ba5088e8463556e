"""The pixel paths of `ladder`'s transforms: what they do at strides 4 and 8."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bitcodec.models.ladder.config import LadderConfig
from bitcodec.models.layers.halo import NO_HALO, Halo, crop_halo
from bitcodec.models.layers.residual_block import DepthwiseBlock

__all__ = ["UP_REACH", "PixelDown", "PixelUp", "ResidualConv", "taps", "zero"]

UP_REACH = (2, 2)  #: latents that the pixel path of g_s reads around its own, at stride 8 and at 4


class ResidualConv(nn.Module):
    """3x3, ReLU, 3x3, plus the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        last = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.normal_(last.weight, std=1e-3)
        first = nn.Conv2d(channels, channels, 3, padding=1)
        self.f = nn.Sequential(first, nn.ReLU(inplace=True), last)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) to the same shape."""
        out: Tensor = self.f(x)
        return out.add_(x)  # no gradient needs what a convolution put out


def zero(conv: nn.Conv2d) -> nn.Conv2d:
    """With weights and biases of 0."""
    nn.init.zeros_(conv.weight)
    nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
    return conv


def taps(*names: str) -> nn.ModuleDict:
    """Where a hook may watch, or change, what passes between layers."""
    return nn.ModuleDict({name: nn.Identity() for name in names})


class PixelDown(nn.Module):
    """The pixel path of g_a: (N, 3, 16 h, 16 w) to (N, width, h, w)."""

    def __init__(self, config: LadderConfig) -> None:
        super().__init__()
        at4, at8 = config.pixels
        self.d4 = nn.Sequential(
            nn.Conv2d(48, at4, 3, padding=1),
            *(ResidualConv(at4) for _ in range(config.down[0])),
            nn.PixelUnshuffle(2),
            nn.Conv2d(4 * at4, at8, 1),
            *(ResidualConv(at8) for _ in range(config.down[1])),
            nn.PixelUnshuffle(2),
            nn.Conv2d(4 * at8, config.width, 1),
        )

    def load_shorter(self, other: PixelDown) -> None:
        """Take the parameters of a path with as many residual blocks or fewer.

        Blocks that the other has not stay as they are: nearly the identity when they are new.
        """
        theirs = list(other.d4)
        for mine in self.d4:
            if isinstance(mine, ResidualConv) and not isinstance(theirs[0], ResidualConv):
                continue
            mine.load_state_dict(theirs.pop(0).state_dict())

    def forward(self, x: Tensor) -> Tensor:
        """x is centred, about -2..2."""
        unshuffled4 = F.pixel_unshuffle(x, 4).contiguous(memory_format=torch.channels_last)
        out: Tensor = self.d4(unshuffled4)
        return out


class PixelUp(nn.Module):
    """The pixel path of g_s: (N, width, h, w) and x1 to a correction of x1."""

    def __init__(self, config: LadderConfig) -> None:
        super().__init__()
        at4, at8 = config.pixels
        self.u8 = nn.Sequential(
            nn.Conv2d(config.width, 4 * at8, 1),
            nn.PixelShuffle(2),
            DepthwiseBlock(at8, std=1e-3, relu=True),
            DepthwiseBlock(at8, std=1e-3, relu=True),
        )
        self.u4 = nn.Sequential(nn.Conv2d(at8, 4 * at4, 1), nn.PixelShuffle(2))
        self.inp = nn.Conv2d(48, at4, 3, padding=1)
        body = (DepthwiseBlock(at4, std=1e-3, relu=True, edge=3) for _ in range(3))
        self.body = nn.Sequential(*body)
        self.out = zero(nn.Conv2d(at4, 48, 3, padding=1))
        self.taps = taps("inp", "sum")

    def forward(self, h: Tensor, x1: Tensor, halo: Halo = NO_HALO) -> Tensor:
        """The correction of x1; both are pixel-unshuffled, (N, 48, 4 h, 4 w).

        h comes with the halo, x1 with as much of it as :data:`UP_REACH` leaves, and what is
        returned without.
        """
        far, near = halo.at_most(sum(UP_REACH)), halo.at_most(UP_REACH[1])
        at8 = self.u8(crop_halo(h, halo, far, 1))
        seen = self.taps["inp"](F.conv2d(x1, self.inp.weight / 128, self.inp.bias, padding=1))
        at4 = self.taps["sum"](self.u4(crop_halo(at8, far, near, 2)) + seen)
        out: Tensor = self.out(self.body(at4))
        return crop_halo(out, near, NO_HALO, 4)
