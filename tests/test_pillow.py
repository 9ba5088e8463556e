"""The Pillow plugin, tested as Pillow tests its own."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageFile, UnidentifiedImageError

import bitcodec
import bitcodec.pillow

Draw = Callable[..., Image.Image]
pytestmark = pytest.mark.usefixtures("tiny_weights", "plugin")


def saved(image: Image.Image, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, "BITCODEC", **options)
    return out.getvalue()


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def test_sanity(draw: Draw, tmp_path: Path) -> None:
    draw(40, 20).save(tmp_path / "x.bitc")
    with Image.open(tmp_path / "x.bitc") as image:
        assert isinstance(image, bitcodec.pillow.BitcodecImageFile)
        assert (image.format, image.mode, image.size) == ("BITCODEC", "RGB", (40, 20))
        assert image.get_format_mimetype() == "image/x-bitcodec"
        image.load()
        data = (tmp_path / "x.bitc").read_bytes()
        assert image.tobytes() == bitcodec.decode(data).tobytes()


def test_registering_again_changes_nothing() -> None:
    before = list(Image.ID)
    bitcodec.pillow.register()
    assert list(Image.ID) == before
    assert Image.registered_extensions()[".bitc"] == "BITCODEC"


def test_bin_is_a_suffix_on_request(draw: Draw, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown file extension"):
        draw().save(tmp_path / "x.bin")
    assert list(tmp_path.iterdir()) == []
    bitcodec.pillow.register(bin=True)
    draw().save(tmp_path / "x.bin")
    with Image.open(tmp_path / "x.bin") as image:
        assert image.format == "BITCODEC"


def test_magic_decides_not_the_name(draw: Draw, tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(saved(draw()))
    with Image.open(tmp_path / "x.png") as image:
        assert image.format == "BITCODEC"


def test_a_mask_of_what_matters(ladder_file: Path) -> None:
    options = {"model": str(ladder_file), "roi": Image.linear_gradient("L")}
    noise = Image.effect_noise((80, 70), 60)
    data = saved(noise, **options)
    assert bitcodec.read_info(data).step_map
    assert data == bitcodec.encode(noise, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_modes(draw: Draw, mode: str) -> None:
    image = draw(mode=mode.rstrip("A"))
    if mode.endswith("A"):
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    back = opened(saved(image))
    assert back.mode == mode  # before load
    back.load()
    assert back.mode == mode
    assert back.tobytes() == bitcodec.decode(bitcodec.encode(image)).tobytes()


def test_parameters_are_those_of_encode(draw: Draw, tiny_weights: Path) -> None:
    image = draw()
    assert saved(image, quality=20) == bitcodec.encode(image, quality=20) != saved(image)
    assert saved(image, quality=20, model=str(tiny_weights), effort=0, tile=16) == bitcodec.encode(
        image, quality=20, effort=0, tile=16
    )
    assert opened(saved(image, quality=50)).info["rate"] == 8


@pytest.mark.parametrize("options", [{"quality": 0}, {"quality": 101}, {"quality": 5, "bpp": 1.0}])
def test_bad_parameters(draw: Draw, options: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="quality"):
        draw().save(tmp_path / "x.bitc", **options)
    with pytest.raises(ValueError, match="unknown model 'nope'"):
        draw().save(tmp_path / "x.bitc", model="nope")
    assert list(tmp_path.iterdir()) == []


def test_a_mode_that_cannot_be_written() -> None:
    with pytest.raises(OSError, match="cannot write mode F"):
        saved(Image.new("F", (4, 4), float("nan")))


def test_metadata(draw: Draw) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x010E] = "a description"
    image = draw()
    image.info["icc_profile"] = profile
    kept = opened(saved(image, exif=exif))
    assert kept.info["icc_profile"] == profile
    assert kept.getexif()[0x010E] == "a description"
    again = opened(saved(kept))
    assert again.getexif()[0x010E] == "a description"
    bare = opened(saved(again, icc_profile=None, exif=None))
    assert "icc_profile" not in bare.info
    assert "exif" not in bare.info


def test_opening_reads_only_the_front(draw: Draw) -> None:
    class Counting(io.BytesIO):
        def __init__(self, data: bytes) -> None:
            super().__init__(data)
            self.most = 0

        def read(self, size: int | None = -1, /) -> bytes:
            data = super().read(size)
            self.most = max(self.most, self.tell())
            return data

    data = saved(draw(1024, 1024))
    assert len(data) > 2 * 4096
    file = Counting(data)
    with Image.open(file) as image:
        assert image.size == (1024, 1024)
        assert file.most <= 4096
        image.load()


def test_opening_does_not_import_torch(draw: Draw, tmp_path: Path) -> None:
    (tmp_path / "x.bitc").write_bytes(saved(draw(mode="L")))
    code = (
        "import sys, bitcodec.pillow\n"
        "from PIL import Image\n"
        "bitcodec.pillow.register()\n"
        "with Image.open(sys.argv[1]) as image: print(image.size, image.mode)\n"
        "print('torch' in sys.modules)"
    )
    line = [sys.executable, "-c", code, str(tmp_path / "x.bitc")]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    assert done.stdout == "(48, 32) L\nFalse\n"


def test_loading_twice_and_after_close(draw: Draw, tmp_path: Path) -> None:
    draw().save(tmp_path / "x.bitc")
    with Image.open(tmp_path / "x.bitc") as image:
        image.load()
        image.load()
    assert image.getpixel((0, 0)) is not None
    with Image.open(tmp_path / "x.bitc") as image:
        pass
    with pytest.raises(ValueError, match="closed"):
        image.load()


def test_a_file_object_stays_open(draw: Draw) -> None:
    file = io.BytesIO(saved(draw()))
    with Image.open(file) as image:
        image.load()
    assert not file.closed


@pytest.mark.parametrize("test_file", [b"", b"\x89BT", b"\x89BTD" + bytes(60), b"\x89BTC\x02\0"])
def test_invalid_file(test_file: bytes) -> None:
    with pytest.raises(SyntaxError):
        bitcodec.pillow.BitcodecImageFile(io.BytesIO(test_file))
    with pytest.raises(UnidentifiedImageError):
        opened(test_file)


def test_truncations(draw: Draw) -> None:
    data = saved(draw(mode="RGB"))
    front = bitcodec.read_info(data).header_size
    for length in range(len(data)):
        if length < front:
            with pytest.raises(UnidentifiedImageError):
                opened(data[:length])
            continue
        image = opened(data[:length])
        assert image.size == (48, 32)
        with pytest.raises(OSError, match="ends|bytes of"):
            image.load()


def test_damage_is_an_oserror_and_verify_finds_it(draw: Draw) -> None:
    data = bytearray(saved(draw()))
    opened(bytes(data)).verify()
    data[-6] ^= 1
    with pytest.raises(OSError, match="checksum"):
        opened(bytes(data)).load()
    with pytest.raises(SyntaxError, match="broken bitcodec file"):
        opened(bytes(data)).verify()


def test_load_truncated_images(draw: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    image = draw(64, 16)
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    data = saved(image, tile=32)
    front = bitcodec.read_info(data).header_size
    half = np.asarray(opened(data[: front + 8]))  # the first tile has 2 * 1 * 16 / 8 = 4 bytes
    assert half.shape == (16, 64, 4)
    assert (half[..., 3] == 255).all()  # alpha is lost
    one = np.asarray(opened(data[: front + 4]))
    assert (one[:, 32:, :3] == 128).all()
    assert not (one[:, :16, :3] == 128).all()
    with pytest.raises(UnidentifiedImageError):
        opened(data[: front - 1])


def test_unknown_weights(
    draw: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_folder: Path
) -> None:
    data = saved(draw())
    from bitcodec.models import registry

    monkeypatch.setattr(registry, "weights_folders", lambda: ())
    image = opened(data)
    assert image.size == (48, 32)
    with pytest.raises(OSError, match=image.info["model_id"]):
        image.load()


def test_decompression_bombs(draw: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    data = saved(draw(40, 40))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1599)
    with pytest.warns(Image.DecompressionBombWarning):
        opened(data)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 799)
    with pytest.raises(Image.DecompressionBombError):
        opened(data)


def test_pictures_over_our_own_limit_are_left_to_pillows(
    draw: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pillow's limit counts, as for other plugins: None is no limit."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    header = container_header(100_000, 100_000)
    assert opened(header).size == (100_000, 100_000)


def container_header(width: int, height: int) -> bytes:
    from bitcodec.format.container import Coder, Container, Header, write

    head = Header(bytes(8), width, height, 1, Coder.PACKED, 65536)
    return write(Container(head, (b"",) * head.tiling.count))


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
@pytest.mark.parametrize("step", [1, 7, 100, 10**6])
def test_incremental_parser(draw: Draw, mode: str, step: int) -> None:
    """Also where a file is longer than its pixels, as with a large profile."""
    noise = np.random.default_rng(1).bytes(20_000)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes() + noise
    options = {} if step == 1 or mode == "L" else {"icc_profile": profile}
    data = saved(draw(40, 20).convert(mode), **options)
    parser = ImageFile.Parser()
    for start in range(0, len(data), step):
        parser.feed(data[start : start + step])
    assert parser.close().tobytes() == bitcodec.decode(data).tobytes()


def test_incremental_parser_of_half_a_file(draw: Draw) -> None:
    data = saved(draw(40, 20))
    parser = ImageFile.Parser()
    parser.feed(data[:-9])
    with pytest.raises(OSError, match="35 bytes of 44"):
        parser.close()


def test_xmp_and_resolution(draw: Draw) -> None:
    image = draw(40, 20)
    image.info.update(xmp=b"<x:xmpmeta/>", dpi=(300, 300))
    back = opened(saved(image))
    assert back.info["xmp"] == b"<x:xmpmeta/>"
    assert back.info["dpi"] == pytest.approx((300, 300))
    assert bitcodec.decode(saved(back)).info["xmp"] == b"<x:xmpmeta/>"
