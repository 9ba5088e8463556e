"""Pictures to file bytes, tile by tile.

The analysis sees each tile with a halo of its neighbours, so no seam shows. The payloads do not
depend on each other, so a region can be decoded alone.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from bitcodec.format.container import Container, Header, write
from bitcodec.format.limits import check_work
from bitcodec.format.tiling import DEFAULT_TILE, STRIDE, Box
from bitcodec.models.base import SEARCHING, Model
from bitcodec.picture.images import Picture, encode_alpha

__all__ = ["DEFAULT_EFFORT", "DEFAULT_TILE", "encode_picture"]

DEFAULT_EFFORT = 5
_TILE_ALLOWANCE = 64  # bytes that a tile of a few pixels may have beyond its raw pixels
_CLOSE = 64  # the search for a rate that fits ends when it is this near


def _analyze(rgb: np.ndarray, box: Box, model: Model, rate: int, effort: int) -> np.ndarray:
    """Latents of a box of pixels, one tile or several, its halo cut off again."""
    height, width = rgb.shape[:2]
    halo = model.halo_search if effort >= SEARCHING else model.halo_in
    whole = Box(0, 0, width, height).reduced()
    around = box.reduced().grown(halo // STRIDE).clipped(whole)
    x0, y0, x1, y1 = around.enlarged()
    region = rgb[y0:y1, x0:x1]
    missing = (y1 - y0 - region.shape[0], x1 - x0 - region.shape[1])
    if any(missing):  # extend the picture by its edge pixels to whole latents
        region = np.pad(region, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="edge")
    region = np.ascontiguousarray(region)
    latents = model.search_latents(region, model.analyze(region, rate), rate, effort)
    rows, columns = box.reduced().within(around)
    return latents[:, rows, columns]


def _encode_tiles(rgb: np.ndarray, header: Header, model: Model, effort: int) -> tuple[bytes, ...]:
    """All payloads, in the order of the tiles.

    Several tiles are analysed at once, so that there is less halo for their area.
    """
    tiling = header.tiling
    out = [b""] * tiling.count
    # The search of the high efforts holds gradients, so it gets a tile at a time.
    at_once = (0, 0) if effort >= SEARCHING else model.at_once
    across, down = (max(1, edge // tiling.tile) for edge in at_once)
    for group in tiling.groups(across, down):
        latents = _analyze(rgb, group, model, header.rate, effort)
        for index in tiling.touching(group):
            rows, columns = tiling.latent_box(index).within(group.reduced())
            out[index] = model.encode_tile(latents[:, rows, columns], header.rate, effort)
    return tuple(out)


def _fits(payloads: tuple[bytes, ...], rgb: np.ndarray) -> bool:
    return sum(map(len, payloads)) <= rgb.size + _TILE_ALLOWANCE * len(payloads)


def _coarsen(
    rgb: np.ndarray, header: Header, model: Model, effort: int
) -> tuple[Header, tuple[bytes, ...]]:
    """The finest rate, nearly, whose payloads are no longer than the raw pixels."""
    rates = model.rates()
    low, high = 0, rates.index(header.rate)  # the file at `high` is too long
    header = dataclasses.replace(header, rate=rates[low])
    payloads = _encode_tiles(rgb, header, model, effort)
    while high - low > _CLOSE:
        middle = dataclasses.replace(header, rate=rates[(low + high) // 2])
        tried = _encode_tiles(rgb, middle, model, effort)
        if _fits(tried, rgb):
            low, header, payloads = (low + high) // 2, middle, tried
        else:
            high = (low + high) // 2
    return header, payloads


def encode_picture(
    picture: Picture,
    model: Model,
    rate: int,
    *,
    tile: int = DEFAULT_TILE,
    effort: int = DEFAULT_EFFORT,
) -> bytes:
    """Encode a picture as the bytes of a ``.bin`` file.

    Payloads are never longer than the raw pixels: where the rate asked for would make them so, on
    noise at the highest qualities, a coarser one is taken.

    Args:
        picture: what to encode, alpha and metadata included.
        model: from :func:`bitcodec.load_model`.
        rate: the family's rate parameter, see :meth:`Model.rates`.
        tile: edge of a payload tile in pixels, a multiple of 16.
        effort: 0..9; more effort, smaller file or better picture, slower.

    Raises:
        ContainerError: a parameter cannot be expressed in the container.
        LimitError: too many tiles, or tiles too large for the model.
    """
    height, width = picture.rgb.shape[:2]
    header = Header(model.model_id, width, height, rate, model.coder, tile, picture.grey)
    check_work(header)  # before any work is done
    payloads = _encode_tiles(picture.rgb, header, model, effort)
    if not _fits(payloads, picture.rgb):
        header, payloads = _coarsen(picture.rgb, header, model, effort)
    alpha = None if picture.alpha is None else encode_alpha(picture.alpha)
    return write(Container(header, payloads, alpha, picture.icc, picture.exif))
