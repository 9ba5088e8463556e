"""What is done to a picture before it is coded, once, whatever the rate."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from bitcodec.errors import ImageError
from bitcodec.picture.images import Picture
from bitcodec.picture.invisible import fill_invisible

__all__ = ["is_grey", "prepare", "refuse_loss"]

_ROWS = 64


def prepare(picture: Picture, *, exact: bool = False) -> Picture:
    """The picture as it is to be coded.

    Pixels under an alpha of 0 get the colours of their neighbours, and a picture whose three
    channels are the same everywhere becomes grey.

    Args:
        picture: any.
        exact: keep the colours under an alpha of 0.
    """
    rgb = picture.rgb
    if picture.alpha is not None and not exact:
        rgb = fill_invisible(rgb, picture.alpha)
    return dataclasses.replace(picture, rgb=rgb, grey=picture.grey or is_grey(rgb))


def refuse_loss(notes: Iterable[str]) -> None:
    """ImageError where the notes of a picture say that its samples are not those of its file."""
    for note in notes:
        if "reduced to 8" in note or ("converted" in note and not note.startswith("palette")):
            raise ImageError(f"{note}: that is not without loss")


def is_grey(rgb: npt.NDArray[np.uint8]) -> bool:
    """Whether R = G = B in all pixels of uint8 (H, W, 3); ends early where not."""
    strips = (rgb[y : y + _ROWS] for y in range(0, len(rgb), _ROWS))
    return all(bool((strip[..., 1:] == strip[..., :1]).all()) for strip in strips)
