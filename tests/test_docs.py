"""The blocks of the pages in docs/ run as they stand, and what the pages link to is there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> list[tuple[str, str]]:
    """(language, text) of what is to be run, in the order of the page."""
    found = BLOCK.findall(page.read_text("utf-8"))
    return [(language, text) for language, text in found if language in ("sh", "python")]


def run(language: str, text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    path = f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ['PATH']}"
    line = ["sh", "-euc", text]
    if language == "python":
        line = [sys.executable, "-W", "error", "-c", text]
    return subprocess.run(
        line,
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_tutorial_has_something_to_run() -> None:
    languages = [language for language, _ in blocks(DOCS / "tutorial.md")]
    assert languages.count("sh") >= 4
    assert languages.count("python") >= 3


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_tutorial_runs(tmp_path: Path) -> None:
    """From top to bottom: later blocks use what earlier ones made."""
    (tmp_path / "samples").symlink_to(ROOT / "samples")
    for language, text in blocks(DOCS / "tutorial.md"):
        done = run(language, text, tmp_path)
        assert done.returncode == 0, text + done.stderr
    assert (tmp_path / "look.html").is_file()
    assert sorted(p.name for p in tmp_path.glob("png/*")) == ["chelsea.png", "coffee.png"]
    assert (tmp_path / "mine.png").is_file()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_files(page: Path) -> None:
    text = page.read_text("utf-8")
    links = re.findall(r"\]\(([^)#]+)\)", text)
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert missing == []


def test_files_that_the_tutorial_names_are_there() -> None:
    text = (DOCS / "tutorial.md").read_text("utf-8")
    named = re.findall(r"\b((?:bitcodec|tests|scripts|docs|weights)/[\w./-]+\w)", text)
    assert len(named) >= 6
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_api_page_is_up_to_date() -> None:
    line = [sys.executable, str(ROOT / "scripts" / "api_docs.py"), "--check"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_public_name_is_on_the_api_page() -> None:
    import bitcodec

    text = (DOCS / "api.md").read_text("utf-8")
    assert [name for name in bitcodec.__all__ if f"`{name}" not in text] == []
