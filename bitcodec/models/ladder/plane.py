"""The decoded latents of a group, as the context model's convolutions read them."""

from __future__ import annotations

import numpy as np

__all__ = ["ZERO", "Plane"]

ZERO = 128  #: what is added to signed bytes
_SPARSE = 0.7  # with fewer positions than that to add to, the others are left out


class Plane:
    """Companded latents of a group as bytes, with zeros around them.

    Args:
        h: rows.
        w: columns.
        channels: of the group.
        edge: of the patches.
    """

    def __init__(self, h: int, w: int, channels: int, edge: int) -> None:
        self.shape, self.edge, self.radius = (h, w), edge, edge // 2
        self.wide = w + 2 * self.radius
        tall = h + 2 * self.radius
        self.values = np.full((tall * self.wide, channels), ZERO, np.uint8)
        self.marked = np.zeros((tall, self.wide), bool)

    def put(self, at: np.ndarray, channels: np.ndarray, values: np.ndarray) -> None:
        """Set latents, by position in raster order and channel, to bytes."""
        i, j = np.divmod(at, self.shape[1])
        at = (i + self.radius) * self.wide + j + self.radius
        self.values[at, channels] = values
        self.marked.ravel()[at] = True

    def around(self) -> np.ndarray:
        """Positions, in raster order, whose patches are not all zeros; all where most are not."""
        h, w = self.shape
        rows = np.zeros((h, self.wide), bool)
        for y in range(self.edge):
            rows |= self.marked[y : y + h]
        out = np.zeros((h, w), bool)
        for x in range(self.edge):
            out |= rows[:, x : x + w]
        where = np.flatnonzero(out)
        return np.arange(h * w) if len(where) > _SPARSE * h * w else where

    def patches(self, where: np.ndarray) -> np.ndarray:
        """What is around positions: uint8 (n, k k C)."""
        i, j = np.divmod(where, self.shape[1])
        window = (np.arange(self.edge)[:, None] * self.wide + np.arange(self.edge)).ravel()
        rows = ((i * self.wide + j)[:, None] + window).ravel()
        return np.asarray(self.values.take(rows, 0).reshape(len(where), -1))
