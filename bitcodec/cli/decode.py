"""``bitcodec decode``: ``.bin`` files to pictures."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import click

from bitcodec.cli.batch import run_batch
from bitcodec.cli.complete import complete_files, complete_models
from bitcodec.cli.decode_options import describe_damage, open_source, part_options, scale_of
from bitcodec.cli.options import batch_options, batch_settings
from bitcodec.cli.outcome import Output
from bitcodec.cli.plan import FILE_SUFFIXES, STREAM, Naming, Plan, plan_jobs
from bitcodec.format import container
from bitcodec.streams import is_stream

NAMING = Naming(
    suffix=".png",
    replaced=FILE_SUFFIXES,
    searched=FILE_SUFFIXES,
    refused=FILE_SUFFIXES,
    reason="a .bin file is not an output of decode; for several inputs say -o DIR/",
)


@dataclass(frozen=True)
class Decode:
    """The task: a ``.bin`` file's path to the bytes of a picture file. Picklable."""

    format: str
    model: str | None
    device: str
    max_pixels: int
    crop: tuple[int, int, int, int] | None = None
    scale: str | None = None
    partial: bool = False

    def __call__(self, source: str) -> Output:
        """Decode one file; a BitcodecError where that cannot be."""
        with open_source(source, whole=self.crop is None or self.partial) as file:
            return self._decode(file)

    def _decode(self, file: BinaryIO) -> Output:
        from bitcodec import api
        from bitcodec.info import info_of
        from bitcodec.picture.save import save
        from bitcodec.runtime.loaded import cached_model

        layout = container.load_header(file)
        info = info_of(layout)
        model = None
        if not layout.is_bare:
            wanted = self.model or bytes.fromhex(info.model_id)
            model = cached_model(wanted, self.device)  # not on the clock
        started = time.perf_counter()
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        options: dict[str, Any] = {
            "model": model,
            "max_pixels": self.max_pixels,
            "crop": self.crop,
            "scale": scale_of(self.scale),
        }
        lost: list[str] = []
        if self.partial:
            image, lost = api.decode_partial(file.read(), **options)
        else:
            image = api.decode(file, **options)
        encoded, notes = save(image, self.format)
        record: dict[str, Any] = {
            "width": image.width,
            "height": image.height,
            "pixels": image.width * image.height,
            "input_bytes": size,
            "output_bytes": len(encoded),
            "bpp": info.bpp,
            "seconds": time.perf_counter() - started,
            "model": info.model,
            "model_id": info.model_id,
            "mode": image.mode,
        }
        if self.partial:
            record["damaged"] = lost
        return Output(encoded, record, notes, damage=describe_damage(lost, layout.header))


def format_of(target: str) -> str:
    """Pillow's name of the format that a file name asks for; PNG for a stream without one.

    Raises:
        click.UsageError: Pillow writes no such format.
    """
    if target == STREAM:
        return "PNG"
    from PIL import Image

    suffix = Path(target).suffix.lower()
    if not suffix and is_stream(target):
        return "PNG"
    Image.preinit()  # the common formats
    name = Image.EXTENSION.get(suffix) or Image.registered_extensions().get(suffix)
    if name is None or name not in Image.SAVE:
        raise click.UsageError(f"{target}: no picture format has the suffix {suffix!r}")
    return name


def describe(record: Mapping[str, Any]) -> str:
    """Sizes and time, of one file or of the sums over several."""
    size = f"{record['width']}x{record['height']}, " if "width" in record else ""
    return (
        f"{record['input_bytes']} -> {record['output_bytes']} bytes, {size}"
        f"{record['seconds']:.2f} s"
    )


@click.command("decode")
@click.argument(
    "inputs", metavar="IN [OUT]", nargs=-1, required=True, shell_complete=complete_files
)
@click.option(
    "-m",
    "--model",
    show_default="the one that the file names",
    shell_complete=complete_models,
    help="Weights file, if it is not among those of `models`.",
)
@part_options
@batch_options
def decode_command(inputs: tuple[str, ...], **options: Any) -> int:
    """Decode .bin files to pictures.

    OUT defaults to IN with the suffix .png; another suffix that Pillow writes
    chooses another format. `-` is standard input or output (PNG). Several
    inputs, or a folder, go to -o DIR/ as PNG.

    \b
    Examples:
      bitcodec decode photo.bin
      bitcodec decode photo.bin photo.jpg
      bitcodec decode -r bin -o png/
      bitcodec decode --crop 4096,2048,512,512 photo.bin part.png
      bitcodec decode --scale 1/8 photo.bin small.png
      bitcodec decode - - <photo.bin >photo.png
    """
    settings = batch_settings(options)
    output, recursive = options.pop("output"), options.pop("recursive")
    plan = plan_jobs(inputs, output, recursive=recursive, naming=NAMING)
    return run_batch(Decode(_format(plan), **options), describe, plan, settings)


def _format(plan: Plan) -> str:
    return format_of(plan.jobs[0].target) if plan.count == 1 and plan.jobs else "PNG"
