"""The synthesis of mostly-zero latents is the synthesis."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bitcodec.models.ladder import model as ladder_module
from bitcodec.models.ladder.config import LadderConfig
from bitcodec.models.ladder.model import LadderModel, code_of_step
from bitcodec.models.ladder.sparse_synthesis import SparseLatents, SparseSynthesis
from bitcodec.models.layers.halo import NO_HALO, Halo

_CODE = code_of_step(40)
_CPU = torch.device("cpu")


def _model() -> LadderModel:
    torch.manual_seed(3)
    model = LadderModel(LadderConfig(state=4, hidden=4, width=8, pixels=(4, 4), blocks=2))
    with torch.no_grad():
        for name, parameter in model.transform.named_parameters():
            if name.split(".")[0] in ("synthesis_trunk", "up", "log_gains"):
                parameter.add_(0.05 * torch.randn_like(parameter))  # nothing is zero
    return model.eval()


def _latents(share: float, h: int, w: int) -> np.ndarray:
    rng = np.random.default_rng(h)
    q = rng.integers(-5, 6, (768, h, w)) * (rng.random((768, h, w)) < share)
    return q.astype(np.int16)


def test_latents_by_position() -> None:
    q = _latents(0.1, 5, 3)
    got = SparseLatents.of(q, _CPU)
    assert got.shape == (5, 3)
    spelled = np.zeros((768, 15), np.int16)
    for at in range(15):
        some = slice(int(got.starts[at]), int(got.starts[at + 1]))
        assert (np.diff(got.channels[some].numpy()) > 0).all()
        spelled[got.channels[some].numpy(), at] = got.values[some].numpy()
    assert np.array_equal(spelled.reshape(768, 5, 3), q)


def test_trimmed_latents() -> None:
    q = _latents(0.1, 7, 9)
    got = SparseLatents.of(q, _CPU).cropped(Halo(3, 2, 1, 4), Halo(1, 2, 0, 0))
    expected = SparseLatents.of(q[:, :3, 2:8], _CPU)
    assert got.shape == expected.shape == (3, 6)
    for name in ("channels", "values", "starts"):
        assert torch.equal(getattr(got, name), getattr(expected, name))


@pytest.mark.parametrize("halo", [NO_HALO, Halo(5, 0, 3, 1)])
@pytest.mark.parametrize("share", [0.0, 0.05, 1.0])
def test_same_as_the_dense_synthesis(share: float, halo: Halo) -> None:
    model = _model()
    q = _latents(share, 6, 9)
    with torch.inference_mode():
        dense = model.transform.synthesize_parts(
            torch.from_numpy(q)[None].float(), torch.full((1, 1, 1, 1), 40.0), halo
        )
        sparse = SparseSynthesis(model.transform).parts(SparseLatents.of(q, _CPU), 40.0, halo)
    for a, b in zip(sparse, dense, strict=True):
        assert a.shape == b.shape
        assert float(b.std()) > 1e-3
        torch.testing.assert_close(a, b, rtol=1e-4, atol=2e-3)


def test_density_changes_pixels_by_one_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which way is taken is a matter of speed, in float32 and in bfloat16."""
    model = _model()
    q = _latents(0.05, 4, 6)
    for small in (False, True):
        model.transform.use_bfloat16, model._sparse = small, None
        sparse = model.synthesize_pixels(q, _CODE).astype(int)
        assert model._sparse is not None
        monkeypatch.setattr(ladder_module, "_DENSE", 0.0)
        dense = model.synthesize_pixels(q, _CODE).astype(int)
        monkeypatch.undo()
        assert np.abs(sparse - dense).max() <= 1
        assert sparse.std() > 5
