"""Maps of steps: how they are coded, what they do to contexts, seams and pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import bitcodec
from bitcodec.codec.step_map import mask_offsets
from bitcodec.entropy.rangecoder import DecisionDecoder, DecisionEncoder
from bitcodec.errors import ContainerError, ImageError, OptionError
from bitcodec.format import container
from bitcodec.format.tiling import Tiling
from bitcodec.models.base import Model
from bitcodec.models.ladder.step_map import codes_of, get_map, put_map
from bitcodec.models.weights import load_weights
from bitcodec.picture.metrics import mse
from bitcodec.runtime.loaded import open_model

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "samples" / "astronaut.png"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module", params=["onnx", "torch"])
def model(request: pytest.FixtureRequest, ladder_file: Path) -> Model:
    """A tiny model in either form."""
    return open_model(ladder_file, "cpu") if request.param == "onnx" else load_weights(ladder_file)


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    with Image.open(SAMPLE) as image:
        return np.asarray(image.convert("RGB"))[:192, 100:356]


def mask(height: int, width: int) -> np.ndarray:
    """Bright on the left, dark on the right."""
    return np.tile(np.linspace(255, 0, width).astype(np.uint8), (height, 1))


def coded(blocks: np.ndarray) -> bytes:
    out = DecisionEncoder()
    put_map(out, blocks)
    return out.payload()


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 40), st.integers(0, 8))
@settings(max_examples=40, deadline=None)
def test_a_map_comes_back(seed: int, h: int, w: int, most: int) -> None:
    shape = -(-h // 4), -(-w // 4)
    blocks = np.random.default_rng(seed).integers(-most, most + 1, shape).astype(np.int16)
    source = DecisionDecoder(coded(blocks))
    offsets = get_map(source, h, w)
    source.finish()
    assert offsets.shape == (h, w)
    assert np.array_equal(offsets, blocks.repeat(4, 0).repeat(4, 1)[:h, :w])


def test_flat_maps_cost_little() -> None:
    flat = np.zeros((16, 16), int)
    assert len(coded(flat)) <= 4
    flat[:, 8:] = -8
    assert len(coded(flat)) <= 24


def test_a_step_out_of_range_is_an_error() -> None:
    for beyond in (9, -9, 17, 40):
        with pytest.raises(ContainerError, match="out of range"):
            put_map(DecisionEncoder(), np.array([[beyond]]))
    words = np.full(4, 0xFFFFFFFF, "<u4").tobytes()
    with pytest.raises(ContainerError):
        get_map(DecisionDecoder(words), 40, 40)


def test_codes_stay_legal() -> None:
    assert codes_of(1024, np.array([-8, 0, 1])).tolist() == [1024, 1024, 1152]
    assert codes_of(9216, np.array([-8, 0, 1])).tolist() == [8192, 9216, 9216]


def test_masks_become_offsets_of_whole_blocks() -> None:
    tiling = Tiling(width=200, height=70, tile=96)  # blocks of a tile: 4 and 2 latents
    grey = np.full((70, 200), 128, np.uint8)
    assert not mask_offsets(grey, tiling).any()
    grey[:, :64], grey[:, 96:160], grey[64:] = 255, 0, 128 + 16
    offsets = mask_offsets(grey, tiling)
    assert offsets.shape == (5, 13)
    assert offsets[0].tolist() == [-8] * 4 + [0] * 2 + [8] * 4 + [0] * 3
    assert offsets[4].tolist() == [-1] * 13
    small = Image.fromarray(grey).resize((20, 7))
    assert np.abs(mask_offsets(np.asarray(small), tiling) - offsets).max() <= 4


def test_files_with_maps_decode_without_seams(model: Model, photo: np.ndarray) -> None:
    """Tiles with other steps; a crop, and the other form's pixels, are those of the whole."""
    rgb = photo[:100, :150]
    data = bitcodec.encode(rgb, model=model, quality=30, tile=48, roi=mask(100, 150))
    assert bitcodec.read_info(data).step_map
    source = container.Source.of(data)
    found = set()
    for index in range(source.header.tiling.count):
        shape = source.header.tiling.latent_box(index).shape
        latents = model.decode_tile(source.tile(index), shape, source.header.rate, True)
        assert latents.shape == (769, *shape)
        found |= set(latents[768].ravel().tolist())
    assert len(found) > 3
    whole = np.asarray(bitcodec.decode(data, model=model))
    part = np.asarray(bitcodec.decode(data, model=model, crop=(40, 30, 60, 50)))
    assert np.abs(part.astype(int) - whole[30:80, 40:100]).max() <= 1
    assert np.abs(whole.astype(int) - rgb).mean() < 12
    small = np.asarray(bitcodec.decode(data, model=model, scale=1 / 8)).astype(int)
    mean = whole[:96, :144].reshape(12, 8, 18, 8, 3).mean((1, 3))
    assert np.abs(small[:12, :18] - mean).mean() < 3


