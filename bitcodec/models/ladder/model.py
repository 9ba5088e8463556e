"""The `ladder` model in torch: for training, for GPUs, for searching by gradients.

One model serves all rates; the header's rate is the step code, step = 2 ** (code / 1024).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from bitcodec.errors import BitcodecError
from bitcodec.models.ladder.activations import check_ranges
from bitcodec.models.ladder.channels import CHANNELS
from bitcodec.models.ladder.coding import HALO, SEARCH_ROUNDS, LadderCoding
from bitcodec.models.ladder.config import LadderConfig
from bitcodec.models.ladder.context_integer import ContextKernels, IntegerContext
from bitcodec.models.ladder.context_numpy import agrees
from bitcodec.models.ladder.context_torch import TorchKernels
from bitcodec.models.ladder.latent_search import search_latents
from bitcodec.models.ladder.rounded import Rounding
from bitcodec.models.ladder.step_map import codes_in, codes_of, with_offsets
from bitcodec.models.ladder.steps import steps_of_codes
from bitcodec.models.ladder.transform import Transform, correction_scale, latents_to_blocks
from bitcodec.models.layers.halo import NO_HALO, Halo, crop_halo
from bitcodec.models.pinned import pinned
from bitcodec.models.processor import has_bfloat16
from bitcodec.models.torch_model import TorchModel

_ROWS = 8  #: of pixels in unshuffled4 that are finished at a time
_CONTEXT, RANGES = "context.", "ranges."  # of the names of tensors in a weights file


class LadderModel(TorchModel, LadderCoding):
    """Transform and integer context; :meth:`LadderFloatModel.export` makes one.

    Attributes:
        ranges: of the transform's activations, for its int8 form; see :mod:`...ladder.ranges`.
    """

    exact = (_CONTEXT, RANGES)

    def __init__(self, config: LadderConfig | None = None) -> None:
        super().__init__()
        self.config = config or LadderConfig()
        self.halo_in = min(HALO, self.halo_search)
        self.transform = Transform(self.config)
        self.ranges: dict[str, np.ndarray] = {}

    def stored(self) -> dict[str, Tensor]:
        """The transform's tensors, and the context model's integers."""
        more = {_CONTEXT + k: torch.from_numpy(v) for k, v in self.context.tensors.items()}
        more |= {RANGES + k: torch.from_numpy(v) for k, v in self.ranges.items()}
        return {**super().stored(), **more}

    def take_stored(self, tensors: dict[str, Tensor]) -> None:
        """See :class:`TorchModel`."""
        super().take_stored({k: v for k, v in tensors.items() if not k.startswith(self.exact)})
        context, self.ranges = (
            {k.removeprefix(p): v.numpy() for k, v in tensors.items() if k.startswith(p)}
            for p in self.exact
        )
        self.context = IntegerContext(context)
        check_ranges(self.ranges)

    @property
    def _device(self) -> torch.device:
        return self.transform.log_gains.device

    def check(self) -> None:
        """The context model is exact in float32, and its tables are sane."""
        self.context.check()

    @pinned()
    def make_kernels(self) -> ContextKernels:
        """The context model on the CPU; BitcodecError if this torch computes it wrongly."""
        for kind in (torch.float32, torch.float64):
            kernels = TorchKernels(self.context, torch.device("cpu"), kind)
            if agrees(self.context, kernels):
                return kernels
        raise BitcodecError("this torch computes integers wrongly")

    @pinned()
    def encode_tile(self, latents: np.ndarray, rate: int, effort: int) -> bytes:
        """See :class:`LadderCoding`."""
        return super().encode_tile(latents, rate, effort)

    @pinned()
    def decode_tile(
        self, payload: bytes, shape: tuple[int, int], rate: int, mapped: bool = False
    ) -> np.ndarray:
        """See :class:`LadderCoding`."""
        return super().decode_tile(payload, shape, rate, mapped)

    def place(self, device: torch.device) -> LadderModel:
        """As the base class. What decodes on a GPU is rounded as the int8 form on a CPU is.

        On a CPU the residual paths are in bfloat16 where that is faster.
        """
        self.transform.use_bfloat16 = device.type == "cpu" and has_bfloat16(device)
        placed = super().place(device)
        if device.type != "cpu" and self.ranges:
            rounding = Rounding(self.config, self.ranges, device, analysis=False)
            placed.transform.rounding = rounding
        return placed

    def _step(self, codes: int | np.ndarray) -> Tensor:
        g = self.transform.log_gains  # its type too: torch's default is the caller's to set
        return torch.from_numpy(steps_of_codes(codes))[None, None].to(g)

    @pinned()
    def analyze(self, rgb: np.ndarray, rate: int, offsets: np.ndarray | None = None) -> np.ndarray:
        """uint8 (16 h, 16 w, 3) to latents (768, h, w), float32, in units of the step."""
        codes = rate if offsets is None else codes_of(rate, offsets)
        x = torch.from_numpy(rgb).to(self._device).permute(2, 0, 1)[None].float()
        y: np.ndarray = self.transform.analyze(x, self._step(codes))[0].cpu().numpy()
        return with_offsets(y, offsets)

    def search_latents(
        self, rgb: np.ndarray, latents: np.ndarray, rate: int, effort: int
    ) -> np.ndarray:
        """Efforts 7, 8 and 9 take 1, 2 and 5 gradient steps, see ``latent_search``."""
        rounds = SEARCH_ROUNDS.get(effort, 0)
        if not rounds:
            return latents
        coder, offsets = self.latent_coder(), latents[CHANNELS:]

        def encode(targets: np.ndarray) -> tuple[int, np.ndarray]:
            whole = np.concatenate((targets, offsets))
            payload, levels = coder.encode(whole, rate, self.rdoq_weight(effort))
            return 8 * len(payload), levels[:CHANNELS]

        with pinned(gradients=True):  # gradients are needed, whatever the caller has set
            x = torch.from_numpy(rgb).to(self._device).permute(2, 0, 1)[None].float()
            step = self._step(codes_in(latents, rate))
            found = search_latents(
                x,
                latents[:CHANNELS],
                step,
                encode,
                lambda q: self.transform.synthesize(q, step),
                self.transform.curvature(step),
                rounds,
            )
        return np.concatenate((found, offsets))

    @pinned()
    def synthesize_pixels(self, latents: np.ndarray, rate: int, halo: Halo = NO_HALO) -> np.ndarray:
        """int16 (768, h, w) to uint8, (16 h, 16 w, 3) without halo."""
        step = self._step(codes_in(latents, rate))
        q = torch.from_numpy(np.ascontiguousarray(latents[:CHANNELS])).to(self._device)
        q = q[None].float().contiguous(memory_format=torch.channels_last)
        x1, correction = self.transform.synthesize_parts(q, step, halo)
        # Bytes before they are put in their places: less to move.
        unshuffled4 = torch.empty_like(x1, dtype=torch.uint8)
        scale = correction_scale(crop_halo(step, halo, NO_HALO, 1))
        scale = scale.expand(-1, -1, x1.shape[2], -1)
        for at in range(0, x1.shape[2], _ROWS):  # in pieces that stay in the cache
            rows = slice(at, at + _ROWS)
            more = correction[:, :, rows].float()
            x = torch.addcmul(x1[:, :, rows], more, scale[:, :, rows])
            unshuffled4[:, :, rows] = x.add_(128).clamp_(0, 255).round_()
        return F.pixel_shuffle(unshuffled4, 4)[0].permute(1, 2, 0).contiguous().cpu().numpy()

    @pinned()
    def low_pixels(self, latents: np.ndarray, rate: int | np.ndarray, reduce: int) -> np.ndarray:
        """See :class:`LadderCoding`."""
        t, stop = self.transform, len(latents)
        q = torch.from_numpy(np.ascontiguousarray(latents)).to(self._device)[None].float()
        y_hat = q * torch.exp(-t.log_gain(self._step(rate))[:, :stop])
        # The mean of a sum of kernels is the sum of their means, so they are averaged instead.
        kernels = F.avg_pool2d(t.synthesis_kernels[:stop], reduce)
        x = latents_to_blocks(y_hat * self._step(rate), kernels)
        x = (x[0] + 128).clamp(0, 255).round().to(torch.uint8)
        return x.permute(1, 2, 0).cpu().numpy()
