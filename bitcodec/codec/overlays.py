"""Overlays: parts of a tile that are kept exactly, pasted over what the networks make of it."""

from __future__ import annotations

import numpy as np

from bitcodec.codec.parallel import side_by_side
from bitcodec.codec.region import GREY
from bitcodec.codec.tiles import Missing
from bitcodec.errors import ContainerError
from bitcodec.format.container import Source
from bitcodec.format.tiling import Box
from bitcodec.picture.overlay import decode_overlay

__all__ = ["Overlays"]


class Overlays:
    """Pastes the overlays of a file; needs no network.

    Args:
        source: of the file.
        missing: "error" raises ContainerError for an overlay that is not valid; with "fill" it is
            lost, and left out.

    Attributes:
        lost: numbers of the overlays that were found to be lost.
    """

    def __init__(self, source: Source, missing: Missing) -> None:
        self.source, self.missing = source, missing
        self.tiling = source.header.tiling
        self.lost: set[int] = set()

    def paste(self, rgb: np.ndarray, box: Box, reduce: int) -> None:
        """Write the overlays of the tiles that a box touches over its pixels.

        Args:
            rgb: uint8 (height, width, 3), of the size of ``box.reduced(reduce)``; it is changed.
            box: in pixels of the full picture, inside it.
            reduce: 1, 2, 4, 8 or 16. Of a square that is covered in part, the share counts.
        """
        small = box.reduced(reduce)

        def paste(index: int) -> None:
            overlay, whole = self._read(index), self.tiling.box(index)
            part = whole.clipped(box).reduced(reduce)
            target = rgb[part.within(small)]
            if overlay is None:
                if not self.source.has_payload(index):
                    target[:] = GREY
                return
            cut = overlay[part.enlarged(reduce).clipped(whole).within(whole)]
            if reduce == 1:
                shown = cut[..., 3] > 0
                target[shown] = cut[shown, :3]
            else:
                target[:] = _mixed(target, cut, reduce)

        touching = self.tiling.touching(box)
        side_by_side(paste, [index for index in touching if self.source.has_overlay(index)])

    def _read(self, index: int) -> np.ndarray | None:
        """uint8 (height, width, 4), alpha 0 or 255; None where it is lost."""
        height, width = self.tiling.box(index).shape
        try:
            data = self.source.overlay(index)
            try:
                overlay = decode_overlay(data, width, height)
                if not self.source.has_payload(index) and not overlay[..., 3].all():
                    raise ContainerError("it has holes, and there is nothing below them")
                return overlay
            except ContainerError as error:
                raise ContainerError(f"overlay {index}: {error}") from None
        except ContainerError:
            if self.missing == "error":
                raise
            self.lost.add(index)
            return None


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
