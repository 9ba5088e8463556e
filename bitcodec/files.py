"""Reading and writing files so that nothing is lost: atomic writes, lists of inputs.

Every failure is a FileError with a one-line reason that does not name the file.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import stat
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from bitcodec.errors import FileError, OptionError
from bitcodec.streams import is_stream, reason, write_stream

__all__ = [
    "InputFile",
    "Inputs",
    "as_bytes",
    "atomic_write",
    "find_inputs",
    "is_path",
    "open_file",
    "read_file",
]

_EXISTS = "exists already (-f overwrites it)"
# What a file system without hard links, or a sandbox that forbids them, says.
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV}


@dataclass(frozen=True)
class InputFile:
    """A file to work on; ``relative`` is where it goes below an output folder."""

    path: Path
    relative: Path


@dataclass(frozen=True)
class Inputs:
    """What :func:`find_inputs` found, and the paths that it could not use, each with its reason."""

    files: list[InputFile] = field(default_factory=list)
    errors: list[tuple[Path, FileError]] = field(default_factory=list)


def atomic_write(path: str | os.PathLike[str], data: bytes, *, overwrite: bool) -> None:
    """Write ``data`` to ``path`` whole or not at all.

    A temporary file in the same folder is written, flushed to the disk and renamed, so that
    ``path`` never holds a part of the data, whatever stops the program; on an exception of any
    kind (a signal handler's SystemExit too) the temporary file is removed. A symbolic link is
    written through to its target. A file that is replaced hands its mode on; a new one gets the
    umask's. Pipes, devices and our own descriptors (/dev/stdout) are written to directly.

    FileError where writing fails; where ``path`` is a folder; and, without ``overwrite``, where it
    exists, even if it came into being during the call.
    """
    try:
        if is_stream(path):
            write_stream(path, data)
            return
        target = os.path.realpath(path)
        mode = _mode(target)
        _check_target(target, mode, overwrite)
        # The name is short, whatever the target's is, and unique, so that removing it is safe.
        name = f".bitcodec-{os.getpid()}-{os.urandom(6).hex()}.tmp"
        temporary = os.path.join(os.path.dirname(target), name)
        try:
            _write_new(temporary, data)
            if mode is not None:
                os.chmod(temporary, stat.S_IMODE(mode) & 0o777)
            if overwrite:
                os.replace(temporary, target)
            else:
                _rename_new(temporary, target)
        except BaseException:
            _remove(temporary)
            raise
        _sync_folder(os.path.dirname(target))
    except (OSError, ValueError) as error:
        raise FileError(f"cannot write: {reason(error)}") from error


@contextlib.contextmanager
def open_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file to read parts of it; FileError, from reads in the body too."""
    try:
        file = open(path, "rb")
    except (OSError, ValueError) as error:
        raise FileError(f"cannot read: {reason(error)}") from error
    with file:
        try:
            yield file if file.seekable() else io.BytesIO(file.read())
        except OSError as error:
            raise FileError(f"cannot read: {reason(error)}") from error


def read_file(path: str | os.PathLike[str]) -> bytes:
    """The whole content of a file; FileError."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except (OSError, ValueError) as error:
        raise FileError(f"cannot read: {reason(error)}") from error


def find_inputs(
    paths: Iterable[str | os.PathLike[str]], *, recursive: bool, suffixes: Collection[str]
) -> Inputs:
    """The files that ``paths`` name, each once.

    A file is taken whatever its name. Of a folder, the files with one of ``suffixes`` (lower case
    with the dot, as ".png"; case in names does not matter) are taken in sorted order, those of its
    sub-folders too if ``recursive``; hidden files and folders are left out, and links to folders
    are not followed. ``relative`` is a file's name, or its path below the folder that was given.

    The order is that of ``paths``. A path that does not exist, a folder that cannot be read and a
    folder without such files come back in ``errors``.
    """
    inputs = Inputs()
    seen: set[str] = set()
    for given in map(Path, paths):
        if given.is_dir():
            found = _in_folder(given, recursive, suffixes, inputs)
        elif os.path.lexists(given):
            found = [InputFile(given, Path(given.name))]
        else:
            inputs.errors.append((given, FileError("no such file or folder")))
            continue
        for item in found:
            real = os.path.realpath(item.path)
            if real not in seen:
                seen.add(real)
                inputs.files.append(item)
    return inputs


def _mode(path: str) -> int | None:
    """The mode of what is at ``path``, None where there is nothing."""
    try:
        return os.stat(path).st_mode
    except FileNotFoundError:
        return None


def _check_target(target: str, mode: int | None, overwrite: bool) -> None:
    if mode is None:
        if not os.path.isdir(os.path.dirname(target)):
            raise FileError("cannot write: its folder does not exist") from _os_error(errno.ENOENT)
    elif stat.S_ISDIR(mode):
        raise FileError("cannot write: is a folder") from _os_error(errno.EISDIR)
    elif not stat.S_ISREG(mode):
        raise FileError("cannot write: is not a regular file")
    elif not overwrite:
        raise FileError(_EXISTS)


def _os_error(number: int) -> OSError:
    return OSError(number, os.strerror(number))  # of the class that goes with the number


def _write_new(path: str, data: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    with open(os.open(path, flags, 0o666), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _rename_new(temporary: str, target: str) -> None:
    """Give ``temporary`` the name ``target``; FileError where that exists, even in a race."""
    try:
        os.link(temporary, target)
    except FileExistsError:
        raise FileError(_EXISTS) from None
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _claim_and_replace(temporary, target)
    else:
        os.unlink(temporary)


def _claim_and_replace(temporary: str, target: str) -> None:
    """:func:`_rename_new` without links: an empty file holds the name until the rename."""
    try:
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    except FileExistsError:
        raise FileError(_EXISTS) from None
    try:
        os.replace(temporary, target)
    except BaseException:
        _remove(target)
        raise


def _remove(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)


def _sync_folder(folder: str) -> None:
    """Flush the rename itself; the data are safe, so a system that cannot do it is no error."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _in_folder(
    folder: Path, recursive: bool, suffixes: Collection[str], inputs: Inputs
) -> list[InputFile]:
    found: list[InputFile] = []

    def note(error: OSError) -> None:
        inputs.errors.append((Path(error.filename), FileError(f"cannot read: {reason(error)}")))

    before = len(inputs.errors)
    for root, folders, names in os.walk(folder, onerror=note):
        # os.walk descends into what is left of `folders`.
        folders[:] = sorted(name for name in folders if recursive and not name.startswith("."))
        for name in sorted(names):
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in suffixes:
                path = Path(root, name)
                found.append(InputFile(path, path.relative_to(folder)))
    if not found and len(inputs.errors) == before:
        hint = "" if recursive else " (-r looks in sub-folders too)"
        inputs.errors.append((folder, FileError(f"no suitable files in this folder{hint}")))
    return found


def is_path(value: object) -> bool:
    """Whether it is the name of a file."""
    return isinstance(value, (str, os.PathLike))


def as_bytes(data: Any) -> bytes:
    """The bytes of a buffer of any type, of a file by its path, or of one open for reading.

    Raises:
        FileError: the path cannot be read.
        OptionError: it is something else.
        OSError: reading an open file fails.
    """
    if isinstance(data, bytes):
        return data
    if is_path(data):
        return read_file(data)
    with contextlib.suppress(TypeError, ValueError, BufferError):
        return memoryview(data).tobytes()
    if callable(getattr(data, "read", None)):
        content = data.read()
        if isinstance(content, bytes):
            return content
    kind = type(data).__name__
    raise OptionError(f"data must be bytes, a path or a binary file, not {kind}")
