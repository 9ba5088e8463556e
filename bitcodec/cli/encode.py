"""``bitcodec encode``: pictures to ``.bin`` files."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import click

from bitcodec.cli.batch import read_source, run_batch, run_tasks
from bitcodec.cli.cluster import ANY, check_address, run_on_ray
from bitcodec.cli.complete import complete_files, complete_models
from bitcodec.cli.notes import metadata_notes, warnings_as_notes
from bitcodec.cli.options import Finite, batch_options, batch_settings
from bitcodec.cli.outcome import Output
from bitcodec.cli.plan import PICTURE_SUFFIXES, STREAM, Naming, plan_jobs
from bitcodec.errors import BitcodecError
from bitcodec.format.tiling import DEFAULT_TILE, STRIDE
from bitcodec.models import registry

NAMING = Naming(
    suffix=".bin",
    replaced=PICTURE_SUFFIXES,
    searched=PICTURE_SUFFIXES,
    refused=PICTURE_SUFFIXES,
    reason="a picture is not an output of encode; for several inputs say -o DIR/",
)
_TARGETS = ("quality", "bpp", "size", "psnr", "lossless")


@dataclass(frozen=True)
class Encode:
    """The task: a picture's path to the bytes of its file. Picklable, so that processes share it.

    The fields are the arguments of :func:`bitcodec.encode`, and the limit of pixels.
    """

    model: str | None
    quality: int | None
    bpp: float | None
    size: int | None
    psnr: float | None
    effort: int | None
    tile: int | None
    exact: bool
    lossless: bool
    device: str
    max_pixels: int
    strip: bool = False
    roi: str | None = None

    def __call__(self, source: str) -> Output:
        """Encode one picture; a BitcodecError where that cannot be."""
        from bitcodec import api
        from bitcodec.info import read_info
        from bitcodec.picture.images import open_picture, stripped
        from bitcodec.runtime.loaded import cached_model

        chosen = {name: value for name, value in asdict(self).items() if value is not None}
        limit, device, strip = map(chosen.pop, ("max_pixels", "device", "strip"))
        model = cached_model(chosen.pop("model", None), device)  # not on the clock
        data = read_source(source)
        started = time.perf_counter()
        with warnings_as_notes() as warned:
            picture = open_picture(data, max_pixels=limit)
        picture = stripped(picture) if strip else picture
        coded = api.encode(picture, model=model, **chosen)
        seconds = time.perf_counter() - started
        info = read_info(coded)
        pixels = info.width * info.height
        record = {
            "width": info.width,
            "height": info.height,
            "pixels": pixels,
            "input_bytes": len(data),
            "output_bytes": len(coded),
            "ratio_input": len(data) / len(coded),
            "ratio_raw": info.ratio_raw,
            "bpp": info.bpp,
            "seconds": seconds,
            "model": info.model,
            "model_id": info.model_id,
            "rate": info.rate,
            "coder": info.coder,
            "numel_ratio": info.numel_ratio,
        }
        return Output(coded, record, (*picture.notes, *warned, *metadata_notes(info, self.bpp)))


def describe(record: Mapping[str, Any]) -> str:
    """Sizes, ratios, rate and time, of one file or of the sums over several."""
    before, after, pixels = record["input_bytes"], record["output_bytes"], record["pixels"]
    return (
        f"{before} -> {after} bytes, {before / after:.2f}:1 of the file, "
        f"{3 * pixels / after:.2f}:1 of raw RGB, {8 * after / pixels:.4f} bpp, "
        f"{record['seconds']:.2f} s"
    )


def _address(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    try:
        return None if value is None else check_address(value)
    except BitcodecError as error:
        raise click.UsageError(str(error), ctx) from error


@click.command("encode")
@click.argument(
    "inputs", metavar="IN [OUT]", nargs=-1, required=True, shell_complete=complete_files
)
@click.option(
    "-m",
    "--model",
    show_default="BITCODEC_MODEL, else ladder",
    shell_complete=complete_models,
    help="Model name, or path of a weights file; see `models`.",
)
@click.option(
    "-q",
    "--quality",
    type=click.IntRange(1, 100),
    show_default="the model's own",
    help="1 (smallest file) to 100 (best picture).",
)
@click.option(
    "--bpp",
    type=Finite(),
    help="Aim at this many bits per pixel, of the whole file.",
)
@click.option(
    "--size", type=click.IntRange(min=1), help="At most this many bytes, of the whole file."
)
@click.option("--psnr", type=Finite(), help="At least this PSNR, in dB.")
@click.option(
    "-e",
    "--effort",
    type=click.IntRange(0, 9),
    show_default="5",
    help="0 (fast) to 9 (best); 7 to 9 search, and are slow. Decoding is the same.",
)
@click.option(
    "--tile",
    type=click.IntRange(16, 65536),
    show_default=str(DEFAULT_TILE),
    help="Edge in pixels of the tiles that are coded apart: a multiple of 16.",
)
@click.option(
    "--exact",
    is_flag=True,
    help="Keep the colours under full transparency, which nobody sees.",
)
@click.option("--lossless", is_flag=True, help="Keep every pixel as it is, hidden colours too.")
@click.option(
    "--roi",
    metavar="MASK",
    shell_complete=complete_files,
    help="A picture of what matters, resized: where it is brighter than grey 128 the picture gets "
    "better, where it is darker worse. Models of the family ladder only.",
)
@click.option(
    "--strip",
    is_flag=True,
    help="Keep no EXIF, XMP or colour profile; colours are converted to sRGB.",
)
@click.option(
    "--ray",
    metavar="[ADDRESS]",
    is_flag=False,
    flag_value=ANY,
    callback=_address,
    help="Spread the pictures over a Ray cluster: auto (the one that is running, or else a new "
    "one here; also with no ADDRESS), local, HOST:PORT or ray://HOST:PORT. -j is then the number "
    "of workers, by default one a core of the cluster. Inputs must have the same paths there.",
)
@batch_options
def encode_command(inputs: tuple[str, ...], **options: Any) -> int:
    """Encode pictures to .bin files.

    OUT defaults to IN with the suffix .bin; `-` is standard input or output.
    Several inputs, or a folder, go to -o DIR/. -q, --bpp, --size, --psnr
    and --lossless exclude each other.

    \b
    Examples:
      bitcodec encode photo.jpg
      bitcodec encode -q 80 photo.jpg small.bin
      bitcodec encode a.png b.png c.png -o bin/
      bitcodec encode --roi mask.png --size 30000 photo.jpg
      bitcodec encode -r photos -o bin/ -j 2
      bitcodec encode -r photos -o bin/ --skip-existing --ray
      bitcodec encode - - <photo.jpg >photo.bin
    """
    given = [name for name in _TARGETS if options[name] not in (None, False)]
    if len(given) > 1:
        named = " and ".join(f"--{name}" for name in given)
        raise click.UsageError(f"{named} exclude each other")
    if options["tile"] is not None and options["tile"] % STRIDE:
        raise click.UsageError("--tile must be a multiple of 16")
    address = options.pop("ray")
    runner = run_tasks if address is None else partial(run_on_ray, address=address)
    if address is not None and STREAM in inputs:
        raise click.UsageError("a cluster cannot read standard input")
    settings = batch_settings(options)
    output, recursive = options.pop("output"), options.pop("recursive")
    plan = plan_jobs(inputs, output, recursive=recursive, naming=NAMING)
    # Fail once, before any file is opened, rather than once for each.
    registry.find_by_name(options["model"] or registry.default_model())
    return run_batch(Encode(**options), describe, plan, settings, runner)
