"""Everything that changes while training, to and from a checkpoint."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch

from bitcodec.models.torch_model import TorchModel


@dataclass
class TrainingState:
    """Everything that changes while training."""

    model: TorchModel
    ema: TorchModel
    optimizer: torch.optim.Optimizer
    step: int = 0
    best: float = math.inf
    minutes: float = 0.0
    sums: dict[str, Any] = field(default_factory=dict)

    def dump(self) -> dict[str, Any]:
        """What last.pt holds."""
        return {
            "model": self.model.state_dict(),
            "ema": self.ema.state_dict(),
            "fixed": self.model.fixed(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "best": self.best,
            "minutes": self.minutes,
            "sums": {k: float(v) for k, v in self.sums.items()},
        }

    def restore(self, saved: dict[str, Any]) -> None:
        """Take over what :meth:`dump` returned."""
        self.model.load_state_dict(saved["model"])
        self.ema.load_state_dict(saved["ema"])
        if self.model.fixed() and saved.get("fixed"):
            self.model.fix(saved["fixed"])
            self.ema.fix(saved["fixed"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.step, self.best = saved["step"], saved["best"]
        self.minutes, self.sums = saved["minutes"], dict(saved["sums"])
