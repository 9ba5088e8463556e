"""Fewer colours where a drawing has edges, so that it costs fewer bytes without loss.

The soft edge of a line or letter has a hundred shades, which cost most of a drawing's bytes and
which nobody tells apart. Areas of one colour, and gradients away from edges, stay as they are.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["posterize"]

_SMOOTH = 8  # levels to each neighbour, at most, away from edges


def posterize(
    rgb: npt.NDArray[np.uint8], step: float, where: npt.NDArray[np.bool_]
) -> npt.NDArray[np.uint8]:
    """The picture with about ``255 / step`` levels a channel at edges.

    Colours are put into cells of ``step`` levels each way. All of a cell become its most frequent
    colour, if half of them have it, or else their mean; so areas beside an edge keep theirs.

    Args:
        rgb: uint8 (H, W, 3).
        step: levels between one level and the next, more than 0.
        where: bool (H, W), what may be changed.
    """
    changed = where & ~_smooth(rgb)
    samples = rgb[changed].astype(np.uint32)
    steps = max(1, round(255 / step))
    cell = _keys(np.rint(samples * (steps / 255)).astype(np.uint32))
    keys, index, counts = np.unique(_keys(samples), return_inverse=True, return_counts=True)
    colours = keys[:, None] >> np.array((0, 8, 16), np.uint32) & 255
    cells, cell_of_pixel = np.unique(cell, return_inverse=True)
    cell_of_colour = np.empty(len(keys), np.intp)
    cell_of_colour[index] = cell_of_pixel
    total = np.bincount(cell_of_colour, counts)
    means = [np.bincount(cell_of_colour, counts * colours[:, c]) / total for c in range(3)]
    chosen = np.rint(np.stack(means, 1)).astype(np.uint8)
    most = np.empty(len(cells), np.intp)
    order = np.argsort(counts, kind="stable")
    most[cell_of_colour[order]] = order  # the last one stays
    frequent = 2 * counts[most] >= total
    chosen[frequent] = colours[most[frequent]]
    out: npt.NDArray[np.uint8] = rgb.copy()
    out[changed] = chosen[cell_of_pixel]
    return out


def _keys(samples: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """One number for each of the colours (N, 3)."""
    red, green, blue = samples.T
    keys: npt.NDArray[np.uint32] = red | green << np.uint32(8) | blue << np.uint32(16)
    return keys


def _smooth(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Whether a pixel and its 8 neighbours differ by little from each of theirs."""
    calm = np.ones(rgb.shape[:2], bool)
    for pixels, flags in ((rgb, calm), (rgb.swapaxes(0, 1), calm.T)):
        one, other = pixels[:-1], pixels[1:]
        near = (np.maximum(one, other) - np.minimum(one, other) <= _SMOOTH).all(2)
        flags[:-1] &= near
        flags[1:] &= near
    padded = np.pad(calm, 1, mode="edge")
    rows = padded[:-2] & padded[1:-1] & padded[2:]
    around: npt.NDArray[np.bool_] = rows[:, :-2] & rows[:, 1:-1] & rows[:, 2:]
    return around
