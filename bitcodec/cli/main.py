"""The command group, and the one place where exceptions become messages and exit codes."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Any, NoReturn

import click
from click.shell_completion import CompletionItem

from bitcodec import __version__
from bitcodec.cli.process import claim_process
from bitcodec.errors import BitcodecError, FileError, printable
from bitcodec.streams import abandon_stdout, reason

# Name -> (module, attribute, one-line help). The help stands here so that `bitcodec --help` need
# not import the modules; a test keeps the two the same.
COMMANDS = {
    "encode": ("bitcodec.cli.encode", "encode_command", "Encode pictures to .bin files."),
    "decode": ("bitcodec.cli.decode", "decode_command", "Decode .bin files to pictures."),
    "info": ("bitcodec.cli.info", "info_command", "Show what .bin files say of themselves."),
    "models": ("bitcodec.cli.models", "models_command", "List the models that can be named."),
    "train": ("bitcodec.cli.train", "train_command", "Train a model on a folder of pictures."),
    "export": ("bitcodec.cli.export", "export_command", "Make weights that code of trained ones."),
    "eval": ("bitcodec.cli.eval", "eval_command", "Measure models and other codecs on a folder."),
    "compare": ("bitcodec.cli.compare", "compare_command", "Compare files with their original."),
    "page": ("bitcodec.cli.page", "page_command", "Write a page that decodes in a browser."),
}
_SIGTERM_CODE = 128 + signal.SIGTERM


class Terminated(KeyboardInterrupt):
    """SIGTERM, raised where the program stands so that everything is cleaned up as for Ctrl-C."""


class LazyGroup(click.Group):
    """A group that imports a sub-command's module only to run it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command, None for an unknown name."""
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click's, but an unknown name is not searched for in modules."""
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            names = ", ".join(COMMANDS)
            raise click.UsageError(f"unknown command {args[0]!r} (one of {names})", ctx)
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Sub-commands and options, without importing the sub-commands' modules."""
        found = [
            CompletionItem(name, help=row[2])
            for name, row in COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return found + click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands in `--help`, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, row[2]) for name, row in COMMANDS.items()])


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 all done; 1 some failed; 2 usage; 3 corrupt or foreign input; "
    "4 unknown model; 5 reading or writing failed; 130 interrupted.",
)
@click.version_option(__version__, "-V", "--version", prog_name="bitcodec")
def cli() -> None:
    """A learned image codec: pictures to .bin files of latent bits, and back.

    \b
    Examples:
      bitcodec encode photo.jpg                  write photo.bin
      bitcodec encode -q 80 a.png b.png -o bin/  several files, into a folder
      bitcodec encode -r photos -o bin/ -j 2     a tree of folders, two processes
      bitcodec decode photo.bin out.png
      bitcodec info photo.bin
    """


def main(args: Sequence[str] | None = None) -> int:
    """Run the command; the entry point of the console script.

    Args:
        args: the arguments, None for those of the process, which is the command's own then: its
            threads are set up for it. Otherwise nothing of the process is changed.

    Returns:
        The exit code.
    """
    if args is None:
        claim_process()
    try:
        with _sigterm_raises(), _prints_anything():
            code = _run(args)
            _flush()
            return code
    except OSError as error:
        if error.filename is not None:
            raise
        # Our output cannot be written, or its reader has gone. Python would fail again at exit.
        if sys.stdout is not None:
            abandon_stdout()
        if not isinstance(error, BrokenPipeError):
            with contextlib.suppress(OSError):
                _say(f"<stdout>: cannot write: {reason(error)}")
        return FileError.exit_code
    except Terminated:
        return _SIGTERM_CODE
    except KeyboardInterrupt:
        return 130


def _run(args: Sequence[str] | None) -> int:
    try:
        result: Any = cli.main(args=args, prog_name="bitcodec", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx else "bitcodec"
        _say(_lines(error.format_message()), f"Try '{where} --help' for help.")
        return error.exit_code
    except click.ClickException as error:
        _say(_lines(error.format_message()))
        return error.exit_code
    except SystemExit as error:
        # click exits on its own for shell completion, and with 1 for a broken pipe.
        if error.code != 1 or "_BITCODEC_COMPLETE" in os.environ:
            raise
        raise BrokenPipeError from None
    except click.Abort as error:
        _raise_interrupt(error)
    except BitcodecError as error:
        _say(printable(str(error)))
        return error.exit_code
    except ModuleNotFoundError as error:  # of a slim environment
        if not error.name or error.name.startswith("bitcodec"):
            raise
        _say(f"this needs {error.name}, which is not installed")
        return BitcodecError.exit_code


def _raise_interrupt(abort: click.Abort) -> NoReturn:
    """Undo click's turning of KeyboardInterrupt into Abort."""
    cause = abort.__cause__
    raise cause if isinstance(cause, KeyboardInterrupt) else KeyboardInterrupt


def _lines(message: str) -> str:
    """click's lists of choices have lines; names in its messages are quoted."""
    return "\n".join(printable(line.replace("\t", "  ")) for line in message.splitlines())


def _say(message: str, hint: str | None = None) -> None:
    click.echo(f"bitcodec: error: {message}", err=True)
    if hint:
        click.echo(hint, err=True)


def _flush() -> None:
    if sys.stdout is not None:
        with contextlib.suppress(ValueError):  # closed already
            sys.stdout.flush()


@contextlib.contextmanager
def _prints_anything() -> Iterator[None]:
    """What standard output's encoding does not have is escaped there, as on standard error."""
    stream = sys.stdout
    if not isinstance(stream, io.TextIOWrapper) or stream.errors != "strict":
        yield
        return
    stream.reconfigure(errors="backslashreplace")
    try:
        yield
    finally:
        stream.reconfigure(errors="strict")


@contextlib.contextmanager
def _sigterm_raises() -> Iterator[None]:
    """Not off the main thread, where Python takes no signals."""

    def handler(number: int, frame: FrameType | None) -> NoReturn:
        raise Terminated

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)  # None: set by other than Python


if __name__ == "__main__":
    sys.exit(main())
