"""The order in which `ladder` codes its latents: frequency groups, then passes over space.

768 channels: 256 luma and 2 x 256 chroma frequencies of a 16x16 block, in zigzag order within
bands; a group is one band of one colour kind. Luma comes before chroma of the same band, so that
each group is predicted from everything coarser.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Group:
    """One band of luma or of both chromas.

    Attributes:
        start: first channel.
        stop: one past the last channel.
        passes: over its positions, see :func:`pass_of`.
    """

    start: int
    stop: int
    passes: int

    @property
    def size(self) -> int:
        """Channels in the group."""
        return self.stop - self.start


# (luma?, first zigzag index, one past the last, passes)
_BANDS = (
    (True, 0, 1, 5),
    (False, 0, 1, 5),
    (True, 1, 3, 2),
    (True, 3, 6, 2),
    (False, 1, 3, 2),
    (True, 6, 10, 2),
    (False, 3, 6, 1),
    (True, 10, 20, 2),
    (False, 6, 10, 1),
    (True, 20, 36, 1),
    (False, 10, 20, 1),
    (True, 36, 64, 1),
    (False, 20, 36, 1),
    (True, 64, 120, 1),
    (False, 36, 64, 1),
    (True, 120, 256, 1),
    (False, 64, 120, 1),
    (False, 120, 256, 1),
)


def _groups() -> tuple[Group, ...]:
    groups, start = [], 0
    for luma, low, high, passes in _BANDS:
        stop = start + (high - low) * (1 if luma else 2)
        groups.append(Group(start, stop, passes))
        start = stop
    return tuple(groups)


GROUPS = _groups()
CHANNELS = GROUPS[-1].stop  #: 768


def pass_of(passes: int, i: Any, j: Any) -> Any:
    """Which pass codes the latents of row i, column j (integers, or arrays of them).

    One pass: all at once. Two: those with i + j even first. More are a hierarchy: those with both
    even in all passes but two, as if there were no others; then both odd; then the rest.
    """
    if passes < 3:
        return (i + j) % passes
    even = (1 - i % 2) * (1 - j % 2)
    return even * pass_of(passes - 2, i // 2, j // 2) + (1 - even) * (passes - 2 + (i + j) % 2)


def pass_map(passes: int, h: int, w: int) -> np.ndarray:
    """:func:`pass_of` every position: int64 (h, w) in 0..passes-1."""
    return np.asarray(pass_of(passes, *np.indices((h, w))))


@lru_cache(32)
def positions(passes: int, h: int, w: int) -> tuple[np.ndarray, ...]:
    """The positions of each pass, in raster order: int64, up to (h w,)."""
    which = pass_map(passes, h, w).ravel()
    return tuple(np.flatnonzero(which == p) for p in range(passes))


def colour_of_channels() -> np.ndarray:
    """0 for luma, 1 and 2 for the chromas: int64 (768,)."""
    return _channel_table()[0]


def frequency_of_channels() -> np.ndarray:
    """Vertical and horizontal DCT frequency of each channel: int64 (768, 2)."""
    return _channel_table()[1]


def zigzag() -> list[tuple[int, int]]:
    """(i, j) of the 256 frequencies: by i + j, then by i where that is odd and by j where even."""
    pairs = [(i, j) for i in range(16) for j in range(16)]
    return sorted(pairs, key=lambda p: (p[0] + p[1], p[0] if (p[0] + p[1]) % 2 else p[1]))


def low_groups(reduce: int) -> int:
    """How many groups, from the first, a picture at 1/reduce of its size needs (2, 4, 8, 16).

    Those with the luma frequencies below 16 / reduce both ways, and the chroma group that comes
    after them; the frequencies beyond average out.
    """
    edge = 16 // reduce
    highest = max(k for k, (i, j) in enumerate(zigzag()) if i < edge and j < edge)
    return 2 + next(n for n, (luma, _, high, _) in enumerate(_BANDS) if luma and high > highest)


def _channel_table() -> tuple[np.ndarray, np.ndarray]:
    order = zigzag()
    colour: list[int] = []
    frequency: list[tuple[int, int]] = []
    for luma, low, high, _ in _BANDS:
        for c in (0,) if luma else (1, 2):
            colour += [c] * (high - low)
            frequency += order[low:high]
    return np.array(colour), np.array(frequency)
