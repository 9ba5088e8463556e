"""MS-SSIM against a second implementation, written here from the paper, and against a library."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bitcodec.evaluate.msssim import MIN_SIDE, ms_ssim, ms_ssim_db

SAMPLES = Path(__file__).parent.parent / "samples"
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
Array = np.ndarray[Any, Any]


def window() -> Array:
    x = np.arange(11) - 5.0
    g = np.exp(-(x**2) / (2 * 1.5**2))
    kernel = np.outer(g, g)
    return np.asarray(kernel / kernel.sum())


def smooth(a: Array) -> Array:
    """11x11 Gaussian of (H, W), only where it fits wholly."""
    views = np.lib.stride_tricks.sliding_window_view(a, (11, 11))
    return np.einsum("ijkl,kl->ij", views, window(), optimize=True)


def scale_terms(a: Array, b: Array) -> tuple[float, float]:
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mu_a, mu_b = smooth(a), smooth(b)
    var_a, var_b = smooth(a * a) - mu_a**2, smooth(b * b) - mu_b**2
    cov = smooth(a * b) - mu_a * mu_b
    contrast = (2 * cov + c2) / (var_a + var_b + c2)
    luminance = (2 * mu_a * mu_b + c1) / (mu_a**2 + mu_b**2 + c1)
    return float((luminance * contrast).mean()), float(contrast.mean())


def reference(a: Array, b: Array) -> float:
    """As tf.image.ssim_multiscale: each channel on its own, then the mean of the channels."""
    values = []
    for channel in range(3):
        x, y = a[..., channel].astype(np.float64), b[..., channel].astype(np.float64)
        result = 1.0
        for number, weight in enumerate(WEIGHTS):
            ssim, contrast = scale_terms(x, y)
            result *= max(ssim if number == len(WEIGHTS) - 1 else contrast, 0) ** weight
            x, y = (
                (z[::2, ::2] + z[1::2, ::2] + z[::2, 1::2] + z[1::2, 1::2]) / 4 for z in (x, y)
            ) if number < len(WEIGHTS) - 1 else (x, y)  # fmt: skip
        values.append(result)
    return float(np.mean(values))


def jpeg(pixels: Array, quality: int) -> Array:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream))


@pytest.mark.parametrize(("name", "quality"), [("coffee.png", 10), ("astronaut.png", 60)])
def test_equals_the_reference(name: str, quality: int) -> None:
    with Image.open(SAMPLES / name) as image:
        a = np.asarray(image.convert("RGB"))[64 : 64 + 192, 96 : 96 + 240]
    b = jpeg(a, quality)
    value = ms_ssim(a, b)
    assert value is not None
    assert value == pytest.approx(reference(a, b), abs=1e-5)
    assert 0.6 < value < 0.999


def test_noise_is_worse_than_a_little_noise() -> None:
    rng = np.random.default_rng(3)
    a = rng.integers(0, 256, (176, 192, 3), dtype=np.uint8)
    values = []
    for spread in (2, 40):
        noise = rng.normal(0, spread, a.shape)
        b = np.clip(a + noise, 0, 255).astype(np.uint8)
        values.append(ms_ssim(a, b))
        assert values[-1] == pytest.approx(reference(a, b), abs=1e-5)
    assert values[0] is not None
    assert values[1] is not None
    assert values[0] > values[1]


def test_equal_pictures_and_decibels() -> None:
    a = np.random.default_rng(1).integers(0, 256, (MIN_SIDE, 200, 3), dtype=np.uint8)
    assert ms_ssim(a, a) == pytest.approx(1, abs=1e-12)
    assert ms_ssim_db(0.99) == pytest.approx(20)
    assert ms_ssim_db(1.0) == float("inf")


@pytest.mark.parametrize("shape", [(160, 400, 3), (400, 160, 3), (1, 1, 3)])
def test_small_pictures_have_none(shape: tuple[int, int, int]) -> None:
    a = np.zeros(shape, np.uint8)
    assert ms_ssim(a, a) is None


def test_bad_arguments() -> None:
    a = np.zeros((200, 200, 3), np.uint8)
    with pytest.raises(ValueError, match="shapes differ"):
        ms_ssim(a, a[:-1])
    with pytest.raises(ValueError, match="uint8"):
        ms_ssim(a, a.astype(np.float32))  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(192, 240), (161, 163), (179, 162)])
def test_equals_the_library(shape: tuple[int, int]) -> None:
    library = pytest.importorskip("pytorch_msssim")
    torch = pytest.importorskip("torch")
    with Image.open(SAMPLES / "coffee.png") as image:
        a = np.asarray(image.convert("RGB"))[64 : 64 + shape[0], 96 : 96 + shape[1]]
    b = jpeg(a, 20)
    x, y = (torch.from_numpy(p.transpose(2, 0, 1).copy()).double()[None] for p in (a, b))
    assert ms_ssim(a, b) == pytest.approx(float(library.ms_ssim(x, y, data_range=255)), abs=1e-5)
