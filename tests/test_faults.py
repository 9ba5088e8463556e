"""Faults of the world around the command: nothing is lost, nothing is left over, right exit code.

The functions that write are tested one by one in test_files.py; here the whole command is.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import bitcodec
from bitcodec.cli.main import main

Draw = Callable[..., Image.Image]
pytestmark = [
    pytest.mark.usefixtures("tiny_weights"),
    pytest.mark.skipif(os.name != "posix", reason="signals, links and pipes of POSIX"),
]
OLD = b"precious"


@pytest.fixture
def coded(tmp_path: Path, draw: Draw) -> Path:
    """A ``.bin`` file of 300x200 pixels, whose PNG has some ten kilobytes."""
    path = tmp_path / "a.bin"
    path.write_bytes(bitcodec.encode(draw(300, 200)))
    return path


def only(folder: Path, **files: bytes) -> bool:
    """Whether a folder holds just these files (suffixes are written with a _)."""
    return {p.name: p.read_bytes() for p in folder.iterdir()} == {
        name.replace("_", "."): data for name, data in files.items()
    }


def command(*args: str | Path, **options: Any) -> subprocess.CompletedProcess[bytes]:
    line = [sys.executable, "-m", "bitcodec", *map(str, args)]
    return subprocess.run(line, stderr=subprocess.PIPE, check=False, timeout=60, **options)


def errors_of(done: subprocess.CompletedProcess[bytes]) -> bytes:
    """The line on stderr, which must be the only one."""
    assert done.stderr.count(b"\n") == 1, done.stderr
    assert done.stderr.startswith(b"bitcodec: error: ")
    return done.stderr


# --- disks -----------------------------------------------------------------------------------


def mount(folder: Path, options: str) -> None:
    """A small file system of its own at ``folder``, or skip."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount")
    line = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    try:
        done = subprocess.run(line, capture_output=True, check=False, timeout=20)
    except FileNotFoundError:
        pytest.skip("no mount command here")
    if done.returncode:
        pytest.skip(f"cannot mount here: {done.stderr.decode().strip()}")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk with room for eight kilobytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount(folder, "size=8k")
    yield folder
    subprocess.run(["umount", str(folder)], check=True, timeout=20)


def test_disk_full(coded: Path, disk: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (disk / "a.png").write_bytes(OLD)
    assert main(["decode", "-f", str(coded), str(disk / "a.png")]) == 5
    assert "no space left on the disk" in capfd.readouterr().err
    assert only(disk, a_png=OLD)
    assert main(["decode", str(coded), str(disk / "b.png")]) == 5
    assert only(disk, a_png=OLD)


def test_disk_full_in_a_batch(
    coded: Path, disk: Path, draw: Draw, capfd: pytest.CaptureFixture[str]
) -> None:
    """What fits is written, the rest fails by name."""
    (coded.parent / "b.bin").write_bytes(bitcodec.encode(draw(8, 8)))
    assert main(["decode", str(coded), str(coded.parent / "b.bin"), "-o", f"{disk}/"]) == 1
    assert [p.name for p in disk.iterdir()] == ["b.png"]
    assert f"{coded}: {disk / 'a.png'}: cannot write: no space" in capfd.readouterr().err


def test_read_only_disk(coded: Path, disk: Path) -> None:
    (disk / "a.png").write_bytes(OLD)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True, timeout=20)
    for arguments in (["-f", str(disk / "a.png")], [str(disk / "b.png")]):
        assert main(["decode", str(coded), *arguments]) == 5
    assert only(disk, a_png=OLD)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_read_only_folder(coded: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "a.png").write_bytes(OLD)
    folder.chmod(0o555)
    try:
        assert main(["decode", "-f", str(coded), str(folder / "a.png")]) == 5
        assert only(folder, a_png=OLD)
    finally:
        folder.chmod(0o755)


