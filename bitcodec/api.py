"""The functions that ``import bitcodec`` offers and that need a network."""

from __future__ import annotations

import io
import os
import threading
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from PIL import Image

from bitcodec.codec.decode import Decoded, Missing, crop_box
from bitcodec.codec.decode import decode as decode_source
from bitcodec.codec.encode import DEFAULT_EFFORT, DEFAULT_TILE, encode_picture
from bitcodec.codec.preview import reduction
from bitcodec.codec.target import encode_to_target
from bitcodec.errors import BitcodecError, ImageError, TargetError
from bitcodec.format.container import DEFAULT_MAX_PIXELS, Source
from bitcodec.models import registry
from bitcodec.models.base import Model
from bitcodec.models.weights import load_weights
from bitcodec.picture import images
from bitcodec.picture.images import Picture


def load_model(name_or_path: str | os.PathLike[str], *, device: str = "auto") -> Model:
    """Load a model once, to use it for many pictures.

    Args:
        name_or_path: a name that ``bitcodec models`` lists, or a weights file.
        device: "cpu", "cuda", or "auto" for CUDA where there is one.

    Raises:
        UnknownModelError: there is no such model.
        WeightsError: its file is damaged.
        BitcodecError: the device is not there.
    """
    return load_weights(registry.find_by_name(name_or_path).path, device=_device(device))


def cached_model(model: str | bytes | None, device: str = "auto") -> Model:
    """A model that stays loaded in this process.

    Args:
        model: a name, a path, the 8 bytes of an id, or None for the default.
        device: as in :func:`load_model`.

    Raises:
        What :func:`load_model` raises.
    """
    if isinstance(model, bytes):
        entry = registry.find_by_id(model)
    else:
        entry = registry.find_by_name(model or registry.default_model())
    # The id is part of the key, so that a file that was replaced is loaded anew.
    key = entry.path, entry.model_id, _device(device)
    with _loading:  # threads that want the same model wait for one load
        return _load(*key)


_loading = threading.Lock()


@lru_cache(maxsize=4)
def _load(path: Path, model_id: bytes, device: str) -> Model:
    return load_weights(path, device=device)


def _device(device: str) -> str:
    if device not in ("auto", "cpu", "cuda"):
        raise BitcodecError(f"unknown device {device!r} (one of auto, cpu, cuda)")
    there = torch.cuda.is_available()
    if device == "cuda" and not there:
        raise BitcodecError("no CUDA device here")
    if device == "auto":
        return "cuda" if there else "cpu"
    return device


def encode(
    image: Image.Image | np.ndarray[Any, Any] | Picture | bytes,
    *,
    model: str | Model | None = None,
    quality: int | None = None,
    bpp: float | None = None,
    size: int | None = None,
    psnr: float | None = None,
    effort: int = DEFAULT_EFFORT,
    tile: int = DEFAULT_TILE,
    device: str = "auto",
) -> bytes:
    """Encode a picture as the bytes of a ``.bin`` file.

    At most one of quality, bpp, size and psnr; with none, the model's default quality.

    Args:
        image: a Pillow image of any mode; uint8 of shape (H, W), (H, W, 3) or (H, W, 4); the
            bytes of a picture file; or what :func:`bitcodec.picture.images.open_picture` returns.
        model: a name, the path of a weights file, or a loaded model; None for the default.
        quality: 1 (smallest file) to 100 (best picture).
        bpp: bits per pixel of the whole file.
        size: bytes of the whole file, at most.
        psnr: dB over RGB, at least.
        effort: 0 (fast) to 9 (slow): smaller files or better pictures, for the same decoder.
        tile: edge of a payload tile in pixels, a multiple of 16.
        device: "auto", "cpu" or "cuda"; not used for a model that is loaded already.

    Raises:
        ImageError: the picture cannot be read or encoded.
        TargetError: the bpp, size or PSNR cannot be reached, the quality is not in
            1..100, or there are several targets.
        UnknownModelError, WeightsError: from loading the model.
        ContainerError: a parameter has no place in the file.
    """
    _refuse_several(quality=quality, bpp=bpp, size=size, psnr=psnr)
    picture = _as_picture(image)
    loaded = model if isinstance(model, Model) else cached_model(model, device)
    if bpp is None and size is None and psnr is None:
        chosen = loaded.rate_for_quality(_quality(quality, loaded))
        return encode_picture(picture, loaded, chosen, tile=tile, effort=effort)
    return encode_to_target(
        picture, loaded, bpp=bpp, size=size, psnr=psnr, tile=tile, effort=effort
    )