def test_both_forms_give_the_same_picture(ladder_file: Path, photo: np.ndarray) -> None:
    onnx, torch = open_model(ladder_file, "cpu"), load_weights(ladder_file)
    rgb = photo[:96, :144]
    data = bitcodec.encode(rgb, model=onnx, quality=40, tile=48, roi=mask(96, 144))
    one, two = (np.asarray(bitcodec.decode(data, model=m)).astype(int) for m in (onnx, torch))
    assert np.abs(one - two).max() <= 1
    offsets = mask_offsets(mask(96, 144), Tiling(144, 96, 48))
    rate = onnx.rate_for_quality(40)
    y, z = (m.analyze(np.ascontiguousarray(rgb), rate, offsets) for m in (onnx, torch))
    assert np.abs(y - z).mean() < 0.02


def test_a_map_that_is_flat_is_as_good_as_its_step(model: Model, photo: np.ndarray) -> None:
    rgb = np.ascontiguousarray(photo[:64, :96])
    rate, offsets = model.rate_for_quality(40), np.full((4, 6), -3)
    y = model.analyze(rgb, rate, offsets)
    assert np.abs(y[:768] - model.analyze(rgb, rate - 3 * 128)).max() < 1e-3
    q = np.rint(y).astype(np.int16)
    one, two = model.synthesize_pixels(q, rate), model.synthesize_pixels(q[:768], rate - 3 * 128)
    assert np.abs(one.astype(int) - two).max() <= 1
    payload = model.encode_tile(y, rate, 0)
    assert np.array_equal(model.decode_tile(payload, (4, 6), rate, True), q)
    assert len(payload) <= len(model.encode_tile(y[:768], rate - 3 * 128, 0)) + 4


def test_bright_gets_better_and_dark_worse(photo: np.ndarray) -> None:
    plain = bitcodec.encode(photo, model="ladder", quality=30)
    focused = np.zeros((192, 256), np.uint8)
    focused[:, :128] = 255
    data = bitcodec.encode(photo, model="ladder", size=len(plain), roi=focused)
    assert 0.9 * len(plain) < len(data) <= len(plain)
    before, after = (np.asarray(bitcodec.decode(d)) for d in (plain, data))
    left, right = np.s_[:, :128], np.s_[:, 128:]
    assert mse(photo[left], after[left]) < 0.75 * mse(photo[left], before[left])
    assert mse(photo[right], after[right]) > 1.1 * mse(photo[right], before[right])


def test_a_mask_without_a_difference_changes_no_byte(model: Model, photo: np.ndarray) -> None:
    rgb = photo[:40, :50]
    plain = bitcodec.encode(rgb, model=model, quality=30)
    assert not bitcodec.read_info(plain).step_map
    grey = Image.new("L", (9, 7), 128)
    assert bitcodec.encode(rgb, model=model, quality=30, roi=grey) == plain


@pytest.mark.parametrize("form", ["png", "path", "pillow", "array", "colour"])
def test_forms_of_a_mask(form: str, ladder_file: Path, tmp_path: Path, photo: np.ndarray) -> None:
    array = mask(12, 20)
    image, path = Image.fromarray(array), tmp_path / "mask.png"
    image.save(path)
    forms = {
        "png": path.read_bytes(),
        "path": path,
        "pillow": image,
        "array": array,
        "colour": image.convert("RGB"),
    }
    codec = bitcodec.Codec(str(ladder_file), device="cpu")
    expected = codec.encode(photo[:70, :90], quality=30, roi=image)
    assert bitcodec.read_info(expected).step_map
    assert codec.encode(photo[:70, :90], quality=30, roi=forms[form]) == expected


def test_bad_masks(ladder_file: Path, tiny_weights: Path, photo: np.ndarray) -> None:
    rgb, good = photo[:32, :32], mask(8, 8)
    with pytest.raises(ImageError, match="roi: not a picture"):
        bitcodec.encode(rgb, model=str(ladder_file), roi=b"no picture")
    with pytest.raises(bitcodec.FileError, match="roi: "):
        bitcodec.encode(rgb, model=str(ladder_file), roi="no such file.png")
    with pytest.raises(OptionError, match="roi and lossless"):
        bitcodec.encode(rgb, model=str(ladder_file), roi=good, lossless=True)
    with pytest.raises(OptionError, match="takes no roi"):
        bitcodec.encode(rgb, model=str(tiny_weights), roi=good)


def test_the_option(run: Run, ladder_file: Path, tmp_path: Path, photo: np.ndarray) -> None:
    Image.fromarray(photo[:70, :90]).save(tmp_path / "in.png")
    Image.fromarray(mask(7, 9)).save(tmp_path / "mask.png")
    (tmp_path / "bad.png").write_bytes(b"no picture")
    line = ("encode", "-m", str(ladder_file), str(tmp_path / "in.png"), "-o", str(tmp_path / "out"))
    code, _, error = run(*line, "--roi", str(tmp_path / "mask.png"))
    assert (code, error.count("error")) == (0, 0)
    assert bitcodec.read_info(tmp_path / "out").step_map
    code, out, _ = run("info", str(tmp_path / "out"))
    assert (code, "step_map      yes" in out) == (0, True)
    for name, expected in (("bad.png", 3), ("none.png", 5)):
        code, _, error = run(*line, "-f", "--roi", str(tmp_path / name))
        assert (code, error.count("\n")) == (expected, 1)
        assert "roi: " in error
