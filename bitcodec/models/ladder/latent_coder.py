"""Latents as decisions: which questions are coded about a latent, and with which probability.

A latent q has a predicted centre m + f/8, m the nearest level, and a scale code s. The questions
are: q != m? Then q > m? Then |q - m| > 1? > 2? ... > 15? The rest is an Exp-Golomb code of even
bits, whose order depends on s. Each question is one latent bit sign(y - theta_k), or a run of them;
bits that follow from earlier answers cost nothing. All latents of a pass answer a question at once.

Most latents are 0 with near certainty. A table marks them by a 0 as the probability of q != m:
where m is 0 too, such a latent is skippable. It is not coded, and decodes to 0. A model may be
wrong about a picture that is unlike its training pictures. So a payload begins with a decision:
zero skip or not. Without it zeros in the table count as ones, and every latent is coded.
"""

from __future__ import annotations

import numpy as np

from bitcodec.entropy.rangecoder import UNIT, DecisionDecoder, DecisionEncoder
from bitcodec.errors import ContainerError
from bitcodec.models.ladder.channels import CHANNELS, GROUPS
from bitcodec.models.ladder.context_integer import ContextKernels, IntegerContext
from bitcodec.models.ladder.probability_tables import UNARY, cost_table
from bitcodec.models.ladder.rdoq import cheapest_levels
from bitcodec.models.ladder.step_map import blocks_of, codes_of, get_map, put_map, with_offsets
from bitcodec.models.layers import fixed_point as fx

LARGEST = 2**15 - 1  #: largest magnitude of a latent
_TAIL_BITS = 18
_LOSS = 1e-2  #: zero skip may lose at most this share of a payload's bits
_ESCAPE = 16.0  #: bits: the least that a latent costs that is not 0 where it is skippable


