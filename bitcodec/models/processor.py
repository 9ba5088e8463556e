"""What the processor does fast: asked once, so that a model can choose its arithmetic."""

from __future__ import annotations

import torch

__all__ = ["has_bfloat16", "has_int8"]


def _reports(name: str) -> bool:
    # Not public in torch; where it is missing, the answer is no.
    return bool(getattr(torch.cpu, name, bool)())


def has_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 is faster than float32 on a device, as AVX-512 BF16 and AMX make it."""
    if device.type == "cpu":
        return _reports("_is_avx512_bf16_supported") or _reports("_is_amx_tile_supported")
    # Older ones emulate it, and torch says that they have it.
    return device.type == "cuda" and torch.cuda.get_device_capability(device)[0] >= 8


def has_int8(device: torch.device) -> bool:
    """Whether products of int8 matrices are fast and exact on a device (AVX-512 VNNI).

    Without those instructions sums of two products may be cut to 16 bits. So the extremes are
    tried, and anything but the exact numbers is a no.
    """
    if device.type != "cpu" or not _reports("_is_vnni_supported"):
        return False
    try:
        a = torch.full((32, 256), 127, dtype=torch.int8, device=device)
        a[::2] = -128
        b = torch.full((256, 32), -127, dtype=torch.int8, device=device)
        b[:, ::3] = 127
        exact = a.long() @ b.long()
        return bool(torch.equal(torch._int_mm(a, b).long(), exact))
    except (AttributeError, NotImplementedError, RuntimeError):
        return False
