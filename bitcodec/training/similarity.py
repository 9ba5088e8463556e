"""1 - MS-SSIM as a part of the distortion.

Z. Wang, E. Simoncelli, A. Bovik, "Multiscale structural similarity for image quality assessment",
2003, equation 7, without its finest scale: that has 4 % of the weight and 3/4 of the work.
What is reported is the whole of it (:mod:`bitcodec.evaluate.msssim`).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from bitcodec.errors import TrainingError

LEAST_EDGE = 176  #: pixels: the window must fit into the picture at a sixteenth
WEIGHTS = (0.2856, 0.3001, 0.2363, 0.1333)  #: exponents of scales 2 to 5 in the paper
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_WINDOW, _SIGMA = 11, 1.5


def _window(n: int, like: Tensor) -> Tensor:
    """Gaussian windows at each place of n samples where one fits, as columns: (n, n - 10)."""
    at = torch.arange(_WINDOW, device=like.device, dtype=like.dtype) - _WINDOW // 2
    g = torch.exp(-at.square() / (2 * _SIGMA**2))
    g = g / g.sum()
    columns = n - _WINDOW + 1
    out = torch.zeros(n, columns, device=like.device, dtype=like.dtype)
    for index in range(_WINDOW):
        out.diagonal(-index).copy_(g[index])
    return out


def _blur(x: Tensor) -> Tensor:
    """Gaussian means of (N, C, H, W) where the window fits.

    As products with banded matrices: grouped convolutions of three channels are slow.
    """
    return _window(x.shape[2], x).t() @ (x @ _window(x.shape[3], x))


def _structure(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Means over (H, W) of contrast times structure, and of that times luminance: (N, C) each."""
    n = len(a)
    # The variance of the difference gives the covariance, so one product is saved.
    mean = _blur(torch.cat([a, b]))
    square = _blur(torch.cat([a * a, b * b, (a - b).square()]))
    ma, mb = mean[:n], mean[n:]
    va, vb = square[:n] - ma.square(), square[n : 2 * n] - mb.square()
    vd = square[2 * n :] - (ma - mb).square()
    cs = 1 - vd / (va + vb + _C2)
    luminance = (2 * ma * mb + _C1) / (ma.square() + mb.square() + _C1)
    return cs.mean((2, 3)), (cs * luminance).mean((2, 3))


def ms_ssim_loss(x_hat: Tensor, x: Tensor) -> Tensor:
    """1 - MS-SSIM (scales 2 to 5) of each picture, its colours averaged.

    Args:
        x_hat: (N, 3, H, W), 0..255, H and W at least :data:`LEAST_EDGE`.
        x: the same shape.

    Returns:
        (N,), 0 where the two are equal; differentiable with respect to both.

    Raises:
        TrainingError: the pictures are too small.
    """
    if min(x.shape[2:]) < LEAST_EDGE:
        raise TrainingError(f"task.similarity needs crops of {LEAST_EDGE} pixels or more")
    a, b = (t.contiguous(memory_format=torch.contiguous_format) for t in (x_hat, x))
    product = torch.ones(1, device=x.device, dtype=x.dtype)
    for index, weight in enumerate(WEIGHTS):
        a, b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
        contrast, whole = _structure(a, b)
        last = index == len(WEIGHTS) - 1
        # A negative mean has no real power; so far from the picture, a small slope is enough.
        product = product * (whole if last else contrast).clamp_min(1e-3) ** weight
    return 1 - product.mean(1)
