"""What every form of a `ladder` model does alike: rates, and latents to payloads and back."""

from __future__ import annotations

import abc
from typing import ClassVar

import numpy as np

from bitcodec.errors import ContainerError
from bitcodec.format.header import Coder
from bitcodec.format.tiling import whole_latents
from bitcodec.models.base import Model
from bitcodec.models.fork_safe import fork_safe_lock
from bitcodec.models.ladder.channels import GROUPS, low_groups
from bitcodec.models.ladder.config import LadderConfig
from bitcodec.models.ladder.context_integer import ContextKernels, IntegerContext
from bitcodec.models.ladder.latent_coder import LatentCoder
from bitcodec.models.ladder.step_map import codes_in
from bitcodec.models.ladder.steps import (
    HIGHEST_STEP,
    LAMBDA_SCALE,
    LOWEST_STEP,
    code_of_quality,
    code_of_step,
    step_of_code,
)

SEARCH_ROUNDS = {7: 1, 8: 2, 9: 5}  #: gradient steps of the high efforts
HALO = 64  #: pixels of context for the analysis: beyond, latents change by 0.002 at most
_making = fork_safe_lock()


class LadderCoding(Model, abc.ABC):
    """A `ladder` model without its transforms.

    Attributes:
        config: the shape.
        context: the integer context model.
    """

    family: ClassVar[str] = "ladder"
    coder: ClassVar[Coder] = Coder.RANGED
    halo_out: int = 12
    has_low_bands: ClassVar[bool] = True
    has_step_maps: ClassVar[bool] = True
    config: LadderConfig
    context: IntegerContext
    _coder: LatentCoder | None = None

    @abc.abstractmethod
    def make_kernels(self) -> ContextKernels:
        """What runs the context model's layers."""

    @abc.abstractmethod
    def low_pixels(self, latents: np.ndarray, rate: int | np.ndarray, reduce: int) -> np.ndarray:
        """About the pixels averaged over squares, of the lowest channels alone.

        Args:
            latents: int16 (C, h, w), C up to 768.
            rate: the step code, or int64 (h, w), that of each position.
            reduce: 2, 4, 8 or 16.

        Returns:
            uint8 (16 h / reduce, 16 w / reduce, 3).
        """

    @property
    def halo_search(self) -> int:
        """The whole receptive field of the analysis."""
        return whole_latents(self.config.analysis_reach)

    def rate_for_quality(self, quality: int) -> int:
        """Geometric from step 256 at quality 1 to step 4 at quality 100."""
        return code_of_quality(quality)

    @property
    def default_quality(self) -> int:
        """About 0.55 bits per pixel on photographs."""
        return 45

    def rd_lambda(self, rate: int) -> float:
        """What the networks were trained for."""
        return LAMBDA_SCALE / step_of_code(rate) ** 2

    def rates(self) -> range:
        """Step codes, from the largest step to the smallest."""
        return range(code_of_step(HIGHEST_STEP), code_of_step(LOWEST_STEP) - 1, -1)

    def latent_coder(self) -> LatentCoder:
        """The coder of latents, made once."""
        with _making:  # threads may share a model
            if self._coder is None:
                self._coder = LatentCoder(self.context, self.make_kernels())
            return self._coder

    def use_kernels(self, kernels: ContextKernels) -> None:
        """Run the context model's layers by these, not by :meth:`make_kernels`."""
        self._coder = LatentCoder(self.context, kernels)

    def rdoq_weight(self, effort: int) -> float:
        """Of the squared error against bits in rounding; 0 is plain rounding."""
        return float(self.config.rdo) if effort else 0.0

    def encode_tile(self, latents: np.ndarray, rate: int, effort: int) -> bytes:
        """Effort 0 rounds; from 1 on rounding is rate-distortion optimised."""
        return self.latent_coder().encode(latents, rate, self.rdoq_weight(effort))[0]

    def decode_tile(
        self, payload: bytes, shape: tuple[int, int], rate: int, mapped: bool = False
    ) -> np.ndarray:
        """A payload to int16 (768, h, w), or (769, h, w)."""
        self._check(rate)
        return self.latent_coder().decode(payload, *shape, rate, mapped=mapped)

    def preview_tile(
        self,
        payload: bytes,
        shape: tuple[int, int],
        rate: int,
        reduce: int,
        mapped: bool = False,
    ) -> np.ndarray:
        """The low groups through the block transform, averaged; the residual paths are left out."""
        self._check(rate)
        groups = low_groups(reduce)
        q = self.latent_coder().decode(payload, *shape, rate, groups, mapped)
        return self.low_pixels(q[: GROUPS[groups - 1].stop], codes_in(q, rate), reduce)

    def _check(self, rate: int) -> None:
        if rate not in self.rates():
            raise ContainerError(f"step code {rate} is out of range")
