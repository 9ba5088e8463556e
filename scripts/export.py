#!/usr/bin/env python3
"""Export trained weights of `ladder`: integers, and ranges for the int8 networks.

    scripts/export.py WEIGHTS FOLDER OUT

WEIGHTS is what training left as best-float.safetensors, or weights that were exported before;
FOLDER has pictures, on the first of which ranges are measured; OUT is written.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from bitcodec.models.ladder.model import LadderModel
from bitcodec.models.ladder.trainable import LadderFloatModel
from bitcodec.models.weights import load_weights, save_weights
from bitcodec.picture.images import open_picture

PICTURES = 24


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("weights", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    paths = sorted(path for path in options.folder.iterdir() if path.is_file())[:PICTURES]
    pictures = [open_picture(str(path)).rgb for path in paths]
    model = load_weights(options.weights)
    if not isinstance(model, LadderFloatModel):
        assert isinstance(model, LadderModel), "not weights of ladder"
        trainable = LadderFloatModel(model.config)
        trainable.load_exported(model)
        model = trainable
    print(save_weights(model.export(pictures), options.out, half=True).hex())
    return 0


if __name__ == "__main__":
    sys.exit(main())
