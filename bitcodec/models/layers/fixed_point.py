"""Units of the integer context model, part of the format of weights files.

An integer v of a kind stands for v / unit. Training's fake quantisation, the export and the
integer network all take them from here.
"""

from __future__ import annotations

import math

COMPAND = 16  #: companded latents: round(16 asinh(q)), clipped to int8
COMPAND_MAX = 127 / COMPAND
ACT = 255 / 6  #: relu6 of the state: 0..255 stands for 0..6
HIDDEN_MAX = 127
HIDDEN = HIDDEN_MAX / 6  #: relu6 inside the heads: 0..127 stands for 0..6
U_MAX = 63  #: what a head reads is -63..63, with a unit for each channel
STATE_SHIFT = 16  #: of the state to an activation
STATE = ACT * STATE_SHIFT  #: the state S, integers below 2**24
CENTRE = 256  #: asinh of a latent's centre, 12 bits
CENTRE_MAX = 7 * CENTRE
FINE_MAX = 127  #: of centre codes of 8 bits, which count 2**shift of those
SCALES = 64  #: number of scales of the logistic
SCALE = 8.4  #: codes a unit of log(2 s)
SCALE_SHIFT = 3.0  #: code 0 is log(2 s) = -3
FRACTIONS = 8  #: the centre is kept to eighths of a level
EXACT = 2**24  #: integers below this are exact in float32
WEIGHT = 127  #: largest magnitude of a weight whose inputs have 7 bits
SMALL_WEIGHT = 64  #: and of others


def scale_of_code(code: int) -> float:
    """The logistic's scale s for a 6-bit code."""
    return math.exp(code / SCALE - SCALE_SHIFT) / 2
