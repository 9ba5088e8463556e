"""What the processor does fast: asked once, so that a model can choose its arithmetic."""

from __future__ import annotations

import torch

__all__ = ["has_bfloat16"]


def _reports(name: str) -> bool:
    # Not public in torch; where it is missing, the answer is no.
    return bool(getattr(torch.cpu, name, bool)())


def has_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 is faster than float32 on a device, as AVX-512 BF16 and AMX make it."""
    if device.type == "cpu":
        return _reports("_is_avx512_bf16_supported") or _reports("_is_amx_tile_supported")
    # Older ones emulate it, and torch says that they have it.
    return device.type == "cuda" and torch.cuda.get_device_capability(device)[0] >= 8
