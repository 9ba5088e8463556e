#!/usr/bin/env python
"""Does every quality cost more and give more? scripts/monotone.py PICTURE... [-m MODEL] [-q A-B].

Encodes and decodes each picture at every quality; a file that is not larger, or a PSNR that is not
higher, than at the quality before is a finding. Exits with 1 if there were any.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import os
import sys
from itertools import pairwise

import numpy as np
import torch
from PIL import Image

import bitcodec
from bitcodec.picture.metrics import psnr


def measure(job: tuple[str, str, range]) -> list[tuple[int, int, float]]:
    """(quality, bytes, PSNR in dB) of one picture."""
    path, name, qualities = job
    torch.set_num_threads(1)
    model = bitcodec.load_model(name, device="cpu")
    with Image.open(path) as image:
        picture = np.asarray(image.convert("RGB"))
    rows = []
    for quality in qualities:
        data = bitcodec.encode(picture, model=model, quality=quality)
        out = np.asarray(bitcodec.decode(data, model=model))
        rows.append((quality, len(data), psnr(picture, out)))
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pictures", nargs="+")
    parser.add_argument("-m", "--model", default="ladder")
    parser.add_argument("-q", "--qualities", default="1-100")
    parser.add_argument("-j", "--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    low, _, high = options.qualities.partition("-")
    jobs = [(p, options.model, range(int(low), int(high or low) + 1)) for p in options.pictures]
    findings = 0
    with concurrent.futures.ProcessPoolExecutor(options.jobs) as pool:
        for path, rows in zip(options.pictures, pool.map(measure, jobs), strict=True):
            for (_, size, db), (quality, more, better) in pairwise(rows):
                if more <= size or better <= db:
                    findings += 1
                    print(f"{path}: q{quality}: {size} to {more} bytes, {db:.4f} to {better:.4f}")
            span = f"{rows[0][1]} to {rows[-1][1]} bytes, {rows[0][2]:.2f} to {rows[-1][2]:.2f} dB"
            print(f"{path}: {len(rows)} qualities, {span}", flush=True)
    print(f"{findings} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
