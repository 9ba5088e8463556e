"""Crops, damaged files, limits: what is read, what comes out, what is refused."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import bitcodec
from bitcodec.codec import encode as codec
from bitcodec.codec import region
from bitcodec.codec.decode import decode
from bitcodec.codec.tiles import Tiles
from bitcodec.errors import BitcodecError, ContainerError, LimitError
from bitcodec.format import container, limits
from bitcodec.format.container import Coder, Container, Header
from bitcodec.format.tiling import Box
from bitcodec.models.base import Model

Draw = Callable[..., Image.Image]
WIDTH, HEIGHT, TILE = 150, 100, 48
TILES_X = 4


@pytest.fixture(scope="module", params=["sign", "ladder"])
def model(request: pytest.FixtureRequest, tiny_folder: Path, ladder_file: Path) -> Model:
    path = tiny_folder / "sign.safetensors" if request.param == "sign" else ladder_file
    return bitcodec.load_model(str(path), device="cpu")


@pytest.fixture(scope="module")
def data(model: Model, draw: Draw) -> bytes:
    image = draw(WIDTH, HEIGHT)
    image.putalpha(Image.radial_gradient("L").resize(image.size))
    return bitcodec.encode(image, model=model, tile=TILE)


@pytest.fixture(scope="module")
def full(data: bytes, model: Model) -> np.ndarray:
    return pixels(bitcodec.decode(data, model=model))


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(int)


def broken(data: bytes, *tiles: int) -> bytes:
    """``data`` with one wrong byte in each of some tiles."""
    out = bytearray(data)
    for index in tiles:
        out[container.read_header(data).tiles[index].offset] ^= 0x55
    return bytes(out)


class Watched(io.BytesIO):
    """Remembers which bytes were read."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.seen: set[int] = set()

    def read(self, size: int | None = -1, /) -> bytes:
        start = self.tell()
        out = super().read(size)
        self.seen.update(range(start, start + len(out)))
        return out


# --- crops -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "crop",
    [(0, 0, WIDTH, HEIGHT), (0, 0, 1, 1), (149, 99, 1, 1), (40, 40, 20, 20), (50, 3, 90, 60)],
)
def test_a_crop_is_that_part_of_the_picture(
    data: bytes, model: Model, full: np.ndarray, crop: tuple[int, int, int, int]
) -> None:
    x, y, w, h = crop
    part = pixels(bitcodec.decode(data, model=model, crop=crop))
    assert part.shape == (h, w, 4)
    wanted = full[y : y + h, x : x + w]
    assert np.abs(part - wanted)[..., :3].max() <= 1  # convolutions may sum in another order
    assert np.array_equal(part[..., 3], wanted[..., 3])


