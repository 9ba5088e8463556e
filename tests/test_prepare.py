"""Grey pictures stored as colour, and colours that nobody sees."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageCms

import bitcodec
import bitcodec.pillow
from bitcodec.picture.images import from_pil
from bitcodec.picture.prepare import is_grey, prepare

Draw = Callable[..., Image.Image]
Run = Callable[..., tuple[int, str, str]]


def hidden() -> np.ndarray:
    """Noise of which a grey square can be seen, RGBA."""
    rgba = np.random.default_rng(0).integers(0, 256, (40, 60, 4), dtype=np.uint8)
    rgba[..., 3] = 0
    rgba[8:30, 10:40] = (90, 90, 90, 255)
    return rgba


def test_grey_in_the_last_row_too() -> None:
    rgb = np.repeat(np.arange(200, dtype=np.uint8)[:, None, None], 3, 2)
    assert is_grey(rgb)
    rgb[-1, 0, 2] ^= 1
    assert not is_grey(rgb)


@pytest.mark.parametrize("mode", ["L", "RGB", "P", "CMYK"])
@pytest.mark.usefixtures("tiny_weights")
def test_grey_comes_back_grey(draw: Draw, mode: str) -> None:
    image = draw(mode="L").convert(mode)
    assert bitcodec.decode(bitcodec.encode(image)).mode == "L"


@pytest.mark.usefixtures("tiny_weights")
def test_near_grey_is_left_alone(draw: Draw) -> None:
    image = draw(mode="L").convert("RGB")
    image.putpixel((5, 5), (100, 100, 101))
    assert bitcodec.decode(bitcodec.encode(image)).mode == "RGB"


@pytest.mark.parametrize("target", [{"quality": 30}, {"size": 400}, {"psnr": 5.0}])
@pytest.mark.usefixtures("tiny_weights", "plugin")
def test_a_profile_for_rgb_is_kept_without_colour(draw: Draw, target: dict[str, float]) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = draw(mode="L").convert("RGB")
    image.info["icc_profile"] = profile
    data = bitcodec.encode(image, **target)  # type: ignore[arg-type]
    assert bitcodec.read_info(data).grey
    for decoded in (bitcodec.decode(data), Image.open(io.BytesIO(data))):
        assert (decoded.mode, decoded.info["icc_profile"]) == ("RGB", profile)
        assert is_grey(np.asarray(decoded))


def test_invisible_noise_goes_and_leaves_grey() -> None:
    picture = from_pil(Image.fromarray(hidden()))
    assert prepare(picture).grey
    assert (prepare(picture).rgb == 90).all()
    kept = prepare(picture, exact=True)
    assert not kept.grey
    np.testing.assert_array_equal(kept.rgb, hidden()[..., :3])


@pytest.mark.usefixtures("tiny_weights", "plugin")
def test_exact_everywhere(run: Run) -> None:
    image = Image.fromarray(hidden())
    kept, filled = (bitcodec.encode(image, exact=exact) for exact in (True, False))
    assert bitcodec.decode(kept).mode == "RGBA"
    assert bitcodec.decode(filled).mode == "LA"
    assert bitcodec.Codec().encode(image, exact=True) == kept
    out = io.BytesIO()
    image.save(out, bitcodec.pillow.FORMAT, exact=True)
    assert out.getvalue() == kept
    image.save("x.png")
    assert run("encode", "--exact", "x.png")[0] == 0
    with open("x.bin", "rb") as file:
        assert file.read() == kept
