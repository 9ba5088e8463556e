"""Which input becomes which output: decided for all files before any is written."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from bitcodec.errors import FileError
from bitcodec.files import find_inputs

STREAM = "-"
FILE_SUFFIXES = frozenset({".bin", ".bitc"})
# Formats that hold photographs; a file of another suffix can still be named on its own.
PICTURE_SUFFIXES = frozenset(
    ".avif .bmp .gif .jp2 .jpeg .jpg .pgm .png .pnm .ppm .qoi .tga .tif .tiff .webp".split()
)


@dataclass(frozen=True)
class Job:
    """One file to do; ``-`` is standard input or output."""

    source: str
    target: str


@dataclass(frozen=True)
class Plan:
    """What is to be done.

    Attributes:
        jobs: the files, in order.
        missing: inputs that cannot even be found, each with its reason.
        makes_folders: whether the folders of outputs are made, as ``-o DIR/`` promises.
    """

    jobs: tuple[Job, ...]
    missing: tuple[tuple[str, FileError], ...] = ()
    makes_folders: bool = False

    @property
    def count(self) -> int:
        """Inputs in all."""
        return len(self.jobs) + len(self.missing)


@dataclass(frozen=True)
class Naming:
    """How one direction names its files.

    Attributes:
        suffix: of an output that is not named, as ".png".
        replaced: suffixes that it takes the place of; others are kept and it is added.
        searched: suffixes that are taken from a folder.
        refused: suffixes that an output must not have, with the reason.
        reason: why.
    """

    suffix: str
    replaced: Collection[str]
    searched: Collection[str]
    refused: Collection[str]
    reason: str

    def output_name(self, path: Path) -> Path:
        """The default output of an input."""
        if path.suffix.lower() in self.replaced:
            return path.with_suffix(self.suffix)
        return path.with_name(path.name + self.suffix)


def plan_jobs(
    inputs: Sequence[str], output: str | None, *, recursive: bool, naming: Naming
) -> Plan:
    """Pair inputs with outputs.

    Args:
        inputs: the bare arguments: IN, IN OUT, or with ``output`` any number.
        output: what ``-o`` says: a folder, or a file for a single input.
        recursive: whether folders are searched all the way down.
        naming: names and suffixes of this direction.

    Raises:
        click.UsageError: two inputs for one output, an input that would be overwritten,
            several inputs without ``-o``, ...
    """
    if output is None:
        plan = Plan((_bare(inputs, naming),))
    elif _is_folder(inputs, output):
        plan = _into_folder(inputs, output, recursive, naming)
    else:
        plan = Plan((Job(inputs[0], _checked(output, naming)),))
    _refuse_clashes(plan.jobs)
    return plan


def _bare(inputs: Sequence[str], naming: Naming) -> Job:
    source = inputs[0]
    if len(inputs) > 2:
        raise click.UsageError("several inputs need -o DIR/")
    if os.path.isdir(source):
        raise click.UsageError(f"{source} is a folder: say with -o DIR/ where its files go")
    if len(inputs) == 2:
        return Job(source, _checked(inputs[1], naming))
    if source == STREAM:
        return Job(STREAM, STREAM)
    return Job(source, str(naming.output_name(Path(source))))


def _checked(target: str, naming: Naming) -> str:
    if target != STREAM and os.path.isdir(target):
        raise click.UsageError(f"{target} is a folder: use -o {target}/")
    if Path(target).suffix.lower() in naming.refused:
        raise click.UsageError(f"{target}: {naming.reason}")
    return target


def _is_folder(inputs: Sequence[str], output: str) -> bool:
    if output == STREAM and (len(inputs) > 1 or os.path.isdir(inputs[0])):
        raise click.UsageError("several inputs cannot go to standard output")
    return (
        output.endswith(("/", os.sep))
        or os.path.isdir(output)
        or len(inputs) > 1
        or os.path.isdir(inputs[0])
    )


def _into_folder(inputs: Sequence[str], output: str, recursive: bool, naming: Naming) -> Plan:
    if STREAM in inputs:
        raise click.UsageError("standard input has no name to write it under in a folder")
    folder = Path(output)
    if folder.exists() and not folder.is_dir():
        raise click.UsageError(f"{output} is not a folder")
    found = find_inputs(inputs, recursive=recursive, suffixes=naming.searched)
    return Plan(
        tuple(Job(str(f.path), str(folder / naming.output_name(f.relative))) for f in found.files),
        tuple((str(path), error) for path, error in found.errors),
        makes_folders=True,
    )


def _refuse_clashes(jobs: Sequence[Job]) -> None:
    sources = {os.path.realpath(job.source): job.source for job in jobs if job.source != STREAM}
    targets: dict[str, str] = {}
    for job in jobs:
        if job.target == STREAM:
            continue
        key = os.path.realpath(job.target)
        if key in sources:
            raise click.UsageError(f"{job.target} is an input: it would be overwritten")
        if key in targets:
            raise click.UsageError(
                f"{targets[key]} and {job.source} would both be written to {job.target}"
            )
        targets[key] = job.source
