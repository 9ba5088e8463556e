"""MS-SSIM of 8-bit RGB pictures, by the package pytorch-msssim.

Wang, Simoncelli and Bovik, "Multiscale structural similarity for image quality assessment",
Asilomar 2003: five scales with the weights 0.0448, 0.2856, 0.3001, 0.2363, 0.1333, an 11x11
Gaussian window of sigma 1.5, data range 255; the mean over the three channels. It is the package
that CompressAI's published figures were made with. Where a side is odd at one of the scales it pads
with zeros, unlike TensorFlow's, which moves the result by up to about 1e-3.
"""

from __future__ import annotations

import numpy as np

from bitcodec.evaluate.codecs import Pixels, require

__all__ = ["MIN_SIDE", "ms_ssim", "ms_ssim_db"]

MIN_SIDE = 161  #: pixels: below it the window does not fit into the fifth scale


def ms_ssim(a: Pixels, b: Pixels) -> float | None:
    """MS-SSIM of two (H, W, 3) uint8 pictures, 0 to 1; None where a side is under ``MIN_SIDE``.

    Raises ValueError where the shapes differ or a type is not uint8, and BitcodecError where
    pytorch-msssim is not installed.
    """
    if a.shape != b.shape:
        raise ValueError(f"shapes differ: {a.shape} and {b.shape}")
    if a.dtype != np.uint8 or b.dtype != np.uint8:
        raise ValueError(f"uint8 wanted, not {a.dtype} and {b.dtype}")
    if min(a.shape[:2]) < MIN_SIDE:
        return None
    library = require("pytorch_msssim", "pytorch-msssim", "MS-SSIM")
    torch = require("torch", "torch", "MS-SSIM")
    # float64: at high quality 1 - MS-SSIM is what is compared, and float32 leaves it 3 digits.
    x, y = (
        torch.from_numpy(np.ascontiguousarray(p.transpose(2, 0, 1))).double()[None] for p in (a, b)
    )
    with torch.no_grad():
        return float(library.ms_ssim(x, y, data_range=255))


def ms_ssim_db(value: float) -> float:
    """MS-SSIM in dB, -10 log10(1 - value); inf at 1. Spreads out what lies between 0.9 and 1."""
    return float("inf") if value >= 1 else float(-10 * np.log10(1 - value))
