"""``bitcodec page``: the decoder for browsers, as a folder for any web server."""

from __future__ import annotations

from pathlib import Path

import click

from bitcodec.cli.complete import complete_files
from bitcodec.cli.options import quiet_option
from bitcodec.errors import FileError, printable


@click.command("page")
@click.argument("folder", type=click.Path(path_type=Path), shell_complete=complete_files)
@click.option("-f", "--force", is_flag=True, help="Write into a folder that is not empty.")
@quiet_option
def page_command(folder: Path, force: bool, quiet: bool) -> int:
    """Write a page that decodes in a browser.

    FOLDER gets the page, and beside it every model that `bitcodec models`
    lists. Any web server can give it out; nothing is sent anywhere. Open
    index.html?file=photo.bin to see a file of the same server. With the
    headers Cross-Origin-Opener-Policy: same-origin and
    Cross-Origin-Embedder-Policy: require-corp it uses several threads.

    \b
    Examples:
      bitcodec page site
      python -m http.server -d site
    """
    from bitcodec.models.registry import list_models
    from bitcodec.page.write import write_page

    try:
        if not force and folder.exists() and any(folder.iterdir()):
            raise FileError("is not empty (-f writes into it)")
        written = write_page(folder, list_models())
    except OSError as error:
        raise FileError(f"{printable(folder)}: {error.strerror}") from error
    except FileError as error:
        raise FileError(f"{printable(folder)}: {error}") from error
    if not quiet:
        names = ", ".join(printable(entry.name) for entry in written)
        click.echo(f"{printable(folder)}: the page, with {names or 'no models'}", err=True)
    return 0
