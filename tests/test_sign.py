"""The `sign` model: the report's names and figures, sizes, truncation, gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bitcodec.codec.decode import decode
from bitcodec.codec.encode import encode_picture
from bitcodec.errors import ContainerError
from bitcodec.format.container import Source
from bitcodec.models.sign.config import SignConfig
from bitcodec.models.sign.model import SignModel
from bitcodec.models.weights import build
from bitcodec.picture.images import Picture
from bitcodec.training.warmstart import plan_bits, warm_start


def _model(**options: object) -> SignModel:
    torch.manual_seed(0)
    model = build("sign", {"n": 8, "m": 16, **options})
    assert isinstance(model, SignModel)
    return model.eval()


def _picture(rgb: np.ndarray) -> Picture:
    return Picture(rgb, None, False, None, None, ())


def _noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_the_reports_functions() -> None:
    model = _model()
    x = torch.rand(2, 3, 32, 48)
    y = model.compress(x)
    assert y.shape == (2, 16, 2, 3)
    bits = model.quantize(x)
    assert torch.equal(bits, torch.where(y >= 0, 1.0, -1.0))
    x_hat = model.decompress(bits)
    assert x_hat.shape == x.shape
    assert x_hat.min() >= 0
    assert x_hat.max() <= 1
    assert torch.equal(model(x), x_hat)


def test_the_reports_network_is_four_and_four() -> None:
    kinds = [
        type(layer).__name__ for layer in SignModel(SignConfig()).children() for layer in layer
    ]
    assert [k for k in kinds if k != "Identity"] == ["Conv2d"] * 4 + ["ConvTranspose2d"] * 4
    conv = SignModel(SignConfig()).g_a[0]
    assert conv.kernel_size == (5, 5)  # type: ignore[union-attr]
    assert conv.stride == (2, 2)  # type: ignore[union-attr]


def test_numel_ratio_of_the_report() -> None:
    bits = _model(n=4, m=192).quantize(torch.rand(1, 3, 64, 604))
    assert bits.numel() / (3 * 64 * 604) == 0.25165562913907286


def test_zero_one_levels() -> None:
    model = _model(levels="zero-one")
    bits = model.quantize(torch.rand(1, 3, 32, 32))
    assert set(bits.unique().tolist()) <= {0.0, 1.0}
    data = encode_picture(_picture(_noise(32, 32)), model, 16)
    assert decode(Source.of(data), model).picture.rgb.shape == (32, 32, 3)


@pytest.mark.parametrize("activation", ["none", "relu", "leaky-relu", "gdn"])
def test_the_encoder_trains(activation: str) -> None:
    model = _model(activation=activation, blocks=1).train()
    x = torch.rand(2, 3, 32, 32)
    (model(x) - x).square().mean().backward()
    gradient = model.g_a[0].weight.grad
    assert gradient is not None
    assert gradient.abs().max() > 0


def test_no_gradient_where_the_latents_saturate() -> None:
    model = _model()
    model.g_a[-1].bias.data.fill_(50.0)  # type: ignore[union-attr]
    model.train()
    x = torch.rand(1, 3, 32, 32)
    (model(x) - x).square().mean().backward()
    gradient = model.g_a[0].weight.grad
    assert gradient is not None
    assert gradient.abs().max() == 0


@pytest.mark.parametrize("size", [(1, 1), (15, 3), (16, 16), (17, 33), (5, 200)])
def test_any_size(size: tuple[int, int]) -> None:
    model = _model()
    data = encode_picture(_picture(_noise(*size)), model, 16)
    assert decode(Source.of(data), model).picture.rgb.shape == (*size, 3)


def test_first_channels_are_a_codec_of_their_own() -> None:
    model = _model()
    x = torch.rand(1, 3, 32, 32)
    bits = model.quantize(x)
    cut = model(x, torch.tensor([5]))
    assert torch.equal(cut, model.decompress(bits[:, :5]))
    assert not torch.equal(cut, model.decompress(bits))


@pytest.mark.parametrize("effort", [5, 9])
def test_tiles_show_no_seam(effort: int) -> None:
    model = _model(activation="gdn", blocks=2)
    rgb = _noise(200, 330)
    whole = decode(Source.of(encode_picture(_picture(rgb), model, 16)), model).picture.rgb
    data = encode_picture(_picture(rgb), model, 16, tile=64, effort=effort)
    tiled = decode(Source.of(data), model).picture.rgb
    # the sums are the same up to the order of addition
    assert np.abs(whole.astype(int) - tiled).max() <= 1


def test_a_rate_that_the_model_does_not_have() -> None:
    with pytest.raises(ContainerError, match="rate"):
        _model().decode_tile(b"\0" * 4, (1, 1), 17)


def test_refinement_is_successive_approximation() -> None:
    """A chain of three on one value spells it in binary, most significant bit first."""
    model = _model(m=3, parents=(-1, 0, 1))
    assert model.refine is not None
    values = torch.tensor([0.9, 0.3, -0.2, -0.8])
    z = torch.zeros(1, 3, 1, 4)
    z[0, 0, 0] = values
    y, b = model.refine(z, "deterministic", "plus-minus")
    # scale 2, step 1: y_1 = 2 y_0 - b_0
    assert b[0, :, 0].T.tolist() == [[1, 1, 1], [1, -1, 1], [-1, 1, 1], [-1, -1, -1]]
    torch.testing.assert_close(y[0, 1, 0], 2 * values - b[0, 0, 0])
    spelled = (b[0, :, 0] * torch.tensor([0.5, 0.25, 0.125])[:, None]).sum(0)
    assert (spelled - values).abs().max() <= 0.125 + 1e-6


def test_refinement_looks_back_only() -> None:
    with pytest.raises(ValueError, match="refine"):
        SignModel(SignConfig(n=4, m=2, parents=(1, -1)))


def test_bits_go_where_the_error_is() -> None:
    rng = np.random.default_rng(0)
    samples = rng.standard_normal((4000, 3)) * [10.0, 1.0, 0.01]
    plan = plan_bits(samples, 6)
    assert plan.coefficient.count(2) == 0
    assert plan.coefficient.count(0) > plan.coefficient.count(1) > 0
    assert plan.strength == sorted(plan.strength, reverse=True)
    assert plan.parent[0] == -1


@pytest.mark.parametrize("activation", ["none", "leaky-relu", "gdn"])
def test_warm_start_is_a_transform_codec(activation: str) -> None:
    """It must beat the best constant by far before any training."""
    rng = np.random.default_rng(0)
    coarse = torch.from_numpy(rng.random((48, 3, 4, 4))).float()
    crops = torch.nn.functional.interpolate(coarse, size=(64, 64), mode="bicubic").clamp(0, 1)
    config = SignConfig(n=32, m=64, activation=activation)  # type: ignore[arg-type]
    model = warm_start(config, crops).eval()
    with torch.no_grad():
        error = (model(crops) - crops).square().mean()
        fewer = (model(crops, torch.full((48,), 16)) - crops).square().mean()
    variance = (crops - crops.mean((0, 2, 3), keepdim=True)).square().mean()
    assert error < 0.05 * variance
    assert error < fewer < 0.4 * variance


@pytest.mark.parametrize("blocks", [0, 1, 3])
def test_halos_cover_the_receptive_fields(blocks: int) -> None:
    """Gradients reach as far as the halos and no further than they say."""
    model = SignModel(SignConfig(n=2, m=2, blocks=blocks))
    for parameter in model.parameters():
        parameter.data.uniform_(0.1, 1.0)  # nothing cancels
    x = torch.rand(1, 3, 272, 272, requires_grad=True)
    (seen,) = torch.autograd.grad(model.g_a(x)[0, :, 8, 8].sum(), x)
    rows = seen.abs().sum((0, 1, 3)).nonzero().flatten()
    reach = max(8 * 16 - int(rows.min()), int(rows.max()) - (8 * 16 + 15))
    assert model.halo_in - 16 < reach <= model.halo_in
    q = torch.ones(1, 2, 17, 17, requires_grad=True)
    (seen,) = torch.autograd.grad(model.g_s(q)[0, :, 128:144, 128:144].sum(), q)
    rows = seen.abs().sum((0, 1, 3)).nonzero().flatten()
    assert max(8 - int(rows.min()), int(rows.max()) - 8) <= model.halo_out
