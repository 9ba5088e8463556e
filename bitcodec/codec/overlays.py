"""Overlays: parts of a tile that are kept exactly, pasted over what the networks make of it."""

from __future__ import annotations

import numpy as np

from bitcodec.codec.parallel import side_by_side
from bitcodec.codec.tiles import Tiles
from bitcodec.format.tiling import Box

__all__ = ["paste_overlays"]


def paste_overlays(rgb: np.ndarray, tiles: Tiles, box: Box, reduce: int) -> None:
    """Write the overlays of the tiles that a box touches over its pixels.

    Args:
        rgb: uint8 (height, width, 3), of the size of ``box.reduced(reduce)``; changed in place.
        tiles: of the file.
        box: in pixels of the full picture, inside it.
        reduce: 1, 2, 4, 8 or 16. Of a square that is covered in part, the share counts.
    """
    small = box.reduced(reduce)

    def paste(index: int) -> None:
        overlay = tiles.overlay(index)
        if overlay is None:
            return
        whole = tiles.tiling.box(index)
        part = whole.clipped(box).reduced(reduce)
        cut = overlay[part.enlarged(reduce).clipped(whole).within(whole)]
        target = rgb[part.within(small)]
        if reduce == 1:
            shown = cut[..., 3] > 0
            target[shown] = cut[shown, :3]
        else:
            target[:] = _mixed(target, cut, reduce)

    touching = tiles.tiling.touching(box)
    side_by_side(paste, [index for index in touching if tiles.source.has_overlay(index)])


def _mixed(below: np.ndarray, overlay: np.ndarray, reduce: int) -> np.ndarray:
    """Means over squares of an overlay (H, W, 4) over the means (h, w, 3) of what is below."""
    pad = [(0, -n % reduce) for n in overlay.shape[:2]] + [(0, 0)]
    padded = np.pad(overlay, pad, mode="edge")
    h, w = below.shape[:2]
    shown = padded[..., 3:] > 0
    squares = np.concatenate((padded[..., :3] * shown, shown), 2).reshape(h, reduce, w, reduce, 4)
    sums = squares.sum((1, 3), dtype=np.uint32)
    area = reduce * reduce
    total = sums[..., :3] + below * (area - sums[..., 3:])
    return np.asarray((total + area // 2) // area, np.uint8)
