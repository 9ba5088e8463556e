"""Shell completion: what is offered, in a real bash too, and that torch stays out of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete

from bitcodec.cli.main import COMMANDS, cli

pytestmark = pytest.mark.usefixtures("tiny_weights")
BASH = shutil.which("bash")
VARIABLE = "_BITCODEC_COMPLETE"


def offered(*words: str) -> list[tuple[str, str]]:
    """(type, value) for the last of the words, the others being complete."""
    complete = ShellComplete(cli, {}, "bitcodec", VARIABLE)
    return [
        (item.type, item.value) for item in complete.get_completions(list(words[:-1]), words[-1])
    ]


def test_sub_commands() -> None:
    assert offered("") == [("plain", name) for name in COMMANDS]
    assert offered("en") == [("plain", "encode")]
    assert ("plain", "--version") in offered("--")


@pytest.mark.parametrize("name", COMMANDS)
def test_options(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    declared = {o for p in command.params for o in p.opts if o.startswith("--")}
    values = {value for _, value in offered(name, "--")}
    assert declared <= values
    assert "--help" in values


@pytest.mark.parametrize(
    "words", [("encode", "--model"), ("encode", "-m"), ("decode", "-m"), ("eval", "--model")]
)
def test_model_names(words: tuple[str, ...], tiny_folder: Path) -> None:
    assert ("plain", "sign") in offered(*words, "")
    assert offered(*words, "si") == [("plain", "sign")]
    assert offered(*words, "runs/a") == [("file", "runs/a")]
    assert offered(*words, "no-such-model") == [("file", "no-such-model")]


def test_values_and_files() -> None:
    assert offered("encode", "--device", "c") == [("plain", "cpu"), ("plain", "cuda")]
    for name in ("encode", "decode", "info", "compare", "eval"):
        assert offered(name, "pho") == [("file", "pho")]
    assert offered("encode", "a.png", "-o", "ou") == [("file", "ou")]


def test_torch_is_not_imported() -> None:
    code = (
        "import sys\n"
        "from bitcodec.cli.main import main\n"
        "try:\n    main([])\n"
        "except SystemExit as end:\n    code = end.code\n"
        "print('torch' in sys.modules, code, file=sys.stderr)"
    )
    words = {"COMP_WORDS": "bitcodec encode -m ", "COMP_CWORD": "3"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, VARIABLE: "bash_complete", **words},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == "False 0\n"
    assert "plain,sign" in done.stdout.split()


def in_bash(*words: str) -> list[str]:
    """What bash would offer, with the script that the tutorial tells people to load."""
    quoted = " ".join(f"'{word}'" for word in words)
    script = (
        'eval "$(_BITCODEC_COMPLETE=bash_source bitcodec)"\n'
        "complete -p bitcodec >/dev/null\n"
        f"COMP_WORDS=(bitcodec {quoted}); COMP_CWORD={len(words)}\n"
        "_bitcodec_completion bitcodec\n"
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    path = f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [str(BASH), "--norc", "-eu", "-c", script],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


@pytest.mark.skipif(BASH is None, reason="no bash here")
def test_bash() -> None:
    assert in_bash("dec") == ["decode"]
    assert in_bash("encode", "--qua") == ["--quality"]
    assert in_bash("encode", "-m", "si") == ["sign"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts_are_printed(shell: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bitcodec"],
        env={**os.environ, VARIABLE: f"{shell}_source"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"{VARIABLE}={shell}_complete" in done.stdout
