#!/usr/bin/env python
"""What a decoder makes of files: scripts/fingerprint.py FILE... [--threads N] [--double]
                                   [--plain] [--out DIR] [--against DIR].

Prints a SHA-256 of each file's latents, which must be the same on every machine, thread count and
torch version, and one of the pixels, which may differ by a level. --double sets torch's default
dtype to float64, --plain leaves bfloat16 and int8 products aside, as a processor without them
does. --out saves the pixels as PNG; --against compares them with such a folder, and
exits with 1 where latents differ or a pixel by more than 1.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import bitcodec
from bitcodec.format.container import read
from bitcodec.models.registry import find_by_id
from bitcodec.runtime.loaded import open_model


def latents_hash(data: bytes) -> str:
    """SHA-256 over the latents of all tiles, as int32."""
    parts = read(data)
    model = open_model(find_by_id(parts.header.model_id).path, "cpu")
    digest = hashlib.sha256()
    for index, payload in enumerate(parts.tiles):
        x0, y0, x1, y1 = parts.header.tiling.latent_box(index)
        header = parts.header
        q = model.decode_tile(payload, (y1 - y0, x1 - x0), header.rate, header.mapped)
        digest.update(np.ascontiguousarray(q, np.int32).tobytes())
    return digest.hexdigest()[:16]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--double", action="store_true")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--against", type=Path)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    if options.double:
        torch.set_default_dtype(torch.float64)
    worst, differing = 0, 0
    known = {}
    if options.against:
        lines = (options.against / "latents.txt").read_text().splitlines()
        known = dict(line.split() for line in lines)
    lines = []
    for path in options.files:
        data = path.read_bytes()
        latents, pixels = latents_hash(data), np.asarray(bitcodec.decode(data))
        lines.append(f"{path.stem} {latents}")
        print(f"{path.stem}: latents {latents}, pixels {hashlib.sha256(pixels).hexdigest()[:16]}")
        if options.out:
            options.out.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(options.out / f"{path.stem}.png")
        if options.against:
            differing += known[path.stem] != latents
            with Image.open(options.against / f"{path.stem}.png") as image:
                other = np.asarray(image, np.int16)
            worst = max(worst, int(np.abs(other - pixels).max()))
    if options.out:
        (options.out / "latents.txt").write_text("\n".join(lines) + "\n")
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    if options.against:
        print(f"{differing} files with other latents, pixels differ by at most {worst}")
    return 1 if differing or worst > 1 else 0


if __name__ == "__main__":
    sys.exit(main())
