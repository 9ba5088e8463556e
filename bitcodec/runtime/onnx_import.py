"""ONNX Runtime without its telemetry.

From 1.29 on it would report to its makers, by a thread of its own that starts when it is imported,
writes below ``~/.cache`` and has a child of ``os.fork`` wait for ever where that ends.
"""

from __future__ import annotations

import os

__all__ = ["onnxruntime"]

_OFF = "ORT_DISABLE_TELEMETRY"

_asked = _OFF in os.environ
os.environ.setdefault(_OFF, "1")
try:
    import onnxruntime
finally:
    if not _asked:
        del os.environ[_OFF]
