"""The package as people get it: public names, the wheel, the weights inside it."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from PIL import Image

import bitcodec

ROOT = Path(__file__).resolve().parent.parent


def test_public_names_are_sorted_and_resolve() -> None:
    assert list(bitcodec.__all__) == sorted(bitcodec.__all__)
    assert len(set(bitcodec.__all__)) == len(bitcodec.__all__)
    for name in bitcodec.__all__:
        assert getattr(bitcodec, name) is not None
    assert dir(bitcodec) == list(bitcodec.__all__)


def test_every_error_is_public() -> None:
    from bitcodec import errors

    assert set(errors.__all__) <= set(bitcodec.__all__)
    for name in errors.__all__:
        assert getattr(bitcodec, name) is getattr(errors, name)


def test_unknown_name() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = bitcodec.nothing


def test_version_is_the_installed_one() -> None:
    assert bitcodec.__version__ == importlib.metadata.version("bitcodec")


def test_import_is_light() -> None:
    code = (
        "import sys, bitcodec; bitcodec.BitcodecError; bitcodec.read_info\n"
        "heavy = {'torch', 'numpy', 'PIL'} & set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the sdist, built from this folder, without the network."""
    folder = tmp_path_factory.mktemp("dist")
    line = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = folder.glob("*.whl")
    return path


@pytest.mark.slow
def test_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"bitcodec"}
    shipped = {path.name for path in (ROOT / "weights").iterdir()}
    assert {Path(n).name for n in names if n.startswith("bitcodec/weights/")} == shipped
    assert "bitcodec/py.typed" in names


@pytest.mark.slow
def test_installed_wheel_encodes_with_its_own_weights(
    wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BITCODEC_WEIGHTS", raising=False)
    site, empty = tmp_path / "site", tmp_path / "empty"
    empty.mkdir()
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--target", str(site), str(wheel)], check=True)
    script = (
        "import sys, bitcodec\n"
        "from bitcodec.models import registry\n"
        "from bitcodec.cli.main import main\n"
        "print(bitcodec.__file__)\n"
        "print(registry.find_by_name(registry.default_model()).path)\n"
        "code = main(['encode', sys.argv[1], 'a.bin']) or main(['decode', 'a.bin', 'a.png'])\n"
        "sys.exit(code)"
    )
    # The dependencies come from this environment; the package comes first from the wheel alone.
    environment = {**os.environ, "PYTHONPATH": str(site)}
    line = [sys.executable, "-c", script, str(ROOT / "samples" / "chelsea.png")]
    done = subprocess.run(
        line, cwd=empty, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    package, weights = map(Path, done.stdout.split())
    assert package.parent == site / "bitcodec"
    assert weights.parent == site / "bitcodec" / "weights"
    with Image.open(empty / "a.png") as image:
        assert image.size == (451, 300)
