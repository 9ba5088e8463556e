"""Fewer shades at edges; areas, gradients and what is left out stay as they are."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from bitcodec.picture.posterize import posterize


def circles() -> np.ndarray:
    """Soft-edged circles of two colours on a third, and a gradient on the right."""
    image = Image.new("RGB", (800, 400), (250, 251, 252))
    draw = ImageDraw.Draw(image)
    for x in range(60, 500, 110):
        draw.ellipse((x, 60, x + 90, 340), fill=(13, 77, 201), outline=(3, 5, 7), width=12)
    rgb = np.array(image.resize((200, 100), Image.Resampling.BOX))
    rgb[:, 150:] = (np.arange(100) * 2)[:, None, None]
    return rgb


def colours(rgb: np.ndarray) -> int:
    return len(np.unique(rgb.reshape(-1, 3), axis=0))


@pytest.mark.parametrize("step", [8, 24, 60])
def test_edges_get_posterize(step: float) -> None:
    rgb = circles()
    out = posterize(rgb, step, np.ones(rgb.shape[:2], bool))
    assert colours(out[:, :146]) < 0.8 * colours(rgb[:, :146])
    assert np.abs(out.astype(int) - rgb).max() <= 1.5 * step
    for colour in ((250, 251, 252), (13, 77, 201)):
        flat = (rgb == colour).all(2)
        np.testing.assert_array_equal(out[flat], rgb[flat])
    np.testing.assert_array_equal(out[:, 153:], rgb[:, 153:])


def test_what_is_left_out_stays() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    where = np.zeros((40, 30), bool)
    where[10:] = True
    before = rgb.copy()
    out = posterize(rgb, 50, where)
    np.testing.assert_array_equal(rgb, before)
    np.testing.assert_array_equal(out[:10], rgb[:10])
    assert colours(out[10:]) <= 6**3


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (5, 4)])
def test_small_and_grey(shape: tuple[int, int]) -> None:
    rgb = np.random.default_rng(1).integers(0, 256, (*shape, 1), dtype=np.uint8).repeat(3, 2)
    out = posterize(rgb, 300, np.ones(shape, bool))
    assert (out[..., 1:] == out[..., :1]).all()
    np.testing.assert_array_equal(posterize(rgb, 0.5, np.ones(shape, bool)), rgb)
    np.testing.assert_array_equal(posterize(rgb, 50, np.zeros(shape, bool)), rgb)