class LatentCoder:
    """Codes the latents of a tile with an integer context model.

    Args:
        context: checked, see :meth:`IntegerContext.check`.
        kernels: run its layers.
    """

    def __init__(self, context: IntegerContext, kernels: ContextKernels) -> None:
        self.context, self.kernels = context, kernels
        table = np.ascontiguousarray(context.probability.T)
        self.skippable = table[0] == 0
        self.has_skippable = bool(self.skippable.any())
        table = np.maximum(table, 1)
        self.orders = context.orders.astype(np.int64)
        self.cost = cost_table(table.T, self.orders)
        # by row, for the first two decisions; then by the second decision and row
        self._differs, self._above = UNIT * table[:2]
        self._more = UNIT * np.concatenate((table[2 : 2 + UNARY], table[2 + UNARY :]), 1)
        self.largest_offset = self.cost.shape[1] // 2
        # With no larger codes than these a latent is skippable: no need to look it up.
        zeros = self.skippable.reshape(fx.FRACTIONS, fx.SCALES)[fx.FRACTIONS // 2]
        self._skippable_scale = int(np.argmin(np.append(zeros, False))) - 1
        # by group and centre code: the nearest level, and the first row of its fraction
        eighths = [context.eighths(g) for g in range(len(GROUPS))]
        half = fx.FRACTIONS // 2
        self._levels = [(table + half) // fx.FRACTIONS for table in eighths]
        self._rows = [(table + half) % fx.FRACTIONS * np.intp(fx.SCALES) for table in eighths]
        self._skippable_centres = [_zeros(table) for table in eighths]

    def encode(self, y: np.ndarray, step_code: int, rdoq_weight: float) -> tuple[bytes, np.ndarray]:
        """Quantise and code latents.

        Args:
            y: (768, h, w) float32, in units of the step; (769, h, w) with the offsets of a map.
            step_code: the header's rate.
            rdoq_weight: weight of the squared error (y - q)**2 against bits in choosing q; 0 is
                plain rounding.

        Returns:
            The payload, and the latents that were coded, int16, of the shape of y.
        """
        if self.has_skippable and rdoq_weight > 0:
            payload, q, lost = self._encode(y, step_code, rdoq_weight, zero_skip=True)
            if lost <= _LOSS * 8 * len(payload):
                return payload, q
        return self._encode(y, step_code, rdoq_weight, zero_skip=False)[:2]

    def _encode(
        self, y: np.ndarray, step_code: int, rdoq_weight: float, zero_skip: bool
    ) -> tuple[bytes, np.ndarray, float]:
        """The same, and the loss in bits by latents that were skipped."""
        flat = np.ascontiguousarray(y[:CHANNELS].reshape(CHANNELS, -1).T)
        flat = flat.clip(-LARGEST, LARGEST)
        if np.isnan(flat.max()):  # which takes long
            flat = np.nan_to_num(flat)
        out = DecisionEncoder()
        offsets = y[CHANNELS].astype(np.int16) if len(y) > CHANNELS else None
        if offsets is not None:
            put_map(out, blocks_of(offsets))
        if self.has_skippable:
            out.put_even(np.array([zero_skip]))
        lost = 0.0

        def code_pass(
            group: int, indices: np.ndarray, centre: np.ndarray, scale: np.ndarray
        ) -> tuple[np.ndarray, np.ndarray]:
            nonlocal lost
            part = flat[:, GROUPS[group].start : GROUPS[group].stop]
            part = part if len(part) == len(indices) else part[indices]
            where, m, row = self._ask(group, centre, scale, zero_skip)
            rest = part.flatten()
            some = rest if where is None else rest.take(where)
            q = self.rdoq(some, m, row, rdoq_weight)
            self._put(out, q, m, row)
            if where is not None:
                rest[where] = 0
                lost += _loss(rest, rdoq_weight)
            return _not_zero(where, q)

        shape = y.shape[1], y.shape[2]
        codes = step_code if offsets is None else codes_of(step_code, offsets)
        q = self.context.run_passes(self.kernels, codes, shape, code_pass)
        return out.payload(), with_offsets(q, offsets), lost

    def _ask(
        self, group: int, centre: np.ndarray, scale: np.ndarray, zero_skip: bool
    ) -> tuple[np.ndarray | None, np.ndarray, np.ndarray]:
        """Which latents with these codes, both (n, C), are coded, flattened; None for all.

        With them their nearest level m and their row of the probability table.
        """
        if not zero_skip:
            return None, *self._split(group, centre.ravel(), scale.ravel())
        first, last = self._skippable_centres[group]
        asked = scale > self._skippable_scale
        # Unsigned: what is below the first is far above the last.
        asked |= (centre - centre.dtype.type(first)) > last - first
        where = np.flatnonzero(asked)
        m, row = self._split(group, centre.ravel().take(where), scale.ravel().take(where))
        open_ = np.flatnonzero((m != 0) | ~self.skippable.take(row))
        if len(open_) < len(where):
            where, m, row = where.take(open_), m.take(open_), row.take(open_)
        return where, m, row

    def _split(
        self, group: int, centre: np.ndarray, scale: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The nearest levels of codes (n,), and their rows of the probability table."""
        centre = centre.astype(np.intp)  # once, not in each take
        row = self._rows[group].take(centre)
        row += np.minimum(scale, fx.SCALES - 1)
        return self._levels[group].take(centre), row

    def decode(
        self,
        payload: bytes,
        h: int,
        w: int,
        step_code: int,
        groups: int | None = None,
        mapped: bool = False,
    ) -> np.ndarray:
        """The latents of a payload: int16 (768, h, w); ContainerError if it is not valid.

        With ``groups``, only so many, from the lowest frequencies up; the rest are zeros. Where
        ``mapped``, the payload begins with a map, whose offsets are a plane after the latents.
        """
        source = DecisionDecoder(payload)
        offsets = get_map(source, h, w) if mapped else None
        codes = step_code if offsets is None else codes_of(step_code, offsets)
        zero_skip = self.has_skippable and bool(source.get_even(1)[0])

        def code_pass(
            group: int, indices: np.ndarray, centre: np.ndarray, scale: np.ndarray
        ) -> tuple[np.ndarray, np.ndarray]:
            where, m, row = self._ask(group, centre, scale, zero_skip)
            return _not_zero(where, self._get(source, m, row))

        count = len(GROUPS) if groups is None else groups
        q = self.context.run_passes(self.kernels, codes, (h, w), code_pass, count)
        if groups is None:
            source.finish()
        return with_offsets(q, offsets)

    def rdoq(self, y: np.ndarray, m: np.ndarray, row: np.ndarray, rdoq_weight: float) -> np.ndarray:
        """Levels for latents y, by rate and distortion; plain rounding with a weight of 0.

        The cost is bits + rdoq_weight (y - q)**2, see :func:`cheapest_levels`. All arrays (n, C);
        m are the centres' levels and row is that of the probability table.
        """
        q = np.floor(y + 0.5).astype(np.int32, order="C")  # filled in through ravel below
        if rdoq_weight <= 0:
            return q
        where = np.flatnonzero((q != m).ravel())
        if not len(where):
            return q
        y, m, row = y.ravel()[where], m.ravel()[where], row.ravel()[where]

        def price(level: np.ndarray) -> np.ndarray:
            return self._price(level, y, m, row, rdoq_weight)

        q.ravel()[where] = cheapest_levels(np, q.ravel()[where], m, price)
        return q

    def _price(
        self, q: np.ndarray, y: np.ndarray, m: np.ndarray, row: np.ndarray, rdoq_weight: float
    ) -> np.ndarray:
        offset = q - m
        inside = offset.clip(-self.largest_offset, self.largest_offset)
        index = row * self.cost.shape[1] + (inside + self.largest_offset)
        price = self.cost.ravel().take(index) + rdoq_weight * np.square(y - q)
        far = offset != inside
        if far.any():
            price[far] += 2 * np.log2(1.0 + np.abs(offset - inside)[far])
        return np.asarray(price)

    def _put(self, out: DecisionEncoder, q: np.ndarray, m: np.ndarray, row: np.ndarray) -> None:
        differs = q != m
        out.put(differs, self._differs.take(row))
        where = np.flatnonzero(differs)
        d, row = q.take(where) - m.take(where), row.take(where)
        above = d > 0
        out.put(above, self._above.take(row))
        row += len(self._above) * above
        d = np.abs(d)
        for t in range(1, UNARY + 1):
            if not len(d):
                return
            more = d > t
            out.put(more, self._more[t - 1].take(row))
            d, row = d[more], row[more]
        if len(d):
            _put_tail(out, d - UNARY - 1, self.orders.take(row % fx.SCALES))

    def _get(self, source: DecisionDecoder, m: np.ndarray, row: np.ndarray) -> np.ndarray:
        where = np.flatnonzero(source.get(self._differs.take(row)))
        row = row.take(where)
        above = source.get(self._above.take(row))
        row += len(self._above) * above
        d = np.ones(len(where), np.int32)
        alive = np.arange(len(where))
        for t in range(1, UNARY + 1):
            if not len(alive):
                break
            (more,) = source.get(self._more[t - 1].take(row)).nonzero()
            alive, row = alive.take(more), row.take(more)
            d[alive] = t + 1
        if len(alive):
            d[alive] += _get_tail(source, self.orders.take(row % fx.SCALES))
        q: np.ndarray = m.copy()
        q[where] += np.where(above, d, -d)
        if len(q) and np.abs(q).max() > LARGEST:
            raise ContainerError("a latent is out of range")
        return q


def _zeros(eighths: np.ndarray) -> tuple[int, int]:
    """The first and the last code about the middle one that stand for 0."""
    other, middle = np.flatnonzero(eighths), len(eighths) // 2
    below, above = other[other < middle], other[other > middle]
    return int(below.max(initial=-1)) + 1, int(above.min(initial=len(eighths))) - 1


def _not_zero(where: np.ndarray | None, q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where latents are not zero, and what they are; q (n,) are those at ``where``."""
    some = np.flatnonzero(q != 0)  # a bool array is searched four times as fast
    return some if where is None else where.take(some), q.take(some)


def _loss(y: np.ndarray, rdoq_weight: float) -> float:
    """An upper bound of the bits that are lost by making latents 0."""
    large = np.abs(y)
    large = large[large > 0.5 + _ESCAPE / (2 * rdoq_weight)]  # others gain less than that
    near = np.floor(large + 0.5)
    gain = rdoq_weight * (np.square(large) - np.square(large - near)) - _ESCAPE
    return float(gain.clip(0).sum())


def _put_tail(out: DecisionEncoder, r: np.ndarray, order: np.ndarray) -> None:
    """Exp-Golomb codes of r >= 0: v = r + 2**order; its length in unary, then its low bits."""
    v = r.astype(np.int64) + (1 << order)
    length = np.frexp(v.astype(np.float64))[1] - 1  # floor(log2 v)
    extra = length - order
    for t in range(int(extra.max()) + 1):
        out.put_even(extra[extra >= t] > t)
    for bit in range(int(length.max()) - 1, -1, -1):
        out.put_even((v[length > bit] >> bit) & 1)


def _get_tail(source: DecisionDecoder, order: np.ndarray) -> np.ndarray:
    extra = np.zeros(len(order), np.int64)
    alive = np.arange(len(order))
    while len(alive):
        alive = alive[source.get_even(len(alive))]
        extra[alive] += 1
        if len(alive) and int(extra.max()) > _TAIL_BITS:
            raise ContainerError("a latent is out of range")
    length = order + extra
    v = np.int64(1) << length
    for bit in range(int(length.max()) - 1, -1, -1):
        has = length > bit
        v[has] |= source.get_even(int(has.sum())).astype(np.int64) << bit
    return np.asarray(v - (1 << order), np.int64).astype(np.int32)
