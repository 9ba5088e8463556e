"""A whole file, a crop, a preview, or what is left of a damaged file: as a picture."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from bitcodec.codec.overlays import Overlays
from bitcodec.codec.preview import average, decode_preview
from bitcodec.codec.region import decode_region
from bitcodec.codec.tiles import Missing, Tiles
from bitcodec.errors import BitcodecError, ContainerError, UnknownModelError
from bitcodec.format.container import Source
from bitcodec.format.header import Header
from bitcodec.format.limits import check_overlays, check_payloads, check_work, impossible_payloads
from bitcodec.format.tiling import Box
from bitcodec.models.base import Model
from bitcodec.picture.alpha import decode_alpha
from bitcodec.picture.images import Picture

__all__ = ["Decoded", "Missing", "crop_box", "decode"]


class Decoded(NamedTuple):
    """A picture, and the names of the parts that it lacks: "alpha", "tile 0", ..."""

    picture: Picture
    lost: tuple[str, ...]


def crop_box(header: Header, crop: tuple[int, int, int, int] | None) -> Box:
    """A crop (x, y, width, height) as a box; BitcodecError if not in the picture."""
    whole = header.tiling.picture
    if crop is None:
        return whole
    x, y, w, h = crop
    box = Box(x, y, x + w, y + h)
    if not whole.holds(box):
        size = f"{header.width}x{header.height}"
        raise BitcodecError(f"the crop {x},{y},{w},{h} is not inside the picture of {size}")
    return box


def decode(
    source: Source,
    model: Model | None,
    box: Box | None = None,
    reduce: int = 1,
    *,
    max_pixels: int | None = None,
    missing: Missing = "error",
) -> Decoded:
    """Decode a file, or a part of it.

    Args:
        source: of the file's parts.
        model: the one that made it; None for a file of overlays alone (``layout.is_bare``).
        box: what is wanted, in pixels, inside the picture; None for all of it.
        reduce: 1, 2, 4, 8 or 16: how many pixels each way become one.
        max_pixels: limit of the work, see :mod:`bitcodec.format.limits`.
        missing: "error" to raise where a part is not valid; "fill" to go on without it, with
            grey for a tile.

    Raises:
        UnknownModelError: the file was made with other weights.
        ContainerError: a part that is wanted is not valid; or with "fill", no tile is.
        LimitError: decoding would take too much memory or work.
    """
    header = source.header
    if not source.layout.is_bare:
        _check_model(header, model)
    check_work(header, max_pixels)
    if source.layout.overlays:
        check_overlays(header)
    box = box or header.tiling.picture
    lengths = [
        span.length if source.has_payload(index) else None
        for index, span in enumerate(source.layout.tiles)
    ]
    if missing == "error":
        check_payloads(header, lengths)
    else:
        _check_any_left(source, lengths, box)
    alpha, has_lost_alpha = _alpha(source, box, reduce, missing)
    rgb, lost_tiles = _below(source, model, box, reduce, missing)
    overlays = Overlays(source, missing)
    overlays.paste(rgb, box, reduce)
    icc, exif = (_metadata(source, name, missing) for name in ("icc", "exif"))
    lost = (
        *(["alpha"] if has_lost_alpha else []),
        *(f"tile {n}" for n in sorted(lost_tiles)),
        *(f"overlay {n}" for n in sorted(overlays.lost)),
    )
    return Decoded(Picture(rgb, alpha, header.grey, icc, exif), lost)


def _below(
    source: Source, model: Model | None, box: Box, reduce: int, missing: Missing
) -> tuple[np.ndarray, set[int]]:
    """What is below the overlays, uint8 (height, width, 3), and the lost tiles."""
    if model is None or source.layout.is_bare:
        # Zeros take no memory before they are written to.
        return np.zeros((*box.reduced(reduce).shape, 3), np.uint8), set()
    tiles = Tiles(source, model, missing)
    if reduce == 1:
        return decode_region(tiles, model, box), tiles.lost
    return decode_preview(tiles, model, box, reduce), tiles.lost


def _check_model(header: Header, model: Model | None) -> None:
    if model is None:
        raise UnknownModelError(f"made with weights {header.model_id.hex()}, which are not given")
    if header.model_id != model.model_id:
        raise UnknownModelError(
            f"made with weights {header.model_id.hex()}, not {model.model_id.hex()} ({model.name})"
        )
    if header.coder is not model.coder:
        raise ContainerError(f"coder {header.coder.name.lower()} is not that of {model.name}")
    if header.rate not in model.rates():
        raise ContainerError(f"rate {header.rate} is not one of {model.name}")


def _check_any_left(source: Source, lengths: Sequence[int | None], box: Box) -> None:
    """ContainerError where every tile that the box touches is lost."""
    impossible = set(impossible_payloads(source.header, lengths))
    for index in source.header.tiling.touching(box):
        readers = [source.overlay] if source.has_overlay(index) else []
        if lengths[index] is not None and index not in impossible:
            readers.append(source.tile)
        for read in readers:
            with contextlib.suppress(ContainerError):
                read(index)
                return
    raise ContainerError("nothing is left of it: every tile is lost")


def _alpha(
    source: Source, box: Box, reduce: int, missing: Missing
) -> tuple[np.ndarray | None, bool]:
    """The alpha channel of a box, reduced, None where there is none; and whether it is lost."""
    tiling = source.header.tiling
    try:
        data = source.section("alpha")
        whole = None if data is None else decode_alpha(data, tiling.width, tiling.height)
    except ContainerError:
        if missing == "error":
            raise
        return None, True
    if whole is None:
        return None, False
    part = box.reduced(reduce).enlarged(reduce).clipped(tiling.picture)
    return average(whole[part.within(tiling.picture)], reduce), False


def _metadata(source: Source, name: str, missing: Missing) -> bytes | None:
    try:
        return source.section(name)
    except ContainerError:
        if missing == "error":
            raise
        return None
