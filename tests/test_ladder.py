"""`ladder`: transform, order of coding, integer context model, coded decisions."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from bitcodec.codec.decode import decode
from bitcodec.codec.encode import encode_picture
from bitcodec.entropy.rangecoder import DecisionEncoder
from bitcodec.errors import ContainerError, WeightsError
from bitcodec.format.container import Source
from bitcodec.models.ladder.channels import CHANNELS, GROUPS, pass_map, zigzag
from bitcodec.models.ladder.config import LadderConfig
from bitcodec.models.ladder.context_float import Context, Head
from bitcodec.models.ladder.context_integer import IntegerContext
from bitcodec.models.ladder.context_numpy import NumpyKernels
from bitcodec.models.ladder.latent_coder import LARGEST, LatentCoder
from bitcodec.models.ladder.likelihood import bits
from bitcodec.models.ladder.model import LadderModel
from bitcodec.models.ladder.probability_tables import probability_table, tail_orders
from bitcodec.models.ladder.quantize import calibrate, export_context, restore_context
from bitcodec.models.ladder.steps import code_of_step, step_of_code
from bitcodec.models.ladder.transform import (
    Transform,
    blocks_to_latents,
    dct_kernels,
    latents_to_blocks,
)
from bitcodec.models.layers import fixed_point as fx
from bitcodec.models.weights import load_weights, save_weights
from bitcodec.picture.images import Picture, open_picture
from bitcodec.picture.metrics import psnr
from bitcodec.runtime.onnx_context import OnnxKernels

_TINY = LadderConfig(state=12, hidden=8, width=8, pixels=(4, 4), blocks=1)
_CODE = code_of_step(40)
ROOT = Path(__file__).parents[1]
WEIGHTS, SAMPLE = ROOT / "weights" / "ladder.safetensors", ROOT / "samples" / "coffee.png"


def _context(seed: int) -> Context:
    torch.manual_seed(seed)
    context = Context(_TINY)
    with torch.no_grad():
        for parameter in context.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    q = torch.round(3 * torch.randn(1, CHANNELS, 6, 6))
    calibrate(context, [(q, torch.full((1, 1, 1, 1), 40.0))])
    return context


def _mild_context(seed: int) -> Context:
    """One that predicts moderate centres and scales."""
    context = _context(seed)
    with torch.no_grad():
        for head in context.heads:
            cast(Head, head).o.weight.mul_(0.2)
    return context


def _model(seed: int = 0) -> LadderModel:
    torch.manual_seed(seed)
    model = LadderModel(_TINY)
    model.context = export_context(_mild_context(seed))
    return model.eval()


def test_the_block_transform_is_orthonormal() -> None:
    rows = dct_kernels().double().flatten(1)
    torch.testing.assert_close(rows @ rows.T, torch.eye(768).double(), atol=1e-6, rtol=0)


def test_training_starts_at_a_transform_codec() -> None:
    """With a step of 1 the untrained transform only rounds."""
    transform = Transform(_TINY)
    x = torch.rand(2, 3, 32, 48) * 255
    step = torch.ones(2, 1, 1, 1)
    with torch.no_grad():
        y = transform.analyze(x, step)
        x_hat = transform.synthesize(torch.round(y), step)
    assert (x_hat - x).square().mean() == pytest.approx(1 / 12, rel=0.15)


def test_blocks_as_products_are_the_convolutions() -> None:
    x, y = torch.randn(2, 3, 32, 48), torch.randn(2, 7, 2, 3)
    kernels = torch.randn(7, 3, 16, 16)
    expected = F.conv2d(x, kernels, stride=16)
    torch.testing.assert_close(blocks_to_latents(x, kernels), expected, rtol=1e-4, atol=1e-3)
    for edge in (16, 2):
        some = kernels[:, :, :edge, :edge]
        expected = F.conv_transpose2d(y, some, stride=edge)
        torch.testing.assert_close(latents_to_blocks(y, some), expected, rtol=1e-4, atol=1e-4)


def test_bfloat16_changes_pixels_by_one_at_most() -> None:
    """The residual paths may run in bfloat16: latents as good, the same pixels but for rounding."""
    transform = Transform(_TINY)
    with torch.no_grad():
        for name, parameter in transform.named_parameters():
            if name.split(".")[0] in ("analysis_trunk", "synthesis_trunk", "down", "up"):
                parameter.add_(0.02 * torch.randn_like(parameter))
    x, step = 255 * torch.rand(1, 3, 64, 64), torch.full((1, 1, 1, 1), 40.0)
    with torch.no_grad():
        q = torch.round(transform.analyze(x, step))
        exact = transform.synthesize(q, step)
        transform.use_bfloat16 = True
        near = transform.synthesize(q, step)
    assert 0 < float((near - exact).abs().max()) < 1


def test_groups_and_passes() -> None:
    assert CHANNELS == 768
    assert sum(group.passes for group in GROUPS) == 31
    assert zigzag()[:6] == [(0, 0), (0, 1), (1, 0), (2, 0), (1, 1), (0, 2)]
    assert pass_map(2, 2, 3).tolist() == [[0, 1, 0], [1, 0, 1]]
    assert pass_map(3, 2, 4).tolist() == [[0, 2, 0, 2], [2, 1, 2, 1]]
    period = [[0, 4, 2, 4], [4, 3, 4, 3], [2, 4, 1, 4], [4, 3, 4, 3]]
    assert pass_map(5, 4, 8).tolist() == [row + row for row in period]


def test_latents_are_the_sum_of_their_ladder_bits() -> None:
    """What encode_tile codes at effort 0 is the ladder's binarization of the latents."""
    model = _model()
    y = 4 * np.random.default_rng(0).standard_normal((CHANNELS, 2, 3), dtype=np.float32)
    payload = model.encode_tile(y, _CODE, 0)
    q = model.decode_tile(payload, (2, 3), _CODE)
    thresholds = np.arange(-63, 65) - 0.5
    signs = np.where(y[..., None] >= thresholds, 1, -1)
    assert np.array_equal(q, signs.sum(-1) // 2)


def _sparse(q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    where = np.flatnonzero(q)
    return where, q.ravel()[where]


def _walk(context: IntegerContext, q: np.ndarray) -> np.ndarray:
    """Centres in eighths of a level and scale codes that coding q meets: (2, 768, h, w)."""
    out = np.zeros((2, CHANNELS, q.shape[1] * q.shape[2]), np.int64)
    flat = q.reshape(CHANNELS, -1)

    def code(
        group: int, indices: np.ndarray, centre: np.ndarray, scale: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        rows = slice(GROUPS[group].start, GROUPS[group].stop)
        out[0, rows, indices] = context.eighths(group)[centre]
        out[1, rows, indices] = np.minimum(scale, fx.SCALES - 1)
        return _sparse(flat[rows][:, indices].T)

    again = context.run_passes(NumpyKernels(context), _CODE, (q.shape[1], q.shape[2]), code)
    assert np.array_equal(again, q)
    return out.reshape(2, *q.shape)


def test_training_goes_on_from_what_was_exported() -> None:
    """Back to floating point and to integers again: the same integers."""
    first = export_context(_context(7))
    back = Context(_TINY)
    restore_context(first, back)
    second = export_context(back)
    for name, tensor in first.tensors.items():
        close = np.abs(tensor.astype(float) - second.tensors[name])
        assert np.all(close <= 1e-6 * np.abs(tensor.astype(float)).max()), name


def test_training_and_coding_agree() -> None:
    """All passes in floating point, and pass by pass in integers: the same distributions."""
    context = _context(5)
    rng = np.random.default_rng(5)
    q = np.round(2 * rng.standard_normal((CHANNELS, 7, 6))).astype(np.int32)
    step = torch.full((1, 1, 1, 1), step_of_code(_CODE))
    as_float = torch.from_numpy(q)[None].float()
    with torch.no_grad():
        mu, s = context(as_float, step, quantized=True)
    centre, code = _walk(export_context(context), q)
    # the two round at the same places, up to ties, biases and eighths of a level
    scale = np.array([fx.scale_of_code(c) for c in range(fx.SCALES)])[code]
    assert np.mean(np.abs(np.arcsinh(centre / 8) - np.arcsinh(mu[0].numpy())) > 0.09) < 0.01
    assert np.mean(np.abs(np.log(scale / s[0].numpy())) > 0.13) < 0.01
    coded = bits(as_float[0], torch.from_numpy(centre / 8), torch.from_numpy(scale)).sum()
    assert float(coded) == pytest.approx(float(bits(as_float, mu, s).sum()), rel=0.005)


def test_float_path_in_passes_is_the_path_at_once() -> None:
    """A latent's distribution does not depend on what is coded after it."""
    context = _context(6)
    torch.manual_seed(6)
    step = torch.full((1, 1, 1, 1), 30.0)
    q = torch.round(2 * torch.randn(1, CHANNELS, 5, 7))
    with torch.no_grad():
        mu, s = context(q, step)
        for group in GROUPS:
            where = torch.from_numpy(pass_map(group.passes, 5, 7))
            for k in range(group.passes):
                known = q.clone()
                known[:, group.stop :] = 0
                known[:, group.start : group.stop] *= where < k
                mu_k, s_k = context(known, step)
                rows = slice(group.start, group.stop)
                for one, two in ((mu, mu_k), (s, s_k)):
                    torch.testing.assert_close(
                        one[:, rows, where == k], two[:, rows, where == k], rtol=1e-4, atol=1e-4
                    )


def _plain_bits(q: torch.Tensor, mu: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
    d = -(q - mu).abs()
    p = torch.sigmoid((d + 0.5) / s) - torch.sigmoid((d - 0.5) / s)
    return -torch.log2(p.clamp_min(1e-9))


@pytest.mark.parametrize("shape", [(300,), (2, 5, 3, 4)])
def test_bits_and_their_gradients_are_those_of_the_formula(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    q, mu = (3 * torch.randn(shape, dtype=torch.double) for _ in range(2))
    s = torch.exp(torch.randn(shape, dtype=torch.double))
    q.flatten()[0] += 1000 * s.flatten()[0]  # so improbable that it counts as one in 10^9
    values = [t.requires_grad_() for t in (q, mu, s)]
    ours, theirs = bits(q, mu, s), _plain_bits(q, mu, s)
    torch.testing.assert_close(ours, theirs)
    with torch.no_grad():
        torch.testing.assert_close(bits(q, mu, s), theirs)
    weight = torch.rand(shape, dtype=torch.double)
    expected = torch.autograd.grad((weight * theirs).sum(), values)
    for a, b in zip(torch.autograd.grad((weight * ours).sum(), values), expected, strict=True):
        torch.testing.assert_close(a, b)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.4, 6.0, 400.0, 40000.0]), st.data())
def test_any_latents_survive(seed: int, amplitude: float, data: st.DataObject) -> None:
    h, w = data.draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    rng = np.random.default_rng(seed)
    y = (amplitude * rng.standard_normal((CHANNELS, h, w))).astype(np.float32)
    payload, q = _CODER.encode(y, _CODE, 0.0)
    assert np.array_equal(q, np.floor(y.clip(-LARGEST, LARGEST) + 0.5))
    assert np.array_equal(_CODER.decode(payload, h, w, _CODE), q)


def _coder(context: IntegerContext) -> LatentCoder:
    return LatentCoder(context, OnnxKernels(context))


_CODER = _coder(export_context(_context(1)))


def test_extreme_latents() -> None:
    y = np.zeros((CHANNELS, 2, 2), np.float32)
    y[:, 0, 0], y[:, 1, 1], y[0, 0, 1] = 1e9, -1e9, np.nan
    payload, q = _CODER.encode(y, _CODE, 0.0)
    assert (q[:, 0, 0] == LARGEST).all()
    assert (q[:, 1, 1] == -LARGEST).all()
    assert np.array_equal(_CODER.decode(payload, 2, 2, _CODE), q)


def _certain_context() -> IntegerContext:
    """Certain of all latents of the groups from 9 on."""
    context = export_context(_context(1))
    for index in range(9, len(GROUPS)):
        for name in ("weight", "bias"):
            context.tensors[f"heads.{index}.o.{name}"].fill(0)
    return context


def test_latents_that_the_table_is_certain_of_are_not_coded() -> None:
    coder = _coder(_certain_context())
    rng = np.random.default_rng(0)
    y = rng.uniform(-0.49, 0.49, (CHANNELS, 3, 4)).astype(np.float32)
    y[: GROUPS[9].start] *= 10
    payload, q = coder.encode(y, _CODE, 16.0)
    assert not q[GROUPS[9].start :].any()
    assert np.array_equal(coder.decode(payload, 3, 4, _CODE), q)
    lots = y.copy()
    lots[: GROUPS[9].start] = 0  # the certain ones alone cost next to nothing
    assert len(coder.encode(lots, _CODE, 16.0)[0]) < len(_CODER.encode(lots, _CODE, 16.0)[0])


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 16.0]), st.sampled_from([0.1, 1.0, 900.0]))
def test_a_table_that_is_wrong_about_a_picture_costs_bits_not_pixels(
    seed: int, rdo: float, amplitude: float
) -> None:
    coder = _coder(_certain_context())
    rng = np.random.default_rng(seed)
    y = (amplitude * rng.standard_normal((CHANNELS, 2, 3))).astype(np.float32)
    payload, q = coder.encode(y, _CODE, rdo)
    assert np.array_equal(coder.decode(payload, 2, 3, _CODE), q)
    if rdo == 0:  # effort 0 rounds, whatever the table says
        assert np.array_equal(q, np.floor(y + 0.5))
    else:  # no latent is lost for good: what is lost at most is what optimised rounding may take
        assert np.abs(y - q).max() < 2.5


