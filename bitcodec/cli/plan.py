"""Which input becomes which output: decided for all files before any is written."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import click

from bitcodec.errors import FileError, printable
from bitcodec.files import find_inputs
from bitcodec.streams import is_stream, own_descriptor

STREAM = "-"
FILE_SUFFIXES = frozenset({".bin", ".bitc"})
# Pictures that Pillow does not read without help: refused as outputs, and named where they fail.
_OTHER_PICTURES = frozenset(
    ".arw .cr2 .cr3 .dng .heic .heics .heif .heifs .hif .jxl .jxr .nef .orf .raf .rw2".split()
)
_COMMON = frozenset(".avif .bmp .gif .jp2 .jpeg .jpg .png .ppm .tif .tiff .webp".split())
# Films, data and drawings that Pillow knows by name but makes no pixels of.
_NO_PICTURES = frozenset({"MPEG", "EPS", "WMF", "BUFR", "GRIB", "HDF5", "BITCODEC"})


class _PictureSuffixes(Collection[str]):
    """All suffixes of pictures, ".jpg" and the like; Pillow's plugins are loaded if need be."""

    def __contains__(self, suffix: object) -> bool:
        return suffix in _COMMON or suffix in _all_pictures()

    def __iter__(self) -> Iterator[str]:
        return iter(_all_pictures())

    def __len__(self) -> int:
        return len(_all_pictures())


@lru_cache(maxsize=1)
def _all_pictures() -> frozenset[str]:
    from PIL import Image

    known = Image.registered_extensions()  # loads the plugins
    readable = {s for s, name in known.items() if name in Image.OPEN and name not in _NO_PICTURES}
    return frozenset(readable) | _COMMON | _OTHER_PICTURES


PICTURE_SUFFIXES: Collection[str] = _PictureSuffixes()  #: a file of another can still be named


@dataclass(frozen=True)
class FileJob:
    """One file to do; ``-`` is standard input or output."""

    source: str
    target: str


@dataclass(frozen=True)
class Plan:
    """What is to be done.

    Attributes:
        jobs: the files, in order.
        missing: inputs that cannot be found, or have no output, each with its reason.
        makes_folders: whether the folders of outputs are made, as ``-o DIR/`` promises.
    """

    jobs: tuple[FileJob, ...]
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

    Of several inputs, those whose outputs are the same, or are inputs, come back as missing.

    Args:
        inputs: the bare arguments: IN, IN OUT, or with ``output`` any number.
        output: what ``-o`` says: a folder, or a file for a single input.
        recursive: whether folders are searched all the way down.
        naming: names and suffixes of this direction.

    Raises:
        click.UsageError: a single input that would be overwritten, several without ``-o``, ...
    """
    if "" in (*inputs, output):
        raise click.UsageError("the name of a file is empty")
    if output is None:
        plan = Plan((_bare(inputs, naming),))
    elif _is_folder(inputs, output):
        plan = _into_folder(inputs, output, recursive, naming)
    else:
        plan = Plan((FileJob(inputs[0], _checked(output, naming)),))
    clashes = dict(_clashes(plan.jobs))
    if clashes and len(plan.jobs) == 1:
        raise click.UsageError(next(iter(clashes.values())))
    return replace(
        plan,
        jobs=tuple(job for job in plan.jobs if job not in clashes),
        missing=(*plan.missing, *((job.source, FileError(clashes[job])) for job in clashes)),
    )


def _bare(inputs: Sequence[str], naming: Naming) -> FileJob:
    source = inputs[0]
    if len(inputs) > 2:
        raise click.UsageError("several inputs need -o DIR/")
    if os.path.isdir(source):
        raise click.UsageError(f"{source} is a folder: say with -o DIR/ where its files go")
    if len(inputs) == 2:
        return FileJob(source, _checked(inputs[1], naming))
    if source == STREAM:
        return FileJob(STREAM, STREAM)
    return FileJob(source, str(naming.output_name(Path(source))))


def _checked(target: str, naming: Naming) -> str:
    if target == STREAM or own_descriptor(target) == 1:  # /dev/stdout
        return STREAM
    if os.path.isdir(target):
        raise click.UsageError(f"{target} is a folder: use -o {target.rstrip('/')}/")
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
        tuple(
            FileJob(str(f.path), str(folder / naming.output_name(f.relative))) for f in found.files
        ),
        tuple((str(path), error) for path, error in found.errors),
        makes_folders=True,
    )


def _clashes(jobs: Sequence[FileJob]) -> Iterator[tuple[FileJob, str]]:
    """Jobs that cannot be done without loss, each with the reason."""
    sources = {os.path.realpath(job.source) for job in jobs if job.source != STREAM}
    same: dict[str, list[FileJob]] = {}
    for job in jobs:
        if job.target != STREAM and not is_stream(job.target):
            same.setdefault(os.path.realpath(job.target), []).append(job)
    for target, those in same.items():
        shown = printable(those[0].target)
        for job in those:
            if target in sources:
                yield job, f"{shown} is an input: it would be overwritten"
            elif len(those) > 1:
                names = " and ".join(printable(other.source) for other in those)
                yield job, f"{names} would all be written to {shown}"
