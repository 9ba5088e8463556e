"""SSIMULACRA2 against the Python package of that name, and window means against a plain sum."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bitcodec.evaluate.ssimulacra2 import Ssimulacra2
from bitcodec.evaluate.windows import window_means

SAMPLES = Path(__file__).parent.parent / "samples"
Array = np.ndarray[Any, Any]


def sample(name: str, width: int, height: int) -> Image.Image:
    with Image.open(SAMPLES / name) as image:
        return image.convert("RGB").crop((90, 60, 90 + width, 60 + height))


def jpeg(image: Image.Image, quality: int) -> Image.Image:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return Image.open(stream).convert("RGB")


# Ten pairs: even and odd sides, fewer than six scales, negative scores to nearly 100.
@pytest.mark.parametrize("quality", [3, 95])
@pytest.mark.parametrize(
    ("name", "width", "height"),
    [
        ("coffee.png", 320, 256),
        ("astronaut.png", 301, 223),
        ("chelsea.png", 64, 33),
        ("rocket.jpg", 200, 9),
        ("hubble_deep_field.jpg", 127, 250),
    ],
)
def test_equals_the_package(
    name: str, width: int, height: int, quality: int, tmp_path: Path
) -> None:
    package = pytest.importorskip("ssimulacra2")
    original = sample(name, width, height)
    coded = jpeg(original, quality)
    original.save(tmp_path / "a.png")
    coded.save(tmp_path / "b.png")
    wanted = package.compute_ssimulacra2(str(tmp_path / "a.png"), str(tmp_path / "b.png"))
    assert Ssimulacra2(np.asarray(original))(np.asarray(coded)) == pytest.approx(wanted, abs=5e-5)


def test_equal_pictures_have_100_and_more_bits_have_more() -> None:
    original = sample("coffee.png", 200, 160)
    score = Ssimulacra2(np.asarray(original))
    assert score(np.asarray(original)) == 100
    scores = [score(np.asarray(jpeg(original, quality))) for quality in (10, 40, 90)]
    assert scores == sorted(scores)
    assert scores[0] < 50 < scores[-1] < 100


def test_pictures_of_two_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="shapes differ"):
        Ssimulacra2(np.zeros((20, 30, 3), np.uint8))(np.zeros((30, 20, 3), np.uint8))


@pytest.mark.parametrize("shape", [(1, 11, 11), (2, 43, 60), (3, 100, 12)])
def test_window_means(shape: tuple[int, int, int]) -> None:
    planes = np.random.default_rng(5).normal(size=shape)
    taps = np.exp(-(np.arange(-5, 6.0) ** 2) / (2 * 1.5**2))
    kernel = np.outer(taps, taps) / taps.sum() ** 2
    windows = np.lib.stride_tricks.sliding_window_view(planes, (11, 11), axis=(1, 2))
    np.testing.assert_allclose(window_means(planes), np.einsum("chwij,ij->chw", windows, kernel))
