"""Latent bits <-> bytes.

A bool array of shape (C, h, w) is written in C order: all of channel 0 row by row, then channel 1.
The first bit is the most significant bit of the first byte, True (+1) is a 1, and the last byte is
filled up with zeros. Example: the nine bits 1 0 1 1 0 0 0 0 1 are the two bytes ``b0 80``.
"""

from __future__ import annotations

import bitarray
import numpy as np
import numpy.typing as npt

from bitcodec.errors import ContainerError

__all__ = ["pack", "unpack"]


def pack(bits: npt.NDArray[np.bool_]) -> bytes:
    """Pack a bool array (C, h, w) into ceil(C*h*w / 8) bytes.

    Raises ValueError where ``bits`` is not a bool array of three dimensions.
    """
    if bits.dtype != np.bool_ or bits.ndim != 3:
        raise ValueError(f"bits must be bool (C, h, w), not {bits.dtype} {bits.shape}")
    packed = bitarray.bitarray(endian="big")
    # One byte 0 or 1 for each bit in; `tobytes` pads the last byte with zeros.
    packed.pack(np.ascontiguousarray(bits).tobytes())
    return packed.tobytes()


def unpack(data: bytes, shape: tuple[int, int, int]) -> npt.NDArray[np.bool_]:
    """Unpack the bytes that :func:`pack` made into a bool array of ``shape`` = (C, h, w).

    Raises ContainerError where the length is not ceil(C*h*w / 8) or a padding bit is not 0.
    """
    count = shape[0] * shape[1] * shape[2]
    expected = (count + 7) // 8
    if len(data) != expected:
        raise ContainerError(f"payload of {len(data)} bytes where {expected} were expected")
    packed = bitarray.bitarray(endian="big")
    packed.frombytes(data)
    if packed[count:].any():
        raise ContainerError("the padding after the last latent bit is not zero")
    del packed[count:]
    return np.frombuffer(bytearray(packed.unpack()), dtype=np.bool_).reshape(shape)
