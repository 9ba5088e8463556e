"""Files that mean harm, and a decoder to throw them at: shared by mutate.py and fuzz.py.

Checksums do not stop an attacker, so broken files are sealed again here: what is tested is what
comes after the checksums. The networks are tiny and random; the code around them is all there.
"""

from __future__ import annotations

import io
import random
import zlib
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from bitcodec.api import decode, decode_partial, encode
from bitcodec.codec.encode import Encoder
from bitcodec.errors import BitcodecError
from bitcodec.format import container
from bitcodec.format.container import Coder
from bitcodec.format.header import MAX_SIZE, Header
from bitcodec.format.varint import Cursor, varint
from bitcodec.models.base import Model
from bitcodec.models.ladder.config import LadderConfig
from bitcodec.models.ladder.trainable import LadderFloatModel
from bitcodec.models.sign.config import SignConfig
from bitcodec.models.sign.model import SignModel
from bitcodec.picture.images import from_pil

# Work goes with the pixels that a file claims, and a range-coded payload may be short whatever
# they are; what is looked for is work or memory beyond that.
MAX_PIXELS = {Coder.PACKED: container.DEFAULT_MAX_PIXELS, Coder.RANGED: 2**18}
INTERESTING = [0, 1, 2, 15, 16, 17, 127, 128, 255, 256, 4095, 4096, 4097, 2**14, 2**14 + 1]
INTERESTING += [2**16 - 1, 2**16, 2**20, 2**28, MAX_SIZE - 1, MAX_SIZE, MAX_SIZE + 1, 2**35 - 1]


def tiny_models() -> dict[Coder, Model]:
    """A model of each family, by its payload coder."""
    torch.manual_seed(2)
    config = LadderConfig(state=8, hidden=8, width=8, pixels=(4, 4), blocks=1)
    noise = np.random.default_rng(2).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    ladder = LadderFloatModel(config).export([noise])
    sign = SignModel(SignConfig(n=4, m=16, activation="relu"))
    return {Coder.PACKED: sign.eval(), Coder.RANGED: ladder.eval()}


def seed_files(models: dict[Coder, Model]) -> dict[str, bytes]:
    """Small sound files, by name: families, tiles, grey, alpha, metadata, overlays."""
    gradient = Image.linear_gradient("L")
    colour = Image.merge("RGB", (gradient, Image.radial_gradient("L"), gradient.rotate(90)))
    small, grey = colour.resize((20, 17)), gradient.resize((33, 9))
    rich = small.copy()
    rich.putalpha(gradient.resize(rich.size))
    rich.info["icc_profile"] = _icc()
    exif = Image.Exif()
    exif[0x010E] = "a gradient"
    rich.info["exif"] = exif.tobytes()
    files = {}
    for model in models.values():
        for name, image, tile in (
            ("one-pixel", small.crop((0, 0, 1, 1)), 1024),
            ("tiles", small, 16),
            ("grey", grey, 32),
            ("rich", rich, 1024),
        ):
            files[f"{model.family}-{name}.bin"] = encode(image, model=model, tile=tile)
        files[f"{model.family}-lossless.bin"] = encode(rich, model=model, tile=16, lossless=True)
        files[f"{model.family}-mixed.bin"] = _mixed(model)
        if model.has_step_maps:
            large = colour.resize((100, 70))
            files[f"{model.family}-mapped.bin"] = encode(large, model=model, tile=80, roi=gradient)
    return files


def _mixed(model: Model) -> bytes:
    """Noise over the latents, stripes in overlays; tiles with both, and with each alone."""
    rgb = np.random.default_rng(0).integers(0, 256, (32, 96, 3), dtype=np.uint8)
    rgb[:, :48] = np.repeat([[0], [250]], 4, 0).reshape(8, 1)[np.arange(48) % 8]
    encoder = Encoder(from_pil(Image.fromarray(rgb)), model, tile=16)
    return encoder._write_layers(encoder._header(model.rates()[0]), encoder._layers[-1])[0]


def _icc() -> bytes:
    from PIL import ImageCms

    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def reseal(data: bytes) -> bytes:
    """``data`` with every checksum made right, as far as it can be understood."""
    out, cursor = bytearray(data), Cursor(data)
    places = []
    try:
        cursor.take(5)
        flags = cursor.unsigned(1)
        header = Header.parse(cursor, grey=False)
        header.check_tiles()
        layers = 2 if flags & 16 else 1
        for _ in range(layers * header.tiling.count + (flags & 7).bit_count()):
            places.append((cursor.varint(), cursor.position))
            cursor.take(4)
        offset = cursor.position + 4
        for length, place in places:
            part = data[offset : offset + length]
            out[place : place + 4] = zlib.crc32(part).to_bytes(4, "little")
            offset += length
        end = cursor.position
        out[end : end + 4] = zlib.crc32(out[:end]).to_bytes(4, "little")
    except BitcodecError:
        pass
    if len(out) > 4:
        out[-4:] = zlib.crc32(out[:-4]).to_bytes(4, "little")
    return bytes(out)


