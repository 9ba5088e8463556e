"""Drawn parts of pictures are kept exactly, in files that get smaller by it."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

import bitcodec
from bitcodec.codec.encode import Encoder
from bitcodec.codec.layers import lossless, split
from bitcodec.codec.preview import average
from bitcodec.format import container
from bitcodec.format.tiling import Tiling
from bitcodec.models.base import Model
from bitcodec.picture.images import Picture
from bitcodec.picture.metrics import mse

Draw = Callable[..., Image.Image]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module", params=["sign", "ladder"])
def model(request: pytest.FixtureRequest, tiny_folder: Path, ladder_file: Path) -> Model:
    path = tiny_folder / "sign.safetensors" if request.param == "sign" else ladder_file
    return bitcodec.load_model(str(path), device="cpu")


def noise(width: int, height: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.normal(128, 20, (height, width, 3)).clip(0, 255).astype(np.uint8)


def letters(width: int, height: int) -> np.ndarray:
    image = Image.new("RGB", (width, height), (250, 250, 240))
    draw = ImageDraw.Draw(image)
    for y in range(2, height, 16):
        draw.text((2, y), "latents decisions words bytes" * 9, fill=(20, 30, 90))
    return np.asarray(image)


def mixed(width: int = 160, height: int = 64) -> np.ndarray:
    """Letters, and noise on the right."""
    rgb = letters(width, height).copy()
    rgb[:, width // 32 * 16 :] = noise(width, height)[:, width // 32 * 16 :]
    return rgb


def picture_of(rgb: np.ndarray) -> Picture:
    return Picture(rgb, None, False, None, None, ())


def test_a_photograph_has_no_layers(draw: Draw) -> None:
    assert split(picture_of(noise(100, 80)), Tiling(100, 80, 1024), 5) == ()


def test_few_colours_are_tried_as_they_are() -> None:
    rgb = np.where(noise(100, 80)[..., :1] > 128, np.uint8(255), np.uint8(0)).repeat(3, 2)
    assert split(picture_of(rgb), Tiling(100, 80, 1024), 5)[0].bare == {0}


def test_noise_stays_below() -> None:
    rgb = mixed()
    whole, layers = split(picture_of(rgb), Tiling(160, 64, 32), 5)
    assert whole.bare == set(range(10))
    assert layers.bare == {0, 5}  # those beside them touch what has noise
    assert [bool(overlay) for overlay in layers.overlays] == [True, True, True, False, False] * 2
    np.testing.assert_array_equal(layers.below[:, 80:], rgb[:, 80:])
    assert not (layers.below[:, :80] == rgb[:, :80]).all(2).all()


@pytest.mark.parametrize("tile", [32, 1024])
def test_mixed_files(model: Model, tile: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rgb = mixed()
    monkeypatch.setattr("bitcodec.codec.encode.split", lambda *a: split(*a)[1:])
    monkeypatch.setattr(Encoder, "_cheapest", lambda self, files, lam: files[1])
    data = bitcodec.encode(rgb, model=model, tile=tile)
    full = np.asarray(bitcodec.decode(data, model=model))
    np.testing.assert_array_equal(full[:, :80], rgb[:, :80])
    assert not (full[:, 80:] == rgb[:, 80:]).all()
    info = bitcodec.read_info(data)
    assert (info.lossless_tiles, info.mixed_tiles) == ((2, 4) if tile == 32 else (0, 1))

    crop = np.asarray(bitcodec.decode(data, model=model, crop=(37, 20, 90, 30)))
    assert np.abs(crop.astype(int) - full[20:50, 37:127]).max() <= 1
    np.testing.assert_array_equal(crop[:, :43], rgb[20:50, 37:80])
    for reduce in (2, 16):
        small = np.asarray(bitcodec.decode(data, model=model, scale=1 / reduce)).astype(int)
        wanted = average(rgb[:, :80], reduce)
        assert np.abs(small[:, : 80 // reduce] - wanted).max() <= 1

    layout = container.read_header(data)
    broken = bytearray(data)
    broken[layout.overlays[0].offset + 9] ^= 1
    image, lost = bitcodec.decode_partial(bytes(broken), model=model)
    assert lost == ["overlay 0"]
    partial = np.asarray(image)
    if tile == 32:
        assert (partial[:32, :32] == 128).all()
        np.testing.assert_array_equal(partial[32:], full[32:])
    with pytest.raises(bitcodec.ContainerError):
        bitcodec.decode(bytes(broken), model=model)


def test_a_lost_tile_below_an_overlay(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    rgb = mixed()
    monkeypatch.setattr("bitcodec.codec.encode.split", lambda *a: split(*a)[1:])
    monkeypatch.setattr(Encoder, "_cheapest", lambda self, files, lam: files[1])
    data = bytearray(bitcodec.encode(rgb, model=model, tile=1024))
    data[container.read_header(bytes(data)).tiles[0].offset] ^= 1
    image, lost = bitcodec.decode_partial(bytes(data), model=model)
    assert lost == ["tile 0"]
    np.testing.assert_array_equal(np.asarray(image)[:, :80], rgb[:, :80])
    assert (np.asarray(image)[:, 80:] == 128).all()


def test_the_smallest_file_is_taken(ladder_file: Path) -> None:
    model = bitcodec.load_model(str(ladder_file), device="cpu")
    rgb = letters(96, 40) // 128 * np.uint8(255)
    exact = bitcodec.encode(rgb, model=model, lossless=True)
    for target in ({"quality": 60}, {"size": 2 * len(exact)}):
        data = bitcodec.encode(rgb, model=model, **target)  # type: ignore[arg-type]
        assert len(data) <= len(exact) + 1
        np.testing.assert_array_equal(np.asarray(bitcodec.decode(data, model=model)), rgb)


@pytest.mark.parametrize("quality", [20, 80])
def test_bits_and_error_are_weighed(
    model: Model, quality: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is made has the least cost of all that is tried, and is no larger than exact."""
    drawing = Image.new("RGB", (640, 320), "white")
    for x in range(0, 600, 64):
        ImageDraw.Draw(drawing).ellipse((x, 30, x + 90, 280), outline=(20, 40, x // 4), width=9)
    rgb = np.array(drawing.resize((160, 80), Image.Resampling.BOX))
    rgb[:, 112:] = noise(48, 80)
    rate = model.rate_for_quality(quality)

    def cost(data: bytes) -> float:
        error = mse(np.asarray(bitcodec.decode(data, model=model)), rgb)
        exact = 8 * 48 if error else 0
        return 8 * len(data) + model.rd_lambda(rate) * rgb.size / 3 * error + exact

    tried: list[bytes] = []
    cheapest = Encoder._cheapest

    def spy(self: Encoder, files: list[bytes], lam: float) -> bytes:
        tried.extend(files)
        return cheapest(self, files, lam)

    monkeypatch.setattr(Encoder, "_cheapest", spy)
    data = bitcodec.encode(rgb, model=model, quality=quality)
    assert len(tried) >= 3
    assert cost(data) == min(map(cost, tried))
    assert len(data) <= len(bitcodec.encode(rgb, model=model, lossless=True))


@pytest.mark.parametrize("quality", [1, 5, 20])
def test_flat_borders_are_exact(ladder_file: Path, quality: int) -> None:
    model = bitcodec.load_model(str(ladder_file), device="cpu")
    rgb = np.full((128, 160, 3), 255, np.uint8)
    rgb[32:96, 48:112] = noise(64, 64)
    data = bitcodec.encode(rgb, model=model, quality=quality)
    out = np.asarray(bitcodec.decode(data, model=model))
    white = np.ones((128, 160), bool)
    white[32:96, 48:112] = False
    assert (out[white] == 255).all()


@pytest.mark.parametrize("size", [(3, 5), (16, 16), (64, 64), (90, 40)])
@pytest.mark.parametrize("colour", [(255, 255, 255), (0, 255, 0), (115, 0, 230)])
def test_flat_pictures_are_exact(
    model: Model, size: tuple[int, int], colour: tuple[int, int, int]
) -> None:
    rgb = np.full((*size, 3), colour, np.uint8)
    for quality in (1, 20, 100):
        out = bitcodec.decode(bitcodec.encode(rgb, model=model, quality=quality), model=model)
        assert set(out.convert("RGB").get_flattened_data()) == {colour}


@pytest.mark.parametrize("tile", [48, 1024])
@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P", "1"])
def test_lossless(model: Model, draw: Draw, mode: str, tile: int) -> None:
    image = Image.fromarray(noise(70, 50)).convert(mode.removesuffix("A"))
    if mode.endswith("A"):
        image.putalpha(draw(70, 50, "L").point(lambda v: v if v > 99 else 0))
    data = bitcodec.encode(image, model=model, lossless=True, tile=tile)
    again = bitcodec.decode(data, model=model)
    assert again.mode == {"P": "RGB", "1": "L"}.get(mode, mode)
    assert again.tobytes() == image.convert(again.mode).tobytes()
    info = bitcodec.read_info(data)
    assert (info.payload_size, info.lossless_tiles) == (0, info.tiles)


def test_lossless_is_honest(model: Model) -> None:
    deep = Image.fromarray(np.arange(4000, dtype=np.uint16).reshape(50, 80))
    for image in (deep, Image.new("CMYK", (20, 20))):
        with pytest.raises(bitcodec.ImageError, match="not without loss"):
            bitcodec.encode(image, model=model, lossless=True)
    with pytest.raises(bitcodec.TargetError, match="quality and lossless"):
        bitcodec.encode(noise(9, 9), model=model, lossless=True, quality=100)


@pytest.mark.usefixtures("tiny_weights", "plugin")
def test_lossless_everywhere(run: Run, picture: Path) -> None:
    image = Image.open(picture)
    data = bitcodec.encode(image, lossless=True)
    assert bitcodec.Codec().encode(image, lossless=True) == data
    out = io.BytesIO()
    image.save(out, "BITCODEC", lossless=True)
    assert out.getvalue() == data
    assert run("encode", "--lossless", picture, "x.bin")[0] == 0
    assert Path("x.bin").read_bytes() == data
    assert "lossless_tiles 1\n" in run("info", "x.bin")[1]
    assert run("encode", "--lossless", "-q", "50", picture, "y.bin")[0] == 2


def test_lossless_files_need_no_weights(ladder_file: Path, run: Run) -> None:
    model = bitcodec.load_model(str(ladder_file), device="cpu")  # not among those that are there
    image = Image.fromarray(noise(40, 30))
    data = bytearray(bitcodec.encode(image, model=model, lossless=True, tile=16))
    assert bitcodec.decode(bytes(data)).tobytes() == image.tobytes()
    assert bitcodec.Codec().decode(bytes(data)).tobytes() == image.tobytes()
    small = np.asarray(bitcodec.decode(bytes(data), scale=1 / 4))
    assert np.abs(small.astype(int) - average(noise(40, 30), 4)).max() <= 1
    Path("x.bin").write_bytes(data)
    assert run("decode", "x.bin")[0] == 0
    data[container.read_header(bytes(data)).overlays[1].offset] ^= 1
    partial, lost = bitcodec.decode_partial(bytes(data))
    assert lost == ["overlay 1"]
    assert (np.asarray(partial)[:16, 16:32] == 128).all()
    with pytest.raises(bitcodec.UnknownModelError):
        bitcodec.decode(bitcodec.encode(image, model=model))


def test_a_hole_over_nothing(model: Model) -> None:
    rgb = mixed()
    layers = split(picture_of(rgb), Tiling(160, 64, 1024), 5)[1]
    whole = container.read(bitcodec.encode(rgb, model=model, lossless=True))
    data = container.write(container.Container(whole.header, (b"",), overlays=layers.overlays))
    with pytest.raises(bitcodec.ContainerError, match="holes"):
        bitcodec.decode(data, model=model)
    again = lossless(picture_of(rgb), Tiling(160, 64, 1024), 5)
    assert container.write(whole) == container.write(
        container.Container(whole.header, (b"",), overlays=again.overlays)
    )
