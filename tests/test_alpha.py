"""The alpha section: PNG or WebP, whichever is smaller, and nothing else."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from bitcodec.errors import ContainerError
from bitcodec.picture import alpha as module
from bitcodec.picture.alpha import decode_alpha, encode_alpha

ALPHA = np.random.default_rng(5).integers(0, 255, (5, 7), dtype=np.uint8)
SOFT = np.asarray(Image.radial_gradient("L"))


def file_of(pixels: np.ndarray, kind: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind, **options)
    return out.getvalue()


@pytest.mark.parametrize("alpha", [ALPHA, ALPHA[:1, :1], ALPHA > 99, np.zeros((300, 2)), SOFT])
def test_round_trip(alpha: np.ndarray) -> None:
    alpha = alpha.astype(np.uint8)
    back = decode_alpha(encode_alpha(alpha), alpha.shape[1], alpha.shape[0])
    np.testing.assert_array_equal(back, alpha)
    assert back.dtype == np.uint8


def test_the_smaller_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    small = encode_alpha(SOFT)
    assert small.startswith(b"RIFF")
    assert len(small) < len(file_of(SOFT, optimize=True))
    monkeypatch.setattr(module, "_WEBP_PIXELS", SOFT.size - 1)
    assert encode_alpha(SOFT).startswith(b"\x89PNG")
    with pytest.raises(ContainerError, match="must be PNG"):
        decode_alpha(small, *SOFT.shape)


def test_beyond_pillows_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 3)
    np.testing.assert_array_equal(decode_alpha(encode_alpha(ALPHA), 7, 5), ALPHA)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no png",
        b"RIFF",
        file_of(np.dstack((ALPHA, ALPHA, ALPHA))),
        file_of(ALPHA > 9),
        file_of(ALPHA[:4]),
        file_of(np.dstack((ALPHA, ALPHA, ALPHA)), "WEBP", quality=90),
        file_of(np.dstack((ALPHA, ALPHA, ALPHA ^ 1)), "WEBP", lossless=True),
        file_of(np.dstack((ALPHA, ALPHA, ALPHA, ALPHA // 128 * 255)), "WEBP", lossless=True),
    ],
)
def test_other_files_are_refused(data: bytes) -> None:
    with pytest.raises(ContainerError):
        decode_alpha(data, 7, 5)


def test_cut_files_are_refused() -> None:
    for data in (file_of(ALPHA, optimize=True), encode_alpha(SOFT)):
        height, width = (5, 7) if data.startswith(b"\x89PNG") else SOFT.shape
        for length in range(0, len(data) - 20, len(data) // 40):  # PNG's last chunk is empty
            with pytest.raises(ContainerError):
                decode_alpha(data[:length], width, height)
