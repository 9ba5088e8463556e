"""Standard input and output, pipes, devices and descriptors under a file's name.

``/dev/stdout``, ``/dev/fd/63`` (what a shell makes of ``>(...)``) and ``/proc/self/fd/1`` name
something that is open already. It is written to where it stands: to open or to replace the file
behind it would lose what is there. Every failure is a FileError with a one-line reason.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import sys

from bitcodec.errors import FileError

__all__ = [
    "abandon_stdout",
    "is_stream",
    "own_descriptor",
    "read_stdin",
    "reason",
    "write_stdout",
    "write_stream",
]

_LINKS = 40  #: followed at most, as Linux does
_REASONS = {
    errno.ENOENT: "no such file or folder",
    errno.EACCES: "permission denied",
    errno.EISDIR: "is a folder",
    errno.ENOSPC: "no space left on the disk",
    errno.EDQUOT: "disk quota exceeded",
    errno.EROFS: "the disk is read-only",
    errno.ENAMETOOLONG: "the file name is too long",
    errno.EPIPE: "the reader closed the pipe",
}


def own_descriptor(path: str | os.PathLike[str]) -> int | None:
    """The number of the descriptor of this process that ``path`` stands for, None for none."""
    name = os.path.abspath(os.fspath(path))
    for _ in range(_LINKS):
        folder, last = os.path.split(name)
        folder = os.path.realpath(folder)
        ours = rf"/dev/fd|/proc/{os.getpid()}(/task/\d+)?/fd"
        if last.isascii() and last.isdigit() and re.fullmatch(ours, folder):
            return int(last)
        try:
            name = os.path.join(folder, os.readlink(os.path.join(folder, last)))
        except (OSError, ValueError):  # no link, or a name that cannot be
            return None
    return None


def is_stream(path: str | os.PathLike[str]) -> bool:
    """Whether ``path`` is a pipe, a device, a socket or an open descriptor, and no file."""
    if own_descriptor(path) is not None:
        return True
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode) and not stat.S_ISBLK(mode)


def write_stream(path: str | os.PathLike[str], data: bytes) -> None:
    """Write to what :func:`is_stream`; FileError."""
    try:
        number = own_descriptor(path)
        if number is not None and sys.stdout is not None and number == 1:
            sys.stdout.flush()
        with open(path if number is None else os.dup(number), "wb") as stream:
            stream.write(data)
    except (OSError, ValueError, OverflowError) as error:
        raise FileError(f"cannot write: {reason(error)}") from error


def read_stdin() -> bytes:
    """All of standard input; FileError where it is closed, a terminal, or fails."""
    if sys.stdin is None:
        raise FileError("standard input is closed")
    if sys.stdin.isatty():
        raise FileError("standard input is a terminal, not a file or pipe")
    try:
        return sys.stdin.buffer.read()
    except (OSError, ValueError) as error:
        raise FileError(f"cannot read: {reason(error)}") from error


def write_stdout(data: bytes) -> None:
    """Write binary data to standard output.

    FileError where it is closed, a terminal, a pipe that nobody reads, or fails otherwise.
    """
    if sys.stdout is None:
        raise FileError("standard output is closed")
    if sys.stdout.isatty():
        raise FileError("binary data are not written to a terminal")
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except (OSError, ValueError) as error:
        abandon_stdout()
        raise FileError(f"cannot write: {reason(error)}") from error


def reason(error: Exception) -> str:
    """One line for an OSError, or for the ValueError of an impossible path."""
    if isinstance(error, OSError) and error.errno is not None:
        return _REASONS.get(error.errno) or os.strerror(error.errno).lower()
    return " ".join(str(error).split())


def abandon_stdout() -> None:
    """Point standard output at nothing, or the interpreter complains when it flushes at exit."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(null, sys.stdout.fileno())
        finally:
            os.close(null)
