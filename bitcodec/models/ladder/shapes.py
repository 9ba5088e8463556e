"""The tensors of `ladder`'s transform and of its activations' ranges, for readers without torch."""

from __future__ import annotations

from bitcodec.models.ladder.channels import CHANNELS
from bitcodec.models.ladder.config import GAIN_TERMS, LadderConfig
from bitcodec.models.tensors import Shapes, block_shapes, conv_shapes

__all__ = ["tensor_shapes", "transform_shapes"]


def _residuals(*names: str, channels: int) -> Shapes:
    """Of residual blocks of two 3x3 convolutions."""
    out: Shapes = {}
    for name in names:
        for part in ("f.0", "f.2"):
            out |= conv_shapes(f"{name}.{part}", channels, channels, 3)
    return out


def transform_shapes(config: LadderConfig) -> Shapes:
    """Of the tensors ``transform.NAME``, by NAME."""
    width, (at4, at8) = config.width, config.pixels
    out: Shapes = {
        "wa": (CHANNELS, 3, 16, 16),
        "ws": (CHANNELS, 3, 16, 16),
        "g": (GAIN_TERMS, CHANNELS, 1, 1),
    }
    for trunk in ("fa", "fs"):
        out |= conv_shapes(f"{trunk}.0", CHANNELS + 1, width)
        for n in range(config.blocks):
            out |= block_shapes(f"{trunk}.{n + 1}", width)
        out |= conv_shapes(f"{trunk}.{config.blocks + 1}", width, CHANNELS)
    down = [f"down.d4.{n}" for n in range(sum(config.down) + 5)]
    second = config.down[0] + 2  # an unshuffle comes before it
    out |= conv_shapes(down[0], 48, at4, 3)
    out |= _residuals(*down[1 : second - 1], channels=at4)
    out |= conv_shapes(down[second], 4 * at4, at8)
    out |= _residuals(*down[second + 1 : -2], channels=at8)
    out |= conv_shapes(down[-1], 4 * at8, width)
    out |= conv_shapes("up.u8.0", width, 4 * at8)
    for n in (2, 3):
        out |= block_shapes(f"up.u8.{n}", at8)
    out |= conv_shapes("up.u4.0", at8, 4 * at4)
    out |= conv_shapes("up.inp", 48, at4, 3)
    for n in range(3):
        out |= block_shapes(f"up.body.{n}", at4, 3)
    return out | conv_shapes("up.out", at4, 48, 3)


def _range_shapes(config: LadderConfig) -> Shapes:
    """Of the tensors ``ranges.NAME``, by NAME: one number a channel that NAME puts out."""
    width, (at4, _) = config.width, config.pixels
    biases = {
        name.removesuffix(".bias"): shape
        for name, shape in transform_shapes(config).items()
        if name.endswith(".bias")
    }
    blocks = {
        name.removesuffix(part): shape
        for part in (".dw", ".f.0")
        for name, shape in biases.items()
        if name.endswith(part)
    }
    taps = dict.fromkeys(("taps.fa0", "taps.fa_sum", "taps.fs0"), (width,))
    taps |= dict.fromkeys(("up.taps.inp", "up.taps.sum"), (at4,)) | {"taps.x1": (48,)}
    for tapped in ("fa.0", "fs.0", "up.inp"):
        del biases[tapped]
    return {**biases, **blocks, **taps}


def tensor_shapes(config: LadderConfig) -> Shapes:
    """Of all tensors in a weights file of this configuration but those of the context model."""
    parts = {"transform.": transform_shapes(config), "ranges.": _range_shapes(config)}
    return {prefix + name: shape for prefix, part in parts.items() for name, shape in part.items()}
