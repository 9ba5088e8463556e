"""The training loop: it learns, resumes exactly, and refuses what it cannot do."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bitcodec.errors import TrainingError
from bitcodec.models.weights import load_weights
from bitcodec.training import run as run_module
from bitcodec.training.config import dump_config, load_config
from bitcodec.training.data import CropSource, load_pictures
from bitcodec.training.run import Trainer, learning_rate, train

_SETTINGS = (
    "model={n = 8, m = 16, activation = 'gdn', blocks = 1}",
    "task.channels=[8, 16]",
    "task.odds=[0.5, 0.5]",
    "data.crop=32",
    "data.batch=2",
    "run.precision=fp32",
    "run.log_every=2",
    "run.save_every=3",
    "run.valid_every=6",
    "optim.warmup=2",
)


@pytest.fixture
def photos(tmp_path: Path, draw: Callable[..., Image.Image]) -> Path:
    """A folder with a sub-folder, one broken file and one that is too small."""
    folder = tmp_path / "photos"
    (folder / "deep").mkdir(parents=True)
    draw(80, 64).save(folder / "a.png")
    draw(64, 90).save(folder / "deep" / "b.jpg", quality=95)
    draw(8, 8).save(folder / "small.png")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8 not a picture")
    return folder


def _settings(photos: Path, *more: str) -> tuple[str, ...]:
    return (*_SETTINGS, f"data.dir={str(photos)!r}", f"data.valid={str(photos / 'deep')!r}", *more)


def test_loss_falls_and_weights_are_usable(photos: Path, tmp_path: Path) -> None:
    config = load_config(
        None,
        _settings(photos, "run.steps=60", "run.valid_every=30", "init=''", "optim.lr=3e-3"),
    )
    result = train(config, tmp_path / "run", device="cpu", quiet=True)
    assert result.steps == 60
    assert sorted(line.split(": ")[0].rsplit("/", 1)[1] for line in result.skipped) == [
        "broken.jpg",
        "small.png",
    ]
    with (tmp_path / "run" / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    losses = [float(row["loss"]) for row in rows]
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
    validated = [row for row in rows if row["valid"]]
    assert [row["step"] for row in validated] == ["30", "60"]
    model = load_weights(tmp_path / "run" / "best.safetensors")
    assert model.family == "sign"
    assert result.best == pytest.approx(
        min(float(row["valid_score"]) for row in validated), abs=1e-5
    )


@pytest.mark.parametrize("method", ["adam", "soap"])
def test_interrupted_and_resumed_equals_uninterrupted(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    more = ("run.steps=8", "model.binarizer='stochastic'", f"optim.method='{method}'")
    config = load_config(None, _settings(photos, *more))
    train(config, tmp_path / "whole", device="cpu", quiet=True)
    step = Trainer.step

    def interrupted(self: Trainer, *args: object) -> dict[str, float]:
        if self.state.step == 5:
            raise KeyboardInterrupt
        return step(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(run_module.Trainer, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "cut", device="cpu", quiet=True)
    monkeypatch.undo()
    result = train(config, tmp_path / "cut", resume=True, device="cpu", quiet=True)
    assert result.steps == 8
    one, two = (
        torch.load(tmp_path / name / "last.pt", weights_only=True) for name in ("whole", "cut")
    )
    for part in ("model", "ema"):
        assert one[part].keys() == two[part].keys()
        assert all(torch.equal(one[part][k], two[part][k]) for k in one[part])
    assert one["best"] == two["best"]
    assert str(one["optimizer"]) == str(two["optimizer"])


def test_a_run_is_not_overwritten_nor_made_up(photos: Path, tmp_path: Path) -> None:
    config = load_config(None, _settings(photos, "run.steps=1"))
    with pytest.raises(TrainingError, match="nothing to resume"):
        train(config, tmp_path / "run", resume=True, device="cpu", quiet=True)
    train(config, tmp_path / "run", device="cpu", quiet=True)
    before = (tmp_path / "run" / "last.pt").read_bytes()
    with pytest.raises(TrainingError, match="--resume"):
        train(config, tmp_path / "run", device="cpu", quiet=True)
    assert (tmp_path / "run" / "last.pt").read_bytes() == before
    (tmp_path / "run" / "last.pt").write_bytes(before[:100])
    with pytest.raises(TrainingError, match="cannot resume"):
        train(config, tmp_path / "run", resume=True, device="cpu", quiet=True)


def test_a_loss_that_is_no_number_ends_the_run_before_it_is_saved(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the log is not due: what is saved at step 3 is the last."""
    config = load_config(None, _settings(photos, "run.steps=8", "run.log_every=100"))
    normal = Trainer._pass

    def diverging(self: Trainer, *args: object) -> dict[str, torch.Tensor]:
        figures = normal(self, *args)  # type: ignore[arg-type]
        return figures | {"loss": figures["loss"] / (self.state.step < 4)}

    monkeypatch.setattr(run_module.Trainer, "_pass", diverging)
    with pytest.raises(TrainingError, match="the loss is (inf|nan) near step 6"):
        train(config, tmp_path / "run", device="cpu", quiet=True)
    assert torch.load(tmp_path / "run" / "last.pt", weights_only=True)["step"] == 3


