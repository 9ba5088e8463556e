"""The gradient search of the high efforts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import bitcodec
from bitcodec.models.ladder.latent_search import search_latents
from bitcodec.models.ladder.steps import LAMBDA_SCALE
from bitcodec.picture.metrics import mse

_SAMPLES = Path(__file__).parent.parent / "samples"
_STEP = 10.0


def _encode(targets: np.ndarray) -> tuple[int, np.ndarray]:
    """A coder to whom every level that is not 0 costs 5 bits."""
    q = np.where(np.abs(targets) < 0.8, 0, np.floor(targets + 0.5)).astype(np.int32)
    return 5 * int(np.count_nonzero(q)), q


def _mixing() -> torch.Tensor:
    """A synthesis whose columns are not orthogonal: 768 levels to 3 x 16 x 16 pixels."""
    generator = torch.Generator().manual_seed(0)
    return _STEP * (torch.eye(768) + 0.02 * torch.randn(768, 768, generator=generator))


def _loss(targets: np.ndarray, x: torch.Tensor) -> float:
    bits, q = _encode(targets)
    x_hat = (_mixing() @ torch.from_numpy(q).float().flatten()).reshape(x.shape)
    return bits + LAMBDA_SCALE / _STEP**2 * 256 * float((x_hat - x).square().mean())


def _case() -> tuple[torch.Tensor, np.ndarray]:
    x = 30 * torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    latents = torch.linalg.solve(_mixing(), x.flatten()).reshape(768, 1, 1).numpy()
    return x, latents


def _run(curvature: float, rounds: int) -> tuple[float, float]:
    x, latents = _case()
    out = search_latents(
        x,
        latents,
        torch.full((1, 1, 1, 1), _STEP),
        _encode,
        lambda q: (_mixing() @ q.flatten()).reshape(x.shape),
        torch.full((1, 768, 1, 1), curvature),
        rounds,
    )
    return _loss(latents, x), _loss(out, x)


def test_gradient_steps_lower_the_loss() -> None:
    before, some = _run(8.0, 4)
    _, often = _run(8.0, 8)
    assert some < before
    assert often < some


def test_what_is_worse_is_not_taken() -> None:
    before, after = _run(0.5, 3)  # steps so long that they diverge
    assert after == before


@pytest.mark.parametrize(("quality", "inference"), [(20, False), (50, True), (80, False)])
def test_high_effort_pays_with_the_shipped_weights(quality: int, inference: bool) -> None:
    with Image.open(_SAMPLES / "astronaut.png") as image:
        picture = np.asarray(image.convert("RGB"))[100:196, 160:288]
    step = 2 ** (bitcodec.load_model("ladder").rate_for_quality(quality) / 1024)
    losses = []
    for effort in (5, 9):
        with torch.inference_mode(inference):
            data = bitcodec.encode(picture, model="ladder", quality=quality, effort=effort)
        out = np.asarray(bitcodec.decode(data))
        losses.append(8 * len(data) + LAMBDA_SCALE / step**2 * picture.size / 3 * mse(picture, out))
    assert losses[1] < 0.998 * losses[0]
