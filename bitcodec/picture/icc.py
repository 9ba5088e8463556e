"""Small ICC profiles from the primaries of a colour space, and the sums between such spaces."""

from __future__ import annotations

import struct

import numpy as np
import numpy.typing as npt

__all__ = ["make_profile", "solvable", "srgb_curve", "to_xyz"]

Points = tuple[float, ...]
"""x, y of white, red, green, blue."""

_Floats = npt.NDArray[np.float64]
_D50 = np.array([0.9642, 1.0, 0.8249])
# Bradford: from XYZ to the responses of the eye's cones, nearly.
_CONES = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


def _fixed(value: float) -> int:
    return round(float(value) * 65536)


def _xyz(values: _Floats) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *map(_fixed, values))


def _words(text: str) -> bytes:
    raw = text.encode("utf-16-be")
    return b"mluc\0\0\0\0" + struct.pack(">II4sII", 1, 12, b"enUS", len(raw), 28) + raw


def _lift(x: float, y: float) -> _Floats:
    return np.array([x / y, 1.0, (1 - x - y) / y])


def to_xyz(points: Points) -> _Floats:
    """The matrix (3, 3) from linear RGB to XYZ, in which white has Y = 1."""
    x, y = np.array(points[2::2]), np.array(points[3::2])
    columns: _Floats = np.stack([x, y, 1 - x - y])
    return columns * np.linalg.solve(columns, _lift(points[0], points[1]))


def _adaptation(points: Points) -> _Floats:
    """From the white of the points to D50."""
    ratio = (_CONES @ _D50) / (_CONES @ _lift(points[0], points[1]))
    adapted: _Floats = np.linalg.inv(_CONES) @ np.diag(ratio) @ _CONES
    return adapted


def make_profile(points: Points, name: str, gamma: float | None = None) -> bytes:
    """A small ICC profile (version 4) of three primaries and one curve.

    ``points`` are x, y of white, red, green, blue; ``gamma`` None is the curve of sRGB.
    """
    matrix = _adaptation(points) @ to_xyz(points)
    numbers = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
    curve = b"para\0\0\0\0" + (
        struct.pack(">HH5i", 3, 0, *map(_fixed, numbers))
        if gamma is None
        else struct.pack(">HHi", 0, 0, _fixed(gamma))
    )
    tags = {
        b"desc": _words(name),
        b"cprt": _words("CC0"),
        b"wtpt": _xyz(_D50),
        b"chad": b"sf32\0\0\0\0" + struct.pack(">9i", *map(_fixed, _adaptation(points).flat)),
        b"rXYZ": _xyz(matrix[:, 0]),
        b"gXYZ": _xyz(matrix[:, 1]),
        b"bXYZ": _xyz(matrix[:, 2]),
        b"rTRC": curve,
        b"gTRC": curve,
        b"bTRC": curve,
    }
    start = 128 + 4 + 12 * len(tags)
    table, body, places = struct.pack(">I", len(tags)), b"", dict[bytes, int]()
    for tag, data in tags.items():
        if data not in places:
            places[data] = start + len(body)
            body += data + bytes(-len(data) % 4)
        table += tag + struct.pack(">II", places[data], len(data))
    head = struct.pack(">I4xI12s", start + len(body), 0x04200000, b"mntrRGB XYZ ")
    head += struct.pack(">6H", 2024, 1, 1, 0, 0, 0) + b"acsp" + bytes(28)
    head += struct.pack(">3i", *map(_fixed, _D50))
    return head.ljust(128, b"\0") + table + body


def srgb_curve(light: _Floats) -> _Floats:
    """Light 0..1 -> samples 0..1."""
    curve: _Floats = np.where(
        light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 0) ** (1 / 2.4) - 0.055
    )
    return curve


def solvable(points: Points) -> bool:
    """Whether white and primaries make a colour space: all of them positive, not on a line."""
    try:
        return bool(np.all(to_xyz(points).sum(axis=0) > 1e-3) and min(points) >= 0)
    except (np.linalg.LinAlgError, ZeroDivisionError):
        return False
