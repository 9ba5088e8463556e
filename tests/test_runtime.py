"""The networks in ONNX Runtime: near to torch's, exact where they must be, and without torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import bitcodec
from bitcodec.errors import BitcodecError
from bitcodec.models.ladder.config import LadderConfig
from bitcodec.models.ladder.model import LadderModel
from bitcodec.models.ladder.shapes import transform_shapes
from bitcodec.models.ladder.transform import Transform
from bitcodec.models.layers.halo import NO_HALO, Halo
from bitcodec.models.sign.shapes import tensor_shapes
from bitcodec.models.weights import build, load_weights, save_weights
from bitcodec.picture.images import open_picture
from bitcodec.picture.metrics import psnr
from bitcodec.runtime import onnx_session
from bitcodec.runtime.loaded import open_model
from bitcodec.runtime.onnx_context import OnnxKernels
from bitcodec.runtime.onnx_file import Graph
from bitcodec.runtime.onnx_ladder import OnnxLadder
from bitcodec.runtime.onnx_sign import OnnxSign
from bitcodec.runtime.threads import threads

ROOT = Path(__file__).parents[1]
WEIGHTS, SAMPLE = ROOT / "weights" / "ladder.safetensors", ROOT / "samples" / "coffee.png"


@pytest.fixture(scope="module")
def shipped() -> OnnxLadder:
    model = open_model(WEIGHTS, "cpu")
    assert isinstance(model, OnnxLadder)
    return model


@pytest.fixture(scope="module")
def in_torch() -> LadderModel:
    model = load_weights(WEIGHTS)
    assert isinstance(model, LadderModel)
    model.transform.use_bfloat16 = False
    return model


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return np.ascontiguousarray(open_picture(str(SAMPLE)).rgb[96:288, 160:400])


@pytest.mark.parametrize("quality", [15, 50, 85])
def test_int8_costs_little(
    quality: int, shipped: OnnxLadder, in_torch: LadderModel, pixels: np.ndarray
) -> None:
    rate = shipped.rate_for_quality(quality)
    y = in_torch.analyze(pixels, rate)
    assert np.abs(shipped.analyze(pixels, rate) - y).mean() < 0.02
    q = np.round(y).astype(np.int16)
    float_, int8 = (m.synthesize_pixels(q, rate) for m in (in_torch, shipped))
    assert psnr(pixels, int8) > psnr(pixels, float_) - 0.2
    assert psnr(float_, int8) > psnr(pixels, float_) + 8


def test_the_block_transform_is_as_good_as_float32(
    shipped: OnnxLadder, in_torch: LadderModel
) -> None:
    """Of latents that are large too: what only a byte were to hold would be far off."""
    rng = np.random.default_rng(0)
    q = np.zeros((768, 3, 4), np.int16)
    q[:6] = rng.integers(-900, 901, (6, 3, 4))
    rate = shipped.rates()[-1]
    one, two = (m.synthesize_pixels(q, rate).astype(int) for m in (shipped, in_torch))
    assert np.ptp(two) > 100
    assert np.abs(one - two).mean() < 2


def test_a_halo_changes_nothing(shipped: OnnxLadder, pixels: np.ndarray) -> None:
    rate = shipped.rate_for_quality(50)
    q = np.round(shipped.analyze(pixels, rate)).astype(np.int16)
    whole = shipped.synthesize_pixels(q, rate)
    for halo in (Halo(12, 0, 2, 0), Halo(1, 3, 0, 9), Halo(0, 0, 14, 11)):
        left, top, right, bottom = (16 * edge for edge in halo)
        inner = whole[top : len(whole) - bottom, left : whole.shape[1] - right]
        assert np.array_equal(shipped.synthesize_pixels(q, rate, halo), inner)


def test_weights_without_ranges_run_in_torch(tmp_path: Path, ladder_file: Path) -> None:
    model = load_weights(ladder_file)
    assert isinstance(model, LadderModel)
    assert isinstance(open_model(ladder_file, "cpu"), OnnxLadder)
    model.ranges = {}
    save_weights(model, tmp_path / "plain.safetensors")
    plain = open_model(tmp_path / "plain.safetensors", "cpu")
    assert isinstance(plain, LadderModel)
    assert isinstance(plain.latent_coder().kernels, OnnxKernels)


@pytest.mark.parametrize(
    "config",
    [LadderConfig(), LadderConfig(4, 4, 8, 8, (4, 8), 2, (3, 1)), LadderConfig(blocks=0)],
)
def test_shapes_are_those_of_the_network(config: LadderConfig) -> None:
    with torch.device("meta"):
        network = Transform(config)
    found = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    assert transform_shapes(config) == found


def test_the_same_pixels_where_products_are_added_in_16_bits(
    monkeypatch: pytest.MonkeyPatch, pixels: np.ndarray, shipped: OnnxLadder
) -> None:
    """There weights are unsigned, which is the same network."""
    rate = shipped.rate_for_quality(50)
    y = shipped.analyze(pixels, rate)
    expected = shipped.synthesize_pixels(np.round(y).astype(np.int16), rate)
    other_way = not onnx_session.adds_in_16_bits()
    monkeypatch.setattr("bitcodec.runtime.onnx_layers.adds_in_16_bits", lambda: other_way)
    other = open_model(WEIGHTS, "cpu")
    assert np.abs(other.analyze(pixels, rate) - y).max() < 1e-3
    found = other.synthesize_pixels(np.round(y).astype(np.int16), rate)
    assert np.abs(found.astype(int) - expected).max() <= 1


def test_a_library_that_computes_otherwise_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    real = onnx_session._open

    class Wrong:
        def __init__(self, session: object) -> None:
            self.session = session

        def run(self, *args: object) -> list[np.ndarray]:
            out = self.session.run(*args)  # type: ignore[attr-defined]
            out[0][0, 0, 0, 0] ^= 1
            return list(out)

    monkeypatch.setattr(onnx_session, "_open", lambda *args: Wrong(real(*args)))
    with pytest.raises(BitcodecError, match="other integers"):
        onnx_session._self_test.__wrapped__()


def test_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BITCODEC_THREADS", "3")
    assert threads() == 3
    for wrong in ("", "0", "many"):
        monkeypatch.setenv("BITCODEC_THREADS", wrong)
        assert threads() >= 1


def test_graphs_are_onnx() -> None:
    """A graph of our own writing does what it says."""
    graph = Graph()
    x = graph.input("x", "float32", ["n", 3])
    doubled = graph.node("Mul", x, graph.constant(2.0))
    rows = graph.constant(np.array([2, 0], np.int64))
    graph.output(graph.node("Gather", doubled, rows, axis=1), "y", "float32", ["n", 2])
    session = onnx_session.LazySession(graph.serialize)
    x_in = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert np.array_equal(session.run({"x": x_in})[0], 2 * x_in[:, [2, 0]])


_WITHOUT_TORCH = """
import sys

