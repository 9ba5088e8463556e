"""Write the page and the models beside it into a folder."""

from __future__ import annotations

import lzma
from collections.abc import Iterable
from importlib import resources
from pathlib import Path

from bitcodec.errors import FileError
from bitcodec.files import atomic_write
from bitcodec.models.registry import ModelEntry
from bitcodec.page.model_file import model_file
from bitcodec.runtime.loaded import open_model

__all__ = ["write_page"]


def write_page(folder: Path, entries: Iterable[ModelEntry]) -> list[ModelEntry]:
    """Write the page; files of an earlier one are replaced.

    Args:
        folder: is made if need be.
        entries: the models whose files it shall decode.

    Returns:
        Those that it decodes; the others need torch.

    Raises:
        FileError: a file cannot be written.
        WeightsError: a weights file is damaged.
    """
    try:
        (folder / "models").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(error.strerror or "cannot be made") from error
    package = resources.files("bitcodec.page")
    for file in (f for part in ("static", "built") for f in package.joinpath(part).iterdir()):
        data, name = file.read_bytes(), file.name
        if name.endswith(".xz"):
            data, name = lzma.decompress(data), name.removesuffix(".xz")
        atomic_write(folder / name, data, overwrite=True)
    written = []
    for entry in entries:
        packed = model_file(open_model(entry.path, "cpu"))
        if packed is not None:
            name = f"{entry.model_id.hex()}.model"
            atomic_write(folder / "models" / name, packed, overwrite=True)
            written.append(entry)
    return written
