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

from bitcodec.errors import *  # noqa: F403 - all of them, and nothing heavy comes with them
from bitcodec.errors import __all__ as _errors

if TYPE_CHECKING:
    from bitcodec.api import Codec as Codec
    from bitcodec.api import decode as decode
    from bitcodec.api import decode_partial as decode_partial
    from bitcodec.api import encode as encode
    from bitcodec.info import Info as Info
    from bitcodec.info import read_info as read_info
    from bitcodec.models.registry import ModelEntry as ModelEntry
    from bitcodec.models.registry import list_models as list_models
    from bitcodec.runtime.loaded import load_model as load_model

__version__ = "0.1.0"

_HOME = {
    "Codec": "api",
    "Info": "info",
    "ModelEntry": "models.registry",
    "decode": "api",
    "decode_partial": "api",
    "encode": "api",
    "list_models": "models.registry",
    "load_model": "runtime.loaded",
    "read_info": "info",
}
__all__ = sorted([*_errors, *_HOME, "__version__"])


def __getattr__(name: str) -> Any:
    """Import a public name from its home on first use (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module 'bitcodec' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"bitcodec.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
