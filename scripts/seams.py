#!/usr/bin/env python
"""Error around tile borders against elsewhere: scripts/seams.py PICTURE... [--tile 256] [-m MODEL].

Squared error of the decoded pictures in the 16 pixels on either side of a border, and of all other
pixels, summed over all pictures. Error goes with content and borders do not choose theirs, so the
same pixels of a file with no borders inside (tile 16384) are the reference:

    excess = (border / elsewhere) / (border / elsewhere of the untiled file) - 1

Limit of issue 5: 5 %. Exits with 1 over it.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
from PIL import Image

import bitcodec

MARGIN = 16


def near_border(edge: int, tile: int) -> np.ndarray:
    """Whether each of ``edge`` positions is within MARGIN of a border between tiles."""
    at = np.arange(edge)
    border = np.round(at / tile) * tile
    inside = (border > 0) & (border < edge)
    return np.asarray(inside & (at >= border - MARGIN) & (at < border + MARGIN))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pictures", nargs="+")
    parser.add_argument("--tile", type=int, default=256)
    parser.add_argument("-m", "--model", default="ladder")
    parser.add_argument("-q", "--quality", type=int)
    options = parser.parse_args()
    model = bitcodec.load_model(options.model)
    sums = {options.tile: np.zeros(4), 16384: np.zeros(4)}
    for path in options.pictures:
        with Image.open(path) as image:
            picture = np.asarray(image.convert("RGB"))
        rows, columns = (near_border(edge, options.tile) for edge in picture.shape[:2])
        near = rows[:, None] | columns[None]
        for tile, total in sums.items():
            data = bitcodec.encode(picture, model=model, quality=options.quality, tile=tile)
            out = np.asarray(bitcodec.decode(data, model=model), np.float64)
            error = np.square(out - picture).mean(2)
            total += error[near].sum(), near.sum(), error[~near].sum(), (~near).sum()
    ratios = []
    for tile, (border, count, other, rest) in sums.items():
        ratios.append((border / count) / (other / rest))
        print(f"tile {tile}: MSE {border / count:.3f} near borders, {other / rest:.3f} elsewhere")
    excess = ratios[0] / ratios[1] - 1
    print(f"excess {100 * excess:+.2f} %")
    return 1 if excess > 0.05 else 0


if __name__ == "__main__":
    sys.exit(main())
