"""Colours for pixels that nobody sees, chosen so that they cost few bytes.

Under an alpha of 0 a picture may hold anything: noise there costs bytes and bleeds into what is
seen. So the colours of the neighbours are spread into it, by a pyramid (pull-push; Gortler et al.
1996, "The Lumigraph", section 3.4).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["fill_invisible"]

Array = npt.NDArray[Any]
_BAND = 1 << 22  # pixels at a time: they take some 40 bytes each
_BESIDE = 64  # rows of the band before, which the next one goes on from


def fill_invisible(
    rgb: npt.NDArray[np.uint8], alpha: npt.NDArray[np.uint8]
) -> npt.NDArray[np.uint8]:
    """The picture with smooth colours where alpha is 0.

    Args:
        rgb: uint8 (H, W, 3).
        alpha: uint8 (H, W), 0 is invisible.

    Returns:
        uint8 (H, W, 3): ``rgb`` itself where all or nothing can be seen.
    """
    seen = alpha > 0
    if seen.all() or not seen.any():
        return rgb
    out: npt.NDArray[np.uint8] = rgb.copy()
    height, width = seen.shape
    rows = max(_BESIDE, _BAND // width)
    first = int(seen.any(1).argmax()) // rows * rows  # of the first band with something to see
    for y in range(first, height, rows):
        own = slice(max(0, y - _BESIDE) if y > first else y, y + rows)
        _fill(out[own], seen[own])
        seen[own] = True
    for y in range(first - rows, -1, -rows):
        own = slice(y, y + rows + _BESIDE)
        _fill(out[own], seen[own])
        seen[own] = True
    return out


def _fill(rgb: npt.NDArray[np.uint8], seen: npt.NDArray[np.bool_]) -> None:
    """Write smooth colours where nothing is seen; something is."""
    sums = _halve((rgb * seen[..., None]).astype(np.uint16)).astype(np.float32)
    counts = _halve(seen[..., None].astype(np.uint16)).astype(np.float32)
    smooth = _double(_spread(sums, counts), seen.shape)
    rgb[~seen] = np.round(smooth[~seen]).astype(np.uint8)


def _spread(sums: Array, counts: Array) -> Array:
    """Sums of colours (h, w, 3) and how many (h, w, 1) to means, spread to where there are none."""
    means = sums / np.maximum(counts, 1)
    if not counts.all():
        smooth = _double(_spread(_halve(sums), _halve(counts)), counts.shape[:2])
        means = np.where(counts > 0, means, smooth)
    return means


def _halve(x: Array) -> Array:
    """Sums of 2x2 pixels; at an odd border of fewer."""
    h, w = x.shape[:2]
    x = np.pad(x, ((0, h % 2), (0, w % 2), (0, 0)))
    x = x[::2] + x[1::2]
    halved: Array = x[:, ::2] + x[:, 1::2]
    return halved


def _double(x: Array, shape: tuple[int, ...]) -> Array:
    """Twice the size, linear between the centres, cut to a shape (h, w)."""
    for axis in (0, 1):
        edge = [(1, 1) if axis == n else (0, 0) for n in range(3)]
        near = np.pad(x, edge, mode="edge")
        n = x.shape[axis]
        before, after = (np.take(near, range(at, at + n), axis) for at in (0, 2))
        pair = np.stack([0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after], axis + 1)
        x = pair.reshape(*x.shape[:axis], 2 * n, *x.shape[axis + 1 :])
    return x[: shape[0], : shape[1]]
