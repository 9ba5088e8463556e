"""How large the numbers inside a transform get: the ranges of its int8 form."""

from __future__ import annotations

import re

import numpy as np
import torch
from torch import Tensor, nn

from bitcodec.models.ladder.pixel_paths import ResidualConv
from bitcodec.models.ladder.transform import Transform
from bitcodec.models.layers.residual_block import DepthwiseBlock
from bitcodec.models.layers.stored_names import stored_name

__all__ = ["measure_ranges"]

_SAMPLE = 2**14  #: of so many numbers at the least
_KEPT = 0.8  #: of a range: what is clipped costs less than coarser units would
_OUTLIERS = 1e-4  #: share of the numbers that may be larger


@torch.no_grad()
def measure_ranges(
    transform: Transform, batches: list[tuple[Tensor, Tensor]]
) -> dict[str, np.ndarray]:
    """The largest magnitudes of the channels that layers put out, but for one number in 10^4.

    Args:
        transform: in float32.
        batches: pixels (1, 3, 16 h, 16 w) in 0..255 and steps (1, 1, 1, 1).

    Returns:
        float32 (C,) by the names, in files, of convolutions, blocks and taps. After a ReLU only
        numbers above 0 count.
    """
    ranges: dict[str, Tensor] = {}

    def watch(name: str, module: nn.Module) -> torch.utils.hooks.RemovableHandle:
        positive = bool(re.search(r"\.f\.0$|^(fs|up\.u8|up\.body)\.\d\.a$", name))

        def hook(_: nn.Module, __: tuple[Tensor, ...], out: Tensor) -> None:
            rows = (out.clamp_min(0) if positive else out.abs()).transpose(0, 1).flatten(1)
            rows = rows[:, :: 1 + rows.shape[1] // _SAMPLE]
            count = max(1, round(_OUTLIERS * rows.shape[1]))
            largest = torch.topk(rows, count).values[:, -1]
            ranges[name] = torch.maximum(ranges.get(name, largest), largest)

        return module.register_forward_hook(hook)

    kinds = (nn.Conv2d, nn.Identity, ResidualConv, DepthwiseBlock)
    modules = [
        (stored_name(transform, name), module)
        for name, module in transform.named_modules()
        if isinstance(module, kinds)
    ]
    handles = [watch(name, module) for name, module in modules]
    for x, step in batches:
        transform.synthesize(torch.round(transform.analyze(x, step)), step)
    for handle in handles:
        handle.remove()
    return {name: (_KEPT * value).float().cpu().numpy() for name, value in ranges.items()}
