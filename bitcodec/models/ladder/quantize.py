"""From the trained float context model to its integer form, and back to train on from it."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn

from bitcodec.models.ladder.channels import GROUPS
from bitcodec.models.ladder.context_float import Context, Head
from bitcodec.models.ladder.context_integer import IntegerContext
from bitcodec.models.ladder.integer_layers import IntegerConv, IntegerHead
from bitcodec.models.ladder.probability_tables import (
    centre_table,
    compand_table,
    probability_table,
    tail_orders,
)
from bitcodec.models.ladder.transform import STEP_MIDDLE
from bitcodec.models.layers import fixed_point as fx

STEP_CODES = 1024  #: step codes an octave: step = 2 ** (code / 1024)


def _int8(weight: Tensor) -> tuple[Tensor, Tensor]:
    """int8 weights and the unit of each output channel, (O,)."""
    unit = fx.weight_scale(weight)
    q = torch.floor(weight / unit + 0.5).clamp(-127, 127)
    return q.to(torch.int8), unit.flatten().double()


def _fill(
    target: IntegerConv,
    weight: Tensor,
    bias: Tensor | None,
    unit_in: float,
    unit_out: Tensor | float,
) -> None:
    """Write a convolution whose inputs count ``unit_in`` and outputs ``unit_out`` each."""
    q, unit = _int8(weight)
    target.weight.copy_(q)
    acc = unit * unit_in  # what one unit of the accumulator stands for
    if bias is not None:
        target.bias.copy_(torch.floor(bias.double() / acc + 0.5).clamp(-(2**31), 2**31 - 1))
    m, k = fx.as_multiplier(acc / unit_out)
    target.m.copy_(m)
    target.k.copy_(k)


def _export_head(head: Head, target: IntegerHead, size: int) -> None:
    act, reach = 1 / fx.ACT, cast(Tensor, head.reach).double() / 127
    _fill(target.dw, head.dw.weight, head.dw.bias, act, reach)
    shift = torch.pow(2.0, target.dw.k.double())
    target.same.copy_(torch.floor(act / reach * shift + 0.5))
    folded = head.a.weight * reach.float()[None, :, None, None]
    _fill(target.a, folded, head.a.bias, 1.0, act)
    _fill(target.b, head.b.weight, head.b.bias, act, act)
    weight, bias = head.o.weight[: 2 * size], cast(Tensor, head.o.bias)[: 2 * size].clone()
    bias[size:] += fx.SCALE_SHIFT
    unit = torch.tensor([1 / fx.CENTRE] * size + [1 / fx.SCALE] * size, dtype=torch.float64)
    _fill(target.o, weight, bias, act, unit)


@torch.no_grad()
def export_context(context: Context) -> IntegerContext:
    """The integer form of a context model, proved exact (WeightsError if it is not)."""
    out = IntegerContext(context.config)
    dl = context.dl.flatten().double()
    base = context.base.flatten().double() - dl * math.log(STEP_MIDDLE)
    out.base.copy_(torch.floor(base * fx.STATE + 0.5))
    out.slope.copy_(torch.floor(dl * (math.log(2) / STEP_CODES * fx.STATE * 65536) + 0.5))
    for name, table in (
        ("compand", compand_table()),
        ("centre", centre_table()),
        ("probability", probability_table()),
        ("orders", tail_orders()),
    ):
        getattr(out, name).copy_(torch.from_numpy(table))
    for index, group in enumerate(GROUPS):
        emb = cast(nn.Conv2d, context.emb[index])
        _fill(cast(IntegerConv, out.emb[index]), emb.weight, None, 1 / fx.COMPAND, 1 / fx.STATE)
        out.most[index] = min(127, (fx.EXACT - 1) // cast(IntegerConv, out.emb[index]).bound(1))
        pos = context.pos[index][:, :, 0, 0].double()
        getattr(out, f"pos{index}").copy_(torch.floor(pos * fx.STATE + 0.5))
        _export_head(
            cast(Head, context.heads[index]), cast(IntegerHead, out.heads[index]), group.size
        )
    out.check()
    out.prepare()
    return out


def _unfill(source: IntegerConv, unit_in: float, unit_out: Tensor | float) -> tuple[Tensor, Tensor]:
    """Weights (O, I, k, k) and biases (O,), float64, that :func:`_fill` would write as these."""
    acc = source.m.double() / torch.pow(2.0, source.k.double()) * unit_out
    return source.weight.double() * (acc / unit_in)[:, None, None, None], source.bias * acc


def _restore_head(source: IntegerHead, head: Head, size: int) -> None:
    act = 1 / fx.ACT
    reach = act * torch.pow(2.0, source.dw.k.double()) / source.same.double()
    cast(Tensor, head.reach).copy_(reach * 127)
    folded, bias = _unfill(source.a, 1.0, act)
    head.a.weight.copy_(folded / reach[None, :, None, None])
    cast(Tensor, head.a.bias).copy_(bias)
    for conv, (weight, bias) in (
        (head.dw, _unfill(source.dw, act, reach)),
        (head.b, _unfill(source.b, act, act)),
    ):
        conv.weight.copy_(weight)
        cast(Tensor, conv.bias).copy_(bias)
    unit = torch.tensor([1 / fx.CENTRE] * size + [1 / fx.SCALE] * size, dtype=torch.float64)
    weight, bias = _unfill(source.o, act, unit)
    bias[size:] -= fx.SCALE_SHIFT
    head.o.weight.zero_()  # its last third is not used
    head.o.weight[: 2 * size].copy_(weight)
    cast(Tensor, head.o.bias).zero_()[: 2 * size].copy_(bias)


@torch.no_grad()
def restore_context(integer: IntegerContext, context: Context) -> None:
    """Undo :func:`export_context`, but for the rounding: fill a float context from integers.

    Args:
        integer: of shipped weights, say.
        context: of the same configuration; changed in place.
    """
    dl = integer.slope.double() / (math.log(2) / STEP_CODES * fx.STATE * 65536)
    base = integer.base.double() / fx.STATE + dl * math.log(STEP_MIDDLE)
    context.dl.copy_(dl[None, :, None, None])
    context.base.copy_(base[None, :, None, None])
    for index, group in enumerate(GROUPS):
        source = cast(IntegerConv, integer.emb[index])
        emb = cast(nn.Conv2d, context.emb[index])
        emb.weight.copy_(_unfill(source, 1 / fx.COMPAND, 1 / fx.STATE)[0])
        pos = cast(Tensor, getattr(integer, f"pos{index}")).double() / fx.STATE
        context.pos[index].copy_(pos[:, :, None, None])
        _restore_head(
            cast(IntegerHead, integer.heads[index]), cast(Head, context.heads[index]), group.size
        )


@torch.no_grad()
def calibrate(context: Context, batches: list[tuple[Tensor, Tensor]], margin: float = 1.0) -> None:
    """Set each head's ``reach`` to the largest |t + dw(t)| seen, a channel.

    Args:
        context: changed in place.
        batches: (q, step) pairs as :meth:`Context.forward` takes them.
        margin: factor on the largest value seen.
    """
    heads = cast("list[Head]", list(context.heads))
    seen = [torch.full_like(cast(Tensor, head.reach), 1e-2, device="cpu") for head in heads]
    handles = []

    def watch(index: int, head: Head) -> None:
        def hook(_: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
            u = (inputs[0] + output).abs().amax((0, 2, 3)).cpu()
            seen[index] = torch.maximum(seen[index], u)

        handles.append(head.dw.register_forward_hook(hook))

    for index, head in enumerate(heads):
        watch(index, head)
    for q, step in batches:
        context(q, step, quantized=False)
    for handle in handles:
        handle.remove()
    for head, reach in zip(heads, seen, strict=True):
        cast(Tensor, head.reach).copy_(reach * margin)
