"""Atomic writes under faults, input lists, and pipes."""

import errno
import os
import signal
import stat
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bitcodec import files, streams
from bitcodec.errors import FileError
from bitcodec.files import InputFile, atomic_write, find_inputs, read_file

POSIX = pytest.mark.skipif(os.name != "posix", reason="modes and links are those of POSIX")
NOT_ROOT = pytest.mark.skipif(
    hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write anywhere"
)


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def test_new_file(tmp_path: Path) -> None:
    atomic_write(tmp_path / "a", b"data", overwrite=False)
    assert (tmp_path / "a").read_bytes() == b"data"
    assert names(tmp_path) == ["a"]


def test_existing_file_needs_overwrite(tmp_path: Path) -> None:
    target = tmp_path / "a"
    target.write_bytes(b"old")
    with pytest.raises(FileError, match="exists"):
        atomic_write(target, b"new", overwrite=False)
    assert target.read_bytes() == b"old"
    atomic_write(target, b"new", overwrite=True)
    assert target.read_bytes() == b"new"
    assert names(tmp_path) == ["a"]


def test_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    atomic_write("a", b"data", overwrite=False)
    assert names(tmp_path) == ["a"]


def test_longest_possible_name(tmp_path: Path) -> None:
    atomic_write(tmp_path / ("n" * 255), b"data", overwrite=False)
    with pytest.raises(FileError, match="too long"):
        atomic_write(tmp_path / ("n" * 256), b"data", overwrite=False)


@POSIX
def test_new_file_honours_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        atomic_write(tmp_path / "a", b"", overwrite=False)
        atomic_write(tmp_path / "b", b"", overwrite=True)
    finally:
        os.umask(old)
    assert {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in "ab"} == {0o640}


@POSIX
def test_replaced_file_keeps_its_mode(tmp_path: Path) -> None:
    target = tmp_path / "a"
    target.write_bytes(b"old")
    target.chmod(0o604)
    atomic_write(target, b"new", overwrite=True)
    assert stat.S_IMODE(target.stat().st_mode) == 0o604


@POSIX
def test_symbolic_link_is_written_through(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "link"
    link.symlink_to("real/a")
    atomic_write(link, b"one", overwrite=False)  # dangling: the target is new
    with pytest.raises(FileError, match="exists"):
        atomic_write(link, b"two", overwrite=False)
    atomic_write(link, b"three", overwrite=True)
    assert link.is_symlink()
    assert (tmp_path / "real" / "a").read_bytes() == b"three"
    assert names(tmp_path / "real") == ["a"]


@POSIX
def test_link_that_points_at_itself(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("a")
    with pytest.raises(FileError):
        atomic_write(tmp_path / "a", b"", overwrite=True)


@POSIX
def test_devices_and_pipes_are_not_replaced(tmp_path: Path) -> None:
    atomic_write("/dev/null", b"data", overwrite=False)
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(fifo.read_bytes()))
    reader.start()
    atomic_write(fifo, b"data", overwrite=False)
    reader.join(10)
    assert got == [b"data"]
    assert stat.S_ISFIFO(fifo.stat().st_mode)


@pytest.mark.parametrize("overwrite", [False, True])
def test_folder_as_output(tmp_path: Path, overwrite: bool) -> None:
    with pytest.raises(FileError, match="is a folder"):
        atomic_write(tmp_path, b"", overwrite=overwrite)
    assert names(tmp_path) == []


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="folder does not exist"):
        atomic_write(tmp_path / "no" / "a", b"", overwrite=False)


def test_impossible_name() -> None:
    with pytest.raises(FileError, match="null"):
        atomic_write("a\0b", b"", overwrite=False)


@POSIX
@NOT_ROOT
def test_read_only_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(FileError, match="permission denied"):
            atomic_write(tmp_path / "a", b"", overwrite=False)
    finally:
        tmp_path.chmod(0o700)


def failing(error: BaseException) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


FAULTS = [
    OSError(errno.ENOSPC, "No space left on device"),
    OSError(errno.EACCES, "Permission denied"),
    KeyboardInterrupt(),
    SystemExit(143),
]


STEPS = [(step, True) for step in ("open", "fsync", "chmod", "replace")]
STEPS += [(step, False) for step in ("open", "fsync", "link")]


