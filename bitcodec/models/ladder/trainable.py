"""`ladder` while it trains: the same transform, the context model in floating point."""

from __future__ import annotations

import copy
from typing import Any, ClassVar, cast

import numpy as np
import torch
from torch import Tensor

from bitcodec.models.ladder.activations import check_ranges
from bitcodec.models.ladder.config import LadderConfig
from bitcodec.models.ladder.context_float import Context
from bitcodec.models.ladder.model import RANGES, LadderModel
from bitcodec.models.ladder.pixel_paths import PixelDown
from bitcodec.models.ladder.quantize import calibrate, export_context, restore_context
from bitcodec.models.ladder.ranges import measure_ranges
from bitcodec.models.ladder.rounded import Rounding
from bitcodec.models.ladder.transform import Transform
from bitcodec.models.torch_model import TorchModel


class LadderFloatModel(LadderModel):
    """Trainable form of :class:`LadderModel`; :meth:`export` gives the one that codes."""

    family: ClassVar[str] = "ladder-float"

    def __init__(self, config: LadderConfig | None = None) -> None:
        super().__init__(config)
        self.transform = Transform(self.config)
        self.estimator = Context(self.config)

    def stored(self) -> dict[str, Tensor]:
        """All parameters, and the ranges that training rounded by, if it did."""
        return {**self.state_dict(), **{RANGES + k: v for k, v in self.fixed().items()}}

    def take_stored(self, tensors: dict[str, Tensor]) -> None:
        """See :class:`TorchModel`."""
        ranges = {k: v for k, v in tensors.items() if k.startswith(RANGES)}
        self.ranges = {k.removeprefix(RANGES): v.numpy() for k, v in ranges.items()}
        check_ranges(self.ranges)
        TorchModel.take_stored(self, {k: v for k, v in tensors.items() if k not in ranges})

    def check(self) -> None:
        """Nothing: its context model is no integers yet."""

    @torch.no_grad()
    def load_exported(self, model: LadderModel) -> None:
        """Take the parameters of an exported model, so that training can go on from it.

        Its analysis may have fewer residual blocks; see :meth:`PixelDown.load_shorter`.
        """
        for mine, theirs in zip(self.transform.children(), model.transform.children(), strict=True):
            if isinstance(mine, PixelDown):
                mine.load_shorter(cast(PixelDown, theirs))
            else:
                mine.load_state_dict(theirs.state_dict())
        for name in ("analysis_kernels", "synthesis_kernels", "log_gains"):
            cast(Tensor, getattr(self.transform, name)).copy_(getattr(model.transform, name))
        restore_context(model.context, self.estimator)

    def forward(self, x: Tensor, step: Tensor, task: Any) -> tuple[Tensor, dict[str, Tensor]]:
        """The training loss (a forward, so that DDP sees it); x (N, 3, H, W) in [0, 1]."""
        result: tuple[Tensor, dict[str, Tensor]] = task.objective(self, x, step)
        return result

    def fixed(self) -> dict[str, Tensor]:
        """The ranges that training rounds by, if it does."""
        return {name: torch.from_numpy(value) for name, value in self.ranges.items()}

    def fix(self, tensors: dict[str, Tensor]) -> None:
        """Have the transforms compute what their int8 form does, by ranges of :meth:`fixed`."""
        self.ranges = {name: value.cpu().numpy() for name, value in tensors.items()}
        self.transform.rounding = Rounding(self.config, self.ranges, self._device)

    @torch.no_grad()
    def measure(self, pictures: list[np.ndarray]) -> None:
        """Have the transforms compute what their int8 form does, by ranges measured on pictures.

        Args:
            pictures: as for :meth:`export`, which then takes these ranges.
        """
        self.transform.rounding, self.transform.use_bfloat16 = None, False
        ranges = measure_ranges(self.transform, self._samples(pictures))
        self.fix({name: torch.from_numpy(value) for name, value in ranges.items()})

    def _samples(self, pictures: list[np.ndarray]) -> list[tuple[Tensor, Tensor]]:
        """Pixels (1, 3, 16 h, 16 w) in 0..255, and steps."""
        samples = []
        for index, rgb in enumerate(pictures):
            h, w = (min(256, edge // 16 * 16) for edge in rgb.shape[:2])
            x = torch.from_numpy(rgb[:h, :w].copy()).permute(2, 0, 1)[None].float()
            step = (4.0, 8.0, 20.0, 48.0, 120.0, 240.0)[index % 6]
            at = torch.full((1, 1, 1, 1), step, device=self._device)
            samples.append((x.to(self._device), at))
        return samples

    @torch.no_grad()
    def calibrate(self, pictures: list[np.ndarray]) -> None:
        """Measure what the integers of the context model must reach; pictures as for export."""
        samples = self._samples(pictures)
        batches = [(torch.round(self.transform.analyze(x, step)), step) for x, step in samples]
        calibrate(self.estimator, batches)

    @torch.no_grad()
    def export(self, pictures: list[np.ndarray]) -> LadderModel:
        """The integer form; ranges of activations are measured on pictures if it has none.

        Args:
            pictures: uint8 (H, W, 3), each at least 64 pixels both ways.
        """
        self.calibrate(pictures)
        out = LadderModel(self.config)
        out.transform.load_state_dict(self.transform.state_dict())
        out.transform.rounding = self.transform.rounding
        out.context = export_context(copy.deepcopy(self.estimator).cpu())
        out.ranges = self.ranges or measure_ranges(self.transform, self._samples(pictures))
        out.eval().requires_grad_(False)
        return out if self._device.type == "cpu" else out.place(self._device)
