"""The transforms of `ladder`: a learned block transform with residual trunks around it.

::

    g_a:  x --- 16x16 stride 16 convolution / step --- y0 ------------ * exp(g) --(+)-- y
          |                                            | asinh                     |
          '-- pixel path: stride 4, stride 8 --(+)-- 1x1 --- 4 blocks --- 1x1 -----'

    g_s:  q ---(+)--- * exp(-g) * step --- transposed 16x16 convolution --- x1 --(+)-- x_hat
          |     |                                                           |     |
          '-- asinh - 1x1 - 4 blocks - 1x1                                  |     |
                        '------- pixel path: stride 8, stride 4 (reads x1) -------'

The 16x16 kernels start as an orthonormal DCT-II on opponent colours, the last layer of every
residual branch starts at zero, so training starts at a classical codec. The step is an input, so
one model serves all rates (Theis et al. 2017, arXiv 1703.00395, section 3.2, has one scale vector
a rate; here the network sees the step).
"""

from __future__ import annotations

import math
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bitcodec.models.ladder.channels import CHANNELS, colour_of_channels, frequency_of_channels
from bitcodec.models.ladder.config import GAIN_TERMS, LadderConfig
from bitcodec.models.ladder.pixel_paths import UP_REACH, PixelDown, PixelUp, taps, zero
from bitcodec.models.ladder.rounded import Rounded, Rounding, block_error, fake_kernels
from bitcodec.models.ladder.steps import LAMBDA_SCALE, STEP_MIDDLE
from bitcodec.models.layers.halo import NO_HALO, Halo, crop_halo
from bitcodec.models.layers.residual_block import DepthwiseBlock
from bitcodec.models.layers.stored_names import keep_stored_names


def dct_kernels() -> Tensor:
    """Orthonormal opponent colours times DCT-II, in coding order: (768, 3, 16, 16)."""
    n = np.arange(16)
    basis = np.cos(math.pi * (2 * n[None] + 1) * n[:, None] / 32) * math.sqrt(2 / 16)
    basis[0] /= math.sqrt(2)
    colours = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]], np.float64)
    colours /= np.linalg.norm(colours, axis=1, keepdims=True)
    c, f = colour_of_channels(), frequency_of_channels()
    kernels = np.einsum("kc,ki,kj->kcij", colours[c], basis[f[:, 0]], basis[f[:, 1]])
    return torch.from_numpy(kernels).float()


