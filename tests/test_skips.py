"""--strict-skips fails for a skip that nobody expects, and for no other."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).with_name("conftest.py")


STRICT = ["--strict-skips"]


@pytest.mark.parametrize(
    ("reason", "options", "code"),
    [("no CUDA device", STRICT, 0), ("in no mood", STRICT, 1), ("in no mood", [], 0)],
)
def test_unexpected_skips(tmp_path: Path, reason: str, options: list[str], code: int) -> None:
    shutil.copy(CONFTEST, tmp_path)
    test = f"import pytest\ndef test_a():\n    pytest.skip({reason!r})\ndef test_b():\n    pass\n"
    (tmp_path / "test_planted.py").write_text(test)
    line = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options, str(tmp_path)]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout
    assert ("unexpected skip" in done.stdout) == (code == 1)
