"""The Python functions: what they take, give and refuse."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import bitcodec
from bitcodec import info
from bitcodec.format import container
from bitcodec.format.container import Coder, Container, Header

Draw = Callable[..., Image.Image]
pytestmark = pytest.mark.usefixtures("tiny_weights")


def test_images_and_arrays_give_the_same_bytes(draw: Draw) -> None:
    image = draw()
    data = bitcodec.encode(image)
    assert data == bitcodec.encode(np.asarray(image))
    assert data == bitcodec.encode(np.asarray(image)[:, ::-1][:, ::-1])  # not contiguous
    assert bitcodec.decode(data).size == image.size


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA"])
def test_modes_come_back(draw: Draw, mode: str) -> None:
    image = draw(mode=mode.rstrip("A"))
    if mode.endswith("A"):
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    back = bitcodec.decode(bitcodec.encode(image))
    assert (back.mode, back.size) == (mode, image.size)
    if mode.endswith("A"):
        assert back.getchannel("A").tobytes() == image.getchannel("A").tobytes()


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4, 5), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((2, 4, 4, 3), np.uint8),
        np.zeros(4, np.uint8),
    ],
)
def test_other_arrays_are_refused(array: np.ndarray) -> None:
    with pytest.raises(bitcodec.ImageError):
        bitcodec.encode(array)


def test_a_loaded_model_gives_the_same_bytes(draw: Draw, tiny_weights: Path) -> None:
    for name in ("sign", str(tiny_weights)):
        model = bitcodec.load_model(name, device="cpu")
        assert bitcodec.encode(draw(), model=model) == bitcodec.encode(draw(), model="sign")


def test_a_model_stays_loaded() -> None:
    from bitcodec.runtime.loaded import cached_model

    model = cached_model("sign")
    assert cached_model("sign") is model
    assert cached_model(None) is model
    assert cached_model(model.model_id) is model


def test_unknown_names_and_devices(draw: Draw) -> None:
    with pytest.raises(bitcodec.UnknownModelError):
        bitcodec.encode(draw(), model="nope")
    with pytest.raises(bitcodec.BitcodecError, match="unknown device 'tpu'"):
        bitcodec.load_model("sign", device="tpu")


def test_decode_refuses_too_many_pixels(draw: Draw) -> None:
    data = bitcodec.encode(draw())
    with pytest.raises(bitcodec.LimitError):
        bitcodec.decode(data, max_pixels=48 * 32 - 1)
    assert bitcodec.decode(data, max_pixels=48 * 32).size == (48, 32)


@pytest.mark.parametrize(
    "targets", [{"quality": 50, "size": 100}, {"bpp": 1.0, "psnr": 30.0}, {"quality": 0}]
)
def test_impossible_targets_are_refused(draw: Draw, targets: dict[str, Any]) -> None:
    with pytest.raises(bitcodec.TargetError):
        bitcodec.encode(draw(), **targets)


@pytest.mark.parametrize("target", ["size", "bpp"])
def test_a_target_that_a_quality_hits(draw: Draw, target: str) -> None:
    data = bitcodec.encode(draw(), quality=50)
    value = len(data) if target == "size" else 8 * len(data) / (48 * 32)
    assert bitcodec.encode(draw(), **{target: value}) == data


def test_read_info_needs_only_the_front(draw: Draw) -> None:
    data = bitcodec.encode(draw(), quality=50)
    whole = bitcodec.read_info(data)
    assert whole == bitcodec.read_info(data[: whole.header_size])
    assert (whole.width, whole.height, whole.rate) == (48, 32, 8)
    assert (whole.model, whole.family, whole.coder) == ("sign", "sign", "packed")
    assert whole.file_size == len(data)
    assert whole.bpp == 8 * len(data) / (48 * 32)
    with pytest.raises(bitcodec.TruncatedError):
        bitcodec.read_info(data[: whole.header_size - 1])
    with pytest.raises(bitcodec.NotBitcodecError):
        bitcodec.read_info(b"GIF89a" + data)


@pytest.mark.parametrize("height", [16, 400, 608])
def test_the_reports_figure(tiny_weights: Path, height: int) -> None:
    """numel(bits) / numel(image) of the report: M = 192, 604 pixels wide (604 -> 38)."""
    from bitcodec.models import registry

    model_id = registry.read_entry(tiny_weights).model_id
    header = Header(model_id, 604, height, 192, Coder.PACKED, 1024)
    data = container.write(Container(header, (b"",)))
    assert info.read_info(data).numel_ratio == 0.25165562913907286
