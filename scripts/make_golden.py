#!/usr/bin/env python3
"""Make the golden files of tests/golden/v1: tiny weights, files, and what they must decode to.

They are the promise that files of version 1 decode for ever, so they are not made again when a
test fails: they are made once, and added to. ``--write`` writes those that are missing;
``--write --replace`` all of them, which breaks the promise and needs a reason in CHANGELOG.md.

For each NAME.bin there are NAME.npz (the latents of each tile that has any, ``tile0`` ...: exact)
and NAME.png (the pixels: within 1). Weights are compressed by xz.
"""

from __future__ import annotations

import argparse
import io
import lzma
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageCms, ImageDraw

import bitcodec
from bitcodec.codec.encode import Encoder
from bitcodec.format import container
from bitcodec.models.base import Model
from bitcodec.models.ladder.config import LadderConfig
from bitcodec.models.ladder.context_float import Context
from bitcodec.models.ladder.model import LadderModel
from bitcodec.models.ladder.quantize import calibrate, export_context
from bitcodec.models.ladder.ranges import measure_ranges
from bitcodec.models.sign.config import SignConfig
from bitcodec.models.sign.model import SignModel
from bitcodec.models.weights import save_weights
from bitcodec.picture import images
from bitcodec.runtime.loaded import open_model

FOLDER = Path(__file__).resolve().parent.parent / "tests" / "golden" / "v1"
LADDER = LadderConfig(state=12, hidden=10, width=8, pixels=(6, 8), blocks=1)


def sign() -> SignModel:
    torch.manual_seed(8)
    model = SignModel(SignConfig(n=8, m=16))
    for parameter in model.parameters():  # so that the pixels are not all grey
        parameter.data.mul_(2)
    return model


def ladder() -> LadderModel:
    torch.manual_seed(16)
    context = Context(LADDER)
    for parameter in context.parameters():
        parameter.data.add_(torch.randn_like(parameter) * 0.3)
    for head in context.heads:  # so that centres are some levels, not thousands
        head.o.weight.data.mul_(0.12)  # type: ignore[union-attr,operator]
    step = torch.full((1, 1, 1, 1), 32.0)
    q = torch.round(4 * torch.randn(1, 768, 8, 8))
    calibrate(context, [(q, step)])
    model = LadderModel(LADDER)
    for branch in (
        model.transform.analysis_trunk[-1],
        model.transform.synthesis_trunk[-1],
        model.transform.up.out,
    ):
        torch.nn.init.normal_(branch.weight, std=0.02)
    torch.nn.init.normal_(model.transform.log_gains, std=0.1)
    model.context = export_context(context)
    most = model.context.tensors["most"]
    most[:] = np.linspace(10, most.max(), len(most))  # used by wide nets
    noise = 255 * torch.rand(1, 3, 64, 64)
    model.ranges = measure_ranges(model.transform, [(noise, step)])
    return model


def certain() -> LadderModel:
    """One that is certain of many latents, and has the zeros in its table that say so."""
    model = ladder()
    for index in range(9, 18):
        for name in ("weight", "bias"):
            model.context.tensors[f"heads.{index}.o.{name}"].fill(0)
    return model


