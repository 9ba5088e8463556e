"""Distortion of 8-bit pictures (NumPy only; MS-SSIM comes from a library, in ``evaluate``)."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

__all__ = ["mse", "psnr"]


def mse(a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8]) -> float:
    """Mean squared error of two uint8 arrays of one shape, over all samples, in levels squared.

    Raises ValueError where the shapes differ, a type is not uint8, or there are no samples.
    """
    if a.shape != b.shape:
        raise ValueError(f"shapes differ: {a.shape} and {b.shape}")
    if a.dtype != np.uint8 or b.dtype != np.uint8:
        raise ValueError(f"uint8 wanted, not {a.dtype} and {b.dtype}")
    if not a.size:
        raise ValueError("no samples")
    total = 0
    # Row by row in integers: exact, and no wide copy of a whole large picture.
    for row_a, row_b in zip(np.atleast_2d(a), np.atleast_2d(b), strict=True):
        difference = row_a.astype(np.int64) - row_b
        total += int(np.vdot(difference, difference))
    return total / a.size


def psnr(a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8]) -> float:
    """PSNR of two uint8 arrays of one shape in dB: 10 log10(255² / MSE); inf where they are equal.

    Raises ValueError as :func:`mse` does.
    """
    error = mse(a, b)
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)
