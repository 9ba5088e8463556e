#!/usr/bin/env python
"""Give `sign` weights the 3x3 convolution that previews are read from: linear least squares.

    scripts/fit_preview.py WEIGHTS FOLDER OUT [--crops 400] [--half]

The features are those of the synthesis at stride 8, the targets means of 8x8 pixels of the
pictures in FOLDER (the training set); the bits are truncated at random as in training.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from bitcodec.models.sign.model import SignModel
from bitcodec.models.weights import load_weights, save_weights
from bitcodec.training.config import DataConfig
from bitcodec.training.data import CropSource, load_pictures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--crops", type=int, default=400)
    parser.add_argument("--half", action="store_true")
    options = parser.parse_args()
    old = load_weights(options.weights)
    if not isinstance(old, SignModel):
        raise SystemExit(f"{options.weights}: not sign weights")
    pictures, _ = load_pictures(options.folder, 160)
    source = CropSource(pictures, DataConfig(crop=160, batch=8), 0, 0)
    rng = np.random.default_rng(0)
    n = 9 * old.config.n + 1
    square, product = torch.zeros(n, n, dtype=torch.float64), torch.zeros(n, 3, dtype=torch.float64)
    with torch.inference_mode():
        for index in range(options.crops // 8):
            x = source[index].float() / 255
            m = int(rng.choice([64, 128, 192, int(rng.integers(1, 193))]))
            a = old.stride8_features(old.quantize(x)[:, : min(m, old.config.m)])
            a = F.pad(F.unfold(a, 3, padding=1), (0, 0, 0, 1), value=1.0)  # ones for the bias
            a = a.transpose(1, 2).flatten(0, 1).double()
            b = (F.avg_pool2d(x, 8) - 0.5).permute(0, 2, 3, 1).flatten(0, 2).double()
            square += a.t() @ a
            product += a.t() @ b
    solution = torch.linalg.solve(square + 1e-3 * torch.eye(n, dtype=torch.float64), product)
    model = SignModel(dataclasses.replace(old.config, preview=True))
    model.load_state_dict(
        {
            **old.state_dict(),
            "small.weight": solution[:-1].t().reshape(3, old.config.n, 3, 3),
            "small.bias": solution[-1],
        }
    )
    print(save_weights(model, options.out, half=options.half).hex())


if __name__ == "__main__":
    main()
