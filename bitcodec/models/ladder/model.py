"""The `ladder` model: transforms, integer context model, range-coded latent bits.

One model serves all rates; the header's rate is the step code, step = 2 ** (code / 1024).
"""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from bitcodec.errors import ContainerError
from bitcodec.format.header import Coder
from bitcodec.format.tiling import whole_latents
from bitcodec.models.base import Model
from bitcodec.models.ladder.channels import GROUPS, low_groups
from bitcodec.models.ladder.config import LadderConfig
from bitcodec.models.ladder.context_integer import IntegerContext
from bitcodec.models.ladder.context_reference import make_exact
from bitcodec.models.ladder.latent_coder import LatentCoder
from bitcodec.models.ladder.latent_search import search_latents
from bitcodec.models.ladder.quantize import STEP_CODES
from bitcodec.models.ladder.sparse_synthesis import SparseLatents, SparseSynthesis
from bitcodec.models.ladder.transform import Transform, correction_scale, latents_to_blocks
from bitcodec.models.layers.halo import NO_HALO, Halo
from bitcodec.models.pinned import fork_safe_lock, pinned
from bitcodec.models.processor import has_bfloat16

LOWEST_STEP, HIGHEST_STEP = 2.0, 512.0
_QUALITY_STEPS = (256.0, 4.0)  #: steps of quality 1 and 100
_ROUNDS = {7: 1, 8: 2, 9: 5}  #: gradient steps of the high efforts
_SEARCHED_RDO = 12.0  #: weight at these efforts: the search makes up for bolder rounding
_DENSE = 0.15  #: with a larger share of latents that are not 0 the synthesis is not the sparse one
_HALO = 64  #: pixels; a wider halo changes latents by at most 0.002, bfloat16 by up to 0.04
_ROWS = 8  #: of pixels in unshuffled4 that are finished at a time
_making = fork_safe_lock()


def step_of_code(code: int) -> float:
    """The quantisation step, in 0..255 pixel units of an orthonormal transform."""
    return float(2.0 ** (code / STEP_CODES))


def code_of_step(step: float) -> int:
    """The nearest step code."""
    return round(STEP_CODES * math.log2(step))


