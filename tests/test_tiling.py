"""Tiles, latents and boxes: by hand, and over a grid of sizes."""

from __future__ import annotations

import numpy as np
import pytest

from bitcodec.format.tiling import Box, Tiling, cut


def test_tiles_of_a_small_picture() -> None:
    tiling = Tiling(100, 33, 48)
    assert (tiling.columns, tiling.rows, tiling.count) == (3, 1, 3)
    assert tiling.latents == (0, 0, 7, 3)
    boxes = [tiling.box(i) for i in range(3)]
    assert boxes == [(0, 0, 48, 33), (48, 0, 96, 33), (96, 0, 100, 33)]
    assert [tiling.latent_box(i) for i in range(3)] == [(0, 0, 3, 3), (3, 0, 6, 3), (6, 0, 7, 3)]
    for index in (-1, 3):
        with pytest.raises(IndexError):
            tiling.box(index)


@pytest.mark.parametrize("size", [(1, 1), (16, 17), (100, 33), (150, 100)])
@pytest.mark.parametrize("tile", [16, 48, 64])
def test_tiles_cover_the_picture_once(size: tuple[int, int], tile: int) -> None:
    tiling = Tiling(*size, tile)
    seen = np.zeros(tiling.picture.shape, int)
    latents = np.zeros(tiling.latents.shape, int)
    for index in range(tiling.count):
        seen[tiling.box(index).within(tiling.picture)] += 1
        latents[tiling.latent_box(index).within(tiling.latents)] += 1
    assert (seen == 1).all()
    assert (latents == 1).all()
    counts = [np.prod(tiling.latent_box(index).shape) for index in range(tiling.count)]
    assert list(tiling.latent_counts()) == counts


@pytest.mark.parametrize("box", [(0, 0, 150, 100), (47, 47, 49, 49), (149, 99, 150, 100)])
def test_tiles_that_a_box_touches(box: tuple[int, int, int, int]) -> None:
    tiling, wanted = Tiling(150, 100, 48), Box(*box)
    every = range(tiling.count)
    shared = [i for i in every if min(tiling.box(i).clipped(wanted).shape) > 0]
    assert list(tiling.touching(wanted)) == shared


def test_groups_of_tiles() -> None:
    tiling = Tiling(150, 100, 48)
    assert list(tiling.groups(2, 1))[:3] == [(0, 0, 96, 48), (96, 0, 150, 48), (0, 48, 96, 96)]
    members = [list(tiling.touching(group)) for group in tiling.groups(2, 2)]
    assert members == [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9], [10, 11]]


def test_boxes() -> None:
    box = Box(17, 5, 40, 33)
    assert box.shape == (28, 23)
    assert box.reduced() == (1, 0, 3, 3)
    assert box.reduced().enlarged() == (16, 0, 48, 48)
    assert box.grown(2) == (15, 3, 42, 35)
    assert box.clipped(Box(20, 0, 99, 30)) == (20, 5, 40, 30)
    assert box.within(Box(10, 5, 50, 50)) == (slice(0, 28), slice(7, 30))
    assert Box(0, 0, 40, 33).holds(box)
    assert not Box(0, 0, 39, 33).holds(box)
    assert not box.holds(Box(20, 20, 20, 25))


def test_cut() -> None:
    assert cut(0, 1, 1024) == [(0, 1)]
    assert cut(1000, 2048, 1024) == [(1000, 1024), (1024, 2048)]
    assert cut(5, 40, 16) == [(5, 16), (16, 32), (32, 40)]
