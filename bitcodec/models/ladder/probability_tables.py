"""Integer tables of the `ladder` coder: companding, centres, probabilities.

They are computed in float64 when a model is exported, and are stored in its weights file. So a
decoder needs no floating point for what steers parsing.
"""

from __future__ import annotations

import numpy as np

from bitcodec.models.layers import fixed_point as fx

PROBABILITY_BITS = 16  #: probabilities are multiples of 2**-16
UNARY = 15  #: decisions |q - m| > 1 .. > 15; then the tail
COMPAND_SIZE = 2048  #: |q| from there on compands like the last entry


def compand_table() -> np.ndarray:
    """round(16 asinh(|q|)) for |q| = 0..2047, at most 127: uint8."""
    q = np.arange(COMPAND_SIZE, dtype=np.float64)
    return np.minimum(np.floor(np.arcsinh(q) * fx.COMPAND + 0.5), 127).astype(np.uint8)


def centre_table() -> np.ndarray:
    """Eighths of a level for the centre codes -1792..1792: round(8 sinh(code / 256)), int32."""
    code = np.arange(-fx.CENTRE_MAX, fx.CENTRE_MAX + 1, dtype=np.float64)
    eighths = np.floor(np.sinh(code / fx.CENTRE) * fx.FRACTIONS + 0.5)
    return np.asarray(eighths, np.int32)


def tail_orders() -> np.ndarray:
    """Order of the Exp-Golomb code of the tail for each scale code: about log2 of s, uint8."""
    scales = np.array([fx.scale_of_code(c) for c in range(fx.SCALES)])
    return np.asarray(np.maximum(0, np.floor(np.log2(scales) + 0.5)), np.uint8)


def _sigmoid(z: np.ndarray) -> np.ndarray:
    return np.asarray(np.exp(-np.logaddexp(0, -z)), np.float64)


def _mass(offset: np.ndarray, centre: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Probability of the level at ``offset`` from m, in the form that is exact in both tails."""
    d = -np.abs(offset - centre)
    return np.asarray(_sigmoid((d + 0.5) / scale) - _sigmoid((d - 0.5) / scale))


def _quantise(p: np.ndarray) -> np.ndarray:
    one = 1 << PROBABILITY_BITS
    levels = np.clip(np.floor(p * one + 0.5), 1, one - 1)
    return np.asarray(levels, np.int32)


def probability_table() -> np.ndarray:
    """P(decision = 1) in units of 2**-16: int32 (512, 32), 0 in column 0 where it is least.

    A 0 marks a latent that is skippable; see ``latent_coder``.

    Row: (fraction + 4) * 64 + scale code. Columns: 0: q != m; 1: q > m given q != m;
    2 + (t - 1): |q - m| > t given |q - m| >= t, below m; 17 + (t - 1): the same above m.
    """
    f = (np.arange(fx.FRACTIONS) - fx.FRACTIONS // 2)[:, None, None] / fx.FRACTIONS
    s = np.array([fx.scale_of_code(c) for c in range(fx.SCALES)])[None, :, None]
    largest = 4096  # far enough that what lies beyond has no weight
    tiny = 1e-300
    above = _mass(np.arange(1, largest)[None, None], f, s)
    below = _mass(-np.arange(1, largest)[None, None], f, s)
    # sums from the far end, so that tails keep their precision: [..., t-1] = P(d >= t)
    up = np.cumsum(above[..., ::-1], -1)[..., ::-1] + tiny
    down = np.cumsum(below[..., ::-1], -1)[..., ::-1] + tiny
    columns = [(up + down)[..., 0], (up / (up + down))[..., 0]]
    columns += [(down[..., t] / down[..., t - 1]) for t in range(1, UNARY + 1)]
    columns += [(up[..., t] / up[..., t - 1]) for t in range(1, UNARY + 1)]
    table = _quantise(np.stack(columns, -1)).reshape(fx.FRACTIONS * fx.SCALES, -1)
    table[:, 0] -= table[:, 0] <= 1
    return table


def cost_table(probabilities: np.ndarray, orders: np.ndarray) -> np.ndarray:
    """Exact cost in bits of each offset q - m: float32 (512, 2 R + 1), R = 63, offset + R.

    Args:
        probabilities: what :func:`probability_table` returned, at least 1.
        orders: what :func:`tail_orders` returned.
    """
    largest = 63
    one = float(1 << PROBABILITY_BITS)
    yes = -np.log2(probabilities / one)
    no = -np.log2(1 - probabilities / one)
    rows = len(probabilities)
    cost = np.zeros((rows, 2 * largest + 1))
    cost[:, largest] = no[:, 0]
    order = np.tile(orders.astype(np.int64), rows // len(orders))
    for side, column, sign in ((1, 2 + UNARY, 1), (0, 2, -1)):
        base = yes[:, 0] + (yes[:, 1] if side else no[:, 1])
        for d in range(1, largest + 1):
            t = min(d, UNARY + 1)
            total = base + yes[:, column : column + t - 1].sum(1)
            if d <= UNARY:
                total = total + no[:, column + d - 1]
            else:
                v = d - UNARY - 1 + (1 << order)
                length = np.floor(np.log2(v))
                total = total + 2 * length - order + 1
            cost[:, largest + sign * d] = total
    return cost.astype(np.float32)
