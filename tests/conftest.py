"""Fixtures that many tests share: a tiny model with random weights, drawn pictures."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from bitcodec.cli.main import main

# A background job of a shell ignores SIGINT, and so would all that it starts; tests send it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# Two test processes on two cores must not start four threads each.
os.environ.setdefault("OMP_NUM_THREADS", "2")

Draw = Callable[..., Image.Image]
Run = Callable[..., tuple[int, str, str]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests marked ``gpu`` where there is no CUDA device."""
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    import torch

    if not torch.cuda.is_available():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))


# Why a test may be skipped where --strict-skips is given, as .ci/run does.
EXPECTED_SKIPS = (
    "no CUDA device",  # CI has none
    "no fast products of int8",  # nor, always, the newest processor
    "root may write anywhere",  # containers run as root; others may not mount
    "only root may mount",
    "no mount command here",
    "cannot mount here",
    "no groff here",  # not in small images
    "no man here",
    "man is a stub here",
    "Ray is not installed",  # extras that are not among dev and eval
    "Debian's package chromium is not installed",
    "no program butteraugli",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--strict-skips", action="store_true", help="fail where a test is skipped unexpectedly"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail for skips whose reason is not in the list, if that is asked for."""
    if not session.config.getoption("--strict-skips"):
        return
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    assert reporter is not None
    for report in reporter.stats.get("skipped", []):
        path, line, text = report.longrepr
        reason = text.removeprefix("Skipped: ")
        if not reason.startswith(EXPECTED_SKIPS):
            reporter.write_line(f"unexpected skip: {path}:{line}: {reason}", red=True)
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``sign.safetensors``: 16 channels, random but the same each time."""
    import torch

    from bitcodec.models.weights import build, save_weights

    folder = tmp_path_factory.mktemp("weights")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = build("sign", {"n": 4, "m": 16, "activation": "relu"})
        save_weights(model, folder / "sign.safetensors")
    return folder


@pytest.fixture
def tiny_weights(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tiny model takes the place of the shipped ``sign``; its file."""
    monkeypatch.setenv("BITCODEC_WEIGHTS", str(tiny_folder))
    monkeypatch.setenv("BITCODEC_MODEL", "sign")
    return tiny_folder / "sign.safetensors"


@pytest.fixture(scope="session")
def ladder_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a tiny ``ladder`` model with a random context model; its transform is a DCT."""
    import torch

    from bitcodec.models.ladder.config import LadderConfig
    from bitcodec.models.ladder.trainable import LadderFloatModel
    from bitcodec.models.weights import save_weights

    path = tmp_path_factory.mktemp("ladder") / "tiny.safetensors"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        config = LadderConfig(state=8, hidden=8, width=8, pixels=(4, 4), blocks=1)
        noise = np.random.default_rng(2).integers(0, 256, (64, 64, 3)).astype(np.uint8)
        save_weights(LadderFloatModel(config).export([noise]), path)
    return path


@pytest.fixture(scope="session")
def draw() -> Draw:
    """``draw(width, height, mode="RGB")``: a small picture with gradients and edges."""

    def drawn(width: int = 48, height: int = 32, mode: str = "RGB") -> Image.Image:
        bands = (
            Image.linear_gradient("L").resize((width, height)),
            Image.radial_gradient("L").resize((width, height)),
            Image.linear_gradient("L").rotate(90).resize((width, height)),
        )
        image = Image.merge("RGB", bands)
        box = (width // 4, height // 4, width // 2, height // 2)
        ImageDraw.Draw(image).rectangle(box, fill=(200, 40, 40))
        return image.convert(mode)

    return drawn


@pytest.fixture
def picture(tmp_path: Path, draw: Draw) -> Path:
    """A PNG file of 48x32 pixels."""
    path = tmp_path / "picture.png"
    draw().save(path)
    return path


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow knows our files for one test; afterwards it is as it was."""
    import bitcodec.pillow

    Image.init()
    for name in ("OPEN", "SAVE", "MIME", "EXTENSION"):
        monkeypatch.setattr(Image, name, dict(getattr(Image, name)))
    monkeypatch.setattr(Image, "ID", list(Image.ID))
    bitcodec.pillow.register()


@pytest.fixture
def run(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    tiny_weights: Path,
) -> Run:
    """``run("encode", ...)`` in an empty folder: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def invoke(*args: str | Path) -> tuple[int, str, str]:
        capfd.readouterr()
        code = main([str(a) for a in args])
        out, err = capfd.readouterr()
        return code, out, err

    return invoke
