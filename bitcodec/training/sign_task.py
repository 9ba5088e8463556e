"""Training `sign`: squared error at random numbers of channels."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from bitcodec.errors import TrainingError
from bitcodec.models.sign.config import SignConfig
from bitcodec.models.torch_model import TorchModel
from bitcodec.training.config import TrainConfig
from bitcodec.training.tasks import Task, Validation, measure_files
from bitcodec.training.warmstart import warm_start


@dataclass(frozen=True)
class SignTask(Task):
    """Mean squared error at random truncations.

    Attributes:
        channels: the rates to train for, in channels.
        odds: how often each is drawn; an equal part of ``uniform`` goes to every count.
        uniform: the share of crops whose count is drawn uniformly from 1..M.
        exponent: the error at m of M channels is multiplied by (m / M) ** exponent, so that
            low rates, with their larger errors, do not decide alone.
    """

    graphed: ClassVar[bool] = False  # the model chooses channels by lists
    channels: tuple[int, ...] = (64, 128, 192)
    odds: tuple[float, ...] = (0.15, 0.2, 0.65)
    uniform: float = 0.1
    exponent: float = 0.7

    def draw(self, shape: torch.Size, rng: np.random.Generator) -> Tensor:
        """How many channels each picture of a batch has: int64 (N,)."""
        n, total = shape[0], max(self.channels)
        odds = np.array(self.odds) / sum(self.odds)
        m = rng.choice(self.channels, size=n, p=odds)
        return torch.from_numpy(
            np.where(rng.random(n) < self.uniform, rng.integers(1, total + 1, n), m)
        )

    def loss(self, model: nn.Module, x: Tensor, drawn: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Weighted mean squared error of a batch."""
        x_hat = model(x, drawn).float()
        mse = (x_hat - x).square().flatten(1).mean(1)
        weight = (drawn / max(self.channels)) ** self.exponent
        figures = {
            "bpp": drawn.float().mean() / 256,
            "psnr": -10 * torch.log10(mse.detach().mean()),
        }
        return 100 * (weight * mse).mean(), figures

    def validate(self, model: TorchModel, pictures: list[np.ndarray]) -> Validation:
        """PSNR of real files at every trained rate; the score is minus the largest rate's."""
        start = time.monotonic()
        rows = tuple((m, *measure_files(model, pictures, m, 0)[:2]) for m in self.channels)
        share = np.array(self.odds) / sum(self.odds)
        score = -float(np.dot(share, [row[2] for row in rows]))
        return Validation(score, rows, time.monotonic() - start)

    @classmethod
    def of(cls, config: TrainConfig) -> SignTask:
        """As the base class; the rates must be those of the model."""
        task = super().of(config)
        channels = config.model.get("m", SignConfig.m)
        if len(task.channels) != len(task.odds) or not task.channels:
            raise TrainingError("task.channels and task.odds must be lists of the same length")
        if min(task.channels) < 1 or max(task.channels) > channels:
            raise TrainingError(f"task.channels must be in 1..{channels}, the model's channels")
        return task

    def start(self, model: TorchModel, config: TrainConfig, crops: Tensor) -> TorchModel:
        """``init = "pca"``: see :mod:`bitcodec.training.warmstart`."""
        if config.init != "pca":
            raise TrainingError(f"init must be pca or a weights file, not {config.init!r}")
        return warm_start(model.config, crops)
