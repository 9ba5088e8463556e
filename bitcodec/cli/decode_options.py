"""The options of ``decode`` that ask for a part of a picture, and where its file comes from."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO, TypeVar

import click

from bitcodec.cli.batch import read_source
from bitcodec.cli.plan import STREAM
from bitcodec.files import open_file
from bitcodec.format.header import Header

F = TypeVar("F", bound=Callable[..., Any])
_SCALES = {"1/2": 1 / 2, "1/4": 1 / 4, "1/8": 1 / 8, "1/16": 1 / 16}
_NAMED = 20


class Crop(click.ParamType):  # type: ignore[type-arg]
    """``X,Y,W,H``: four whole numbers, width and height at least 1."""

    name = "crop"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int, int, int]:
        """The numbers; a usage error for anything else."""
        if isinstance(value, tuple):
            return value
        fields = str(value).split(",")
        if len(fields) != 4 or not all(f.strip().isdecimal() and len(f) < 12 for f in fields):
            self.fail(f"{value!r} is not X,Y,W,H in pixels", param, ctx)
        x, y, w, h = map(int, fields)
        if not w or not h:
            self.fail(f"{value!r} has no pixels", param, ctx)
        return x, y, w, h


def part_options(function: F) -> F:
    """--crop, --scale, --partial."""
    options = (
        click.option(
            "--crop",
            type=Crop(),
            metavar="X,Y,W,H",
            help="Only this part, in pixels from the top left; only its tiles are read.",
        ),
        click.option(
            "--scale",
            type=click.Choice(list(_SCALES)),
            help="A small preview, from the low frequencies where the model has them.",
        ),
        click.option(
            "--partial",
            is_flag=True,
            help="Save what is whole of a damaged file, the rest grey; exits with 1 if damaged.",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


def scale_of(text: str | None) -> float:
    """The number that ``--scale`` names; 1 without it."""
    return 1.0 if text is None else _SCALES[text]


@contextlib.contextmanager
def open_source(source: str, *, whole: bool) -> Iterator[BinaryIO]:
    """A file that can be sought in; in memory if ``whole``, or if it is standard input.

    Raises:
        FileError: it cannot be read, in the body too.
    """
    if whole or source == STREAM:
        yield io.BytesIO(read_source(source))
    else:
        with open_file(source) as file:
            yield file


def describe_damage(lost: Sequence[str], header: Header) -> str | None:
    """One line on what is lost; None where nothing is."""
    if not lost:
        return None
    named = [_located(name, header) for name in lost[:_NAMED]]
    more = [f"{len(lost) - _NAMED} more"] if len(lost) > _NAMED else []
    grey = "; lost tiles are grey" if any(name.startswith("tile ") for name in lost) else ""
    return f"damaged, lost: {', '.join(named + more)}{grey}"


def _located(name: str, header: Header) -> str:
    kind, _, number = name.partition(" ")
    if kind not in ("tile", "overlay"):
        return name
    x0, y0, x1, y1 = header.tiling.box(int(number))
    return f"{name} (X,Y,W,H = {x0},{y0},{x1 - x0},{y1 - y0})"