def blocks_to_latents(x: Tensor, kernels: Tensor) -> Tensor:
    """The stride-16 convolution with (C, 3, 16, 16) kernels: (N, 3, 16 h, 16 w) to (N, C, h, w).

    Blocks do not overlap, so it is a product of matrices, several times as fast as torch's
    convolutions of that shape.
    """
    n, c, height, width = x.shape
    blocks = x.reshape(n, c, height // 16, 16, width // 16, 16).permute(0, 2, 4, 1, 3, 5)
    return (blocks.flatten(3) @ kernels.flatten(1).t()).permute(0, 3, 1, 2)


def _products(y: Tensor, kernels: Tensor) -> Tensor:
    """(N, C, h, w) times kernels (C, 3, s, s): (N h w, 3 s s)."""
    return y.permute(0, 2, 3, 1).reshape(-1, len(kernels)) @ kernels.flatten(1)


def latents_to_blocks(y: Tensor, kernels: Tensor) -> Tensor:
    """The transposed convolution: (N, C, h, w) to (N, 3, s h, s w), kernels (C, 3, s, s)."""
    n, _, h, w = y.shape
    channels, edge = kernels.shape[1:3]
    blocks = _products(y, kernels).reshape(n, h, w, channels, edge, edge)
    return blocks.permute(0, 3, 1, 4, 2, 5).reshape(n, channels, h * edge, w * edge)


def latents_to_unshuffled4(y: Tensor, kernels: Tensor) -> Tensor:
    """``F.pixel_unshuffle(latents_to_blocks(y, kernels), 4)``: (N, C, h, w) to (N, 48, 4 h, 4 w).

    The kernels are (C, 3, 16, 16). One copy instead of two, and channels-last.
    """
    n, _, h, w = y.shape
    return _unshuffled4(_products(y, kernels).reshape(n, h, w, -1))


def _unshuffled4(rows: Tensor) -> Tensor:
    """Blocks of pixels as rows (N, h, w, 768) to (N, 48, 4 h, 4 w)."""
    n, h, w, _ = rows.shape
    blocks = rows.reshape(n, h, w, 3, 4, 4, 4, 4)
    unshuffled4 = blocks.permute(0, 1, 4, 2, 6, 3, 5, 7).reshape(n, 4 * h, 4 * w, 48)
    return unshuffled4.permute(0, 3, 1, 2)


def _trunk(width: int, count: int, relu: bool = False) -> nn.Sequential:
    """Coefficients and the step's plane to ``width`` channels, blocks, back to coefficients."""
    blocks = (DepthwiseBlock(width, std=1e-3, relu=relu) for _ in range(count))
    first, last = nn.Conv2d(CHANNELS + 1, width, 1), zero(nn.Conv2d(width, CHANNELS, 1))
    return nn.Sequential(first, *blocks, last)


def _enter(first: nn.Conv2d, x: Tensor, step: Tensor) -> Tensor:
    """A trunk's first layer, 1x1, on x, companded by asinh, and a plane of the step."""
    x = x.contiguous(memory_format=torch.channels_last)  # and so all layers after it
    weight, of_step = first.weight[:, :-1], first.weight[:, -1:]
    plane = torch.log(step / STEP_MIDDLE)
    if step.numel() == 1:  # the same everywhere: a part of the bias
        return F.conv2d(x, weight, cast(Tensor, first.bias) + of_step.flatten() * plane.flatten())
    return F.conv2d(x, weight, first.bias) + F.conv2d(plane, of_step)


def correction_scale(step: Tensor) -> Tensor:
    """Grey levels a unit of what the pixel path of g_s puts out, at stride 4 for a map."""
    if step.shape[2:] != (1, 1):
        step = step.repeat_interleave(4, 2).repeat_interleave(4, 3)
    return step * (128 / STEP_MIDDLE)


class Transform(nn.Module):
    """g_a and g_s.

    Pixels are 0..255 here; ``step`` is positive, (N, 1, 1, 1) or a map (N, 1, h, w).

    Attributes:
        use_bfloat16: in all residual paths.
        rounding: what makes them compute as their int8 form does, or None.
    """

    def __init__(self, config: LadderConfig | None = None) -> None:
        super().__init__()
        c = config or LadderConfig()
        kernels = dct_kernels()
        self.analysis_kernels = nn.Parameter(kernels.clone())
        self.synthesis_kernels = nn.Parameter(kernels.clone())
        self.log_gains = nn.Parameter(torch.zeros(GAIN_TERMS, CHANNELS, 1, 1))
        self.analysis_trunk = _trunk(c.width, c.blocks)
        self.synthesis_trunk = _trunk(c.width, c.blocks, relu=True)
        self.down, self.up = PixelDown(c), PixelUp(c)
        self.taps = taps("fa0", "fa_sum", "fs0", "x1")
        names = {
            "analysis_kernels": "wa",
            "synthesis_kernels": "ws",
            "log_gains": "g",
            "analysis_trunk": "fa",
            "synthesis_trunk": "fs",
        }
        keep_stored_names(self, names)
        self.use_bfloat16 = False
        self.rounding: Rounding | None = None

    def _fast(self, x: Tensor) -> torch.autocast:
        return torch.autocast(x.device.type, torch.bfloat16, enabled=self.use_bfloat16)

    def log_gain(self, step: Tensor) -> Tensor:
        """log of each channel's gain, a polynomial in l = log(step / 48): (N, 768, 1, 1).

        Without its higher terms the quantisation of a band, relative to the others, would be the
        same at every rate. As a quantisation matrix that goes with the quality does, it may give
        low rates to other bands than high ones.
        """
        l = torch.log(step / STEP_MIDDLE)  # noqa: E741
        out = self.log_gains[:1]
        for index in range(1, len(self.log_gains)):
            out = out + self.log_gains[index] * l**index
        return out

    def curvature(self, step: Tensor) -> Tensor:
        """Half the second derivative of lam MSE, in bits, by a latent: (N, 768, 1 or h, 1 or w).

        Of the block transform alone, as if its kernels were orthonormal; no less than a sixth of
        what it is where the gain is 1.
        """
        return LAMBDA_SCALE / 3 * torch.exp(-2 * self.log_gain(step)).clamp_min(1 / 6)

    def analyze(self, x: Tensor, step: Tensor) -> Tensor:
        """Pixels (N, 3, 16 h, 16 w) to latents in units of the step, (N, 768, h, w)."""
        rounding = self.rounding if self.rounding and self.rounding.analysis else None
        kernels = self.analysis_kernels
        y0 = blocks_to_latents(x - 128, fake_kernels(kernels) if rounding else kernels) / step
        scaled = y0 * torch.exp(self.log_gain(step))
        pixels = (x - 128) / 64
        with self._fast(x):
            if rounding:
                return scaled + rounding.correct_latents(
                    self.analysis_trunk, self.down, y0, pixels, step
                )
            h = _enter(cast(nn.Conv2d, self.analysis_trunk[0]), torch.asinh(y0), step)
            h = self.taps["fa_sum"](self.taps["fa0"](h) + self.down(pixels))
            correction = self.analysis_trunk[1:](h)
        y: Tensor = scaled + correction.float()
        return y

    def synthesize(self, q: Tensor, step: Tensor) -> Tensor:
        """Quantised latents (N, 768, h, w) to pixels (N, 3, 16 h, 16 w), not clamped."""
        x1, correction = self.synthesize_parts(q, step)
        unshuffled4 = torch.addcmul(x1, correction.float(), correction_scale(step)).add_(128)
        return F.pixel_shuffle(unshuffled4, 4)

    def synthesize_parts(
        self,
        q: Tensor,
        step: Tensor,
        halo: Halo = NO_HALO,
    ) -> tuple[Tensor, Tensor]:
        """The block transform's pixels and what corrects them.

        ``F.pixel_unshuffle(..., 4)`` of the pixels is x1 + :func:`correction_scale` times the
        correction + 128.

        Returns:
            (x1, correction), both (N, 48, 4 h, 4 w) without the halo.
        """
        near, trunk = halo.at_most(UP_REACH[1]), self.synthesis_trunk
        rounding = self.rounding if self.rounding and self.rounding.synthesis else None
        features = None
        with self._fast(q):
            if rounding:
                features = rounding.features(trunk, q, step)
                h = features.real()
            else:
                h = _enter(cast(nn.Conv2d, trunk[0]), torch.asinh(q), step)
                h = trunk[1:-1](self.taps["fs0"](h))
            correction = trunk[-1](crop_halo(h, halo, near, 1))
        step = crop_halo(step, halo, near, 1)
        gain = torch.exp(-self.log_gain(step))
        y_hat = (crop_halo(q, halo, near, 1) + correction.float()) * gain
        one = step.numel() == 1
        kernels = self.synthesis_kernels * step[0] if one else self.synthesis_kernels
        x1 = latents_to_unshuffled4(y_hat if one else y_hat * step, kernels)
        if features:
            x1 = x1 + self._block_error(
                crop_halo(q, halo, near, 1), features.cut(halo, near, 1), step
            )
        x1 = self.taps["x1"](x1)
        with self._fast(q):
            if rounding and features:
                far = halo.at_most(sum(UP_REACH))
                correction = rounding.correct_pixels(self.up, features.cut(halo, far, 1), x1, halo)
            else:
                correction = self.up(h, x1, halo)
        return crop_halo(x1, near, NO_HALO, 4), correction

    def _block_error(self, q: Tensor, features: Rounded, step: Tensor) -> Tensor:
        """See :func:`block_error`; at the middle step of a map."""
        middle = torch.exp(torch.log(step).mean((2, 3), keepdim=True))
        gain = middle * torch.exp(-self.log_gain(middle))
        weight = cast(nn.Conv2d, self.synthesis_trunk[-1]).weight
        return _unshuffled4(block_error(q, features, weight, self.synthesis_kernels, gain))
