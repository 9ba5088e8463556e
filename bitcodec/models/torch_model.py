"""A model whose networks are torch modules: for training, for GPUs, for searching by gradients."""

from __future__ import annotations

from typing import ClassVar, TypeVar

import torch
from torch import Tensor, nn

from bitcodec.errors import WeightsError
from bitcodec.models.base import Model
from bitcodec.models.tensors import check_tensors

__all__ = ["TorchModel"]

M = TypeVar("M", bound="TorchModel")


class TorchModel(nn.Module, Model):
    """See :class:`Model`.

    Attributes:
        exact: prefixes of the names of tensors that must not become float16.
    """

    exact: ClassVar[tuple[str, ...]] = ()

    def place(self: M, device: torch.device) -> M:
        """Move to a device, in the memory layout that convolutions are fastest in."""
        moved = self.to(device)
        for value in (*moved.parameters(), *moved.buffers()):
            if value.dim() == 4:
                value.data = value.data.contiguous(memory_format=torch.channels_last)
        return moved

    def check(self) -> None:
        """WeightsError where tensors have values that the model cannot work with."""

    def stored(self) -> dict[str, Tensor]:
        """The tensors of a weights file, by name."""
        return dict(self.state_dict())

    def fixed(self) -> dict[str, Tensor]:
        """What training keeps fixed beside the parameters: in checkpoints, not in weights files."""
        return {}

    def fix(self, tensors: dict[str, Tensor]) -> None:
        """Take what :meth:`fixed` gave."""

    def take_stored(self, tensors: dict[str, Tensor]) -> None:
        """Take what :meth:`stored` gave; WeightsError where it does not fit."""
        wanted = self.state_dict()
        check_tensors(tensors, {name: tuple(mine.shape) for name, mine in wanted.items()})
        for name, mine in wanted.items():
            theirs = tensors[name]
            same = theirs.dtype == mine.dtype
            if not same and not (mine.is_floating_point() and theirs.is_floating_point()):
                raise WeightsError(f"tensor {name} is {theirs.dtype}, not {mine.dtype}")
        self.load_state_dict(tensors, assign=True)
