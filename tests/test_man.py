"""The manual pages: made from the command line's definition, up to date, and they render."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import click
import pytest

from bitcodec.cli.main import COMMANDS, cli

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "scripts" / "man.py"
PAGES = ["bitcodec.1", *(f"bitcodec-{name}.1" for name in COMMANDS)]


@pytest.fixture(scope="module")
def man() -> ModuleType:
    spec = importlib.util.spec_from_file_location("man_script", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def folder(man: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("man")
    for name, text in man.pages().items():
        (folder / name).write_text(text, "utf-8")
    return folder


def run(*line: str, cwd: Path, **extra: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "LC_ALL": "C.UTF-8", **extra}
    return subprocess.run(line, cwd=cwd, env=env, capture_output=True, text=True, check=False)


def plain(text: str) -> str:
    """Without bold, underline and colours, one space between words."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", re.sub(".\b", "", text))
    return " ".join(text.replace("\u2010", "-").replace("\u2212", "-").split())


def test_the_pages_in_docs_are_up_to_date() -> None:
    done = run(sys.executable, str(SCRIPT), "--check", cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_there_is_a_page_for_every_command(man: ModuleType) -> None:
    assert sorted(man.pages()) == sorted(PAGES)


def test_check_notices_a_stale_page(man: ModuleType, tmp_path: Path) -> None:
    assert run(sys.executable, str(SCRIPT), str(tmp_path), cwd=ROOT).returncode == 0
    assert run(sys.executable, str(SCRIPT), str(tmp_path), "--check", cwd=ROOT).returncode == 0
    (tmp_path / "bitcodec.1").write_text("old")
    done = run(sys.executable, str(SCRIPT), str(tmp_path), "--check", cwd=ROOT)
    assert done.returncode == 1
    assert "bitcodec.1: out of date" in done.stdout


@pytest.mark.skipif(shutil.which("groff") is None, reason="no groff here")
@pytest.mark.parametrize("name", PAGES)
def test_groff_renders_without_a_warning(name: str, folder: Path) -> None:
    done = run("groff", "-man", "-Tutf8", "-ww", name, cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    text = plain(done.stdout)
    key = name.removesuffix(".1").removeprefix("bitcodec").removeprefix("-")
    command = cli if not key else cli.get_command(click.Context(cli), key)
    assert command is not None
    for parameter in command.params:
        for option in parameter.opts if isinstance(parameter, click.Option) else ():
            assert option in text, f"{option} is not in {name}"
    assert "EXIT STATUS" in text


@pytest.mark.skipif(shutil.which("man") is None, reason="no man here")
def test_man_shows_a_page(folder: Path) -> None:
    done = run("man", "./bitcodec-encode.1", cwd=folder, MANPAGER="cat", MANWIDTH="80")
    if "minimized" in done.stdout + done.stderr:
        pytest.skip("man is a stub here")
    assert done.returncode == 0, done.stderr
    text = plain(done.stdout)
    assert "bitcodec-encode - encode pictures to .bin files" in text
    assert "1<=x<=100]" in text
    assert "bitcodec encode -r photos -o bin/ -j 2" in text


@pytest.mark.parametrize("name", COMMANDS)
def test_help_states_ranges_and_choices(name: str) -> None:
    """An option that takes a number or a choice says which values, and has words besides."""
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    context = click.Context(command, info_name=name)
    for parameter in command.params:
        if not isinstance(parameter, click.Option):
            continue
        record = parameter.get_help_record(context)
        assert record is not None
        names, text = record
        assert len((parameter.help or "").split()) > 1, f"{name} {names} is not explained"
        if isinstance(parameter.type, click.IntRange | click.FloatRange):
            assert re.search(r"\[.*x.*\]|to \d", text), f"{name} {names} has no range"
        if isinstance(parameter.type, click.Choice):
            assert "[" in names, f"{name} {names} does not list its choices"