def _quality(quality: int | None, model: Model) -> int:
    if quality is None:
        return model.default_quality
    if not 1 <= quality <= 100:
        raise TargetError(f"quality {quality} is not in 1..100")
    return quality


def _refuse_several(**targets: float | None) -> None:
    given = [name for name, value in targets.items() if value is not None]
    if len(given) > 1:
        raise TargetError(f"{' and '.join(given)} exclude each other")


def _as_picture(image: Image.Image | np.ndarray[Any, Any] | Picture | bytes) -> Picture:
    if isinstance(image, Picture):
        return image
    if isinstance(image, bytes):
        return images.open_picture(image)
    return images.from_pil(_as_pil(image))


def _as_pil(image: Image.Image | np.ndarray[Any, Any]) -> Image.Image:
    if isinstance(image, Image.Image):
        return image
    array = np.asarray(image)
    if array.dtype != np.uint8:
        raise ImageError(f"an array must be uint8, not {array.dtype}")
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        raise ImageError(f"an array must be (H, W), (H, W, 3) or (H, W, 4), not {array.shape}")
    if 0 in array.shape:
        raise ImageError("a picture without pixels")
    return Image.fromarray(np.ascontiguousarray(array))


def decode(
    data: bytes | BinaryIO,
    *,
    model: str | Model | None = None,
    device: str = "auto",
    max_pixels: int = DEFAULT_MAX_PIXELS,
    crop: tuple[int, int, int, int] | None = None,
    scale: float = 1,
) -> Image.Image:
    """Decode a ``.bin`` file with the model that it names.

    Args:
        data: the whole file, or a seekable binary file open for reading. With ``crop``, only the
            tiles that are needed are read and checked.
        model: where to find that model, if not among those that ``bitcodec models`` lists: the
            path of its weights file, or the loaded model.
        device: "auto", "cpu" or "cuda".
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
        OSError: reading ``data`` fails.
    """
    file = io.BytesIO(data) if isinstance(data, bytes) else data
    source = Source(file, max_pixels=max_pixels)
    if crop is None:
        source.check()
    done = _decode(source, model, device, max_pixels, crop, scale, "error")
    return images.to_pil(done.picture)


def decode_partial(
    data: bytes,
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
        names of what is lost, in the order of the file: "tile 0", ..., "alpha", "icc", "exif",
        or "end of file" where all of these are whole. The list is empty for an intact file.
    """
    source = Source.of(data, max_pixels=max_pixels)
    done = _decode(source, model, device, max_pixels, crop, scale, "fill")
    return images.to_pil(done.picture), sorted({*source.damaged(), *done.lost}, key=_file_order)


def _file_order(name: str) -> tuple[bool, int, str]:
    """Sorts names of parts: tiles by number; the others come in alphabetical order in a file."""
    number = name.removeprefix("tile ")
    return not number.isdigit(), int(number) if number.isdigit() else 0, name


def _decode(
    source: Source,
    model: str | Model | None,
    device: str,
    max_pixels: int,
    crop: tuple[int, int, int, int] | None,
    scale: float,
    missing: Missing,
) -> Decoded:
    reduce, header = reduction(scale), source.header
    loaded = model if isinstance(model, Model) else cached_model(model or header.model_id, device)
    box = crop_box(header, crop)
    return decode_source(source, loaded, box, reduce, max_pixels=max_pixels, missing=missing)
