"""The command in a process of its own: pipes, terminals, signals."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bitcodec.format import container

Draw = Callable[..., Image.Image]


def command(*args: str | Path, **options: Any) -> subprocess.CompletedProcess[bytes]:
    """The command in a process of its own."""
    line = [sys.executable, "-m", "bitcodec", *map(str, args)]
    return subprocess.run(line, capture_output=True, check=False, timeout=60, **options)


def test_pipes(tiny_weights: Path, picture: Path) -> None:
    encoded = command("encode", "-", "-", input=picture.read_bytes())
    assert encoded.returncode == 0, encoded.stderr
    assert encoded.stdout[:4] == container.MAGIC
    assert encoded.stderr.startswith(b"<stdin> -> <stdout>: ")
    decoded = command("decode", "-", input=encoded.stdout)
    assert decoded.returncode == 0
    with Image.open(io.BytesIO(decoded.stdout)) as image:
        assert (image.format, image.size) == ("PNG", (48, 32))


def test_empty_standard_input(tiny_weights: Path) -> None:
    done = command("decode", "-", input=b"")
    assert done.returncode == 3
    assert done.stderr.startswith(b"bitcodec: error: <stdin>: ")
    assert done.stdout == b""


def test_broken_pipe(tiny_weights: Path, picture: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    line = [sys.executable, "-m", "bitcodec", "encode", str(picture), "-"]
    done = subprocess.run(line, stdout=writer, stderr=subprocess.PIPE, check=False, timeout=60)
    os.close(writer)
    assert done.returncode == 5
    assert done.stderr.count(b"\n") == 1
    assert b"Traceback" not in done.stderr


def test_binary_is_not_written_to_a_terminal(tiny_weights: Path, picture: Path) -> None:
    pty = pytest.importorskip("pty")
    main_end, terminal = pty.openpty()
    line = [sys.executable, "-m", "bitcodec", "encode", str(picture), "-"]
    done = subprocess.run(line, stdout=terminal, stderr=subprocess.PIPE, check=False, timeout=60)
    os.close(terminal)
    os.close(main_end)
    assert done.returncode == 2
    assert b"standard output is a terminal" in done.stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_killed_in_the_middle_of_a_write(
    tiny_weights: Path, picture: Path, tmp_path: Path, number: int, code: int
) -> None:
    target = tmp_path / "out" / "a.bin"
    target.parent.mkdir()
    target.write_bytes(b"precious")
    # The data have been written to the temporary file when it is flushed to the disk.
    script = (
        "import os, sys, time\n"
        "def fsync(number):\n"
        "    print(os.listdir(sys.argv[1]), flush=True); time.sleep(50)\n"
        "os.fsync = fsync\n"
        "from bitcodec.cli.main import main\n"
        "sys.exit(main(['encode', '-f', *sys.argv[2:]]))"
    )
    line = [sys.executable, "-c", script, str(target.parent), str(picture), str(target)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        listing = process.stdout.readline()
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
    assert b".tmp" in listing  # the write was under way
    assert process.returncode == code
    assert b"Traceback" not in err
    assert [p.name for p in target.parent.iterdir()] == ["a.bin"]
    assert target.read_bytes() == b"precious"


@pytest.mark.slow
def test_killed_with_processes_leaves_none_behind(
    tiny_weights: Path, tmp_path: Path, draw: Draw
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for index in range(4):
        draw(2000, 2000).save(photos / f"{index}.bmp")
    args = ["encode", "-j", "2", str(photos), "-o", str(tmp_path / "out")]
    line = [sys.executable, "-m", "bitcodec", *args]
    with subprocess.Popen(line, stderr=subprocess.PIPE, start_new_session=True) as process:
        assert process.stderr is not None
        process.stderr.readline()  # the first file is done
        process.terminate()
        err = process.communicate(timeout=30)[1]
    assert process.returncode == 143
    assert b"Traceback" not in err
    assert gone(process.pid)
    written = [p.name for p in (tmp_path / "out").iterdir()]
    assert all(name.endswith(".bin") for name in written)


def gone(group: int) -> bool:
    """Whether a process group ends within some seconds; multiprocessing's tracker is the last."""
    for _ in range(100):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is full")
@pytest.mark.parametrize(
    "line", ["info x.bin", "info --json x.bin", "models", "--help", "--version", "encode x.png -"]
)
def test_a_full_disk_behind_standard_output(
    line: str, tiny_weights: Path, run: Callable[..., tuple[int, str, str]], picture: Path
) -> None:
    run("encode", picture, "x.bin")
    Path("x.png").write_bytes(picture.read_bytes())
    with open("/dev/full", "wb") as full:
        command_line = [sys.executable, "-m", "bitcodec", *line.split()]
        done = subprocess.run(
            command_line, stdout=full, stderr=subprocess.PIPE, check=False, timeout=60
        )
    assert done.returncode == 5
    assert done.stderr.endswith(b"<stdout>: cannot write: no space left on the disk\n")
    assert done.stderr.count(b"\n") == 1
