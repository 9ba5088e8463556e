"""Weights files: safetensors with the family, the configuration and an id that is a hash.

Every ``.bin`` holds the id of its model. The id is a hash of the content of the weights file, so a
decoder can never take the wrong network.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from bitcodec.errors import WeightsError, one_line
from bitcodec.files import atomic_write
from bitcodec.models.base import Model
from bitcodec.models.families import family_of, resolve
from bitcodec.models.registry import CONFIG, FAMILY, ID


def weights_id(family: str, config: str, tensors: dict[str, Tensor]) -> bytes:
    """First 8 bytes of the SHA-256 over family, configuration and tensors.

    Args:
        family: "sign" or "ladder".
        config: JSON, as it stands in the file's metadata.
        tensors: name to tensor, as stored (an id of float16 weights is not that of
            the float32 ones). Hashed sorted by name: name, dtype, shape, bytes
            (little-endian, C order), each text followed by a zero byte.
    """
    digest = hashlib.sha256(f"{family}\0{config}\0".encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.digest()[:8]


def build(family: str, config: dict[str, Any]) -> Model:
    """A model of a family with random weights; WeightsError for a bad configuration."""
    row = family_of(family)
    config_class, model_class = resolve(row.config), resolve(row.models[family])
    frozen = {k: tuple(v) if isinstance(v, list) else v for k, v in config.items()}
    try:
        model: Model = model_class(config_class(**frozen))
    except (TypeError, ValueError) as error:
        raise WeightsError(f"bad configuration of a {family} model: {error}") from error
    return model


def save_weights(model: Model, path: Path, *, half: bool = False) -> bytes:
    """Write a weights file atomically, replacing an old one.

    Args:
        model: what to save; integer tensors are kept as they are.
        path: the file.
        half: store float tensors as float16.

    Returns:
        The model's id.
    """
    tensors = {
        name: (t.half() if half and t.is_floating_point() else t).detach().cpu().contiguous()
        for name, t in model.state_dict().items()
    }
    config = json.dumps(dataclasses.asdict(model.config), sort_keys=True)
    model_id = weights_id(model.family, config, tensors)
    metadata = {FAMILY: model.family, CONFIG: config, ID: model_id.hex()}
    atomic_write(path, save(tensors, metadata), overwrite=True)
    return model_id


def load_weights(path: Path, *, device: str = "cpu") -> Model:
    """Load a weights file, check its id, and put the model in evaluation mode.

    Args:
        path: a safetensors file made by :func:`save_weights`.
        device: where to put the model.

    Raises:
        WeightsError: the file cannot be read, is not one of ours, or its id is wrong.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{path}: cannot read weights: {error}") from error
    if FAMILY not in metadata or CONFIG not in metadata or ID not in metadata:
        raise WeightsError(f"{path}: not bitcodec weights")
    model_id = weights_id(metadata[FAMILY], metadata[CONFIG], tensors)
    if model_id.hex() != metadata[ID]:
        raise WeightsError(f"{path}: the weights do not match their id; the file is damaged")
    try:
        model = build(metadata[FAMILY], json.loads(metadata[CONFIG]))
        model.load_state_dict(tensors)
    except (RuntimeError, json.JSONDecodeError) as error:
        raise WeightsError(f"{path}: {one_line(error)}") from error
    model.name, model.model_id = path.stem, model_id
    model.float()  # built in torch's default type, which a caller may have set to another
    return model.eval().requires_grad_(False).place(torch.device(device))
