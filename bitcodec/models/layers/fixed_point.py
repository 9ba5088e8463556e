"""Units of the integer context model, part of the format of weights files.

An integer v of a kind stands for v / unit. Training's fake quantisation, the export and the
integer network all take them from here.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

COMPAND = 16  #: companded latents: round(16 asinh(q)), clipped to int8
COMPAND_MAX = 127 / COMPAND
STATE = 256  #: the state S, 24-bit integers
ACT = 255 / 6  #: relu6 activations: 0..255 stands for 0..6
CENTRE = 256  #: asinh of a latent's centre, 12 bits
CENTRE_MAX = 7 * CENTRE
SCALES = 64  #: number of scales of the logistic
SCALE = 8.4  #: codes a unit of log(2 s)
SCALE_SHIFT = 3.0  #: code 0 is log(2 s) = -3
FRACTIONS = 8  #: the centre is kept to eighths of a level
EXACT = 2**24  #: integers below this are exact in float32


def weight_scale(w: Tensor) -> Tensor:
    """The int8 step of each output channel of (O, ...) weights, broadcastable to them."""
    return w.abs().amax(dim=tuple(range(1, w.dim())), keepdim=True).clamp_min(1e-8) / 127


def scale_of_code(code: int) -> float:
    """The logistic's scale s for a 6-bit code."""
    return math.exp(code / SCALE - SCALE_SHIFT) / 2


def as_multiplier(ratio: Tensor) -> tuple[Tensor, Tensor]:
    """Positive or negative real ratios as int32 m and shift k with ratio ~ m / 2**k.

    |m| <= 2**22, so that m times a 24-bit accumulator is exact in float64; k is in 0..46.
    """
    r = ratio.double()
    exponent = torch.floor(torch.log2(r.abs().clamp_min(2.0**-40))).to(torch.int64)
    k = (21 - exponent).clamp(0, 46)
    m = torch.floor(r * torch.pow(2.0, k.double()) + 0.5)
    return m.to(torch.int32), k.to(torch.int32)
