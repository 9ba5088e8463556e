"""``bitcodec eval``: measure models and other codecs on a folder, and make a report."""

from __future__ import annotations

from typing import Any

import click

from bitcodec.cli.complete import complete_files, complete_models
from bitcodec.cli.evaluation import DRAWN, Evaluation
from bitcodec.cli.lists import NumberList
from bitcodec.cli.options import device_option, quiet_option


@click.command("eval")
@click.argument("paths", metavar="[DIR]...", nargs=-1, shell_complete=complete_files)
@click.option(
    "--set",
    "sets",
    metavar="NAME",
    multiple=True,
    help="Folder NAME of a folder that BITCODEC_SETS lists; repeatable.",
)
@click.option(
    "-m",
    "--model",
    "models",
    multiple=True,
    shell_complete=complete_models,
    help="Model name or weights file; repeatable.",
)
@click.option("--no-model", is_flag=True, help="Measure only the other codecs.")
@click.option(
    "-q",
    "--quality",
    "qualities",
    type=NumberList(int, 1, 100),
    default=(),
    help="Qualities of the models: whole numbers from 1 to 100, with commas.",
)
@click.option(
    "--bpp",
    "bpps",
    type=NumberList(float, 1e-3, 24),
    default=(),
    help="Target rates of the models: bits per pixel from 0.001 to 24, with commas.",
)
@click.option(
    "-e",
    "--effort",
    type=click.IntRange(0, 9),
    show_default="5",
    help="Of the models' encoder: 0 (fast) to 9 (smallest files).",
)
@click.option(
    "--codec",
    "codecs",
    metavar="LIST",
    help="Others to measure  [jpeg-420, jpeg-444, webp-m6, avif-420-s6, avif-444-s3, jxl-e7, "
    "jpeg2000]; also jxl-e9, webp-m6-sharp, mozjpeg-420; or none. A name's first part will do.",
)
@click.option(
    "--codec-quality",
    multiple=True,
    metavar="CODEC=LIST",
    help="Settings of one of them (jpeg2000: bpp); repeatable.",
)
@click.option(
    "--metrics",
    metavar="LIST",
    default="psnr,ms-ssim,ssimulacra2",
    show_default=True,
    help="What to judge by; also butteraugli, whose program must be installed.",
)
@click.option(
    "--speed",
    is_flag=True,
    help="Time each codec too, in a loaded process and as a command, on one core and on all.",
)
@click.option("--anchors", metavar="FILE", help="JSON of curves published for the same pictures.")
@click.option(
    "--draw", metavar="LIST", help=f"Published curves to plot [the first {DRAWN}], or all, none."
)
@click.option("--anchor", help="Curve that BD-rate is against  [jpeg-420, or the first measured].")
@click.option("-o", "--output", required=True, metavar="OUT/", help="Folder for the results.")
@click.option("-r", "--recursive", is_flag=True, help="Search folders all the way down.")
@click.option(
    "-j", "--jobs", type=click.IntRange(1, 256), default=1, show_default=True,
    help="Pictures at a time; seconds are worth comparing only with 1.",
)  # fmt: skip
@click.option("--fresh", is_flag=True, help="Forget the finished rows in OUT/.")
@click.option(
    "--pages", type=click.IntRange(0), default=4, show_default=True,
    help="Pictures in the report's viewer: where the model does worst by each metric, then others.",
)  # fmt: skip
@click.option(
    "--sizes", type=NumberList(float, 1e-3, 24), default="0.25,0.75", show_default=True,
    help="File sizes in the viewer, in bpp.",
)  # fmt: skip
@click.option(
    "--show", metavar="LIST", default="jpeg-420,webp-m6,avif-444-s3,jxl-e7", show_default=True,
    help="Other codecs in the viewer, if they are measured.",
)  # fmt: skip
@click.option("--no-page", is_flag=True, help="No pictures in the report (same as --pages 0).")
@device_option
@quiet_option
@click.option("--json", "as_json", is_flag=True, help="Print all results as one JSON object.")
def eval_command(paths: tuple[str, ...], **options: Any) -> int:
    """Measure models and other codecs on a folder.

    Every picture goes through every codec at every setting; bytes are those of
    real files. OUT/ gets rows.csv (one row a file), summary.csv, results.json,
    plots as PNG and SVG, and report.html, which needs no network. Interrupted,
    the same command goes on where it stopped.

    All codecs get the same bare RGB pixels, without profile, EXIF or XMP. BD-rate
    is the mean of the pictures' BD-rates, with that of the mean curve in brackets.

    -q and --bpp are lists for the models; with both, --bpp is for the family
    `sign` and -q for the others.

    \b
    Examples:
      bitcodec eval photos -o report/
      bitcodec eval kodak -m sign --bpp 0.25,0.5,0.75 --anchors kodak_rd.json -o out/
      bitcodec eval kodak --no-model --codec jpeg,avif --anchor jpeg -o out/
      BITCODEC_SETS=~/pictures bitcodec eval --set kodak --speed -o out/
    """
    return Evaluation(paths, options).run()
