"""What people should know of a file that was written all the same."""

from __future__ import annotations

import contextlib
import os
import tempfile
import warnings
from collections.abc import Iterator
from typing import IO

from PIL import Image

from bitcodec.errors import printable
from bitcodec.info import Info

_STDERR = 2
_OVER = 1.05  # a target that is missed by more than that
_MOST = 5


@contextlib.contextmanager
def warnings_as_notes() -> Iterator[list[str]]:
    """Gather what Pillow and the libraries below it complain of in the body, each once, by line.

    Warnings of Python are caught, and what libtiff writes to standard error by itself.
    """
    notes: list[str] = []
    with (
        tempfile.TemporaryFile() as written,
        _stderr_into(written),
        warnings.catch_warnings(record=True) as caught,
    ):
        warnings.simplefilter("always")
        yield notes
        written.seek(0)
        lines = written.read().decode("utf-8", "replace").splitlines()
    kept = [w for w in caught if w.category is not Image.DecompressionBombWarning]
    texts = [" ".join(str(warning.message).split()) for warning in kept] + lines
    notes += list(dict.fromkeys(map(printable, filter(None, texts))))[:_MOST]


def metadata_notes(info: Info, bpp: float | None) -> list[str]:
    """A note where metadata are most of a file, or keep it from the size that was asked for."""
    sizes = [("colour profile", info.icc_size or 0), ("EXIF", info.exif_size or 0)]
    size = sum(size for _, size in sizes)
    missed = bpp is not None and info.bpp > _OVER * bpp and 20 * size > info.file_size
    if not missed and 2 * size <= info.file_size:
        return []
    parts = " and ".join(f"the {name} has {size}" for name, size in sizes if size)
    return [f"{parts} of {info.file_size} bytes (--strip leaves it out)"]


@contextlib.contextmanager
def _stderr_into(file: IO[bytes]) -> Iterator[None]:
    """Have what C libraries write to standard error go to a file; it may be closed already."""
    try:
        before = os.dup(_STDERR)
    except OSError:
        yield
        return
    os.dup2(file.fileno(), _STDERR)
    try:
        yield
    finally:
        os.dup2(before, _STDERR)
        os.close(before)
