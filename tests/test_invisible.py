"""Colours under an alpha of 0."""

from __future__ import annotations

import numpy as np
import pytest

from bitcodec.picture import invisible
from bitcodec.picture.invisible import fill_invisible


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (7, 1), (33, 50), (64, 64)])
def test_what_is_seen_stays_and_the_rest_is_between_its_colours(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    alpha = rng.choice(np.array([0, 1, 255], np.uint8), shape, p=[0.9, 0.05, 0.05])
    alpha[0, 0] = 255
    seen = alpha > 0
    low, high = rgb[seen].min(0), rgb[seen].max(0)
    before = rgb.copy()
    out = fill_invisible(rgb, alpha)
    assert out.dtype == np.uint8
    np.testing.assert_array_equal(rgb, before)
    np.testing.assert_array_equal(out[seen], rgb[seen])
    assert (out >= low).all()
    assert (out <= high).all()


@pytest.mark.parametrize("top", [0, 70, 130, 199])
def test_band_after_band(top: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rgb = np.random.default_rng(3).integers(0, 256, (200, 40, 3), dtype=np.uint8)
    alpha = np.zeros((200, 40), np.uint8)
    rgb[top : top + 5, 10:20] = (9, 200, 77)
    alpha[top : top + 5, 10:20] = 255
    whole = fill_invisible(rgb, alpha)
    monkeypatch.setattr(invisible, "_BAND", 1)
    np.testing.assert_array_equal(fill_invisible(rgb, alpha), whole)
    rgb[120, 39], alpha[120, 39] = (250, 10, 7), 255
    out = fill_invisible(rgb, alpha)
    assert (out >= (9, 10, 7)).all()
    assert (out <= (250, 200, 77)).all()
    np.testing.assert_array_equal(out[alpha > 0], rgb[alpha > 0])


def test_one_colour_fills_everything() -> None:
    rgb = np.random.default_rng(1).integers(0, 256, (40, 70, 3), dtype=np.uint8)
    alpha = np.zeros((40, 70), np.uint8)
    rgb[10:20, 30:40] = (9, 200, 77)
    alpha[10:20, 30:40] = 255
    assert (fill_invisible(rgb, alpha) == (9, 200, 77)).all()


@pytest.mark.parametrize("value", [0, 7, 255])
def test_all_or_nothing_seen_changes_nothing(value: int) -> None:
    rgb = np.random.default_rng(2).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    assert fill_invisible(rgb, np.full((5, 6), value, np.uint8)) is rgb
