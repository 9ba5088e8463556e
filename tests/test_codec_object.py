"""The Codec object: what it takes, and that threads may share it."""

from __future__ import annotations

import io
import lzma
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import bitcodec

Draw = Callable[..., Image.Image]
pytestmark = pytest.mark.usefixtures("tiny_weights")


def png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_it_takes_what_people_have(draw: Draw, mode: str) -> None:
    codec = bitcodec.Codec("sign")
    image = draw(mode=mode)
    data = codec.encode(image)
    assert data == bitcodec.encode(image)
    assert data == codec.encode(np.asarray(image))
    assert data == codec.encode(png(image))
    assert data == bitcodec.encode(png(image))


def test_settings_are_those_of_encode(draw: Draw, tiny_weights: Path) -> None:
    codec = bitcodec.Codec(tiny_weights, device="cpu", effort=0, tile=16)
    expected = bitcodec.encode(draw(), quality=30, effort=0, tile=16)
    assert codec.encode(draw(), quality=30) == expected
    assert len(codec.encode(draw(), size=len(expected))) <= len(expected)
    with pytest.raises(bitcodec.TargetError):
        codec.encode(draw(), quality=30, bpp=1.0)


def test_decoding(draw: Draw) -> None:
    codec = bitcodec.Codec()
    for mode in ("L", "LA", "RGB", "RGBA"):
        data = codec.encode(draw(mode=mode))
        image = codec.decode(data)
        assert image.tobytes() == bitcodec.decode(data).tobytes()
        array = codec.decode_array(data)
        assert array.tobytes() == image.tobytes()
        assert codec.encode(array) == codec.encode(image)
        array[0] = 0  # its own, writable


def test_limits(draw: Draw) -> None:
    codec = bitcodec.Codec(max_pixels=48 * 32 - 1)
    with pytest.raises(bitcodec.ImageError, match="pixels"):
        codec.encode(png(draw()))
    with pytest.raises(bitcodec.LimitError):
        codec.decode(bitcodec.encode(draw()))


def test_a_picture_file_that_is_none() -> None:
    with pytest.raises(bitcodec.ImageError):
        bitcodec.Codec().encode(b"not a picture")


def test_unknown_model() -> None:
    with pytest.raises(bitcodec.UnknownModelError):
        bitcodec.Codec("nope")


def test_files_of_other_models(draw: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from bitcodec.models.weights import build, save_weights

    data = bitcodec.Codec("sign").encode(draw())
    with torch.random.fork_rng(devices=[]):
        save_weights(build("sign", {"n": 4, "m": 8}), tmp_path / "other.safetensors")
    other = bitcodec.Codec(tmp_path / "other.safetensors")
    assert other.decode(data).tobytes() == bitcodec.decode(data).tobytes()  # among those listed
    with pytest.raises(bitcodec.UnknownModelError):
        bitcodec.Codec("sign").decode(other.encode(draw()))  # not listed


def in_eight_threads(task: Callable[[int], bytes], count: int) -> list[bytes]:
    """task(0..count-1), the first eight started at the same moment."""
    barrier = threading.Barrier(8)

    def run(index: int) -> bytes:
        if index < 8:
            barrier.wait(20)
        return task(index)

    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(run, range(count)))


def test_eight_threads_give_the_same_bytes_as_one(draw: Draw) -> None:
    codec = bitcodec.Codec("sign", tile=16)
    pictures = [np.asarray(draw(20 + 5 * i, 50 - 3 * i)) for i in range(10)]

    def there(index: int) -> bytes:
        return codec.encode(pictures[index % 10], quality=10 + index)

    alone = [there(i) for i in range(40)]
    assert len(set(alone)) == 40
    assert in_eight_threads(there, 40) == alone

    def back(index: int) -> bytes:
        return codec.decode(alone[index]).tobytes()

    assert in_eight_threads(back, 40) == [back(i) for i in range(40)]


def test_threads_share_one_loaded_model(monkeypatch: pytest.MonkeyPatch, draw: Draw) -> None:
    """Even if they all ask for it at once, it is loaded once."""
    from bitcodec.runtime import loaded

    loads = []
    real = loaded.read_weights

    def counting(path: Path) -> object:
        loads.append(path)
        return real(path)

    monkeypatch.setattr(loaded, "read_weights", counting)
    loaded._load.cache_clear()
    data = in_eight_threads(lambda _: bitcodec.Codec().encode(draw()), 8)
    assert len(set(data)) == 1
    assert len(loads) == 1


def test_eight_threads_start_a_ladder_at_once(draw: Draw, tmp_path: Path) -> None:
    """Its tables are made on first use: eight first uses at the same moment."""
    packed = Path(__file__).parent / "golden" / "v1" / "ladder.safetensors.xz"
    path = tmp_path / "ladder.safetensors"
    path.write_bytes(lzma.decompress(packed.read_bytes()))
    pictures = [np.asarray(draw(20 + 3 * i, 34)) for i in range(8)]
    first = bitcodec.Codec(bitcodec.load_model(path))
    alone = [first.encode(picture, quality=30) for picture in pictures]
    shared = bitcodec.Codec(bitcodec.load_model(path))
    assert in_eight_threads(lambda i: shared.encode(pictures[i], quality=30), 8) == alone
    shared = bitcodec.Codec(bitcodec.load_model(path))
    back = [first.decode(data).tobytes() for data in alone]
    assert in_eight_threads(lambda i: shared.decode(alone[i]).tobytes(), 8) == back
