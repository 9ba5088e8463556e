#!/usr/bin/env python3
"""What int8 costs the synthesis of `ladder`: scripts/int8_cost.py PICTURE... [-m WEIGHTS].

The same latents go through the graphs of int8 and through the float form in torch. Prints for
qualities 10, 30, 50, 70 and 90 the mean and the largest loss of PSNR in dB.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from bitcodec.models.ladder.steps import step_of_code
from bitcodec.models.weights import load_weights
from bitcodec.picture.images import open_picture
from bitcodec.picture.metrics import psnr
from bitcodec.runtime.loaded import load_model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pictures", type=Path, nargs="+")
    parser.add_argument("-m", "--model", type=Path, default=Path("weights/ladder.safetensors"))
    options = parser.parse_args()
    coded = load_model(options.model, device="cpu")
    transform = cast(Any, load_weights(options.model).float()).transform
    print("quality  mean dB  largest dB")
    for quality in (10, 30, 50, 70, 90):
        rate, lost = coded.rate_for_quality(quality), []
        step = torch.full((1, 1, 1, 1), step_of_code(rate))
        for path in options.pictures:
            rgb = open_picture(path).rgb
            rgb = rgb[: len(rgb) // 16 * 16, : rgb.shape[1] // 16 * 16]
            y = coded.analyze(rgb, rate)
            q = coded.decode_tile(coded.encode_tile(y, rate, 5), y.shape[1:], rate)
            with torch.no_grad():
                pixels = transform.synthesize(torch.from_numpy(q.copy()).float()[None], step)[0]
            exact = pixels.permute(1, 2, 0).clamp(0, 255).round().byte().numpy()
            lost.append(psnr(exact, rgb) - psnr(coded.synthesize_pixels(q, rate), rgb))
        print(f"{quality:7}  {np.mean(lost):7.3f}  {max(lost):10.3f}")


if __name__ == "__main__":
    main()
