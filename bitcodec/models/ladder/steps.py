"""Quantisation steps: the header's step codes, and the steps of the qualities."""

from __future__ import annotations

import math

import numpy as np

STEP_CODES = 1024  #: step codes an octave: step = 2 ** (code / 1024)
STEP_MIDDLE = 48.0  #: the step at which the step input of the networks is 0
LOWEST_STEP, HIGHEST_STEP = 2.0, 512.0
LAMBDA_SCALE = 24.0  #: bits for a squared error of 1 at a pixel are this over step**2
_QUALITY_STEPS = (256.0, 4.0)  #: steps of quality 1 and 100


def step_of_code(code: int) -> float:
    """The quantisation step, in 0..255 pixel units of an orthonormal transform."""
    return float(2.0 ** (code / STEP_CODES))


def steps_of_codes(codes: int | np.ndarray) -> np.ndarray:
    """The same of an array of codes, float64, of its shape; of one code (1, 1)."""
    return np.asarray(np.exp2(np.atleast_2d(codes) / STEP_CODES))


def code_of_step(step: float) -> int:
    """The nearest step code."""
    return round(STEP_CODES * math.log2(step))


def code_of_quality(quality: int) -> int:
    """Step codes of qualities 1 to 100: geometric from step 256 to step 4."""
    low, high = (math.log2(step) for step in _QUALITY_STEPS)
    return round(STEP_CODES * (low + (high - low) * (quality - 1) / 99))
