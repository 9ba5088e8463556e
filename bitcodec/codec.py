"""Pictures to file bytes and back, tile by tile.

The transforms run over each tile with a halo of its neighbours, the payloads are independent.
So memory is bounded by a few rows of tiles, a region can be decoded alone, and no seam shows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import numpy as np

from bitcodec.container import Container, Header, write
from bitcodec.errors import UnknownModelError
from bitcodec.images import Picture, decode_alpha, encode_alpha
from bitcodec.models.base import STRIDE, Model

DEFAULT_TILE = 1024
DEFAULT_EFFORT = 5

TileSource = Callable[[int], "np.ndarray | None"]  #: index to latents (C, h, w), None if lost


def _ceil16(pixels: int) -> int:
    return -(-pixels // STRIDE) * STRIDE


def _analyze_tile(
    rgb: np.ndarray, box: tuple[int, int, int, int], model: Model, rate: int
) -> np.ndarray:
    """Latents of the tile ``box`` (x0, y0, x1, y1), its halo cut off again."""
    x0, y0, x1, y1 = box
    height, width = rgb.shape[:2]
    left, top = max(0, x0 - model.halo_in), max(0, y0 - model.halo_in)
    right = min(_ceil16(width), _ceil16(x1) + model.halo_in)
    bottom = min(_ceil16(height), _ceil16(y1) + model.halo_in)
    region = rgb[top : min(bottom, height), left : min(right, width)]
    missing = (bottom - top - region.shape[0], right - left - region.shape[1])
    if any(missing):  # extend the picture by its edge pixels to whole latents
        region = np.pad(region, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="edge")
    latents = model.analyze(np.ascontiguousarray(region), rate)
    i, j = (y0 - top) // STRIDE, (x0 - left) // STRIDE
    h, w = -(-(y1 - y0) // STRIDE), -(-(x1 - x0) // STRIDE)
    return latents[:, i : i + h, j : j + w]


def encode_picture(
    picture: Picture,
    model: Model,
    rate: int,
    *,
    tile: int = DEFAULT_TILE,
    effort: int = DEFAULT_EFFORT,
) -> bytes:
    """Encode a picture as the bytes of a ``.bin`` file.

    Args:
        picture: what to encode, alpha and metadata included.
        model: from :func:`bitcodec.load_model`.
        rate: the family's rate parameter, see :meth:`Model.rates`.
        tile: edge of a payload tile in pixels, a multiple of 16.
        effort: 0..9; more effort, smaller file or better picture, slower.

    Raises:
        ContainerError: a parameter cannot be expressed in the container.
    """
    height, width = picture.rgb.shape[:2]
    header = Header(model.model_id, width, height, rate, model.coder, tile, picture.grey)
    payloads = tuple(
        model.encode_tile(
            _analyze_tile(picture.rgb, header.tile_box(index), model, rate), rate, effort
        )
        for index in range(header.tile_count)
    )
    alpha = None if picture.alpha is None else encode_alpha(picture.alpha)
    return write(Container(header, payloads, alpha, picture.icc, picture.exif))


class _TileCache:
    """Latents of tiles, decoded when first asked for; rows above the one in work are dropped."""

    def __init__(self, header: Header, source: TileSource) -> None:
        self.header, self.source = header, source
        self.tiles: dict[int, np.ndarray | None] = {}

    def drop_rows_before(self, row: int) -> None:
        for index in [i for i in self.tiles if i // self.header.tiles_x < row]:
            del self.tiles[index]

    def get(self, index: int) -> np.ndarray | None:
        if index not in self.tiles:
            self.tiles[index] = self.source(index)
        return self.tiles[index]

    def gather(self, x0: int, y0: int, x1: int, y1: int) -> np.ndarray | None:
        """Latents of a box in latent units, lost tiles as zeros; None if all are lost."""
        edge = self.header.tile // STRIDE
        out: np.ndarray | None = None
        for ty in range(y0 // edge, -(-y1 // edge)):
            for tx in range(x0 // edge, -(-x1 // edge)):
                part = self.get(ty * self.header.tiles_x + tx)
                if part is None:
                    continue
                if out is None:
                    out = np.zeros((part.shape[0], y1 - y0, x1 - x0), part.dtype)
                top, left = max(y0, ty * edge), max(x0, tx * edge)
                bottom, right = min(y1, (ty + 1) * edge), min(x1, (tx + 1) * edge)
                out[:, top - y0 : bottom - y0, left - x0 : right - x0] = part[
                    :, top - ty * edge : bottom - ty * edge, left - tx * edge : right - tx * edge
                ]
        return out


def decode_region(
    header: Header, source: TileSource, model: Model, box: tuple[int, int, int, int]
) -> np.ndarray:
    """Pixels of a box (x0, y0, x1, y1) inside the picture, reading only the tiles it needs.

    Args:
        header: of the file.
        source: gives the latents of a tile, or None where they are lost; the pixels of
            lost tiles are mid-grey.
        model: whose id is the header's.
        box: in pixels, right and bottom exclusive.

    Returns:
        uint8 (y1 - y0, x1 - x0, 3).
    """
    bx0, by0, bx1, by1 = box
    rgb = np.full((by1 - by0, bx1 - bx0, 3), 128, np.uint8)
    cache, halo = _TileCache(header, source), model.halo_out
    grid_w, grid_h = -(-header.width // STRIDE), -(-header.height // STRIDE)
    for index in range(header.tile_count):
        tx0, ty0, tx1, ty1 = header.tile_box(index)
        x0, y0, x1, y1 = max(tx0, bx0), max(ty0, by0), min(tx1, bx1), min(ty1, by1)
        if x0 >= x1 or y0 >= y1:
            continue
        cache.drop_rows_before(index // header.tiles_x - 1)
        if cache.get(index) is None:
            continue
        left, top = max(0, x0 // STRIDE - halo), max(0, y0 // STRIDE - halo)
        right = min(grid_w, -(-x1 // STRIDE) + halo)
        bottom = min(grid_h, -(-y1 // STRIDE) + halo)
        latents = cast(np.ndarray, cache.gather(left, top, right, bottom))
        pixels = model.synthesize_pixels(latents, header.rate)
        i, j = y0 - top * STRIDE, x0 - left * STRIDE
        rgb[y0 - by0 : y1 - by0, x0 - bx0 : x1 - bx0] = pixels[i : i + y1 - y0, j : j + x1 - x0]
    return rgb


def tile_source(container: Container, model: Model) -> TileSource:
    """Latents of a container's tiles, decoded on demand."""

    def source(index: int) -> np.ndarray:
        x0, y0, x1, y1 = container.header.tile_box(index)
        shape = (-(-(y1 - y0) // STRIDE), -(-(x1 - x0) // STRIDE))
        return model.decode_tile(container.tiles[index], shape, container.header.rate)

    return source


def decode_container(container: Container, model: Model) -> Picture:
    """Decode a container that was read and checked.

    Args:
        container: from :func:`bitcodec.container.read`.
        model: the one that made it.

    Raises:
        UnknownModelError: the file was made with other weights.
        ContainerError: a payload or the alpha section is not valid.
    """
    header = container.header
    if header.model_id != model.model_id:
        raise UnknownModelError(
            f"made with weights {header.model_id.hex()}, not {model.model_id.hex()} ({model.name})"
        )
    alpha = None
    if container.alpha is not None:
        alpha = decode_alpha(container.alpha, header.width, header.height)
    box = (0, 0, header.width, header.height)
    rgb = decode_region(header, tile_source(container, model), model, box)
    return Picture(rgb, alpha, header.grey, container.icc, container.exif, ())