def test_starts_from_weights(photos: Path, tmp_path: Path) -> None:
    config = load_config(None, _settings(photos, "run.steps=6"))
    train(config, tmp_path / "one", device="cpu", quiet=True)
    best = tmp_path / "one" / "best.safetensors"
    again = load_config(None, _settings(photos, "run.steps=1", f"init={str(best)!r}", "optim.lr=0"))
    train(again, tmp_path / "two", device="cpu", quiet=True)
    old, new = (load_weights(tmp_path / n / "best.safetensors") for n in ("one", "two"))
    assert old.model_id == new.model_id


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ("run.stepz=1", "unknown configuration key run.stepz"),
        ("colour='red'", "unknown configuration key colour"),
        ("run.steps='many'", "run.steps: Expected `int`, got `str`"),
        ("run=3", "run: Expected `object`, got `int`"),
        ("steps", "key=value"),
        ("task.channels=[1, 500]", r"in 1..16"),
        ("task.odds=[1.0]", "same length"),
        ("task.chanels=[1]", "task.chanels"),
        ("run.precision='fp8'", "run.precision"),
        ("data.dir='/nowhere'", "not a folder"),
        ("data.workers=0", "data.workers"),
        ("init='magic'", "init must be"),
        ("model.width=3", "bad configuration of a sign model"),
        ("family='jpeg'", "unknown family"),
    ],
)
def test_bad_configuration(photos: Path, tmp_path: Path, setting: str, reason: str) -> None:
    with pytest.raises(Exception, match=reason) as caught:
        train(
            load_config(None, _settings(photos, "run.steps=1", setting)),
            tmp_path / "run",
            device="cpu",
            quiet=True,
        )
    assert caught.type.__module__ == "bitcodec.errors"
    assert not (tmp_path / "run" / "last.pt").exists()


def test_config_survives_its_file(photos: Path, tmp_path: Path) -> None:
    config = load_config(None, _settings(photos, "run.seed=7"))
    path = tmp_path / "config.toml"
    path.write_text(dump_config(config))
    assert load_config(path) == config


def test_crops_depend_on_seed_step_and_rank_alone(photos: Path) -> None:
    config = load_config(None, _settings(photos)).data
    pictures, _ = load_pictures(photos, 32)
    one, two = CropSource(pictures, config, 1, 0), CropSource(pictures, config, 1, 0)
    assert torch.equal(one[5], two[5])
    assert not torch.equal(one[5], one[6])
    assert not torch.equal(one[5], CropSource(pictures, config, 1, 1)[5])
    ahead = list(two.batches(5, 8))
    assert [torch.equal(a, one[s]) for a, s in zip(ahead, (5, 6, 7), strict=True)] == [True] * 3


def test_learning_rate() -> None:
    optim = load_config(None, ("optim.lr=1.0", "optim.warmup=10", "optim.hold=0.5")).optim
    rates = [learning_rate(step, 100, optim) for step in range(101)]
    assert rates[0] == 0.1
    assert rates[10:51] == [1.0] * 41
    assert rates[75] == pytest.approx(0.51)
    assert rates[100] == pytest.approx(0.02)


@pytest.mark.slow
def test_two_processes_train_one_model(photos: Path, tmp_path: Path) -> None:
    """Under torchrun with gloo: two ranks, one run folder, gradients averaged."""
    out = tmp_path / "run"
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    command += ["--master-port", str(20000 + os.getpid() % 20000), "-m", "bitcodec", "train"]
    command += ["--model", "sign", "--data", str(photos), "--out", str(out), "--device", "cpu"]
    for setting in (*_SETTINGS, "run.steps=4", "data.batch=1", "init=''"):
        command += ["--set", setting]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    saved = torch.load(out / "last.pt", weights_only=True)
    assert saved["step"] == 4
    # the same four steps by hand: the mean of the two ranks' gradients
    config = load_config(out / "config.toml")
    alone = Trainer(config, tmp_path / "alone", "cpu", True)
    other = CropSource(alone.source.pictures, config.data, config.run.seed, 1)
    for step in range(4):
        gradients = []
        for rank, source in ((0, alone.source), (1, other)):
            rng = np.random.default_rng([config.run.seed, step, rank, 1])
            torch.manual_seed(int(rng.integers(2**31)))
            x = source[step].float().div(255).contiguous(memory_format=torch.channels_last)
            loss, _ = alone.task.loss(alone.state.model.train(), x, alone.task.draw(x.shape, rng))
            parameters = list(alone.state.model.parameters())
            gradients.append(torch.autograd.grad(loss, parameters))
        for p, a, b in zip(parameters, *gradients, strict=True):
            p.grad = (a + b) / 2
        torch.nn.utils.clip_grad_norm_(parameters, config.optim.clip)
        for group in alone.state.optimizer.param_groups:
            group["lr"] = learning_rate(step, config.run.steps, config.optim)
        alone.state.optimizer.step()
    for name, value in alone.state.model.state_dict().items():
        torch.testing.assert_close(value, saved["model"][name], atol=2e-5, rtol=1e-3)
