"""A warm start for `sign`: a cascade of principal components, successively signed.

From random weights the classic codec needs hours to learn what a block transform
knows. Here the four strided convolutions start as a cascade of orthonormal 2x2
transforms (the principal components of training pictures at every stage), the
latent channels start as successive signs of its coefficients, given out greedily
(each bit goes where it lowers the squared error most), and the deconvolutions
start as the transpose. All of it then trains.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from bitcodec.models.sign.config import SignConfig
from bitcodec.models.sign.model import SignModel

_SLOPE = 0.1  # of leaky ReLU: act(v) - act(-v) = (1 + slope) v


def _merge(f: np.ndarray) -> np.ndarray:
    """(B, C, H, W) to (B, H/2, W/2, 4 C), order (dy, dx, C)."""
    b, c, h, w = f.shape
    f = f.reshape(b, c, h // 2, 2, w // 2, 2).transpose(0, 2, 4, 3, 5, 1)
    return f.reshape(b, h // 2, w // 2, 4 * c)


def _principal(f: np.ndarray, keep: int) -> np.ndarray:
    """Rows: the ``keep`` strongest eigenvectors of the second moment of (..., D)."""
    flat = f.reshape(-1, f.shape[-1])
    values, vectors = np.linalg.eigh(flat.T @ flat / len(flat))
    order = np.argsort(values)[::-1][:keep]
    return np.ascontiguousarray(vectors[:, order].T)


@dataclass(frozen=True)
class _Plan:
    """Which coefficient each latent bit belongs to, and how strongly it speaks."""

    coefficient: list[int]
    parent: list[int]
    strength: list[float]


def plan_bits(c: np.ndarray, m: int) -> _Plan:
    """Give out m bits greedily over coefficients c (samples, K), zero-mean.

    A bit on a coefficient with residual r has strength t = E|r|, takes t sign(r)
    from it and lowers its mean squared error by t^2: the next bit goes to the
    largest t. That is the order of importance, too, so the first bits of the plan
    are the plan for fewer bits.
    """
    r = c.astype(np.float64).copy()
    strengths = np.abs(r).mean(0)
    last = [-1] * r.shape[1]
    plan = _Plan([], [], [])
    for j in range(m):
        i = int(np.argmax(strengths))
        t = float(strengths[i])
        plan.coefficient.append(i)
        plan.parent.append(last[i])
        plan.strength.append(t)
        last[i] = j
        r[:, i] -= t * np.where(r[:, i] >= 0, 1.0, -1.0)
        strengths[i] = np.abs(r[:, i]).mean()
    return plan


def _set_conv(
    conv: nn.Conv2d | nn.ConvTranspose2d,
    basis: np.ndarray,
    cin: int,
    cout: int,
    paired: tuple[bool, bool],
) -> None:
    """Write a 2x2 transform (rows over (dy, dx, cin)) into a 5x5 stride 2 convolution.

    Works for both directions: a transposed convolution holds the same taps, with
    input and output swapped. ``paired``: whether the low side (pixels) and the
    high side (coefficients) carry +v and -v through a leaky ReLU.
    """
    transposed = isinstance(conv, nn.ConvTranspose2d)
    k = basis.reshape(-1, 2, 2, cin)  # (cout, dy, dx, cin)
    taps = torch.from_numpy(k).float().permute(0, 3, 1, 2)  # (cout, cin, 2, 2)
    weight = conv.weight.data  # (cout, cin, 5, 5); transposed: (in = coefficients, out, 5, 5)
    low, high = paired
    gain = 1 / (1 + _SLOPE)
    weight[: cout * (1 + high)] = 0
    if not transposed:
        weight[:, : cin * (1 + low)] *= 0.3
    else:
        weight[:, : cin * (1 + low)] = 0
    for sh in (1, -1) if high else (1,):
        for sl in (1, -1) if low else (1,):
            # the side that comes in passes a pair, so it is averaged; the other is split
            scale = sh * sl * (gain if (low if not transposed else high) else 1.0)
            o = slice(0, cout) if sh > 0 else slice(cout, 2 * cout)
            i = slice(0, cin) if sl > 0 else slice(cin, 2 * cin)
            weight[o, i, 2:4, 2:4] = scale * taps


def warm_start(config: SignConfig, pictures: Tensor) -> SignModel:
    """Build a model that starts as a block transform with successive signs.

    Args:
        config: activation "leaky-relu", "gdn" or "none"; ``parents`` is replaced.
        pictures: (B, 3, S, S) float in [0, 1], S a multiple of 16: training crops.

    Returns:
        The model, ready to train.
    """
    x = pictures.double().numpy() - 0.5
    pair = config.activation == "leaky-relu"
    width = config.n // (2 if pair else 1)
    bases, f = [], x
    for _ in range(3):
        merged = _merge(f)
        bases.append(_principal(merged, min(merged.shape[-1], width)))
        f = (merged @ bases[-1].T).transpose(0, 3, 1, 2)
    merged = _merge(f)
    mean = np.tile(merged.reshape(-1, 4, f.shape[1]).mean((0, 1)), 4)
    basis = _principal(merged - mean, merged.shape[-1])
    coefficients = ((merged - mean) @ basis.T).reshape(-1, basis.shape[0])
    plan = plan_bits(coefficients, config.m)
    model = SignModel(replace(config, parents=tuple(plan.parent)))
    with torch.no_grad():
        _install(model, bases, basis, mean, plan, pair)
    return model


def _bias(conv: nn.Conv2d | nn.ConvTranspose2d) -> Tensor:
    return cast(Tensor, conv.bias).data


def _install(
    model: SignModel,
    bases: list[np.ndarray],
    basis: np.ndarray,
    mean: np.ndarray,
    plan: _Plan,
    pair: bool,
) -> None:
    convs = [layer for layer in model.g_a if isinstance(layer, nn.Conv2d)]
    deconvs = [layer for layer in model.g_s if isinstance(layer, nn.ConvTranspose2d)]
    for level, b in enumerate(bases):
        cin, cout = b.shape[1] // 4, b.shape[0]
        sides = (pair and level > 0, pair)
        _set_conv(convs[level], b, cin, cout, sides)
        _set_conv(deconvs[3 - level], b, cin, cout, sides)
        _bias(convs[level])[: cout * (1 + pair)] = 0
        _bias(deconvs[3 - level])[: cin * (1 + sides[0])] = 0
    strength = np.array(plan.strength)
    width = 2 * strength  # |y| = 1 lies at two mean magnitudes
    rows = basis[plan.coefficient]  # (M, D)
    root = np.array([p < 0 for p in plan.parent])
    cin = basis.shape[1] // 4
    _set_conv(convs[3], rows / width[:, None] * root[:, None], cin, len(rows), (pair, False))
    _bias(convs[3]).copy_(torch.from_numpy(-(rows @ mean) / width * root))
    _set_conv(deconvs[0], rows * strength[:, None], cin, len(rows), (pair, False))
    v = torch.from_numpy(mean[:cin]).float()
    _bias(deconvs[0])[:cin] = v
    if pair:
        _bias(deconvs[0])[cin : 2 * cin] = -v
    if model.refine is not None:
        for j, p in enumerate(plan.parent):
            if p >= 0:
                model.refine.scale.data[j] = width[p] / width[j]
                model.refine.step.data[j] = strength[p] / width[j]
