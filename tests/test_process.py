"""A program that uses the package keeps its own settings; the command's process gets its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from PIL import Image

import bitcodec
from bitcodec.cli.main import main


def settings() -> list[object]:
    """What belongs to whoever runs the process."""
    numbers = [signal.SIGTERM, signal.SIGINT, signal.SIGPIPE] if os.name == "posix" else []
    return [
        torch.get_num_threads(),
        torch.get_num_interop_threads(),
        Image.MAX_IMAGE_PIXELS,
        dict(os.environ),
        sys.stdout.errors,
        *map(signal.getsignal, numbers),
    ]


@pytest.mark.usefixtures("tiny_weights")
def test_nothing_is_changed_behind_a_users_back(picture: Path, tmp_path: Path) -> None:
    before = settings()
    data = bitcodec.encode(picture, tile=16)
    bitcodec.decode(data)
    assert main(["encode", str(picture), str(tmp_path / "a.bin")]) == 0
    assert main(["decode", str(tmp_path / "a.bin"), str(tmp_path / "b.png")]) == 0
    assert main(["encode", "missing", str(tmp_path / "c.bin")]) == 5
    assert settings() == before


@pytest.mark.usefixtures("tiny_weights")
def test_the_command_runs_on_any_thread(picture: Path, tmp_path: Path) -> None:
    codes: list[int] = []
    target = str(tmp_path / "a.bin")
    thread = threading.Thread(target=lambda: codes.append(main(["encode", str(picture), target])))
    thread.start()
    thread.join()
    assert codes == [0]
    assert bitcodec.decode(target).size == (48, 32)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [({}, "0 passive"), ({"OMP_WAIT_POLICY": "active"}, "None active")],
)
def test_threads_of_the_command_sleep_while_they_wait(given: dict[str, str], wanted: str) -> None:
    """Set before torch, whose OpenMP reads it when it is loaded."""
    code = """
import os, sys
sys.argv = ["bitcodec", "models"]
from bitcodec.cli.main import main
main()
assert "torch" not in sys.modules
print(os.environ.get("GOMP_SPINCOUNT"), os.environ.get("OMP_WAIT_POLICY"))
"""
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("GOMP_", "OMP_"))}
    plain["PYTHONPATH"] = str(Path(__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", code], env=plain | given, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == wanted