@pytest.mark.parametrize("fault", FAULTS, ids=repr)
@pytest.mark.parametrize(("step", "overwrite"), STEPS)
def test_fault_leaves_the_old_file_and_nothing_else(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    overwrite: bool,
    fault: BaseException,
) -> None:
    target = tmp_path / "a"
    if overwrite:
        target.write_bytes(b"old")
    monkeypatch.setattr(files.os, step, failing(fault))
    expected = FileError if isinstance(fault, OSError) else type(fault)
    with pytest.raises(expected) as caught:
        atomic_write(target, b"new", overwrite=overwrite)
    monkeypatch.undo()
    assert names(tmp_path) == (["a"] if overwrite else [])
    assert not overwrite or target.read_bytes() == b"old"
    if isinstance(fault, OSError):
        reason = "no space left" if fault.errno == errno.ENOSPC else "permission denied"
        assert reason in str(caught.value)
        assert "\n" not in str(caught.value)


def test_file_that_appears_during_the_write_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "a"
    real = os.fsync

    def fsync_and_race(handle: int) -> None:
        real(handle)
        target.write_bytes(b"theirs")

    monkeypatch.setattr(files.os, "fsync", fsync_and_race)
    with pytest.raises(FileError, match="exists"):
        atomic_write(target, b"ours", overwrite=False)
    assert target.read_bytes() == b"theirs"
    assert names(tmp_path) == ["a"]


NO_LINKS = failing(OSError(errno.EPERM, "Operation not permitted"))


def test_file_system_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files.os, "link", NO_LINKS)
    atomic_write(tmp_path / "a", b"data", overwrite=False)
    assert (tmp_path / "a").read_bytes() == b"data"
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("fault", FAULTS, ids=repr)
def test_fault_without_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: BaseException
) -> None:
    monkeypatch.setattr(files.os, "link", NO_LINKS)
    monkeypatch.setattr(files.os, "replace", failing(fault))
    with pytest.raises(FileError if isinstance(fault, OSError) else type(fault)):
        atomic_write(tmp_path / "a", b"data", overwrite=False)
    assert names(tmp_path) == []


def test_race_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def race(*_: object) -> None:
        (tmp_path / "a").write_bytes(b"theirs")
        NO_LINKS()

    monkeypatch.setattr(files.os, "link", race)
    with pytest.raises(FileError, match="exists"):
        atomic_write(tmp_path / "a", b"ours", overwrite=False)
    assert (tmp_path / "a").read_bytes() == b"theirs"
    assert names(tmp_path) == ["a"]


def test_many_threads_one_name(tmp_path: Path) -> None:
    won: list[int] = []

    def work(number: int) -> None:
        try:
            atomic_write(tmp_path / "a", bytes([number]) * 1000, overwrite=False)
        except FileError:
            return
        won.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert (tmp_path / "a").read_bytes() == bytes(won) * 1000
    assert names(tmp_path) == ["a"]


def run(code: str, **options: Any) -> "subprocess.CompletedProcess[bytes]":
    path = str(Path(files.__file__).parent.parent)
    code = f"import sys; sys.path.insert(0, {path!r})\n" + textwrap.dedent(code)
    command = [sys.executable, "-W", "error", "-c", code]
    # Without its buffer, standard output has nothing left to complain about at exit.
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return subprocess.run(command, timeout=60, stderr=subprocess.PIPE, env=buffered, **options)


@POSIX
def test_terminated_in_the_middle_of_a_write(tmp_path: Path) -> None:
    target = tmp_path / "a"
    target.write_bytes(b"old")
    result = run(f"""
        import os, signal
        from bitcodec import files, streams
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        files.os.fsync = lambda _: os.kill(os.getpid(), signal.SIGTERM)
        files.atomic_write({str(target)!r}, b"new", overwrite=True)
    """)
    assert result.returncode == 128 + signal.SIGTERM
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["a"]


WRITE = """
    from bitcodec.errors import FileError
    from bitcodec.streams import write_stdout
    try:
        write_stdout(b"x" * 100)  # so little that it is still in the buffer at exit
    except FileError as error:
        print(error, file=sys.stderr)
        sys.exit(5)
"""


@POSIX
def test_broken_pipe() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "wb") as stdout:
        result = run(WRITE, stdout=stdout)
    assert (result.returncode, result.stderr) == (
        5,
        b"cannot write: the reader closed the pipe\n",
    )


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_full_disk_behind_stdout_and_behind_a_file() -> None:
    with open("/dev/full", "wb") as stdout:
        result = run(WRITE, stdout=stdout)
    assert (result.returncode, result.stderr) == (5, b"cannot write: no space left on the disk\n")
    with pytest.raises(FileError, match="no space left"):
        atomic_write("/dev/full", b"x", overwrite=True)


