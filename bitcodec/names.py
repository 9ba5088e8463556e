"""File names as they can be shown: on a terminal, in a report, in a page."""

from __future__ import annotations

import unicodedata

__all__ = ["printable"]


def printable(name: object) -> str:
    r"""A name, a path, or a line with names in it; what might harm a terminal is escaped.

    Control and formatting characters become ``\n``, ``\x1b``, ``\u202e``; a byte that is not
    UTF-8, a lone surrogate in Python's names, becomes ``\xef``. All else, spaces and letters of
    any script, stays as it is.
    """
    return "".join(_escaped(character) for character in str(name))


def _escaped(character: str) -> str:
    if character.isprintable() or unicodedata.category(character) == "Zs":
        return character
    if "\udc80" <= character <= "\udcff":  # what os.fsdecode makes of a byte
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")
