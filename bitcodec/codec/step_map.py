"""Where in a picture the step is finer or coarser: from a mask of what matters."""

from __future__ import annotations

import numpy as np
from PIL import Image

from bitcodec.format.tiling import STRIDE, Tiling
from bitcodec.models.base import LARGEST_OFFSET, MAP_BLOCK

__all__ = ["NEUTRAL", "mask_offsets"]

NEUTRAL = 128  #: the grey of a mask at which nothing changes


def mask_offsets(mask: np.ndarray, tiling: Tiling) -> np.ndarray:
    """Offsets of steps: 0 at grey 128 of the mask, -8 (half the step) at 255, 8 (double) at 0.

    Args:
        mask: uint8 (H, W), of any size: it is resized to the picture's.
        tiling: of the picture.

    Returns:
        int16 (h, w), one for each latent, the same in each block of 64x64 pixels of a tile.
    """
    size = tiling.width, tiling.height
    if mask.shape != size[::-1]:
        mask = np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.BILINEAR))
    means = block_means(latent_means(mask), tiling)
    offsets = np.rint((NEUTRAL - means) * (LARGEST_OFFSET / NEUTRAL))
    return offsets.astype(np.int16)


def latent_means(samples: np.ndarray) -> np.ndarray:
    """Means over the 16x16 pixels of each latent: (H, W) to float64 (h, w)."""
    h, w = samples.shape
    ys, xs = np.arange(0, h, STRIDE), np.arange(0, w, STRIDE)
    return _means(samples, ys, xs)


def block_means(values: np.ndarray, tiling: Tiling) -> np.ndarray:
    """Each latent's value (h, w) replaced by the mean of its block of the step map."""
    tile, block = tiling.tile // STRIDE, MAP_BLOCK // STRIDE
    starts, sizes = [], []
    for count in values.shape:
        at = [
            start
            for first in range(0, count, tile)
            for start in range(first, min(first + tile, count), block)
        ]
        starts.append(np.array(at))
        sizes.append(np.diff([*at, count]))
    return _means(values, *starts).repeat(sizes[0], 0).repeat(sizes[1], 1)


def _means(values: np.ndarray, ys: np.ndarray, xs: np.ndarray) -> np.ndarray:
    """Means over the rectangles that begin at rows ys and columns xs: float64."""
    sums = np.add.reduceat(np.add.reduceat(values, ys, 0, dtype=np.float64), xs, 1)
    h, w = values.shape
    return np.asarray(sums / (np.diff([*ys, h])[:, None] * np.diff([*xs, w])))