def test_only_the_tiles_around_the_crop_are_read(model: Model, draw: Draw) -> None:
    wide = bitcodec.encode(draw(1200, 64), model=model, tile=64)
    file = Watched(wide)
    bitcodec.decode(file, model=model, crop=(10, 10, 40, 40))
    layout = container.read_header(wide)
    touched = {i for i, s in enumerate(layout.tiles) if file.seen & set(range(*ends(s)))}
    reach = -(-(50 + 16 * model.halo_out) // 64)
    # The first read is of 4096 bytes, whatever is in them.
    past = {i for i, s in enumerate(layout.tiles) if s.offset >= 4096}
    assert touched & past <= set(range(reach + 1))
    spied = Spied(io.BytesIO(wide))
    decode(spied, model, Box(10, 10, 50, 50))
    assert spied.asked == list(range(reach))  # each once, and no other


class Spied(container.Source):
    """Remembers which tiles were asked for."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self.asked: list[int] = []

    def tile(self, index: int) -> bytes:
        self.asked.append(index)
        return super().tile(index)


def ends(span: container.Span) -> tuple[int, int]:
    return span.offset, span.offset + span.length


def test_damage_elsewhere_does_not_matter_to_a_crop(tiny_weights: Path, draw: Draw) -> None:
    data = bitcodec.encode(draw(600, 32), tile=32)
    bad = broken(data, 18)
    with pytest.raises(bitcodec.ChecksumError):
        bitcodec.decode(bad)
    part = bitcodec.decode(bad, crop=(0, 0, 32, 32))
    assert part.tobytes() == bitcodec.decode(data, crop=(0, 0, 32, 32)).tobytes()
    with pytest.raises(bitcodec.ChecksumError, match="tile 18"):
        bitcodec.decode(bad, crop=(560, 0, 32, 32))
    cut = data[: container.read_header(data).tiles[15].offset]
    assert bitcodec.decode(cut, crop=(0, 0, 32, 32)).tobytes() == part.tobytes()


@pytest.mark.parametrize(
    "crop", [(0, 0, 151, 1), (0, 0, 1, 101), (-1, 0, 5, 5), (150, 0, 1, 1), (0, 0, 0, 1)]
)
def test_crops_outside_the_picture(data: bytes, model: Model, crop: Any) -> None:
    with pytest.raises(BitcodecError, match="is not inside the picture of 150x100"):
        bitcodec.decode(data, model=model, crop=crop)


@pytest.mark.parametrize("mode", ["L", "LA"])
def test_mode_and_metadata_of_a_crop(tiny_weights: Path, draw: Draw, mode: str) -> None:
    from PIL import ImageCms

    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = draw(60, 40, "L")
    if mode == "LA":
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    part = bitcodec.decode(bitcodec.encode(image), crop=(3, 4, 20, 10))
    assert (part.mode, part.size) == (mode, (20, 10))
    colour = draw(60, 40)
    colour.info["icc_profile"] = icc
    part = bitcodec.decode(bitcodec.encode(colour), crop=(3, 4, 20, 10), scale=1 / 2)
    assert (part.info["icc_profile"], part.size) == (icc, (11, 5))


def test_the_picture_does_not_depend_on_the_blocks(
    data: bytes, model: Model, full: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(region, "BLOCK", 32)
    assert np.abs(pixels(bitcodec.decode(data, model=model)) - full).max() <= 1


def test_few_tiles_are_kept(model: Model, draw: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long a picture is, and which way it lies, memory is that of a strip across it."""
    most = []
    gather = Tiles.gather

    def watch(self: Tiles, box: Box) -> np.ndarray | None:
        out = gather(self, box)
        most.append(len(self.kept))
        return out

    monkeypatch.setattr(Tiles, "gather", watch)
    for size in ((5000, 16), (16, 5000)):
        bitcodec.decode(bitcodec.encode(draw(*size), model=model, tile=64), model=model)
    assert max(most) <= (1024 + 2 * 16 * model.halo_out) // 64 + 2


# --- what is left of a damaged file ----------------------------------------------------------


def test_an_intact_file_loses_nothing(data: bytes, model: Model, full: np.ndarray) -> None:
    image, lost = bitcodec.decode_partial(data, model=model)
    assert lost == []
    assert np.array_equal(pixels(image), full)


def test_lost_tiles_are_grey_and_the_rest_is_there(
    data: bytes, model: Model, full: np.ndarray
) -> None:
    image, lost = bitcodec.decode_partial(broken(data, 1, 7), model=model)
    assert lost == ["tile 1", "tile 7"]
    got = pixels(image)
    header = container.read_header(data).header
    for index in range(header.tiling.count):
        x0, y0, x1, y1 = header.tiling.box(index)
        tile = got[y0:y1, x0:x1, :3]
        if index in (1, 7):
            assert (tile == region.GREY).all()
        else:  # its edges miss a neighbour, so it is near, not equal
            assert np.abs(tile - full[y0:y1, x0:x1, :3]).mean() < 25
    assert np.array_equal(got[..., 3], full[..., 3])


def test_far_from_the_damage_nothing_changes(tiny_weights: Path, draw: Draw) -> None:
    data = bitcodec.encode(draw(600, 32), tile=32)
    whole = pixels(bitcodec.decode(data))
    image, lost = bitcodec.decode_partial(broken(data, 0))
    assert lost == ["tile 0"]
    assert np.array_equal(pixels(image)[:, 32 + 160 :], whole[:, 32 + 160 :])


def test_every_truncation_after_the_header(data: bytes, model: Model) -> None:
    layout = container.read_header(data)
    for length in (layout.tiles[1].offset, layout.tiles[5].offset + 1, len(data) - 1):
        image, lost = bitcodec.decode_partial(data[:length], model=model)
        assert image.size == (WIDTH, HEIGHT)
        assert lost
    assert lost == ["end of file"]
    with pytest.raises(bitcodec.TruncatedError):
        bitcodec.decode_partial(data[: layout.header_size - 1], model=model)
    with pytest.raises(ContainerError, match="every tile is lost"):
        bitcodec.decode_partial(data[: layout.header_size], model=model)
    with pytest.raises(ContainerError, match="every tile is lost"):
        bitcodec.decode_partial(broken(data, 0), model=model, crop=(0, 0, 16, 16))


def test_a_sound_checksum_over_nonsense(data: bytes, model: Model) -> None:
    """A hostile tile is lost like a damaged one; strictly, the error names it."""
    parts = container.read(data)
    tiles = list(parts.tiles)
    tiles[2] += bytes(range(40))
    nonsense = container.write(Container(parts.header, tuple(tiles), b"no PNG"))
    with pytest.raises(ContainerError):
        bitcodec.decode(nonsense, model=model)
    image, lost = bitcodec.decode_partial(nonsense, model=model)
    assert lost == ["tile 2", "alpha"]
    assert image.mode == "RGB"


def test_partial_with_crop_and_scale(data: bytes, model: Model) -> None:
    image, lost = bitcodec.decode_partial(
        broken(data, 0), model=model, crop=(0, 0, 100, 80), scale=1 / 4
    )
    assert lost == ["tile 0"]
    got = pixels(image)
    assert got.shape == (20, 25, 4)
    assert (got[:12, :12, :3] == region.GREY).all()
    assert not (got[13:, :, :3] == region.GREY).all()


# --- limits ----------------------------------------------------------------------------------


def head(coder: Coder, width: int, height: int, tile: int, rate: int = 8) -> Header:
    return Header(bytes(8), width, height, rate, coder, tile)


def test_pixels_over_the_limit() -> None:
    limits.check_work(head(Coder.PACKED, 100, 100, 16), 10_000)
    with pytest.raises(LimitError, match="max-pixels"):
        limits.check_work(head(Coder.PACKED, 100, 101, 16), 10_000)


def test_large_ranged_tiles_are_refused() -> None:
    limits.check_work(head(Coder.RANGED, 2048, 2048, 65536))
    limits.check_work(head(Coder.RANGED, 10**6, 4, 65536))
    limits.check_work(head(Coder.PACKED, 2**14, 2**14, 65536))
    with pytest.raises(LimitError, match="larger than 4194304"):
        limits.check_work(head(Coder.RANGED, 2049, 2049, 65536))


def test_many_small_ranged_tiles_count_for_more_than_their_pixels() -> None:
    limits.check_work(head(Coder.RANGED, 10, 10, 16), 100)  # a single tile is what it is
    limits.check_work(head(Coder.RANGED, 1024, 1024, 64), 2**20)
    limits.check_work(head(Coder.PACKED, 1024, 1024, 16), 2**20)
    with pytest.raises(LimitError, match="small tiles"):
        limits.check_work(head(Coder.RANGED, 1024, 1024, 48), 2**20)


def test_lengths_of_packed_payloads() -> None:
    header = head(Coder.PACKED, 40, 20, 32, rate=3)
    limits.check_payloads(header, [2, 1])  # 3 * 2 * 2 and 3 * 2 * 1 bits
    for lengths in ([2, 2], [1, 1], [0, 0]):
        with pytest.raises(ContainerError, match="cannot be its payload"):
            limits.check_payloads(header, lengths)


def test_lengths_of_ranged_payloads() -> None:
    limits.check_payloads(head(Coder.RANGED, 40, 20, 32), [0, 8])
    with pytest.raises(ContainerError, match="tile 1: 7 bytes"):
        limits.check_payloads(head(Coder.RANGED, 40, 20, 32), [8, 7])


def test_nothing_is_allocated_for_a_claim(tiny_weights: Path, monkeypatch: Any) -> None:
    """A few bytes that claim 2**28 pixels are refused before there is room for them."""
    model = bitcodec.load_model("sign", device="cpu")
    header = Header(model.model_id, 2**14, 2**14, 16, Coder.PACKED, 2**14)
    data = container.write(Container(header, (b"",)))
    monkeypatch.setattr(region.np, "empty", lambda *a: pytest.fail("allocated"))
    for scale in (1, 1 / 2):
        with pytest.raises(ContainerError, match="cannot be its payload"):
            bitcodec.decode(data, model=model, scale=scale)
    with pytest.raises(ContainerError, match="every tile is lost"):
        bitcodec.decode_partial(data, model=model)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"coder": Coder.RANGED}, "coder ranged is not that of"),
        ({"rate": 17}, "rate 17 is not one of"),
    ],
)
def test_headers_that_do_not_fit_the_model(
    tiny_weights: Path, changes: dict[str, Any], message: str
) -> None:
    model = bitcodec.load_model("sign", device="cpu")
    fields = {"rate": 16, "coder": Coder.PACKED, **changes}
    header = Header(model.model_id, 16, 16, tile=16, **fields)
    with pytest.raises(ContainerError, match=message):
        bitcodec.decode(container.write(Container(header, (bytes(4),))), model=model)


def test_too_many_tiles_are_refused_before_the_work(
    tiny_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bitcodec.format import header

    model = bitcodec.load_model("sign", device="cpu")
    monkeypatch.setattr(header, "MAX_TILES", 3)
    monkeypatch.setattr(codec, "_analyze", lambda *a: pytest.fail("worked"))
    with pytest.raises(LimitError, match="4 tiles are more than 3"):
        bitcodec.encode(np.zeros((32, 32, 3), np.uint8), model=model, tile=16)
