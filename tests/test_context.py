"""The integer context model: the same numbers however it is run."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from bitcodec.models.ladder.channels import CHANNELS, GROUPS
from bitcodec.models.ladder.config import LadderConfig
from bitcodec.models.ladder.context_float import Context
from bitcodec.models.ladder.context_integer import ContextKernels, IntegerContext
from bitcodec.models.ladder.context_numpy import NumpyKernels
from bitcodec.models.ladder.context_torch import TorchKernels
from bitcodec.models.ladder.quantize import calibrate, export_context
from bitcodec.models.ladder.steps import code_of_step
from bitcodec.runtime.onnx_context import OnnxKernels

_CODE = code_of_step(40)
_TINY = LadderConfig(state=12, hidden=8, width=8, pixels=(4, 4), blocks=1)
_ODD = LadderConfig(state=13, hidden=7, width=8, pixels=(4, 4), blocks=1)
_WIDE = LadderConfig(state=96, hidden=64)


def _context(seed: int, config: LadderConfig = _TINY) -> IntegerContext:
    torch.manual_seed(seed)
    context = Context(config)
    with torch.no_grad():
        for parameter in context.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    q = torch.round(3 * torch.randn(1, CHANNELS, 6, 6))
    calibrate(context, [(q, torch.full((1, 1, 1, 1), 40.0))])
    return export_context(context)


def _codes(
    context: IntegerContext,
    kernels: ContextKernels,
    q: np.ndarray,
    steps: int | np.ndarray = _CODE,
) -> np.ndarray:
    """The codes that coding q meets: (2, 768, h, w)."""
    out = np.zeros((2, CHANNELS, q.shape[1] * q.shape[2]), np.int64)
    flat = q.reshape(CHANNELS, -1)

    def code(
        group: int, indices: np.ndarray, centre: np.ndarray, scale: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        rows = slice(GROUPS[group].start, GROUPS[group].stop)
        out[0, rows, indices], out[1, rows, indices] = centre, scale
        part = flat[rows][:, indices].T
        where = np.flatnonzero(part)
        return where, part.ravel()[where]

    again = context.run_passes(kernels, steps, (q.shape[1], q.shape[2]), code)
    assert np.array_equal(again, q)
    return out.reshape(2, *q.shape)


@pytest.fixture
def torch_settings() -> Iterator[None]:
    """Restore the number of threads and the default dtype."""
    count, dtype = torch.get_num_threads(), torch.get_default_dtype()
    yield
    torch.set_num_threads(count)
    torch.set_default_dtype(dtype)


@pytest.mark.parametrize("config", [_TINY, _ODD, _WIDE], ids=["tiny", "odd", "wide"])
@pytest.mark.parametrize("seed", range(3))
def test_same_integers_everywhere(seed: int, config: LadderConfig, torch_settings: None) -> None:
    rng = np.random.default_rng(seed)
    h, w = rng.integers(1, 9, 2)
    amplitude = (0.3, 3, 5000)[seed]
    q = np.round(amplitude * rng.standard_normal((CHANNELS, h, w))).clip(-32767, 32767)
    q = q.astype(np.int32)
    context = _context(seed, config)
    expected = _codes(context, NumpyKernels(context), q)
    assert len(np.unique(expected[1])) > 3
    assert len(np.unique(expected[0])) > 3
    assert np.array_equal(_codes(context, OnnxKernels(context), q), expected)
    for count, dtype in ((1, torch.float32), (2, torch.float64)):
        torch.set_num_threads(count)
        torch.set_default_dtype(dtype)
        kernels = TorchKernels(context, torch.device("cpu"))
        assert np.array_equal(_codes(context, kernels, q), expected)


def test_same_integers_with_a_map_of_steps() -> None:
    rng = np.random.default_rng(4)
    context = _context(4, _ODD)
    steps = rng.integers(1024, 9217, (2, 3)).repeat(4, 0).repeat(4, 1)[:7, :9]
    q = np.round(3 * rng.standard_normal((CHANNELS, 7, 9))).astype(np.int32)
    expected = _codes(context, NumpyKernels(context), q, steps)
    assert np.array_equal(_codes(context, OnnxKernels(context), q, steps), expected)
    in_torch = TorchKernels(context, torch.device("cpu"))
    assert np.array_equal(_codes(context, in_torch, q, steps), expected)
    plain = _codes(context, NumpyKernels(context), q)
    assert not np.array_equal(plain, expected)
    flat = np.full((7, 9), _CODE)
    assert np.array_equal(_codes(context, NumpyKernels(context), q, flat), plain)
    slope, base = (context.tensors[name].astype(int) for name in ("slope", "base"))
    for i, j in ((0, 0), (3, 8), (6, 4)):
        exact = base + (slope * int(steps[i, j]) + 32768) // 65536
        assert np.array_equal(context.start(steps)[i, j], exact)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_same_integers_where_few_latents_are_not_zero(count: int) -> None:
    """What adds zeros to the state is left out; adding it all the same changes nothing."""
    rng = np.random.default_rng(count)
    q = np.zeros((CHANNELS, 11, 13), np.int32)
    where = rng.integers(0, 11, count), rng.integers(0, 13, count)
    q[:, where[0], where[1]] = rng.integers(-40, 41, (CHANNELS, count))
    context = _context(count)
    kernels = NumpyKernels(context)
    assert np.array_equal(_codes(context, OnnxKernels(context), q), _codes(context, kernels, q))
    embed, seen = kernels.embed, []

    def all_zeros_add_nothing(group: int, patches: np.ndarray) -> np.ndarray:
        seen.append(len(patches))
        assert not embed(group, np.full_like(patches[:1], 128)).any()
        return embed(group, patches)

    kernels.embed = all_zeros_add_nothing  # type: ignore[method-assign]
    _codes(context, kernels, q)
    assert min(seen) < 11 * 13


def test_extremes_do_not_overflow() -> None:
    """The largest weights and inputs of each kind: sums of two products fill 16 bits."""
    context = _context(3, _WIDE)
    for name, value in context.tensors.items():
        if name.endswith(".weight"):
            largest = 64 if name.startswith("emb") or ".dw." in name else 127
            value.fill(largest)
            value[1::2] = -largest
        elif name.endswith(".scale"):
            value.fill(2.0**-12)
    context.most.fill(int((2**24 - 1) // (64 * 136 * 9)))
    numpy, onnx = NumpyKernels(context), OnnxKernels(context)
    for value in (0, 2**18):
        state = np.full((4, 5, context.state), value, np.float32)
        state[0] = 2**18
        for group in (0, 5, 17):
            for one, two in zip(
                numpy.head(group, state, None), onnx.head(group, state, None), strict=True
            ):
                assert np.array_equal(one, two)
    for group in (0, 15):
        patches = np.full((3, context.emb[group].weight[0].size), 255, np.uint8)
        patches[1], patches[2, ::2] = 1, 1
        assert np.array_equal(numpy.embed(group, patches), onnx.embed(group, patches))