class LadderModel(Model):
    """Transform and integer context; made by :func:`~.quantize.export_context`."""

    family: ClassVar[str] = "ladder"
    coder: ClassVar[Coder] = Coder.RANGED
    halo_out: int = 12
    has_low_bands: ClassVar[bool] = True

    def __init__(self, config: LadderConfig | None = None) -> None:
        super().__init__()
        self.config = config or LadderConfig()
        self.halo_in = min(_HALO, self.halo_search)
        self.transform = Transform(self.config)
        self.context = IntegerContext(self.config)
        self._coder: LatentCoder | None = None
        self._sparse: SparseSynthesis | None = None

    @property
    def halo_search(self) -> int:
        """The whole receptive field of the analysis."""
        return whole_latents(self.config.analysis_reach)

    def place(self, device: torch.device) -> LadderModel:
        """As the base class; the residual paths are in bfloat16 where that is faster.

        Pixels then differ by at most 1 from those in float32.
        """
        self.transform.use_bfloat16 = device.type == "cpu" and has_bfloat16(device)
        self._sparse = self._coder = None
        moved = super().place(device)
        if hasattr(self, "context"):  # integers are the CPU's; the trainable form has none
            self.context.cpu()
        return moved

    def check(self) -> None:
        """The context model is exact in float32, and its tables are sane."""
        self.context.check()

    def rate_for_quality(self, quality: int) -> int:
        """Geometric from step 256 at quality 1 to step 4 at quality 100."""
        low, high = (math.log2(step) for step in _QUALITY_STEPS)
        return round(STEP_CODES * (low + (high - low) * (quality - 1) / 99))

    @property
    def default_quality(self) -> int:
        """About 0.55 bits per pixel on photographs."""
        return 45

    def rates(self) -> range:
        """Step codes, from the largest step to the smallest."""
        return range(code_of_step(HIGHEST_STEP), code_of_step(LOWEST_STEP) - 1, -1)

    @pinned()
    def _latent_coder(self) -> LatentCoder:
        with _making:  # threads may share a model
            if self._coder is None:
                self.check()
                make_exact(self.context)
                self._coder = LatentCoder(self.context)
            return self._coder

    def _step(self, rate: int) -> Tensor:
        g = self.transform.log_gains  # its type as well: a caller may have changed torch's default
        return torch.full((1, 1, 1, 1), step_of_code(rate), device=g.device, dtype=g.dtype)

    @property
    def _device(self) -> torch.device:
        return self.transform.log_gains.device

    @pinned()
    def analyze(self, rgb: np.ndarray, rate: int) -> np.ndarray:
        """uint8 (16 h, 16 w, 3) to latents (768, h, w), float32, in units of the step."""
        x = torch.from_numpy(rgb).to(self._device).permute(2, 0, 1)[None].float()
        return self.transform.analyze(x, self._step(rate))[0].cpu().numpy()

    def search_latents(
        self, rgb: np.ndarray, latents: np.ndarray, rate: int, effort: int
    ) -> np.ndarray:
        """Efforts 7, 8 and 9 take 1, 2 and 5 gradient steps, see ``latent_search``."""
        rounds = _ROUNDS.get(effort, 0)
        if not rounds:
            return latents
        coder = self._latent_coder()

        def encode(targets: np.ndarray) -> tuple[int, np.ndarray]:
            payload, levels = coder.encode(targets, rate, self._weight(effort))
            return 8 * len(payload), levels

        with pinned(gradients=True):  # gradients are needed, whatever the caller has set
            x = torch.from_numpy(rgb).to(self._device).permute(2, 0, 1)[None].float()
            step = self._step(rate)
            return search_latents(
                x,
                latents,
                step_of_code(rate),
                encode,
                lambda q: self.transform.synthesize(q, step),
                self._weight(effort),
                rounds,
            )

    def _weight(self, effort: int) -> float:
        """Of the squared error against bits in rounding."""
        rdo = float(self.config.rdo)
        return min(rdo, _SEARCHED_RDO) if effort in _ROUNDS else rdo

    @pinned()
    def encode_tile(self, latents: np.ndarray, rate: int, effort: int) -> bytes:
        """Effort 0 rounds; from 1 on rounding is rate-distortion optimised."""
        rdo = self._weight(effort) if effort else 0.0
        return self._latent_coder().encode(latents, rate, rdo)[0]

    @pinned()
    def decode_tile(self, payload: bytes, shape: tuple[int, int], rate: int) -> np.ndarray:
        """A payload to int16 (768, h, w)."""
        if rate not in self.rates():
            raise ContainerError(f"step code {rate} is out of range")
        return self._latent_coder().decode(payload, *shape, rate)

    @pinned()
    def synthesize_pixels(self, latents: np.ndarray, rate: int, halo: Halo = NO_HALO) -> np.ndarray:
        """int16 (768, h, w) to uint8, (16 h, 16 w, 3) without the halo."""
        step = self._step(rate)
        x1, correction = self._parts(latents, rate, halo)
        # Converted to bytes before they are moved to their places, which moves less.
        unshuffled4 = torch.empty_like(x1, dtype=torch.uint8)
        for at in range(0, x1.shape[2], _ROWS):  # in pieces that stay in the cache
            rows = slice(at, at + _ROWS)
            more = correction[:, :, rows].float()
            x = torch.addcmul(x1[:, :, rows], more, correction_scale(step))
            unshuffled4[:, :, rows] = x.add_(128).clamp_(0, 255).round_()
        return F.pixel_shuffle(unshuffled4, 4)[0].permute(1, 2, 0).contiguous().cpu().numpy()

    def _parts(self, latents: np.ndarray, rate: int, halo: Halo) -> tuple[Tensor, Tensor]:
        """See :meth:`Transform.synthesize_parts`; by the way that is faster for these latents."""
        device = self._device
        if np.count_nonzero(latents) > _DENSE * latents.size:
            q = torch.from_numpy(latents).to(device)[None].float()
            q = q.contiguous(memory_format=torch.channels_last)
            return self.transform.synthesize_parts(q, self._step(rate), halo)
        with _making:
            if self._sparse is None:
                self._sparse = SparseSynthesis(self.transform)
        return self._sparse.parts(SparseLatents.of(latents, device), step_of_code(rate), halo)

    @pinned()
    def preview_tile(
        self, payload: bytes, shape: tuple[int, int], rate: int, reduce: int
    ) -> np.ndarray:
        """The low groups through the block transform, averaged; the residual paths are left out."""
        if rate not in self.rates():
            raise ContainerError(f"step code {rate} is out of range")
        groups = low_groups(reduce)
        stop = GROUPS[groups - 1].stop
        q = self._latent_coder().decode(payload, *shape, rate, groups)[:stop]
        t = self.transform
        gain = torch.exp(-t.log_gain(self._step(rate))[:, :stop])
        y_hat = torch.from_numpy(q).to(self._device)[None].float() * gain
        # The mean of a sum of kernels is the sum of their means, so they are averaged instead.
        kernels = F.avg_pool2d(t.synthesis_kernels[:stop], reduce)
        x = latents_to_blocks(y_hat * self._step(rate), kernels)
        x = (x[0] + 128).clamp(0, 255).round().to(torch.uint8)
        return x.permute(1, 2, 0).cpu().numpy()
