"""``bitcodec train``: options to a configuration; the work is in ``bitcodec.training``."""

from __future__ import annotations

import json
import math
from pathlib import Path

import click

from bitcodec.cli.options import device_option, quiet_option
from bitcodec.errors import TrainingError, printable
from bitcodec.models.families import FAMILIES


@click.command("train")
@click.option("--model", "family", type=click.Choice(list(FAMILIES)), help="Family of the model.")
@click.option(
    "--data", type=click.Path(), help="Folder of training pictures, searched all through."
)
@click.option("--valid", type=click.Path(), help="Folder of pictures to choose the best step by.")
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder of the run, made if missing.",
)
@click.option(
    "--config", type=click.Path(path_type=Path), help="TOML file; the others override it."
)
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Set any key, as run.steps=500."
)
@click.option("--init", metavar="WEIGHTS", help="Start from a weights file.")
@click.option("--resume", is_flag=True, help="Go on where the run in --out stopped.")
@device_option
@quiet_option
def train_command(
    family: str | None,
    data: str | None,
    valid: str | None,
    out: Path,
    config: Path | None,
    settings: tuple[str, ...],
    init: str | None,
    resume: bool,
    device: str,
    quiet: bool,
) -> int:
    """Train a model on a folder of pictures.

    The run folder gets config.toml, log.csv, last.pt (to resume from) and
    best.safetensors (a weights file). Under torchrun it trains on many GPUs.

    \b
    Examples:
      bitcodec train --model sign --data photos --valid some --out runs/a
      bitcodec train --out runs/a --resume
      torchrun --nproc-per-node 4 -m bitcodec train --data photos --out runs/b
    """
    named = {"family": family, "data.dir": data, "data.valid": valid, "init": init}
    shown = [f"{key}={json.dumps(value)}" for key, value in named.items() if value is not None]
    if resume and config is None:
        config = out / "config.toml"
        if not config.is_file():
            raise TrainingError(f"{out}: nothing to resume")
    elif not resume and config is None and data is None:
        raise click.UsageError("give the pictures: --data DIR (or --config FILE.toml)")
    # torch is imported here, so that `bitcodec train --help` does not.
    from bitcodec.training.config import load_config
    from bitcodec.training.run import train

    result = train(
        load_config(config, (*shown, *settings)), out, resume=resume, device=device, quiet=quiet
    )
    if not quiet:
        best = f", best score {result.best:.5f}" if math.isfinite(result.best) else ""
        click.echo(f"{printable(out)}: {result.steps} steps done{best}", err=True)
    return 0
