#!/usr/bin/env python3
"""Write the manual pages from the definition of the command line: scripts/man.py [FOLDER]

FOLDER is docs/man if it is not given; ``--check`` only says whether the pages there are up to
date. The wheel puts them where ``man`` finds them (share/man/man1).
"""

from __future__ import annotations

import argparse
import inspect
import os
import re
import sys
from pathlib import Path

import click

os.environ.pop("BITCODEC_MODEL", None)  # the pages tell of the usual default

from bitcodec import __version__
from bitcodec.cli.main import COMMANDS, cli

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "man"
EXIT_CODES = (
    ("0", "all done"),
    ("1", "some of several files failed, or an error without a code of its own"),
    ("2", "usage"),
    ("3", "corrupt or foreign input"),
    ("4", "unknown model"),
    ("5", "reading or writing failed"),
    ("130, 143", "interrupted, terminated"),
)
ENVIRONMENT = (
    ("BITCODEC_MODEL", "The model where none is named, in place of the usual one."),
    ("BITCODEC_WEIGHTS", "Folders that are searched for weights files first, as in PATH."),
    ("BITCODEC_THREADS", "Threads that a picture may use, in place of one a core."),
    ("OMP_NUM_THREADS", "Threads of torch: in training, and at efforts 7 to 9."),
)


def escape(text: str) -> str:
    """Text that roff takes literally."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("`", "")
    return re.sub(r"^([.'])", r"\\&\1", text, flags=re.MULTILINE)


def listed(rows: list[tuple[str, str]] | tuple[tuple[str, str], ...]) -> list[str]:
    """Terms in bold with their meaning."""
    out = []
    for term, meaning in rows:
        out += [".TP", f"\\fB{escape(term)}\\fR", escape(" ".join(meaning.split()))]
    return out


def description(command: click.Command) -> list[str]:
    """The help's paragraphs; those after a backspace are shown as they stand."""
    out = []
    paragraphs = inspect.cleandoc(command.help or "").split("\n\n")
    for paragraph in paragraphs[1:]:
        if not paragraph.startswith("\b"):
            out += [".PP", escape(" ".join(paragraph.split()))]
            continue
        title, *lines = paragraph.removeprefix("\b\n").splitlines()
        out += [f".SH {escape(title).rstrip(':').upper()}", ".nf"]
        out += [escape(line.strip()) for line in lines]
        out += [".fi"]
    return out


def page(name: str, command: click.Command, context: click.Context) -> str:
    """One page in the man macros."""
    summary = inspect.cleandoc(command.help or "").splitlines()[0].rstrip(".")
    title = name.replace(" ", "-")
    body = description(command)
    examples = next((i for i, line in enumerate(body) if line.startswith(".SH")), len(body))
    options = [
        record
        for parameter in command.get_params(context)
        if isinstance(parameter, click.Option)
        and (record := parameter.get_help_record(context)) is not None
    ]
    usage = " ".join(command.collect_usage_pieces(context))
    out = [
        f'.TH "{escape(title).upper()}" "1" "" "bitcodec {__version__}" "User Commands"',
        ".nh",
        ".ad l",
        ".SH NAME",
        f"{escape(title)} \\- {escape(summary[0].lower() + summary[1:])}",
        ".SH SYNOPSIS",
        f"\\fB{escape(name)}\\fR {escape(usage)}",
        ".SH DESCRIPTION",
        f"{escape(summary)}.",
        *body[:examples],
    ]
    if isinstance(command, click.Group):
        rows = [(f"bitcodec-{key}(1)", row[2]) for key, row in COMMANDS.items()]
        out += [".SH COMMANDS", *listed(rows)]
    out += [".SH OPTIONS", *listed(options), *body[examples:]]
    out += [".SH EXIT STATUS", *listed(EXIT_CODES), ".SH ENVIRONMENT", *listed(ENVIRONMENT)]
    others = ["bitcodec", *(f"bitcodec-{key}" for key in COMMANDS)]
    see = ", ".join(f"\\fB{escape(other)}\\fR(1)" for other in others if other != title)
    return "\n".join([*out, ".SH SEE ALSO", see]) + "\n"


def pages() -> dict[str, str]:
    """File name to content."""
    top = click.Context(cli, info_name="bitcodec", color=False, terminal_width=10_000)
    made = {"bitcodec.1": page("bitcodec", cli, top)}
    for key in COMMANDS:
        command = cli.get_command(top, key)
        if command is None:
            raise RuntimeError(f"no command {key}")
        context = click.Context(command, info_name=key, parent=top)
        made[f"bitcodec-{key}.1"] = page(f"bitcodec {key}", command, context)
    return made


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER)
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if out of date")
    options = parser.parse_args()
    made = pages()
    folder: Path = options.folder
    old = {path.name: path.read_text("utf-8") for path in folder.glob("*.1")}
    if options.check:
        stale = sorted(name for name in {*old, *made} if old.get(name) != made.get(name))
        for name in stale:
            print(f"{folder / name}: out of date; run scripts/man.py")
        return 1 if stale else 0
    folder.mkdir(parents=True, exist_ok=True)
    for name in set(old) - set(made):
        (folder / name).unlink()
    for name, text in made.items():
        (folder / name).write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
