#!/usr/bin/env python
"""Golden files on other processors: scripts/processors.py [CPU]..., default Nehalem Haswell max.

Runs itself under qemu-x86_64 (Debian's qemu-user) for each CPU. With --here it decodes every golden
file on this machine, or under qemu-aarch64 with a Python of that kind (docs/robustness.md): latents
must be exact, pixels within 1. Where there is no constriction, the second decoder decides in its
place. Exits with 1 after a difference.
"""

from __future__ import annotations

import importlib.util
import lzma
import os
import subprocess
import sys
import tempfile
import types
from pathlib import Path

import numpy as np
from PIL import Image

TESTS = Path(__file__).resolve().parent.parent / "tests"


def stand_in() -> types.ModuleType:
    """A module like constriction that only decodes, slowly."""
    sys.path.insert(0, str(TESTS))
    from second_decoder import RangeDecoder

    class Decoder(RangeDecoder):  # type: ignore[misc]
        def __init__(self, words: np.ndarray) -> None:
            super().__init__(words.astype("<u4").tobytes())

        def decode(self, model: tuple[float, ...], what: np.ndarray | int) -> np.ndarray:
            each = np.full(what, model[0]) if model else np.asarray(what)
            return np.array([self.decide(round(65536 * p)) for p in each])

        def maybe_exhausted(self) -> bool:
            self.finish()
            return True

    module, some = types.ModuleType("constriction"), types.SimpleNamespace
    module.stream = some(  # type: ignore[attr-defined]
        queue=some(RangeDecoder=Decoder), model=some(Bernoulli=lambda *p, perfect: p)
    )
    return module


def check(weights: Path) -> bool:
    """Whether all golden files come out right; a line for each."""
    if importlib.util.find_spec("constriction") is None:
        sys.modules["constriction"] = stand_in()
    import bitcodec
    from bitcodec.format.container import Source
    from bitcodec.runtime.onnx_session import adds_in_16_bits

    golden, good = TESTS / "golden" / "v1", True
    for path in golden.glob("*.safetensors.xz"):
        (weights / path.stem).write_bytes(lzma.decompress(path.read_bytes()))
    print(f"sums of two products are cut to 16 bits: {adds_in_16_bits()}", flush=True)
    for path in sorted(golden.glob("*.bin")):
        source = Source.of(path.read_bytes())
        model = bitcodec.load_model(weights / f"{path.stem.split('-')[0]}.safetensors")
        tiling, header = source.header.tiling, source.header
        tiles = [
            model.decode_tile(
                source.tile(index), tiling.latent_box(index).shape, header.rate, header.mapped
            )
            for index in range(tiling.count)
            if source.has_payload(index)
        ]
        with np.load(path.with_suffix(".npz")) as stored:
            wanted = [stored[name] for name in stored.files]
        exact = len(tiles) == len(wanted) and all(map(np.array_equal, tiles, wanted))
        pixels = np.asarray(bitcodec.decode(path, model=model)).astype(int)
        with Image.open(path.with_suffix(".png")) as picture:
            off = int(np.abs(pixels - np.asarray(picture)).max())
        print(f"{path.stem}: latents {exact}, pixels within {off}", flush=True)
        good &= exact and off <= 1
    return good


def main() -> int:
    if "--here" in sys.argv:
        with tempfile.TemporaryDirectory() as folder:
            return 0 if check(Path(folder)) else 1
    codes = []
    for cpu in sys.argv[1:] or ["Nehalem", "Haswell", "max"]:
        print(f"# {cpu}", flush=True)
        line = ["qemu-x86_64", "-cpu", cpu, sys.executable, __file__, "--here"]
        codes.append(subprocess.run(line, check=False, env=os.environ | {"BITCODEC_THREADS": "1"}))
    return max(code.returncode != 0 for code in codes)


if __name__ == "__main__":
    sys.exit(main())
