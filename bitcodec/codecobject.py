"""A model that stays loaded, with the settings that go with it, for batches and for threads."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from PIL import Image

from bitcodec import api
from bitcodec.codec.encode import DEFAULT_EFFORT, DEFAULT_TILE
from bitcodec.format import container
from bitcodec.format.container import DEFAULT_MAX_PIXELS
from bitcodec.models.base import Model
from bitcodec.picture import images
from bitcodec.picture.images import Picture

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
    outside of Python's lock. Each call also uses torch's own threads; with many threads of yours,
    ``torch.set_num_threads(1)`` in each is the fastest. A file depends on the pixels and the
    settings and, where a latent lies on a threshold to within the rounding of a float, on the
    number of torch's threads and the device; its decoding to latents never does.

    To use a model in other processes, make a Codec in each.

    Args:
        model: a name, the path of a weights file, or a loaded model; None for the default.
        device: "auto", "cpu" or "cuda"; not used for a model that is loaded already.
        effort: 0 (fast) to 9 (slow), of every encode.
        tile: edge of a payload tile in pixels, a multiple of 16.
        max_pixels: refuse larger pictures, where they come as bytes.

    Attributes:
        model: the loaded :class:`~bitcodec.models.base.Model`.

    Raises:
        UnknownModelError, WeightsError: from loading the model.
        BitcodecError: the device is not there.
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
        self._device = device
        if isinstance(model, Model):
            self.model = model
        else:
            self.model = api.cached_model(None if model is None else os.fspath(model), device)
        self._effort, self._tile, self._max_pixels = effort, tile, max_pixels

    def encode(
        self,
        image: Image.Image | np.ndarray[Any, Any] | Picture | bytes,
        *,
        quality: int | None = None,
        bpp: float | None = None,
        size: int | None = None,
        psnr: float | None = None,
    ) -> bytes:
        """Encode one picture; at most one of quality, bpp, size and psnr.

        Args:
            image: a Pillow image; uint8 of shape (H, W), (H, W, 3) or (H, W, 4); the bytes of a
                picture file (PNG, JPEG, ...); or a :class:`~bitcodec.picture.images.Picture`.
            quality: 1 (smallest file) to 100 (best picture).
            bpp: bits per pixel of the whole file.
            size: bytes of the whole file, at most.
            psnr: dB over RGB, at least.

        Returns:
            A ``.bin`` file.

        Raises:
            ImageError: the picture cannot be read or encoded.
            TargetError: the target cannot be reached.
            ContainerError: the tile size has no place in the file.
        """
        if isinstance(image, bytes):
            image = images.open_picture(image, max_pixels=self._max_pixels)
        return api.encode(
            image,
            model=self.model,
            quality=quality,
            bpp=bpp,
            size=size,
            psnr=psnr,
            effort=self._effort,
            tile=self._tile,
        )

    def decode(self, data: bytes) -> Image.Image:
        """Decode one file to a Pillow image of mode RGB, L, RGBA or LA.

        A file of another model is decoded too, if that is one of those that ``bitcodec models``
        lists; it then stays loaded as well.

        Raises:
            ContainerError: not one of our files, damaged, or too large.
            UnknownModelError: no weights file here has the id that the file names.
        """
        model_id = container.read_header(data).header.model_id
        own = model_id == self.model.model_id
        return api.decode(
            data,
            model=self.model if own else None,
            device=self._device,
            max_pixels=self._max_pixels,
        )

    def decode_array(self, data: bytes) -> np.ndarray[Any, Any]:
        """:meth:`decode`, as uint8: (H, W), (H, W, 2), (H, W, 3) or (H, W, 4) for L, LA, RGB, RGBA.

        The array is a copy of its own, which may be written to.
        """
        return np.array(self.decode(data))

    def __repr__(self) -> str:
        return f"Codec({self.model.name or self.model.family!r}, {self.model.model_id.hex()})"
