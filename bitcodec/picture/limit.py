"""Our limit of pixels in place of Pillow's own."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from PIL import Image

__all__ = ["pixel_limit"]

_lock = threading.Lock()
_users = 0
_pillows_own: int | None = None


@contextlib.contextmanager
def pixel_limit(pixels: int) -> Iterator[None]:
    """Have Pillow refuse files by our limit instead of its own, for as long as any thread is here.

    Pillow's limit is a global; it is put back when the last thread leaves. With several threads
    the largest of their limits holds, and the caller checks its own.
    """
    global _users, _pillows_own
    with _lock:
        if not _users:
            _pillows_own, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, pixels
        else:
            Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS or 0, pixels)
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if not _users:
                Image.MAX_IMAGE_PIXELS = _pillows_own