def test_file_size_limit(coded: Path, tmp_path: Path) -> None:
    """The kernel stops the write in the middle, wherever the tests run."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.png").write_bytes(OLD)
    code = (
        "import resource, sys; from bitcodec.cli.main import main\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    line = [sys.executable, "-c", code, "decode", "-f", str(coded), str(out / "a.png")]
    done = subprocess.run(line, capture_output=True, check=False, timeout=60)
    assert done.returncode == 5
    assert b"cannot write" in errors_of(done)
    assert only(out, a_png=OLD)


# --- names -----------------------------------------------------------------------------------


def test_output_is_a_symbolic_link(coded: Path, tmp_path: Path) -> None:
    target, link = tmp_path / "target.png", tmp_path / "link.png"
    target.write_bytes(OLD)
    link.symlink_to("target.png")
    assert main(["decode", str(coded), str(link)]) == 5
    assert target.read_bytes() == OLD
    assert main(["decode", "-f", str(coded), str(link)]) == 0
    assert link.is_symlink()
    assert target.read_bytes()[:4] == b"\x89PNG"


def test_a_link_to_nothing_is_made_something(coded: Path, tmp_path: Path) -> None:
    (tmp_path / "link.png").symlink_to("new.png")
    assert main(["decode", str(coded), str(tmp_path / "link.png")]) == 0
    assert (tmp_path / "new.png").read_bytes()[:4] == b"\x89PNG"


def test_input_is_output(coded: Path, tmp_path: Path) -> None:
    data = coded.read_bytes()
    same = tmp_path / "same.png"  # our file under a picture's name
    same.write_bytes(data)
    (tmp_path / "link.png").symlink_to("same.png")
    for target in (same, tmp_path / "link.png", tmp_path / "." / "same.png"):
        assert main(["decode", "-f", str(same), str(target)]) == 2
    assert same.read_bytes() == data
    # Another name of the same content is replaced, and the input stays.
    os.link(coded, tmp_path / "hard.png")
    assert main(["decode", "-f", str(coded), str(tmp_path / "hard.png")]) == 0
    assert coded.read_bytes() == data


@pytest.mark.parametrize("force", [False, True])
def test_two_processes_one_output(coded: Path, tmp_path: Path, force: bool) -> None:
    out = tmp_path / "out"
    out.mkdir()
    arguments = ["decode", *(["-f"] if force else []), str(coded), str(out / "a.png")]
    # Both wait for each other before they write, so that their writes overlap.
    code = (
        "import os, sys, time; from bitcodec.cli.main import main; from bitcodec.cli import batch\n"
        "real, me = batch.atomic_write, sys.argv[1]\n"
        "def write(*args, **options):\n"
        "    open(me + str(os.getpid()), 'w').close()\n"
        "    end = time.monotonic() + 40\n"
        "    while len(os.listdir(me)) < 2 and time.monotonic() < end: time.sleep(0.001)\n"
        "    real(*args, **options)\n"
        "batch.atomic_write = write\n"
        "sys.exit(main(sys.argv[2:]))"
    )
    meeting = tmp_path / "meeting"
    meeting.mkdir()
    line = [sys.executable, "-c", code, f"{meeting}/", *arguments]
    both = [subprocess.Popen(line, stderr=subprocess.PIPE) for _ in range(2)]
    errors = [process.communicate(timeout=60)[1] for process in both]
    assert len(list(meeting.iterdir())) == 2
    codes = sorted(process.returncode for process in both)
    assert codes == ([0, 0] if force else [0, 5]), errors
    assert [p.name for p in out.iterdir()] == ["a.png"]
    with Image.open(out / "a.png") as image:
        image.load()
        assert image.size == (300, 200)


# --- signals ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_stopped_in_the_middle_of_a_batch(
    coded: Path, tmp_path: Path, number: int, code: int
) -> None:
    """The file that is under way is as before, those that are done stay."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "b.png").write_bytes(OLD)
    (tmp_path / "b.bin").write_bytes(coded.read_bytes())
    # The data are in the temporary file when it is flushed; folders are flushed after the rename.
    script = (
        "import os, stat, sys, time\n"
        "flushed = []\n"
        "def fsync(number):\n"
        "    if stat.S_ISREG(os.fstat(number).st_mode): flushed.append(number)\n"
        "    if len(flushed) == 2: print(os.listdir(sys.argv[1]), flush=True); time.sleep(50)\n"
        "os.fsync = fsync\n"
        "from bitcodec.cli.main import main\n"
        "sys.exit(main(['decode', '-f', *sys.argv[2:], '-o', sys.argv[1]]))"
    )
    line = [sys.executable, "-c", script, str(out), str(coded), str(tmp_path / "b.bin")]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        listing = process.stdout.readline()
        process.send_signal(number)
        error = process.communicate(timeout=30)[1]
    assert b".tmp" in listing
    assert process.returncode == code
    assert b"Traceback" not in error
    assert sorted(p.name for p in out.iterdir()) == ["a.png", "b.png"]
    assert (out / "a.png").read_bytes()[:4] == b"\x89PNG"
    assert (out / "b.png").read_bytes() == OLD


