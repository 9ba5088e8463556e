"""The container: layout as in FORMAT.md, and nothing but ContainerErrors for bad bytes."""

import dataclasses
import io
import re
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bitcodec.entropy.packed import pack
from bitcodec.errors import (
    BitcodecError,
    ChecksumError,
    ContainerError,
    LimitError,
    NotBitcodecError,
    TruncatedError,
    UnsupportedVersionError,
)
from bitcodec.format import container as module
from bitcodec.format.container import (
    DEFAULT_MAX_PIXELS,
    Coder,
    Container,
    Header,
    Source,
    load_header,
    read,
    read_header,
    write,
)
from bitcodec.format.header import MAX_TILES
from bitcodec.format.varint import Cursor, varint

ID = bytes.fromhex("0123456789abcdef")
FORMAT = Path(__file__).parent.parent / "FORMAT.md"


def header(width: int = 40, height: int = 20, **changes: object) -> Header:
    plain = Header(ID, width, height, 2, Coder.PACKED, 32)
    return dataclasses.replace(plain, **changes)  # type: ignore[arg-type]


SECTIONS = (b"alpha", b"icc" * 9, b"II*\0exif")
FULL = Container(header(grey=True), (b"abc", b"de"), *SECTIONS, (b"lay", b"over"))
PLAIN = Container(header(), (b"abc", b""))


def sealed(front: bytes, body: bytes = b"") -> bytes:
    """A file from a front without its checksum, and parts: both checksums are right."""
    front += zlib.crc32(front).to_bytes(4, "little")
    data = front + body
    return data + zlib.crc32(data).to_bytes(4, "little")


def front(
    *,
    version: int = 1,
    flags: int = 0,
    width: bytes = b"\x28",
    height: bytes = b"\x14",
    rate: bytes = b"\x02",
    coder: int = 0,
    tile: bytes = b"\x04",
    table: bytes = b"\0" * 5,
) -> bytes:
    start = b"\x89BTC" + bytes((version, flags)) + ID
    return start + width + height + rate + bytes([coder]) + tile + table


def damaged(data: bytes) -> list[str]:
    return Source.of(data, max_pixels=DEFAULT_MAX_PIXELS).damaged()


READERS = (read, read_header, damaged)


def bits(text: str, *shape: int) -> bytes:
    return pack(np.array([c == "1" for c in text]).reshape(shape))


def test_example_in_format_md() -> None:
    block = re.search(r"```hex\n(.*?)```", FORMAT.read_text("utf-8"), re.DOTALL)
    assert block is not None
    documented = bytes.fromhex("".join(line.split("#")[0] for line in block[1].splitlines()))
    tiles = (bits("10011100", 2, 2, 2), bits("1011", 2, 2, 1))
    example_file = Container(header(), tiles)
    assert write(example_file).hex(" ") == documented.hex(" ")
    assert read(documented) == example_file


@pytest.mark.parametrize("container", [PLAIN, FULL])
def test_round_trip(container: Container) -> None:
    assert read(write(container)) == container


def test_present_but_empty_sections_are_kept() -> None:
    container = Container(header(), (b"", b""), b"", b"", b"")
    assert read(write(container)) == container


