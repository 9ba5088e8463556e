"""Drawn training crops."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bitcodec.training.config import DataConfig
from bitcodec.training.data import CropSource
from bitcodec.training.drawings import draw


def test_drawings_follow_from_their_numbers_and_leave_the_photograph() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (96, 64, 3), dtype=np.uint8)
    before = photo.copy()
    seen = set()
    for seed in range(40):
        out = draw(photo, np.random.default_rng(seed))
        assert out.shape == photo.shape
        assert out.dtype == np.uint8
        np.testing.assert_array_equal(out, draw(photo, np.random.default_rng(seed)))
        seen.add(out.tobytes())
    np.testing.assert_array_equal(photo, before)
    assert len(seen) > 30


def test_the_share_of_drawn_crops_is_as_asked() -> None:
    flat = np.full((64, 64, 3), 77, np.uint8)
    config = DataConfig(crop=32, batch=200, downscale_share=0.0)

    def drawn(share: float) -> int:
        batch = CropSource([flat], replace(config, drawn=share), seed=1, rank=0)[0]
        return int((batch != 77).flatten(1).any(1).sum())

    assert drawn(0.0) == 0
    assert 10 <= drawn(0.15) <= 45  # some drawings miss such a small crop
