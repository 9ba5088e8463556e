"""Which parts of a picture are drawn rather than photographed, and might cost less without loss.

Letters, lines and areas of one colour repeat the pixel to their left; photographs hardly ever do.
So a look at pixels and their left neighbours tells squares of 16 x 16 that are drawn. Where there
are enough of them, they become overlays, and the networks get a picture with smooth colours in
their place.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from bitcodec.codec.parallel import side_by_side
from bitcodec.format.tiling import STRIDE, Tiling
from bitcodec.picture.images import Picture
from bitcodec.picture.invisible import fill_invisible
from bitcodec.picture.overlay import encode_overlay
from bitcodec.picture.posterize import posterize

__all__ = ["Layers", "lossless", "split", "posterized"]

_REPEATED = 0.45  # of the pixels of a drawn square are like the one to their left
_FLAT = 0.97
_INSIDE, _AROUND = 0.2, 6  # one of which fewer are, with so many of its 8 neighbours drawn or flat
_EDGE = 24  # levels between neighbours, somewhere in a drawn square
_ENOUGH = 0.03  # of the squares are drawn; on photographs it is under 0.025
_ENOUGH_FLAT = 0.1  # of them, or so many are flat; skies are, of up to 0.07
_FEW_COLOURS, _FEW_GREYS = 256, 32
# WebP's methods and qualities, at most so much for efforts 0 to 9. None is always the best; the
# last takes ten times as long as the others.
_WEBP = ((0, 50), (4, 80), (4, 100), (6, 90), (6, 100))
_TRIED = (
    *[_WEBP[:1]] * 2,
    *[_WEBP[1:2]] * 3,
    *[_WEBP[2:4]] * 2,
    *[_WEBP[2:]] * 3,
)


@dataclass(frozen=True, eq=False)
class Layers:
    """A picture as overlays over what the networks code.

    Attributes:
        below: uint8 (H, W, 3), what the networks code.
        shown: bool, one for each latent: the squares that overlays cover.
        overlays: one for each tile, b"" for none.
        bare: tiles whose latents nobody needs: their overlay covers them and all their neighbours'
            cover those.
    """

    below: np.ndarray
    shown: np.ndarray
    overlays: tuple[bytes, ...]
    bare: frozenset[int]


def lossless(picture: Picture, tiling: Tiling, effort: int) -> Layers:
    """All of a picture as overlays."""
    shown = np.ones(tiling.latents.shape, bool)
    return _layers(picture.rgb, picture.rgb, shown, tiling, effort)


def split(picture: Picture, tiling: Tiling, effort: int) -> tuple[Layers, ...]:
    """What is worth trying beside lossy coding alone; nothing for a photograph.

    Args:
        picture: what is to be coded.
        tiling: of its file.
        effort: 0..9.
    """
    rgb = picture.rgb
    repeated, edges = _squares(rgb)
    drawn = edges & (repeated >= _REPEATED)
    shown = drawn | (repeated >= _FLAT)
    enough = drawn.mean() >= _ENOUGH or shown.mean() >= _ENOUGH_FLAT
    if not enough and not _few_colours(rgb, picture.grey):
        return ()
    whole = lossless(picture, tiling, effort)
    shown |= (repeated >= _INSIDE) & (_neighbours(shown) >= _AROUND)
    if shown.all() or not enough:
        return (whole,)
    height, width = rgb.shape[:2]
    alpha = np.where(shown, 0, 255).astype(np.uint8).repeat(STRIDE, 0).repeat(STRIDE, 1)
    below = fill_invisible(rgb, alpha[:height, :width])
    return whole, _layers(rgb, below, shown, tiling, effort)


def _squares(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many pixels of each square are like the one to their left, and whether it has edges.

    Every other row is enough. Returns float and bool, one for each latent.
    """
    rows = rgb[::2]
    left, right = rows[:, :-1], rows[:, 1:]
    same = np.ones(rows.shape[:2], bool)
    for channel in range(3):
        same[:, 1:] &= left[..., channel] == right[..., channel]
    step = np.zeros(rows.shape[:2], bool)
    green = left[..., 1], right[..., 1]
    step[:, 1:] = np.maximum(*green) - np.minimum(*green) >= _EDGE
    return _square_means(same), _square_means(step) > 0


def _square_means(half: np.ndarray) -> np.ndarray:
    """Means over 8 x 16 of (H / 2, W); what is missing at the edge is like its last pixels."""
    rows, columns = STRIDE // 2, STRIDE
    h, w = half.shape
    padded = np.pad(half, ((0, -h % rows), (0, -w % columns)), mode="edge")
    squares = padded.reshape(-(-h // rows), rows, -(-w // columns), columns)
    means: np.ndarray = squares.mean((1, 3))
    return means


def _neighbours(shown: np.ndarray) -> np.ndarray:
    """How many of the 8 around each are set; those outside are like the ones at the edge."""
    padded = np.pad(shown, 1, mode="edge").astype(np.int8)
    rows = padded[:-2] + padded[1:-1] + padded[2:]
    around: np.ndarray = rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:] - shown
    return around


def _few_colours(rgb: np.ndarray, grey: bool) -> bool:
    """Whether a picture could have a palette; ends early where it could not."""
    most = min(_FEW_GREYS if grey else _FEW_COLOURS, rgb.shape[0] * rgb.shape[1] // 8)
    return all(Image.fromarray(part).getcolors(most) is not None for part in (rgb[:64], rgb))


def posterized(
    picture: Picture, layers: Layers, tiling: Tiling, effort: int, step: float
) -> Layers:
    """The same with overlays that are not exact: see :func:`posterize`."""
    overlays = _overlays(picture.rgb, layers.shown, tiling, effort, step)
    return replace(layers, overlays=overlays)


def _layers(
    rgb: np.ndarray, below: np.ndarray, shown: np.ndarray, tiling: Tiling, effort: int
) -> Layers:
    """``shown`` is bool, one for each latent: what goes into overlays."""

    def is_bare(index: int) -> bool:
        around = tiling.latent_box(index).grown(tiling.tile // STRIDE).clipped(tiling.latents)
        return bool(shown[around.within(tiling.latents)].all())

    overlays = _overlays(rgb, shown, tiling, effort)
    return Layers(below, shown, overlays, frozenset(filter(is_bare, range(tiling.count))))


def _overlays(
    rgb: np.ndarray, shown: np.ndarray, tiling: Tiling, effort: int, step: float | None = None
) -> tuple[bytes, ...]:
    """One for each tile, exact, or with shades about a step apart at edges."""

    def encode(index: int) -> bytes:
        box = tiling.box(index)
        own = shown[tiling.latent_box(index).within(tiling.latents)]
        if not own.any():
            return b""
        height, width = box.shape
        kept = own.repeat(STRIDE, 0).repeat(STRIDE, 1)[:height, :width]
        pixels = rgb[box.within(tiling.picture)]
        if step is not None:
            pixels = posterize(pixels, step, kept)
        return encode_overlay(pixels, kept, webp=_TRIED[effort])

    return tuple(side_by_side(encode, range(tiling.count)))
