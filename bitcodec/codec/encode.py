"""Pictures to file bytes and back, tile by tile.

The transforms run over each tile with a halo of its neighbours, the payloads are independent.
So memory is bounded by a few rows of tiles, a region can be decoded alone, and no seam shows.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from bitcodec.codec.decode import decode_parts, parts_of
from bitcodec.codec.region import decode_region
from bitcodec.format.container import Container, Header, write
from bitcodec.format.limits import check_work
from bitcodec.models.base import SEARCHING, STRIDE, Model
from bitcodec.picture.images import Picture, encode_alpha

__all__ = [
    "DEFAULT_EFFORT",
    "DEFAULT_TILE",
    "decode_container",
    "decode_region",
    "encode_picture",
]

DEFAULT_TILE = 1024
DEFAULT_EFFORT = 5
_TILE_ALLOWANCE = 64  # bytes: what a tile of a few pixels costs at least
_CLOSE = 64  # rates: near enough, in the search for one that fits


def _ceil16(pixels: int) -> int:
    return -(-pixels // STRIDE) * STRIDE


def _analyze(
    rgb: np.ndarray, box: tuple[int, int, int, int], model: Model, rate: int, effort: int
) -> np.ndarray:
    """Latents of ``box`` (x0, y0, x1, y1), one tile or several, its halo cut off again."""
    x0, y0, x1, y1 = box
    height, width = rgb.shape[:2]
    halo = model.halo_search if effort >= SEARCHING else model.halo_in
    left, top = max(0, x0 - halo), max(0, y0 - halo)
    right = min(_ceil16(width), _ceil16(x1) + halo)
    bottom = min(_ceil16(height), _ceil16(y1) + halo)
    region = rgb[top : min(bottom, height), left : min(right, width)]
    missing = (bottom - top - region.shape[0], right - left - region.shape[1])
    if any(missing):  # extend the picture by its edge pixels to whole latents
        region = np.pad(region, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="edge")
    region = np.ascontiguousarray(region)
    latents = model.search(region, model.analyze(region, rate), rate, effort)
    i, j = (y0 - top) // STRIDE, (x0 - left) // STRIDE
    h, w = -(-(y1 - y0) // STRIDE), -(-(x1 - x0) // STRIDE)
    return latents[:, i : i + h, j : j + w]


def _encode_tiles(rgb: np.ndarray, header: Header, model: Model, effort: int) -> tuple[bytes, ...]:
    """All payloads, in the order of the tiles.

    Several tiles are analysed at once, so that there is less halo for their area.
    """
    out = [b""] * header.tile_count
    # The search of the high efforts holds gradients, so it gets a tile at a time.
    most = (0, 0) if effort >= SEARCHING else model.at_once
    across, down = (max(1, edge // header.tile) for edge in most)
    for top in range(0, header.tiles_y, down):
        for left in range(0, header.tiles_x, across):
            right, bottom = min(header.tiles_x, left + across), min(header.tiles_y, top + down)
            x0, y0, _, _ = header.tile_box(top * header.tiles_x + left)
            _, _, x1, y1 = header.tile_box((bottom - 1) * header.tiles_x + right - 1)
            latents = _analyze(rgb, (x0, y0, x1, y1), model, header.rate, effort)
            for row in range(top, bottom):
                for index in range(row * header.tiles_x + left, row * header.tiles_x + right):
                    a, b, c, d = header.tile_box(index)
                    rows = slice((b - y0) // STRIDE, -(-(d - y0) // STRIDE))
                    columns = slice((a - x0) // STRIDE, -(-(c - x0) // STRIDE))
                    part = latents[:, rows, columns]
                    out[index] = model.encode_tile(part, header.rate, effort)
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
    check_work(header)  # before the work, not after it
    payloads = _encode_tiles(picture.rgb, header, model, effort)
    if not _fits(payloads, picture.rgb):
        header, payloads = _coarsen(picture.rgb, header, model, effort)
    alpha = None if picture.alpha is None else encode_alpha(picture.alpha)
    return write(Container(header, payloads, alpha, picture.icc, picture.exif))


def decode_container(container: Container, model: Model) -> Picture:
    """Decode a container that was read and checked.

    Args:
        container: from :func:`bitcodec.format.container.read`.
        model: the one that made it.

    Raises:
        UnknownModelError: the file was made with other weights.
        ContainerError: a payload or the alpha section is not valid.
        LimitError: its tiles are too large to decode.
    """
    return decode_parts(parts_of(container), model)
