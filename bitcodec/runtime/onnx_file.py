"""Writing ONNX models: the few messages of ``onnx.proto`` that our graphs need.

A protobuf message is a sequence of fields, each a key (number, and how the value is stored) and the
value: a varint, or bytes after their length.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["MICROSOFT", "Graph"]

MICROSOFT = "com.microsoft"  #: domain of ONNX Runtime's own operators
_IR_VERSION, _OPSETS = 8, (("", 17), (MICROSOFT, 1))
_TYPES = {"float32": 1, "uint8": 2, "int8": 3, "uint16": 4, "int32": 6, "int64": 7}
_INT, _INTS = 2, 7  # AttributeProto.AttributeType
Attribute = int | Sequence[int]


def _varint(value: int) -> bytes:
    if 0 <= value < 128:
        return bytes((value,))
    value &= 2**64 - 1  # negative numbers are stored as their two's complement
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _field(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _attribute(name: str, value: Attribute) -> bytes:
    if isinstance(value, int):
        return _field(1, name) + _field(3, value) + _field(20, _INT)
    return _field(1, name) + b"".join(_field(8, v) for v in value) + _field(20, _INTS)


def _value(name: str, kind: str, shape: Sequence[int | str]) -> bytes:
    dims = b"".join(_field(1, _field(1 if isinstance(d, int) else 2, d)) for d in shape)
    tensor = _field(1, _TYPES[kind]) + _field(2, dims)
    return _field(1, name) + _field(2, _field(1, tensor))


class Graph:
    """A graph under construction; values are known by their names."""

    def __init__(self) -> None:
        self._nodes: list[tuple[tuple[str, ...], str, bytes]] = []
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._inputs: list[bytes] = []
        self._outputs: list[bytes] = []
        self._given: dict[str, str] = {}  # names of values that are given out
        self._count = 0

    def _name(self) -> str:
        self._count += 1
        return f"v{self._count}"

    def input(self, name: str, kind: str, shape: Sequence[int | str]) -> str:
        """A value that is fed; a name in the shape is a size that may change."""
        self._inputs.append(_value(name, kind, shape))
        return name

    def constant(self, value: np.ndarray | np.generic | float) -> str:
        """A number or an array; a Python float becomes float32."""
        array = np.float32(value) if isinstance(value, float) else value
        array = np.ascontiguousarray(array).reshape(np.shape(array))
        key = array.dtype.name, array.shape, array.tobytes()
        return self._constants.setdefault(key, self._name())

    def node(self, operator: str, *inputs: str, domain: str = "", **attributes: Attribute) -> str:
        """An operator with one output."""
        out = self._name()
        settings = b"".join(_field(5, _attribute(*item)) for item in attributes.items())
        what = _field(4, operator) + settings + _field(7, domain)
        self._nodes.append((inputs, out, what))
        return out

    def output(self, value: str, name: str, kind: str, shape: Sequence[int | str]) -> None:
        """Give what a node puts out a name, once."""
        self._given[value] = name
        self._outputs.append(_value(name, kind, shape))

    def serialize(self) -> bytes:
        """The model, as in a ``.onnx`` file."""
        parts = [_field(2, "bitcodec")]
        for inputs, out, what in self._nodes:
            names = [_field(1, self._given.get(name, name)) for name in inputs]
            node = b"".join(names) + _field(2, self._given.get(out, out)) + what
            parts.append(_field(1, node))
        for (kind, shape, data), name in self._constants.items():
            dims = b"".join(_field(1, d) for d in shape)
            tensor = dims + _field(2, _TYPES[kind]) + _field(8, name) + _field(9, data)
            parts.append(_field(5, tensor))
        parts += [_field(11, value) for value in self._inputs]
        parts += [_field(12, value) for value in self._outputs]
        graph = b"".join(parts)
        opsets = b"".join(_field(8, _field(1, name) + _field(2, n)) for name, n in _OPSETS)
        return _field(1, _IR_VERSION) + opsets + _field(7, graph)
