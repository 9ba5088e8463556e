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
        self.shape, self.edge = (h, w), edge
        radius = edge // 2
        tall, self.wide = h + 2 * radius, w + 2 * radius
        self.values = np.full((tall, self.wide, channels), ZERO, np.uint8)
        self._marked = np.zeros((tall, self.wide), bool)
        inner = slice(radius, radius + h), slice(radius, radius + w)
        self._inner, self._inner_marked = self.values[inner], self._marked[inner]

    def put(self, at: np.ndarray | None, where: np.ndarray, values: np.ndarray) -> None:
        """Set some of the latents at positions.

        Args:
            at: the positions (n,), in raster order; None for all.
            where: which, (k,), of (n, C), flattened.
            values: bytes (k,).
        """
        h, w, channels = self._inner.shape
        count = h * w if at is None else len(at)
        block = np.full((count, channels), ZERO, np.uint8)
        block.ravel()[where] = values
        marked = np.zeros(count, bool)
        marked[where // channels if len(where) < count else slice(None)] = True
        if at is None:
            self._inner[:] = block.reshape(h, w, channels)
            self._inner_marked[:] = marked.reshape(h, w)
        else:
            i, j = np.divmod(at, w)
            self._inner[i, j], self._inner_marked[i, j] = block, marked

    def around(self) -> np.ndarray | None:
        """Positions, in raster order, whose patches may not be all zeros; None for all."""
        h, w = self.shape
        rows = np.zeros((h, self.wide), bool)
        for y in range(self.edge):
            rows |= self._marked[y : y + h]
        out = np.zeros((h, w), bool)
        for x in range(self.edge):
            out |= rows[:, x : x + w]
        where = np.flatnonzero(out)
        return None if len(where) > _SPARSE * h * w else where

    def patches(self, where: np.ndarray | None) -> np.ndarray:
        """What is around positions, None for all: uint8 (n, k k C)."""
        (h, w), edge = self.shape, self.edge
        size = edge * self.values.shape[2]
        if where is None:
            steps = *self.values.strides[:2], *self.values.strides[::2]
            windows = np.ndarray((h, w, edge, size), np.uint8, self.values, 0, steps)
            return np.asarray(windows.reshape(h * w, -1))
        i, j = np.divmod(where, w)
        window = (np.arange(edge)[:, None] * self.wide + np.arange(edge)).ravel()
        rows = ((i * self.wide + j)[:, None] + window).ravel()
        found = self.values.reshape(-1, self.values.shape[2]).take(rows, 0)
        return np.asarray(found.reshape(len(where), -1))
