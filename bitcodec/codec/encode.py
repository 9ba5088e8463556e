"""Pictures to file bytes, tile by tile.

The analysis sees each tile with a halo of its neighbours, so no seam shows. The payloads do not
depend on each other, so a region can be decoded alone.
"""

from __future__ import annotations

import dataclasses
import functools
import math

import numpy as np

from bitcodec.codec.decode import decode
from bitcodec.codec.layers import Layers, lossless, posterized, split
from bitcodec.codec.step_map import mask_offsets
from bitcodec.errors import OptionError
from bitcodec.format.container import Container, Header, Source, write
from bitcodec.format.limits import allows_overlays, check_overlays, check_work
from bitcodec.format.tiling import DEFAULT_TILE, STRIDE, Box
from bitcodec.models.base import SEARCHING, Model
from bitcodec.picture.alpha import encode_alpha
from bitcodec.picture.images import Picture
from bitcodec.picture.metrics import mse

__all__ = ["DEFAULT_EFFORT", "DEFAULT_TILE", "Encoder", "encode_picture"]

DEFAULT_EFFORT = 5
_TILE_ALLOWANCE = 64  # bytes that a tile of a few pixels may have beyond its raw pixels
_LEVELS = 3.0  # over the root of lam: the step between levels that costs least
_GAIN = 0.9  # what fewer shades must bring a file to, to be worth their error
_EXACT = 48  # bytes that being exact is worth, so that small flat pictures are
_CLOSE = 64  # the search for a rate that fits ends when it is this near


def _analyze(
    rgb: np.ndarray,
    box: Box,
    model: Model,
    rate: int,
    effort: int,
    offsets: np.ndarray | None,
) -> np.ndarray:
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
    if offsets is not None:
        offsets = offsets[around.within(whole)]
    latents = model.analyze(region, rate, offsets)
    latents = model.search_latents(region, latents, rate, effort)
    rows, columns = box.reduced().within(around)
    return latents[:, rows, columns]