@pytest.mark.parametrize("size", [1, 600, 1024, 16383])
def test_overhead_of_a_plain_picture_is_at_most_40_bytes(size: int) -> None:
    payload = bytes(2**20)
    tile = -(-size // 1024) * 1024
    plain = Header(b"12345678", size, size, 16383, Coder.RANGED, tile)
    assert len(write(Container(plain, (payload,)))) - len(payload) <= 40


@pytest.mark.parametrize("data", [write(PLAIN), write(FULL)])
def test_every_truncation_raises(data: bytes) -> None:
    for length in range(len(data)):
        with pytest.raises(TruncatedError):
            read(data[:length])


@pytest.mark.parametrize("data", [write(PLAIN), write(FULL)])
def test_every_byte_flip_raises(data: bytes) -> None:
    for index in range(len(data)):
        for flip in (1, 2, 4, 8, 16, 32, 64, 128, 255):
            bad = bytearray(data)
            bad[index] ^= flip
            with pytest.raises(ContainerError):
                read(bytes(bad))


def test_bytes_after_the_end_raise() -> None:
    with pytest.raises(ContainerError, match="2 bytes after the end"):
        read(write(PLAIN) + b"ab")


@pytest.mark.parametrize("data", [b"\x89PNG\r\n\x1a\n", b"B", b"\x89BTX" + bytes(99), b"no" * 40])
def test_foreign(data: bytes) -> None:
    for reader in READERS:
        with pytest.raises(NotBitcodecError):
            reader(data)


@pytest.mark.parametrize("version", [0, 2, 255])
def test_unknown_version(version: int) -> None:
    with pytest.raises(UnsupportedVersionError, match=f"version {version}"):
        read(sealed(front(version=version)))


@pytest.mark.parametrize("flags", [64, 128, 192, 255])
def test_unknown_flags(flags: int) -> None:
    with pytest.raises(UnsupportedVersionError, match="flags"):
        read(sealed(front(flags=flags)))


def test_packed_payloads_have_no_maps() -> None:
    with pytest.raises(ContainerError, match="no step maps"):
        read(sealed(front(flags=32)))
    assert read_header(sealed(front(flags=32, coder=1))).header.mapped


def test_unknown_coder() -> None:
    with pytest.raises(UnsupportedVersionError, match="coder 2"):
        read(sealed(front(coder=2)))


def test_the_hand_made_front_is_sound() -> None:
    assert read(sealed(front())) == Container(header(tile=64), (b"",))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": b"\0"}, "width 0"),
        ({"height": b"\0"}, "height 0"),
        ({"width": varint(2**31)}, "width 2147483648"),
        ({"width": b"\xff\xff\xff\xff\xff\x01"}, "too long"),
        ({"width": b"\xa8\0"}, "shortest"),
        ({"rate": b"\0"}, "rate 0"),
        ({"rate": varint(65536)}, "rate 65536"),
        ({"tile": b"\0"}, "tile 0"),
        ({"tile": varint(4097)}, "tile 65552"),
        ({"table": varint(2**31) + bytes(4)}, "longer"),
    ],
)
def test_values_out_of_range(changes: dict[str, bytes], message: str) -> None:
    with pytest.raises(ContainerError, match=message):
        read(sealed(front(**changes)))  # type: ignore[arg-type]


def test_pixel_limit_comes_before_the_table() -> None:
    huge = front(width=varint(2**31 - 1), height=varint(2**31 - 1), table=b"")
    with pytest.raises(LimitError, match="--max-pixels"):
        read(sealed(huge))
    with pytest.raises(LimitError, match="--max-pixels"):
        damaged(sealed(huge))
    with pytest.raises(LimitError, match="tiles"):
        read_header(sealed(huge))


def test_max_pixels_is_inclusive() -> None:
    data = write(PLAIN)
    assert read(data, max_pixels=800) == PLAIN
    with pytest.raises(LimitError):
        read(data, max_pixels=799)


def test_tile_count_is_checked_against_the_bytes_that_are_there() -> None:
    wide = front(width=varint(2**24), height=b"\x01", tile=b"\x01", table=bytes(100))
    with pytest.raises(TruncatedError, match="table of 1048576"):
        read(sealed(wide))


def test_more_tiles_than_the_format_has_room_for() -> None:
    many = header(2**20, 257, tile=16)
    assert many.tiling.count > MAX_TILES
    with pytest.raises(LimitError):
        write(Container(many, ()))


def test_length_that_runs_past_the_file() -> None:
    with pytest.raises(TruncatedError):
        read(sealed(front(table=varint(2**31 - 1) + bytes(4))))


def test_write_checks_the_number_of_tiles() -> None:
    with pytest.raises(ContainerError, match="1 tiles where there are 2"):
        write(Container(header(), (b"",)))


@pytest.mark.parametrize(
    "changes",
    [
        {"width": 0},
        {"height": 2**31},
        {"rate": 0},
        {"rate": 65536},
        {"tile": 24},
        {"tile": 65552},
        {"model_id": b"short"},
    ],
)
def test_header_checks_its_fields(changes: dict[str, object]) -> None:
    with pytest.raises(ContainerError):
        header(**changes)  # type: ignore[arg-type]


