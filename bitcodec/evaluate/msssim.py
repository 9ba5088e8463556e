"""MS-SSIM of 8-bit RGB pictures (NumPy only).

Wang, Simoncelli and Bovik, "Multiscale structural similarity for image quality assessment",
Asilomar 2003: five scales with the weights 0.0448, 0.2856, 0.3001, 0.2363, 0.1333, an 11x11
Gaussian window of sigma 1.5, data range 255; the mean over the three channels. In float64 it is
what the package pytorch-msssim computes, with which CompressAI's published figures were made: where
a side is odd at one of the scales it pads with zeros, unlike TensorFlow's, which moves the result
by up to about 1e-3.
"""

from __future__ import annotations

import numpy as np

from bitcodec.evaluate.codecs import Pixels
from bitcodec.evaluate.windows import Planes, window_means

__all__ = ["MIN_SIDE", "ms_ssim", "ms_ssim_db"]

MIN_SIDE = 161  #: pixels: below it the window does not fit into the fifth scale
_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def ms_ssim(a: Pixels, b: Pixels) -> float | None:
    """MS-SSIM of two (H, W, 3) uint8 pictures, 0 to 1; None where a side is under ``MIN_SIDE``.

    Raises ValueError where the shapes differ or a type is not uint8.
    """
    if a.shape != b.shape:
        raise ValueError(f"shapes differ: {a.shape} and {b.shape}")
    if a.dtype != np.uint8 or b.dtype != np.uint8:
        raise ValueError(f"uint8 wanted, not {a.dtype} and {b.dtype}")
    if min(a.shape[:2]) < MIN_SIDE:
        return None
    x, y = (np.moveaxis(pixels, 2, 0).astype(np.float64) for pixels in (a, b))
    product = np.ones(3)
    for weight in _WEIGHTS[:-1]:
        product *= np.maximum(_means(x, y)[1], 0) ** weight
        x, y = _halve(x), _halve(y)
    product *= np.maximum(_means(x, y)[0], 0) ** _WEIGHTS[-1]
    return float(product.mean())


def _means(x: Planes, y: Planes) -> tuple[Planes, Planes]:
    """SSIM and its factor contrast x structure, each the mean of each channel."""
    mean_x, mean_y = window_means(x), window_means(y)
    square_x, square_y, product = mean_x * mean_x, mean_y * mean_y, mean_x * mean_y
    variances = window_means(x * x) + window_means(y * y) - square_x - square_y
    structure = (2 * (window_means(x * y) - product) + _C2) / (variances + _C2)
    luminance = (2 * product + _C1) / (square_x + square_y + _C1)
    return (luminance * structure).mean(axis=(1, 2)), structure.mean(axis=(1, 2))


def _halve(planes: Planes) -> Planes:
    """Means of 2x2 samples; an odd side gets a line of zeros before it."""
    _, height, width = planes.shape
    even = np.pad(planes, ((0, 0), (height % 2, height % 2), (width % 2, width % 2)))
    even = even[:, : even.shape[1] // 2 * 2, : even.shape[2] // 2 * 2]
    rows = even[:, ::2] + even[:, 1::2]
    return (rows[:, :, ::2] + rows[:, :, 1::2]) / 4


def ms_ssim_db(value: float) -> float:
    """MS-SSIM in dB, -10 log10(1 - value); inf at 1. Spreads out what lies between 0.9 and 1."""
    return float("inf") if value >= 1 else float(-10 * np.log10(1 - value))