def test_stdout_takes_bytes_as_they_are() -> None:
    code = "from bitcodec.streams import *; write_stdout(read_stdin())"
    result = run(code, input=b"\r\n\x89\0\n", stdout=subprocess.PIPE)
    assert (result.returncode, result.stdout, result.stderr) == (0, b"\r\n\x89\0\n", b"")


@POSIX
def test_terminal_is_refused() -> None:
    main, terminal = os.openpty()
    try:
        result = run(WRITE, stdout=terminal)
        assert (result.returncode, result.stderr) == (
            5,
            b"binary data are not written to a terminal\n",
        )
        code = "from bitcodec.streams import *; read_stdin()"
        assert b"FileError: standard input is a terminal" in run(code, stdin=terminal).stderr
    finally:
        os.close(main)
        os.close(terminal)


@pytest.mark.parametrize("name", ["stdin", "stdout"])
def test_closed_streams(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(sys, name, None)
    with pytest.raises(FileError, match="closed"):
        streams.read_stdin() if name == "stdin" else streams.write_stdout(b"")


def test_read_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"data")
    assert read_file(tmp_path / "a") == b"data"
    with pytest.raises(FileError, match="no such file"):
        read_file(tmp_path / "b")
    with pytest.raises(FileError, match="is a folder"):
        read_file(tmp_path)
    with pytest.raises(FileError, match="null"):
        read_file("a\0b")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in (
        "b.png",
        "a.PNG",
        "notes.txt",
        ".hidden.png",
        "sub/c.png",
        "sub/deep/d.jpg",
        ".git/e.png",
        "empty/f.txt",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


SUFFIXES = {".png", ".jpg"}


def found(*paths: Path, recursive: bool = False) -> list[str]:
    inputs = find_inputs(paths, recursive=recursive, suffixes=SUFFIXES)
    assert inputs.errors == []
    return [item.relative.as_posix() for item in inputs.files]


def test_folder(tree: Path) -> None:
    assert found(tree) == ["a.PNG", "b.png"]
    assert found(tree, recursive=True) == ["a.PNG", "b.png", "sub/c.png", "sub/deep/d.jpg"]
    assert found(tree / "sub", recursive=True) == ["c.png", "deep/d.jpg"]


def test_named_files_are_taken_whatever_their_suffix(tree: Path) -> None:
    inputs = find_inputs([tree / "notes.txt"], recursive=False, suffixes=SUFFIXES)
    assert inputs.files == [InputFile(tree / "notes.txt", Path("notes.txt"))]


def test_each_file_once(tree: Path) -> None:
    spelled = tree / "sub" / ".." / "b.png"
    assert found(tree / "b.png", tree, spelled) == ["b.png", "a.PNG"]


def test_missing_and_empty_paths_are_collected(tree: Path) -> None:
    paths = [tree / "no.png", tree / "b.png", tree / "empty"]
    inputs = find_inputs(paths, recursive=False, suffixes=SUFFIXES)
    assert [item.path for item in inputs.files] == [tree / "b.png"]
    assert [path for path, _ in inputs.errors] == [tree / "no.png", tree / "empty"]
    reasons = [str(error) for _, error in inputs.errors]
    assert reasons[0] == "no such file or folder"
    assert "-r" in reasons[1]


@POSIX
def test_links(tree: Path) -> None:
    (tree / "sub" / "loop").symlink_to(tree)
    assert found(tree, recursive=True) == ["a.PNG", "b.png", "sub/c.png", "sub/deep/d.jpg"]
    # A broken link is an input that fails later, not one that is passed over in silence.
    (tree / "gone.png").symlink_to("nowhere")
    assert "gone.png" in found(tree)


@POSIX
@NOT_ROOT
def test_folder_that_cannot_be_read(tree: Path) -> None:
    (tree / "sub").chmod(0)
    try:
        inputs = find_inputs([tree], recursive=True, suffixes=SUFFIXES)
    finally:
        (tree / "sub").chmod(0o700)
    assert len(inputs.files) == 2
    assert [path for path, _ in inputs.errors] == [tree / "sub"]
