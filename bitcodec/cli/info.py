"""``bitcodec info``: the header of files, without torch."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import click

from bitcodec.cli.batch import read_source
from bitcodec.cli.complete import complete_files
from bitcodec.errors import BitcodecError, printable
from bitcodec.format import container
from bitcodec.info import Info, info_of

_UNITS = {
    "width": "pixels",
    "height": "pixels",
    "tile": "pixels",
    "header_size": "bytes",
    "payload_size": "bytes",
    "overlay_size": "bytes",
    "alpha_size": "bytes",
    "icc_size": "bytes",
    "exif_size": "bytes",
    "file_size": "bytes",
}


@click.command("info")
@click.argument("inputs", metavar="IN...", nargs=-1, required=True, shell_complete=complete_files)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a file on stdout.")
@click.option(
    "--max-pixels", type=click.IntRange(min=1), help="Refuse pictures with more; no limit if unset."
)
def info_command(inputs: tuple[str, ...], as_json: bool, max_pixels: int | None) -> int:
    """Show what .bin files say of themselves.

    Every field of the header, the sizes, and for the model `sign` the figure
    numel(bits)/numel(image). `intact` says whether all checksums are right; a
    damaged file is shown as far as it goes, and exits with 3. IN `-` is
    standard input. No network is loaded.

    \b
    Examples:
      bitcodec info photo.bin
      bitcodec info --json *.bin
    """
    exit_codes = []
    for source in inputs:
        try:
            _show(source, as_json, max_pixels, named=len(inputs) > 1)
        except BitcodecError as error:
            click.echo(f"bitcodec: error: {printable(source)}: {error}", err=True)
            if as_json:
                failed = {"input": source, "error": str(error), "exit_code": error.exit_code}
                click.echo(json.dumps(failed))
            exit_codes.append(error.exit_code)
    if not exit_codes:
        return 0
    return exit_codes[0] if len(inputs) == 1 else 1


def _show(source: str, as_json: bool, max_pixels: int | None, *, named: bool) -> None:
    data = read_source(source)
    info = info_of(container.read_header(data, max_pixels=max_pixels))
    damage: BitcodecError | None = None
    try:
        container.read(data, max_pixels=info.width * info.height)
    except BitcodecError as error:
        damage = error
    if not as_json:
        _print(source, info, intact=damage is None, named=named)
    elif damage is None:
        click.echo(json.dumps({"input": source, **dataclasses.asdict(info), "intact": True}))
    if damage is not None:
        raise damage


def _print(source: str, info: Info, *, intact: bool, named: bool) -> None:
    if named:
        click.echo(f"{printable(source)}:")
    fields: dict[str, Any] = {**dataclasses.asdict(info), "intact": intact}
    for name, value in fields.items():
        if value is None:
            value = "unknown here" if name in ("model", "family") else "none"
        elif isinstance(value, bool):
            value = "yes" if value else "no"
        unit = f" {_UNITS[name]}" if name in _UNITS and value != "none" else ""
        click.echo(f"{name:<13} {value}{unit}")
