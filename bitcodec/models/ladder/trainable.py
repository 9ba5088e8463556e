"""`ladder` while it trains: the same transform, the context model in floating point."""

from __future__ import annotations

import copy
from typing import Any, ClassVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from bitcodec.models.ladder.config import LadderConfig
from bitcodec.models.ladder.context_float import Context
from bitcodec.models.ladder.model import LadderModel
from bitcodec.models.ladder.pixel_paths import PixelDown
from bitcodec.models.ladder.quantize import calibrate, export_context, restore_context
from bitcodec.models.ladder.ranges import measure_ranges
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
        """All parameters."""
        return dict(self.state_dict())

    def take_stored(self, tensors: dict[str, Tensor]) -> None:
        """See :class:`TorchModel`."""
        TorchModel.take_stored(self, tensors)

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
        for name in ("analysis_kernels", "synthesis_kernels"):
            cast(Tensor, getattr(self.transform, name)).copy_(getattr(model.transform, name))
        self.transform.log_gains.zero_()
        self.transform.log_gains[: len(model.transform.log_gains)].copy_(model.transform.log_gains)
        if len(model.transform.log_gains) == 1 < len(self.transform.log_gains):
            last = cast(nn.Conv2d, self.transform.synthesis_trunk[-1])
            gain = torch.exp(model.transform.log_gains).flatten()
            last.weight.mul_(gain[:, None, None, None])
            cast(Tensor, last.bias).mul_(gain)
        restore_context(model.context, self.estimator)

    def forward(self, x: Tensor, step: Tensor, task: Any) -> tuple[Tensor, dict[str, Tensor]]:
        """The training loss (a forward, so that DDP sees it); x (N, 3, H, W) in [0, 1]."""
        result: tuple[Tensor, dict[str, Tensor]] = task.objective(self, x, step)
        return result

    @torch.no_grad()
    def export(self, pictures: list[np.ndarray]) -> LadderModel:
        """The integer form, its activations' ranges measured on pictures.

        Args:
            pictures: uint8 (H, W, 3), each at least 64 pixels both ways.
        """
        device, pixels = self.transform.log_gains.device, []
        for index, rgb in enumerate(pictures):
            h, w = (min(256, edge // 16 * 16) for edge in rgb.shape[:2])
            x = torch.from_numpy(rgb[:h, :w].copy()).permute(2, 0, 1)[None].float()
            step = (4.0, 8.0, 20.0, 48.0, 120.0, 240.0)[index % 6]
            pixels.append((x.to(device), torch.full((1, 1, 1, 1), step, device=device)))
        batches = [(torch.round(self.transform.analyze(x, step)), step) for x, step in pixels]
        calibrate(self.estimator, batches)
        out = LadderModel(self.config)
        out.transform.load_state_dict(self.transform.state_dict())
        out.context = export_context(copy.deepcopy(self.estimator).cpu())
        out.ranges = measure_ranges(self.transform, pixels)
        out.eval().requires_grad_(False)
        return out if device.type == "cpu" else out.place(device)
