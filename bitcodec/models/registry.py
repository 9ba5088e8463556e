"""Which models there are: the headers of weights files, read without torch.

A weights file is a safetensors file, whose first bytes are the length of a JSON
header and the header itself. Its metadata name the family, the configuration
and the id. So listing models, or finding the model of a ``.bin``, reads only a few
kilobytes. The tensors are checked against the id when they are loaded
(``bitcodec.models.weights``).

Folders, in order: those in ``BITCODEC_WEIGHTS`` (``os.pathsep``-separated), the
package's own, and in a checkout ``weights/`` beside the package.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bitcodec.errors import UnknownModelError, WeightsError

ENVIRONMENT = "BITCODEC_WEIGHTS"
DEFAULT_ENVIRONMENT = "BITCODEC_MODEL"
FAMILY, CONFIG, ID = "bitcodec.family", "bitcodec.config", "bitcodec.id"  #: metadata keys
SUFFIX = ".safetensors"
_WITHDRAWN = "withdrawn.json"
_MAX_HEADER = 1 << 24  # bytes; a real one is some ten kilobytes
_PACKAGE = Path(__file__).resolve().parents[1]  # bitcodec


@dataclass(frozen=True)
class ModelEntry:
    """A weights file that can be loaded.

    Attributes:
        name: the file's name without its suffix.
        path: the file.
        family: "sign" or "ladder".
        model_id: 8 bytes, as they stand in the files that the model wrote.
        config: the family's configuration, as read from JSON.
        size: of the file, in bytes.
    """

    name: str
    path: Path
    family: str
    model_id: bytes
    config: dict[str, Any]
    size: int


def default_model() -> str:
    """The name of the model that is used if none is named: ``BITCODEC_MODEL``, else "ladder"."""
    return os.environ.get(DEFAULT_ENVIRONMENT) or "ladder"


def weights_folders() -> tuple[Path, ...]:
    """The folders that are searched, first one first; some may not exist."""
    named = [Path(p) for p in os.environ.get(ENVIRONMENT, "").split(os.pathsep) if p]
    folders = [*named, _PACKAGE / "weights"]
    if (_PACKAGE.parent / "pyproject.toml").is_file():  # a checkout, not site-packages
        folders.append(_PACKAGE.parent / "weights")
    return tuple(folders)


def read_entry(path: str | os.PathLike[str]) -> ModelEntry:
    """Read the header of one weights file.

    Raises:
        WeightsError: the file cannot be read, is not safetensors, or is not ours.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= min(_MAX_HEADER, size - 8):
                raise WeightsError("not a safetensors file")
            header = json.loads(file.read(length))
    except OSError as error:
        raise WeightsError(error.strerror or str(error)) from error
    except (ValueError, RecursionError) as error:
        raise WeightsError("not a safetensors file") from error
    metadata = header.get("__metadata__") if isinstance(header, dict) else None
    return _entry(path, metadata if isinstance(metadata, dict) else {}, size)


def _entry(path: Path, metadata: dict[str, Any], size: int) -> ModelEntry:
    family, raw_id = metadata.get(FAMILY), metadata.get(ID)
    if not isinstance(family, str) or not isinstance(raw_id, str):
        raise WeightsError("not a weights file of bitcodec")
    if not re.fullmatch("[0-9a-f]{16}", raw_id):
        raise WeightsError(f"damaged metadata: {ID}")
    try:
        config = json.loads(metadata.get(CONFIG, ""))
    except (TypeError, ValueError, RecursionError) as error:
        raise WeightsError(f"damaged metadata: {CONFIG}") from error
    if not isinstance(config, dict):
        raise WeightsError(f"damaged metadata: {CONFIG}")
    return ModelEntry(path.stem, path, family, bytes.fromhex(raw_id), config, size)


def scan() -> tuple[tuple[ModelEntry, ...], tuple[tuple[Path, WeightsError], ...]]:
    """All weights files of all folders, and those that could not be read.

    Within a folder they are sorted by name. A file with the name and id of an
    earlier one is left out.
    """
    entries: list[ModelEntry] = []
    damaged: list[tuple[Path, WeightsError]] = []
    seen: set[tuple[str, bytes]] = set()
    for folder in weights_folders():
        for path in sorted(folder.glob("*" + SUFFIX)):
            try:
                entry = read_entry(path)
            except WeightsError as error:
                damaged.append((path, error))
                continue
            if (entry.name, entry.model_id) not in seen:
                seen.add((entry.name, entry.model_id))
                entries.append(entry)
    return tuple(entries), tuple(damaged)


def list_models() -> tuple[ModelEntry, ...]:
    """The models that can be named; where a name occurs twice, the first one wins."""
    return scan()[0]


def find_by_name(name_or_path: str | os.PathLike[str]) -> ModelEntry:
    """A model by its name, or by the path of its weights file.

    Anything with a folder in it or the suffix ``.safetensors`` is a path.

    Raises:
        UnknownModelError: no model has the name, or there is no such file.
        WeightsError: the file is not one of ours.
    """
    wanted = os.fspath(name_or_path)
    if Path(wanted).name != wanted or wanted.endswith(SUFFIX):
        if not Path(wanted).is_file():
            raise UnknownModelError(f"no weights file {wanted}")
        return read_entry(wanted)
    entries, damaged = scan()
    for entry in entries:
        if entry.name == wanted:
            return entry
    for path, error in damaged:
        if path.stem == wanted:
            raise WeightsError(f"{path}: {error}")
    raise UnknownModelError(f"unknown model {wanted!r} ({_known(entries)})")


def find_by_id(model_id: bytes) -> ModelEntry:
    """The model that wrote a file.

    Args:
        model_id: 8 bytes, from the file's header.

    Raises:
        UnknownModelError: no weights file has the id; the message names the id,
            says whether the weights were withdrawn, and lists the known models.
    """
    entries = list_models()
    for entry in entries:
        if entry.model_id == model_id:
            return entry
    note = withdrawn().get(model_id.hex())
    if note is not None:
        raise UnknownModelError(f"made with withdrawn weights {model_id.hex()}: {note}")
    raise UnknownModelError(f"unknown model id {model_id.hex()} ({_known(entries)})")


def withdrawn() -> dict[str, str]:
    """Ids (16 hex digits) of weights that were shipped once and no longer are, with a note.

    Raises:
        WeightsError: a ``withdrawn.json`` is damaged.
    """
    notes: dict[str, str] = {}
    for folder in reversed(weights_folders()):
        path = folder / _WITHDRAWN
        if not path.is_file():
            continue
        try:
            content = json.loads(path.read_bytes())
        except (OSError, ValueError) as error:
            raise WeightsError(f"{path}: {error}") from error
        if not isinstance(content, dict):
            raise WeightsError(f"{path}: not a JSON object")
        notes.update({str(key): str(note) for key, note in content.items()})
    return notes


def _known(entries: tuple[ModelEntry, ...]) -> str:
    if not entries:
        return f"no weights files found; {ENVIRONMENT} names folders to search"
    names = dict.fromkeys(f"{entry.name} {entry.model_id.hex()}" for entry in entries)
    return "known: " + ", ".join(names)
