"""Files of version 1 decode for ever: latents exactly, pixels within 1, by two decoders."""

from __future__ import annotations

import ast
import importlib.util
import json
import lzma
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

import bitcodec
from bitcodec.format import container
from bitcodec.models.base import Model

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "golden" / "v1"
NAMES = sorted(path.stem for path in GOLDEN.glob("*.bin"))
SECOND = ROOT / "tests" / "second_decoder.py"
FAMILY = {"sign": "sign", "ladder": "ladder", "certain": "ladder"}  #: of each weights file


def load_second_decoder() -> ModuleType:
    spec = importlib.util.spec_from_file_location("second_decoder", SECOND)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["second_decoder"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


second = load_second_decoder()


@pytest.fixture(scope="session")
def golden_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the golden weights files."""
    folder = tmp_path_factory.mktemp("golden")
    for path in GOLDEN.glob("*.safetensors.xz"):
        (folder / path.stem).write_bytes(lzma.decompress(path.read_bytes()))
    return folder


@pytest.fixture(autouse=True)
def _only_golden_weights(golden_weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BITCODEC_WEIGHTS", str(golden_weights))


def golden(name: str) -> bytes:
    return (GOLDEN / f"{name}.bin").read_bytes()


def expected_latents(name: str) -> list[np.ndarray]:
    with np.load(GOLDEN / f"{name}.npz") as tiles:
        return [tiles[name] for name in tiles.files]


def weights_of(name: str, folder: Path) -> Path:
    return folder / f"{name.split('-')[0]}.safetensors"


def package_latents(data: bytes, model: Model) -> list[np.ndarray]:
    source = container.Source.of(data)
    header = source.header
    return [
        model.decode_tile(
            source.tile(index), header.tiling.latent_box(index).shape, header.rate, header.mapped
        )
        for index in range(header.tiling.count)
        if source.has_payload(index)
    ]


def same(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    return len(one) == len(other) and all(map(np.array_equal, one, other))


def test_both_families_are_there() -> None:
    assert {name.split("-")[0] for name in NAMES} == {"sign", "ladder", "certain"}
    assert len(NAMES) >= 11


@pytest.mark.parametrize("name", NAMES)
def test_latents(name: str, golden_weights: Path) -> None:
    model = bitcodec.load_model(weights_of(name, golden_weights), device="cpu")
    assert same(package_latents(golden(name), model), expected_latents(name))


@pytest.mark.parametrize("name", NAMES)
def test_the_second_decoder_agrees(name: str, golden_weights: Path) -> None:
    file = second.parse(golden(name))
    assert same(second.latents(file, weights_of(name, golden_weights)), expected_latents(name))


@pytest.mark.parametrize("name", NAMES)
def test_pixels(name: str) -> None:
    image = bitcodec.decode(golden(name))
    with Image.open(GOLDEN / f"{name}.png") as stored:
        assert (image.mode, image.size) == (stored.mode, stored.size)
        difference = np.asarray(image).astype(int) - np.asarray(stored).astype(int)
    assert np.abs(difference).max() <= (0 if name.endswith("lossless") else 1)
    if image.mode.endswith("A"):
        assert not difference[..., -1].any()


@pytest.mark.parametrize("name", NAMES)
def test_the_second_parser_agrees(name: str) -> None:
    file = second.parse(golden(name))
    parts = container.read(golden(name))
    header = parts.header
    ours = (header.model_id.hex(), header.width, header.height, header.rate, header.tile)
    assert (file.model_id, file.width, file.height, file.rate, file.tile) == ours
    found = (file.coder, file.grey, file.mapped)
    assert found == (int(header.coder), header.grey, header.mapped)
    assert tuple(file.payloads) == parts.tiles
    assert tuple(file.overlays) == parts.overlays
    sections = {"alpha": parts.alpha, "icc": parts.icc, "exif": parts.exif}
    assert file.sections == {key: value for key, value in sections.items() if value is not None}


def test_overlays_of_every_kind_are_there() -> None:
    kinds = set()
    for name in NAMES:
        source = container.Source.of(golden(name))
        for index in range(source.header.tiling.count):
            kinds.add((source.has_overlay(index), source.has_payload(index)))
    assert kinds == {(False, True), (True, True), (True, False)}


def test_metadata_is_there() -> None:
    for name in ("sign-all", "ladder-all"):
        assert bitcodec.decode(golden(name)).getexif()[0x010E] == "golden"
    assert "icc_profile" in bitcodec.decode(golden("sign-all")).info


def test_the_second_decoder_is_on_its_own() -> None:
    tree = ast.parse(SECOND.read_text("utf-8"))
    names = {
        (node.module if isinstance(node, ast.ImportFrom) else alias.name) or ""
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    allowed = set(sys.stdlib_module_names) | {"numpy"}
    assert {name.split(".")[0] for name in names} <= allowed


def test_the_second_decoder_as_a_command(golden_weights: Path) -> None:
    name = "ladder-1x1"
    line = [sys.executable, SECOND, GOLDEN / f"{name}.bin", weights_of(name, golden_weights)]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    (tile,) = expected_latents(name)
    assert done.stdout == f"tile 0: (768, 1, 1), sum {tile.sum()}, largest {abs(tile).max()}\n"


def test_the_second_decoder_reads_the_example_of_the_page() -> None:
    page = (ROOT / "FORMAT.md").read_text("utf-8")
    (block,) = re.findall(r"^```hex\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    file = second.parse(bytes.fromhex(re.sub(r"#.*", "", block)))
    first, last = second.latents(file)
    assert first.tolist() == [[[1, -1], [-1, 1]], [[1, 1], [-1, -1]]]
    assert last.tolist() == [[[1], [-1]], [[1], [1]]]


@pytest.mark.parametrize("name", ["sign-1x1", "ladder-1x1"])
def test_the_second_decoder_refuses_every_flip_and_cut(name: str) -> None:
    data = golden(name)
    for index in range(len(data)):
        with pytest.raises(second.Refused):
            second.parse(data[:index])
        broken = bytearray(data)
        broken[index] ^= 1 << index % 8
        with pytest.raises(second.Refused):
            second.parse(bytes(broken))


def outcome(decode: object, refusal: type[Exception], *args: object) -> list[int] | None:
    try:
        return np.asarray(decode(*args)).ravel().tolist()  # type: ignore[operator]
    except refusal:
        return None


def test_both_decoders_make_the_same_of_any_payload(golden_weights: Path) -> None:
    """Payloads that no encoder made: both refuse, or both give the same latents."""
    path = weights_of("ladder", golden_weights)
    model = bitcodec.load_model(path, device="cpu")
    _, _, tensors = second.read_weights(path)
    rng = np.random.default_rng(3)
    parts = container.read(golden("ladder-1x1"))
    kept = refused = 0
    for trial in range(40):
        words = np.frombuffer(parts.tiles[0], "<u4").copy()
        if trial % 2:
            words[rng.integers(len(words))] ^= 1 << rng.integers(32)
        elif trial % 4:
            words = rng.integers(0, 2**32, rng.integers(0, 60), dtype=np.uint32)
        else:
            words = np.append(words, rng.integers(0, 2**32, rng.integers(0, 2), dtype=np.uint32))
        payload, rate = words.astype("<u4").tobytes(), int(rng.integers(1024, 9217))
        ours = outcome(model.decode_tile, bitcodec.ContainerError, payload, (1, 1), rate)
        theirs = outcome(
            second.decode_ranged, second.Refused, payload, 1, 1, rate, tensors
        )  # fmt: skip
        assert ours == theirs
        kept, refused = kept + (ours is not None), refused + (ours is None)
    assert kept
    assert refused


def test_new_files_agree_too(golden_weights: Path) -> None:
    model = bitcodec.load_model(weights_of("ladder", golden_weights), device="cpu")
    pixels = np.random.default_rng(5).integers(0, 256, (50, 37, 3)).astype(np.uint8)
    for quality in (1, 40):
        data = bitcodec.encode(pixels, model=model, quality=quality, tile=32)
        file = second.parse(data)
        theirs = second.latents(file, weights_of("ladder", golden_weights))
        assert same(package_latents(data, model), theirs)


def test_weights_are_those_that_the_files_name(golden_weights: Path) -> None:
    for name in NAMES:
        path = weights_of(name, golden_weights)
        family, model_id, _ = second.read_weights(path)
        assert second.parse(golden(name)).model_id == model_id
        data = path.read_bytes()
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        assert header["__metadata__"]["bitcodec.family"] == family == FAMILY[name.split("-")[0]]


def test_golden_files_are_only_made_on_request() -> None:
    line = [sys.executable, str(ROOT / "scripts" / "make_golden.py")]
    before = {path: path.stat().st_mtime_ns for path in GOLDEN.iterdir()}
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--write" in done.stderr
    assert {path: path.stat().st_mtime_ns for path in GOLDEN.iterdir()} == before
