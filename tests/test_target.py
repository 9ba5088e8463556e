"""Targets: sizes are never exceeded, and what can't be reached is said."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bitcodec.codec.decode import decode
from bitcodec.codec.encode import encode_picture
from bitcodec.codec.target import encode_to_target, last_within
from bitcodec.errors import TargetError
from bitcodec.format.container import Source, read_header
from bitcodec.models.base import Model
from bitcodec.models.ladder.config import LadderConfig
from bitcodec.models.ladder.trainable import LadderFloatModel
from bitcodec.models.weights import build
from bitcodec.picture.images import Picture
from bitcodec.picture.metrics import psnr


@pytest.fixture(scope="module")
def ladder() -> Model:
    """A tiny untrained ladder: a transform codec with a poor context model."""
    torch.manual_seed(0)
    config = LadderConfig(state=12, hidden=8, width=8, pixels=(4, 4), blocks=1)
    return LadderFloatModel(config).export([np.zeros((64, 64, 3), np.uint8)] * 4)


@pytest.fixture(scope="module")
def sign() -> Model:
    """A tiny random sign."""
    torch.manual_seed(0)
    return build("sign", {"n": 4, "m": 64}).eval()


@pytest.fixture(scope="module")
def picture() -> Picture:
    """Smooth with some noise, 100x70."""
    rng = np.random.default_rng(0)
    i, j = np.indices((70, 100))
    rgb = np.stack([i + j, 2 * i, 250 - 2 * j], -1) + rng.normal(0, 6, (70, 100, 3))
    return Picture(rgb.clip(0, 255).astype(np.uint8), None, False, None, None, ())


@given(
    st.lists(st.floats(0, 1e6), min_size=1, max_size=60).map(sorted),
    st.floats(-10, 2e6),
    st.floats(0, 100),
)
def test_search(values: list[float], target: float, slack: float) -> None:
    calls = 0

    def value(index: int) -> float:
        nonlocal calls
        calls += 1
        return values[index]

    found = last_within(value, len(values), target, slack)
    if found is None:
        assert values[0] > target
    else:
        assert values[found] <= target
        largest = max(i for i, v in enumerate(values) if v <= target)
        assert values[found] >= min(values[largest], target - slack)
    assert calls <= 40


@pytest.mark.parametrize("size", [5000, 7000, 12000])
def test_ladder_size(ladder: Model, picture: Picture, size: int) -> None:
    data = encode_to_target(picture, ladder, size=size)
    assert 0.97 * size <= len(data) <= size


@pytest.mark.parametrize("size", [60, 111, 200])
def test_sign_size(sign: Model, picture: Picture, size: int) -> None:
    data = encode_to_target(picture, sign, size=size)
    step = 7 * 5 / 8  # bytes of one channel
    assert size - step - 3 <= len(data) <= size


def test_bpp_takes_the_nearest_rate(sign: Model, picture: Picture) -> None:
    for rate in (1, 31, 32, 63):
        exact = 8 * len(encode_picture(picture, sign, rate)) / 7000
        for bpp in (exact, exact + 0.001, exact - 0.001):
            assert read_header(encode_to_target(picture, sign, bpp=bpp)).header.rate == rate
    assert read_header(encode_to_target(picture, sign, bpp=99)).header.rate == 64
    assert read_header(encode_to_target(picture, sign, bpp=0.03)).header.rate == 1


def test_psnr(ladder: Model, picture: Picture) -> None:
    data = encode_to_target(picture, ladder, psnr=35)
    value = psnr(picture.rgb, decode(Source.of(data), ladder).picture.rgb)
    assert 35 <= value < 35.2


def test_what_cannot_be_reached(ladder: Model, sign: Model, picture: Picture) -> None:
    for model, target in (
        (ladder, {"size": 20}),
        (sign, {"size": 20}),
        (sign, {"psnr": 60.0}),
        (ladder, {"psnr": -3.0}),
        (ladder, {"bpp": 1e-9}),
        (sign, {"size": -1}),
    ):
        with pytest.raises(TargetError):
            encode_to_target(picture, model, **target)  # type: ignore[arg-type]
