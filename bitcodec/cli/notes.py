"""What people should know of a file that was written all the same."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator

from PIL import Image

from bitcodec.info import Info

_OVER = 1.05


@contextlib.contextmanager
def warnings_as_notes() -> Iterator[list[str]]:
    """Gather the warnings of Pillow in the body: each once, on one line."""
    notes: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield notes
    for warning in caught:
        text = " ".join(str(warning.message).split())
        if warning.category is not Image.DecompressionBombWarning and text not in notes:
            notes.append(text)


def metadata_notes(info: Info, bpp: float | None) -> list[str]:
    """A note where metadata are most of a file, or keep it from the size that was asked for."""
    profile, exif = info.icc_size or 0, info.exif_size or 0
    missed = bpp is not None and info.bpp > _OVER * bpp
    if not missed and 2 * (profile + exif) <= info.file_size:
        return []
    if 20 * (profile + exif) < info.file_size:
        return []
    named = [("colour profile", profile), ("EXIF", exif)]
    parts = " and ".join(f"the {name} has {size}" for name, size in named if size)
    return [f"{parts} of {info.file_size} bytes (--strip leaves it out)"]
