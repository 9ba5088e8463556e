"""Step maps: a step of its own for each block of 64x64 pixels of a tile.

A map has a whole number m in -8..8 a block, by which the step code grows: 128 m, so the step is
multiplied by 2 ** (m / 8). A payload begins with it. Each m is predicted from the blocks to the
left and above, and the difference is coded by adaptive decisions.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bitcodec.entropy.rangecoder import UNIT, DecisionDecoder, DecisionEncoder
from bitcodec.errors import ContainerError
from bitcodec.models.base import LARGEST_OFFSET
from bitcodec.models.ladder.channels import CHANNELS
from bitcodec.models.ladder.steps import HIGHEST_STEP, LOWEST_STEP, STEP_CODES, code_of_step

__all__ = ["blocks_of", "codes_in", "codes_of", "get_map", "put_map", "with_offsets"]

_ERROR = "a step of a map is out of range"
BLOCK = 4  #: latents of a block, each way
_CODES = STEP_CODES // LARGEST_OFFSET  #: step codes of one unit of a map


def codes_of(rate: int, offsets: np.ndarray) -> np.ndarray:
    """Step codes of positions: int64, the shape of ``offsets``, kept to legal rates."""
    codes = rate + _CODES * offsets.astype(np.int64)
    return codes.clip(code_of_step(LOWEST_STEP), code_of_step(HIGHEST_STEP))


def codes_in(latents: np.ndarray, rate: int) -> int | np.ndarray:
    """The step codes (h, w) of latents with offsets, (769, h, w); of others the rate itself."""
    return codes_of(rate, latents[CHANNELS]) if len(latents) > CHANNELS else rate


def with_offsets(latents: np.ndarray, offsets: np.ndarray | None) -> np.ndarray:
    """Latents (768, h, w) with offsets (h, w), if any, as one more plane of their type."""
    if offsets is None:
        return latents
    out = np.empty((*latents.shape[1:], len(latents) + 1), latents.dtype)  # channels fastest
    out[..., :-1], out[..., -1] = latents.transpose(1, 2, 0), offsets
    return np.asarray(out.transpose(2, 0, 1))


def blocks_of(offsets: np.ndarray) -> np.ndarray:
    """The numbers of blocks, (ceil(h / 4), ceil(w / 4)), of offsets (h, w) that a map can have."""
    return offsets[::BLOCK, ::BLOCK]


class _Counts:
    """Adaptive probabilities, by what has been decided: (2 a + 1) / (2 n + 2) for a of n."""

    def __init__(self) -> None:
        self._ones: dict[tuple[bool, int], int] = {}
        self._all: dict[tuple[bool, int], int] = {}

    def probability(self, kind: tuple[bool, int]) -> np.ndarray:
        """Of a 1, a whole multiple of 2**-16: float64 (1,)."""
        ones, count = self._ones.get(kind, 0), self._all.get(kind, 0)
        return np.array([(2 * ones + 1) * 32768 // (count + 1) * UNIT])

    def note(self, kind: tuple[bool, int], decision: bool) -> None:
        """Learn from a decision."""
        self._ones[kind] = self._ones.get(kind, 0) + decision
        self._all[kind] = self._all.get(kind, 0) + 1


#: decide(kind, the decision, None to have it decoded) -> the decision
_Decide = Callable[[tuple[bool, int], bool | None], bool]


def put_map(out: DecisionEncoder, blocks: np.ndarray) -> None:
    """Code a map, int (rows, columns) in -8..8."""
    counts = _Counts()

    def decide(kind: tuple[bool, int], decision: bool | None) -> bool:
        out.put(np.array([decision]), counts.probability(kind))
        counts.note(kind, bool(decision))
        return bool(decision)

    _code(decide, blocks.shape, blocks)


def get_map(source: DecisionDecoder, h: int, w: int) -> np.ndarray:
    """The offsets of positions, int16 (h, w); ContainerError where the payload is not valid."""
    counts = _Counts()

    def decide(kind: tuple[bool, int], decision: bool | None) -> bool:
        found = bool(source.get(counts.probability(kind))[0])
        counts.note(kind, found)
        return found

    blocks = _code(decide, (-(-h // BLOCK), -(-w // BLOCK)), None)
    return blocks.repeat(BLOCK, 0).repeat(BLOCK, 1)[:h, :w]


def _code(decide: _Decide, shape: tuple[int, ...], known: np.ndarray | None) -> np.ndarray:
    """Go through a map's decisions, in either direction: int16 (rows, columns)."""
    rows, columns = shape
    out = np.zeros(shape, np.int16)
    for i in range(rows):
        for j in range(columns):
            left, above = (int(out[i, j - 1]) if j else 0), (int(out[i - 1, j]) if i else 0)
            left, above = left if j else above, above if i else left
            expected, unlike = (left + above) // 2, left != above
            d = None if known is None else int(known[i, j]) - expected
            if not decide((unlike, 0), None if d is None else d != 0):
                out[i, j] = expected
                continue
            is_above = decide((unlike, 1), None if d is None else d > 0)
            size = 1
            while decide((unlike, 1 + size), None if d is None else abs(d) > size):
                size += 1
                if size > 2 * LARGEST_OFFSET:
                    raise ContainerError(_ERROR)
            m = expected + (size if is_above else -size)
            if abs(m) > LARGEST_OFFSET:
                raise ContainerError(_ERROR)
            out[i, j] = m
    return out