def test_header_checksum() -> None:
    data = bytearray(write(PLAIN))
    data[8] ^= 1  # in the model id: no other check sees it
    for reader in READERS:
        with pytest.raises(ChecksumError, match="header"):
            reader(bytes(data))


def test_read_header_needs_the_front_only() -> None:
    data = write(FULL)
    layout = read_header(data)
    assert read_header(data[: layout.header_size]) == layout
    assert layout.header == FULL.header
    assert layout.file_size == len(data)
    names = [name for name, _ in layout.spans()]
    assert names == ["tile 0", "tile 1", "overlay 0", "overlay 1", "alpha", "icc", "exif"]
    first = layout.tiles[0]
    assert data[first.offset : first.offset + first.length] == b"abc"
    for length in range(layout.header_size):
        with pytest.raises(TruncatedError):
            read_header(data[:length])


def test_single_parts_of_a_file() -> None:
    source = Source(io.BytesIO(write(FULL)))
    assert source.tile(1) == b"de"
    assert (source.section("exif"), source.section("alpha")) == (FULL.exif, FULL.alpha)
    assert Source.of(write(PLAIN)).section("icc") is None


def test_load_header_reads_on_for_a_long_table() -> None:
    container = Container(header(16 * 3000, 1, tile=16), (b"x",) * 3000)
    file = io.BytesIO(write(container) + bytes(10**6))
    assert load_header(file).header == container.header
    assert file.tell() < 40_000


def test_parts_of_damaged_and_cut_files() -> None:
    data = write(PLAIN)
    with pytest.raises(TruncatedError):
        Source.of(data[: read_header(data).header_size + 2]).tile(0)
    with pytest.raises(ChecksumError, match="tile 0"):
        Source.of(data.replace(b"abc", b"abd")).tile(0)
    with pytest.raises(TruncatedError):
        load_header(io.BytesIO(data[:20]))


class Careful(io.BytesIO):
    """A file that is not to be asked for more than it has: that much would be allocated."""

    def read(self, size: int | None = -1) -> bytes:
        assert size is not None
        assert size <= 5000
        return super().read(size)


def test_length_that_runs_past_the_file_is_not_allocated() -> None:
    file = Careful(sealed(front(table=varint(2**31 - 1) + bytes(4))))
    source = Source(file)
    with pytest.raises(TruncatedError):
        source.tile(0)
    assert source.damaged() == ["tile 0"]


@pytest.mark.parametrize("section", ["icc", "exif"])
def test_section_limit(section: str) -> None:
    most = bytes(module.MAX_SECTION_BYTES)
    container = dataclasses.replace(PLAIN, **{section: most})
    assert read(write(container)) == container
    with pytest.raises(LimitError, match=section):
        write(dataclasses.replace(PLAIN, **{section: most + b"\0"}))


def with_icc(stored: bytes) -> bytes:
    entry = varint(len(stored)) + zlib.crc32(stored).to_bytes(4, "little")
    return sealed(front(flags=2, table=bytes(5) + entry), stored)


def test_section_that_inflates_beyond_the_limit() -> None:
    bomb = zlib.compress(bytes(module.MAX_SECTION_BYTES + 1), 9)
    with pytest.raises(LimitError, match="icc"):
        read(with_icc(bomb))
    assert damaged(with_icc(bomb)) == ["icc"]


@pytest.mark.parametrize("cut", [slice(0, -1), slice(0, 0), slice(1, None)])
def test_section_that_is_no_zlib_stream(cut: slice) -> None:
    with pytest.raises(ContainerError, match="one whole zlib stream"):
        read(with_icc(zlib.compress(b"profile")[cut]))


def test_section_with_bytes_after_its_stream() -> None:
    with pytest.raises(ContainerError, match="one whole zlib stream"):
        read(with_icc(zlib.compress(b"profile") + b"!"))


def test_nothing_of_a_whole_file_is_damaged() -> None:
    assert damaged(write(FULL)) == []


def test_each_damaged_part_is_named() -> None:
    data = write(FULL)
    for name, span in read_header(data).spans():
        bad = bytearray(data)
        bad[span.offset] ^= 1
        assert damaged(bytes(bad)) == [name]


