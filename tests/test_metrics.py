"""PSNR by hand, at its ends, and against floating point."""

import math

import numpy as np
import pytest

from bitcodec.picture.metrics import mse, psnr


def test_by_hand() -> None:
    a = np.array([[0, 255], [10, 20]], dtype=np.uint8)
    b = np.array([[2, 255], [10, 20]], dtype=np.uint8)
    assert mse(a, b) == 1.0
    assert psnr(a, b) == pytest.approx(48.1308, abs=1e-4)


def test_ends() -> None:
    black, white = np.zeros((4, 5, 3), np.uint8), np.full((4, 5, 3), 255, np.uint8)
    assert psnr(black, black) == math.inf
    assert psnr(black, white) == psnr(white, black) == 0


def test_agrees_with_floating_point() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.integers(0, 256, (2, 33, 17, 3), dtype=np.uint8)
    assert mse(a, b) == pytest.approx(np.mean((a.astype(float) - b) ** 2))


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.uint8)),
        (np.zeros(3), np.zeros(3, np.uint8)),
        (np.zeros((0, 3), np.uint8), np.zeros((0, 3), np.uint8)),
    ],
)
def test_refused(a: np.ndarray, b: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"shapes|uint8|samples"):
        psnr(a, b)
