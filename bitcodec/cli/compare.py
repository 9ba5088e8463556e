"""``bitcodec compare``: how near files are to their original, as figures and as a page."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bitcodec.cli.complete import complete_files
from bitcodec.cli.lists import words
from bitcodec.cli.notes import warnings_as_notes
from bitcodec.cli.options import device_option, quiet_option
from bitcodec.errors import BitcodecError, FileError, ImageError, printable
from bitcodec.files import atomic_write, read_file

if TYPE_CHECKING:
    from bitcodec.evaluate.metrics import Metric


@click.command("compare")
@click.argument("original", metavar="A.png", shell_complete=complete_files)
@click.argument(
    "files", metavar="B.bin [C.jpg ...]", nargs=-1, required=True, shell_complete=complete_files
)
@click.option(
    "--metrics",
    metavar="LIST",
    default="psnr,ms-ssim,ssimulacra2",
    show_default=True,
    help="What to judge by; also butteraugli, whose program must be installed.",
)
@click.option("-o", "--output", metavar="PAGE.html", help="Also write a page to look at them in.")
@click.option("-f", "--force", is_flag=True, help="Overwrite the page.")
@device_option
@quiet_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object a file on stdout.")
def compare_command(
    original: str,
    files: tuple[str, ...],
    metrics: str,
    output: str | None,
    force: bool,
    device: str,
    quiet: bool,
    as_json: bool,
) -> int:
    """Compare files with their original.

    Prints bytes, bpp, PSNR, MS-SSIM and SSIMULACRA2 of every file. Files are .bin or of any
    format that Pillow reads, and as wide and high as the original.

    \b
    Examples:
      bitcodec compare photo.png photo.bin photo.jpg
      bitcodec compare photo.png photo.bin photo.jpg -o look.html
    """
    from bitcodec.evaluate import tables
    from bitcodec.evaluate.metrics import Scorer, chosen

    judges = chosen(words(metrics))
    if output and Path(output).exists() and not force:
        raise FileError(f"{printable(output)}: exists already (-f overwrites it)")
    pixels = _original(original)
    score = Scorer(pixels, judges)
    names, versions, errors = [], [], []
    for file in files:
        try:
            versions.append(_version(pixels, score, file, device, embed=output is not None))
            names.append(file)
        except BitcodecError as error:
            errors.append(error)
            click.echo(f"bitcodec: error: {printable(file)}: {error}", err=True)
    if as_json:
        for file, item in zip(names, versions, strict=True):
            scores = {
                name: None if value is None or math.isinf(value) else value
                for name, value in item.scores.items()
            }
            record = {"file": file, "setting": item.setting, "bytes": item.bytes}
            click.echo(json.dumps({**record, "bpp": item.bpp, **scores}))
    elif versions and not quiet:
        click.echo(tables.text_table(_table(versions, judges), 1))
    if output and versions:
        _write_page(output, original, pixels, versions, judges, force)
    return 0 if not errors else errors[0].exit_code if len(files) == 1 else 1


def _original(path: str) -> Any:
    from bitcodec.evaluate.runner import load_pixels

    try:
        with warnings_as_notes():
            return load_pixels(Path(path))[0]
    except BitcodecError as error:
        raise type(error)(f"{printable(path)}: {error}") from error


def _version(pixels: Any, score: Any, path: str, device: str, *, embed: bool) -> Any:
    from bitcodec.picture.images import open_picture
    from bitcodec.report import viewer

    data = read_file(path)
    if data.startswith(b"\x89BTC"):
        decoded, setting = _decode(data, device)
    else:
        with warnings_as_notes():
            decoded, setting = open_picture(data).rgb, Path(path).suffix.lstrip(".")
    if decoded.shape != pixels.shape:
        (height, width), (h, w) = pixels.shape[:2], decoded.shape[:2]
        raise ImageError(f"is {w}x{h}, the original {width}x{height}")
    return viewer.version(
        pixels, decoded, score, codec=printable(path), setting=setting, size=len(data), embed=embed
    )


def _decode(data: bytes, device: str) -> tuple[Any, str]:
    import numpy as np

    import bitcodec

    image = bitcodec.decode(data, device=device)
    info = bitcodec.read_info(data)
    return np.asarray(image.convert("RGB")), f"{info.model or 'bitcodec'}, rate {info.rate}"


def _table(versions: list[Any], metrics: tuple[Metric, ...]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("file", "bytes", "bpp", *(m.title for m in metrics))]
    rows.extend(
        (
            item.codec,
            str(item.bytes),
            f"{item.bpp:.4f}",
            *(metric.text(item.scores[metric.name]) for metric in metrics),
        )
        for item in versions
    )
    return rows


def _write_page(
    output: str,
    original: str,
    pixels: Any,
    versions: list[Any],
    metrics: tuple[Metric, ...],
    force: bool,
) -> None:
    from bitcodec.report import page, viewer

    name = printable(Path(original).name)
    picture = viewer.shown(name, pixels, [("as given", tuple(versions))])
    text = page.build(
        title=f"bitcodec compare: {name}",
        intro="PSNR is over RGB. The files need not be of one size: look at the bytes.",
        pictures=[picture],
        tables=[page.Table("Files", _table(versions, metrics), 1)],
    )
    try:
        atomic_write(output, text.encode(), overwrite=force)
    except FileError as error:
        raise FileError(f"{printable(output)}: {error}") from error
