"""The commands and the session of README.md run as they stand, with the installed command."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with samples/ and nothing else."""
    (tmp_path / "samples").symlink_to(ROOT / "samples")
    return tmp_path


def shell(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    path = f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["sh", "-euc", script],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


def test_there_is_something_to_run() -> None:
    assert len(blocks("sh")) == 4
    assert len(blocks("python")) == 1


@pytest.mark.slow
@pytest.mark.parametrize("index", range(len(blocks("sh"))))
def test_shell_commands(index: int, folder: Path) -> None:
    done = shell(blocks("sh")[index], folder)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_batch_with_a_corrupt_picture(folder: Path) -> None:
    (script,) = (block for block in blocks("sh") if "corrupt" in block)
    done = shell(script, folder)
    assert done.returncode == 0, done.stderr
    assert len(list(folder.glob("packed/*.bin"))) == 9
    assert done.stdout.split() == ["9"]
    errors = [line for line in done.stderr.splitlines() if "error" in line]
    assert len(errors) == 1
    assert errors[0].startswith("bitcodec: error: photos/corrupt.png: ")


@pytest.mark.slow
def test_python_session(folder: Path) -> None:
    (session,) = blocks("python")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", session], cwd=folder, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (folder / "coffee.png").is_file()


def test_files_that_it_names_are_there() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README)
    missing = [link for link in links if "://" not in link and not (ROOT / link).exists()]
    assert missing == []
    for script in ("scripts/demo", "scripts/test"):
        assert script in README
        assert os.access(ROOT / script, os.X_OK)