def test_real_bytes_are_the_estimated_bits() -> None:
    """On latents drawn from what the model predicts, as a trained model's are."""
    rng = np.random.default_rng(3)
    coder = _coder(export_context(_mild_context(1)))
    scales = np.array([fx.scale_of_code(c) for c in range(fx.SCALES)])

    def code(
        group: int, indices: np.ndarray, centre: np.ndarray, scale: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        centre = coder.context.eighths(group)[centre]
        mu, s = np.clip(centre, -800, 800) / 8, scales[np.minimum(scale, fx.SCALES - 1)]
        q = np.floor(rng.logistic(mu, s) + 0.5)
        return _sparse(np.where(np.abs(centre) > 800, (centre + 4) // 8, q).astype(np.int32))

    q = coder.context.run_passes(coder.kernels, _CODE, (8, 8), code)
    payload, _ = coder.encode(q.astype(np.float32), _CODE, 0.0)
    centre, codes = _walk(coder.context, q)
    parts = (q.astype(np.float64), centre / 8, scales[codes])
    estimate = float(bits(*(torch.from_numpy(part) for part in parts)).sum())
    assert 8 * len(payload) == pytest.approx(estimate, rel=0.01)


def test_cost_table_is_what_the_coder_spends() -> None:
    """Coding many copies of one decision costs what the table says."""
    probability, orders = probability_table(), tail_orders()
    assert probability[:, 0].min() == 0  # not worth asking for
    assert probability[:, 1:].min() >= 1
    assert probability.max() <= 65535
    for offset in (0, 1, -1, 5, -15, 16, 40):
        row = np.full(4000, 3 * 64 + 40)
        m = np.zeros(4000, np.int32)
        out = DecisionEncoder()
        _CODER._put(out, m + offset, m, row)
        cost = _CODER.cost[row[0], offset + _CODER.largest_offset]
        assert 8 * len(out.payload()) == pytest.approx(4000 * cost, rel=0.01, abs=64)
    assert orders.tolist() == sorted(orders)


def test_rate_distortion_optimised_rounding_pays() -> None:
    """No latent costs more than rounded, none is moved without a gain, and many are moved."""
    rng = np.random.default_rng(4)
    y = rng.laplace(0, 1.5, (5, 4000)).astype(np.float32)
    m = rng.integers(-1, 2, y.shape).astype(np.int32)
    row = np.full(y.shape, 4 * 64 + 25)
    plain, chosen = (_CODER.rdoq(y, m, row, rdo) for rdo in (0.0, 16.0))
    assert np.array_equal(plain, np.floor(y + 0.5))
    cost = [
        _CODER.cost[row, (q - m) + _CODER.largest_offset] + 16 * np.square(y - q)
        for q in (plain, chosen)
    ]
    moved = plain != chosen
    assert moved.mean() > 0.02
    assert (cost[1][moved] < cost[0][moved]).all()
    assert np.array_equal(cost[1][~moved], cost[0][~moved])


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("heads.0.a.bias", 2**24, r"2\*\*24"),
        ("heads.3.dw.weight", 65, "too large"),
        ("emb.2.weight", -65, "too large"),
        ("heads.1.b.scale", 0, "out of range"),
        ("base", 2**24, "state may reach"),
        ("shift", 5, "out of range"),
        ("probability", 65536, "out of range"),
    ],
)
def test_an_inexact_network_is_refused(name: str, value: int, why: str, tmp_path: Path) -> None:
    model = _model(2)
    model.context.check()
    model.context.tensors[name].ravel()[0] = value
    path = tmp_path / "bad.safetensors"
    save_weights(model, path)
    with pytest.raises(WeightsError, match=why):
        load_weights(path)


def test_weights_without_a_tensor_are_refused(tmp_path: Path) -> None:
    model = _model(2)
    del model.context.tensors["heads.4.b.scale"]
    save_weights(model, tmp_path / "bad.safetensors")
    with pytest.raises(WeightsError, match=r"heads\.4\.b\.scale is missing"):
        load_weights(tmp_path / "bad.safetensors")


def test_pictures_round_trip_at_every_rate(tmp_path: object) -> None:
    model = _model()
    rng = np.random.default_rng(0)
    smooth = np.kron(rng.integers(0, 256, (3, 4, 3)), np.ones((16, 16, 1))).astype(np.uint8)
    noisy = np.clip(smooth + rng.normal(0, 8, smooth.shape), 0, 255).astype(np.uint8)  # no overlay
    picture = Picture(noisy[:41, :55], None, False, None, None, ())
    worse = 0.0
    for quality in (1, 50, 100):
        data = encode_picture(picture, model, model.rate_for_quality(quality))
        value = psnr(picture.rgb, decode(Source.of(data), model).picture.rgb)
        assert value > worse
        worse = value
    assert worse > 40


def test_tiles_show_no_seam() -> None:
    model = _model()
    rgb = np.random.default_rng(1).integers(100, 130, (130, 150, 3)).astype(np.uint8)
    picture = Picture(rgb, None, False, None, None, ())
    rate = model.rate_for_quality(80)
    whole = decode(Source.of(encode_picture(picture, model, rate, effort=0)), model).picture.rgb
    data = encode_picture(picture, model, rate, effort=0, tile=64)
    tiled = decode(Source.of(data), model).picture.rgb
    # a latent that lies on a threshold may round the other way
    assert np.mean(np.abs(whole.astype(int) - tiled) > 1) < 1e-3


@pytest.mark.parametrize("quality", [10, 45, 90])
def test_the_halo_is_wide_enough_for_the_shipped_weights(quality: int) -> None:
    """What is beyond it moves a latent by less than a hundredth of a step."""
    model = load_weights(WEIGHTS)
    model.transform.use_bfloat16 = False
    rgb = open_picture(str(SAMPLE)).rgb[:256, :400]
    rate = model.rate_for_quality(quality)
    whole = model.analyze(np.ascontiguousarray(rgb), rate)[:, :, :12]
    assert np.abs(whole).max() > 10
    for halo, enough in ((model.halo_in, True), (16, False)):
        part = model.analyze(np.ascontiguousarray(rgb[:, : 12 * 16 + halo]), rate)[:, :, :12]
        assert (np.abs(part - whole).max() < 0.01) == enough


def test_noise_and_flat_pictures() -> None:
    """Files are never larger than the raw pixels, however badly a picture is predicted."""
    model = _model()
    for rgb in (
        np.random.default_rng(2).integers(0, 256, (48, 48, 3)).astype(np.uint8),
        np.full((48, 48, 3), 128, np.uint8),
        np.full((1, 1, 3), 255, np.uint8),
    ):
        picture = Picture(rgb, None, False, None, None, ())
        for quality in (1, 100):
            data = encode_picture(picture, model, model.rate_for_quality(quality))
            assert decode(Source.of(data), model).picture.rgb.shape == rgb.shape
            assert len(data) <= max(rgb.size + 64 + 40, 200)


def test_damaged_payloads_are_refused() -> None:
    y = np.random.default_rng(0).standard_normal((CHANNELS, 2, 2)).astype(np.float32)
    payload = _CODER.encode(y, _CODE, 0.0)[0]
    with pytest.raises(ContainerError):
        _CODER.decode(payload[:-3], 2, 2, _CODE)
    with pytest.raises(ContainerError):
        _CODER.decode(payload + bytes(400), 2, 2, _CODE)
    with pytest.raises(ContainerError):
        _model().decode_tile(payload, (2, 2), 65000)
