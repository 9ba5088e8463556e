"""Training `ladder`: every phase learns, and what is saved codes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bitcodec.errors import TrainingError
from bitcodec.models.ladder.likelihood import bits
from bitcodec.models.ladder.model import LadderModel
from bitcodec.models.ladder.trainable import LadderFloatModel
from bitcodec.models.weights import build, load_weights, save_weights
from bitcodec.training.config import load_config
from bitcodec.training.ladder_task import LadderTask, rdoq
from bitcodec.training.run import train
from bitcodec.training.tasks import make_task

_TINY = {"state": 12, "hidden": 8, "width": 8, "pixels": (4, 4), "blocks": 1}
_SETTINGS = (
    "family='ladder'",
    "model={state = 12, hidden = 8, width = 8, pixels = [4, 4], blocks = 1}",
    "data.crop=32",
    "data.batch=2",
    "data.valid_edge=32",
    "run.steps=2",
    "run.valid_every=2",
    "task.valid_steps=[40.0]",
    "task.similarity=0.0",  # more needs larger crops, and so do eyes
    "task.eyes=0.0",
)


def _parts(model: LadderFloatModel) -> dict[str, list[torch.Tensor]]:
    t = model.transform
    return {
        "analysis": [*t.analysis_trunk.parameters(), *t.down.parameters(), t.analysis_kernels],
        "synthesis": [*t.synthesis_trunk.parameters(), *t.up.parameters(), t.synthesis_kernels],
        "context": list(model.estimator.parameters()),
    }


@pytest.mark.parametrize(
    ("phase", "learning"),
    [
        ("joint", {"analysis", "synthesis", "context"}),
        ("decoder", {"synthesis"}),
        ("context", {"context"}),
        ("finish", {"synthesis", "context"}),
    ],
)
def test_phases_train_what_they_say(phase: str, learning: set[str]) -> None:
    torch.manual_seed(0)
    model = build("ladder-float", dict(_TINY))
    assert isinstance(model, LadderFloatModel)
    with torch.no_grad():  # zero-initialised branches would hide what lies behind them
        for parameter in model.parameters():
            parameter.add_(0.01 * torch.randn_like(parameter))
    task = LadderTask(phase=phase, rdo=20.0 if phase != "joint" else 0.0)  # type: ignore[arg-type]
    groups = task.parameter_groups(model, 1e-3)
    x = torch.rand(2, 3, 32, 32)
    loss, figures = task.loss(model, x, task.draw(x.shape, np.random.default_rng(0)))
    loss.backward()
    for part, parameters in _parts(model).items():
        moved = any(p.grad is not None and float(p.grad.abs().max()) > 0 for p in parameters)
        assert moved == (part in learning), part
    given = {id(p) for group in groups for p in group["params"]}
    assert given == {id(p) for p in model.parameters() if p.requires_grad}
    assert (figures["bpp"] > 0) == (phase != "decoder")


def test_rounding_in_training_is_the_encoders() -> None:
    torch.manual_seed(1)
    y, mu = 2 * torch.randn(5000), torch.randn(5000)
    s = torch.full_like(y, 0.4)
    plain, chosen = torch.floor(y + 0.5), rdoq(y, mu, s, 16.0)

    def price(q: torch.Tensor) -> torch.Tensor:
        return bits(q, mu, s) + 16 * (y - q).square()

    moved = plain != chosen
    assert moved.float().mean() > 0.05
    assert (price(chosen)[moved] < price(plain)[moved]).all()


def test_a_run_ends_in_weights_that_code(tmp_path: Path, draw: Callable[..., Image.Image]) -> None:
    (tmp_path / "photos").mkdir()
    for index in range(2):
        draw(96 + 16 * index, 80).save(tmp_path / "photos" / f"{index}.png")
    where = f"data.dir={str(tmp_path / 'photos')!r}"
    valid = f"data.valid={str(tmp_path / 'photos')!r}"
    config = load_config(None, (*_SETTINGS, where, valid))
    result = train(config, tmp_path / "run", device="cpu", quiet=True)
    assert result.steps == 2
    shipped = load_weights(tmp_path / "run" / "best.safetensors")
    assert type(shipped) is LadderModel
    again = f"init={str(tmp_path / 'run' / 'best-float.safetensors')!r}"
    finish = load_config(
        None, (*_SETTINGS, where, valid, again, "task.phase='finish'", "task.rdo=20.0")
    )
    train(finish, tmp_path / "next", device="cpu", quiet=True)
    tuned = load_weights(tmp_path / "next" / "best.safetensors")
    assert tuned.config.rdo == 20.0
    picture = draw(50, 37)
    import bitcodec

    out = bitcodec.decode(bitcodec.encode(picture, model=tuned, quality=60), model=tuned)
    assert out.size == (50, 37)


def test_training_goes_on_from_shipped_weights(
    tmp_path: Path, draw: Callable[..., Image.Image]
) -> None:
    """Their integers are taken back to floating point; the analysis may get more blocks."""
    model = build("ladder-float", dict(_TINY))
    assert isinstance(model, LadderFloatModel)
    picture = np.array(draw(96, 80))
    shipped = model.export([picture])
    save_weights(shipped, tmp_path / "shipped.safetensors")
    draw(96, 80).save(tmp_path / "photo.png")
    config = load_config(
        None,
        (
            *_SETTINGS,
            f"data.dir={str(tmp_path)!r}",
            f"init={str(tmp_path / 'shipped.safetensors')!r}",
            "model.down=[4, 2]",
        ),
    )
    task = make_task(config)
    loaded = load_weights(tmp_path / "shipped.safetensors")
    taken = task.adopt(loaded, config)
    assert isinstance(taken, LadderFloatModel)
    assert taken.config.down == (4, 2)
    assert len(taken.transform.down.d4) == len(model.transform.down.d4) + 1
    for other in ({"down": (1, 2)}, {"width": 12}):
        with pytest.raises(TrainingError, match="does not fit"):
            task.adopt(loaded, dataclasses.replace(config, model=other))
    # The new block starts so near the identity that the latents are the old ones.
    y = shipped.analyze(picture, 5000)
    assert np.abs(taken.export([picture]).analyze(picture, 5000) - y).max() < 0.05 * np.abs(y).max()
    assert train(config, tmp_path / "run", device="cpu", quiet=True).steps == 2


def test_other_families_are_refused(tmp_path: Path, tiny_weights: Path) -> None:
    config = load_config(None, (*_SETTINGS, f"init={str(tiny_weights)!r}"))
    with pytest.raises(TrainingError, match="holds sign, not ladder"):
        make_task(config).adopt(load_weights(tiny_weights), config)
