"""HDR pictures (PQ and HLG) -> sRGB."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bitcodec.picture.icc import Points, srgb_curve, to_xyz

__all__ = ["hdr_to_srgb"]

_Floats = npt.NDArray[np.float64]
_Light = npt.NDArray[np.float32]
_WHITE_NITS = 203  # what BT.2408 makes the white of SDR
_HLG_NITS = 1000
_KNEE = 0.8  # of SDR's white: brighter parts of an HDR picture are pressed together
_OVER = 1.1  # so much over white is rounding


def hdr_to_srgb(
    samples: npt.NDArray[Any], curve: str, points: Points, srgb: Points
) -> npt.NDArray[np.uint8]:
    """PQ or HLG -> sRGB, in bands of rows to save memory.

    Light up to 0.8 of SDR's white stays as it is. Above that it is pressed together where the
    picture has light over white; colours outside of sRGB are cut off.

    Args:
        samples: uint8 or uint16 (H, W, 1 or 3).
        curve: "pq" or "hlg".
        points: the picture's primaries.
        srgb: those of sRGB.
    """
    to_srgb = (np.linalg.inv(to_xyz(srgb)) @ to_xyz(points)).astype(np.float32)
    luma = to_xyz(points)[1].astype(np.float32)
    top = np.iinfo(samples.dtype).max
    levels = np.arange(top + 1) / top
    table = (_pq_light if curve == "pq" else _hlg_light)(levels).astype(np.float32)
    steps = np.rint(srgb_curve(np.linspace(0, 1, 16384)) * 255).astype(np.uint8)

    def light_of(rows: npt.NDArray[Any]) -> _Light:
        light: _Light = table[rows]
        if curve == "hlg":  # the display's own gamma, on the brightness
            y = light @ luma if light.shape[2] == 3 else light[..., 0]
            light = light * np.float32(_HLG_NITS / _WHITE_NITS) * y[..., None] ** np.float32(0.2)
        if light.shape[2] == 3:
            light = light @ to_srgb.T
        return np.maximum(light, 0)

    bands = [slice(row, row + 256) for row in range(0, len(samples), 256)]
    peak = max(float(light_of(samples[band]).max()) for band in bands)
    out = np.empty(samples.shape, np.uint8)
    for band in bands:
        light = light_of(samples[band])
        if peak > _OVER:
            most = light.max(axis=2, keepdims=True)
            light = light * (_press(most, peak) / np.maximum(most, 1e-6))
        out[band] = steps[np.rint(np.minimum(light, 1) * (len(steps) - 1)).astype(np.int64)]
    return out


def _pq_light(v: _Floats) -> _Floats:
    """PQ (SMPTE ST 2084) -> light, 1 is the white of SDR."""
    power = v ** (1 / 78.84375)
    light: _Floats = np.maximum(power - 0.8359375, 0) / (18.8515625 - 18.6875 * power)
    return 10000 / _WHITE_NITS * light ** (1 / 0.1593017578125)


def _hlg_light(v: _Floats) -> _Floats:
    """HLG (BT.2100) -> light of the scene, 0..1."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    light: _Floats = np.where(v <= 0.5, v * v / 3, (np.exp((v - c) / a) + b) / 12)
    return light


def _press(light: _Light, peak: float) -> _Light:
    """0..peak -> 0..1: as it is up to the knee, then ever flatter (Reinhard's extended curve)."""
    x, most = np.maximum(light - _KNEE, 0) / (1 - _KNEE), (peak - _KNEE) / (1 - _KNEE)
    pressed = _KNEE + (1 - _KNEE) * x * (1 + x / most**2) / (1 + x)
    out: _Light = np.where(light <= _KNEE, light, pressed).astype(np.float32)
    return out
