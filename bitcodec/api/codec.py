"""One model for many pictures and threads."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from PIL import Image

from bitcodec.api.arguments import (
    Data,
    Encodable,
    check_encoding,
    check_max_pixels,
    readable,
)
from bitcodec.api.functions import decode, encode
from bitcodec.codec.encode import DEFAULT_EFFORT, DEFAULT_TILE
from bitcodec.errors import DEFAULT_MAX_PIXELS
from bitcodec.files import as_bytes
from bitcodec.format.container import read_header
from bitcodec.models.base import Model
from bitcodec.picture.images import open_picture
from bitcodec.runtime.loaded import check_device, loaded_model

__all__ = ["Codec"]


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
    outside of Python's lock. Each call also uses threads of its own; with many threads of yours,
    ``BITCODEC_THREADS=1`` in the environment is the fastest. A file depends on the pixels and the
    settings and, where a latent lies on a threshold to within the rounding of a float, on the
    processor and the device; its decoding to latents never does.

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
        self.model = loaded_model(model, device)

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
        roi: Encodable | None = None,
    ) -> bytes:
        """Encode one picture; arguments and errors are those of :func:`bitcodec.encode`."""
        check_encoding(quality=quality, bpp=bpp, size=size, psnr=psnr, lossless=lossless)
        picture = readable(image)
        if isinstance(picture, bytes):
            picture = open_picture(picture, max_pixels=self._max_pixels)
        return encode(
            picture,
            model=self.model,
            quality=quality,
            bpp=bpp,
            size=size,
            psnr=psnr,
            effort=self._effort,
            tile=self._tile,
            exact=exact,
            lossless=lossless,
            roi=roi,
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
