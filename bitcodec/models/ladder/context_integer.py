"""The context model in integers: the same numbers on every machine, in every program.

Each layer is a sum of products of integers below 2**24, exact in int32 and in float32, times one
float32 number, rounded half to even, and clipped. That is what the QLinear operators of ONNX do,
and what NumPy and torch do in two lines. (Ballé, Johnston, Minnen, "Integer networks for data
compression with latent-variable models", ICLR 2019, gives the reason.)

Processors with AVX2 but not VNNI add two products of an unsigned and a signed byte in 16 bits. So
either inputs have 7 bits, or weights. :meth:`IntegerContext.check` proves that and the bound.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from bitcodec.errors import WeightsError
from bitcodec.models.ladder.channels import CHANNELS, GROUPS, positions
from bitcodec.models.ladder.plane import ZERO, Plane
from bitcodec.models.ladder.probability_tables import COMPAND_SIZE, UNARY
from bitcodec.models.layers import fixed_point as fx

__all__ = ["ContextKernels", "IntegerContext", "Layer", "PassCoder", "kernel_size"]

#: coder(group, indices, centre, scale): indices (n,) of positions in raster order, centre and scale
#: codes (n, C) as :meth:`ContextKernels.head` returns them; gives back where in (n, C), flattened,
#: latents are not zero, and what they are, integers.
PassCoder = Callable[[int, np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]

_LARGEST_ORDER = 15  # of Exp-Golomb codes: no latent needs more bits
_LARGEST_CENTRE = fx.FRACTIONS * 2**15


class ContextKernels(Protocol):
    """The layers, however they are run."""

    def head(
        self, group: int, state: np.ndarray, where: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """States float32 (h, w, S) to the codes of some positions.

        Args:
            group: whose head.
            state: whole numbers.
            where: int64 (n,), positions in raster order; None for all h w.

        Returns:
            Centre codes, rows of :meth:`IntegerContext.eighths`: (n, C) uint16, or uint8 of fine
            groups; and scale codes, uint8 (n, C).
        """

    def embed(self, group: int, patches: np.ndarray) -> np.ndarray:
        """Companded latents around positions, uint8 (n, k k C), to float32 (n, S) for the state."""


@dataclass(frozen=True)
class Layer:
    """A convolution in integers.

    Attributes:
        weight: int8 (O, I, k, k), of a depthwise one (O, 1, k, k).
        bias: int32 (O,).
        scale: float32 (O,), what the sums are multiplied by.
    """

    weight: np.ndarray
    bias: np.ndarray
    scale: np.ndarray

    def bound(self, most: int) -> int:
        """No sum is larger, where no input is larger than ``most``."""
        return int((_magnitudes(self.weight) * most + np.abs(self.bias.astype(np.int64))).max())


def _magnitudes(weight: np.ndarray) -> np.ndarray:
    """Of int8 weights, summed for each output channel: int64 (O,)."""
    rows = weight.reshape(len(weight), -1)
    return np.asarray(np.abs(rows, dtype=np.int16).sum(1, dtype=np.int64))


def rows_of(weight: np.ndarray) -> np.ndarray:
    """Weights (O, I, k, k) as a matrix (O, k k I)."""
    return np.asarray(weight.transpose(0, 2, 3, 1).reshape(len(weight), -1))


def kernel_size(group: int) -> int:
    """Edge of the convolution that folds a group's latents into the state."""
    return 5 if group < 4 else 3


