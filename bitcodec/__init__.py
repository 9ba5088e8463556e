"""A learned image codec: a network, the sign of its latents, packed bits, and back.

::

    >>> import bitcodec
    >>> from PIL import Image
    >>> data = bitcodec.encode(Image.new("RGB", (640, 480)), quality=50)  # doctest: +SKIP
    >>> bitcodec.read_info(data).width  # doctest: +SKIP
    640
    >>> picture = bitcodec.decode(data)  # doctest: +SKIP

Public names are resolved on first use, so that ``import bitcodec`` does not
import torch; ``read_info`` and ``list_models`` never do.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bitcodec.api import Codec, decode, decode_partial, encode, load_model
    from bitcodec.errors import (
        BitcodecError,
        ChecksumError,
        ContainerError,
        FileError,
        ImageError,
        LimitError,
        NotBitcodecError,
        TargetError,
        TrainingError,
        TruncatedError,
        UnknownModelError,
        UnsupportedVersionError,
        WeightsError,
    )
    from bitcodec.info import Info, read_info
    from bitcodec.models.registry import ModelEntry, list_models

__version__ = "0.1.0"

__all__ = [
    "BitcodecError",
    "ChecksumError",
    "Codec",
    "ContainerError",
    "FileError",
    "ImageError",
    "Info",
    "LimitError",
    "ModelEntry",
    "NotBitcodecError",
    "TargetError",
    "TrainingError",
    "TruncatedError",
    "UnknownModelError",
    "UnsupportedVersionError",
    "WeightsError",
    "__version__",
    "decode",
    "decode_partial",
    "encode",
    "list_models",
    "load_model",
    "read_info",
]

_HOME = {
    "Codec": "api",
    "Info": "info",
    "ModelEntry": "models.registry",
    "decode": "api",
    "decode_partial": "api",
    "encode": "api",
    "list_models": "models.registry",
    "load_model": "api",
    "read_info": "info",
}


def __getattr__(name: str) -> Any:
    """Import a public name from its home on first use (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module 'bitcodec' has no attribute {name!r}")
    value = getattr(importlib.import_module("bitcodec." + _HOME.get(name, "errors")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
