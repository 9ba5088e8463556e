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
    if not isinstance(config, dict):
        raise WeightsError(f"the configuration of a {family} model must be an object")
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
    # The caller's inference mode and default device are not for tensors that stay.
    with torch.inference_mode(False), torch.no_grad(), torch.device("cpu"):
        try:
            model = _load(path)
        except WeightsError as error:
            raise WeightsError(f"{path}: {error}") from error
        model.name = path.stem
        return model.eval().requires_grad_(False).place(torch.device(device))


def _load(path: Path) -> Model:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (OSError, SafetensorError, AttributeError, TypeError, ValueError) as error:
        raise WeightsError(f"cannot read weights: {one_line(error)}") from error
    if FAMILY not in metadata or CONFIG not in metadata or ID not in metadata:
        raise WeightsError("not bitcodec weights")
    model_id = weights_id(metadata[FAMILY], metadata[CONFIG], tensors)
    if model_id.hex() != metadata[ID]:
        raise WeightsError("the weights do not match their id; the file is damaged")
    try:
        config = json.loads(metadata[CONFIG])
    except (ValueError, RecursionError) as error:
        raise WeightsError("the configuration is not JSON") from error
    with torch.device("meta"):  # no memory for what a file claims, and no random numbers
        model = build(metadata[FAMILY], config)
    _check_tensors(model.state_dict(), tensors)
    # Copies, as a file may change under a map of it.
    model.load_state_dict({name: t.clone() for name, t in tensors.items()}, assign=True)
    model.float()  # what was stored as float16
    model.check()
    model.model_id = model_id
    return model


def _check_tensors(wanted: dict[str, Tensor], found: dict[str, Tensor]) -> None:
    """WeightsError unless names, shapes and kinds are those of the model."""
    for name in sorted(wanted.keys() | found.keys()):
        if name not in found:
            raise WeightsError(f"tensor {name} is missing")
        if name not in wanted:
            raise WeightsError(f"there is no tensor {name:.80} in such a model")
        mine, theirs = wanted[name], found[name]
        if mine.shape != theirs.shape:
            shapes = f"{tuple(theirs.shape)}, not {tuple(mine.shape)}"
            raise WeightsError(f"tensor {name} has the shape {shapes}")
        same = theirs.dtype == mine.dtype
        if not same and not (mine.is_floating_point() and theirs.is_floating_point()):
            raise WeightsError(f"tensor {name} is {theirs.dtype}, not {mine.dtype}")
