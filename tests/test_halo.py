"""Pixels without the halo's are the same pixels, bit for bit or nearly."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bitcodec.models.base import Model
from bitcodec.models.ladder.config import LadderConfig
from bitcodec.models.ladder.model import LadderModel
from bitcodec.models.layers import blocks as blocks_module
from bitcodec.models.layers.halo import NO_HALO, Halo, crop_halo
from bitcodec.models.sign import model as sign_module
from bitcodec.models.sign.config import SignConfig
from bitcodec.models.sign.model import SignModel


def _model(family: str, blocks: int) -> Model:
    torch.manual_seed(blocks)
    model: Model
    if family == "sign":
        model = SignModel(SignConfig(n=4, m=8, blocks=blocks, activation="leaky-relu"))
    else:
        model = LadderModel(LadderConfig(state=4, hidden=4, width=8, pixels=(4, 4), blocks=blocks))
        model.transform.synthesis_kernels.data.mul_(0.05)  # away from where everything clips
    for parameter in model.parameters():
        if parameter.dim() == 4 and parameter.abs().max() < 0.01:
            parameter.data.normal_(std=0.1)  # what starts at zero would read nothing
    return model.eval()


@pytest.mark.parametrize(
    ("family", "blocks"), [("sign", 0), ("sign", 3), ("ladder", 0), ("ladder", 4)]
)
def test_pixels_without_margins(family: str, blocks: int) -> None:
    model = _model(family, blocks)
    rng = np.random.default_rng(0)
    halo, channels = model.halo_out, 8 if family == "sign" else 768
    q = rng.integers(-1, 2, (channels, 2 * halo + 3, 2 * halo + 5)).astype(np.int16)
    if family == "sign":
        q = (2 * (q > 0) - 1).astype(np.int8)
    rate = model.rate_for_quality(80)
    whole = model.synthesize_pixels(q, rate).astype(int)
    assert whole.std() > 5
    part = model.synthesize_pixels(q, rate, Halo(halo, halo, halo, halo))
    assert part.shape == (48, 80, 3)
    edge = 16 * halo
    assert np.abs(part - whole[edge:-edge, edge:-edge]).max() <= 1


def test_halo_at_the_edge_of_a_picture() -> None:
    """On a side where the picture ends there is no margin, and nothing is cut."""
    model = _model("ladder", 2)
    halo = model.halo_out
    q = np.random.default_rng(1).integers(-1, 2, (768, 2 * halo, 2 * halo)).astype(np.int16)
    whole = model.synthesize_pixels(q, 320).astype(int)
    part = model.synthesize_pixels(q, 320, Halo(0, halo, halo, 0))
    assert np.abs(part - whole[16 * halo :, : -16 * halo]).max() <= 1


def test_first_layers_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Encoding a large area of `sign` in blocks gives the latents of the whole."""
    model = _model("sign", 1)
    rgb = np.random.default_rng(2).integers(0, 256, (160, 208, 3)).astype(np.uint8)
    whole = model.analyze(rgb, 8)
    monkeypatch.setattr(sign_module, "BLOCK", 48)
    calls = []
    kept = blocks_module.crop_halo
    monkeypatch.setattr(blocks_module, "crop_halo", lambda *a: calls.append(a) or kept(*a))
    assert np.abs(model.analyze(rgb, 8) - whole).max() < 1e-4
    assert len(calls) == 2 * 2 * 4 * 5  # both stages


def test_trim() -> None:
    x = torch.arange(60.0).view(1, 1, 6, 10)
    assert crop_halo(x, NO_HALO, NO_HALO, 2) is x
    cut = crop_halo(x, Halo(2, 1, 1, 0), Halo(1, 1, 0, 0), 2)
    assert torch.equal(cut, x[..., :, 2:8])
    assert Halo(5, 0, 1, 3).at_most(2) == Halo(2, 0, 1, 2)
