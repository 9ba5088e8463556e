"""``bitcodec export``: which pictures ranges are measured on; the work is in training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bitcodec.cli.complete import complete_files, complete_models
from bitcodec.cli.options import quiet_option
from bitcodec.cli.plan import PICTURE_SUFFIXES
from bitcodec.errors import BitcodecError, FileError, ImageError, printable
from bitcodec.files import find_inputs
from bitcodec.models.registry import find_by_name

if TYPE_CHECKING:
    import numpy as np

_ENOUGH = 24  # pictures to measure ranges on
_LEAST = 64  # pixels of their shorter edge


@click.command("export")
@click.argument("weights", shell_complete=complete_models)
@click.argument("out", type=click.Path(path_type=Path), shell_complete=complete_files)
@click.option(
    "--data",
    required=True,
    type=click.Path(path_type=Path),
    help=f"Folder of pictures, searched all through; ranges are measured on {_ENOUGH} of them.",
)
@click.option("-f", "--force", is_flag=True, help="Overwrite OUT if it exists.")
@quiet_option
def export_command(weights: str, out: Path, data: Path, force: bool, quiet: bool) -> int:
    """Make weights that code of trained ones.

    WEIGHTS is best-float.safetensors of a run of ladder (for sign its
    best.safetensors), or weights that were exported before, by name or path.
    OUT gets integers and the ranges of activations for the int8 networks, its
    float numbers in 16 bits. It has an id of its own: files that were made with
    other weights are not read with it.

    \b
    Examples:
      bitcodec export runs/a/best-float.safetensors mine.safetensors --data photos
      bitcodec encode -m mine.safetensors photo.jpg
    """
    path = find_by_name(weights).path
    if out.exists() and not force:
        raise FileError(f"{printable(out)}: exists already (-f overwrites it)")
    pictures = _pictures(data)
    from bitcodec.training.export import export

    try:
        model_id = export(path, pictures, out, overwrite=force)
    except FileError as error:
        raise FileError(f"{printable(out)}: {error}") from error
    if not quiet:
        measured = f"calibrated on {len(pictures)} pictures"
        click.echo(f"{printable(out)}: id {model_id.hex()}, {measured}", err=True)
    return 0


def _pictures(folder: Path) -> list[np.ndarray]:
    """Up to so many as are enough, evenly from all; ImageError where there is none."""
    from bitcodec.picture.images import open_picture

    found = find_inputs([folder], recursive=True, suffixes=PICTURE_SUFFIXES)
    for path, error in found.errors:
        raise FileError(f"{printable(path)}: {error}")
    pictures: list[np.ndarray] = []
    for file in found.files[:: max(1, len(found.files) // _ENOUGH)]:
        try:
            rgb = open_picture(file.path).rgb
        except BitcodecError as error:
            click.echo(f"bitcodec: skipped {printable(file.path)}: {error}", err=True)
            continue
        if min(rgb.shape[:2]) >= _LEAST and len(pictures) < _ENOUGH:
            pictures.append(rgb)
    if not pictures:
        raise ImageError(f"{printable(folder)}: no picture of {_LEAST} pixels or more both ways")
    return pictures
