"""A child of fork encodes, decodes and ends, whatever threads the parent had; no telemetry."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

_SCRIPT = """
import os, sys
import numpy as np
import bitcodec
assert "ORT_DISABLE_TELEMETRY" not in os.environ
models = [bitcodec.load_model(path, device="cpu") for path in sys.argv[2:]]
rgb = np.random.default_rng(0).integers(0, 256, (96, 160, 3), dtype=np.uint8)

def use():
    files = [bitcodec.encode(rgb, model=model, tile=48) for model in models]
    for data, model in zip(files, models):
        bitcodec.decode(data, model=model)
    return files

wanted = use()
child = os.fork()
if not child:
    if sys.argv[1] == "used" and use() != wanted:
        os._exit(1)
    sys.exit(0)  # as a program ends, not as multiprocessing does
status = os.waitpid(child, 0)[1]
assert use() == wanted
sys.exit(status != 0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.parametrize("how", ["used", "unused"])
def test_a_child_works_and_ends(
    how: str, tiny_folder: Path, ladder_file: Path, tmp_path: Path
) -> None:
    models = [str(tiny_folder / "sign.safetensors"), str(ladder_file)]
    home = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _SCRIPT, how, *models],
        env={**os.environ, **home, "BITCODEC_THREADS": "2"},
        check=True,
        timeout=100,
    )
    assert not list(tmp_path.rglob("*onnxruntime*"))
