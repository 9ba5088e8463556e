"""The MS-SSIM term of the loss, beside the library that the evaluation uses."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bitcodec.errors import TrainingError
from bitcodec.training.ladder_task import MSE_OF_MS_SSIM, LadderTask
from bitcodec.training.similarity import LEAST_EDGE, WEIGHTS, ms_ssim_loss


def _pictures() -> Tensor:
    coarse = 255 * torch.rand(2, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(coarse, size=(192, 208), mode="bilinear")


@pytest.mark.parametrize("noise", [2.0, 20.0, 60.0])
def test_it_is_the_librarys_without_the_finest_scale(noise: float) -> None:
    library = pytest.importorskip("pytorch_msssim")
    x = _pictures()
    y = x + noise * torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    a, b = (torch.nn.functional.avg_pool2d(t, 2) for t in (y, x))
    # The library insists on 161 pixels: it gets the halved pictures with every pixel doubled,
    # whose finest scale has no weight.
    weights = [0.0, *WEIGHTS]
    a, b = (t.repeat_interleave(2, 2).repeat_interleave(2, 3) for t in (a, b))
    expected = 1 - library.ms_ssim(a, b, data_range=255, size_average=False, weights=weights)
    torch.testing.assert_close(ms_ssim_loss(y, x), expected, rtol=1e-3, atol=1e-6)


def test_equal_pictures_differ_by_nothing_and_gradients_flow() -> None:
    x = _pictures()
    assert ms_ssim_loss(x, x).abs().max() < 1e-6
    y = (x + 10).requires_grad_(True)
    ms_ssim_loss(y, x).sum().backward()
    assert y.grad is not None
    assert torch.isfinite(y.grad).all()
    assert y.grad.abs().max() > 0


def test_a_picture_against_its_negative_has_a_finite_gradient() -> None:
    x = _pictures()
    y = (255 - x).requires_grad_(True)
    value = ms_ssim_loss(y, x)
    value.sum().backward()
    assert (value > 0.5).all()
    assert y.grad is not None
    assert torch.isfinite(y.grad).all()


def test_small_crops_are_refused() -> None:
    x = torch.zeros(1, 3, LEAST_EDGE - 16, 256)
    with pytest.raises(TrainingError, match="176 pixels"):
        ms_ssim_loss(x, x)


def test_the_loss_mixes_both() -> None:
    from bitcodec.models.weights import build

    torch.manual_seed(0)
    tiny = {"state": 12, "hidden": 8, "width": 8, "pixels": (4, 4), "blocks": 1}
    model = build("ladder-float", tiny)
    x = _pictures()[:, :, :, :192] / 255
    step = torch.full((2, 1, 1, 1), 40.0)
    plain, _ = LadderTask(phase="decoder").objective(model, x, step)  # type: ignore[arg-type]
    mixed, _ = LadderTask(phase="decoder", similarity=0.25).objective(
        model,  # type: ignore[arg-type]
        x,
        step,
    )
    with torch.no_grad():
        y = model.transform.analyze(x * 255, step)  # type: ignore[union-attr]
        x_hat = model.transform.synthesize(torch.floor(y + 0.5), step)  # type: ignore[union-attr]
    other = MSE_OF_MS_SSIM * ms_ssim_loss(x_hat, x * 255).mean()
    scale = 24 / 40**2 / (0.3 + 20 / 40)
    expected = 0.75 * plain.detach() + 0.25 * scale * other
    assert float(mixed.detach()) == pytest.approx(float(expected), rel=1e-4)
