"""The depthwise convolution whose gradients are computed another way."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from bitcodec.models.layers.depthwise import Depthwise


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("frozen", [False, True])
def test_gradients_are_those_of_torch(kernel: int, frozen: bool) -> None:
    torch.manual_seed(0)
    layer = Depthwise(7, kernel).double()
    layer.weight.requires_grad_(not frozen)
    x = torch.randn(2, 7, 6, 9, dtype=torch.double, requires_grad=True)
    weight = torch.randn(2, 7, 6, 9, dtype=torch.double)
    wanted = [t for t in (x, layer.weight, layer.bias) if t is not None and t.requires_grad]
    out = layer(x)
    expected = F.conv2d(x, layer.weight, layer.bias, padding=kernel // 2, groups=7)
    torch.testing.assert_close(out, expected)
    ours = torch.autograd.grad((weight * out).sum(), wanted)
    theirs = torch.autograd.grad((weight * expected).sum(), wanted)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)


def test_under_autocast_it_is_in_bfloat16() -> None:
    layer = Depthwise(4, 5)
    x = torch.randn(1, 4, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        out = layer(x)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.float(), nn.Conv2d.forward(layer, x), rtol=0.05, atol=0.05)
    out.float().sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.dtype == torch.float32
