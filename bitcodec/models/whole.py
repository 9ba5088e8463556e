"""Whole numbers of a configuration, checked."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["MAX_WIDTH", "check_whole"]

MAX_WIDTH = 4096  #: channels between layers


def check_whole(values: Iterable[object], name: str, low: int, high: int) -> None:
    """ValueError unless all are whole numbers from ``low`` to ``high``."""
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"{name} must be a whole number of {low} to {high}, not {value!r:.50}")
