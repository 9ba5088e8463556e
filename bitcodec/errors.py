"""The exceptions of bitcodec, one tree:

- BitcodecError (exit code 1)
  - ContainerError (3): a ``.bin`` that is foreign or corrupt
    - NotBitcodecError: the magic bytes are not ours
    - UnsupportedVersionError: a version or a flag that this program does not know
    - TruncatedError: the data end before the file does
    - ChecksumError: a CRC-32 does not match
    - LimitError: more pixels, or longer sections, than allowed
  - ImageError (3): an input picture that cannot be read, or cannot be kept
  - UnknownModelError (4): no weights file has the wanted name or id
  - WeightsError (4): a weights file that is not one of ours
  - FileError (5): reading or writing failed, or the output exists
  - TargetError (1): a size, bpp or PSNR that is none, or that cannot be reached
  - OptionError (2): another option or argument whose type or value makes no sense
  - TrainingError (1): a bad configuration, no pictures, ...

Messages are one line and start with a lower-case letter. They do not name the file; the caller that
knows the path adds it.
"""

from __future__ import annotations

import textwrap
import unicodedata
from typing import ClassVar

__all__ = [
    "BitcodecError",
    "ChecksumError",
    "ContainerError",
    "FileError",
    "ImageError",
    "LimitError",
    "NotBitcodecError",
    "OptionError",
    "TargetError",
    "TrainingError",
    "TruncatedError",
    "UnknownModelError",
    "UnsupportedVersionError",
    "WeightsError",
]


DEFAULT_MAX_PIXELS = 2**28  #: of a picture; with more it is a LimitError, unless more are allowed


class BitcodecError(Exception):
    """Base of everything that bitcodec raises on purpose; ``exit_code`` is the command's."""

    exit_code: ClassVar[int] = 1


class ContainerError(BitcodecError):
    """A ``.bin`` file that is foreign, corrupt or not allowed by the limits."""

    exit_code = 3


class NotBitcodecError(ContainerError):
    """The data do not start with the magic bytes."""


class UnsupportedVersionError(ContainerError):
    """A version, flag or coder that this program does not know."""


class TruncatedError(ContainerError):
    """The data end before the file does."""


class ChecksumError(ContainerError):
    """A CRC-32 does not match the bytes that it covers."""


class LimitError(ContainerError):
    """More pixels, or a longer section, than allowed."""


class ImageError(BitcodecError):
    """A picture that cannot be read, or whose content cannot be kept."""

    exit_code = 3


class UnknownModelError(BitcodecError):
    """No known weights file has the wanted name or id."""

    exit_code = 4


class WeightsError(BitcodecError):
    """A weights file that is damaged or not one of ours."""

    exit_code = 4


class FileError(BitcodecError):
    """Reading or writing failed, or the output exists already."""

    exit_code = 5


class TargetError(BitcodecError):
    """A quality, size, bpp or PSNR that is none, or that cannot be reached."""


class OptionError(BitcodecError, ValueError):
    """An option or argument whose type or value makes no sense."""

    exit_code = 2


class TrainingError(BitcodecError):
    """Training cannot start or go on: bad configuration, no pictures, ..."""


def one_line(error: BaseException) -> str:
    """What an exception says, in one line that is not too long; of an OSError the reason."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return textwrap.shorten(text, 300, placeholder=" ...") or type(error).__name__


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


def shown(value: object) -> str:
    """What a message shows of a wrong value: its ``repr``, not too long."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
