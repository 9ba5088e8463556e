"""The tiles of a file as latents: decoded when first asked for, several at once side by side."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Literal

import numpy as np

from bitcodec.codec.parallel import side_by_side
from bitcodec.errors import ContainerError
from bitcodec.format.container import Source
from bitcodec.format.tiling import Box
from bitcodec.models.base import Model

__all__ = ["Missing", "Tiles"]

Missing = Literal["error", "fill"]  #: what becomes of a part that is not valid


class Tiles:
    """Decodes tiles, and remembers their latents for as long as they are needed.

    Args:
        source: of the file.
        model: the one that made it.
        missing: "error" raises ContainerError for a tile that is not valid; with "fill" it is
            lost: None takes its place.

    Attributes:
        lost: numbers of the tiles that were found to be lost.
        kept: the latents of tiles that are still needed, None for a lost one, or without any.
    """

    def __init__(self, source: Source, model: Model, missing: Missing) -> None:
        self.source, self.model, self.missing = source, model, missing
        self.tiling = source.header.tiling
        self.lost: set[int] = set()
        self.kept: dict[int, np.ndarray | None] = {}
        self._losing = threading.Lock()

    def latents(self, index: int) -> np.ndarray | None:
        """A tile's latents (C, h, w), None where it is lost or has none."""
        if index not in self.kept:
            self.kept[index] = self._decode(index, self.model.decode_tile)
        return self.kept[index]

    def preview(self, index: int, reduce: int) -> np.ndarray | None:
        """A tile's small picture, see :meth:`Model.preview_tile`; None as for its latents."""

        def decode(payload: bytes, shape: tuple[int, int], rate: int, mapped: bool) -> np.ndarray:
            return self.model.preview_tile(payload, shape, rate, reduce, mapped)

        return self._decode(index, decode)

    def gather(self, box: Box) -> np.ndarray | None:
        """The latents (C, h, w) of a box of latents; zeros, or None, where no tile has any."""
        out: np.ndarray | None = None
        touched = list(self.tiling.touching(box.enlarged().clipped(self.tiling.picture)))
        missing = [index for index in touched if index not in self.kept]
        side_by_side(self.latents, missing)
        for index in touched:
            part = self.latents(index)
            if part is None:
                continue
            if out is None:
                # channels fastest in memory, as a tile has them
                out = np.zeros((*box.shape, len(part)), part.dtype).transpose(2, 0, 1)
            tile = self.tiling.latent_box(index)
            if tile == box:
                return part
            shared = tile.clipped(box)
            to, of = shared.within(box), shared.within(tile)
            out[:, to[0], to[1]] = part[:, of[0], of[1]]
        return out

    def drop_before(self, x: int, y: int) -> None:
        """Forget tiles that end at or before column ``x`` or row ``y``, in latents."""
        for index in list(self.kept):
            tile = self.tiling.latent_box(index)
            if tile.x1 <= x or tile.y1 <= y:
                del self.kept[index]

    def _decode(
        self, index: int, decode: Callable[[bytes, tuple[int, int], int, bool], np.ndarray]
    ) -> np.ndarray | None:
        if not self.source.has_payload(index):
            return None
        shape, header = self.tiling.latent_box(index).shape, self.source.header
        try:
            payload = self.source.tile(index)
            try:
                return decode(payload, shape, header.rate, header.mapped)
            except ContainerError as error:
                raise ContainerError(f"tile {index}: {error}") from None
        except ContainerError:
            if self.missing == "error":
                raise
            with self._losing:
                self.lost.add(index)
            return None
