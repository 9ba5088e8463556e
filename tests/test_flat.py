"""Flat colours come back as they were, whatever the networks make of them at a picture's border.

Pictures under some 100 pixels each way may have smaller files without overlays, and are then off.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import bitcodec
from bitcodec.models.weights import load_weights

WEIGHTS = Path(__file__).parents[1] / "weights"


@pytest.mark.parametrize("name", ["ladder", "sign"])
def test_flat_colours(name: str) -> None:
    model = load_weights(WEIGHTS / f"{name}.safetensors")
    for colour in ((255, 255, 255), (0, 255, 0), (115, 0, 230), (0, 0, 0)):
        for height, width in ((128, 160), (123, 250)):
            flat = np.full((height, width, 3), colour, np.uint8)
            data = bitcodec.encode(flat, model=model, quality=20)
            back = np.asarray(bitcodec.decode(data, model=model).convert("RGB")).astype(int)
            assert np.abs(back - flat).max() <= 3, colour
            assert len(data) < 300
