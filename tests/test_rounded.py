"""Fake quantisation: torch computes what the graphs do, learns, and is exported as it learned."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bitcodec.models.ladder.model import LadderModel
from bitcodec.models.ladder.steps import code_of_step
from bitcodec.models.ladder.trainable import LadderFloatModel
from bitcodec.models.layers.halo import NO_HALO, Halo
from bitcodec.models.weights import build, load_weights, save_weights
from bitcodec.runtime.loaded import open_model
from bitcodec.training.config import load_config
from bitcodec.training.export import export
from bitcodec.training.run import Trainer, train

_TINY = {"state": 12, "hidden": 8, "width": 12, "pixels": (8, 12), "blocks": 2, "down": (2, 1)}
_CODE = code_of_step(40)


def _model(picture: np.ndarray) -> LadderFloatModel:
    """With weights of which all parts count, and ranges."""
    torch.manual_seed(0)
    model = build("ladder-float", dict(_TINY))
    assert isinstance(model, LadderFloatModel)
    with torch.no_grad():
        for name, parameter in model.transform.named_parameters():
            if "kernels" not in name:
                parameter.add_(0.05 * torch.randn_like(parameter))
    model.measure([picture])
    return model


@pytest.fixture
def picture(draw: Callable[..., Image.Image]) -> np.ndarray:
    return np.array(draw(96, 64))


def test_torch_computes_what_the_graphs_do(picture: np.ndarray, tmp_path: Path) -> None:
    rounded = _model(picture).export([picture])
    rounded.transform.use_bfloat16 = False
    save_weights(rounded, tmp_path / "w.safetensors")
    graphs = open_model(tmp_path / "w.safetensors", "cpu")
    plain = load_weights(tmp_path / "w.safetensors")
    assert isinstance(plain, LadderModel)
    plain.transform.use_bfloat16 = False
    y = graphs.analyze(picture, _CODE)
    near = np.abs(rounded.analyze(picture, _CODE) - y)
    far = np.abs(plain.analyze(picture, _CODE) - y)
    assert near.mean() < 0.02 * far.mean()
    q = np.round(y).astype(np.int16)
    for halo in (NO_HALO, Halo(1, 0, 2, 1)):
        x, here, there = (
            m.synthesize_pixels(q, _CODE, halo).astype(int) for m in (graphs, rounded, plain)
        )
        assert (np.abs(here - x) <= 1).mean() >= 0.999
        assert np.abs(here - x).mean() < min(0.02, 0.2 * np.abs(there - x).mean())


@pytest.mark.parametrize("shape", [(2, 1, 1, 1), (2, 1, 2, 2)])
def test_gradients_pass(shape: tuple[int, ...], picture: np.ndarray) -> None:
    """To all weights, at steps of their own and with maps; in bfloat16 nearly the same numbers."""
    transform = _model(picture).transform
    x = torch.from_numpy(np.stack([picture[:32, :32], picture[32:, 64:]])).permute(0, 3, 1, 2)
    step = torch.full(shape, 30.0)

    def run() -> torch.Tensor:
        y = transform.analyze(x.float(), step)
        return transform.synthesize(y + (torch.round(y) - y).detach(), step)

    out = run()
    out.square().mean().backward()
    for name, parameter in transform.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0, name
    transform.use_bfloat16 = True
    assert (run() - out).abs().mean() < 1


def test_it_compiles_in_one_piece(picture: np.ndarray) -> None:
    transform = _model(picture).transform
    x, step = (
        torch.from_numpy(picture).permute(2, 0, 1)[None].float(),
        torch.full((1, 1, 1, 1), 9.0),
    )

    def run(x: torch.Tensor) -> torch.Tensor:
        return transform.synthesize(torch.round(transform.analyze(x, step)), step)

    with torch.no_grad():
        out = torch.compile(run, fullgraph=True, backend="eager")(x)
        assert torch.equal(out, run(x))


def test_a_finish_goes_on_and_ends_as_it_was_trained(
    tmp_path: Path, draw: Callable[..., Image.Image]
) -> None:
    (tmp_path / "photos").mkdir()
    for index in range(2):
        draw(96 + 16 * index, 80).save(tmp_path / "photos" / f"{index}.png")
    start = _model(np.array(draw(64, 64)))
    save_weights(start, tmp_path / "start.safetensors")
    where = repr(str(tmp_path / "photos"))
    config = load_config(
        None,
        (
            *("family='ladder'", "task.phase='finish'", "task.rounded=true", "task.rdo=20.0"),
            *(f"data.dir={where}", f"data.valid={where}", "data.valid_edge=32"),
            *("data.crop=32", "data.batch=2", "run.steps=2", "run.valid_every=1"),
            *("run.save_every=1", "task.valid_steps=[40.0]"),
            *("task.similarity=0.0", "task.eyes=0.0"),
            f"init={str(tmp_path / 'start.safetensors')!r}",
        ),
    )
    half = dataclasses.replace(config, run=dataclasses.replace(config.run, steps=1))
    train(half, tmp_path / "run", device="cpu", quiet=True)
    # What it started from is gone: the ranges are those of the checkpoint.
    with torch.no_grad():
        start.transform.down.d4[0].bias.add_(1)
    save_weights(start, tmp_path / "start.safetensors")
    trainer = Trainer(config, tmp_path / "run", "cpu", quiet=True)
    other = trainer.state.model.fixed()
    trainer.resume()
    kept = trainer.state.model.fixed()
    assert any(not torch.equal(kept[name], other[name]) for name in kept)
    assert trainer.run().steps == 2
    again = tmp_path / "again.safetensors"
    export(
        tmp_path / "run" / "best-float.safetensors", trainer.source.pictures, again, overwrite=False
    )
    for path in (tmp_path / "run" / "best.safetensors", again):
        best = load_weights(path)
        assert isinstance(best, LadderModel)
        assert best.ranges.keys() == kept.keys()
        assert all(np.array_equal(best.ranges[name], kept[name].numpy()) for name in kept)
        assert open_model(path, "cpu").rates()
