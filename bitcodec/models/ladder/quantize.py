"""From the trained float context model to its integer form, and back to train on from it."""

from __future__ import annotations

import math
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from bitcodec.models.ladder.channels import GROUPS
from bitcodec.models.ladder.context_float import Context, Head, centre_shift, weight_scale
from bitcodec.models.ladder.context_integer import IntegerContext, Layer
from bitcodec.models.ladder.probability_tables import (
    centre_table,
    compand_table,
    probability_table,
    tail_orders,
)
from bitcodec.models.ladder.steps import STEP_CODES, STEP_MIDDLE
from bitcodec.models.layers import fixed_point as fx


def _integers(x: Tensor) -> np.ndarray:
    """Rounded, as int32."""
    return np.asarray(torch.round(x).clamp(-(2**31), 2**31 - 1).to(torch.int32).numpy())


def _layer(
    weight: Tensor,
    bias: Tensor | None,
    unit_in: float,
    unit_out: Tensor | float,
    largest: int = fx.WEIGHT,
) -> dict[str, np.ndarray]:
    """The tensors of a layer whose inputs count ``unit_in`` and outputs ``unit_out`` each."""
    unit = weight_scale(weight, largest)
    sums = unit.flatten().double() * unit_in  # what one unit of a sum stands for
    out = {
        "weight": torch.round(weight / unit).to(torch.int8).numpy(),
        "scale": (sums / unit_out).float().numpy(),
    }
    return out if bias is None else {"bias": _integers(bias.double() / sums), **out}


def _head(head: Head, size: int, group: int) -> dict[str, dict[str, np.ndarray]]:
    reach = cast(Tensor, head.reach).double() / fx.U_MAX
    folded = head.a.weight * reach.float()[None, :, None, None]
    weight, bias = head.o.weight[: 2 * size], cast(Tensor, head.o.bias)[: 2 * size].clone()
    bias[size:] += fx.SCALE_SHIFT
    return {
        "dw": _layer(head.gathering(), head.dw.bias, 1 / fx.ACT, reach, fx.SMALL_WEIGHT),
        "a": _layer(folded, head.a.bias, 1.0, 1 / fx.HIDDEN),
        "b": _layer(head.b.weight, head.b.bias, 1 / fx.HIDDEN, 1 / fx.HIDDEN),
        "o": _layer(weight, bias, 1 / fx.HIDDEN, _units(size, centre_shift(group))),
    }


def _units(size: int, shift: int) -> Tensor:
    """What a centre code and a scale code stand for: (2 size,) float64."""
    units = [2**shift / fx.CENTRE] * size + [1 / fx.SCALE] * size
    return torch.tensor(units, dtype=torch.float64)


@torch.no_grad()
def export_context(context: Context) -> IntegerContext:
    """The integer form of a context model, proved exact (WeightsError if it is not)."""
    dl = context.dl.flatten().double()
    base = context.base.flatten().double() - dl * math.log(STEP_MIDDLE)
    out = {
        "base": _integers(base * fx.STATE),
        "slope": _integers(dl * (math.log(2) / STEP_CODES * fx.STATE * 65536)),
        "compand": compand_table(),
        "centre": centre_table(),
        "probability": probability_table(),
        "orders": tail_orders(),
        "shift": np.array([centre_shift(g) for g in range(len(GROUPS))], np.int32),
    }
    most = []
    for g, group in enumerate(GROUPS):
        weight = cast(nn.Conv2d, context.emb[g]).weight
        emb = _layer(weight, None, 1 / fx.COMPAND, 1 / fx.STATE, fx.SMALL_WEIGHT)
        largest = np.abs(emb["weight"].astype(int)).reshape(context.config.state, -1).sum(1).max()
        most.append(min(127, (fx.EXACT - 1) // max(1, int(largest))))
        layers = {f"emb.{g}": emb}
        head = cast(Head, context.heads[g])
        layers |= {f"heads.{g}.{key}": layer for key, layer in _head(head, group.size, g).items()}
        out[f"heads.{g}.reach"] = cast(Tensor, head.reach).float().numpy()  # to train on from
        for name, layer in layers.items():
            out |= {f"{name}.{key}": value for key, value in layer.items()}
        out[f"pos{g}"] = _integers(context.pos[g][:, :, 0, 0].double() * fx.STATE)
    out["most"] = np.array(most, np.int32)
    integer = IntegerContext(out)
    integer.check()
    return integer


def _float(layer: Layer, unit_in: float, unit_out: Tensor | float) -> tuple[Tensor, Tensor]:
    """Weights (O, I, k, k) and biases (O,), float64, that :func:`_layer` would write as these."""
    sums = torch.from_numpy(layer.scale).double() * unit_out
    weight = torch.from_numpy(layer.weight).double() * (sums / unit_in)[:, None, None, None]
    return weight, torch.from_numpy(layer.bias) * sums


def _restore_head(integer: IntegerContext, group: int, head: Head) -> None:
    source, size = integer.heads[group], GROUPS[group].size
    cast(Tensor, head.reach).copy_(torch.from_numpy(integer.tensors[f"heads.{group}.reach"]))
    reach = cast(Tensor, head.reach).double() / fx.U_MAX
    weight, bias = _float(source["dw"], 1 / fx.ACT, reach)
    weight[:, :, 2, 2] -= 1
    head.dw.weight.copy_(weight)
    cast(Tensor, head.dw.bias).copy_(bias)
    weight, bias = _float(source["a"], 1.0, 1 / fx.HIDDEN)
    head.a.weight.copy_(weight / reach[None, :, None, None])
    cast(Tensor, head.a.bias).copy_(bias)
    weight, bias = _float(source["b"], 1 / fx.HIDDEN, 1 / fx.HIDDEN)
    head.b.weight.copy_(weight)
    cast(Tensor, head.b.bias).copy_(bias)
    weight, bias = _float(source["o"], 1 / fx.HIDDEN, _units(size, int(integer.shift[group])))
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
    tensors = {k: torch.from_numpy(integer.tensors[k]).double() for k in ("base", "slope")}
    dl = tensors["slope"] / (math.log(2) / STEP_CODES * fx.STATE * 65536)
    base = tensors["base"] / fx.STATE + dl * math.log(STEP_MIDDLE)
    context.dl.copy_(dl[None, :, None, None])
    context.base.copy_(base[None, :, None, None])
    for g in range(len(GROUPS)):
        emb = cast(nn.Conv2d, context.emb[g])
        emb.weight.copy_(_float(integer.emb[g], 1 / fx.COMPAND, 1 / fx.STATE)[0])
        pos = torch.from_numpy(integer.tensors[f"pos{g}"]).double() / fx.STATE
        context.pos[g].copy_(pos[:, :, None, None])
        _restore_head(integer, g, cast(Head, context.heads[g]))


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
