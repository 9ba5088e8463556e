"""``bitcodec models``: the weights files that are found, without torch."""

from __future__ import annotations

import json

import click

from bitcodec.errors import printable
from bitcodec.models import registry


@click.command("models")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a model on stdout.")
def models_command(as_json: bool) -> None:
    """List the models that can be named.

    They come from the folders in BITCODEC_WEIGHTS, then from those of the
    package; where a name occurs twice, the first one wins.
    """
    entries, damaged = registry.scan()
    width = max((len(printable(entry.name)) for entry in entries), default=4)
    for entry in entries:
        if as_json:
            record = {
                "name": entry.name,
                "family": entry.family,
                "model_id": entry.model_id.hex(),
                "bytes": entry.size,
                "path": str(entry.path),
                "config": entry.config,
            }
            click.echo(json.dumps(record))
        else:
            click.echo(
                f"{printable(entry.name):<{width}}  {entry.family:<6}  {entry.model_id.hex()}  "
                f"{entry.size:>10} bytes  {printable(entry.path)}"
            )
    for path, error in damaged:
        click.echo(f"bitcodec: note: {printable(path)}: {error}", err=True)
    if not entries:
        click.echo(f"bitcodec: note: no models; {registry.ENVIRONMENT} names folders", err=True)