class IntegerContext:
    """The tensors of the context model, and the walk through its groups and passes.

    Args:
        tensors: by their names in a weights file, without ``context.``; see FORMAT.md.

    Attributes:
        companded: for each group 128 + round(16 asinh(q)) within its limit, for q + 2047 =
            0..4094: uint8.

    Raises:
        WeightsError: one is missing, or is not of its type and shape.
    """

    def __init__(self, tensors: Mapping[str, np.ndarray]) -> None:
        self.tensors = dict(tensors)
        self._known: set[str] = set()
        self.state = len(self._get("base", np.int32, (None,)))
        s = self.state
        self.hidden = h = len(self._get("heads.0.a.bias", np.int32, (None,)))
        self._get("slope", np.int32, (s,))
        self._centre = self._get("centre", np.int32, (2 * fx.CENTRE_MAX + 1,))
        self.probability = self._get(
            "probability", np.int32, (fx.FRACTIONS * fx.SCALES, 2 + 2 * UNARY)
        )
        self.orders = self._get("orders", np.uint8, (fx.SCALES,))
        self.most = self._get("most", np.int32, (len(GROUPS),))
        self.shift = self._get("shift", np.int32, (len(GROUPS),))
        self._compand = self._get("compand", np.uint8, (COMPAND_SIZE,)).astype(np.int16)
        self.companded = [self._within(int(most)) for most in self.most]
        self._pos: list[np.ndarray] = []
        self.emb: list[Layer] = []
        self.heads: list[dict[str, Layer]] = []
        for g, group in enumerate(GROUPS):
            pos = self._get(f"pos{g}", np.int32, (group.passes, s))
            self._pos.append(pos.astype(np.float32))
            k = kernel_size(g)
            self.emb.append(self._layer(f"emb.{g}", (s, group.size, k, k)))
            shapes = {
                "dw": (s, 1, 5, 5),
                "a": (h, s, 1, 1),
                "b": (h, h, 1, 1),
                "o": (2 * group.size, h, 1, 1),
            }
            self.heads.append(
                {name: self._layer(f"heads.{g}.{name}", shape) for name, shape in shapes.items()}
            )

        for g in range(len(GROUPS)):  # to train on from; weights that are not may lack it
            if f"heads.{g}.reach" in self.tensors:
                self._get(f"heads.{g}.reach", np.float32, (s,))
        unknown = self.tensors.keys() - self._known
        if unknown:
            raise WeightsError(f"there is no tensor context.{min(unknown):.80} in such a model")

    def _get(self, name: str, kind: type, shape: tuple[int | None, ...]) -> np.ndarray:
        self._known.add(name)
        value = self.tensors.get(name)
        fits = value is not None and value.dtype == kind and len(value.shape) == len(shape)
        if value is None or not fits:
            why = "is missing" if value is None else "has the wrong kind or shape"
            raise WeightsError(f"tensor context.{name} {why}")
        if any(want not in (None, have) for want, have in zip(shape, value.shape, strict=True)):
            raise WeightsError(f"tensor context.{name} has the wrong shape")
        return value

    def _layer(self, name: str, shape: tuple[int, int, int, int]) -> Layer:
        out = (shape[0],)
        weight = self._get(f"{name}.weight", np.int8, shape)
        bias = np.zeros(out, np.int32)
        if not name.startswith("emb"):
            bias = self._get(f"{name}.bias", np.int32, out)
        return Layer(weight, bias, self._get(f"{name}.scale", np.float32, out))

    def _within(self, most: int) -> np.ndarray:
        size = np.minimum(self._compand, most)
        return (ZERO + np.concatenate((-size[:0:-1], size))).astype(np.uint8)

    def check(self) -> None:
        """WeightsError unless all sums are exact on every processor and the tables are sane."""
        if self.most.min() < 1 or self.most.max() > 127:
            raise WeightsError("a clipping limit is out of range")
        if self.shift.min() < 0 or self.shift.max() > 4:
            raise WeightsError("a shift is out of range")
        for g, head in enumerate(self.heads):
            # each with the largest magnitudes of its inputs and weights
            layers = {
                "emb": (self.emb[g], int(self.most[g]), fx.SMALL_WEIGHT),
                "dw": (head["dw"], 255, fx.SMALL_WEIGHT),
                "a": (head["a"], fx.U_MAX, fx.WEIGHT),
                "b": (head["b"], fx.HIDDEN_MAX, fx.WEIGHT),
                "o": (head["o"], 2 * fx.HIDDEN_MAX, fx.WEIGHT),
            }
            for name, (layer, most, largest) in layers.items():
                if layer.bound(most) >= fx.EXACT:
                    raise WeightsError(f"group {g}: a sum of {name} may reach 2**24")
                if max(int(layer.weight.max()), -int(layer.weight.min())) > largest:
                    raise WeightsError(f"group {g}: a weight of {name} is too large")
                if not np.all((layer.scale > 2.0**-60) & (layer.scale < 2.0**20)):
                    raise WeightsError(f"group {g}: a scale of {name} is out of range")
        if int(self._compand[0]) or int(self._compand.max()) > 127:
            raise WeightsError("compand is out of range")  # zeros are left out, the rest are int8
        if np.abs(self._centre.astype(np.int64)).max() > _LARGEST_CENTRE:
            raise WeightsError("a centre is out of range")
        if int(self.orders.max()) > _LARGEST_ORDER:
            raise WeightsError("an order is out of range")
        if self._state_bound() >= fx.EXACT:
            raise WeightsError("the state may reach 2**24")
        low, high = int(self.probability.min()), int(self.probability.max())
        if low < 0 or int(self.probability[:, 1:].min()) < 1 or high > 65535:
            raise WeightsError("a probability is out of range")

    def _state_bound(self) -> float:
        """No sum of parts of the state is larger, at any step code up to 65535."""
        most = np.abs(self.tensors["base"].astype(float)) + 1
        most += np.abs(self.tensors["slope"].astype(float))
        for g, layer in enumerate(self.emb):
            most += _magnitudes(layer.weight) * int(self.most[g]) * layer.scale + 1
            most += np.abs(self.tensors[f"pos{g}"].astype(float)).max(0)
        return float(most.max())

    def start(self, step_code: int | np.ndarray) -> np.ndarray:
        """The state before anything is decoded: float32 (S,), or (h, w, S) of codes (h, w)."""
        slope = self.tensors["slope"].astype(np.int64)
        codes = np.asarray(step_code, np.int64)[..., None]
        return np.asarray(self.tensors["base"] + ((slope * codes + 32768) >> 16), np.float32)

    def zero(self, group: int) -> int:
        """The centre code of a group that stands for 0, and the largest distance from it."""
        return fx.FINE_MAX if self.shift[group] else fx.CENTRE_MAX

    def eighths(self, group: int) -> np.ndarray:
        """Centres in eighths of a level for the centre codes of a group, from 0 on: int32."""
        limit = self.zero(group)
        codes = np.arange(-limit, limit + 1) << int(self.shift[group])
        most = fx.CENTRE_MAX
        return np.asarray(self._centre[codes.clip(-most, most) + most])

    def run_passes(
        self,
        kernels: ContextKernels,
        step_code: int | np.ndarray,
        shape: tuple[int, int],
        coder: PassCoder,
        groups: int = len(GROUPS),
    ) -> np.ndarray:
        """Go through all groups and passes; ``coder`` codes each, in either direction.

        Args:
            kernels: run the layers.
            step_code: of all positions, or of each, (h, w).
            shape: rows and columns of latents.
            coder: see :data:`PassCoder`.
            groups: stop after so many, with zeros for the rest.

        Returns:
            What ``coder`` returned, in its place: int16 (768, h, w), channels fastest in memory.
        """
        h, w = shape
        state, seen = _aligned((h, w, self.state)), _aligned((h, w, self.state))
        state[:] = self.start(step_code)
        q = np.zeros((h * w, CHANNELS), np.int16)
        for g, group in enumerate(GROUPS[:groups]):
            plane = Plane(h, w, group.size, kernel_size(g))
            for p, at in enumerate(positions(group.passes, h, w)):
                if not len(at):
                    continue
                pos = np.tile(self._pos[g][p], w)
                np.add(state.reshape(h, -1), pos, out=seen.reshape(h, -1))
                if p:
                    _add(plane, seen, kernels, g)
                some = at if group.passes > 1 else None
                where, values = coder(g, at, *kernels.head(g, seen, some))
                if len(where):
                    levels = np.zeros((len(at), group.size), np.int16)
                    levels.ravel()[where] = values
                    rows = slice(None) if some is None else some
                    q[rows, group.start : group.stop] = levels
                    compand = self.companded[g].take(values + COMPAND_SIZE - 1, mode="clip")
                    plane.put(some, where, compand)
            if g + 1 < groups:
                _add(plane, state, kernels, g)
        return np.asarray(q.reshape(h, w, CHANNELS).transpose(2, 0, 1))


def _aligned(shape: tuple[int, ...]) -> np.ndarray:
    """Space for float32 numbers that begins with a line of the cache: sums take half the time."""
    space = np.empty(math.prod(shape) + 16, np.float32)
    start = -space.ctypes.data // 4 % 16
    return space[start : start + math.prod(shape)].reshape(shape)


def _add(plane: Plane, state: np.ndarray, kernels: ContextKernels, group: int) -> None:
    """Add to states (h, w, S) what latents around them give; zeros add nothing."""
    where = plane.around()
    flat = state.reshape(-1, state.shape[2])
    if where is None:
        flat += kernels.embed(group, plane.patches(None))
    elif len(where):
        flat[where] += kernels.embed(group, plane.patches(where))
