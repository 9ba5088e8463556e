"""Options that several commands share, said once."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

from bitcodec.cli.batch import BatchSettings
from bitcodec.cli.complete import complete_files
from bitcodec.format.container import DEFAULT_MAX_PIXELS

F = TypeVar("F", bound=Callable[..., Any])


class Finite(click.FloatRange):
    """A number above 0, and neither infinite nor NaN, which no comparison refuses."""

    def __init__(self) -> None:
        super().__init__(min=0, min_open=True)

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The number, or a usage error."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number", param, ctx)
        return number


def _device(ctx: click.Context, param: click.Parameter, value: str) -> str:
    if not re.fullmatch(r"auto|cpu|cuda(:\d{1,3})?", value):
        raise click.BadParameter(
            f"{value!r} is not one of auto, cpu, cuda, cuda:0, ...", ctx, param
        )
    return value


device_option = click.option(
    "--device",
    metavar="[auto|cpu|cuda|cuda:N]",
    callback=_device,
    shell_complete=lambda ctx, param, typed: [
        name for name in ("auto", "cpu", "cuda") if name.startswith(typed)
    ],
    default="auto",
    show_default=True,
    help="Where the network runs; auto: on CUDA if there is a device.",
)
quiet_option = click.option("--quiet", is_flag=True, help="Print errors only.")

_BATCH = [
    click.option(
        "-o",
        "--output",
        metavar="DIR/",
        shell_complete=complete_files,
        help="Folder for the outputs, made if missing; needed for several inputs. "
        "For a single input it may be a file.",
    ),
    click.option("-r", "--recursive", is_flag=True, help="Search folders all the way down."),
    click.option("-f", "--force", is_flag=True, help="Overwrite outputs that exist."),
    click.option(
        "--skip-existing", is_flag=True, help="Leave outputs that are newer than their input."
    ),
    click.option(
        "-j",
        "--jobs",
        type=click.IntRange(0, 1024),
        default=1,
        show_default=True,
        help="Processes, each with one thread; 0: one a core; 1: this one with all threads.",
    ),
]
_TALK = [
    quiet_option,
    click.option("-v", "--verbose", is_flag=True, help="Print every figure of every file."),
    click.option("--json", "as_json", is_flag=True, help="One JSON object a file on stdout."),
]
_MACHINE = [
    device_option,
    click.option(
        "--max-pixels",
        type=click.IntRange(min=1),
        default=DEFAULT_MAX_PIXELS,
        show_default=True,
        help="Refuse pictures with more pixels.",
    ),
]


def batch_options(function: F) -> F:
    """-o, -r, -f, --skip-existing, -j, --quiet, -v, --json, --device, --max-pixels."""
    for option in reversed([*_BATCH, *_TALK, *_MACHINE]):
        function = option(function)
    return function


def batch_settings(options: dict[str, Any]) -> BatchSettings:
    """Take the options of a batch out of a command's keyword arguments.

    Raises:
        click.UsageError: -f and --skip-existing together.
    """
    if options["force"] and options["skip_existing"]:
        raise click.UsageError("-f and --skip-existing exclude each other")
    return BatchSettings(
        force=options.pop("force"),
        skip_existing=options.pop("skip_existing"),
        jobs=options.pop("jobs"),
        quiet=options.pop("quiet"),
        verbose=options.pop("verbose"),
        json=options.pop("as_json"),
    )
