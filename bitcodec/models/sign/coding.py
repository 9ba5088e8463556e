"""What every form of a `sign` model does alike: rates, and bits to payloads and back."""

from __future__ import annotations

import abc
import math
from typing import ClassVar

import numpy as np

from bitcodec.entropy.packed import pack, unpack
from bitcodec.errors import ContainerError
from bitcodec.format.header import Coder
from bitcodec.format.tiling import STRIDE
from bitcodec.models.base import Model
from bitcodec.models.sign.config import SignConfig


class SignCoding(Model, abc.ABC):
    """A `sign` model without its networks.

    Attributes:
        config: the shape.
    """

    family: ClassVar[str] = "sign"
    coder: ClassVar[Coder] = Coder.PACKED
    config: SignConfig

    def take_config(self, config: SignConfig) -> None:
        """Set the configuration, and what follows from it."""
        self.config = config
        # The receptive fields: a block reaches two positions at stride 8.
        self.halo_in, self.halo_out = STRIDE * (2 + config.blocks), 2 + config.blocks
        self.reductions = (8,) if config.preview else ()

    def rate_for_quality(self, quality: int) -> int:
        """Quality is the percentage of the M channels that is sent, at least one."""
        channels: int = round(self.config.m * quality / 100)
        return max(1, channels)

    @property
    def default_quality(self) -> int:
        """All channels."""
        return 100

    def rd_lambda(self, rate: int) -> float:
        """Measured on photographs: 0.0002 at 0.1 bits a pixel, 0.007 at 0.66."""
        return 0.015 * math.pow(rate / STRIDE**2, 1.8)

    def rates(self) -> range:
        """1..M channels."""
        return range(1, self.config.m + 1)

    def encode_tile(self, latents: np.ndarray, rate: int, effort: int) -> bytes:
        """One bit a latent, +1 where the latent is not negative."""
        return pack(latents >= 0)

    def decode_tile(
        self, payload: bytes, shape: tuple[int, int], rate: int, mapped: bool = False
    ) -> np.ndarray:
        """Packed bits to int8 (rate, h, w) of -1 and +1."""
        if rate not in self.rates():
            raise ContainerError(f"rate {rate} is not in 1..{self.config.m}")
        return unpack(payload, (rate, *shape)).astype(np.int8) * 2 - 1
