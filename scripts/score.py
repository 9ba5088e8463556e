#!/usr/bin/env python
"""The validation score of weights: what training minimises, measured on real files.

    scripts/score.py FOLDER WEIGHTS... [--edge 384] [--rdo C]... [--similarity M] [--eyes E]

A line for each file and each rounding weight (the file's own without --rdo): score, and bits per
pixel and PSNR at steps 16, 40 and 96. Only pictures for choosing belong here, never Kodak.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from bitcodec.models.weights import load_weights
from bitcodec.training.data import centre, load_pictures
from bitcodec.training.ladder_task import LadderTask


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("weights", type=Path, nargs="+")
    parser.add_argument("--edge", type=int, default=384)
    parser.add_argument("--rdo", type=float, action="append", default=[])
    parser.add_argument("--effort", type=int, default=5)
    parser.add_argument("--similarity", type=float, default=0.15)
    parser.add_argument("--eyes", type=float, default=0.5)
    options = parser.parse_args()
    pictures = [centre(p, options.edge) for p in load_pictures(options.folder, 1)[0]]
    task = LadderTask(similarity=options.similarity, eyes=options.eyes, effort=options.effort)
    for path in options.weights:
        model = load_weights(path)
        for rdo in options.rdo or [model.config.rdo]:
            model.config = dataclasses.replace(model.config, rdo=rdo)
            got = task.validate(model, pictures)
            rows = "  ".join(f"{bpp:.4f} {db:.3f}" for _, bpp, db in got.rows)
            print(f"{path} c={rdo:g} score {got.score:.5f}  {rows}", flush=True)


if __name__ == "__main__":
    main()
