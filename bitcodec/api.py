"""The functions of ``import bitcodec`` that need a network, and :class:`Codec`."""

from __future__ import annotations

import contextlib
import io
import os
from typing import Any, BinaryIO, NamedTuple, TypeAlias, cast

import numpy as np
from PIL import Image

from bitcodec.arguments import (
    as_bytes,
    check_crop,
    check_device,
    check_encoding,
    check_max_pixels,
    check_switch,
    is_path,
)
from bitcodec.codec.decode import Decoded, Missing, crop_box
from bitcodec.codec.decode import decode as decode_source
from bitcodec.codec.encode import DEFAULT_EFFORT, DEFAULT_TILE, Encoder, encode_picture
from bitcodec.codec.preview import reduction
from bitcodec.codec.target import encode_to_target
from bitcodec.errors import DEFAULT_MAX_PIXELS, ImageError, OptionError
from bitcodec.files import open_file
from bitcodec.format.container import Source, read_header
from bitcodec.models.base import Model
from bitcodec.models.loaded import cached_model, load_model
from bitcodec.picture.images import Picture, open_picture, to_picture, to_pil
from bitcodec.picture.prepare import prepare, refuse_loss

__all__ = ["Codec", "decode", "decode_partial", "encode", "load_model"]

#: a file: bytes or another buffer, its path, or open for reading
Data: TypeAlias = "bytes | bytearray | memoryview | str | os.PathLike[str] | BinaryIO"
Encodable: TypeAlias = "Image.Image | np.ndarray[Any, Any] | Picture | Data"


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
) -> bytes:
    """Encode a picture as the bytes of a ``.bin`` file.

    At most one of quality, bpp, size, psnr and lossless; with none, the model's default quality.

    Args:
        image: a Pillow image of any mode; uint8 of shape (H, W), (H, W, 3) or (H, W, 4); a
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
    picture = prepare(to_picture(_readable(image)), exact=exact or lossless)
    if lossless:
        refuse_loss(picture.notes)
    loaded = _loaded(model, device)
    if lossless:
        return Encoder(picture, loaded, tile=o.tile, effort=o.effort).encode_lossless()
    if o.bpp is None and o.size is None and o.psnr is None:
        rate = loaded.rate_for_quality(loaded.default_quality if o.quality is None else o.quality)
        return encode_picture(picture, loaded, rate, tile=o.tile, effort=o.effort)
    return encode_to_target(
        picture, loaded, bpp=o.bpp, size=o.size, psnr=o.psnr, tile=o.tile, effort=o.effort
    )


def _readable(image: Encodable) -> Image.Image | np.ndarray[Any, Any] | Picture | bytes:
    """The bytes of a picture file that came in another form; other pictures as they are."""
    if isinstance(image, (Picture, Image.Image)):
        return image
    if hasattr(image, "__array__") or isinstance(image, (list, tuple)):
        return np.asarray(image)
    if isinstance(image, memoryview) and image.ndim > 1:
        return np.asarray(image)
    try:
        return as_bytes(image)
    except OptionError as error:
        kinds = "a Pillow image, an array, bytes, a path or a binary file"
        raise ImageError(f"a picture is {kinds}, not {type(image).__name__}") from error


def _loaded(
    model: str | os.PathLike[str] | Model | None, device: str, model_id: bytes | None = None
) -> Model:
    """The model itself, or loaded by its name, else by an id, else the default."""
    if isinstance(model, Model):
        return model
    if model is not None and not is_path(model):
        raise OptionError(f"model must be a name, a path or a model, not {type(model).__name__}")
    return cached_model(os.fspath(model) if model is not None else model_id, device)


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
        loaded = _loaded(self.model, self.device, source.header.model_id)
        box, limit = crop_box(source.header, self.crop), self.max_pixels
        return decode_source(source, loaded, box, self.reduce, max_pixels=limit, missing=missing)


class Codec:
    """Encodes and decodes many pictures with one model, loaded once.

    ::

        >>> codec = bitcodec.Codec("sign", effort=0)  # doctest: +SKIP
        >>> files = [codec.encode(array, quality=40) for array in arrays]  # doctest: +SKIP
        >>> arrays = [codec.decode_array(data) for data in files]  # doctest: +SKIP

    Thread safety: a Codec is never changed after it is made, so any number of threads may call
    its methods at once, and each call gives the bytes that it would give alone. What is passed
    in must not be changed by another thread during the call; that includes Pillow images that
    are not loaded yet (``load()`` them first, or hand over bytes). Most of the work happens
    outside of Python's lock. Each call also uses torch's own threads; with many threads of yours,
    ``torch.set_num_threads(1)`` in each is the fastest. A file depends on the pixels and the
    settings and, where a latent lies on a threshold to within the rounding of a float, on the
    number of torch's threads and the device; its decoding to latents never does.

    To use a model in other processes, make a Codec in each.

    Args:
        model: a name, the path of a weights file, or a loaded model; None for the default.
        device: as in :func:`load_model`; not used for a model that is loaded already.
        effort: 0 (fast) to 9 (slow), of every encode.
        tile: edge of a payload tile in pixels, a multiple of 16.
        max_pixels: refuse larger pictures, where they come as bytes.

    Attributes:
        model: the loaded :class:`~bitcodec.models.base.Model`.

    Raises:
        UnknownModelError, WeightsError: from loading the model.
        BitcodecError: the device is not there.
        OptionError: an option has a wrong type or value.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | Model | None = None,
        *,
        device: str = "auto",
        effort: int = DEFAULT_EFFORT,
        tile: int = DEFAULT_TILE,
        max_pixels: int = DEFAULT_MAX_PIXELS,
    ) -> None:
        options = check_encoding(effort=effort, tile=tile)
        self._device = check_device(device)
        self._max_pixels = check_max_pixels(max_pixels)
        self._effort, self._tile = options.effort, options.tile
        self.model = _loaded(model, device)

    def encode(
        self,
        image: Encodable,
        *,
        quality: int | None = None,
        bpp: float | None = None,
        size: int | None = None,
        psnr: float | None = None,
        exact: bool = False,
        lossless: bool = False,
    ) -> bytes:
        """Encode one picture; arguments and errors are those of :func:`bitcodec.encode`."""
        check_encoding(quality=quality, bpp=bpp, size=size, psnr=psnr, lossless=lossless)
        readable = _readable(image)
        if isinstance(readable, bytes):
            readable = open_picture(readable, max_pixels=self._max_pixels)
        return encode(
            readable,
            model=self.model,
            quality=quality,
            bpp=bpp,
            size=size,
            psnr=psnr,
            effort=self._effort,
            tile=self._tile,
            exact=exact,
            lossless=lossless,
        )

    def decode(self, data: Data) -> Image.Image:
        """Decode one file, of any form that :func:`bitcodec.decode` takes.

        A file of another model is decoded too, if that is one of those that ``bitcodec models``
        lists; it then stays loaded as well.

        Raises:
            ContainerError: not one of our files, damaged, or too large.
            UnknownModelError: no weights file here has the id that the file names.
        """
        data = as_bytes(data)
        model_id = read_header(data).header.model_id
        own = model_id == self.model.model_id
        return decode(
            data,
            model=self.model if own else None,
            device=self._device,
            max_pixels=self._max_pixels,
        )

    def decode_array(self, data: Data) -> np.ndarray[Any, Any]:
        """:meth:`decode`, as uint8: (H, W), (H, W, 2), (H, W, 3) or (H, W, 4) for L, LA, RGB, RGBA.

        The array is a copy of its own, which may be written to.
        """
        return np.array(self.decode(data))

    def __repr__(self) -> str:
        return f"Codec({self.model.name or self.model.family!r}, {self.model.model_id.hex()})"
