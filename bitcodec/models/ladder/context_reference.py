"""The integer context model from its definition, in NumPy: slow, and what all forms must equal."""

from __future__ import annotations

import numpy as np
import torch

from bitcodec.errors import BitcodecError
from bitcodec.models.ladder.channels import CHANNELS, GROUPS, pass_map
from bitcodec.models.ladder.context_integer import IntegerContext
from bitcodec.models.layers import fixed_point as fx

__all__ = ["ContextReference", "codes_of", "make_exact"]

_SHAPE = (3, 5)  #: latents of the self-test: all phases of all passes, and every edge
_STEP_CODE = 5600
_tested: set[tuple[str, int, int]] = set()


class ContextReference:
    """The network on whole numbers; products of matrices are in float64, exact below 2**53."""

    def __init__(self, context: IntegerContext) -> None:
        state = context.state_dict()
        self.t = {name: value.cpu().numpy().astype(np.int64) for name, value in state.items()}

    def codes(self, q: np.ndarray, step_code: int) -> np.ndarray:
        """Of latents (768, h, w) the centres in eighths and the scale codes: (2, 768, h, w)."""
        h, w = q.shape[1:]
        s = self.t["base"] + ((self.t["slope"] * step_code + 32768) >> 16)
        s = np.broadcast_to(s[:, None, None], (len(s), h, w)).copy()
        e = np.sign(q) * self.t["compand"][np.minimum(np.abs(q), 2047)]
        out = np.zeros((2, CHANNELS, h, w), np.int64)
        for index, group in enumerate(GROUPS):
            most = self.t["most"][index]
            part = np.clip(e[group.start : group.stop], -most, most)
            where = pass_map(group.passes, h, w)
            for k in range(group.passes):
                seen = s + self.t[f"pos{index}"][k][:, None, None]
                if k:
                    seen = seen + self._embed(index, part * (where < k))
                now = self._head(index, seen).reshape(2, group.size, h, w)
                out[:, group.start : group.stop][:, :, where == k] = now[:, :, where == k]
            s = s + self._embed(index, part)
        limit = fx.CENTRE_MAX
        out[0] = self.t["centre"][np.clip(out[0], -limit, limit) + limit]
        out[1] = np.clip(out[1], 0, fx.SCALES - 1)
        return out

    def _head(self, index: int, s: np.ndarray) -> np.ndarray:
        n = f"heads.{index}"
        t = np.clip((s * 85 + 256) >> 9, 0, 255)
        same = t * self.t[f"{n}.same"][:, None, None]
        u = np.clip(self._scale(f"{n}.dw", self._conv(f"{n}.dw", t), same), -127, 127)
        t = np.clip(self._scale(f"{n}.a", self._conv(f"{n}.a", u)), 0, 255)
        t = t + np.clip(self._scale(f"{n}.b", self._conv(f"{n}.b", t)), 0, 255)
        return self._scale(f"{n}.o", self._conv(f"{n}.o", t))

    def _embed(self, index: int, part: np.ndarray) -> np.ndarray:
        return self._scale(f"emb.{index}", self._conv(f"emb.{index}", part))

    def _conv(self, name: str, a: np.ndarray) -> np.ndarray:
        w, bias = self.t[f"{name}.weight"], self.t[f"{name}.bias"]
        edge, (h, width) = w.shape[-1], a.shape[1:]
        padded = np.pad(a, ((0, 0), (edge // 2, edge // 2), (edge // 2, edge // 2)))
        out = np.zeros((len(w), h, width), np.int64)
        for i in range(edge):
            for j in range(edge):
                part = padded[:, i : i + h, j : j + width]
                if name.endswith("dw"):
                    out += w[:, 0, i, j, None, None] * part
                else:
                    sums = w[:, :, i, j].astype(np.float64) @ part.reshape(len(part), -1)
                    out += sums.astype(np.int64).reshape(out.shape)
        return np.asarray(out + bias[:, None, None])

    def _scale(self, name: str, acc: np.ndarray, extra: np.ndarray | int = 0) -> np.ndarray:
        m, k = (self.t[f"{name}.{x}"][:, None, None] for x in "mk")
        half = np.where(k > 0, 1 << np.maximum(k - 1, 0), 0)
        return np.asarray((acc * m + extra + half) >> k)


def codes_of(context: IntegerContext, q: np.ndarray, step_code: int) -> np.ndarray:
    """What a prepared context says of latents that are coded: as :meth:`ContextReference.codes`."""
    out = np.zeros((2, CHANNELS, q.shape[1] * q.shape[2]), np.int64)
    flat = q.reshape(CHANNELS, -1)

    def visit(
        group: int, indices: np.ndarray, centre: np.ndarray, scale: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        rows = slice(GROUPS[group].start, GROUPS[group].stop)
        out[0, rows, indices] = context.eighths(centre).T
        out[1, rows, indices] = scale.T
        part = flat[rows][:, indices].ravel()
        where = np.flatnonzero(part)
        return where, part[where]

    context.run_passes(step_code, q.shape[1], q.shape[2], visit)
    return out.reshape(2, *q.shape)


def make_exact(context: IntegerContext) -> None:
    """Prepare a context, and try it once a device, size and process against the reference.

    Where torch is wrong, as it was with reduced precision and with some shapes, all sums are
    taken in float64 from then on.

    Raises:
        BitcodecError: that is wrong, too.
    """
    context.prepare()
    key = (str(context.base.device), len(context.base), context.hidden)
    if key in _tested:
        return
    rng = np.random.default_rng(0)
    size = rng.choice([0, 1, 40, 3000], (CHANNELS, 1, 1))
    q = np.rint(size * rng.standard_normal((CHANNELS, *_SHAPE))).astype(np.int32)
    expected = ContextReference(context).codes(q, _STEP_CODE)
    if not np.array_equal(codes_of(context, q, _STEP_CODE), expected):
        context.prepare(torch.float64, int8=False)
        if not np.array_equal(codes_of(context, q, _STEP_CODE), expected):
            raise BitcodecError(f"this torch computes integers wrongly on {context.base.device}")
        return
    _tested.add(key)
