"""A whole file, a crop, a preview, or what is left of a damaged file: as a picture.

:class:`Parts` hides where the bytes come from, so that one function decodes them all.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from bitcodec.codec.preview import average, small_region
from bitcodec.codec.region import Box, decode_region, reduced_box, tiles_in
from bitcodec.errors import BitcodecError, ContainerError, UnknownModelError
from bitcodec.format import container
from bitcodec.format.container import Container, Layout, PartialContainer
from bitcodec.format.header import Header
from bitcodec.format.limits import check_payloads, check_work, impossible_payloads
from bitcodec.models.base import Model
from bitcodec.picture.images import Picture, decode_alpha

__all__ = ["Parts", "View", "crop_box", "decode_parts", "parts_of", "parts_of_file"]


@dataclass(frozen=True)
class Parts:
    """A file's header, and its parts on demand.

    Attributes:
        header: of the file.
        payload: of a tile's index; None where it is lost; may raise ContainerError.
        section: of "alpha", "icc" or "exif"; None where there is none; may raise ContainerError.
        lengths: of all payloads in bytes, None for those that are lost.
    """

    header: Header
    payload: Callable[[int], bytes | None]
    section: Callable[[str], bytes | None]
    lengths: Sequence[int | None]


def parts_of(parts: Container | PartialContainer) -> Parts:
    """Parts of a file that has been read."""
    lengths = [None if tile is None else len(tile) for tile in parts.tiles]
    return Parts(parts.header, parts.tiles.__getitem__, lambda name: getattr(parts, name), lengths)


def parts_of_file(file: BinaryIO, layout: Layout) -> Parts:
    """Parts of a seekable file, each read and checked when it is asked for."""
    return Parts(
        layout.header,
        lambda index: container.load_span(file, layout.tiles[index], f"tile {index}"),
        lambda name: container.load_section(file, layout, name),
        [span.length for span in layout.tiles],
    )


@dataclass(frozen=True)
class View:
    """What of a picture is wanted.

    Attributes:
        crop: x, y, width, height in pixels of the full picture, None for all of it.
        reduce: 1, 2, 4, 8 or 16: how many pixels each way become one.
    """

    crop: tuple[int, int, int, int] | None = None
    reduce: int = 1


def crop_box(header: Header, crop: tuple[int, int, int, int] | None) -> Box:
    """A crop (x, y, width, height) as (x0, y0, x1, y1); BitcodecError if not in the picture."""
    if crop is None:
        return 0, 0, header.width, header.height
    x, y, w, h = crop
    if min(x, y) < 0 or min(w, h) < 1 or x + w > header.width or y + h > header.height:
        size = f"{header.width}x{header.height}"
        raise BitcodecError(f"the crop {x},{y},{w},{h} is not inside the picture of {size}")
    return x, y, x + w, y + h


class _Decoder:
    """Latents and previews of tiles; where ``lost`` is a list, bad ones are named there."""

    def __init__(self, parts: Parts, model: Model, lost: list[str] | None) -> None:
        self.parts, self.model, self.lost = parts, model, lost
        self.reading = threading.Lock()  # a file has one position, and tiles may come side by side

    def _tile(
        self, index: int, work: Callable[[bytes, tuple[int, int], int], np.ndarray]
    ) -> np.ndarray | None:
        header = self.parts.header
        x0, y0, x1, y1 = header.latent_box(index)
        with self.reading:
            payload = self.parts.payload(index)
        if payload is None:
            return None
        try:
            return work(payload, (y1 - y0, x1 - x0), header.rate)
        except ContainerError as error:
            if self.lost is None:
                raise ContainerError(f"tile {index}: {error}") from None
            with self.reading:
                name = f"tile {index}"
                self.lost += [] if name in self.lost else [name]
            return None

    def latents(self, index: int) -> np.ndarray | None:
        return self._tile(index, self.model.decode_tile)

    def preview(self, index: int, reduce: int) -> np.ndarray | None:
        def work(payload: bytes, shape: tuple[int, int], rate: int) -> np.ndarray:
            return self.model.preview_tile(payload, shape, rate, reduce)

        return self._tile(index, work)

    def alpha(self, box: Box, reduce: int) -> np.ndarray | None:
        header = self.parts.header
        data = self.parts.section("alpha")
        if data is None:
            return None
        try:
            whole = decode_alpha(data, header.width, header.height)
        except ContainerError:
            if self.lost is None:
                raise
            self.lost.append("alpha")
            return None
        x0, y0, x1, y1 = reduced_box(box, reduce)
        rows = slice(y0 * reduce, y1 * reduce), slice(x0 * reduce, x1 * reduce)
        return average(whole[rows], reduce)


def _check_any(parts: Parts, box: Box) -> None:
    """ContainerError where no tile in the box can be saved: a picture of grey helps nobody."""
    bad = set(impossible_payloads(parts.header, parts.lengths))
    if len(bad) == len(parts.lengths) or all(i in bad for i, _ in tiles_in(parts.header, box)):
        raise ContainerError("nothing is left of it: every tile is lost")


def decode_parts(
    parts: Parts,
    model: Model,
    view: View | None = None,
    *,
    max_pixels: int | None = None,
    lost: list[str] | None = None,
) -> Picture:
    """Decode a file, or a view of it.

    Args:
        parts: of the file.
        model: the one that made it.
        view: what is wanted; None for the whole picture.
        max_pixels: limit of the work, see :mod:`bitcodec.format.limits`.
        lost: None to raise where a part is not valid; a list to go on without it, with grey
            for a tile, and to have its name put there: "tile 0", ..., "alpha".

    Raises:
        UnknownModelError: the file was made with other weights.
        ContainerError: a payload or the alpha section is not valid.
        LimitError: decoding would take too much memory or work.
        BitcodecError: the crop is not inside the picture.
    """
    view = view or View()
    header, reduce = parts.header, view.reduce
    if header.model_id != model.model_id:
        raise UnknownModelError(
            f"made with weights {header.model_id.hex()}, not {model.model_id.hex()} ({model.name})"
        )
    if header.coder is not model.coder:
        raise ContainerError(f"coder {header.coder.name.lower()} is not that of {model.name}")
    if header.rate not in model.rates():
        raise ContainerError(f"rate {header.rate} is not one of {model.name}")
    check_work(header, max_pixels)
    box = crop_box(header, view.crop)
    if lost is None:
        check_payloads(header, parts.lengths)
    else:
        _check_any(parts, box)
    decoder = _Decoder(parts, model, lost)
    alpha = decoder.alpha(box, reduce)
    if reduce == 1:
        rgb = decode_region(header, decoder.latents, model, box)
    else:
        previews = decoder.preview if model.has_low_bands else None
        rgb = small_region(header, model, decoder.latents, previews, box, reduce)
    if lost:  # tiles decoded side by side are missed in any order
        lost.sort(key=lambda name: int(name.removeprefix("tile ")) if name != "alpha" else -1)
    icc, exif = parts.section("icc"), parts.section("exif")
    return Picture(rgb, alpha, header.grey, icc, exif, ())
