"""Encode and decode as functions."""

from __future__ import annotations

import contextlib
import io
import os
from typing import BinaryIO, NamedTuple, cast

from PIL import Image

from bitcodec.api.arguments import (
    Data,
    Encodable,
    check_crop,
    check_encoding,
    check_max_pixels,
    check_switch,
    mask_of,
    readable,
)
from bitcodec.codec.decode import Decoded, Missing, crop_box
from bitcodec.codec.decode import decode as decode_source
from bitcodec.codec.encode import DEFAULT_EFFORT, DEFAULT_TILE, Encoder, encode_picture
from bitcodec.codec.preview import reduction
from bitcodec.codec.target import encode_to_target
from bitcodec.errors import DEFAULT_MAX_PIXELS, OptionError
from bitcodec.files import as_bytes, open_file
from bitcodec.format.container import Source
from bitcodec.models.base import Model
from bitcodec.picture.images import to_picture, to_pil
from bitcodec.picture.prepare import prepare, refuse_loss
from bitcodec.runtime.loaded import check_device, loaded_model

__all__ = ["decode", "decode_partial", "encode"]


def encode(
    image: Encodable,
    *,
    model: str | Model | None = None,
    quality: int | None = None,
    bpp: float | None = None,
    size: int | None = None,
    psnr: float | None = None,
    effort: int = DEFAULT_EFFORT,
    tile: int = DEFAULT_TILE,
    device: str = "auto",
    exact: bool = False,
    lossless: bool = False,
    roi: Encodable | None = None,
) -> bytes:
    """Encode a picture as the bytes of a ``.bin`` file.

    At most one of quality, bpp, size, psnr and lossless; with none, the model's default quality.

    Args:
        image: a Pillow image of any mode; uint8 of shape (H, W) or (H, W, 2, 3 or 4); a
            picture file, as bytes or another buffer, by its path, or open for reading; or what
            :func:`bitcodec.picture.images.open_picture` returns.
        model: a name, the path of a weights file, or a loaded model; None for the default.
        quality: 1 (smallest file) to 100 (best picture).
        bpp: bits per pixel of the whole file.
        size: bytes of the whole file, at most.
        psnr: dB over RGB, at least.
        effort: 0 (fast) to 9 (slow): smaller files or better pictures, for the same decoder.
        tile: edge of a payload tile in pixels, a multiple of 16.
        device: as in :func:`load_model`; not used for a model that is loaded already.
        exact: keep the colours of pixels under an alpha of 0, which nobody sees. By default they
            become those of their neighbours, which costs less.
        lossless: keep every pixel as it is, those under an alpha of 0 too.
        roi: a picture of what matters, in any form that ``image`` may have, of any size, which
            is resized: brighter is better. Where it is grey 128 nothing changes, at 255 the
            step is half as large, at 0 twice; the mean over each 64x64 pixels counts. Only for
            models of the family ``ladder``; not with ``lossless``.

    A picture whose three channels are the same everywhere is coded as grey, and comes back as one
    channel; or, where its colour profile is for RGB, as three that are the same.

    Raises:
        ImageError: the picture cannot be read or encoded.
        TargetError: the bpp, size or PSNR cannot be reached, a target has a wrong type or
            value, or there are several.
        OptionError: another option has a wrong type or value.
        FileError: the file cannot be read.
        UnknownModelError, WeightsError: from loading the model.
        ContainerError: a parameter has no place in the file.
    """
    check_switch("exact", exact)
    check_switch("lossless", lossless)
    o = check_encoding(
        quality=quality,
        bpp=bpp,
        size=size,
        psnr=psnr,
        lossless=lossless,
        effort=effort,
        tile=tile,
    )
    check_device(device)
    picture = prepare(to_picture(readable(image)), exact=exact or lossless)
    mask = mask_of(roi)
    if lossless:
        refuse_loss(picture.notes)
        if mask is not None:
            raise OptionError("roi and lossless exclude each other")
    loaded = loaded_model(model, device)
    if lossless:
        return Encoder(picture, loaded, tile=o.tile, effort=o.effort).encode_lossless()
    if o.bpp is None and o.size is None and o.psnr is None:
        rate = loaded.rate_for_quality(loaded.default_quality if o.quality is None else o.quality)
        return encode_picture(picture, loaded, rate, tile=o.tile, effort=o.effort, roi=mask)
    return encode_to_target(
        picture,
        loaded,
        bpp=o.bpp,
        size=o.size,
        psnr=o.psnr,
        tile=o.tile,
        effort=o.effort,
        roi=mask,
    )