def exercise(data: bytes, models: dict[Coder, Model]) -> bool:
    """Read and decode ``data`` in every way; returns whether it was a picture.

    BitcodecError is what bad files are meant to give; everything else is passed on.
    """
    try:
        header = container.load_header(io.BytesIO(data)).header
    except BitcodecError:
        header = None
    if header is None:
        for read in (container.read, container.Source.of):
            try:
                read(data)
            except BitcodecError:
                continue
            raise AssertionError("a file without a header was read")
        return False
    model = models[header.coder]
    model.model_id = header.model_id
    given = {"model": model, "max_pixels": MAX_PIXELS[header.coder]}
    corner = (header.width // 2, header.height // 2, 1, 1)
    good = False
    for work in (
        lambda: decode(data, **given),
        lambda: decode(data, crop=corner, **given),
        lambda: decode(data, scale=1 / 8, **given),
        lambda: decode_partial(data, **given),
        lambda: decode_partial(data, crop=corner, scale=1 / 4, **given),
    ):
        try:
            work()
            good = True
        except BitcodecError:
            pass
    return good


class Mutator:
    """Draws broken files from sound ones."""

    def __init__(self, seeds: list[bytes], seed: int) -> None:
        self.seeds, self.random = seeds, random.Random(seed)
        self.kinds = (
            self.flip, self.overwrite, self.truncate, self.extend,
            self.splice, self.delete, self.repeat, self.header, self.header,
        )  # fmt: skip

    def draw(self) -> tuple[str, bytes]:
        """The kind of a mutation and the file."""
        kind = self.random.choice(self.kinds)
        data = kind(bytearray(self.random.choice(self.seeds)))
        if self.random.random() < 0.6:
            return f"{kind.__name__}, sealed", reseal(bytes(data))
        return kind.__name__, bytes(data)

    def _at(self, data: bytearray) -> int:
        """A position; half of them in the front, where the header is."""
        limit = len(data) if self.random.random() < 0.5 else min(len(data), 40)
        return self.random.randrange(limit)

    def flip(self, data: bytearray) -> bytearray:
        for _ in range(self.random.choice((1, 1, 2, 8))):
            data[self._at(data)] ^= 1 << self.random.randrange(8)
        return data

    def overwrite(self, data: bytearray) -> bytearray:
        start = self._at(data)
        for index in range(start, min(len(data), start + self.random.choice((1, 4, 32)))):
            data[index] = self.random.choice((0, 1, 0x7F, 0x80, 0xFF, self.random.randrange(256)))
        return data

    def truncate(self, data: bytearray) -> bytearray:
        return data[: self.random.randrange(len(data))]

    def extend(self, data: bytearray) -> bytearray:
        return data + self.random.randbytes(self.random.randrange(1, 64))

    def splice(self, data: bytearray) -> bytearray:
        other = self.random.choice(self.seeds)
        return data[: self._at(data)] + other[self.random.randrange(len(other)) :]

    def delete(self, data: bytearray) -> bytearray:
        start = self._at(data)
        del data[start : start + self.random.randrange(1, 16)]
        return data

    def repeat(self, data: bytearray) -> bytearray:
        start = self._at(data)
        part = data[start : start + self.random.randrange(1, 32)]
        return data[:start] + part * self.random.randrange(2, 9) + data[start:]

    def header(self, data: bytearray) -> bytearray:
        """A header of extreme or likely values, a table to it, and payloads of any kind."""
        pick, rnd = self.random.choice, self.random.randrange
        width, height = (pick((pick(INTERESTING), rnd(1, 300))) for _ in range(2))
        rate = pick((1, 16, 17, 5000, 9216, 1024, pick(INTERESTING)))
        coder, tile = pick((0, 1, 1, 2, rnd(256))), pick((1, 2, 64, 4096, pick(INTERESTING)))
        flags = pick((0, 8, 32, rnd(64), rnd(256)))
        out = bytearray(container.MAGIC) + bytes((pick((1, 1, 1, 1, 0, 2)), flags)) + bytes(8)
        out += varint(width) + varint(height) + varint(rate) + bytes((coder,)) + varint(tile)
        tiles = -(-width // max(1, 16 * tile)) * -(-height // max(1, 16 * tile))
        parts = min(tiles + (flags & 7).bit_count(), 300)
        lengths = [pick((0, 1, 4, 8, rnd(200), pick(INTERESTING[:-1]))) for _ in range(parts)]
        if self.random.random() < 0.7:
            lengths = [length % 256 for length in lengths]
        for length in lengths:
            out += varint(length) + bytes(4)
        out += bytes(4)
        for length in lengths:
            out += pick((bytes, self.random.randbytes, lambda n: b"\xff" * n))(min(length, 2000))
        return out + bytes(4)


def write_corpus(folder: Path) -> None:
    """The seeds as files, and one hostile file of each sort that was ever a finding or a worry."""
    models = tiny_models()
    files = seed_files(models)
    worries = {
        "claim-packed": Header(bytes(8), 2**14, 2**14, 16, Coder.PACKED, 2**16),
        "claim-ranged": Header(bytes(8), 2**14, 2**14, 5000, Coder.RANGED, 2**16),
        "claim-long": Header(bytes(8), 2**24, 1, 16, Coder.PACKED, 2**16),
    }
    for name, header in worries.items():
        tiles = tuple(bytes(4) for _ in range(min(header.tiling.count, 4096)))
        files[f"{name}.bin"] = container.write(container.Container(header, tiles))
    noise = np.random.default_rng(0).integers(0, 256, 400, np.uint8).tobytes()
    header = Header(bytes(8), 30, 20, 5000, Coder.RANGED, 1024)
    files["ranged-noise.bin"] = container.write(container.Container(header, (noise,)))
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
