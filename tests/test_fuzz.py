"""Hostile files: whatever is behind right checksums, the decoder raises only BitcodecError."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import bitcodec
from bitcodec.errors import BitcodecError, LimitError
from bitcodec.format import container
from bitcodec.format.container import Coder, Container, Header
from bitcodec.models.base import Model
from bitcodec.picture.overlay import encode_overlay

Draw = Callable[..., Image.Image]
ROOT = Path(__file__).resolve().parent.parent
CORPUS = sorted((ROOT / "tests" / "corpus").glob("*.bin"))
LIMIT = 2**16
models: dict[Coder, Model] = {}
sound: dict[Coder, bytes] = {}


@pytest.fixture(autouse=True, scope="module")
def _models(tiny_folder: Path, ladder_file: Path, draw: Draw) -> None:
    """Hypothesis wants no fixtures of functions, so they are put where the tests find them."""
    for path in (tiny_folder / "sign.safetensors", ladder_file):
        model = bitcodec.load_model(str(path), device="cpu")
        models[model.coder] = model
        image = draw(20, 40)
        image.putalpha(Image.linear_gradient("L").resize(image.size))
        sound[model.coder] = bitcodec.encode(image, model=model, tile=32)


def attempt(data: bytes, coder: Coder) -> None:
    """Decode in every way; BitcodecError is well, anything else is a failure."""
    given: dict[str, Any] = {"model": models[coder], "max_pixels": LIMIT}
    ways: list[Callable[[], Any]] = [
        lambda: bitcodec.decode(data, **given),
        lambda: bitcodec.decode(data, crop=(3, 4, 5, 6), **given),
        lambda: bitcodec.decode(data, scale=1 / 8, **given),
        lambda: bitcodec.decode_partial(data, **given),
    ]
    messages = []
    for way in ways:
        try:
            way()
        except BitcodecError as error:
            messages.append(str(error))
    assert not any("\n" in message for message in messages)


def file_of(
    header: Header,
    payloads: tuple[bytes, ...],
    overlays: tuple[bytes, ...] = (),
    **sections: bytes | None,
) -> bytes:
    return container.write(Container(header, payloads, overlays=overlays, **sections))


def overlay_of(height: int, width: int) -> st.SearchStrategy[bytes]:
    """None, a good one, one of another size, a changed one, or any bytes."""
    rgb = np.random.default_rng(height * width).integers(0, 256, (height + 1, width, 3), np.uint8)
    good = encode_overlay(rgb[:-1], rgb[:-1, :, 0] > 40)
    changed = st.tuples(st.integers(0, len(good) - 1), st.integers(0, 255)).map(
        lambda at: good[: at[0]] + bytes([at[1]]) + good[at[0] + 1 :]
    )
    fixed = st.sampled_from([b"", good, encode_overlay(rgb), encode_overlay(rgb[:-1])])
    return st.one_of(fixed, changed, st.binary(max_size=40))


coders = st.sampled_from(Coder)
edges = st.one_of(st.integers(1, 70), st.sampled_from([2**14, 2**28, 2**31 - 1]))


@given(st.data(), coders)
@settings(max_examples=60, deadline=None)
def test_any_payloads_behind_right_checksums(data: st.DataObject, coder: Coder) -> None:
    parts = container.read(sound[coder])
    tiles = []
    for tile in parts.tiles:
        kind = data.draw(st.sampled_from(["same", "changed", "cut", "any"]))
        if kind == "changed" and tile:
            at = data.draw(st.integers(0, len(tile) - 1))
            tile = tile[:at] + bytes([data.draw(st.integers(0, 255))]) + tile[at + 1 :]
        elif kind == "cut":
            tile = tile[: data.draw(st.integers(0, len(tile) // 4)) * 4]
        elif kind == "any":
            tile = data.draw(st.binary(max_size=400))
        tiles.append(tile)
    alpha = data.draw(st.one_of(st.just(parts.alpha), st.binary(max_size=99)))
    overlays = [data.draw(overlay_of(*parts.header.tiling.box(n).shape)) for n in range(len(tiles))]
    given = tuple(overlays) if data.draw(st.booleans()) else ()
    mapped = coder is Coder.RANGED and data.draw(st.booleans())
    header = dataclasses.replace(parts.header, mapped=mapped)
    attempt(file_of(header, tuple(tiles), given, alpha=alpha), coder)


@given(st.data(), coders, edges, edges, st.integers(1, 65535), st.integers(1, 4096))
@settings(max_examples=60, deadline=None)
def test_any_header(
    data: st.DataObject, coder: Coder, width: int, height: int, rate: int, tile: int
) -> None:
    """Also the other family's coder, rates that are none, and pictures beyond the limit."""
    rate = data.draw(st.sampled_from([rate, *models[coder].rates()[:3]]))
    named = data.draw(coders)
    header = Header(models[coder].model_id, width, height, rate, named, 16 * tile)
    count = min(header.tiling.count, 20)
    payload = data.draw(st.binary(max_size=64).map(lambda b: b[: len(b) // 4 * 4]))
    try:
        attempt(file_of(header, (payload,) * count), coder)
    except BitcodecError:
        assert header.tiling.count > 20  # cannot be written with so few


@given(st.data(), coders)
@settings(max_examples=60, deadline=None)
def test_mutated_files(data: st.DataObject, coder: Coder) -> None:
    changed = bytearray(sound[coder])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(changed) - 1))
        changed[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
        if not changed:
            break
    attempt(bytes(changed), coder)


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_corpus(path: Path) -> None:
    """The seeds of the fuzzer, made with other weights: their ids are replaced."""
    data = path.read_bytes()
    parts = container.read(data)
    model = models[parts.header.coder]
    header = dataclasses.replace(parts.header, model_id=model.model_id)
    again = file_of(header, parts.tiles, alpha=parts.alpha, icc=parts.icc, exif=parts.exif)
    attempt(again, parts.header.coder)


def test_there_is_a_corpus() -> None:
    assert len(CORPUS) > 8


def test_a_few_bytes_cannot_ask_for_much() -> None:
    """A ranged file of some bytes that claims 2**28 pixels in one tile is refused at once."""
    model = models[Coder.RANGED]
    header = Header(model.model_id, 2**14, 2**14, 5000, Coder.RANGED, 2**16)
    for view in ({}, {"crop": (0, 0, 1, 1)}, {"scale": 1 / 16}):
        with pytest.raises(LimitError):
            bitcodec.decode(file_of(header, (b"",)), model=model, **view)
        with pytest.raises(LimitError):
            bitcodec.decode_partial(file_of(header, (b"",)), model=model, **view)
    header = Header(model.model_id, 2**10, 2**10, 5000, Coder.RANGED, 16)
    many = file_of(header, (b"",) * 2**12)
    with pytest.raises(LimitError, match="small tiles"):
        bitcodec.decode(many, model=model, crop=(0, 0, 1, 1), max_pixels=2**20)


@pytest.mark.slow
def test_the_mutation_script(tmp_path: Path) -> None:
    line = [sys.executable, str(ROOT / "scripts" / "mutate.py"), "--count", "60"]
    line += ["--findings", str(tmp_path / "findings")]
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=110)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("60 files in ")
    assert not (tmp_path / "findings").exists()
