"""Previews: their size, that they look like the picture, and what they leave undone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import bitcodec
from bitcodec.codec import preview, region
from bitcodec.errors import BitcodecError, ContainerError
from bitcodec.format.tiling import Box
from bitcodec.models.base import Model
from bitcodec.models.sign.model import SignModel
from bitcodec.models.weights import build, load_weights, save_weights

Draw = Callable[..., Image.Image]
SCALES = [1 / 2, 1 / 4, 1 / 8, 1 / 16]


@pytest.fixture(scope="module", params=["sign", "ladder"])
def model(request: pytest.FixtureRequest, tiny_folder: Path, ladder_file: Path) -> Model:
    path = tiny_folder / "sign.safetensors" if request.param == "sign" else ladder_file
    return bitcodec.load_model(str(path), device="cpu")


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("size", [(150, 100), (1, 1), (33, 64), (17, 130)])
def test_a_preview_is_the_reduced_picture(
    model: Model, draw: Draw, scale: float, size: tuple[int, int]
) -> None:
    data = bitcodec.encode(draw(*size), model=model, tile=64, quality=90)
    full = np.asarray(bitcodec.decode(data, model=model))
    reduce = round(1 / scale)
    small = np.asarray(bitcodec.decode(data, model=model, scale=scale)).astype(int)
    wanted = preview.average(full, reduce).astype(int)
    assert small.shape == wanted.shape == (-(-size[1] // reduce), -(-size[0] // reduce), 3)
    inner = slice(0, max(1, size[1] // reduce)), slice(0, max(1, size[0] // reduce))
    difference = np.abs(small - wanted)[inner]
    # The ladder's high bands are left out, so edges differ a little.
    assert difference.mean() < (1 if model.family == "sign" else 6)


@pytest.mark.parametrize("scale", SCALES)
def test_a_crop_of_a_preview(model: Model, draw: Draw, scale: float) -> None:
    data = bitcodec.encode(draw(150, 100), model=model, tile=48)
    whole = np.asarray(bitcodec.decode(data, model=model, scale=scale)).astype(int)
    part = bitcodec.decode(data, model=model, crop=(37, 20, 70, 75), scale=scale)
    x0, y0, x1, y1 = Box(37, 20, 107, 95).reduced(round(1 / scale))
    assert part.size == (x1 - x0, y1 - y0)
    assert np.abs(np.asarray(part) - whole[y0:y1, x0:x1]).max() <= 1


def test_alpha_and_grey(model: Model, draw: Draw) -> None:
    image = draw(50, 40, "L")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    small = bitcodec.decode(bitcodec.encode(image, model=model), model=model, scale=1 / 8)
    assert (small.mode, small.size) == ("LA", (7, 5))
    alpha = preview.average(np.asarray(image.getchannel("A")), 8)
    assert np.array_equal(np.asarray(small.getchannel("A")), alpha)


def test_the_high_bands_are_not_decoded(
    ladder_file: Path, draw: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bitcodec.models.ladder.channels import GROUPS, low_groups
    from bitcodec.runtime.onnx_context import OnnxKernels
    from bitcodec.runtime.onnx_ladder import OnnxLadder

    model = bitcodec.load_model(str(ladder_file), device="cpu")
    data = bitcodec.encode(draw(100, 80), model=model)
    seen: list[int] = []
    head = OnnxKernels.head

    def spy(self: OnnxKernels, group: int, *rest: object) -> object:
        seen.append(GROUPS[group].size)
        return head(self, group, *rest)

    monkeypatch.setattr(OnnxKernels, "head", spy)
    monkeypatch.setattr(OnnxLadder, "synthesize_pixels", lambda *a: pytest.fail("network"))
    for scale in SCALES:
        seen.clear()
        bitcodec.decode(data, model=model, scale=scale)
        groups = GROUPS[: low_groups(round(1 / scale))]
        assert seen == [group.size for group in groups for _ in range(group.passes)]


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> SignModel:
    """`sign` weights with the convolution that previews are read from."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        model = build("sign", {"n": 4, "m": 16, "activation": "relu", "blocks": 1, "preview": True})
    path = tmp_path_factory.mktemp("quick") / "quick.safetensors"
    save_weights(model, path)
    loaded = load_weights(path)
    assert isinstance(loaded, SignModel)
    return loaded