# --- streams ---------------------------------------------------------------------------------


def test_standard_input_ends_early(coded: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.png"
    done = command("decode", "-", out, input=coded.read_bytes()[:-30])
    assert done.returncode == 3
    assert b"<stdin>: the file has" in errors_of(done)
    assert not out.exists()


def test_standard_input_is_closed(tmp_path: Path) -> None:
    shell = 'exec "$0" -m bitcodec encode - "$1" <&-'
    line = ["sh", "-c", shell, sys.executable, str(tmp_path / "x.bin")]
    done = subprocess.run(line, stderr=subprocess.PIPE, check=False, timeout=60)
    assert done.returncode == 5
    assert b"standard input is closed" in errors_of(done)
    assert not (tmp_path / "x.bin").exists()


def test_standard_output_is_closed(coded: Path) -> None:
    line = ["sh", "-c", 'exec "$0" -m bitcodec decode "$1" - >&-', sys.executable, str(coded)]
    done = subprocess.run(line, stderr=subprocess.PIPE, check=False, timeout=60)
    assert done.returncode == 5
    assert b"standard output is closed" in errors_of(done)


def test_nobody_reads_standard_output(coded: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = command("decode", coded, "-", stdout=writer)
    os.close(writer)
    assert done.returncode == 5
    assert b"the reader closed the pipe" in errors_of(done)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_the_disk_behind_standard_output_is_full(coded: Path) -> None:
    with open("/dev/full", "wb") as full:
        done = command("decode", coded, "-", stdout=full)
    assert done.returncode == 5
    assert b"no space left on the disk" in errors_of(done)


def test_nobody_reads_the_reports(coded: Path, tmp_path: Path) -> None:
    """The output is whole even where telling of it fails."""
    reader, writer = os.pipe()
    os.close(reader)
    line = [sys.executable, "-m", "bitcodec", "decode", str(coded), str(tmp_path / "x.png")]
    done = subprocess.run(line, stderr=writer, check=False, timeout=60)
    os.close(writer)
    assert done.returncode == 5
    with Image.open(tmp_path / "x.png") as image:
        assert image.size == (300, 200)


def test_nobody_reads_the_records(coded: Path, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = command("decode", "--json", coded, tmp_path / "x.png", stdout=writer)
    os.close(writer)
    assert done.returncode == 5
    assert b"Traceback" not in done.stderr
    assert (tmp_path / "x.png").exists()


def test_standard_error_is_closed(coded: Path, tmp_path: Path) -> None:
    """Reports have nowhere to go; they must not end up in the data instead."""
    line = ["sh", "-c", 'exec "$0" -m bitcodec decode "$1" - 2>&-', sys.executable, str(coded)]
    done = subprocess.run(line, stdout=subprocess.PIPE, check=False, timeout=60)
    assert done.returncode == 0
    assert done.stdout[:4] == b"\x89PNG"
    assert done.stdout[-8:-4] == b"IEND"


# --- parts of files --------------------------------------------------------------------------


def test_crop_and_scale_from_the_command(coded: Path, tmp_path: Path) -> None:
    whole = bitcodec.decode(coded.read_bytes())
    out = tmp_path / "x.png"
    assert main(["decode", "--crop", "10,20,30,40", str(coded), str(out)]) == 0
    with Image.open(out) as image:
        assert image.tobytes() == whole.crop((10, 20, 40, 60)).tobytes()
    assert main(["decode", "-f", "--scale", "1/8", str(coded), str(out)]) == 0
    with Image.open(out) as image:
        assert image.size == (38, 25)


@pytest.mark.parametrize(
    ("option", "value", "code"),
    [
        ("--crop", "1,2,3", 2),
        ("--crop", "-1,0,3,3", 2),
        ("--crop", "0,0,0,3", 2),
        ("--crop", "0,0,9x,3", 2),
        ("--crop", f"0,0,{'9' * 5000},3", 2),
        ("--crop", "0,0,301,3", 1),
        ("--scale", "1/3", 2),
        ("--scale", "0.5", 2),
    ],
)
def test_impossible_parts(coded: Path, tmp_path: Path, option: str, value: str, code: int) -> None:
    assert main(["decode", option, value, str(coded), str(tmp_path / "x.png")]) == code
    assert only(tmp_path, a_bin=coded.read_bytes())


def test_crop_of_what_is_no_file(
    coded: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    crop = ["decode", "--crop", "0,0,1,1"]
    assert main([*crop, str(tmp_path / "missing.bin"), str(tmp_path / "x.png")]) == 5
    (tmp_path / "short.bin").write_bytes(coded.read_bytes()[:20])
    assert main([*crop, str(tmp_path / "short.bin"), str(tmp_path / "x.png")]) == 3
    assert capfd.readouterr().err.count("\n") == 2


def test_partial_saves_what_is_left_and_says_what_is_not(
    tmp_path: Path, draw: Draw, capfd: pytest.CaptureFixture[str]
) -> None:
    data = bytearray(bitcodec.encode(draw(100, 40), tile=48))
    data[-6] ^= 1  # in the last of three tiles
    path, out = tmp_path / "a.bin", tmp_path / "a.png"
    path.write_bytes(data)
    assert main(["decode", str(path)]) == 3
    assert not out.exists()
    capfd.readouterr()
    assert main(["decode", "--partial", "--json", str(path)]) == 1
    captured = capfd.readouterr()
    wanted = "a.bin: damaged, lost: tile 2 (X,Y,W,H = 96,0,4,40); lost tiles are grey\n"
    assert captured.err.endswith(wanted)
    assert '"damaged": ["tile 2"]' in captured.out
    with Image.open(out) as image:
        assert image.getpixel((99, 39)) == (128, 128, 128)
        assert image.getpixel((50, 20)) != (128, 128, 128)
    path.write_bytes(bitcodec.encode(draw(100, 40), tile=48))
    assert main(["decode", "-f", "--partial", str(path)]) == 0
    path.write_bytes(data[:20])  # not even a header
    assert main(["decode", "-f", "--partial", str(path)]) == 3


def test_pixel_limits(coded: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    limit = ["--max-pixels", "59999"]
    with Image.new("RGB", (300, 200)) as image:
        image.save(tmp_path / "in.png")
    for line in (
        ["decode", *limit, str(coded), str(tmp_path / "x.png")],
        ["decode", *limit, "--crop", "0,0,1,1", str(coded), str(tmp_path / "x.png")],
        ["decode", *limit, "--partial", str(coded), str(tmp_path / "x.png")],
        ["encode", *limit, str(tmp_path / "in.png"), str(tmp_path / "x.bin")],
        ["info", *limit, str(coded)],
    ):
        assert main(line) == 3
        assert "(see --max-pixels)" in capfd.readouterr().err
    assert main(["info", "--max-pixels", "60000", str(coded)]) == 0
