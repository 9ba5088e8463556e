"""Training crops that nobody photographed: text, windows, line art, dithers, captions.

People have screenshots and scans too, and letters inside photographs. A drawing follows from the
random numbers of its crop, with Pillow's own font and those of :data:`FONTS` that are there.
"""

from __future__ import annotations

import string
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

FONTS = Path("/usr/share/fonts/truetype")  #: where Debian's font packages put theirs

Colour = tuple[int, int, int]


def draw(photo: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A drawing, or a photograph with something drawn on it.

    Args:
        photo: uint8 (H, W, 3), not changed.
        rng: what it looks like follows from this.

    Returns:
        uint8 (H, W, 3).
    """
    makers = (_caption, _text, _window, _lines, _dither)
    # Dithers cost so many bits that a few of them decide a loss.
    maker = makers[rng.choice(len(makers), p=[0.3, 0.2, 0.25, 0.2, 0.05])]
    image: Image.Image = maker(Image.fromarray(photo), rng)
    return np.array(image)


def _colour(rng: np.random.Generator) -> Colour:
    """Often black, white or a grey."""
    if rng.random() < 0.5:
        return (int(rng.choice([0, 0, 32, 128, 230, 255, 255])),) * 3
    red, green, blue = rng.integers(0, 256, 3).tolist()
    return red, green, blue


def _font(rng: np.random.Generator) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    size = int(rng.integers(9, 40) if rng.random() < 0.5 else rng.integers(9, 16))
    paths = sorted(FONTS.rglob("*.ttf"))
    if paths and rng.random() < 0.7:
        return ImageFont.truetype(str(rng.choice(np.array(paths, dtype=str))), size)
    return ImageFont.load_default(size)


def _words(rng: np.random.Generator, count: int) -> str:
    letters = list(string.ascii_lowercase * 4 + string.ascii_uppercase + string.digits + ".,:-")
    return " ".join("".join(rng.choice(letters, rng.integers(1, 11))) for _ in range(count))


def _write(image: Image.Image, rng: np.random.Generator, lines: int, fill: Colour) -> Image.Image:
    """Lines of text from a random place on."""
    pen, font = ImageDraw.Draw(image), _font(rng)
    if rng.random() < 0.3:
        pen.fontmode = "1"  # without grey edges
    x, y = int(rng.integers(-20, image.width // 2)), int(rng.integers(-10, image.height // 2))
    text = "\n".join(_words(rng, int(rng.integers(1, 9))) for _ in range(lines))
    pen.multiline_text((x, y), text, fill, font, spacing=int(rng.integers(2, 9)))
    return image


def _caption(photo: Image.Image, rng: np.random.Generator) -> Image.Image:
    return _write(photo, rng, int(rng.integers(1, 4)), _colour(rng))


def _text(photo: Image.Image, rng: np.random.Generator) -> Image.Image:
    image = Image.new("RGB", photo.size, _colour(rng))
    return _write(image, rng, int(rng.integers(4, 20)), _colour(rng))


def _rectangle(size: tuple[int, int], rng: np.random.Generator) -> tuple[int, int, int, int]:
    x, y = (int(rng.integers(-20, edge)) for edge in size)
    w, h = (int(rng.integers(6, 120)) for _ in range(2))
    return x, y, x + w, y + h


def _window(photo: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Panes, buttons and their labels, on a flat colour or on the photograph."""
    image = photo if rng.random() < 0.3 else Image.new("RGB", photo.size, _colour(rng))
    pen = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(3, 12))):
        box = _rectangle(image.size, rng)
        edge = _colour(rng) if rng.random() < 0.5 else None
        pen.rounded_rectangle(box, int(rng.choice([0, 0, 3, 8])), _colour(rng), edge)
        pen.text((box[0] + 4, box[1] + 3), _words(rng, 2), _colour(rng), _font(rng))
    return image


def _lines(photo: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Curves, axes and shapes, drawn large and made smaller where their edges are to be smooth."""
    scale = int(rng.choice([1, 1, 3]))
    size = (photo.width * scale, photo.height * scale)
    image = Image.new("RGB", size, _colour(rng))
    pen = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(2, 14))):
        points = np.cumsum(rng.normal(0, 30 * scale, (int(rng.integers(2, 30)), 2)), 0)
        points += rng.uniform(0, min(size), 2)
        width = scale * int(rng.choice([1, 1, 2, 5]))
        if rng.random() < 0.25:
            x, y, r, b = _rectangle(size, rng)
            pen.ellipse((x, y, r, b), outline=_colour(rng), width=width)
        else:
            pen.line([tuple(p) for p in points.tolist()], _colour(rng), width)
    return image.resize(photo.size, Image.Resampling.LANCZOS) if scale > 1 else image


def _dither(photo: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Black and white dots, or few colours."""
    if rng.random() < 0.5:
        return photo.convert("1").convert("RGB")
    dots = rng.choice(np.array([Image.Dither.NONE, Image.Dither.FLOYDSTEINBERG]))
    few = photo.quantize(int(rng.integers(4, 64)), dither=Image.Dither(dots))
    return few.convert("RGB")