@pytest.mark.parametrize("reduce", [8, 16])
def test_sign_reads_small_previews_early(
    quick: SignModel, draw: Draw, monkeypatch: pytest.MonkeyPatch, reduce: int
) -> None:
    """Tiles and blocks leave no trace, a crop is a part of the whole, the rest is not run."""
    image = draw(300, 170)
    tiled, whole = (bitcodec.encode(image, model=quick, tile=n) for n in (64, 512))
    monkeypatch.setattr(quick, "decompress", lambda *a: pytest.fail("the whole network"))
    monkeypatch.setattr(region, "BLOCK", 128)
    small = np.asarray(bitcodec.decode(tiled, model=quick, scale=1 / reduce)).astype(int)
    assert small.shape == (-(-170 // reduce), -(-300 // reduce), 3)
    again = np.asarray(bitcodec.decode(whole, model=quick, scale=1 / reduce))
    assert np.abs(small - again).max() <= 1
    part = bitcodec.decode(tiled, model=quick, scale=1 / reduce, crop=(100, 40, 150, 110))
    x0, y0, x1, y1 = Box(100, 40, 250, 150).reduced(reduce)
    assert np.abs(np.asarray(part) - small[y0:y1, x0:x1]).max() <= 1
    x = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)[None].float() / 255
    assert quick.preview_head is not None
    with torch.inference_mode():
        direct = quick.preview_head(quick.stride8_features(quick.quantize(x)))[0] + 0.5
    eighth = (direct.clamp(0, 1) * 255).round().permute(1, 2, 0).numpy().astype(np.uint8)
    expected = preview.average(eighth[:22, :38], reduce // 8)
    assert np.abs(small - expected).max() <= 1


def test_larger_previews_of_sign_run_all_of_it(quick: SignModel, draw: Draw) -> None:
    data = bitcodec.encode(draw(60, 50), model=quick)
    full = np.asarray(bitcodec.decode(data, model=quick))
    half = np.asarray(bitcodec.decode(data, model=quick, scale=1 / 2))
    assert np.array_equal(half, preview.average(full, 2))


def test_models_without_early_previews_say_so(model: Model) -> None:
    with pytest.raises(NotImplementedError):
        model.synthesize_small(np.zeros((1, 1, 1), np.int8), 1, 8)


def test_low_groups() -> None:
    from bitcodec.models.ladder.channels import GROUPS, frequency_of_channels, low_groups

    assert [low_groups(k) for k in (16, 8, 4, 2)] == [2, 5, 11, 15]
    for reduce in (16, 8, 4, 2):
        stop = GROUPS[low_groups(reduce) - 1].stop
        low = {tuple(f) for f in frequency_of_channels()[:stop].tolist()}
        edge = 16 // reduce
        assert {(i, j) for i in range(edge) for j in range(edge)} <= low


def test_damage_is_found_in_a_preview(model: Model, draw: Draw) -> None:
    data = bytearray(bitcodec.encode(draw(64, 64), model=model))
    data[-5] ^= 1
    with pytest.raises(ContainerError):
        bitcodec.decode(bytes(data), model=model, scale=1 / 8)


@pytest.mark.parametrize("scale", [0, 2, 1 / 3, 1 / 32, -1, 0.12])
def test_other_scales_are_refused(model: Model, draw: Draw, scale: float) -> None:
    data = bitcodec.encode(draw(16, 16), model=model)
    with pytest.raises(BitcodecError, match="is not one of 1, 1/2"):
        bitcodec.decode(data, model=model, scale=scale)


def test_average_by_hand() -> None:
    samples = np.array([[0, 2, 9], [4, 7, 9]], np.uint8)
    assert preview.average(samples, 2).tolist() == [[3, 9]]  # 13 / 4 rounds to 3
    assert preview.average(samples, 1) is samples
    assert preview.average(np.full((5, 5, 3), 255, np.uint8), 4).min() == 255