def drawn(width: int, height: int, mode: str) -> Image.Image:
    """A picture with gradients, an edge and noise."""
    rng = np.random.default_rng(width * 1000 + height)
    y, x = np.mgrid[:height, :width]
    planes = (255 * x / width, 255 * y / height, 127 + 127 * np.sin(x * y / 40))
    rgb = np.stack(planes, 2) + rng.normal(0, 12, (height, width, 3))
    rgb[(x > width // 3) & (y > height // 2)] = (220, 30, 60)
    image = Image.fromarray(rgb.clip(0, 255).astype(np.uint8))
    if mode.endswith("A"):
        image.putalpha(Image.fromarray((255 * (x + y) // (width + height)).astype(np.uint8)))
    return image.convert(mode)


def lettered(width: int, height: int) -> Image.Image:
    """Letters on the left, noise on the right."""
    noise = np.random.default_rng(width).normal(120, 30, (height, width, 3))
    image = Image.fromarray(noise.clip(0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, width // 2 - 1, height), fill=(240, 250, 230))
    for y in range(2, height, 16):
        draw.text((3, y), "bits 0110", fill=(10, 20, 120))
    return image


def with_metadata(image: Image.Image) -> Image.Image:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    image.info["icc_profile"] = profile.tobytes()
    exif = image.getexif()
    exif[0x010E] = "golden"
    image.info["exif"] = exif.tobytes()
    return image


#: name: picture, rate, tile
SIGN_FILES = {
    "sign-rgb": (lambda: drawn(70, 40, "RGB"), 16, 32),
    "sign-grey": (lambda: drawn(33, 17, "L"), 5, 1024),
    "sign-all": (lambda: with_metadata(drawn(40, 20, "RGBA")), 9, 16),
    "sign-1x1": (lambda: drawn(1, 1, "RGB"), 1, 16),
    "sign-mixed": (lambda: lettered(150, 50), 9, 32),
}
LADDER_FILES = {
    "ladder-rgb": (lambda: drawn(70, 40, "RGB"), 5120, 32),
    "ladder-fine": (lambda: drawn(40, 33, "RGB"), 1024, 1024),
    "ladder-grey": (lambda: drawn(17, 33, "L"), 7000, 1024),
    "ladder-all": (lambda: with_metadata(drawn(40, 20, "LA")), 6000, 16),
    "ladder-1x1": (lambda: drawn(1, 1, "RGB"), 9216, 16),
    "ladder-mixed": (lambda: lettered(90, 40), 7000, 1024),
    "ladder-lossless": (lambda: lettered(60, 40).convert("LA"), 9216, 32),
    "ladder-mapped": (lambda: drawn(170, 90, "RGB"), 6500, 96),
}
CERTAIN_FILES = {
    "certain-yes": (lambda: drawn(8, 5, "RGB").resize((90, 50)), 7000, 1024),
    "certain-no": (lambda: drawn(40, 33, "RGB"), 5000, 16),
}
Files = dict[str, tuple[Callable[[], Image.Image], int, int]]


def encoded(name: str, picture: Image.Image, model: Model, rate: int, tile: int) -> bytes:
    """A file; by its name one that has overlays, nothing else, or a map of steps."""
    roi = None
    if name.endswith("-mapped"):
        squares = np.random.default_rng(tile).choice(np.uint8([0, 100, 255]), (3, 6))
        roi = squares.repeat(32, 0).repeat(32, 1)[:90, :170]
    encoder = Encoder(images.from_pil(picture), model, tile=tile, effort=5, roi=roi)
    if name.endswith("-lossless"):
        return encoder.encode_lossless()
    if name.endswith("-mixed"):
        return encoder._write_layers(encoder._header(rate), encoder._layers[-1])[0]
    encoder._layers = ()  # tiles alone, whatever is cheapest
    return encoder.encode(rate)


def results(model: Model, files: Files) -> Iterator[tuple[str, bytes]]:
    """(name, content) of every file of a family."""
    for name, (picture, rate, tile) in files.items():
        data = encoded(name, picture(), model, rate, tile)
        source = container.Source.of(data)
        tiles = {}
        for index in range(source.header.tiling.count):
            shape, header = source.header.tiling.latent_box(index).shape, source.header
            if source.has_payload(index):
                payload = source.tile(index)
                tiles[f"tile{index}"] = model.decode_tile(
                    payload, shape, header.rate, header.mapped
                )
        packed, png = io.BytesIO(), io.BytesIO()
        np.savez_compressed(packed, **tiles)  # type: ignore[arg-type]
        bitcodec.decode(data, model=model).save(png, "PNG", optimize=True, exif=b"")
        yield f"{name}.bin", data
        yield f"{name}.npz", packed.getvalue()
        yield f"{name}.png", png.getvalue()


def contents() -> Iterator[tuple[str, bytes]]:
    families = ((sign, SIGN_FILES), (ladder, LADDER_FILES), (certain, CERTAIN_FILES))
    for make, files in families:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, f"{make.__name__}.safetensors")
            stored = FOLDER / f"{path.name}.xz"
            if stored.exists() and "--replace" not in sys.argv:
                path.write_bytes(lzma.decompress(stored.read_bytes()))
            else:
                save_weights(make(), path, half=True)
            yield stored.name, lzma.compress(path.read_bytes(), preset=9 | lzma.PRESET_EXTREME)
            yield from results(open_model(path, "cpu"), files)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write the files that are missing")
    parser.add_argument("--replace", action="store_true", help="with --write: all of them")
    options = parser.parse_args()
    if not options.write:
        parser.error("nothing is written without --write; see the text of this script")
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, content in contents():
        path = FOLDER / name
        if options.replace or not path.exists():
            path.write_bytes(content)
            print(f"{path}: {len(content)} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
