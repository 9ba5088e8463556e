"""Layers over a large area a block at a time: so memory is bounded, and stays in the cache."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from bitcodec.format.tiling import STRIDE
from bitcodec.models.layers.halo import NO_HALO, Halo, crop_halo

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

A = TypeVar("A", "np.ndarray", "Tensor")


def in_blocks(
    layers: Callable[[A], A],
    x: A,
    per_latent: tuple[int, int],
    around: int,
    block: int,
    join: Callable[..., A],
) -> A:
    """``layers(x)``, but for the order of additions.

    Args:
        layers: read no more than ``around`` latents around those of a block.
        x: (N, C, H, W).
        per_latent: positions a latent of what goes in and of what comes out.
        around: see layers.
        block: edge in pixels.
        join: ``np.concatenate`` or ``torch.cat``: a list along an axis.
    """
    before, after = per_latent
    height, width = (edge // before for edge in x.shape[-2:])
    rows, edge = [], block // STRIDE
    for top in range(0, height, edge):
        row = []
        for left in range(0, width, edge):
            far = Halo(left, top, max(0, width - left - edge), max(0, height - top - edge))
            near = far.at_most(around)
            row.append(crop_halo(layers(crop_halo(x, far, near, before)), near, NO_HALO, after))
        rows.append(join(row, 3))
    return join(rows, 2)
