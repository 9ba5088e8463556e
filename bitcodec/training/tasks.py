"""What a family adds to the training loop: its start, its loss and its validation."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from bitcodec.codec.decode import decode
from bitcodec.codec.encode import encode_picture
from bitcodec.errors import TrainingError
from bitcodec.format.container import Source
from bitcodec.models.families import FAMILIES, resolve
from bitcodec.models.torch_model import TorchModel
from bitcodec.models.weights import build
from bitcodec.picture.images import Picture
from bitcodec.picture.metrics import mse, psnr
from bitcodec.training import similarity, ssimulacra2
from bitcodec.training.config import TrainConfig, from_dict


@dataclass(frozen=True)
class Validation:
    """Means over the validation pictures, hard bits, whole files.

    Attributes:
        score: what is minimised; the weights of the best score are kept.
        rows: (rate, bits per pixel, PSNR in dB) at each rate.
        seconds: the time it took.
    """

    score: float
    rows: tuple[tuple[int, float, float], ...]
    seconds: float


class Measured(NamedTuple):
    """Means over pictures.

    ``ms_ssim_loss`` is 1 - MS-SSIM, ``s`` the weighted sum of SSIMULACRA2; 0 where not asked for.
    """

    bpp: float
    psnr: float
    mse: float
    ms_ssim_loss: float
    s: float


def measure_files(
    model: TorchModel,
    pictures: list[np.ndarray],
    rate: int,
    effort: int,
    *,
    similar: bool = False,
    eyes: bool = False,
) -> Measured:
    """Encode and decode pictures at one rate, whole files.

    Args:
        model: the deployable form.
        pictures: uint8 (H, W, 3).
        rate: as in the header.
        effort: of the encoder.
        similar: measure MS-SSIM too, on the pictures that are large enough for it.
        eyes: measure the weighted sum of SSIMULACRA2 too, likewise.
    """
    rows: list[tuple[float, float, float]] = []
    other: list[float] = []
    sums: list[float] = []
    for rgb in pictures:
        data = encode_picture(Picture(rgb, None, False, None, None, ()), model, rate, effort=effort)
        out = decode(Source.of(data), model).picture.rgb
        rows.append((8 * len(data) / (rgb.shape[0] * rgb.shape[1]), psnr(rgb, out), mse(rgb, out)))
        a, b = (torch.from_numpy(p).permute(2, 0, 1)[None].double() for p in (out, rgb))
        if similar and min(rgb.shape[:2]) >= similarity.LEAST_EDGE:
            other.append(float(similarity.ms_ssim_loss(a, b)))
        if eyes and min(rgb.shape[:2]) >= ssimulacra2.LEAST_EDGE:
            sums.append(float(ssimulacra2.weighted_sum(a, b)))
    bpp, db, error = (float(v) for v in np.mean(rows, axis=0))
    means = (float(np.mean(values)) if values else 0.0 for values in (other, sums))
    return Measured(bpp, db, error, *means)


T = TypeVar("T", bound="Task")


class Task(abc.ABC):
    """One family's part of the loop.

    Attributes:
        graphed: on a GPU, its loss is recorded as a graph; it must then copy nothing there.
    """

    graphed: ClassVar[bool] = True

    @classmethod
    def of(cls: type[T], config: TrainConfig) -> T:
        """The task with the options in ``config.task``; TrainingError for bad ones."""
        task: T = from_dict(cls, config.task, "task.")
        return task

    def build(self, config: TrainConfig) -> TorchModel:
        """The model to train, before its start."""
        return build(FAMILIES[config.family].trained, config.model)

    def deployable(self, model: TorchModel, pictures: list[np.ndarray]) -> TorchModel:
        """The form of a model that encodes and decodes; pictures are for calibration."""
        return model

    @abc.abstractmethod
    def draw(self, shape: torch.Size, rng: np.random.Generator) -> Tensor:
        """What is random in the loss of a batch (N, 3, H, W), but for noise: one CPU tensor."""

    @abc.abstractmethod
    def loss(self, model: nn.Module, x: Tensor, drawn: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a batch x (N, 3, H, W) in [0, 1], and figures for the log ("bpp", "psnr").

        ``drawn`` is what :meth:`draw` gave, on the device; a GPU must not be waited for.
        """

    @abc.abstractmethod
    def validate(self, model: TorchModel, pictures: list[np.ndarray]) -> Validation:
        """Measure real files."""

    def parameter_groups(self, model: TorchModel, lr: float) -> list[dict[str, Any]]:
        """Adam's parameter groups; a group's "scale" multiplies the learning rate."""
        params = [p for p in model.parameters() if p.requires_grad]
        return [{"params": params, "lr": lr, "scale": 1.0}]

    def adopt(self, loaded: TorchModel, config: TrainConfig) -> TorchModel:
        """The trainable form of a loaded weights file; TrainingError if it is not the family's."""
        if loaded.family != self.build(config).family:
            raise TrainingError(f"{config.init} holds {loaded.family}, not {config.family}")
        return loaded

    def start(self, model: TorchModel, config: TrainConfig, crops: Tensor) -> TorchModel:
        """The family's own initialisation, ``config.init`` names it."""
        return model

    def prepare(  # noqa: B027
        self, model: TorchModel, ema: TorchModel, pictures: list[np.ndarray]
    ) -> None:
        """Whatever must be known before the first step, of training pictures; for both models."""


def make_task(config: TrainConfig) -> Task:
    """The task of a family with the options in ``config.task``.

    Raises:
        TrainingError: unknown family or option, or options that do not fit the model.
    """
    if config.family not in FAMILIES:
        raise TrainingError(f"unknown family {config.family!r}")
    kind: type[Task] = resolve(FAMILIES[config.family].task)
    return kind.of(config)
