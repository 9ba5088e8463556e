"""What the codec needs of a model, whatever its family."""

from __future__ import annotations

import abc
from typing import Any, ClassVar

import numpy as np

from bitcodec.format.header import Coder
from bitcodec.models.layers.halo import NO_HALO, Halo

BLOCK = 1024  #: edge in pixels of what a network is given at a time, without its halo
MAP_BLOCK = 64  #: edge in pixels of a block of a step map
LARGEST_OFFSET = 8  #: magnitude of the numbers in a step map; 8 of them double the step
SEARCHING = 7  #: efforts from here on may search, see :meth:`Model.search_latents`


class Model(abc.ABC):
    """A network together with its payload coder.

    A picture is coded in tiles. The codec hands a model the pixels of a tile with a
    halo around them, crops the latents to the tile, and has them coded as one
    independent payload; to decode, it hands over latents with a halo and crops the
    pixels. With a halo as wide as the receptive field no seam can show.

    Attributes:
        family: "sign" or "ladder".
        coder: how payloads are coded.
        halo_in: pixels of context that analysis needs, a multiple of 16.
        halo_out: latents of context that synthesis needs.
        at_once: width and height in pixels of the area that is best analysed in one piece.
        has_low_bands: whether there is :meth:`preview_tile`.
        has_step_maps: whether latents may have a plane of offsets after their channels: what is
            added to the step in eighths of an octave, the same for each 64x64 pixels of a tile.
        reductions: what :meth:`synthesize_small` takes.
        name: what the user calls the weights; "" for a model that was never saved.
        model_id: 8 bytes, see :mod:`bitcodec.models.weights_file`; zeros if never saved.
    """

    family: ClassVar[str]
    coder: ClassVar[Coder]
    halo_in: int
    halo_out: int
    at_once: ClassVar[tuple[int, int]] = (2048, 1024)
    has_low_bands: ClassVar[bool] = False
    has_step_maps: ClassVar[bool] = False
    reductions: tuple[int, ...] = ()
    name: str = ""
    model_id: bytes = bytes(8)
    config: Any

    @property
    def halo_search(self) -> int:
        """Pixels of context that :meth:`search_latents` needs, a multiple of 16."""
        return self.halo_in

    @abc.abstractmethod
    def rate_for_quality(self, quality: int) -> int:
        """The header's rate for a quality in 1..100; larger files for larger quality."""

    @property
    @abc.abstractmethod
    def default_quality(self) -> int:
        """The quality of ``encode`` when the user names none."""

    @abc.abstractmethod
    def rd_lambda(self, rate: int) -> float:
        """Lam in rate + lam distortion: bits for a squared error of 1 at a pixel (channels' mean).

        That is the slope of the rate-distortion curve of photographs at a rate.
        """

    @abc.abstractmethod
    def rates(self) -> range:
        """All legal rates, from the smallest file to the largest."""

    @abc.abstractmethod
    def analyze(self, rgb: np.ndarray, rate: int, offsets: np.ndarray | None = None) -> np.ndarray:
        """Pixels to real-valued latents.

        Args:
            rgb: uint8 (16 h, 16 w, 3).
            rate: as in the header.
            offsets: int (h, w) in -8..8, only where ``has_step_maps``.

        Returns:
            (C, h, w) float32; with offsets (C + 1, h, w), these last.
        """

    def search_latents(
        self, rgb: np.ndarray, latents: np.ndarray, rate: int, effort: int
    ) -> np.ndarray:
        """Latents that code better, searched for at high effort; by default what came in.

        Args:
            rgb: what :meth:`analyze` was given.
            latents: what it returned.
            rate: as in the header.
            effort: 0..9.
        """
        return latents

    @abc.abstractmethod
    def encode_tile(self, latents: np.ndarray, rate: int, effort: int) -> bytes:
        """Quantise and code one tile's latents, (C, h, w) or with offsets, as a payload."""

    @abc.abstractmethod
    def decode_tile(
        self, payload: bytes, shape: tuple[int, int], rate: int, mapped: bool = False
    ) -> np.ndarray:
        """A payload back to quantised latents.

        Args:
            payload: what :meth:`encode_tile` returned.
            shape: (h, w) of the tile in latents.
            rate: as in the header.
            mapped: as in the header.

        Returns:
            (C, h, w), int8, int16 or float32; (C + 1, h, w) where mapped, offsets last.

        Raises:
            ContainerError: the payload is not one this model could have made.
        """

    @abc.abstractmethod
    def synthesize_pixels(self, latents: np.ndarray, rate: int, halo: Halo = NO_HALO) -> np.ndarray:
        """Quantised latents to pixels.

        Args:
            latents: (C, h, w), or with offsets (C + 1, h, w), with a halo of ``halo_out`` wherever
                the picture goes on.
            rate: as in the header.
            halo: of these latents; its pixels are left out, with most of the work for them.

        Returns:
            uint8 (16 (h - top - bottom), 16 (w - left - right), 3).
        """

    def synthesize_small(self, latents: np.ndarray, rate: int, reduce: int) -> np.ndarray:
        """About the pixels averaged over squares, from the first layers of the synthesis alone.

        Args:
            latents: (C, h, w), with a halo as for :meth:`synthesize_pixels`.
            rate: as in the header.
            reduce: one of ``reductions``.

        Returns:
            uint8 (16 h / reduce, 16 w / reduce, 3).

        Raises:
            NotImplementedError: ``reductions`` is empty.
        """
        raise NotImplementedError

    def preview_tile(
        self,
        payload: bytes,
        shape: tuple[int, int],
        rate: int,
        reduce: int,
        mapped: bool = False,
    ) -> np.ndarray:
        """About the tile's pixels averaged over squares, from its low frequencies alone.

        Args:
            payload: what :meth:`encode_tile` returned; it need not be valid to its end.
            shape: (h, w) of the tile in latents.
            rate: as in the header.
            reduce: 2, 4, 8 or 16.
            mapped: as in the header.

        Returns:
            uint8 (16 h / reduce, 16 w / reduce, 3).

        Raises:
            ContainerError: the payload is not one this model could have made.
            NotImplementedError: the family's latents are not ordered by frequency.
        """
        raise NotImplementedError