def decode(
    data: Data,
    *,
    model: str | Model | None = None,
    device: str = "auto",
    max_pixels: int = DEFAULT_MAX_PIXELS,
    crop: tuple[int, int, int, int] | None = None,
    scale: float = 1,
) -> Image.Image:
    """Decode a ``.bin`` file with the model that it names.

    Args:
        data: the whole file as bytes or another buffer, its path, or a binary file open for
            reading. With ``crop``, only the tiles that are needed are read and checked, of an
            open file that is seekable.
        model: where to find that model, if not among those that ``bitcodec models`` lists: the
            path of its weights file, or the loaded model.
        device: as in :func:`load_model`.
        max_pixels: refuse larger pictures.
        crop: x, y, width and height of the part to decode, in pixels of the full picture.
        scale: 1, 1/2, 1/4, 1/8 or 1/16 of the width and height, rounded up. Below 1 it is a
            preview: about the mean of the pixels that each of its own stands for.

    Returns:
        An image of mode RGB, L, RGBA or LA; its ``info`` has the ICC profile and EXIF.

    Raises:
        ContainerError: not one of our files, damaged, or too large.
        UnknownModelError: no weights file here has the id that the file names, or ``model``
            has another.
        WeightsError: it has, but is damaged.
        BitcodecError: the crop is not inside the picture, or there is no such scale.
        OptionError: an option, or ``data``, has a wrong type or value.
        FileError: the file cannot be read.
        OSError: reading from an open file fails.
    """
    wanted = _Wanted.checked(model, device, max_pixels, crop, scale)
    with contextlib.ExitStack() as stack:
        source = Source(_seekable(data, stack), max_pixels=wanted.max_pixels)
        if crop is None:
            source.check()
        return to_pil(wanted.decode(source, "error").picture)


def _seekable(data: Data, stack: contextlib.ExitStack) -> BinaryIO:
    if isinstance(data, (str, os.PathLike)):
        return stack.enter_context(open_file(data))
    binary = callable(getattr(data, "seekable", None)) and not isinstance(data, io.TextIOBase)
    if binary and cast(BinaryIO, data).seekable():
        return cast(BinaryIO, data)
    return io.BytesIO(as_bytes(data))


def decode_partial(
    data: Data,
    *,
    model: str | Model | None = None,
    device: str = "auto",
    max_pixels: int = DEFAULT_MAX_PIXELS,
    crop: tuple[int, int, int, int] | None = None,
    scale: float = 1,
) -> tuple[Image.Image, list[str]]:
    """Decode what is left of a damaged or truncated file whose header is whole.

    Takes and raises what :func:`decode` does, but damage behind the header is no error, unless
    no tile is left (ContainerError).

    Returns:
        The image, with mid-grey for every tile that is lost and opaque where alpha is; and the
        names of what is lost, in the order of the file: "tile 0", ..., "overlay 0", ..., "alpha",
        "icc", "exif", or "end of file" where all of these are whole. The list is empty for an
        intact file.
    """
    wanted = _Wanted.checked(model, device, max_pixels, crop, scale)
    source = Source.of(as_bytes(data), max_pixels=wanted.max_pixels)
    done = wanted.decode(source, "fill")
    return to_pil(done.picture), sorted({*source.damaged(), *done.lost}, key=_file_order)


def _file_order(name: str) -> tuple[int, int, str]:
    """Sorts names of parts: tiles, overlays, and the others, which are in alphabetical order."""
    kind, _, number = name.partition(" ")
    numbered = kind in ("tile", "overlay")
    return ("tile", "overlay", kind).index(kind), int(number) if numbered else 0, name


class _Wanted(NamedTuple):
    """The options of decoding, checked."""

    model: str | Model | None
    device: str
    max_pixels: int
    crop: tuple[int, int, int, int] | None
    reduce: int

    @classmethod
    def checked(
        cls, model: str | Model | None, device: str, max_pixels: int, crop: object, scale: float
    ) -> _Wanted:
        limit = check_max_pixels(max_pixels)
        return cls(model, check_device(device), limit, check_crop(crop), reduction(scale))

    def decode(self, source: Source, missing: Missing) -> Decoded:
        bare, model_id = source.layout.is_bare, source.header.model_id
        loaded = None if bare else loaded_model(self.model, self.device, model_id)
        box, limit = crop_box(source.header, self.crop), self.max_pixels
        return decode_source(source, loaded, box, self.reduce, max_pixels=limit, missing=missing)
