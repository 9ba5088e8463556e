"""Trained weights to weights that encode and decode: integers, and ranges for int8 networks."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bitcodec.models.families import family_of
from bitcodec.models.weights import load_weights, save_weights
from bitcodec.training.config import TrainConfig
from bitcodec.training.tasks import make_task

__all__ = ["export"]


def export(weights: Path, pictures: list[np.ndarray], out: Path, *, overwrite: bool) -> bytes:
    """Write the form of a model that codes; float tensors become float16.

    Args:
        weights: what training left, ``best-float.safetensors`` of ladder, or weights that were
            exported before.
        pictures: uint8 (H, W, 3), at least 64 pixels both ways; the ranges of activations are
            measured on them, unless training rounded by some.
        out: the weights file to write.
        overwrite: also where it exists.

    Returns:
        The model's id, 8 bytes.

    Raises:
        WeightsError: the weights cannot be read, or their context model cannot be made exact.
        FileError: writing failed.
    """
    loaded = load_weights(weights)
    config = TrainConfig(family=family_of(loaded.family).name, init=str(weights))
    task = make_task(config)
    model = task.deployable(task.adopt(loaded, config), pictures)
    return save_weights(model, out, half=True, overwrite=overwrite)
