#!/usr/bin/env python3
"""bitcodec beside AVIF, WebP and PNG on ten pictures that are not photographs, or not only.

    scripts/any_picture.py [--only NAME] [--save FOLDER]

Prints a Markdown table: bytes and PSNR of bitcodec at its default quality; of AVIF (4:4:4, speed 6)
at its default quality, and at the lowest quality whose PSNR is no less than bitcodec's; bytes of
WebP (lossless, method 6; also with hidden colours) and PNG; and bytes of `--lossless`. Pixels under
an alpha of 0 count for nothing in lossy PSNR. Exits with 1 where a lossless file does not decode to
the same pixels.
"""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
from made_pictures import pictures
from PIL import Image

import bitcodec
from bitcodec.picture.metrics import psnr

HEAD = (
    "picture",
    "bitcodec, bytes",
    "dB",
    "AVIF q75",
    "dB",
    "AVIF at our dB",
    "WebP lossless",
    "exact",
    "PNG",
    "--lossless",
    "the same",
)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    """The bytes of a file."""
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def quality_of(original: Image.Image, decoded: Image.Image) -> float:
    """PSNR over RGB, and alpha where there is one; hidden colours are left out."""
    one, other = (np.array(image.convert(original.mode)) for image in (original, decoded))
    if original.mode == "RGBA":
        hidden = one[..., 3] == 0
        one[hidden, :3] = other[hidden, :3] = 0
    return psnr(one, other)


def avif_at(image: Image.Image, wanted: float) -> int | None:
    """Bytes of the smallest AVIF file of at least so many dB; None where there is none."""
    low, high, best = 0, 100, None
    while low <= high:
        quality = (low + high) // 2
        data = saved(image, "AVIF", quality=quality, subsampling="4:4:4", speed=6)
        if quality_of(image, Image.open(io.BytesIO(data))) >= wanted:
            best, high = len(data), quality - 1
        else:
            low = quality + 1
    return best


def measure(name: str, image: Image.Image, folder: Path | None) -> tuple[list[str], bool]:
    """A row of the table, and whether the lossless file is the picture."""
    ours = bitcodec.encode(image)
    quality = quality_of(image, bitcodec.decode(ours))
    avif = saved(image, "AVIF", quality=75, subsampling="4:4:4", speed=6)
    avif_quality = quality_of(image, Image.open(io.BytesIO(avif)))
    equal = avif_at(image, quality)
    whole = bitcodec.encode(image, lossless=True)
    again = bitcodec.decode(whole).convert(image.mode)
    same = again.tobytes() == image.tobytes()
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.bin").write_bytes(ours)
        image.save(folder / f"{name}.png")
    row = (
        name,
        len(ours),
        f"{quality:.1f}",
        len(avif),
        f"{avif_quality:.1f}",
        equal or "-",
        *(len(saved(image, "WEBP", lossless=True, method=6, exact=e)) for e in (False, True)),
        len(saved(image, "PNG", optimize=True)),
        len(whole),
        "yes" if same else "no",
    )
    return [str(cell) for cell in row], same


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", action="append", help="a picture by name; may be repeated")
    parser.add_argument("--save", type=Path, help="folder for the pictures and their files")
    options = parser.parse_args()
    print(f"| {' | '.join(HEAD)} |\n|{' --- |' * len(HEAD)}", flush=True)
    right = True
    for name, image in pictures():
        if options.only is None or name in options.only:
            row, same = measure(name, image, options.save)
            right &= same
            print(f"| {' | '.join(row)} |", flush=True)
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