class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")

sys.meta_path.insert(0, NoTorch())
import numpy as np
import bitcodec
picture = np.random.default_rng(0).integers(0, 256, (40, 50, 3)).astype(np.uint8)
for weights in sys.argv[1:3]:
    codec = bitcodec.Codec(bitcodec.load_model(weights), effort=5)
    data = codec.encode(picture, quality=30)
    assert codec.decode_array(data).shape == picture.shape
    assert bitcodec.read_info(data).width == 50
    print(len(data))
for attempt, word in (
    (lambda: bitcodec.encode(picture, model=sys.argv[1], effort=8), "torch"),
    (lambda: bitcodec.load_model(sys.argv[3]), "export"),
    (lambda: bitcodec.load_model(sys.argv[4]), "torch"),
):
    try:
        attempt()
    except bitcodec.BitcodecError as error:
        assert word in str(error), error
    else:
        raise AssertionError
from bitcodec.cli.main import main
assert main(["export", sys.argv[1], "out", "--data", sys.argv[5]]) == 1
"""


def test_no_torch_is_needed(ladder_file: Path, tiny_weights: Path, tmp_path: Path) -> None:
    float_ = tmp_path / "float.safetensors"  # as training leaves them: not to encode with
    save_weights(build("ladder-float", {"width": 8, "hidden": 8, "state": 8}), float_)
    plain = tmp_path / "plain.safetensors"  # without ranges there is no int8 form
    model = load_weights(ladder_file)
    model.ranges = {}
    save_weights(model, plain)
    files = [str(path) for path in (ladder_file, tiny_weights, float_, plain)]
    command = [sys.executable, "-c", _WITHOUT_TORCH, *files, str(SAMPLE)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "bitcodec: error: this needs torch, which is not installed\n"
    picture = np.random.default_rng(0).integers(0, 256, (40, 50, 3)).astype(np.uint8)
    for path, size in zip(files, done.stdout.split(), strict=False):
        data = bitcodec.encode(picture, model=path, quality=30, device="cpu")
        assert len(data) == int(size)


SIGN = [
    {"activation": "none"},
    {"activation": "relu", "blocks": 1, "preview": True},
    {"activation": "leaky-relu", "levels": "zero-one", "parents": [-1, 0, 1, -1, 2, -1]},
    {"activation": "gdn", "blocks": 3, "parents": [-1, 0, 0, 0, 1, 1], "preview": True},
]


@pytest.mark.parametrize("config", SIGN)
def test_sign_is_the_same_network(
    config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bitcodec.runtime.onnx_sign._BLOCK", 64)
    torch.manual_seed(0)
    one = build("sign", {"n": 5, "m": 6, **config}).eval()
    assert tensor_shapes(one.config) == {k: tuple(v.shape) for k, v in one.stored().items()}
    for parameter in one.parameters():
        parameter.data.mul_(2.0)  # so that pixels differ
    save_weights(one, tmp_path / "sign.safetensors")
    two = open_model(tmp_path / "sign.safetensors", "cpu")
    assert isinstance(two, OnnxSign)
    rgb = np.random.default_rng(0).integers(0, 256, (112, 144, 3)).astype(np.uint8)
    y = one.analyze(rgb, 5)
    assert y.std() > 0.01
    np.testing.assert_allclose(two.analyze(rgb, 5), y, atol=1e-4)
    q = np.where(y >= 0, 1, -1).astype(np.int8)
    for halo in (NO_HALO, Halo(1, 0, 2, 3)):
        pixels, others = (m.synthesize_pixels(q, 5, halo).astype(int) for m in (one, two))
        assert pixels.std() > 3
        assert np.abs(pixels - others).max() <= 1
    for reduce in one.reductions:
        pixels, others = (m.synthesize_small(q, 5, reduce).astype(int) for m in (one, two))
        assert np.abs(pixels - others).max() <= 1