def test_damage_of_every_truncation() -> None:
    data = write(FULL)
    layout = read_header(data)
    for length in range(layout.header_size, len(data)):
        lost = [n for n, span in layout.spans() if span.offset + span.length > length]
        assert damaged(data[:length]) == (lost or ["end of file"])


def test_a_wrong_end_is_damage() -> None:
    data = write(PLAIN)
    for bad in (data + b"x", data[:-1] + bytes([data[-1] ^ 1])):
        assert damaged(bad) == ["end of file"]


SIDES = st.one_of(st.integers(1, 300), st.sampled_from([127, 128, 16383, 16384]))
RATES = st.one_of(st.integers(1, 65535), st.sampled_from([1, 127, 128, 16383, 16384, 65535]))
TILES = st.one_of(st.integers(1, 4096), st.sampled_from([127, 128, 4096])).map(lambda n: 16 * n)
SECTION = st.none() | st.binary(max_size=200)


@st.composite
def containers(draw: st.DrawFn) -> Container:
    model_id = draw(st.binary(min_size=8, max_size=8))
    width, height, tile = draw(SIDES), draw(SIDES), draw(TILES)
    tile = max(tile, 16 * -(-max(width, height) // 160))  # at most some hundred tiles
    coder = draw(st.sampled_from(Coder))
    h = Header(model_id, width, height, draw(RATES), coder, tile, draw(st.booleans()))
    payload = draw(st.binary(max_size=200))
    tiles = tuple(payload[i % 7 :] for i in range(h.tiling.count))
    return Container(h, tiles, draw(SECTION), draw(SECTION), draw(SECTION))


@given(containers())
@settings(max_examples=60, deadline=None)
def test_any_container_survives(container: Container) -> None:
    data = write(container)
    assert read(data) == container
    assert read_header(data).header == container.header


EXTREME = Header(b"\xff" * 8, 2**31 - 1, 2**31 - 1, 65535, Coder.RANGED, 65536, True)


@pytest.mark.parametrize("h", [EXTREME, Header(bytes(8), 1, 1, 1, Coder.PACKED, 16)])
def test_both_ends_of_every_field(h: Header) -> None:
    assert Header.parse(Cursor(h.to_bytes()), grey=h.grey) == h


@given(containers(), st.data())
@settings(max_examples=60, deadline=None)
def test_mutated_files_raise_container_errors_only(
    container: Container, data: st.DataObject
) -> None:
    bad = bytearray(write(container))
    start = data.draw(st.integers(0, len(bad)))
    stop = data.draw(st.integers(start, min(len(bad), start + 9)))
    bad[start:stop] = data.draw(st.binary(max_size=9))
    for reader in READERS:
        try:
            result = reader(bytes(bad))
        except ContainerError:
            continue
        if reader is read:
            assert result == container  # the splice changed nothing


@given(st.binary(max_size=80), st.booleans())
@example(b"", False)
@settings(max_examples=200, deadline=None)
def test_random_bytes_raise_container_errors_only(data: bytes, ours: bool) -> None:
    if ours:
        data = b"\x89BTC\x01" + data
    for reader in READERS:
        with pytest.raises(ContainerError):
            reader(data)


@given(st.integers(0, 2**35 - 1))
@example(0)
@example(2**35 - 1)
def test_varint_round_trip(value: int) -> None:
    data = varint(value)
    assert len(data) == max(1, -(-value.bit_length() // 7))
    cursor = Cursor(data)
    assert cursor.varint() == value
    assert cursor.remaining == 0


@pytest.mark.parametrize(
    ("value", "encoded"), [(0, "00"), (127, "7f"), (128, "8001"), (300, "ac02")]
)
def test_varint_by_hand(value: int, encoded: str) -> None:
    assert varint(value).hex() == encoded


@pytest.mark.parametrize("value", [-1, 2**35])
def test_varint_limits(value: int) -> None:
    with pytest.raises(ValueError, match="varint"):
        varint(value)


def test_every_error_of_the_container_exits_with_3() -> None:
    errors = (ContainerError, NotBitcodecError, TruncatedError, ChecksumError, LimitError)
    assert {error.exit_code for error in errors} == {3}
    assert all(issubclass(error, BitcodecError) for error in errors)
