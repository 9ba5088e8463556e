"""The residual block that both families use at their coarse strides."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from bitcodec.models.layers.depthwise import Depthwise


class DepthwiseBlock(nn.Module):
    """Depthwise, 1x1 to twice the channels, GELU or ReLU, 1x1 back, plus the input.

    Args:
        channels: in and out.
        std: standard deviation of the last layer's initial weights; 0 starts as the identity.
        relu: ReLU, which costs nothing in int8, in the place of GELU.
        edge: of the depthwise kernels, odd.
    """

    def __init__(self, channels: int, std: float = 0.0, relu: bool = False, edge: int = 5) -> None:
        super().__init__()
        self.activate = F.relu if relu else F.gelu
        self.dw = Depthwise(channels, edge)
        self.a = nn.Conv2d(channels, 2 * channels, 1)
        self.b = nn.Conv2d(2 * channels, channels, 1)
        nn.init.normal_(self.b.weight, std=std)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) to the same shape."""
        out: Tensor = self.b(self.activate(self.a(self.dw(x))))
        return out.add_(x)  # no gradient needs what a convolution put out
