"""The classic codec: four convolutions, one sign, four deconvolutions.

Source: a student report on binarized latents, after Courbariaux et al.,
"Binarized Neural Networks" (arXiv 1602.02830). The rate is fixed by the number
of latent channels: a channel is one bit for every 16x16 pixels, m channels are
m / 256 bits per pixel. Channels are ordered by training with random truncation
(nested dropout, Rippel et al. 2014, arXiv 1402.0915), so that the first m of
them are a codec of their own and one weights file serves every rate.

Beyond the report, a latent channel may refine another one: see
:mod:`bitcodec.models.sign.residual_binarization`.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bitcodec.format.tiling import STRIDE
from bitcodec.models.base import BLOCK
from bitcodec.models.layers.blocks import in_blocks
from bitcodec.models.layers.halo import NO_HALO, Halo, crop_halo
from bitcodec.models.layers.residual_block import DepthwiseBlock
from bitcodec.models.layers.stored_names import keep_stored_names
from bitcodec.models.pinned import pinned
from bitcodec.models.sign.binarize import binarize
from bitcodec.models.sign.coding import SignCoding
from bitcodec.models.sign.config import Activation, Rule, SignConfig
from bitcodec.models.sign.residual_binarization import Refinement
from bitcodec.models.torch_model import TorchModel


class GDN1(nn.Module):
    """Simplified (inverse) generalised divisive normalisation.

    y_i = x_i / (beta_i + sum_j gamma_ij |x_j|), or times for the inverse:
    Johnston et al., "Computationally Efficient Neural Image Compression"
    (arXiv 1912.08771), the exponents fixed at 1. (N, C, H, W) in and out.
    """

    def __init__(self, channels: int, inverse: bool = False) -> None:
        super().__init__()
        self.inverse = inverse
        self.beta = nn.Parameter(torch.ones(channels))
        gamma = 0.02 * torch.eye(channels) + 5e-4 * torch.rand(channels, channels)
        self.gamma = nn.Parameter(gamma[:, :, None, None])

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (N, C, H, W); the parameters are kept positive here."""
        norm = F.conv2d(x.abs(), self.gamma.abs(), self.beta.abs() + 1e-3)
        return x * norm if self.inverse else x / norm


def _activation(kind: Activation, channels: int, inverse: bool) -> nn.Module:
    if kind == "none":
        return nn.Identity()
    if kind == "relu":
        return nn.ReLU()
    if kind == "leaky-relu":
        return nn.LeakyReLU(0.1)
    if kind == "gdn":
        return GDN1(channels, inverse)
    raise ValueError(f"unknown activation {kind!r}")


def _conv(cin: int, cout: int) -> nn.Conv2d:
    return nn.Conv2d(cin, cout, 5, stride=2, padding=2)


