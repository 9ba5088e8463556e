"""A caller who sets torch's default type to float64 gets the same files and pictures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import bitcodec
from bitcodec.models.registry import find_by_name
from bitcodec.models.weights import load_weights

_SAMPLES = Path(__file__).parent.parent / "samples"


@pytest.fixture
def double() -> Iterator[None]:
    """float64 as torch's default type."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.mark.parametrize("name", ["ladder", "sign"])
def test_shipped_weights(name: str, double: None) -> None:
    with Image.open(_SAMPLES / "astronaut.png") as image:
        picture = np.asarray(image.convert("RGB"))[100:148, 160:224]
    path = find_by_name(name).path
    in_double = load_weights(path)
    torch.set_default_dtype(torch.float32)
    usual = load_weights(path)
    for effort in (5, 9):
        torch.set_default_dtype(torch.float32)
        data = bitcodec.encode(picture, model=usual, quality=60, effort=effort)
        torch.set_default_dtype(torch.float64)
        assert bitcodec.encode(picture, model=in_double, quality=60, effort=effort) == data
        pixels = np.asarray(bitcodec.decode(data, model=usual))
        again = np.asarray(bitcodec.decode(data, model=in_double))
        assert np.abs(again.astype(int) - pixels).max() <= 1
