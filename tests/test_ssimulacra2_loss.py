"""SSIMULACRA2's weighted sum in the loss, beside the one that the evaluation uses."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from bitcodec.errors import TrainingError
from bitcodec.evaluate.ssimulacra2 import Ssimulacra2
from bitcodec.models.ladder.config import LadderConfig
from bitcodec.models.ladder.transform import Transform
from bitcodec.training.ladder_task import LadderTask, mse_of_s
from bitcodec.training.ssimulacra2 import LEAST_EDGE, score, weighted_sum

SAMPLES = Path(__file__).parent.parent / "samples"


def _batch(rgb: np.ndarray) -> Tensor:
    return torch.from_numpy(rgb).permute(2, 0, 1)[None].double()


@pytest.mark.parametrize("name", ["astronaut.png", "coffee.png"])
@pytest.mark.parametrize("quality", [5, 15, 40, 70, 95])
def test_it_is_the_metrics_own(name: str, quality: int) -> None:
    original = Image.open(SAMPLES / name).convert("RGB").crop((0, 0, 400, 384))
    buffer = io.BytesIO()
    original.save(buffer, "JPEG", quality=quality)
    decoded = original.copy()
    # Equal near the borders, since the two treat them differently: 5 samples at a sixteenth.
    decoded.paste(Image.open(buffer).crop((96, 96, 304, 288)), (96, 96))
    x, y = np.array(original), np.array(decoded)
    s = weighted_sum(_batch(y), _batch(x))
    assert float(score(s)) == pytest.approx(Ssimulacra2(x)(y), abs=0.2)


def test_equal_pictures_have_no_distance_and_gradients_are_finite() -> None:
    x = _batch(np.array(Image.open(SAMPLES / "chelsea.png").convert("RGB"))[:160, :160]).float()
    same = x.clone().requires_grad_(True)
    s = weighted_sum(same, x)
    s.sum().backward()
    assert float(s.detach()) < 0.02
    assert same.grad is not None
    assert torch.isfinite(same.grad).all()
    far = (255 - x).requires_grad_(True)
    weighted_sum(far, x).sum().backward()
    assert far.grad is not None
    assert torch.isfinite(far.grad).all()
    assert float(far.grad.abs().max()) > 0


def test_small_crops_are_refused() -> None:
    x = torch.zeros(1, 3, LEAST_EDGE - 16, LEAST_EDGE)
    with pytest.raises(TrainingError, match="task.eyes"):
        weighted_sum(x, x)


def test_its_worth_falls_with_the_step() -> None:
    kappa = mse_of_s(torch.tensor([4.0, 8.0, 30.0, 220.0, 500.0])).tolist()
    assert kappa[:2] == pytest.approx([17.9, 17.9])
    assert 12.5 < kappa[2] < 15
    assert kappa[3:] == pytest.approx([6.8, 6.8])


def test_the_gain_follows_the_step() -> None:
    transform = Transform(LadderConfig())
    with torch.no_grad():
        transform.log_gains[0].fill_(0.5)
        transform.log_gains[1].fill_(-0.25)
        transform.log_gains[2].fill_(0.125)
    step = torch.tensor([48.0, 48.0 * np.e, 48.0 / np.e]).view(3, 1, 1, 1)
    gain = transform.log_gain(step)
    assert gain.shape == (3, 768, 1, 1)
    torch.testing.assert_close(gain[:, 0].flatten(), torch.tensor([0.5, 0.375, 0.875]))


def test_gains_learn_at_a_rate_of_their_own() -> None:
    from bitcodec.training.config import TrainConfig

    task = LadderTask(gain_rate=7.0)
    model = task.build(TrainConfig(family="ladder"))
    groups = task.parameter_groups(model, 1e-3)
    assert [g["scale"] for g in groups] == [1.0, task.kernel_rate, 7.0]
    assert [p.shape for p in groups[2]["params"]] == [(3, 768, 1, 1)]
    frozen = dataclasses.replace(task, phase="finish")
    assert frozen.parameter_groups(model, 1e-3)[2]["params"] == []


def test_a_map_of_one_step_is_that_step() -> None:
    from bitcodec.models.ladder.trainable import LadderFloatModel

    torch.manual_seed(0)
    model = LadderFloatModel(LadderConfig())
    for p in model.parameters():
        p.data += 0.01 * torch.randn_like(p)
    x = 255 * torch.rand(2, 3, 64, 48)
    step = torch.tensor([10.0, 70.0]).view(2, 1, 1, 1)
    as_map = step.expand(2, 1, 4, 3).contiguous()
    with torch.no_grad():
        y = model.transform.analyze(x, step)
        torch.testing.assert_close(model.transform.analyze(x, as_map), y, rtol=1e-3, atol=1e-3)
        q = torch.round(y)
        for one, other in zip(model.estimator(q, step), model.estimator(q, as_map), strict=True):
            torch.testing.assert_close(other, one, rtol=1e-3, atol=1e-4)
        picture = model.transform.synthesize(q, step)
        again = model.transform.synthesize(q, as_map)
        torch.testing.assert_close(again, picture, rtol=1e-3, atol=0.05)


def test_blocks_of_a_map_weigh_as_their_own_steps_do() -> None:
    task = LadderTask(maps=1.0)
    x = torch.zeros(3, 3, 192, 160)
    step = task.draw(x.shape, np.random.default_rng(0))
    assert step.shape == (3, 1, 12, 10)
    assert torch.equal(step[:, :, :4, :4], step[:, :, :1, :1].expand(3, 1, 4, 4))
    assert len(step[0].unique()) == 9
    from bitcodec.training.ladder_task import _weigh

    pixels = torch.rand(1, 1, 16, 32, requires_grad=True)
    out = _weigh(pixels, torch.tensor([[[[0.5, 2.0]]]]))
    torch.testing.assert_close(out, pixels)
    out.sum().backward()
    assert pixels.grad is not None
    assert torch.equal(pixels.grad[0, 0, 0, ::16], torch.tensor([0.5, 2.0]))