def _encode_tiles(
    rgb: np.ndarray, header: Header, model: Model, effort: int, offsets: np.ndarray | None
) -> tuple[bytes, ...]:
    """All payloads, in the order of the tiles.

    Several tiles are analysed at once, so that there is less halo for their area.
    """
    tiling = header.tiling
    out = [b""] * tiling.count
    # The search of the high efforts holds gradients, so it gets a tile at a time.
    at_once = (0, 0) if effort >= SEARCHING else model.at_once
    across, down = (max(1, edge // tiling.tile) for edge in at_once)
    for group in tiling.groups(across, down):
        latents = _analyze(rgb, group, model, header.rate, effort, offsets)
        for index in tiling.touching(group):
            rows, columns = tiling.latent_box(index).within(group.reduced())
            out[index] = model.encode_tile(latents[:, rows, columns], header.rate, effort)
    return tuple(out)


def _fits(payloads: tuple[bytes, ...], rgb: np.ndarray) -> bool:
    return sum(map(len, payloads)) <= rgb.size + _TILE_ALLOWANCE * len(payloads)


def _coarsen(
    rgb: np.ndarray, header: Header, model: Model, effort: int, offsets: np.ndarray | None
) -> tuple[Header, tuple[bytes, ...]]:
    """The finest rate, nearly, whose payloads are no longer than the raw pixels."""
    rates = model.rates()
    low, high = 0, rates.index(header.rate)  # the file at `high` is too long
    header = dataclasses.replace(header, rate=rates[low])
    payloads = _encode_tiles(rgb, header, model, effort, offsets)
    while high - low > _CLOSE:
        middle = dataclasses.replace(header, rate=rates[(low + high) // 2])
        tried = _encode_tiles(rgb, middle, model, effort, offsets)
        if _fits(tried, rgb):
            low, header, payloads = (low + high) // 2, middle, tried
        else:
            high = (low + high) // 2
    return header, payloads


class Encoder:
    """Encodes one picture, at as many rates as are asked for.

    Payloads are never longer than the raw pixels: where the rate asked for would make them so, on
    noise at the highest qualities, a coarser one is taken. Where a picture is drawn rather than
    photographed, or parts of it are, overlays are tried, exact and with fewer shades, and the file
    is taken whose bits plus lam times squared error are the least, lam going with the rate: it
    is never larger than the one that is exact throughout.

    Args:
        picture: what to encode, alpha and metadata included.
        model: from :func:`bitcodec.load_model`.
        tile: edge of a payload tile in pixels, a multiple of 16.
        effort: 0..9; more effort, smaller file or better picture, slower.
        roi: uint8 (H, W) of any size, which is resized: where it is brighter than 128 the
            picture gets better, where it is darker worse; None for a picture like any other.

    Raises:
        OptionError: a roi, and a model that has none.
        ContainerError: a parameter cannot be expressed in the container.
        LimitError: too many tiles, or tiles too large for the model.
    """

    def __init__(
        self,
        picture: Picture,
        model: Model,
        *,
        tile: int = DEFAULT_TILE,
        effort: int = DEFAULT_EFFORT,
        roi: np.ndarray | None = None,
    ) -> None:
        if roi is not None and not model.has_step_maps:
            raise OptionError(f"the model {model.name or model.family} takes no roi")
        self._picture, self._model, self._tile, self._effort = picture, model, tile, effort
        self._offsets: np.ndarray | None = None
        header = self._header(model.rates()[0])
        check_work(header)  # before any work is done
        offsets = None if roi is None else mask_offsets(roi, header.tiling)
        if offsets is not None and offsets.any():
            self._offsets = offsets
        self._alpha = None if picture.alpha is None else encode_alpha(picture.alpha)

    @functools.cached_property
    def _layers(self) -> tuple[Layers, ...]:
        header = self._header(self._model.rates()[0])
        allowed = allows_overlays(header)
        return split(self._picture, header.tiling, self._effort) if allowed else ()

    @property
    def tries_overlays(self) -> bool:
        """Whether it does, so that a file's size follows from no formula."""
        return bool(self._layers)

    def encode(self, rate: int) -> bytes:
        """The bytes of a file; ``rate`` is the family's parameter, see :meth:`Model.rates`."""
        rgb, model = self._picture.rgb, self._model
        header = self._header(rate)
        payloads = _encode_tiles(rgb, header, model, self._effort, self._offsets)
        if not _fits(payloads, rgb):
            header, payloads = _coarsen(rgb, header, model, self._effort, self._offsets)
        files = [self._write(header, payloads)]
        lam = model.rd_lambda(header.rate)
        for layers in self._layers:
            files += self._write_layers(header, layers, _LEVELS / math.sqrt(lam))
        return self._cheapest(files, lam) if len(files) > 1 else files[0]

    def encode_lossless(self) -> bytes:
        """A file of overlays alone, which decodes to the very pixels.

        LimitError where a tile has more than 2**22 pixels.
        """
        header = self._header(self._model.rates()[-1])
        check_overlays(header)
        layers = lossless(self._picture, header.tiling, self._effort)
        return self._write_layers(header, layers)[0]

    def _header(self, rate: int) -> Header:
        height, width = self._picture.rgb.shape[:2]
        model, grey = self._model, self._picture.grey
        mapped = self._offsets is not None
        return Header(model.model_id, width, height, rate, model.coder, self._tile, grey, mapped)

    def _write_layers(
        self, header: Header, layers: Layers, step: float | None = None
    ) -> list[bytes]:
        """A file with these layers; with a step also one of fewer shades, if it is much smaller."""
        tiles = range(header.tiling.count)
        payloads: tuple[bytes, ...] = (b"",) * len(tiles)
        if len(layers.bare) < len(tiles):
            args = header, self._model, self._effort, self._offsets
            payloads = _encode_tiles(layers.below, *args)
        else:
            header = dataclasses.replace(header, mapped=False)
        payloads = tuple(b"" if n in layers.bare else payloads[n] for n in tiles)
        files = [self._write(header, payloads, layers.overlays)]
        if step is not None:
            fewer = posterized(self._picture, layers, header.tiling, self._effort, step)
            data = self._write(header, payloads, fewer.overlays)
            files += [data] if len(data) <= _GAIN * len(files[0]) else []
        return files

    def _cheapest(self, files: list[bytes], lam: float) -> bytes:
        """The file of the least bits + lam times squared error."""
        picture = self._picture
        unseen = None if picture.alpha is None else picture.alpha == 0
        best, least = b"", math.inf
        for data in sorted(files, key=len):
            if 8 * len(data) >= least:
                break
            rgb = decode(Source.of(data), self._model).picture.rgb
            if unseen is not None:
                rgb[unseen] = picture.rgb[unseen]
            error = mse(rgb, picture.rgb) * rgb.size / 3
            cost = 8 * len(data) + lam * error + (8 * _EXACT if error else 0)
            if cost < least:
                best, least = data, cost
        return best

    def _write(
        self, header: Header, payloads: tuple[bytes, ...], overlays: tuple[bytes, ...] = ()
    ) -> bytes:
        picture = self._picture
        return write(Container(header, payloads, self._alpha, picture.icc, picture.exif, overlays))


def encode_picture(
    picture: Picture,
    model: Model,
    rate: int,
    *,
    tile: int = DEFAULT_TILE,
    effort: int = DEFAULT_EFFORT,
    roi: np.ndarray | None = None,
) -> bytes:
    """Encode a picture at one rate; takes and raises what :class:`Encoder` does."""
    return Encoder(picture, model, tile=tile, effort=effort, roi=roi).encode(rate)