def _deconv(cin: int, cout: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(cin, cout, 5, stride=2, padding=2, output_padding=1)


def _pixels(x: Tensor) -> np.ndarray:
    """(1, 3, H, W) in 0..1, or about it, to uint8 (H, W, 3)."""
    return (x[0].clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()


class SignModel(TorchModel, SignCoding):
    """g_a, sign, g_s.

    ::

        x (N,3,H,W) in [0,1]
          | g_a   conv conv conv [blocks] conv, 5x5 stride 2
        y (N,M,ceil(H/16),ceil(W/16))
          | g_q   sign(hardtanh(y))
        bits, of which the first m channels are kept
          | g_s   deconv [blocks] deconv deconv deconv, 5x5 stride 2
        x_hat (N,3,H,W) in [0,1]
    """

    def __init__(self, config: SignConfig | None = None) -> None:
        super().__init__()
        self.take_config(config or SignConfig())
        c = self.config
        n, act = c.n, c.activation
        self.g_a = nn.Sequential(
            _conv(3, n),
            _activation(act, n, False),
            _conv(n, n),
            _activation(act, n, False),
            _conv(n, n),
            _activation(act, n, False),
            *(DepthwiseBlock(n) for _ in range(c.blocks)),
            _conv(n, c.m),
        )
        self.g_s = nn.Sequential(
            _deconv(c.m, n),
            _activation(act, n, True),
            *(DepthwiseBlock(n) for _ in range(c.blocks)),
            _deconv(n, n),
            _activation(act, n, True),
            _deconv(n, n),
            _activation(act, n, True),
            _deconv(n, 3),
        )
        self.preview_head = nn.Conv2d(n, 3, 3, padding=1) if c.preview else None
        keep_stored_names(self, {"preview_head": "small"})
        self.refine = Refinement(c.parents) if c.parents else None

    def _latents(self, x: Tensor, rule: Rule) -> tuple[Tensor, Tensor]:
        """Latents y and bits of a picture (N, 3, H, W), both (N, M, h, w)."""
        h, w = x.shape[-2:]
        x = F.pad(x, (0, -w % STRIDE, 0, -h % STRIDE), mode="replicate")
        y = self._analysis(x - 0.5)
        if self.refine is not None:  # thresholds need float32 under autocast
            y, b = self.refine(y.float(), rule, self.config.levels)
            return y, b
        return y, binarize(y, rule, self.config.levels)

    def _analysis(self, x: Tensor) -> Tensor:
        """g_a of (N, 3, 16 h, 16 w).

        What is large is done in blocks, first to stride 8 and then on, with the results of the
        whole: so memory is bounded and what is worked on stays in the cache.
        """
        if torch.is_grad_enabled() or max(x.shape[-2:]) <= 2 * BLOCK:
            return cast(Tensor, self.g_a(x))
        x = in_blocks(self.g_a[:6], x, (STRIDE, 2), 1, BLOCK, torch.cat)
        return in_blocks(self.g_a[6:], x, (2, 1), 1 + self.config.blocks, BLOCK, torch.cat)

    def compress(self, x: Tensor) -> Tensor:
        """g_a alone: the real-valued latents before the sign.

        Args:
            x: (N, 3, H, W), float, in [0, 1], any H and W from 1.

        Returns:
            (N, M, ceil(H/16), ceil(W/16)); the picture is extended by its edge
            pixels to a multiple of 16.
        """
        return self._latents(x, "deterministic")[0]

    def quantize(self, x: Tensor) -> Tensor:
        """Picture to latent bits, deterministically.

        Args:
            x: (N, 3, H, W), float, in [0, 1].

        Returns:
            (N, M, ceil(H/16), ceil(W/16)) of the configured levels.
        """
        return self._latents(x, "deterministic")[1]

    def decompress(self, y_hat: Tensor) -> Tensor:
        """Latent bits to pixels.

        Args:
            y_hat: (N, m, h, w) with 1 <= m <= M: the first m channels, of the
                configured levels.

        Returns:
            (N, 3, 16 h, 16 w) clamped to [0, 1].
        """
        return self.synthesize(y_hat).clamp(0, 1)

    def synthesize(self, y_hat: Tensor) -> Tensor:
        """As :meth:`decompress` but not clamped, which is what training needs."""
        x_hat: Tensor = self.g_s(self._filled(y_hat)) + 0.5
        return x_hat

    def _filled(self, y_hat: Tensor) -> Tensor:
        """All M channels; one that is not sent counts as 0."""
        return F.pad(y_hat, (0, 0, 0, 0, 0, self.config.m - y_hat.shape[1]))

    def stride8_features(self, y_hat: Tensor) -> Tensor:
        """What the synthesis has at stride 8: (N, m, h, w) to (N, N channels, 2 h, 2 w)."""
        out: Tensor = self.g_s[: 2 + self.config.blocks](self._filled(y_hat))
        return out

    def forward(self, x: Tensor, channels: Tensor | None = None) -> Tensor:
        """Encode and decode, differentiably.

        Args:
            x: (N, 3, H, W), float, in [0, 1].
            channels: (N,) integers: how many channels each picture keeps;
                None keeps all.

        Returns:
            (N, 3, H, W), clamped to [0, 1] outside training.
        """
        _, y_hat = self._latents(x, self.config.binarizer if self.training else "deterministic")
        if channels is not None:
            keep = torch.arange(y_hat.shape[1], device=x.device) < channels[:, None]
            y_hat = y_hat * keep[:, :, None, None].to(y_hat.dtype)
        x_hat = self.synthesize(y_hat)[..., : x.shape[-2], : x.shape[-1]]
        return x_hat if self.training else x_hat.clamp(0, 1)

    @pinned()
    def analyze(self, rgb: np.ndarray, rate: int, offsets: np.ndarray | None = None) -> np.ndarray:
        """uint8 (16 h, 16 w, 3) to latents (rate, h, w), float32."""
        x = torch.from_numpy(rgb).to(self._device).permute(2, 0, 1)[None].float() / 255
        return self.compress(x)[0, :rate].cpu().numpy()

    def _values(self, latents: np.ndarray) -> Tensor:
        """int8 -1 and +1 (rate, h, w) to the configured levels, (1, rate, h, w)."""
        b = torch.from_numpy(latents).to(self._device)[None].float()
        return b if self.config.levels == "plus-minus" else (b + 1) / 2

    @pinned()
    def synthesize_pixels(self, latents: np.ndarray, rate: int, halo: Halo = NO_HALO) -> np.ndarray:
        """int8 (rate, h, w) to uint8, (16 h, 16 w, 3) without the halo."""
        # From stride 8 on the transposed convolutions read one latent around their own.
        near = halo.at_most(1)
        x = crop_halo(self.stride8_features(self._values(latents)), halo, near, 2)
        x = self.g_s[2 + self.config.blocks :](x)
        return _pixels(crop_halo(x, near, NO_HALO, 16) + 0.5)

    @pinned()
    def synthesize_small(self, latents: np.ndarray, rate: int, reduce: int) -> np.ndarray:
        """int8 (rate, h, w) to uint8 (2 h, 2 w, 3), where there is ``SignConfig.preview``."""
        if self.preview_head is None or reduce != 8:
            raise NotImplementedError
        return _pixels(self.preview_head(self.stride8_features(self._values(latents))) + 0.5)

    @property
    def _device(self) -> torch.device:
        return next(self.parameters()).device
