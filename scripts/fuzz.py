#!/usr/bin/env python
"""Coverage-guided fuzzing of the decoder, with atheris (pip install atheris).

    scripts/fuzz.py WORK tests/corpus -max_total_time=1800 -rss_limit_mb=3072 -timeout=10

WORK is a folder for what is found on the way; the other arguments are libFuzzer's. Half of the
mutations get right checksums, so that the fuzzer sees behind them.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["bitcodec"]):
    from hostile import exercise, reseal, tiny_models

import torch

torch.set_num_threads(1)
MODELS = tiny_models()


def one_input(data: bytes) -> None:
    exercise(data, MODELS)


def mutate(data: bytes, max_size: int, seed: int) -> bytes:
    out = atheris.Mutate(data, max_size)
    return reseal(out) if random.Random(seed).random() < 0.5 else out


def main() -> None:
    for argument in sys.argv[1:]:
        if not argument.startswith("-"):
            Path(argument).mkdir(parents=True, exist_ok=True)
    atheris.Setup(sys.argv, one_input, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
