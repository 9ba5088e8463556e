#!/usr/bin/env python3
"""Make docs/crop.png: one crop of a picture by four codecs at nearly the same bytes.

    scripts/readme_picture.py [PICTURE] [--box X,Y,WIDTH,HEIGHT] [--bpp RATE] [-o FILE]

Each codec codes the whole picture, as nearly to the rate as it can; under each crop stand its name,
bytes and scores, which are of the whole picture. The crop is shown pixel for pixel.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from bitcodec.evaluate.codecs import MeasuredCodec
from bitcodec.evaluate.learned import LearnedCodec
from bitcodec.evaluate.metrics import Scorer, chosen
from bitcodec.evaluate.rivals import rival

ROOT = Path(__file__).resolve().parent.parent
MOST = 400_000  # bytes of the PNG
GAP, LINES, LINE = 4, 3, 17  # pixels between crops, lines of text under them, a line's height
RIVALS = {"jpeg-420": "JPEG", "webp-m6": "WebP", "avif-444-s3": "AVIF 4:4:4"}


def main() -> None:
    """Write the picture, and say what is in it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture", nargs="?", default=ROOT / "samples" / "coffee.png", type=Path)
    parser.add_argument("--box", default="330,140,208,240")
    parser.add_argument("--bpp", type=float, default=0.3)
    parser.add_argument("-o", "--output", default=ROOT / "docs" / "crop.png", type=Path)
    options = parser.parse_args()
    x, y, width, height = map(int, options.box.split(","))
    with Image.open(options.picture) as image:
        pixels = np.asarray(image.convert("RGB"))
    size = round(options.bpp * pixels.shape[0] * pixels.shape[1] / 8)
    score = Scorer(pixels, chosen(["psnr", "ms-ssim", "ssimulacra2"]))
    own = LearnedCodec("ladder", device="cpu")
    codecs: list[tuple[str, MeasuredCodec]] = [(title, rival(n)) for n, title in RIVALS.items()]
    sheet = Image.new("RGB", (4 * width + 3 * GAP, height + LINES * LINE + 4), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for number, (title, codec) in enumerate([*codecs, ("bitcodec", own)]):
        setting, data = codec.fit(pixels, size)
        decoded = codec.decode(data)
        scores = score(decoded)
        left = number * (width + GAP)
        sheet.paste(Image.fromarray(decoded[y : y + height, x : x + width]), (left, 0))
        texts = (
            f"{title}, {len(data):,} bytes",
            f"SSIMULACRA2 {scores['ssimulacra2']:.1f}",
            f"PSNR {scores['psnr']:.2f}, MS-SSIM {scores['ms-ssim']:.4f}",
        )
        for line, text in enumerate(texts):
            draw.text((left + 2, height + 2 + line * LINE), text, "black", font)
        print(f"{codec.name} {setting.label}: " + "; ".join(texts))
    sheet.save(options.output, optimize=True)
    if options.output.stat().st_size > MOST:
        sys.exit(f"{options.output}: more than {MOST} bytes")


if __name__ == "__main__":
    main()
