"""Weights files: safetensors with the family, the configuration and an id that is a hash.

Every ``.bin`` holds the id of its model. The id is a hash of the content of the weights file, so a
decoder can never take the wrong network.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from bitcodec.errors import WeightsError, one_line
from bitcodec.models.registry import CONFIG, FAMILY, ID

__all__ = ["Stored", "read_weights", "weights_id"]


@dataclass(frozen=True)
class Stored:
    """What a weights file holds.

    Attributes:
        path: the file.
        family: "sign", "ladder", ...
        config: the family's configuration, as read from JSON.
        tensors: by name.
        model_id: 8 bytes, checked.
    """

    path: Path
    family: str
    config: dict[str, Any]
    tensors: dict[str, np.ndarray]
    model_id: bytes

    def part(self, prefix: str) -> dict[str, np.ndarray]:
        """The tensors whose names begin so, without that."""
        return {k.removeprefix(prefix): v for k, v in self.tensors.items() if k.startswith(prefix)}


def weights_id(family: str, config: str, tensors: Mapping[str, np.ndarray]) -> bytes:
    """First 8 bytes of the SHA-256 over family, configuration and tensors.

    Args:
        family: "sign" or "ladder".
        config: JSON, as it stands in the file's metadata.
        tensors: name to tensor, as stored (an id of float16 weights is not that of the float32
            ones). Hashed sorted by name: name, ``torch.`` and the dtype, shape, bytes
            (little-endian, C order), each text followed by a zero byte.
    """
    digest = hashlib.sha256(f"{family}\0{config}\0".encode())
    for name in sorted(tensors):
        array = tensors[name]
        digest.update(f"{name}\0torch.{array.dtype.name}\0{array.shape}\0".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.digest()[:8]


def read_weights(path: Path) -> Stored:
    """Read a weights file and check its id.

    Raises:
        WeightsError: the file cannot be read, is not one of ours, or its id is wrong.
    """
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (OSError, SafetensorError, AttributeError, TypeError, ValueError) as error:
        raise WeightsError(f"{path}: cannot read weights: {one_line(error)}") from error
    if FAMILY not in metadata or CONFIG not in metadata or ID not in metadata:
        raise WeightsError(f"{path}: not bitcodec weights")
    model_id = weights_id(metadata[FAMILY], metadata[CONFIG], tensors)
    if model_id.hex() != metadata[ID]:
        raise WeightsError(f"{path}: the weights do not match their id; the file is damaged")
    try:
        config = json.loads(metadata[CONFIG])
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{path}: the configuration is not JSON") from error
    return Stored(path, metadata[FAMILY], config, tensors, model_id)
