"""SSIMULACRA2 of 8-bit RGB pictures (NumPy only).

Jon Sneyers, Cloudinary, 2023: six scales in XYB, the colour space of JPEG XL; at each, maps of lost
structure (1 - SSIM), of edges that were gained (ringing, blocks) and of edges that were lost
(blur), each by its mean and its 4-norm; 108 numbers in all. A polynomial of their weighted sum is
the score: 100 for the original, 90 what few can tell from it, 70 high quality, 50 medium, 30 low;
a very bad picture has less than 0.

Agrees to 4 decimals with the Python package ssimulacra2 0.3.0, and like it takes Gaussian windows
of 11 samples, with zeros beyond the left and the right border and mirrored samples above and
below. The reference in libjxl approximates the Gaussian by a recursive filter.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bitcodec.evaluate.codecs import Pixels
from bitcodec.evaluate.windows import RADIUS, Planes, window_means

__all__ = ["Ssimulacra2"]

_SCALES = 6
_MIN_SIDE = 8  # pixels: a scale with a shorter side is left out
_C2 = 0.0009
_BIAS = 0.0037930732552754493
_LMS = np.array(
    [
        [0.30, 0.622, 0.078],
        [0.23, 0.692, 0.078],
        [0.24342268924547819, 0.20476744424496821, 0.5518098665095536],
    ]
)
# Channels X, Y, B; for each its scales from the finest. A line is (structure, gained, lost) by the
# mean, and the same by the 4-norm.
# fmt: off
_WEIGHTS = (
    (0.0, 0.0007376606707406586, 0.0, 0.0, 0.0007793481682867309, 0.0),
    (
        0.0, 0.0004371155730107379, 0.0,
        1.1041726426657346, 0.00066284834129271, 0.00015231632783718752,
    ),
    (0.0, 0.0016406437456599754, 0.0, 1.8422455520539298, 11.441172603757666, 0.0),
    (0.0007989109436015163, 0.000176816438078653, 0.0, 1.8787594979546387, 10.94906990605142, 0.0),
    (
        0.0007289346991508072, 0.9677937080626833, 0.0,
        0.00014003424285435884, 0.9981766977854967, 0.00031949755934435053,
    ),
    (0.0004550992113792063, 0.0, 0.0, 0.0013648766163243398, 0.0, 0.0),
    (0.0, 0.0, 0.0, 7.466890328078848, 0.0, 17.445833984131262),
    (0.0006235601634041466, 0.0, 0.0, 6.683678146179332, 0.00037724407979611296, 1.027889937768264),
    (225.20515300849274, 0.0, 0.0, 19.213238186143016, 0.0011401524586618361, 0.001237755635509985),
    (176.39317598450694, 0.0, 0.0, 24.43300999870476, 0.28520802612117757, 0.0004485436923833408),
    (0.0, 0.0, 0.0, 34.77906344483772, 44.835625328877896, 0.0),
    (0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    (0.0, 0.0008680556573291698, 0.0, 0.0, 0.0, 0.0),
    (0.0, 0.0005313191874358747, 0.0, 0.00016533814161379112, 0.0, 0.0),
    (0.0, 0.0, 0.0, 0.0004179171803251336, 0.0017290828234722833, 0.0),
    (0.0020827005846636437, 0.0, 0.0, 8.826982764996862, 23.19243343998926, 0.0),
    (
        95.1080498811086, 0.9863978034400682, 0.9834382792465353,
        0.0012286405048278493, 171.2667255897307, 0.9807858872435379,
    ),
    (0.0, 0.0, 0.0, 0.0005130064588990679, 0.0, 0.00010854057858411537),
)
# fmt: on


def _linear() -> Planes:
    code = np.arange(256) / 255
    low = code <= 0.04045
    return np.where(low, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)


_LINEAR = _linear()


def _halve(planes: Planes) -> Planes:
    """Means of 2x2 samples; of fewer at an odd border."""
    _, height, width = planes.shape
    even = np.pad(planes, ((0, 0), (0, height % 2), (0, width % 2)), mode="edge")
    rows = even[:, ::2] + even[:, 1::2]
    return (rows[:, :, ::2] + rows[:, :, 1::2]) / 4


def _xyb(linear: Planes) -> Planes:
    """XYB of linear RGB, both (3, H, W), shifted so that it is positive."""
    shape = linear.shape
    lms = (_LMS @ linear.reshape(3, -1)).reshape(shape)
    lms += _BIAS
    long, middle, short = np.cbrt(lms, out=lms) - np.cbrt(_BIAS)
    x, y = (long - middle) / 2, (long + middle) / 2
    return np.stack([14 * x + 0.42, y + 0.01, short - y + 0.55])


def _blur(planes: Planes) -> Planes:
    rows, columns = (RADIUS, RADIUS), (RADIUS, RADIUS)
    mirrored = np.pad(planes, ((0, 0), rows, (0, 0)), mode="symmetric")
    return window_means(np.pad(mirrored, ((0, 0), (0, 0), columns)))


class _Scale(NamedTuple):
    """A picture at one scale: samples, their local means, and those of their squares."""

    xyb: Planes
    mean: Planes
    square: Planes


def _scales(pixels: Pixels) -> list[_Scale]:
    linear = _LINEAR[np.moveaxis(pixels, 2, 0)]
    result: list[_Scale] = []
    while len(result) < _SCALES and min(linear.shape[1:]) >= _MIN_SIDE:
        xyb = _xyb(linear)
        result.append(_Scale(xyb, _blur(xyb), _blur(xyb * xyb)))
        linear = _halve(linear)
    return result


def _norms(error: Planes) -> Planes:
    """Mean and 4-norm of each channel, (2, 3)."""
    square = error * error
    fourth = np.einsum("chw,chw->c", square, square) / error[0].size
    return np.stack([error.mean(axis=(1, 2)), fourth**0.25])


def _compare(a: _Scale, b: _Scale) -> Planes:
    """The numbers of one scale, (channel, norm, map) = (3, 2, 3)."""
    product = a.mean * b.mean
    covariance = _blur(a.xyb * b.xyb) - product
    variances = (a.square - a.mean * a.mean) + (b.square - b.mean * b.mean)
    luminance = 1 - (a.mean - b.mean) ** 2
    structure = 1 - luminance * (2 * covariance + _C2) / (variances + _C2)
    edges = (1 + np.abs(b.xyb - b.mean)) / (1 + np.abs(a.xyb - a.mean)) - 1
    maps = (np.maximum(structure, 0), np.maximum(edges, 0), np.maximum(-edges, 0))
    numbers: Planes = np.stack([_norms(error) for error in maps]).transpose(2, 1, 0)
    return numbers


class Ssimulacra2:
    """Scores of pictures against one original, whose share of the work is done once.

    Args:
        original: (H, W, 3) uint8, sRGB.
    """

    def __init__(self, original: Pixels) -> None:
        self._shape = original.shape
        self._scales = _scales(original)

    def __call__(self, distorted: Pixels) -> float:
        """The score, at most 100. Raises ValueError for a picture of another shape."""
        if distorted.shape != self._shape:
            raise ValueError(f"shapes differ: {self._shape} and {distorted.shape}")
        scales = zip(self._scales, _scales(distorted), strict=True)
        numbers = np.array([_compare(a, b) for a, b in scales])  # (scale, channel, norm, map)
        # As in the reference, a picture with fewer scales takes the first weights of the list.
        flat = numbers.swapaxes(0, 1).ravel()
        total = 0.9562382616834844 * float(np.dot(flat, np.ravel(_WEIGHTS)[: flat.size]))
        total = (
            2.326765642916932 * total
            - 0.020884521182843837 * total**2
            + (6.248496625763138e-05 * total**3)
        )
        return 100 - 10 * total**0.6276336467831387 if total > 0 else 100.0
