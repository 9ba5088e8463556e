"""The house: scripts/house.py finds what is planted, and low floors do not load torch."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "scripts" / "house.py"


def check(folder: Path) -> tuple[int, str]:
    line = [sys.executable, str(SCRIPT), str(folder)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""
    return done.returncode, done.stdout


def test_this_house_is_in_order() -> None:
    assert check(ROOT) == (0, "the house is in order\n")


@pytest.mark.parametrize(
    ("file", "line", "complaint"),
    [
        ("format/varint.py", "from bitcodec.picture import images", "format must not import"),
        ("codec/encode.py", "def f():\n    import bitcodec.cli.main", "codec must not import cli"),
        ("format/varint.py", "from bitcodec.format.header import Header", "a cycle: "),
        ("format/varint.py", "import torch", "must not import torch"),
        ("attic.py", "", "attic has no place in the house"),
        ("attic.py", "", "files at the top are more than 8"),
        ("format/varint.py", "# one\n" * 300, "lines are more than 300"),
    ],
)
def test_what_is_planted_is_found(tmp_path: Path, file: str, line: str, complaint: str) -> None:
    shutil.copytree(ROOT / "bitcodec", tmp_path / "bitcodec")
    path = tmp_path / "bitcodec" / file
    path.write_text((path.read_text("utf-8") if path.exists() else "") + line + "\n")
    if complaint.startswith("files"):
        for name in ("cellar", "shed"):
            (tmp_path / "bitcodec" / f"{name}.py").write_text("")
    code, told = check(tmp_path)
    assert code == 1
    assert complaint in told


def test_wide_prose_is_found(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / "bitcodec").mkdir()
    (tmp_path / "A.md").write_text("word " * 21 + "\n```\n" + "code " * 30 + "\n```\n")
    subprocess.run(["git", "add", "A.md"], cwd=tmp_path, check=True)
    code, told = check(tmp_path)
    assert (code, told.count("\n")) == (1, 1)
    assert "A.md:1: 105 characters" in told


def test_importing_the_low_floors_does_not_load_torch() -> None:
    package = ROOT / "bitcodec"
    files = [p for d in ("format", "entropy", "picture") for p in (package / d).glob("*.py")]
    names = [".".join(p.relative_to(ROOT).with_suffix("").parts) for p in files]
    assert len(names) > 8
    code = "import sys\n" + "".join(f"import {name}\n" for name in names)
    code += "import bitcodec.info, bitcodec.files, bitcodec.models.families\n"
    code += "print([m for m in sys.modules if m.split('.')[0] == 'torch'][:3])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
