"""Weights files as torch models, and back; see :mod:`bitcodec.models.weights_file`."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from bitcodec.errors import WeightsError
from bitcodec.files import atomic_write
from bitcodec.models.families import family_of, read_config, resolve
from bitcodec.models.registry import CONFIG, FAMILY, ID
from bitcodec.models.torch_model import TorchModel
from bitcodec.models.weights_file import Stored, read_weights
from bitcodec.models.weights_file import weights_id as id_of_arrays


def build(family: str, config: dict[str, Any]) -> TorchModel:
    """A model of a family with random weights; WeightsError for a bad configuration."""
    model_class = resolve(family_of(family).models[family])
    model: TorchModel = model_class(read_config(family, config))
    return model


def weights_id(family: str, config: str, tensors: dict[str, Tensor]) -> bytes:
    """See :func:`bitcodec.models.weights_file.weights_id`."""
    return id_of_arrays(family, config, {k: v.detach().cpu().numpy() for k, v in tensors.items()})


def _as_stored(tensor: Tensor, half: bool) -> Tensor:
    tensor = tensor.half() if half and tensor.is_floating_point() else tensor
    return tensor.detach().cpu().contiguous()


def save_weights(
    model: TorchModel, path: Path, *, half: bool = False, overwrite: bool = True
) -> bytes:
    """Write a weights file atomically.

    Args:
        model: what to save; integer tensors are kept as they are.
        path: the file.
        half: store float tensors as float16, where that may be.
        overwrite: replace a file that is there; without it that is a FileError.

    Returns:
        The model's id.
    """
    tensors = {
        name: _as_stored(t, half and not name.startswith(model.exact))
        for name, t in model.stored().items()
    }
    config = json.dumps(dataclasses.asdict(model.config), sort_keys=True)
    model_id = weights_id(model.family, config, tensors)
    metadata = {FAMILY: model.family, CONFIG: config, ID: model_id.hex()}
    atomic_write(path, save(tensors, metadata), overwrite=overwrite)
    return model_id


def load_weights(path: Path, *, device: str = "cpu") -> TorchModel:
    """Load a weights file, check its id, and put the model in evaluation mode.

    Args:
        path: a safetensors file made by :func:`save_weights`.
        device: where to put the model.

    Raises:
        WeightsError: the file cannot be read, is not one of ours, or its id is wrong.
    """
    return torch_model(read_weights(path), device)


def torch_model(stored: Stored, device: str = "cpu") -> TorchModel:
    """The torch form of what a weights file holds; WeightsError where it does not fit."""
    # The caller's inference mode and default device are not for tensors that stay.
    with torch.inference_mode(False), torch.no_grad(), torch.device("cpu"):
        try:
            with torch.device("meta"):  # no memory for what a file claims, and no random numbers
                model = build(stored.family, stored.config)
            tensors = {name: torch.tensor(value) for name, value in stored.tensors.items()}
            model.take_stored(tensors)
            model.float()  # what was stored as float16
            model.check()
        except WeightsError as error:
            raise WeightsError(f"{stored.path}: {error}") from error
        model.name, model.model_id = stored.path.stem, stored.model_id
        return model.eval().requires_grad_(False).place(torch.device(device))
