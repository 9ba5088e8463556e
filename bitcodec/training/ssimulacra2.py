"""The weighted sum S inside SSIMULACRA2, as a part of the distortion.

SSIMULACRA2 (J. Sneyers 2022, github.com/cloudinary/ssimulacra2) compares two pictures in the XYB
colours of JPEG XL at several scales. Each scale has three maps a colour: 1 - structural
similarity, edges that only the decoded picture has, and edges that it has lost. Each map has two
norms over the picture, the mean and the 4-norm. S is their weighted sum, 0 where the pictures are
equal; the published score is a falling function of S, see :func:`score`.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor
from torch.nn import functional as F

from bitcodec.errors import TrainingError

LEAST_EDGE = 128  #: pixels: the coarsest scale is an eighth of that a side
_RADIUS, _SIGMA = 5, 1.5
_C2 = 0.0009
_TINY = 1e-20  #: added to fourth powers, so that their root has a slope at 0
_BIAS = 0.0037930732552754493
_OPSIN = (
    (0.30, 0.622, 0.078),
    (0.23, 0.692, 0.078),
    (0.24342268924547819, 0.20476744424496821, 0.5518098665095536),
)
_SIMILARITY, _ARTEFACT, _LOST = range(3)
#: For each scale from the finest: (colour of XYB, map, norm) and the published weight. Weights
#: under 0.05 are left out. The sixth scale has no others.
_WEIGHTS = (
    {(1, _SIMILARITY, 4): 7.466890328078848, (1, _LOST, 4): 17.445833984131262},
    {
        (0, _SIMILARITY, 4): 1.1041726426657346,
        (1, _SIMILARITY, 4): 6.683678146179332,
        (1, _LOST, 4): 1.027889937768264,
    },
    {
        (0, _SIMILARITY, 4): 1.8422455520539298,
        (0, _ARTEFACT, 4): 11.441172603757666,
        (1, _SIMILARITY, 1): 225.20515300849274,
        (1, _SIMILARITY, 4): 19.213238186143016,
    },
    {
        (0, _SIMILARITY, 4): 1.8787594979546387,
        (0, _ARTEFACT, 4): 10.94906990605142,
        (1, _SIMILARITY, 1): 176.39317598450694,
        (1, _SIMILARITY, 4): 24.43300999870476,
        (1, _ARTEFACT, 4): 0.28520802612117757,
        (2, _SIMILARITY, 4): 8.826982764996862,
        (2, _ARTEFACT, 4): 23.19243343998926,
    },
    {
        (0, _ARTEFACT, 1): 0.9677937080626833,
        (0, _ARTEFACT, 4): 0.9981766977854967,
        (1, _SIMILARITY, 4): 34.77906344483772,
        (1, _ARTEFACT, 4): 44.835625328877896,
        (2, _SIMILARITY, 1): 95.1080498811086,
        (2, _ARTEFACT, 1): 0.9863978034400682,
        (2, _LOST, 1): 0.9834382792465353,
        (2, _ARTEFACT, 4): 171.2667255897307,
        (2, _LOST, 4): 0.9807858872435379,
    },
)


@functools.lru_cache(maxsize=32)
def _window(n: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The Gaussian at each of n samples as rows of a matrix (n, n), mirrored at the ends."""
    at = torch.arange(-_RADIUS, _RADIUS + 1, dtype=torch.float64, device=device)
    g = torch.exp(-at.square() / (2 * _SIGMA**2))
    where = (torch.arange(n, device=device)[:, None] + at.long()) % (2 * n)
    where = torch.minimum(where, 2 * n - 1 - where)
    out = torch.zeros(n, n, dtype=torch.float64, device=device)
    out.scatter_add_(1, where, (g / g.sum()).expand(n, -1))
    return out.to(dtype)


def _blur(x: Tensor) -> Tensor:
    """As products of matrices: grouped convolutions of few channels are slow."""
    h, w = (_window(n, x.dtype, x.device) for n in x.shape[2:])
    return h @ x @ w.t()


def _linear(x: Tensor) -> Tensor:
    """sRGB, 0..255, to linear light, 0..1."""
    x = (x / 255).clamp(0, 1)
    return torch.where(x <= 0.04045, x / 12.92, ((x.clamp_min(0.04) + 0.055) / 1.055) ** 2.4)


def _xyb(x: Tensor) -> Tensor:
    """Linear light (N, 3, H, W) to the shifted, positive XYB of SSIMULACRA2."""
    red, green, blue = x.unbind(1)
    mixed = (r * red + g * green + b * blue for r, g, b in _OPSIN)
    first, second, third = ((part + _BIAS) ** (1 / 3) - _BIAS ** (1 / 3) for part in mixed)
    y = 0.5 * (first + second)
    return torch.stack([7 * (first - second) + 0.42, y + 0.01, third - y + 0.55], 1)


def _norm(x: Tensor, power: int) -> Tensor:
    """Means over (H, W) of a map that is not negative: (N, H, W) to (N,)."""
    if power == 1:
        return x.mean((1, 2))
    return (x.square().square().mean((1, 2)) + _TINY) ** 0.25


def _maps(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Decoded a and original b, (N, C, H, W) in XYB, to the three maps of that shape."""
    n = len(a)
    # The variance of the difference stands for the covariance: one product less.
    ma, va, vd = _blur(torch.cat([a, a * a, (a - b).square()])).split(n)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        mb, vb = _blur(torch.cat([b, b * b])).split(n)  # type: ignore[no-untyped-call]
    square = (ma - mb).square()
    spread = (va - ma.square()) + (vb - mb.square()) + _C2
    similar = (1 - square) * (1 - (vd - square) / spread)
    edges = (1 + (a - ma).abs()) / (1 + (b - mb).abs()) - 1
    return (1 - similar).clamp_min(0), edges.clamp_min(0), (-edges).clamp_min(0)


def weighted_sum(x_hat: Tensor, x: Tensor) -> Tensor:
    """S of each decoded picture.

    Args:
        x_hat: (N, 3, H, W), sRGB, 0..255, H and W at least :data:`LEAST_EDGE`.
        x: the originals, the same shape.

    Returns:
        (N,), about 2 for a very good picture and 60 for a bad one; differentiable in ``x_hat``.

    Raises:
        TrainingError: the pictures are too small.
    """
    if min(x.shape[2:]) < LEAST_EDGE:
        raise TrainingError(f"task.eyes needs crops of {LEAST_EDGE} pixels or more")
    a = _linear(x_hat.contiguous(memory_format=torch.contiguous_format))
    b = _linear(x.contiguous(memory_format=torch.contiguous_format))
    total = torch.zeros(len(x), dtype=x.dtype, device=x.device)
    for index, weights in enumerate(_WEIGHTS):
        if index:
            a, b = F.avg_pool2d(a, 2, ceil_mode=True), F.avg_pool2d(b, 2, ceil_mode=True)
        colours = sorted({colour for colour, _, _ in weights})
        first, second = (torch.stack([_xyb(v)[:, c] for c in colours], 1) for v in (a, b))
        maps = _maps(first, second)
        for (colour, kind, power), weight in weights.items():
            total = total + weight * _norm(maps[kind][:, colours.index(colour)], power)
    return total


def score(s: Tensor) -> Tensor:
    """The published score of S, at most 100 (tools/ssimulacra2.cc, Msssim::Score)."""
    s = 0.9562382616834844 * s
    s = 2.326765642916932 * s - 0.020884521182843837 * s**2 + 6.248496625763138e-05 * s**3
    return torch.where(s > 0, 100 - 10 * s.clamp_min(1e-30) ** 0.6276336467831387, 100)
